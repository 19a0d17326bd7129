"""The paths of the configs, of the tables of this project and of the folder of runs."""

from pathlib import Path

from litmlp.errors import InputError, shown

PACKAGE = Path(__file__).parent
IN_WHEEL = (PACKAGE / "conf").is_dir()
ROOT = PACKAGE if IN_WHEEL else PACKAGE.parents[1]  # holds conf/ and data/
CONF = ROOT / "conf"


def runs() -> Path:
    """Return the folder for new runs: `runs` in the clone, or in the current folder if a wheel is installed."""
    return (Path.cwd() if IN_WHEEL else ROOT) / "runs"


def find(path: str | Path) -> Path:
    """Return `path` relative to the current folder or else to the project; raise InputError if neither has it."""
    for candidate in (expanded(path), ROOT / path):
        try:
            if candidate.exists():
                return candidate
        except OSError as error:  # the name is too long, or it leads through a folder that may not be read
            raise InputError(f"cannot look for {shown(str(path))} ({error.strerror}): check the path") from error
    folders = " nor under ".join(str(folder) for folder in dict.fromkeys((Path.cwd(), ROOT)))
    raise InputError(f"there is no file '{path}' under {folders}: check the path")


def expanded(path: str | Path) -> Path:
    """Return `path` with the home folder in place of `~`; unchanged if there is no such user."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        return Path(path)


def portable(path: str) -> str:
    """Return `path` without this machine's folders: relative to the project if it is inside, else only the name."""
    absolute = expanded(path)
    if not absolute.is_absolute():
        return path
    return absolute.relative_to(ROOT).as_posix() if absolute.is_relative_to(ROOT) else absolute.name


def display(path: Path) -> str:
    """Return `path` in the form that a user would type: relative if it is below the current folder, else absolute."""
    try:
        here = Path.cwd()
    except OSError:  # the current folder was removed
        return str(path)
    absolute = path.absolute()
    return str(absolute.relative_to(here)) if absolute.is_relative_to(here) else str(absolute)
