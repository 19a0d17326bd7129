"""Files that are whole or not there: written beside their place, then renamed onto it."""

import json
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from litmlp.errors import InputError

GREATEST = 1e300  # of what is measured


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path in the same folder; rename it onto `path` unless an exception passes."""
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


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write `content` to `path` atomically, as indented JSON; a number that is not finite becomes null."""
    plain = {key: _finite_or_none(value) for key, value in content.items()}
    write_text(path, json.dumps(plain, indent=2, allow_nan=False, ensure_ascii=False) + "\n")


def read_json(path: Path) -> dict[str, Any]:
    """Return the JSON object in `path`; raise InputError if it holds none."""
    try:
        content = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict):
        raise InputError(f"'{path}' is damaged, for it holds no JSON object: restore it, or remove it")
    return content


def read_yaml(path: Path) -> dict[str, Any]:
    """Return the mapping in a YAML file; raise InputError if it holds none."""
    import yaml

    try:
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times faster than OmegaConf
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=loader) if path.is_file() else None
    except (ValueError, RecursionError, yaml.YAMLError):
        content = None
    if not isinstance(content, dict):
        raise InputError(f"'{path}' is damaged, for it holds no keys and values: restore it, or remove it")
    return content


def is_number(value: Any) -> bool:
    """Tell whether a run can have measured this; None is a number that is not finite."""
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < GREATEST)


def _finite_or_none(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
