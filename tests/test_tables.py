"""Label tables: scores and gradients against dense products."""

import numpy as np
import pytest
import torch

from skxmc._nn import _tables
from skxmc._nn._candidates import Candidates
from skxmc._nn._optim import RowSparseAdamW
from skxmc._nn._tables import LabelTable, pair_products, prior_bias

N_ROWS, N_LABELS, N_FEATURES = 5, 11, 6


@pytest.fixture(params=["some", "all"])
def problem(request):
    generator = torch.Generator().manual_seed(0)
    table = LabelTable(np.linspace(-1, 1, N_LABELS, dtype=np.float32), N_FEATURES)
    with torch.no_grad():
        table.weight[:, :-1].normal_(generator=generator)
    features = torch.randn(N_ROWS, N_FEATURES, generator=generator)
    chosen = torch.rand(N_ROWS, N_LABELS, generator=generator) < 0.4
    chosen[2] = False  # a row without candidates
    chosen |= request.param == "all"
    candidates = Candidates.union(N_ROWS, N_LABELS, chosen.nonzero(as_tuple=True))
    return table, features, candidates


def dense_scores(weight, features):
    return features @ weight[:, :-1].T + weight[:, -1]


def test_scores_are_those_of_the_dense_product(problem):
    table, features, candidates = problem
    expected = dense_scores(table.weight, features)
    torch.testing.assert_close(
        table(features, candidates), expected[candidates.rows, candidates.nodes]
    )
    torch.testing.assert_close(table.all_scores(features), expected)


def test_devices_without_the_function_get_the_same_scores(problem, monkeypatch):
    table, features, candidates = problem
    weight, features = table.weight.detach(), _tables.with_ones(features)
    expected = pair_products(weight, features, candidates)
    monkeypatch.setattr(_tables, "_HAVE_SAMPLED_PRODUCT", ())
    torch.testing.assert_close(pair_products(weight, features, candidates), expected)


def test_gradients_are_those_of_the_dense_product(problem):
    table, features, candidates = problem
    features.requires_grad_()
    upstream = torch.randn(len(candidates), generator=torch.Generator().manual_seed(1))
    (table(features, candidates) * upstream).sum().backward()
    (gradient,) = table.weight.row_gradients
    found = torch.zeros_like(table.weight)
    for rows, block in gradient.blocks(4):
        found[rows] = block
    weight = table.weight.detach().clone().requires_grad_()
    dense_features = features.detach().clone().requires_grad_()
    scores = dense_scores(weight, dense_features)
    (scores[candidates.rows, candidates.nodes] * upstream).sum().backward()
    torch.testing.assert_close(found, weight.grad)
    torch.testing.assert_close(features.grad, dense_features.grad)


def test_a_step_leaves_labels_alone_that_are_no_candidates(problem):
    table, features, candidates = problem
    before = table.weight.detach().clone()
    optimizer = RowSparseAdamW(table.parameters(), lr=0.1)
    table(features, candidates).sum().backward()
    optimizer.step()
    changed = (table.weight != before).any(1)
    assert set(changed.nonzero().flatten().tolist()) == set(candidates.nodes.tolist())


@pytest.mark.parametrize("problem", ["some"], indirect=True)
def test_a_score_does_not_depend_on_what_else_is_scored(problem):
    table, features, candidates = problem
    together = table(features, candidates)
    for place in range(len(candidates)):
        pair = candidates.rows[[place]], candidates.nodes[[place]]
        alone = Candidates.union(N_ROWS, N_LABELS, pair)
        assert torch.equal(table(features, alone)[0], together[place])


def test_prior_bias_predicts_frequencies():
    counts = np.array([0, 3, 10])
    p = 1 / (1 + np.exp(-prior_bias(counts, 10, is_exclusive=False)))
    np.testing.assert_allclose(p, (counts + 0.5) / 11, rtol=1e-6)
    weights = np.exp(prior_bias(counts, None, is_exclusive=True))
    np.testing.assert_allclose(weights / weights.sum(), (counts + 0.5) / 14.5, 1e-6)
