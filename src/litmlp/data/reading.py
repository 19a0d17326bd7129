"""Reading a table from files."""

import csv
import lzma
import os
import zipfile
import zlib
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import polars as pl
from polars.selectors import by_name

from litmlp.data import panics, parquet
from litmlp.data.cells import shortened
from litmlp.data.dialect import NOTHING, Asked, Dialect
from litmlp.data.notation import UNKNOWN, Notation, Survey
from litmlp.data.text import TypesOf, check_names, read_text
from litmlp.data.unpacked import Spill
from litmlp.errors import InputError
from litmlp.paths import ROOT, display, find

PARQUET = b"PAR1"  # how such a file begins
OF_PARQUET = (".parquet", ".pq")
OF_TEXT = tuple(  # endings, by which a folder's tables are found; what a file holds is told by its first bytes
    ending + packing
    for ending in (".csv", ".tsv", ".tab", ".txt", ".dat", ".data")
    for packing in ("", ".gz", ".bz2", ".xz", ".zst", ".zip")
)
MAX_ENTRIES = 50_000  # of a folder that is looked through
MAX_SAID = 10  # sentences of assumptions about files
MAX_ROWS, MAX_ROWS_A_BYTE = 1_000_000, 64
ERRORS = (
    *(pl.exceptions.PolarsError, OSError, EOFError, UnicodeError, csv.Error),
    *(zlib.error, lzma.LZMAError, zipfile.BadZipFile, RuntimeError),  # the last of a ZIP file that asks for a password
)

os.environ.setdefault("POLARS_IGNORE_TIMEZONE_PARSE_ERROR", "1")  # moments are in UTC, whatever the zone is called


class Table(NamedTuple):
    """All rows of some files, raw.

    Attributes:
        frame: columns of text, or of other types where that is what all of their cells are.
        notation: how cells of text are written.
        written: how files are, for people.
        said: what was assumed, for people.
        sizes: rows of each file.
        spill: what the frame reads where there is much text: to be kept as long as the frame is.
    """

    frame: pl.LazyFrame
    notation: Notation
    written: list[str]
    said: list[str]
    sizes: list[int]
    spill: Spill


def files_of(path: str | Path) -> list[Path]:
    """Return the files that a path means: itself, the tables of a folder, or those that a pattern matches.

    Raises:
        InputError: there are none, or a folder holds both Parquet files and text.
    """
    if any(mark in str(path) for mark in "*?[") and not _is_there(str(path)):
        files = sorted(_matching(str(path)))
        if not files:
            raise InputError(f"no file matches '{path}': check the pattern")
    elif (found := find(path)).is_dir():
        files = sorted(_files_below(found))
        if not files:
            raise InputError(f"the folder '{path}' holds no tables, such as .csv or .parquet: give one that does")
        kinds = {file.name.lower().endswith(OF_PARQUET): file for file in files}
        if len(kinds) > 1:
            raise InputError(
                f"the folder '{path}' holds Parquet files ('{kinds[True].name}') and text ('{kinds[False].name}'): "
                f"say which are meant with a pattern, such as '{path}/**/*{kinds[True].suffix}'"
            )
    else:
        files = [found]
    for file in files:
        if not file.is_file():
            raise InputError(f"'{file}' is a folder, a pipe or a device, not a file: save the rows to a file")
    return files


def read_table(
    files: Sequence[Path],
    asked: Asked = NOTHING,
    notation: Notation = UNKNOWN,
    text_columns: Collection[str] = (),
    numeric_columns: Collection[str] | None = None,
    finds_marks: bool = True,
) -> Table:
    """Read text, perhaps compressed, or Parquet; several files one after the other.

    Columns of Parquet files are read only when they are collected.

    Args:
        files: as `files_of` returns.
        asked: what is said of how text files are written.
        notation: what is known of how cells are written; what it leaves open is found.
        text_columns: columns that stay text even if all of their cells are numbers: 007 is not 7 there.
        numeric_columns: the columns that tell how numbers are written, all others being text; None for any.
        finds_marks: whether what marks a missing cell is to be found; else it is as `notation` says.

    Raises:
        InputError: a file cannot be read, or has other columns than the first.
    """
    survey, spill = Survey(notation), Spill()

    def types_of(names: Sequence[str], rows: Sequence[Sequence[str]]) -> dict[str, pl.DataType]:
        kept = [place for place, name in enumerate(names) if numeric_columns is None or name in numeric_columns]
        types = survey.types_of([names[place] for place in kept], [[row[place] for place in kept] for row in rows])
        return {name: kind for name, kind in types.items() if name not in text_columns}

    parts = _parts(files, asked, spill, types_of if len(files) == 1 else None)
    what = f"'{files[0]}'" if len(files) == 1 else f"'{files[0]}' and the files after it"
    looked_at = (text_columns, numeric_columns, finds_marks)
    return _as_table(parts, survey, spill, not asked.is_of_other, what, *looked_at)


def read_frame(
    frame: pl.LazyFrame,
    notation: Notation = UNKNOWN,
    text_columns: Collection[str] = (),
    numeric_columns: Collection[str] | None = None,
    finds_marks: bool = True,
) -> Table:
    """Take rows from elsewhere than files; cells of text are read as those of a file. See `read_table`."""
    check_names("the table", frame.collect_schema().names())
    parts = [_Part(None, frame, is_parquet=True)]
    looked_at = (text_columns, numeric_columns, finds_marks)
    return _as_table(parts, Survey(notation), Spill(), False, "the table", *looked_at)


def _as_table(
    parts: Sequence["_Part"],
    survey: Survey,
    spill: Spill,
    learns_dialect: bool,
    what: str,
    text_columns: Collection[str],
    numeric_columns: Collection[str] | None,
    finds_marks: bool,
) -> Table:
    said = [f"{display(part.file)}: {one}" for part in parts if part.file for one in part.said][:MAX_SAID]
    if (dialect := next((part.dialect for part in parts if part.dialect), None)) and learns_dialect:
        survey.notation = survey.notation._replace(
            header=next((part.header for part in parts if part.header is not None), None),
            quote=dialect.quote,
            comment=dialect.comment,
            lacks_name=any(part.lacks_name for part in parts),
        )
    survey.delimiter = "," if dialect is None else dialect.delimiter
    try:
        with panics.as_errors():
            sizes = [part.frame.select(pl.len()).collect().item() for part in parts]
            if sum(sizes) == 0:
                raise InputError(f"{what} has no rows: give at least one")
            frame = pl.concat([part.frame for part in parts], how="vertical_relaxed") if parts[1:] else parts[0].frame
            is_large = any(part.is_large for part in parts)
            to_look_at = _to_look_at(frame, parts[-1].is_parquet, numeric_columns)
            frame = _typed(frame, survey, to_look_at, text_columns, spill if is_large else None)
            notation, assumed = survey.found(finds_marks)
    except pl.exceptions.PolarsError as error:
        raise InputError(f"cannot read {what} as one table: {_reason(error)}") from error
    return Table(frame, notation, _written(parts), [*said, *assumed], sizes, spill)


class _Part(NamedTuple):
    """A file of a table.

    Attributes:
        file: itself; None for rows from elsewhere.
        frame: its rows, with the columns of the first file.
        header: the names of its columns, where no line of it has them.
        dialect: of text.
        lacks_name: whether the line with the names has one fewer than there are columns.
        written: how it is written, for people.
        said: what was assumed.
        is_large: whether its rows are kept on disk.
        is_parquet: whether it holds no text.
    """

    file: Path | None
    frame: pl.LazyFrame
    header: tuple[str, ...] | None = None
    dialect: Dialect | None = None
    lacks_name: bool = False
    written: str = "Parquet"
    said: Sequence[str] = ()
    is_large: bool = False
    is_parquet: bool = False


def _parts(files: Sequence[Path], asked: Asked, spill: Spill, types_of: TypesOf | None) -> list[_Part]:
    parts: list[_Part] = []
    for file in files:
        is_parquet = _begins(file, PARQUET) or file.suffix.lower() in OF_PARQUET
        try:
            with panics.as_errors():
                part = _of_parquet(file) if is_parquet else _of_text(file, asked, spill, types_of)
                names = part.frame.collect_schema().names()
        except ERRORS as error:
            kind = "Parquet" if is_parquet else "text"
            raise InputError(f"cannot read '{file}' as {kind}: {_reason(error)}") from error
        check_names(f"'{file}'", names)
        if parts:
            first = parts[0].frame.collect_schema().names()
            if other := sorted({*names} ^ {*first}):
                raise InputError(
                    f"'{file}' and '{files[0]}' have different columns ({other[0]}): make them alike, or name the "
                    "files that are meant by a pattern, such as folder/*.csv"
                )
            part = part._replace(frame=part.frame.select(by_name(*first)))
        elif asked.header is None and not is_parquet:  # the other files are alike
            asked = asked._replace(header=part.header is None)
        parts.append(part)
    return parts


def _of_text(file: Path, asked: Asked, spill: Spill, types_of: TypesOf | None) -> _Part:
    reading = read_text(file, spill, asked, types_of)
    names = None if reading.dialect.has_header else reading.names
    how = (reading.dialect, reading.lacks_name, reading.written, reading.said, reading.is_large)
    return _Part(file, reading.frame, names, *how)


def _written(parts: Sequence[_Part]) -> list[str]:
    alike: dict[str, list[Path]] = {}
    for part in parts:
        if part.file is not None:
            alike.setdefault(part.written, []).append(part.file)
    return [
        f"{display(files[0])}{f' and {len(files) - 1} more' if files[1:] else ''}: {written}"
        for written, files in list(alike.items())[:MAX_SAID]
    ]


def _to_look_at(frame: pl.LazyFrame, is_parquet: bool, numeric_columns: Collection[str] | None) -> list[str]:
    return [
        name
        for name, kind in frame.collect_schema().items()
        if numeric_columns is None or name in numeric_columns
        if not is_parquet or kind in (pl.String, pl.Categorical, pl.Enum)
    ]


def _typed(
    frame: pl.LazyFrame, survey: Survey, of_text: Sequence[str], text_columns: Collection[str], spill: Spill | None
) -> pl.LazyFrame:
    """Let the survey see columns of text; return them as numbers where all cells of a column are plain ones."""
    schema = frame.collect_schema()
    whole = None if spill else frame.select(by_name(*of_text)).collect()

    def raw(name: str) -> pl.Series:
        cells = (frame.select(by_name(name)).collect() if whole is None else whole)[name]
        return cells if cells.dtype.is_numeric() else cells.cast(pl.String)

    typed: dict[str, pl.LazyFrame] = {}
    kinds: dict[str, pl.DataType] = {}

    def keep(numbers: pl.Series | None, name: str) -> None:
        if numbers is not None and numbers.dtype.is_numeric() and name not in text_columns:
            typed[name], kinds[name] = _kept(numbers.alias(name), spill), numbers.dtype

    numeric = [name for name in of_text if schema[name].is_numeric()]  # already, as it was parsed
    with_nan = set(survey.look_at_numbers(frame, numeric)) if numeric else set()
    for name in of_text:
        if name not in numeric or name in with_nan:
            keep(survey.look(raw(name)), name)
    if survey.decimal == ",":  # 1.234 is more than a thousand
        typed = {name: numbers for name, numbers in typed.items() if not kinds[name].is_float()}
        for name in of_text:
            if name not in typed and name not in numeric:
                keep(survey.with_commas(raw(name)), name)
    if not typed:
        return frame
    others = [name for name in schema if name not in typed]
    parts = [*typed.values(), *([frame.select(by_name(*others))] if others else [])]
    return pl.concat(parts, how="horizontal").select(by_name(*schema))


def _kept(numbers: pl.Series, spill: Spill | None) -> pl.LazyFrame:
    if spill is None:
        return numbers.to_frame().lazy()
    place = spill.place(".parquet")
    numbers.to_frame().write_parquet(place, compression="lz4")
    return pl.scan_parquet(place, glob=False)


def _is_there(path: str) -> bool:
    return any((base / Path(path).expanduser()).exists() for base in (Path.cwd(), ROOT))


def _begins(file: Path, mark: bytes) -> bool:
    with file.open("rb") as stream:
        return stream.read(len(mark)) == mark


def _matching(pattern: str) -> list[Path]:
    for base in (Path.cwd(), ROOT):
        place = base / Path(pattern).expanduser()
        if found := [path for path in Path(place.anchor).glob(str(place.relative_to(place.anchor))) if path.is_file()]:
            return found
    return []


def _files_below(folder: Path) -> Iterator[Path]:
    num_entries = 0
    for place, folders, names in os.walk(folder, onerror=_raise):
        num_entries += len(folders) + len(names)
        if num_entries > MAX_ENTRIES:
            raise InputError(
                f"the folder '{folder}' holds more than {MAX_ENTRIES} files and folders: name the one below it that "
                "holds the table's files, or a pattern such as folder/*.parquet"
            )
        yield from (Path(place, name) for name in names if name.lower().endswith((*OF_PARQUET, *OF_TEXT)))


def _raise(error: OSError) -> None:
    raise error


def _of_parquet(file: Path) -> _Part:
    parquet.check(file)
    frame = pl.scan_parquet(file, glob=False)
    num_rows, size = frame.select(pl.len()).collect().item(), file.stat().st_size  # both without reading rows
    if num_rows > MAX_ROWS and num_rows > MAX_ROWS_A_BYTE * size:
        raise InputError(
            f"'{file}' claims {num_rows} rows, but has {size} bytes: it is damaged, or made to fill the memory"
        )
    return _Part(file, frame, is_parquet=True)


def _reason(error: BaseException) -> str:
    return shortened(next(iter(str(error).splitlines()), ""), 200) or type(error).__name__
