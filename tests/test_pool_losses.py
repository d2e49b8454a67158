"""Losses over a pool of labels, against their formulas written out."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from skxmc._nn._pool_losses import POOL_LOSSES, Positives, pool_loss

NAMES = sorted(POOL_LOSSES)


def written_out(name, scores, truth):
    """Compute the loss of a row in Python floats."""
    positives = [s for s, t in zip(scores, truth, strict=True) if t]
    negatives = [s for s, t in zip(scores, truth, strict=True) if not t]
    if not positives:
        return 0.0
    if name == "bce":
        terms = [math.log1p(math.exp(-s)) for s in positives]
        return sum(terms) + sum(math.log1p(math.exp(s)) for s in negatives)
    false = sum(map(math.exp, negatives))
    true = sum(map(math.exp, positives))
    total = {
        "supcon": lambda s: true + false,
        "infonce": lambda s: true + false,
        "decoupled": lambda s: math.exp(s) + false,
        "balanced": lambda s: true / len(positives) + false,
    }[name]
    return -sum(math.log(math.exp(s) / total(s)) for s in positives) / len(positives)


def random_problem(seed, n_rows=6, n_pool=9, scale=5.0):
    rng = np.random.default_rng(seed)
    scores = torch.from_numpy(scale * rng.standard_normal((n_rows, n_pool)))
    truth = torch.from_numpy(rng.random((n_rows, n_pool)) < 0.3)
    truth[0] = False  # a row without a positive
    truth[1] = True  # and one without a negative
    return scores.float(), truth


def losses_of(name, scores, truth):
    rows, columns = truth.nonzero(as_tuple=True)
    return POOL_LOSSES[name](scores, Positives(rows, columns, len(truth)))


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=25)
@given(seed=st.integers(0, 10**6))
def test_losses_are_their_formulas(name, seed):
    scores, truth = random_problem(seed)
    before = scores.clone()
    losses, _ = losses_of(name, scores, truth)
    assert torch.equal(scores, before)
    rows = zip(scores.tolist(), truth.tolist(), strict=True)
    expected = [written_out(name, s, t) for s, t in rows]
    np.testing.assert_allclose(losses, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_gradients_are_those_of_finite_differences(name):
    scores, truth = random_problem(0, n_rows=3, n_pool=4, scale=1.0)
    _, gradient = losses_of(name, scores, truth)
    for i, j in np.ndindex(*scores.shape):
        moved = scores.numpy().astype(float)
        ends = []
        for step in (1e-5, -1e-5):
            moved[i, j] += step
            ends.append(written_out(name, moved[i], truth[i].tolist()))
            moved[i, j] -= step
        slope = (ends[0] - ends[1]) / 2e-5
        assert gradient[i, j].item() == pytest.approx(slope, abs=1e-4)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("size", [0.0, 80.0, 1e4])
def test_losses_and_gradients_are_finite_for_any_score(name, dtype, size):
    scores, truth = random_problem(1)
    scores = (size * scores.sign()).to(dtype).requires_grad_()
    loss = pool_loss(name, scores, truth, symmetric=True)
    assert loss.dtype == torch.float32
    loss.backward()
    assert loss.isfinite()
    assert scores.grad.dtype == dtype
    assert scores.grad.isfinite().all()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("symmetric", [False, True])
def test_pool_loss_is_the_mean_over_rows_that_have_a_positive(name, symmetric):
    scores, truth = random_problem(2)
    truth[:, 3] = False  # a label without a row

    def mean(scores, truth):
        losses = [
            written_out(name, s, t)
            for s, t in zip(scores.tolist(), truth.tolist(), strict=True)
            if any(t)
        ]
        return sum(losses) / len(losses)

    expected = mean(scores, truth)
    if symmetric:
        expected = (expected + mean(scores.T, truth.T)) / 2
    loss = pool_loss(name, scores, truth, symmetric=symmetric)
    assert loss.item() == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("symmetric", [False, True])
def test_gradient_of_the_pool_loss_is_that_of_its_value(name, symmetric):
    scores, truth = random_problem(3, n_rows=4, n_pool=5, scale=1.0)
    scores.requires_grad_()
    pool_loss(name, scores, truth, symmetric=symmetric).backward()
    for i, j in np.ndindex(*scores.shape):
        ends = []
        for step in (1e-2, -1e-2):
            moved = scores.detach().clone()
            moved[i, j] += step
            ends.append(pool_loss(name, moved, truth, symmetric=symmetric).item())
        slope = (ends[0] - ends[1]) / 2e-2
        assert scores.grad[i, j].item() == pytest.approx(slope, abs=2e-4)


@pytest.mark.parametrize("name", NAMES)
def test_without_any_positive_there_is_nothing_to_lose(name):
    scores = torch.ones(3, 4, requires_grad=True)
    loss = pool_loss(name, scores, torch.zeros(3, 4, dtype=torch.bool), symmetric=True)
    loss.backward()
    assert loss.item() == 0
    assert (scores.grad == 0).all()
