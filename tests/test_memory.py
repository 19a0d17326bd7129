from pathlib import Path

import pytest
import torch

from litmlp import memory
from litmlp.errors import InputError


def test_what_is_made_is_refused_before_it_takes_memory():
    with (
        pytest.raises(InputError, match="network would take 20 TB of memory or more, but 1 GB are free"),
        memory.fitting_memory("network", copies=5, available=10**9),
    ):
        torch.nn.Linear(10**6, 10**6)


def test_sizes_add_up():
    layer = 4 * (100 * 100 + 100)  # bytes
    for number_that_fits in (1, 3):
        with memory.fitting_memory("network", copies=1, available=number_that_fits * layer):
            for _ in range(number_that_fits):
                torch.nn.Linear(100, 100)
            with pytest.raises(InputError):
                torch.nn.Linear(100, 100)


def test_what_fits_is_made_as_without_a_look_at_memory():
    torch.manual_seed(0)
    with memory.fitting_memory("network", copies=5):
        watched = torch.nn.Linear(3, 2)
    torch.manual_seed(0)
    torch.testing.assert_close(watched.weight, torch.nn.Linear(3, 2).weight, rtol=0, atol=0)


def test_a_container_may_have_less_than_the_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "memory.max").write_text("1000\n")
    (tmp_path / "none").write_text("max\n")
    monkeypatch.setattr(memory, "LIMITS", (tmp_path / "memory.max", tmp_path / "none", tmp_path / "absent"))
    assert memory.available_memory() == 1000


def test_without_proc_all_memory_counts_as_free(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(memory, "MEMINFO", tmp_path / "absent")
    assert memory.available_memory() > 10**8
