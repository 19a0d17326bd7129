"""Lets several runs take turns in one process, each in a thread of its own, of which only one runs at a time.

A run is written as if it was alone: it reads its data, calls hooks, writes files. Where it waits for others, its thread
parks. So nothing that a run does has to know about the other runs.
"""

import random
import threading
from collections.abc import Callable
from time import perf_counter
from typing import Any

import numpy as np
import torch

from litmlp.training.compat import raise_in_thread

SECONDS = 0.05  # between looks at a work that was told to stop

_own = threading.local()  # has the attribute `baton` in the thread of a run


class Baton:
    """A thread that runs only while the thread that made it waits.

    The random generators of Python, NumPy and torch go on in each thread as if it was alone.

    Args:
        work: what the thread does.

    Attributes:
        parked: what the work gave when it parked; None while it runs, and once it is over.
        error: with which the work ended, if any.
        seconds: that the work has taken; others may add to it what is done for the work.
    """

    def __init__(self, work: Callable[[], None]) -> None:
        self.work = work
        self.parked: Any = None
        self.error: BaseException | None = None
        self.is_over = False
        self.seconds = 0.0
        self.generator = torch.Generator()  # the state of torch's default generator while the work is parked
        self._others: tuple[Any, ...] | None = None  # the states of Python's and NumPy's
        self._thrown: BaseException | None = None
        self._is_back = True  # whether the other thread may go on: set once `_waits` was released
        self._goes, self._waits = threading.Lock(), threading.Lock()  # each is held until there is something to do
        self._goes.acquire()
        self._waits.acquire()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def resume(self, error: BaseException | None = None) -> None:
        """Let the work go on until it parks again or ends; with an error, the work raises it where it is parked.

        An exception that a signal raises meanwhile reaches the work first, which can tidy up, and then the caller.
        """
        self.parked, self._thrown = None, error
        if self._others is not None:
            torch.default_generator.set_state(self.generator.get_state())
            random.setstate(self._others[0])
            np.random.set_state(self._others[1])
        else:
            self._thread.start()
        self._resumed = perf_counter()
        self._is_back = False
        self._goes.release()
        self._wait()
        self.seconds += perf_counter() - self._resumed
        self.generator.set_state(torch.default_generator.get_state())
        self._others = random.getstate(), np.random.get_state()

    def _wait(self) -> None:
        try:
            self._waits.acquire()
        except BaseException as error:
            # A signal that comes as soon as the lock was acquired also ends here: then there is nothing to wait for.
            if not self._is_back and self._thread.ident is not None:
                raise_in_thread(self._thread.ident, error)
            while not self._waits.acquire(timeout=SECONDS) and not self._is_back:
                pass
            raise

    def clock(self) -> float:
        """Return the seconds that the work has taken until now. Only the work itself calls this."""
        return self.seconds + perf_counter() - self._resumed

    def _run(self) -> None:
        _own.baton = self
        self._goes.acquire()
        try:
            if self._thrown is not None:
                raise self._thrown
            self.work()
        except BaseException as error:
            self.error = error
        finally:
            self.is_over = True
            self._waits.release()
            self._is_back = True

    def _park(self, given: Any) -> None:
        self.parked = given
        self._waits.release()
        self._is_back = True
        self._goes.acquire()
        if self._thrown is not None:
            raise self._thrown


def own() -> Baton | None:
    """Return the baton in whose thread this is called; None in other threads."""
    return getattr(_own, "baton", None)


def park(given: Any) -> None:
    """Wait, in the thread of a baton, until the other thread resumes it, which sees `given` as its `parked`."""
    baton = own()
    assert baton is not None
    baton._park(given)


def seconds() -> float:
    """Return a time in seconds that goes on only for what is done for the current run, if runs take turns."""
    baton = own()
    return perf_counter() if baton is None else baton.clock()
