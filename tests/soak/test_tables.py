"""Tables: whatever a file holds, training, predicting and evaluating end right or in one sentence."""

import base64
import binascii
import gzip
import random
import re
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

import polars as pl
import pytest

from soak.soaking import Soak, commands

SMALL = [
    *("trainer.max_epochs=1", "network.hidden_sizes=[4]", "network/embedding=none", "threads=1"),
    *("trainer.accelerator=cpu", "~callbacks.progress", "logger=none"),
]
NAMES = [
    *(
        "x",
        "size",
        "when",
        "when month",
        "when weekday",
        "when day",
        "x is missing",
        "*",
        "^x$",
        "^.*$",
        "",
        " ",
        "a/b",
    ),
    *("a\nb", 'a"b', "a'b", "a,b", "a;b", "a\tb", "Ω", "😀", "x" * 300, "col('x')", "${x}", "{x}", "\x1b[31m"),
    *(
        "id",
        "y",
        "target",
        "prediction",
        "rmse",
        "loss",
        "__index_level_0__",
        "Unnamed: 0",
        "None",
        "nan",
        "../up",
        "%s",
    ),
]
CELLS = [
    *("", "NA", "nan", "inf", "-inf", "1e999", "1e308", "-1e308", "5e-324", "1e-300", "-0.0", "9223372036854775808"),
    *("0x10", "1_000", "1,234.5", "1.234,5", "007", "true", "False", "yes", "2024-01-31", "31.12.1999", "0001-01-01"),
    *("9999-12-31", "12345-01-01", "2024-02-30", "2024-01-01T00:00:00+02:00", "a", "b", "é", "😀", " ", "-", '"', "'"),
    *("\x00", "a\nb", "a" * 100_000, "=1+1", "NULL", "١٢", "½", "\ufeff", "\x85", "undefined", "1e5", "+1", "1."),
]
Make = Callable[[random.Random, int], list[str]]


def numbers(generator: random.Random, num_rows: int) -> list[str]:
    return [repr(generator.gauss(0, 1)) for _ in range(num_rows)]


def whole(generator: random.Random, num_rows: int) -> list[str]:
    return [str(generator.randrange(generator.choice([2, 5, 1000]))) for _ in range(num_rows)]


def levels(generator: random.Random, num_rows: int) -> list[str]:
    return [generator.choice("abc") for _ in range(num_rows)]


def dates(generator: random.Random, num_rows: int) -> list[str]:
    return [str(date(2020, 1, 1) + timedelta(generator.randrange(1000))) for _ in range(num_rows)]


def hostile(generator: random.Random, num_rows: int) -> list[str]:
    some = generator.sample(CELLS, generator.choice([1, 2, 5]))
    return [generator.choice(some) for _ in range(num_rows)]


def texts(generator: random.Random, num_rows: int) -> list[str]:
    return [f"text {number}" for number in range(num_rows)]


def sprinkled(generator: random.Random, num_rows: int) -> list[str]:
    cells = generator.choice([numbers, whole, levels, dates])(generator, num_rows)
    for _ in range(generator.choice([1, 1, 3])):
        cells[generator.randrange(num_rows)] = generator.choice(CELLS)
    return cells


COLUMNS: list[Make] = [numbers, whole, levels, dates, numbers, whole, levels, dates, hostile, texts, sprinkled]


def drawn_names(generator: random.Random, number: int) -> list[str]:
    names = generator.sample(NAMES, number) if generator.random() < 0.7 else [f"c{i}" for i in range(number)]
    return names if generator.random() < 0.95 else [names[0], *names[:-1]]


def quoted(cell: str, separator: str) -> str:
    if not any(mark in cell for mark in (separator, '"', "\n", "\r")):
        return cell
    return '"' + cell.replace('"', '""') + '"'


def text_of(names: list[str], columns: list[list[str]], separator: str, end: str) -> str:
    rows = [names, *zip(*columns, strict=True)]
    return "".join(separator.join(quoted(cell, separator) for cell in row) + end for row in rows)


def damaged(content: bytes, generator: random.Random) -> bytes:
    """The same bytes, cut, with others between, or with some that are changed."""
    place = generator.randrange(len(content) + 1)
    match generator.randrange(8):
        case 0:
            return content[:place]
        case 1:
            return content[:place] + generator.choice([b"\0", b'"', b"\xff\xfe", b"\n", b",,,,"]) + content[place:]
        case 2 | 3:
            changed = bytearray(content)
            for _ in range(generator.choice([1, 3, 30])):
                changed[generator.randrange(len(changed))] ^= 1 << generator.randrange(8)
            return bytes(changed)
        case 4:
            return content + content[place:]
        case 5:
            return generator.choice([b"", b"\n", b"\n\n\n", b",", b"\0" * 100, b"PK\3\4", generator.randbytes(300)])
        case 6:
            return generator.choice([b"\xef\xbb\xbf", b"\n", b"sep=;\n", b"# c\n"]) + content
    return content.replace(b"\n", generator.choice([b"\r", b"\r\n", b"\n\n", b" \n"]))


def write_text_table(generator: random.Random, folder: Path) -> tuple[str, list[str]]:
    """Write a table as text, perhaps damaged; return its file's name and its columns' names."""
    num_rows = generator.choice([1, 2, 12, 40, 40, 40, 200])
    names = drawn_names(generator, generator.choice([1, 2, 3, 6, 12]))
    columns = [generator.choice(COLUMNS)(generator, num_rows) for _ in names[1:]]
    columns.append(generator.choice([numbers, numbers, whole, levels, *COLUMNS])(generator, num_rows))  # the target
    separator = generator.choice(",,,;\t|")
    text = text_of(names, columns, separator, generator.choice(["\n", "\n", "\n", "\r\n", "\r"]))
    encoding = generator.choice(["utf-8", "utf-8", "utf-8", "utf-8-sig", "utf-16", "utf-16-le", "cp1252"])
    content = text.encode(encoding, errors="replace")
    if generator.random() < 0.25:
        content = damaged(content, generator)
    file = generator.choice(["table.csv", "table.csv", "table.tsv", "table.txt", "table.csv.gz"])
    if file.endswith(".gz"):
        content = gzip.compress(content, mtime=0)
        if generator.random() < 0.3:
            content = damaged(content, generator)
    (folder / file).write_bytes(content)
    return file, names


ENDS = [0, 1, -1, 2**31 - 1, -(2**31), 2**53, 2**62, 2**63 - 1, -(2**63) + 1, -(2**63)]


def ends_of(generator: random.Random, num_rows: int, bits: int = 64) -> list[int]:
    fit = [number for number in ENDS if -(2 ** (bits - 1)) <= number < 2 ** (bits - 1)]
    some = generator.sample(fit, 3)
    return [generator.choice(some) for _ in range(num_rows)]


def series(generator: random.Random, num_rows: int) -> pl.Series:
    """A column of any of Parquet's types."""
    some = range(num_rows)
    moments = pl.Series([generator.randrange(10**12) for _ in some])
    kinds: list[Callable[[], pl.Series]] = [
        lambda: pl.Series([generator.gauss(0, 1) for _ in some]),
        lambda: pl.Series([generator.choice([1e308, -1e308, 5e-324, 1.0, float("nan"), float("inf")]) for _ in some]),
        lambda: pl.Series([generator.choice([1.5, None]) for _ in some], dtype=pl.Float32),
        lambda: pl.Series([generator.randrange(3) for _ in some], dtype=pl.Int8),
        lambda: pl.Series(ends_of(generator, num_rows)),
        lambda: pl.Series([2**64 - 1 - i for i in some], dtype=pl.UInt64),
        lambda: pl.Series([generator.choice("abc") for _ in some]),
        lambda: pl.Series([generator.choice("abc") for _ in some]).cast(pl.Categorical),
        lambda: pl.Series([generator.choice("abc") for _ in some]).cast(pl.Enum(["a", "b", "c"])),
        lambda: pl.Series([generator.choice([True, False, None]) for _ in some]),
        lambda: pl.Series([None] * num_rows),
        lambda: pl.Series([[1, 2]] * num_rows),
        lambda: pl.Series([{"a": i} for i in some]),
        lambda: pl.Series([b"\xff\x00"] * num_rows),
        lambda: pl.Series([str(i / 7) for i in some]).cast(pl.Decimal(38, 10)),
        lambda: moments.cast(pl.Datetime(generator.choice(["ms", "us", "ns"]))),
        lambda: moments.cast(pl.Datetime("us", generator.choice(["UTC", "Europe/Berlin", "Etc/GMT+2"]))),
        lambda: pl.Series(ends_of(generator, num_rows)).cast(pl.Datetime(generator.choice(["ms", "us", "ns"]))),
        lambda: pl.Series(ends_of(generator, num_rows)).cast(pl.Datetime("ms", "UTC")),
        lambda: pl.Series(ends_of(generator, num_rows)).cast(pl.Duration(generator.choice(["ms", "us", "ns"]))),
        lambda: pl.Series(ends_of(generator, num_rows, 32), dtype=pl.Int32).cast(pl.Date),
        lambda: pl.Series([generator.randrange(20_000) for _ in some], dtype=pl.Int32).cast(pl.Date),
        lambda: pl.Series([generator.randrange(86_400 * 10**9) for _ in some]).cast(pl.Time),
    ]
    return generator.choice(kinds)()


def renamed_zone(content: bytes, zone: str, other: str) -> bytes:
    """The same Parquet file with another time zone of as many letters, which Polars would not write."""
    for match in re.finditer(rb"[A-Za-z0-9+/]{60,}={0,2}", content):
        try:
            schema = base64.b64decode(match.group())
        except binascii.Error:  # only a long cell
            continue
        if zone.encode() in schema:
            renamed = base64.b64encode(schema.replace(zone.encode(), other.encode()))
            return content[: match.start()] + renamed + content[match.end() :]
    raise AssertionError("there is no such zone")


def with_damaged_pages(content: bytes, generator: random.Random) -> bytes:
    """The same Parquet file with some bits changed in the headers of pages, which say how large these are."""
    starts = [match.start() for match in re.finditer(rb"\x15[\x00\x04\x06]\x15", content)] or [0]
    changed = bytearray(content)
    for _ in range(generator.choice([1, 1, 2, 3])):
        place = generator.choice(starts) + generator.randrange(30)
        changed[min(place, len(changed) - 1)] ^= 1 << generator.randrange(8)
    return bytes(changed)


def write_parquet_table(generator: random.Random, folder: Path) -> tuple[str, list[str]]:
    """Write a table as Parquet, perhaps damaged; return its file's name and its columns' names."""
    num_rows = generator.choice([0, 1, 12, 40, 40, 40, 200])
    names = list(dict.fromkeys(drawn_names(generator, generator.choice([1, 2, 3, 6, 12]))))
    frame = pl.DataFrame({name: series(generator, num_rows) for name in names})
    has_zone = generator.random() < 0.2
    if has_zone:
        moments = [10**15 + i * 10**12 for i in range(num_rows)]
        frame = frame.with_columns(moment=pl.Series(moments, dtype=pl.Int64).cast(pl.Datetime("us", "Israel")))
    if generator.random() < 0.8:
        names = [*names, "goal"]
        goals = pl.Series([generator.choice([0.5, 1.5, 2.5, 4.0]) for _ in range(num_rows)], dtype=pl.Float64)
        frame = frame.with_columns(goal=generator.choice([goals, goals.cast(pl.String)]))
    file = folder / "table.parquet"
    frame.write_parquet(file, compression=generator.choice(["zstd", "uncompressed", "snappy"]), row_group_size=17)
    content = file.read_bytes()
    if has_zone:
        content = renamed_zone(content, "Israel", generator.choice(["+02:00", "-11:30", "Nowher", "      ", "+99:99"]))
    if generator.random() < 0.3:
        content = generator.choice([damaged, with_damaged_pages])(content, generator)
    file.write_bytes(content)
    return file.name, names


def listed(names: list[str]) -> str:
    escaped = (name.replace("\\", "\\\\").replace("'", "\\'") for name in names)
    return "[" + ",".join(f"'{name}'" for name in escaped) + "]"


def corrections(generator: random.Random, names: list[str]) -> list[str]:
    """Random lists and roles of columns."""
    given = []
    typeable = [name for name in names if name.isprintable() and "${" not in name] or ["x"]
    for key in ("ignore", "numeric", "categorical", "date", "missing_values"):
        if generator.random() < 0.06:
            given.append(f"data.{key}={listed([generator.choice(typeable)])}")
    if generator.random() < 0.08:
        key = generator.choice(["weight_column", "group_column", "time_column", "split_column"])
        given.append(f"data.{key}={listed([generator.choice(typeable)])[1:-1]}")
    tasks = [["task=regression"], ["task=classification"], ["data.target_transform=log1p"]]
    given += generator.choice([*[[]] * 9, *tasks])
    given += generator.choice([[], [], ["data.scaling=robust"], ["data.scaling=standard"], ["data.min_count=1"]])
    return given


def good(folder: Path, generator: random.Random) -> tuple[str, list[str]]:
    """A table that trains, with columns of each kind."""
    makes: dict[str, Make] = {
        "x": numbers,
        "size": whole,
        "kind": levels,
        "when": dates,
        "when month": levels,
        "y": numbers,
    }
    names = list(makes)
    text = text_of(names, [make(generator, 60) for make in makes.values()], ",", "\n")
    (folder / "table.csv").write_text(text)
    return "table.csv", names


def one_of(generator: random.Random, folder: Path) -> tuple[str, list[str]]:
    return generator.choice([write_text_table, write_parquet_table])(generator, folder)


def described(folder: Path, file: str, *arguments: str) -> str:
    path = folder / file
    return f"{' '.join(arguments)}\n{path.read_bytes()[:2000]!r}" if path.is_file() else " ".join(arguments)


@pytest.mark.soak(share=2)
def test_tables(soak: Soak, tmp_path: Path) -> None:
    for number, generator in enumerate(soak.rounds()):
        folder = tmp_path / str(number)
        (folder / "other").mkdir(parents=True)
        file, names = one_of(generator, folder) if generator.random() < 0.85 else good(folder, generator)
        typeable = [name for name in names if name.isprintable() and "${" not in name] or ["y"]
        target = listed([generator.choice([typeable[-1], typeable[-1], generator.choice(typeable)])])
        data = ["data=table", f"data.path={file}", f"data.target={target}", *corrections(generator, names)]
        with soak.trial(described(folder, file, *data)):
            trained = commands().run("train", *data, *SMALL, "hydra.run.dir=run", folder=folder).check(0, 2)
            soak.count("trained" if trained.code == 0 else "training refused")
            if trained.code == 0:
                follow_up(soak, generator, folder, file, names)
        for path in folder.rglob("*.ckpt"):
            path.unlink()


def follow_up(soak: Soak, generator: random.Random, folder: Path, file: str, names: list[str]) -> None:
    """Predict and evaluate the same rows, and others."""
    predicted = (
        commands().run("predict", "checkpoint=run", f"data.path={file}", "output=out.csv", folder=folder).check(0)
    )
    assert (folder / "out.csv").is_file(), predicted
    content = (folder / file).read_bytes()
    if generator.random() < 0.5:
        other, _ = one_of(generator, folder / "other")
    else:
        other = file
        (folder / "other" / file).write_bytes(damaged(content, generator))
    for command, arguments in {
        "predict": ["checkpoint=run", f"data.path=other/{other}", "output=other.parquet"],
        "evaluate": ["checkpoint=run", f"data.path=other/{other}", "output=other.json"],
    }.items():
        with soak.trial(described(folder, f"other/{other}", command, *arguments)):
            ended = commands().run(command, *arguments, folder=folder).check(0, 2)
            soak.count(f"{command} {'right' if ended.code == 0 else 'refused'}")
