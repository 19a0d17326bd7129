"""Tables as people have them: each cell means what its file says, or a sentence tells what to do."""

import bz2
import gc
import gzip
import io
import lzma
import zipfile
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from litmlp.data import ClassTarget, NumericTarget, TableData, unpacked
from litmlp.data import text as text_reading
from litmlp.data.cells import Numbers, as_dates, as_numbers
from litmlp.data.inputs import collected
from litmlp.data.kinds import kind_of
from litmlp.errors import InputError

ROWS = range(40)


def written(folder: Path, text: str | bytes, name: str = "table.csv") -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def table(path: Path, target: str = "y", kind: type = NumericTarget, **keys: Any) -> TableData:
    return TableData(str(path), target, kind, **keys)


def means(path: Path, name: str, **keys: Any) -> list[Any]:
    """What the cells of a column are taken for: numbers, moments, or texts; None where missing."""
    data = table(path, **keys)
    cells = collected(data.read(), [name])[name]
    kind = kind_of(cells, data.notation)
    if kind.name == "numeric":
        numbers = as_numbers(cells, data.notation, absent=kind.absent)
        return [None if gone else value for value, gone in zip(numbers.values.tolist(), gaps(numbers), strict=True)]
    if kind.name == "date":
        return as_dates(cells, data.notation, kind.date_format, absent=kind.absent).to_list()
    return cells.cast(pl.String).to_list()


def gaps(numbers: Numbers) -> list[bool]:
    return [False] * len(numbers.values) if numbers.is_missing is None else numbers.is_missing.tolist()


def column(*cells: str, delimiter: str = ";") -> str:
    return f"x{delimiter}y\n" + "".join(f"{cell}{delimiter}{i}\n" for i, cell in enumerate(cells))


class TestDecimalMarks:
    def test_one_column_settles_what_a_mark_means_in_another(self, tmp_path: Path) -> None:
        path = written(tmp_path, "x;z;y\n2.330;0,61;1\n927;1,5;2\n")
        assert means(path, "x") == [2330, 927]
        assert means(path, "z") == [0.61, 1.5]

    def test_whole_numbers_whose_zeros_are_written_have_marks_of_thousands(self, tmp_path: Path) -> None:
        path = written(tmp_path, column("2.330", "927"))
        assert means(path, "x") == [2330, 927]

    def test_the_delimiter_does_not_settle_it(self, tmp_path: Path) -> None:
        path = written(tmp_path, "x;z;y\n8,391;0.43;1\n12;1.5;2\n")
        assert means(path, "x") == [8391, 12]

    @pytest.mark.parametrize("row", [0, 10_150, 20_000])
    def test_text_further_down_changes_no_number(self, tmp_path: Path, row: int) -> None:
        rows = [f"5,955;{i % 7};{i}\n" for i in range(20_000)]
        rows.insert(row, "0,5;B12;7\n")
        path = written(tmp_path, "x;b;y\n" + "".join(rows))
        assert set(means(path, "x")) == {5.955, 0.5}

    def test_one_cell_settles_it_for_its_column(self, tmp_path: Path) -> None:
        path = written(tmp_path, column("5,955", "0,65", "11,909", delimiter="\t"), "table.tsv")
        assert means(path, "x") == [5.955, 0.65, 11.909]

    @pytest.mark.parametrize(
        ("delimiter", "cell", "value", "other", "other_value"),
        [(",", '"5,955"', 5955, ",", 5.955), (";", "5,955", 5.955, ".", 5955), ("\t", "5.955", 5.955, ",", 5955)],
    )
    def test_what_nothing_settles_is_said_and_a_key_settles_it(
        self, tmp_path: Path, delimiter: str, cell: str, value: float, other: str, other_value: float
    ) -> None:
        path = written(tmp_path, column(cell, "8", delimiter=delimiter))
        assert means(path, "x") == [value, 8]
        data = table(path)
        data.read()
        (said,) = data.assumptions
        assert f"has a decimal mark, so it is read as {value:g}" in said
        assert said.endswith(f"add data.decimal='{other}'")
        assert means(path, "x", decimal=other) == [other_value, 8]

    def test_a_file_that_says_both_is_said(self, tmp_path: Path) -> None:
        data = table(written(tmp_path, "x;z;y\n0,5;0.5;1\n1,5;2.5;2\n"))
        data.read()
        assert "the decimal mark is taken to be '.', though both marks occur, as in '0.5' of 'z'" in data.assumptions[0]

    def test_a_key_that_cells_deny_is_refused(self, tmp_path: Path) -> None:
        path = written(tmp_path, column("1.5", "2.25"))
        message = r"the decimal mark is ',' according to data.decimal, .* column 'x' holds '1.5'"
        with pytest.raises(InputError, match=message):
            table(path, decimal=",").read()

    def test_versions_addresses_and_dates_settle_nothing(self, tmp_path: Path) -> None:
        text = "v;ip;d;x;y\n" + "".join(f"1.{i}.3;192.168.{100 + i}.1;{1 + i % 28:02}.05.2014;{i},5;1\n" for i in ROWS)
        path = written(tmp_path, text)
        assert means(path, "x") == [i + 0.5 for i in ROWS]

    def test_prediction_reads_as_training_did(self, tmp_path: Path) -> None:
        rows = "".join(f"{i},5;7.45{i % 10},5\n" for i in ROWS)
        data = table(written(tmp_path, f"x;y\n{rows}"))
        data.setup()
        other = table(tmp_path / "table.csv")
        other.load_state_dict(data.state_dict())
        batch = other.encode_rows(written(tmp_path, "x;y\n1.000;7.451\n2;7.450\n", "other.csv"), has_target=True)
        assert other.target.scaling.in_own_units(batch.target)[:, 0].round(decimals=2).tolist() == [7451, 7450]
        with pytest.raises(
            InputError, match=r"the decimal mark is ',' according to data.decimal, .* or the checkpoint"
        ):
            other.encode_rows(written(tmp_path, "x;y\n1.5;7451\n", "english.csv"), has_target=True)


class TestAmounts:
    @pytest.mark.parametrize(
        ("cells", "values"),
        [
            (["37 400,46", "1,5"], [37400.46, 1.5]),
            (["37'400.46", "1.5"], [37400.46, 1.5]),
            (["(1,234)", "5.5"], [-1234, 5.5]),
            (["\u22125.2", "3"], [-5.2, 3]),
            (["€110.5M", "€500K"], [110.5e6, 500e3]),
            (["37.4K", "12"], [37400, 12]),
            (["$-5", "-$6", "$7"], [-5, -6, 7]),
            (["R$ 5,10", "R$ 1.000,00"], [5.1, 1000]),
            (["37.40 kg", "3 kg"], [37.4, 3]),
            (["12 %", "3.5%"], [12, 3.5]),
            (["4630-", "12"], [-4630, 12]),
            (["1,23,456.5", "7"], [123456.5, 7]),
        ],
    )
    def test_amounts_are_numbers(self, tmp_path: Path, cells: list[str], values: list[float]) -> None:
        path = written(tmp_path, column(*cells * 20, delimiter="|"))
        assert means(path, "x") == pytest.approx(values * 20)

    def test_amounts_that_all_differ_are_no_identifier_but_hashes_are(self, tmp_path: Path) -> None:
        rows = "".join(f"€{i}.5M|{hash(str(i)):x}|MG-{8000 + i}|{i}\n" for i in ROWS)
        data = table(written(tmp_path, f"x|h|o|y\n{rows}"))
        data.setup()
        assert data.inputs.decisions["x"] == "numeric, in € and K/M/B"
        assert all(data.inputs.decisions[name].startswith("left out: it looks like an identifier") for name in "ho")


class TestMissing:
    @pytest.mark.parametrize(
        "mark", ["None", "<NA>", "#N/A", "#DIV/0!", r"\N", ".", "NaT", "-nan", "?", "-", "NA", "null", "n.a."]
    )
    def test_marks_among_numbers(self, tmp_path: Path, mark: str) -> None:
        path = written(tmp_path, column("1.5", mark, "2", mark, f" {mark}"))
        assert means(path, "x") == [1.5, None, 2, None, None]

    @pytest.mark.parametrize(("mark", "cells"), [("-200", ["1", "-200", "-200.0"]), ("99999", ["1", "99999", "2"])])
    def test_numbers_stand_for_missing_ones_where_that_is_asked_for(
        self, tmp_path: Path, mark: str, cells: list[str]
    ) -> None:
        path = written(tmp_path, column(*cells))
        gone = [None if float(cell) == float(mark) else float(cell) for cell in cells]
        assert means(path, "x", missing_values=[mark]) == gone
        assert means(path, "x") == [float(cell) for cell in cells]

    def test_what_is_given_replaces_the_usual_marks_or_adds_to_them(self, tmp_path: Path) -> None:
        path = written(tmp_path, column("1", "NA", "x", ""))
        assert means(path, "x", missing_values=["x"]) == ["1", "NA", "x", None]
        assert means(path, "x", missing_values=["default", "x"]) == [1, None, None, None]

    @pytest.mark.parametrize(("empty", "is_level"), [("", True), ("NA", False), ("7", False)])
    def test_na_is_a_level_where_the_file_marks_missing_cells_otherwise(
        self, tmp_path: Path, empty: str, is_level: bool
    ) -> None:
        rows = "".join(f"{['NA', 'SA', 'EU'][i % 3]},{empty if i % 5 == 0 else i},{i}\n" for i in ROWS)
        data = table(written(tmp_path, f"continent,x,y\n{rows}"))
        data.setup()
        (continent,) = (one for one in data.inputs.columns if one.name == "continent")
        assert ("NA" in continent.levels) is is_level  # type: ignore[attr-defined]
        word = "is a level: if it marks" if is_level else "marks missing cells: if it is"
        assert f"'NA' {word}" in data.inputs.decisions["continent"]
        key: list[str] = ["default"] if is_level else []
        settled = table(tmp_path / "table.csv", missing_values=key)
        settled.setup()
        (continent,) = (one for one in settled.inputs.columns if one.name == "continent")
        assert ("NA" in continent.levels) is not is_level  # type: ignore[attr-defined]

    @pytest.mark.parametrize("odd", ["Total", "n/k", "<5"])
    def test_one_bad_cell_leaves_its_column(self, tmp_path: Path, odd: str) -> None:
        path = written(tmp_path, column(*map(str, ROWS), odd))
        assert means(path, "x") == [*ROWS, None]

    def test_rows_without_a_target_decide_nothing(self, tmp_path: Path) -> None:
        rows = "".join(f"{i},{i}\n" for i in ROWS)
        data = table(written(tmp_path, f"x,y\n{rows}Total,\nMean,\nsome note,\nanother note,\n"))
        data.setup()
        assert data.inputs.decisions == {"x": "numeric"}
        again = data.encode_rows(tmp_path / "table.csv", has_target=False)
        assert len(again.numeric) == len(ROWS) + 4  # their cells are missing from now on
        with pytest.raises(InputError, match="row 1 holds 'third note'"):
            data.encode_rows(written(tmp_path, "x\nthird note\n", "other.csv"), has_target=False)


class TestClasses:
    def test_classes_that_are_codes_keep_their_zeros(self, tmp_path: Path) -> None:
        rows = "".join(f"{i},{['001', '002', '010'][i % 3]}\n" for i in ROWS)
        data = table(written(tmp_path, f"x,y\n{rows}"), kind=ClassTarget)
        data.setup()
        assert data.target.classes == ["001", "002", "010"]  # type: ignore[attr-defined]

    def test_1_and_01_are_two(self, tmp_path: Path) -> None:
        rows = "".join(f"{i},{['1', '01'][i % 2]}\n" for i in ROWS)
        data = table(written(tmp_path, f"x,y\n{rows}"), kind=ClassTarget)
        data.setup()
        assert data.target.classes == ["01", "1"]  # type: ignore[attr-defined]

    def test_files_of_a_table_share_the_levels_of_a_column(self, tmp_path: Path) -> None:
        written(tmp_path, "code,y\n" + "".join(f"0{i % 3}000,{i}\n" for i in ROWS), "1.csv")
        written(tmp_path, "code,y\n" + "".join(f"K{i % 3}A,{i}\n" for i in ROWS), "2.csv")
        data = table(tmp_path / "*.csv")
        data.setup()
        (code,) = data.inputs.columns
        assert code.levels == ["00000", "01000", "02000", "K0A", "K1A", "K2A"]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("cells", "moments"),
    [
        (["1960-01", "1961-12"], [datetime(1960, 1, 1), datetime(1961, 12, 1)]),
        (["Dec-2011", "Jan-2012"], [datetime(2011, 12, 1), datetime(2012, 1, 1)]),
        (["20141013T000000", "20141014T123000"], [datetime(2014, 10, 13), datetime(2014, 10, 14, 12, 30)]),
        (["05-May-14", "31-Dec-99"], [datetime(2014, 5, 5), datetime(1999, 12, 31)]),
        (["05.05.14", "31.12.14"], [datetime(2014, 5, 5), datetime(2014, 12, 31)]),
        (["2014-05-02 10:00:00 UTC", "2014-05-02 11:00:00 UTC"], [datetime(2014, 5, 2, 10), datetime(2014, 5, 2, 11)]),
        (["Fri May 02 2014", "Sat May 03 2014"], [datetime(2014, 5, 2), datetime(2014, 5, 3)]),
        (["2014-05-02 10", "2014-05-02 23"], [datetime(2014, 5, 2, 10), datetime(2014, 5, 2, 23)]),
        (["25/12/2014 10:00:00 PM", "01/02/2014 12:30:00 AM"],
         [datetime(2014, 12, 25, 22), datetime(2014, 2, 1, 0, 30)]),
        (["25/12/2014 22:00:00 PM", "01/02/2014 13:30:00 PM"],
         [datetime(2014, 12, 25, 22), datetime(2014, 2, 1, 13, 30)]),
        (["12/25/2014", "01/02/2014"], [datetime(2014, 12, 25), datetime(2014, 1, 2)]),
        (["2014Q2", "2014Q4"], [datetime(2014, 4, 1), datetime(2014, 10, 1)]),
        (["10:30", "23:59"], [datetime(1970, 1, 1, 10, 30), datetime(1970, 1, 1, 23, 59)]),
        (["10:30:15 AM", "11:59:00 PM"], [datetime(1970, 1, 1, 10, 30, 15), datetime(1970, 1, 1, 23, 59)]),
        (["2 May 2014", "13 June 2014"], [datetime(2014, 5, 2), datetime(2014, 6, 13)]),
        (["2014-05-02T10:00:00+02:00", "2014-05-02T10:00:00Z"], [datetime(2014, 5, 2, 8), datetime(2014, 5, 2, 10)]),
        (["Fri, 02 May 2014 10:00:00 +0000", "Sat, 03 May 2014 11:00:00 +0100"],
         [datetime(2014, 5, 2, 10), datetime(2014, 5, 3, 10)]),
    ],
)  # fmt: skip
class TestDates:
    def test_dates_are_moments(self, tmp_path: Path, cells: list[str], moments: list[datetime]) -> None:
        path = written(tmp_path, column(*cells * 20, delimiter="|"))
        assert means(path, "x") == moments * 20

    def test_a_time_column_is_read_alike(self, tmp_path: Path, cells: list[str], moments: list[datetime]) -> None:
        path = written(tmp_path, column(*cells * 20, delimiter="|"))
        data = table(path, time_column="x")
        frame = data.read()
        since_1970 = data._times(frame, "x", np.arange(40))
        assert since_1970.tolist() == [(one - datetime(1970, 1, 1)).total_seconds() * 1e6 for one in moments * 20]


class TestDayAndMonth:
    def test_one_date_settles_it_for_all_columns(self, tmp_path: Path) -> None:
        path = written(tmp_path, "x;z;y\n" + "03/04/2014;25/12/2014;1\n05/04/2014;01/12/2014;2\n" * 20)
        assert means(path, "x") == [datetime(2014, 4, 3), datetime(2014, 4, 5)] * 20

    def test_what_nothing_settles_is_said_and_a_key_settles_it(self, tmp_path: Path) -> None:
        path = written(tmp_path, column(*["03/04/2014", "05/06/2014"] * 20))
        data = table(path)
        data.setup()
        assert data.inputs.decisions["x"].endswith(
            "its dates also fit %d/%m/%Y: if that is right, add data.date_format='%d/%m/%Y'"
        )
        assert means(path, "x")[0] == datetime(2014, 3, 4)
        assert means(path, "x", date_format="%d/%m/%Y")[0] == datetime(2014, 4, 3)


class TestNames:
    def test_a_file_without_names_loses_no_row(self, tmp_path: Path) -> None:
        rows = "".join(f"0.{i:02},{i},{'MR'[i % 2]}\n" for i in ROWS)
        data = table(written(tmp_path, rows), "column_3", ClassTarget)
        data.setup()
        assert sum(len(batch.numeric) for batch in data.tables.values()) == len(ROWS)
        assert "no line names the columns, so they are called column_1 to column_3" in data.assumptions[0]
        named = table(tmp_path / "table.csv", "kind", ClassTarget, header=["a", "b", "kind"])
        named.setup()
        assert [one.name for one in named.inputs.columns] == ["a", "b"]
        with pytest.raises(InputError, match=r"data.header names 2 columns, but '.*' has 3: give as many"):
            table(tmp_path / "table.csv", "kind", header=["a", "kind"]).read()

    @pytest.mark.parametrize("header", [None, False])
    def test_rows_to_predict_have_no_names_either_and_perhaps_no_target(
        self, tmp_path: Path, header: bool | None
    ) -> None:
        rows = "".join(f"0.{i:02},{i},{'MR'[i % 2]}\n" for i in ROWS)
        data = table(written(tmp_path, rows), "column_3", ClassTarget, header=header)
        data.setup()
        other = table(tmp_path / "table.csv", "column_3", ClassTarget, header=header)
        other.load_state_dict(data.state_dict())
        assert len(other.encode_rows(written(tmp_path, "0.5,7\n", "one.csv"), False).numeric) == 1
        assert len(other.encode_rows(written(tmp_path, "0.5,7,M\n0.5,7,M\n", "two.csv"), False).numeric) == 2
        with pytest.raises(InputError, match=r"the checkpoint names 3 columns, but '.*' has 1: give as many"):
            other.encode_rows(written(tmp_path, "0.5\n0.6\n", "few.csv"), False)

    def test_the_first_line_can_be_said_to_be_names(self, tmp_path: Path) -> None:
        path = written(tmp_path, "1,2\n3,4\n5,6\n")
        assert table(path, header=True).read().collect_schema().names() == ["1", "2"]

    def test_names_have_no_blanks_around_on_either_side(self, tmp_path: Path) -> None:
        path = written(tmp_path, " a , b,y \n1,2,3\n")
        assert table(path, ignore=[" b"]).candidates(table(path).read().collect_schema().names()) == ["a"]

    def test_columns_without_name_and_cells_are_none(self, tmp_path: Path) -> None:
        path = written(tmp_path, "a,y,,,\n" + "".join(f"{i},{i},,,\n" for i in ROWS))
        assert table(path).read().collect_schema().names() == ["a", "y"]

    def test_names_repeated_among_the_rows_are_no_row(self, tmp_path: Path) -> None:
        path = written(tmp_path, "a,y\n1,2\n3,4\na,y\n5,6\n")
        assert means(path, "a") == [1, 3, 5]
        data = table(path)
        data.read()
        assert "left out 1 row that only repeats the names" in data.assumptions[0]


@pytest.mark.parametrize(
    ("above", "keys"),
    [
        ("# made by hand\n#\n", {}),
        ("A title\n\n", {}),
        ("sep=;\n", {}),
        ("\n\n", {}),
        ("one;two\nthree\n", {"skip_rows": 2}),
        ("% made by hand\n", {"comment": "%"}),
    ],
)
def test_lines_above_the_table_are_no_part_of_it(tmp_path: Path, above: str, keys: dict[str, Any]) -> None:
    path = written(tmp_path, f"{above}a;y\n1;2\n3;4\n5;6\n")
    assert means(path, "a", **keys) == [1, 3, 5]


def zipped(content: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("table.csv", content)
        archive.writestr("__MACOSX/._table.csv", b"x")
    return file.getvalue()


def zstandard(content: bytes) -> bytes:
    file = io.BytesIO()
    pl.read_csv(content).write_csv(file, compression="zstd")
    return file.getvalue()


PACKED: dict[str, Callable[[bytes], bytes]] = {
    **{"csv": lambda content: content, "gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress, "zip": zipped},
    "zst": zstandard,
}


@pytest.mark.parametrize("packing", PACKED)
@pytest.mark.parametrize("name", ["table", "table.tab", "table.data", "table.csv"])
def test_packed_files_are_read_whatever_they_are_called(tmp_path: Path, packing: str, name: str) -> None:
    path = written(tmp_path, PACKED[packing]("näme,y\né,1\nü,2\n".encode()), name)
    assert means(path, "näme") == ["é", "ü"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252"])
def test_encodings_are_found(tmp_path: Path, encoding: str) -> None:
    path = written(tmp_path, ("name,y\n" + "Åsa,1\nJosé,2\n" * 5).encode(encoding))
    assert means(path, "name") == ["Åsa", "José"] * 5


def test_an_encoding_can_be_given(tmp_path: Path) -> None:
    path = written(tmp_path, ("name,y\n" + "Łódź,1\nčeština,2\n" * 5).encode("cp1250"))
    data = table(path)
    data.read()
    assert "its letters are read as cp1252: if they are wrong, name another data.encoding" in data.assumptions[0]
    assert means(path, "name", encoding="cp1250") == ["Łódź", "čeština"] * 5
    with pytest.raises(InputError, match="is not written in utf-8"):
        table(path, encoding="utf-8").read()


@pytest.mark.parametrize("end", ["\r", "\r\n", "\n"])
def test_lines_may_end_in_any_way(tmp_path: Path, end: str) -> None:
    assert means(written(tmp_path, f"a,y{end}1,2{end}3,4{end}"), "a") == [1, 3]


def test_cells_may_be_aligned_by_blanks(tmp_path: Path) -> None:
    text = "name     value   y\nab       1.5     3\ncde     12.5     4\nf        0.25    5\n"
    assert means(written(tmp_path, text), "value") == [1.5, 12.5, 0.25]


def test_quotes_may_be_single(tmp_path: Path) -> None:
    text = "a,y\n'x,1',2\n'it''s',3\n'u',4\n"
    assert means(written(tmp_path, text), "a") == ["x,1", "it's", "u"]


@pytest.mark.parametrize("packing", ["csv", "gz"])
@pytest.mark.parametrize("more", ["", "# a note\n"])
def test_a_large_file_is_kept_on_disk_as_long_as_it_is_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, packing: str, more: str
) -> None:
    text = f"{more}name,x,z,y\n" + "".join(f'"a, {i}",{i}.25,"{i},5",{i}\n' for i in range(500))
    path = written(tmp_path, PACKED[packing](text.encode()))
    expected = table(path).read().collect()
    for module in (unpacked, text_reading):
        monkeypatch.setattr(module, "SPILLED_FROM", 100)
    (tmp_path / "spill").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "spill"))
    data = table(path)
    frame = data.read()
    assert list((tmp_path / "spill").rglob("*.parquet"))
    assert frame.collect().equals(expected)
    data.setup()
    del data, frame
    gc.collect()
    assert list((tmp_path / "spill").iterdir()) == []


class TestDamage:
    TEXT = "a,b,y\n" + "".join(f"{i},text {i},{i}.5\n" for i in range(20)) + '20,one, two,20.5\n21,"x,21.5\n22\n'

    def test_the_line_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(
            InputError, match=r"line 22 of '.*' has 4 cells instead of 3: correct it, or add data.damaged"
        ):
            table(written(tmp_path, self.TEXT)).read()

    def test_damaged_rows_can_be_left_out(self, tmp_path: Path) -> None:
        path = written(tmp_path, self.TEXT)
        assert means(path, "a", damaged_rows="skip") == [*range(20)]
        data = table(path, damaged_rows="skip")
        data.read()
        assert "left out 3 damaged lines: 22, 23, 24" in data.assumptions[0]

    def test_damaged_rows_can_be_repaired(self, tmp_path: Path) -> None:
        frame = table(written(tmp_path, self.TEXT), damaged_rows="repair").read().collect()
        assert frame.row(20) == (20, "one, two", 20.5)
        assert frame.height >= 21

    def test_two_numbers_are_not_made_one(self, tmp_path: Path) -> None:
        rows = "".join(f"{i},{i / 4}\n" for i in ROWS)
        data = table(written(tmp_path, f"x,y\n{rows}1,2,3\n1,1,234\n"), damaged_rows="repair")
        assert data.read().collect().height >= len(ROWS)
        assert "left out 1 damaged line: 42" in data.assumptions[0]

    def test_a_row_of_a_wide_table_that_could_be_repaired_in_millions_of_ways_is_left_out(self, tmp_path: Path) -> None:
        names = [f"x{i}" for i in range(150)]
        rows = [",".join(names), *(",".join(str(i + j) for j in range(150)) for i in ROWS), "1,2,3", "4" + ",5" * 140]
        data = table(written(tmp_path, "\n".join(rows) + "\n"), "x0", damaged_rows="repair")
        assert data.read().collect().height == len(ROWS)
        assert "left out 2 damaged lines: 42, 43" in data.assumptions[0]


class TestKeysAreChecked:
    @pytest.mark.parametrize(
        ("keys", "said"),
        [
            ({"decimal": ";"}, "data.decimal is ';': use"),
            ({"thousands": ",,"}, "data.thousands is ',,': give one mark"),
            ({"thousands": ",", "decimal": ","}, "as is the decimal mark"),
            ({"delimiter": "::"}, "data.delimiter is '::': give one character"),
            ({"delimiter": "|"}, r"data.delimiter is '\|', but '.*' does not contain it: leave data.delimiter out"),
            ({"skip_rows": 100}, "data.skip_rows is 100, but '.*' has 3 lines: give less"),
            ({"skip_rows": -1}, "data.skip_rows is -1: give a number from 0 up"),
            ({"encoding": "klingon"}, "data.encoding is 'klingon', which is no encoding that Python knows"),
            ({"encoding": "rot13"}, "data.encoding is 'rot13', which is no encoding that Python knows"),
            ({"encoding": "undefined"}, "data.encoding is 'undefined', which is no encoding"),
            ({"damaged_rows": "mend"}, "data.damaged_rows is 'mend'"),
            ({"date_format": "soon"}, "data.date_format cannot be used"),
            ({"header": ["a", "a"]}, "data.header names a column twice"),
        ],
    )
    def test_a_key_that_cannot_be_is_a_sentence(self, tmp_path: Path, keys: dict[str, Any], said: str) -> None:
        path = written(tmp_path, "a,y\n1,2\n3,4\n")
        with pytest.raises(InputError, match=said):
            table(path, **keys).read()

    @pytest.mark.parametrize(
        ("thousands", "cells", "other"), [("'", "1,234.5", ","), (".", "1,234,567.5", ","), (",", "1'234.5", "'")]
    )
    def test_a_mark_of_thousands_that_cells_deny_is_refused(
        self, tmp_path: Path, thousands: str, cells: str, other: str
    ) -> None:
        path = written(tmp_path, column(f'"{cells}"', "12"))
        with pytest.raises(InputError, match=f"the thousands separator is .{thousands}. .* column 'x' holds"):
            table(path, thousands=thousands).read()
        assert means(path, "x", thousands=other)[0] == float(cells.replace(other, ""))

    def test_a_dot_of_thousands_leaves_the_comma_as_decimal_mark(self, tmp_path: Path) -> None:
        assert means(written(tmp_path, column("1.234", "5")), "x", thousands=".")[:2] == [1234, 5]
        assert means(written(tmp_path, column('"1,234"', "5")), "x", thousands=",")[:2] == [1234, 5]

    def test_a_format_that_no_dates_follow_is_refused(self, tmp_path: Path) -> None:
        rows = "".join(f"2014-05-{1 + i % 28:02},{i}\n" for i in ROWS)
        path = written(tmp_path, f"d,y\n{rows}")
        with pytest.raises(InputError, match=r"no input column follows it \('d' follows %Y-%m-%d\): correct it"):
            table(path, date_format="%d.%m.%Y").setup()
        table(path, date_format="%Y-%m-%d").setup()


class TestSplitsByFile:
    def test_rows_of_a_file_of_their_own_are_the_test(self, tmp_path: Path) -> None:
        written(tmp_path, "x,y\n" + "".join(f"{i},{i}\n" for i in range(30)), "train.csv")
        written(tmp_path, "y;x\n" + "".join(f"{i};{i}\n" for i in range(30, 40)), "test.csv")
        data = table(tmp_path / "train.csv", test_path=str(tmp_path / "test.csv"), val_size=0.2)
        _, rows = data.parted(data.read())
        assert rows["test"].tolist() == list(range(30, 40))
        assert sorted([*rows["train"], *rows["val"]]) == list(range(30))
        assert len(rows["val"]) == 6

    def test_validation_can_have_a_file_of_its_own(self, tmp_path: Path) -> None:
        for name, rows in {"train": range(20), "val": range(20, 25), "test": range(25, 32)}.items():
            written(tmp_path, "x,y\n" + "".join(f"{i},{i}\n" for i in rows), f"{name}.csv")
        paths = {f"{name}_path": str(tmp_path / f"{name}.csv") for name in ("val", "test")}
        data = table(tmp_path / "train.csv", **paths)
        _, places = data.parted(data.read())
        assert [rows.tolist() for rows in places.values()] == [[*range(20)], [*range(20, 25)], [*range(25, 32)]]

    def test_a_test_without_targets_is_a_sentence(self, tmp_path: Path) -> None:
        written(tmp_path, "x,y\n1,2\n", "train.csv")
        written(tmp_path, "x\n1\n2\n", "test.csv")
        with pytest.raises(InputError, match=r"have different columns \(y\)"):
            table(tmp_path / "train.csv", test_path=str(tmp_path / "test.csv")).read()


def far_targets(start: float, step: float) -> Sequence[float]:
    return [start + step * i for i in range(200)]


@pytest.mark.parametrize(
    "values", [far_targets(1.4e12, 86_400_000.0), far_targets(4_864_800.0, 0.001), far_targets(-7e9, 1.0)]
)
def test_targets_far_from_zero_come_back(values: list[float]) -> None:
    target = NumericTarget(["y"])
    cells = pl.DataFrame({"y": values})
    parsed = target.parse(cells, TableData("x", "y", NumericTarget).notation)
    target.fit(parsed, np.arange(len(values)))
    encoded = target.encode(parsed, np.arange(len(values)))
    exact = (np.array(values) - target.scaling.mean.item()) / target.scaling.std.item()
    undone = target.scaling.in_own_units(encoded)[:, 0].numpy()
    by_hand = encoded[:, 0].double().numpy() * target.scaling.std.item() + target.scaling.mean.item()
    assert np.abs(undone - by_hand).max() <= 1e-12 * (max(values) - min(values)) + np.spacing(max(map(abs, values)))
    assert np.abs(encoded[:, 0].numpy() - exact).max() < 1e-6
