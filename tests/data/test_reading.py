import gzip
import io
import os
import zlib
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from litmlp.data import panics
from litmlp.data.cells import as_dates, as_numbers
from litmlp.data.inputs import collected
from litmlp.data.notation import UNKNOWN, with_marks
from litmlp.data.reading import files_of, read_table
from litmlp.errors import InputError
from soak.test_tables import renamed_zone

PNG = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + bytes(range(256)) * 4


def csv(folder: Path, text: str | bytes, name: str = "table.csv") -> Path:
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def parquet(path: Path, keep: slice = slice(None), **columns: Any) -> Path:
    file = io.BytesIO()
    pl.DataFrame(columns).write_parquet(file)
    path.parent.mkdir(exist_ok=True, parents=True)
    path.write_bytes(file.getvalue()[keep])
    return path


def frame(*files: Path, missing_values: tuple[str, ...] | None = None, **arguments: Any) -> pl.DataFrame:
    notation = with_marks(UNKNOWN, missing_values)
    return read_table(files, notation=notation, finds_marks=missing_values is None, **arguments).frame.collect()


def columns(*files: Path, **arguments: Any) -> dict[str, list]:
    return frame(*files, **arguments).to_dict(as_series=False)


def test_csv_columns_have_the_narrowest_type(tmp_path: Path) -> None:
    table = frame(csv(tmp_path, "whole,real,text,truth\n1,1.5,a,true\n-2,3e2,b,false\n"))
    assert table.schema == {"whole": pl.Int64, "real": pl.Float64, "text": pl.String, "truth": pl.String}
    assert table.rows() == [(1, 1.5, "a", "true"), (-2, 300.0, "b", "false")]


def test_quoted_cells_keep_commas_quotes_and_line_breaks(tmp_path: Path) -> None:
    path = csv(tmp_path, 'place,n\n"Oslo, Norway",1\n"the ""old"" town",2\n"two\nlines",3\n')
    assert columns(path) == {"place": ["Oslo, Norway", 'the "old" town', "two\nlines"], "n": [1, 2, 3]}


def test_a_name_may_be_quoted_and_hold_a_line_break(tmp_path: Path) -> None:
    assert columns(csv(tmp_path, '"two\nlines","n"\n1,2\n')) == {"two\nlines": [1], "n": [2]}


def test_empty_cells_are_missing(tmp_path: Path) -> None:
    path = csv(tmp_path, 'a,b,c\n1,,x\n,2.5,\n3,1,""\n4,1,\n')
    assert columns(path) == {"a": [1, None, 3, 4], "b": [None, 2.5, 1.0, 1.0], "c": ["x", None, None, None]}


def test_missing_values_are_missing_and_leave_numbers_numbers(tmp_path: Path) -> None:
    path = csv(tmp_path, "a,b\n1,-\n-,x\n?,y\n")
    assert columns(path, missing_values=("-", "?")) == {"a": [1, None, None], "b": ["-", "x", "y"]}


@pytest.mark.parametrize("text", ["NA", "N/A", "NaN", "null"])
def test_usual_marks_of_a_missing_cell_leave_a_column_of_numbers_numeric(text: str, tmp_path: Path) -> None:
    assert columns(csv(tmp_path, f"a\n{text}\n1.5\n")) == {"a": [None, 1.5]}


def test_marks_that_are_given_are_the_only_ones(tmp_path: Path) -> None:
    assert columns(csv(tmp_path, "a\nNA\n1\n"), missing_values=("?",)) == {"a": ["NA", "1"]}


def test_text_columns_keep_their_zeros(tmp_path: Path) -> None:
    path = csv(tmp_path, "code,n\n700,007\n010,7\n")
    assert columns(path, text_columns=("code", "elsewhere")) == {"code": ["700", "010"], "n": ["007", "7"]}


@pytest.mark.parametrize("is_text", [False, True])
def test_a_late_cell_of_another_type_leaves_all_cells_readable(tmp_path: Path, is_text: bool) -> None:
    """Types are guessed from the first rows, so that row 20,000 may hold a surprise."""
    late = "text" if is_text else "0.5"
    rows = "".join(f"{i},{i}\n" for i in range(20_000))
    table = frame(csv(tmp_path, f"a,b\n{rows}{late},-1\n"))
    assert as_numbers(table["b"], UNKNOWN).values.tolist() == [*range(20_000), -1]
    if is_text:
        assert table["a"].to_list() == [*map(str, range(20_000)), "text"]
    else:
        assert as_numbers(table["a"], UNKNOWN).values.tolist() == [*range(20_000), 0.5]


def test_a_late_cell_of_another_type_leaves_missing_cells_missing(tmp_path: Path) -> None:
    table = frame(csv(tmp_path, "a,b\n" + "1,2\n" * 20_000 + "x,NA\nx,\nx,?\nx,3\n"))
    numbers = as_numbers(table["b"], UNKNOWN)
    assert numbers.is_missing.tolist() == [False] * 20_000 + [True, True, True, False]
    assert numbers.values[-1] == 3


def test_parquet_keeps_its_values(tmp_path: Path) -> None:
    given = {"a": [1, None], "b": [0.1, 2.0], "c": ["x", "y"], "d": [True, False], "e": [[1], [2, 3]]}
    assert columns(parquet(tmp_path / "t.parquet", **given)) == given


def test_parquet_columns_are_read_one_by_one(tmp_path: Path) -> None:
    """A damaged column does no harm until it is collected."""
    path = parquet(tmp_path / "t.parquet", a=list(range(9000)), b=[f"text {i}" for i in range(9000)])
    content = bytearray(path.read_bytes())
    at = content.index(b"PAR1") + 4
    content[at + 100 : at + 200] = b"\xff" * 100  # of the first page, of column a, behind its header
    path.write_bytes(content)
    table = read_table([path]).frame
    assert table.select("b").collect()["b"][-1] == "text 8999"
    with pytest.raises(pl.exceptions.PolarsError):
        table.select("a").collect()


def test_csv_and_parquet_read_the_same(tmp_path: Path) -> None:
    table = pl.DataFrame({"a": [1, None, 3], "b": [0.5, 2.25, None], "c": ["x", None, "z"]})
    table.write_csv(tmp_path / "t.csv")
    table.write_parquet(tmp_path / "t.parquet")
    assert frame(tmp_path / "t.csv").equals(frame(tmp_path / "t.parquet"))


@pytest.mark.parametrize("keep", [slice(0), slice(10), slice(0, -20)], ids=["empty", "head", "tail"])
def test_truncated_parquet_is_refused_by_name(tmp_path: Path, keep: slice) -> None:
    with pytest.raises(InputError, match=r"cannot read '.*t\.parquet' as Parquet"):
        frame(parquet(tmp_path / "t.parquet", keep, a=list(range(100))))


BROKEN = {
    "twice.csv": (b"a,b,a\n1,2,3\n", "'.*twice.csv' has two columns called 'a': rename one"),
    "empty.csv": (b"", "'.*empty.csv' is empty: give a table"),
    "bom.csv": (b"\xef\xbb\xbf", "'.*bom.csv' is empty: give a table"),
    "blank.csv": (b"\n\n \n", "'.*blank.csv' is empty: give a table"),
    "empty.csv.gz": (gzip.compress(b""), "'.*empty.csv.gz' is empty: give a table"),
    "header.csv": (b"a,b\n", "'.*header.csv' has no rows: give at least one"),
    "unfinished.csv": (b"a,b", "'.*unfinished.csv' has no rows: give at least one"),
    "ragged.csv": (
        b"a,b\n" + b"1,2\n" * 9 + b"1,2,3\n",
        "line 11 of '.*ragged.csv' has 3 cells instead of 2: correct it, or",
    ),
    "zero.csv": (b"a,b\n1,\x00\n", "cannot read '.*zero.csv' as text: it is a binary file"),
    "plot.csv": (PNG, "cannot read '.*plot.csv' as text: it is a binary file"),
    "plot.parquet": (PNG, "cannot read '.*plot.parquet' as Parquet"),
    "cut.csv.gz": (gzip.compress(b"a,b\n1,2\n" * 99)[:30], "cannot read '.*cut.csv.gz' as text"),
    "page.csv": (b"<!DOCTYPE html>\n<html>", "'.*page.csv' is a page for browsers, not a table: download the table"),
    "lines.json": (b'{"a": 1}\n{"a": 2}\n', "is a JSON file, not text: write it as Parquet first, with python -c"),
    "rows.csv": (b'[{"a": 1}]', r"polars.read_json\('rows.csv'\).write_parquet\('rows.parquet'\)"),
    "book.xls": (b"\xd0\xcf\x11\xe0" + PNG, "is an Excel file, not text: write it as Parquet first"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_file_that_is_no_table_is_one_sentence(name: str, tmp_path: Path) -> None:
    content, message = BROKEN[name]
    with pytest.raises(InputError, match=message) as caught:
        frame(csv(tmp_path, content, name))
    assert "\n" not in str(caught.value)


def test_parquet_without_rows_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"'.*t\.parquet' has no rows: give at least one"):
        frame(parquet(tmp_path / "t.parquet", a=[], b=[]))


def test_parquet_without_columns_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"'.*t\.parquet' has no columns: give a table"):
        frame(parquet(tmp_path / "t.parquet"))


@pytest.mark.parametrize("name", ["absent.csv", "absent.parquet", "folder/absent.csv"])
def test_absent_file_is_refused_by_name(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match=f"there is no file '{name}'"):
        files_of(name)


@pytest.mark.parametrize("name", ["table", "table.log", "csv", "table.gz", "TABLE.TAB", "a.data", "b.dat"])
def test_a_files_content_counts_and_not_its_name(tmp_path: Path, name: str) -> None:
    assert columns(*files_of(csv(tmp_path, "a,b\n1,x\n2,y\n", name))) == {"a": [1, 2], "b": ["x", "y"]}
    pl.DataFrame({"a": [1]}).write_parquet(tmp_path / "parquet.txt")
    assert columns(tmp_path / "parquet.txt") == {"a": [1]}


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_name_with_brackets_is_a_name_to_the_reader(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"table[1].{ending}"
    pl.DataFrame({"a": [1]}).write_csv(path) if ending == "csv" else parquet(path, a=[1])
    assert columns(path) == {"a": [1]}


def test_a_file_means_itself(tmp_path: Path) -> None:
    path = csv(tmp_path, "a\n1\n")
    assert files_of(str(path)) == [path]
    assert [file.resolve() for file in files_of("table.csv")] == [path]  # as seen from the current folder


def test_a_folder_means_its_files_in_the_order_of_names(tmp_path: Path) -> None:
    for number, name in enumerate(["b.parquet", "a.parquet", "deeper/c.pq"]):
        parquet(tmp_path / "parts" / name, n=[number, number], text=["x", "y"])
    assert columns(*files_of("parts")) == {"n": [1, 1, 0, 0, 2, 2], "text": ["x", "y"] * 3}


def test_a_pattern_means_the_files_that_match(tmp_path: Path) -> None:
    for name in ("part-1.csv", "part-2.csv", "other.csv"):
        csv(tmp_path, f"n,name\n{len(name)},{name}\n", name)
    for pattern in ("part-*.csv", str(tmp_path / "part-[12].csv"), "part-?.csv"):
        assert columns(*files_of(pattern))["name"] == ["part-1.csv", "part-2.csv"]


def test_a_pattern_looks_into_folders(tmp_path: Path) -> None:
    parquet(tmp_path / "year=2020" / "a.parquet", n=[1])
    parquet(tmp_path / "year=2021" / "a.parquet", n=[2])
    assert columns(*files_of("year=*/a.parquet")) == {"n": [1, 2]}
    assert columns(*files_of("**/*.parquet")) == {"n": [1, 2]}


def test_a_pattern_without_a_match_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no file matches 'part-\*\.csv': check the pattern"):
        files_of("part-*.csv")


def test_a_folder_means_its_text_files_where_it_has_no_parquet(tmp_path: Path) -> None:
    csv(tmp_path, "n,name\n1,b\n", "b.csv")
    csv(tmp_path, gzip.compress(b"n,name\n2,a\n"), "a.csv.gz")
    csv(tmp_path, "# notes", "README.md")
    assert columns(*files_of(tmp_path)) == {"n": [2, 1], "name": ["a", "b"]}


def test_a_name_that_looks_like_a_pattern_is_a_name_where_there_is_such_a_file(tmp_path: Path) -> None:
    csv(tmp_path, "n\n1\n", "data[1].csv")
    csv(tmp_path, "n\n2\n", "data1.csv")
    assert [file.name for file in files_of("data[1].csv")] == ["data[1].csv"]
    assert [file.name for file in files_of("data[12].csv")] == ["data1.csv"]


def test_a_folder_without_tables_is_refused(tmp_path: Path) -> None:
    csv(tmp_path, "x", "notes.md")
    with pytest.raises(
        InputError, match=r"the folder '.*' holds no tables, such as .csv or .parquet: give one that does"
    ):
        files_of(tmp_path)


@pytest.mark.parametrize(
    ("second", "named"), [({"a": [1], "c": [2]}, "b"), ({"a": [1]}, "b"), ({"a": [1], "b": [1], "d": [2]}, "d")]
)
def test_files_with_different_columns_are_refused(tmp_path: Path, second: dict[str, list], named: str) -> None:
    files = [parquet(tmp_path / "1.parquet", a=[1], b=[2]), parquet(tmp_path / "2.parquet", **second)]
    with pytest.raises(InputError, match=rf"2\.parquet' and .*1\.parquet' have different columns \({named}\)"):
        frame(*files)


def test_files_may_have_their_columns_in_another_order(tmp_path: Path) -> None:
    files = [csv(tmp_path, "a,b\n1,x\n", "1.csv"), csv(tmp_path, "b;a\ny;2\n", "2.csv")]
    assert columns(*files) == {"a": [1, 2], "b": ["x", "y"]}


def test_files_may_write_a_column_in_other_types(tmp_path: Path) -> None:
    files = [csv(tmp_path, "a,b\n1,\n", "1.csv"), csv(tmp_path, "a,b\n2.5,x\n", "2.csv")]
    assert columns(*files) == {"a": [1, 2.5], "b": [None, "x"]}


TABLE = "name,value\nÅsa,1\nJosé,2\n"


WRITTEN = {
    "utf8.csv": TABLE.encode(),
    "bom.csv": TABLE.encode("utf-8-sig"),
    "utf16.csv": TABLE.encode("utf-16"),
    "utf16be.csv": b"\xfe\xff" + TABLE.encode("utf-16-be"),
    "windows.csv": TABLE.encode("cp1252"),
    "semicolon.csv": TABLE.replace(",", ";").encode(),
    "bar.csv": TABLE.replace(",", "|").encode(),
    "tab.tsv": TABLE.replace(",", "\t").encode(),
    "text.txt": TABLE.replace(",", "\t").encode(),
    "lines.CSV": TABLE.replace("\n", "\r\n").encode(),
    "bom_and_lines.csv": TABLE.replace("\n", "\r\n").encode("utf-8-sig"),
    "unfinished.csv": TABLE.rstrip().encode(),
    "zipped.csv.gz": gzip.compress(TABLE.encode("cp1252")),
    "zipped.tsv.gz": gzip.compress(TABLE.replace(",", "\t").encode()),
    "zipped16.csv.gz": gzip.compress(TABLE.encode("utf-16")),
}


@pytest.mark.parametrize("name", WRITTEN)
def test_delimiter_encoding_and_compression_are_found(name: str, tmp_path: Path) -> None:
    assert columns(csv(tmp_path, WRITTEN[name], name)) == {"name": ["Åsa", "José"], "value": [1, 2]}


def test_other_delimiters_in_cells_are_text(tmp_path: Path) -> None:
    path = csv(tmp_path, "a;b;c\n1,5;x|y;3\n2,5;u\tv;4\n")
    assert columns(path) == {"a": [1.5, 2.5], "b": ["x|y", "u\tv"], "c": [3, 4]}


def test_a_character_cut_by_the_first_look_is_no_other_encoding(tmp_path: Path) -> None:
    text = "name,value\n" + "é" * 65535 + ",1\n"
    assert columns(csv(tmp_path, text))["name"] == ["é" * 65535]


def test_decimal_commas_of_semicolon_files_are_no_thousands(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("x;y\n1,234;a\n12,500;b\n-0,75;c\n")
    assert read_table([path]).frame.collect()["x"].to_list() == [1.234, 12.5, -0.75]


def test_a_gzip_bomb_is_refused_before_it_fills_the_memory(tmp_path: Path) -> None:
    compressor = zlib.compressobj(9, wbits=31)
    parts = [compressor.compress(b"a,b\n"), *(compressor.compress(b"1,2\n" * 2**18) for _ in range(100))]
    (tmp_path / "bomb.csv.gz").write_bytes(b"".join([*parts, compressor.flush()]))
    with pytest.raises(InputError, match="grows to more than 200 times its size"):
        read_table([tmp_path / "bomb.csv.gz"])


def test_a_parquet_bomb_is_refused_by_its_number_of_rows(tmp_path: Path) -> None:
    rows = pl.DataFrame({"x": pl.repeat(1, 2_000_000, dtype=pl.Int64, eager=True)})
    rows.write_parquet(tmp_path / "bomb.parquet", row_group_size=2_000_000)
    with pytest.raises(InputError, match="claims 2000000 rows, but has"):
        read_table([tmp_path / "bomb.parquet"])


def test_a_pipe_is_refused_rather_than_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.csv")
    with pytest.raises(InputError, match="is a folder, a pipe or a device"):
        files_of(tmp_path / "pipe.csv")


def test_a_folder_of_very_many_files_is_not_looked_through(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("litmlp.data.reading.MAX_ENTRIES", 10)
    for number in range(11):
        (tmp_path / f"{number}.txt").touch()
    with pytest.raises(InputError, match="holds more than 10 files and folders"):
        files_of(tmp_path)


@pytest.mark.slow
def test_a_first_line_of_any_length_names_the_columns(tmp_path: Path) -> None:
    names = [f"c{i}" for i in range(20_000)]
    (tmp_path / "wide.csv").write_text(",".join(names) + "\n" + ",".join("1" for _ in names) + "\n")
    assert read_table([tmp_path / "wide.csv"]).frame.collect_schema().names() == names


@pytest.mark.parametrize("zone", ["+02:00", "Nowher"])
def test_a_time_zone_that_polars_does_not_know_is_read_as_utc(tmp_path: Path, zone: str) -> None:
    moments = pl.Series("when", [0, 10**15], dtype=pl.Int64).cast(pl.Datetime("us", "Israel"))
    file = tmp_path / "zones.parquet"
    moments.to_frame().write_parquet(file)
    file.write_bytes(renamed_zone(file.read_bytes(), "Israel", zone))
    dates = as_dates(collected(read_table([file]).frame, ["when"])["when"], UNKNOWN)
    assert dates.to_physical().to_list() == [0, 10**15]


def test_a_panic_of_polars_is_a_quiet_error(capfd: pytest.CaptureFixture[str]) -> None:
    moments = pl.Series([2**62]).cast(pl.Datetime("ms"))
    with pytest.raises(pl.exceptions.ComputeError, match="it is damaged"), panics.as_errors():
        moments.max()
    assert capfd.readouterr().err == ""
