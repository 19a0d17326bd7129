"""Lets the members of a population run as if each was alone, in threads of which only one runs at a time."""

import threading
from collections.abc import Callable
from typing import Any

import torch


class Baton:
    """A thread that runs only while the thread that made it waits.

    Args:
        work: what it does.

    Attributes:
        error: the exception with which the work ended, if any.
        parked: what the work gave with `park`, while it waits to go on.
    """

    current: "threading.local" = threading.local()

    def __init__(self, work: Callable[[], None]) -> None:
        self.work = work
        self.error: BaseException | None = None
        self.parked: Any = None
        self.thrown: BaseException | None = None
        self.goes, self.waits = threading.Semaphore(0), threading.Semaphore(0)
        self.generator: torch.Generator | None = None  # torch's own, as it was when the work parked
        self.is_over = False
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def resume(self, error: BaseException | None = None) -> None:
        """Let the work go on until it parks again or ends; with an error, the work raises it where it is parked."""
        self.parked, self.thrown = None, error
        if self.generator is not None:
            torch.default_generator.set_state(self.generator.get_state())
        self.goes.release()
        self.waits.acquire()
        self.generator = torch.Generator()
        self.generator.set_state(torch.default_generator.get_state())

    @classmethod
    def holds(cls) -> bool:
        """Tell whether the current thread is that of a work."""
        return hasattr(cls.current, "baton")

    @classmethod
    def park(cls, given: Any) -> None:
        """Wait, in the thread of the work, until the other thread resumes it."""
        self = cls.current.baton
        given.baton = self
        self.parked = given
        self.waits.release()
        self.goes.acquire()
        if self.thrown is not None:
            raise self.thrown

    def _run(self) -> None:
        Baton.current.baton = self
        self.goes.acquire()
        try:
            if self.thrown is not None:
                raise self.thrown
            self.work()
        except BaseException as error:
            self.error = error
        finally:
            self.is_over = True
            self.waits.release()
