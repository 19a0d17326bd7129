import pytest
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.types import RunMode
from omegaconf import OmegaConf

from litmlp.paths import CONF
from litmlp.sweeps import composer
from litmlp.sweeps.composer import Composer


@pytest.mark.parametrize(
    "overrides",
    [
        [],
        ["++optimizer.lr=0.5"],
        ["network=linear", "data=penguins"],
        ["++network.hidden_sizes=[3,4]", "network=relu"],
        ["task/loss=huber", "++task.loss.delta=2.0", "seed=7"],
        ["hydra.sweep.subdir='12'", "++callbacks.early_stopping.patience=3", "~callbacks.progress"],
        ["++data.anything={a: 1}", "experiment=adult_balanced"],
    ],
)
def test_configs_are_hydras_own(overrides: list[str], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(composer, "_composed", {})
    with initialize_config_dir(str(CONF), version_base="1.3"):
        loader = GlobalHydra.instance().config_loader()
        master = loader.load_configuration("train", ["data=adult", "hydra.mode=MULTIRUN"], RunMode.MULTIRUN)
        remembers = Composer(loader)
        for given in (overrides, [*overrides, "seed=11"], overrides):  # from what was composed before, too
            expected = OmegaConf.to_container(loader.load_sweep_config(master, given))
            found = OmegaConf.to_container(remembers.load_sweep_config(master, given))
            for config in (expected, found):
                del config["hydra"]["job"]["override_dirname"]
                config["hydra"]["overrides"]["task"] = sorted(config["hydra"]["overrides"]["task"])
            assert found == expected


def test_a_key_that_is_not_there_is_refused_as_by_hydra():
    with initialize_config_dir(str(CONF), version_base="1.3"):
        loader = GlobalHydra.instance().config_loader()
        master = loader.load_configuration("train", ["data=adult", "hydra.mode=MULTIRUN"], RunMode.MULTIRUN)
        messages = []
        for each in (loader, Composer(loader)):
            with pytest.raises(Exception, match="nowhere") as caught:
                each.load_sweep_config(master, ["nowhere=1"])
            messages.append(str(caught.value))
        assert messages[0] == messages[1]
