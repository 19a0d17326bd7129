import signal
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from omegaconf import OmegaConf

from conftest import SLOPE, SMALL, compose_config
from litmlp import build
from litmlp.auto_task import with_task
from litmlp.cli import resumed
from litmlp.commands.train import train
from litmlp.errors import InputError, Interrupted
from litmlp.files import read_json, read_yaml
from test_advice import DRAWN

ROWS = range(60)


def chosen(config: Callable[..., dict[str, Any]], cells: list, name: str = "rows.parquet", target: str = "y") -> str:
    frame = pl.DataFrame({"x": [i * 0.5 for i in ROWS], "y": cells}, strict=False)
    getattr(frame, "write_parquet" if name.endswith("parquet") else "write_csv")(name)
    overrides = ["data=table", f"data.path={name}", f"data.target={target}"]
    return with_task(config(*overrides))["task"]["_target_"].removeprefix("litmlp.tasks.")


@pytest.mark.parametrize(
    ("cells", "task"),
    [
        pytest.param(["yes" if i % 3 else "no" for i in ROWS], "ClassificationTask", id="texts"),
        pytest.param([i % 2 == 0 for i in ROWS], "ClassificationTask", id="truth values"),
        pytest.param([i % 3 for i in ROWS], "ClassificationTask", id="few whole numbers"),
        pytest.param([float(i % 2) if i else None for i in ROWS], "ClassificationTask", id="whole floats and a gap"),
        pytest.param(list(ROWS), "RegressionTask", id="many whole numbers"),
        pytest.param([i % 11 for i in ROWS], "RegressionTask", id="eleven whole numbers"),
        pytest.param([i % 3 + 0.5 for i in ROWS], "RegressionTask", id="few fractions"),
        pytest.param([f"{i},5" for i in ROWS], "RegressionTask", id="texts of numbers"),
    ],
)
def test_the_target_calls_for_a_task(config: Callable[..., dict[str, Any]], cells: list, task: str) -> None:
    assert chosen(config, cells) == task


TYPED = {  # cells of every type that Parquet has
    "list": [[i] for i in ROWS],
    "empty lists": [[] for _ in ROWS],
    "array": pl.Series([[i, 1] for i in ROWS], dtype=pl.Array(pl.Int64, 2)),
    "struct": [{"a": i} for i in ROWS],
    "binary": [b"%d" % i for i in ROWS],
    "date": [date(2024, 1, 1 + i % 28) for i in ROWS],
    "datetime": [datetime(2024, 1, 1, i % 24) for i in ROWS],
    "time": [time(i % 24) for i in ROWS],
    "duration": [timedelta(i) for i in ROWS],
    "decimal": [Decimal(i) / 8 for i in ROWS],
    "categorical": pl.Series(["ab"[i % 2] for i in ROWS], dtype=pl.Categorical),
    "numbers kept once": pl.Series([str(i) for i in ROWS], dtype=pl.Categorical),
    "codes kept once": pl.Series([f"0{i % 3}" for i in ROWS], dtype=pl.Categorical),
    "enum": pl.Series(["ab"[i % 2] for i in ROWS], dtype=pl.Enum(["a", "b"])),
    "null": [None for _ in ROWS],
    "int8": pl.Series([i % 2 for i in ROWS], dtype=pl.Int8),
    "float32": pl.Series([i / 4 for i in ROWS], dtype=pl.Float32),
}
REFUSED = ("list", "empty lists", "array", "struct", "binary", "null")


@pytest.mark.parametrize("kind", TYPED)
def test_a_target_of_any_type_is_learned_or_refused_in_a_sentence(
    config: Callable[..., dict[str, Any]], kind: str
) -> None:
    pl.DataFrame({"x": [i * 0.5 for i in ROWS], "y": TYPED[kind]}).write_parquet("rows.parquet")

    def set_up() -> None:
        build.data(with_task(config("data=table", "data.path=rows.parquet", "data.target=y"))).setup()

    if kind in REFUSED:
        with pytest.raises(InputError, match=r"column 'y' has cells of type|no row has a value in the target y"):
            set_up()
    else:
        set_up()


def test_several_targets_call_for_regression(config: Callable[..., dict[str, Any]]) -> None:
    assert chosen(config, [i % 2 for i in ROWS], target="[x,y]") == "RegressionTask"


@pytest.mark.parametrize("cells", [["no", "yes"], [0, 1], [False, True]])
def test_several_targets_of_classes_are_refused_in_a_sentence(config: Callable[..., dict[str, Any]], cells: list):
    columns = {"a": [cells[i % 2] for i in ROWS], "b": [cells[i % 3 > 0] for i in ROWS]}
    pl.DataFrame({"x": ROWS, **columns}).write_csv("rows.csv")
    with pytest.raises(
        InputError, match=r"classes can be learned for only one target at a time: give data.target=a, or"
    ):
        with_task(config("data=table", "data.path=rows.csv", "data.target=[a,b]"))


def test_a_few_rows_of_whole_numbers_are_no_classes(config: Callable[..., dict[str, Any]]) -> None:
    pl.DataFrame({"x": [1, 2, 3, 4, 5, 6], "y": [1, 2, 3, 4, 5, 6]}).write_csv("rows.csv")
    overrides = ["data=table", "data.path=rows.csv", "data.target=y"]
    assert with_task(config(*overrides))["task"]["_target_"] == "litmlp.tasks.RegressionTask"


def test_a_given_task_stays(config: Callable[..., dict[str, Any]]) -> None:
    overrides = ["data=table", "data.path=nowhere.csv", "data.target=y", "task=regression"]
    assert with_task(config(*overrides)) == config(*overrides)


def test_arguments_of_the_task_and_its_loss_stay(config: Callable[..., dict[str, Any]]) -> None:
    pl.DataFrame({"x": ROWS, "y": [i + 0.5 for i in ROWS]}).write_csv("rows.csv")
    overrides = ["data=table", "data.path=rows.csv", "data.target=y", "task.l1=0.1", "task/loss=huber"]
    task = with_task(config(*overrides))["task"]
    assert (task["l1"], task["loss"]["_target_"]) == (0.1, "torch.nn.HuberLoss")


def test_data_without_a_table_needs_a_task(config: Callable[..., dict[str, Any]]) -> None:
    with pytest.raises(InputError, match="give task=regression or task=classification"):
        with_task(config(*SLOPE, *DRAWN.split(), "task=auto"))


def test_a_run_keeps_the_task_and_says_what_columns_were_taken_for(
    config: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    rows = [f"{i},2024-{i % 12 + 1:02}-01,{'ab'[i % 2]},same,{i % 2}" for i in ROWS]
    Path("rows.csv").write_text("\n".join(["id,when,level,constant,y", *rows]))
    overrides = ["data=table", "data.path=rows.csv", "data.target=y", "trainer.max_epochs=1", *SMALL]
    metrics = train(config(*overrides), tmp_path / "run")
    assert "test/accuracy" in metrics
    assert "litmlp.tasks.ClassificationTask" in (tmp_path / "run/config.yaml").read_text()
    assert read_json(tmp_path / "run/columns.json")["columns"] == {
        "id": "left out: it looks like an identifier: each row has a different number",
        "when": "date, written like %Y-%m-%d, as numbers (time), levels (month, weekday), circles (year)",
        "level": "categorical, 2 levels",
        "constant": "left out: all rows have the same value, same",
    }


def test_columns_may_have_any_name(config: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    names = ["${x}", 'a.b[0], "q"', "😀", "1st = (€)"]
    pl.DataFrame({name: [(i * k) % 7 + 0.5 for i in ROWS] for k, name in enumerate(names, 1)}).write_csv("rows.csv")
    overrides = ["data=table", "data.path=rows.csv", "data.target=1st = (€)", "trainer.max_epochs=1", *SMALL]
    train(config(*overrides), tmp_path / "run")
    assert set(read_json(tmp_path / "run/columns.json")["columns"]) == set(names[:3])


def test_a_run_that_was_stopped_before_its_task_was_chosen_is_resumed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def stop(*_: Any) -> None:
        raise Interrupted(signal.SIGTERM)

    config = compose_config(*SLOPE, "task=auto", "trainer.max_epochs=1", *SMALL)
    with monkeypatch.context() as patches:
        patches.setattr("litmlp.auto_task.with_task", stop)
        with pytest.raises(Interrupted):
            train(config, tmp_path)
    stored = resumed(OmegaConf.create({"resume": str(tmp_path)}), tmp_path, [])
    assert stored["task"]["_target_"] is None
    train(stored, tmp_path, resume=True)
    assert read_yaml(tmp_path / "config.yaml")["task"]["_target_"] == "litmlp.tasks.RegressionTask"
