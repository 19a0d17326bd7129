"""The tables on which programs of this folder train: those of this project, and any other as FILE:TARGET."""

import argparse

from litmlp.errors import InputError, shown

TABLES = ("california", "diamonds", "adult", "penguins")


def parser(description: str) -> argparse.ArgumentParser:
    """Return a parser of a program that trains on some tables with some seeds. @FILE stands for the lines of a file."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter, fromfile_prefix_chars="@"
    )
    names = ", ".join(TABLES)
    parser.add_argument("--tables", nargs="+", default=TABLES, metavar="TABLE", help=f"{names}, or FILE:TARGET")
    parser.add_argument("--seeds", nargs="+", type=int, default=range(5), metavar="SEED")
    return parser


def overrides_of(table: str) -> list[str]:
    """Return the overrides that choose a table.

    Raises:
        InputError: it is none of TABLES, and has no colon between a file and a column.
    """
    if table in TABLES:
        return [f"data={table}"]
    path, _, target = table.rpartition(":")
    if not path or not target:
        raise InputError(f"{shown(table)} is no table: give FILE:TARGET, or one of {', '.join(TABLES)}")
    return ["data=table", f"data.path={path}", f"data.target={target}"]
