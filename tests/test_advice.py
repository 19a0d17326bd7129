"""Each advice in a message is followed: the mistake is made, the message seen, the advice taken, and then it works.

`messages` collects them from the code. One without a line in `CASES` or `NOT_FOLLOWED` fails the test: to write a new
message is to add its line here. `{}` stands for what a message fills in.
"""

import ast
import re
import shlex
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any

import pytest
from polars import LazyFrame, Series

from litmlp import paths
from litmlp.auto_task import with_task
from litmlp.cli import sentence
from litmlp.config_check import check
from litmlp.data import TabularData
from litmlp.data.columns import Column
from sweeping import TINY, command

ERRORS = ("InputError", "TooLarge", "ValueError", "TrainingDiverged", "JobsFailed", "Busy", "warning")
SAYING = ("sentence", "_hydra_message", "_several_values")  # functions that return messages
APART = ("data/", "sklearn.py")  # tests of their messages are in files of their own
# part: playground
APART += ("playground/",)
# end of part: playground
ELSEWHERE = (  # files whose messages have tests of their own, beside this one
    *(
        *APART,
        "sweeps/",
        "checkpoint.py",
        "run_folder.py",
        "sweeps/report.py",
        "commands/",
        "model.py",
        "checkpoint_reader.py",
    ),
    *("files.py", "trust.py", "output.py", "resuming.py", "process.py"),
)
DRAWN = "data._target_=test_advice.Drawn ~data.path"  # rows that are in no file

CASES = {  # the message: the wrong overrides, and those that follow its advice instead
    # auto_task.py
    "task=auto is for tables: give task=regression or task=classification": (
        f"{DRAWN} task=auto",
        f"{DRAWN} task=regression",
    ),
    "there is no target column '{}': {}": (
        "data=penguins task=auto data.target=specis",
        "data=penguins data.target=species",
    ),
    "{}, and classes can be learned for only one target at a time: give data.target={}, or task=regression if they "
    "are amounts": (
        "data=table data.path=pairs.csv data.target=[a,b]",
        "data=table data.path=pairs.csv data.target=[a,b] task=regression",
    ),
    "no row has a value in the target {}: give rows that do": (
        "data=table data.path=empty.csv data.target=y",
        "data=table data.path=table.csv data.target=y",
    ),
    "the target '{}' holds {} different texts in {} rows, which are neither numbers nor classes: choose another "
    "data.target": ("data=table data.path=texts.csv data.target=y", "data=table data.path=texts.csv data.target=x"),
    # build.py
    "network._target_ makes no torch.nn.Module: choose another one": (
        "network._target_=test_advice.nothing",
        "network._target_=litmlp.networks.MLP",
    ),
    "task.loss._target_ makes no torch.nn.Module: choose one with task/loss=...": (
        "task.loss={_target_:builtins.dict}",
        "task/loss=mse",
    ),
    "trainer.max_time is {}: write days, hours, minutes, seconds, as 00:01:30:00": (
        "trainer.max_time=soon",
        "trainer.max_time=00:01:30:00",
    ),
    # cli.py
    "no {} is given: add {}": ("data=table data.target=y", "data=table data.target=y data.path=table.csv"),
    "{}: see --help for what there is": ("--foo", "--help"),
    "{} takes one option, not {}: give one, or several as {}=a,b with -m": ("optimizer=[adam,sgd]", "optimizer=adam"),
    "{} has no option {}: {}": ("optimizer=adm", "optimizer=adam"),
    "cannot read {}: write key=value, and quote values with special characters": ("seed!=1", "seed=1"),
    "{} is given several values, {}: add -m to run each{}": ("seed=0,1", "seed=0,1 -m"),
    "there is no config key {}: {}": ("hydra.runn.dir=x", "hydra.run.dir=x"),
    "resume names a run's folder, so hydra.run.dir cannot name another: leave one of them out": ("resume=run", ""),
    # config_check.py
    "there is no config key '{}': {}": ("+trainr=1", "trainer=cpu"),
    "there is no config key '{}.{}': {}": ("trainer.max_epoch=1", "trainer.max_epochs=1"),
    "the config has no {}, but a run needs it: leave ~{} out": ("~threads", ""),
    "{} names no _target_ to build: choose an option that does, with {}=...": (
        "~optimizer._target_",
        "optimizer=adam",
    ),
    "{} lacks _partial_: add {}._partial_=true, for a run adds arguments later": (
        "optimizer._partial_=false",
        "optimizer._partial_=true",
    ),
    "{} has a _target_ of its own: put it below a name, as other options do": (
        "+callbacks._target_=litmlp.callbacks.LearningRate",
        "+callbacks.mine._target_=litmlp.callbacks.LearningRate",
    ),
    "{}.{} names no _target_ to build: {}": (
        "callbacks.early_stoping.patience=3",
        "callbacks.early_stopping.patience=3",
    ),
    "{} is {}: give a finite number": ("network.dropout=nan", "network.dropout=0.5"),
    "{} is {}: give a number below 2**63": ("data.batch_size=99999999999999999999", "data.batch_size=99999"),
    "{}._target_ is {}, which cannot be called: name a class or a function": (
        "network._target_=litmlp.paths.ROOT",
        "network._target_=litmlp.networks.MLP",
    ),
    "{}._target_ is {}, which cannot be imported ({}): check it": (
        "network._target_=litmlp.networks.MPL",
        "network._target_=litmlp.networks.MLP",
    ),
    "{}._target_ is '{}', but must be {}: choose another one": (
        "callbacks.progress._target_=torch.nn.Linear",
        "callbacks.progress._target_=litmlp.callbacks.EpochProgress",
    ),
    "{} is {}, but should be of type {}: correct the value": ("network.dropout=much", "network.dropout=0.5"),
    "{}.seed is {}: {}": ("data.seed=4294967296", "data.seed=4294967295"),
    "{} is {}: {}": ("seed=4294967296", "seed=4294967295"),
    "{}mode is {}: use min or max": ("mode=least", "mode=min"),
    "{}patience is {}: use a whole number from 0 up": (
        "callbacks.early_stopping.patience=-1",
        "callbacks.early_stopping.patience=0",
    ),
    "optimizer.lr is {}: a learning rate is above 0, for example 0.001": ("optimizer.lr=0", "optimizer.lr=0.001"),
    "{}monitor is {}, which is no metric of this task: {}": ("monitor=val/rmsee", "monitor=val/rmse"),
    "{}mode is {}, but {} is better the other way: add {}": ("monitor=val/r2", "monitor=val/r2 mode=max"),
    "{} does not fit {}: choose another task/loss": ("task/loss=cross_entropy", "task/loss=l1"),
    "{} has no reduction='none', so rows cannot be weighted: leave out {}": (
        "data=penguins task.class_weights=balanced task.loss._target_=test_advice.Unweighted "
        "~task.loss.label_smoothing",
        "data=penguins task.loss._target_=test_advice.Unweighted ~task.loss.label_smoothing",
    ),
    "optimizer._target_ makes no optimizer: choose one of torch.optim": (
        "optimizer._target_=test_advice.nothing",
        "optimizer._target_=torch.optim.AdamW",
    ),
    "the scheduler needs to know how many steps there will be, but training has no end: give trainer.max_epochs=60, or "
    "add scheduler=none": (
        "trainer.max_epochs=-1 trainer.max_time=00:00:00:01",
        "trainer.max_epochs=-1 trainer.max_time=00:00:00:01 scheduler=none",
    ),
    # machine.py
    "{} would take {} of memory or more, but {} are free: give smaller sizes": (
        "network.hidden_sizes=[10000000,10000000]",
        "network.hidden_sizes=[10]",
    ),
    # networks, tasks, callbacks
    "activation is {}, which torch.nn does not have: {}": ("network.activation=relu", "network.activation=ReLU"),
    "activation is '{}', which needs more than its input, or changes its size: use ReLU": (
        "network.activation=Threshold",
        "network.activation=ReLU",
    ),
    "member_layers is {}: {}": ("network.member_layers=al", "network.member_layers=all"),
    "normalization is {}: {}": ("network.normalization=layr", "network.normalization=layer"),
    "task.class_weights is {}: give 'balanced', or a number from 0 up for each of the classes {}, at least one of them "
    "above 0": (
        "data=penguins task.class_weights=[0,0,0]",
        "data=penguins task.class_weights=[0,2,1]",
    ),
    "reduction is '{}': use mean or none": (
        "data=penguins task/loss=brier task.loss.reduction=sum",
        "data=penguins task/loss=brier task.loss.reduction=mean",
    ),
    # trainer_check.py
    "trainer.max_epochs is not given: add trainer.max_epochs=60, or -1 for no limit": (
        "trainer.max_epochs=null",
        "trainer.max_epochs=60",
    ),
    "trainer.devices is {}, but a run needs a process: use trainer.devices=1": (
        "trainer.devices=0",
        "trainer.devices=1",
    ),
    "trainer.precision={} would keep the weights themselves in half precision, too coarse for small steps: use {}, "
    "which computes in it": ("trainer.precision=bf16-true", "trainer.precision=bf16-mixed"),
    "trainer.gradient_clip_val with trainer.precision={} needs a loop over parameters: add optimizer.fused=false": (
        "trainer.gradient_clip_val=1 trainer.precision=bf16-mixed",
        "trainer.gradient_clip_val=1 trainer.precision=bf16-mixed optimizer.fused=false",
    ),
    "trainer.{} is set when the trainer is built: leave it out, and use {}": (
        "trainer.default_root_dir=x",
        "hydra.run.dir=x",
    ),
    "trainer.{} is {}: use {}": ("trainer.val_check_interval=0", "trainer.val_check_interval=1.0"),
}
PYTHON = "tests/test_api.py makes that mistake from Python"
NOT_FOLLOWED = {  # the message: why no advice can be followed here
    "{} is {}: choose options of the group with {}=[...]": "only a config that a program made has it",
    "{} is refused: {}": "what comes after the colon is the reason",
    "{} gives {} for {} rows, not {}: choose another one": "tests/test_real_columns.py makes that mistake",
    "{} cannot take the columns of this data ({}): choose another one": "tests/test_real_columns.py makes that mistake",
    "a frame is given, but data is no table: leave one of them out": "tests/test_api.py makes that mistake",
    "{} is for the command line: give overrides, such as data=penguins": PYTHON,
    "{} is no override: give texts, such as 'data=penguins', one by one": PYTHON,
    "callbacks hold {}: give objects of Lightning's Callback": PYTHON,
    "a run is resumed in its own folder: leave folder out": PYTHON,
    "{} has measured no rows of {}: call self.step(batch, '{}') in its {}": "tests/tasks/test_task.py has such a task",
    "{} needs an extra that is not installed: {}": "a package would have to be missing",
    "trainer.devices={} with strategy {} would start the whole run again in each process: add trainer=ddp": (
        "tests/test_machine.py starts several processes"
    ),
    "the loss became {} in epoch {}: lower optimizer.lr, or set trainer.gradient_clip_val=1{}": (
        "how low a rate must be differs"
    ),
    "all rows of the {} split have weight 0, because task.class_weights is 0 for all of their classes: give one of "
    "them a weight above 0": "tests/test_advice_of_tables.py makes such a split",
    "no plots by %s: %s: %s": "a fault of the plots",
    "'{}' is no run's folder, for it holds no config.yaml: give one that does": "which folder is meant is not known",
    "'{}' averages other runs and is not trained itself: resume one of those, then make the ensemble again": (
        "tests/commands/test_ensemble.py has one"
    ),
    "'{}' cannot change when a run is resumed, only values of {} can: start a new run, with "
    "init_from=": "tests/test_train.py starts from another run",
    "{} is {}, which is not UTF-8: rename what it names": "which file is meant is not known",
    "there is no file '{}' under {}: check the path": "which file is meant is not known",
    "cannot look for {} ({}): check the path": "which file is meant is not known",
    "there is not enough memory ({}): use fewer rows, or a smaller network": "memory would have to run out",
    "cannot read or write {}: {}": "what comes after the colon is the reason",
    "a config file is not YAML: {}": "what comes after the colon is the reason",
    "{} refers to another key: {}": "what comes after the colon is the reason",
    "{} cannot be used: {}": "what comes after the colon is the reason",
    "Hydra refuses the command: {}": "what comes after the colon is the reason",
}
ADVISED = re.compile(r"\b[a-z_]+(?:[./][a-z_]+)*=[\w.-]*\w")


def nothing(*parts: Any, **arguments: Any) -> None:
    """Stands for a function that makes something else."""


class Drawn(TabularData):
    """Stands for rows that a rule draws."""

    def read(self) -> LazyFrame:
        return LazyFrame({"x": [i / 2 for i in range(40)], "value": [i / 4 for i in range(40)]})

    def candidates(self, names: list[str]) -> list[str]:
        return ["x"]

    def column(self, cells: Series) -> tuple[Column | None, str]:
        return self.new_column("numeric", cells.name), ""


class Unweighted:
    """Stands for a loss of somebody else's, which takes no reduction."""

    def __new__(cls) -> Any:
        from torch import nn

        class Loss(nn.Module):
            def forward(self, output: Any, target: Any) -> Any:
                return nn.functional.cross_entropy(output, target)

        return Loss()


def messages(
    is_wanted: Callable[[str], bool] = lambda file: not file.startswith(ELSEWHERE),
    errors: Collection[str] = ERRORS,
    saying: Collection[str] = SAYING,
) -> Iterator[str]:
    """Every message in files of the code that says more after a colon, with `{}` for what is filled in.

    Args:
        is_wanted: whether a file is looked at, by its path in the package.
        errors: what is called with a message.
        saying: functions that return messages.
    """
    for file in sorted(paths.PACKAGE.rglob("*.py")):
        if not is_wanted(file.relative_to(paths.PACKAGE).as_posix()):
            continue
        tree = ast.parse(file.read_text())
        said = [
            node.args[0]
            for node in ast.walk(tree)
            if isinstance(node, ast.Call) and node.args and _called(node) in errors
        ]
        functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.name in saying]
        said += [
            node.value for one in functions for node in ast.walk(one) if isinstance(node, ast.Return) and node.value
        ]
        yield from (text for node in said if ": " in (text := template(node)))


def _called(node: ast.Call) -> str | None:
    return getattr(node.func, "id", None) or getattr(node.func, "attr", None)


def template(node: ast.expr) -> str:
    if isinstance(node, ast.Constant):
        return str(node.value)
    parts = node.values if isinstance(node, ast.JoinedStr) else []
    return "".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in parts)


def test_each_message_in_the_code_has_a_line_here():
    found = set(messages())
    assert found - CASES.keys() - NOT_FOLLOWED.keys() == set()


def test_each_line_here_is_a_message_in_the_code():
    assert (CASES.keys() | NOT_FOLLOWED.keys()) - set(messages()) == set()


@pytest.fixture(autouse=True)
def _tables() -> None:
    Path("table.csv").write_text("x,y\n" + "".join(f"{i},{i * 1.5}\n" for i in range(40)))
    Path("empty.csv").write_text("x,y\n" + "".join(f"{i},\n" for i in range(40)))
    Path("pairs.csv").write_text("x,a,b\n" + "".join(f"{i * 1.5},{i % 2},{i // 2 % 2}\n" for i in range(40)))
    Path("texts.csv").write_text("x,z,y\n" + "".join(f"{i * 1.5},{i % 3},text {i}\n" for i in range(40)))


def assert_said(message: str, said: str, right: str) -> None:
    """The message was said, and a `key=value` or a name that it advises is in what is typed next."""
    pattern = "(.|\n)*".join(re.escape(part) for part in message.split("{}"))
    assert re.search(pattern, said), said
    advice = said.rpartition(": ")[2]
    advised = ADVISED.findall(advice) + re.findall(r"did you mean '(.*)'", advice)
    assert set(advised) <= {"key=value"} or any(each in right for each in advised), said


IN_DATA = ("class_weights is",)  # said when the classes are known
BY_THE_COMMAND = (
    "no {} is",
    "{}: see",
    "{} takes one",
    "{} has no option",
    "cannot read",
    "{} is given",
    "there is no config key {}:",
    "resume names",
)


@pytest.mark.parametrize("message", [text for text in CASES if not text.startswith(BY_THE_COMMAND)])
def test_who_follows_an_advice_passes_the_check(message: str, config: Callable[..., dict[str, Any]]):
    wrong, right = CASES[message]
    if not any(part in message for part in IN_DATA):
        with pytest.raises(Exception) as refused:  # noqa: PT011  # also Hydra's
            check(with_task(config(*small(wrong), *shlex.split(wrong))))
        assert_said(message, sentence(refused.value), right)
    check(with_task(config(*small(right), *shlex.split(right))))


@pytest.mark.slow
@pytest.mark.parametrize("message", CASES)
def test_who_follows_an_advice_succeeds(message: str):
    wrong, right = CASES[message]
    said = command(*small(wrong), *shlex.split(wrong), "hydra.run.dir=wrong")
    assert said.code == 2, said
    assert_said(message, said.err.strip().removeprefix("litmlp-train: "), right)
    bounded = ["trainer.max_time=00:00:00:01"] if "max_time" not in right else []
    followed = command(*small(right), *bounded, *shlex.split(right), "hydra.run.dir=right", "hydra.sweep.dir=right")
    assert followed.code == 0, followed


def small(overrides: str) -> list[str]:
    return TINY if "data=" not in overrides else [text for text in TINY if not text.startswith(("data", "task"))]
