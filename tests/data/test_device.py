"""Batches and tables on another device; `meta`, which every machine has, knows shapes and no values."""

from types import SimpleNamespace

import pytest
import torch

from conftest import compose_config
from litmlp import build
from litmlp.data import Batch, Batches, TabularData, batches
from litmlp.data.batches import InOrder, Shuffled

META = torch.device("meta")
CUDA = torch.device("cuda")
CPU = torch.device("cpu")


def table(num_rows: int) -> Batch:
    """Rows of 2 numbers, 3 codes, a class and a weight: 8 + 12 + 8 + 4 = 32 bytes each."""
    rows = torch.arange(num_rows)
    return Batch(rows[:, None].repeat(1, 2).float(), rows[:, None].repeat(1, 3).int(), rows, rows.float())


@pytest.fixture
def data() -> TabularData:
    """Data of 100 rows, which take 3200 bytes."""
    data = build.data(compose_config("data=penguins", "data.batch_size=32"))
    data.tables = dict(zip(("train", "val", "test"), table(100).split([70, 20, 10]), strict=True))
    return data


@pytest.fixture
def free(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Pretend that a GPU has so many bytes of free memory."""
    memory = SimpleNamespace(bytes=0)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (memory.bytes, 10**12))
    return memory


def trainer_on(device: torch.device, rank: int = 0, world_size: int = 1) -> SimpleNamespace:
    return SimpleNamespace(strategy=SimpleNamespace(root_device=device), global_rank=rank, world_size=world_size)


@pytest.mark.parametrize("sampler", [InOrder(), Shuffled(0)], ids=["in order", "shuffled"])
def test_every_part_of_every_batch_is_on_the_device(sampler: InOrder | Shuffled) -> None:
    batches = list(Batches(table(7), 3, sampler, device=META))
    assert [batch.numeric.shape for batch in batches] == [(3, 2), (3, 2), (1, 2)]
    assert [batch.categorical.shape for batch in batches] == [(3, 3), (3, 3), (1, 3)]
    assert [batch.target.shape for batch in batches] == [(3,), (3,), (1,)]
    assert [batch.weight.shape for batch in batches] == [(3,), (3,), (1,)]
    assert {part.device for batch in batches for part in batch} == {META}
    assert {batch.categorical.dtype for batch in batches} == {torch.int64}


@pytest.mark.parametrize("parts", [2, 3])
def test_what_a_table_does_not_have_its_batches_do_not_have_either(parts: int) -> None:
    batches = list(Batches(Batch(*table(7)[:parts]), 3, InOrder(), device=META))
    assert len(batches) == 3
    for taken in batches:
        assert {part.device for part in taken[:parts]} == {META}
        assert set(taken[parts:]) == {None}


def test_a_table_on_a_device_makes_batches_there() -> None:
    there = table(7).to(META)
    batches = list(Batches(there, 3, Shuffled(0), rank=1, world_size=2, device=META))
    assert {part.device for taken in (there, *batches) for part in taken} == {META}
    assert [len(taken.numeric) for taken in batches] == [3]


def test_moving_keeps_values_types_and_none() -> None:
    rows = Batch(*table(5)[:3])
    moved = rows.to(CPU)
    assert torch.equal(moved.numeric, rows.numeric)
    assert moved.categorical.dtype == torch.int32
    assert moved.weight is None


@pytest.mark.parametrize("at_once", [1, 3, 6, 1000])  # less than a batch, one, two, all
@pytest.mark.parametrize(("rank", "world_size"), [(0, 1), (1, 2)])
def test_batches_are_the_same_however_many_are_moved_at_once(
    at_once: int, rank: int, world_size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("litmlp.data.batches.ROWS_INDEXED_AT_ONCE", at_once)
    sampler, rows = Shuffled(5), table(23)
    expected = sampler.indices(23)[rank::world_size][: 23 // world_size].split(3)
    taken = list(Batches(rows, 3, sampler, rank, world_size))
    assert [one.target.tolist() for one in taken] == [index.tolist() for index in expected]
    for one in taken:
        for part, whole in zip(one, rows, strict=True):
            assert torch.equal(part, whole[one.target].to(part.dtype))


def test_rows_stay_on_a_gpu_where_they_fit_into_a_share_of_its_memory(data: TabularData, free: SimpleNamespace) -> None:
    just_too_little = round(3200 / batches.FRACTION_OF_DEVICE)
    free.bytes = just_too_little + 10
    assert batches.belong_on(data.tables, CUDA, data.on_device)
    free.bytes = just_too_little
    assert not batches.belong_on(data.tables, CUDA, data.on_device)


def test_parts_that_are_missing_take_no_memory(data: TabularData, free: SimpleNamespace) -> None:
    data.tables = {name: Batch(*rows[:2]) for name, rows in data.tables.items()}  # 20 bytes a row
    free.bytes = round(2000 / batches.FRACTION_OF_DEVICE) + 10
    assert batches.belong_on(data.tables, CUDA, data.on_device)
    free.bytes -= 20
    assert not batches.belong_on(data.tables, CUDA, data.on_device)


def test_who_says_where_rows_stay_is_believed(data: TabularData, free: SimpleNamespace) -> None:
    data.on_device, free.bytes = True, 0
    assert batches.belong_on(data.tables, CUDA, data.on_device)
    data.on_device, free.bytes = False, 10**12
    assert not batches.belong_on(data.tables, CUDA, data.on_device)


def test_no_memory_is_asked_for_on_the_cpu(data: TabularData, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(device: torch.device) -> None:
        raise AssertionError("there is no GPU")

    monkeypatch.setattr(torch.cuda, "mem_get_info", refuse)
    assert not batches.belong_on(data.tables, CPU, data.on_device)


@pytest.mark.parametrize("on_device", [None, True, False])
def test_on_the_cpu_a_table_is_not_copied(on_device: bool | None, data: TabularData) -> None:
    before = {name: rows.numeric.data_ptr() for name, rows in data.tables.items()}
    data.on_device, data.trainer = on_device, trainer_on(CPU)
    list(data.train_dataloader())
    assert {name: rows.numeric.data_ptr() for name, rows in data.tables.items()} == before


@pytest.mark.parametrize("on_device", [True, False])
def test_batches_come_to_the_trainers_device_wherever_the_rows_stay(on_device: bool, data: TabularData) -> None:
    data.on_device, data.trainer = on_device, trainer_on(META)
    for loader in (data.train_dataloader(), data.val_dataloader(), data.test_dataloader()):
        assert {part.device for taken in loader for part in taken} == {META}
    kept = {part.device for rows in data.tables.values() for part in rows}
    assert kept == ({META} if on_device else {CPU})


def test_each_process_gets_its_share(data: TabularData) -> None:
    data.trainer = trainer_on(META, rank=1, world_size=2)
    assert [len(taken.numeric) for taken in data.train_dataloader()] == [32, 3]  # half of 70
    assert [len(taken.numeric) for taken in data.val_dataloader()] == [10]


def test_without_a_trainer_batches_are_on_the_cpu(data: TabularData) -> None:
    data.on_device = True
    assert {part.device for taken in data.train_dataloader() for part in taken} == {CPU}
