import pytest
import torch

from litmlp.data import Batch, Batches
from litmlp.data.batches import InOrder, Shuffled


def numbered(num_rows: int) -> Batch:
    """Rows whose only input, code, target and weight are their own number."""
    rows = torch.arange(num_rows)
    return Batch(rows[:, None].float(), rows[:, None].int(), rows, rows.float())


def targets(batches: Batches) -> list[list[int]]:
    return [batch.target.tolist() for batch in batches]


def flat(batches: Batches) -> list[int]:
    return [row for batch in targets(batches) for row in batch]


def shuffled(seed: int, epoch: int, num_rows: int = 50) -> list[int]:
    batches = Batches(numbered(num_rows), 8, Shuffled(seed))
    batches.sampler.set_epoch(epoch)
    return flat(batches)


def test_rows_are_taken_from_every_part() -> None:
    batch = numbered(5).rows(torch.tensor([3, 0]))
    assert batch.numeric.tolist() == [[3.0], [0.0]]
    assert batch.categorical.tolist() == [[3], [0]]
    assert batch.target.tolist() == [3, 0]
    assert batch.weight.tolist() == [3.0, 0.0]


def test_rows_without_a_target_or_weight_stay_without() -> None:
    batch = Batch(*numbered(5)[:2]).rows(slice(0, 2))
    assert (batch.target, batch.weight) == (None, None)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int32, torch.int64])
def test_codes_are_whole_numbers_of_64_bits_however_a_table_keeps_them(dtype: torch.dtype) -> None:
    codes = torch.tensor([[1, 255], [0, 2]], dtype=dtype)
    (batch,) = Batches(Batch(torch.zeros(2, 0), codes), 2, InOrder())
    assert batch.categorical.dtype == torch.int64
    assert batch.categorical.tolist() == [[1, 255], [0, 2]]


def test_in_order_batches_are_consecutive_rows() -> None:
    assert targets(Batches(numbered(7), 3, InOrder())) == [[0, 1, 2], [3, 4, 5], [6]]


@pytest.mark.parametrize(("num_rows", "batch_size", "expected"), [(7, 3, 3), (6, 3, 2), (2, 3, 1)])
def test_length_is_the_number_of_batches(num_rows: int, batch_size: int, expected: int) -> None:
    batches = Batches(numbered(num_rows), batch_size, InOrder())
    assert len(batches) == len(list(batches)) == expected


@pytest.mark.parametrize("epoch", range(3))
def test_each_row_comes_exactly_once_an_epoch(epoch: int) -> None:
    assert sorted(shuffled(seed=1, epoch=epoch)) == list(range(50))


def test_inputs_target_and_weight_stay_together_when_shuffled() -> None:
    for batch in Batches(numbered(50), 8, Shuffled(0)):
        assert torch.equal(batch.numeric[:, 0].long(), batch.target)
        assert torch.equal(batch.categorical[:, 0], batch.target)
        assert torch.equal(batch.weight.long(), batch.target)


def test_each_epoch_has_a_new_order() -> None:
    orders = {tuple(shuffled(seed=0, epoch=epoch)) for epoch in range(10)}
    assert len(orders) == 10


def test_same_seed_and_epoch_give_same_order() -> None:
    assert shuffled(seed=3, epoch=7) == shuffled(seed=3, epoch=7)


def test_another_seed_gives_another_order() -> None:
    assert shuffled(seed=3, epoch=7) != shuffled(seed=4, epoch=7)


def test_seed_and_epoch_are_not_interchangeable() -> None:
    assert shuffled(seed=1, epoch=2) != shuffled(seed=2, epoch=1)


def test_order_does_not_depend_on_the_global_generator() -> None:
    torch.manual_seed(0)
    first = shuffled(seed=0, epoch=0)
    torch.manual_seed(1)
    assert shuffled(seed=0, epoch=0) == first


@pytest.mark.parametrize("num_rows", [10, 11])
def test_ranks_share_shuffled_rows_without_overlap_in_as_many_batches(num_rows: int) -> None:
    ranks = [Batches(numbered(num_rows), 2, Shuffled(0), rank, world_size=2) for rank in range(2)]
    first, second = map(flat, ranks)
    assert not set(first) & set(second)
    assert len(first) == len(second) == num_rows // 2
    assert len(list(ranks[0])) == len(list(ranks[1])) == len(ranks[0]) == len(ranks[1])


def test_a_row_left_over_by_ranks_comes_up_in_another_epoch() -> None:
    seen: set[int] = set()
    for epoch in range(10):
        for rank in range(2):
            sampler = Shuffled(0)
            sampler.set_epoch(epoch)
            seen |= set(flat(Batches(numbered(3), 2, sampler, rank, world_size=2)))
    assert seen == {0, 1, 2}


@pytest.mark.parametrize("num_rows", [9, 10, 11])
def test_ranks_together_see_all_rows_in_order(num_rows: int) -> None:
    first, second = (flat(Batches(numbered(num_rows), 4, InOrder(), rank, world_size=2)) for rank in range(2))
    assert first == list(range(0, num_rows, 2))
    assert second == list(range(1, num_rows, 2))


def test_ranks_take_as_many_in_order_batches() -> None:
    ranks = [Batches(numbered(9), 4, InOrder(), rank, world_size=2) for rank in range(2)]
    assert [len(list(batches)) for batches in ranks] == [len(batches) for batches in ranks]


def test_no_rows_make_no_batch() -> None:
    assert targets(Batches(numbered(1), 4, Shuffled(0), rank=1, world_size=2)) == []
