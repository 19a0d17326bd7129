"""Takes the steps of members of a population together."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad_and_value, vmap

from litmlp.data import Batch
from litmlp.networks.mlp import Dropout
from litmlp.populations.baton import Baton
from litmlp.populations.likeness import FREE, difference
from litmlp.populations.member import Member
from litmlp.populations.optimizer import StackedOptimizer
from litmlp.populations.recorded import recorded
from litmlp.populations.stack import Stack

ROWS_AT_ONCE = 65536
AUTO = 64


class Captured:
    """Takes the place of `Collected` in a step that is recorded."""

    rows: Tensor | None = None

    def add(self, rows: Tensor) -> None:
        """Keep rows."""
        self.rows = rows


class RawTarget:
    """Takes the place of a task's target in a step that is recorded: members have targets of their own."""

    @staticmethod
    def mean_of(output: Tensor) -> Tensor:
        """Return the outputs of all members of a network, of which a mean is taken later."""
        return output


class SmoothedCrossEntropy(nn.Module):
    """Cross entropy with a label smoothing that is a tensor."""

    def __init__(self, label_smoothing: Tensor, reduction: str) -> None:
        super().__init__()
        self.label_smoothing, self.reduction = label_smoothing, reduction

    def forward(self, scores: Tensor, target: Tensor) -> Tensor:
        """Compare scores `[N, K]` with classes `[N]`."""
        logarithms = scores.log_softmax(dim=1)
        of_class = -logarithms.gather(1, target[:, None])[:, 0]
        losses = torch.lerp(of_class, -logarithms.mean(dim=1), self.label_smoothing.to(scores.dtype))
        return losses.mean() if self.reduction == "mean" else losses


class Step(nn.Module):
    """Calls `training_step` of a task, and returns the loss and what the step keeps for the metrics."""

    def __init__(self, task: nn.Module) -> None:
        super().__init__()
        self.task = task

    def forward(self, batch: Batch, free: dict[tuple[str, str], Tensor], stage: str) -> Any:
        """Return the loss and the output, or for validation rows the output."""
        task: Any = self.task
        with ExitStack() as stack:
            modules = dict(task.named_modules())
            stack.enter_context(replaced(task, "target", RawTarget()))
            for (name, key), value in free.items():
                module: Any = modules[name]
                if key == "label_smoothing":
                    owner, _, attribute = f"task.{name}".rpartition(".")
                    parent = task if owner == "task" else modules[owner.removeprefix("task.")]
                    stack.enter_context(replaced_module(parent, attribute, SmoothedCrossEntropy(value, module.reduction)))
                else:
                    stack.enter_context(replaced(module, key, value))
            seen = {stage: (Captured(), Captured(), Captured())}
            stack.enter_context(replaced(task, "seen", seen))
            if stage == "val":
                task.validation_step(batch, 0)
                return [kept.rows for kept in seen["val"] if kept.rows is not None]
            loss = task.training_step(batch, 0)
            return loss, [kept.rows for kept in seen["train"] if kept.rows is not None]


@contextmanager
def replaced(owner: Any, key: str, value: Any) -> Iterator[None]:
    """Set an attribute while this context lasts."""
    kept = vars(owner).get(key, ...)
    vars(owner)[key] = value
    try:
        yield
    finally:
        if kept is ...:
            del vars(owner)[key]
        else:
            vars(owner)[key] = kept


@contextmanager
def replaced_module(owner: nn.Module, key: str, value: nn.Module) -> Iterator[None]:
    """Set a submodule while this context lasts."""
    kept = owner._modules[key]
    owner._modules[key] = value
    try:
        yield
    finally:
        owner._modules[key] = kept


class Population:
    """Members of the same structure, whose parameters are the rows of one matrix.

    Args:
        members: which wait for the steps of an epoch.
    """

    def __init__(self, members: Sequence[Member]) -> None:
        self.members = list(members)
        tasks = [member.task for member in members]
        self.task = tasks[0]
        self.step_module = Step(self.task)
        names = {id(p): name for name, p in self.task.named_parameters()}
        groups = [[names[id(p)] for p in group["params"]] for group in members[0].optimizer.param_groups]
        self.stack = Stack(tasks, groups)
        self.optimizer = StackedOptimizer(
            self.stack,
            [m.optimizer for m in members],
            members[0].trainer.gradient_clip_val,
            members[0].trainer.gradient_clip_algorithm == "value",
        )
        for row, member in enumerate(members):
            member.optimizer.consolidate_state_dict = partial(self.optimizer.give, row)  # Lightning calls it to save
        buffers = [dict(task.named_buffers()) for task in tasks]
        self.buffers = {name: torch.stack([b[name] for b in buffers]) for name in buffers[0]}
        self.free = free_of(tasks, self.stack.matrix.dtype)
        self.dropouts = [name for name, module in self.task.named_modules() if isinstance(module, Dropout)]
        self.sizes: dict[int, list[int]] = {}
        self.recorded: dict[Any, Callable[..., Any]] = {}
        self.tables, self.offsets = joined([m.data.tables["train"] for m in members])
        self.val, self.val_offsets = joined([m.data.tables["val"] for m in members])

    def epoch(self) -> None:
        """Take the steps of an epoch of all members, and compute their outputs for validation rows."""
        members, size = self.members, self.members[0].data.batch_size
        order, counts = padded([m.loader.sampler.indices(len(m.data.tables["train"].numeric)) for m in members])
        order += self.offsets[:, None]
        plans = [m.plan() for m in members]
        rates = torch.tensor([plan[0] for plan in plans], dtype=self.stack.matrix.dtype)  # [M, steps, G]
        views = self.stack.views()
        kept = []
        for number, index in enumerate(order.split(size, dim=1)):
            batch = rows_of(self.tables, index)
            words = self.words(batch, counts, number * size)
            if len(set(counts)) > 1 and index.shape[1] + number * size == order.shape[1]:
                batch = without_padding(batch, torch.tensor(counts) - number * size)
            gradients, (losses, seen) = self.run("train", views, batch, words)
            self.stack.put(gradients, self.optimizer.gradient)
            self.optimizer.step(rates[:, number], [plan[1][number] for plan in plans] if plans[0][1] else None)
            kept.append(seen)
        train = [torch.cat(parts, dim=1) for parts in zip(*kept, strict=False)]  # padding has weights, perhaps alone
        val, val_counts = self.validation(views)
        for k, member in enumerate(members):
            member.loss = losses[k]
            member.outputs = self._seen(member, train, k, counts[k])
            member.val_outputs = self._seen(member, val, k, val_counts[k])
        self._show_gradients()

    def _seen(self, member: Member, kept: Sequence[Tensor], k: int, count: int) -> list[Tensor]:
        output, *others = (rows[k, :count] for rows in kept)
        return [output if output.ndim == 2 else member.task.target.mean_of(output), *others]

    def _show_gradients(self) -> None:
        for row, member in zip(self.optimizer.gradient, self.members, strict=True):
            parameters = dict(member.task.named_parameters())
            for name, shape, start, end in self.stack.places:
                parameters[name].grad = row[start:end].view(shape)

    @torch.no_grad()
    def validation(self, views: dict[str, Tensor]) -> tuple[list[Tensor], list[int]]:
        """Return what validation steps keep of all validation rows, and the number of rows of each member."""
        index, counts = padded([torch.arange(len(m.data.tables["val"].numeric)) for m in self.members])
        index += self.val_offsets[:, None]
        size = max(64, ROWS_AT_ONCE // len(self.members))
        parts = [self.run("val", views, rows_of(self.val, some)) for some in index.split(size, dim=1)]
        return [torch.cat(part, dim=1) for part in zip(*parts, strict=True)], counts

    def words(self, batch: Batch, counts: Sequence[int], start: int) -> list[Tensor]:
        """Return random numbers for each `Dropout` that the step will call, `[M, ...]`, as a run alone draws them."""
        if not self.dropouts:
            return []
        sizes = self._sizes(batch)
        drawn = []
        for member, count in zip(self.members, counts, strict=True):
            rows = min(count - start, batch.numeric.shape[1])
            own = [-(-size // batch.numeric.shape[1] * rows // 8) for size in sizes]
            words = torch.empty(sum(own), dtype=torch.int64).random_(-(2**63), None, generator=member.baton.generator)
            drawn.append(words.split(own))
        longest = [-(-size // 8) for size in sizes]
        return [
            torch.stack([nn.functional.pad(one, (0, most - len(one))) for one in of_layer])
            for most, of_layer in zip(longest, zip(*drawn, strict=True), strict=True)
        ]

    def _sizes(self, batch: Batch) -> list[int]:
        """Return the number of units that each `Dropout` gets of a member, in the order of their names."""
        key = batch.numeric.shape[1]
        if key not in self.sizes:
            sizes: dict[str, int] = {}
            modules = dict(self.task.named_modules())
            hooks = [
                modules[name].register_forward_pre_hook(lambda _, units, name=name: sizes.update({name: units[0].numel()}))
                for name in self.dropouts
            ]
            state = torch.default_generator.get_state()
            with torch.no_grad():
                self.task.train().network(batch.numeric[0].to(self.task.dtype), batch.categorical[0])
            torch.default_generator.set_state(state)
            for hook in hooks:
                hook.remove()
            self.sizes[key] = [sizes[name] for name in self.dropouts]
        return self.sizes[key]

    def run(self, stage: str, views: dict[str, Tensor], batch: Batch, words: Sequence[Tensor] = ()) -> Any:
        key = (stage, batch.numeric.shape, batch.weight is None)
        given = (views, self.buffers, [*self.free.values(), *words], *batch)
        if key not in self.recorded:
            function = self.gradients if stage == "train" else self.evaluate
            self.task.train(stage == "train")
            self.recorded[key] = recorded(function, *given)
        return self.recorded[key](*given)

    def _named(self, free: Sequence[Tensor]) -> dict[tuple[str, str], Tensor]:
        names = [*self.free, *((name, "words") for name in self.dropouts)]
        return dict(zip(names, free, strict=False))  # an evaluation has no random numbers

    def gradients(self, parameters: Any, buffers: Any, free: Any, *batch: Any) -> Any:
        def one(parameters: Any, buffers: Any, free: Any, *batch: Any) -> Any:
            named = {f"task.{name}": t for name, t in (parameters | buffers).items()}
            return functional_call(self.step_module, named, (Batch(*batch), self._named(free), "train"))

        def total(parameters: Any) -> Any:
            loss, output = vmap(one, in_dims=(0, 0, 0, *dims(batch)), randomness="different")(parameters, buffers, free, *batch)
            return loss.sum(), (loss, output)

        gradients, (_, kept) = grad_and_value(total, has_aux=True)(parameters)
        return [gradients[place.name] for place in self.stack.places], kept

    def evaluate(self, parameters: Any, buffers: Any, free: Any, *batch: Any) -> Any:
        def one(parameters: Any, buffers: Any, free: Any, *batch: Any) -> Any:
            named = {f"task.{name}": t for name, t in (parameters | buffers).items()}
            return functional_call(self.step_module, named, (Batch(*batch), self._named(free), "val"))

        return vmap(one, in_dims=(0, 0, 0, *dims(batch)))(parameters, buffers, free, *batch)


def free_of(tasks: Sequence[nn.Module], dtype: torch.dtype) -> dict[tuple[str, str], Tensor]:
    """Return the attributes that members may differ in, `[M]` each, by the name of the module and of the attribute."""
    named = [dict(task.named_modules()) for task in tasks]
    free = {}
    for name, module in named[0].items():
        for key, kind in FREE.items():
            if isinstance(module, kind):
                values = [float(getattr(modules[name], key)) for modules in named]
                if isinstance(module, nn.Dropout) or len(set(values)) > 1:
                    free[name, key] = torch.tensor(values, dtype=dtype)
    return free


def dims(batch: Sequence[Tensor | None]) -> list[int | None]:
    return [None if tensor is None else 0 for tensor in batch]


def padded(rows: Sequence[Tensor]) -> tuple[Tensor, list[int]]:
    """Return indices of rows of all members, `[M, N]`, the last of which are 0 for some, and how many each has."""
    counts = [len(one) for one in rows]
    index = torch.zeros(len(rows), max(counts), dtype=torch.int64)
    for own, one in zip(index, rows, strict=True):
        own[: len(one)] = one
    return index, counts


def without_padding(batch: Batch, counts: Tensor) -> Batch:
    """Return a batch in which only the first rows of each member, `[M]`, count."""
    counts_row = torch.arange(batch.numeric.shape[1])[None, :] < counts[:, None]
    ones = torch.ones(counts_row.shape) if batch.weight is None else batch.weight
    return batch._replace(weight=ones * counts_row)


def joined(tables: Sequence[Batch]) -> tuple[Batch, Tensor]:
    """Return the distinct tables as one, and where each of `tables` begins in it."""
    distinct: dict[int, tuple[int, Batch]] = {}
    start, offsets = 0, []
    for table in tables:
        key = table.numeric.data_ptr() if table.numeric.numel() else id(table)
        if key not in distinct:
            distinct[key] = (start, table)
            start += len(table.numeric)
        offsets.append(distinct[key][0])
    parts = [table for _, table in distinct.values()]
    whole = [None if one[0] is None else torch.cat(one) for one in zip(*parts, strict=True)]
    return Batch(*whole), torch.tensor(offsets)


def rows_of(table: Batch, index: Tensor) -> Batch:
    """Return rows `[M, B, ...]` of a table for indices `[M, B]`."""
    rows = table.rows(index.flatten())
    return Batch(*(None if t is None else t.view(*index.shape, *t.shape[1:]) for t in rows))


def train_together(works: Sequence[Callable[[], None]], most: int | str) -> None:
    """Do works that train runs, and take the steps of their runs together.

    Args:
        works: each trains one run or more.
        most: the number of works that are begun at the same time at most.
    """
    waiting: list[Baton] = []
    left = deque(works)
    size = AUTO if most == "auto" else int(most)
    try:
        while waiting or left:
            while left and len(waiting) < size:
                waiting += begun(Baton(left.popleft()))
            groups = grouped(waiting)
            waiting = []
            for group in groups:
                waiting += trained_for_a_while(group)
    except BaseException as error:
        for baton in waiting:
            if not baton.is_over:
                baton.resume(error)
        raise


def begun(baton: Baton) -> list[Baton]:
    """Let a work go on until it waits for steps; return it, or nothing if it is over."""
    baton.resume()
    if baton.error is not None:
        raise baton.error
    return [] if baton.is_over else [baton]


def grouped(batons: Sequence[Baton]) -> list[list[Baton]]:
    """Return the works in groups whose runs can take their steps together."""
    groups: list[list[Baton]] = []
    for baton in batons:
        member = baton.parked
        for group in groups:
            first = group[0].parked
            if not unlike(first, member):
                group.append(baton)
                break
        else:
            groups.append([baton])
    return groups


def unlike(one: Member, other: Member) -> str:
    """Return why two members cannot take their steps together; empty if they can."""
    if one.data.batch_size != other.data.batch_size or one.num_steps != other.num_steps:
        return "the number of rows or steps"
    if type(one.optimizer) is not type(other.optimizer):
        return "the optimizer"
    clips = [(m.trainer.gradient_clip_val, m.trainer.gradient_clip_algorithm) for m in (one, other)]
    if clips[0] != clips[1]:
        return "trainer.gradient_clip_val"
    return difference(one.task, other.task)


def trained_for_a_while(group: list[Baton]) -> list[Baton]:
    """Train a group until a quarter of it is over; return the works that are not."""
    population = Population([baton.parked for baton in group])
    enough = len(group) * 3 // 4
    waiting = group
    while len(waiting) == len(group) or (len(waiting) > enough and False):
        population.epoch()
        waiting = [one for baton in group for one in begun(baton)]
    for row in range(len(population.members)):
        population.optimizer.give(row)
    return waiting
