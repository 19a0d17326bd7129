"""Measure training, start-up, memory and growth: python showcase/bench.py.

The contestants train one after the other, each in a process of its own, and several times; the table gives medians.
`reference` is a loop in plain PyTorch that does nothing but steps: rows shuffled once per epoch, a fused optimizer, no
validation. `litmlp` is the command as a user runs it: validation and all metrics in each epoch, TensorBoard, both
checkpoints, the progress bar. Both start from the same weights and see the same batches, so their final losses must
agree. Their network is plain, but for the part `networks`, where it is that of an option of the config, such as
`network=tabm`. `lightning` is a module with torchmetrics and `self.log` in each step, as tutorials show it, which also
validates, logs to TensorBoard and saves checkpoints. `scikit-learn` and `skorch` get the same network, batch size and
number of steps.
"""

import argparse
import json
import math
import os
import pty
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from inspect import signature
from io import TextIOWrapper
from itertools import count, pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

EVALUATED = 10  # training rows for each validation or test row
FEWER_REPEATS, FEWER_EPOCHS = 2, 4  # the slower contestants run at most 2 times, and for a quarter of the epochs


class Size(NamedTuple):
    """A table and the network for it."""

    rows: int
    inputs: int
    hidden: list[int]
    batch: int
    epochs: int

    @property
    def steps(self) -> int:
        """Count the steps of a run."""
        return self.epochs * -(-self.rows // self.batch)

    @property
    def operations(self) -> int:
        """Count the floating-point operations of a step: forward and backward, without the gradient of the inputs."""
        widths = [self.inputs, *self.hidden, 2]
        products = [a * b for a, b in pairwise(widths)]
        return self.batch * (6 * sum(products) - 2 * products[0])


SIZES = {
    "tiny": Size(1_000, 2, [64, 64], 32, 160),
    "mid": Size(50_000, 20, [256, 256, 256], 256, 8),
    "big": Size(2_000_000, 50, [256, 256], 4096, 1),
}
PARTS = ("training", "networks", "side_by_side", "options", "callbacks", "startup", "sweep", "population", "growth")
JOBS = 40  # in the sweep
SOME_VALUES = 9  # of a key, are enough to time runs one after another
NETWORKS = ("mlp", "tabm")  # options of the config's group `network`
PEERS = ("litmlp", "scikit-learn", "skorch", "lightning")


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="+", default=list(SIZES), choices=SIZES)
    parser.add_argument("--contestants", nargs="+", default=PEERS, choices=PEERS, help="in addition to the reference")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--parts", nargs="+", default=list(PARTS), choices=PARTS)
    parser.add_argument("--networks", nargs="+", default=NETWORKS, help="options of the group network")
    parser.add_argument("--json", type=Path, help="a file for all results")
    parser.add_argument("--call", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)  # each line is written at once, also to a file
    if given.call:
        name, arguments = given.call
        print(json.dumps(CALLED[name](*json.loads(arguments))))
        return
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder), given.repeats, given.device, given.networks)
        for size in given.sizes if "training" in given.parts else ():
            bench.training(size, given.contestants)
        for part in PARTS[1:]:
            if part in given.parts:
                getattr(bench, part)()
    if given.json:
        given.json.write_text(json.dumps(bench.figures, indent=2) + "\n")


class Bench:
    """Runs processes one after the other, and prints a table for each kind of measurement."""

    def __init__(self, folder: Path, repeats: int, device: str, networks: Sequence[str] = NETWORKS) -> None:
        self.folder, self.repeats, self.device, self.network_options = folder, repeats, device, networks
        self.environment = os.environ | {"LITMLP_CACHE": str(folder / "cache"), "PYTHONWARNINGS": "ignore"}
        self.figures: dict[str, Any] = {}
        self.numbers = count(1)  # of runs

    def training(self, name: str, peers: Sequence[str]) -> None:
        """Print the steps per second of the reference and of its peers on one table of data."""
        size = SIZES[name]
        overrides = self.overrides(size, self.table(size.rows, size.inputs))
        results = self.results(overrides, size, peers)
        medians = medians_of(results)
        self.figures[name] = medians
        reference = medians["reference"]
        peak = reference["peak_operations_per_second"]
        print(f"\n### {name}: {size.rows:,} rows x {size.inputs}, hidden {size.hidden}, batch {size.batch}, ", end="")
        print(f"{size.steps} steps, {int(reference['threads'])} thread(s) on {self.device}\n")
        print(
            "| | steps/s | of the reference | of the matmul peak | validation loss |\n| --- | --: | --: | --: | --: |"
        )
        for contestant, median in medians.items():
            speed = median["steps_per_second"]
            fractions = f"{median['ratio']:.2f} | {speed * size.operations / peak:.2f}"
            loss = f"{median['loss']:.5f}" if "loss" in median else ""
            print(f"| {contestant} | {speed:.0f} | {fractions} | {loss} |")
        if "litmlp" in medians and name == "big":
            self.memory(size, max(run["peak_bytes"] for run in results["litmlp"]))

    def networks(self) -> None:
        """Print the speed of networks of the config, relative to a plain loop over the same network."""
        size = SIZES["mid"]
        settings = self.settings(size, self.table(size.rows, size.inputs))
        self.figures["networks"] = {}
        print(f"\n### Networks of the config: mid, {size.steps} steps\n")
        print("| | reference, steps/s | litmlp, of it | their validation losses |\n| --- | --: | --: | --: |")
        for name in self.network_options:
            medians = medians_of(self.results([*settings, f"network={name}"], size, ["litmlp"]))
            self.figures["networks"][name] = medians
            reference, own = medians["reference"], medians["litmlp"]
            speeds = f"{reference['steps_per_second']:.0f} | {own['ratio']:.2f}"
            print(f"| `network={name}` | {speeds} | {reference['loss']:.5f}, {own['loss']:.5f} |")

    def results(self, overrides: list[str], size: Size, peers: Sequence[str]) -> dict[str, list[dict[str, float]]]:
        """Let the reference and its peers train in turns; return for each what its runs measured, in order.

        The speed of the machine changes over time, so the `ratio` of a run is to the reference of the same turn.
        """
        results: dict[str, list[dict[str, float]]] = {contestant: [] for contestant in ("reference", *peers)}
        fewer = [*overrides, f"trainer.max_epochs={max(1, size.epochs // FEWER_EPOCHS)}"]
        for turn in range(self.repeats):
            for contestant, of in results.items():
                if contestant == "litmlp":
                    of.append(self.litmlp(overrides, look=turn == 0))
                elif contestant == "reference" or turn < FEWER_REPEATS:
                    of.append(self.peer(overrides if contestant == "reference" else fewer, contestant))
        for of in results.values():
            for own, reference in zip(of, results["reference"], strict=False):
                own["ratio"] = own["steps_per_second"] / reference["steps_per_second"]
        return results

    def memory(self, size: Size, peak: float) -> None:
        """Print the peak memory of the big run beyond that of a run on hardly any data.

        The peak is the largest of all repeats, since only the first of them encodes the table.
        """
        small = Size(1_000, size.inputs, size.hidden, size.batch, 1)
        baseline = self.litmlp(self.overrides(small, self.table(small.rows, small.inputs)))["peak_bytes"]
        encoded = (1 + 2 / EVALUATED) * size.rows * (4 * size.inputs + 8)
        self.figures["memory"] = {"peak": peak, "baseline": baseline, "encoded": encoded}
        print(f"\nPeak memory {peak / 1e9:.2f} GB, {baseline / 1e9:.2f} GB of it without data: the rest is ", end="")
        print(f"{(peak - baseline) / encoded:.2f} times the {encoded / 1e9:.2f} GB of encoded rows.")

    def side_by_side(self) -> None:
        """Print how fast each of two runs is when they run at the same time."""
        size = SIZES["tiny"]
        overrides = self.overrides(size, self.table(size.rows, size.inputs))
        alone = [self.litmlp(overrides)["steps_per_second"] for _ in range(self.repeats)]
        together: list[float] = []

        def run() -> None:
            together.append(self.litmlp(overrides)["steps_per_second"])

        for _ in range(self.repeats):
            threads = [threading.Thread(target=run) for _ in range(2)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        fraction = statistics.median(together) / statistics.median(alone)
        self.figures["side_by_side"] = fraction
        print(f"\nTwo runs of tiny at the same time: each has {fraction:.2f} of its speed alone.")

    def options(self) -> None:
        """Print the speed with compilation and with lower precision."""
        print("\n### Options, by the median epoch\n\n| | mid, of the default |\n| --- | --: |")
        size = SIZES["mid"]
        overrides = self.overrides(size, self.table(size.rows, size.inputs))
        options = {
            "default": [],
            "compile=true": ["compile=true"],
            "trainer.precision=bf16-mixed": ["trainer.precision=bf16-mixed"],
            "matmul_precision=medium": ["matmul_precision=medium"],
        }
        seconds = {
            name: self.litmlp([*overrides, *given], look=True)["epoch_seconds"] for name, given in options.items()
        }
        self.figures["options"] = {name: seconds["default"] / value for name, value in seconds.items()}
        for name, ratio in self.figures["options"].items():
            print(f"| `{name}` | {ratio:.2f} |")

    def callbacks(self) -> None:
        """Print the fraction of the training time that each callback takes, on California's houses."""
        results = [self.child("time_in_callbacks", [str(self.new_folder())]) for _ in range(self.repeats)]
        parts = {name: statistics.median(r[name] / r["fit"] for r in results) for name in results[0] if name != "fit"}
        parts["all of them"] = statistics.median((sum(r.values()) - r["fit"]) / r["fit"] for r in results)
        self.figures["callbacks"] = parts
        print("\n### Callbacks: california\n\n| | fraction of the fit |\n| --- | --: |")
        for name, part in sorted(parts.items(), key=lambda one: one[1]):
            print(f"| {name} | {part:.1%} |")

    def startup(self) -> None:
        """Print the seconds that commands take as whole processes, with start-up."""
        size = SIZES["tiny"]
        one_epoch = self.overrides(size._replace(epochs=1), self.table(size.rows, size.inputs))
        commands: dict[str, Callable[[], list[str]]] = {
            "import lightning.pytorch": lambda: ["-c", "import lightning.pytorch"],
            "litmlp-train --help": lambda: ["-m", "litmlp.commands.train", "--help"],
            "litmlp-train --cfg job": lambda: ["-m", "litmlp.commands.train", "--cfg", "job"],
            "one epoch of tiny": lambda: [
                "-m",
                "litmlp.commands.train",
                *one_epoch,
                f"hydra.run.dir={self.new_folder()}",
            ],
        }
        seconds: dict[str, list[float]] = {name: [] for name in commands}
        for _ in range(max(3, self.repeats)):
            for name, command in commands.items():
                seconds[name].append(self.process(command()).seconds)
        medians = {name: statistics.median(of) for name, of in seconds.items()}
        self.figures["startup"] = medians
        print("\n### Whole processes\n\n| | seconds | of the import |\n| --- | --: | --: |")
        for name, median in medians.items():
            print(f"| `{name}` | {median:.2f} | {median / medians['import lightning.pytorch']:.2f} |")

    def sweep(self) -> None:
        """Print the seconds that a job of a sweep takes in addition to its training, and those that a report takes."""
        folder = self.new_folder()
        size = SIZES["tiny"]._replace(epochs=1)
        small = [*self.overrides(size, self.table(size.rows, size.inputs)), "threads=1", "hydra.sweeper.n_jobs=1"]
        self.process(["-m", "litmlp.commands.train", "-m", *small, f"seed=range({JOBS})", f"hydra.sweep.dir={folder}"])
        jobs = [folder / str(number) for number in range(JOBS)]
        fits = [json.loads((job / "metrics.json").read_text())["fit_seconds"] for job in jobs]
        ends = pairwise((job / "job.json").stat().st_mtime for job in jobs)
        beside = [end - before - fit for (before, end), fit in zip(ends, fits[1:], strict=True)]
        report = self.process(["-m", "litmlp.sweeps.report", str(folder)]).seconds
        self.figures["sweep"] = {"beside": statistics.median(beside), "fit": statistics.median(fits), "report": report}
        print("\n### A sweep of one-epoch jobs\n\n| | seconds |\n| --- | --: |")
        print(f"| a job, beside its {statistics.median(fits):.3f} s of training | {statistics.median(beside):.3f} |")
        print(f"| `litmlp-report` of {JOBS} jobs | {report:.2f} |")

    def population(self) -> None:
        """Print how many times faster the runs of a sweep are together than one after another, beside start-up."""
        print("\n### Runs of a sweep, together\n\n| | seconds a run | of one after another | of plain loops |")
        print("| --- | --: | --: | --: |")
        self.figures["population"] = {}
        for name, (overrides, axes, size) in self.sweeps().items():
            fewer = {key: min(number, SOME_VALUES) for key, number in axes.items()}
            measured: dict[str, list[float]] = {"basic": [], "population": [], "loop": []}
            for _ in range(self.repeats):
                measured["basic"].append(self.seconds_a_run([*overrides, "hydra/launcher=basic"], fewer))
                measured["population"].append(self.seconds_a_run([*overrides, "hydra/launcher=population"], axes))
                if size is not None:
                    measured["loop"].append(size.steps / self.peer(overrides, "reference")["steps_per_second"])
            seconds = {of: statistics.median(values) for of, values in measured.items() if values}
            self.figures["population"][name] = seconds
            ratios = [f"{seconds[of] / seconds['population']:.1f}" for of in ("basic", "loop") if of in seconds]
            print(f"| {name} | {seconds['population']:.3f} | {' | '.join([*ratios, ''][:2])} |")

    def sweeps(self) -> dict[str, tuple[list[str], dict[str, int], Size | None]]:
        """Return for each sweep its overrides, how many values each key takes from 0 on, and a size for plain loops."""
        tiny, mid = SIZES["tiny"]._replace(epochs=30), SIZES["mid"]._replace(epochs=2)
        california = ["data=california", "network=mlp", "network.hidden_sizes=[64,64]", "trainer.max_epochs=5"]
        return {
            "64 runs of tiny": (self.overrides(tiny, self.table(tiny.rows, tiny.inputs)), {"seed": 64}, tiny),
            "penguins, 5 folds, 3 seeds": (["data=penguins", "data.folds=5"], {"data.fold": 5, "seed": 3}, None),
            "32 runs of california": (california, {"seed": 32}, None),
            "16 runs of mid": (self.overrides(mid, self.table(mid.rows, mid.inputs)), {"seed": 16}, mid),
        }

    def seconds_a_run(self, overrides: list[str], axes: dict[str, int]) -> float:
        """Return the seconds of a run of a sweep, beside those of a sweep with a single run."""
        seconds = []
        for some in (dict.fromkeys(axes, 1), axes):
            swept = [f"{key}={','.join(map(str, range(number)))}" for key, number in some.items()]
            command = ["-m", "litmlp.commands.train", "-m", *overrides, *swept, "threads=1"]
            seconds.append(self.process([*command, f"hydra.sweep.dir={self.new_folder()}"]).seconds)
        return (seconds[1] - seconds[0]) / (math.prod(axes.values()) - 1)

    def growth(self) -> None:
        """Print the time of a step for different numbers of rows and epochs."""
        print("\n### Growth: tiny's network and batch\n\n| rows | epochs | milliseconds a step |\n| --: | --: | --: |")
        self.figures["growth"] = []
        runs = [(1_000, 2_000), *((10**k, 10_000) for k in range(3, 8)), (1_000, 50_000)]
        for rows, steps in runs:
            size = SIZES["tiny"]._replace(rows=rows, epochs=-1)
            path = self.table(rows, 2, evaluated=1_000)
            result = self.litmlp([*self.overrides(size, path), f"trainer.max_steps={steps}"])
            milliseconds = 1e3 / result["steps_per_second"]
            self.figures["growth"].append({"rows": rows, "steps": steps, "milliseconds": milliseconds})
            print(f"| {rows:,} | {steps * size.batch / rows:.3g} | {milliseconds:.3f} |")

    def table(self, rows: int, inputs: int, evaluated: int | None = None) -> Path:
        """Return a file of standard normal inputs and a class that depends on them; each size has one file."""
        evaluated = evaluated or rows // EVALUATED
        path = self.folder / f"{rows}-{inputs}-{evaluated}.parquet"
        if not path.exists():
            self.child("write_table", [str(path), rows, inputs, evaluated])
        return path

    def overrides(self, size: Size, path: Path) -> list[str]:
        """Return the overrides for a size and its plain network; all other settings have their defaults."""
        hidden = f"network.hidden_sizes={size.hidden}".replace(" ", "")
        return [*self.settings(size, path), "network=linear", hidden, "network.activation=ReLU"]

    def settings(self, size: Size, path: Path) -> list[str]:
        """Return the overrides for a size, but for those of its network."""
        return [
            *("data=table", f"data.path={path}", "data.target=y", "data.split_column=part", "task=classification"),
            *(f"data.batch_size={size.batch}", f"trainer.max_epochs={size.epochs}"),
            *("callbacks.early_stopping.patience=1000000", f"trainer={'gpu' if self.device == 'cuda' else 'cpu'}"),
        ]

    def litmlp(self, overrides: list[str], look: bool = False) -> dict[str, float]:
        """Run the command; return its steps per second and peak memory, with `look` also what `look_at_run` returns."""
        folder = self.new_folder()
        process = self.process(["-m", "litmlp.commands.train", *overrides, f"hydra.run.dir={folder}"])
        metrics = json.loads((folder / "metrics.json").read_text())
        result = {"steps_per_second": metrics["steps"] / metrics["fit_seconds"], "peak_bytes": process.peak_bytes}
        return result | (self.child("look_at_run", [str(folder)]) if look else {})

    def peer(self, overrides: list[str], contestant: str) -> dict[str, float]:
        """Let another contestant train on the same rows."""
        return self.child(contestant, [overrides, self.device])

    def child(self, function: str, arguments: list[Any]) -> dict[str, float]:
        """Call a function of this file in a process of its own.

        The peak memory of a child includes that of its parent at its start, so this process must stay small.
        """
        return json.loads(self.process([__file__, "--call", function, json.dumps(arguments)]).output.splitlines()[-1])

    def process(self, arguments: list[str]) -> "Process":
        """Run Python with a terminal for standard error, so that progress bars are drawn."""
        terminal, end = pty.openpty()
        started = time.perf_counter()
        command = [sys.executable, *arguments]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=end, env=self.environment, text=True) as child:
            os.close(end)
            drawn: list[bytes] = []
            reader = threading.Thread(target=drain, args=(terminal, drawn))
            reader.start()
            assert child.stdout is not None
            output = child.stdout.read()
            _, status, usage = os.wait4(child.pid, 0)
            seconds = time.perf_counter() - started
            child.returncode = os.waitstatus_to_exitcode(status)
            reader.join()
        if child.returncode:
            raise SystemExit(f"{' '.join(command)} failed:\n{output}{b''.join(drawn).decode()}")
        return Process(output, seconds, usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024))

    def new_folder(self) -> Path:
        """Return the path of a folder for another run."""
        return self.folder / f"run-{next(self.numbers)}"


def medians_of(results: dict[str, list[dict[str, float]]]) -> dict[str, dict[str, float]]:
    """Return the median of each figure over the runs of each contestant that have it."""
    return {
        contestant: {key: statistics.median(run[key] for run in runs if key in run) for key in runs[0]}
        for contestant, runs in results.items()
    }


class Process(NamedTuple):
    """What a finished process printed and used."""

    output: str
    seconds: float
    peak_bytes: int


def drain(terminal: int, drawn: list[bytes]) -> None:
    """Read everything that a process writes to its terminal, until it ends."""
    try:
        while content := os.read(terminal, 65536):
            drawn.append(content)
    except OSError:  # the other end is closed
        pass
    os.close(terminal)


def write_table(path: str, rows: int, inputs: int, extra: int) -> None:
    """Write standard normal inputs and a class that depends on them."""
    import numpy as np
    import polars as pl

    generator = np.random.default_rng(0)
    values = generator.standard_normal((rows + 2 * extra, inputs), dtype=np.float32)
    turns = np.sin(2 * values @ generator.standard_normal(inputs, dtype=np.float32) / math.sqrt(inputs))
    columns = {f"x{i}": values[:, i] for i in range(inputs)}
    columns["y"] = (turns + 0.3 * generator.standard_normal(len(values)) > 0).astype(np.int64)
    columns["part"] = np.repeat(["train", "val", "test"], [rows, extra, extra])
    pl.DataFrame(columns).write_parquet(path)


def look_at_run(folder: str) -> dict[str, float]:
    """Return the validation loss of a run's last weights, and the seconds of its median epoch after the first."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    from litmlp.commands.evaluate import evaluate

    result = {"loss": evaluate(f"{folder}/checkpoints/last.ckpt", "val")["val/loss"]}
    events = EventAccumulator(folder).Reload()
    if "train/loss" in events.Tags()["scalars"]:
        times = [event.wall_time for event in events.Scalars("train/loss")]
        if len(times) > 1:
            result["epoch_seconds"] = statistics.median(b - a for a, b in pairwise(times))
    return result


def time_in_callbacks(folder: str) -> dict[str, float]:
    """Train on California's houses; return the seconds of the fit, and the seconds in each callback."""
    from lightning.pytorch import Callback

    from litmlp import callbacks
    from litmlp.commands.train import train

    seconds: dict[str, float] = {}

    def timed(name: str, hook: Callable[..., Any]) -> Callable[..., Any]:
        def wrapper(*arguments: Any) -> Any:
            started = time.perf_counter()
            result = hook(*arguments)
            seconds[name] = seconds.get(name, 0.0) + time.perf_counter() - started
            return result

        return wrapper

    for name in set(callbacks.__all__) - {"Callback"}:
        kind = getattr(callbacks, name)
        hooks = {hook: getattr(kind, hook) for hook in dir(kind) if hook.startswith("on_") or hook == "finish"}
        for hook, function in hooks.items():
            if function is not getattr(Callback, hook, None):
                setattr(kind, hook, timed(name, function))
    metrics = train(composed(["data=california", "trainer=cpu"]), Path(folder))
    return {**seconds, "fit": metrics["fit_seconds"]}


def composed(overrides: list[str]) -> dict[str, Any]:
    """Return the config for these overrides of a user."""
    from hydra import compose, initialize_config_dir

    from litmlp import cli, paths

    with initialize_config_dir(str(paths.CONF), version_base="1.3"):
        return cli.resolved(compose("train", [cli.normalized(text, open_keys=True) for text in overrides]))


class Prepared(NamedTuple):
    """A run before its first step."""

    config: dict[str, Any]
    task: Any
    train: Any
    val: Any

    @property
    def batch(self) -> int:
        """Count the rows of a step."""
        return self.config["data"]["batch_size"]

    @property
    def epochs(self) -> int:
        """Count the epochs."""
        return self.config["trainer"]["max_epochs"]

    @property
    def steps(self) -> int:
        """Count the steps of all epochs."""
        return self.epochs * -(-len(self.train.numeric) // self.batch)

    @property
    def network(self) -> Any:
        """A function of numbers, which has the weights of the task's network; if that is plain, its layers alone."""
        from litmlp.networks import NoEmbedding

        whole = self.task.network
        is_plain = isinstance(whole.numeric, NoEmbedding) and whole.scales is None and whole.members is None
        return whole.layers if is_plain else partial(whole, categorical=None)


def prepared(overrides: list[str]) -> Prepared:
    """Return a run before its first step, and set the number of PyTorch's threads as the run would."""
    import torch
    from lightning.pytorch import seed_everything

    from litmlp import build
    from litmlp.machine import threads

    config = composed(overrides)
    seed_everything(config["seed"], verbose=False)
    data = build.data(config)
    data.setup()
    task = build.task(config, data.spec)
    task.adapt(data.tables["train"])
    torch.set_num_threads(threads(config["threads"], task.network, data.batch_size))
    return Prepared(config, task, data.tables["train"], data.tables["val"])


def steps_per_second(of: Prepared, estimator: Any) -> dict[str, float]:
    """Time an estimator's `fit` on the training rows."""
    started = time.perf_counter()
    estimator.fit(of.train.numeric.numpy(), of.train.target.numpy())
    return {"steps_per_second": of.steps / (time.perf_counter() - started)}


def reference(overrides: list[str], device: str) -> dict[str, float]:
    """Train in a plain loop."""
    import torch

    from litmlp.callbacks import EpochSeed
    from litmlp.data.batches import Shuffled
    from litmlp.training.schedulers import cosine

    run = prepared(overrides)
    config, batch, steps = run.config, run.batch, run.steps
    run.task.to(device)
    network, members = run.network, config["network"].get("members", 1)
    train = run.train.rows(slice(None)).to(torch.device(device))
    rows = {"step_rows": batch} if "step_rows" in signature(run.task.optimizer).parameters else {}
    own = run.task.optimizer(run.task.parameter_groups(), **rows)
    optimizer = torch.optim.AdamW(own.param_groups)  # whose steps are torch's
    factor = cosine(optimizer, steps, config["scheduler"]["warmup"])["scheduler"].lr_lambdas[0]
    rates = [own.defaults["lr"] * factor(step) for step in range(steps)]
    loss_of, order, step = torch.nn.CrossEntropyLoss(), Shuffled(config["data"]["seed"]), 0
    seed = EpochSeed(config["seed"])  # for the same dropout
    synchronize = torch.cuda.synchronize if device == "cuda" else lambda: None
    peak = matmul_peak(device)
    started = time.perf_counter()
    for epoch in range(run.epochs):
        order.set_epoch(epoch)
        trainer: Any = SimpleNamespace(current_epoch=epoch, global_rank=0)
        seed.on_train_epoch_start(trainer, run.task)
        index = order.indices(len(train.numeric)).to(device)
        targets = train.target[index].repeat_interleave(members).split(members * batch)
        for inputs, target in zip(train.numeric[index].split(batch), targets, strict=True):
            for group in optimizer.param_groups:
                group["lr"] = rates[step]
            loss = loss_of(network(inputs).flatten(0, -2), target)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            step += 1
    synchronize()
    seconds = time.perf_counter() - started
    with torch.no_grad():
        val = run.val.rows(slice(None)).to(torch.device(device))
        loss = loss_of(run.task.eval()(val), val.target)
    return {
        "steps_per_second": steps / seconds,
        "loss": loss.item(),
        "peak_operations_per_second": peak,
        "threads": torch.get_num_threads(),
    }


def matmul_peak(device: str) -> float:
    """Return the floating-point operations per second of the product of two large matrices."""
    import torch

    size = 8192 if device == "cuda" else 1024
    a, b = torch.randn(2, size, size, device=device)
    best = math.inf
    for _ in range(20):
        started = time.perf_counter()
        (a @ b)[0, 0].item()
        best = min(best, time.perf_counter() - started)
    return 2 * size**3 / best


def scikit_learn(overrides: list[str], device: str) -> dict[str, float]:
    """Train scikit-learn's MLPClassifier."""
    import torch
    from sklearn.neural_network import MLPClassifier
    from threadpoolctl import threadpool_limits

    run = prepared(overrides)
    sizes, epochs = run.config["network"]["hidden_sizes"], run.epochs
    network = MLPClassifier(sizes, batch_size=run.batch, max_iter=epochs, n_iter_no_change=epochs, tol=0)
    with threadpool_limits(torch.get_num_threads()):
        return steps_per_second(run, network)


def skorch(overrides: list[str], device: str) -> dict[str, float]:
    """Train with skorch, without its printed progress."""
    import torch
    from skorch import NeuralNetClassifier
    from skorch.dataset import Dataset
    from skorch.helper import predefined_split

    run = prepared(overrides)
    network = NeuralNetClassifier(
        run.network,
        criterion=torch.nn.CrossEntropyLoss,
        optimizer=torch.optim.AdamW,
        optimizer__fused=True,
        lr=run.config["optimizer"]["lr"],
        max_epochs=run.epochs,
        batch_size=run.batch,
        iterator_train__shuffle=True,
        train_split=predefined_split(Dataset(run.val.numeric.numpy(), run.val.target.numpy())),
        verbose=0,
        device=device,
    )
    return steps_per_second(run, network)


def usual_lightning(overrides: list[str], device: str) -> dict[str, float]:
    """Train a module as tutorials show it."""
    import lightning.pytorch as L
    import torch
    from lightning.pytorch.callbacks import ModelCheckpoint, Timer
    from lightning.pytorch.loggers import TensorBoardLogger
    from torch.utils.data import DataLoader, TensorDataset
    from torchmetrics.classification import MulticlassAccuracy, MulticlassAUROC, MulticlassF1Score

    run = prepared(overrides)

    class Module(L.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.network, self.loss = run.network, torch.nn.CrossEntropyLoss()
            kinds = {"accuracy": MulticlassAccuracy, "f1": MulticlassF1Score, "auroc": MulticlassAUROC}
            for stage in ("train", "val"):
                for name, kind in kinds.items():
                    self.add_module(f"{stage}_{name}", kind(2))

        def step(self, batch: Any, stage: str) -> Any:
            inputs, target = batch
            output = self.network(inputs)
            loss = self.loss(output, target)
            self.log(f"{stage}/loss", loss, on_step=False, on_epoch=True, prog_bar=True)
            for name in ("accuracy", "f1", "auroc"):
                metric = getattr(self, f"{stage}_{name}")
                metric(output, target)
                self.log(f"{stage}/{name}", metric, on_step=False, on_epoch=True, prog_bar=name == "accuracy")
            return loss

        def training_step(self, batch: Any, batch_idx: int) -> Any:
            return self.step(batch, "train")

        def validation_step(self, batch: Any, batch_idx: int) -> None:
            self.step(batch, "val")

        def configure_optimizers(self) -> Any:
            return torch.optim.AdamW(self.parameters(), lr=run.config["optimizer"]["lr"])

    timer = Timer()
    train, val = (TensorDataset(rows.numeric, rows.target) for rows in (run.train, run.val))
    with tempfile.TemporaryDirectory() as folder:
        trainer = L.Trainer(
            accelerator="gpu" if device == "cuda" else "cpu",
            max_epochs=run.epochs,
            logger=TensorBoardLogger(folder),
            callbacks=[timer, ModelCheckpoint(folder, monitor="val/loss", save_last=True)],
        )
        trainer.fit(Module(), DataLoader(train, run.batch, shuffle=True), DataLoader(val, run.batch))
    return {"steps_per_second": trainer.global_step / timer.time_elapsed("train")}


CALLED: dict[str, Callable[..., Any]] = {
    "write_table": write_table,
    "look_at_run": look_at_run,
    "time_in_callbacks": time_in_callbacks,
    "reference": reference,
    "scikit-learn": scikit_learn,
    "skorch": skorch,
    "lightning": usual_lightning,
}

if __name__ == "__main__":
    main()
