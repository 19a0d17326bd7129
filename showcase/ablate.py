"""Measure what each part of the default is worth: python showcase/ablate.py.

The default and each of VARIANTS train on the same rows of some tables, with one thread each. The result is a table: for
the default the test score, and for each variant its change in per cent, which is above 0 if the variant is worse. Both
are means over the seeds. The last column compares the seconds of training, as a mean over the tables.

Results are appended to a file. What it holds is not trained again, so that the program can be stopped and continued. A
result belongs to a whole config. If the code or the rows of a table have changed, give another file.
"""

import hashlib
import json
import logging
import math
import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from statistics import fmean
from typing import Any

from tqdm import tqdm

import litmlp
from litmlp import machine, paths, process
from litmlp.errors import TrainingDiverged
from tables import overrides_of, parser

VARIANTS = {
    "network=mlp": ["network=mlp"],
    "one member": ["network.members=1"],
    "16 members": ["network.members=16"],
    "members differ in all layers": ["network.member_layers=all"],
    "two layers": ["network.hidden_sizes=[128,128]"],
    "width 256": ["network.hidden_sizes=[256,256,256]"],
    "periodic embedding": ["network/embedding=periodic"],
    "no embedding": ["network/embedding=none"],
    "64 bins": ["network.embedding.bins=64"],
    "256 bins": ["network.embedding.bins=256"],
    "inputs without learned scaling": ["network.scale_inputs=false"],
    "no dropout": ["network.dropout=0"],
    "SELU": ["network.activation=SELU"],
    "learning rate 2e-3": ["optimizer.lr=2e-3"],
    "weight decay 1": ["optimizer.weight_decay=1"],
    "second beta 0.999": ["optimizer.betas=[0.9,0.999]"],
    "constant learning rate": ["scheduler=none"],
    "one cycle": ["scheduler=one_cycle"],
    "60 epochs": ["trainer.max_epochs=60"],
    "standard scaling": ["data.scaling=standard"],
    "robust scaling with a smooth clip": ["data.scaling=robust"],
}
DEFAULT = "default"
SETTINGS = (  # what would take time, but does not change the score
    *("threads=1", "logger=none", "trainer.enable_progress_bar=false"),
    "callbacks=[checkpoint,early_stopping,epoch_seed,stop_on_nan]",
)
SCORES = {"test/rmse": "RMSE", "test/log_loss": "log-loss"}  # smaller ones are better
Key = tuple[str, int]  # the digest of a config without its seed, and the seed
Result = dict[str, Any]  # with metric, score and seconds; the last two are NaN if training diverged


def main() -> None:
    """Run the command."""
    assert __doc__
    options = parser(__doc__)
    options.add_argument("--jobs", type=int, default=machine.cores(), help="processes that train at the same time")
    options.add_argument("--results", type=Path, default=paths.runs() / "ablation.jsonl", metavar="FILE")
    given = options.parse_args()
    with process.guarded("ablate"):
        overrides = {
            (table, name): [*overrides_of(table), *SETTINGS, *changes]
            for table in given.tables
            for name, changes in {DEFAULT: [], **VARIANTS}.items()
        }
        digests = {place: digest(changed) for place, changed in overrides.items()}
        wanted = {(digests[place], seed): overrides[place] for seed in given.seeds for place in overrides}
        train_missing(wanted, given.results, given.jobs)
        results = results_in(given.results)
        means = {place: mean(results[digests[place], seed] for seed in given.seeds) for place in overrides}
        print("\n".join(lines(given.tables, means)))


def digest(overrides: Sequence[str]) -> str:
    """Return a text that differs for configs that differ in more than the seed."""
    config = litmlp.compose(*overrides, "seed=0")
    return hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()[:16]


def results_in(file: Path) -> dict[Key, Result]:
    """Return the results that a file holds; there are none if there is no such file."""
    results = map(json.loads, file.read_text(encoding="utf-8").splitlines()) if file.exists() else ()
    return {(result["config"], result["seed"]): result for result in results}


def train_missing(wanted: dict[Key, list[str]], file: Path, jobs: int) -> None:
    """Train the configs whose results a file does not hold, so many at a time, and append their results to it.

    Args:
        wanted: the overrides of each config.
        file: holds a result on each line.
        jobs: the number of processes.
    """
    done = results_in(file)
    missing = {key: overrides for key, overrides in wanted.items() if key not in done}
    file.parent.mkdir(parents=True, exist_ok=True)
    os.environ.update(OMP_NUM_THREADS="1", POLARS_MAX_THREADS="1")  # of the new processes
    pool = ProcessPoolExecutor(jobs, get_context("spawn"), logging.disable)
    try:
        keys = {pool.submit(trained, overrides, seed): (name, seed) for (name, seed), overrides in missing.items()}
        for future in tqdm(as_completed(keys), "training", len(keys), disable=not keys):
            name, seed = keys[future]
            line = json.dumps({"config": name, "seed": seed, "overrides": missing[name, seed], **future.result()})
            with file.open("a", encoding="utf-8") as lines:
                lines.write(f"{line}\n")
    finally:
        pool.shutdown(cancel_futures=True)


def trained(overrides: Sequence[str], seed: int) -> Result:
    """Train as the command does, and return the score of the test rows and the seconds of training."""
    from litmlp.commands.train import train

    with tempfile.TemporaryDirectory() as folder:
        try:
            metrics = train(litmlp.compose(*overrides, f"seed={seed}"), Path(folder) / "run")
        except TrainingDiverged:
            return {"metric": "", "score": math.nan, "seconds": math.nan}
    name = next(name for name in SCORES if name in metrics)
    score = math.nan if metrics[name] is None else metrics[name]  # null stands for a number that is not finite
    return {"metric": SCORES[name], "score": score, "seconds": metrics["fit_seconds"]}


def mean(results: Iterable[Result]) -> Result:
    """Return the mean score and seconds of the results of several seeds."""
    each = list(results)
    means = {name: fmean(result[name] for result in each) for name in ("score", "seconds")}
    return {"metric": each[0]["metric"], **means}


def lines(tables: Sequence[str], means: dict[tuple[str, str], Result]) -> Iterator[str]:
    """Yield the lines of a table in Markdown.

    Args:
        tables: the names of the tables, each of which becomes a column.
        means: for each table and the name of each variant, the mean result.
    """
    defaults = [means[table, DEFAULT] for table in tables]
    headings = [f"{table}, {default['metric']}" for table, default in zip(tables, defaults, strict=True)]
    yield f"| | {' | '.join(headings)} | seconds |"
    yield f"| --- |{' --: |' * (len(tables) + 1)}"
    yield f"| {DEFAULT} | {' | '.join(format(default['score'], '.4f') for default in defaults)} | 1.00 |"
    for name in dict.fromkeys(name for _, name in means if name != DEFAULT):
        pairs = list(zip([means[table, name] for table in tables], defaults, strict=True))
        changes = [100 * (own["score"] / default["score"] - 1) for own, default in pairs]
        cells = ["diverged" if math.isnan(change) else f"{change:+.1f} %" for change in changes]
        seconds = fmean(own["seconds"] / default["seconds"] for own, default in pairs)
        yield f"| {name} | {' | '.join(cells)} | {seconds:.2f} |"


if __name__ == "__main__":
    main()
