"""Folders of runs and sweeps with files that are lost, cut short, garbled or something else altogether."""

import json
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from litmlp import run_folder
from litmlp.sweeps.report import compare
from soak.soaking import Soak, commands
from soak.test_kills import SMALL, differing, results

PLAIN = [*SMALL, "scheduler=none", "trainer.max_epochs=3"]  # so that a shorter run is the beginning of a longer one
GRID = ["-m", *SMALL, "trainer.max_epochs=1", "seed=0,1"]
SEARCH = ["-m", *SMALL, "trainer.max_epochs=1", "hydra/sweeper=optuna", "hydra.sweeper.n_trials=2"]
SEARCH += ["optimizer.lr=tag(log,interval(1e-4,1e-1))"]
VALUES = [None, [], {}, "", "nan", "x" * 1000, True, -1, 0.5, 1e999, 10**400, [[]], {"a": None}]
FILES_OF_RUNS = ["status.json", "config.yaml", "metrics.json", "columns.json", ".lock", "train.log", "plots"]
FILES_OF_RUNS += ["checkpoints/last.ckpt", "checkpoints/best.ckpt", "checkpoints"]
FILES_OF_SWEEPS = ["sweep.yaml", "results.csv", "best.yaml", "study.log", ".lock", "0/job.json", "0/.lock"]
FILES_OF_SWEEPS += [f"0/{name}" for name in FILES_OF_RUNS]
COMPLETE = ["whole", "other", "grid/0", "grid/1", "search/0", "search/1"]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that is complete, one that was stopped, another, a grid and a search."""
    place = tmp_path_factory.mktemp("folders")
    for name, *arguments in [
        *(("whole", *PLAIN), ("half", *PLAIN, "trainer.max_epochs=2"), ("other", *PLAIN, "seed=1")),
        *(("grid", *GRID), ("search", *SEARCH)),
    ]:
        where = "hydra.sweep.dir" if "-m" in arguments else "hydra.run.dir"
        commands().run("train", *arguments, f"{where}={name}", folder=place).check(0)
    shutil.copy(place / "whole/config.yaml", place / "half/config.yaml")
    status = place / "half/status.json"
    status.write_text(status.read_text().replace("completed", "interrupted"))
    (place / "half/metrics.json").unlink()
    return place


def lost(path: Path, generator: random.Random) -> None:
    remove(path)


def cut(path: Path, generator: random.Random) -> None:
    if path.is_file():
        os.truncate(path, generator.choice([0, 0, 1, generator.randint(0, path.stat().st_size)]))


def garbled(path: Path, generator: random.Random) -> None:
    if path.is_file() and path.suffix != ".ckpt":
        content = bytearray(path.read_bytes())
        place = generator.randint(0, len(content))
        content[place : place + 8] = generator.choice([b"\xff\xfe\x00", b"\x00" * 8, b"{[\x80"])
        path.write_bytes(content)


def of_another_kind(path: Path, generator: random.Random) -> None:
    remove(path)
    make: Callable[[], Any] = generator.choice(
        [
            path.mkdir,
            lambda: os.mkfifo(path),
            lambda: path.symlink_to("nowhere"),
            lambda: path.symlink_to(path.name),
            lambda: path.symlink_to("/dev/null"),
            lambda: path.write_text(generator.choice(["[]", "null", "3", '"text"', "{}", "[" * 50_000, "- " * 5000])),
        ]
    )
    make()


def of_other_values(path: Path, generator: random.Random) -> None:
    """Replace a value in a JSON file; what a YAML file asks for is another test's."""
    if path.suffix == ".json" and path.is_file():
        content = json.loads(path.read_text())
        content[generator.choice(list(content))] = generator.choice(VALUES)
        path.write_text(json.dumps(content))


DAMAGES = [lost, cut, garbled, of_another_kind, of_other_values]


def remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != ".lock")
    return {str(path.relative_to(folder)): path.read_bytes() for path in files if path.stat().st_size < 10**7}


def damaged(folders: Path, place: Path, generator: random.Random, target: str) -> tuple[Path, str, list[str]]:
    """Copy all folders, and damage a file or two of the target."""
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(folders, place)
    told, files = [], []
    names = FILES_OF_SWEEPS if target in ("grid", "search") else FILES_OF_RUNS
    for _ in range(generator.choice([1, 1, 2])):
        name, damage = generator.choice(names), generator.choice(DAMAGES)
        if (place / target / name).parent.is_dir():
            damage(place / target / name, generator)
            files.append(name)
            told.append(f"{target}/{name} {damage.__name__}")
    return place, ", ".join(told), files


@pytest.mark.soak
def test_damaged_folders(soak: Soak, folders: Path, tmp_path: Path) -> None:
    whole = {name: results(folders / name) for name in ("whole", "grid", "search")}
    for number, generator in enumerate(soak.rounds()):
        target = generator.choice(["whole", "half", "half", "grid", "search"])
        place, told, files = damaged(folders, tmp_path / "place", generator, target)
        with soak.trial(f"round {number}: {told}"):
            before = {name: contents(place / name) for name in COMPLETE if not name.startswith(target)}
            check_report(place, target)
            if generator.random() < 0.2:
                commands().run("report", ".", "--write", f"{tmp_path}/report", folder=place).check(0)
            again, expected = again_and_expected(target, generator, whole)
            said = commands().run("train", *again, folder=place).check(0, 1, 2)
            soak.count(f"{'right' if said.code == 0 else 'a sentence'}, {target}")
            if said.code == 0:
                differences = differing(results(place / target), expected)
                if target != "half":  # what is complete stays as it is
                    differences = [name for name in differences if not name.startswith(tuple(files))]
                assert not differences, f"{differences}\n{said}"
            if target in ("whole", "half") and generator.random() < 0.3:
                commands().run("evaluate", f"checkpoint={target}", f"output={tmp_path}/m.json", folder=place).check()
                commands().run("train", *PLAIN, f"hydra.run.dir={target}", folder=place).check()
            check_report(place, target)
            assert {name: contents(place / name) for name in before} == before


def again_and_expected(
    target: str, generator: random.Random, whole: dict[str, dict[str, Any]]
) -> tuple[list[str], dict[str, Any]]:
    if target in ("whole", "half"):
        return [f"resume={target}"], whole["whole"]
    return [*{"grid": GRID, "search": SEARCH}[target], f"hydra.sweep.dir={target}"], whole[target]


def check_report(place: Path, target: str) -> None:
    """Check that all runs that are not damaged are reported."""
    reported = {one.folder for group in compare([place]).groups for one in group.runs}
    undamaged = {place / name for name in COMPLETE if not name.startswith(target) or name.endswith("/1")}
    assert undamaged <= reported, undamaged - reported


@pytest.mark.soak
def test_folders_of_the_users(soak: Soak, tmp_path: Path) -> None:
    """Whatever a folder holds before, no command changes or removes it."""
    names = [
        *run_folder.FILES,
        "events.out.tfevents.1",
        "checkpoints/a",
        "plots/a",
        "notes.txt",
        "empty/",
        "data/config.yaml",
    ]
    names += ["results.csv", "best.yaml", "study.log", "sweep.yaml", "0/a", "1/config.yaml", "evaluate-test.json"]
    texts = ["", "{}", "a: 1\n", "mine", '{"status": "completed"}', yaml.safe_dump({"command": ["seed=1"]})]
    mistakes = [[], ["data.target=none"], ["data.path=nowhere.csv"], ["optimizer.lr=-1"], ["network.dropout=2"]]
    for number, generator in enumerate(soak.rounds()):
        folder = tmp_path / str(number) / generator.choice(["mine", "mine/deep"])
        chosen = generator.sample(names, generator.choice([0, 1, 1, 2, 3]))
        for name in chosen:
            path = folder / name
            if name.endswith("/"):
                path.mkdir(parents=True)
            else:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(generator.choice(texts))
        (tmp_path / str(number)).mkdir(exist_ok=True)
        mistake = generator.choice(mistakes)
        is_sweep = generator.random() < 0.3
        arguments = [*SMALL, "trainer.max_epochs=1", *mistake]
        arguments = ["-m", *arguments, "seed=0,1", f"hydra.sweep.dir={folder}"] if is_sweep else arguments
        arguments = arguments if is_sweep else [*arguments, f"hydra.run.dir={folder}"]
        if generator.random() < 0.2:
            arguments = [f"resume={folder}"]
        before = everything(tmp_path / str(number))
        if all(before.get(str(folder / name)) == b"" for name in (run_folder.LOCK, run_folder.STATUS)):
            continue  # as a full disk leaves a run
        with soak.trial(f"{chosen} {arguments[-2:]}"):
            said = commands().run("train", *arguments, folder=tmp_path).check(0, 1, 2)
            after = everything(tmp_path / str(number))
            changed = [name for name, content in before.items() if after.get(name, -1) != content]
            assert not changed, f"{changed}: {said}"
            assert said.code == 0 or is_sweep or after == before, said
            soak.count("refused" if said.code else "done")


def everything(folder: Path) -> dict[str, bytes | None]:
    return {str(path): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}
