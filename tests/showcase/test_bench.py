"""The benchmark compares the same work."""

from itertools import chain, pairwise
from pathlib import Path

import polars as pl
import pytest
import torch
from sklearn.ensemble import HistGradientBoostingClassifier
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

pytest.importorskip("pty", reason="the benchmark draws its progress bar in a terminal of Unix")
import bench
from bench import Bench, Size

TINY = Size(rows=200, inputs=3, hidden=[8, 4], batch=32, epochs=3)  # 7 steps an epoch, the last of 8 rows

MACHINE = {"peak_operations_per_second": 1e9, "threads": 1}


def counted(size: Size) -> int:
    """Count the operations of a step as PyTorch does; the inputs need no gradient."""
    widths = [size.inputs, *size.hidden, 2]
    layers = chain.from_iterable((nn.Linear(a, b), nn.ReLU()) for a, b in pairwise(widths))
    network = nn.Sequential(*list(layers)[:-1])
    with FlopCounterMode(display=False) as counter:
        network(torch.randn(size.batch, size.inputs)).sum().backward()
    return counter.get_total_flops()


def test_operations_of_a_step_by_hand() -> None:
    # Each weight is multiplied and added once forward, once for its gradient, and once for its inputs' gradient, but
    # for the first 3 * 5 weights: 4 rows * 2 * (15 * 2 + 5 * 2 * 3).
    assert Size(rows=100, inputs=3, hidden=[5], batch=4, epochs=1).operations == 4 * 2 * (15 * 2 + 10 * 3) == 480


@pytest.mark.parametrize("size", [*bench.SIZES.values(), TINY, TINY._replace(hidden=[])], ids=str)
def test_operations_of_a_step_as_pytorch_counts_them(size: Size) -> None:
    assert size.operations == counted(size)


@pytest.mark.parametrize(("rows", "expected"), [(1, 3), (31, 3), (32, 3), (33, 6), (200, 21)])
def test_steps_count_the_last_batch_of_an_epoch(rows: int, expected: int) -> None:
    assert TINY._replace(rows=rows).steps == expected


def test_a_table_has_the_same_rows_each_time(tmp_path: Path) -> None:
    for name in ("one", "other"):
        bench.write_table(str(tmp_path / name), 50, 3, 7)
    assert pl.read_parquet(tmp_path / "one").equals(pl.read_parquet(tmp_path / "other"))


def test_a_tables_class_can_be_learned_in_each_part(tmp_path: Path) -> None:
    bench.write_table(str(tmp_path / "table"), 2000, 2, 300)
    table = pl.read_parquet(tmp_path / "table")
    assert table.columns == ["x0", "x1", "y", "part"]
    parts = {name: rows.drop("part") for (name,), rows in table.group_by("part", maintain_order=True)}
    assert {name: len(rows) for name, rows in parts.items()} == {"train": 2000, "val": 300, "test": 300}
    inputs = table.select("x0", "x1").to_numpy()
    assert inputs.mean(axis=0) == pytest.approx(0, abs=0.1)
    assert inputs.std(axis=0) == pytest.approx(1, abs=0.1)
    model = HistGradientBoostingClassifier(max_iter=30).fit(parts["train"].select("x0", "x1"), parts["train"]["y"])
    for rows in parts.values():
        assert set(rows["y"]) == {0, 1}
        assert model.score(rows.select("x0", "x1"), rows["y"]) > 0.75


def test_tables_that_differ_in_evaluated_rows_alone_are_two_files(tmp_path: Path) -> None:
    small = Bench(tmp_path, 1, "cpu")
    parts = [pl.read_parquet(small.table(50, 2, evaluated))["part"] for evaluated in (None, 7)]
    assert [(part == "val").sum() for part in parts] == [5, 7]


def test_peers_are_compared_with_the_reference_even_if_that_is_not_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    speeds = {"reference": 4.0, "skorch": 1.0}
    small = Bench(tmp_path, 1, "cpu")
    monkeypatch.setattr(small, "table", lambda rows, inputs: tmp_path)
    monkeypatch.setattr(small, "peer", lambda overrides, name: {"steps_per_second": speeds[name], **MACHINE})
    small.training("tiny", ["skorch"])
    assert {name: median["ratio"] for name, median in small.figures["tiny"].items()} == {"reference": 1, "skorch": 0.25}


def test_networks_of_the_config_are_compared_with_a_loop_over_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    speeds = {"network=mlp": [50.0, 25.0, 20.0], "network=relu": [40.0, 30.0, 40.0]}  # of litmlp; the reference has 100
    small = Bench(tmp_path, 3, "cpu", ["mlp", "relu"])
    monkeypatch.setattr(small, "table", lambda rows, inputs: tmp_path)
    monkeypatch.setattr(small, "peer", lambda overrides, name: {"steps_per_second": 100.0, "loss": 0.25, **MACHINE})

    def litmlp(overrides: list[str], look: bool) -> dict[str, float]:
        speed = {"steps_per_second": speeds[overrides[-1]].pop()}
        return speed | {"loss": 0.25} if look else speed

    monkeypatch.setattr(small, "litmlp", litmlp)
    small.networks()
    assert capsys.readouterr().out.splitlines()[-2:] == [
        "| `network=mlp` | 100 | 0.25 | 0.25000, 0.25000 |",
        "| `network=relu` | 100 | 0.40 | 0.25000, 0.25000 |",
    ]


@pytest.mark.parametrize("network", ["plain", *bench.NETWORKS])
def test_the_loop_has_the_network_of_the_task(network: str, tmp_path: Path) -> None:
    bench.write_table(str(tmp_path / "table.parquet"), 200, 3, 20)
    small = Bench(tmp_path, 1, "cpu")
    overrides = small.overrides(TINY, tmp_path / "table.parquet")
    if network != "plain":
        overrides = [*small.settings(TINY, tmp_path / "table.parquet"), f"network={network}"]
    run = bench.prepared(overrides)
    whole = run.task.network.eval()
    numeric, codes = run.val.numeric, run.val.categorical
    torch.testing.assert_close(run.network(numeric), whole(numeric, codes), rtol=0, atol=0)
    if network == "plain":
        assert [type(layer) for layer in run.network] == [nn.Linear, nn.ReLU, nn.Linear, nn.ReLU, nn.Linear]


@pytest.fixture
def tiny(tmp_path: Path) -> tuple[Bench, list[str]]:
    """A benchmark, and what makes its contestants train on a small table."""
    small = Bench(tmp_path, 1, "cpu")
    return small, small.overrides(TINY, small.table(TINY.rows, TINY.inputs))


@pytest.mark.slow
@pytest.mark.parametrize("network", [[], *([f"network={name}"] for name in bench.NETWORKS)], ids=str)
def test_the_command_and_the_loop_do_the_same_work(network: list[str], tmp_path: Path) -> None:
    small = Bench(tmp_path, 1, "cpu")
    table = small.table(TINY.rows, TINY.inputs)
    overrides = [*small.settings(TINY, table), *network] if network else small.overrides(TINY, table)
    command, loop = small.litmlp(overrides, look=True), small.peer(overrides, "reference")
    assert command["loss"] == pytest.approx(loop["loss"], rel=1e-5)
    assert min(command["steps_per_second"], loop["steps_per_second"]) > 0
    assert command["peak_bytes"] > 2**20
    other = small.peer([*overrides, "trainer.max_epochs=2"], "reference")
    assert other["loss"] != pytest.approx(loop["loss"], rel=1e-3)  # which another step would show


@pytest.mark.slow
@pytest.mark.parametrize("contestant", ["lightning", "scikit-learn", "skorch"])
def test_other_contestants_train_too(contestant: str, tiny: tuple[Bench, list[str]]) -> None:
    pytest.importorskip({"scikit-learn": "sklearn"}.get(contestant, contestant))
    small, overrides = tiny
    assert small.peer(overrides, contestant)["steps_per_second"] > 0
