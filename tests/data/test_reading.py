import gzip
import io
from pathlib import Path

import polars as pl
import pytest

from litmlp.data.reading import read_table
from litmlp.errors import InputError


def csv(folder: Path, text: str | bytes, name: str = "table.csv") -> Path:
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def parquet(folder: Path, keep: slice = slice(None), **columns: list) -> Path:
    file = io.BytesIO()
    pl.DataFrame(columns).write_parquet(file)
    path = folder / "table.parquet"
    path.write_bytes(file.getvalue()[keep])
    return path


def columns(path: Path, *missing_values: str) -> dict[str, list]:
    return read_table(path, list(missing_values)).to_dict(as_series=False)


def test_csv_columns_have_the_narrowest_type(tmp_path: Path) -> None:
    frame = read_table(csv(tmp_path, "whole,real,text\n1,1.5,a\n-2,3e2,b\n"), [])
    assert frame.schema == {"whole": pl.Int64, "real": pl.Float64, "text": pl.String}
    assert frame.rows() == [(1, 1.5, "a"), (-2, 300.0, "b")]


def test_quoted_cells_keep_commas_quotes_and_line_breaks(tmp_path: Path) -> None:
    path = csv(tmp_path, 'place,n\n"Oslo, Norway",1\n"the ""old"" town",2\n"two\nlines",3\n')
    assert columns(path) == {"place": ["Oslo, Norway", 'the "old" town', "two\nlines"], "n": [1, 2, 3]}


def test_empty_cells_are_missing(tmp_path: Path) -> None:
    path = csv(tmp_path, 'a,b,c\n1,,x\n,2.5,\n3,1,""\n4,1, \n')
    assert columns(path) == {"a": [1, None, 3, 4], "b": [None, 2.5, 1.0, 1.0], "c": ["x", None, None, None]}


def test_missing_values_are_missing_and_leave_numbers_numbers(tmp_path: Path) -> None:
    path = csv(tmp_path, "a,b\n1,NA\nNA,x\n ? ,y\n")
    assert columns(path, "NA", "?") == {"a": [1, None, None], "b": [None, "x", "y"]}


def test_texts_not_named_as_missing_are_kept(tmp_path: Path) -> None:
    assert columns(csv(tmp_path, "a\nnone\n1\n"), "?") == {"a": ["none", "1"]}


def test_spaces_around_numbers_do_not_matter(tmp_path: Path) -> None:
    assert columns(csv(tmp_path, "a,b\n 1, 2.5 \n2 ,\t3\n")) == {"a": [1, 2], "b": [2.5, 3.0]}


def test_type_is_decided_by_all_rows(tmp_path: Path) -> None:
    rows = [str(i) for i in range(5000)]
    frame = read_table(csv(tmp_path, "a,b\n" + "".join(f"{i},{i}\n" for i in rows) + "0.5,text\n"), [])
    assert frame.schema == {"a": pl.Float64, "b": pl.String}
    assert frame["b"].to_list() == [*rows, "text"]


def test_byte_order_mark_and_windows_line_ends_do_not_matter(tmp_path: Path) -> None:
    assert columns(csv(tmp_path, b"\xef\xbb\xbfa,b\r\n1,x\r\n2,y\r\n")) == {"a": [1, 2], "b": ["x", "y"]}


def test_parquet_keeps_its_values(tmp_path: Path) -> None:
    given = {"a": [1, None], "b": [0.1, 2.0], "c": ["x", "y"], "d": [True, False]}
    assert columns(parquet(tmp_path, **given)) == given


def test_texts_in_parquet_can_be_missing_too(tmp_path: Path) -> None:
    path = parquet(tmp_path, a=["1", "?", "3"], b=["u", "v", "?"], c=[1, 2, 3])
    assert columns(path, "?") == {"a": [1, None, 3], "b": ["u", "v", None], "c": [1, 2, 3]}


def test_csv_and_parquet_read_the_same(tmp_path: Path) -> None:
    frame = pl.DataFrame({"a": [1, None, 3], "b": [0.5, 2.25, None], "c": ["x", None, "z"]})
    frame.write_csv(tmp_path / "t.csv")
    frame.write_parquet(tmp_path / "t.parquet")
    assert read_table(tmp_path / "t.csv", []).equals(read_table(tmp_path / "t.parquet", []))


@pytest.mark.parametrize("name", ["picture.csv", "picture.parquet"])
def test_binary_file_is_refused_by_name(tmp_path: Path, name: str) -> None:
    png = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + bytes(range(256)) * 4
    with pytest.raises(InputError, match=rf"cannot read '.*{name}' as {name.split('.')[1]}"):
        read_table(csv(tmp_path, png, name), [])


@pytest.mark.parametrize("keep", [slice(0), slice(10), slice(0, -20)], ids=["empty", "head", "tail"])
def test_truncated_parquet_is_refused_by_name(tmp_path: Path, keep: slice) -> None:
    with pytest.raises(InputError, match=r"cannot read '.*table\.parquet' as parquet"):
        read_table(parquet(tmp_path, keep, a=list(range(100))), [])


@pytest.mark.parametrize("text", ["", "a,b\n1,2,3\n", b"a,b\n1,\x00\n"], ids=["empty", "ragged", "binary"])
def test_broken_csv_is_refused_by_name(tmp_path: Path, text: str | bytes) -> None:
    with pytest.raises(InputError, match=r"cannot read '.*table\.csv' as csv"):
        read_table(csv(tmp_path, text), [])


@pytest.mark.parametrize("name", ["table.csv", "table.parquet"])
def test_file_without_rows_is_refused_by_name(tmp_path: Path, name: str) -> None:
    path = csv(tmp_path, "a,b\n") if name.endswith("csv") else parquet(tmp_path, a=[], b=[])
    with pytest.raises(InputError, match=rf"'.*{name}' has no rows: give at least one"):
        read_table(path, [])


@pytest.mark.parametrize("name", ["absent.csv", "absent.parquet"])
def test_absent_file_is_refused_by_name(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match=name):
        read_table(tmp_path / name, [])


@pytest.mark.parametrize("name", ["table.xlsx", "table", "table.gz"])
def test_other_endings_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match=r"name it \.csv, \.tsv, \.csv\.gz or \.parquet"):
        read_table(csv(tmp_path, "a\n1\n", name), [])


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_name_with_brackets_is_a_name(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"table[1].{ending}"
    frame = pl.DataFrame({"a": [1]})
    path.write_bytes(b"a\n1\n" if ending == "csv" else parquet(tmp_path, a=[1]).read_bytes())
    assert read_table(path, []).equals(frame)


TABLE = "name,value\nÅsa,1\nJosé,2\n"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("utf8.csv", TABLE.encode()),
        ("bom.csv", TABLE.encode("utf-8-sig")),
        ("utf16.csv", TABLE.encode("utf-16")),
        ("windows.csv", TABLE.encode("cp1252")),
        ("semicolon.csv", TABLE.replace(",", ";").encode()),
        ("bar.csv", TABLE.replace(",", "|").encode()),
        ("tab.tsv", TABLE.replace(",", "\t").encode()),
        ("lines.CSV", TABLE.replace("\n", "\r\n").encode()),
        ("zipped.csv.gz", gzip.compress(TABLE.encode("cp1252"), mtime=0)),
        ("zipped.tsv.gz", gzip.compress(TABLE.replace(",", "\t").encode(), mtime=0)),
    ],
)
def test_delimiter_encoding_and_compression_are_found(name: str, content: bytes, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    frame = read_table(tmp_path / name, [])
    assert frame.to_dict(as_series=False) == {"name": ["Åsa", "José"], "value": [1, 2]}


def test_a_character_cut_by_the_first_look_is_no_other_encoding(tmp_path: Path) -> None:
    text = "name,value\n" + "é" * 65535 + ",1\n"
    (tmp_path / "long.csv").write_text(text, encoding="utf-8")
    assert read_table(tmp_path / "long.csv", [])["name"].to_list() == ["é" * 65535]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("twice.csv", b"a,b,a\n1,2,3\n", "has two columns called 'a': rename one"),
        ("empty.csv", b"", "cannot read .*empty.csv' as csv"),
        ("header.csv", b"a,b\n", "has no rows"),
        ("broken.csv.gz", gzip.compress(b"a,b\n1,2\n" * 99, mtime=0)[:30], "cannot read .*broken.csv.gz' as csv"),
        ("no.csv.gz", b"a,b\n1,2\n", "cannot read .*no.csv.gz' as csv"),
    ],
)
def test_a_file_that_is_no_table_is_one_sentence(name: str, content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=message) as caught:
        read_table(tmp_path / name, [])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["NA", "N/A", "NaN", "null"])
def test_usual_marks_of_a_missing_cell_leave_a_column_of_numbers_numeric(text: str, tmp_path: Path) -> None:
    assert columns(csv(tmp_path, f"a\n{text}\n1.5\n")) == {"a": [None, 1.5]}
