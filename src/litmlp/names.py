"""Finds classes and functions by their names in a config."""

import sys
from functools import reduce
from pkgutil import resolve_name
from typing import Any

from litmlp.memo import Memo

_places = Memo(2**10)  # the module and the attributes of each name


def named(name: str) -> Any:
    """Return the object with this name, as `pkgutil.resolve_name` does.

    That tries to import each part of the name as a module, which takes longer than many constructors. So this looks for
    the object first in the module where it was found before.
    """
    module, *attributes = _places.of(str(name), lambda: _place(name))
    try:
        return reduce(getattr, attributes, sys.modules[module])
    except (KeyError, AttributeError):  # it is in another place now, or nowhere
        return resolve_name(name)


def _place(name: str) -> tuple[str, ...]:
    found, parts = resolve_name(name), name.replace(":", ".").split(".")
    for number in range(len(parts) - 1, 0, -1):
        owner: Any = sys.modules.get(".".join(parts[:number]))
        for attribute in parts[number:]:
            owner = getattr(owner, attribute, None)
        if owner is found:
            return ".".join(parts[:number]), *parts[number:]
    return ("",)  # it is no attribute of a module that Python lists
