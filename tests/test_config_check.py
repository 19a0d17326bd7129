import pytest

from conftest import SLOPE, compose_config
from litmlp.config_check import check, check_names
from litmlp.data import Spec
from litmlp.errors import InputError
from litmlp.paths import find


@pytest.fixture(autouse=True)
def _no_data_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("data was read")

    monkeypatch.setattr("litmlp.data.table.read_table", refuse)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["optimizer.lrr=0.1"], "no config key 'optimizer.lrr': did you mean 'lr'"),
        (["network.hidden_size=[3]"], "'network.hidden_size': did you mean 'hidden_sizes'"),
        (["trainer.max_epoch=3"], "'trainer.max_epoch': did you mean 'max_epochs'"),
        (["data.targets=x"], "'data.targets': did you mean 'target'"),
        (["+trainr.max_epochs=3"], "'trainr': did you mean 'trainer'"),
        (["callbacks.early_stoping.patience=3"], "did you mean 'early_stopping'"),
        (["network.hidden_sizes=3"], "network.hidden_sizes is 3, but should be of type list"),
        (["network.hidden_sizes=[a]"], r"network.hidden_sizes is \['a'\]"),
        (["optimizer.lr=fast"], "optimizer.lr is 'fast', but should be of type float"),
        (["trainer.max_epochs=2.5"], "trainer.max_epochs is 2.5"),
        (["network.dropout=much"], "network.dropout is 'much', but should be of type float"),
        (["threads=true"], "threads is True: use auto, or a whole number"),
        (["trainer.precision=bf16-mixed", "trainer.gradient_clip_val=1"], "bf16-mixed .*: add optimizer.fused=false"),
        (["trainer.precision=16-mixed", "trainer.gradient_clip_val=1"], "16-mixed .*: add optimizer.fused=false"),
        (["trainer.precision=bf16-true"], "bf16-true would .*: use bf16-mixed"),
        (["trainer.precision=16-true"], "16-true would .*: use 16-mixed"),
        (["optimizer.lr=-0.1"], "optimizer.lr is -0.1: a learning rate is above 0"),
        (["optimizer.lr=0"], "optimizer.lr is 0"),
        (["optimizer.weight_decay=-1"], "adamw_by_rows.*weight_decay=-1.*Invalid weight_decay value"),
        (["network.dropout=1.5"], "dropout=1.5.*between 0 and 1"),
        (["network.activation=relu"], "did you mean 'ReLU'"),
        (["network._target_=litmlp.networks.MPL"], "'litmlp.networks.MPL', which cannot be imported"),
        (["scheduler=cosine", "scheduler.warmup=2"], "warmup=2 must be a fraction"),
        (["data.val_size=0.9"], "val_size=0.9 and test_size=0.2"),
        (["data.batch_size=0"], "batch_size must be 1 or more, not 0"),
        (["data.scaling=robst"], "did you mean 'robust'"),
        (["monitor=val/rmsee"], "'val/rmsee', which is no metric of this task: did you mean 'val/rmse'"),
        (["monitor=val/accuracy"], "'val/accuracy', which is no metric of this task: known are val/loss"),
        (["monitor=val/r2"], "val/r2 is better the other way: add mode=max"),
        (["mode=least"], "mode is 'least': use min or max"),
        (["seed=-1"], "seed is -1: use a whole number from 0 to 4294967295"),
        (["seed=a"], "seed is 'a'"),
        (["threads=0"], "threads is 0: use auto, or a whole number"),
        (["~optimizer._target_"], "optimizer names no _target_"),
        (["task/loss=cross_entropy"], "task.loss: torch.nn.CrossEntropyLoss.* does not fit .*RegressionTask"),
        (["data=penguins", "task/loss=mse"], "task.loss: torch.nn.MSELoss.* does not fit .*ClassificationTask"),
        (["seed=4294967296"], "seed is 4294967296: use a whole number from 0 to 4294967295"),
        (["data.seed=-1"], "data.seed is -1: use a whole number"),
        (["network.dropout=nan"], "network.dropout is nan: give a finite number"),
        (["optimizer.betas=[0.9,inf]"], r"optimizer.betas\[1\] is inf: give a finite number"),
        (["data.batch_size=9223372036854775808"], "data.batch_size is 9223372036854775808: give a number below"),
        (["optimizer.lr=true"], "optimizer.lr is True, but should be of type float"),
        (["network.hidden_sizes=[true]"], r"network.hidden_sizes is \[True\], but should be of type list"),
        (["data=penguins", "data.path={}"], "data.path is {}, but should be of type str"),
        (["network.activation=Threshold"], "activation is 'Threshold', which needs more than its input"),
        (["network.activation=GLU"], "activation is 'GLU', which .* changes its size"),
        (["network.hidden_sizes=[1000000,1000000]"], "network would take .* TB of memory"),
        (["network=mlp", "network.embedding.num_frequencies=1000000000000"], "network would take .* TB of memory"),
        (["~trainer.max_epochs"], "trainer.max_epochs is not given"),
        (["trainer.max_epochs=-1"], "scheduler needs to know how many steps .* add scheduler=none"),
        (["trainer.max_epochs=0"], "trainer.max_epochs is 0: use a number of epochs from 1 up"),
        (["trainer.limit_train_batches=2.0"], "limit_train_batches is 2.0: use a whole number"),
        (["trainer.accumulate_grad_batches=0"], "accumulate_grad_batches is 0: use a whole number from 1 up"),
        (["trainer.check_val_every_n_epoch=0"], "check_val_every_n_epoch is 0: use a whole number from 1 up"),
        (["trainer.max_time=soon"], "trainer.max_time is 'soon': write days"),
        (
            ["callbacks.early_stopping.monitor=${data}"],
            "callbacks.early_stopping.monitor is {.* is no metric of this task",
        ),
        (
            ["callbacks.checkpoint.mode=max"],
            "callbacks.checkpoint.mode is max, .* other way: add callbacks.checkpoint.mode=min",
        ),
        (["callbacks.epoch_seed.seed=-1"], "callbacks.epoch_seed.seed is -1: use a whole number"),
        (["trainer.devices=0"], "trainer.devices is 0, .*: use trainer.devices=1"),
        (["trainer.logger=false"], "trainer.logger is set when .* use the group logger"),
        (["callbacks.progress._target_=torch.nn.Linear"], "must be a callback"),
        (["logger.tensorboard._target_=litmlp.callbacks.Graph"], "must be a logger"),
        (["trainer._target_=builtins.dict"], "must be lightning.pytorch.Trainer or a subclass"),
        (["optimizer._target_=torch.nn.ReLU"], "must be an optimizer"),
        (
            ["optimizer=adamw", "optimizer._target_=torch.optim.LBFGS", "~optimizer.weight_decay", "~optimizer.fused"],
            "is refused",
        ),
        (["trainer.devices=2"], "trainer.devices=2 with strategy auto .* add trainer=ddp"),
        (["trainer=ddp", "trainer.strategy=ddp"], "strategy ddp .* add trainer=ddp"),
    ],
)
def test_a_mistake_is_one_sentence_before_data_is_read(config, overrides: list[str], message: str):
    with pytest.raises(InputError, match=message) as caught:
        check(config(*overrides))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "overrides",
    [
        [],
        ["data=adult", "monitor=val/accuracy", "mode=max"],
        ["trainer.limit_train_batches=0.5", "optimizer.betas=[0.8,0.9]", "network.hidden_sizes=[]"],
        ["data=penguins", "data.val_size=0.3", "data.weight_column=year"],
        ["seed=0"],
    ],
)
def test_what_is_right_passes_though_no_yaml_file_lists_it(config, overrides: list[str]):
    check(config(*overrides))


def test_what_is_taken_out_counts_as_none_or_is_missed(config):
    check(config("~logger", "~scheduler", "callbacks=[]"))
    with pytest.raises(InputError, match="the config has no threads, but a run needs it: leave ~threads out"):
        check(config("~threads"))


def test_a_refusal_names_the_values_in_question_alone(config):
    with pytest.raises(InputError) as caught:
        check(config("optimizer=adamw", "optimizer.weight_decay=-1"))
    assert (
        str(caught.value)
        == "optimizer: litmlp.training.optimizers.AdamW(weight_decay=-1) is refused: Invalid weight_decay value: -1"
    )


def test_the_guard_of_this_file_works():
    from litmlp.data import NumericTarget, TableData

    with pytest.raises(AssertionError, match="data was read"):
        TableData(str(find("data/penguins.csv")), "species", NumericTarget).setup()


def test_a_name_that_is_a_number_has_no_wrong_type():
    config = compose_config(*SLOPE)
    config["data"] |= {"target": 2, "ignore": [7]}  # as YAML reads names in a file of conf/
    check_names(config)


def test_a_wrong_class_is_told_before_the_task_is_chosen():
    table = ("data=table", "data.path=missing.csv", "data.target=y")
    config = compose_config(*table, "callbacks.progress._target_=torch.nn.Linear")
    assert config["task"]["_target_"] is None
    with pytest.raises(InputError, match="must be a callback"):
        check_names(config)


def test_a_mistake_is_told_each_time():
    for _ in range(2):
        with pytest.raises(InputError, match=r"dropout=1.5.*between 0 and 1"):
            check(compose_config(*SLOPE, "network.dropout=1.5"))
        with pytest.raises(InputError, match=r"'network.hidden_size': did you mean 'hidden_sizes'"):
            check(compose_config(*SLOPE, "network.hidden_size=[3]"))
        check(compose_config(*SLOPE))


def test_another_class_of_the_same_name_is_checked_anew(monkeypatch: pytest.MonkeyPatch):
    from litmlp.networks import MLP

    class Narrow(MLP):
        def __init__(self, spec: Spec, width: int = 1) -> None:
            raise ValueError("it is too narrow")

    settings = compose_config(*SLOPE, "network=relu")
    check(settings)
    monkeypatch.setattr("litmlp.networks.MLP", Narrow)
    with pytest.raises(InputError, match="there is no config key 'network"):
        check(settings)
    settings["network"] = {"_target_": "litmlp.networks.MLP"}
    with pytest.raises(InputError, match="it is too narrow"):
        check(settings)
