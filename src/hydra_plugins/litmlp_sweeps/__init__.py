"""Where Hydra looks for sweepers and launchers."""

from litmlp.populations.launcher import PopulationLauncher as _PopulationLauncher
from litmlp.sweeps.ray import RayLauncher as _RayLauncher
from litmlp.sweeps.sweeper import Grid as _Grid
from litmlp.sweeps.sweeper import Search as _Search


class GridSweeper(_Grid):
    """See `litmlp.sweeps.sweeper.Grid`."""


class SearchSweeper(_Search):
    """See `litmlp.sweeps.sweeper.Search`."""


class RayLauncher(_RayLauncher):
    """See `litmlp.sweeps.ray.RayLauncher`."""


class PopulationLauncher(_PopulationLauncher):
    """See `litmlp.populations.launcher.PopulationLauncher`."""
