import json
import os
import pickle
import re
import shutil
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch

from conftest import SMALL, compose_config
from litmlp import checkpoint, paths
from litmlp.commands.ensemble import ensemble
from litmlp.commands.evaluate import evaluate
from litmlp.commands.predict import predict
from litmlp.commands.train import train
from litmlp.errors import InputError


def every_value(content: Any) -> list[Any]:
    """All that a nested structure holds, keys included."""
    if isinstance(content, dict):
        return [leaf for key, value in content.items() for leaf in (key, *every_value(value))]
    if isinstance(content, list | tuple):
        return [leaf for value in content for leaf in every_value(value)]
    return [content]


@pytest.fixture
def best(penguins_run: Path) -> dict[str, Any]:
    return torch.load(penguins_run / "checkpoints/best.ckpt", weights_only=True)


@pytest.mark.parametrize("name", ["best.ckpt", "last.ckpt"])
def test_holds_tensors_and_plain_values_and_no_absolute_path(penguins_run: Path, name: str):
    content = torch.load(penguins_run / "checkpoints" / name, weights_only=True)
    for value in every_value(content):
        assert type(value) in (str, int, float, bool, type(None), torch.Tensor), value
        assert not (isinstance(value, str) and os.path.isabs(value)), value  # noqa: PTH117


def test_is_all_that_is_needed(penguins_run: Path, tmp_path: Path):
    alone = tmp_path / "elsewhere.ckpt"
    shutil.copy(penguins_run / "checkpoints/best.ckpt", alone)
    reported = json.loads((penguins_run / "metrics.json").read_text())
    measured = evaluate(str(alone), "val")
    assert measured == {name: value for name, value in reported.items() if name.startswith("val/")}


def test_a_moved_run_can_be_used(penguins_run: Path, tmp_path: Path):
    shutil.copytree(penguins_run, tmp_path / "moved")
    assert evaluate(str(tmp_path / "moved"), "val") == evaluate(str(penguins_run), "val")


def test_that_of_a_wide_table_is_read(tmp_path: Path):
    frame = {f"c{i}": [float(i + j) for j in range(20)] for i in range(1200)} | {"y": range(20)}
    config = compose_config("data=table", "data.path=null", "data.target=y", "task=regression", "trainer=debug", *SMALL)
    train(config | {"callbacks": {"checkpoint": config["callbacks"]["checkpoint"]}}, tmp_path / "run", frame=frame)
    assert len(checkpoint.load(tmp_path / "run/checkpoints/best.ckpt").data.inputs.columns) == 1200


def test_a_path_outside_the_project_is_left_out(tmp_path: Path):
    table = tmp_path / "mine.csv"
    table.write_text("x,y\n" + "\n".join(f"{i},{2 * i}" for i in range(40)))
    overrides = [f"data.path={table}", "data.target=y", "trainer.max_epochs=1", *SMALL]
    train(compose_config(*overrides), tmp_path / "run")
    content = checkpoint.read(tmp_path / "run/checkpoints/best.ckpt")
    assert content["hyper_parameters"]["data"]["path"] == "mine.csv"


class Evil:
    """Runs code where it is unpickled."""

    def __init__(self, proof: Path) -> None:
        self.proof = proof

    def __reduce__(self) -> tuple:
        return os.system, (f"touch {self.proof}",)


def test_a_strangers_pickle_runs_no_code(best: dict, tmp_path: Path):
    proof = tmp_path / "proof"
    torch.save(best | {"evil": Evil(proof)}, tmp_path / "evil.ckpt")
    with pytest.raises(InputError, match="could run code: it was not loaded"):
        predict(str(tmp_path / "evil.ckpt"), tmp_path / "rows.csv")
    assert not proof.exists()


@pytest.mark.parametrize("content", [b"", b"# Title", pickle.dumps({"state_dict": {}})])
def test_another_file_is_refused_in_a_sentence(content: bytes, tmp_path: Path):
    (tmp_path / "other").write_bytes(content)
    with pytest.raises(InputError, match=r"other' is not a checkpoint, or a damaged one: give another run's folder"):
        predict(str(tmp_path / "other"), tmp_path / "rows.csv")


def test_says_nothing_of_the_packages_name(best: dict):
    own = paths.PACKAGE.name
    assert not [value for value in every_value(best) if isinstance(value, str) and own in value]
    assert best["hyper_parameters"]["task"]["loss"]["_target_"] == "torch.nn.CrossEntropyLoss"
    assert best["hyper_parameters"]["network"]["_target_"] == ".networks.MLP"


@pytest.mark.parametrize("name", [paths.PACKAGE.name, "former_name"])
def test_one_with_whole_names_is_read_whatever_the_package_was_called(
    penguins_run: Path, best: dict, tmp_path: Path, name: str
):
    for part in ("data", "network", "task"):
        best["hyper_parameters"][part]["_target_"] = name + best["hyper_parameters"][part]["_target_"]
    torch.save(best, tmp_path / "older.ckpt")
    assert evaluate(str(tmp_path / "older.ckpt"), "val") == evaluate(str(penguins_run), "val")


def test_a_package_that_is_not_the_datas_is_not_taken_for_ours(best: dict, tmp_path: Path):
    best["hyper_parameters"]["network"]["_target_"] = "another.networks.MLP"
    torch.save(best, tmp_path / "other.ckpt")
    with pytest.raises(InputError, match=r"wants to build another\.networks\.MLP as network"):
        checkpoint.load(tmp_path / "other.ckpt")


HARMFUL = [
    "os.system",
    "subprocess.run",
    "torch.hub.load",
    "torch.load",
    "torch.nn.modules.module.os.system",
    "litmlp.run_folder.os.system",
    ".run.os.system",
    "..litmlp.networks.MLP",
    "litmlp.cli.command",
    "litmlp.files.write_text",
    "torch.utils.data.DataLoader",
    "lightning.pytorch.Trainer",
    "hydra.utils.instantiate",
]


@pytest.mark.parametrize("part", ["network", "task", "data"])
@pytest.mark.parametrize("target", HARMFUL)
def test_a_strangers_config_builds_only_modules_and_data_of_ours_and_torchs(
    best: dict, tmp_path: Path, part: str, target: str
):
    best["hyper_parameters"][part]["_target_"] = target
    torch.save(best, tmp_path / "evil.ckpt")
    with pytest.raises(InputError, match=f"wants to build {target} as {part}: not loaded"):
        checkpoint.load(tmp_path / "evil.ckpt")


def test_a_target_hidden_in_a_list_is_found(best: dict, tmp_path: Path):
    best["hyper_parameters"]["network"]["hidden_sizes"] = [{"_target_": "os.getcwd"}]
    torch.save(best, tmp_path / "evil.ckpt")
    with pytest.raises(InputError, match=r"os.getcwd as network.hidden_sizes\[0\]"):
        checkpoint.load(tmp_path / "evil.ckpt")


@pytest.mark.parametrize("key", ["network.dropout", "task.label_smoothing", "data.val_size"])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_number_that_is_not_finite_is_refused(key: str, value: float, best: dict, tmp_path: Path):
    part, _, name = key.partition(".")
    best["hyper_parameters"][part][name] = value
    torch.save(best, tmp_path / "odd.ckpt")
    with pytest.raises(InputError, match=rf"{key} is {value}: give a finite number"):
        checkpoint.load(tmp_path / "odd.ckpt")


def test_a_strangers_config_reads_no_secret(best: dict, tmp_path: Path):
    best["hyper_parameters"]["data"]["path"] = "${oc.env:HOME}"
    torch.save(best, tmp_path / "evil.ckpt")
    assert checkpoint.load(tmp_path / "evil.ckpt").data.path == "${oc.env:HOME}"


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"PK\x03\x04 half a zip"])
def test_a_damaged_file_is_one_sentence(tmp_path: Path, content: bytes):
    (tmp_path / "bad.ckpt").write_bytes(content)
    with pytest.raises(InputError, match=r"bad\.ckpt' (is not a checkpoint|holds more)"):
        checkpoint.load(tmp_path / "bad.ckpt")


def test_a_file_of_another_program_is_one_sentence(tmp_path: Path):
    torch.save({"state_dict": {}}, tmp_path / "other.ckpt")
    with pytest.raises(InputError, match="not a checkpoint of this project"):
        checkpoint.load(tmp_path / "other.ckpt")


def test_weights_that_do_not_fit_are_refused(penguins_run: Path, best: dict, tmp_path: Path):
    best["hyper_parameters"]["network"]["hidden_sizes"] = [9]
    torch.save(best, tmp_path / "wrong.ckpt")
    with pytest.raises(InputError, match="does not fit"):
        checkpoint.load(tmp_path / "wrong.ckpt")


def test_a_folder_without_checkpoint_is_refused(tmp_path: Path):
    with pytest.raises(InputError, match=r"holds no checkpoints/best\.ckpt"):
        checkpoint.resolve(str(tmp_path))


@pytest.fixture(scope="module")
def of_ensemble(penguins_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The checkpoint of an ensemble of one network."""
    folder = tmp_path_factory.mktemp("ensemble") / "run"
    ensemble([penguins_run], output=folder)
    return folder / "checkpoints/best.ckpt"


def changed(file: Path, **arguments: Any) -> Path:
    """A copy of an ensemble's checkpoint, with other arguments of its network, or of its first member as `member`."""
    content = torch.load(file, weights_only=True)
    network = content["hyper_parameters"]["network"]
    network["members"][0] |= arguments.pop("member", {})
    network |= {name: change(network[name]) for name, change in arguments.items()}
    torch.save(content, "changed.ckpt")
    return Path("changed.ckpt")


def test_that_of_an_ensemble_says_nothing_of_the_packages_name_and_holds_plain_values(of_ensemble: Path):
    values = every_value(torch.load(of_ensemble, weights_only=True))
    assert {type(value) for value in values} <= {str, int, float, bool, type(None), torch.Tensor}
    texts = [value for value in values if isinstance(value, str)]
    assert not [text for text in texts if paths.PACKAGE.name in text or os.path.isabs(text)]  # noqa: PTH117
    assert {".networks.Ensemble", ".networks.MLP"} <= {*texts}


@pytest.mark.parametrize("target", HARMFUL)
@pytest.mark.parametrize("key", ["", "embedding", "activation"])
def test_a_strangers_ensemble_builds_only_modules_and_data_of_ours_and_torchs(of_ensemble: Path, target: str, key: str):
    member = {key: {"_target_": target}} if key else {"_target_": target}
    place = rf"network\.members\[0\]{f'.{key}' if key else ''}"
    with pytest.raises(InputError, match=f"wants to build {target} as {place}: not loaded"):
        checkpoint.load(changed(of_ensemble, member=member))


WRONG = {  # what is said of an ensemble of other arguments
    "there is no config key 'network.members[0].hiden_sizes'": {"member": {"hiden_sizes": [8]}},
    "network.members[0].hidden_sizes is 'wide', but should be of type list[int]": {"member": {"hidden_sizes": "wide"}},
    "network.members[0].dropout is nan": {"member": {"dropout": float("nan")}},
    "network.weights[0] is inf": {"weights": lambda _: [float("inf")]},
    "network.weights is ['x'], but should be of type list[float]": {"weights": lambda _: ["x"]},
    "network.spans is 3, but should be of type list[list[int]]": {"spans": lambda _: 3},
    "each weight of a member must be above 0": {"weights": lambda _: [-1.0]},
    "1 members have 1 spans and 2 weights": {"weights": lambda _: [0.5, 0.5]},
    "0 members have 0 spans and 0 weights": dict.fromkeys(("members", "spans", "weights"), lambda _: []),
    "values to unpack": {"spans": lambda _: [[0, 1]]},
    "size mismatch": {"spans": lambda _: [[0, 1, 0, 2]]},
    "not callable": {"members": lambda _: ["os.system"]},
    "unexpected keyword argument": {"members": lambda _: [{"_target_": "torch.nn.ReLU"}]},
    "missing": {"members": lambda members: [{**members[0], "_partial_": False}]},
}


@pytest.mark.parametrize("said", WRONG)
def test_an_ensemble_of_wrong_arguments_is_one_sentence(said: str, of_ensemble: Path):
    with pytest.raises(InputError, match=re.escape(said)):
        checkpoint.load(changed(of_ensemble, **WRONG[said]))


def copies(values: list[Any]) -> list[Any]:
    return [deepcopy(value) for _ in range(1000) for value in values]  # the same object would be written once


def nested(members: list[Any]) -> list[Any]:
    inner = {"members": copies(members), "spans": copies([[0, 5, 0, 2]]), "weights": [1e-3] * 1000, "common_splits": []}
    return [{"_target_": ".networks.Ensemble", "_partial_": True, **inner}]


@pytest.mark.parametrize(
    "arguments",
    [
        {"member": {"hidden_sizes": [60_000, 60_000]}},
        dict.fromkeys(("members", "spans", "weights"), copies),
        {"members": nested},
    ],
    ids=["wide", "many", "nested"],
)
def test_an_ensemble_takes_no_more_memory_than_its_tensors_need(arguments: dict[str, Any], of_ensemble: Path):
    with pytest.raises(InputError, match=r"larger than the weights that it holds|would take .* of memory"):
        checkpoint.load(changed(of_ensemble, **arguments))
