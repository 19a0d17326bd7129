import inspect
import logging
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import polars as pl
import pytest
import torch
from omegaconf import OmegaConf

from litmlp import paths
from litmlp.data import Batch, ClassTarget, NumericTarget, TableData, Target, cache
from litmlp.errors import InputError

HEADER = "gap,clean,level,day,price,kind,part,group,weight"


def row(i: int) -> str:
    gap, level = "" if i % 5 == 0 else i * 37 % 11, ["red", "green", "blue", ""][i % 4]
    part = ["train", "train", "train", "val", "test"][i % 5]
    return (
        f"{gap},{i * 0.5},{level},2020-{i % 12 + 1:02}-{i % 28 + 1:02},{i * 10},{'abc'[i % 3]},{part},{i // 3},{i % 4}"
    )


@pytest.fixture
def path(tmp_path: Path) -> str:
    (tmp_path / "things.csv").write_text("\n".join([HEADER, *map(row, range(60))]) + "\n")
    return str(tmp_path / "things.csv")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where entries are, of tables of any size."""
    monkeypatch.setenv("LITMLP_CACHE", str(tmp_path / "entries"))
    monkeypatch.setattr("litmlp.data.table.CACHED_FROM", 0)
    return tmp_path / "entries"


def data(path: str, target: str = "price", target_type: type[Target] = NumericTarget, **arguments: Any) -> TableData:
    return TableData(path, target, target_type, **arguments)


def ready(path: str, **arguments: Any) -> TableData:
    table = data(path, **arguments)
    table.setup()
    return table


def uncached(path: str, **arguments: Any) -> TableData:
    table = data(path, **arguments)
    table.cache_key = lambda: None
    table.setup()
    return table


@contextmanager
def reading_fails() -> Iterator[None]:
    def fail(data: TableData) -> None:
        raise AssertionError("the table is read")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TableData, "read", fail)
        yield


def entries(folder: Path) -> list[Path]:
    return [place for place in folder.iterdir() if place.is_dir()]


def plain(state: Any) -> Any:
    """A state whose tensors are lists, to be compared."""
    if isinstance(state, torch.Tensor):
        return [state.dtype, state.tolist()]
    if isinstance(state, dict):
        return {name: plain(value) for name, value in state.items()}
    return [plain(value) for value in state] if isinstance(state, list) else state


def same(first: Batch, second: Batch) -> bool:
    pairs = zip(first, second, strict=True)
    return all(a is b if a is None or b is None else a.dtype == b.dtype and torch.equal(a, b) for a, b in pairs)


def check_alike(first: TableData, second: TableData) -> None:
    assert first.tables.keys() == second.tables.keys()
    for split in first.tables:
        assert same(*(table.tables[split].rows(slice(None)) for table in (first, second)))
    assert plain(first.state_dict()) == plain(second.state_dict())
    assert first.inputs.decisions == second.inputs.decisions
    assert (first.spec.numeric, first.spec.categorical) == (second.spec.numeric, second.spec.categorical)


NO_LEVELS = {"ignore": ["level", "kind", "part", "day", "group"]}
NO_NUMBERS = {"ignore": ["gap", "clean", "day", "weight", "group"]}
TABLES: dict[str, dict[str, Any]] = {
    "number": {},
    "class": {"target": "kind", "target_type": ClassTarget},
    "logarithm": {"target_transform": "log1p", "scaling": "robust"},
    "weights": {"weight_column": "weight", "scaling": "standard"},
    "groups": {"group_column": "group"},
    "no levels": NO_LEVELS,
    "no numbers": NO_NUMBERS,
}


@pytest.mark.parametrize("kind", TABLES)
def test_setup_again_gives_the_same_bits_without_reading(path: str, folder: Path, kind: str) -> None:
    expected = uncached(path, **TABLES[kind])
    assert not folder.exists()
    check_alike(ready(path, **TABLES[kind]), expected)
    assert len(entries(folder)) == 1
    with reading_fails():
        again = ready(path, **TABLES[kind])
    check_alike(again, expected)
    assert same(again.encode_rows(path, has_target=True), expected.encode_rows(path, has_target=True))


def test_tables_without_levels_or_numbers_have_none(path: str, folder: Path) -> None:
    for _ in range(2):
        assert ready(path, **NO_LEVELS).tables["val"].categorical.shape == (10, 0)
        assert ready(path, **NO_NUMBERS).tables["val"].numeric.shape == (10, 0)


def test_batches_of_cached_rows_are_those_of_others(path: str, folder: Path) -> None:
    expected = list(uncached(path, weight_column="weight", batch_size=7).train_dataloader())
    for _ in range(2):
        batches = ready(path, weight_column="weight", batch_size=7).train_dataloader()
        assert all(same(batch, other) for batch, other in zip(batches, expected, strict=True))


def test_changing_rows_in_memory_leaves_the_entry(path: str, folder: Path) -> None:
    for _ in range(2):
        batch = ready(path).tables["train"]
        batch.numeric.zero_()
        batch.categorical.zero_()
        batch.target.zero_()
    check_alike(ready(path), uncached(path))


def test_small_tables_are_not_kept(path: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    size = Path(path).stat().st_size
    monkeypatch.setattr("litmlp.data.table.CACHED_FROM", size + 1)
    ready(path)
    assert not folder.exists()
    monkeypatch.setattr("litmlp.data.table.CACHED_FROM", size)
    ready(path)
    assert len(entries(folder)) == 1


def test_encoders_of_a_checkpoint_are_not_replaced_by_those_of_an_entry(path: str, folder: Path) -> None:
    ready(path)
    fitted, loaded = uncached(path, seed=1), data(path)
    loaded.load_state_dict(fitted.state_dict())
    loaded.setup()
    assert plain(loaded.state_dict()) == plain(fitted.state_dict()) != plain(ready(path).state_dict())
    check_alike(ready(path), uncached(path))


def test_entries_lie_beside_the_runs_unless_told_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LITMLP_CACHE", raising=False)
    assert cache.folder() == paths.runs().parent / ".cache"
    monkeypatch.setenv("LITMLP_CACHE", "elsewhere")
    assert cache.folder() == Path("elsewhere")


CHANGED: dict[str, Any] = {
    "target": "clean",
    "target_type": ClassTarget,
    "target_transform": "log1p",
    "numeric": ["gap"],
    "categorical": ["gap"],
    "date": ["day"],
    "ignore": ["gap"],
    "missing_values": ["7"],
    "decimal": ".",
    "thousands": "'",
    "date_format": "%d.%m.%Y",
    "delimiter": ",",
    "quote": "'",
    "header": True,
    "skip_rows": 0,
    "comment": "#",
    "encoding": "cp1252",
    "damaged_rows": "skip",
    "val_path": "things.csv",
    "test_path": "things.csv",
    "min_count": 4,
    "split_column": "part",
    "group_column": "group",
    "time_column": "day",
    "weight_column": "weight",
    "scaling": "standard",
    "val_size": 0.17,
    "test_size": 0.21,
    "folds": 5,
    "val_fold": 1,
    "seed": 1,
    "train_rows": 9,
}


@pytest.mark.parametrize("setting", CHANGED)
def test_another_setting_has_another_key(path: str, folder: Path, setting: str) -> None:
    changed = data(**{"path": path, setting: CHANGED[setting]})
    assert changed.cache_key() != data(path).cache_key() == data(path).cache_key()


def test_another_fold_has_another_key(path: str, folder: Path) -> None:
    assert data(path, folds=5, fold=1).cache_key() != data(path, folds=5, fold=0).cache_key()


def test_all_settings_that_change_the_rows_are_tried_here() -> None:
    assert {*CHANGED, "fold", "path", "batch_size"} == {*inspect.signature(TableData).parameters}


@pytest.mark.parametrize("setting", ["seed", "scaling", "ignore"])
def test_another_setting_has_an_entry_of_its_own(path: str, folder: Path, setting: str) -> None:
    changed = {setting: CHANGED[setting]}
    ready(path)
    check_alike(ready(path, **changed), uncached(path, **changed))
    assert len(entries(folder)) == 2


def test_batch_size_shares_an_entry(path: str, folder: Path) -> None:
    ready(path, batch_size=8)
    with reading_fails():
        assert next(iter(ready(path, batch_size=16).train_dataloader())).numeric.shape[0] == 16


def test_changed_content_is_read_again(path: str, folder: Path) -> None:
    """Even where neither size nor time of change tell."""
    file, text = Path(path), Path(path).read_text()
    before, times = ready(path), file.stat()
    file.write_text(text.replace("29.5", "92.5"))
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert (file.stat().st_size, file.stat().st_mtime_ns) == (times.st_size, times.st_mtime_ns)
    after = ready(path)
    assert plain(after.state_dict()) != plain(before.state_dict())
    check_alike(after, uncached(path))


def test_another_file_in_the_folder_is_read(tmp_path: Path, folder: Path, path: str) -> None:
    table = pl.read_csv(path)
    (tmp_path / "parts").mkdir()
    table.head(40).write_parquet(tmp_path / "parts" / "1.parquet")
    assert sum(len(batch.numeric) for batch in ready("parts").tables.values()) == 40
    table.tail(20).write_parquet(tmp_path / "parts" / "2.parquet")
    assert sum(len(batch.numeric) for batch in ready("parts").tables.values()) == 60


def test_an_entry_half_written_by_a_killed_process_does_no_harm(path: str, folder: Path) -> None:
    key = data(path).cache_key()
    unfinished = folder / f"{key}.unfinished"
    unfinished.mkdir(parents=True)
    for name in (cache.NUMERIC, cache.CODES, cache.STATE, "else"):
        (unfinished / name).write_bytes(b"\x93NUMPY half of a header")
    (folder / f"{key}.lock").touch()
    check_alike(ready(path), uncached(path))
    assert entries(folder) == [folder / key]
    with reading_fails():
        check_alike(ready(path), ready(path))


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-7])


def flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def overwrite(file: Path) -> None:
    file.write_bytes(b"garbage")


def replace_by_folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


WHOLE = [(name, damage) for name in (cache.NUMERIC, cache.CODES) for damage in (cut, overwrite, Path.unlink)]
WHOLE += [(cache.STATE, damage) for damage in (cut, overwrite, Path.unlink, flip, replace_by_folder)]


@pytest.mark.parametrize(("name", "damage"), WHOLE)
def test_a_damaged_entry_is_made_anew_once(
    path: str, folder: Path, name: str, damage: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    ready(path)
    damage(folder / data(path).cache_key() / name)
    check_alike(ready(path), uncached(path))
    assert len([record for record in caplog.records if record.levelname == "WARNING"]) == 1
    assert "are damaged and will be encoded again" in caplog.text
    with reading_fails():
        check_alike(ready(path), ready(path))


@pytest.mark.parametrize("suffix", ["", ".unfinished"])
def test_a_file_where_an_entry_should_be_is_replaced(path: str, folder: Path, suffix: str) -> None:
    folder.mkdir()
    (folder / f"{data(path).cache_key()}{suffix}").write_text("garbage")
    check_alike(ready(path), uncached(path))
    with reading_fails():
        check_alike(ready(path), ready(path))


@pytest.mark.parametrize("given", ["much", "-1", "nan"])
def test_a_limit_that_is_no_number_is_refused(
    path: str, folder: Path, monkeypatch: pytest.MonkeyPatch, given: str
) -> None:
    monkeypatch.setenv("LITMLP_CACHE_GB", given)
    for _ in range(2):  # the first leaves nothing that the second would take
        with pytest.raises(InputError, match=f"LITMLP_CACHE_GB is '{given}'"):
            ready(path)


def test_lists_that_are_given_as_nodes_of_a_config_have_the_same_key(path: str, folder: Path) -> None:
    lists = {"ignore": ["gap"], "numeric": ["clean"], "missing_values": ["-"]}
    nodes = {name: OmegaConf.create(given) for name, given in lists.items()}
    assert data(path, **nodes).cache_key() == data(path, **lists).cache_key()


def test_a_table_that_cannot_be_encoded_leaves_no_entry(path: str, folder: Path) -> None:
    with pytest.raises(InputError, match="'kind' should hold finite numbers"):
        ready(path, numeric=["kind"])
    assert entries(folder) == []
    with pytest.raises(InputError, match="'kind' should hold finite numbers"):
        ready(path, numeric=["kind"])


def test_a_stopped_job_leaves_no_entry(path: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*arguments: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(cache, "save", stop)
        with pytest.raises(KeyboardInterrupt):
            ready(path)
    assert entries(folder) == []
    check_alike(ready(path), uncached(path))


def test_a_full_disk_only_warns(
    path: str, folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*arguments: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(cache, "save", fail)
    check_alike(ready(path), uncached(path))
    assert "encoded rows are not kept" in caplog.text
    assert "no space left on device" in caplog.text
    assert entries(folder) == []


def test_a_folder_that_cannot_be_written_only_warns(
    path: str, folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("LITMLP_CACHE", f"{path}/entries")  # below a file
    with caplog.at_level(logging.WARNING):
        check_alike(ready(path), uncached(path))
    assert f"encoded rows are not kept, for {path}/entries cannot be written" in caplog.text


def test_entries_unused_for_longest_are_removed(path: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = [data(path, seed=seed).cache_key() for seed in range(3)]
    for seed in (0, 1):
        ready(path, seed=seed)
        os.utime(folder / keys[seed] / cache.STATE, (1000 + seed, 1000 + seed))
    ready(path, seed=0)  # so that 1 is unused for longest
    size = sum(file.stat().st_size for file in (folder / keys[0]).iterdir())
    monkeypatch.setenv("LITMLP_CACHE_GB", str(2.5 * size / 1e9))
    ready(path, seed=2)
    assert {place.name for place in entries(folder)} == {keys[0], keys[2]}
    check_alike(ready(path, seed=1), uncached(path, seed=1))
    assert {place.name for place in entries(folder)} == {keys[1], keys[2]}


def test_entries_within_the_limit_stay(path: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LITMLP_CACHE_GB", "0.001")
    for seed in range(3):
        ready(path, seed=seed)
    assert len(entries(folder)) == 3


def test_an_entry_beyond_the_limit_serves_its_own_job(path: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LITMLP_CACHE_GB", "0")
    for seed in range(2):
        check_alike(ready(path, seed=seed), uncached(path, seed=seed))
        assert [place.name for place in entries(folder)] == [data(path, seed=seed).cache_key()]


def test_rows_mapped_from_a_removed_entry_stay_readable(
    path: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = ready(path)
    monkeypatch.setenv("LITMLP_CACHE_GB", "0")
    ready(path, seed=1)
    assert not (folder / data(path).cache_key()).exists()
    check_alike(table, uncached(path))


JOB = """
import pathlib, sys, time
import torch
from litmlp.data import NumericTarget, TableData, table

table.CACHED_FROM = 0
read = TableData.read

def read_slowly(data):
    pathlib.Path("second.read").touch()
    time.sleep(0.3)
    return read(data)

TableData.read = read_slowly
data = TableData(sys.argv[1], "price", NumericTarget, weight_column="weight")
pathlib.Path("second.ready").touch()
while not pathlib.Path("first.ready").exists():
    time.sleep(0.001)
data.setup()
torch.save({split: tuple(batch) for split, batch in data.tables.items()}, "second.pt")
"""


@pytest.mark.slow
def test_of_jobs_that_start_together_one_reads_and_both_get_the_same_rows(
    path: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = uncached(path, weight_column="weight")
    read = TableData.read

    def read_slowly(data: TableData) -> pl.LazyFrame:
        Path("first.read").touch()
        time.sleep(0.3)
        return read(data)

    monkeypatch.setattr(TableData, "read", read_slowly)
    other = subprocess.Popen([sys.executable, "-c", JOB, path], cwd=tmp_path)
    while other.poll() is None and not Path("second.ready").exists():
        time.sleep(0.001)
    Path("first.ready").touch()
    check_alike(ready(path, weight_column="weight"), expected)
    assert other.wait(timeout=60) == 0
    for split, tensors in torch.load("second.pt", weights_only=True).items():
        assert same(Batch(*tensors), expected.tables[split])
    assert len(list(tmp_path.glob("*.read"))) == 1
    assert len(entries(folder)) == 1


@pytest.mark.parametrize("in_file", [False, True])
@pytest.mark.parametrize("num_rows", [1, 7, 50])
@pytest.mark.parametrize("dtype", [np.float32, np.int32])
def test_columns_are_put_side_by_side_in_any_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dtype: type, num_rows: int, in_file: bool
) -> None:
    monkeypatch.setattr(cache, "ROWS_STACKED_AT_ONCE", 7)
    generator = np.random.default_rng(0)
    kinds = [np.float32, np.float32, np.float32] if dtype is np.float32 else [np.uint8, np.uint16, np.int32]
    columns = [generator.integers(0, 200, 60).astype(kind) for kind in kinds]
    order = generator.permutation(60)[:num_rows]
    path = tmp_path / "columns.npy" if in_file else None
    stacked = cache.stacked(columns, order, dtype, path)
    expected = np.stack(columns, axis=1)[order].astype(dtype)
    assert stacked.numpy().dtype == dtype
    np.testing.assert_array_equal(stacked, expected)
    if path is not None:
        np.testing.assert_array_equal(np.load(path), expected)


def test_no_columns_are_put_side_by_side_without_a_file(tmp_path: Path) -> None:
    stacked = cache.stacked([], np.arange(5), np.float32, tmp_path / "columns.npy")
    assert (stacked.shape, stacked.dtype) == ((5, 0), torch.float32)
    assert list(tmp_path.iterdir()) == []


class Queried(TableData):
    """Rows that another program holds, which says that they have not changed."""

    key: ClassVar[str] = ""

    def rows(self) -> pl.DataFrame:
        return pl.DataFrame({"a": range(60), "b": range(60), "y": [float(i % 7) for i in range(60)]})

    def content_key(self) -> str:
        return self.key


def queried(key: str, **settings: Any) -> TableData:
    Queried.key = key
    chosen = {"path": None, "target": "y", "target_type": NumericTarget, "seed": 1} | settings
    data = Queried(**chosen)
    data.setup()
    return data


@pytest.mark.parametrize("key", ["", "../x", "http://a/b", "/", "x\0y", "a" * 5000])
def test_the_key_of_the_rows_may_be_any_text(folder: Path, tmp_path: Path, key: str) -> None:
    before = {path for path in tmp_path.rglob("*") if not path.is_relative_to(folder)}
    first, second = queried(key), queried(key)
    assert torch.equal(first.tables["train"].numeric, second.tables["train"].numeric)
    assert [place.name for place in entries(folder)] == [first.cache_key()]
    assert {path for path in tmp_path.rglob("*") if not path.is_relative_to(folder)} == before


def test_a_key_that_names_a_file_of_the_user_leaves_it(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "base.db").write_text("rows")
    queried(str(tmp_path / "base.db"))
    assert (tmp_path / "base.db").read_text() == "rows"


def test_rows_with_a_key_follow_other_settings(folder: Path) -> None:
    first = queried("same")
    assert len(queried("same", test_size=0.5).tables["test"].numeric) == 30
    assert queried("same", ignore=["a"]).spec.numeric == ["b"]
    assert first.spec.numeric == ["a", "b"]
    assert len(entries(folder)) == 3
