"""A fitted curve, and the units that it is made of."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from conftest import SMALL
from litmlp import build
from litmlp.commands.train import train
from litmlp.playground import FunctionPlots

Config = Callable[..., dict[str, Any]]


def test_a_run_draws_the_fit_and_its_pieces(tmp_path: Path, config: Config):
    train(config("data=function", "data.num_samples=100", "trainer.max_epochs=1", *SMALL), tmp_path / "run")
    drawn = {path.stem for path in (tmp_path / "run/plots").iterdir()}
    assert drawn == {
        *("function-fit", "function-pieces", "regression-predicted", "regression-residuals", "regression-histogram")
    }


def test_the_pieces_of_a_curve_add_up_to_it(config: Config, monkeypatch: pytest.MonkeyPatch):
    made = config("data=function", "data.num_samples=100", *SMALL)
    data = build.data(made)
    data.setup()
    task = build.task(made, data.spec).eval()
    seen: dict[str, Any] = {}
    monkeypatch.setattr("litmlp.playground.function_plots.pieces", lambda x, *rest: seen.update(x=x, rest=rest))
    with torch.no_grad():
        assert [tag for tag, _ in FunctionPlots().draw(task, data, "val", "rows, now")] == [
            "function/fit",
            "function/pieces",
        ]
        parts, predicted, title = seen["rest"]
        constant = task.predict(task.network.layers[-1].bias[None])[0, 0]
    np.testing.assert_allclose(parts.sum(axis=1) + constant.numpy(), predicted, atol=1e-5)
    assert (parts.shape, title) == ((601, 8), "now")
