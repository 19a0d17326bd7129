"""TensorBoard's table of hyperparameters, as TensorBoard itself answers."""

import json
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from sweeping import records, sweep

ANY_STATUS = ["STATUS_UNKNOWN", "STATUS_SUCCESS", "STATUS_FAILURE", "STATUS_RUNNING"]


def ask(address: str, what: str, **question: Any) -> Any:
    body = json.dumps({"experimentName": "", **question}).encode()
    request = urllib.request.Request(f"{address}data/plugin/hparams/{what}", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def table(folder: Path, num_rows: int) -> tuple[set[str], dict[str, dict[str, Any]], dict[str, set[str]]]:
    """Return the columns, each run's values, and the metrics that each run has."""
    command = [sys.executable, "-m", "tensorboard.main", "--logdir", str(folder), "--port", "0", "--load_fast=false"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as server:
        try:
            assert server.stderr is not None
            address = next(word for line in server.stderr for word in line.split() if word.startswith("http://"))
            rows: list[Any] = []
            for _ in range(60):
                found = ask(address, "session_groups", sliceSize=1000, allowedStatuses=ANY_STATUS)
                rows = found.get("sessionGroups", [])
                if len(rows) == num_rows:
                    break
                time.sleep(0.5)
            columns = {info["name"] for info in ask(address, "experiment")["hparamInfos"]}
        finally:
            server.kill()
    metrics = {row["name"]: {value["name"]["tag"] for value in row["metricValues"]} for row in rows}
    return columns, {row["name"]: row["hparams"] for row in rows}, metrics


@pytest.mark.slow
def test_each_job_is_a_row_with_the_same_columns(tmp_path: Path):
    folder = tmp_path / "sweep"
    said = sweep(folder, "optimizer=adamw,sgd", "network=mlp,linear", "seed=0,1", "logger=tensorboard")
    assert said.code == 0, said
    columns, rows, metrics = table(folder, num_rows=8)
    assert rows.keys() == {str(number) for number in records(folder)}
    assert {frozenset(values) for values in rows.values()} == {frozenset(columns)}
    assert {"optimizer/momentum", "network/hidden_sizes", "seed"} <= columns
    assert {type(values["optimizer/lr"]) for values in rows.values()} == {float}
    assert all({"val_best/loss", "test/rmse"} <= names for names in metrics.values())
