"""Writes the description of a run into its checkpoint, and rebuilds a model from a checkpoint without trusting it.

A checkpoint stays valid when the package is renamed: it names the package's classes like relative imports do, for
example `.networks.MLP`. Older checkpoints hold the whole name, `package.networks.MLP`. The package's name at that time
is then taken from the class of the data, which always belongs to the package. So no list of former names is needed.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from pkgutil import resolve_name
from typing import Any, NamedTuple

from torch import Tensor, nn

from litmlp import build, checkpoint_reader, run_folder
from litmlp.build import MARKS, Config
from litmlp.config_check import check_arguments, check_leaf, leaves, nodes
from litmlp.data import TabularData
from litmlp.errors import InputError
from litmlp.paths import find, portable
from litmlp.plain import NotPlain, plain
from litmlp.tasks import Task
from litmlp.training.compat import dispatch_mode

REBUILT = ("data", "network", "task")  # the parts that prediction needs
PATHS = ("path", "val_path", "test_path")  # keys of data that hold paths
OWN = __package__.partition(".")[0]
# Classes of torch that a checkpoint may name. MultiheadAttention is listed among the activations but is a layer.
FROM_TORCH = {*nn.modules.loss.__all__, *nn.modules.activation.__all__} - {"MultiheadAttention"}
MAX_VALUES, MAX_DEPTH = 100_000, 16  # of a description
# While a model is rebuilt, new tensors may have so many times the bytes and the number of the file's tensors, and so
# many more bytes and tensors in addition.
TIMES_FILE, EXTRA_BYTES, EXTRA_TENSORS = 20, 2**26, 1000
# Exceptions that a description or weights raise which do not fit the present code.
NOT_FITTING = (KeyError, IndexError, AttributeError, TypeError, ValueError, AssertionError, RuntimeError)


class Loaded(NamedTuple):
    """What a checkpoint was rebuilt to."""

    task: Task
    data: TabularData
    config: Config


def description(config: Config) -> Config:
    """Return the part of a config that a checkpoint stores: plain values, no path of this machine, no package name."""
    kept = {key: config[key] for key in (*REBUILT, "optimizer", "scheduler", "seed", "monitor", "mode")}
    paths = {key: portable(path) for key in PATHS if (path := kept["data"].get(key)) is not None}
    kept["data"] = kept["data"] | paths
    return _renamed(kept, OWN, "")


def resolve(checkpoint: str) -> Path:
    """Return the checkpoint's file: the path itself if it is a file, or `best.ckpt` if it is a run's folder."""
    path = find(checkpoint)
    if path.is_file():
        return path
    best = path / "checkpoints" / "best.ckpt"
    if best.is_file():
        return best
    if run_folder.has_config(path):
        raise InputError(
            f"the run in '{checkpoint}' has no checkpoints/best.ckpt yet: resume it, or choose another run"
        )
    raise InputError(f"'{checkpoint}' holds no checkpoints/best.ckpt: give a run's folder or a .ckpt file")


def read(path: Path) -> dict[str, Any]:
    """Return a checkpoint's content: tensors and plain values.

    Raises:
        InputError: the file is damaged, is no checkpoint, or holds other objects or weights that are not finite.
    """
    content = checkpoint_reader.read(path)
    if not isinstance(content, dict) or not all(
        isinstance(content.get(name), dict) for name in ("hyper_parameters", "state_dict")
    ):
        raise InputError(f"'{path}' is not a checkpoint of this project: train one with litmlp-train")
    _check_finite(content["state_dict"], path)
    return content


def _check_finite(weights: dict[str, Any], path: Path) -> None:
    if not all(isinstance(weight, Tensor) and bool(weight.isfinite().all()) for weight in weights.values()):
        raise InputError(f"'{path}' holds weights that are not finite numbers: give another checkpoint")


def load(path: Path) -> Loaded:
    """Rebuild the task and the data from nothing but a checkpoint.

    Raises:
        InputError: the file is damaged, or it names a class that is neither this package's nor one of torch's losses
            and activations, or it describes a network larger than the tensors that it holds.
    """
    content = read(path)
    config = harmless(content["hyper_parameters"], path)
    try:
        with _limited_by([*checkpoint_reader.tensors(content)]):
            data = build.data(config)
            data.load_state_dict(content[type(data).__qualname__])
            task = build.task(config, data.spec, trainable=False)
        task.load_state_dict(content["state_dict"])
    except NOT_FITTING as error:
        raise InputError(f"'{path}' does not fit this version of the project: {_first_line(error)}") from error
    return Loaded(task.eval(), data, config)


def load_weights(task: Task, path: Path, written: dict[str, Any] | None = None) -> None:
    """Copy a checkpoint's weights into `task`; both must have the same columns and layers.

    Args:
        task: the task.
        path: the checkpoint's file.
        written: the weights in the file, if this process has written them; the file is then not read.
    """
    if written is not None:
        _check_finite(written, path)
    try:
        task.load_state_dict(read(path)["state_dict"] if written is None else written)
    except RuntimeError as error:
        raise InputError(
            f"the weights in '{path}' do not fit this network, so it cannot start from them: {_first_line(error)}"
        ) from error


def harmless(config: Config, path: Path) -> Config:
    """Return a checkpoint's description of data, network and task, with this package's present name in each class.

    Raises:
        InputError: the description holds a value that is not plain, or a class that is neither this package's nor one
            of torch's losses and activations, or an argument that a class does not take or whose type is wrong.
    """
    try:
        given = plain({name: config.get(name) for name in REBUILT}, MAX_VALUES, MAX_DEPTH)
    except NotPlain as error:
        raise InputError(f"'{path}' describes its run by more than plain values ({error}): not loaded") from error
    if missing := [
        name for name in REBUILT if "_target_" not in (given[name] if isinstance(given[name], dict) else ())
    ]:
        raise InputError(f"'{path}' does not say what to build as {missing[0]}: train one with litmlp-train")
    former_package = next((str(node["_target_"]).partition(".")[0] for key, node in nodes(given) if key == "data"), "")
    renamed = _renamed(_renamed(given, former_package, OWN), "", OWN)
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


def _renamed(config: Any, package: str, new_package: str) -> Any:
    """Return `config` with `new_package.x` for each `_target_: package.x`."""
    if isinstance(config, list):
        return [_renamed(value, package, new_package) for value in config]
    if not isinstance(config, dict):
        return config
    renamed = {key: _renamed(value, package, new_package) for key, value in config.items()}
    first, dot, rest = str(renamed.get("_target_")).partition(".")
    return renamed | {"_target_": new_package + dot + rest} if dot and first == package else renamed


def _is_harmless(key: str, target: str) -> bool:
    if target.partition(".")[0] not in (OWN, "torch"):  # importing any other package could run code
        return False
    try:
        cls = resolve_name(target)
    except Exception:
        return False
    if not isinstance(cls, type):
        return False
    if cls.__module__.startswith("torch."):
        return key not in REBUILT and cls in [getattr(nn, name) for name in FROM_TORCH]
    base = {"data": TabularData, "task": Task}.get(key, nn.Module)
    return cls.__module__.startswith(f"{OWN}.") and issubclass(cls, base)


def _items(config: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(config, dict):
        for key, value in config.items():
            yield f"{path}.{key}", value
            yield from _items(value, f"{path}.{key}")
    if isinstance(config, list):
        for value in config:
            yield from _items(value, path)


@contextmanager
def _limited_by(tensors: Sequence[Tensor]) -> Iterator[None]:
    """Limit the tensors that are created in this context in proportion to a file's tensors; else raise RuntimeError."""
    num_bytes = TIMES_FILE * sum(tensor.nbytes for tensor in tensors) + EXTRA_BYTES
    with _Limit(num_bytes, TIMES_FILE * len(tensors) + EXTRA_TENSORS):
        yield


class _Limit(dispatch_mode()):  # type: ignore[misc]
    def __init__(self, num_bytes: int, num_tensors: int) -> None:
        super().__init__()
        self.num_bytes = num_bytes
        self.num_tensors = num_tensors

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = function(*args, **(kwargs or {}))
        if isinstance(result, Tensor) and not any(result is argument for argument in args):  # a new tensor
            self.num_bytes -= result.nbytes
            self.num_tensors -= 1
            if self.num_bytes < 0 or self.num_tensors < 0:
                raise RuntimeError("it describes a network that is larger than the weights that it holds")
        return result


def _first_line(error: BaseException) -> str:
    if isinstance(error, KeyError):
        return f"{error} is missing"
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return " ".join(lines[:2])[:300] or type(error).__name__
