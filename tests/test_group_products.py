"""Products of rows and groups of labels, against dense products."""

import pytest
import torch

from skxmc._nn import _group_products
from skxmc._nn._group_products import GroupProducts, bundles

N_LABELS, N_FEATURES = 150, 5

#: Groups of one label, several a bundle, one a bundle, and one for all labels.
each_size = pytest.mark.parametrize("group_size", [1, 7, 50, 200])
#: All labels, or those of one of several processes.
each_span = pytest.mark.parametrize("span", [(0, 150), (0, 40), (40, 93), (93, 150)])


def draw(group_size):
    """Return features, and pairs of their rows and groups, sorted by group."""
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(6, N_FEATURES, generator=generator)
    n_groups = -(-N_LABELS // group_size)
    # Each row with some groups, one with none.
    drawn = torch.rand(n_groups, 6, generator=generator) < 0.5
    drawn[:, 2] = False
    drawn[-1, 0] = True  # the last group may have fewer labels
    groups, rows = drawn.nonzero(as_tuple=True)
    return features, rows, groups


def dense_products(weight, features, rows, groups, group_size, span):
    """Score all labels and take those of the groups; 0 for those outside the span."""
    padded = torch.zeros(len(features), (int(groups.max()) + 1) * group_size)
    padded[:, slice(*span)] = features @ weight.T
    members = groups[:, None] * group_size + torch.arange(group_size)
    return padded[rows[:, None], members]


@each_size
@each_span
@pytest.mark.parametrize("n_bundled", [32, 2048])  # on the CPU, on a GPU
def test_scores_and_gradients_are_those_of_the_dense_products(
    group_size, span, n_bundled, monkeypatch
):
    monkeypatch.setattr(_group_products, "_BUNDLE_LABELS", n_bundled)
    features, rows, groups = draw(group_size)
    generator = torch.Generator().manual_seed(1)
    weight = torch.randn(span[1] - span[0], N_FEATURES, generator=generator)
    upstream = torch.randn(len(rows), group_size, generator=generator)

    dense = [weight.clone().requires_grad_(), features.clone().requires_grad_()]
    expected = dense_products(*dense, rows, groups, group_size, span)
    (expected * upstream).sum().backward()

    weight, features = weight.requires_grad_(), features.requires_grad_()
    weight.row_gradients = []
    parts = bundles(rows, groups, group_size, slice(*span))
    shape = len(rows), group_size
    scores = GroupProducts.apply(weight, features, parts, shape)
    (scores * upstream).sum().backward()

    torch.testing.assert_close(scores, expected)
    torch.testing.assert_close(features.grad, dense[1].grad)
    (gradient,) = weight.row_gradients
    found, n_times = torch.zeros_like(weight), torch.zeros(len(weight))
    for labels, block in gradient.blocks(30):
        assert len(labels) <= 30
        found[labels] = block
        n_times[labels] += 1
    assert n_times.max() == 1  # else the optimiser would step twice
    torch.testing.assert_close(found, dense[0].grad)


def test_no_pairs_give_no_scores_and_no_gradient():
    weight = torch.ones(N_LABELS, N_FEATURES, requires_grad=True)
    features = torch.ones(3, N_FEATURES, requires_grad=True)
    weight.row_gradients = []
    none = torch.zeros(0, dtype=torch.int64)
    parts = bundles(none, none, 10, slice(0, N_LABELS))
    GroupProducts.apply(weight, features, parts, (0, 10)).sum().backward()
    assert not features.grad.any()
    (gradient,) = weight.row_gradients
    assert not [*gradient.blocks(30)]
