"""Keeps what was computed for equal values, for the life of the process.

One process may train many runs whose configs are nearly the same. What follows from the same part of a config is then
computed once.
"""

from collections.abc import Callable, Hashable
from typing import Any

ABSENT = object()


class Memo:
    """Keeps results by their keys. An exception is not kept, so it is raised each time.

    Args:
        size: the number of results, above which all are forgotten.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.kept: dict[Hashable, Any] = {}

    def of(self, key: Hashable, compute: Callable[[], Any]) -> Any:
        """Return the result for `key`, which `compute` gives the first time. The caller must not change it."""
        result = self.kept.get(key, ABSENT)
        if result is ABSENT:
            result = compute()
            if len(self.kept) >= self.size:
                self.kept.clear()
            self.kept[key] = result
        return result
