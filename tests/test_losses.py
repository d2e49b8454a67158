"""Losses and probabilities, against their definitions in float64."""

import itertools
import math

import numpy as np
import pytest
import torch
from torch.autograd import gradcheck

from skxmc._nn._losses import (
    path_cross_entropy,
    probability_of_draws,
    row_logsumexp,
    segment_log_softmax,
    summed_cross_entropy,
    valid_mass,
)


def test_path_cross_entropy_is_that_of_the_product():
    rng = np.random.default_rng(0)
    z, above = rng.normal(size=50) * 3, -rng.exponential(size=50)
    truth = rng.integers(2, size=50)
    p = np.exp(above) / (1 + np.exp(-z))
    expected = -np.where(truth, np.log(p), np.log1p(-p))
    args = (torch.from_numpy(a) for a in (z, above, truth.astype(float)))
    np.testing.assert_allclose(path_cross_entropy(*args), expected, rtol=1e-9)


@pytest.mark.parametrize("z", [-200.0, -30.0, 0.0, 30.0, 200.0])
@pytest.mark.parametrize("above", [0.0, -1e-9, -1.0, -200.0])
@pytest.mark.parametrize("truth", [0.0, 1.0])
def test_path_cross_entropy_is_finite_with_its_gradient(z, above, truth):
    z = torch.tensor([z], requires_grad=True)
    loss = path_cross_entropy(z, torch.tensor([above]), torch.tensor([truth]))
    loss.sum().backward()
    assert loss.isfinite().all()
    assert loss >= 0
    assert z.grad.isfinite().all()


def test_below_a_certain_parent_it_is_the_usual_cross_entropy():
    z = torch.linspace(-20, 20, 9)
    for truth in (torch.zeros(9), torch.ones(9)):
        usual = torch.nn.functional.binary_cross_entropy_with_logits
        expected = usual(z, truth, reduction="none")
        torch.testing.assert_close(
            path_cross_entropy(z, torch.zeros(9), truth), expected
        )


def test_summed_cross_entropy_is_the_sum_of_the_usual_one():
    generator = torch.Generator().manual_seed(0)
    z = 3 * torch.randn(150, 4, dtype=torch.float64, generator=generator)
    z.requires_grad_()
    truth = (torch.rand(150, 4, generator=generator) < 0.2).double()
    (places,) = truth.flatten().nonzero(as_tuple=True)
    usual = torch.nn.functional.binary_cross_entropy_with_logits(
        z, truth, reduction="sum"
    )
    loss = summed_cross_entropy(z, places)
    torch.testing.assert_close(loss, usual)
    for scale in (1.0, 0.1):
        (expected,) = torch.autograd.grad(scale * usual, z, retain_graph=True)
        (found,) = torch.autograd.grad(scale * summed_cross_entropy(z, places), z)
        torch.testing.assert_close(found, expected)


def test_gradients():
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(12, dtype=torch.float64, generator=generator, requires_grad=True)
    above = -torch.rand(12, dtype=torch.float64, generator=generator) - 0.01
    truth = (torch.arange(12) % 3 == 0).double()
    assert gradcheck(lambda z: path_cross_entropy(z, above, truth), z)
    segments = torch.tensor([0, 0, 2, 2, 2, 1, 1, 0, 3, 3, 2, 1])
    assert gradcheck(lambda z: segment_log_softmax(z, segments, 4), z)


def test_row_logsumexp_is_torchs_with_its_gradient():
    generator = torch.Generator().manual_seed(0)
    values = 50 * torch.randn(6, 5, dtype=torch.float64, generator=generator)
    values[2, :3] = -torch.inf
    values.requires_grad_()
    upstream = torch.randn(6, dtype=torch.float64, generator=generator)
    found, expected = row_logsumexp(values), values.logsumexp(1)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(
        *(torch.autograd.grad(out @ upstream, values)[0] for out in (found, expected))
    )


def test_segment_log_softmax_is_log_softmax_within_each_segment():
    generator = torch.Generator().manual_seed(0)
    values = 100 * torch.randn(20, generator=generator)
    segments = torch.randint(5, (20,), generator=generator)
    out = segment_log_softmax(values, segments, 6)  # one segment is empty
    for segment in range(5):
        own = segments == segment
        torch.testing.assert_close(out[own], values[own].log_softmax(0))


@pytest.mark.parametrize("sizes", [(7,), (3, 4), (2, 3, 4), (4, 1, 3)])
def test_valid_mass_is_the_sum_over_the_valid_codes(sizes):
    rng = np.random.default_rng(0)
    heads = [rng.dirichlet(np.ones(size), size=2) for size in sizes]
    p = [
        [
            math.prod(h[i, d] for h, d in zip(heads, digits, strict=True))
            for digits in itertools.product(*map(range, sizes))
        ]
        for i in range(2)
    ]
    for n_codes in range(1, math.prod(sizes) + 1):
        mass = valid_mass([torch.from_numpy(h) for h in heads], n_codes)
        np.testing.assert_allclose(mass, np.array(p)[:, :n_codes].sum(axis=1))


def test_probability_of_draws():
    p = np.array([0.0, 1e-9, 0.25, 1.0])
    with np.errstate(divide="ignore"):
        log_p = np.log(p)
    for n_draws, expected in (
        (1, p),
        (2, 1 - (1 - p) ** 2),
        (0.5, 1 - np.sqrt(1 - p)),
        (0, [0, 0, 0, 0]),
    ):
        found = probability_of_draws(log_p, n_draws)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, expected, rtol=1e-6)
    np.testing.assert_allclose(probability_of_draws(np.log(1e-9), 3), 3e-9, rtol=1e-6)
