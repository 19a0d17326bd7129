"""Make the template a project of your own: python scripts/rename.py my_project.

This changes the package, its commands (`my-project-train`), configs, environment variables, texts, and the names of
files and folders, in all files that git tracks. `--without` leaves out parts of the template. The old name is a coined
word that occurs nowhere else, so replacing it is safe. This may not be true of the new name: the project can be renamed
only once, and this script is removed with the old name.
"""

import argparse
import importlib.util
import keyword
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Collection
from fnmatch import fnmatch
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

# The parts that a project may leave out, with patterns of their files. If a part has lines in other files, they stand
# between two comments, such as `part: bench` and `end of part: bench`. A part is offered if git tracks a file of it.
PARTS = {
    "bench": ("showcase/bench.py", "showcase/*_big_*", "tests/showcase/test_bench.py", "tests/showcase/*_big_*"),
    "compare": (
        *("showcase/ablate.py", "showcase/compare_peers.py", "showcase/tables.py"),
        *(f"tests/showcase/test_{name}.py" for name in ("ablate", "compare_peers", "tables")),
    ),
    "containers": ("Dockerfile", ".dockerignore", ".devcontainer/*", "tests/test_containers.py"),
    "github": (".github/*", "tests/test_workflows.py"),
    "lecture": ("conf/experiment/lecture/*", "docs/lecture*", "showcase/lecture.py", "tests/showcase/test_lecture.py"),
    "notebooks": ("notebooks/*", "tests/notebooks/*", "tests/test_notebook*", "scripts/*notebook*"),
    "playground": (
        *("src/*/playground/*", "tests/playground/*", "tests/soak/test_expressions.py", "conf/*/playground.yaml"),
        *(f"conf/data/{name}.yaml" for name in ("bumps", "circle", "function", "gauss", "plane", "spiral", "xor")),
        *("conf/callbacks/function_plots.yaml", "conf/callbacks/planar_plots.yaml", "docs/recipes/data.md"),
        *("conf/experiment/curve_fit.yaml", "conf/experiment/spiral_generalization.yaml"),
    ),
    "showcase": ("docs/results.png", "docs/sweep.png", "docs/tensorboard-*.png", "showcase/make_images.py"),
}
ALWAYS = {"rename": ("scripts/rename.py", "tests/scripts/test_rename.py", "tests/maintenance/test_make_reference.py")}
NEEDS = {
    "lecture": "playground",
    "notebooks": "playground",
    "showcase": "playground",
}  # is removed with the part it needs
MARK = re.compile(r"^\W*(end of )?part: (\w+)\W*$")


class Refused(Exception):
    """The project cannot be renamed in this way. The message is one sentence that says what to do."""


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", help="the package's new name: lower-case letters, digits and _")
    parser.add_argument("--without", default="", metavar="PARTS", help=f"parts to leave out, any of {','.join(PARTS)}")
    parser.add_argument(
        "--anyway", action="store_true", help="accept a name that already occurs, for later versions of the template"
    )
    given = parser.parse_args()
    without = [part for part in given.without.split(",") if part]
    try:
        old = rename(ROOT, given.name, without, given.anyway)
    except Refused as error:
        print(f"rename: {error}", file=sys.stderr)
        sys.exit(2)
    if also := needing(without):
        print(f"Also left out, since they need a part that was left out: {', '.join(also)}.")
    left_out = f", without {','.join(without)}" if without else ""
    print(f"{old} is now {given.name}{left_out}. To keep this, and to merge later versions of the template:")
    print(f'  git commit -m "The template as {given.name}{left_out}"\n  git branch template')
    print("Then sort the imports, and test that everything works:\n  make format lint test")
    print("To undo it:\n  git reset --hard")


def rename(root: Path, name: str, without: Collection[str] = (), anyway: bool = False) -> str:
    """Rename the project in `root`, a clean working tree, without some parts; return its old name.

    Raises:
        Refused: the name cannot be that of a package, a part is unknown, or there are uncommitted changes.
    """
    check_name(name, root)
    if git(root, "status", "--porcelain"):
        raise Refused("there are uncommitted changes, which could not be told from the new ones: commit or stash them")
    old = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]["name"]
    before = {path: (root / path).read_bytes() for path in tracked(root)}
    kept = stripped(before, without)
    check_new(name, old, {} if anyway else kept)
    after = {spelled(path, old, name): replaced(content, old, name) for path, content in kept.items()}
    write(root, before, after, {spelled(path, old, name): path for path in kept})
    git(root, "add", "--all")
    return old


def check_name(name: str, root: Path) -> None:
    """Refuse a name that a package cannot have, or that another package has."""
    if not re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", name):
        raise Refused(f"'{name}' cannot name a package: use lower-case letters, digits and _, as in my_project")
    if keyword.iskeyword(name) or keyword.issoftkeyword(name):
        raise Refused(f"'{name}' is a keyword of Python: choose another name")
    module = importlib.util.find_spec(name)
    is_installed = module and module.origin and root not in Path(module.origin).parents
    if name in sys.stdlib_module_names or is_installed:
        raise Refused(f"'{name}' is a module of Python or of an installed package: choose another name")


def stripped(files: dict[str, bytes], without: Collection[str]) -> dict[str, bytes]:
    """Return the files without those files and lines that belong to these parts or to the renaming itself.

    The comments that mark parts are removed, too.
    """
    offered = [part for part, patterns in PARTS.items() if any(matches(path, patterns) for path in files)]
    for part in without:
        if part not in offered:
            raise Refused(f"there is no part '{part}' to leave out: there are {', '.join(offered)}")
    gone = {*ALWAYS, *without, *needing(without)}
    patterns = [pattern for part in gone for pattern in (PARTS | ALWAYS)[part]]
    return {path: without_lines(path, content, gone) for path, content in files.items() if not matches(path, patterns)}


def needing(without: Collection[str]) -> list[str]:
    """Return the other parts that must be left out with these, since they need one of them."""
    return [part for part, needed in NEEDS.items() if needed in without and part not in without]


def matches(path: str, patterns: Collection[str]) -> bool:
    """Tell whether a path with / as separator matches one of the patterns."""
    return any(fnmatch(path, pattern) for pattern in patterns)


def without_lines(path: str, content: bytes, parts: Collection[str]) -> bytes:
    """Return a text without the lines of these parts and without marks; content that is no text as it is."""
    text = text_of(content)
    if text is None or "part: " not in text:
        return content
    kept: list[str] = []
    inside = None
    for line in text.splitlines(keepends=True):
        if mark := MARK.match(line.strip()):
            ends, part = mark.groups()
            if (inside if ends else None) != (part if ends else inside):
                raise Refused(f"the parts in {path} are not closed one after the other: correct '{line.strip()}'")
            if ends and part in parts and kept and not kept[-1].strip():
                kept.pop()  # the part had a blank line before and after it, of which one is enough
            inside = None if ends else part
        elif inside not in parts:
            kept.append(line)
    if inside:
        raise Refused(f"the part '{inside}' in {path} has no end: add a comment 'end of part: {inside}'")
    return "".join(kept).encode()


def check_new(name: str, old: str, files: dict[str, bytes]) -> None:
    """Refuse a name that already occurs in the files, since it could not be told from those words later."""
    if old in name:
        raise Refused(f"'{name}' contains the old name, '{old}': choose another name")
    word = re.compile(rf"(?<![a-z0-9]){name.replace('_', '[-_]')}(?![a-z0-9])", re.IGNORECASE)
    for path, content in files.items():
        if word.search(path) or word.search(text_of(content) or ""):
            raise Refused(f"'{name}' already occurs in {path}: choose another name")


def spelled(text: str, old: str, name: str) -> str:
    """Return a text with the new name in place of the old one, in the same spelling.

    The old name is one word. Where it is part of a word with a dash, as in a command, the new name has dashes for `_`.
    """

    def spelling(match: re.Match[str]) -> str:
        found, dash = match.groups()
        if found.isupper():
            return name.upper()
        if not found.islower():
            return "".join(word.capitalize() for word in name.split("_"))
        return name.replace("_", "-") if dash else name

    return re.sub(rf"({re.escape(old)})(?=(-?))", spelling, text, flags=re.IGNORECASE)


def replaced(content: bytes, old: str, name: str) -> bytes:
    """Return a file's content with the new name in place of the old one; content that is no text as it is."""
    text = text_of(content)
    return content if text is None else spelled(text, old, name).encode()


def text_of(content: bytes) -> str | None:
    """Return the text that a file holds; None if it holds something else."""
    if b"\0" in content:
        return None
    try:
        return content.decode()
    except UnicodeDecodeError:
        return None


def write(root: Path, before: dict[str, bytes], after: dict[str, bytes], origins: dict[str, str]) -> None:
    """Write, move and remove files, from their old state to the new one.

    A moved file keeps its mode. Folders that become empty are removed.

    Args:
        root: the project's folder.
        before: the old content of each file.
        after: the new content of each file, by its new path.
        origins: by new path, the old path.
    """
    for path, origin in origins.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / origin).rename(root / path)
        if after[path] != before[origin]:
            (root / path).write_bytes(after[path])
    for path in before.keys() - after.keys():
        (root / path).unlink(missing_ok=True)
        for folder in (root / path).parents:
            if folder == root or not folder.is_dir() or any(entry.name != "__pycache__" for entry in folder.iterdir()):
                break
            shutil.rmtree(folder)  # it holds nothing but __pycache__


def tracked(root: Path) -> list[str]:
    """Return the files that git tracks, as paths with /; links are left out."""
    paths = git(root, "ls-files", "-z").split("\0")
    return [path for path in paths if path and (root / path).is_file() and not (root / path).is_symlink()]


def git(root: Path, *arguments: str) -> str:
    """Run git, and return what it prints."""
    try:
        done = subprocess.run(["git", *arguments], cwd=root, check=True, capture_output=True)
    except FileNotFoundError:
        raise Refused("git is not installed, which lists the files and can undo the renaming: install it") from None
    except subprocess.CalledProcessError as error:
        reason = error.stderr.decode(errors="replace").strip().partition("\n")[0]
        raise Refused(f"git could not do '{arguments[0]}' ({reason}): this needs a clone of the template") from None
    return done.stdout.decode()


if __name__ == "__main__":
    main()
