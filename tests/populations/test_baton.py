"""Runs that take turns do not see each other."""

import random
import signal
import threading
import time

import numpy as np
import pytest
import torch

from litmlp.populations.baton import Baton, own, park, seconds

Draws = list[tuple[float, float, float]]


def draw() -> tuple[float, float, float]:
    return random.random(), float(np.random.rand()), float(torch.rand(()))


def drawing(seed: int, draws: Draws) -> None:
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
    for _ in range(4):
        draws.append(draw())
        if own() is not None:
            park("more")


def test_each_work_draws_the_numbers_that_it_would_draw_alone():
    expected: list[Draws] = [[], []]
    for seed, draws in enumerate(expected):
        drawing(seed, draws)
    got: list[Draws] = [[], []]
    batons = [Baton(lambda seed=seed: drawing(seed, got[seed])) for seed in range(2)]
    while not all(baton.is_over for baton in batons):
        for baton in batons:
            if not baton.is_over:
                baton.resume()
        draw()  # nor does it matter what others draw
    assert got == expected
    assert [baton.error for baton in batons] == [None, None]


def test_a_work_is_under_way_until_it_ends():
    seen = []

    def work() -> None:
        seen.append(own() is baton)
        park("half")
        raise ValueError("done")

    baton = Baton(work)
    assert seen == []
    baton.resume()
    assert (baton.parked, baton.is_over, seen) == ("half", False, [True])
    baton.resume()
    assert (baton.parked, baton.is_over, str(baton.error)) == (None, True, "done")
    assert own() is None


def test_an_error_given_to_a_parked_work_is_raised_where_it_parks():
    seen = []

    def work() -> None:
        try:
            park(None)
        except KeyError as error:
            seen.append(error)
            raise

    baton = Baton(work)
    baton.resume()
    baton.resume(KeyError("stop"))
    assert baton.is_over
    assert seen == [baton.error]


class StopError(Exception):
    """Takes the place of what a signal raises."""

    def __init__(self, number: int) -> None:
        self.number = number
        super().__init__(f"number {number}")


@pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="this system has no such signal")
def test_what_a_signal_raises_reaches_the_work_that_runs_and_then_the_caller():
    def stop(number: int, frame: object) -> None:
        raise StopError(number)

    seen: list[BaseException] = []

    def work() -> None:
        try:
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)
            while True:
                time.sleep(0.001)
        except BaseException as error:
            seen.append(error)
            raise

    before = signal.signal(signal.SIGUSR1, stop)
    baton = Baton(work)
    try:
        with pytest.raises(StopError):
            baton.resume()
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert baton.is_over
    assert [(isinstance(error, StopError), str(error)) for error in seen] == [(True, f"number {signal.SIGUSR1:d}")]


def test_an_error_of_another_thread_keeps_its_arguments_and_attributes():
    from litmlp.training.compat import raise_in_thread

    seen: list[BaseException] = []
    begun = threading.Event()

    def wait() -> None:
        try:
            begun.set()
            while True:
                time.sleep(0.001)
        except StopError as error:
            seen.append(error)

    thread = threading.Thread(target=wait)
    thread.start()
    begun.wait()
    assert thread.ident is not None
    raise_in_thread(thread.ident, StopError(7))
    thread.join()
    assert [(str(error), vars(error)) for error in seen] == [("number 7", {"number": 7})]


def test_the_clock_of_a_work_stands_still_while_it_is_parked():
    times = []

    def work() -> None:
        times.append(seconds())
        park(None)
        times.append(seconds())

    baton = Baton(work)
    baton.resume()
    kept = baton.seconds
    baton.seconds += 1000  # what was done for it meanwhile
    baton.resume()
    assert times[0] <= kept
    assert times[1] - times[0] >= 1000
    assert times[1] < 2000  # the time since the machine started, or the like, is not in it


def test_a_signal_that_comes_just_after_a_work_has_parked_is_raised_at_once():
    baton = Baton(lambda: park(1))
    wait = baton._looked

    class Interrupting:
        release = wait.release
        is_first = True

        def acquire(self, **arguments: float) -> bool:
            got = wait.acquire(**arguments)
            if self.is_first:
                self.is_first = False
                raise KeyboardInterrupt
            return got

    baton._looked = Interrupting()  # type: ignore[assignment]
    with pytest.raises(KeyboardInterrupt):
        baton.resume()
    assert baton.parked == 1
