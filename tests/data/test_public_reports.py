"""Files in the form that public reports complain of: each was misread by a well-known reader, and is read right here.

The name of a case is the report's; names and numbers are our own.
"""

import csv
import io
import tempfile
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.test_files_of_people import means, table, written
from litmlp.data.cells import as_levels
from litmlp.data.kinds import kind_of
from litmlp.data.notation import UNKNOWN
from litmlp.data.reading import read_table
from litmlp.errors import InputError

DAYS = [f"{day:02}/01/2018" for day in range(1, 32)]
REPORTS: dict[str, tuple[str, dict[str, Any], dict[str, list[Any]]]] = {
    # the text, keys, and what columns mean
    "mholt/PapaParse 290": (
        "08/01/2016;A;-21.419,06\n13/01/2016;B;-15.000,00\n19/01/2016;A;-53,9\n15/01/2016;B;-116\n" * 3,
        {},
        {
            "column_1": [datetime(2016, 1, day) for day in (8, 13, 19, 15)] * 3,
            "column_3": [-21419.06, -15000, -53.9, -116] * 3,
        },
    ),
    "mholt/PapaParse 153": (
        "101;010114;A.N. au 010114;;733480,00;-733480,00\n106;010214;A.N. au 010214;;73348,16;-73348,16\n" * 2,
        {},
        {"column_5": [733480, 73348.16] * 2, "column_6": [-733480, -73348.16] * 2},
    ),
    "mholt/PapaParse 861": ("item;y\nmine, yours;1\na, b, c, d;2\n", {}, {"item": ["mine, yours", "a, b, c, d"]}),
    "mholt/PapaParse 1005": (
        "X\tY\ty\n120,5\t50,3\t2,35\n121,25\t51\t3\n",
        {},
        {"X": [120.5, 121.25], "Y": [50.3, 51]},
    ),
    "mholt/PapaParse 910": ("name;x\nJ;5,58199E+12\nB;5,5E+12\n", {}, {"x": [5.58199e12, 5.5e12]}),
    "mholt/PapaParse 425": ("CODE}y\n600}S. Is\n601}N. Is\n", {"delimiter": "}"}, {"CODE": [600, 601]}),
    "mholt/PapaParse 600": (
        "SKU (a, b);Name (100 or less, needed);UPC (whole, 20 at most);y\n15;T 3;709;90.0\n16;T 4;800;91.5\n",
        {},
        {"UPC (whole, 20 at most)": [709, 800]},
    ),
    "python/cpython 104380": (
        "sample,y,fastq\n5B78-M1,False,data/5B78-M1_R1.gz\n5B79-M1,True,data/5B79-M1_R1.gz\n",
        {},
        {"sample": ["5B78-M1", "5B79-M1"]},
    ),
    "python/cpython 119123": (
        "id;y;group;sub\n1;62.25;['345'];['10']\n2;54.00;['112', '113'];['765', '766']\n3;1.5;['1'];['2']\n",
        {},
        {"group": ["['345']", "['112', '113']", "['1']"]},
    ),
    "pypy/pypy 5244": ("filename,y\nc.txt,/tmp/c.txt\np.txt,/tmp/p.txt\n", {}, {"filename": ["c.txt", "p.txt"]}),
    "nf-core/hic 152": (
        "sample,y\n101-brain,/d/1.gz\n12-liver,/d/0136/2.gz\n",
        {},
        {"sample": ["101-brain", "12-liver"]},
    ),
    "Rdatatable/data.table 2430": ("block N y\n1 0 49,5\n1 1 62,8\n2 0 57\n", {}, {"y": [49.5, 62.8, 57]}),
    "Rdatatable/data.table 5619": ('x,y\n,2014-06-15\n"15,3",2014-06-16\n', {}, {"x": [None, 15.3]}),
    "Rdatatable/data.table 2750": (
        'a,b,y\n1e1,1e2,"4,0001"\n1,2,4\n',
        {},
        {"a": [10, 1], "b": [100, 2], "y": [4.0001, 4]},
    ),
    "Rdatatable/data.table 6604": ('138,"27,03","3,2"\n139,"28,03","3,3"\n', {}, {"column_2": [27.03, 28.03]}),
    "pandas-dev/pandas 19402": (
        "id;date;y\n1;11/03/2011;1\n2;20/10/2011;2\n3;04/08/2011;3\n",
        {},
        {"date": [datetime(2011, 3, 11), datetime(2011, 10, 20), datetime(2011, 8, 4)]},
    ),
    "pandas-dev/pandas 2586": (
        "a,y\n27.03.2003 14:55:00.000,1\n03.08.2003 15:20:00.000,2\n",
        {},
        {"a": [datetime(2003, 3, 27, 14, 55), datetime(2003, 8, 3, 15, 20)]},
    ),
    "pandas-dev/pandas 25847": (
        "date,y\n" + "".join(f"{day},{i}\n" for i, day in enumerate(DAYS)),
        {},
        {"date": [datetime(2018, 1, i + 1) for i in range(31)]},
    ),
    "pandas-dev/pandas 37895": (
        "t,y\n13/06/2018,1\n12/06/2018,2\n",
        {},
        {"t": [datetime(2018, 6, 13), datetime(2018, 6, 12)]},
    ),
    "duckdb/duckdb 11411": ("fips,y\n53,1\n17,1\n04,1\n06,2\n", {}, {"fips": ["53", "17", "04", "06"]}),
    "wireservice/csvkit 977": ("zip,y\n01010,1\n90210,2\n", {}, {"zip": ["01010", "90210"]}),
    "BurntSushi/rust-csv 337": ('a, y\n1, "2.5"\n2, "3.5"\n', {}, {"y": [2.5, 3.5]}),
    "blanks around quotes": ('a;y\n "x; y" ;1\n "z";2\n', {}, {"a": ["x; y", "z"]}),
    "nao1215/sqly 738": (
        "zip,y\n" + "".join(f"{90000 + i},{i}\n" for i in range(1000)) + "01000,5\n02000,6\n",
        {},
        {"zip": [*(str(90000 + i) for i in range(1000)), "01000", "02000"]},
    ),
    "UCI auto-mpg": (
        '18.0   8   307.0      3504.\t"chevrolet a b"\n15.0   8   350.0      3693.\t"buick c"\n',
        {},
        {"column_1": [18, 15], "column_4": [3504, 3693], "column_5": ["chevrolet a b", "buick c"]},
    ),
    "R write.table": ('"a" "y"\n"1" 1.5 1\n"2" 2.5 2\n', {}, {"": [1, 2], "a": [1.5, 2.5], "y": [1, 2]}),
    "Eurostat": (
        "freq,geo\\TIME\t2018 \t2019 \nA,AT\t1.5 e\t2.5 \nA,BE\t: \t3.5 b\n",
        {},
        {"freq,geo\\TIME": ["A,AT", "A,BE"], "2018": [1.5, None], "2019": [2.5, 3.5]},
    ),
    "tidyverse/vroom 339": ("0,0;3,0\n1,3;5,8\n", {}, {"column_1": [0, 1.3], "column_2": [3, 5.8]}),
    "plyr ozone": (
        "rownames,-113.8.1,-111.3.1,-108.8.1\n-21.2,260,258,258\n-18.7,261,259,257\n",
        {},
        {"rownames": [-21.2, -18.7], "-113.8.1": [260, 261]},
    ),
    "h2oai/datatable 3072": ("#chrom,pos,y\nchr1,300,1\nchr1,500,2\nchr2,900,3\n", {}, {"pos": [300, 500, 900]}),
    "a delimiter ends the names alone": ("a,b,y,\n1,x,1\n2,z,2\n3,z,3\n", {}, {"a": [1, 2, 3], "y": [1, 2, 3]}),
    "R write.table below a line": (
        'made by me\n"a" "y"\n"1" 1.5 1\n"2" 2.5 2\n',
        {"skip_rows": 1},
        {"": [1, 2], "a": [1.5, 2.5], "y": [1, 2]},
    ),
    "a comment that is none": ("#a,y\nx,1\nz,2\n#b,3\n", {"skip_rows": 0}, {"#a": ["x", "z", "#b"]}),
    "a title, and its date": ("Sales,,,\n2024,,,\na,b,c,d\n1,2,3,4\n5,6,7,8\n", {}, {"a": [1, 5], "d": [4, 8]}),
    "a date of a report": ("Sales,,,\n01.02.2024,,,\na,b,c,d\n1,2,3,4\n5,6,7,8\n", {}, {"a": [1, 5]}),
    "numbers of telephones": (
        "d;tel;y\n01.02.2014;06-34-45-67;1\n02.03.2014;06-35-45-67;2\n",
        {},
        {"d": [datetime(2014, 2, 1), datetime(2014, 3, 2)]},
    ),
    "years of two digits before months": (
        "d,y\n24-03-25,1\n24-03-26,2\n",
        {},
        {"d": [datetime(2024, 3, 25), datetime(2024, 3, 26)]},
    ),
    "seasons": ("s,y\n2009/10,1\n2010/11,2\n2011/12,3\n", {}, {"s": ["2009/10", "2010/11", "2011/12"]}),
    "quotes around what holds commas": (
        "'a','y'\n" + "".join(f"'{'ab'[i % 2]},{i % 3}',{i}.5\n" for i in range(9)),
        {},
        {"a": [f"{'ab'[i % 2]},{i % 3}" for i in range(9)], "y": [i + 0.5 for i in range(9)]},
    ),
    "millions in words": ("x;y\n12,5 Mio.;1\n850.000;2\n", {}, {"x": [12.5e6, 850_000]}),
    "millions of money": ('x,y\n€1.50m,1\n"€850,000",2\n€0.4M,3\n', {}, {"x": [1.5e6, 850_000, 400_000]}),
    "metres": ("x,y\n1.50m,1\n2m,2\n", {}, {"x": [1.5, 2]}),
    "datasets/country-codes 38": ("code,y\nNA,1\nNC,\nNE,3\n", {}, {"code": ["NA", "NC", "NE"]}),
}


@pytest.mark.parametrize("report", REPORTS)
def test_files_of_public_reports_are_read_right(report: str, tmp_path: Path) -> None:
    text, keys, expected = REPORTS[report]
    path = written(tmp_path, text)
    for name, values in expected.items():
        assert means(path, name, **keys) == values


def test_long_numbers_keep_their_digits_as_groups(tmp_path: Path) -> None:  # pandas-dev/pandas 53269
    path = written(tmp_path, "x,y\n" + "".join(f"{10**20 + i % 3},{i}\n" for i in range(9)))
    cells = table(path, group_column="x").read().collect()["x"]
    assert as_levels(cells, UNKNOWN).names == [str(10**20 + i) for i in range(3)]


DOUBTS = {
    # the text, and what is said of it
    "rustledger 1475": ("x,y\n5.00 CR,1\n7.50,2\n", "'7.50' is taken to be in the unit of '5.00 CR'"),
    "a share and a number": ("x,y\n50%,1\n0.25,2\n", "'0.25' is taken to be in the unit of '50%'"),
    "the target": ("x,y\n1,50%\n2,0.25\n", "'0.25' is taken to be in the unit of '50%'"),
    "du -h": ("x,y\n512B,1\n4K,2\n", "'512B' is taken to be 5.12e+11"),
    "hledger": ("x,y\n$10,1\n10€,2\n", "its numbers have different units"),
    "an odd unit": (
        "x,y\n" + "".join(f"{1 + i % 4},{i}\n" for i in range(50)) + "1OT,9\n",
        "row 51 holds '1OT', which is taken for a missing cell",
    ),
    "opensanctions 4940": ("x,y\n16-07-68,1\n01-02-71,2\n", "its years of two digits are taken for 1971 to 2068"),
    "two ways to read years": ("x,y\n24-03-25,1\n24-03-26,2\n", "its dates also fit %d-%m-%y"),
    "names in a comment": ("#x,y\na,1\nb,2\n", "the names stand in a line that begins with '#'"),
}


@pytest.mark.parametrize("report", DOUBTS)
def test_doubts_about_files_of_public_reports_are_said(report: str, tmp_path: Path) -> None:
    text, expected = DOUBTS[report]
    data = table(written(tmp_path, text))
    frame = data.read()
    target, _ = data.targets_of(frame, data.notation)
    kinds = [kind_of(cells, data.notation).reason for cells in frame.collect()]
    assert any(expected in said for said in [*data.assumptions, *data.target.doubts(target), *kinds])


@pytest.mark.parametrize(
    "text",
    [
        'b,y\n"12" x",1\n"14" x",2\n"q",3\n',  # mafintosh/csv-parser 44
        'b,y\n"pipe 12"",1\n"T"WO",2\n"x",3\n',
        'b,y\n"William "Bill" Gates",1\n"x",2\n',
    ],
)
def test_loose_quotes_are_refused_by_line_and_repaired_where_asked(text: str, tmp_path: Path) -> None:
    path = written(tmp_path, text)
    with pytest.raises(InputError, match=r"line 2 of .* has a \" that opens or closes no cell"):
        table(path).read()
    rows = text.splitlines()[1:]
    assert means(path, "b", damaged_rows="repair") == [row.rsplit(",", 1)[0][1:-1] for row in rows]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('a,b,c\n1,$2"x, y",\n3,$4,"z"\n', "line 2 of .* opens or closes no cell"),  # a delimiter is lost
        ('a,b,,"c","d"\n1,2,3,4\n5,6,7,8\n', "line 1 of .*, which names the columns, has 5 cells instead of 4"),
        ("# by me, 2024\na,b,c\n1,2,3\n4,5,6\n", "line 1 of .*, which names the columns, has 2 cells instead of 3"),
        ("a,b,c\n1,2\n3,4\n", "line 2 of .* has 2 cells instead of 3"),
        ("a,b,c\n1,2,3,4,5\n", "line 2 of .* has 5 cells instead of 3"),
    ],
)
def test_rows_that_do_not_fit_the_names_are_refused_by_line(text: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=said):
        table(written(tmp_path, text), "b", skip_rows=0).read()


@pytest.mark.parametrize(
    "text",
    [
        'x,y\nr,"aaa"""\n\n"\nr,"\naaa""\n"\nr,"\naaaa"""\n',  # a quote too many, in line 2
        'x,y\nr,"aa""\n\n"a\nr,"\naaa""\n"\nr,"\naaaa"\n',  # a letter after a closing quote, in line 4
    ],
)
def test_damage_that_splits_most_rows_makes_no_narrower_table(text: str, tmp_path: Path) -> None:
    path = written(tmp_path, text)
    with pytest.raises(InputError, match=r"line \d of .* opens or closes no cell"):
        table(path, "x").read()


ROWS = st.lists(st.text('ab",\n', max_size=6), min_size=3, max_size=9)


@settings(max_examples=300, deadline=None)
@given(ROWS, st.sampled_from('a",\n'), st.integers(0), st.booleans())
def test_quotes_are_read_as_the_csv_module_reads_them_or_refused(
    cells: list[str], letter: str, place: int, is_removed: bool
) -> None:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows([["x", "y"], *(["r", cell] for cell in cells)])
    text = out.getvalue()
    at = 4 + place % (len(text) - 4)
    for damaged in (text, text[:at] + (letter if not is_removed else "") + text[at + is_removed :]):
        with tempfile.TemporaryDirectory() as folder:
            path = written(Path(folder), damaged)
            try:
                rows = read_table([path]).frame.collect().rows()
            except InputError:
                assert damaged != text
                continue
            expected = [row for row in csv.reader(io.StringIO(damaged), strict=True) if row][1:]
        assert [[cell or "" for cell in row] for row in rows] == expected
