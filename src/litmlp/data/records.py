"""Splits lines of text into records of cells, including damaged lines.

A record is a line, or several lines if a quoted cell contains line breaks. A line is damaged if it has more or fewer
cells than the others, or a quote that neither opens nor closes a cell. Damage never extends beyond the end of its line,
so it costs one row.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

MAX_RECORD_LINES = 1000  # lines of a record that are searched for the quote that closes its cell
MAX_TRIES = 2000  # ways to read the quotes of a damaged line
MAX_MERGED = 20  # pieces that may have been one cell
MAX_SHIFTED = 5  # pieces to join, or columns to leave empty, beyond the difference between pieces and columns
MAX_ALIGNMENTS = 30_000  # bounds the work of aligning the pieces of one row with columns
BLANKS = " "  # this delimiter stands for a run of blanks or tabs


class Record(NamedTuple):
    """A row of a text file.

    Attributes:
        line: the number of its first line, from 1.
        cells: the values of its cells, without quotes.
        damage: what is wrong with it, for a message; empty if nothing is.
    """

    line: int
    cells: list[str]
    damage: str = ""


def records(lines: Iterable[str], delimiter: str, quote: str, num_cells: int, first: int = 1) -> Iterator[Record]:
    """Yield the records of a table. Lines that contain only blanks are left out.

    Args:
        lines: the lines without line ends.
        delimiter: the character between cells; BLANKS stands for any run of blanks.
        quote: the character around quoted cells, which is doubled within them; empty if there is none.
        num_cells: the number of cells of an undamaged record; 0 if it is not known yet.
        first: the number of the first line.
    """
    if delimiter == BLANKS:
        lines = (line.replace("\t", BLANKS).strip() for line in lines)
    numbered = _Ahead(enumerate(lines, first))
    for number, line in numbered:
        if not line.strip() and num_cells > 1 and not (delimiter in line and delimiter != BLANKS):
            continue
        if not quote or quote not in line:
            pieces = _naive_cells(line, delimiter)
            yield Record(number, pieces, miscounted(pieces, num_cells))
            continue
        cells, is_open = split(line, delimiter, quote)
        if is_open:
            cells = _continued(line, numbered, delimiter, quote, num_cells)
        if cells is not None and len(cells) == num_cells:
            yield Record(number, cells)
            continue
        damage = miscounted(cells, num_cells) if cells is not None else f"has a {quote} that opens or closes no cell"
        read = _with_loose_quotes(line, delimiter, quote, num_cells) or cells or _naive_cells(line, delimiter)
        yield Record(number, read, damage)


def _continued(line: str, numbered: "_Ahead", delimiter: str, quote: str, num_cells: int) -> list[str] | None:
    """Return the cells of a record that ends in a later line, and consume its lines.

    If no later line completes it, return None and consume nothing, so that the damage costs one line.
    """
    more: list[str] = []
    for _, following in numbered.peek(MAX_RECORD_LINES):
        more.append(following)
        if quote not in following:
            continue
        cells, is_open = split("\n".join([line, *more]), delimiter, quote)
        if is_open:
            continue
        if cells is None or num_cells not in (0, len(cells)):
            return None
        numbered.skip(len(more))
        return cells
    return None


def split(text: str, delimiter: str, quote: str) -> tuple[list[str] | None, bool]:
    """Split a record into cells, and tell whether its last cell is still open.

    The cells are None if a cell is open, or if a quote neither opens nor closes a cell. Blanks may precede an opening
    quote and follow a closing one.
    """
    cells: list[str] = []
    position, end = 0, len(text)
    while True:
        opening = _after_blanks(text, position, delimiter)
        if text.startswith(quote, opening):
            close = opening + 1
            while True:
                close = text.find(quote, close)
                if close < 0:
                    return None, True
                if not text.startswith(quote, close + 1):
                    break
                close += 2
            cells.append(text[opening + 1 : close].replace(quote * 2, quote))
            position = _after_blanks(text, close + 1, delimiter)
            if position < end and not text.startswith(delimiter, position):
                return None, False
        else:
            stop = text.find(delimiter, position)
            stop = end if stop < 0 else stop
            cells.append(text[position:stop])
            if _has_opening_quote(cells[-1], quote):
                return None, False
            position = stop
        if position >= end:
            return cells, False
        position = _next_cell(text, position, delimiter)


def _has_opening_quote(cell: str, quote: str) -> bool:
    """Tell whether a quote within an unquoted cell seems to open another cell, whose delimiter is lost."""
    return cell.count(quote) % 2 == 1 and re.search(rf"{re.escape(quote)}\w", cell) is not None


def _next_cell(text: str, position: int, delimiter: str) -> int:
    """Return the position of the cell after the delimiter at `position`."""
    position += 1
    while delimiter == BLANKS and text.startswith(BLANKS, position):
        position += 1
    return position


def _after_blanks(text: str, position: int, delimiter: str) -> int:
    while delimiter != BLANKS and text.startswith(BLANKS, position):
        position += 1
    return position


def _with_loose_quotes(line: str, delimiter: str, quote: str, num_cells: int) -> list[str] | None:
    """Split a damaged line into `num_cells` cells in which quotes may be ordinary characters; None if that fails.

    This is a depth-first search: it returns the first split that comes out, within MAX_TRIES + `num_cells` steps.
    """
    closing = re.compile(f"{re.escape(quote)}(?={re.escape(delimiter)}|$)")

    def ways(position: int) -> Iterator[tuple[int, int, bool]]:
        """Yield (start, end, is_quoted) of each cell that may begin at `position`, the likeliest first."""
        if line.startswith(quote, position):
            for match in closing.finditer(line, position + 1):
                yield position, match.end(), True
        stop = line.find(delimiter, position)
        yield position, len(line) if stop < 0 else stop, False

    cells: list[tuple[int, int, bool]] = []
    untried = [ways(0)]  # for each cell so far, the ways that are left
    for _ in range(MAX_TRIES + num_cells):
        way = next(untried[-1], None)
        if way is None:
            untried.pop()
            if not untried:
                return None
            cells.pop()
        elif way[1] < len(line) and len(untried) < num_cells:
            cells.append(way)
            untried.append(ways(_next_cell(line, way[1], delimiter)))
        elif way[1] >= len(line) and len(untried) == num_cells:
            return [
                line[start + 1 : end - 1].replace(quote * 2, quote) if is_quoted else line[start:end]
                for start, end, is_quoted in (*cells, way)
            ]
    return None


def _naive_cells(line: str, delimiter: str) -> list[str]:
    return line.split() if delimiter == BLANKS else line.split(delimiter)


def miscounted(cells: Sequence[str], num_cells: int) -> str:
    """Return a message if a record has more or fewer than `num_cells` cells; else an empty text."""
    if len(cells) == num_cells:
        return ""
    return f"has {len(cells)} cell{'s' if len(cells) != 1 else ''} instead of {num_cells}"


class _Ahead(Iterator[tuple[int, str]]):
    """An iterator over numbered lines that can also look ahead."""

    def __init__(self, lines: Iterable[tuple[int, str]]) -> None:
        self.lines = iter(lines)
        self.seen: list[tuple[int, str]] = []

    def __next__(self) -> tuple[int, str]:
        return self.seen.pop(0) if self.seen else next(self.lines)

    def peek(self, most: int) -> Iterator[tuple[int, str]]:
        """Yield up to `most` of the next lines without consuming them."""
        position = 0
        while position < most:
            if position == len(self.seen):
                line = next(self.lines, None)
                if line is None:
                    return
                self.seen.append(line)
            yield self.seen[position]
            position += 1

    def skip(self, number: int) -> None:
        del self.seen[:number]


_DIGITS = r"(\d{1,3}([.,'\u2019 _\u00a0\u202f\u2009]\d{2,3})+([.,]\d*)?|\d+[.,]?\d*|[.,]\d+)"
_PATTERNS = [
    ("empty", r""),
    ("whole", r"[-+\u2212]?\d+"),
    ("number", r"[-+\u2212(]?[^\w\s]?\s?[-+\u2212]?" + _DIGITS + r"([eE][-+]?\d+)?\s?[^\w\s]?[-)]?"),
    ("timestamp", r"\d{1,4}[-/.: ]\d{1,2}([-/.: ]\d{1,4})*([T ]\d.*)?|\d{1,2}[- ][A-Za-z]{3}[- ]\d{2,4}"),
    ("word", r"\w+"),
    ("code", r"[\w-]+"),
    ("link", r"\w+://\S+"),
]
_GROUPED = re.compile(r"^\D*\d{1,3}([.,' ]\d{3})+\D?")
_SHAPES = [(name, re.compile(pattern)) for name, pattern in _PATTERNS]


def shape(cell: str) -> str:
    """Return the rough shape of a cell: the name of the first of `_PATTERNS` that matches it, or "text"."""
    text = cell.strip()
    return next((name for name, pattern in _SHAPES if pattern.fullmatch(text)), "text")


class Shapes:
    """The shapes of the cells of each column, which serve to align a damaged row with the columns."""

    def __init__(self, rows: Iterable[Sequence[str]], num_cells: int) -> None:
        counts: list[Counter[str]] = [Counter() for _ in range(num_cells)]
        for cells in rows:
            for count, cell in zip(counts, cells, strict=True):
                count[shape(cell)] += 1
        self.fractions = [{name: n / count.total() for name, n in count.items()} for count in counts]

    def aligned(self, pieces: Sequence[str], delimiter: str) -> list[str] | None:
        """Align the pieces of a damaged row, split at each delimiter, with the columns; None if they fit badly.

        Adjacent pieces are joined into one cell, as after an unquoted delimiter within a cell. Empty pieces that are
        too many are left out. Columns without a piece stay empty. The alignment with the highest score is returned.
        """
        num_columns, num_pieces = len(self.fractions), len(pieces)
        too_many, too_few = max(num_pieces - num_columns, 0), max(num_columns - num_pieces, 0)
        lead, lag = too_many + MAX_SHIFTED, too_few + MAX_SHIFTED  # bounds of (pieces - columns) so far
        most_merged = min(MAX_MERGED, lead + lag + 1)
        if num_columns * (lead + lag + 1) * most_merged > MAX_ALIGNMENTS:
            return None
        merged = [self._merged(pieces, position, most_merged, delimiter) for position in range(num_pieces)]
        # Dynamic programming: for each number of columns, the best score and cell ends by the number of pieces used.
        best: list[dict[int, tuple[float, tuple[int, ...]]]] = [{0: (0.0, ())}]
        for column, shapes in enumerate(self.fractions):
            after: dict[int, tuple[float, tuple[int, ...]]] = {}
            for position, (score, ends) in best[-1].items():
                stays_empty = (position, shapes.get("empty", 0.0) - 0.5)
                cells = merged[position] if position < num_pieces else []
                for end, gain in (
                    stays_empty,
                    *((end, shapes.get(name, 0.0) - penalty) for end, name, penalty in cells),
                ):
                    is_near = -lag <= end - column - 1 <= lead
                    if is_near and (end not in after or score + gain > after[end][0]):
                        after[end] = (score + gain, (*ends, end))
            best.append(after)
        # Pieces that are left over must be empty.
        finals = {position: way for position, way in best[-1].items() if all(not piece for piece in pieces[position:])}
        if not finals:
            return None
        score, ends = max(finals.values(), key=lambda way: way[0])
        if score < 0.5 * num_columns:
            return None
        starts = (0, *ends[:-1])
        return [self._joined(pieces[start:end], delimiter) for start, end in zip(starts, ends, strict=True)]

    def _merged(self, pieces: Sequence[str], position: int, most: int, delimiter: str) -> list[tuple[int, str, float]]:
        """Return (end, shape, penalty) of each cell that can be joined from the pieces from `position` on."""
        cells = []
        for end in range(position + 1, min(position + most, len(pieces)) + 1):
            num_joined = sum(bool(piece) for piece in pieces[position:end]) or 1
            penalty = 0.1 * (num_joined - 1) + 0.3 * (end - position - num_joined)
            joined = self._joined(pieces[position:end], delimiter)
            joined_shape = shape(joined)
            if num_joined > 1 and joined_shape == "number" and not _GROUPED.search(joined):
                joined_shape = "text"  # 2,3 is more likely two numbers than one
            cells.append((end, joined_shape, penalty))
        return cells

    @staticmethod
    def _joined(pieces: Sequence[str], delimiter: str) -> str:
        return delimiter.join(pieces).strip(delimiter)
