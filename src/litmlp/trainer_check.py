"""Checks the settings of the trainer: refuses early what Lightning would refuse late or understand differently."""

from collections.abc import Callable
from typing import Any

from litmlp.errors import InputError

Config = dict[str, Any]
Rule = tuple[Callable[[Any], bool], str]  # tells whether a value is valid; the values to use instead, in words


def _whole(least: int) -> Rule:
    return lambda value: value >= least, f"a whole number from {least} up"


def _limit(unit: str) -> Rule:
    return lambda value: value == -1 or value >= 1, f"a number of {unit} from 1 up, or -1 for no limit"


def _batches(least: int) -> Rule:
    # As in Lightning: the whole number 1 means one batch, and 1.0 means all batches.
    words = f"a whole number of batches from {least} up, or a fraction with a decimal point, above 0 and up to 1.0"
    return lambda value: value >= least if isinstance(value, int) else 0 < value <= 1, words


RULES: dict[str, Rule] = {
    "max_epochs": _limit("epochs"),
    "max_steps": _limit("steps"),
    **dict.fromkeys(("min_epochs", "min_steps", "log_every_n_steps", "reload_dataloaders_every_n_epochs"), _whole(0)),
    **dict.fromkeys(("accumulate_grad_batches", "check_val_every_n_epoch"), _whole(1)),
    **dict.fromkeys(("limit_train_batches", "val_check_interval"), _batches(1)),
    **dict.fromkeys(("limit_val_batches", "limit_test_batches", "limit_predict_batches"), _batches(0)),
    "overfit_batches": (lambda value: value >= 0 if isinstance(value, int) else 0 <= value <= 1, _batches(0)[1]),
    "num_sanity_val_steps": (lambda value: value >= -1, "a whole number from 0 up, or -1 for all batches"),
    "num_nodes": (lambda value: value == 1, "1, for a run uses one machine only"),
    "gradient_clip_val": (lambda value: value > 0, "a number above 0, or null for no clipping"),
    "gradient_clip_algorithm": (lambda value: value in ("norm", "value"), "norm or value"),
}
ELSEWHERE = {"callbacks": "the group callbacks", "logger": "the group logger", "default_root_dir": "hydra.run.dir"}


def check_trainer(config: Config) -> None:
    """Raise InputError for settings with which the trainer would not train, or not as the user expects."""
    trainer = config["trainer"]
    for name, instead in ELSEWHERE.items():
        if name in trainer:
            raise InputError(f"trainer.{name} is set when the trainer is built: leave it out, and use {instead}")
    for name, (is_valid, words) in RULES.items():
        value = trainer.get(name)
        if isinstance(value, int | float) and not is_valid(value):
            raise InputError(f"trainer.{name} is {value}: use {words}")
    if has_no_end(trainer) and trainer.get("max_epochs") is None and not trainer.get("max_time"):
        raise InputError("trainer.max_epochs is not given: add trainer.max_epochs=60, or -1 for no limit")
    check_processes(trainer)
    check_precision(config)


def has_no_end(trainer: Config) -> bool:
    """Tell whether neither epochs nor steps are limited, so that the total number of steps is unknown."""
    return trainer.get("max_epochs") in (None, -1) and trainer.get("max_steps") in (None, -1)


def check_processes(trainer: Config) -> None:
    """Raise InputError for no process, and for several processes that would each run the whole command again."""
    devices, strategy = trainer.get("devices", 1), trainer.get("strategy", "auto")
    if str(devices).strip("[]") == "" or str(devices) == "0":
        raise InputError(f"trainer.devices is {devices}, but a run needs a process: use trainer.devices=1")
    starts_inside = any(word in str(strategy) for word in ("spawn", "fork", "notebook"))
    if (str(devices) not in ("1", "[0]") or "ddp" in str(strategy)) and not starts_inside:
        raise InputError(
            f"trainer.devices={devices} with strategy {strategy} would start the whole run again in each process"
            ": add trainer=ddp"
        )


def check_precision(config: Config) -> None:
    """Raise InputError for weights in half precision, and for mixed precision with a fused optimizer and clipping."""
    precision, clips = config["trainer"].get("precision"), config["trainer"].get("gradient_clip_val") is not None
    if precision in ("bf16-true", "16-true"):
        mixed = precision.replace("true", "mixed")
        raise InputError(
            f"trainer.precision={precision} would keep the weights themselves in half precision, too coarse for small "
            f"steps: use {mixed}, which computes in it"
        )
    if clips and "mixed" in str(precision) and config["optimizer"].get("fused"):
        raise InputError(
            f"trainer.gradient_clip_val with trainer.precision={precision} needs a loop over parameters"
            ": add optimizer.fused=false"
        )
