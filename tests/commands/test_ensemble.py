"""Ensembles of small runs, against averages by hand of what the runs predict one by one."""

import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from scipy.optimize import minimize_scalar

import litmlp
from conftest import NO_PLOTS, SMALL, compose_config
from litmlp import checkpoint, paths
from litmlp.commands.ensemble import ensemble
from litmlp.commands.evaluate import evaluate
from litmlp.commands.train import train
from litmlp.errors import InputError, Interrupted
from litmlp.files import read_json, read_yaml, write_yaml
from litmlp.sweeps import report
from litmlp.tasks.calibration import PRIOR_ROWS
from sweeping import command

PENGUINS = paths.ROOT / "data/penguins.csv"
QUICK = [*SMALL, *NO_PLOTS, "logger=none", "trainer.max_epochs=3"]
ROWS = 120


def trained(folder: Path, *overrides: str) -> Path:
    train(compose_config(*QUICK, *overrides), folder)
    return folder


def table(file: Path, seed: int = 0, **columns: Any) -> Path:
    """A table of 120 rows: numbers with gaps, levels, and amounts that depend on both."""
    generator = np.random.default_rng(seed)
    a, b = generator.normal(size=ROWS), generator.normal(size=ROWS)
    level = generator.choice(["red", "green", "blue"], ROWS)
    amount = np.exp(0.8 * a + (level == "red")) - 0.3
    gaps = [None if i % 7 == 0 else value for i, value in enumerate(b)]
    of_table = {"a": a, "b": gaps, "level": level, "amount": amount.clip(0), "other": 100 * b - a}
    pl.DataFrame(
        of_table | {"weight": generator.integers(0, 4, ROWS), "group": np.arange(ROWS) % 10} | columns
    ).write_csv(file)
    return file


def of(file: Path, target: str = "amount", ignored: str = "other,weight,group") -> list[str]:
    return [f"data.path={file}", f"data.target={target}", f"data.ignore=[{ignored}]", "data=table", "task=regression"]


def weights_in(folder: Path) -> dict[str, float]:
    return read_yaml(folder / "config.yaml")["ensemble"]


def numbers(folder: str | Path, rows: Any) -> np.ndarray:
    """Predictions `[N, O]`: amounts, or the probabilities of classes."""
    predicted = litmlp.load(folder).predict(rows)
    names = [name for name in predicted.columns if name.startswith(("prediction_", "probability_"))]
    return predicted.select(names or "prediction").to_numpy()


def mean_by_hand(folder: Path, rows: Any) -> np.ndarray:
    return sum(weight * numbers(run, rows) for run, weight in weights_in(folder).items())


def by_temperature(probability: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Calibrate probabilities `[N, K]` by the temperature that a minimiser without derivatives finds."""
    log = np.log(probability)

    def penalised(log_temperature: float) -> float:
        scaled = log * np.exp(-log_temperature)
        losses = np.logaddexp.reduce(scaled, axis=1) - scaled[np.arange(len(classes)), classes]
        return losses.sum() + PRIOR_ROWS * (np.exp(-log_temperature) + log_temperature)

    return softened(probability, np.exp(minimize_scalar(penalised, (-1, 1), tol=1e-10).x))


def softened(probability: np.ndarray, temperature: float) -> np.ndarray:
    powers = probability ** (1 / temperature)
    return powers / powers.sum(axis=1, keepdims=True)


def log_loss(probability: np.ndarray, classes: np.ndarray) -> float:
    return float(-np.log(probability[np.arange(len(classes)), classes]).mean())


@pytest.fixture(scope="module")
def folds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five runs whose validation rows are disjoint, and their ensemble."""
    folder = tmp_path_factory.mktemp("folds")
    for fold in range(5):
        trained(folder / str(fold), "data=penguins", f"data.val_fold={fold}", "optimizer.lr=0.02")
    ensemble([folder])
    return folder


def rows_of(run: Path, split: str) -> tuple[pl.DataFrame, np.ndarray]:
    """The raw rows of a split of a run on the penguins, and their classes as indices."""
    model = litmlp.load(run)
    model.data.path = str(PENGUINS)
    frame = model.data.read()
    _, rows = model.data.parted(frame)
    raw = frame.collect()[rows[split]]
    return raw, np.array([model.classes.index(name) for name in raw["species"]])


def test_folds_are_averaged_equally_and_scored_by_rows_that_they_did_not_learn(folds: Path):
    assert {*weights_in(folds / "ensemble").values()} == {0.2}
    parts = [(rows_of(folds / str(k), "val"), folds / str(k)) for k in range(5)]
    probability = np.concatenate([numbers(run, rows) for (rows, _), run in parts])
    classes = np.concatenate([classes for (_, classes), _ in parts])
    assert len(classes) > 270  # all but the test rows
    metrics = read_json(folds / "ensemble/metrics.json")
    assert metrics["val/loss"] == pytest.approx(log_loss(probability, classes), rel=1e-4)
    assert metrics["val/log_loss"] == pytest.approx(log_loss(by_temperature(probability, classes), classes), rel=1e-4)
    assert metrics["val/accuracy"] == pytest.approx((probability.argmax(axis=1) == classes).mean())
    assert metrics["objective"] == metrics["val/loss"]


def test_the_mean_of_calibrated_probabilities_is_calibrated_by_the_same_predictions(folds: Path):
    parts = [(rows_of(folds / str(k), "val"), folds / str(k)) for k in range(5)]
    log = np.log(np.concatenate([numbers(run, rows) for (rows, _), run in parts]))
    classes = np.concatenate([classes for (_, classes), _ in parts])
    temperature = float(checkpoint.load(folds / "ensemble/checkpoints/best.ckpt").task.temperature)
    assert by_temperature(np.exp(log), classes) == pytest.approx(softened(np.exp(log), temperature), abs=1e-5)
    assert {float(checkpoint.load(folds / str(k) / "checkpoints/best.ckpt").task.temperature) for k in range(5)} != {1}
    mean = mean_by_hand(folds / "ensemble", PENGUINS)
    assert numbers(folds / "ensemble", PENGUINS) == pytest.approx(softened(mean, temperature), abs=1e-5)


def test_test_rows_are_measured_once_and_evaluate_finds_the_same(folds: Path):
    metrics = read_json(folds / "ensemble/metrics.json")
    raw, classes = rows_of(folds / "0", "test")
    assert metrics["test/log_loss"] == pytest.approx(log_loss(numbers(folds / "ensemble", raw), classes), rel=1e-4)
    tests = {name: value for name, value in metrics.items() if name.startswith("test/")}
    assert evaluate(str(folds / "ensemble")) == pytest.approx(tests)
    assert evaluate(str(folds / "ensemble"), path=str(PENGUINS))["test/accuracy"] > 0.9


@pytest.mark.parametrize("split", ["train", "val"])
def test_a_split_whose_rows_some_networks_have_learned_is_not_measured(folds: Path, split: str):
    with pytest.raises(InputError, match=f"trained on rows of its {split} split: give other rows as data.path="):
        evaluate(str(folds / "ensemble"), split)


def test_effort_is_that_of_all_runs(folds: Path):
    metrics = read_json(folds / "ensemble/metrics.json")
    runs = [read_json(folds / str(k) / "metrics.json") for k in range(5)]
    for name in ("epochs", "steps", "parameters"):
        assert metrics[name] == sum(run[name] for run in runs)


def test_the_folder_is_all_that_is_needed(folds: Path, tmp_path: Path):
    expected = numbers(folds / "ensemble", PENGUINS)
    shutil.copytree(folds, tmp_path / "copy")
    shutil.move(tmp_path / "copy/ensemble", tmp_path / "alone")
    shutil.rmtree(tmp_path / "copy")
    assert (numbers(tmp_path / "alone", PENGUINS) == expected).all()
    assert evaluate(str(tmp_path / "alone")) == evaluate(str(folds / "ensemble"))
    assert [path.name for path in tmp_path.iterdir()] == ["alone"]


def test_a_row_is_predicted_alone_and_with_missing_cells_and_new_levels(folds: Path):
    model = litmlp.load(folds / "ensemble")
    rows = pl.read_csv(PENGUINS, null_values="NA").head(9)
    rows = rows.with_columns(pl.lit(None).alias("sex"), pl.lit("Atlantis").alias("island")).drop("species")
    together = model.predict(rows)
    assert model.predict(rows[4]).equals(together[4])
    assert together.drop("prediction").sum_horizontal().to_numpy() == pytest.approx(np.ones(9))
    assert model.columns == litmlp.load(folds / "0").columns


def test_a_report_lists_each_in_line_with_the_runs(folds: Path, tmp_path: Path):
    ensemble([folds], output=tmp_path / "other")
    compared = report.compare([folds, tmp_path])
    header, *rows = report.table(compared)
    assert header == ["", "val/loss", "runs", "test/loss", "ensemble", "seconds", "best run"]
    of_ensembles = [row for row in rows if row[4] == "5 runs"]
    assert {Path(row[-1]).name for row in of_ensembles} == {"ensemble", "other"}
    assert [(row[2], row[4]) for row in rows if row not in of_ensembles] == [("5", "")]
    assert [*report.figures(compared)] == ["best_so_far"]


def test_it_cannot_be_resumed(folds: Path, refused: Any):
    said = refused("train", f"resume={folds / 'ensemble'}")
    assert "averages other runs and is not trained itself: resume one of those, then make the ensemble again" in said


def test_each_run_counts_once_and_an_ensemble_is_no_run_of_another(folds: Path, tmp_path: Path):
    (tmp_path / "link").symlink_to(folds)
    ensemble([folds, folds / "0", tmp_path / "link"], output=tmp_path / "again")
    assert [*weights_in(tmp_path / "again").values()] == [0.2] * 5


def test_the_command_says_who_is_averaged_and_ends_with_the_folder(folds: Path, tmp_path: Path):
    done = command(str(folds), "size=2", f"output={tmp_path / 'mine'}", name="ensemble")
    assert (done.code, done.out.splitlines()[-1]) == (0, "mine")
    said = (tmp_path / "mine/train.log").read_text().splitlines()
    assert [line.partition("ensemble: ")[2][:7] for line in said] == ["0.2 of "] * 5
    assert read_json(tmp_path / "mine/status.json")["status"] == "completed"


KINDS = {  # what the runs that are averaged differ in
    "networks": ["network=linear", "network=tabm", "network=mlp", "network/embedding=periodic network=mlp"],
    "columns": [
        "data.scaling=standard",
        "data.scaling=quantile",
        "data.scaling=robust",
        "data.ignore=[other,b,weight,group]",
    ],
    "losses": ["task/loss=mse", "task/loss=l1", "task/loss=huber"],
}


@pytest.fixture
def alike(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Train on the same rows, and make an ensemble in which the best run has the weight 1, the next one 2, ..."""

    def make(common: list[str], different: list[str]) -> Path:
        for number, overrides in enumerate(different):
            trained(tmp_path / f"runs/{number}", *common, "data.seed=0", f"seed={number}", *overrides.split())
        monkeypatch.setattr(
            "litmlp.sweeps.selection.selected", lambda outputs, *_: Counter(dict(enumerate(range(1, 1 + len(outputs)))))
        )
        ensemble([tmp_path / "runs"])
        weights = weights_in(tmp_path / "runs/ensemble").values()
        total = sum(range(len(different) + 1))
        assert [*weights] == pytest.approx([(i + 1) / total for i in range(len(different))], abs=1e-5)
        return tmp_path / "runs/ensemble"

    return make


@pytest.mark.parametrize("transform", [pytest.param("none", marks=pytest.mark.slow), "log1p"])
@pytest.mark.parametrize("kind", KINDS)
def test_amounts_are_averaged_in_their_own_unit(kind: str, transform: str, tmp_path: Path, alike: Callable[..., Path]):
    file = table(tmp_path / "table.csv")
    folder = alike([*of(file), f"data.target_transform={transform}", "monitor=val/rmse"], KINDS[kind])
    assert numbers(folder, file) == pytest.approx(mean_by_hand(folder, file), rel=1e-5, abs=1e-4)
    metrics = read_json(folder / "metrics.json")
    for split in ("train", "val", "test"):
        expected = {name: value for name, value in metrics.items() if name.startswith(f"{split}/")}
        measured = evaluate(str(folder), split)
        assert {name: measured[name] for name in expected} == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(("metric", "mode", "sign"), [("mae", "min", 1), ("r2", "max", -1)])
def test_the_score_of_validation_rows_is_never_worse_than_that_of_the_best_run(
    metric: str, mode: str, sign: int, tmp_path: Path
):
    file = table(tmp_path / "table.csv")
    for seed in range(4):
        settings = [f"seed={seed}", "data.seed=0", f"monitor=val/{metric}", f"mode={mode}", "optimizer.lr=0.03"]
        trained(tmp_path / f"runs/{seed}", *of(file), *settings)
    metrics = ensemble([tmp_path / "runs"])
    scores = [sign * read_json(tmp_path / f"runs/{seed}/metrics.json")[f"val/{metric}"] for seed in range(4)]
    assert sign * metrics["objective"] <= min(scores) + 1e-5


def test_several_targets_are_averaged_each_in_its_own_unit(tmp_path: Path, alike: Callable[..., Path]):
    file = table(tmp_path / "table.csv")
    folder = alike(of(file, "[amount,other]", "weight,group"), ["network=linear", "network=mlp"])
    assert numbers(folder, file) == pytest.approx(mean_by_hand(folder, file), rel=1e-4, abs=1e-3)
    assert "test/rmse_other" in read_json(folder / "metrics.json")


def test_two_classes_and_weights_of_rows(tmp_path: Path, alike: Callable[..., Path]):
    file = table(tmp_path / "table.csv")
    wide = pl.read_csv(file).with_columns((pl.col("amount") > 1).cast(pl.String).alias("rich")).drop("amount")
    wide.write_csv(file)
    common = [*of(file, "rich", "other")[:-1], "task=classification", "data.weight_column=weight"]
    folder = alike(common, ["network=linear", "network=mlp", "task.class_weights=balanced"])
    temperature = float(checkpoint.load(folder / "checkpoints/best.ckpt").task.temperature)
    expected = softened(mean_by_hand(folder, file), temperature)
    assert numbers(folder, file) == pytest.approx(expected, abs=1e-5)


def test_without_calibration_probabilities_are_averaged_as_they_are(alike: Callable[..., Path]):
    common = ["data=penguins", "task.calibration=none"]
    folder = alike(common, ["network=linear", "network=mlp", "network=tabm"])
    assert numbers(folder, PENGUINS) == pytest.approx(mean_by_hand(folder, PENGUINS), abs=1e-5)


@pytest.mark.parametrize("network", ["network=mlp", "network=tabm data.target_transform=log1p"])
def test_seeds_that_split_the_rows_differently_are_averaged_like_folds(network: str, tmp_path: Path):
    file = table(tmp_path / "table.csv")
    for seed in range(3):
        trained(tmp_path / f"runs/{seed}", *of(file), f"seed={seed}", "data.scaling=robust", *network.split())
    metrics = ensemble([tmp_path / "runs"])
    folder = tmp_path / "runs/ensemble"
    assert [*weights_in(folder).values()] == pytest.approx([1 / 3] * 3, abs=1e-5)
    assert numbers(folder, file) == pytest.approx(mean_by_hand(folder, file), rel=1e-5, abs=1e-4)
    runs = [read_json(tmp_path / f"runs/{seed}/metrics.json") for seed in range(3)]
    for split in ("val", "test"):  # each row by the run that did not learn it, with as many rows in each run
        squares = [run[f"{split}/rmse"] ** 2 for run in runs]
        assert metrics[f"{split}/rmse"] == pytest.approx(np.sqrt(np.mean(squares)), rel=1e-4)
        with pytest.raises(InputError, match=f"trained on rows of its {split} split"):
            evaluate(str(folder), split)
    assert not (folder / "plots").exists()


def test_test_folds_are_averaged(tmp_path: Path):
    file = table(tmp_path / "table.csv")
    for fold in range(3):
        trained(tmp_path / f"runs/{fold}", *of(file), "data.folds=3", f"data.fold={fold}")
    metrics = ensemble([tmp_path / "runs"])
    squares = [read_json(tmp_path / f"runs/{fold}/metrics.json")["test/rmse"] ** 2 for fold in range(3)]
    assert metrics["test/rmse"] == pytest.approx(np.sqrt(np.mean(squares)), rel=1e-4)  # 40 rows each


def test_settings_that_lack_a_fold_are_left_out_and_the_others_compete(tmp_path: Path):
    file = table(tmp_path / "table.csv")
    for rate in ("0.001", "0.03", "0.1"):
        for fold in range(2) if rate != "0.1" else [0]:
            fixed = [*of(file), f"data.val_fold={fold}", f"optimizer.lr={rate}"]
            trained(tmp_path / f"runs/{rate}_{fold}", *fixed)
    ensemble([tmp_path / "runs"])
    runs = {Path(run).name: weight for run, weight in weights_in(tmp_path / "runs/ensemble").items()}
    assert not any(name.startswith("0.1_") for name in runs)
    for rate in ("0.001", "0.03"):
        assert runs.get(f"{rate}_0") == runs.get(f"{rate}_1")
    assert "left out 1 runs" in (tmp_path / "runs/ensemble/train.log").read_text()


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs on the same rows of a table that lies beside them."""
    folder = tmp_path_factory.mktemp("pair")
    file = table(folder / "table.csv")
    for seed in range(2):
        trained(folder / f"runs/{seed}", *of(file), f"seed={seed}", "data.seed=0")
    return folder


def names(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def refusal(*folders: Path, **options: Any) -> str:
    """The sentence by which an ensemble is refused; nothing is left behind."""
    before = [names(folder) for folder in (*folders, Path())]
    with pytest.raises(InputError) as error:
        ensemble(folders, **options)
    assert [names(folder) for folder in (*folders, Path())] == before
    return str(error.value)


OTHERS = {  # what another run is trained on, and what is said of it
    "target": ("data.target=other data.ignore=[amount,weight,group]", "predicts other targets or classes"),
    "transform": ("data.target_transform=log1p", "predicts other targets or classes"),
    "task": ("data.target=level task=classification monitor=val/loss", "predicts other targets or classes"),
    "table": ("data.path=other.csv", "has another table than the runs before it, or reads it in another way"),
    "kinds": ("data.categorical=[a]", "has another table than the runs before it, or reads it in another way"),
    "rows": ("data.group_column=group data.ignore=[other,weight]", "has other validation rows than the runs before it"),
    "metric": ("monitor=val/mae", "these runs were scored by different metrics (val/loss min, val/mae min)"),
    "split": ("data.val_fold=1 optimizer.lr=0.1", "the runs have 2 different splits of the rows"),
}


@pytest.mark.parametrize("other", OTHERS)
def test_runs_that_cannot_be_averaged_are_refused(other: str, pair: Path, tmp_path: Path):
    overrides, said = OTHERS[other]
    table(tmp_path / "other.csv", seed=1)
    trained(tmp_path / "run", *of(pair / "table.csv"), "seed=2", "data.seed=0", *overrides.split())
    assert said in refusal(pair, tmp_path / "run")


def test_classes_that_differ_are_refused(tmp_path: Path):
    for fold, kinds in enumerate(("abc", "abd")):
        file = table(tmp_path / f"{fold}.csv", kind=[*kinds] * (ROWS // 3))
        trained(tmp_path / f"runs/{fold}", *of(file, "kind", "other")[:-1], "task=classification", "data.seed=0")
    assert "predicts other targets or classes than the runs before it" in refusal(tmp_path / "runs")


def test_a_table_that_has_changed_is_noticed(pair: Path, tmp_path: Path):
    shutil.copytree(pair, tmp_path / "copy")
    for config in (tmp_path / "copy").glob("*/*/config.yaml"):
        config.write_text(config.read_text().replace(str(pair), str(tmp_path / "copy")))
    ensemble([tmp_path / "copy/runs"], output=tmp_path / "whole")
    rows = (tmp_path / "copy/table.csv").read_text().splitlines()
    (tmp_path / "copy/table.csv").write_text("\n".join([rows[0], *reversed(rows[1:])]) + "\n")
    assert "so its table has changed since: train it again" in refusal(tmp_path / "copy/runs")
    (tmp_path / "copy/table.csv").unlink()
    assert "there is no file" in refusal(tmp_path / "copy/runs")


def test_a_folder_without_finished_runs_is_refused(pair: Path, tmp_path: Path):
    (tmp_path / "empty").mkdir()
    said = "there is no finished run with checkpoints in empty: give the folder of a sweep"
    assert refusal(tmp_path / "empty") == said
    shutil.copytree(pair / "runs/0", tmp_path / "empty/0")
    (tmp_path / "empty/0/metrics.json").unlink()
    assert refusal(tmp_path / "empty") == said


def test_a_frame_cannot_be_read_again(tmp_path: Path):
    frame = pl.read_csv(table(tmp_path / "table.csv"))
    rows = ["data=table", "data.path=null", "data.target=amount", "task=regression"]
    litmlp.train(*QUICK, *rows, frame=frame, folder=tmp_path / "run")
    said = "'run' learned from a frame, but its validation rows are needed: train on a file, with data.path=..."
    assert refusal(tmp_path / "run") == said


def test_an_output_that_exists_is_kept(pair: Path, tmp_path: Path):
    (tmp_path / "mine").mkdir()
    assert "'mine' exists already: remove it" in refusal(pair, output=tmp_path / "mine")
    (tmp_path / "link").symlink_to("nowhere")
    assert "'link' exists already: remove it" in refusal(pair, output=tmp_path / "link")


@pytest.mark.parametrize("content", [b"", b"PK damaged"])
def test_a_damaged_checkpoint_is_refused(content: bytes, pair: Path, tmp_path: Path):
    shutil.copytree(pair / "runs", tmp_path / "runs")
    (tmp_path / "runs/1/checkpoints/best.ckpt").write_bytes(content)
    assert "1/checkpoints/best.ckpt' is not a checkpoint, or a damaged one" in refusal(tmp_path / "runs")


@pytest.mark.parametrize("error", [OSError(28, "no space"), KeyboardInterrupt(), Interrupted(15), InputError("no")])
def test_nothing_is_left_after_an_error(
    error: BaseException, pair: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: Any
):
    def fail(*_: Any) -> None:
        raise error

    monkeypatch.setattr("litmlp.commands.ensemble.write_json", fail)
    with pytest.raises(type(error)):
        ensemble([pair / "runs"], output=tmp_path / "a/b")
    assert not [*tmp_path.iterdir()]
    assert "resume=" not in caplog.text


@pytest.mark.parametrize(
    "size", ["0", "-1", "1001", "9" * 5000, "00000000010000", "2.5", "many", "", "\N{SUPERSCRIPT TWO}"]
)
def test_a_wrong_size_is_refused(size: str):
    done = command(".", f"size={size}", name="ensemble")
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert "give a whole number from 1 to 1000" in done.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["size=3"], "no folder is given: add that of a sweep"),
        (["."], "there is no finished run with checkpoints in"),
        (["nowhere"], "there is no file 'nowhere'"),
        (["a=b/c"], "there is no key 'a': known are output, size"),
        (["./a=b"], "there is no file './a=b'"),
        ([".", "siez=3"], "there is no key 'siez': did you mean 'size'?"),
    ],
)
def test_a_mistake_is_one_line(arguments: list[str], said: str):
    done = command(*arguments, name="ensemble")
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert done.err.startswith(f"litmlp-ensemble: {said}")


def test_a_strangers_folder_builds_only_what_is_trusted(pair: Path, tmp_path: Path):
    shutil.copytree(pair / "runs/0", tmp_path / "run")
    config = read_yaml(tmp_path / "run/config.yaml")
    proof = tmp_path / "proof"
    evil = {"_target_": "os.system", "command": f"touch {proof}"}
    for key in ("network", "task", "data", "callbacks", "logger", "trainer", "optimizer"):
        changed = config | {key: {"mine": evil} if key in ("callbacks", "logger") else {**config[key], **evil}}
        write_yaml(tmp_path / "run/config.yaml", changed)
        assert "asks for 'os.system' as" in refusal(tmp_path / "run")
    assert not proof.exists()
