import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from litmlp.data import Batch, ClassTarget, NumericTarget, Spec, TableData, Target, tabular
from litmlp.data.tabular import step_rows
from litmlp.errors import InputError

SPLITS = ["train"] * 6 + ["val", "val", "test", "test"]
SCALINGS = ["standard", "robust", "quantile"]


def cells(num_rows: int = 60, seed: int = 0) -> list[list[str]]:
    """Rows of a number with gaps, a clean number, a level, a date, a numeric target, a class and a split."""
    generator = np.random.default_rng(seed)
    rows = []
    for i in range(num_rows):
        gap = "" if i % 5 == 0 else f"{generator.lognormal():.6f}"
        level = generator.choice(["red", "green", "blue", ""])
        day = f"2020-{generator.integers(1, 13):02}-{generator.integers(1, 29):02}"
        number = f"{generator.normal(50, 9):.6f}"
        rows.append([gap, f"{generator.normal():.6f}", level, day, number, "abc"[i % 3], SPLITS[i % 10]])
    return rows


def write(folder: Path, rows: list[list[str]], name: str = "rows.csv") -> Path:
    path = folder / name
    path.write_text("\n".join(["gap,clean,level,day,y,kind,part", *(",".join(row) for row in rows)]) + "\n")
    return path


def data(path: Path, target_type: type[Target] = NumericTarget, **arguments: Any) -> TableData:
    target, other = ("y", "kind") if target_type is NumericTarget else ("kind", "y")
    chosen = {"split_column": "part", "min_count": 1, **arguments}
    return TableData(str(path), target, target_type, ignore=[other, "part"][: 1 + ("folds" in arguments)], **chosen)


def ready(path: Path, target_type: type[Target] = NumericTarget, **arguments: Any) -> TableData:
    table = data(path, target_type, **arguments)
    table.setup()
    return table


def plain(state: Any) -> Any:
    """A state whose tensors are lists, to be compared."""
    if isinstance(state, torch.Tensor):
        return [state.dtype, state.tolist()]
    if isinstance(state, dict):
        return {name: plain(value) for name, value in state.items()}
    return [plain(value) for value in state] if isinstance(state, list) else state


def same(first: Batch, second: Batch) -> bool:
    pairs = zip(first, second, strict=True)
    return all(a is b if a is None or b is None else torch.equal(a, b) for a, b in pairs)


def places_of(split: str, rows: list[list[str]]) -> torch.Tensor:
    return torch.tensor([i for i, (*_, part) in enumerate(rows) if part == split])


def with_wild_evaluation_rows(rows: list[list[str]]) -> list[list[str]]:
    return [row if row[-1] == "train" else wild(row, i) for i, row in enumerate(rows)]


def wild(row: list[str], number: int) -> list[str]:
    gap, *_, kind, part = row
    return ["-1e30" if gap == "" else "", "1e30", f"new {number}", "1066-10-14", "-1e9", kind, part]


@pytest.mark.parametrize("scaling", SCALINGS)
@pytest.mark.parametrize("target_type", [NumericTarget, ClassTarget])
def test_validation_and_test_rows_do_not_reach_the_encoders(
    tmp_path: Path, target_type: type[Target], scaling: str
) -> None:
    rows = cells()
    wild_rows = with_wild_evaluation_rows(rows)
    first = ready(write(tmp_path, rows), target_type, scaling=scaling)
    second = ready(write(tmp_path, wild_rows, "wild.csv"), target_type, scaling=scaling)
    assert plain(first.state_dict()) == plain(second.state_dict())
    assert same(first.tables["train"], second.tables["train"])
    assert not torch.equal(first.tables["test"].numeric, second.tables["test"].numeric)


@pytest.mark.parametrize(("column", "cell"), [(0, "1e30"), (1, "1e30"), (2, "grey"), (3, "1066-10-14"), (4, "1e30")])
def test_a_training_row_does_reach_the_encoders(tmp_path: Path, column: int, cell: str) -> None:
    rows = cells()
    first = ready(write(tmp_path, rows))
    rows[1][column] = cell
    assert plain(first.state_dict()) != plain(ready(write(tmp_path, rows)).state_dict())


def test_state_needs_no_code_to_load(tmp_path: Path) -> None:
    table = ready(write(tmp_path, cells()))
    file = io.BytesIO()
    torch.save(table.state_dict(), file)
    file.seek(0)
    assert plain(torch.load(file, weights_only=True)) == plain(table.state_dict())


@pytest.mark.parametrize("scaling", SCALINGS)
@pytest.mark.parametrize("target_type", [NumericTarget, ClassTarget])
def test_loaded_encoders_are_left_as_they_are(tmp_path: Path, target_type: type[Target], scaling: str) -> None:
    fitted = ready(write(tmp_path, cells()), target_type, scaling=scaling)
    loaded = data(write(tmp_path, cells(seed=1), "other.csv"), target_type, scaling=scaling)
    loaded.load_state_dict(fitted.state_dict())
    loaded.setup()
    assert plain(loaded.state_dict()) == plain(fitted.state_dict())
    expected = fitted.encode_rows(tmp_path / "other.csv", has_target=True)
    assert same(loaded.tables["train"], expected.rows(places_of("train", cells(seed=1))))


def test_spec_describes_the_encoded_columns(tmp_path: Path) -> None:
    table = ready(write(tmp_path, cells()), ClassTarget)
    batch = table.tables["val"]
    numeric = ["gap", "gap is missing", "clean", "day time", "day day", "day year sine", "day year cosine"]
    assert table.spec.numeric == numeric
    assert table.spec.categorical.keys() == {"level", "day month", "day weekday"}
    assert table.spec.categorical["level"] == 5
    assert table.spec.target is table.target
    assert batch.numeric.shape == (12, 7)
    assert batch.categorical.shape == (12, 3)
    assert batch.target.shape == (12,)


def test_codes_are_below_the_number_of_codes(tmp_path: Path) -> None:
    table = ready(write(tmp_path, with_wild_evaluation_rows(cells())))
    for batch in table.tables.values():
        assert batch.categorical.min() >= 0
        assert (batch.categorical < torch.tensor(list(table.spec.categorical.values()))).all()


def test_spec_is_known_from_a_state_without_rows(tmp_path: Path) -> None:
    fitted = ready(write(tmp_path, cells()))
    loaded = data(tmp_path / "rows.csv")
    loaded.load_state_dict(fitted.state_dict())
    assert loaded.spec == Spec(fitted.spec.numeric, fitted.spec.categorical, loaded.target)


def test_rows_are_split_by_their_shares_without_a_split_column(tmp_path: Path) -> None:
    table = ready(write(tmp_path, cells(100)), split_column=None, val_size=0.1, test_size=0.3)
    assert {split: len(batch.numeric) for split, batch in table.tables.items()} == {"train": 60, "val": 10, "test": 30}


def test_same_seed_gives_same_tables_and_another_seed_others(tmp_path: Path) -> None:
    path = write(tmp_path, cells(100))
    first, again, other = (ready(path, split_column=None, seed=seed) for seed in (3, 3, 4))
    assert all(same(first.tables[split], again.tables[split]) for split in first.tables)
    assert not same(first.tables["test"], other.tables["test"])


@pytest.mark.parametrize("target_type", [NumericTarget, ClassTarget])
def test_the_folds_test_each_row_once(tmp_path: Path, target_type: type[Target]) -> None:
    path = write(tmp_path, cells(50))
    tested = []
    for fold in range(5):
        table = ready(path, target_type, split_column=None, folds=5, fold=fold)
        rows = table.parted(table.read())[1]
        assert {split: len(batch.numeric) for split, batch in table.tables.items()} == {
            split: len(index) for split, index in rows.items()
        }
        tested += rows["test"].tolist()
    assert sorted(tested) == list(range(50))


def test_training_batches_hold_each_row_once_in_a_new_order_each_epoch(tmp_path: Path) -> None:
    table = ready(write(tmp_path, cells()), batch_size=8)
    batches = table.train_dataloader()
    epochs = []
    for epoch in range(3):
        batches.sampler.set_epoch(epoch)
        epochs.append(torch.cat([batch.target[:, 0] for batch in batches]))
    for order in epochs:
        assert torch.equal(order.sort().values, table.tables["train"].target[:, 0].sort().values)
    assert not torch.equal(epochs[0], epochs[1])
    assert not torch.equal(epochs[1], epochs[2])


@pytest.mark.parametrize("split", ["val", "test"])
def test_evaluation_batches_are_in_order(tmp_path: Path, split: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tabular, "ROWS_EVALUATED_AT_ONCE", 3)
    table = ready(write(tmp_path, cells()), batch_size=5)
    for batches in (getattr(table, f"{split}_dataloader")(), table.in_order(split)):
        parts = list(batches)
        assert [len(batch.numeric) for batch in parts] == [5, 5, 2]
        assert torch.equal(torch.cat([batch.numeric for batch in parts]), table.tables[split].numeric)


def test_evaluation_takes_many_rows_at_once_whatever_the_batch(tmp_path: Path) -> None:
    table = ready(write(tmp_path, cells()), batch_size=5)
    assert [len(batch.numeric) for batch in table.val_dataloader()] == [12]


@pytest.mark.parametrize("target_type", [NumericTarget, ClassTarget])
@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_file_is_encoded_as_the_tables_were(tmp_path: Path, split: str, target_type: type[Target]) -> None:
    table = ready(write(tmp_path, cells()), target_type)
    batch = table.encode_rows(tmp_path / "rows.csv", has_target=True)
    assert same(batch.rows(places_of(split, cells())), table.tables[split].rows(slice(None)))


def test_file_needs_no_target_unless_asked_for(tmp_path: Path) -> None:
    table = ready(write(tmp_path, cells()))
    path = tmp_path / "new.csv"
    path.write_text("day,level,clean,gap\n2020-02-28,red,0.5,\n2020-01-01,,,2\n")
    batch = table.encode_rows(path, has_target=False)
    assert (batch.target, batch.weight) == (None, None)
    assert batch.numeric[:, 1].tolist() == [1, 0]
    assert batch.numeric[1, 2] == 0
    assert batch.categorical[:, 0].tolist() == [2 + ["blue", "green", "red"].index("red"), 1]
    with pytest.raises(InputError, match="no target column 'y'"):
        table.encode_rows(path, has_target=True)


def test_several_files_are_encoded_one_after_the_other(tmp_path: Path) -> None:
    table = ready(write(tmp_path, cells()))
    write(tmp_path, cells()[:7], "part1.csv")
    write(tmp_path, cells()[7:], "part2.csv")
    whole, parts = (table.encode_rows(tmp_path / name, has_target=True) for name in ("rows.csv", "part*.csv"))
    assert same(whole, parts)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "gap,clean,levels,day\n1,1,red,\n",
            r"column 'level' .* is missing: add it, or rename the one of .*, levels, day ",
        ),
        ("gap,clean,level,day\n1,1,red,\n2,high,red,\n", r"column 'clean' .* row 2 holds 'high'"),
        ("gap,clean,level,day\n1,1,red,\n-inf,1,red,\n", r"column 'gap' .* row 2 holds -inf"),
        ("gap,clean,level,day\n1,1,red,2020-02-30\n", r"column 'day' .* row 1 holds '2020-02-30'"),
        ("gap,clean,level,day\n", r"'.*new\.csv' has no rows"),
    ],
    ids=["column", "cell", "infinity", "date", "rows"],
)
def test_file_that_does_not_fit_is_refused(tmp_path: Path, text: str, message: str) -> None:
    table = ready(write(tmp_path, cells()))
    path = tmp_path / "new.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        table.encode_rows(path, has_target=False)


def test_order_of_columns_in_a_file_does_not_matter(tmp_path: Path) -> None:
    table = ready(write(tmp_path, cells()))
    frame = table.read().collect()
    frame.select(reversed(frame.columns)).write_csv(tmp_path / "reversed.csv")
    paths = [tmp_path / "rows.csv", tmp_path / "reversed.csv"]
    assert same(*(table.encode_rows(path, has_target=True) for path in paths))


@pytest.mark.parametrize("num_rows", [2, 17])
def test_rows_are_encoded_one_by_one(tmp_path: Path, num_rows: int) -> None:
    """The same row is encoded the same, whatever rows are beside it."""
    table = ready(write(tmp_path, cells()))
    whole = table.encode_rows(tmp_path / "rows.csv", has_target=True)
    some = table.encode_rows(write(tmp_path, cells()[5 : 5 + num_rows], "some.csv"), has_target=True)
    assert same(some, whole.rows(slice(5, 5 + num_rows))._replace(categorical=whole.categorical[5 : 5 + num_rows]))


def test_too_few_rows_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="the val split has 1 of 8 rows"):
        ready(write(tmp_path, cells(8)), split_column=None)


def test_batch_size_below_1_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="batch_size must be 1 or more, not 0"):
        data(tmp_path / "rows.csv", batch_size=0)


def test_unknown_scaling_names_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"scaling is 'standart': did you mean 'standard'\?"):
        data(tmp_path / "rows.csv", scaling="standart")


@pytest.mark.parametrize(("val_size", "test_size"), [(0, 0.2), (0.2, 0), (0.5, 0.5), (-0.1, 0.2), (0.2, 1.0)])
def test_sizes_that_leave_a_split_empty_are_refused(tmp_path: Path, val_size: float, test_size: float) -> None:
    with pytest.raises(ValueError, match=f"val_size={val_size} and test_size={test_size}"):
        data(tmp_path / "rows.csv", val_size=val_size, test_size=test_size)


def test_fewer_training_rows_leave_validation_and_test_as_they_are(tmp_path: Path) -> None:
    path = write(tmp_path, cells())
    everything, some = (data(path).parted(data(path).read())[1], data(path, train_rows=9).parted(data(path).read())[1])
    assert set(some["train"]) < set(everything["train"])
    assert len(ready(path, train_rows=9).tables["train"].numeric) == len(some["train"]) == 9
    for split in ("val", "test"):
        assert some[split].tolist() == everything[split].tolist()


def test_a_single_training_row_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="train_rows must be 2 or more, not 1"):
        data(write(tmp_path, cells()), train_rows=1)


@pytest.mark.parametrize(
    ("rows", "expected"), [(1, 32), (2799, 32), (2800, 64), (4500, 128), (6400, 256), (10**6, 256)]
)
def test_small_tables_have_small_steps(rows: int, expected: int) -> None:
    assert step_rows(rows) == expected
