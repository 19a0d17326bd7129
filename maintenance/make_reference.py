"""Write docs/configuration.md from conf/ and from docstrings: all groups with their options and keys.

python maintenance/make_reference.py
"""

import inspect
import re

# part: rename
import runpy

# end of part: rename
from collections.abc import Callable, Collection, Iterable, Iterator
from fnmatch import fnmatch
from itertools import takewhile
from pathlib import Path
from pkgutil import resolve_name
from typing import Any, NamedTuple

import yaml

from litmlp.config_check import arguments_of
from litmlp.files import write_text
from litmlp.paths import CONF, PACKAGE, ROOT

PAGE = ROOT / "docs" / "configuration.md"
ORDER = ("data", "network", "task", "task/loss", "optimizer", "scheduler", "trainer", "callbacks", "logger")
HIDDEN = ("hydra/help", "hydra/hydra_logging", "hydra/job_logging")  # groups without anything to choose
PARTS: dict[str, tuple[str, ...]] = {}  # the parts of the template that a project may leave out: patterns of files
# part: rename
PARTS |= runpy.run_path(str(ROOT / "scripts/rename.py"))["PARTS"]
# end of part: rename
HEAD = """# Configuration

This page lists all groups, their options and their keys. `python maintenance/make_reference.py` makes it from `conf/`
and the code.

`group=option` chooses an option of a group, and `group.key=value` sets a value. You can also set any other argument of
the class that an option names. The arguments of this project's classes are listed below the options; for those of
libraries, see the documentation of the library. `litmlp-train --cfg job` shows the config of a command.
"""


class Key(NamedTuple):
    """A key of a YAML file: its dotted name, from the top of the file; its value as text; and the comment beside it."""

    name: str
    value: str
    comment: str


class Option(NamedTuple):
    """A YAML file: its first comment, the class that it builds, the options that it is based on, and its keys."""

    name: str
    description: str
    target: str
    based_on: list[str]
    keys: list[Key]


def option(path: Path) -> Option:
    """Read an option of a group."""
    lines = path.read_text(encoding="utf-8").splitlines()
    header = takewhile(lambda line: line.startswith("#"), lines)
    description = " ".join(line[1:].strip() for line in header if "@package" not in line)
    content = yaml.safe_load("\n".join(lines)) or {}
    defaults = content.get("defaults", [])
    keys = list(keys_of(lines))
    target = next((key.value for key in keys if key.name.rpartition(".")[2] == "_target_"), "")
    own = [key for key in keys if not re.search(r"(^|\.)_\w+_$", key.name)]
    based_on = [entry for entry in defaults if isinstance(entry, str) and entry != "_self_"]
    return Option(path.stem, description, target, based_on, own)


def keys_of(lines: list[str]) -> Iterator[Key]:
    """Yield the keys of a YAML file of mappings that have a value or a comment, but not those of `defaults`."""
    above: list[tuple[int, str]] = []  # indentation and name of the mappings that the line is in
    for line in lines:
        match = re.match(r"( *)([\w./]+):(?: +(.*))?$", line)
        if match is None:
            continue
        indent, name, rest = len(match[1]), match[2], f" {match[3] or ''}"
        above = [(depth, key) for depth, key in above if depth < indent]
        path = ".".join([*(key for _, key in above), name])
        above.append((indent, name))
        value, _, comment = map(str.strip, rest.partition(" #"))
        if (value or comment) and not path.startswith("defaults"):
            yield Key(path, value, comment)


def arguments(target: str) -> dict[str, tuple[str, str]]:
    """Return the default and the description of each argument that a class or function of this project documents."""
    target_object: Callable = resolve_name(target)
    known, _ = arguments_of(target_object)
    found: dict[str, tuple[str, str]] = {}
    for source in target_object.__mro__ if isinstance(target_object, type) else (target_object,):
        if not is_own(source.__module__):
            continue
        parameters = inspect.signature(source).parameters
        described = re.split(r"\n *Args:\n", inspect.getdoc(source) or "")[1:]
        for name, text in re.findall(r"^    (\w+): (.*(?:\n     +.*)*)", "\n".join(described), re.M):
            is_argument = name in parameters and parameters[name].kind is not inspect.Parameter.VAR_KEYWORD
            if is_argument and name in known and not text.startswith("see "):
                default = parameters[name].default
                shown = "" if default is inspect.Parameter.empty else f"`{yaml_of(default)}`"
                found.setdefault(name, (shown, re.sub(r"(?<!\.)\.$", "", " ".join(text.split()))))
    return {name: entry for name, entry in found.items() if name not in ORDER and "passed in" not in entry[1]}


def is_own(module: str) -> bool:
    """Return whether a module belongs to this project."""
    return module.startswith((f"{PACKAGE.name}.", "hydra_plugins."))


def yaml_of(value: Any) -> str:
    """Return a value as YAML on one line."""
    return yaml.safe_dump(value, default_flow_style=True).partition("\n")[0]


def page(files: Iterable[Path]) -> str:
    """Return the whole page for the options in these YAML files."""
    by_group: dict[str, list[Path]] = {}
    for path in sorted(files):
        by_group.setdefault(path.parent.relative_to(CONF).as_posix(), []).append(path)
    remaining = [group for group in by_group if group not in (*ORDER, ".", *HIDDEN)]
    of_groups = [text for group in [*ORDER, *remaining] for text in sections(group, by_group[group])]
    return "\n".join([HEAD, command("train"), *of_groups, command("evaluate"), command("predict")])


def command(name: str) -> str:
    """Return the section about a command's own keys."""
    keys = [key for key in option(CONF / f"{name}.yaml").keys if not key.name.startswith("hydra")]
    return "\n".join([f"## litmlp-{name}\n", *key_table(keys)])


def sections(group: str, files: list[Path]) -> Iterator[str]:
    """Yield the section of a group, and another one for each part of the template that has options in the group.

    Comments mark the sections of parts, so that a section can be removed with its part.
    """
    by_part: dict[str, list[Path]] = {"": []}
    for path in files:
        by_part.setdefault(part_of(path), []).append(path)
    if general := by_part.pop(""):
        yield section(group, general)
    described = {option(path).target for path in general}
    for part, own in by_part.items():
        yield f"<!-- part: {part} -->"
        yield section(f"{group} ({part})" if general else group, own, described)
        yield f"<!-- end of part: {part} -->\n"


def part_of(path: Path) -> str:
    """Return the part of the template that a file belongs to; an empty text if it belongs to none."""
    name = path.relative_to(ROOT).as_posix()
    return next((part for part, patterns in PARTS.items() if any(fnmatch(name, each) for each in patterns)), "")


def section(title: str, files: Iterable[Path], described: Collection[str] = ()) -> str:
    """Return a section: a table of options, then tables of the arguments of their classes.

    Classes in `described` are left out of the latter, since another section describes them.
    """
    options = [option(path) for path in files]
    lines = [f"## {title}\n", "| option | what it is | sets |", "| --- | --- | --- |"]
    for one in options:
        bases = f"Based on {', '.join(f'`{name}`' for name in one.based_on)}. " if one.based_on else ""
        description = cell(one.description if one.description.startswith("As ") else bases + one.description)
        sets = ", ".join(f"`{key.name}: {key.value}`" for key in one.keys if key.value)
        lines.append(f"| `{one.name}` | {description} | {cell(sets)} |")
    tables: dict[tuple[str, ...], list[str]] = {}
    for target in dict.fromkeys(one.target for one in options if one.target and one.target not in described):
        rows = argument_rows(target, [one for one in options if one.target == target])
        tables.setdefault(tuple(rows), []).append(f"`{target}`")
    for of_class, targets in tables.items():
        if of_class:
            lines += ["", f"{', '.join(targets)}\n", "| key | default | meaning |", "| --- | --- | --- |", *of_class]
    return "\n".join([*lines, ""])


def argument_rows(target: str, users: list[Option]) -> list[str]:
    """Return the table rows for the arguments of a class: from its docstrings, and from comments in its options."""
    described = arguments(target) if is_own(target) else {}
    commented = {key.name.partition(".")[2] or key.name: key for one in users for key in one.keys if key.comment}
    rows = []
    for name in [*described, *(name for name in commented if name not in described)]:
        default, meaning = described.get(name, ("", ""))
        own = commented.get(name)
        if own is not None:
            default = default or (f"`{own.value}`" if own.value else "")
            meaning = meaning or own.comment
        rows.append(f"| `{name}` | {cell(default)} | {cell(meaning)} |")
    return rows


def key_table(keys: list[Key]) -> list[str]:
    """Return a table of keys with their values and comments."""
    rows = [f"| `{key.name}` | {cell(f'`{key.value}`' if key.value else '')} | {cell(key.comment)} |" for key in keys]
    return ["| key | default | meaning |", "| --- | --- | --- |", *rows, ""]


def cell(text: str) -> str:
    """Return text as a cell of a Markdown table, which must not hold a bare `|`."""
    return text.replace("|", "\\|")


if __name__ == "__main__":
    write_text(PAGE, page(CONF.rglob("*.yaml")))
