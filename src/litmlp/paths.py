"""Where things are: the configs, shipped tables, and the folder of runs."""

from pathlib import Path

from litmlp.errors import InputError, shown

PACKAGE = Path(__file__).parent
IN_WHEEL = (PACKAGE / "conf").is_dir()
ROOT = PACKAGE if IN_WHEEL else PACKAGE.parents[1]  # holds conf/ and data/
CONF = ROOT / "conf"


def runs() -> Path:
    """Return the folder that new runs go to: the clone's, or the current one's for an installed wheel."""
    return (Path.cwd() if IN_WHEEL else ROOT) / "runs"


def find(path: str | Path) -> Path:
    """Return `path` as seen from the current folder or else from the project; raise InputError if in neither."""
    for candidate in (expanded(path), ROOT / path):
        try:
            if candidate.exists():
                return candidate
        except OSError as error:  # the name is too long, or leads through a folder of somebody else's
            raise InputError(f"cannot look for {shown(str(path))} ({error.strerror}): check the path") from error
    places = " nor under ".join(str(place) for place in dict.fromkeys((Path.cwd(), ROOT)))
    raise InputError(f"there is no file '{path}' under {places}: check the path")


def expanded(path: str | Path) -> Path:
    """Return `path` with a user's folder for `~`, where there is such a user."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        return Path(path)


def portable(path: str) -> str:
    """Return `path` without this machine's part: relative to the project where inside it, else the bare name."""
    absolute = expanded(path)
    if not absolute.is_absolute():
        return path
    return absolute.relative_to(ROOT).as_posix() if absolute.is_relative_to(ROOT) else absolute.name


def display(path: Path) -> str:
    """Return `path` as one would type it here: relative where it lies below the current folder."""
    try:
        here = Path.cwd()
    except OSError:  # it was removed
        return str(path)
    absolute = path.absolute()
    return str(absolute.relative_to(here)) if absolute.is_relative_to(here) else str(absolute)
