"""A table without test rows, for users of scikit-learn, who keep test rows themselves."""

from typing import Any

import numpy as np
from polars import LazyFrame

from litmlp.data.splits import Rows
from litmlp.data.table import TableData
from litmlp.data.targets import ClassTarget

MIN_ROWS = 20  # with fewer rows, all of them are needed for training


class WithoutTest(TableData):
    """A table whose validation rows, the fraction `val_size` of all rows, also serve as test rows.

    If the split follows groups, time or a column, the rows that it would use as test rows are used for validation as
    well. If there are few rows, or if the split would leave a class without training rows, all rows are used for both
    training and validation.

    See `TableData` for the arguments; `test_size` is ignored.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.split_fractions = self.split_fractions._replace(test=0.0)
        if isinstance(self.target, ClassTarget):
            self.target.may_be_single = True

    def split(self, frame: LazyFrame, usable: np.ndarray, strata: np.ndarray | None) -> Rows:
        """Return indices among the usable rows; those of `val` and `test` are the same."""
        train = held_out = np.arange(len(usable))
        if len(usable) >= MIN_ROWS:
            indices = super().split(frame, usable, strata)
            in_train, remaining = indices["train"], np.union1d(indices["val"], indices["test"])
            misses_class = strata is not None and len(np.unique(strata[in_train])) < len(np.unique(strata))
            if not misses_class and min(len(in_train), len(remaining)) >= 2:
                train, held_out = in_train, remaining
        return {"train": train, "val": held_out, "test": held_out}
