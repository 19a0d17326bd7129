import numpy as np
import pytest
import torch
from torch import nn

from litmlp.data import Batch, ClassTarget, NumericTarget, Spec
from litmlp.networks import MLP
from litmlp.tasks import ClassificationTask, RegressionTask, Task

ROWS, MEMBERS = 9, 4


def task_of(kind: str) -> Task:
    torch.manual_seed(1)
    if kind == "classes":
        target: ClassTarget | NumericTarget = ClassTarget(["label"])
        target.classes, target.counts = ["a", "b", "c"], [5, 3, 2]
    else:
        target = NumericTarget(["y", "z"], kind)
        target.scaling.fit([np.array([5.0, 6.0, 7.0]), np.array([3.0, 3.1, 3.4])])
    spec = Spec(["x1", "x2"], {}, target)
    network = MLP(spec, [8], members=MEMBERS)
    return ClassificationTask(network, spec) if kind == "classes" else RegressionTask(network, spec)


def batch_of(kind: str, weight: torch.Tensor | None = None) -> Batch:
    target = torch.randint(3, (ROWS,)) if kind == "classes" else torch.randn(ROWS, 2)
    return Batch(torch.randn(ROWS, 2), torch.zeros(ROWS, 0, dtype=torch.int64), target, weight)


KINDS = ("none", "log1p", "classes")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("is_weighted", [False, True])
def test_members_are_trained_by_the_mean_of_their_losses(kind: str, is_weighted: bool):
    task = task_of(kind)
    weight = torch.rand(ROWS) if is_weighted else None
    batch = batch_of(kind, weight)
    losses = nn.CrossEntropyLoss(reduction="none") if kind == "classes" else nn.MSELoss(reduction="none")
    rows = torch.ones(ROWS) if weight is None else weight
    each = [
        (losses(output, batch.target).reshape(ROWS, -1).mean(1) * rows).sum() / rows.sum()
        for output in task.network(batch.numeric, batch.categorical).unbind(1)
    ]
    torch.testing.assert_close(task.training_step(batch, 0), torch.stack(each).mean())


@pytest.mark.parametrize("kind", KINDS)
def test_a_prediction_is_the_mean_of_the_members(kind: str):
    task, batch = task_of(kind), batch_of(kind)
    each = [task.predict(output) for output in task.network(batch.numeric, batch.categorical).unbind(1)]
    torch.testing.assert_close(task.eval().predict_step(batch, 0), torch.stack(each).mean(0), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_loss_and_metrics_are_those_of_the_mean(kind: str):
    task, batch = task_of(kind).eval(), batch_of(kind)
    output = task.forward(batch)
    assert output.shape == (ROWS, 3 if kind == "classes" else 2)
    task.validation_step(batch, 0)
    measured = task.take_metrics("val")
    torch.testing.assert_close(measured["val/loss"], task.loss(output, batch.target))
    if kind == "classes":
        probability = task.predict_step(batch, 0)[torch.arange(ROWS), batch.target]
        torch.testing.assert_close(measured["val/log_loss"], -probability.log().mean())
    else:
        error = task.predict_step(batch, 0) - task.predict(batch.target)
        torch.testing.assert_close(measured["val/rmse"], error.square().mean(0).sqrt().mean(), check_dtype=False)


@pytest.mark.parametrize("kind", KINDS)
def test_metrics_of_training_are_those_of_the_mean_too(kind: str):
    task, batch = task_of(kind), batch_of(kind)
    task.training_step(batch, 0)
    task.eval().validation_step(batch, 0)
    train, val = (task.take_metrics(stage) for stage in ("train", "val"))
    torch.testing.assert_close([*train.values()], [*val.values()])
