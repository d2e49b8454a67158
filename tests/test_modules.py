"""Networks on sparse rows, against dense numpy arithmetic."""

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from torch import nn

from skxmc._nn._modules import (
    Dropout,
    SparseEncoder,
    has_foreign_layers,
    seed_generators,
)
from skxmc._nn._sparse import SparseRows

N_FEATURES, N_OUTPUTS, SCALE = 7, 3, 0.25
HIDDEN = [(), (5,), (5, 4)]


def whole_numbers(*shape):
    """Draw small whole numbers, of which float32 sums are exact."""
    return np.random.default_rng(0).integers(-3, 4, size=shape).astype(np.float32)


def linear_map():
    return whole_numbers(N_FEATURES, N_OUTPUTS), whole_numbers(N_OUTPUTS)


def make(hidden, *, linear, seed=0, dropout=0.0):
    return SparseEncoder(
        N_FEATURES,
        N_OUTPUTS,
        hidden,
        dropout=dropout,
        input_scale=SCALE,
        linear=linear,
        seed=seed,
    )


def weights_of(module):
    return [p.detach().clone() for p in module.parameters()]


def dense_forward(module, X):
    """Compute the documented function of dense rows in float64."""
    out = np.zeros((len(X), N_OUTPUTS))
    if module.first is not None:
        h = SCALE * X @ module.first.weight.numpy() + module.first_bias.numpy()
        for layer in module.rest:
            if isinstance(layer, nn.Linear):
                h = np.maximum(h, 0) @ layer.weight.numpy().T + layer.bias.numpy()
        out = out + h
    if module.linear_weight is not None:
        out = out + X @ module.linear_weight.numpy() + module.linear_bias.numpy()
    return out


@pytest.mark.parametrize("linear", [None, linear_map()], ids=["plain", "residual"])
@pytest.mark.parametrize("hidden", HIDDEN)
def test_encoder_computes_the_documented_function(hidden, linear):
    module = make(hidden, linear=linear)
    with torch.no_grad():
        for p in module.parameters():  # the initial biases and last layer may be zero
            p.normal_(generator=torch.Generator().manual_seed(p.numel()))
    module.requires_grad_(False)
    X = whole_numbers(9, N_FEATURES)
    X[4] = 0
    out = module(SparseRows.from_csr(sp.csr_array(X)))
    np.testing.assert_allclose(out, dense_forward(module, X), rtol=1e-5, atol=1e-5)
    n_linear = sum(isinstance(layer, nn.Linear) for layer in module.modules())
    assert n_linear == len(hidden)


@pytest.mark.parametrize("hidden", HIDDEN)
def test_with_a_linear_map_the_encoder_starts_as_that_map(hidden):
    weight, bias = linear_map()
    module = make(hidden, linear=(weight, bias))
    X = whole_numbers(9, N_FEATURES)
    out = module(SparseRows.from_csr(sp.csr_array(X))).detach()
    np.testing.assert_array_equal(out, X @ weight + bias)
    assert (module.first is not None) == bool(hidden)
    trained = {name for name, p in module.named_parameters() if p.requires_grad}
    assert not trained & {"linear_weight", "linear_bias"}
    assert bool(trained) == (module.first is not None)


@pytest.mark.parametrize("hidden", HIDDEN)
def test_the_seed_decides_the_weights_and_torchs_generator_has_no_part(hidden):
    global_state = torch.get_rng_state()
    first, again, other = (
        weights_of(make(hidden, linear=None, seed=s)) for s in (0, 0, 1)
    )
    assert torch.equal(torch.get_rng_state(), global_state)
    assert all(map(torch.equal, first, again))
    assert not all(map(torch.equal, first, other))


def test_unit_rows_have_first_activations_of_variance_two_over_width():
    module = SparseEncoder(
        400, 2, (500,), dropout=0, input_scale=1.0, linear=None, seed=0
    )
    rows = np.random.default_rng(0).standard_normal((400, 400))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    h = rows @ module.first.weight.detach().numpy()
    assert np.mean(h**2) * 500 / 2 == pytest.approx(1, abs=0.02)  # 200 000 draws


@pytest.mark.parametrize("p", [0.2, 0.75])
def test_dropout_zeros_the_share_p_and_keeps_the_expectation(p):
    layer = Dropout(p)
    seed_generators(layer, torch.Generator().manual_seed(0))
    h = torch.full((500, 400), 3.0)
    out = layer(h)
    kept = out[out != 0]
    torch.testing.assert_close(kept, torch.full_like(kept, 3 / (1 - p)))
    sigma = (p * (1 - p) / h.numel()) ** 0.5
    assert abs(kept.numel() / h.numel() - (1 - p)) < 5 * sigma
    assert (h == 3).all()


def test_dropout_draws_from_its_own_generator():
    def draw(seed):
        seed_generators(layer, torch.Generator().manual_seed(seed))
        return layer(torch.ones(20, 20))

    layer = Dropout(0.5)
    global_state = torch.get_rng_state()
    assert torch.equal(draw(0), draw(0))
    assert not torch.equal(draw(0), draw(1))
    assert torch.equal(torch.get_rng_state(), global_state)


@pytest.mark.parametrize(("p", "training"), [(0.5, False), (0.0, True)])
def test_dropout_passes_through_in_evaluation_and_at_zero(p, training):
    h = torch.arange(12.0).reshape(3, 4)
    assert torch.equal(Dropout(p).train(training)(h), h)


def test_seed_generators_reaches_every_layer_and_takes_back():
    module = make((5, 4), linear=None, dropout=0.5)
    layers = [layer for layer in module.modules() if isinstance(layer, Dropout)]
    generator = torch.Generator()
    for given in (generator, None):
        seed_generators(module, given)
        assert [layer.generator for layer in layers] == [given] * 2


def test_layers_of_others_are_told_apart():
    module = make((5,), linear=None)
    assert not has_foreign_layers(module)
    module.rest[0].is_foreign = True
    assert has_foreign_layers(module)
