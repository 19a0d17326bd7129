"""The multilayer perceptron."""

from collections import OrderedDict

import torch
from torch import Tensor, nn

from litmlp.data.columns import FIRST_LEVEL
from litmlp.data.spec import Spec
from litmlp.data.targets import ClassTarget
from litmlp.errors import did_you_mean, shown
from litmlp.networks.numeric_embedding import PeriodicEmbedding


class MLP(nn.Module):
    """A network of fully connected layers. Each hidden layer is linear, followed by normalisation, activation, dropout.

    Categorical inputs are embedded, and the embeddings are concatenated with the numeric inputs. Without hidden layers
    and frequencies the network is exactly linear.

    Args:
        spec: the columns of the data; passed in when a run is built.
        hidden_sizes: width of each hidden layer; may be empty.
        activation: the name of an activation in `torch.nn`, such as `ReLU`, `Tanh`, `GELU`, `Identity`; if None, SELU
            for classes, as in Holzmüller et al. 2024, "Better by Default" (RealMLP), and ReLU for numbers.
        dropout: fraction of hidden units that are set to 0 in each training step.
        normalization: `layer` or `none`.
        num_frequencies: number of cosines that embed each numeric input (see PeriodicEmbedding); 0 for no embedding.

    Example:
        >>> from litmlp.data import ClassTarget, Spec
        >>> network = MLP(Spec.example(ClassTarget), hidden_sizes=[8])
        >>> network(torch.zeros(5, 2), torch.zeros(5, 1, dtype=torch.int64)).shape
        torch.Size([5, 2])
    """

    def __init__(
        self,
        spec: Spec,
        hidden_sizes: list[int],
        activation: str | None = None,
        dropout: float = 0.0,
        normalization: str = "none",
        num_frequencies: int = 0,
    ) -> None:
        super().__init__()
        if min(hidden_sizes, default=1) < 1:
            raise ValueError(f"hidden_sizes must be widths of 1 or more, not {hidden_sizes}")
        if activation is None:
            activation = "SELU" if isinstance(spec.target, ClassTarget) else "ReLU"
        if num_frequencies < 0:
            raise ValueError(f"num_frequencies must be 0 or more, not {num_frequencies}")
        periodic = PeriodicEmbedding(len(spec.numeric), num_frequencies) if num_frequencies else None
        self.numeric = periodic
        embeddings = [Embedding(size) for size in spec.categorical.values()]
        self.embeddings = nn.ModuleList(embeddings)
        width = len(spec.numeric) * (periodic.width if periodic else 1)
        width += sum(embedding.embedding_dim for embedding in embeddings)
        layers: list[nn.Module] = []
        for size in hidden_sizes:
            layers += [
                nn.Linear(width, size),
                normalization_layer(normalization, size),
                activation_layer(activation),
                nn.Dropout(dropout) if dropout else nn.Identity(),
            ]
            width = size
        layers.append(nn.Linear(width, spec.target.num_outputs))
        # Identity layers are left out but still counted, so that the names of weights do not depend on the dropout.
        numbered = {str(i): layer for i, layer in enumerate(layers) if type(layer) is not nn.Identity}
        self.layers = nn.Sequential(OrderedDict(numbered))
        initialize_(self.layers, gain=variance_preserving_gain(activation_layer(activation)))

    def forward(self, numeric: Tensor, categorical: Tensor) -> Tensor:
        """Map `[N, F]` numbers and `[N, C]` codes to `[N, O]`."""
        inputs = numeric if self.numeric is None else self.numeric(numeric)
        if self.embeddings:
            embedded = [embed(codes) for embed, codes in zip(self.embeddings, categorical.unbind(1), strict=True)]
            inputs = torch.cat([inputs, *embedded], dim=1)
        return self.layers(inputs)


class Embedding(nn.Embedding):
    """A vector for each code. Its width grows slowly with the number of codes, by fastai's rule."""

    def __init__(self, num_codes: int) -> None:
        super().__init__(num_codes, min(64, round(1.6 * num_codes**0.56)))
        nn.init.normal_(self.weight, std=self.embedding_dim**-0.5)
        with torch.no_grad():
            self.weight[:FIRST_LEVEL] = 0  # the codes of unseen levels and missing cells have no effect until trained


def activation_layer(name: str) -> nn.Module:
    """Return a new activation of `torch.nn`; raise ValueError if it does not exist or changes the number of units."""
    known = [*nn.modules.activation.__all__, "Identity"]
    if name not in known:
        raise ValueError(f"activation is {shown(name)}, which torch.nn does not have: {did_you_mean(name, known)}")
    try:
        layer = getattr(nn, name)()
        keeps_units = layer.eval()(torch.zeros(2, 3)).shape == (2, 3)
    except (TypeError, ValueError, RuntimeError):
        keeps_units = False
    if not keeps_units:
        raise ValueError(f"activation is '{name}', which needs more than its input, or changes its size: use ReLU")
    return layer.train()


def normalization_layer(name: str, size: int) -> nn.Module:
    """Return a new layer that normalises the `size` units of a row, or for `none` an identity layer."""
    kinds = {"none": nn.Identity, "layer": nn.LayerNorm}
    if name not in kinds:
        raise ValueError(f"normalization is {shown(name)}: {did_you_mean(name, kinds)}")
    return kinds[name](size)


@torch.no_grad()
def initialize_(layers: nn.Sequential, gain: float) -> None:
    """Draw weights that keep the variance of a row's units from layer to layer.

    Weights have the standard deviation gain / sqrt(inputs). The gain is 1 in the first layer, whose inputs are
    standardised, and in the last layer. For ReLU this is He's initialisation (He et al. 2015), for SELU LeCun's. Biases
    are random, so that the units of a network with few inputs do not all bend at the same point.
    """
    linears = [layer for layer in layers if isinstance(layer, nn.Linear)]
    for linear in linears:
        scale = linear.in_features**-0.5
        is_inner = linear is not linears[0] and linear is not linears[-1]
        nn.init.normal_(linear.weight, std=scale * (gain if is_inner else 1.0))
        nn.init.uniform_(linear.bias, -scale, scale)
    nn.init.zeros_(linears[-1].bias)


@torch.no_grad()
def variance_preserving_gain(activation: nn.Module) -> float:
    """Return 1 / sqrt(E[f(z)^2]) for a standard normal z: sqrt(2) for ReLU, 1 for the identity."""
    z = torch.linspace(-8, 8, 3201, dtype=torch.float64)
    density = torch.exp(-0.5 * z**2)
    return float((density.sum() / (density * activation.double()(z) ** 2).sum()) ** 0.5)
