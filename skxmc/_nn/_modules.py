"""Networks on sparse rows."""

import math
from itertools import pairwise
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from skxmc._nn._sparse import SparseLinear
from skxmc._nn._steady import steady_linear


class SteadyLinear(nn.Linear):
    """Linear layer that, in evaluation, rounds a row alike wherever it stands.

    Its weights are not set to anything when it is made.
    """

    def reset_parameters(self):
        """Leave torch's global generator alone."""

    def forward(self, h):
        """Map (n, in_features) to (n, out_features)."""
        if self.training:
            return super().forward(h)
        return steady_linear(h, self.weight, self.bias)


class Dropout(nn.Module):
    """Dropout that draws from its own generator, never from torch's global one."""

    share: Any = None  # of the rows, while several processes have some each

    def __init__(self, p):
        super().__init__()
        self.p = p
        self.generator = None  # set for training by `seed_generators`

    def forward(self, h):
        """Zero each entry with probability p and scale the rest by 1 / (1 - p)."""
        if not self.training or self.p == 0:
            return h
        if self.share is None:
            return h * self._draw(h, len(h))
        return h * self._draw(h, self.share.n)[self.share.span()]

    def _draw(self, h, n_rows):
        """Draw the factors of so many rows like those of `h`."""
        shape = (n_rows, *h.shape[1:])
        if h.device.type == "cpu":
            keep = _draw_kept(shape, self.p, self.generator).to(h.dtype)
        else:
            keep = h.new_empty(shape).bernoulli_(1 - self.p, generator=self.generator)
        return keep.div_(1 - self.p)


def _draw_kept(shape, p, generator):
    """Draw True with probability 1 - p, to the next of 65 536 steps.

    Four draws from a 64-bit number: six times as fast as torch's one draw from each.
    """
    n = math.prod(shape)
    words = torch.empty(-(-n // 4), dtype=torch.int64)
    words.random_(-(2**63), None, generator=generator)
    dropped = min(round(p * 2**16), 2**16 - 1) - 2**15  # int16 draws below this
    return (words.view(torch.int16)[:n] >= dropped).view(shape)


def seed_generators(module, generator):
    """Give all layers that draw numbers a generator, or None to take it away."""
    for layer in module.modules():
        if hasattr(layer, "generator"):
            layer.generator = generator


def has_foreign_layers(module):
    """Tell whether some layers are not ours.

    They may draw from global generators, and round a row otherwise among fewer rows.
    """
    return any(getattr(layer, "is_foreign", False) for layer in module.modules())


class SparseEncoder(nn.Module):
    """Multi-layer perceptron on sparse rows, optionally beside a fixed linear map.

    ``f(x) = x @ linear_weight + linear_bias + mlp(input_scale * x)``. With the linear
    map given, the perceptron starts at zero and learns what the map leaves over.

    Parameters
    ----------
    n_features, n_outputs : int
        Sizes of the input and the output.
    hidden_layer_sizes : sequence of int
        Units of the hidden layers; empty for a linear model.
    dropout : float
        Probability of dropping a hidden unit in training.
    input_scale : float
        What rows are multiplied with, 1 / (their root mean square norm).
    linear : tuple of (weight, bias) or None
        Arrays of shape (n_features, n_outputs) and (n_outputs,).
    seed : int
        Seeds the initial weights.
    """

    def __init__(
        self,
        n_features,
        n_outputs,
        hidden_layer_sizes,
        *,
        dropout,
        input_scale,
        linear,
        seed,
    ):
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.n_features, self.input_scale = n_features, input_scale
        sizes = [*hidden_layer_sizes, n_outputs]
        is_residual = linear is not None
        self.linear_weight = self.linear_bias = self.first = None
        if is_residual:
            weight, bias = map(torch.from_numpy, linear)
            self.linear_weight = nn.Parameter(weight, requires_grad=False)
            self.linear_bias = nn.Parameter(bias, requires_grad=False)
        if is_residual and not hidden_layer_sizes:
            return
        # Rows of norm 1 then have pre-activations of variance 2 / width (He et al.).
        self.first = SparseLinear(
            n_features, sizes[0], std=math.sqrt(2 / sizes[0]), generator=generator
        )
        self.first_bias = nn.Parameter(torch.zeros(sizes[0]))
        layers: list[nn.Module] = []
        for i, (n_in, n_out) in enumerate(pairwise(sizes)):
            is_last = i == len(sizes) - 2
            layers += [nn.ReLU(), Dropout(dropout)]
            layers += [
                dense_layer(n_in, n_out, generator, zero=is_last and is_residual)
            ]
        self.rest = nn.Sequential(*layers)

    def forward(self, x):
        """Map `SparseRows` (n_rows, n_features) to (n_rows, n_outputs)."""
        out = 0
        if self.first is not None:
            h = self.first(x.scaled(self.input_scale)) + self.first_bias  # (n, h_1)
            out = self.rest(h)  # (n, n_outputs)
        if self.linear_weight is not None:
            out = out + x.matmul(self.linear_weight) + self.linear_bias
        return out

    def loss(self, outputs, targets):
        """Compute the mean squared error."""
        return F.mse_loss(outputs, targets)


def dense_layer(n_in, n_out, generator, *, zero):
    """Make a linear layer with small random weights, or zeros, and no bias yet."""
    layer = SteadyLinear(n_in, n_out)
    bound = 0.0 if zero else 1 / math.sqrt(n_in)
    with torch.no_grad():
        layer.weight.uniform_(-bound, bound, generator=generator)
        layer.bias.zero_()
    return layer


def prior_layer(bias, n_features):
    """Make a linear layer with these biases (an array) and weights of zero."""
    layer = SteadyLinear(n_features, len(bias))
    with torch.no_grad():
        layer.weight.zero_()
        layer.bias.copy_(torch.from_numpy(bias))
    return layer
