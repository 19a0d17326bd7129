"""Files in the form that public reports complain of: each was misread by a well-known reader, and is read right here.

The name of a case is the report's; names and numbers are our own.
"""

from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from data.test_files_of_people import means, written

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
    "datasets/country-codes 38": ("code,y\nNA,1\nNC,\nNE,3\n", {}, {"code": ["NA", "NC", "NE"]}),
}


@pytest.mark.parametrize("report", REPORTS)
def test_files_of_public_reports_are_read_right(report: str, tmp_path: Path) -> None:
    text, keys, expected = REPORTS[report]
    path = written(tmp_path, text)
    for name, values in expected.items():
        assert means(path, name, **keys) == values
