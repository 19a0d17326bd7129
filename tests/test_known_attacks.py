"""Attacks on checkpoints that were published against other readers of them, and on what builds from a config."""

import io
import os
import pickle
import struct
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch

from litmlp import checkpoint
from litmlp.errors import InputError


@pytest.fixture
def best(penguins_run: Path) -> dict[str, Any]:
    return torch.load(penguins_run / "checkpoints/best.ckpt", weights_only=True)


@pytest.fixture
def proof(tmp_path: Path) -> Path:
    return tmp_path / "proof"


class Calls:
    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple:
        return self.call


def refused(file: str, words: str = r"\.ckpt") -> None:
    with pytest.raises(InputError, match=words):
        checkpoint.load(Path(file))


def evil(best: dict, proof: Path) -> bytes:
    stream = io.BytesIO()
    torch.save(best | {"evil": Calls(os.mkdir, str(proof))}, stream)
    return stream.getvalue()


@pytest.mark.parametrize("flag", [0x1, 0x8, 0x20, 0x40, 0x800, 0x2000])
def test_flags_in_the_archive_that_scanners_stumble_over(best: dict, proof: Path, flag: int):
    # GHSA-w8jq-xcqf-f792 of picklescan: a bit that Python's zipfile refuses, and torch ignores.
    content = bytearray(evil(best, proof))
    for signature, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        start = content.find(signature)
        while start >= 0:
            (flags,) = struct.unpack_from("<H", content, start + place)
            struct.pack_into("<H", content, start + place, flags | flag)
            start = content.find(signature, start + 4)
    Path("evil.ckpt").write_bytes(content)
    refused("evil.ckpt")
    assert not proof.exists()


def test_names_that_differ_between_the_archives_two_lists(best: dict, proof: Path):
    # GHSA-7q5r-7gvp-wc82 of picklescan.
    content = evil(best, proof)
    Path("evil.ckpt").write_bytes(content.replace(b"data.pkl", b"datap.kl", 1))
    refused("evil.ckpt", "not a checkpoint, or a damaged one")
    assert not proof.exists()


@pytest.mark.parametrize("name", ["archive/other.pkl", "archive/data/evil", "archive/data.pkl.bak", "evil/data.pkl"])
def test_a_second_pickle_under_another_name_is_not_run(best: dict, proof: Path, name: str):
    # GHSA-769v-p64c-89pr of picklescan: the harmful one is not called data.pkl.
    torch.save(best, "more.ckpt")
    with zipfile.ZipFile("more.ckpt", "a") as archive:
        archive.writestr(name, pickle.dumps(Calls(os.mkdir, str(proof)), protocol=2))
    try:
        checkpoint.load(Path("more.ckpt"))
    except InputError:
        assert name == "evil/data.pkl"  # which of two is meant is not guessed
    assert not proof.exists()


@pytest.mark.parametrize(
    "name",
    [
        *("torch.utils.collect_env run", "multiprocessing.util spawnv_passfds", "pandas.io.parsers.readers read_csv"),
        *("mlflow.projects.backend.local _run_entry_point", "torch.hub load", "torch.jit unsupported_tensor_ops eval"),
        *("torch.distributed.rpc.api rpc_sync", "torch.serialization load", "torch._dynamo.guards ___odict_getitem"),
        *(
            "builtins getattr",
            "operator attrgetter",
            "functools partial",
            "torch Tensor",
            "torch._utils _rebuild_tensor",
        ),
    ],
)
def test_callables_that_lists_of_forbidden_ones_forget(name: str):
    # saferpickle 18 and modelscan 338: what is not forbidden can still run code.
    operations = b"\x80\x02c" + name.replace(" ", "\n", 1).encode() + b"\nX\x04\x00\x00\x00true\x85R."
    with zipfile.ZipFile("evil.ckpt", "w") as archive:
        archive.writestr("archive/data.pkl", operations)
    refused("evil.ckpt", "could run code")


def test_items_set_on_what_is_no_dict():
    # CVE-2026-24747: torch's reader of plain values, before 2.10, set items of anything.
    storage = b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x02tQ"
    tensor = b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + b"K\x00K\x02\x85K\x01\x85\x89NtR"
    for operations in (tensor + b"K\x00K\x01s.", tensor + b"K\x05K\x01s.", storage + b"K\x00K\x01s."):
        with zipfile.ZipFile("evil.ckpt", "w") as archive:
            archive.writestr("archive/data.pkl", b"\x80\x02" + operations)
            archive.writestr("archive/data/0", bytes(8))
        refused("evil.ckpt")


@pytest.mark.parametrize("kind", ["legacy", "tar"])
def test_older_formats_that_skip_the_check(best: dict, proof: Path, kind: str):
    # CVE-2025-32434: the reader of older formats did not restrict what is called.
    content = best | {"evil": Calls(os.mkdir, str(proof))}
    if kind == "legacy":
        torch.save(content, "old.ckpt", _use_new_zipfile_serialization=False)
    else:
        with tarfile.open("old.ckpt", "w") as archive:
            for name in ("sys_info", "pickle", "storages", "tensors"):
                part = pickle.dumps(Calls(os.mkdir, str(proof)), protocol=2)
                member = tarfile.TarInfo(name)
                member.size = len(part)
                archive.addfile(member, io.BytesIO(part))
    refused("old.ckpt", "not a checkpoint, or a damaged one")
    assert not proof.exists()


@pytest.mark.parametrize("name", ["_instantiator", "_class_path"])
@pytest.mark.parametrize("part", ["", "network", "data", "task", "task.loss"])
def test_a_text_that_names_what_to_import(best: dict, name: str, part: str):
    # Lightning 21822 and 21914: a hyperparameter of plain text was imported and called.
    node = best["hyper_parameters"]
    for key in filter(None, part.split(".")):
        node = node[key]
    node[name] = "antigravity.main"
    torch.save(best, "evil.ckpt")
    if part:
        refused("evil.ckpt", "does not fit this version|no description has")
    else:
        assert checkpoint.load(Path("evil.ckpt"))  # what is not read does no harm


@pytest.mark.parametrize(
    "target",
    [
        *(
            "logging.os.system",
            "litmlp.run_folder.os.system",
            "torch.os.system",
            "torch.nn.modules.module.warnings.sys.exit",
        ),
        *("pdb.Pdb._getval", "types.SimpleNamespace", "inspect.currentframe", "posix.system", "ctypes.CDLL"),
        *("cProfile.Profile.run", "cloudpickle.loads", "torch.nn.modules.activation.warnings.warn"),
        *("torch.nn.ModuleList", "torch.nn.Sequential", "torch.nn.parallel.DataParallel", "torch.nn.LSTM"),
    ],
)
@pytest.mark.parametrize("place", ["task.loss", "network.activation", "data.ignore"])
def test_one_function_under_other_names(best: dict, target: str, place: str):
    # GHSA-37p2-j732-x8pj and pull request 3412 of Hydra; pull request 2077 of fairchem.
    group, key = place.split(".")
    best["hyper_parameters"][group][key] = {"_target_": target}
    torch.save(best, "evil.ckpt")
    refused("evil.ckpt", "wants to build")


def test_no_other_way_is_tried_after_a_refusal(best: dict, proof: Path):
    # Stanza 1.12: what the careful reader refused was given to the careless one.
    Path("evil.ckpt").write_bytes(evil(best, proof))
    refused("evil.ckpt", "could run code")
    assert not proof.exists()
