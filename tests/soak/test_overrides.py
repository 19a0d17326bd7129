"""Random command lines, most of them wrong somewhere: each ends in a run that is complete, or in a sentence."""

import inspect
import json
import random
import shlex
import tempfile
from pathlib import Path

import pytest
import yaml
from lightning.pytorch import Trainer

from conftest import SLOPE
from litmlp import paths
from soak.soaking import Ended, Soak, commands

SMALL = [
    *(*SLOPE, "network.hidden_sizes=[4]", "network/embedding=none", "threads=1"),
    *("trainer.accelerator=cpu", "trainer.max_epochs=1", "trainer.max_time=00:00:00:02", "logger=none"),
    *("callbacks=[checkpoint,early_stopping,stop_on_nan,epoch_seed,progress]", "hydra.run.dir=run"),
    *("hydra.sweep.dir=sweep",),
]
GROUPS = {
    "data": ["penguins", "table"],  # small ones
    "network": ["linear", "mlp", "relu"],
    "optimizer": ["adam", "adamw", "sgd"],
    "scheduler": ["cosine", "none", "one_cycle", "plateau"],
    "task": ["auto", "classification", "regression"],
    "task/loss": ["brier", "cross_entropy", "huber", "l1", "mse"],
    "trainer": ["cpu", "debug", "default", "gpu"],
    "logger": ["csv", "none", "tensorboard"],
    "callbacks": ["none", "checkpoint", "early_stopping", "distributions", "embeddings", "step_loss", "learning_rate"],
    "experiment": ["adult_balanced"],
    "hydra/launcher": ["basic"],
    "hydra/sweeper": ["grid"],
}
# part: playground
GROUPS["data"] += ["plane", "xor", "function"]
GROUPS["network"] += ["playground"]
GROUPS["experiment"] += ["curve_fit"]
# end of part: playground
NUMBERS = [
    *("0", "-0", "-1", "-2", "1", "2", "3", "0.5", "1.0", "1.5", "2.0", "-0.1", "nan", "inf", "-inf", ".nan", "1e400"),
    *("1e-320", "1e300", "2147483648", "4294967296", "9223372036854775807", "9223372036854775808", "1" * 30),
    *("9" * 5000, "-9223372036854775809", "0x10", "1_000", "1e3", "007", "+1"),
]
TEXTS = [
    *("null", "true", "false", "", " ", "a", " a", "a b", "none", "None", "auto", "???", "ü", "日本", "🙂"),
    *(
        "\u202eabc",
        "\x07",
        "\t",
        "a\nb",
        "x" * 5000,
        "a/b",
        "..",
        "~",
        "*",
        "%s",
        "$HOME",
        "\\",
        "'",
        '"',
        "''",
        "'null'",
    ),
    *("\udcff",),
    *("${seed}", "${nope}", "${data}", "${network.hidden_sizes}", "${oc.env:NOT_THERE}", "${oc.env:HOME}", "${", "}"),
    *("${nope:1}", "${..seed}", "[", "]", "{", "[]", "{}", "[[]]", "[1,2]", "[a]", "[null]", "[nan]", "[-1]", "{a:1}"),
    *("{a:{b:[]}}", "(1)", "choice(1,2)", "range(2)", "interval(0,1)", "glob(*)", "sort(3,1)", "shuffle(1,2)"),
    *("int(a)", "float(x)", "tag(x,choice(1))", "1,2", ",", "a,", "=", "a=b", ":", "a:b", "@", "sin(x", "#", "!x"),
    *("val/rmse",),
    *("torch.nn.ReLU", "torch.nn.Linear", "builtins.dict", "builtins.print", "litmlp.callbacks.Graph", "nope.Nope"),
    *("litmlp.tasks.RegressionTask", "lightning.pytorch.Trainer", "torch.optim.LBFGS", "torch.optim.SparseAdam"),
    *("16", "16-mixed", "bf16-mixed", "64-true", "transformer-engine", "ddp", "fsdp", "simple", "Softmax", "GLU"),
    *("[1000000,1000000]", "[1000000000000]", "{_target_:torch.nn.ReLU}", "{_target_:1}", "{1:2}", "{null:1}"),
]
HOSTILE = [*NUMBERS, *TEXTS]
FLAGS: list[list[str]] = [
    *(["-m"], ["--multirun"], ["--multirun="], ["-h"], ["--hydra-help"], ["--version"], ["--cfg"], ["-c"]),
    *(
        ["-c", "job"],
        ["--cfg", "all"],
        ["--cfg=nope"],
        ["--info"],
        ["--info", "defaults"],
        ["--foo"],
        ["-x"],
        ["--resolve"],
        ["--"],
    ),
    *(["-"], ["--config-name=nope"], ["-cn"], ["--config-dir=nope"], ["--config-path=nope"], ["--package"]),
    *(
        ["-p", "a"],
        ["--run"],
        ["--shell-completion"],
        ["--experimental-rerun"],
        ["--experimental-rerun=nope"],
        ["nonsense"],
    ),
    [""],
]
OF_HYDRA = [
    *("hydra.run.dir", "hydra.sweep.dir", "hydra.sweep.subdir", "hydra.output_subdir", "hydra.job.chdir", "hydra.mode"),
    *("hydra.verbose", "hydra.job.name", "hydra.sweeper.params", "hydra.sweeper.n_jobs", "hydra.sweeper.timeout"),
    *("hydra.sweeper.on_failure", "hydra.sweeper._target_", "hydra.launcher._target_", "hydra.job.env_set"),
    *("hydra.job_logging", "hydra.searchpath", "hydra.callbacks", "hydra.nope"),
]
OTHER_COMMANDS = {
    "evaluate": ["checkpoint", "split", "data.path", "output", "data", "nope"],
    "predict": ["checkpoint", "input", "output", "nope"],
}
UNBOUNDED = ("trainer.max_time", "compile", "trainer.strategy")  # may take long: given with nothing else


def keys() -> list[str]:
    """Every key that a file of conf/ gives a value, and every argument of the trainer."""
    found = {f"trainer.{name}" for name in inspect.signature(Trainer.__init__).parameters if name != "self"}
    for group, options in GROUPS.items():
        for option in options:
            file = paths.CONF / group / f"{option}.yaml"
            content = yaml.safe_load(file.read_text()) if file.is_file() and not group.startswith("hydra") else None
            found |= set(below(group.replace("/", "."), content or {}))
    top = yaml.safe_load((paths.CONF / "train.yaml").read_text())
    found |= {key for key in top if key not in ("defaults", "hydra")}
    more = {f"data.{name}" for name in ("val_size", "test_size", "train_rows", "folds", "fold", "target_type", "path")}
    return sorted(found | more | {"task.l1", "task.class_weights", "optimizer.betas", "optimizer.eps", *OF_HYDRA})


def below(path: str, content: dict) -> list[str]:
    found = []
    for key, value in content.items():
        if key != "defaults":
            found += [f"{path}.{key}", *(below(f"{path}.{key}", value) if isinstance(value, dict) else [])]
    return found


KEYS = keys()


def drawn(generator: random.Random) -> list[list[str]]:
    """Return one to three arguments, or pairs of them that belong together."""
    return [argument(generator) for _ in range(generator.choice([1, 1, 2, 3]))]


def argument(generator: random.Random) -> list[str]:
    key, value = generator.choice(KEYS), generator.choice(HOSTILE)
    if key.startswith("trainer.") and generator.random() < 0.5:
        value = generator.choice(NUMBERS)
    group = generator.choice(list(GROUPS))
    option = generator.choice(GROUPS[group])
    sweep = ["-m", f"{key}={generator.choice(['0,1', '1,nan', 'a,b', 'range(1,3)', 'choice(1,null)'])}"]
    forms = [
        *([f"{key}={value}"],) * 10,
        *([f"{group}={option}"], [f"{group}={value}"], [f"{group}=[{option},{value}]"], [f"~{group}"]),
        *([f"~{key}"], [f"~{key}={value}"], [f"+{key}={value}"], [f"++{key}={value}"], [f"{key}.more={value}"]),
        *([f"{key}=={value}"], [f"={value}"], [f"{key}"], [f"{key}:{value}"], [f"{group}@{key}={option}"], [value]),
        *([f"{key}x={value}"], sweep, generator.choice(FLAGS)),
    ]
    return generator.choice(forms)


def is_bounded(arguments: list[str]) -> bool:
    """Tell whether a command line can be expected to end soon, in one process, and to write where it was told."""
    text = " ".join(arguments)
    alone = [key for key in UNBOUNDED if key in text]
    is_slow = "compile=true" in text or ("ddp" in text and "_" in text.partition("ddp")[2][:1])
    return not (alone and len(arguments) > 1) and not is_slow and "\0" not in text


def check(ended: Ended, folder: Path) -> str:
    ended.check(0, 1, 2)
    hostile = [text for text in ended.arguments if text not in SMALL]
    is_run = ended.command == "train" and not any(text.startswith("-") or "hydra" in text for text in hostile)
    if ended.code == 0 and is_run:
        said = f"no complete run: {shlex.join(ended.arguments)}"
        assert (folder / "run/metrics.json").is_file(), said
        assert json.loads((folder / "run/status.json").read_text())["status"] == "completed", said
    if ended.code == 2 and is_run and "resume=" not in " ".join(hostile):  # which may name any folder
        assert not (folder / "run").exists(), f"left a folder: {shlex.join(ended.arguments)}\n{ended.err}"
    return {0: "ran", 1: "diverged or failed", 2: "refused"}[ended.code]


@pytest.mark.soak
def test_overrides(soak: Soak) -> None:
    for generator in soak.rounds():
        name = generator.choice(["train"] * 8 + list(OTHER_COMMANDS))
        if name == "train":
            hostile = [argument for pair in drawn(generator) for argument in pair]
            is_other_data = any(text.startswith("data=") for text in hostile)
            arguments = [*(text for text in SMALL if not (is_other_data and text in SLOPE)), *hostile]
        else:
            pairs = [(generator.choice(OTHER_COMMANDS[name]), generator.choice(HOSTILE)) for _ in range(3)]
            arguments = hostile = [*(f"{key}={value}" for key, value in pairs), *generator.choice([[], *FLAGS])]
        if not is_bounded(hostile):
            continue
        with soak.trial(ascii(hostile)), tempfile.TemporaryDirectory() as place:
            ended = commands().run(name, *arguments, folder=Path(place))
            soak.count(f"{name} {check(ended, Path(place))}")
