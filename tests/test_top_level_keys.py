"""The table of top-level keys is what the config has, and each advice in it works."""

import pytest
import yaml

from conftest import compose_config
from litmlp.config_check import check
from litmlp.errors import InputError
from litmlp.paths import CONF
from litmlp.top_level_keys import KEYS

WRONG_AND_RIGHT = {  # values that are refused, and what the advice tells to give instead
    "seed": (["-1", "4294967296", "1.5", "a"], ["0", "4294967295"]),
    "threads": (["0", "1025", "all", "true"], ["auto", "1", "1024"]),
    "monitor": (["1", "true"], ["val/loss"]),
    "compile": (["maybe", "1"], ["true", "false"]),
    "matmul_precision": (["low", "1", "null", "[high]"], ["highest", "high", "medium"]),
    "data_on_device": (["1", "cuda"], ["auto", "true", "false"]),
    "resume": (["1", "true"], ["null", "runs/a"]),
    "init_from": (["1", "true"], ["null", "runs/a"]),
}


def test_the_table_has_the_keys_of_the_config_and_no_others():
    written = yaml.safe_load((CONF / "train.yaml").read_text())
    groups = {name for one in written["defaults"] if isinstance(one, dict) for name in one if " " not in name}
    assert {*KEYS} == {*written} - {"defaults", "hydra"} | groups - {"experiment", "sweep"}


def test_each_key_that_has_an_advice_is_tried_here():
    assert {key for key, rule in KEYS.items() if rule.advice} == {*WRONG_AND_RIGHT}


@pytest.mark.parametrize("key", WRONG_AND_RIGHT)
def test_who_follows_the_advice_succeeds(key: str):
    config, (wrong, right) = compose_config("data=penguins"), WRONG_AND_RIGHT[key]
    for value in map(yaml.safe_load, wrong):
        with pytest.raises(InputError) as error:
            check(config | {key: value})
        assert str(error.value).startswith(f"{key} is ")
        assert str(error.value).endswith(KEYS[key].advice)
    for value in map(yaml.safe_load, right):
        check(config | {key: value})
