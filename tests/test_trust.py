"""A stranger's run or sweep folder builds what this project knows, within the folder, and types no command."""

from pathlib import Path
from typing import Any

import pytest

from conftest import compose_config
from litmlp import trust
from litmlp.errors import InputError
from litmlp.files import write_json, write_yaml
from litmlp.sweeps.folder import SweepFolder

FILE = Path("theirs/config.yaml")


@pytest.mark.parametrize(
    "overrides", [["data=adult"], ["task=auto"], ["network=linear", "optimizer=sgd", "scheduler=plateau"]]
)
def test_what_this_project_composes_is_trusted(overrides: list[str]):
    trust.check_config(compose_config(*overrides), FILE)


def test_a_file_of_conf_makes_a_class_trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    config = {"network": {"_target_": "mine.Network"}}
    with pytest.raises(InputError, match=r"asks for 'mine\.Network' as network, .* name the class in a file of conf/"):
        trust.check_config(config, FILE)
    (tmp_path / "network").mkdir()
    (tmp_path / "network/mine.yaml").write_text("_target_: mine.Network\n")
    monkeypatch.setattr(trust.paths, "CONF", tmp_path)
    trust.named_in_conf.cache_clear()
    trust.check_config(config, FILE)
    trust.named_in_conf.cache_clear()


@pytest.mark.parametrize(
    "target",
    [
        *("os.system", "subprocess.Popen", "builtins.eval", "hydra.utils.instantiate", "torch.load", "torch.hub.load"),
        *("torch.nn.functional.relu", "lightning.pytorch.callbacks.ModelCheckpoint", "litmlp.files.write_text"),
        *(
            "litmlp.run_folder.discard",
            "litmlp.data.cache.shutil.rmtree",
            "torch.nn.modules.module.os.system",
            "",
            None,
            1,
        ),
        *(["os.system"], {"_target_": "os.system"}),
    ],
)
@pytest.mark.parametrize("place", ["callbacks", "logger", "trainer"])
def test_another_target_is_refused(target: Any, place: str):
    with pytest.raises(InputError, match="no class of this project"):
        trust.check_config({place: {"deep": [{"_target_": target}]}}, FILE)


@pytest.mark.parametrize("value", ["/etc/x", "~/x", "../x", "a/../../x"])
def test_a_path_out_of_the_folder_is_refused(value: str):
    with pytest.raises(InputError, match=r"logger\.csv\.name=.* leads out of the run's folder"):
        trust.check_config({"logger": {"csv": {"name": value}}}, FILE)


def test_what_the_user_types_is_trusted_and_nothing_beside_it():
    config = {"logger": {"csv": {"_target_": "mine.Logger", "name": "../x"}}}
    trust.check_config(config, FILE, ["logger.csv.name", "logger.csv._target_"])
    trust.check_config(config, FILE, ["logger.csv"])
    for typed in (["logger.csv.name"], ["logger.csv._target_"], ["logger.cs"], ["logger.csv.name.x"], []):
        with pytest.raises(InputError, match=r"no class of this project|leads out of the run's folder"):
            trust.check_config(config, FILE, typed)


@pytest.mark.parametrize(
    "argument",
    [
        *("seed=1,2", "data=penguins", "optimizer.lr=tag(log,interval(1e-4,1e-1))", "++network.hidden_sizes=[8,8]"),
        *("data.path=../mine.csv", "hydra/launcher=joblib", "hydra.sweeper.n_trials=4", "~callbacks.importance"),
        *("hydra/sweeper/sampler=tpe", "hydra.launcher.cpus_per_task=4", "+experiment=mine", "data.ignore=[a,b]"),
    ],
)
def test_a_sweeps_command_chooses_values(argument: str):
    assert trust.check_command([argument], Path("sweep.yaml")) == [argument]


@pytest.mark.parametrize(
    "argument",
    [
        *("--config-dir=/evil", "-m", "--cfg", "hydra.searchpath=[/evil]", "hydra.run.dir=/etc", "hydra.job.name=x"),
        *(
            *(
                "hydra/sweeper/sampler=cmaes",
                "logger.csv.name=../../x",
                "++logger.csv.name='/x'",
                "callbacks.a={b: ~/x}",
            ),
            "hydra/launcher=../evil",
            "hydra.launcher._target_=os.system",
            "hydra.launcher.setup=[touch x]",
        ),
        *("hydra.launcher.ray.init.address=evil:10001", "hydra.sweeper.storage=sqlite:////etc/x", "data=../../evil"),
        *("data=/evil", "callbacks.x._target_=os.system", "+callbacks={x:{_target_:os.system}}", "seed=${oc.env:HOME}"),
        *("hydra.sweeper.n_trials=${oc.env:HOME}", "hydra/job_logging=x", "hydra.sweeper.sampler._target_=os.system"),
    ],
)
def test_a_sweeps_command_that_could_run_code_is_to_be_typed(argument: str):
    with pytest.raises(
        InputError, match=r"could run code: if you trust .* type the command yourself: litmlp-train -m "
    ):
        trust.check_command(["seed=1,2", argument], Path("sweep.yaml"))


@pytest.mark.parametrize("command", [None, "seed=1,2", {"a": 1}, [1], [["seed=1"]]])
def test_a_sweep_without_a_command_is_refused(command: Any):
    with pytest.raises(InputError, match="holds no command"):
        trust.check_command(command, Path("sweep.yaml"))


@pytest.mark.parametrize(
    "damage",
    [
        lambda job: job | {"overrides": ["task.loss._target_=os.system"]},
        lambda job: job | {"overrides": ["seed=${oc.env:HOME}"]},
        lambda job: job | {"overrides": ["callbacks=none"]},
        lambda job: job | {"number": "../../elsewhere"},
        lambda job: job | {"number": 1},
    ],
)
def test_a_strangers_job_is_not_taken_for_a_record(damage: Any, tmp_path: Path):
    description = {"space": {"seed": ["0", "1"]}, "monitor": "val/loss", "mode": "min"}
    sweep = SweepFolder(tmp_path, description)
    (tmp_path / "0").mkdir()
    record = {"number": 0, "status": "running", "overrides": ["seed=0"]}
    write_json(tmp_path / "0/job.json", record)
    assert sweep.record(0) == record
    write_json(tmp_path / "0/job.json", damage(record))
    assert sweep.record(0) == {}


def test_what_a_strangers_sweep_fixed_is_not_believed(tmp_path: Path):
    wanted = {"kind": "grid", "space": {"seed": ["0"]}, "repeats": {}, "fixed": ["mode=max"], "columns": ["seed"]}
    wanted |= {"monitor": "val/loss", "mode": "min", "config": {}}
    theirs = wanted | {"fixed": ["mode=max", "task.loss._target_=os.system"], "command": ["mode=max", "seed=0"]}
    write_yaml(tmp_path / "sweep.yaml", theirs)
    assert SweepFolder.open(tmp_path, wanted, ["mode=max", "seed=0"]).description["fixed"] == ["mode=max"]
