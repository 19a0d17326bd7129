"""Chooses the task by a table's target if the config says `task=auto`."""

import logging
from typing import Any

import polars as pl

from litmlp import build
from litmlp.config_check import check_arguments, check_parts
from litmlp.data import NumericTarget, TableData
from litmlp.data.cells import as_levels, is_text
from litmlp.data.inputs import collected
from litmlp.data.kinds import FRACTION_OF_IDENTIFIERS, LEFT_OUT, MIN_ROWS, kind_of
from litmlp.data.notation import Notation
from litmlp.errors import InputError, did_you_mean

log = logging.getLogger(__name__)

CLASSIFICATION, REGRESSION = "litmlp.tasks.ClassificationTask", "litmlp.tasks.RegressionTask"
MAX_WHOLE_NUMBERS = 10  # distinct whole numbers; a target with more of them is not taken for classes


def with_task(config: dict[str, Any], frame: Any = None) -> dict[str, Any]:
    """Return a resolved config in which a task replaces `auto`.

    This reads the target column of the config's table, or of `frame` if that is given.
    """
    if not isinstance(config.get("task"), dict) or config["task"].get("_target_", "") is not None:
        return config
    check_parts(config)
    check_arguments("data", config["data"])
    data = build.data(config, frame, NumericTarget)
    if not isinstance(data, TableData):
        raise InputError("task=auto is for tables: give task=regression or task=classification")
    task, reason = task_of(data)
    log.info("%s: task=%s", reason, "classification" if task == CLASSIFICATION else "regression")
    return config | {"task": config["task"] | {"_target_": task}}


def task_of(data: TableData) -> tuple[str, str]:
    """Return the path of the task class that suits a table's target, and the reason."""
    data.logs_formats, columns = False, data.target.columns
    frame = data.read(text_columns=columns)
    names = frame.collect_schema().names()
    for name in columns:
        if name not in names:
            data.log_formats(data.formats_read, data.assumptions)  # they may show why the name was not found
            raise InputError(f"there is no target column '{name}': {did_you_mean(name, names)}")
    found = [_task_of_cells(collected(frame, [name])[name], data.notation) for name in columns]
    if len(columns) == 1:
        return found[0]
    classes = [(name, reason) for name, (task, reason) in zip(columns, found, strict=True) if task == CLASSIFICATION]
    amounts = [name for name, (task, reason) in zip(columns, found, strict=True) if task == REGRESSION]
    for name, reason in classes:
        if not amounts or "whole numbers" not in reason:
            raise InputError(
                f"{reason}, and classes can be learned for only one target at a time: give data.target={name}, or "
                "task=regression if they are amounts"
            )
    return REGRESSION, "there are several targets"


def _task_of_cells(cells: pl.Series, notation: Notation) -> tuple[str, str]:
    if cells.null_count() == len(cells):
        raise InputError(f"no row has a value in the target {cells.name}: give rows that do")
    if cells.dtype == pl.Boolean:
        return CLASSIFICATION, f"the target '{cells.name}' is true or false"
    if is_text(cells):
        cells = cells.cast(pl.String)
        kind = kind_of(cells, notation)
        if kind.name != "numeric" and not (kind.name == LEFT_OUT and _are_numbers(cells)):
            return CLASSIFICATION, _described(cells, notation)
        if cells.str.contains(r"^\s*0\d+\s*$").any():
            return CLASSIFICATION, f"the target '{cells.name}' holds whole numbers that begin with zeros, as codes do"
    if not is_text(cells) and not cells.dtype.is_numeric():
        # Dates, times and durations are learned as numbers; other types are refused when they are read.
        return REGRESSION, f"the target '{cells.name}' holds cells of type {cells.dtype}"
    return _by_numbers(cells)


def _are_numbers(cells: pl.Series) -> bool:
    return cells.cast(pl.Float64, strict=False).count() == cells.count()


def _described(cells: pl.Series, notation: Notation) -> str:
    levels = as_levels(cells, notation)
    num_rows = int((levels.codes >= 0).sum())
    if num_rows >= MIN_ROWS and len(levels.names) > FRACTION_OF_IDENTIFIERS * num_rows:
        raise InputError(
            f"the target '{cells.name}' holds {len(levels.names)} different texts in {num_rows} rows, which are "
            "neither numbers nor classes: choose another data.target"
        )
    return f"the target '{cells.name}' holds texts, {len(levels.names)} different ones"


def _by_numbers(cells: pl.Series) -> tuple[str, str]:
    numbers = cells.cast(pl.Float64, strict=False).drop_nulls().drop_nans()
    is_plain = cells.dtype.is_numeric() or (is_text(cells) and len(numbers) >= 0.5 * cells.count())
    if is_plain and numbers.is_finite().all() and (numbers % 1 == 0).all():
        num_values = numbers.n_unique()
        if num_values <= MAX_WHOLE_NUMBERS and len(numbers) > 2 * num_values:
            return CLASSIFICATION, f"the target '{cells.name}' holds {num_values} different whole numbers"
    return REGRESSION, f"the target '{cells.name}' holds numbers"
