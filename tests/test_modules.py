"""Networks on sparse rows, against dense numpy arithmetic."""

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from torch import nn

from skxmc._nn import _modules
from skxmc._nn._modules import (
    Dropout,
    SparseEncoder,
    has_foreign_layers,
    seed_generators,
    steady_linear,
)
from skxmc._nn._sparse import SparseRows
from skxmc._nn._threads import limited_threads

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
    if module.is_trainable:
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
    assert module.is_trainable == bool(hidden)
    trained = {name for name, p in module.named_parameters() if p.requires_grad}
    assert not trained & {"linear_weight", "linear_bias"}
    assert bool(trained) == module.is_trainable


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


@pytest.mark.parametrize("shape", [(3, 5), (70, 9), (159, 1183), (300, 33)])
@pytest.mark.parametrize("has_bias", [True, False])
def test_a_row_is_rounded_alike_among_few_rows_and_among_many(shape, has_bias):
    generator = torch.Generator().manual_seed(0)
    weight, bias = torch.randn(*shape, generator=generator), None
    if has_bias:
        bias = torch.randn(shape[0], generator=generator)
    h = torch.randn(256, shape[1], generator=generator)
    # On one thread: several may share out few rows otherwise than many.
    with torch.inference_mode(), limited_threads(one_thread=True):
        together = steady_linear(h, weight, bias)
        for n_rows in (8, 64, 128):
            parts = [steady_linear(some, weight, bias) for some in h.split(n_rows)]
            assert torch.equal(torch.cat(parts), together)
    torch.testing.assert_close(together, nn.functional.linear(h, weight, bias))


@pytest.fixture
def rounds_few_rows_otherwise(monkeypatch):
    """A product that is another one among eight rows; the heights that it is given."""
    heights = []

    def linear(h, weight, bias):
        heights.append(len(h))
        return h @ weight.T * (1 + 0.5 * (len(h) == 8))

    monkeypatch.setattr(_modules, "_tried", {})
    monkeypatch.setattr(_modules.F, "linear", linear)
    return heights


def test_few_rows_are_filled_up_where_they_would_be_rounded_otherwise(
    rounds_few_rows_otherwise,
):
    h = torch.ones(8, 70)
    with torch.inference_mode():
        for weight in (torch.zeros(65, 70), torch.ones(65, 70)):
            assert torch.equal(steady_linear(h, weight), h @ weight.T)
    # The trial, once, though weights of zero tell nothing, and the two products.
    assert rounds_few_rows_otherwise == [8] * 8 + [64] + [64, 64]


def test_large_weights_are_not_copied_for_a_trial(
    rounds_few_rows_otherwise, monkeypatch
):
    monkeypatch.setattr(_modules, "_MAX_TRIED", 65 * 70 - 1)
    with torch.inference_mode():
        steady_linear(torch.ones(8, 70), torch.ones(65, 70))
    assert rounds_few_rows_otherwise == [64]


def test_a_product_is_left_whole_outside_of_inference():
    h = torch.randn(128, 70, generator=torch.Generator().manual_seed(0))
    weight = torch.ones(65, 70, requires_grad=True)
    assert torch.equal(steady_linear(h, weight), nn.functional.linear(h, weight))
    assert steady_linear(h, weight).requires_grad


def test_layers_of_others_are_told_apart():
    module = make((5,), linear=None)
    assert not has_foreign_layers(module)
    module.rest[0].is_foreign = True
    assert has_foreign_layers(module)
