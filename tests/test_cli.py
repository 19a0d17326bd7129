import errno

import pytest
from omegaconf.errors import OmegaConfBaseException

from litmlp import cli
from litmlp.errors import InputError


@pytest.mark.parametrize(
    ("typed", "given"),
    [
        ("data=adult", "data=adult"),
        ("seed=1", "seed=1"),
        ("optimizer.lr=1e-3,1e-2", "++optimizer.lr=1e-3,1e-2"),
        ("hydra.run.dir=x", "hydra.run.dir=x"),
        ("task/loss=huber", "task/loss=huber"),
        ("~callbacks.progress", "~callbacks.progress"),
        ("+note=a", "+note=a"),
        ("--cfg", "--cfg"),
        ("data.inputs=[x1,x1^2]", "++data.inputs=['x1','x1^2']"),
        ("data.function=sin(3*x) + x^2", "++data.function='sin(3*x) + x^2'"),
        ("hidden=[1,[2]]", "hidden=[1,[2]]"),
        ("callbacks=[]", "callbacks=none"),
        ("scheduler=null", "scheduler=none"),
        ("network=null", "network='null'"),
        ("optimizer=3", "optimizer='3'"),
        ("data.target= y", "++data.target=' y'"),
        ("trainer.max_epochs= 3", "++trainer.max_epochs= 3"),
    ],
)
def test_arguments_become_what_hydra_wants(typed: str, given: str):
    assert cli.normalized(typed, open_keys=True) == given


def test_flags_may_stand_anywhere():
    assert cli.typed(["seed=1,2", "-m", "mode=max", "--cfg", "job"]) == ["-m", "--cfg", "job", "seed=1,2", "mode=max"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--foo"], "unrecognized arguments: --foo: see --help"),
        (["--multirun=1"], "ignored explicit argument '1': see"),
        (["optimizer=[adam,sgd]"], "optimizer takes one option, not .*: give one"),
    ],
)
def test_arguments_that_hydra_would_refuse_in_its_own_way(arguments: list[str], message: str):
    with pytest.raises(InputError, match=message):
        cli.typed(arguments)


def test_sentences_of_hydra_are_whole(config):
    with pytest.raises(OmegaConfBaseException) as refused:
        config("data.noise=${nope.at_all}")
    assert "\n" not in cli.sentence(refused.value)
    assert "data.noise" in cli.sentence(refused.value)
    assert "nope.at_all" in cli.sentence(refused.value)


def test_keys_stay_closed_where_nothing_else_checks_them():
    assert cli.normalized("data.path=x.csv", open_keys=False) == "data.path=x.csv"


def test_a_seed_of_null_is_drawn_and_recorded_everywhere(config):
    first, second = config("seed=null"), config("seed=null")
    assert isinstance(first["seed"], int)
    assert first["data"]["seed"] == first["seed"] == first["callbacks"]["epoch_seed"]["seed"]
    assert first["seed"] != second["seed"]


def test_sentence_finds_the_users_mistake_below_other_errors():
    error = RuntimeError("while composing")
    error.__cause__ = InputError("the file is empty")
    assert cli.sentence(error) == "the file is empty"


def test_sentence_of_a_file_that_the_system_refuses(tmp_path):
    with pytest.raises(FileNotFoundError) as refused:
        (tmp_path / "none" / "run").mkdir()
    assert cli.sentence(refused.value) == f"cannot read or write '{tmp_path}/none/run': No such file or directory"


def test_sentence_of_a_full_disk_whatever_was_made_of_it():
    error = RuntimeError("cannot write a checkpoint")
    error.__context__ = OSError(errno.ENOSPC, "No space left on device", "/tmp/part")
    assert cli.sentence(error) == "the disk is full: make room, and continue with resume=<the run's folder>"


def test_sentence_of_a_file_that_may_not_grow():
    error = OSError(errno.EFBIG, "File too large")
    said = "no file may grow so large here: raise the limit (ulimit -f), and continue with resume=<the run's folder>"
    assert cli.sentence(error) == said


@pytest.mark.parametrize("name", ["0", "12", "1e3", "2026_01", "2026-11-26_02-19-58_ab12", ".5", "true"])
def test_a_folder_with_the_name_of_a_number_is_a_folder(name: str):
    assert cli.normalized(f"resume={name}", open_keys=True) == f"resume='{name}'"
