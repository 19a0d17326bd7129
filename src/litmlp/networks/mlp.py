"""The multilayer perceptron."""

from collections import OrderedDict
from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor, nn

from litmlp.data.columns import FIRST_LEVEL
from litmlp.data.spec import Spec
from litmlp.data.targets import ClassTarget
from litmlp.errors import did_you_mean, shown
from litmlp.networks.members import MemberLinear, MemberScaling, ScaledLinear
from litmlp.networks.numeric_embedding import NumericEmbedding


class MLP(nn.Module):
    """A network of fully connected layers. Each hidden layer is linear, followed by normalisation, activation, dropout.

    Categorical inputs are embedded, and the embeddings are concatenated with the numeric inputs. Without hidden layers
    and numeric embedding the network is exactly linear.

    With several members, it is an ensemble of networks that share nearly all weights (Gorishniy et al. 2025, "TabM:
    Advancing Tabular Deep Learning with Parameter-Efficient Ensembling"). Each member multiplies the inputs by a vector
    of its own and has a last layer of its own.

    Args:
        spec: the columns of the data; passed in when a run is built.
        hidden_sizes: width of each hidden layer; may be empty.
        activation: the name of an activation in `torch.nn`, such as `ReLU`, `Tanh`, `GELU`, `Identity`; if None, SELU
            for classes, as in Holzmüller et al. 2024, "Better by Default" (RealMLP), and ReLU for numbers.
        learned_identity: whether each hidden unit learns how much of its activation it replaces by the identity.
        dropout: fraction of hidden units that are set to 0 in each training step.
        normalization: `layer` or `none`.
        embedding: makes the embedding of F numeric inputs, given F; None for no embedding.
        scale_inputs: whether each input of the first layer is multiplied by a learned number.
        members: number of members M.
        member_layers: `first` if the members differ only before the first and in the last layer (TabM-mini), `all` if
            they also scale the inputs and outputs of each hidden layer (TabM).

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
        learned_identity: bool = False,
        dropout: float = 0.0,
        normalization: str = "none",
        embedding: Callable[[int], NumericEmbedding] | None = None,
        scale_inputs: bool = False,
        members: int = 1,
        member_layers: str = "first",
    ) -> None:
        super().__init__()
        if min(hidden_sizes, default=1) < 1:
            raise ValueError(f"hidden_sizes must be widths of 1 or more, not {hidden_sizes}")
        if members < 1:
            raise ValueError(f"members must be 1 or more, not {members}")
        if member_layers not in ("first", "all"):
            raise ValueError(
                f"member_layers is {shown(member_layers)}: {did_you_mean(member_layers, ['first', 'all'])}"
            )
        if activation is None:
            activation = "SELU" if isinstance(spec.target, ClassTarget) else "ReLU"
        self.numeric = embedding(len(spec.numeric)) if embedding and spec.numeric else None
        embeddings = [Embedding(size) for size in spec.categorical.values()]
        self.embeddings = nn.ModuleList(embeddings)
        width = len(spec.numeric) * (self.numeric.width if self.numeric else 1)
        width += sum(embedding.embedding_dim for embedding in embeddings)
        self.scales = InputScaling(width) if scale_inputs else None
        self.num_members = members
        self.members = MemberScaling(members, width, is_random=True) if members > 1 else None
        layers: list[nn.Module] = []
        for index, size in enumerate(hidden_sizes):
            is_scaled = members > 1 and member_layers == "all" and index > 0
            layers += [
                ScaledLinear(members, width, size) if is_scaled else nn.Linear(width, size),
                normalization_layer(normalization, size),
                LearnedIdentity(activation_layer(activation), size)
                if learned_identity
                else activation_layer(activation),
                Dropout(dropout) if dropout else nn.Identity(),
            ]
            width = size
        last = nn.Linear(width, spec.target.num_outputs)
        layers.append(last if members == 1 else MemberLinear(members, width, spec.target.num_outputs))
        # Identity layers are left out but still counted, so that the names of weights do not depend on the dropout.
        numbered = {str(i): layer for i, layer in enumerate(layers) if type(layer) is not nn.Identity}
        self.layers = nn.Sequential(OrderedDict(numbered))
        initialize_(self.layers, gain=variance_preserving_gain(activation))

    def adapt(self, numeric: Tensor, categorical: Tensor) -> None:
        """Learn what does not come from gradients from the inputs of the training rows, before training."""
        if self.numeric is not None:
            self.numeric.adapt(numeric)

    def forward(self, numeric: Tensor, categorical: Tensor) -> Tensor:
        """Map `[N, F]` numbers and `[N, C]` codes to `[N, O]`, or with several members to `[N, M, O]`."""
        inputs = numeric if self.numeric is None else self.numeric(numeric)
        if self.embeddings:
            embedded = [embed(codes) for embed, codes in zip(self.embeddings, categorical.unbind(1), strict=True)]
            inputs = torch.cat([inputs, *embedded], dim=1)
        if self.scales is not None:
            inputs = self.scales(inputs)
        if self.members is not None:
            inputs = self.members(inputs[:, None])
        return self.layers(inputs)


class Embedding(nn.Embedding):
    """A vector for each code. Its width grows slowly with the number of codes, by fastai's rule."""

    def __init__(self, num_codes: int) -> None:
        super().__init__(num_codes, min(64, round(1.6 * num_codes**0.56)))
        nn.init.normal_(self.weight, std=self.embedding_dim**-0.5)
        with torch.no_grad():
            self.weight[:FIRST_LEVEL] = 0  # the codes of unseen levels and missing cells have no effect until trained


class Dropout(nn.Dropout):
    """Sets a fraction of the units to 0 in training, and multiplies the others so that the mean stays the same.

    On the CPU it draws a byte for each unit, where torch draws a number of four bytes by a slower generator. This takes
    a quarter of the time. The fraction is rounded to a multiple of 1/256, but is never 0.
    """

    words: Tensor  # random numbers, given in a population only

    def forward(self, units: Tensor) -> Tensor:
        """Map units of any shape to units of the same shape."""
        if isinstance(self.p, Tensor):  # in a population, whose members differ in it
            return self._with(self.words, self.p, units) if self.training else units
        if not self.training or units.device.type != "cpu" or self.p == 1:
            return super().forward(units)
        num_dropped = min(max(round(256 * self.p), 1), 255)  # of 256 bytes
        words = torch.empty(num_words(units.numel()), dtype=torch.int64).random_(-(2**63), None)
        kept = words.view(torch.uint8)[: units.numel()].view(units.shape) >= num_dropped
        return units * kept.to(units.dtype).mul_(256 / (256 - num_dropped))

    @staticmethod
    def _with(words: Tensor, fraction: Tensor, units: Tensor) -> Tensor:
        num_dropped = (256 * fraction).round().clamp(1, 255)
        kept = words.view(torch.uint8)[: units.numel()].view(units.shape) >= num_dropped
        return torch.where(fraction < 1, units * (kept.to(units.dtype) * (256 / (256 - num_dropped))), 0.0 * units)


def num_words(num_units: int) -> int:
    """Return how many numbers of 64 bits have a byte for each unit."""
    return -(-num_units // 8)


class InputScaling(nn.Module):
    """Multiplies each input by a learned number, so that a network weighs whole inputs quickly.

    Source: Holzmüller et al. 2024, "Better by Default" (RealMLP), where these numbers have 6 times the learning rate.

    Args:
        width: number of inputs.
        speed: times the learning rate with which the factors change.
    """

    def __init__(self, width: int, speed: float = 6.0) -> None:
        super().__init__()
        self.speed = speed
        self.changes = nn.Parameter(torch.zeros(width))  # Adam's steps have the same size for any unit of a parameter

    def forward(self, inputs: Tensor) -> Tensor:
        """Map `[..., width]` to `[..., width]`."""
        return inputs * (1 + self.speed * self.changes)


class LearnedIdentity(nn.Module):
    """Mixes an activation with the identity; each unit learns the fraction of the activation, which starts at 1.

    Source: Holzmüller et al. 2024, "Better by Default" (RealMLP), where this fraction has a tenth of the learning rate.
    """

    def __init__(self, activation: nn.Module, width: int, speed: float = 0.1) -> None:
        super().__init__()
        self.activation = activation
        self.speed = speed
        self.changes = nn.Parameter(torch.zeros(width))

    def forward(self, units: Tensor) -> Tensor:
        """Map `[..., width]` to `[..., width]`."""
        return torch.lerp(units, self.activation(units), 1 + self.speed * self.changes)


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
        is_inner = linear is not layers[0] and linear is not layers[-1]
        nn.init.normal_(linear.weight, std=scale * (gain if is_inner else 1.0))
        nn.init.uniform_(linear.bias, -scale, scale)
    nn.init.zeros_(layers[-1].get_parameter("bias"))


@cache  # a stranger's ensemble may take only so much memory, and each of its many networks needs this
@torch.no_grad()
def variance_preserving_gain(activation: str) -> float:
    """Return 1 / sqrt(E[f(z)^2]) for a standard normal z: sqrt(2) for ReLU, 1 for the identity."""
    function = activation_layer(activation).double().eval()  # without chance, which a cached value would take away
    z = torch.linspace(-8, 8, 3201, dtype=torch.float64)
    density = torch.exp(-0.5 * z**2)
    return float((density.sum() / (density * function(z) ** 2).sum()) ** 0.5)
