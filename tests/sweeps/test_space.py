from collections.abc import Iterator
from typing import Any

import pytest
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra

from litmlp import paths
from litmlp.errors import InputError
from litmlp.sweeps import space


@pytest.fixture
def loader() -> Iterator[Any]:
    with initialize_config_dir(str(paths.CONF), version_base="1.3"):
        yield GlobalHydra.instance().config_loader()


def values(text: str, loader: Any) -> list[str]:
    ((_, override),) = space.parse(None, [text], loader).items()
    return space.values(override)


def distribution(text: str, loader: Any) -> space.Distribution:
    ((_, override),) = space.parse(None, [text], loader).items()
    return space.distribution(override)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x=1,2", ["1", "2"]),
        ("x=choice(1,2)", ["1", "2"]),
        ("x=1e-3,0.5", ["0.001", "0.5"]),
        ("x=null,balanced", ["null", "balanced"]),
        ("x=true,false", ["True", "False"]),
        ("x=[4],[8,8]", ["[4]", "[8,8]"]),
        ("x={a:1},{a:2}", ["{a:1}", "{a:2}"]),
        ("x='two words',one", ["'two words'", "one"]),
        ("x='a,b',c", ["'a,b'", "c"]),
        ("x=range(3)", ["0", "1", "2"]),
        ("x=range(1,10,step=3)", ["1", "4", "7"]),
        ("x=range(5,0,-2)", ["5", "3", "1"]),
        ("x=range(0,1,0.25)", ["0.0", "0.25", "0.5", "0.75"]),
        ("x=sort(3,1,2)", ["1", "2", "3"]),
    ],
)
def test_a_grid_lists_the_values_of_an_axis(text: str, expected: list[str], loader: Any):
    assert values(text, loader) == expected


def test_glob_means_the_options_of_a_group(loader: Any):
    options = sorted(path.stem for path in (paths.CONF / "optimizer").glob("*.yaml"))
    assert len(options) > 1
    assert values("optimizer=glob(*)", loader) == options
    assert values("optimizer=glob(a*)", loader) == [option for option in options if option.startswith("a")]
    assert values("optimizer=glob(*,exclude=sgd)", loader) == [option for option in options if option != "sgd"]


@pytest.mark.parametrize("text", ["x=interval(0,1)", "x=int(interval(1,3))", "x=tag(log,interval(1,2))"])
def test_a_grid_refuses_intervals(text: str, loader: Any):
    with pytest.raises(InputError, match=r"^x is an interval, which a grid cannot enumerate: "):
        values(text, loader)


@pytest.mark.parametrize("find", [values, distribution])
def test_an_empty_range_is_refused(find: Any, loader: Any):
    with pytest.raises(InputError, match=r"^x is an empty range: "):
        find("x=range(3,3)", loader)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x=choice(1,0.5,a)", {"choices": [1, 0.5, "a"]}),
        ("x=true,false", {"choices": [True, False]}),
        ("x=null,balanced", {"choices": ["null", "balanced"]}),
        ("x=[4],[8,8]", {"choices": ["[4]", "[8,8]"]}),
        ("x=range(1,10,step=3)", {"low": 1, "high": 7, "step": 3}),
        ("x=range(1,10)", {"low": 1, "high": 9, "step": 1}),
        ("x=range(0,1,0.25)", {"low": 0.0, "high": 0.75, "step": 0.25}),
        ("x=range(4,5)", {"choices": [4]}),
        ("x=range(5,0,-2)", {"choices": [5, 3, 1]}),
        ("x=interval(0,1.5)", {"low": 0.0, "high": 1.5, "log": False}),
        ("x=int(interval(1,5))", {"low": 1, "high": 5, "log": False}),
        ("x=tag(log,interval(1e-4,1e-1))", {"low": 1e-4, "high": 1e-1, "log": True}),
        ("x=tag(log,int(interval(1,64)))", {"low": 1, "high": 64, "log": True}),
    ],
)
def test_a_search_draws_from_the_grammars_distributions(text: str, expected: space.Distribution, loader: Any):
    assert repr(distribution(text, loader)) == repr(expected)  # 1 is not 1.0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x=interval(5,1)", "^x is an empty interval from 5.0 to 1.0: "),
        ("x=interval(1,1)", "^x is an empty interval from 1.0 to 1.0: "),
        ("++x.y=tag(log,interval(0,1))", "^x.y is a logarithmic interval from 0.0: "),
        ("x=tag(log,interval(-1,1))", "^x is a logarithmic interval from -1.0: "),
    ],
)
def test_what_cannot_be_drawn_from_is_refused(text: str, message: str, loader: Any):
    with pytest.raises(InputError, match=message):
        distribution(text, loader)


def test_a_logarithmic_range_is_not_taken_for_a_linear_one(loader: Any):
    try:
        found = distribution("x=tag(log,range(1,1000))", loader)
    except InputError:
        return
    assert found["log"]


def test_what_is_typed_wins_over_what_is_configured(loader: Any):
    params = {"optimizer.lr": "choice(1,2)", "seed": "0,1", "monitor": "val/loss"}
    axes = space.parse(params, ["++optimizer.lr=5", "++network.dropout=0,0.1", "threads=1"], loader)
    assert {key: space.values(axis) for key, axis in axes.items()} == {
        "seed": ["0", "1"],
        "++network.dropout": ["0", "0.1"],
    }
    axes = space.parse(params, ["++optimizer.lr=3,4"], loader)
    assert space.values(axes["++optimizer.lr"]) == ["3", "4"]


def test_configured_values_that_do_not_vary_are_fixed():
    assert space.fixed({"optimizer.lr": "choice(1,2)", "monitor": "val/rmse", "network.dropout": 0.1}) == [
        "monitor=val/rmse",
        "++network.dropout=0.1",
    ]
    assert space.fixed(None) == []


def test_a_configured_choice_may_hold_null(loader: Any):
    axes = space.parse({"task.class_weights": "choice(null, balanced)"}, [], loader)
    assert [space.values(axis) for axis in axes.values()] == [["null", "balanced"]]


def test_keys_are_shown_without_marks():
    assert space.shown("++optimizer.lr") == "optimizer.lr"
    assert space.shown("seed") == "seed"


@pytest.mark.parametrize(
    ("plain", "value", "expected"),
    [
        ({"choices": ["[128,128]", "[256]"]}, [128, 128], "[128,128]"),
        ({"choices": ["[128,128]", "[256]"]}, [128], None),
        ({"choices": [4, 8]}, 8, 8),
        ({"choices": ["first", "all"]}, "all", "all"),
        ({"choices": ["null", 1]}, None, "null"),
        ({"choices": [1, 2]}, None, None),
        ({"low": 1e-3, "high": 1e-2, "log": True}, 1e-3, 1e-3),
        ({"low": 1e-3, "high": 1e-2, "log": True}, 0.5, None),
        ({"low": 1, "high": 7, "step": 3}, 4, 4),
        ({"low": 1, "high": 7, "step": 3}, 5, None),
        ({"low": 0, "high": 1, "log": False}, True, None),
        ({"low": 0, "high": 1, "log": False}, "much", None),
    ],
)
def test_a_value_of_a_config_is_one_of_those_searched_or_none(plain: dict, value: object, expected: object):
    found = space.fitting(plain, value)
    assert found == expected
    assert type(found) is type(expected)


def test_the_default_of_a_key_is_that_of_the_config_or_of_the_constructor_it_names():
    config = {"network": {"_target_": "litmlp.networks.MLP", "dropout": 0.25, "embedding": {"bins": 3}}, "seed": 4}
    defaults = {"++network.dropout": 0.25, "network.members": 1, "network.embedding.bins": 3, "seed": 4}
    assert {key: space.default(config, key) for key in defaults} == defaults
    assert [space.default(config, key) for key in ("network.spec", "network.nothing", "a.b", "seed.b")] == [None] * 4
