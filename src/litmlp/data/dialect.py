"""Infers the dialect of a text file (delimiter, quote, header, comments) from its first lines."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Literal, NamedTuple

from litmlp.data.notation import MARKS, NUMBER_MARKS
from litmlp.data.records import BLANKS, Record, miscounted, records, shape

# Each delimiter's prior weight. Blanks and colons weigh little, since text holds blanks and times hold colons.
DELIMITERS = {",": 1.0, ";": 1.0, "\t": 1.0, "|": 0.9, "~": 0.8, "^": 0.8, BLANKS: 0.5, ":": 0.3}
QUOTES = ('"', "'")
MAX_LINES = 1000
NUM_COLUMNS_SAMPLED = 100  # at least so many, and fewer than twice as many, columns of a wide table are scored
MAX_TITLE_LINES = 30  # rows that may stand above the header
COMMENT = re.compile(r"#(?!N/?A\b|DIV/0!|VALUE!|REF!|NUM!|NAME\?|NULL!)")  # a '#' that does not begin an error of Excel
ALL_MARKS = {*MARKS, *NUMBER_MARKS}
UNDIVIDED = re.compile(r"\t|^\d[\d.,]*([;|]\d[\d.,]*)+$")  # matches a cell that another delimiter would split
NUMBERS = ("whole", "number")
TYPED = (*NUMBERS, "timestamp")  # shapes of cells that hold numbers, dates or times
FRACTION_TYPED = 0.8  # fraction of typed cells from which on a column counts as typed
SEP_LINE = re.compile(r"\s*sep=(.)\s*", re.IGNORECASE)  # a line by which a file names its delimiter


class Dialect(NamedTuple):
    """The format of a table in a text file.

    Attributes:
        delimiter: the character between cells; a blank stands for any run of blanks.
        quote: the character around quoted cells; empty if there is none.
        skip_rows: the number of lines above the table.
        comment: the start of lines to ignore; empty if there are none.
        has_header: whether the first row names the columns.
    """

    delimiter: str = ","
    quote: str = '"'
    skip_rows: int = 0
    comment: str = ""
    has_header: bool = True


class FormatOptions(NamedTuple):
    """The given part of the format of text files; what is None is inferred.

    Attributes:
        delimiter: the character between cells; a blank stands for any run of blanks.
        quote: the character around quoted cells; empty if there is none.
        header: whether the first line names the columns; or the columns' names, if no line does.
        skip_rows: the number of lines above the table.
        comment: the start of lines to ignore; empty if there are none.
        encoding: Python's name of the encoding.
        damaged_rows: what happens to rows with more or fewer cells than the others.
        is_for_other_file: whether the format is that of an earlier file. What does not fit is then inferred anew.
        likely_quote: the quote of the earlier file. It is accepted here even if few cells are quoted.
        may_lack_name: whether the header may have one name fewer than there are columns.
        optional_names: names at the end of `header` whose columns a file may lack.
    """

    delimiter: str | None = None
    quote: str | None = None
    header: bool | tuple[str, ...] | None = None
    skip_rows: int | None = None
    comment: str | None = None
    encoding: str | None = None
    damaged_rows: Literal["refuse", "skip", "repair"] = "refuse"
    is_for_other_file: bool = False
    likely_quote: str | None = None
    may_lack_name: bool = True
    optional_names: tuple[str, ...] = ()


NO_OPTIONS = FormatOptions()


class Found(NamedTuple):
    """A dialect, and the first rows of the file in that dialect.

    Attributes:
        dialect: the inferred dialect.
        names: the columns' names in the header; empty if there is no header.
        rows: the cells of the rows below.
        lacks_name: whether the header has one name fewer than there are columns.
        damage: what is wrong with the header, for a message; empty if nothing is.
    """

    dialect: Dialect
    names: list[str]
    rows: list[list[str]]
    lacks_name: bool = False
    damage: str = ""


def sniff(lines: Sequence[str], options: FormatOptions = NO_OPTIONS) -> Found:
    """Infer the dialect from the first lines of a file.

    The dialect with the highest score wins: many columns, rows of equal length, and cells that are numbers or dates.
    """
    lines = lines[:MAX_LINES]
    skipped, sep, comment = _above(lines, options.comment)
    comment = comment if options.comment is None else options.comment
    if options.skip_rows is not None:
        if options.skip_rows < skipped and options.comment is None:
            comment = ""  # the first line of the table begins with this text, so it does not mark comments
        skipped = options.skip_rows
    delimiters = [options.delimiter] if options.delimiter else [sep] if sep else DELIMITERS
    body = lines[skipped:]
    delimiter, quote = _delimiter_and_quote(body, delimiters, comment, options)
    found = _records(body, delimiter, quote, comment)
    rows = [record.cells for record in found]
    is_known = isinstance(options.header, tuple) and bool(rows) and len(rows[0]) == len(options.header)
    if is_known or not rows:
        num_titles = 0
    elif options.skip_rows is None:
        num_titles = _num_title_rows(rows)
    else:
        num_titles = int(options.header in (None, True) and len(rows[0]) != _width(rows))
    table = rows[num_titles:]
    width = _width(table)
    # The last row above the table may be its header, although it has another number of cells. So may be a row further
    # above, if it and the next row are wider than the table: damage may have split most rows into shorter ones.
    wide = [len(row) > width for row in rows[:num_titles]]
    wider = [i for i in range(num_titles) if all(wide[i : i + 2]) and _may_be_names(rows[i])]
    header = wider[0] if wider else num_titles - 1
    above = rows[header] if num_titles else []
    num_above = skipped + _lines_of(body, header)
    if options.header in (None, True) and len(above) != width and _may_be_names(above):
        if len(above) == width + 1 and not above[-1].strip():  # a delimiter ends that line, but none of the others
            return Found(Dialect(delimiter, quote, num_above, comment), above[:-1], _of_width(table, width))
        if len(above) > width:  # the header counts; the shorter rows are damaged
            below = _of_width(rows[header + 1 :], len(above))
            return Found(Dialect(delimiter, quote, num_above, comment), above, below)
        if len(above) == width - 1 and options.may_lack_name:
            rows = _of_width(table, width)
            # The column without a name is the last if a delimiter ends each line. Otherwise it is the first, which
            # holds names of rows, as in files that R wrote.
            has_final_delimiter = all(not row[-1].strip() for row in rows)
            names = [*above, ""] if has_final_delimiter else ["", *above]
            return Found(Dialect(delimiter, quote, num_above, comment), names, rows, True)
    table = _of_width(table, width)
    if num_titles and options.skip_rows is not None:
        return Found(
            Dialect(delimiter, quote, num_above, comment), table[0], table[1:], damage=miscounted(above, width)
        )
    has_header = _has_header(table) if options.header is None else options.header is True
    return Found(
        Dialect(delimiter, quote, skipped + _lines_of(body, num_titles), comment, has_header),
        table[0] if has_header and table else [],
        table[1:] if has_header else table,
        damage=next((one.damage for one in found[num_titles:] if len(one.cells) == width), "") if has_header else "",
    )


def _delimiter_and_quote(
    body: Sequence[str], delimiters: Iterable[str], comment: str, options: FormatOptions
) -> tuple[str, str]:
    """Return the delimiter and the quote with the highest score."""
    best, best_score = (",", QUOTES[0] if options.quote is None else options.quote), 0.0
    for delimiter in delimiters:
        if delimiter != BLANKS and not any(delimiter in line for line in body):
            continue
        for quote in QUOTES if options.quote is None else [options.quote]:
            if quote == QUOTES[1] and options.quote is None:
                fewest = 0.5 * len(body) if options.likely_quote != quote else 0
                if not _is_quoting(quote, delimiter, body, fewest):
                    continue
            rows = [record.cells for record in _records(body, delimiter, quote, comment)]
            if delimiter == BLANKS and not options.delimiter and not _is_regular(rows):
                continue  # otherwise, any prose would be a table
            score = _score(rows) * DELIMITERS.get(delimiter, 1.0)
            # Of nearly equal scores, the first one counts.
            if score > best_score * 1.0001 or options.delimiter:
                best, best_score = (delimiter, quote), score
    return best


def _of_width(rows: Sequence[list[str]], width: int) -> list[list[str]]:
    return [row for row in rows if len(row) == width]


def _may_be_names(cells: Sequence[str]) -> bool:
    """Tell whether cells can be a header: all are filled, distinct and not typed; only the last may be empty."""
    names = [cell.strip() for cell in cells]
    names = names[:-1] if names and not names[-1] else names
    return len(names) > 1 and all(names) and len({*names}) == len(names) and not any(shape(n) in TYPED for n in names)


def _above(lines: Sequence[str], given_comment: str | None) -> tuple[int, str, str]:
    """Return the number of lines above the table, the delimiter that one of them names, and the start of comments."""
    skipped, sep, comment = 0, "", ""
    mark = re.compile(re.escape(given_comment)) if given_comment else COMMENT
    may_be = given_comment != ""
    for line in lines:
        if match := SEP_LINE.fullmatch(line.strip('"')):
            sep = match[1]
        elif may_be and mark.match(line) and sum(bool(mark.match(other)) for other in lines) < len(lines) / 2:
            comment = given_comment or "#"
        elif line.strip():
            break
        skipped += 1
    if comment and not given_comment and skipped and lines[skipped - 1].startswith(comment):
        first, last = lines[skipped - 1].lstrip(comment), lines[skipped] if skipped < len(lines) else ""
        counts = [(first.count(one), last.count(one)) for one in DELIMITERS if one != BLANKS]
        names, cells = (re.split(r"[,;\t|]", line) for line in (first, last))
        if any(a == b > 0 for a, b in counts) and _may_be_names(names) and any(shape(cell) in TYPED for cell in cells):
            skipped -= 1  # the last comment is the header
            comment = ""
    return skipped, sep, comment


def _is_quoting(quote: str, delimiter: str, lines: Sequence[str], fewest: float) -> bool:
    """Tell whether more than `fewest` lines have a quoted cell, or any quoted cell holds a delimiter."""
    mark = re.escape(delimiter)
    pattern = re.compile(f"(?:^|{mark}){quote}((?:[^{quote}]|{quote}{quote})*){quote}(?={mark}|$)")
    cells = [match[1] for line in lines if (match := pattern.search(line))]
    return len(cells) > fewest or any(delimiter in cell for cell in cells)


def _records(lines: Sequence[str], delimiter: str, quote: str, comment: str) -> list[Record]:
    kept = [line for line in lines if not (comment and line.startswith(comment))]
    num_cells = Counter(len(record.cells) for record in records(kept, delimiter, quote, 0)).most_common(1)
    return [*records(kept, delimiter, quote, num_cells[0][0] if num_cells else 1)]


def _width(rows: Sequence[Sequence[str]]) -> int:
    counts = Counter(map(len, rows))
    return max(counts, key=lambda width: (counts[width], width == len(rows[0]), width), default=1)


def _is_regular(rows: Sequence[Sequence[str]]) -> bool:
    width = _width(rows)
    if not rows or not (len(rows[0]) == width or _lacks_name(rows[0], width)):
        return False
    return sum(len(row) == width for row in rows[1:]) >= 0.95 * len(rows[1:])


def _lacks_name(first: Sequence[str], width: int) -> bool:
    """Tell whether a header names all columns but one; R writes no name for the column with the names of rows."""
    return len(first) == width - 1 > 1 and not any(shape(cell) in TYPED for cell in first)


def _score(rows: Sequence[Sequence[str]]) -> float:
    width = _width(rows)
    if width < 2:
        return 0.0
    regular = sum(len(row) == width for row in rows) / len(rows)
    every = max(1, width // NUM_COLUMNS_SAMPLED)
    cells = [cell for row in rows[1:200] if len(row) == width for cell in row[::every]]
    shapes = Counter(map(shape, cells))
    num_undivided = sum(bool(UNDIVIDED.search(cell)) for cell in cells)
    recognized = 1 - (shapes["text"] + num_undivided) / max(len(cells), 1)
    first_row = 1.0 if len(rows[0]) == width else 0.6
    return regular**2 * (0.5 + recognized) * (1 - 1 / width) * first_row


def _num_title_rows(rows: Sequence[Sequence[str]]) -> int:
    """Return the number of title rows above the table. They have another number of cells, or hardly a filled one."""
    width = _width(rows)
    for i, row in enumerate(rows[:MAX_TITLE_LINES]):
        num_filled = sum(bool(cell.strip()) for cell in row)
        is_typed = width < 3 and any(shape(cell) in TYPED for cell in row)
        if len(row) == width and (num_filled >= min(2, width) or is_typed):
            return i
    return 0


def _lines_of(body: Sequence[str], num_rows: int) -> int:
    """Return the number of lines of the first `num_rows` rows, with blank lines between and after them."""
    num_lines = 0
    while num_lines < len(body) and (num_rows or not body[num_lines].strip()):
        num_rows -= bool(body[num_lines].strip())
        num_lines += 1
    return num_lines if num_rows == 0 else 0


def _has_header(rows: Sequence[Sequence[str]]) -> bool:
    """Tell whether the first row names the columns.

    Each column votes: for a header if its first cell differs from the cells below, against one if it looks like them.
    """
    if len(rows) < 2:
        return True
    first, body = rows[0], rows[1:]
    if len({cell.strip() for cell in first}) == len(first) and _is_arithmetic(first):
        return True
    votes = 0.0
    every = max(1, len(first) // NUM_COLUMNS_SAMPLED)
    for cell, *column in zip(first[::every], *(row[::every] for row in body), strict=True):
        present = [one for one in column if one.strip() not in ALL_MARKS]
        if not present:
            continue
        is_typed = sum(shape(one) in TYPED for one in present) >= FRACTION_TYPED * len(present)
        if is_typed:
            votes += -1 if shape(cell) in TYPED else 0 if cell.strip() in ALL_MARKS else 1
        elif cell in present and len(set(present)) < len(present):
            votes -= 0.5
        elif cell.strip() and len(set(present)) < 0.5 * len(present):
            votes += 0.5
    return votes >= 0


def _is_arithmetic(cells: Sequence[str]) -> bool:
    # Numbers as names, such as the years 1990, 1991, 1992, have the same step.
    numbers = [int(cell) for cell in cells if shape(cell) == "whole"]
    return len(numbers) >= 3 and all(b - a == numbers[1] - numbers[0] != 0 for a, b in pairwise(numbers))
