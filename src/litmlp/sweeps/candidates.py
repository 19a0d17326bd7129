"""Reads finished runs as candidates for an ensemble: what their networks predict for validation and test rows."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from litmlp import checkpoint, paths, run_folder
from litmlp.data import Batch, NumericTarget, TableData, TabularData, Target
from litmlp.errors import InputError
from litmlp.files import read_yaml
from litmlp.model import on_device
from litmlp.sweeps import report
from litmlp.tasks import Task
from litmlp.top_level_keys import KEYS

SPLIT_KEYS = ("seed", "folds", "fold", "val_fold", "val_size", "test_size")  # of data: which rows are in which split
SAME_TEST = "val_fold"  # runs that differ in this key alone have the same test rows


class Trained(NamedTuple):
    """A finished run.

    Attributes:
        folder: of the run.
        config: the run's config.
        score: the metric that the run monitored, of its best weights.
    """

    folder: Path
    config: dict[str, Any]
    score: float

    @property
    def split(self) -> tuple[Any, ...]:
        """What decides which rows are in which split."""
        return tuple(self.config["data"].get(key) for key in SPLIT_KEYS)

    @property
    def best(self) -> Path:
        """The checkpoint of the best weights."""
        return self.folder / run_folder.CHECKPOINTS / "best.ckpt"

    @property
    def encoding(self) -> str:
        """What decides how rows are encoded and split, as text."""
        return json.dumps(self.config["data"], sort_keys=True)

    @property
    def settings(self) -> str:
        """All settings except those of the split and the seed, as text."""
        kept = {key: value for key, value in self.config.items() if key not in KEYS or KEYS[key].tells_apart}
        data = {key: value for key, value in kept["data"].items() if key not in SPLIT_KEYS}
        return json.dumps(kept | {"data": data, "seed": None}, sort_keys=True)


Candidate = tuple[Trained, ...]  # runs with the same settings, one for each split


def finished(folders: Sequence[Path]) -> list[Trained]:
    """Return the finished runs in and below `folders` that have kept their best weights, except ensembles."""
    runs = []
    for folder in report.find(folders):
        metrics, config = run_folder.metrics_of(folder), _config_of(folder)
        if metrics is not None and run_folder.best_checkpoint(folder) and config and "ensemble" not in config:
            runs.append(Trained(folder, config, metrics["objective"]))
    if not runs:
        raise InputError(
            f"there is no finished run with checkpoints in {', '.join(map(paths.display, folders))}: give the folder "
            "of a sweep"
        )
    return runs


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
    sign = 1 if runs[0].config["mode"] == "min" else -1
    found.sort(key=lambda candidate: sign * sum(run.score for run in candidate))
    return found, len(runs) - sum(map(len, found))


def common_splits(candidate: Candidate) -> list[str]:
    """Return the splits that hold the same rows in all runs of a candidate."""
    splits = [dict(zip(SPLIT_KEYS, run.split, strict=True)) for run in candidate]
    if all(split == splits[0] for split in splits):
        return ["train", "val", "test"]
    same_test = all(split | {SAME_TEST: 0} == splits[0] | {SAME_TEST: 0} for split in splits)
    return ["test"] if same_test else []


class Reader:
    """Loads runs; data that several runs share is read and encoded once."""

    def __init__(self) -> None:
        self.data: dict[str, TabularData] = {}

    def load(self, run: Trained) -> checkpoint.Loaded:
        """Return the run's task and data, whose rows are encoded."""
        loaded = checkpoint.load(run.best)
        if run.encoding not in self.data:
            point_to_table(loaded.data, run.config)
            loaded.data.setup()
            self.data[run.encoding] = loaded.data
        return loaded._replace(task=on_device(loaded.task), data=self.data[run.encoding])


class Library:
    """What candidates predict, with all outputs and targets of numbers in the scaling of the first run.

    Args:
        candidates: each with a run for each split.
        reader: loads the runs.

    Attributes:
        task: of the first run.
        outputs: for `val` and `test`, the outputs of each candidate for the rows of all splits, `[N, O]` each.
        rows: for `val` and `test`, the targets and weights of these rows.
    """

    def __init__(self, candidates: Sequence[Candidate], reader: Reader) -> None:
        first = reader.load(candidates[0][0])
        self.task, self.target = first.task, first.data.target
        self.outputs: dict[str, list[Tensor]] = {"val": [], "test": []}
        for candidate in candidates:
            loaded = [reader.load(run) for run in candidate]
            for run, one in zip(candidate, loaded, strict=True):
                check_alike(first, one, run)
            for split, outputs in self.outputs.items():
                found = [aligned(outputs_of(o.task, o.data, split), o.data.target, self.target) for o in loaded]
                outputs.append(torch.cat(found))
        data = [reader.load(run).data for run in candidates[0]]
        self.rows = {split: self._rows([(one.tables[split], one.target) for one in data]) for split in self.outputs}

    def scores(self, split: str, output: Tensor) -> dict[str, float]:
        """Return loss and metrics of an output for the rows of a split, named `split/name`."""
        rows, (outputs, targets, weights) = self.rows[split], self.task.seen[split]
        assert rows.target is not None
        outputs.add(output)
        targets.add(rows.target)
        if (weight := self.task.row_weights(rows)) is not None:
            weights.add(weight)
        return {name: float(value) for name, value in self.task.take_metrics(split).items()}

    def mean(self, split: str, counts: Mapping[int, int]) -> Tensor:
        """Return the output of an average of candidates, `[N, O]`, given how often each counts."""
        weights = torch.tensor([*counts.values()]) / sum(counts.values())
        return self.target.mean_of(torch.stack([self.outputs[split][i] for i in counts], dim=1), weights)

    def _rows(self, tables: Sequence[tuple[Batch, Target]]) -> Batch:
        targets = torch.cat(
            [aligned(table.target, own, self.target) for table, own in tables if table.target is not None]
        )
        weights = [table.weight for table, _ in tables if table.weight is not None]
        empty = torch.empty(len(targets), 0)
        return Batch(empty, empty.long(), targets, torch.cat(weights) if weights else None)


def point_to_table(data: TabularData, config: dict[str, Any]) -> None:
    """Let the data of a checkpoint, which holds no paths of a machine, find the table by the run's config.

    How the table is written was logged when the runs were trained, and is not logged again.
    """
    if isinstance(data, TableData):
        data.logs_formats = False
    for key in checkpoint.PATHS:
        if hasattr(data, key) and isinstance(config["data"].get(key), str):
            setattr(data, key, config["data"][key])


@torch.inference_mode()
def outputs_of(task: Task, data: TabularData, split: str) -> Tensor:
    """Return the outputs for all rows of a split, `[N, O]`."""
    task.eval()
    batches = data.in_order(split)
    return torch.cat([task.forward(task.transfer_batch_to_device(b, task.device, 0)).cpu() for b in batches])


def aligned(values: Tensor, own: Target, common: Target) -> Tensor:
    """Convert outputs or targets that were standardised by one target's scaling to another's; classes stay."""
    if not (isinstance(own, NumericTarget) and isinstance(common, NumericTarget)):
        return values
    scale, shift = own.scaling.std / common.scaling.std, (own.scaling.mean - common.scaling.mean) / common.scaling.std
    return (values.double() * scale + shift).float()


def check_alike(first: checkpoint.Loaded, other: checkpoint.Loaded, run: Trained) -> None:
    """Raise InputError unless two runs predict the same targets from tables that are read in the same way."""
    state, other_state = (loaded.data.target.state_dict() for loaded in (first, other))
    kept = ("columns", "transform", "units", "classes")
    if any(state.get(key) != other_state.get(key) for key in kept) or type(first.task) is not type(other.task):
        raise InputError(
            f"'{paths.display(run.folder)}' predicts other targets or classes than the runs before it: give runs that "
            "predict the same"
        )
    if first.data.notation != other.data.notation:
        raise InputError(
            f"'{paths.display(run.folder)}' reads cells in another way than the runs before it: give runs that learned "
            "from the same table"
        )


def _config_of(folder: Path) -> dict[str, Any]:
    try:
        return read_yaml(folder / run_folder.CONFIG)
    except InputError:
        return {}
