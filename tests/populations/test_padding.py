"""Runs of folds whose columns have different numbers of levels are trained together, and end as alone."""

import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import lightning.pytorch as L
import pytest
import torch
from torch import Tensor, nn

from litmlp.callbacks.base import Callback
from litmlp.commands.train import train
from litmlp.data import Batch, ClassTarget, Spec
from litmlp.networks import MLP
from litmlp.populations.optimizer import StackedOptimizer
from litmlp.populations.padding import Padding, paddings, resizable
from litmlp.populations.population import Population
from litmlp.populations.stack import Stack
from litmlp.tasks import ClassificationTask
from populations.training import ALONE, SMALL, TOGETHER, Ran, alone, assert_same, configs, together

SEEDS = [f"seed={random.randrange(2**31)}" for _ in range(3)]  # nobody chose them
RARE = 6  # levels with a single row in each column
DOUBLE = "trainer.precision=64-true"
FOLDS = ["data.folds=3", "data.seed=0", "+data.min_count=1", "data.batch_size=16", "trainer.max_epochs=10"]  # 60 steps
MEMBERS = [[f"data.fold={fold}", seed] for fold, seed in enumerate(SEEDS)]
TABM = ["network=tabm", "network/embedding=piecewise", "network.members=3", "network.embedding.bins=16"]
OF_GRADIENTS = ("exp_avg", "exp_avg_sq", "max_exp_avg_sq", "square_avg", "grad_avg", "momentum_buffer", "acc_delta")
ADAM = ["optimizer=adam", "~optimizer.fused"]


@pytest.fixture
def folds(tmp_path: Path) -> list[str]:
    """Overrides for a table, whose folds have different numbers of levels in two columns."""
    draw = random.Random(0)
    lines = ["x,y,color,shape,kind"]
    for row in range(150):
        color, shape = draw.choice("abc"), draw.choice("de")
        if row < RARE:
            color = f"rare{row}"
        elif row < 2 * RARE:
            shape = f"rare{row}"
        x, y = draw.gauss(0, 1), draw.gauss(0, 1)
        kind = "yes" if x + (color == "a") + y * (shape == "d") + draw.gauss(0, 0.5) > 0.5 else "no"
        lines.append(f"{x},{y},{color},{shape},{kind}")
    (tmp_path / "rare.csv").write_text("\n".join(lines))
    table = ["data=table", f"data.path={tmp_path}/rare.csv", "data.target=kind", "task=classification"]
    return [*table, *SMALL, "logger=none", *FOLDS]


@pytest.fixture(autouse=True)
def populations(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Population]]:
    """All populations that end; what is padded in them must be 0, and must have had no gradient in any step."""
    made: list[Population] = []
    disband = Population.disband

    def kept(population: Population) -> None:
        made.append(population)
        disband(population)

    monkeypatch.setattr(Population, "disband", kept)
    yield made
    for population in made:
        for unit in population.optimizer.units:
            if (is_padding := population.stack.is_padding[unit.group]) is not None:
                state = unit.optimizer.state[unit.update]
                of_gradients = [state[name] for name in OF_GRADIENTS if state.get(name) is not None]
                for numbers in (population.stack.matrices[unit.group][unit.rows], *of_gradients):
                    assert (numbers[is_padding[unit.rows]] == 0).all()


def levels(ran: Ran) -> list[tuple[int, ...]]:
    """Return the shapes of both embeddings."""
    weights = ran.state["state_dict"]
    return [tuple(weights[f"network.embeddings.{number}.weight"].shape) for number in range(2)]


def kind(name: str, *more: str) -> list[str]:
    return [*ADAM, f"optimizer._target_=torch.optim.{name}", *more]


CASES = {
    "adamw": ["optimizer.weight_decay=0.5"],
    "all layers, dropout, l1, clipping": [
        *TABM,
        *(
            "network.member_layers=all",
            "network.hidden_sizes=[8,8]",
            "network.dropout=0.2",
            "network.scale_inputs=true",
        ),
        *("task.l1=0.001", "trainer.gradient_clip_val=0.05"),
    ],
    "sgd": ["optimizer=sgd", "optimizer.weight_decay=0.1"],
    "adam": [*ADAM, "optimizer.weight_decay=0.1", "+optimizer.amsgrad=true"],
    "nadam": kind("NAdam"),
    "radam": kind("RAdam"),
    "rmsprop": kind("RMSprop", "+optimizer.momentum=0.5"),
    "rmsprop centered": kind("RMSprop", "+optimizer.centered=true", "+optimizer.eps=1e-3"),
    "adagrad": kind("Adagrad", "+optimizer.initial_accumulator_value=0.2"),
    "adamax": kind("Adamax"),
    "adadelta": kind("Adadelta", "optimizer.lr=1"),
    "clipping values": ["trainer.gradient_clip_val=0.01", "+trainer.gradient_clip_algorithm=value"],
    "l1": ["task.l1=0.01"],
    "linear": ["network.hidden_sizes=[]", "network.scale_inputs=true"],
    "linear members": [*TABM, "network.hidden_sizes=[]", "network.scale_inputs=true"],
    "periodic": ["network/embedding=periodic", "network.normalization=layer"],
}
QUICK = ("adamw", "all layers, dropout, l1, clipping")


@pytest.mark.parametrize(
    "case", [case if case in QUICK else pytest.param(case, marks=pytest.mark.slow) for case in CASES]
)
def test_runs_with_different_numbers_of_levels_end_as_alone(
    case: str, folds: list[str], populations: list[Population], tmp_path: Path
):
    given = configs(*folds, *CASES[case], DOUBLE, members=MEMBERS)
    expected = [alone(config, tmp_path / f"alone{number}") for number, config in enumerate(given)]
    got = together(given, tmp_path)
    assert len({str(levels(one)) for one in got}) == 3
    assert len({levels(one)[0][1] for one in got}) > 1  # the widths differ, too
    assert [len(population.members) for population in populations] == [3]
    assert any(is_padding is not None for is_padding in populations[0].stack.is_padding)
    for number, (one, other) in enumerate(zip(got, expected, strict=True)):
        assert TOGETHER.format(2) in one.log
        assert_same(one, other, 1e-9, str(MEMBERS[number]))


@pytest.mark.slow
def test_members_that_come_and_go_are_padded_anew(folds: list[str], populations: list[Population], tmp_path: Path):
    epochs, betas = [5, 3, 1, 2], [0.9, 0.5, 0.9, 0.5]
    members = [
        [f"data.fold={k % 3}", f"seed={k}", f"trainer.max_epochs={epochs[k]}", f"+optimizer.betas=[{betas[k]},0.9]"]
        for k in range(4)
    ]
    given = configs(*folds, *ADAM, DOUBLE, "scheduler=none", members=members)
    got = together(given, tmp_path, most=3)
    for number, one in enumerate(got):
        assert_same(one, alone(given[number], tmp_path / f"alone{number}"), 1e-9)
    assert len({str(population.stack.places) for population in populations}) > 1


@pytest.mark.slow
def test_steps_that_were_recorded_for_other_numbers_of_levels_are_not_taken(folds: list[str], tmp_path: Path):
    members = [[f"data.fold={fold}", f"seed={seed}"] for fold in range(3) for seed in range(2)]
    given = configs(*folds, DOUBLE, "trainer.max_epochs=2", members=members)
    for number, one in enumerate(together(given, tmp_path, most=2)):  # the two of each fold, which have no padding
        assert TOGETHER.format(1) in one.log
        assert_same(one, alone(given[number], tmp_path / f"alone{number}"), 1e-9)


@pytest.mark.slow
def test_a_run_that_was_padded_is_gone_on_with_alone(folds: list[str], tmp_path: Path):
    plain = [*folds, DOUBLE, "scheduler=none", "task.calibration=none"]
    half = configs(*plain, "trainer.max_epochs=2", members=MEMBERS)
    whole = configs(*plain, "trainer.max_epochs=4", members=MEMBERS)
    together(half, tmp_path)
    for number, config in enumerate(whole):
        alone(half[number], tmp_path / f"alone{number}")
        train(config, tmp_path / f"alone{number}", resume=True, columns=())
        expected = torch.load(tmp_path / f"alone{number}/checkpoints/last.ckpt", weights_only=True)
        train(config, tmp_path / str(number), resume=True, columns=())
        state = torch.load(tmp_path / f"{number}/checkpoints/last.ckpt", weights_only=True)
        for name, weight in expected["state_dict"].items():
            torch.testing.assert_close(state["state_dict"][name], weight, rtol=1e-9, atol=1e-9)


class Halves(Callback):
    """Halves all weights before and after an epoch, and keeps the norms of the last gradients of each run's epochs."""

    once_a_round = True
    seen: ClassVar[dict[str, list[float]]] = {}

    @torch.no_grad()
    def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        for parameter in pl_module.network.parameters():
            parameter.mul_(0.5)

    @torch.no_grad()
    def on_validation_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        for parameter in pl_module.network.parameters():
            parameter.mul_(0.5)

    def on_train_batch_end(self, trainer: Any, pl_module: Any, *_: Any) -> None:
        if trainer.is_last_batch:
            norms = [float(parameter.grad.norm()) for parameter in pl_module.network.parameters()]
            self.seen.setdefault(Path(trainer.default_root_dir).name, []).extend(norms)


class Replaces(L.Callback):
    """Puts the weights of one embedding elsewhere when the third epoch begins, and those of one run only."""

    def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        table = pl_module.network.embeddings[0].weight
        if trainer.current_epoch == 2 and table.shape[0] == self.rows:
            table.data = 0.5 * table.data

    rows = 0


def own(what: type) -> str:
    return f"+callbacks.own._target_={__name__}.{what.__name__}"


@pytest.mark.slow
def test_callbacks_see_and_change_parameters_of_a_runs_own_shape(folds: list[str], tmp_path: Path):
    given = configs(*folds, DOUBLE, own(Halves), members=MEMBERS)
    for number, one in enumerate(together(given, tmp_path)):
        assert TOGETHER.format(2) in one.log
        assert_same(one, alone(given[number], tmp_path / f"alone{number}"), 1e-9)
        assert len(Halves.seen[f"{number}"]) == 10 * 8  # epochs times parameters
        assert Halves.seen[f"{number}"] == pytest.approx(Halves.seen[f"alone{number}"], rel=1e-9)


@pytest.mark.slow
def test_a_padded_run_goes_on_alone_after_a_change(folds: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    given = configs(*folds, DOUBLE, own(Replaces), members=MEMBERS)
    expected = alone(given[1], tmp_path / "rows")
    monkeypatch.setattr(Replaces, "rows", levels(expected)[0][0])
    got = together(given, tmp_path)
    assert ["from epoch 2 on, this run is trained alone" in one.log for one in got] == [False, True, False]
    for number, one in enumerate(got):
        assert_same(one, alone(given[number], tmp_path / f"alone{number}"), 1e-9)


class OwnNetwork(MLP):
    """Does what its base class does, but nobody knows that."""


class Shrinks(ClassificationTask):
    """Adds a term whose gradient is not 0 for weights that are 0."""

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        table = self.network.embeddings[0].weight  # type: ignore[union-attr, index]
        return super().training_step(batch, batch_idx) + 0.1 * (table - 1).square().sum()  # type: ignore[operator]


class OnlyLayers(ClassificationTask):
    """Does not train the embeddings."""

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.network.layers.parameters(), lr=0.1)  # type: ignore[union-attr]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("override", "reason"),
    [
        (f"network._target_={__name__}.OwnNetwork", "other runs differ in the shape of the parameter network."),
        (f"task._target_={__name__}.Shrinks", "its step gives something else"),
        (f"task._target_={__name__}.OnlyLayers", ""),
    ],
)
def test_ones_own_code_is_padded_only_where_nothing_else_comes_of_it(
    override: str, reason: str, folds: list[str], tmp_path: Path
):
    given = configs(*folds, DOUBLE, override, "trainer.max_epochs=2", members=MEMBERS)
    for number, one in enumerate(together(given, tmp_path)):
        assert (ALONE in one.log) == bool(reason)
        assert number == 2 or reason in one.log.partition(ALONE)[2]
        assert_same(one, alone(given[number], tmp_path / f"alone{number}"), 0.0 if reason else 1e-9)


class Holds(nn.Module):
    """Stands for a task."""

    def __init__(self, num_numeric: int, codes: list[int], **settings: Any) -> None:
        super().__init__()
        categorical = {f"c{number}": num_codes for number, num_codes in enumerate(codes)}
        spec = Spec.example(ClassTarget, num_numeric)
        self.network = MLP(replace(spec, categorical=categorical), **settings)


def test_each_number_has_its_place_in_the_padded_parameter():
    small, large = Holds(1, [3, 12], hidden_sizes=[2]), Holds(1, [5, 4], hidden_sizes=[2])
    assert [one.weight.shape for one in small.network.embeddings] == [(3, 3), (12, 6)]
    assert [one.weight.shape for one in large.network.embeddings] == [(5, 4), (4, 3)]
    found = paddings([small, large])
    shapes = {"embeddings.0.weight": (5, 4), "embeddings.1.weight": (12, 6), "layers.0.weight": (2, 11)}
    assert {name: padding.shape for name, padding in found.items()} == {f"network.{k}": v for k, v in shapes.items()}
    inputs = found["network.layers.0.weight"].indices
    assert inputs[0].view(2, -1)[0].tolist() == [0, 1, 2, 3, 5, 6, 7, 8, 9, 10]  # without the fourth of the first
    assert inputs[1].view(2, -1)[1].tolist() == [11 + column for column in [0, 1, 2, 3, 4, 5, 6, 7]]
    assert paddings([small, small]) == {}


def test_networks_that_differ_in_more_or_much_are_not_padded():
    one = Holds(1, [3, 12], hidden_sizes=[4])
    assert "network.layers.0.weight" in resizable(one, Holds(1, [5, 4], hidden_sizes=[4]))
    for other in (
        Holds(2, [3, 12], hidden_sizes=[4]),
        Holds(1, [3, 12, 3], hidden_sizes=[4]),
        Holds(1, [3, 500], hidden_sizes=[4]),
        Holds(1, [3, 12], hidden_sizes=[4], scale_inputs=True),
        nn.Linear(2, 3),
    ):
        assert not resizable(one, other)


def test_padding_stays_0_where_a_step_would_divide_0_by_0():
    modules = [nn.Linear(3, 1, bias=False), nn.Linear(2, 1, bias=False)]
    padding = Padding(torch.Size([1, 3]), [torch.Size([1, 3]), torch.Size([1, 2])], [torch.arange(3), torch.arange(2)])
    stack = Stack(modules, [["weight"]], {"weight": padding})
    optimizer = StackedOptimizer(stack, [torch.optim.Adam(one.parameters(), eps=0.0) for one in modules])
    before = [one.weight.detach().clone() for one in modules]
    optimizer.put([torch.tensor([[[1.0, -1.0, 1.0]], [[1.0, -1.0, 0.0]]])])
    optimizer.step(torch.full((2, 1), 0.1))
    for row, one in enumerate(before):
        stack.give(row)
        torch.testing.assert_close(modules[row].weight, one - torch.tensor([[0.1, -0.1, 0.1]])[:, : one.shape[1]])
    assert stack.matrices[0][1, 2] == 0
