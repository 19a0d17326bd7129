import numpy as np
import polars as pl
import pytest
import torch
from sklearn.metrics import mean_absolute_error, r2_score, root_mean_squared_error
from torch import nn

from litmlp.data import Batch, NumericTarget, Spec
from litmlp.data.notation import UNKNOWN
from litmlp.networks import MLP
from litmlp.tasks import RegressionTask


class Echo(nn.Module):
    """A network whose output is its first inputs."""

    def __init__(self, num_outputs: int) -> None:
        super().__init__()
        self.num_outputs = num_outputs

    def forward(self, numeric: torch.Tensor, categorical: torch.Tensor) -> torch.Tensor:
        return numeric[:, : self.num_outputs]


def target_of(mean: list[float], std: list[float], transform: str = "none") -> NumericTarget:
    target = NumericTarget([f"y{i}" for i in range(len(mean))], transform)
    target.scaling.mean = torch.tensor(mean, dtype=torch.float64)
    target.scaling.std = torch.tensor(std, dtype=torch.float64)
    return target


def measured(target: NumericTarget, output: torch.Tensor, standardised: torch.Tensor) -> dict[str, float]:
    """Metrics of a network that gives `output`."""
    task = RegressionTask(Echo(output.shape[1]), Spec([], {}, target))
    task.step(Batch(output, torch.zeros(len(output), 0, dtype=torch.int64), standardised), "val")
    return {name: value.item() for name, value in task.take_metrics("val").items()}


def test_metrics_by_hand():
    # Predictions 12, 8 and observations 10, 12 in own units: errors 2, -4 of a target with mean 10 and deviation 2.
    values = measured(target_of([10.0], [2.0]), torch.tensor([[1.0], [-1.0]]), torch.tensor([[0.0], [1.0]]))
    assert values["val/loss"] == pytest.approx((1 + 4) / 2)
    assert values["val/rmse"] == pytest.approx(((4 + 16) / 2) ** 0.5)
    assert values["val/mae"] == pytest.approx(3)
    assert values["val/r2"] == pytest.approx(1 - (4 + 16) / 2)


def test_metrics_of_each_target_equal_scikit_learns_in_own_units():
    generator = np.random.default_rng(0)
    observed = generator.normal([5, -300], [2, 50], size=(40, 2))
    predicted = observed + generator.normal(0, [1, 30], size=(40, 2))
    target = target_of([5.0, -300.0], [2.0, 50.0])

    def standardised(values: np.ndarray) -> torch.Tensor:
        return torch.tensor((values - target.scaling.mean.numpy()) / target.scaling.std.numpy(), dtype=torch.float32)

    values = measured(target, standardised(predicted), standardised(observed))
    oracles = {"rmse": root_mean_squared_error, "mae": mean_absolute_error, "r2": r2_score}
    for name, oracle in oracles.items():
        each = oracle(observed, predicted, multioutput="raw_values")
        assert values[f"val/{name}"] == pytest.approx(each.mean(), rel=1e-4)
        assert values[f"val/{name}_y0"] == pytest.approx(each[0], rel=1e-4)
        assert values[f"val/{name}_y1"] == pytest.approx(each[1], rel=1e-4)


def test_a_large_offset_costs_the_metrics_nothing():
    generator = np.random.default_rng(0)
    z, error = generator.normal(size=(2, 1000, 1))
    values = measured(target_of([1e9], [10.0]), torch.tensor(z + 0.1 * error).float(), torch.tensor(z).float())
    assert values["val/rmse"] == pytest.approx(10 * 0.1 * np.sqrt((error**2).mean()), rel=1e-4)
    assert values["val/r2"] == pytest.approx(r2_score(z, z + 0.1 * error), abs=1e-5)


def test_prediction_is_in_own_units():
    spec = Spec([], {}, target_of([10.0, 0.0], [2.0, 3.0]))
    task = RegressionTask(Echo(2), spec)
    assert task.predict(torch.tensor([[1.0, -1.0]])).tolist() == [[12.0, -3.0]]


@pytest.mark.parametrize(("mean", "std"), [(1e9, 100.0), (-1e12, 1e-3), (1e140, 1e130), (1e-130, 1e-139)])
def test_a_prediction_has_the_digits_of_float64(mean: float, std: float):
    output = torch.linspace(-3, 3, 101)[:, None]
    predicted = RegressionTask(Echo(1), Spec([], {}, target_of([mean], [std]))).predict(output)
    assert predicted.dtype == torch.float64
    np.testing.assert_array_equal(predicted, mean + std * output.numpy().astype(np.float64))


@pytest.mark.parametrize("std", [1e-140, 1e-30, 1e30, 1e139])
def test_metrics_have_room_for_any_unit(std: float):
    values = measured(target_of([0.0], [std]), torch.tensor([[1.0], [-1.0]]), torch.tensor([[0.0], [1.0]]))
    assert values["val/rmse"] == pytest.approx(std * 2.5**0.5)
    assert values["val/mae"] == pytest.approx(std * 1.5)
    assert values["val/r2"] == pytest.approx(1 - 5 / 0.5)


def test_prediction_of_a_logarithm_is_its_inverse():
    observed = np.array([[0.0, 3.0], [1e-3, 1e6], [250.0, 0.0]])
    logarithms = np.log1p(observed)
    target = target_of(logarithms.mean(axis=0).tolist(), logarithms.std(axis=0).tolist(), "log1p")
    z = (logarithms - logarithms.mean(axis=0)) / logarithms.std(axis=0)
    task = RegressionTask(Echo(2), Spec([], {}, target))
    np.testing.assert_allclose(task.predict(torch.tensor(z).float()), observed, rtol=1e-4, atol=1e-5)


def test_what_target_encodes_task_predicts():
    cells = pl.DataFrame({"y": [0.0, 0.5, 12.0, 90000.0], "z": [1.0, 2.0, 0.0, 7.0]})
    for transform in ("none", "log1p"):
        target = NumericTarget(["y", "z"], transform)
        parsed = target.parse(cells, UNKNOWN)
        target.fit(parsed, np.arange(4))
        task = RegressionTask(Echo(2), Spec([], {}, target))
        predicted = task.predict(target.encode(parsed, np.arange(4)))
        np.testing.assert_allclose(predicted, cells.to_numpy(), rtol=1e-4, atol=0.01)


def test_prediction_of_a_logarithm_is_never_negative():
    task = RegressionTask(Echo(1), Spec([], {}, target_of([1.0], [2.0], "log1p")))
    assert task.predict(torch.tensor([[-3.0], [-0.5]])).tolist() == [[0.0], [0.0]]


def test_metrics_of_a_logarithm_equal_scikit_learns_in_own_units():
    generator = np.random.default_rng(0)
    observed = generator.lognormal([1, 6], [1, 2], size=(40, 2))
    predicted = np.expm1(np.log1p(observed) + np.abs(generator.normal(0, 0.3, size=(40, 2))))
    target = target_of([1.0, 6.0], [1.0, 2.0], "log1p")

    def standardised(values: np.ndarray) -> torch.Tensor:
        return torch.tensor(
            (np.log1p(values) - target.scaling.mean.numpy()) / target.scaling.std.numpy(), dtype=torch.float32
        )

    values = measured(target, standardised(predicted), standardised(observed))
    oracles = {"rmse": root_mean_squared_error, "mae": mean_absolute_error, "r2": r2_score}
    for name, oracle in oracles.items():
        each = oracle(observed, predicted, multioutput="raw_values")
        assert values[f"val/{name}_y0"] == pytest.approx(each[0], rel=1e-3)
        assert values[f"val/{name}_y1"] == pytest.approx(each[1], rel=1e-3)
    z_error = (standardised(predicted) - standardised(observed)).double().numpy()
    assert values["val/loss"] == pytest.approx((z_error**2).mean(), rel=1e-4)  # of what is learned


def test_weights_weigh_the_loss_and_leave_the_metrics():
    # Errors of 1 and 3 deviations, the second three times as important: (1 + 3 * 9) / 4.
    task = RegressionTask(Echo(1), Spec([], {}, target_of([10.0], [2.0])))
    no_codes = torch.zeros(2, 0, dtype=torch.int64)
    task.step(Batch(torch.tensor([[1.0], [3.0]]), no_codes, torch.zeros(2, 1), torch.tensor([1.0, 3.0])), "val")
    values = task.take_metrics("val")
    assert values["val/loss"].item() == pytest.approx((1 + 3 * 9) / 4)
    assert values["val/mae"].item() == pytest.approx((2 + 6) / 2)


def test_a_batch_whose_weights_are_all_0_counts_nothing():
    task = RegressionTask(Echo(1), Spec([], {}, target_of([10.0], [2.0])))
    no_codes, output = torch.zeros(2, 0, dtype=torch.int64), torch.tensor([[1.0], [3.0]], requires_grad=True)
    loss = task.step(Batch(output, no_codes, torch.zeros(2, 1), torch.zeros(2)), "val")
    loss.backward()
    assert loss.item() == 0
    assert output.grad is not None
    assert output.grad.tolist() == [[0.0], [0.0]]
    task.step(Batch(torch.tensor([[2.0], [3.0]]), no_codes, torch.zeros(2, 1), torch.tensor([1.0, 0.0])), "val")
    assert task.take_metrics("val")["val/loss"].item() == 4
    task.step(Batch(torch.tensor([[2.0], [3.0]]), no_codes, torch.zeros(2, 1), torch.zeros(2)), "val")
    assert task.take_metrics("val")["val/loss"].isnan()  # no row counts, so there is none


@pytest.mark.parametrize(
    ("loss", "by_hand"),
    # Errors 0.5 and 3 in deviations; Huber with delta 1 is e^2 / 2 up to 1 and |e| - 1/2 beyond.
    [(nn.MSELoss(), (0.25 + 9) / 2), (nn.L1Loss(), (0.5 + 3) / 2), (nn.HuberLoss(), (0.125 + 2.5) / 2)],
)
def test_losses_by_hand(loss: nn.Module, by_hand: float):
    spec = Spec([], {}, target_of([0.0], [1.0]))
    task = RegressionTask(Echo(1), spec, loss=loss)
    batch = Batch(torch.tensor([[0.5], [3.0]]), torch.zeros(2, 0, dtype=torch.int64), torch.zeros(2, 1))
    assert task.training_step(batch, 0).item() == pytest.approx(by_hand)


def test_overfits_a_tiny_set():
    torch.manual_seed(0)
    spec = Spec(["x1", "x2"], {}, target_of([0.0], [1.0]))
    task = RegressionTask(MLP(spec, hidden_sizes=[64]), spec)
    batch = Batch(torch.randn(10, 2), torch.zeros(10, 0, dtype=torch.int64), torch.randn(10, 1))
    optimizer = torch.optim.Adam(task.parameters(), lr=0.01)
    for _ in range(500):
        optimizer.zero_grad()
        loss = task.training_step(batch, 0)
        loss.backward()
        optimizer.step()
    assert loss.item() < 1e-3
