import shutil
import sys
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir

import add_table as script
from conftest import SMALL
from litmlp import cli
from litmlp.commands.train import train
from litmlp.errors import InputError
from litmlp.paths import CONF

ROWS = [f"{i},{i * 0.7:.2f},{'ab'[i % 2]},same,{i % 5}" for i in range(60)]


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    shutil.copytree(CONF, tmp_path / "conf")
    Path("My Things (2024).csv").write_text("\n".join(["id,size: m,level,constant,y", *ROWS]))
    return tmp_path / "conf"


def added(conf: Path, *target: str, **options) -> Path:
    return script.add_table("My Things (2024).csv", list(target), options.pop("name", None), None, conf=conf, **options)


def test_the_config_trains_under_its_name(conf: Path, tmp_path: Path) -> None:
    written = added(conf, "level")
    assert written == conf / "data/my_things_2024.yaml"
    with initialize_config_dir(str(conf), version_base="1.3"):
        config = cli.resolved(compose("train", ["data=my_things_2024", "trainer.max_epochs=1", *SMALL]))
    metrics = train(config, tmp_path / "run")
    assert "test/accuracy" in metrics
    assert config["data"]["ignore"] == ["id", "constant"]
    assert config["task"]["_target_"] == "litmlp.tasks.ClassificationTask"


def test_each_choice_has_a_comment(conf: Path) -> None:
    text = added(conf, "level").read_text()
    assert "classification  # the target 'level' holds texts, 2 different ones" in text
    assert "  - id  # it looks like an identifier: each row has a different number\n" in text
    assert "#   size: m: numeric\n" in text


def test_odd_names_are_quoted(conf: Path) -> None:
    written = added(conf, "size: m", "y", name="odd")
    with initialize_config_dir(str(conf), version_base="1.3"):
        config = cli.resolved(compose("train", ["data=odd"]))
    assert config["data"]["target"] == ["size: m", "y"]
    assert config["task"]["_target_"] == "litmlp.tasks.RegressionTask"
    assert written.name == "odd.yaml"


def test_a_config_that_exists_is_not_replaced_unless_asked(conf: Path) -> None:
    added(conf, "level")
    with pytest.raises(InputError, match="exists: choose another --name, or add --force"):
        added(conf, "y")
    assert "target: y" in added(conf, "y", force=True).read_text()


def test_mistakes_are_one_sentence(
    conf: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["add_table.py", "My Things (2024).csv", "--target", "lvel"])
    with pytest.raises(SystemExit) as end:
        script.main()
    assert end.value.code == 2
    assert capsys.readouterr().err == "add_table: there is no target column 'lvel': did you mean 'level'?\n"
