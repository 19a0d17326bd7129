"""The playground's data bring what they need, and nothing else does."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from litmlp.commands.train import train
from litmlp.config_check import check
from litmlp.errors import InputError
from litmlp.paths import CONF

Config = Callable[..., dict[str, Any]]
DATA = sorted(path.stem for path in (CONF / "data").glob("*.yaml") if ".playground." in path.read_text())
PLOTS = {"function_plots", "planar_plots"}
TABLES = ["data=california", "data=penguins", "data=table data.path=data/penguins.csv data.target=species"]


@pytest.mark.parametrize("data", DATA)
def test_its_data_bring_their_plots(data: str, config: Config):
    assert config(f"data={data}")["callbacks"].keys() - config()["callbacks"].keys() == PLOTS


@pytest.mark.parametrize(
    ("overrides", "drawn"),
    [
        (["callbacks=none"], set()),
        (["~callbacks"], set()),
        (["callbacks=[default,step_loss]"], set()),
        (["callbacks=[playground,step_loss]"], PLOTS),
        (["~callbacks.planar_plots"], {"function_plots"}),
        (["callbacks.planar_plots.in_sweeps=true"], PLOTS),
    ],
)
def test_what_is_said_of_callbacks_holds(overrides: list[str], drawn: set[str], config: Config):
    made = config("data=spiral", *overrides)
    check(made)
    assert PLOTS & (made["callbacks"] or {}).keys() == drawn


def test_without_callbacks_nothing_is_drawn(tmp_path: Path, config: Config):
    train(config("data=spiral", "callbacks=none", "trainer.max_epochs=1", "data.num_samples=100"), tmp_path / "run")
    assert not (tmp_path / "run/plots").exists()


@pytest.mark.slow
@pytest.mark.parametrize("data", TABLES)
def test_a_table_is_learned_without_it(data: str):
    short = ["trainer.max_epochs=1", "trainer.limit_train_batches=1", "network.hidden_sizes=[4]", "hydra.run.dir=run"]
    code = (
        f"import sys; sys.argv = ['litmlp-train', *{[*data.split(), *short]}]\n"
        "from litmlp.commands.train import main\n"
        "try:\n    main()\nfinally:\n"
        "    assert not [name for name in sys.modules if 'playground' in name], 'imported'\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    assert Path("run/metrics.json").is_file()


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["data=spiral", "data.arms=3"], "'data.arms': did you mean 'num_arms'"),
        (["data=spiral", "data.num_arms=1"], "num_arms must be 2 or more, not 1"),
        (["data=function", "data.function=sinn(x)"], "'sinn': did you mean 'sin'"),
        (["data=circle", "data.inputs=[x1,x3]"], "names 'x3': known are e, pi, x1, x2"),
        (
            ["data=plane", "data.num_samples=10000000000000"],
            "num_samples must be from 10 to 10000000, not 10000000000000",
        ),
    ],
)
def test_a_mistake_is_one_sentence(config: Config, overrides: list[str], message: str):
    with pytest.raises(InputError, match=message) as caught:
        check(config(*overrides))
    assert "\n" not in str(caught.value)


def test_what_is_right_passes_though_no_yaml_file_lists_it(config: Config):
    check(config("data=spiral", "data.num_arms=5", "data.num_samples=100", "data.val_size=0.3"))
