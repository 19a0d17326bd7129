"""A table whose test rows someone else has, as users of scikit-learn do."""

from typing import Any

import numpy as np
from polars import LazyFrame

from litmlp.data.splits import Rows
from litmlp.data.table import TableData
from litmlp.data.targets import ClassTarget

MIN_ROWS = 20  # of which some can be kept from training


class WithoutTest(TableData):
    """A table of which no row is kept as a test: the rows for validation, `val_size` of all, are measured as test, too.

    Where the split follows groups, time or a column, the rows that it would have tested validate as well. All rows are
    trained on, and validate, where there are few, or where the split would leave a class without training rows.

    See `TableData` for the arguments; `test_size` means nothing.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.split_fractions = self.split_fractions._replace(test=0.0)
        if isinstance(self.target, ClassTarget):
            self.target.may_be_single = True

    def split(self, frame: LazyFrame, usable: np.ndarray, strata: np.ndarray | None) -> Rows:
        """Return places among the usable rows, of which `val` and `test` are the same."""
        train = held = np.arange(len(usable))
        if len(usable) >= MIN_ROWS:
            places = super().split(frame, usable, strata)
            some, others = places["train"], np.union1d(places["val"], places["test"])
            misses_class = strata is not None and len(np.unique(strata[some])) < len(np.unique(strata))
            if not misses_class and min(len(some), len(others)) >= 2:
                train, held = some, others
        return {"train": train, "val": held, "test": held}
