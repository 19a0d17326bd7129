"""Runs with networks, tasks and callbacks of one's own end as alone, trained together or refused with a reason."""

import logging
from collections import defaultdict
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import lightning.pytorch as L
import pytest
import torch
from torch import Tensor, nn

from conftest import compose_config
from litmlp.commands.train import train
from litmlp.data import Batch, Spec
from litmlp.populations.together import Work, train_together
from litmlp.tasks import ClassificationTask

pytestmark = pytest.mark.slow
PENGUINS = [
    *("data=penguins", "threads=1", "logger=none", "trainer.max_epochs=4", "trainer.accelerator=cpu"),
    *("trainer.precision=64-true", "task.calibration=none", "callbacks=[checkpoint,epoch_seed]"),
]
SEEDS = (["seed=0"], ["seed=1"], ["seed=2"])
ALONE = "this run is trained alone: "


class Plain(nn.Module):
    """Two layers, of the numeric inputs only."""

    def __init__(self, spec: Spec, width: int = 4) -> None:
        super().__init__()
        self.first = nn.Linear(len(spec.numeric), width)
        self.last = nn.Linear(width, spec.target.num_outputs)

    def hidden(self, units: Tensor) -> Tensor:
        return units.relu()

    def forward(self, numeric: Tensor, categorical: Tensor) -> Tensor:
        return self.last(self.hidden(self.first(numeric)))


def compared(overrides: Sequence[str], folder: Path, members: Sequence[Sequence[str]] = SEEDS) -> list[str]:
    """Train runs together and alone, and fail unless they end the same; return why each was trained alone, or ''."""
    logging.getLogger("litmlp").setLevel(logging.INFO)
    given = [compose_config(*PENGUINS, *overrides, *member) for member in members]
    works = [partial(train, config, folder / f"{number}", columns=()) for number, config in enumerate(given)]
    metrics: list[Any] = [None] * len(works)

    def run(number: int) -> None:
        metrics[number] = works[number]()

    train_together([Work(partial(run, number)) for number in range(len(works))])
    for number, config in enumerate(given):
        expected = train(config, folder / f"alone{number}", columns=())
        states = [torch.load(folder / name / "checkpoints/last.ckpt") for name in (f"{number}", f"alone{number}")]
        weights = [state["state_dict"] for state in states]
        for key, weight in weights[0].items():
            torch.testing.assert_close(weight, weights[1][key], rtol=1e-9, atol=1e-9, msg=key)
        scores = [state["callbacks"]["BestAndLast"]["best_score"] for state in states]
        torch.testing.assert_close(scores[0], scores[1], rtol=1e-9, atol=1e-9)
        for key in ("val/loss", "test/loss", "epochs", "steps"):
            assert metrics[number][key] == pytest.approx(expected[key], rel=1e-9)
    logs = [(folder / f"{number}" / "train.log").read_text() for number in range(len(given))]
    return [log.partition(ALONE)[2].partition("\n")[0] for log in logs]


def network(kind: type, *more: str) -> list[str]:
    return ["network=linear", "~network.hidden_sizes", "~network.embedding", target("network", kind), *more]


def target(group: str, kind: type) -> str:
    return f"{group}._target_={__name__}.{kind.__name__}"


class ReplacedBuffer(Plain):
    def __init__(self, spec: Spec) -> None:
        super().__init__(spec)
        self.register_buffer("mean", torch.zeros(4))

    def hidden(self, units: Tensor) -> Tensor:
        if self.training:
            self.mean = 0.9 * self.mean + 0.1 * units.detach().mean(dim=0)
        return (units - self.mean).relu()


class Normalized(Plain):
    def __init__(self, spec: Spec) -> None:
        super().__init__(spec)
        self.norm = nn.BatchNorm1d(4)

    def hidden(self, units: Tensor) -> Tensor:
        return self.norm(units).relu()


class CountingInDict(Plain):
    def __init__(self, spec: Spec) -> None:
        super().__init__(spec)
        self.state = {"steps": 0}

    def hidden(self, units: Tensor) -> Tensor:
        self.state["steps"] += 1
        return units.relu() * (1 + self.state["steps"] / 10)


class CountingSmallBatches(Plain):
    def __init__(self, spec: Spec) -> None:
        super().__init__(spec)
        self.small = 0

    def hidden(self, units: Tensor) -> Tensor:
        self.small += self.training and len(units) < 32
        return units.relu() * (1 + self.small / 10)


class Branching(Plain):
    def hidden(self, units: Tensor) -> Tensor:
        return units.relu() if units.mean() > 0 else units.tanh()


class Reading(Plain):
    def hidden(self, units: Tensor) -> Tensor:
        return units.relu() * units.detach().abs().max().item()


class Selecting(Plain):
    def hidden(self, units: Tensor) -> Tensor:
        rows = (units.sum(dim=1) > 0).nonzero()[:, 0]
        return torch.zeros_like(units).index_add(0, rows, units[rows])


class InputGradient(ClassificationTask):
    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        numeric = batch.numeric.to(self.dtype).requires_grad_()
        outputs = self.forward(batch._replace(numeric=numeric))
        (gradient,) = torch.autograd.grad(outputs.logsumexp(dim=1).sum(), numeric, create_graph=True)
        return super().training_step(batch, batch_idx) + 0.1 * gradient.square().mean()


REASONS = {
    ReplacedBuffer: "its step changes the buffer network.mean",
    Normalized: "its step cannot be recorded: ",
    CountingInDict: "its step changes network.state",
    CountingSmallBatches: "its step changes network.small",
    Branching: "its step cannot be recorded: vmap",
    Reading: "its step cannot be recorded: vmap",
    Selecting: "its step cannot be recorded: vmap",
}


@pytest.mark.parametrize("kind", REASONS)
def test_a_network_whose_steps_cannot_be_repeated_is_trained_alone(kind: type, tmp_path: Path):
    for reason in compared(network(kind), tmp_path):
        assert reason.startswith(REASONS[kind])


def test_a_step_that_vmap_refuses_is_taken_alone(tmp_path: Path):
    for reason in compared([*network(Plain), target("task", InputGradient)], tmp_path):
        assert reason.startswith("its step cannot be recorded: ")


def test_a_plain_network_of_ones_own_is_trained_together(tmp_path: Path):
    assert compared(network(Plain), tmp_path) == ["", "", ""]


class Focal(nn.CrossEntropyLoss):
    def forward(self, scores: Tensor, target: Tensor) -> Tensor:
        smoothing = self.label_smoothing
        losses = nn.functional.cross_entropy(scores, target, reduction="none", label_smoothing=smoothing)
        losses = (1 - torch.exp(-losses)) ** 2 * losses
        return losses.mean() if self.reduction == "mean" else losses


class Weighing(ClassificationTask):
    def __init__(self, *arguments: Any, factor: float = 1.0, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self._factor = factor

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        return self._factor * super().training_step(batch, batch_idx)


class AskingForL1(ClassificationTask):
    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        loss = self.step(batch, "train")
        return loss + self.l1 * self.network.last.weight.abs().sum() if self.l1 > 0 else loss


class Hooked(Plain):
    def __init__(self, spec: Spec, scale: float = 1.0) -> None:
        super().__init__(spec)
        self.first.register_forward_hook(lambda _, __, units: units * scale)


class OwnDropout(Plain):
    def __init__(self, spec: Spec, dropout: float = 0.0) -> None:
        super().__init__(spec)
        self.dropout = nn.Dropout(dropout)

    def hidden(self, units: Tensor) -> Tensor:
        return self.dropout(units)


def test_settings_that_only_ones_own_code_reads_are_those_of_each_run(tmp_path: Path):
    focal = ["task/loss=cross_entropy", target("task.loss", Focal)]
    for number, (overrides, key, values) in enumerate(
        [
            ([*network(Plain), *focal], "task.loss.label_smoothing", (0.0, 0.3)),
            ([*network(Plain), target("task", Weighing)], "+task.factor", (0.5, 2.0)),
            ([*network(Plain), target("task", AskingForL1)], "task.l1", (0.0, 0.1)),
            (network(Hooked), "+network.scale", (0.5, 2.0)),
        ]
    ):
        compared(overrides, tmp_path / str(number), [[f"{key}={value}"] for value in values])


def test_dropout_of_torch_is_trained_together_where_it_is_equal(tmp_path: Path):
    reasons = compared(network(OwnDropout), tmp_path, [[], [], ["+network.dropout=1.0"]])
    assert reasons[:2] == ["", ""]
    assert reasons[2]


class Frozen(Plain):
    def __init__(self, spec: Spec) -> None:
        super().__init__(spec)
        self.first.requires_grad_(False)


class WithoutGradient(Plain):
    def forward(self, numeric: Tensor, categorical: Tensor) -> Tensor:
        with torch.no_grad():
            units = self.first(numeric)
        return self.last(units.relu())


class Generating(Plain):
    def hidden(self, units: Tensor) -> Tensor:
        generator = torch.Generator().manual_seed(1)
        return units + torch.rand(units.shape, generator=generator, dtype=units.dtype)


class NormalizedByBatch(Plain):
    def __init__(self, spec: Spec) -> None:
        super().__init__(spec)
        self.norm = nn.BatchNorm1d(4, track_running_stats=False)

    def hidden(self, units: Tensor) -> Tensor:
        return self.norm(units).relu()


class WithoutWeights(ClassificationTask):
    def mean_loss(self, output: Tensor, target: Tensor, weight: Tensor | None) -> Tensor:
        return self.loss(output, target)


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        (Frozen, "network.first.weight is not trained"),
        (WithoutGradient, "network.first.weight has no gradient"),
        (Generating, "its step cannot be recorded: it draws from a generator of its own"),
    ],
)
def test_steps_that_would_give_something_else_are_taken_alone(kind: type, reason: str, tmp_path: Path):
    assert compared(network(kind), tmp_path) == [reason] * 3


@pytest.mark.parametrize("overrides", [network(NormalizedByBatch), [*network(Plain), target("task", WithoutWeights)]])
def test_rows_of_weight_0_fill_batches_only_where_they_have_no_effect(overrides: list[str], tmp_path: Path):
    folds = [[f"data.fold={fold}"] for fold in range(5)]  # of 68 or 69 rows
    reasons = compared([*overrides, "data.folds=5", "data.batch_size=16"], tmp_path, folds)
    assert any(reasons)


class Tempered(Plain):
    def __init__(self, spec: Spec) -> None:
        super().__init__(spec)
        self.temperature = 1.0
        self.register_buffer("shift", torch.zeros(()))

    def hidden(self, units: Tensor) -> Tensor:
        return (units / self.temperature + self.shift).relu()


class Changing(L.Callback):
    """Changes something when the third epoch begins."""

    def __init__(self, what: str) -> None:
        self.what = what

    def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        if trainer.current_epoch == 2:
            getattr(self, self.what)(trainer, pl_module.network, trainer.optimizers[0].param_groups)

    def attribute(self, trainer: Any, network: Any, groups: Any) -> None:
        network.temperature = 3.0

    def buffer(self, trainer: Any, network: Any, groups: Any) -> None:
        network.shift.fill_(1.0)

    def frozen(self, trainer: Any, network: Any, groups: Any) -> None:
        network.first.requires_grad_(False)

    def replaced(self, trainer: Any, network: Any, groups: Any) -> None:
        for parameter in network.parameters():
            parameter.data = 0.5 * parameter.data

    def reset(self, trainer: Any, network: Any, groups: Any) -> None:
        network.last.reset_parameters()

    def decay(self, trainer: Any, network: Any, groups: Any) -> None:
        groups[0]["weight_decay"] = 20.0

    def rate(self, trainer: Any, network: Any, groups: Any) -> None:
        groups[0]["lr"] = 0.1

    def betas(self, trainer: Any, network: Any, groups: Any) -> None:
        groups[0]["betas"] = (0.1, 0.9)

    def clipping(self, trainer: Any, network: Any, groups: Any) -> None:
        trainer.gradient_clip_val = 0.01

    def cleared(self, trainer: Any, network: Any, groups: Any) -> None:
        trainer.optimizers[0].state.clear()

    def forgotten(self, trainer: Any, network: Any, groups: Any) -> None:
        trainer.optimizers[0].state = defaultdict(dict)

    def accumulation(self, trainer: Any, network: Any, groups: Any) -> None:
        trainer.accumulate_grad_batches = 3


class Averaging(L.Callback):
    """Validates half the weights."""

    @torch.no_grad()
    def on_validation_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        for parameter in pl_module.network.parameters():
            parameter.mul_(0.5)

    @torch.no_grad()
    def on_validation_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        for parameter in pl_module.network.parameters():
            parameter.mul_(2)


class Annealing(ClassificationTask):
    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self.factor = 1.0

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        return self.factor * super().training_step(batch, batch_idx)

    def on_train_epoch_end(self) -> None:
        super().on_train_epoch_end()
        self.factor *= 0.5


class Momentum(ClassificationTask):
    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.SGD(self.network.parameters(), lr=0.1, momentum=0.9)
        schedule = torch.optim.lr_scheduler.CyclicLR(optimizer, 0.01, 0.2, step_size_up=2)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "epoch"}}


class Rates(ClassificationTask):
    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.SGD(self.network.parameters(), lr=0.1)
        schedule = torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.3)
        return {"optimizer": optimizer, "lr_scheduler": schedule}  # at the end of each epoch


class Clamping(ClassificationTask):
    def configure_optimizers(self) -> Any:
        made = super().configure_optimizers()
        made["optimizer"].register_step_post_hook(lambda *_: self.network.last.weight.data.clamp_(-0.1, 0.1))
        return made


def callback(kind: type, *more: str) -> list[str]:
    return [f"+callbacks.own._target_={__name__}.{kind.__name__}", *(f"+callbacks.own.{one}" for one in more)]


CHANGES = [name for name in vars(Changing) if not name.startswith(("_", "on_"))]


@pytest.mark.parametrize("what", CHANGES)
def test_what_a_callback_changes_between_epochs_has_its_effect(what: str, tmp_path: Path):
    compared([*network(Tempered), *callback(Changing, f"what={what}")], tmp_path)
    log = (tmp_path / "0" / "train.log").read_text()
    assert "steps are taken together" in log
    is_alone = "from epoch 2 on, this run is trained alone: " in log
    assert is_alone == (what not in ("buffer", "reset", "rate"))


def test_one_run_that_goes_on_alone_leaves_the_others_together(tmp_path: Path):
    members = [[], callback(Changing, "what=decay"), ["seed=3"]]
    compared(network(Tempered), tmp_path, members)
    logs = [(tmp_path / f"{number}" / "train.log").read_text() for number in range(3)]
    assert ["from epoch 2 on" in log for log in logs] == [False, True, False]


def test_weights_are_validated_as_callbacks_give_them(tmp_path: Path):
    assert compared([*network(Plain), *callback(Averaging)], tmp_path) == ["", "", ""]


@pytest.mark.parametrize("kind", [Annealing, Momentum, Rates, Clamping])
def test_what_a_task_does_between_epochs_and_steps_has_its_effect(kind: type, tmp_path: Path):
    compared([*network(Plain), target("task", kind)], tmp_path)


def test_a_part_of_the_validation_rows_is_a_reason_to_train_alone(tmp_path: Path):
    reasons = compared([*network(Plain), "+trainer.limit_val_batches=1"], tmp_path)
    assert set(reasons) == {"it does not validate with all rows"}


def test_a_run_in_double_precision_resumes_with_early_stopping(tmp_path: Path):
    given = [*PENGUINS, *network(Plain), "callbacks=[checkpoint,epoch_seed,early_stopping]"]
    train(compose_config(*given, "trainer.max_epochs=2"), tmp_path, columns=())
    assert train(compose_config(*given), tmp_path, resume=True, columns=())["epochs"] == 4
