"""Numbers at the edge: written predictions have the digits of float64, and metrics are those of what is written."""

import json
import math
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

from litmlp import checkpoint
from litmlp.data.targets import LARGEST
from soak.soaking import Ended, Soak, commands
from soak.test_tables import SMALL

Draw = Callable[[random.Random, int], list[float]]


def shifted(generator: random.Random, num_rows: int) -> list[float]:
    offset, unit = 10 ** generator.uniform(-3, 15), 10 ** generator.uniform(-3, 6)
    return [offset + unit * generator.gauss(0, 1) for _ in range(num_rows)]


def spanning(generator: random.Random, num_rows: int) -> list[float]:
    low = generator.uniform(-320, 300)
    return [10 ** generator.uniform(low, low + 8) for _ in range(num_rows)]


def ends(generator: random.Random, num_rows: int) -> list[float]:
    largest = 1.7976931348623157e308
    numbers = [0.0, -0.0, 5e-324, -1e-310, 2.2e-308, 1e-300, 1.0, 2.0**53, 2.0**63, 1e139, 1e150, largest]
    some = generator.sample([*numbers, *(-number for number in numbers)], generator.choice([1, 2, 4]))
    return [generator.choice(some) for _ in range(num_rows)]


def nearly_constant(generator: random.Random, num_rows: int) -> list[float]:
    number = 10 ** generator.uniform(-300, 300)
    return [math.nextafter(number, math.inf) if generator.random() < 0.3 else number for _ in range(num_rows)]


def with_outlier(generator: random.Random, num_rows: int) -> list[float]:
    numbers = [generator.gauss(0, 1) for _ in range(num_rows)]
    numbers[generator.randrange(num_rows)] = generator.choice([1e6, 1e30, -1e120, 1e308])
    return numbers


def plain(generator: random.Random, num_rows: int) -> list[float]:
    return [generator.gauss(0, 1) for _ in range(num_rows)]


DRAWS: list[Draw] = [shifted, spanning, ends, nearly_constant, with_outlier, plain]


def weights(generator: random.Random, num_rows: int) -> list[float]:
    kinds = [[0.0, 1.0], [0.0, 0.0, 0.0, 1.0], [0.0], [1e308, 1.0], [5e-324, 0.0], [1e-300, 1e300], [2.0]]
    some = generator.choice(kinds)
    return [generator.choice(some) for _ in range(num_rows)]


def write(generator: random.Random, folder: Path) -> list[str]:
    """Write a table with inputs, one or two targets and weights; return the targets' names."""
    num_rows = generator.choice([30, 60])
    columns = {f"x{i}": generator.choice(DRAWS)(generator, num_rows) for i in range(generator.choice([1, 2, 4]))}
    targets = ["y"] if generator.random() < 0.7 else ["y", "a/b"]
    columns |= {name: generator.choice(DRAWS)(generator, num_rows) for name in targets}
    columns["w"] = weights(generator, num_rows)
    pl.DataFrame(columns).write_csv(folder / "table.csv")
    return targets


@pytest.mark.soak
def test_numbers(soak: Soak, tmp_path: Path) -> None:
    for number, generator in enumerate(soak.rounds()):
        folder = tmp_path / str(number)
        folder.mkdir()
        targets = write(generator, folder)
        data = ["data=table", "data.path=table.csv", f"data.target=[{','.join(targets)}]", "task=regression"]
        data += ["data.weight_column=w" if generator.random() < 0.4 else "data.ignore=[w]"]
        data += [f"data.scaling={generator.choice(['quantile', 'robust', 'standard'])}"]
        data += ["data.target_transform=log1p"] if generator.random() < 0.3 else []
        data += [f"data.batch_size={generator.choice([2, 7, 256])}"]
        described = f"{' '.join(data)}\n{(folder / 'table.csv').read_text()[:1500]}"
        with soak.trial(described):
            trained = commands().run("train", *data, *SMALL, "hydra.run.dir=run", folder=folder).check(0, 2)
            said = trained.err + trained.out
            assert "RuntimeWarning" not in said, said
            assert "lower optimizer.lr" not in said, said
            soak.count("trained" if trained.code == 0 else "refused")
            if trained.code == 0:
                check_written(generator, folder, targets)


def check_written(generator: random.Random, folder: Path, targets: list[str]) -> None:
    """Compare what predict writes with the network's outputs, and what evaluate measures with what predict wrote."""
    output = generator.choice(["out.csv", "out.parquet"])
    ran(folder, "predict", "data.path=table.csv", f"output={output}")
    written = (pl.read_csv if output.endswith("csv") else pl.read_parquet)(folder / output)
    names = [f"prediction_{name}" for name in targets] if len(targets) > 1 else ["prediction"]
    predicted = written.select(names).cast(pl.Float64).to_numpy()
    task, data, _ = checkpoint.load(folder / "run/checkpoints/best.ckpt")
    with torch.inference_mode():
        outputs = task.forward(data.encode_rows(folder / "table.csv", has_target=False)).double().numpy()
    expected = data.target.scaling.mean.numpy() + data.target.scaling.std.numpy() * outputs
    if data.target.transform == "log1p":
        with np.errstate(over="ignore"):
            expected = np.clip(np.expm1(expected), 0, LARGEST)
    observed = pl.read_csv(folder / "table.csv").select(targets).cast(pl.Float64).to_numpy()
    span = np.ptp(observed, axis=0) + np.abs(np.ptp(expected, axis=0))
    assert (np.abs(predicted - expected) <= 1e-12 * span).all(), np.abs(predicted - expected).max()
    ran(folder, "evaluate", "data.path=table.csv", "output=metrics.json")
    metrics = json.loads((folder / "metrics.json").read_text())
    # A standardised number is a float32, and the written one may have fewer digits than the difference from its mean.
    tolerance = 1e-5 * span + 1e-15 * np.abs(observed).max(axis=0)
    errors = predicted - observed
    for name, each in (("rmse", np.sqrt((errors**2).mean(axis=0))), ("mae", np.abs(errors).mean(axis=0))):
        for i, target in enumerate(targets):
            measured = metrics[f"test/{name}" if len(targets) == 1 else f"test/{name}_{target}"]
            assert abs(measured - each[i]) <= tolerance[i] + 1e-5 * each[i], (name, target, measured, each[i])


def ran(folder: Path, command: str, *arguments: str) -> Ended:
    ended = commands().run(command, "checkpoint=run", *arguments, folder=folder).check(0)
    assert "RuntimeWarning" not in ended.err, ended.err
    return ended
