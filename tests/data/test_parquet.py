"""What a damaged page claims is not believed: Polars would end the process for want of memory."""

import re
from datetime import date
from pathlib import Path

import polars as pl
import pytest

from litmlp.data import parquet
from litmlp.data.reading import read_table
from litmlp.errors import InputError

ROWS = range(40)
PAGE = rb"\x15\x00\x15[^\x15]{1,3}\x15[^\x15]{1,3}\x2c\x15(\x50)"  # a header of 40 values: 2 * 40 is 0x50
COLUMNS = {
    "number": [i / 7 for i in ROWS],
    "whole": [i or None for i in ROWS],
    "text": [f"level {i % 3}" for i in ROWS],
    "truth": [i % 2 == 0 for i in ROWS],
    "day": [date(2024, 1, 1 + i % 28) for i in ROWS],
    "list": [[i, None] for i in ROWS],
    "struct": [{"a": i} for i in ROWS],
}


@pytest.mark.parametrize("compression", ["uncompressed", "zstd", "snappy", "gzip", "lz4"])
@pytest.mark.parametrize("rows_a_group", [7, 1000])
def test_sound_files_are_sound(tmp_path: Path, compression: str, rows_a_group: int) -> None:
    file = tmp_path / "table.parquet"
    pl.DataFrame(COLUMNS).write_parquet(file, compression=compression, row_group_size=rows_a_group)
    parquet.check(file)
    (tmp_path / "none.parquet").write_bytes(b"PAR1")  # is left to Polars
    parquet.check(tmp_path / "none.parquet")


def test_an_empty_table_is_sound(tmp_path: Path) -> None:
    pl.DataFrame({"x": []}, schema={"x": pl.Float64}).write_parquet(tmp_path / "table.parquet")
    parquet.check(tmp_path / "table.parquet")


@pytest.mark.parametrize("claimed", [0x51, 0x7E])  # -41 values, and 63
@pytest.mark.parametrize("name", ["number", "whole"])
def test_a_page_that_claims_other_numbers_of_values_is_refused(tmp_path: Path, name: str, claimed: int) -> None:
    file = tmp_path / "table.parquet"
    pl.DataFrame({name: COLUMNS[name]}).write_parquet(file)
    content = bytearray(file.read_bytes())
    page = re.search(PAGE, content, re.DOTALL)
    assert page is not None
    content[page.start(1)] = claimed
    file.write_bytes(content)
    with pytest.raises(InputError, match=r"as Parquet: it is damaged \(a page cannot be as large as it says"):
        read_table([file])


@pytest.mark.parametrize(
    "footer", [b"\x19" * 5000, b"\x1c" * 5000, b"\x1b\xff\xff\x7f\xbb" + b"\x7f" * 50, b"\x49\xfc", b""]
)
def test_a_file_that_describes_itself_as_nonsense_is_refused(tmp_path: Path, footer: bytes) -> None:
    """Lists or structures in each other without end, a map of millions, a list behind the end, nothing."""
    file = tmp_path / "table.parquet"
    file.write_bytes(b"PAR1" + b"\0" * 20 + footer + len(footer).to_bytes(4, "little") + b"PAR1")
    with pytest.raises(InputError, match="as Parquet"):
        read_table([file])
