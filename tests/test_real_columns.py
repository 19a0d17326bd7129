"""Networks and losses are tried against the real columns; what needs none is refused before any is read."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from conftest import SMALL, compose_config
from litmlp.commands.train import train
from litmlp.config_check import check
from litmlp.data import Spec
from litmlp.errors import InputError

NUMBERS = "a,b,c,y\n" + "".join(f"{i % 7},{i % 5 / 3},{i % 11},{i % 5}\n" for i in range(100))
LEVELS = "a,colour,y\n" + "".join(f"{i % 7},{'rgb'[i % 3]},{i % 5}\n" for i in range(100))


class OfNumbers(nn.Module):
    """Takes no categorical column."""

    def __init__(self, spec: Spec) -> None:
        super().__init__()
        if spec.categorical:
            raise ValueError(f"this network takes no levels, but there are {len(spec.categorical)} columns of them")
        self.layer = nn.Linear(len(spec.numeric), spec.target.num_outputs)

    def forward(self, numeric: Tensor, categorical: Tensor) -> Tensor:
        return self.layer(numeric)


class OfThree(OfNumbers):
    """Takes three numbers."""

    def __init__(self, spec: Spec) -> None:
        super().__init__(spec)
        if len(spec.numeric) != 3:
            raise ValueError(f"this network takes 3 numbers, not {len(spec.numeric)}")


class Narrow(OfNumbers):
    """Forgets all outputs but one."""

    def forward(self, numeric: Tensor, categorical: Tensor) -> Tensor:
        return self.layer(numeric)[:, :1]


class Surprised(OfNumbers):
    """Builds, and then cannot."""

    def forward(self, numeric: Tensor, categorical: Tensor) -> Tensor:
        return self.layer(categorical.float())


class Unwilling(OfNumbers):
    """Refuses any columns."""

    def __init__(self, spec: Spec) -> None:
        raise ValueError("units must be 1 or more")


def config(tmp_path: Path, rows: str, network: type, *overrides: str) -> dict[str, Any]:
    (tmp_path / "rows.csv").write_text(rows)
    table = ["data=table", f"data.path={tmp_path / 'rows.csv'}", "data.target=y", "callbacks=none", "logger=none"]
    composed = compose_config(*table, "task=classification", "trainer.max_epochs=1", *SMALL, *overrides)
    return composed | {"network": {"_target_": f"{__name__}.{network.__name__}"}}


@pytest.mark.parametrize("network", [OfNumbers, OfThree])
def test_a_network_for_some_columns_is_trained_on_these(network: type, tmp_path: Path):
    assert train(config(tmp_path, NUMBERS, network), tmp_path / "run")["epochs"] == 1


@pytest.mark.parametrize(
    ("network", "said"),
    [
        (OfNumbers, "OfNumbers() is refused: this network takes no levels, but there are 1 columns of them"),
        (OfThree, "OfThree() is refused: this network takes no levels"),
    ],
)
def test_and_refused_for_others_once_they_are_known(network: type, said: str, tmp_path: Path):
    wrong = config(tmp_path, LEVELS, network)
    check(wrong)
    with pytest.raises(InputError) as error:
        train(wrong, tmp_path / "run")
    assert said in str(error.value)
    assert not (tmp_path / "run").exists()


def test_a_network_that_no_columns_can_help_is_refused_before_any_is_read(tmp_path: Path):
    with pytest.raises(InputError, match="units must be 1 or more"):
        check(config(tmp_path, NUMBERS, Unwilling))


@pytest.mark.parametrize(
    ("network", "said"),
    [
        (Narrow, "Narrow() gives (3, 1) for 3 rows, not (3, 5): choose another one"),
        (Surprised, "Surprised() cannot take the columns of this data (mat1 and mat2 shapes cannot be multiplied"),
    ],
)
def test_what_a_network_returns_is_looked_at(network: type, said: str, tmp_path: Path):
    with pytest.raises(InputError) as error:
        train(config(tmp_path, NUMBERS, network), tmp_path / "run")
    assert said in str(error.value)


def weighted(tmp_path: Path, weights: list[float]) -> dict[str, Any]:
    given = config(tmp_path, NUMBERS, OfNumbers)
    given["task"] |= {"loss": {"_target_": f"{__name__}.Weighted", "weight": weights}}
    return given


class Weighted(nn.CrossEntropyLoss):
    def __init__(self, weight: list[float]) -> None:
        super().__init__(torch.tensor(weight))


def test_a_loss_for_five_classes_is_trained_with(tmp_path: Path):
    assert train(weighted(tmp_path, [1.0, 2.0, 3.0, 4.0, 5.0]), tmp_path / "run")["epochs"] == 1


def test_one_for_thirty_classes_is_refused_once_there_are_five(tmp_path: Path):
    wrong = weighted(tmp_path, [1.0] * 30)
    check(wrong)
    with pytest.raises(InputError, match=r"Weighted\(.*\) does not fit .*ClassificationTask: choose another task/loss"):
        train(wrong, tmp_path / "run")
