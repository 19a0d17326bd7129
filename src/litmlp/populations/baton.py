"""Lets several runs take turns in one process, each in a thread of its own, of which only one runs at a time.

A run is written as if it was alone: it reads its data, calls hooks, writes files. Where it waits for others, its thread
parks. So nothing that a run does has to know about the other runs.
"""

import random
import threading
from collections.abc import Callable
from contextlib import suppress
from time import perf_counter
from typing import Any

import numpy as np
import torch

from litmlp.training.compat import raise_in_thread

SECONDS_BETWEEN_LOOKS = 1.0  # a signal that comes just before Python waits for a lock does not wake it up
_own = threading.local()  # has the attribute `baton` in the thread of a run


class Baton:
    """A thread that runs only while the thread that made it waits.

    The random generators of Python, NumPy and torch go on in each thread as if it was alone.

    Args:
        work: what the thread does.
        share: the work may call it to say that others like it could be done at the same time, elsewhere.

    Attributes:
        parked: what the work gave when it parked; None while it runs, and once it is over.
        error: with which the work ended, if any.
        seconds: that the work has taken; others may add to it what is done for the work.
    """

    def __init__(self, work: Callable[[], None], share: Callable[[], None] = lambda: None) -> None:
        self.work = work
        self.share = share
        self.parked: Any = None
        self.error: BaseException | None = None
        self.is_over = False
        self.seconds = 0.0
        self.generator = torch.Generator()  # the state of torch's default generator while the work is parked
        self._others: tuple[Any, ...] | None = None  # the states of Python's and NumPy's
        self._thrown: BaseException | None = None
        # The number of times that the work was told to go on, and of those after which it has parked or ended. A signal
        # may interrupt the caller anywhere. So numbers decide, and a lock that is released only says: look again.
        self._told = self._done = 0
        self._look, self._looked = threading.Lock(), threading.Lock()
        self._look.acquire()
        self._looked.acquire()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def resume(self, error: BaseException | None = None) -> None:
        """Let the work go on until it parks again or ends; with an error, the work raises it where it is parked.

        An exception that a signal raises meanwhile reaches the work first, which can tidy up, and then the caller.
        """
        self.parked, self._thrown = None, error
        if self._others is not None:
            torch.default_generator.set_state(self.generator.get_state())
            random.setstate(self._others[0])
            np.random.set_state(self._others[1])
        raised: BaseException | None = None
        number = self._told + 1
        self._resumed = perf_counter()
        while self._done < number:
            try:
                self._told = number
                _release(self._look)
                self._looked.acquire(timeout=SECONDS_BETWEEN_LOOKS)
            except BaseException as interruption:
                raised = interruption
                if self._done < number:
                    raise_in_thread(self._thread.ident or 0, interruption)
        self.seconds += perf_counter() - self._resumed
        self.generator.set_state(torch.default_generator.get_state())
        self._others = random.getstate(), np.random.get_state()
        if raised is not None:
            raise raised

    def clock(self) -> float:
        """Return the seconds that the work has taken until now. Only the work itself calls this."""
        return self.seconds + perf_counter() - self._resumed

    def _run(self) -> None:
        _own.baton = self
        self._wait()
        try:
            if self._thrown is not None:
                raise self._thrown
            self.work()
        except BaseException as error:
            self.error = error
        finally:
            self.is_over = True
            self._done = self._told
            _release(self._looked)

    def _park(self, given: Any) -> None:
        self.parked = given
        self._done = self._told
        _release(self._looked)
        self._wait()
        if self._thrown is not None:
            raise self._thrown

    def _wait(self) -> None:
        while self._told == self._done:
            self._look.acquire()


def _release(lock: threading.Lock) -> None:
    with suppress(RuntimeError):  # it is released already
        lock.release()


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
