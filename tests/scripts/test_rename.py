"""The renaming: on a small repository, and on a clone of this one with an environment of its own."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import rename
from conftest import copy_project, tracked
from litmlp.paths import PACKAGE, ROOT
from litmlp.run_folder import METRICS

FILES = {
    "pyproject.toml": b'[project]\nname = "coined"\n[project.scripts]\ncoined-train = "coined.train:main"\n',
    "src/coined/__init__.py": b"from coined.deep.part import Part\n",
    "src/coined/deep/part.py": b'NAME = f"coined-{1}", "COINED_CACHE", "Coined", "coined"\n',
    "src/hydra_plugins/coined_plugin/__init__.py": b"",
    "conf/a.yaml": b"_target_: coined.Part\r\ndir: ${coined.folder:x}\r\n",
    "data/table.bin": b"\x00coined\xff",
    "data/latin.csv": b"coined;\xe9\n",
    "notebooks/with spaces é.ipynb": b'{"text": "import coined"}',
    "scripts/rename.py": (ROOT / "scripts/rename.py").read_bytes(),
    "showcase/bench.py": b"import coined\n",
    "src/coined/playground/part.py": b"",
    "README.md": b"# coined\n\n<!-- part: bench -->\nmake bench\n<!-- end of part: bench -->\n\n"
    b"<!-- part: rename -->\nmake rename NAME=fresh_name\n<!-- end of part: rename -->\n\nThe end of COINED\n",
    "Makefile": b"all:\n\n# part: bench\nbench:\n# end of part: bench\n\nlast:\n",
    "run.sh": b"#!/bin/sh\ncoined-train\n",
}


@pytest.fixture(autouse=True)
def _git_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "gitconfig"))
    settings = "[user]\nname = a\nemail = a@example.org\n[init]\ndefaultBranch = main\n[core]\nautocrlf = false\n"
    (tmp_path / "gitconfig").write_text(settings)


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    return repository(tmp_path / "clone", FILES)


def repository(folder: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    git(folder, "init")
    git(folder, "add", "--all")
    git(folder, "add", "--chmod=+x", "run.sh")
    (folder / "run.sh").chmod(0o755)
    commit_all(folder)
    return folder


def git(folder: Path, *arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True, text=True).stdout


def renamed(clone: Path, *arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "scripts/rename.py", *arguments], cwd=clone, capture_output=True, text=True)


def test_the_name_changes_in_each_spelling_and_in_names_of_files(clone: Path):
    assert rename.rename(clone, "my_project") == "coined"
    assert not [name for name in rename.tracked(clone) if "coined" in name]
    part = (clone / "src/my_project/deep/part.py").read_text()
    assert part == 'NAME = f"my-project-{1}", "MY_PROJECT_CACHE", "MyProject", "my_project"\n'
    assert (clone / "src/hydra_plugins/my_project_plugin/__init__.py").is_file()
    assert 'my-project-train = "my_project.train:main"' in (clone / "pyproject.toml").read_text()
    assert (clone / "README.md").read_text().endswith("\nThe end of MY_PROJECT\n")
    assert b"my_project" in (clone / "notebooks/with spaces é.ipynb").read_bytes()


def test_line_ends_and_modes_and_what_is_no_text_stay(clone: Path):
    rename.rename(clone, "my_project")
    assert (clone / "conf/a.yaml").read_bytes() == b"_target_: my_project.Part\r\ndir: ${my_project.folder:x}\r\n"
    assert (clone / "data/table.bin").read_bytes() == FILES["data/table.bin"]
    assert (clone / "data/latin.csv").read_bytes() == FILES["data/latin.csv"]
    assert git(clone, "ls-files", "--stage", "run.sh").startswith("100755")


def test_nothing_of_the_renaming_stays(clone: Path):
    (clone / ".git/info/exclude").write_text("__pycache__\n")
    (clone / "src/coined/__pycache__").mkdir()
    rename.rename(clone, "my_project")
    assert not (clone / "src/coined").exists()
    assert not (clone / "scripts/rename.py").exists()
    assert "part:" not in (clone / "README.md").read_text() + (clone / "Makefile").read_text()
    assert "make bench" in (clone / "README.md").read_text()
    assert "fresh_name" not in (clone / "README.md").read_text()


def test_a_part_leaves_with_its_lines(clone: Path):
    rename.rename(clone, "my_project", ["bench", "notebooks"])
    assert not (clone / "scripts").exists()
    assert not (clone / "notebooks").exists()
    assert (clone / "Makefile").read_text() == "all:\n\nlast:\n"
    assert (clone / "README.md").read_text() == "# my_project\n\nThe end of MY_PROJECT\n"


def test_a_part_takes_along_those_that_need_it_and_says_so(clone: Path):
    said = renamed(clone, "my_project", "--without", "playground").stdout
    assert said.startswith(
        "Also left out, since they need a part that was left out: lecture, notebooks, showcase.\n"
        "coined is now my_project, without playground."
    )
    assert not (clone / "src/my_project/playground").exists()
    assert not (clone / "notebooks").exists()
    assert (clone / "showcase/bench.py").exists()


def test_git_undoes_it(clone: Path):
    rename.rename(clone, "my_project", ["bench"])
    git(clone, "reset", "--hard")
    assert git(clone, "status", "--porcelain") == ""
    assert {name: (clone / name).read_bytes() for name in FILES} == FILES
    assert not (clone / "src/my_project").exists()


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("", "'' cannot name a package: use lower-case letters, digits and _, as in my_project"),
        ("My_Project", "'My_Project' cannot name a package"),
        ("my-project", "'my-project' cannot name a package"),
        ("2nd", "'2nd' cannot name a package"),
        ("my_", "'my_' cannot name a package"),
        ("naïve", "'naïve' cannot name a package"),
        ("class", "'class' is a keyword of Python"),
        ("match", "'match' is a keyword of Python"),
        ("json", "'json' is a module of Python or of an installed package"),
        ("torch", "'torch' is a module of Python or of an installed package"),
        ("lightning", "'lightning' is a module of Python or of an installed package"),
        ("deep", "'deep' already occurs in src/coined/__init__.py"),
        ("end", "'end' already occurs in README.md"),
        ("coined", "'coined' contains the old name"),
        ("coined2", "'coined2' contains the old name"),
    ],
)
def test_a_bad_name_is_refused_in_one_sentence(clone: Path, name: str, sentence: str):
    done = renamed(clone, "--", name)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"rename: {sentence}")
    assert done.stderr.count("\n") == 1
    assert git(clone, "status", "--porcelain") == ""


@pytest.mark.parametrize("path", ["new.txt", "README.md"])
def test_changes_that_git_could_not_undo_are_refused(clone: Path, path: str):
    (clone / path).write_text("mine")
    done = renamed(clone, "my_project")
    assert done.returncode == 2
    assert (
        done.stderr
        == "rename: there are uncommitted changes, which could not be told from the new ones: commit or stash them\n"
    )
    assert (clone / path).read_text() == "mine"


def test_a_folder_that_git_does_not_know_is_refused(tmp_path: Path):
    with pytest.raises(rename.Refused, match=r"git could not do 'status' .*: this needs a clone of the template"):
        rename.rename(tmp_path, "my_project")


@pytest.mark.parametrize("part", ["lecture", "rename", "everything"])
def test_a_part_of_which_there_is_nothing_is_refused(clone: Path, part: str):
    done = renamed(clone, "my_project", "--without", f"bench,{part}")
    assert done.returncode == 2
    assert done.stderr == f"rename: there is no part '{part}' to leave out: there are bench, notebooks, playground\n"


@pytest.mark.parametrize(
    "text", ["# part: bench\n", "# end of part: bench\n", "# part: bench\n# part: compare\n# end of part: compare\n"]
)
def test_a_part_that_is_not_closed_is_refused(text: str):
    with pytest.raises(rename.Refused, match="in Makefile"):
        rename.stripped({"Makefile": text.encode(), "showcase/bench.py": b""}, ["bench"])


def test_nothing_that_stays_names_a_file_or_a_make_target_of_a_part_that_left():
    files = {path: (ROOT / path).read_bytes() for path in tracked()}
    for without in ([], *([part] for part in offered()), offered()):
        left = rename.stripped(files, without)
        gone = {path for path in files.keys() - left.keys() if not path.startswith("tests/")}
        gone |= {f"make {name}" for name in targets(files) - targets(left)}
        for path in left.keys() - {"docs/upgrade.md"}:  # which tells of the new version's script
            assert not [name for name in gone if name in (rename.text_of(left[path]) or "")], (without, path)


def test_nothing_that_stays_mentions_the_playground():
    left = rename.stripped({path: (ROOT / path).read_bytes() for path in tracked()}, ["playground"])
    assert_playground_is_gone(left)


def assert_playground_is_gone(files: dict[str, bytes]) -> None:
    assert len(files) > 200
    word = re.compile(r"playground|spiral|planar|bumps|\bxor\b", flags=re.I)  # torch has a logical_xor
    assert [path for path in files if word.search(path)] == []
    assert [path for path, content in files.items() if word.search(rename.text_of(content) or "")] == []


def offered() -> list[str]:
    return [
        part for part, patterns in rename.PARTS.items() if any(rename.matches(path, patterns) for path in tracked())
    ]


def targets(files: dict[str, bytes]) -> set[str]:
    return set(re.findall(r"^([a-z-]+):", files["Makefile"].decode(), flags=re.M))


def test_a_later_version_is_merged_as_documented(clone: Path, tmp_path: Path):
    git(tmp_path, "clone", str(clone), "project")
    project = tmp_path / "project"
    said = renamed(project, "my_project").stdout
    for line in re.findall(r"^  (git .*)$", said, flags=re.M)[:2]:
        subprocess.run(line, shell=True, cwd=project, check=True, capture_output=True)
    git(project, "remote", "rename", "origin", "upstream")
    changed(project / "src/my_project/deep/part.py", add="MINE = 1\n")
    (project / "src/my_project/mine.py").write_text("import my_project\n")
    commit_all(project)
    for version in ("1", "2"):
        changed(clone / "src/coined/deep/part.py", add_before=f"# coined {version}\n")
        (clone / f"src/coined/new{version}.py").write_text("import coined\n")
        commit_all(clone)
        (commands,) = re.findall(r"```bash\n(.*?)```", (ROOT / "docs/upgrade.md").read_text(), flags=re.S)
        commands = commands.replace("litmlp", "my_project").replace("python3", sys.executable)
        for line in commands.splitlines():
            subprocess.run(line, shell=True, cwd=project, check=True, capture_output=True)
        assert (project / f"src/my_project/new{version}.py").read_text() == "import my_project\n"
    lines = (project / "src/my_project/deep/part.py").read_text().splitlines()
    assert [*lines[:2], *lines[3:]] == ["# my_project 2", "# my_project 1", "MINE = 1"]
    assert (project / "src/my_project/mine.py").is_file()
    assert git(project, "status", "--porcelain") == ""
    assert not (project / "src/coined").exists()
    assert "rename.py" not in git(project, "ls-files")


def changed(path: Path, add: str = "", add_before: str = "") -> None:
    path.write_text(add_before + path.read_text() + add)


def commit_all(folder: Path) -> None:
    git(folder, "add", "--all")
    git(folder, "commit", "-m", "More")


@pytest.mark.slow
def test_this_project_renamed_installed_and_tested(tmp_path: Path, penguins_run: Path):
    """Without the playground, then without all parts; the checkpoint is one of when they held whole names."""
    project = copy_project(tmp_path / "project")
    git(project, "init")
    commit_all(project)
    rename.rename(project, "my_project")
    assert_old_name_is_gone(project)
    commands = project / ".venv/bin"
    short = ["data=penguins", "trainer.max_epochs=1"]
    for without in (["playground"], offered()):
        git(project, "reset", "--hard")
        make(project, "rename", "NAME=my_project", f"WITHOUT={','.join(without)}")
        assert_old_name_is_gone(project)
        assert_playground_is_gone({path: (project / path).read_bytes() for path in rename.tracked(project)})
        make(project, "install-dev")
        make(project, "format")
        make(project, "lint")
        run([commands / "my-project-train", *short, f"hydra.run.dir={len(without)}"], tmp_path)
    make(project, "test", "ARGS=tests/test_c*.py tests/test_[dprw]*.py tests/scripts -n 2")
    checkpoint = with_whole_names(penguins_run / "checkpoints/best.ckpt", tmp_path / "old.ckpt")
    run([commands / "my-project-evaluate", f"checkpoint={checkpoint}", "split=val", "output=val.json"], tmp_path)
    measured, reported = (json.loads(path.read_text()) for path in (tmp_path / "val.json", penguins_run / METRICS))
    assert measured == {name: value for name, value in reported.items() if name.startswith("val/")}


def assert_old_name_is_gone(project: Path) -> None:
    for path in rename.tracked(project):
        assert PACKAGE.name not in path.lower()
        assert PACKAGE.name.encode() not in (project / path).read_bytes().lower(), path


def with_whole_names(checkpoint: Path, to: Path) -> Path:
    content = torch.load(checkpoint, weights_only=True)
    for part in ("data", "network", "task"):
        content["hyper_parameters"][part]["_target_"] = PACKAGE.name + content["hyper_parameters"][part]["_target_"]
    torch.save(content, to)
    return to


def make(project: Path, *arguments: str) -> None:
    run(["make", f"PYTHON={sys.executable}", *arguments], project)


def run(command: list[str | Path], folder: Path) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
