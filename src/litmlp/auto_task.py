"""The task that a table's target calls for, where the config leaves it open."""

import logging
from typing import Any

import polars as pl

from litmlp import build
from litmlp.config import check_arguments, check_parts
from litmlp.data import NumericTarget, TableData
from litmlp.data.cells import as_levels, is_text, number_style
from litmlp.data.encoding import collected
from litmlp.data.kinds import FEWEST_ROWS, SHARE_OF_IDENTIFIERS
from litmlp.errors import InputError, did_you_mean

log = logging.getLogger(__name__)

AUTO = "auto"
CLASSIFICATION, REGRESSION = "litmlp.tasks.ClassificationTask", "litmlp.tasks.RegressionTask"
MOST_WHOLE_NUMBERS = 10  # that are taken for classes


def with_task(config: dict[str, Any]) -> dict[str, Any]:
    """Return a resolved config with a task in place of `auto`; that reads the target column."""
    if (config.get("task") or {}).get("_target_") != AUTO:
        return config
    check_parts(config)
    check_arguments("data", config["data"])
    data = build.make(config, "data", target_type=NumericTarget)
    if not isinstance(data, TableData):
        raise InputError("task=auto is for tables: give task=regression or task=classification")
    task, reason = task_of(data)
    log.info("%s: task=%s", reason, "classification" if task == CLASSIFICATION else "regression")
    return config | {"task": config["task"] | {"_target_": task}}


def task_of(data: TableData) -> tuple[str, str]:
    """Return the class of the task that a table's target calls for, and why."""
    if len(data.target.columns) > 1:
        return REGRESSION, "there are several targets"
    frame, (name,) = data.read(), data.target.columns
    names = frame.collect_schema().names()
    if name not in names:
        raise InputError(f"there is no target column '{name}': {did_you_mean(name, names)}")
    cells = collected(frame, [name])[name]
    if cells.null_count() == len(cells):
        raise InputError(f"no row has a value in the target {name}: give rows that do")
    if cells.dtype == pl.Boolean:
        return CLASSIFICATION, f"the target '{name}' is true or false"
    if is_text(cells) and number_style(cells, data.missing_values) is None:
        return CLASSIFICATION, _described(cells, data.missing_values)
    return _by_numbers(cells)


def _described(cells: pl.Series, missing_values: list[str]) -> str:
    levels = as_levels(cells, missing_values)
    num_rows = int((levels.codes >= 0).sum())
    if num_rows >= FEWEST_ROWS and len(levels.names) > SHARE_OF_IDENTIFIERS * num_rows:
        raise InputError(
            f"the target '{cells.name}' holds {len(levels.names)} different texts in {num_rows} rows, which are "
            "neither numbers nor classes: choose another data.target"
        )
    return f"the target '{cells.name}' holds texts, {len(levels.names)} different ones"


def _by_numbers(cells: pl.Series) -> tuple[str, str]:
    present = cells.drop_nulls()
    numbers = present.cast(pl.Float64, strict=False) if present.dtype.is_numeric() else None
    if numbers is not None and numbers.is_finite().all() and (numbers % 1 == 0).all():
        num_values = numbers.n_unique()
        if num_values <= MOST_WHOLE_NUMBERS and len(numbers) > 2 * num_values:
            return CLASSIFICATION, f"the target '{cells.name}' holds {num_values} different whole numbers"
    return REGRESSION, f"the target '{cells.name}' holds numbers"
