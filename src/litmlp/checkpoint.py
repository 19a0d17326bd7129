"""Checkpoints that need nothing else: how they are described, and rebuilt without trusting them.

A checkpoint outlives the name of the package that wrote it: it names classes of the package as `.networks.MLP`, as
relative imports do. Older ones hold the whole name, `package.networks.MLP`. Which package that was, the data says,
whose class is never another's; so no former name is written down anywhere.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from pkgutil import resolve_name
from typing import Any, NamedTuple

from torch import Tensor, nn

from litmlp import archive, build
from litmlp.build import MARKS, Config
from litmlp.config import check_arguments, check_leaf, leaves, nodes
from litmlp.data import TabularData
from litmlp.errors import InputError
from litmlp.paths import find, portable
from litmlp.plain import NotPlain, plain
from litmlp.tasks import Task
from litmlp.training.compat import dispatch_mode

REBUILT = ("data", "network", "task")  # what is needed to predict
PATHS = ("path", "val_path", "test_path")  # of data
OWN = __package__.partition(".")[0]
FROM_TORCH = {*nn.modules.loss.__all__, *nn.modules.activation.__all__} - {"MultiheadAttention"}
MAX_VALUES, DEPTH = 100_000, 16  # of a description
ROOM = 2**26  # bytes that may be taken beside those that the file's tensors explain
TIMES_FILE, TENSORS_MORE = 20, 1000
NOT_FITTING = (KeyError, IndexError, AttributeError, TypeError, ValueError, AssertionError, RuntimeError)


class Loaded(NamedTuple):
    """A checkpoint, rebuilt."""

    task: Task
    data: TabularData
    config: Config


def description(config: Config) -> Config:
    """Return what a checkpoint says of its run: plain values, no path of this machine, no name of this package."""
    kept = {key: config[key] for key in (*REBUILT, "optimizer", "scheduler", "seed", "monitor", "mode")}
    paths = {key: portable(path) for key in PATHS if (path := kept["data"].get(key)) is not None}
    kept["data"] = kept["data"] | paths
    return _moved(kept, OWN, "")


def resolve(checkpoint: str) -> Path:
    """Return the file that `checkpoint` means: itself, or the best of a run's folder."""
    path = find(checkpoint)
    if path.is_file():
        return path
    best = path / "checkpoints" / "best.ckpt"
    if not best.is_file():
        raise InputError(f"'{checkpoint}' holds no checkpoints/best.ckpt: give a run's folder or a .ckpt file")
    return best


def read(path: Path) -> dict[str, Any]:
    """Return a checkpoint's content: tensors and plain values.

    Raises:
        InputError: the file is damaged, or holds anything else.
    """
    content = archive.read(path)
    if not isinstance(content, dict) or not all(
        isinstance(content.get(name), dict) for name in ("hyper_parameters", "state_dict")
    ):
        raise InputError(f"'{path}' is not a checkpoint of this project: train one with litmlp-train")
    weights = content["state_dict"].values()
    if not all(isinstance(weight, Tensor) and bool(weight.isfinite().all()) for weight in weights):
        raise InputError(f"'{path}' holds weights that are not finite numbers: give another checkpoint")
    return content


def load(path: Path) -> Loaded:
    """Rebuild task and data from a checkpoint alone.

    Raises:
        InputError: the file is damaged, or asks for anything but this package's classes and torch's losses and
            activations, of the size of the tensors that it holds.
    """
    content = read(path)
    config = harmless(content["hyper_parameters"], path)
    try:
        with _room_for([*archive.tensors(content)]):
            data = build.data(config)
            data.load_state_dict(content[type(data).__qualname__])
            task = build.task(config, data.spec, trainable=False)
        task.load_state_dict(content["state_dict"])
    except NOT_FITTING as error:
        raise InputError(f"'{path}' does not fit this version of the project: {_first_line(error)}") from error
    return Loaded(task.eval(), data, config)


def load_weights(task: Task, path: Path) -> None:
    """Start `task` from a checkpoint's weights; its columns and layers must be the same."""
    try:
        task.load_state_dict(read(path)["state_dict"])
    except RuntimeError as error:
        raise InputError(
            f"the weights in '{path}' do not fit this network, so it cannot start from them: {_first_line(error)}"
        ) from error


def harmless(config: Config, path: Path) -> Config:
    """Return what a checkpoint says of data, network and task, with classes by the name that this package has now.

    Raises:
        InputError: that holds anything but plain values, or a class that is none of ours nor one of torch's losses and
            activations, or an argument that the class does not take, or of another type.
    """
    try:
        given = plain({name: config.get(name) for name in REBUILT}, MAX_VALUES, DEPTH)
    except NotPlain as error:
        raise InputError(f"'{path}' describes its run by more than plain values ({error}): not loaded") from error
    if missing := [
        name for name in REBUILT if "_target_" not in (given[name] if isinstance(given[name], dict) else ())
    ]:
        raise InputError(f"'{path}' does not say what to build as {missing[0]}: train one with litmlp-train")
    former = next((str(node["_target_"]).partition(".")[0] for key, node in nodes(given) if key == "data"), "")
    renamed = _moved(_moved(given, former, OWN), "", OWN)
    for (key, node), (_, built) in zip(nodes(given), nodes(renamed), strict=True):
        if not _is_harmless(key, str(built["_target_"])):
            raise InputError(f"'{path}' wants to build {node['_target_']} as {key}: not loaded")
    for key, value in _items(renamed):
        name = key.rpartition(".")[2]
        if name.startswith("_") and name.endswith("_") and not (name in MARKS and isinstance(value, str | bool)):
            raise InputError(f"'{path}' holds {key}, which no description has: not loaded")
    try:
        for key, value in leaves(renamed):
            check_leaf(key, value)
        for key, node in nodes(renamed):
            check_arguments(key, node)
    except InputError as error:
        raise InputError(f"'{path}' does not fit this version of the project: {error}") from error
    return renamed


def _moved(config: Any, package: str, to: str) -> Any:
    """Return `config` with `to.x` for each `_target_: package.x`."""
    if isinstance(config, list):
        return [_moved(value, package, to) for value in config]
    if not isinstance(config, dict):
        return config
    moved = {key: _moved(value, package, to) for key, value in config.items()}
    first, dot, rest = str(moved.get("_target_")).partition(".")
    return moved | {"_target_": to + dot + rest} if dot and first == package else moved


def _is_harmless(key: str, target: str) -> bool:
    if target.partition(".")[0] not in (OWN, "torch"):  # importing alone can run code
        return False
    try:
        cls = resolve_name(target)
    except Exception:
        return False
    if not isinstance(cls, type):
        return False
    if cls.__module__.startswith("torch."):
        return key not in REBUILT and cls in [getattr(nn, name) for name in FROM_TORCH]
    kind = {"data": TabularData, "task": Task}.get(key, nn.Module)
    return cls.__module__.startswith(f"{OWN}.") and issubclass(cls, kind)


def _items(config: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(config, dict):
        for key, value in config.items():
            yield f"{path}.{key}", value
            yield from _items(value, f"{path}.{key}")
    if isinstance(config, list):
        for value in config:
            yield from _items(value, path)


@contextmanager
def _room_for(tensors: Sequence[Tensor]) -> Iterator[None]:
    """Let no more be built than the tensors of a file explain; raise RuntimeError before that memory is used."""
    num_bytes = TIMES_FILE * sum(tensor.nbytes for tensor in tensors) + ROOM
    with _Counted(num_bytes, TIMES_FILE * len(tensors) + TENSORS_MORE):
        yield


class _Counted(dispatch_mode()):  # type: ignore[misc]
    def __init__(self, num_bytes: int, num_tensors: int) -> None:
        super().__init__()
        self.num_bytes = num_bytes
        self.num_tensors = num_tensors

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = function(*args, **(kwargs or {}))
        if isinstance(made, Tensor) and not any(made is given for given in args):
            self.num_bytes -= made.nbytes
            self.num_tensors -= 1
            if self.num_bytes < 0 or self.num_tensors < 0:
                raise RuntimeError("it describes a network that is larger than the weights that it holds")
        return made


def _first_line(error: BaseException) -> str:
    if isinstance(error, KeyError):
        return f"{error} is missing"
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return " ".join(lines[:2])[:300] or type(error).__name__
