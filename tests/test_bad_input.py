"""What is wrong with a table, or with what is asked of it, is one sentence, exit code 2, and no folder."""

import io
import re
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from conftest import COMMANDS, Refused

ROWS = "\n".join(f"{i},{i % 7},{'ab'[i % 2]},{i * 3},2024-01-{i % 28 + 1:02},{i % 5}" for i in range(60))
GOOD = f"size,code,level,y,when,group\n{ROWS}\n"


def training(*arguments: str, path: str = "table.csv", target: str = "y") -> list[str]:
    small = ["trainer.max_epochs=1", "network.hidden_sizes=[4]", "network/embedding=none", "threads=1"]
    return ["data=table", f"data.path={path}", f"data.target={target}", *small, "hydra.run.dir=run", *arguments]


def table(header: str, *rows: str, repeat: int = 1) -> str:
    return "\n".join([header, *rows * repeat]) + "\n"


def numbered(header: str, cell: Callable[[int], str], num_rows: int = 40) -> str:
    return table(header, *(f"{i * 0.5},{cell(i)}" for i in range(num_rows)))


def excel() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("[Content_Types].xml", "<Types/>")
    return file.getvalue()


@pytest.mark.parametrize(
    ("content", "arguments", "message"),
    [
        pytest.param("", [], "'table.csv' is empty", id="empty file"),
        pytest.param("size,y\n", [], "'table.csv' has no rows", id="header only"),
        pytest.param("size,y,size\n1,2,3\n", [], "two columns called 'size': rename", id="duplicate columns"),
        pytest.param(
            f"{GOOD}1,2,3,4,5,6,7\n", [], r"line \d+ of 'table.csv' has 7 cells", id="more cells than columns"
        ),
        pytest.param(GOOD.replace(",", "%"), [], "there is no target column 'y'", id="wrong delimiter"),
        pytest.param(GOOD, ["data.target=Y2"], r"no target column 'Y2': did you mean 'y'", id="target missing"),
        pytest.param(GOOD, ["data.ignore=[y]"], "column 'y' is in data.ignore and in data.target", id="target ignored"),
        pytest.param(numbered("x,y", lambda i: ""), [], "no row has a value in the target y", id="no targets"),
        pytest.param(numbered("x,y", lambda i: "a"), [], "'y' has a single class, 'a'", id="single class"),
        pytest.param(
            numbered("x,y", lambda i: "aab"[i % 2] if i else "c"), [], "class 'c' .* single row", id="rare class"
        ),
        pytest.param(
            numbered("x,y", lambda i: f"text {i}"),
            [],
            "40 different texts in 40 rows, .* neither",
            id="target of names",
        ),
        pytest.param(
            GOOD, ["data.numeric=[level]"], "'level' .* finite numbers, .* row 1 holds 'a'", id="text as numbers"
        ),
        pytest.param(
            GOOD.replace("\n3,", "\ninf,").replace("\n5,", "\ninf,"),
            [],
            "'size' .* finite numbers, .* row 4 holds inf",
            id="infinity",
        ),
        pytest.param(
            GOOD.replace(",9,", ",-inf,"), [], "'y' .* finite numbers, .* row 4 holds -inf", id="infinite target"
        ),
        pytest.param(
            numbered("x,y", lambda i: "a1"[i % 2]), ["task=regression"], "'y' .* row 1 holds 'a'", id="text target"
        ),
        pytest.param(
            table("x,y", *(f",{i}" for i in range(40))),
            [],
            r"no column .*'x' is left out: it has no values",
            id="all missing",
        ),
        pytest.param(table("y", *map(str, range(40))), [], "no column beside the target", id="only the target"),
        pytest.param(
            table("id,y", *(f"{i},{i}" for i in range(40))),
            [],
            "'id' is left out: .* identifier",
            id="only an identifier",
        ),
        pytest.param(
            table("x,y", "1,2.5", "2,3.5", "3,4"), [], "split has . of 3 rows, but needs 2", id="too few rows"
        ),
        pytest.param(
            GOOD,
            ["data.numeric=[size]", "data.categorical=[size]"],
            "'size' is in data.numeric and in data.categorical",
            id="overlapping lists",
        ),
        pytest.param(GOOD, ["data.ignore=[colour]"], "there is no column 'colour'", id="unknown column ignored"),
        pytest.param(GOOD, ["data.numerical=[size]"], "'data.numerical': did you mean 'numeric'", id="unknown kind"),
        pytest.param(GOOD, ["data.numeric=size"], "data.numeric is 'size', but should be of type list", id="no list"),
        pytest.param(GOOD, ["data.split_column=level"], "'level' holds 'a': .* train, val or test", id="split values"),
        pytest.param(GOOD, ["data.split_column=parts"], "there is no column 'parts'", id="no split column"),
        pytest.param(
            table("x,y,g", *(f"{i},{i * 2.5},1" for i in range(40))),
            ["data.group_column=g"],
            "data.group_column has 1 different groups, .* give 3 or more",
            id="one group",
        ),
        pytest.param(
            GOOD, ["data.group_column=group", "data.folds=6", "data.fold=0"], "give 6 or more", id="few groups"
        ),
        pytest.param(
            GOOD.replace("2024-01-05", "soon"),
            ["data.time_column=when"],
            "'when' .* dates, .* holds 'soon'",
            id="no date",
        ),
        pytest.param(
            GOOD.replace("2024-01-05", ""), ["data.time_column=when"], "'when' holds no time in its row 5", id="no time"
        ),
        pytest.param(GOOD, ["data.date=[level]"], "'level' should hold dates, .* row 1 holds 'a'", id="text as dates"),
        pytest.param(
            GOOD, ["data.time_column=when", "data.group_column=group"], "each split the rows: give one", id="two splits"
        ),
        pytest.param(
            GOOD,
            ["data.folds=5", "data.fold=5"],
            "folds=5 and fold=5: .* a fold from 0 to folds - 1",
            id="no such fold",
        ),
        pytest.param(GOOD, ["data.folds=1"], "folds=1 .* 2 or more folds", id="one fold"),
        pytest.param(GOOD, ["data.val_size=0.9"], "val_size=0.9 and test_size=0.2", id="no rows to train"),
        pytest.param(
            GOOD.replace(",9,2024", ",-9,2024"),
            ["data.target_transform=log1p"],
            "'y' holds -9 in its row 4, but target_transform=log1p",
            id="negative target with log1p",
        ),
        pytest.param(
            GOOD, ["data.target_transform=log"], "target_transform is 'log': did you mean 'log1p'", id="transform"
        ),
        pytest.param(
            GOOD,
            ["data.target=level", "data.target_transform=log1p"],
            "log1p is for numbers, but the task has classes",
            id="logarithm of classes",
        ),
        pytest.param(
            GOOD,
            ["data.target=[level,y]", "task=classification"],
            "one target column, .* names",
            id="two targets as classes",
        ),
        pytest.param(GOOD, ["data.target=[y,level]"], "give data.target=level, or", id="a text among several targets"),
        pytest.param(GOOD, ["data.weight_column=level"], "'level' should hold finite numbers", id="texts as weights"),
        pytest.param(
            GOOD.replace("\n3,3,", "\n3,-3,"),
            ["data.weight_column=code"],
            "weights from 0 up, .* row 4",
            id="negative weight",
        ),
        pytest.param(
            GOOD,
            ["task=classification", "data.target=size"],
            "too many to be classes: use task=regr",
            id="numbers as classes",
        ),
    ],
)
def test_table_that_cannot_be_learned(content: str, arguments: list[str], message: str, refused: Refused) -> None:
    Path("table.csv").write_text(content)
    said = refused("train", *training(*arguments))
    assert re.search(message, said), said
    assert not Path("run").exists()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("binary.csv", b"\x00\x01\x02" * 50, "cannot read 'binary.csv' as text: it is a binary file"),
        ("cut.parquet", None, "cannot read 'cut.parquet' as Parquet"),
        ("text.parquet", b"a,b\n1,2\n", "cannot read 'text.parquet' as Parquet"),
        ("cut.csv.gz", b"\x1f\x8b\x08\x00\x00", "cannot read 'cut.csv.gz' as text"),
        ("text.csv.gz", b"\x1f\x8bext", "cannot read 'text.csv.gz' as text"),
        ("table.xlsx", excel(), r"'table.xlsx' is an Excel file, not text: .* polars.read_excel\('table.xlsx'\)"),
        ("blank.csv", b"\n\n", "'blank.csv' is empty"),
    ],
)
def test_file_that_cannot_be_read(name: str, content: bytes | None, message: str, refused: Refused) -> None:
    if content is None:
        pl.DataFrame({"x": range(1000), "y": range(1000)}).write_parquet(name)
        content = Path(name).read_bytes()[:-100]
    Path(name).write_bytes(content)
    said = refused("train", *training(path=name))
    assert re.search(message, said), said
    assert not Path("run").exists()


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("nowhere.csv", "there is no file 'nowhere.csv'"),
        ("parts/*.csv", r"no file matches 'parts/\*.csv'"),
        ("empty", "the folder 'empty' holds no tables"),
        ("different", "'different/b.parquet' and 'different/a.parquet' have different columns"),
        ("types", "the files after it as one table"),
    ],
)
def test_files_that_are_not_there_or_do_not_fit(path: str, message: str, refused: Refused) -> None:
    for folder, second in (("different", {"x": [1], "z": [1]}), ("types", {"x": [[1]], "y": [1]})):
        Path(folder).mkdir()
        pl.DataFrame({"x": [1], "y": [1]}).write_parquet(f"{folder}/a.parquet")
        pl.DataFrame(second).write_parquet(f"{folder}/b.parquet")
    Path("empty").mkdir()
    said = refused("train", *training(path=path))
    assert re.search(message, said), said
    assert not Path("run").exists()


def test_table_without_path_or_target(refused: Refused) -> None:
    said = refused("train", "data=table", "hydra.run.dir=run")
    assert "no data.path and no data.target is given: add data.path=... data.target=..." in said
    assert not Path("run").exists()


PENGUIN = "island,bill_length_mm,bill_depth_mm,flipper_length_mm,body_mass_g,sex,year\nDream,40,18,190,3500,male,2008\n"


@pytest.mark.parametrize(
    ("content", "arguments", "message"),
    [
        pytest.param(
            PENGUIN.replace("island", "land"), [], "'island' .* is missing: add it, or rename .* land, ", id="no column"
        ),
        pytest.param(PENGUIN.replace("2008", "soon"), [], "'year' .* row 1 holds 'soon'", id="text for a number"),
        pytest.param(PENGUIN.replace("40", "inf"), [], "'bill_length_mm' .* row 1 holds inf", id="infinity"),
        pytest.param(PENGUIN.splitlines()[0] + "\n", [], "'rows.csv' has no rows", id="no rows"),
        pytest.param("", [], "'rows.csv' is empty", id="empty file"),
        pytest.param(PENGUIN, ["output=no/such/folder.csv"], "no folder 'no/such'", id="no output folder"),
        pytest.param(PENGUIN, ["output=out.xlsx"], "cannot tell how to write 'out.xlsx'", id="unknown output"),
        pytest.param(PENGUIN, ["output=rows.csv"], "'rows.csv' is the same file as 'rows.csv'", id="output is input"),
        pytest.param(PENGUIN, ["output=folder.csv"], "'folder.csv' is a folder", id="output is a folder"),
        pytest.param(PENGUIN, ["data.path=other.csv"], "there is no file 'other.csv'", id="no input"),
        pytest.param(
            PENGUIN, ["checkpoint=rows.csv"], "'rows.csv' .* not a checkpoint|holds more than", id="no checkpoint"
        ),
    ],
)
def test_rows_that_cannot_be_predicted(
    content: str, arguments: list[str], message: str, refused: Refused, penguins_run: Path
) -> None:
    Path("rows.csv").write_text(content)
    Path("folder.csv").mkdir()
    given = {"checkpoint": str(penguins_run), "data.path": "rows.csv", "output": "out.csv"}
    given |= dict(argument.split("=") for argument in arguments)
    said = refused("predict", *(f"{key}={value}" for key, value in given.items()))
    assert re.search(message, said), said
    assert not Path("out.csv").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(PENGUIN, "there is no target column 'species'", id="no target"),
        pytest.param(f"species,{PENGUIN.replace('Dream', 'Emperor,Dream')}", "the class 'Emperor'", id="another class"),
        pytest.param(
            f"species,{PENGUIN.replace('Dream', ',Dream')}", "no row has a value in the target", id="no classes"
        ),
    ],
)
def test_rows_that_cannot_be_measured(content: str, message: str, refused: Refused, penguins_run: Path) -> None:
    Path("rows.csv").write_text(content)
    said = refused("evaluate", f"checkpoint={penguins_run}", "data.path=rows.csv", "output=out.json")
    assert re.search(message, said), said
    assert not Path("out.json").exists()


@pytest.mark.parametrize("key", ["ignore", "numeric", "categorical", "date", "missing_values"])
def test_a_large_table_takes_lists(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("table.csv").write_text(GOOD)
    monkeypatch.setattr("litmlp.data.table.CACHED_FROM", 0)
    monkeypatch.setenv("LITMLP_CACHE", "entries")
    column = "when" if key == "date" else "code"
    monkeypatch.setattr(sys, "argv", ["litmlp-train", *training(f"data.{key}=[{column}]", "callbacks=none")])
    COMMANDS["train"]()
    assert Path("run/metrics.json").is_file()
    assert len(list(Path("entries").glob("*/state.pt"))) == 1
