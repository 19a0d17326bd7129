"""A cell means in another file what it meant in training, however that file is written."""

from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch

from data.test_files_of_people import table, written
from litmlp.data import TableData
from litmlp.data.batch import Batch
from litmlp.errors import InputError

R = range(240)
QUOTED = "x,c,y\n" + "".join(f"{i % 7}.5,'{'kl'[i % 2]}',{i}\n" for i in R)
WHOLE = "x;z;y\n" + "".join(f"{i * 37 % 2000};{i % 9};{i}\n" for i in R)
MONTHS = "d;x;y\n" + "".join(f"{2000 + i % 20}.{1 + i % 12:02};{i * 7 % 90};{i}\n" for i in R)
COMMENTED = "# by me\nc,d,y\n" + "".join(
    f"{'ab'[i % 2]},{'kl'[i // 2 % 2]},{i}\n" + ("#a,k,3\n" if i % 9 == 0 else "") for i in R
)
LEVELS = "c,d,y\n" + "".join(f"{'abé'[i % 3]},{'kl'[i // 2 % 2]},{i}\n" for i in R)
POINTS = "x;z;y\n" + "".join(f"{i % 7}.5;{i % 9};{i}\n" for i in R)
CASES: dict[str, tuple[str, dict[str, Any], dict[str, Any], str | bytes, str]] = {
    # the table of training, keys, keys of the other file, that file, and its rows as training has them
    "quotes on the only row": (QUOTED, {}, {}, "x,c\n1.5,'k'\n", "x,c\n1.5,k\n"),
    "other quotes": (QUOTED, {}, {}, 'x,c\n1.5,"k"\n', "x,c\n1.5,k\n"),
    "a mark that training left open": (WHOLE, {}, {}, "x;z\n1.500;0,5\n", "x;z\n1500;0,5\n"),
    "a mark that nothing proves": (WHOLE, {}, {}, "x;z\n1.500;2\n", "x;z\n1500;2\n"),
    "a mark that is said": (WHOLE, {}, {"decimal": "."}, "x;z\n1.500;2\n", "x;z\n1.5;2\n"),
    "marks in other columns": (POINTS, {}, {}, "x;z;note\n5;2;0,5\n", "x;z\n5;2\n"),
    "months": (MONTHS, {"date": ["d"]}, {}, "d;x\n2014.10;5\n", "d;x\n2014.10;5\nNA;5\n"),
    "comments": (COMMENTED, {}, {}, "c,d\na,k\n#a,k\nb,l\n", "c,d\na,k\nb,l\n"),
    "comments alone": (COMMENTED, {}, {}, "# x\nc,d\na,k\n#a,k\nb,l\n", "c,d\na,k\nb,l\n"),
    "an encoding that is said": (LEVELS, {"encoding": "cp1252"}, {}, "c,d\né,k\n".encode(), "c,d\né,k\n"),
    "another encoding": (LEVELS, {}, {"encoding": "cp850"}, "c,d\né,k\n".encode("cp850"), "c,d\né,k\n"),
    "the first cell looks like a comment": (LEVELS, {}, {}, "c,d\na,k\n#a,k\n", "c,d\na,k\nz,k\n"),
    "another delimiter that is said": (WHOLE, {}, {"delimiter": "-"}, "x-z\n5-2\n", "x;z\n5;2\n"),
    "missing cells that are said": (WHOLE, {}, {"missing_values": ["-1"]}, "x;z\n5;-1\n", "x;z\n5;\n"),
    "rows that are cut": (LEVELS, {}, {"damaged_rows": "skip"}, "c,d\na,k\nb\nb,l\n", "c,d\na,k\nb,l\n"),
    "names that are said": (LEVELS, {}, {"header": ["d", "c"]}, "k,a\nl,b\n", "c,d\na,k\nb,l\n"),
}


def trained(folder: Path, text: str, **keys: Any) -> TableData:
    encoding = keys.get("encoding", "utf-8")
    data = table(written(folder, text.encode(encoding)), **keys)
    data.setup()
    return data


def encoded(data: TableData, path: Path, **said: Any) -> Batch:
    other = table(path, **{name: data.hparams[name] for name in ("encoding",) if name in data.hparams})
    other.file_options = data.file_options
    other.load_state_dict(data.state_dict())
    return other.encode_rows(path, False, said)


def same(one: Batch, other: Batch, rows: int) -> bool:
    pairs: Sequence[tuple[Any, Any]] = [(one.numeric, other.numeric), (one.categorical, other.categorical)]
    return all(torch.equal(a[:rows], b[:rows]) for a, b in pairs)


@pytest.mark.parametrize("case", CASES)
def test_rows_mean_the_same_however_they_are_written(case: str, tmp_path: Path) -> None:
    text, keys, said, other, alike = CASES[case]
    encoding = keys.get("encoding", "utf-8")
    data = trained(tmp_path, text, **keys)
    found = encoded(data, written(tmp_path, other, "other.csv"), **said)
    expected = encoded(data, written(tmp_path, alike.encode(encoding), "alike.csv"))
    assert same(found, expected, len(found.numeric))


def test_dates_of_parquet_are_not_read_from_text_that_may_mean_two(tmp_path: Path) -> None:
    days = [date(2014, 1 + i % 12, 1 + i % 28) for i in R]
    pl.DataFrame({"d": days, "x": [*R], "y": [*R]}).write_parquet(tmp_path / "table.parquet")
    data = table(tmp_path / "table.parquet")
    data.setup()
    for text in ("03/04/2014", "13/04/2014", "2014-04-03"):
        path = written(tmp_path, f"d,x\n{text},5\n", "other.csv")
        if text == "03/04/2014":
            with pytest.raises(InputError, match="may be %m/%d/%Y or %d/%m/%Y: write dates as 2024-12-31, or say"):
                encoded(data, path)
        else:
            assert len(encoded(data, path).numeric) == 1


def test_a_date_that_may_mean_two_is_settled_by_the_key(tmp_path: Path) -> None:
    days = [date(2014, 1 + i % 12, 1 + i % 28) for i in R]
    pl.DataFrame({"d": days, "x": [*R], "y": [*R]}).write_parquet(tmp_path / "table.parquet")
    data = table(tmp_path / "table.parquet")
    data.setup()
    expected = encoded(data, written(tmp_path, "d,x\n2014-04-03,5\n", "plain.csv"))
    path = written(tmp_path, "d,x\n03/04/2014,5\n", "other.csv")
    assert same(encoded(data, path, date_format="%d/%m/%Y"), expected, 1)


def test_a_format_that_training_was_told_is_not_that_of_all_columns_later(tmp_path: Path) -> None:
    rows = "".join(f"{1 + i % 28:02}.{1 + i % 12:02}.2014,2014-{1 + i % 12:02}-{1 + i % 28:02},{i}\n" for i in R)
    data = trained(tmp_path, "d,e,y\n" + rows, date_format="%d.%m.%Y")
    expected = encoded(data, written(tmp_path, "d,e\n03.04.2014,2014-05-06\n", "one.csv"))
    for text, said in [("03.04.2014,06/05/2014", "%d/%m/%Y"), ("2014/04/03,2014-05-06", "%Y/%m/%d")]:
        path = written(tmp_path, f"d,e\n{text}\n", "other.csv")
        assert same(encoded(data, path, date_format=said), expected, 1)
        with pytest.raises(InputError, match="should hold dates, written like"):
            encoded(data, path)


def test_a_file_leaves_nothing_behind_for_the_next(tmp_path: Path) -> None:
    data = trained(tmp_path, WHOLE)
    path = written(tmp_path, "x;z\n1.500;2\n", "other.csv")
    first = data.encode_rows(path, False, {"decimal": "."})
    assert not same(first, data.encode_rows(path, False), 1)
    assert same(first, data.encode_rows(path, False, {"decimal": "."}), 1)


def test_numbers_of_training_are_no_dates_later(tmp_path: Path) -> None:
    data = trained(tmp_path, "d,x,y\n" + "".join(f"{41640 + i * 11 % 900},{i % 7}.5,{i}\n" for i in R))
    pl.DataFrame({"d": [date(2014, 4, 3)], "x": [0.5]}).write_parquet(tmp_path / "other.parquet")
    with pytest.raises(InputError, match="column 'd' holds dates, but held other cells when the network was trained"):
        encoded(data, tmp_path / "other.parquet")


def test_levels_that_are_written_in_another_way_are_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    data = trained(tmp_path, "c,x,y\n" + "".join(f"{['True', 'False', 'maybe'][i % 3]},{i % 7},{i}\n" for i in R))
    pl.DataFrame({"c": [True, False], "x": [1, 2]}).write_parquet(tmp_path / "other.parquet")
    encoded(data, tmp_path / "other.parquet")
    assert "column 'c': 2 of its 2 cells hold levels that training did not see, such as 'true'" in caplog.text


@pytest.mark.parametrize("rows", ["", "1,\n2,\n"])
def test_a_file_for_the_test_without_rows_that_count_is_refused(tmp_path: Path, rows: str) -> None:
    test = written(tmp_path, f"x,y\n{rows}", "test.csv")
    data = table(written(tmp_path, "x,y\n" + "".join(f"{i},{i}\n" for i in R)), test_path=str(test))
    with pytest.raises(InputError, match=r"no row of data.test_path has a target|has no rows"):
        data.setup()


def test_the_order_of_days_and_months_is_said_of_a_column_of_time(tmp_path: Path) -> None:
    rows = "".join(f"{1 + i % 9:02}/{1 + i % 7:02}/2014,{i % 5},{i}\n" for i in R)
    data = table(written(tmp_path, "d,x,y\n" + rows), time_column="d")
    data.setup()
    assert "its dates also fit %d/%m/%Y" in data.inputs.decisions["d"]
