import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from litmlp.data import Batch, ClassTarget, NumericTarget, Spec, TableData, Target
from litmlp.errors import InputError

SPLITS = ["train"] * 6 + ["val", "val", "test", "test"]
SCALINGS = ["standard", "robust", "quantile"]


def cells(num_rows: int = 60, seed: int = 0) -> list[list[str]]:
    """Rows of a number with gaps, a clean number, a level, a numeric target, a class and a split."""
    generator = np.random.default_rng(seed)
    rows = []
    for i in range(num_rows):
        gap = "" if i % 5 == 0 else f"{generator.lognormal():.6f}"
        level = generator.choice(["red", "green", "blue", ""])
        kind = "abc"[i % 3]
        rows.append([gap, f"{generator.normal():.6f}", level, f"{generator.normal(50, 9):.6f}", kind, SPLITS[i % 10]])
    return rows


def write(folder: Path, rows: list[list[str]], name: str = "rows.csv") -> Path:
    path = folder / name
    path.write_text("\n".join(["gap,clean,level,y,kind,part", *(",".join(row) for row in rows)]) + "\n")
    return path


def data(path: Path, target_type: type[Target] = NumericTarget, **arguments: Any) -> TableData:
    target, other = ("y", "kind") if target_type is NumericTarget else ("kind", "y")
    return TableData(str(path), target, target_type, ignore=[other], **{"split_column": "part", **arguments})


def ready(path: Path, target_type: type[Target] = NumericTarget, **arguments: Any) -> TableData:
    table = data(path, target_type, **arguments)
    table.setup()
    return table


def bits(state: Any) -> bytes:
    file = io.BytesIO()
    torch.save(state, file)
    return file.getvalue()


def same(first: Batch, second: Batch) -> bool:
    return all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def with_wild_evaluation_rows(rows: list[list[str]]) -> list[list[str]]:
    return [row if row[-1] == "train" else wild(row, i) for i, row in enumerate(rows)]


def wild(row: list[str], number: int) -> list[str]:
    gap, _, _, _, kind, part = row
    return ["-1e30" if gap == "" else "", "1e30", f"new {number}", "-1e9", kind, part]


@pytest.mark.parametrize("scaling", SCALINGS)
@pytest.mark.parametrize("target_type", [NumericTarget, ClassTarget])
def test_validation_and_test_rows_do_not_reach_the_encoders(
    tmp_path: Path, target_type: type[Target], scaling: str
) -> None:
    rows = cells()
    wild_rows = with_wild_evaluation_rows(rows)
    first = ready(write(tmp_path, rows), target_type, scaling=scaling)
    second = ready(write(tmp_path, wild_rows, "wild.csv"), target_type, scaling=scaling)
    assert bits(first.state_dict()) == bits(second.state_dict())
    assert same(first.tables["train"], second.tables["train"])
    assert not torch.equal(first.tables["test"].numeric, second.tables["test"].numeric)


def test_a_training_row_does_reach_the_encoders(tmp_path: Path) -> None:
    rows = cells()
    first = ready(write(tmp_path, rows))
    rows[1][1] = "1e30"
    assert bits(first.state_dict()) != bits(ready(write(tmp_path, rows)).state_dict())


def test_state_needs_no_code_to_load(tmp_path: Path) -> None:
    table = ready(write(tmp_path, cells()))
    state = torch.load(io.BytesIO(bits(table.state_dict())), weights_only=True)
    assert bits(state) == bits(table.state_dict())


@pytest.mark.parametrize("scaling", SCALINGS)
@pytest.mark.parametrize("target_type", [NumericTarget, ClassTarget])
def test_loaded_encoders_are_left_as_they_are(tmp_path: Path, target_type: type[Target], scaling: str) -> None:
    fitted = ready(write(tmp_path, cells()), target_type, scaling=scaling)
    loaded = data(write(tmp_path, cells(seed=1), "other.csv"), target_type, scaling=scaling)
    loaded.load_state_dict(fitted.state_dict())
    loaded.setup()
    assert bits(loaded.state_dict()) == bits(fitted.state_dict())
    expected = fitted.encode_file(tmp_path / "other.csv", has_target=True)
    is_train = torch.tensor([part == "train" for *_, part in cells(seed=1)])
    assert same(loaded.tables["train"], expected.rows(is_train))


def test_spec_describes_the_encoded_columns(tmp_path: Path) -> None:
    table = ready(write(tmp_path, cells()), ClassTarget)
    batch = table.tables["val"]
    assert table.spec == Spec(["gap", "clean", "gap is missing"], {"level": 5}, table.target)
    assert batch.numeric.shape == (12, 3)
    assert batch.categorical.shape == (12, 1)
    assert batch.target.shape == (12,)


def test_spec_is_known_from_a_state_without_rows(tmp_path: Path) -> None:
    fitted = ready(write(tmp_path, cells()))
    loaded = data(tmp_path / "rows.csv")
    loaded.load_state_dict(fitted.state_dict())
    assert (loaded.spec.numeric, loaded.spec.categorical) == (fitted.spec.numeric, fitted.spec.categorical)


def test_rows_are_split_by_their_shares_without_a_split_column(tmp_path: Path) -> None:
    table = ready(write(tmp_path, cells(100)), split_column=None, val_size=0.1, test_size=0.3)
    assert {split: len(batch.numeric) for split, batch in table.tables.items()} == {"train": 60, "val": 10, "test": 30}


def test_same_seed_gives_same_tables_and_another_seed_others(tmp_path: Path) -> None:
    path = write(tmp_path, cells(100))
    first, again, other = (ready(path, split_column=None, seed=seed) for seed in (3, 3, 4))
    assert all(same(first.tables[split], again.tables[split]) for split in first.tables)
    assert not same(first.tables["test"], other.tables["test"])


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
def test_evaluation_batches_are_in_order(tmp_path: Path, split: str) -> None:
    table = ready(write(tmp_path, cells()), batch_size=5)
    for batches in (getattr(table, f"{split}_dataloader")(), table.in_order(split)):
        parts = list(batches)
        assert [len(batch.numeric) for batch in parts] == [5, 5, 2]
        assert torch.equal(torch.cat([batch.numeric for batch in parts]), table.tables[split].numeric)


def test_file_is_encoded_as_the_tables_were(tmp_path: Path) -> None:
    table = ready(write(tmp_path, cells()))
    batch = table.encode_file(tmp_path / "rows.csv", has_target=True)
    is_test = torch.tensor([part == "test" for *_, part in cells()])
    assert same(batch.rows(is_test), table.tables["test"])


def test_file_needs_no_target_unless_asked_for(tmp_path: Path) -> None:
    table = ready(write(tmp_path, cells()))
    path = tmp_path / "new.csv"
    path.write_text("level,clean,gap\nred,0.5,\n,,2\n")
    batch = table.encode_file(path, has_target=False)
    assert batch.target is None
    assert batch.numeric[:, 2].tolist() == [1, 0]
    assert batch.numeric[1, 1] == 0
    assert batch.categorical.tolist() == [[2 + ["blue", "green", "red"].index("red")], [1]]
    with pytest.raises(InputError, match="no target column 'y'"):
        table.encode_file(path, has_target=True)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("gap,clean,levels\n1,1,red\n", r"column 'level' .* is missing: did you mean 'levels'\?"),
        ("gap,clean,level\n1,1,red\n2,high,red\n", r"column 'clean' .* row 2 holds 'high'"),
        ("gap,clean,level\n1,1,red\n-inf,1,red\n", r"column 'gap' .* row 2 holds -inf"),
        ("gap,clean,level\n", r"'.*new\.csv' has no rows"),
    ],
    ids=["column", "cell", "infinity", "rows"],
)
def test_file_that_does_not_fit_is_refused(tmp_path: Path, text: str, message: str) -> None:
    table = ready(write(tmp_path, cells()))
    path = tmp_path / "new.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        table.encode_file(path, has_target=False)


def test_order_of_columns_in_a_file_does_not_matter(tmp_path: Path) -> None:
    table = ready(write(tmp_path, cells()))
    frame = table.read()
    frame.select(reversed(frame.columns)).write_csv(tmp_path / "reversed.csv")
    paths = [tmp_path / "rows.csv", tmp_path / "reversed.csv"]
    assert same(*(table.encode_file(path, has_target=True) for path in paths))


def test_too_few_rows_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="the val split has 1 of 8 rows"):
        ready(write(tmp_path, cells(8)), split_column=None)


def test_batch_size_below_1_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="batch_size must be 1 or more, not 0"):
        data(tmp_path / "rows.csv", batch_size=0)


@pytest.mark.parametrize(("val_size", "test_size"), [(0, 0.2), (0.2, 0), (0.5, 0.5), (-0.1, 0.2), (0.2, 1.0)])
def test_sizes_that_leave_a_split_empty_are_refused(tmp_path: Path, val_size: float, test_size: float) -> None:
    with pytest.raises(ValueError, match=f"val_size={val_size} and test_size={test_size}"):
        data(tmp_path / "rows.csv", val_size=val_size, test_size=test_size)
