import torch

from litmlp.tasks.collected import MIN_COPIED, Collected


def test_rows_come_back_in_order_and_are_forgotten() -> None:
    collected = Collected()
    pieces = [torch.randn(n, 3) for n in (4, 1, 7, 2)]
    for piece in pieces:
        collected.add(piece)
    assert torch.equal(collected.take(), torch.cat(pieces))
    assert collected.take() is None


def test_many_pieces_come_back_in_order() -> None:
    collected = Collected()
    pieces = torch.randn(10_000, 3).split(3)
    for piece in pieces:
        collected.add(piece)
    assert sum(map(len, collected.pending)) < MIN_COPIED
    assert torch.equal(collected.take(), torch.cat(pieces))
    assert collected.take() is None


def test_memory_serves_the_next_epoch() -> None:
    collected = Collected()
    for _ in range(2):
        collected.add(torch.ones(8))
        collected.add(torch.ones(8))
        taken = collected.take()
        assert taken.sum() == 16
    collected.add(torch.zeros(8))
    assert collected.take().data_ptr() == taken.data_ptr()


def test_rows_collected_without_gradients_can_be_overwritten_in_training() -> None:
    collected = Collected()
    with torch.inference_mode():
        collected.add(torch.ones(2))
    collected.take()
    collected.add(torch.zeros(2))
    assert collected.take().tolist() == [0, 0]


def test_rows_that_are_put_are_not_copied_unless_others_come_to_them() -> None:
    collected, rows = Collected(), torch.randn(6, 2)
    collected.put(rows)
    assert collected.holds(rows)
    assert collected.rows().data_ptr() == rows.data_ptr()
    collected.add(torch.ones(1, 2))
    assert not collected.holds(rows)
    assert torch.equal(collected.take(), torch.cat([rows, torch.ones(1, 2)]))


def test_rows_that_were_put_and_taken_are_not_held_in_the_next_epoch() -> None:
    collected, rows = Collected(), torch.randn(3, 2)
    collected.put(rows)
    assert torch.equal(collected.take(), rows)
    collected.add(torch.zeros(3, 2))
    assert collected.take().tolist() == [[0, 0]] * 3
    assert not collected.holds(rows)


def test_rows_that_are_put_come_after_those_that_were_added() -> None:
    collected, rows = Collected(), torch.ones(2)
    collected.add(torch.zeros(1))
    collected.put(rows)
    assert not collected.holds(rows)
    assert collected.take().tolist() == [0, 1, 1]


def test_another_type_or_shape_starts_anew() -> None:
    collected = Collected()
    collected.add(torch.ones(2, dtype=torch.bfloat16))
    collected.take()
    for rows in (torch.ones(3), torch.ones(3, 2)):
        collected.add(rows)
        taken = collected.take()
        assert taken.dtype == rows.dtype
        assert taken.shape == rows.shape
