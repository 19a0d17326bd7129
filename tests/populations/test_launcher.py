"""Hydra's own tests of launchers hold for ours."""

import warnings
from collections.abc import Iterator

import pytest
from hydra import version
from hydra.core.config_store import ConfigStore
from hydra.core.plugins import Plugins
from hydra.core.singleton import Singleton
from hydra.plugins.launcher import Launcher
from hydra.test_utils.launcher_common_tests import LauncherTestSuite

from hydra_plugins.litmlp_sweeps import PopulationLauncher

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # Hydra's tests rely on what later versions change
NODE = {"_target_": "hydra_plugins.litmlp_sweeps.PopulationLauncher"}


@pytest.fixture(autouse=True)
def _stored() -> Iterator[None]:
    state = Singleton.get_state()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        version.setbase("1.1")  # as where Hydra runs these tests: jobs change to their folders
    store = ConfigStore.instance()
    store.store(group="hydra/launcher", name="population", node=NODE)
    yield
    del store.repo["hydra"]["launcher"]["population.yaml"]  # the states share the store: `litmlp.cli` does not copy it
    Singleton.set_state(state)


def test_hydra_finds_the_launcher():
    assert PopulationLauncher.__name__ in [plugin.__name__ for plugin in Plugins.instance().discover(Launcher)]


@pytest.mark.parametrize(("launcher_name", "overrides"), [("population", [])])
class TestLauncher(LauncherTestSuite):
    pass
