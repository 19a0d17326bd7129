"""From lines of text to records of cells, also where lines are damaged.

A record is a line, or several where a quoted cell holds line ends. A line is damaged where it has more or fewer cells
than the others, or a quote that opens or closes nothing. Damage ends where the line ends, so that it costs one row.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

MAX_LINES = 1000  # of a record, in a quoted cell
MAX_TRIES = 2000  # ways to read the quotes of a damaged line
MAX_MERGED = 20  # pieces that may have been one cell
MAX_SHIFTED = 5  # columns that stay empty, or cells that are in pieces, beyond what the numbers of both tell
MAX_WAYS = 30_000  # to give the pieces of a row to columns
ROWS_FOR_SHAPES = 2000
BLANKS = " "  # as a delimiter: a run of blanks, or of tabs


class Record(NamedTuple):
    """Cells that stand together.

    Attributes:
        line: the number of its first line, from 1.
        cells: as they mean, without quotes.
        damage: what is wrong with it, for people; empty if nothing is.
    """

    line: int
    cells: list[str]
    damage: str = ""


def records(lines: Iterable[str], delimiter: str, quote: str, num_cells: int, first: int = 1) -> Iterator[Record]:
    """Yield the records of a table whose rows have `num_cells` cells; lines of blanks alone are left out.

    Args:
        lines: without their ends.
        delimiter: between cells; BLANKS stands for any run of blanks.
        quote: around cells, doubled within; empty if there is none.
        num_cells: of each record that is whole; 0 if that is to be found.
        first: the number of the first line.
    """
    if delimiter == BLANKS:
        lines = (line.replace("\t", BLANKS).strip() for line in lines)
    numbered = _Ahead(enumerate(lines, first))
    for number, line in numbered:
        if not line.strip() and num_cells > 1 and not (delimiter in line and delimiter != BLANKS):
            continue
        if not quote or quote not in line:
            pieces = _pieces(line, delimiter)
            yield Record(number, pieces, miscounted(pieces, num_cells))
            continue
        cells, is_open = split(line, delimiter, quote)
        if is_open:
            cells = _continued(line, numbered, delimiter, quote, num_cells)
        if cells is not None and len(cells) == num_cells:
            yield Record(number, cells)
            continue
        damage = miscounted(cells, num_cells) if cells is not None else f"has a {quote} that opens or closes no cell"
        read = _with_loose_quotes(line, delimiter, quote, num_cells) or cells or _pieces(line, delimiter)
        yield Record(number, read, damage)


def _continued(line: str, numbered: "_Ahead", delimiter: str, quote: str, num_cells: int) -> list[str] | None:
    """Return the cells of a record that ends in a later line; None if none makes it whole: it then costs one line."""
    more: list[str] = []
    for _, following in numbered.peek(MAX_LINES):
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
    """Split a record into cells, and tell whether its last cell is still open; no cells where quotes stand loose.

    Blanks may stand before the quote that opens a cell, and behind the one that closes it.
    """
    cells: list[str] = []
    place, end = 0, len(text)
    while True:
        opening = _after_blanks(text, place, delimiter)
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
            place = _after_blanks(text, close + 1, delimiter)
            if place < end and not text.startswith(delimiter, place):
                return None, False
        else:
            stop = text.find(delimiter, place)
            stop = end if stop < 0 else stop
            cells.append(text[place:stop])
            if _seems_to_open(cells[-1], quote):
                return None, False
            place = stop
        if place >= end:
            return cells, False
        place = _next(text, place, delimiter)


def _seems_to_open(cell: str, quote: str) -> bool:
    """Tell whether a quote in a cell without quotes around it rather belongs to a cell whose delimiter is lost."""
    return cell.count(quote) % 2 == 1 and re.search(rf"{re.escape(quote)}\w", cell) is not None


def _next(text: str, place: int, delimiter: str) -> int:
    """Return where the cell begins that follows a delimiter."""
    place += 1
    while delimiter == BLANKS and text.startswith(BLANKS, place):
        place += 1
    return place


def _after_blanks(text: str, place: int, delimiter: str) -> int:
    while delimiter != BLANKS and text.startswith(BLANKS, place):
        place += 1
    return place


def _with_loose_quotes(line: str, delimiter: str, quote: str, num_cells: int) -> list[str] | None:
    """Return the first way to read a line as `num_cells` cells in which quotes may be letters like any other."""
    closing = re.compile(f"{re.escape(quote)}(?={re.escape(delimiter)}|$)")

    def ways(place: int) -> Iterator[tuple[int, int, bool]]:
        """Yield where a cell may end that begins at `place`, from the likely to the odd, and whether it is quoted."""
        if line.startswith(quote, place):
            for match in closing.finditer(line, place + 1):
                yield place, match.end(), True
        stop = line.find(delimiter, place)
        yield place, len(line) if stop < 0 else stop, False

    cells: list[tuple[int, int, bool]] = []
    tried = [ways(0)]
    for _ in range(MAX_TRIES + num_cells):
        way = next(tried[-1], None)
        if way is None:
            tried.pop()
            if not tried:
                return None
            cells.pop()
        elif way[1] < len(line) and len(tried) < num_cells:
            cells.append(way)
            tried.append(ways(_next(line, way[1], delimiter)))
        elif way[1] >= len(line) and len(tried) == num_cells:
            return [
                line[start + 1 : end - 1].replace(quote * 2, quote) if is_quoted else line[start:end]
                for start, end, is_quoted in (*cells, way)
            ]
    return None


def _pieces(line: str, delimiter: str) -> list[str]:
    return line.split() if delimiter == BLANKS else line.split(delimiter)


def miscounted(cells: Sequence[str], num_cells: int) -> str:
    """Return that a record has more or fewer cells than it should; empty if it has as many."""
    if len(cells) == num_cells:
        return ""
    return f"has {len(cells)} cell{'s' if len(cells) != 1 else ''} instead of {num_cells}"


class _Ahead(Iterator[tuple[int, str]]):
    """Lines with a look ahead."""

    def __init__(self, lines: Iterable[tuple[int, str]]) -> None:
        self.lines = iter(lines)
        self.seen: list[tuple[int, str]] = []

    def __next__(self) -> tuple[int, str]:
        return self.seen.pop(0) if self.seen else next(self.lines)

    def peek(self, most: int) -> Iterator[tuple[int, str]]:
        place = 0
        while place < most:
            if place == len(self.seen):
                line = next(self.lines, None)
                if line is None:
                    return
                self.seen.append(line)
            yield self.seen[place]
            place += 1

    def skip(self, number: int) -> None:
        del self.seen[:number]


_DIGITS = r"(\d{1,3}([.,'\u2019 _\u00a0\u202f\u2009]\d{2,3})+([.,]\d*)?|\d+[.,]?\d*|[.,]\d+)"
_PATTERNS = [
    ("empty", r""),
    ("whole", r"[-+\u2212]?\d+"),
    ("number", r"[-+\u2212(]?[^\w\s]?\s?[-+\u2212]?" + _DIGITS + r"([eE][-+]?\d+)?\s?[^\w\s]?[-)]?"),
    ("moment", r"\d{1,4}[-/.: ]\d{1,2}([-/.: ]\d{1,4})*([T ]\d.*)?|\d{1,2}[- ][A-Za-z]{3}[- ]\d{2,4}"),
    ("word", r"\w+"),
    ("code", r"[\w-]+"),
    ("link", r"\w+://\S+"),
]
_GROUPED = re.compile(r"^\D*\d{1,3}([.,' ]\d{3})+\D?")
_SHAPES = [(name, re.compile(pattern)) for name, pattern in _PATTERNS]


def shape(cell: str) -> str:
    """Return what a cell looks like, roughly."""
    text = cell.strip()
    return next((name for name, pattern in _SHAPES if pattern.fullmatch(text)), "text")


class Shapes:
    """What the cells of each column look like, by which a damaged row finds its columns again."""

    def __init__(self, whole: Iterable[Sequence[str]], num_cells: int) -> None:
        counts: list[Counter[str]] = [Counter() for _ in range(num_cells)]
        for cells in whole:
            for count, cell in zip(counts, cells, strict=True):
                count[shape(cell)] += 1
        self.fractions = [{name: n / count.total() for name, n in count.items()} for count in counts]

    def aligned(self, pieces: Sequence[str], delimiter: str) -> list[str] | None:
        """Return the pieces as one cell a column; None where they do not fit well.

        Pieces are joined where a delimiter stands in a cell that should be quoted, left out where they are empty and
        too many, and columns stay empty where there are too few: of all ways the one that fits best.
        """
        num_columns, num_pieces = len(self.fractions), len(pieces)
        too_many, too_few = max(num_pieces - num_columns, 0), max(num_columns - num_pieces, 0)
        lead, lag = too_many + MAX_SHIFTED, too_few + MAX_SHIFTED  # of pieces before columns: others are not tried
        most_merged = min(MAX_MERGED, lead + lag + 1)
        if num_columns * (lead + lag + 1) * most_merged > MAX_WAYS:
            return None
        merged = [self._merged(pieces, place, most_merged, delimiter) for place in range(num_pieces)]
        best: list[dict[int, tuple[float, tuple[int, ...]]]] = [{0: (0.0, ())}]
        for column, shapes in enumerate(self.fractions):
            after: dict[int, tuple[float, tuple[int, ...]]] = {}
            for place, (score, ends) in best[-1].items():
                stays_empty = (place, shapes.get("empty", 0.0) - 0.5)
                cells = merged[place] if place < num_pieces else []
                for end, gain in (
                    stays_empty,
                    *((end, shapes.get(shape, 0.0) - loss) for end, shape, loss in cells),
                ):
                    is_near = -lag <= end - column - 1 <= lead
                    if is_near and (end not in after or score + gain > after[end][0]):
                        after[end] = (score + gain, (*ends, end))
            best.append(after)
        finals = {place: way for place, way in best[-1].items() if all(not piece for piece in pieces[place:])}
        if not finals:
            return None
        score, ends = max(finals.values(), key=lambda way: way[0])
        if score < 0.5 * num_columns:
            return None
        starts = (0, *ends[:-1])
        return [self._joined(pieces[start:end], delimiter) for start, end in zip(starts, ends, strict=True)]

    def _merged(self, pieces: Sequence[str], place: int, most: int, delimiter: str) -> list[tuple[int, str, float]]:
        """Return for each cell that pieces from `place` may make up its end, its shape, and what speaks against it."""
        cells = []
        for end in range(place + 1, min(place + most, len(pieces)) + 1):
            num_joined = sum(bool(piece) for piece in pieces[place:end]) or 1
            loss = 0.1 * (num_joined - 1) + 0.3 * (end - place - num_joined)
            joined = self._joined(pieces[place:end], delimiter)
            looks = shape(joined)
            if num_joined > 1 and looks == "number" and not _GROUPED.search(joined):
                looks = "text"  # 2,3 are two numbers rather than one
            cells.append((end, looks, loss))
        return cells

    @staticmethod
    def _joined(pieces: Sequence[str], delimiter: str) -> str:
        return delimiter.join(pieces).strip(delimiter)
