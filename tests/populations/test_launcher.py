"""Hydra's own tests of launchers hold for ours."""

from collections.abc import Iterator

import pytest
from hydra.core.config_store import ConfigStore
from hydra.core.plugins import Plugins
from hydra.core.singleton import Singleton
from hydra.plugins.launcher import Launcher
from hydra.test_utils.launcher_common_tests import IntegrationTestSuite, LauncherTestSuite

from hydra_plugins.litmlp_sweeps import PopulationLauncher

NODE = {"_target_": "hydra_plugins.litmlp_sweeps.PopulationLauncher"}


@pytest.fixture(autouse=True)
def _stored() -> Iterator[None]:
    state = Singleton.get_state()
    ConfigStore.instance().store(group="hydra/launcher", name="population", node=NODE)
    yield
    Singleton.set_state(state)


def test_hydra_finds_the_launcher():
    assert PopulationLauncher.__name__ in [plugin.__name__ for plugin in Plugins.instance().discover(Launcher)]


@pytest.mark.parametrize(("launcher_name", "overrides"), [("population", [])])
class TestLauncher(LauncherTestSuite):
    pass


@pytest.mark.slow
@pytest.mark.parametrize(
    ("task_launcher_cfg", "extra_flags"), [({"defaults": [{"override hydra/launcher": "basic"}]}, [])]
)
class TestIntegration(IntegrationTestSuite):
    pass
