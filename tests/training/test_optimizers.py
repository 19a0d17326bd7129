"""The default optimizer takes torch's steps, to the bit."""

from copy import deepcopy
from pathlib import Path
from typing import Any

import lightning.pytorch as L
import pytest
import torch
from torch import nn

from conftest import NO_PLOTS, compose_config
from litmlp import build, checkpoint
from litmlp.commands.train import quiet_libraries, train
from litmlp.training.optimizers import AdamW, adamw_by_rows


def network_and_optimizer(
    kind: type[torch.optim.Optimizer], **settings: Any
) -> tuple[nn.Module, torch.optim.Optimizer]:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 2))
    weights = [p for p in network.parameters() if p.ndim > 1]
    biases = [p for p in network.parameters() if p.ndim == 1]
    groups: list[dict[str, Any]] = [{"params": weights}, {"params": biases, "weight_decay": 0.0}]
    return network, kind(groups, **({"lr": 0.01, "weight_decay": 0.5, "fused": True} | settings))


def take_steps(network: nn.Module, optimizer: torch.optim.Optimizer, num_steps: int, seed: int = 1) -> None:
    generator = torch.Generator().manual_seed(seed)
    for step in range(num_steps):
        optimizer.param_groups[0]["lr"] = 0.01 / (1 + step)
        optimizer.zero_grad()
        network(torch.randn(5, 3, generator=generator)).square().mean().backward()
        if step == 3:
            next(network.parameters()).grad = None  # as of a layer that was frozen for a while
        optimizer.step()


def same(ours: nn.Module, theirs: nn.Module) -> bool:
    return all(torch.equal(a, b) for a, b in zip(ours.parameters(), theirs.parameters(), strict=True))


@pytest.mark.parametrize(
    "settings", [{}, {"amsgrad": True}, {"fused": False}, {"maximize": True}, {"betas": (0.5, 0.9), "eps": 1e-3}]
)
def test_steps_are_torchs(settings: dict[str, Any]):
    ours, theirs = (network_and_optimizer(kind, **settings) for kind in (AdamW, torch.optim.AdamW))
    for pair in (ours, theirs):
        take_steps(*pair, 10)
    assert same(ours[0], theirs[0])
    assert not same(ours[0], network_and_optimizer(AdamW)[0])


def test_the_quick_way_is_taken_where_it_can_be(monkeypatch: pytest.MonkeyPatch):
    network, optimizer = network_and_optimizer(AdamW)
    take_steps(network, optimizer, 1)
    monkeypatch.setattr(torch.optim.AdamW, "step", None)  # torch's own cannot be called any more
    take_steps(network, optimizer, 2)
    with pytest.raises(TypeError):
        take_steps(network, optimizer, 4)  # one gradient is missing


def test_going_on_from_a_saved_state_is_as_going_on():
    ours = network_and_optimizer(AdamW)
    take_steps(*ours, 5)
    network, optimizer = network_and_optimizer(AdamW)
    take_steps(network, optimizer, 2, seed=3)  # so that it has a state, which is replaced
    network.load_state_dict(ours[0].state_dict())
    optimizer.load_state_dict(deepcopy(ours[1].state_dict()))
    for pair in (ours, (network, optimizer)):
        take_steps(*pair, 8, seed=2)
    assert same(ours[0], network)
    assert ours[1].state_dict()["state"][0]["step"] == 13 - 2  # two without a gradient


def test_a_new_group_is_learned_too():
    network, optimizer = network_and_optimizer(AdamW)
    take_steps(network, optimizer, 2)
    more = nn.Parameter(torch.ones(2))
    optimizer.add_param_group({"params": [more], "weight_decay": 0.0})
    for _ in range(2):
        before = more.detach().clone()
        optimizer.zero_grad()
        (network(torch.ones(1, 3)) * more).sum().backward()
        optimizer.step()
        assert not torch.equal(before, more)


def test_hooks_are_called():
    network, optimizer = network_and_optimizer(AdamW)
    take_steps(network, optimizer, 1)
    called: list[str] = []
    optimizer.register_step_pre_hook(lambda *_: called.append("before"))
    optimizer.register_step_post_hook(lambda *_: called.append("after"))
    take_steps(network, optimizer, 2)
    assert called == ["before", "after"] * 2


def test_a_closure_is_called():
    network, optimizer = network_and_optimizer(AdamW)

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = network(torch.ones(1, 3)).square().mean()
        loss.backward()
        return loss

    assert optimizer.step(closure) > optimizer.step(closure)


@pytest.mark.parametrize(("rows", "expected"), [(1024, 0.008), (256, 0.008), (64, 0.004), (16, 0.002)])
def test_steps_of_few_rows_have_a_lower_learning_rate(rows: int, expected: float) -> None:
    optimizer = adamw_by_rows([nn.Parameter(torch.ones(2))], lr=0.008, step_rows=rows)
    (group,) = optimizer.param_groups
    assert group["lr"] == pytest.approx(expected)
    assert (group["betas"], group["weight_decay"], group["fused"]) == ((0.9, 0.95), 0.1, True)


@pytest.mark.parametrize(("overrides", "expected"), [([], 0.006 / 8**0.5), (["data.batch_size=256"], 0.006)])
def test_the_default_learning_rate_follows_the_rows_of_a_step(
    overrides: list[str], expected: float, tmp_path: Path
) -> None:
    config = compose_config("data=penguins", "trainer.max_epochs=1", "scheduler=none", *NO_PLOTS, *overrides)
    train(config, tmp_path / "run")
    state = checkpoint.read(tmp_path / "run/checkpoints/last.ckpt")["optimizer_states"][0]
    assert [group["lr"] for group in state["param_groups"]] == pytest.approx([expected] * 2)


def test_loaders_of_ones_own_need_no_data_module(tmp_path: Path) -> None:
    quiet_libraries()
    config = compose_config("data=penguins", "trainer.max_epochs=1", *NO_PLOTS)
    data = build.data(config)
    data.setup()
    task = build.task(config, data.spec)
    trainer = L.Trainer(
        max_steps=1, accelerator="cpu", logger=False, default_root_dir=tmp_path, enable_checkpointing=False
    )
    trainer.fit(task, data.train_dataloader(), data.val_dataloader())
    assert trainer.optimizers[0].defaults["lr"] == 0.006
