"""The task that predicts numbers."""

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer

from litmlp.data.spec import Spec
from litmlp.data.targets import NumericTarget, Target
from litmlp.tasks import metrics
from litmlp.tasks.metrics import Metric
from litmlp.tasks.task import Task


class RegressionTask(Task):
    """Learns standardised targets; predictions and metrics are in the target's own units.

    Args:
        network: maps `[N, F]` numbers and `[N, C]` codes to `[N, O]`; passed in when a run is built.
        spec: the columns of the data; passed in likewise.
        loss: compares `[N, O]` outputs with standardised targets; the mean squared error by default.
        optimizer: see Task.
        scheduler: see Task.
        l1: see Task.
    """

    target_type = NumericTarget
    target: NumericTarget

    def __init__(
        self,
        network: nn.Module,
        spec: Spec,
        loss: nn.Module | None = None,
        optimizer: Callable[..., Optimizer] | None = None,
        scheduler: Callable[..., Any] | None = None,
        l1: float = 0.0,
    ) -> None:
        super().__init__(network, spec, loss or nn.MSELoss(), optimizer, scheduler, l1)

    @staticmethod
    def build_metrics(target: Target) -> dict[str, Metric]:
        """Return root mean squared error, mean absolute error, and coefficient of determination."""
        return {
            "rmse": Metric(metrics.root_mean_squared_error, "min", takes_tables=True),
            "mae": Metric(metrics.mean_absolute_error, "min", takes_tables=True),
            "r2": Metric(metrics.coefficient_of_determination, "max", takes_tables=True),
        }

    def predict(self, output: Tensor) -> Tensor:
        """Return values in the target's own units, `[N, O] float64` on the CPU."""
        return self.target.scaling.in_own_units(output)

    def compared(self, output: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Return both in the target's own units. The mean is left out, because it cancels in differences."""
        in_own_units = self.target.scaling.in_own_units
        return in_own_units(output, with_mean=False), in_own_units(target, with_mean=False)
