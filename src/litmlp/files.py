"""Writes files atomically, and checks them when they are read.

A file is written under a temporary name in the same folder and then renamed. So after a crash it is either complete or
absent. JSON and YAML files end with a checksum (CRC-32) of their content. If the checksum differs or is absent, the
file was changed, perhaps by a person: a warning says so, and the file is used. A file that cannot be parsed is refused.
"""

import json
import logging
import math
import os
import re
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from litmlp.errors import InputError
from litmlp.memo import Memo
from litmlp.paths import display
from litmlp.plain import NotPlain, plain

log = logging.getLogger(__name__)

MAX_BYTES = 2**26  # of a JSON or YAML file
MAX_DEPTH = 32  # of nested dicts and lists
SUM = "crc32"  # the key of the checksum
MAX_METRIC = 1e300  # a larger value in a metrics file is damage

_fragments = Memo(2**12)  # of YAML: the configs of a sweep's runs differ in few values, and PyYAML is slow


class Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """Reads `1e-3` as a number, where PyYAML reads text, and dates as text."""


class Dumper(yaml.SafeDumper):
    """Quotes text that the loader would not read as text, and writes a value that occurs twice in full each time."""

    def ignore_aliases(self, data: Any) -> bool:
        """Write no alias: `read_yaml` refuses aliases."""
        return True


def _text(dumper: Dumper, text: str) -> yaml.Node:
    # Without quotes, PyYAML writes some kinds of line ends unescaped and reads them back as blanks.
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=None if text.isprintable() else '"')


Dumper.add_representer(str, _text)
for _class in (Loader, Dumper):
    _class.yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith(":timestamp")]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    _number = re.compile(r"^[-+]?\d+(\.\d*)?[eE][-+]?\d+$")
    _class.add_implicit_resolver("tag:yaml.org,2002:float", _number, [*"-+0123456789"])


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path in the same folder; rename it to `path` at the end unless an exception was raised."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write `text` to `path` atomically."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, content: dict[str, Any], is_summed: bool = True) -> None:
    """Write `content` to `path` atomically, as indented JSON; a number that is not finite becomes null.

    Args:
        path: the file.
        content: plain values.
        is_summed: add a checksum; False for a file that only the user reads.
    """
    finite = {key: _finite_or_none(value) for key, value in content.items()}
    summed = finite | ({SUM: _sum(_compact(finite))} if is_summed else {})
    write_text(path, json.dumps(summed, indent=2, allow_nan=False, ensure_ascii=False) + "\n")


def write_yaml(path: Path, content: dict[str, Any]) -> None:
    """Write `content` to `path` atomically, as YAML."""
    text = dump(content)
    write_text(path, f"{text}# {SUM}: {_sum(text)}\n")


def read_json(path: Path) -> dict[str, Any]:
    """Return the JSON object in `path`; raise InputError if it holds none."""
    content = _read(path, json.loads)
    if content.pop(SUM, None) != _sum(_compact(content)):
        _warn_of_change(path)
    return content


def read_yaml(path: Path) -> dict[str, Any]:
    """Return the mapping in a YAML file, which must hold plain values and no aliases.

    Raises:
        InputError: the file holds anything else.
    """
    return _read(path, lambda text: _parsed(path, text))


def as_read(content: dict[str, Any]) -> dict[str, Any]:
    """Return `content` as `read_yaml` returns it after `write_yaml`: lists in place of tuples, for example."""
    return yaml.load(dump(content), Loader=Loader)


def dump(content: dict[str, Any]) -> str:
    """Return `content` as YAML."""
    return "".join(map(_dumped_item, content.items())) or _dumped(content)


def _dumped_item(item: tuple[str, Any]) -> str:
    # Each value of a nested dict is written alone, below the same key, and without the line of that key.
    key, value = item
    if not (type(value) is dict and value and type(key) is str and key.isidentifier()):
        return _dumped({key: value})
    fragments = [_dumped({key: {name: one}}) for name, one in value.items()]
    return "".join([fragments[0], *(fragment.partition("\n")[2] for fragment in fragments[1:])])


def _dumped(content: Any) -> str:
    return _fragments.of(
        repr(content), lambda: yaml.dump(content, Dumper=Dumper, sort_keys=False, allow_unicode=True, width=1000)
    )


def _read(path: Path, parse: Callable[[str], Any]) -> dict[str, Any]:
    if not path.is_file():
        raise InputError(f"'{display(path)}' is no file: put back a copy of it, or start a new run")
    if path.stat().st_size > MAX_BYTES:
        raise InputError(f"'{display(path)}' has more than {MAX_BYTES >> 20} MB, and was not read: start a new run")
    try:
        content = parse(text := path.read_text(encoding="utf-8"))
        if not isinstance(content, dict):
            raise NotPlain(f"it holds {'nothing' if not text.strip() else 'no keys and values'}")
        return plain(content, most=len(text), depth=MAX_DEPTH)
    except (ValueError, yaml.YAMLError, RecursionError) as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise InputError(
            f"'{display(path)}' is damaged ({reason}): put back a copy of it, or start a new run"
        ) from error


def _parsed(path: Path, text: str) -> Any:
    # Both are checked before the file is loaded: a few nested aliases can stand for billions of values, and the C
    # parser crashes on deep nesting.
    depth = 0
    for event in yaml.parse(text, Loader=Loader):
        if isinstance(event, yaml.AliasEvent):
            raise NotPlain("it holds an alias")
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH:
            raise NotPlain("its values are nested too deeply")
    body, _, checksum = text.rpartition(f"# {SUM}: ")
    if checksum.strip() != _sum(body):
        _warn_of_change(path)
    return yaml.load(text, Loader=Loader)


def is_number(value: Any) -> bool:
    """Tell whether a value can be a metric of a run; None stands for a number that is not finite."""
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < MAX_METRIC)


@lru_cache(maxsize=1000)  # so that each file is warned of only once
def _warn_of_change(path: Path) -> None:
    log.warning("%s was changed since it was written: what it says now is used", display(path))


def _sum(text: str) -> str:
    return f"{zlib.crc32(text.encode()):08x}"


def _compact(content: dict[str, Any]) -> str:
    return json.dumps(content, sort_keys=True)


def _finite_or_none(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
