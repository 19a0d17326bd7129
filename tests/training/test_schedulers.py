import math

import pytest
import torch

from litmlp.training.schedulers import cosine, one_cycle, reduce_on_plateau


def optimizer_of(lr: float) -> torch.optim.Optimizer:
    return torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=lr)


def rates(wired: dict, num_steps: int) -> list[float]:
    scheduler = wired["scheduler"]
    seen = []
    for _ in range(num_steps):
        seen.append(scheduler.get_last_lr()[0])
        scheduler.optimizer.step()
        scheduler.step()
    return seen


def test_cosine_rises_linearly_then_falls_along_half_a_wave():
    seen = rates(cosine(optimizer_of(0.1), total_steps=14, warmup=4 / 14), 15)
    assert seen[:4] == pytest.approx([0.02, 0.04, 0.06, 0.08])
    assert seen[4:] == pytest.approx([0.05 * (1 + math.cos(math.pi * i / 10)) for i in range(11)])


def test_cosine_ends_at_its_final_share():
    assert rates(cosine(optimizer_of(0.1), total_steps=10, final=0.2), 12)[-1] == pytest.approx(0.02)


def test_one_cycle_peaks_at_the_optimizers_rate_and_survives_the_step_after_the_last():
    seen = rates(one_cycle(optimizer_of(0.1), total_steps=100, warmup=0.3), 101)
    assert max(seen) == pytest.approx(0.1, rel=1e-3)
    assert seen.index(max(seen)) == pytest.approx(30, abs=1)
    assert seen[0] < 0.01 > seen[-1]


def test_plateau_reduces_after_patience_in_the_direction_of_mode():
    wired = reduce_on_plateau(optimizer_of(0.1), monitor="val/accuracy", mode="max", factor=0.5, patience=1)
    scheduler = wired["scheduler"]
    for score, rate in [(0.5, 0.1), (0.6, 0.1), (0.5, 0.1), (0.5, 0.05)]:
        scheduler.step(score)
        assert scheduler.get_last_lr() == [pytest.approx(rate)]
    assert wired["monitor"] == "val/accuracy"


@pytest.mark.parametrize("arguments", [{"warmup": 1.0}, {"warmup": -0.1}, {"final": 2}])
def test_shares_beyond_their_range_are_refused(arguments: dict):
    with pytest.raises(ValueError, match="must be a fraction"):
        cosine(optimizer_of(0.1), total_steps=10, **arguments)
