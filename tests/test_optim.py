"""The optimiser, against its formula written out row by row and torch's AdamW."""

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from torch import nn

from skxmc._nn._optim import RowSparseAdamW
from skxmc._nn._sparse import SparseLinear, SparseRows

LR, EPS = 0.02, 1e-8


def table(n_features, n_outputs):
    generator = torch.Generator().manual_seed(0)
    return SparseLinear(n_features, n_outputs, std=1.0, generator=generator)


def random_rows(rng, n_rows, n_features, n_touched):
    """Draw a CSR that has entries in exactly `n_touched` columns."""
    columns = rng.permutation(n_features)[:n_touched]
    rows = rng.integers(n_rows, size=n_touched)
    values = rng.uniform(0.5, 1.5, size=n_touched).astype(np.float32)
    return sp.csr_array((values, (rows, columns)), shape=(n_rows, n_features))


def backward(layer, X, R):
    """Leave the gradient X^T R on the layer."""
    out = layer(SparseRows.from_csr(X))
    (out * torch.from_numpy(R)).sum().backward()


def naive_step(W, s, X, R, weight_decay):
    """Apply the documented update to each touched row in turn."""
    gradient = X.toarray().astype(np.float64).T @ R
    for r in np.unique(X.indices):
        g = gradient[r]
        s[r] = s[r] + np.mean(g**2)
        W[r] = (1 - LR * weight_decay) * W[r] - 10 * LR * g / (np.sqrt(s[r]) + EPS)


@pytest.mark.parametrize("weight_decay", [0.0, 0.5])
@pytest.mark.parametrize(
    ("n_features", "n_touched"),
    [(20, 7), (1024, 1024), (1025, 1025), (3000, 2500)],  # blocks have 1024 rows
)
def test_steps_follow_the_formula_and_leave_untouched_rows_alone(
    n_features, n_touched, weight_decay
):
    rng = np.random.default_rng(0)
    layer = table(n_features, 3)
    optimizer = RowSparseAdamW(layer.parameters(), LR, weight_decay)
    start = layer.weight.detach().numpy().copy()
    W, s = start.astype(np.float64), np.zeros(n_features)
    touched = np.zeros(n_features, dtype=bool)
    for _ in range(4):
        X = random_rows(rng, 8, n_features, n_touched)
        R = rng.standard_normal((8, 3)).astype(np.float32)
        backward(layer, X, R)
        optimizer.step()
        naive_step(W, s, X, R, weight_decay)
        touched[X.indices] = True
        np.testing.assert_allclose(layer.weight.detach(), W, rtol=1e-4, atol=1e-5)
    assert np.array_equal(layer.weight.detach().numpy()[~touched], start[~touched])


def test_a_gradient_is_used_once():
    layer = table(6, 2)
    optimizer = RowSparseAdamW(layer.parameters(), LR, weight_decay=0.5)
    rng = np.random.default_rng(0)
    R = rng.standard_normal((3, 2)).astype(np.float32)
    backward(layer, random_rows(rng, 3, 6, 4), R)
    optimizer.step()
    before = layer.weight.detach().clone()
    optimizer.step()
    assert torch.equal(layer.weight, before)


def test_dense_parameters_step_like_torchs_adamw():
    layer = table(6, 2)
    generator = torch.Generator().manual_seed(0)
    ours = [nn.Parameter(torch.ones(4, 3)), nn.Parameter(torch.ones(3))]
    theirs = [nn.Parameter(p.detach().clone()) for p in ours]
    optimizer = RowSparseAdamW([*ours, layer.weight], LR, weight_decay=0.5)
    reference = torch.optim.AdamW(theirs, LR, weight_decay=0.5)
    X, R = sp.csr_array(np.eye(6)), np.ones((6, 2), dtype=np.float32)
    for _ in range(5):
        for p, q in zip(ours, theirs, strict=True):
            p.grad = torch.empty_like(p).normal_(generator=generator)
            q.grad = p.grad.clone()
        backward(layer, X, R)
        optimizer.step()
        reference.step()
    for p, q in zip(ours, theirs, strict=True):
        torch.testing.assert_close(p, q, rtol=1e-6, atol=1e-7)


def test_the_state_of_a_table_is_one_number_a_row():
    layer = table(50, 16)
    optimizer = RowSparseAdamW(layer.parameters())
    X, R = sp.csr_array(np.eye(50)), np.ones((50, 16), dtype=np.float32)
    backward(layer, X, R)
    optimizer.step()
    assert [v.shape for v in optimizer.state[layer.weight].values()] == [(50,)]


def test_step_returns_the_loss_of_the_closure():
    layer = table(3, 2)
    optimizer = RowSparseAdamW(layer.parameters(), LR)
    x = SparseRows.from_csr(sp.csr_array(np.eye(3)))
    before = layer.weight.detach().clone()

    def closure():
        loss = layer(x).square().sum()
        loss.backward()
        return loss

    assert optimizer.step(closure).item() == pytest.approx(before.square().sum().item())
    assert not torch.equal(layer.weight, before)


def test_the_loss_is_computed_on_all_threads_that_are_set():
    layer, counts = table(20, 3), []

    def closure():
        counts.append(torch.get_num_threads())
        assert torch.is_grad_enabled()
        return torch.tensor(1.5)

    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        assert RowSparseAdamW(layer.parameters()).step(closure) == 1.5
        assert counts == [2]
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
