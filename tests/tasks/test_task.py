import re
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import nn

from conftest import SLOPE, SMALL, compose_config
from litmlp.commands.train import train
from litmlp.data import Batch, ClassTarget, NumericTarget, Spec
from litmlp.errors import InputError
from litmlp.networks import MLP
from litmlp.tasks import ClassificationTask, RegressionTask, Task
from litmlp.training.schedulers import cosine


def make_task(num_targets: int = 1, hidden_sizes: tuple[int, ...] = (8,), **arguments) -> RegressionTask:
    spec = Spec(["x1", "x2"], {}, NumericTarget([f"y{i}" for i in range(num_targets)]))
    return RegressionTask(MLP(spec, hidden_sizes=list(hidden_sizes)), spec, **arguments)


def make_batch(num_rows: int, num_targets: int = 1) -> Batch:
    codes = torch.zeros(num_rows, 0, dtype=torch.int64)
    return Batch(torch.randn(num_rows, 2), codes, torch.randn(num_rows, num_targets))


def make_classifier(**arguments) -> ClassificationTask:
    target = ClassTarget(["label"])
    target.classes, target.counts = ["a", "b", "c"], [5, 3, 2]
    spec = Spec(["x1", "x2"], {}, target)
    return ClassificationTask(MLP(spec, hidden_sizes=[8]), spec, **arguments)


WEIGHTED = {
    "one number": lambda: (make_task(), make_batch(6)),
    "two numbers": lambda: (make_task(num_targets=2), make_batch(6, 2)),
    "absolute error": lambda: (make_task(num_targets=2, loss=nn.L1Loss()), make_batch(6, 2)),
    "huber": lambda: (make_task(loss=nn.HuberLoss()), make_batch(6)),
    "classes": lambda: (make_classifier(), labelled(make_batch(6))),
    "weighted classes": lambda: (make_classifier(class_weights=[0.5, 2.0, 4.0]), labelled(make_batch(6))),
    "smoothed classes": lambda: (
        make_classifier(loss=nn.CrossEntropyLoss(label_smoothing=0.1)),
        labelled(make_batch(6)),
    ),
}


def labelled(batch: Batch) -> Batch:
    return batch._replace(target=torch.tensor([0, 1, 2, 0, 1, 0]))


def loss_and_gradients(task: Task, batch: Batch) -> list[torch.Tensor]:
    task.zero_grad()
    loss = task.training_step(batch, 0)
    loss.backward()
    return [loss.detach(), *(parameter.grad for parameter in task.parameters())]


@pytest.mark.parametrize("kind", WEIGHTED)
def test_a_row_of_weight_2_counts_as_two_rows(kind: str):
    torch.manual_seed(0)
    task, batch = WEIGHTED[kind]()
    weights = torch.tensor([1, 3, 0, 2, 1, 5])
    repeated = batch.rows(torch.arange(6).repeat_interleave(weights))
    expected = loss_and_gradients(task, repeated)
    torch.testing.assert_close(loss_and_gradients(task, batch._replace(weight=weights.float())), expected)
    assert not torch.allclose(loss_and_gradients(task, batch)[0], expected[0])


@pytest.mark.parametrize("kind", WEIGHTED)
def test_equal_weights_are_none(kind: str):
    torch.manual_seed(0)
    task, batch = WEIGHTED[kind]()
    weighted = loss_and_gradients(task, batch._replace(weight=torch.full((6,), 0.3)))
    torch.testing.assert_close(weighted, loss_and_gradients(task, batch))


@pytest.mark.parametrize("kind", WEIGHTED)
def test_weighted_loss_of_all_rows_does_not_depend_on_the_batches(kind: str):
    torch.manual_seed(0)
    task, batch = WEIGHTED[kind]()
    weights = torch.tensor([1, 3, 0, 2, 1, 5])
    task.step(batch.rows(torch.arange(6).repeat_interleave(weights)), "val")
    expected = task.take_metrics("val")["val/loss"]
    for rows in torch.arange(6).split(4):
        task.step(batch._replace(weight=weights.float()).rows(rows), "val")
    torch.testing.assert_close(task.take_metrics("val")["val/loss"], expected)


def test_l1_adds_the_absolute_weights_and_no_biases():
    task, batch = make_task(l1=0.5), make_batch(6)
    penalty = sum(layer.weight.abs().sum() for layer in task.network.layers if isinstance(layer, nn.Linear))
    expected = nn.functional.mse_loss(task(batch), batch.target) + 0.5 * penalty
    torch.testing.assert_close(task.training_step(batch, 0), expected)


def test_l1_drives_useless_weights_to_zero():
    task = make_task(hidden_sizes=(), l1=0.1)
    optimizer = torch.optim.SGD(task.parameters(), lr=0.05)
    x = torch.randn(500, 2, generator=torch.Generator().manual_seed(0))
    batch = Batch(x, torch.zeros(500, 0, dtype=torch.int64), 2 * x[:, :1])
    for _ in range(300):
        optimizer.zero_grad()
        task.training_step(batch, 0).backward()
        optimizer.step()
    useful, useless = task.network.layers[0].weight[0]
    # For independent inputs of variance v, lasso shrinks each weight by l1 / (2 v).
    assert useful.item() == pytest.approx(2 - 0.05 / x[:, 0].var().item(), abs=0.02)
    assert abs(useless.item()) < 0.01


def test_weight_decay_shrinks_weights_and_leaves_biases():
    task = make_task(optimizer=partial(torch.optim.SGD, lr=0.1, weight_decay=0.5))
    optimizer = task.configure_optimizers()
    before = {name: p.detach().clone() for name, p in task.network.named_parameters()}
    for parameter in task.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    for name, parameter in task.network.named_parameters():
        shrunk = before[name] * (1 - 0.1 * 0.5) if parameter.ndim == 2 else before[name]
        torch.testing.assert_close(parameter.detach(), shrunk)


def test_metrics_do_not_depend_on_the_batches():
    task = make_task(num_targets=2)
    batch = make_batch(10, 2)
    task.step(batch, "val")
    whole = task.take_metrics("val")
    for rows in torch.arange(10).split(3):
        task.step(batch.rows(rows), "val")
    pieces = task.take_metrics("val")
    assert whole.keys() == pieces.keys()
    for name, value in whole.items():
        torch.testing.assert_close(pieces[name], value)


def test_measuring_forgets():
    task = make_task()
    task.step(make_batch(5), "val")
    task.take_metrics("val")
    batch = make_batch(7)
    task.step(batch, "val")
    expected = nn.functional.mse_loss(task(batch), batch.target)
    torch.testing.assert_close(task.take_metrics("val")["val/loss"], expected.detach())


def test_scheduler_gets_the_steps_of_the_whole_run():
    class Trainer:
        estimated_stepping_batches = 10

    task = make_task(optimizer=partial(torch.optim.SGD, lr=1.0), scheduler=partial(cosine, warmup=0.0))
    task._trainer = Trainer()
    wired = task.configure_optimizers()
    scheduler = wired["lr_scheduler"]["scheduler"]
    rates = []
    for _ in range(11):
        rates.append(scheduler.get_last_lr()[0])
        wired["optimizer"].step()
        scheduler.step()
    assert rates[0] == 1.0
    assert rates[5] == pytest.approx(0.5)
    assert rates[10] == pytest.approx(0.0)


def test_a_forward_of_ones_own_is_what_is_trained_measured_and_predicted():
    class Doubled(RegressionTask):
        def forward(self, batch: Batch) -> torch.Tensor:
            return 2 * self.network(batch.numeric, batch.categorical)

    spec = Spec(["x1", "x2"], {}, NumericTarget(["y"]))
    task, batch = Doubled(MLP(spec, hidden_sizes=[8]), spec), make_batch(6)
    output = 2 * task.network(batch.numeric, batch.categorical)
    expected = nn.functional.mse_loss(output, batch.target)
    torch.testing.assert_close(task.training_step(batch, 0), expected)
    task.validation_step(batch, 0)
    torch.testing.assert_close(task.take_metrics("val")["val/loss"], expected.detach())
    torch.testing.assert_close(task.predict_step(batch, 0), output.double())


class LossOfItsOwn(RegressionTask):
    def training_step(self, batch: Batch, batch_idx: int) -> torch.Tensor:
        return self.loss(self.forward(batch), batch.target)


class NothingMeasured(RegressionTask):
    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        self.forward(batch)


class NoStepAtAll(RegressionTask):
    def training_step(self, batch: Batch, batch_idx: int) -> None:
        return None


@pytest.mark.filterwarnings("ignore:training_step returned None")
@pytest.mark.parametrize("task", [LossOfItsOwn, NoStepAtAll])
def test_a_step_of_ones_own_may_measure_no_training_rows(task: type[Task], tmp_path: Path):
    name = f"{task.__module__}.{task.__qualname__}"
    metrics = train(compose_config(*SLOPE, f"task._target_={name}", "trainer=debug", *SMALL), tmp_path / "run")
    assert metrics["val/loss"] == metrics["objective"]


def test_validation_that_measures_no_rows_is_refused(tmp_path: Path):
    name = f"{NothingMeasured.__module__}.{NothingMeasured.__qualname__}"
    said = "NothingMeasured has measured no rows of val: call self.step(batch, 'val') in its validation_step"
    with pytest.raises(InputError, match=re.escape(said)):
        train(compose_config(*SLOPE, f"task._target_={name}", "trainer=debug", *SMALL), tmp_path / "run")


def test_a_negative_l1_is_refused():
    with pytest.raises(ValueError, match="l1 must be 0 or more, not -1"):
        make_task(l1=-1)
