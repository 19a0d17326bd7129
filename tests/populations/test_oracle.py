"""Runs that are trained together end as they would have ended alone."""

import random
from pathlib import Path

import pytest
import torch

from populations.training import PENGUINS, SMALL, TOGETHER, alone, assert_same, configs, together

SEEDS = [f"seed={random.randrange(2**31)}" for _ in range(3)]  # nobody chose them
RATES = [f"optimizer.lr={10 ** random.uniform(-3.5, -2)}" for _ in range(3)]
BASE = [[seed, rate] for seed, rate in zip(SEEDS, RATES, strict=True)]
CALIFORNIA = [
    *("data=california", "data.train_rows=500", "data.batch_size=32", *SMALL, "logger=none", "trainer.max_epochs=4"),
]
TABM = [
    "network=tabm",
    "network/embedding=piecewise",
    "network.hidden_sizes=[8,8]",
    "network.members=3",
    "network.embedding.bins=16",
]
FOLDS = [["data.folds=5", f"data.fold={fold}", seed] for fold, seed in enumerate(SEEDS)]


def with_values(*keys_and_values: tuple[str, list[object]]) -> list[list[str]]:
    settings = [[f"{key}={values[k]}" for key, values in keys_and_values] for k in range(3)]
    return [[*one, *own] for one, own in zip(BASE, settings, strict=True)]


CASES = {
    "adamw": (PENGUINS, with_values(("optimizer.weight_decay", [0, 0.1, 1]))),
    "adam": (
        [*PENGUINS, "optimizer=adam"],
        with_values(("+optimizer.betas", ["[0.9,0.99]", "[0.5,0.9]", "[0.0,0.9]"])),
    ),
    "sgd": (
        [*PENGUINS, "optimizer=sgd"],
        with_values(("optimizer.momentum", [0.9, 0.5, 0]), ("optimizer.weight_decay", [0, 0.1, 0.01])),
    ),
    "rmsprop": ([*PENGUINS, "optimizer=adam", "optimizer._target_=torch.optim.RMSprop", "~optimizer.fused"], BASE),
    "one cycle": ([*PENGUINS, "scheduler=one_cycle"], BASE),
    "plateau": ([*PENGUINS, "scheduler=plateau"], BASE),
    "no schedule": ([*PENGUINS, "scheduler=none"], BASE),
    "clipping": ([*PENGUINS, "trainer.gradient_clip_val=0.01"], BASE),
    "clipping values": (
        [*PENGUINS, "trainer.gradient_clip_val=0.01", "+trainer.gradient_clip_algorithm=value"],
        BASE,
    ),
    "l1": (PENGUINS, with_values(("task.l1", [0, 0.01, 0.001]))),
    "label smoothing": (PENGUINS, with_values(("task.loss.label_smoothing", [0, 0.1, 0.2]))),
    "brier": ([*PENGUINS, "task/loss=brier"], BASE),
    "class weights": (PENGUINS, with_values(("task.class_weights", ["[1,2,3]", "balanced", "[3,1,1]"]))),
    "dropout": (PENGUINS, with_values(("network.dropout", [0.1, 0.3, 0.5]))),
    "periodic": ([*PENGUINS, "network/embedding=periodic"], BASE),
    "members": ([*PENGUINS, *TABM], BASE),
    "all layers": ([*PENGUINS, *TABM, "network.member_layers=all", "network.learned_identity=true"], BASE),
    "normalization": ([*PENGUINS, "network.normalization=layer"], BASE),
    "folds": (PENGUINS, FOLDS),
    "folds, bins, dropout": ([*PENGUINS, *TABM, "network.dropout=0.2"], FOLDS),
    "regression": (CALIFORNIA, BASE),
    "huber": ([*CALIFORNIA, "task.loss._target_=torch.nn.HuberLoss"], BASE),
    "logarithm": ([*CALIFORNIA, *TABM, "data.target_transform=log1p"], BASE),
}


QUICK = ("adamw", "sgd", "dropout", "folds, bins, dropout")
MARKED = [case if case in QUICK else pytest.param(case, marks=pytest.mark.slow) for case in CASES]


@pytest.mark.parametrize("case", MARKED)
def test_in_double_precision_each_run_ends_as_alone(case: str, tmp_path: Path):
    overrides, members = CASES[case]
    given = configs(*overrides, "trainer.precision=64-true", members=members)
    expected = [alone(config, tmp_path / f"alone{number}") for number, config in enumerate(given)]
    got = together(given, tmp_path)
    for number, (one, other) in enumerate(zip(got, expected, strict=True)):
        assert TOGETHER.format(2) in one.log
        assert_same(one, other, 1e-9, str(members[number]))


def test_in_single_precision_the_validation_loss_agrees(tmp_path: Path):
    given = configs(*PENGUINS, "network.activation=GELU", "trainer.max_epochs=15", members=BASE)  # 210 steps
    expected = [alone(config, tmp_path / f"alone{number}") for number, config in enumerate(given)]
    for one, other in zip(together(given, tmp_path), expected, strict=True):
        assert one.metrics["val/loss"] == pytest.approx(other.metrics["val/loss"], rel=1e-4)


def test_the_same_group_gives_the_same_bits(tmp_path: Path):
    given = configs(*PENGUINS, "network.dropout=0.1", members=BASE)
    first, second = together(given, tmp_path / "a"), together(given, tmp_path / "b")
    for one, other in zip(first, second, strict=True):
        for name, weight in one.state["state_dict"].items():
            assert torch.equal(weight, other.state["state_dict"][name])
        assert {**one.metrics, "fit_seconds": 0} == {**other.metrics, "fit_seconds": 0}
