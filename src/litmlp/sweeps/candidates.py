"""Reads finished runs as candidates for an ensemble: what their networks predict for rows that they did not learn."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from litmlp import checkpoint, run_folder
from litmlp.checkpoint import Loaded
from litmlp.data import Batch, NumericTarget, TableData, TabularData, Target
from litmlp.data.reading import files_of
from litmlp.errors import InputError
from litmlp.files import read_yaml
from litmlp.model import on_device
from litmlp.paths import display
from litmlp.sweeps import report
from litmlp.tasks import ClassificationTask
from litmlp.top_level_keys import KEYS

SPLIT_KEYS = ("seed", "folds", "fold", "val_fold", "val_size", "test_size")  # of data: which rows are in which split
SAME_TEST = "val_fold"  # runs that differ in this key alone have the same test rows
SAME = {"rel_tol": 0.02, "abs_tol": 1e-3}  # losses that differ by more are not those of the same rows and weights
SAME_TARGETS = 1e-3  # standard deviations


class Trained(NamedTuple):
    """A finished run.

    Attributes:
        folder: of the run.
        config: the content of its `config.yaml`, of which nothing is built: a stranger may have made the folder.
        metrics: the content of its `metrics.json`.
    """

    folder: Path
    config: dict[str, Any]
    metrics: dict[str, Any]

    @property
    def score(self) -> float:
        """The metric that the run monitored, of its best weights."""
        return self.metrics["objective"]

    @property
    def direction(self) -> int:
        """1 if a smaller score is better, -1 if a larger one is."""
        return 1 if self.config["mode"] == "min" else -1

    @property
    def split(self) -> tuple[Any, ...]:
        """What decides which rows are in which split."""
        return tuple(self.config["data"].get(key) for key in SPLIT_KEYS)

    @property
    def best(self) -> Path:
        """The checkpoint of the best weights."""
        return self.folder / run_folder.CHECKPOINTS / "best.ckpt"

    @property
    def settings(self) -> str:
        """All settings except those of the split and the seed, as text."""
        kept = {key: value for key, value in self.config.items() if key not in KEYS or KEYS[key].tells_apart}
        data = {key: value for key, value in kept["data"].items() if key not in SPLIT_KEYS}
        return json.dumps(kept | {"data": data, "seed": None}, sort_keys=True)


Candidate = tuple[Trained, ...]  # runs with the same settings, one for each split


def finished(folders: Sequence[Path]) -> list[Trained]:
    """Return the finished runs in and below `folders` that have kept their best weights, except ensembles."""
    distinct = {folder.resolve(): folder for folder in report.find(folders) if run_folder.best_checkpoint(folder)}
    found = map(_trained, distinct.values())
    runs = [run for run in found if run is not None]
    if not runs:
        raise InputError(
            f"there is no finished run with checkpoints in {', '.join(map(display, folders))}: give the folder of a "
            "sweep"
        )
    monitors = sorted({f"{run.config['monitor']} {run.config['mode']}" for run in runs})
    if len(monitors) > 1:
        raise InputError(f"these runs were scored by different metrics ({', '.join(monitors)}): give those of one")
    return runs


def _trained(folder: Path) -> Trained | None:
    metrics = run_folder.metrics_of(folder)
    if metrics is None or metrics["objective"] is None:
        return None
    config = read_yaml(folder / run_folder.CONFIG)
    is_whole = isinstance(config.get("data"), dict) and config.get("monitor") in metrics and "mode" in config
    return Trained(folder, config, metrics) if is_whole and "ensemble" not in config else None


def candidates_of(runs: Sequence[Trained]) -> tuple[list[Candidate], int]:
    """Return the candidates, the best first, and how many runs are in none of them.

    If the runs have one split, each run is a candidate. If they have several, such as the folds of a cross-validation,
    a candidate has a run with the same settings for each split, so that candidates can be compared.
    """
    splits = list(dict.fromkeys(run.split for run in runs))
    by_settings: dict[str, dict[tuple, list[Trained]]] = {}
    for run in runs:
        by_settings.setdefault(run.settings, {}).setdefault(run.split, []).append(run)
    found = [
        candidate
        for by_split in by_settings.values()
        if len(by_split) == len(splits)
        for candidate in zip(*(by_split[split] for split in splits), strict=False)
    ]
    if not found:
        raise InputError(
            f"the runs have {len(splits)} different splits of the rows, and no settings were trained on all of them: "
            "give a sweep whose runs have the same split (data.seed=0), or all folds of the same settings"
        )
    found.sort(key=lambda candidate: runs[0].direction * sum(run.score for run in candidate))
    return found, len(runs) - sum(map(len, found))


def common_splits(candidate: Candidate) -> list[str]:
    """Return the splits that hold the same rows in all runs of a candidate."""
    splits = [dict(zip(SPLIT_KEYS, run.split, strict=True)) for run in candidate]
    if all(split == splits[0] for split in splits):
        return ["train", "val", "test"]
    same_test = all(split | {SAME_TEST: 0} == splits[0] | {SAME_TEST: 0} for split in splits)
    return ["test"] if same_test else []


class Reader:
    """Loads runs; rows that several runs split and encode in the same way are read and encoded once."""

    def __init__(self) -> None:
        self.data: dict[str, TabularData] = {}

    def load(self, run: Trained) -> Loaded:
        """Return the run's task and data, whose rows are encoded; raise InputError if they cannot be read."""
        loaded = opened(run)
        if isinstance(loaded.data, TableData) and loaded.data.path is None and loaded.data.rows() is None:
            raise InputError(
                f"'{display(run.folder)}' learned from a frame, but its validation rows are needed: train on a file, "
                "with data.path=..."
            )
        key = json.dumps([run.config["data"], _as_lists(loaded.data.state_dict())], sort_keys=True)
        if key not in self.data:
            loaded.data.setup()
            self.data[key] = loaded.data
        return loaded._replace(task=on_device(loaded.task), data=self.data[key])


def opened(run: Trained) -> Loaded:
    """Return the run's task and data. The checkpoint has no paths of a machine; the table is found by the config.

    How the table is written was logged when the run was trained, and is not logged again.
    """
    loaded = checkpoint.load(run.best)
    if isinstance(loaded.data, TableData):
        loaded.data.logs_formats = False
    for key in checkpoint.PATHS:
        if hasattr(loaded.data, key) and isinstance(path := run.config["data"].get(key), str):
            setattr(loaded.data, key, path)
            loaded.config["data"][key] = path
    return loaded


def reference(run: Trained) -> Loaded:
    """Return the run to which the outputs of all are aligned; its task measures outputs, on the CPU."""
    loaded = opened(run)
    if isinstance(loaded.task, ClassificationTask):
        loaded.task.temperature.fill_(1)  # outputs that are aligned have been divided by the temperature
    return loaded


class Library:
    """What candidates predict for the rows of a split: all of them together, if the runs of a candidate have several.

    Args:
        candidates: each with a run for each split.
        reader: loads the runs.
        split: `val` or `test`.
        common: measures outputs; those of all candidates are aligned to it.

    Attributes:
        outputs: of each candidate, `[N, O]`.
        rows: the targets and weights of these rows.

    Raises:
        InputError: the runs cannot be compared.
    """

    def __init__(self, candidates: Sequence[Candidate], reader: Reader, split: str, common: Loaded) -> None:
        self.split, self.task = split, common.task
        self.outputs: list[Tensor] = []
        for candidate in candidates:
            parts = [_outputs_and_rows(run, reader.load(run), split, common) for run in candidate]
            rows = _joined([rows for _, rows in parts])
            if not self.outputs:
                self.rows = rows
            _check_rows(candidate[0], rows, self.rows)
            self.outputs.append(torch.cat([output for output, _ in parts]))

    def scores(self, output: Tensor) -> dict[str, float]:
        """Return loss and metrics of an output for all rows, named `split/name`."""
        self._see(output)
        return {name: float(value) for name, value in self.task.take_metrics(self.split).items()}

    def calibrate(self, output: Tensor) -> None:
        """Fit the temperature of the task, if it has one, to an output for all rows."""
        if isinstance(self.task, ClassificationTask):
            self._see(output)
            self.task.temperature.fill_(self.task.fitted_temperature())
            self.task.take_metrics(self.split)  # forgets the rows

    def mean(self, counts: Mapping[int, int]) -> Tensor:
        """Return the output of an average of candidates, `[N, O]`, given how often each counts."""
        weights = torch.tensor([*counts.values()]) / sum(counts.values())
        return self.task.target.mean_of(torch.stack([self.outputs[i] for i in counts], dim=1), weights)

    def _see(self, output: Tensor) -> None:
        assert self.rows.target is not None
        outputs, targets, weights = self.task.seen[self.split]
        outputs.add(output)
        targets.add(self.rows.target)
        if (weight := self.task.row_weights(self.rows)) is not None:
            weights.add(weight)


def alignment(own: Target, common: Target) -> tuple[Tensor, Tensor] | None:
    """Return the factors and the terms, `[O]` each, that turn numbers standardised by one target into another's."""
    if not (isinstance(own, NumericTarget) and isinstance(common, NumericTarget)):
        return None
    return own.scaling.std / common.scaling.std, (own.scaling.mean - common.scaling.mean) / common.scaling.std


def temperature_of(own: Loaded) -> float:
    """Return the number by which a run's outputs are divided, so that calibrated probabilities are averaged."""
    return float(own.task.temperature) if isinstance(own.task, ClassificationTask) else 1.0


@torch.inference_mode()
def _outputs_and_rows(run: Trained, own: Loaded, split: str, common: Loaded) -> tuple[Tensor, Batch]:
    """Return the aligned outputs for all rows of a split, and the targets and weights of these rows."""
    _check_alike(run, own, common)
    task, rows = own.task.eval(), own.data.tables[split]
    batches = [task.transfer_batch_to_device(batch, task.device, 0) for batch in own.data.in_order(split)]
    output, target = torch.cat([task.forward(batch).cpu() for batch in batches]), rows.target
    assert target is not None
    _check_loss(run, split, float(task.cpu().mean_loss(output, target, task.row_weights(rows))))
    output = output / temperature_of(own)
    if aligned := alignment(own.data.target, common.data.target):
        output, target = ((values.double() * aligned[0] + aligned[1]).float() for values in (output, target))
    return output, Batch(rows.numeric[:, :0], rows.categorical[:, :0], target, rows.weight)


def _check_loss(run: Trained, split: str, loss: float) -> None:
    trained = run.metrics.get(f"{split}/loss")
    if trained is not None and not math.isclose(loss, trained, **SAME):
        raise InputError(
            f"'{display(run.folder)}' has the {split}/loss {loss:.5g}, but had {trained:.5g} when it was trained, so "
            "its table has changed since: train it again"
        )


def _joined(parts: Sequence[Batch]) -> Batch:
    joined: list[Any] = [None if one[0] is None else torch.cat(one) for one in zip(*parts, strict=True)]
    return Batch(*joined)


def _check_alike(run: Trained, own: Loaded, common: Loaded) -> None:
    """Raise InputError unless two runs predict the same targets of the same table, which they read in the same way."""
    state, other = (loaded.data.target.state_dict() for loaded in (own, common))
    kept = ("columns", "transform", "units", "classes")
    if any(state.get(key) != other.get(key) for key in kept) or type(own.task) is not type(common.task):
        raise InputError(
            f"'{display(run.folder)}' predicts other targets or classes than the runs before it: give runs that "
            "predict the same"
        )
    if _reading(own.data) != _reading(common.data):
        raise InputError(
            f"'{display(run.folder)}' has another table than the runs before it, or reads it in another way: give runs "
            "that learned from the same columns of the same table"
        )


def _reading(data: TabularData) -> list[Any]:
    paths = [path for key in checkpoint.PATHS if (path := getattr(data, key, None)) is not None]
    files = [file.resolve() for path in paths for file in files_of(path)]
    return [type(data), files, data.notation, getattr(data, "names_of_kind", None)]


def _check_rows(run: Trained, rows: Batch, others: Batch) -> None:
    assert rows.target is not None
    assert others.target is not None
    if rows.target.shape != others.target.shape or not rows.target.allclose(others.target, atol=SAME_TARGETS):
        raise InputError(
            f"'{display(run.folder)}' has other validation rows than the runs before it: give runs whose table is "
            "split in the same way"
        )


def _as_lists(state: Any) -> Any:
    if isinstance(state, dict):
        return {key: _as_lists(value) for key, value in state.items()}
    if isinstance(state, list):
        return [_as_lists(value) for value in state]
    return state.tolist() if isinstance(state, Tensor) else state
