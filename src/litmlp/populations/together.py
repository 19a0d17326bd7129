"""Trains many runs in one process, and takes the steps of those together that differ in nothing but numbers."""

import gc
import logging
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from time import perf_counter
from typing import Any, NamedTuple

import torch

from litmlp.populations import keys
from litmlp.populations.baton import Baton
from litmlp.populations.likeness import difference
from litmlp.populations.member import Member
from litmlp.populations.population import Population, Recordings
from litmlp.populations.size import most_members, products
from litmlp.populations.step import NotRecordable

log = logging.getLogger(__name__)

MOST_KINDS = 4  # of runs, whose recorded steps are kept
QUARTER = 0.25  # of a population's members; once they have left, others take their places
STEPS_TO_MAKE_ANEW = 10_000  # of members, which take about as long as to make a smaller population


class Work(NamedTuple):
    """Trains one run or more.

    Attributes:
        do: trains them.
        key: works with the same key are likely to agree in what runs must share to be trained together.
    """

    do: Callable[[], None]
    key: Any = None


def train_together(works: Sequence[Work], most: int | str = "auto", share: Callable[[], None] = lambda: None) -> None:
    """Do works that train runs, and take the steps of their runs together.

    A work parks where its run waits for the steps of an epoch. As soon as a quarter of a population's members have
    left, because they are done, pruned or failed, other works take their places; without others, the rest goes on as a
    smaller population where that saves time.

    Args:
        works: of which those with the same key are done at the same time.
        most: the number of works that are under way at the same time at most; `auto` for as many as pay and fit.
        share: is called when runs are trained alone, not because they differ, but because all like them are.

    Raises:
        BaseException: with which a work ended; all others are stopped with it, too.
    """
    if len(works) == 1:
        works[0].do()
        return
    together, threads = Together(works, most, share), torch.get_num_threads()
    gc.freeze()  # the many objects of what was imported are no garbage: Python need not look at them again and again
    with _logged():
        try:
            together.run()
        except BaseException as error:
            # An error of one work is not that of the others: they end as if they were stopped.
            together.stop(SystemExit(str(error)) if isinstance(error, Exception) else error)
            raise
        finally:
            gc.unfreeze()
            torch.set_num_threads(threads)


@contextmanager
def _logged() -> Iterator[None]:
    """Let the logs of all runs be written: each run that ends would restore the level that it found."""
    ours = logging.getLogger("litmlp")
    level = ours.level
    ours.setLevel(min(logging.INFO, level or logging.INFO))
    try:
        yield
    finally:
        ours.setLevel(level)


class Together:
    """The works that are left or under way. The arguments are those of `train_together`.

    Attributes:
        left: works that have not begun.
        under_way: those that have begun, and wait.
        key: of the works that were begun last.
        known: a member of each of the last kinds, and the steps that were recorded for it.
        last_alone: the config of the run that was trained alone last.
    """

    def __init__(self, works: Sequence[Work], most: int | str, share: Callable[[], None]) -> None:
        numbers = {key: number for number, key in enumerate(dict.fromkeys(work.key for work in works))}
        self.left = deque(sorted(works, key=lambda work: numbers[work.key]))
        self.most = most
        self.share = share
        self.under_way: list[Baton] = []
        self.key: Any = None
        self.known: deque[tuple[Member, Recordings]] = deque(maxlen=MOST_KINDS)
        self.last_alone: Mapping[str, Any] | None = None

    def run(self) -> None:
        """Do all works."""
        while self.left or self.under_way:
            self._begin_more()
            for group in self._groups():
                self._train(group)

    def stop(self, error: BaseException) -> None:
        """Let all works that are under way end with an error."""
        for baton in self.under_way:
            while not baton.is_over:
                baton.resume(error)

    def _begin_more(self) -> None:
        while self.left and self._has_place():
            work = self.left.popleft()
            self.key, baton = work.key, Baton(work.do, self.share)
            self.under_way.append(baton)
            self._go_on(baton)

    def _has_place(self) -> bool:
        """Tell whether the next work can begin."""
        return not self.under_way or (self.left[0].key == self.key and len(self.under_way) < self._most())

    def _most(self) -> int:
        return most_members(self.under_way[0].parked.trainer) if self.most == "auto" else int(self.most)

    def _go_on(self, baton: Baton) -> None:
        """Let a work go on until it waits again or ends; raise the error with which it ended, if any."""
        baton.resume()
        if baton.is_over:
            self.under_way.remove(baton)
        if baton.error is not None:
            raise baton.error

    def _groups(self) -> list[list[Baton]]:
        """Return the works in groups whose runs can take their steps together."""
        groups: list[list[Baton]] = []
        for baton in self.under_way:
            own_group = next((group for group in groups if not unlike(group[0].parked, baton.parked)), None)
            if own_group is None:
                groups.append(own_group := [])
            own_group.append(baton)
        return groups

    def _train(self, group: list[Baton]) -> None:
        """Take the steps of a group until many of its members have left."""
        members: list[Member] = [baton.parked for baton in group]
        if len(group) == 1 and not members[0].has_begun:
            self._leave_alone(group, self._reason(members[0]))
            return
        try:
            population = Population(members, self._recordings(members[0]))
        except NotRecordable as error:
            self.share()
            self._leave_alone(group, str(error))
            return
        for baton, new in zip(group, members, strict=True):
            if not new.has_begun:
                self._go_on(baton)
        self._forget_those_that_left(population, group)
        for present in filter(None, population.members):
            present.loop.side_by_side = len(group)
        torch.set_num_threads(population.threads)
        while self._stays(population):
            started = perf_counter()
            population.epoch()
            each = (perf_counter() - started) / population.num_members()
            for baton, still in zip(group, population.members, strict=True):
                if still is not None:
                    baton.seconds += each
                    self._go_on(baton)
            self._forget_those_that_left(population, group)
        population.disband()

    def _stays(self, population: Population) -> bool:
        """Tell whether a population goes on as it is, with steps in vain for those that have left."""
        here = [member for member in population.members if member is not None]
        num_left = len(population.members) - len(here)
        if not here or not num_left:
            return bool(here)
        ends = [member.trainer.max_epochs for member in here]
        if self.left or any(end is None or end < 0 for end in ends):  # nobody knows how long the others will train
            return num_left < QUARTER * len(population.members)
        epochs = max(end - member.trainer.current_epoch for end, member in zip(ends, here, strict=True))
        return num_left * epochs * population.num_steps < STEPS_TO_MAKE_ANEW

    @staticmethod
    def _forget_those_that_left(population: Population, group: Sequence[Baton]) -> None:
        # A work that trains several runs waits with another member once a run is done.
        for row, baton in enumerate(group):
            if population.members[row] is not baton.parked:
                population.members[row] = None

    def _leave_alone(self, group: Sequence[Baton], reason: str) -> None:
        for baton in group:
            baton.parked.reason_alone = reason
            self._go_on(baton)

    def _recordings(self, member: Member) -> Recordings:
        for other, recordings in self.known:
            if not unlike(other, member):
                return recordings
        self.known.append((member, {}))
        return self.known[-1][1]

    def _reason(self, member: Member) -> str:
        others = [baton.parked for baton in self.under_way if baton.parked is not member]
        found = [unlike(other, member) for other in (*others, *(other for other, _ in self.known))]
        if self.last_alone is not None:
            found.append(keys.difference(self.last_alone, member.config))
        self.last_alone = member.config
        if self._most() == 1:
            self.share()
            return f"its steps, with {products(member.trainer):,} multiplications in a forward pass, keep a core busy"
        differing = next(filter(None, found), None)
        return f"other runs differ in {differing}" if differing else "there is no other run to train it with"


def unlike(one: Member, other: Member) -> str:
    """Return in what two members differ that they would have to share to train together; empty if in nothing."""
    if not (found := _difference(one, other)):
        return ""
    return keys.difference(one.config, other.config) or found


def _difference(one: Member, other: Member) -> str:
    if one.data.batch_size != other.data.batch_size or one.num_steps != other.num_steps:
        return "the number of rows or of steps"
    tables = [member.data.tables for member in (one, other)]
    if any((tables[0][split].weight is None) != (tables[1][split].weight is None) for split in ("train", "val")):
        return "weights of rows"
    if type(one.optimizer) is not type(other.optimizer):
        return "optimizer._target_"
    clips = [(member.trainer.gradient_clip_val, member.trainer.gradient_clip_algorithm) for member in (one, other)]
    if clips[0] != clips[1]:
        return "trainer.gradient_clip_val"
    return difference(one.task, other.task)
