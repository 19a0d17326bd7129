"""Takes the steps of members of a population together."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad_and_value, vmap

from litmlp.data import Batch
from litmlp.populations.baton import Baton
from litmlp.populations.member import Member
from litmlp.populations.optimizer import StackedOptimizer
from litmlp.populations.recorded import recorded
from litmlp.populations.stack import Stack

ROWS_AT_ONCE = 65536


class Captured:
    def __init__(self) -> None:
        self.rows: Tensor | None = None

    def add(self, rows: Tensor) -> None:
        self.rows = rows


class Step(nn.Module):
    """Calls `training_step` of a task, and returns the loss and what the step keeps for the metrics."""

    def __init__(self, task: nn.Module) -> None:
        super().__init__()
        self.task = task

    def forward(self, batch: Batch, stage: str) -> Any:
        task: Any = self.task
        if stage == "val":
            return task.forward(batch)
        kept, task.seen = task.seen, {"train": (Captured(), Captured(), Captured())}
        try:
            loss = task.training_step(batch, 0)
            return loss, task.seen["train"][0].rows
        finally:
            task.seen = kept


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
        self.optimizer = StackedOptimizer(self.stack, [m.optimizer for m in members])
        for row, member in enumerate(members):
            member.optimizer.consolidate_state_dict = partial(self.optimizer.give, row)  # Lightning calls it to save
        buffers = [dict(task.named_buffers()) for task in tasks]
        self.buffers = {name: torch.stack([b[name] for b in buffers]) for name in buffers[0]}
        self.recorded: dict[Any, Callable[..., Any]] = {}
        self.tables, self.offsets = joined([m.data.tables["train"] for m in members])
        self.val, self.val_offsets = joined([m.data.tables["val"] for m in members])

    def epoch(self) -> None:
        """Take the steps of an epoch of all members, and compute their outputs for validation rows."""
        members = self.members
        size = members[0].data.batch_size
        order = torch.stack([m.loader.sampler.indices(len(m.data.tables["train"].numeric)) for m in members])
        order = order + self.offsets[:, None]
        rates = torch.tensor([m.rates() for m in members], dtype=self.stack.matrix.dtype)  # [M, steps, G]
        views, outputs, targets, weights = self.stack.views(), [], [], []
        for number, index in enumerate(order.split(size, dim=1)):
            batch = rows_of(self.tables, index)
            gradients, (losses, output) = self.run("train", views, batch)
            self.stack.put(gradients, self.optimizer.gradient)
            self.optimizer.step(rates[:, number])
            outputs.append(output); targets.append(batch.target)
            if batch.weight is not None: weights.append(batch.weight)
        output, target = torch.cat(outputs, dim=1), torch.cat(targets, dim=1)
        weight = torch.cat(weights, dim=1) if weights else None
        val_output, val = self.validation(views)
        grads = self.optimizer.gradient
        for k, member in enumerate(members):
            member.outputs = (output[k], target[k], None if weight is None else weight[k])
            member.val_outputs = (val_output[k], val.target[k], None if val.weight is None else val.weight[k])
            member.loss = losses[k]
            for place in self.stack.places:
                pass
        self._show_gradients()

    def _show_gradients(self) -> None:
        for row, member in zip(self.optimizer.gradient, self.members, strict=True):
            parameters = dict(member.task.named_parameters())
            for name, shape, start, end in self.stack.places:
                parameters[name].grad = row[start:end].view(shape)

    @torch.no_grad()
    def validation(self, views: dict[str, Tensor]) -> tuple[Tensor, Batch]:
        count = len(self.members[0].data.tables["val"].numeric)
        index = torch.arange(count)[None, :] + self.val_offsets[:, None]
        batch = rows_of(self.val, index)
        return self.run("val", views, batch), batch

    def run(self, stage: str, views: dict[str, Tensor], batch: Batch) -> Any:
        key = (stage, batch.numeric.shape)
        given = (views, self.buffers, *batch)
        if key not in self.recorded:
            function = self.gradients if stage == "train" else self.evaluate
            self.task.train(stage == "train")
            self.recorded[key] = recorded(function, *given)
        return self.recorded[key](*given)

    def gradients(self, parameters: Any, buffers: Any, *batch: Any) -> Any:
        def one(parameters: Any, buffers: Any, *batch: Any) -> Any:
            named = {f"task.{name}": t for name, t in (parameters | buffers).items()}
            return functional_call(self.step_module, named, (Batch(*batch), "train"))

        def total(parameters: Any) -> Any:
            loss, output = vmap(one, in_dims=(0, 0, *dims(batch)), randomness="different")(parameters, buffers, *batch)
            return loss.sum(), (loss, output)

        gradients, (_, kept) = grad_and_value(total, has_aux=True)(parameters)
        return [gradients[place.name] for place in self.stack.places], kept

    def evaluate(self, parameters: Any, buffers: Any, *batch: Any) -> Any:
        def one(parameters: Any, buffers: Any, *batch: Any) -> Any:
            named = {f"task.{name}": t for name, t in (parameters | buffers).items()}
            return functional_call(self.step_module, named, (Batch(*batch), "val"))

        return vmap(one, in_dims=(0, 0, *dims(batch)))(parameters, buffers, *batch)


def dims(batch: Sequence[Tensor | None]) -> list[int | None]:
    return [None if tensor is None else 0 for tensor in batch]


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


def train_together(works: Sequence[Callable[[], None]]) -> list[BaseException | None]:
    """Do works that train; their steps are taken together. Return the error of each, if any."""
    batons = [Baton(work) for work in works]
    for baton in batons:
        baton.resume()
    while waiting := [b for b in batons if not b.is_over]:
        population = Population([b.parked for b in waiting])
        while len(waiting) == len(population.members):
            population.epoch()
            for baton in waiting:
                baton.resume()
            waiting = [b for b in waiting if not b.is_over]
        for row in range(len(population.members)):
            population.optimizer.give(row)
    return [b.error for b in batons]
