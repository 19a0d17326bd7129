"""The network of an ensemble: networks that were trained one by one, whose predictions are averaged."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from litmlp.data.spec import Spec


class Span(NamedTuple):
    """The inputs of a member among those of the ensemble.

    Attributes:
        numeric: the first of its numeric inputs, and the one after the last.
        categorical: the same for its categorical inputs.
    """

    numeric: slice
    categorical: slice

    @classmethod
    def of(cls, ends: Sequence[int]) -> "Span":
        """Return the span for four numbers: where the numeric, then the categorical inputs begin and end."""
        first_numeric, end_numeric, first_code, end_code = ends
        return cls(slice(first_numeric, end_numeric), slice(first_code, end_code))

    def spec(self, spec: Spec) -> Spec:
        """Return the part of the ensemble's `spec` that a member was built from."""
        codes = list(spec.categorical.items())[self.categorical]
        return Spec(spec.numeric[self.numeric], dict(codes), spec.target)


class Ensemble(nn.Module):
    """Averages the predictions of networks, as values in the target's own units, or as probabilities of classes.

    The networks may have been trained on different rows of a table. Each then has inputs of its own, which were scaled
    by its own training rows. Its outputs are multiplied by its row of `scale`, and its row of `shift` is added, so that
    numbers of all are standardised in the same way. Class scores are divided by its temperature.

    Args:
        spec: the inputs of all members; passed in when a run is built.
        members: makes each network, given the `spec` of its inputs.
        spans: where the inputs of each member begin and end, see `Span.of`.
        weights: of each member in the average, above 0 and at most 1, relative to each other.
        common_splits: the splits that hold the same rows for all members.
    """

    shift: Tensor
    scale: Tensor
    temperatures: Tensor
    weights: Tensor

    def __init__(
        self, spec: Spec, members: list[Any], spans: list[list[int]], weights: list[float], common_splits: list[str]
    ) -> None:
        super().__init__()
        if not len(members) == len(spans) == len(weights) > 0:
            raise ValueError(f"{len(members)} members have {len(spans)} spans and {len(weights)} weights")
        if not 0 < min(weights) <= max(weights) <= 1:
            raise ValueError("each weight of a member must be above 0, and at most 1")
        self.spans = [Span.of(ends) for ends in spans]
        self.members = nn.ModuleList(make(spec=span.spec(spec)) for make, span in zip(members, self.spans, strict=True))
        self.target = spec.target
        self.common_splits = common_splits
        self.register_buffer("weights", torch.tensor([w / sum(weights) for w in weights]), persistent=False)
        self.register_buffer("temperatures", torch.ones(len(members)))
        self.register_buffer("scale", torch.ones(len(members), spec.target.num_outputs))
        self.register_buffer("shift", torch.zeros(len(members), spec.target.num_outputs))

    def forward(self, numeric: Tensor, categorical: Tensor) -> Tensor:
        """Map `[N, F]` numbers and `[N, C]` codes to `[N, O]`."""
        outputs = [
            self._aligned(index, member(numeric[:, span.numeric], categorical[:, span.categorical]))
            for index, (member, span) in enumerate(zip(self.members, self.spans, strict=True))
        ]
        return self.target.mean_of(torch.stack(outputs, dim=1), self.weights)

    def _aligned(self, index: int, output: Tensor) -> Tensor:
        output = output * self.scale[index] + self.shift[index]
        mean = output if output.ndim == 2 else self.target.mean_of(output)
        return mean / self.temperatures[index]
