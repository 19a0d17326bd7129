"""Takes the steps of several runs together: their parameters are the rows of one matrix."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad_and_value, vmap

from litmlp import machine
from litmlp.data import Batch
from litmlp.networks.hidden import evaluating
from litmlp.networks.mlp import Dropout, num_words
from litmlp.populations.likeness import is_free
from litmlp.populations.measures import measure
from litmlp.populations.member import Member
from litmlp.populations.optimizer import StackedOptimizer
from litmlp.populations.padding import Padding, paddings
from litmlp.populations.recorded import recorded
from litmlp.populations.stack import Stack
from litmlp.populations.step import NotRecordable, Step, without_side_effects
from litmlp.training.compat import has_hooks

ROWS_AT_ONCE = 65536  # of all members together, in a validation
MAX_REASON = 200
TOLERANCE = {torch.float32: 1e-3, torch.float64: 1e-6}  # of the differences between one step and the other, relative
Recordings = dict[Any, dict[Any, Callable[..., Any]]]  # by the shapes of the parameters


class Population:
    """Members whose steps differ in nothing but numbers.

    Args:
        members: which wait for the steps of an epoch.
        recordings: the steps that were recorded for members like these; new ones are added.

    Raises:
        NotRecordable: the steps cannot be taken together.
    """

    def __init__(self, members: Sequence[Member], recordings: Recordings) -> None:
        self.members: list[Member | None] = list(members)  # None for one that has left
        tasks = [member.task for member in members]
        self.task = copied(tasks[0])
        self.batch_size, self.num_steps = members[0].data.batch_size, members[0].num_steps
        self.precision: Any = members[0].trainer.precision_plugin
        self.threads = machine.threads(members[0].config["threads"], self.task.network, self.batch_size)
        self.dropouts = [name for name, module in self.task.named_modules() if isinstance(module, Dropout)]
        self.sizes: dict[int, list[int]] = {}
        self.free = free_of(tasks)
        convert = self.precision.convert_input  # to double precision, if that is asked for
        self.train, self.train_offsets = joined([convert(m.data.tables["train"]) for m in members])
        self.val, self.val_offsets = joined([convert(m.data.tables["val"]) for m in members])
        self.counts = [len(m.data.tables["train"].numeric) for m in members]
        self.val_counts = [len(m.data.tables["val"].numeric) for m in members]
        names = {id(p): name for name, p in tasks[0].named_parameters()}
        groups = [[names[id(p)] for p in group["params"]] for group in members[0].optimizer.param_groups]
        self.paddings = paddings(tasks)
        self.stack = Stack(tasks, groups, self.paddings)
        self.others = others(tasks, {place.name for place in self.stack.places})
        self.buffers = stacked(self.others, self.paddings)
        shapes = tuple(tensor.shape for tensor in (self.stack.views() | self.buffers).values())
        self.recordings = recordings.setdefault(shapes, {})
        try:
            self._try()
            self._check(members)
        except NotRecordable:
            raise
        except Exception as error:
            raise NotRecordable(f"its step cannot be recorded: {sentence(error)}") from error
        self.optimizer = StackedOptimizer(
            self.stack,
            [m.optimizer for m in members],
            members[0].trainer.gradient_clip_val,
            members[0].trainer.gradient_clip_algorithm == "value",
        )
        for row, member in enumerate(members):
            member.optimizer.consolidate_state_dict = partial(self.optimizer.give, row)  # Lightning calls it to save
            named = dict(member.task.named_parameters())
            member.parameters = [named[place.name] for place in self.stack.places]
            member.begin_to_watch()

    def epoch(self) -> None:
        """Take the steps of an epoch of all members, and compute their outputs for validation rows."""
        orders = [m.order() if m else torch.arange(n) for m, n in zip(self.members, self.counts, strict=True)]
        order = padded(orders) + self.train_offsets[:, None]
        plans = [m.plan() if m else None for m in self.members]
        known = next(plan for plan in plans if plan)
        still = [[0.0] * len(known.rates[0])] * len(known.rates)  # the rates of one that has left
        like = self.stack.matrices[0]
        # [M, steps, groups]
        rates = torch.tensor([plan.rates if plan else still for plan in plans], dtype=like.dtype, device=like.device)
        self._take()
        self._start_random_numbers()
        kept = []
        views = self.stack.views()
        for number, index in enumerate(order.split(self.batch_size, dim=1)):
            batch = self._batch(index, number)
            gradients, (losses, seen) = self._run("train", views, batch, self._words(batch, number))
            self.optimizer.put(gradients)
            settings = [(plan or known).settings[number] for plan in plans] if known.settings else None
            self.optimizer.step(rates[:, number], settings)
            kept.append(seen)
        train = [torch.cat(parts, dim=1) for parts in zip(*kept, strict=False)]  # only the last may have weights
        val = self._validation(views)
        for row, member in enumerate(self.members):
            if member:
                member.loss = losses[row]
                member.outputs = _seen(member, train, row, self.counts[row])
                member.val_outputs = _seen(member, val, row, self.val_counts[row])
                self._give(row, member)
        measure(self.task, [member for member in self.members if member])

    def disband(self) -> None:
        """Give the members that are left the states of their optimizers, so that others can take their steps."""
        for row, member in enumerate(self.members):
            if member:
                self.optimizer.give(row)
                del member.optimizer.consolidate_state_dict

    def num_members(self) -> int:
        """Return how many members have not left."""
        return sum(member is not None for member in self.members)

    def _take(self) -> None:
        """Copy what is not shared with the members: hooks may have changed its numbers."""
        self.buffers = stacked(self.others, self.paddings)
        for row, member in enumerate(self.members):
            if member:
                self.stack.take(row)

    def _give(self, row: int, member: Member) -> None:
        """Let a member's parameters have the numbers of the population, and the gradients of the last step."""
        self.stack.give(row)
        if self.optimizer.has_state(row):
            member.expect_state()
        places, gradients = self.stack.places, self.optimizer.gradient_of
        for place, gradient, parameter in zip(places, gradients, member.parameters, strict=True):
            parameter.grad = gradient[row] if place.padding is None else place.padding.own(row, gradient[row])

    def _batch(self, index: Tensor, number: int) -> Batch:
        batch = rows_of(self.train, index)
        is_last = number == (max(self.counts) - 1) // self.batch_size
        if not is_last or len(set(self.counts)) == 1:
            return batch
        left = torch.tensor(self.counts, device=index.device) - number * self.batch_size
        is_row = torch.arange(index.shape[1], device=index.device) < left[:, None]  # others are padding
        weight = torch.ones(is_row.shape, device=index.device) if batch.weight is None else batch.weight
        return batch._replace(weight=weight * is_row)

    def _validation(self, views: dict[str, Tensor]) -> list[Tensor]:
        """Return what validation steps keep of all validation rows, `[M, N, ...]`."""
        index = padded([torch.arange(count) for count in self.val_counts]) + self.val_offsets[:, None]
        size = max(64, ROWS_AT_ONCE // len(self.members))
        with evaluating(self.task):
            parts = [self._run("val", views, rows_of(self.val, some))[1] for some in index.split(size, dim=1)]
        return [torch.cat(part, dim=1) for part in zip(*parts, strict=True)]

    # Random numbers.

    def _start_random_numbers(self) -> None:
        # Layers of the user's own draw for all members at once: so that a repetition draws the same, the state is
        # that of the first member, whatever was recorded or computed before.
        first = next(member for member in self.members if member)
        torch.default_generator.set_state(first.baton.generator.get_state())

    def _words(self, batch: Batch, number: int) -> list[Tensor]:
        """Return random numbers for each `Dropout` that the step will call, `[M, ...]`, as a run alone draws them."""
        if not self.dropouts:
            return []
        num_rows = batch.numeric.shape[1]
        sizes = self._sizes(batch)
        drawn = []
        for member, count in zip(self.members, self.counts, strict=True):
            rows = min(count - number * self.batch_size, num_rows)
            own = [num_words(size // num_rows * rows) for size in sizes]
            if member is None:
                drawn.append(torch.zeros(sum(own), dtype=torch.int64).split(own))
                continue
            words = torch.empty(sum(own), dtype=torch.int64).random_(-(2**63), None, generator=member.baton.generator)
            drawn.append(words.split(own))
        longest = [num_words(size) for size in sizes]
        return [
            torch.stack([nn.functional.pad(one, (0, most - len(one))) for one in of_layer]).to(batch.numeric.device)
            for most, of_layer in zip(longest, zip(*drawn, strict=True), strict=True)
        ]

    def _sizes(self, batch: Batch) -> list[int]:
        """Return the number of units that each `Dropout` gets of a member, in the order of their names."""
        key = batch.numeric.shape[1]
        if key not in self.sizes:
            sizes: dict[str, int] = {}
            modules = dict(self.task.named_modules())
            hooks = [
                modules[name].register_forward_pre_hook(
                    lambda _, units, name=name: sizes.update({name: units[0].numel()})
                )
                for name in self.dropouts
            ]
            state = torch.default_generator.get_state()
            with torch.no_grad():
                self.task.network(batch.numeric[0].to(self.task.dtype), batch.categorical[0])
            torch.default_generator.set_state(state)
            for hook in hooks:
                hook.remove()
            self.sizes[key] = [sizes[name] for name in self.dropouts]
        return self.sizes[key]

    # Steps.

    def _key(self, stage: str, batch: Batch) -> Any:
        return stage, batch.numeric.shape, *self.free, *(None if t is None else t.shape[2:] for t in batch)

    def _run(self, stage: str, views: dict[str, Tensor], batch: Batch, words: Sequence[Tensor] = ()) -> Any:
        given = (views, self.buffers, [*self.free.values(), *words], *batch)
        key = self._key(stage, batch)
        if key not in self.recordings:
            state = torch.default_generator.get_state()
            with self.precision.train_step_context():
                self.recordings[key] = recorded(self._gradients if stage == "train" else self._outputs, *given)
            torch.default_generator.set_state(state)
        return self.recordings[key](*given)

    def _try(self) -> None:
        """Record the steps of an epoch, before anything but the place of the parameters is changed.

        The steps are those of a copy, so that a run whose step changes more than its parameters is still as it was.
        """
        views = self.stack.views()
        buffers = {name: buffer.clone() for name, buffer in self.buffers.items()}
        with without_side_effects(self.task):
            for number in self._numbers():
                batch = self._first_batch(number)
                self._run("train", views, batch, self._words_of_zeros(batch))
        with without_side_effects(self.task):
            self._validation(views)
        if changed := [name for name, buffer in self.buffers.items() if not same(buffer, buffers[name])]:
            raise NotRecordable(f"its step changes the buffer {changed[0]}")

    def _numbers(self) -> list[int]:
        """Return the numbers of the first and the last batch of an epoch."""
        return sorted({0, (max(self.counts) - 1) // self.batch_size})

    def _check(self, members: Sequence[Member]) -> None:
        """Raise NotRecordable unless the recorded steps give what the step of each member gives.

        A step may depend on what no look at a task shows, such as gradients that are stopped, or rows of weight 0.
        """
        views, places = self.stack.views(), self.stack.places
        states = [member.baton.generator.get_state() for member in members]
        state = torch.default_generator.get_state()
        try:
            for number in self._numbers():
                batch = self._first_batch(number)
                gradients, (losses, _) = self._run("train", views, batch, self._words(batch, number))
                for member, own in zip(members, states, strict=True):
                    member.baton.generator.set_state(own)
                for row, member in enumerate(members):
                    torch.default_generator.set_state(states[row])
                    rows = member.data.tables["train"].rows(self._slice(number))
                    loss, found = gradients_of(member, rows, [place.name for place in places])
                    # Those of padding must be 0.
                    expected = [self._padded(place.name, row, one) for place, one in zip(places, found, strict=True)]
                    pairs = [(losses[row], loss), *zip([one[row] for one in gradients], expected, strict=True)]
                    if not self._is_random("train", batch) and not agree(pairs):
                        raise NotRecordable("its step gives something else if it is taken with those of other runs")
            outputs = self._validation(views)
            for row, member in enumerate(members):
                table = member.data.tables["val"]
                rows = table.rows(slice(member.data.in_order("val").batch_size))
                own_outputs = outputs_of(member, rows)
                pairs = [(all_rows[row, : len(one)], one) for all_rows, one in zip(outputs, own_outputs, strict=True)]
                if not agree(pairs):
                    raise NotRecordable("its outputs differ if rows are taken together with those of other runs")
        finally:
            for member, own in zip(members, states, strict=True):
                member.baton.generator.set_state(own)
            torch.default_generator.set_state(state)

    def _padded(self, name: str, row: int, own: Tensor) -> Tensor:
        return self.paddings[name].padded(row, own) if name in self.paddings else own

    def _slice(self, number: int) -> slice:
        return slice(number * self.batch_size, (number + 1) * self.batch_size)

    def _is_random(self, stage: str, batch: Batch) -> bool:
        """Tell whether a recorded step draws random numbers, which are those of no single member."""
        recording: Any = self.recordings[self._key(stage, batch)]
        return any(torch.Tag.nondeterministic_seeded in getattr(n.target, "tags", ()) for n in recording.graph.nodes)

    def _first_batch(self, number: int) -> Batch:
        """Return a batch of the rows in the order of the tables."""
        index = padded([torch.arange(count) for count in self.counts])[:, self._slice(number)]
        return self._batch(index + self.train_offsets[:, None], number)

    def _words_of_zeros(self, batch: Batch) -> list[Tensor]:
        if not self.dropouts:
            return []
        sizes = [num_words(size) for size in self._sizes(batch)]
        return [torch.zeros(len(self.members), size, dtype=torch.int64, device=batch.numeric.device) for size in sizes]

    def _named(self, free: Sequence[Tensor]) -> dict[tuple[str, str], Tensor]:
        names = [*self.free, *((name, "words") for name in self.dropouts)]
        return dict(zip(names, free, strict=False))  # an evaluation has no random numbers

    def _gradients(self, parameters: Any, buffers: Any, free: Any, *batch: Any) -> Any:
        def total(parameters: Any) -> Any:
            losses, seen = self._call("train", parameters, buffers, free, *batch)
            return losses.sum(), (losses, seen)

        gradients, (_, kept) = grad_and_value(total, has_aux=True)(parameters)
        return list(gradients.values()), kept

    def _outputs(self, parameters: Any, buffers: Any, free: Any, *batch: Any) -> Any:
        return self._call("val", parameters, buffers, free, *batch)

    def _call(self, stage: str, parameters: Any, buffers: Any, free: Any, *batch: Any) -> Any:
        step = Step(self.task)

        def one(parameters: Any, buffers: Any, free: Any, *batch: Any) -> Any:
            named = {f"task.{name}": tensor for name, tensor in (parameters | buffers).items()}
            return functional_call(step, named, (Batch(*batch), self._named(free), stage))

        dims = (0, 0, 0, *(None if tensor is None else 0 for tensor in batch))
        return vmap(one, in_dims=dims, randomness="different")(parameters, buffers, free, *batch)


def copied(task: Any) -> Any:
    """Return a copy of a task, whose steps can be taken without an effect on the task; it shares trainer and target.

    Raises:
        NotRecordable: something in the task cannot be copied.
    """
    try:
        copy = deepcopy(task, {id(one): one for one in (task.target, task.seen, task.metrics)})
        copy.trainer = task.trainer  # Lightning leaves it out
        return copy
    except Exception as error:
        raise NotRecordable(f"it cannot be copied: {sentence(error)}") from error


def sentence(error: Exception) -> str:
    """Return the first sentence of an error's message."""
    return " ".join(str(error).split()).partition(". ")[0][:MAX_REASON] or type(error).__name__


def same(one: Tensor, other: Tensor) -> bool:
    """Tell whether two tensors have equal numbers; NaN is equal to itself."""
    return torch.equal(one, other) or bool(((one == other) | (one.isnan() & other.isnan())).all())


def gradients_of(member: Member, rows: Batch, names: Sequence[str]) -> tuple[Tensor, list[Tensor]]:
    """Return the loss of a member's own step, and the gradients of its parameters.

    Raises:
        NotRecordable: a parameter has no gradient, so that its optimizer leaves it as it is.
    """
    named = dict(member.task.named_parameters())
    for name in names:
        if not named[name].requires_grad:
            raise NotRecordable(f"{name} is not trained")
    with own_step(member, rows, "train") as (batch, step), torch.enable_grad():
        loss, _ = step(batch, {}, "train")
        found = torch.autograd.grad(loss, [named[name] for name in names], allow_unused=True)
    gradients = []
    for name, gradient in zip(names, found, strict=True):
        if gradient is None or has_hooks(named[name]):
            raise NotRecordable(f"{name} has no gradient" if gradient is None else f"{name} has a hook")
        gradients.append(gradient)
    return loss.detach(), gradients


def outputs_of(member: Member, rows: Batch) -> list[Tensor]:
    """Return what a member's own validation step keeps of some rows."""
    with own_step(member, rows, "val") as (batch, step), torch.no_grad():
        _, seen = step(batch, {}, "val")
    return list(seen)


@contextmanager
def own_step(member: Member, rows: Batch, stage: str) -> Iterator[tuple[Any, Step]]:
    """Give the batch and the step that a member has alone; that of the copy had no side effects."""
    task, precision = member.task, member.trainer.precision_plugin
    modes = [(module, module.training) for module in task.modules()]
    if stage == "val":
        task.eval()
    try:
        with precision.train_step_context():
            yield precision.convert_input(rows), Step(task)
    finally:
        for module, mode in modes:
            module.training = mode


def agree(pairs: Sequence[tuple[Tensor, Tensor]]) -> bool:
    """Tell whether tensors are equal but for rounding; those that are not finite agree with all."""
    size = torch.stack([other.double().norm() for _, other in pairs]).norm()
    apart = torch.stack([(one.double() - other.double()).norm() for one, other in pairs]).norm()
    tolerance = TOLERANCE.get(pairs[0][0].dtype, max(TOLERANCE.values()))
    return not bool(apart > tolerance * size.clamp_min(1e-6))


def free_of(tasks: Sequence[nn.Module]) -> dict[tuple[str, str], Tensor]:
    """Return the attributes that members may differ in, `[M]` each, by the name of the module and of the attribute."""
    named = [dict(task.named_modules()) for task in tasks]
    like = next(tasks[0].parameters())
    free = {}
    for name, module in named[0].items():
        for key in ("p", "label_smoothing", "l1"):
            if is_free(module, key):
                values = [float(getattr(modules[name], key)) for modules in named]
                if isinstance(module, Dropout) or len(set(values)) > 1:
                    free[name, key] = torch.tensor(values, dtype=like.dtype, device=like.device)
    return free


def others(tasks: Sequence[nn.Module], names: Collection[str]) -> dict[str, list[Tensor]]:
    """Return the buffers of all members by name, and those parameters that are not trained."""
    named = [{**dict(task.named_parameters()), **dict(task.named_buffers())} for task in tasks]
    return {name: [own[name].detach() for own in named] for name in named[0] if name not in names}


def stacked(tensors: Mapping[str, Sequence[Tensor]], paddings: Mapping[str, Padding]) -> dict[str, Tensor]:
    """Return tensors of all members as `[M, ...]`."""
    return {
        name: torch.stack([paddings[name].padded(row, one) if name in paddings else one for row, one in enumerate(own)])
        for name, own in tensors.items()
    }


def padded(rows: Sequence[Tensor]) -> Tensor:
    """Return indices of rows of all members, `[M, N]`, the last of which are 0 for those with fewer rows."""
    return nn.utils.rnn.pad_sequence(list(rows), batch_first=True)


def joined(tables: Sequence[Batch]) -> tuple[Batch, Tensor]:
    """Return the distinct tables as one, and where each of `tables` begins in it, `[M]`."""
    distinct: dict[tuple[int, ...], tuple[int, Batch]] = {}
    start, offsets = 0, []
    for table in tables:
        key = tuple(0 if tensor is None else tensor.data_ptr() for tensor in table)
        if key not in distinct:
            distinct[key] = (start, table)
            start += len(table.numeric)
        offsets.append(distinct[key][0])
    parts = [table for _, table in distinct.values()]
    if len(parts) == 1:
        return parts[0], torch.tensor(offsets)
    whole: list[Any] = [None if one[0] is None else torch.cat(one) for one in zip(*parts, strict=True)]
    return Batch(*whole), torch.tensor(offsets)


def rows_of(table: Batch, index: Tensor) -> Batch:
    """Return rows `[M, B, ...]` of a table for indices `[M, B]`."""
    rows = table.rows(index.flatten().to(table.numeric.device))
    stacked: list[Any] = [None if t is None else t.view(*index.shape, *t.shape[1:]) for t in rows]
    return Batch(*stacked)


def _seen(member: Member, kept: Sequence[Tensor], row: int, count: int) -> list[Tensor]:
    output, *others = (rows[row, :count] for rows in kept)
    return [output if output.ndim == 2 else member.task.target.mean_of(output), *others]
