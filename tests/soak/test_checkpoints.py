"""A stranger's checkpoint runs nothing, reads nothing of this machine, and takes no more memory than it holds."""

import copy
import json
import pickle
import random
import resource
import shutil
import time
from collections import Counter, OrderedDict, defaultdict, namedtuple
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import DictConfig, ListConfig

from litmlp.commands.predict import predict
from litmlp.errors import InputError
from litmlp.paths import ROOT
from soak.soaking import MAX_SECONDS, Ended, Soak, commands

Pair = namedtuple("Pair", "first second")  # as pickles of strangers hold them
MEGABYTES_MORE = 600  # beside the imports, for reading, building and predicting


class Calls:
    """Has a pickle call a function when it is read."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple:
        return self.call


def evil_node(draw: random.Random, proof: Path) -> Any:
    """A node that would leave `proof` behind if it were built."""
    path = str(proof)
    targets = [
        {"_target_": "pathlib.Path.touch", "self": {"_target_": "pathlib.Path", "_args_": [path]}},
        {"_target_": "os.system", "command": f"touch {path}"},
        {"_target_": "os.mkdir", "_args_": [path]},
        {"_target_": "subprocess.run", "args": ["touch", path]},
        {"_target_": "builtins.open", "file": path, "mode": "w"},
        {"_target_": "torch.save", "obj": 1, "f": path},
        {"_target_": "litmlp.files.write_text", "path": path, "text": "x"},
        {"_target_": ".files.write_text", "path": path, "text": "x"},
        {"_target_": "hydra.utils.instantiate", "config": {"_target_": "os.mkdir", "_args_": [path]}},
        {"_target_": "litmlp.build.built", "node": {"_target_": "os.mkdir", "path": path}},
        {"_target_": "torch.nn.Linear", "in_features": 60_000, "out_features": 60_000},
        {"_target_": "torch.nn.Embedding", "num_embeddings": 10**9, "embedding_dim": 64},
        {"_target_": "torch.nn.MultiheadAttention", "embed_dim": 50_000, "num_heads": 1},
        {"_target_": "torch.load", "f": path, "weights_only": False},
        "${oc.env:HOME}",
        "${oc.create:${oc.decode:'{_target_: os.getcwd}'}}",
    ]
    node = draw.choice(targets)
    if isinstance(node, dict) and draw.random() < 0.3:
        node = node | {
            draw.choice(["_partial_", "_recursive_", "_convert_", "_args_"]): draw.choice([True, "all", [1]])
        }
    return node


def hidden(draw: random.Random, value: Any) -> Any:
    """The value in a random nest of the containers that Python and OmegaConf know."""
    if isinstance(value, dict) and draw.random() < 0.2:
        value = draw.choice([DictConfig({"key": value}), ListConfig([value]), DictConfig(value)])
    for _ in range(draw.randrange(4)):
        wrap = draw.choice(
            [
                lambda v: [v],
                lambda v: (v,),
                lambda v: {"key": v},
                lambda v: {0: v},
                lambda v: {("a", "b"): v},
                lambda v: OrderedDict(key=v),
                lambda v: defaultdict(list, key=[v]),
                lambda v: Counter({"key": 1}),
                lambda v: Pair(v, v),
                lambda v: frozenset(["key"]),
                lambda v: {"_target_": "torch.nn.ReLU", "inplace": v},
                lambda v: [v] * draw.choice([1, 5, 1000]),
            ]
        )
        value = wrap(value)
    return value


def odd(draw: random.Random) -> Any:
    """A value that is no node, and of a type, size or depth that nobody expects."""
    deep: Any = []
    for _ in range(draw.choice([5, 40, 500])):
        deep = [deep]
    wide: Any = ["x"]
    for _ in range(20):
        wide = [wide, wide]  # a million, of forty places in the file
    return draw.choice(
        [
            *(None, True, -1, 0, 10**6, 10**30, -(2**63), 0.5, float("nan"), float("inf"), "", "x" * 100_000, "\ud800"),
            *([], {}, (), {"a": {"b": {"c": 1}}}, [[]], b"bytes", 1j, {1, 2}, deep, wide, range(3), bytearray(8)),
            *(torch.zeros(3), torch.zeros(1).expand(10**9), torch.zeros(2, 2).T, torch.zeros(3).to_sparse()),
            *(torch.full((3,), float("nan")), torch.zeros(0), torch.tensor(7), torch.zeros(3, dtype=torch.float16)),
            *(torch.nn.Parameter(torch.zeros(3)), torch.zeros(3, device="meta"), torch.Size([1]), torch.float32),
            *(torch.nn.ReLU(), torch.device("cpu"), DictConfig({"a": 1}), ListConfig([1])),
        ]
    )


def brief(value: Any, levels: int = 5) -> str:
    """What a value is, without walking all of it."""
    kind = type(value).__name__
    if isinstance(value, dict) and levels:
        return f"{kind}({', '.join(f'{key!r}: {brief(item, levels - 1)}' for key, item in list(value.items())[:3])})"
    if isinstance(value, list | tuple) and levels:
        return f"{kind}({', '.join(brief(item, levels - 1) for item in value[:2])}{', ...' * (len(value) > 2)})"
    return repr(value)[:80] if isinstance(value, str | int | float | bool | None) else kind


def places(content: Any, path: tuple = ()) -> list[tuple]:
    """Where there is something, in nested dicts and lists."""
    found = [path] if path else []
    items = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    for key, value in items:
        found += places(value, (*path, key))
    return found


def changed(draw: random.Random, content: dict, value: Any) -> tuple[dict, tuple]:
    """The content with a value in a random place, at one more key, or without what was there."""
    content = copy.deepcopy(content)
    where = places({key: content[key] for key in draw.choice([["hyper_parameters"], [*content]])})
    *path, last = draw.choice(where)
    node = content
    for key in path:
        node = node[key]
    if isinstance(node, dict) and draw.random() < 0.2:
        last = draw.choice(["extra", "_target_", "_partial_", "_args_", "__class__", ""])
    is_there = isinstance(node, list) or last in node
    if is_there and draw.random() < 0.15:
        del node[last]
        return content, (*path, last, "gone")
    node[last] = value
    return content, (*path, last)


def saved(draw: random.Random, content: dict, file: Path, proof: Path) -> str:
    """Write the content as somebody might; return in which way."""
    way = draw.choice(["torch"] * 12 + ["legacy", "pickle", "reduce", "deflated", "cut", "garbage", "json", "size"])
    if way == "reduce":
        content["evil"] = draw.choice(
            [Calls(Path.touch, proof), Calls(bytearray, 10**10), Calls(torch.zeros, 10**10), Calls(eval, "1")]
        )
    if way == "pickle":
        file.write_bytes(pickle.dumps(content))
        return way
    if way == "json":
        file.write_text(json.dumps({"state_dict": {}, "hyper_parameters": {}}))
        return way
    torch.save(content, file, _use_new_zipfile_serialization=way != "legacy")
    if way == "deflated":
        deflate(file)
    if way == "cut":
        file.write_bytes(file.read_bytes()[: draw.randrange(file.stat().st_size)])
    if way == "garbage":
        file.write_bytes(file.read_bytes() + draw.randbytes(100))
    if way == "size":
        claim_more(file)
    return way


def deflate(file: Path) -> None:
    """Write an archive anew, compressed, with 100 MB of zeros in it."""
    import zipfile

    with zipfile.ZipFile(file) as before:
        parts = {name: before.read(name) for name in before.namelist()}
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, part in parts.items():
            archive.writestr(name, part)
        with archive.open(f"{name.partition('/')[0]}/data/bomb", "w", force_zip64=True) as stream:
            for _ in range(100):
                stream.write(bytes(1_000_000))


def claim_more(file: Path) -> None:
    """Have each array say that it is larger than its part of the archive; the sums are right."""
    import zipfile

    with zipfile.ZipFile(file) as before:
        parts = {name: before.read(name) for name in before.namelist()}
    with zipfile.ZipFile(file, "w") as archive:
        for name, part in parts.items():
            archive.writestr(name, part[: len(part) // 2] if "/data/" in name else part)


@pytest.mark.soak
def test_hostile_checkpoints(soak: Soak, penguins_run: Path, tmp_path: Path):
    good = torch.load(penguins_run / "checkpoints/last.ckpt", weights_only=True)
    shutil.copy(ROOT / "data/penguins.csv", tmp_path / "rows.csv")
    file, proof = tmp_path / "stranger.ckpt", tmp_path / "proof"
    base = commands().run("predict", folder=tmp_path).megabytes
    for draw, described in strangers(soak, good, file, proof, least=6):
        with soak.trial(described):
            ended = used(draw, tmp_path, penguins_run)
            assert not proof.exists(), "code was run"
            assert ended.megabytes < base + MEGABYTES_MORE, f"{ended.megabytes:.0f} MB\n{ended.err[-500:]}"
            soak.count(f"{ended.command}: {'used' if ended.code == 0 else 'refused'}")


def strangers(
    soak: Soak, good: dict[str, Any], file: Path, proof: Path, least: int
) -> Iterator[tuple[random.Random, str]]:
    """Write a stranger's checkpoint each round; yield what else is drawn from, and what is strange about it."""
    for draw in soak.rounds(least):
        value = hidden(draw, evil_node(draw, proof) if draw.random() < 0.6 else odd(draw))
        content, place = changed(draw, good, value)
        try:
            way = saved(draw, content, file, proof)
        except Exception:  # not everything can be pickled
            soak.count("not written")
            continue
        yield draw, f"{way}, {'.'.join(map(str, place))} = {brief(value)}"
        proof.unlink(missing_ok=True)


def used(draw: random.Random, folder: Path, run: Path) -> Ended:
    """How a command ended that was given the stranger's checkpoint."""
    way = draw.choice(["predict", "evaluate", "evaluate", "init_from", "resume"])
    if way == "predict":
        arguments = ("checkpoint=stranger.ckpt", "data.path=rows.csv", "output=predictions.csv")
        return commands().run("predict", *arguments, folder=folder).check(0, 2)
    if way == "evaluate":
        arguments = ("checkpoint=stranger.ckpt", "data.path=rows.csv", "output=metrics.json")
        return commands().run("evaluate", *arguments, folder=folder).check(0, 2)
    shutil.rmtree(folder / "run", ignore_errors=True)
    if way == "resume":
        shutil.copytree(run, folder / "run")
        shutil.copy(folder / "stranger.ckpt", folder / "run/checkpoints/last.ckpt")
        return commands().run("train", "resume=run", "trainer.max_epochs=5", folder=folder).check(0, 1, 2)
    small = ("data=penguins", "network.hidden_sizes=[8]", "network/embedding=none", "trainer.max_epochs=1")
    return commands().run("train", *small, "init_from=stranger.ckpt", "hydra.run.dir=run", folder=folder).check(0, 1, 2)


@pytest.mark.soak
def test_hostile_checkpoints_in_this_process(soak: Soak, penguins_run: Path, tmp_path: Path):
    good = torch.load(penguins_run / "checkpoints/best.ckpt", weights_only=True)
    file, proof, rows = tmp_path / "stranger.ckpt", tmp_path / "proof", ROOT / "data/penguins.csv"
    for _, described in strangers(soak, good, file, proof, least=20):
        before, started = megabytes(), time.process_time()
        with soak.trial(described):
            try:
                predictions = predict(str(file), rows)
                soak.count("used")
                assert len(predictions) == 344
            except InputError:
                soak.count("refused")
            assert not proof.exists(), "code was run"
            assert megabytes() - before < MEGABYTES_MORE
            assert time.process_time() - started < MAX_SECONDS


def megabytes() -> float:
    """The most memory that this process has held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
