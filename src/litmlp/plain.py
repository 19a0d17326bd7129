"""Checks the content of a file that a stranger may have written: only plain values, limited in depth and number."""

from collections.abc import Callable
from typing import Any

MAX_BITS = 64  # of a whole number


class NotPlain(ValueError):
    """A value is not plain; the message says why."""


def plain(content: Any, most: int, depth: int, other: Callable[[Any], Any] | None = None) -> Any:
    """Return a copy of `content`, which must consist of plain values only.

    Plain values are dicts with text as keys, lists, text, whole numbers of up to 64 bits, floats, bools and None.
    Subclasses of these types are not plain.

    Args:
        content: the result of a parser.
        most: the maximum number of values. A value that is reached twice counts twice.
        depth: the maximum number of nested dicts and lists.
        other: converts a value of another type, or raises NotPlain. If it is given, tuples and whole numbers as keys
            are plain as well, and an instance of a subclass of dict becomes a dict.

    Raises:
        NotPlain: `content` holds another value, too many values or too many levels.
    """
    num_left = most

    def copy(value: Any, levels_left: int) -> Any:
        nonlocal num_left
        num_left -= 1
        if num_left < 0:
            raise NotPlain("it holds too many values for its size")
        kind = type(value)
        if kind is str:
            _check_text(value)
            return value
        if kind is int:
            if value.bit_length() > MAX_BITS:
                raise NotPlain(f"it holds a whole number of more than {MAX_BITS} bits")
            return value
        if kind in (float, bool, type(None)):
            return value
        if levels_left == 0:
            raise NotPlain("its values are nested too deeply")
        if kind is list:
            return [copy(item, levels_left - 1) for item in value]
        if kind is dict or (other is not None and isinstance(value, dict)):
            return {key_of(key): copy(item, levels_left - 1) for key, item in dict.items(value)}
        if kind is tuple and other is not None:
            return tuple(copy(item, levels_left - 1) for item in value)
        if other is not None:
            return other(value)
        raise NotPlain(f"it holds a value of type {kind.__name__}")

    def key_of(key: Any) -> Any:
        if type(key) is not str and (type(key) is not int or other is None):
            raise NotPlain(f"it has a key of type {type(key).__name__}")
        return copy(key, 0)

    return copy(content, depth)


def _check_text(text: str) -> None:
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise NotPlain("it holds text that no file can hold") from error
