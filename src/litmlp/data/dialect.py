"""How a text file writes a table: found from its lines, unless it is given."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Literal, NamedTuple

from litmlp.data.notation import MARKS, OF_NUMBERS
from litmlp.data.records import BLANKS, Record, miscounted, records, shape

# How likely each is, before any line is seen: text holds blanks, and times colons.
DELIMITERS = {",": 1.0, ";": 1.0, "\t": 1.0, "|": 0.9, "~": 0.8, "^": 0.8, BLANKS: 0.5, ":": 0.3}
QUOTES = ('"', "'")
LINES_LOOKED_AT = 1000
COLUMNS_LOOKED_AT = 100  # of a wide table, or one fewer than twice as many
MAX_ON_TOP = 30  # lines that may stand above the names
COMMENT = re.compile(r"#(?!N/?A\b|DIV/0!|VALUE!|REF!|NUM!|NAME\?|NULL!)")  # what begins so but for errors of Excel
ANY_MARKS = {*MARKS, *OF_NUMBERS}
UNDIVIDED = re.compile(r"\t|^\d[\d.,]*([;|]\d[\d.,]*)+$")  # of a cell that another delimiter would divide
NUMBERS = ("whole", "number")
TYPED = (*NUMBERS, "moment")
FRACTION_TYPED = 0.8  # of a column's cells, for it to be one of numbers or dates
NAMED = re.compile(r"\s*sep=(.)\s*", re.IGNORECASE)


class Dialect(NamedTuple):
    """How a table is written.

    Attributes:
        delimiter: between cells; a blank stands for any run of blanks.
        quote: around cells; empty if there is none.
        skip_rows: lines on top that are no part of the table.
        comment: with which lines begin that are none either; empty if there are none.
        has_header: whether the first row names the columns.
    """

    delimiter: str = ","
    quote: str = '"'
    skip_rows: int = 0
    comment: str = ""
    has_header: bool = True


class Asked(NamedTuple):
    """What a user says of how text files are written; None where it is to be found.

    Attributes:
        delimiter: between cells; a blank stands for any run of blanks.
        quote: around cells; empty if there is none.
        header: whether the first line names the columns, or their names, where none does.
        skip_rows: lines above the table.
        comment: with which lines begin that are no part of it; empty if there are none.
        encoding: as Python calls it.
        damaged_rows: what becomes of those with more or fewer cells than the others.
        is_of_other: whether this was said of another file of the kind; what does not fit is then found.
        likely_quote: the one of that file, which may stand around fewer cells here.
        may_lack_name: whether the line with the names may have one fewer than there are columns.
        may_lack: the last names of `header` that a file may do without.
    """

    delimiter: str | None = None
    quote: str | None = None
    header: bool | tuple[str, ...] | None = None
    skip_rows: int | None = None
    comment: str | None = None
    encoding: str | None = None
    damaged_rows: Literal["refuse", "skip", "repair"] = "refuse"
    is_of_other: bool = False
    likely_quote: str | None = None
    may_lack_name: bool = True
    may_lack: tuple[str, ...] = ()


NOTHING = Asked()


class Found(NamedTuple):
    """A dialect, and the first rows as it reads them: the names, if any, and others.

    Attributes:
        dialect: of the table.
        names: of its columns; empty if no line has them.
        rows: cells of other lines.
        lacks_name: whether the line with the names has one fewer than there are columns.
        damage: what is wrong with that line, for people; empty if nothing is.
    """

    dialect: Dialect
    names: list[str]
    rows: list[list[str]]
    lacks_name: bool = False
    damage: str = ""


def sniff(lines: Sequence[str], asked: Asked = NOTHING) -> Found:
    """Return the dialect in which the first lines of a file make the best table: wide, even, and of typed cells."""
    lines = lines[:LINES_LOOKED_AT]
    skipped, named, comment = _above(lines, asked.comment)
    comment = comment if asked.comment is None else asked.comment
    if asked.skip_rows is not None:
        if asked.skip_rows < skipped and asked.comment is None:
            comment = ""  # for the first line of the table begins so
        skipped = asked.skip_rows
    delimiters = [asked.delimiter] if asked.delimiter else [named] if named else DELIMITERS
    body = lines[skipped:]
    delimiter, quote = _between_and_around(body, delimiters, comment, asked)
    found = _records(body, delimiter, quote, comment)
    rows = [record.cells for record in found]
    is_known = isinstance(asked.header, tuple) and bool(rows) and len(rows[0]) == len(asked.header)
    if is_known or not rows:
        title = 0
    elif asked.skip_rows is None:
        title = _title(rows)
    else:
        title = int(asked.header in (None, True) and len(rows[0]) != _width(rows))
    whole = rows[title:]
    width = _width(whole)
    above = rows[title - 1] if title else []
    on_top = skipped + _lines_of(body, title - 1)
    if asked.header in (None, True) and len(above) != width and _may_be_names(above):
        if len(above) == width + 1 and not above[-1].strip():  # a delimiter ends that line, but none of the others
            return Found(Dialect(delimiter, quote, on_top, comment), above[:-1], _of_width(whole, width))
        if len(above) > width:  # rows that are damaged
            return Found(Dialect(delimiter, quote, on_top, comment), above, _of_width(whole, len(above)))
        if len(above) == width - 1 and asked.may_lack_name:
            rows = _of_width(whole, width)
            is_behind = all(not row[-1].strip() for row in rows)  # a delimiter at the end of each line
            names = [*above, ""] if is_behind else ["", *above]  # or the names of rows, as R writes them
            return Found(Dialect(delimiter, quote, on_top, comment), names, rows, True)
    whole = _of_width(whole, width)
    if title and asked.skip_rows is not None:
        return Found(Dialect(delimiter, quote, on_top, comment), whole[0], whole[1:], damage=miscounted(above, width))
    has_header = _has_header(whole) if asked.header is None else asked.header is True
    return Found(
        Dialect(delimiter, quote, skipped + _lines_of(body, title), comment, has_header),
        whole[0] if has_header and whole else [],
        whole[1:] if has_header else whole,
        damage=next((one.damage for one in found[title:] if len(one.cells) == width), "") if has_header else "",
    )


def _between_and_around(body: Sequence[str], delimiters: Iterable[str], comment: str, asked: Asked) -> tuple[str, str]:
    """Return the delimiter and the quote that make the best table of lines."""
    best, best_score = (",", QUOTES[0] if asked.quote is None else asked.quote), 0.0
    for delimiter in delimiters:
        if delimiter != BLANKS and not any(delimiter in line for line in body):
            continue
        for quote in QUOTES if asked.quote is None else [asked.quote]:
            if quote == QUOTES[1] and asked.quote is None:
                fewest = 0.5 * len(body) if asked.likely_quote != quote else 0
                if not _is_quoting(quote, delimiter, body, fewest):
                    continue
            rows = [record.cells for record in _records(body, delimiter, quote, comment)]
            if delimiter == BLANKS and not asked.delimiter and not _is_even(rows):  # or any text would be a table
                continue
            score = _score(rows) * DELIMITERS.get(delimiter, 1.0)
            if score > best_score * 1.0001 or asked.delimiter:
                best, best_score = (delimiter, quote), score
    return best


def _of_width(rows: Sequence[list[str]], width: int) -> list[list[str]]:
    return [row for row in rows if len(row) == width]


def _may_be_names(cells: Sequence[str]) -> bool:
    """Tell whether cells are different words, but for the last, which may be empty."""
    names = [cell.strip() for cell in cells]
    names = names[:-1] if names and not names[-1] else names
    return len(names) > 1 and all(names) and len({*names}) == len(names) and not any(shape(n) in TYPED for n in names)


def _above(lines: Sequence[str], asked_comment: str | None) -> tuple[int, str, str]:
    skipped, named, comment = 0, "", ""
    mark = re.compile(re.escape(asked_comment)) if asked_comment else COMMENT
    may_be = asked_comment != ""
    for line in lines:
        if match := NAMED.fullmatch(line.strip('"')):
            named = match[1]
        elif may_be and mark.match(line) and sum(bool(mark.match(other)) for other in lines) < len(lines) / 2:
            comment = asked_comment or "#"
        elif line.strip():
            break
        skipped += 1
    if comment and not asked_comment and skipped and lines[skipped - 1].startswith(comment):
        first, last = lines[skipped - 1].lstrip(comment), lines[skipped] if skipped < len(lines) else ""
        counts = [(first.count(one), last.count(one)) for one in DELIMITERS if one != BLANKS]
        names, cells = (re.split(r"[,;\t|]", line) for line in (first, last))
        if any(a == b > 0 for a, b in counts) and _may_be_names(names) and any(shape(cell) in TYPED for cell in cells):
            skipped -= 1  # the names stand in a comment
            comment = ""
    return skipped, named, comment


def _is_quoting(quote: str, delimiter: str, lines: Sequence[str], fewest: float) -> bool:
    """Tell whether more than `fewest` lines have a quoted cell, or any has one with a delimiter in it."""
    mark = re.escape(delimiter)
    pattern = re.compile(f"(?:^|{mark}){quote}((?:[^{quote}]|{quote}{quote})*){quote}(?={mark}|$)")
    cells = [match[1] for line in lines if (match := pattern.search(line))]
    return len(cells) > fewest or any(delimiter in cell for cell in cells)


def _records(lines: Sequence[str], delimiter: str, quote: str, comment: str) -> list[Record]:
    kept = [line for line in lines if not (comment and line.startswith(comment))]
    guess = Counter(len(record.cells) for record in records(kept, delimiter, quote, 0)).most_common(1)
    return [*records(kept, delimiter, quote, guess[0][0] if guess else 1)]


def _width(rows: Sequence[Sequence[str]]) -> int:
    counts = Counter(map(len, rows))
    return max(counts, key=lambda width: (counts[width], width == len(rows[0]), width), default=1)


def _is_even(rows: Sequence[Sequence[str]]) -> bool:
    width = _width(rows)
    if not rows or not (len(rows[0]) == width or _lacks_name(rows[0], width)):
        return False
    return sum(len(row) == width for row in rows[1:]) >= 0.95 * len(rows[1:])


def _lacks_name(first: Sequence[str], width: int) -> bool:
    """Tell whether a line names all columns but one, as R leaves out the one that names the rows."""
    return len(first) == width - 1 > 1 and not any(shape(cell) in TYPED for cell in first)


def _score(rows: Sequence[Sequence[str]]) -> float:
    width = _width(rows)
    if width < 2:
        return 0.0
    even = sum(len(row) == width for row in rows) / len(rows)
    every = max(1, width // COLUMNS_LOOKED_AT)
    cells = [cell for row in rows[1:200] if len(row) == width for cell in row[::every]]
    shapes = Counter(map(shape, cells))
    num_undivided = sum(bool(UNDIVIDED.search(cell)) for cell in cells)
    known = 1 - (shapes["text"] + num_undivided) / max(len(cells), 1)
    starts_even = 1.0 if len(rows[0]) == width else 0.6
    return even**2 * (0.5 + known) * (1 - 1 / width) * starts_even


def _title(rows: Sequence[Sequence[str]]) -> int:
    """Return how many first rows are a title: they have other numbers of cells, or hardly any that are filled."""
    width = _width(rows)
    for place, row in enumerate(rows[:MAX_ON_TOP]):
        num_filled = sum(bool(cell.strip()) for cell in row)
        is_typed = width < 3 and any(shape(cell) in TYPED for cell in row)
        if len(row) == width and (num_filled >= min(2, width) or is_typed):
            return place
    return 0


def _lines_of(body: Sequence[str], num_rows: int) -> int:
    """Return how many lines the first rows and the blank lines after them take."""
    place = 0
    while place < len(body) and (num_rows or not body[place].strip()):
        num_rows -= bool(body[place].strip())
        place += 1
    return place if num_rows == 0 else 0


def _has_header(rows: Sequence[Sequence[str]]) -> bool:
    """Tell whether the first row names columns: it does unless its cells look like those below them."""
    if len(rows) < 2:
        return True
    first, others = rows[0], rows[1:]
    if len({cell.strip() for cell in first}) == len(first) and _counts_up(first):
        return True
    votes = 0.0
    every = max(1, len(first) // COLUMNS_LOOKED_AT)
    for cell, *column in zip(first[::every], *(row[::every] for row in others), strict=True):
        present = [other for other in column if other.strip() not in ANY_MARKS]
        if not present:
            continue
        is_typed = sum(shape(other) in TYPED for other in present) >= FRACTION_TYPED * len(present)
        if is_typed:
            votes += -1 if shape(cell) in TYPED else 0 if cell.strip() in ANY_MARKS else 1
        elif cell in present and len(set(present)) < len(present):
            votes -= 0.5
        elif cell.strip() and len(set(present)) < 0.5 * len(present):
            votes += 0.5
    return votes >= 0


def _counts_up(cells: Sequence[str]) -> bool:
    # Years or places as names: 1990, 1991, 1992.
    numbers = [int(cell) for cell in cells if shape(cell) == "whole"]
    return len(numbers) >= 3 and all(b - a == numbers[1] - numbers[0] != 0 for a, b in pairwise(numbers))
