"""The three heads, against the probabilities of all labels written out."""

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from skxmc._codes import code_digits, fit_head_sizes, level_counts, strides
from skxmc._nn import CascadeHead, ProductHead, SamplingHead
from skxmc._nn._candidates import target_pairs
from skxmc._nn._modules import seed_generators
from skxmc._nn._product import _best_codes, _rank_pairs
from skxmc._nn._sparse import SparseRows
from skxmc._product_topk import exact_scores, product_topk

N_ROWS, N_LABELS, N_FEATURES = 6, 23, 5
SIZES = [(23,), (6, 4), (3, 3, 3)]
each_size = pytest.mark.parametrize("sizes", SIZES)
each_form = pytest.mark.parametrize("is_single_label", [True, False])


def labels_of(is_single_label, n_rows=N_ROWS):
    rng = np.random.default_rng(0)
    n = np.ones(n_rows, int) if is_single_label else rng.integers(4, size=n_rows)
    indices = [np.sort(rng.choice(N_LABELS, size=k, replace=False)) for k in n]
    indptr = np.append(0, np.cumsum(n))
    data = np.ones(indptr[-1], dtype=np.float32)
    indices = np.concatenate(indices).astype(int)
    return sp.csr_array((data, indices, indptr), shape=(n_rows, N_LABELS))


def randomised(head):
    """Give all weights random values."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in head.parameters():
            parameter.normal_(0, 0.7, generator=generator)
    return head


def make_cascade(sizes, is_single_label, n_candidates=3, n_trained=3):
    counts = level_counts(labels_of(is_single_label), fit_head_sizes(sizes, N_LABELS))
    head = CascadeHead(
        N_FEATURES,
        fit_head_sizes(sizes, N_LABELS),
        counts,
        n_samples=N_ROWS,
        n_candidates=n_candidates,
        n_trained=n_trained,
        is_single_label=is_single_label,
    )
    return randomised(head)


def make_product(sizes, n_shortlist=0, n_draws=1, is_single_label=False):
    counts = np.arange(N_LABELS)
    sizes = fit_head_sizes(sizes, N_LABELS)
    return randomised(
        ProductHead(
            N_FEATURES,
            sizes,
            counts,
            n_samples=50,
            n_shortlist=n_shortlist,
            n_draws=n_draws,
            is_single_label=is_single_label,
        )
    )


def random_features():
    generator = torch.Generator().manual_seed(1)
    return torch.randn(N_ROWS, N_FEATURES, generator=generator)


def scores_of(table, features):
    weight = table.weight
    return features @ weight[:, :-1].T + weight[:, -1]


def cascade_levels(head, features):
    """Return each level's probabilities of all its nodes, (n_rows, n_nodes)."""
    z = head.root(features)
    p = [z.softmax(1) if head.is_single_label else z.sigmoid()]
    for size, table in zip(head.head_sizes[1:], head.tables, strict=True):
        z = scores_of(table, features)
        blocks = z.split(size, dim=1)
        own = [b.softmax(1) if head.is_single_label else b.sigmoid() for b in blocks]
        parents = torch.arange(z.shape[1]) // size
        p.append(torch.cat(own, 1) * p[-1][:, parents])
    return p


@each_size
@each_form
def test_cascade_ranks_by_the_product_of_the_levels(sizes, is_single_label):
    head, features = make_cascade(sizes, is_single_label, 99), random_features()
    with torch.no_grad():
        expected = cascade_levels(head, features)[-1].numpy()
        codes, scores = head.rank(features, 7)
    order = np.argsort(-expected, axis=1, kind="stable")[:, :7]
    np.testing.assert_array_equal(codes, order)
    best = np.take_along_axis(expected, order, axis=1)
    np.testing.assert_allclose(scores, best, rtol=1e-5)
    if is_single_label:
        np.testing.assert_allclose(expected.sum(axis=1), 1, rtol=1e-5)


def beam(p, sizes, k):
    """Return the nodes of each level that a beam of width k scores, for one row."""
    kept, scored = None, [set(range(len(p[0])))]
    for size, above, below in zip(sizes[1:], p[:-1], p[1:], strict=True):
        kept = sorted(scored[-1], key=lambda node: -above[node])[:k]
        children = {c for n in kept for c in range(n * size, (n + 1) * size)}
        scored.append({c for c in children if c < len(below)})
    return scored


@pytest.mark.parametrize("sizes", SIZES[1:])
@each_form
@pytest.mark.parametrize("n_candidates", [1, 2])
def test_cascade_scores_the_children_of_the_best_nodes_only(
    sizes, is_single_label, n_candidates
):
    head = make_cascade(sizes, is_single_label, n_candidates)
    features = random_features()
    with torch.no_grad():
        levels = [p.numpy() for p in cascade_levels(head, features)]
        codes, scores = head.rank(features, N_LABELS)
        candidates, _ = head.score(features)
    for row in range(N_ROWS):
        found = beam([p[row] for p in levels], head.head_sizes, n_candidates)[-1]
        assert set(candidates.nodes[candidates.rows == row].tolist()) == found
        ranked = sorted(found, key=lambda c: -levels[-1][row, c])
        assert codes[row, : len(found)].tolist() == ranked
        assert sorted(codes[row].tolist()) == list(range(N_LABELS))
        assert (scores[row, len(found) :] == 0).all()


def dense_cascade_loss(head, features, Y):
    """Compute the documented loss with all nodes at hand."""
    p = cascade_levels(head, features)
    steps = strides(head.head_sizes)
    total = 0.0
    for row in range(len(features)):
        own = [p[h][row] for h in range(len(p))]
        codes = Y[[row]].indices
        true = [sorted({c // step for c in codes}) for step in steps]
        if head.is_single_label:
            total = total - own[-1][codes[0]].log()
            continue
        scored = set(range(len(own[0])))
        for h, size in enumerate(head.head_sizes):
            if h:
                kept = sorted(scored, key=lambda n: -own[h - 1][n].item())
                kept = {*kept[: head.n_trained], *true[h - 1]}
                children = {c for n in kept for c in range(n * size, (n + 1) * size)}
                scored = {c for c in children if c < len(own[h])}
            for node in scored:
                q = own[h][node]
                # The parent's part is a constant.
                if h:
                    parent = own[h - 1][node // size]
                    q = q / parent * parent.detach()
                total = total - (q.log() if node in true[h] else (1 - q).log())
    return total / len(features)


@each_size
@each_form
@pytest.mark.parametrize("n_trained", [1, 3])
def test_cascade_loss_and_gradient(sizes, is_single_label, n_trained):
    head = make_cascade(sizes, is_single_label, n_candidates=2, n_trained=n_trained)
    Y = labels_of(is_single_label)
    features = random_features().requires_grad_()
    loss = head.loss(features, SparseRows.from_csr(Y))
    loss.backward()
    gradient = features.grad.clone()
    features.grad = None
    expected = dense_cascade_loss(head, features, Y)
    torch.testing.assert_close(loss, expected)
    expected.backward()
    torch.testing.assert_close(gradient, features.grad, rtol=1e-4, atol=1e-6)


def product_probabilities(head, features):
    """Return the probabilities of all labels from the sums of one output a head."""
    outputs = head.digits(features).split(head.head_sizes, dim=1)
    digits = code_digits(np.arange(N_LABELS), head.head_sizes)
    return sum(z[:, d] for z, d in zip(outputs, digits, strict=True)).softmax(1)


@each_size
def test_product_is_the_exact_softmax_over_the_labels(sizes):
    head, features = make_product(sizes), random_features()
    with torch.no_grad():
        expected = product_probabilities(head, features).numpy()
        codes, scores = head.rank(features, N_LABELS)
    np.testing.assert_allclose(
        scores, np.take_along_axis(expected, codes, axis=1), rtol=1e-5
    )
    assert (np.diff(scores, axis=1) <= 0).all()
    np.testing.assert_allclose(scores.sum(axis=1), 1, rtol=1e-5)


@each_size
@each_form
def test_product_loss_shares_a_row_among_its_labels(sizes, is_single_label):
    head, Y = make_product(sizes), labels_of(is_single_label)
    features = random_features()
    p = product_probabilities(head, features)
    expected = torch.zeros(())
    for row in range(N_ROWS):
        codes = Y[[row]].indices
        if len(codes):
            expected = expected - p[row, codes].log().mean()
    loss = head.loss(features, SparseRows.from_csr(Y))
    torch.testing.assert_close(loss, expected / N_ROWS)


def test_labels_as_draws_of_the_softmax():
    head, features = make_product((6, 4), n_draws=2.5), random_features()
    with torch.no_grad():
        p = product_probabilities(head, features).numpy()
        codes, scores = head.rank(features, 4)
    expected = 1 - (1 - np.take_along_axis(p, codes, axis=1)) ** 2.5
    np.testing.assert_allclose(scores, expected, rtol=1e-4)


@each_size
@each_form
def test_product_shortlist_is_scored_anew(sizes, is_single_label):
    head = make_product(sizes, n_shortlist=5, is_single_label=is_single_label)
    features, Y = random_features(), labels_of(is_single_label)
    with torch.no_grad():
        p = product_probabilities(head, features).numpy()
        anew = scores_of(head.table, features)
        codes, scores = head.rank(features, 5)
        candidates, _ = head.score(features)
    shortlist = np.argsort(-p, axis=1, kind="stable")[:, :5]
    for row in range(N_ROWS):
        assert set(candidates.nodes[candidates.rows == row].tolist()) == {
            *shortlist[row]
        }
        expected = sorted(shortlist[row], key=lambda c: -anew[row, c].item())
        assert codes[row].tolist() == expected
        p_anew = anew[row, codes[row]]
        p_anew = p_anew.softmax(0) if is_single_label else p_anew.sigmoid()
        np.testing.assert_allclose(scores[row], p_anew, rtol=1e-5)
    expected = make_product(sizes).loss(features, SparseRows.from_csr(Y))
    for row in range(N_ROWS):
        scored = sorted({*shortlist[row], *Y[[row]].indices})
        truth = torch.tensor([float(c in Y[[row]].indices) for c in scored])
        z = anew[row, scored]
        if is_single_label:
            loss = -z.log_softmax(0)[truth == 1].sum()
        else:
            bce = torch.nn.functional.binary_cross_entropy_with_logits
            loss = bce(z, truth, reduction="sum")
        expected = expected + loss / N_ROWS
    # Both heads were given the same first random numbers, those of the digits.
    torch.testing.assert_close(head.loss(features, SparseRows.from_csr(Y)), expected)


@pytest.mark.parametrize(
    ("sizes", "n_codes"),
    [((9,), 9), ((4, 5), 20), ((4, 5), 17), ((2, 3, 4), 13), ((3, 3, 3), 26)],
)
@pytest.mark.parametrize("k", [1, 4, 9])
def test_best_codes_are_those_of_the_exact_ranking(sizes, n_codes, k):
    generator = torch.Generator().manual_seed(0)
    heads = [torch.randn(6, size, generator=generator) for size in sizes]
    codes, scores = _best_codes(heads, k, n_codes)
    exact = [exact_scores(z.numpy()) for z in heads]
    expected, expected_scores = product_topk(exact, k, n_codes)
    assert np.array_equal(codes, expected)
    np.testing.assert_allclose(scores, expected_scores, rtol=1e-5, atol=1e-5)


def test_best_codes_are_sought_among_few():
    i, j = _rank_pairs(100, 100, 100, torch.device("cpu"))
    pairs = [(a, b) for a in range(100) for b in range(100) if (a + 1) * (b + 1) <= 100]
    assert [*zip(i.tolist(), j.tolist(), strict=True)] == pairs
    assert len(_rank_pairs(100, 3, 50, torch.device("cpu"))[0]) == 50 + 50 + 33


def make_sampling(sizes, n_sampled_groups):
    head = SamplingHead(
        N_FEATURES,
        fit_head_sizes(sizes, N_LABELS),
        np.arange(N_LABELS),
        n_sampled_groups=n_sampled_groups,
        n_draws=1,
    )
    return randomised(head)


@each_size
@each_form
def test_sampling_all_groups_is_the_full_softmax(sizes, is_single_label):
    head, features = make_sampling(sizes, 99), random_features()
    Y = labels_of(is_single_label)
    loss = head.loss(features, SparseRows.from_csr(Y))
    log_p = scores_of(head.table, features).log_softmax(1)
    rows, codes = target_pairs(SparseRows.from_csr(Y))
    torch.testing.assert_close(loss, -log_p[rows, codes].mean())
    with torch.no_grad():
        codes, scores = head.rank(features, 4)
    expected = log_p.exp().detach().numpy()
    np.testing.assert_allclose(scores, -np.sort(-expected, axis=1)[:, :4], rtol=1e-5)


def test_sampled_groups_are_distinct_uniform_and_never_the_own():
    head = make_sampling((8, 3), 4)
    seed_generators(head, torch.Generator().manual_seed(0))
    own = torch.arange(8).repeat(1000)
    others = head._draw_others(own)
    assert others.shape == (8000, 3)
    assert others.min() >= 0
    assert others.max() <= 7
    assert (others != own[:, None]).all()
    assert (others.sort(1).values.diff(dim=1) > 0).all()
    # Each of the 7 others is drawn with probability 3/7.
    for group in range(8):
        drawn = torch.bincount(others[own == group].flatten(), minlength=8)
        expected = 3000 / 7
        assert (drawn[torch.arange(8) != group] - expected).abs().max() < 5 * 21


def test_sampled_partition_function_is_unbiased():
    # The mean of the sampled sums is the full sum: samples stand for all others.
    head, features = make_sampling((6, 4), 3), random_features()
    seed_generators(head, torch.Generator().manual_seed(0))
    Y = labels_of(True)
    z = scores_of(head.table, features).detach()
    _, codes = target_pairs(SparseRows.from_csr(Y))
    sums = []
    for _ in range(400):
        row = int(torch.randint(N_ROWS, ()))
        one = SparseRows.from_csr(Y[[row]])
        loss = head.loss(features[[row]], one).detach()
        sums.append((loss + z[row, codes[row]]).exp() / z[row].exp().sum())
    assert abs(torch.stack(sums).mean() - 1) < 4 * torch.stack(sums).std() / 20


def test_sampling_one_group_tells_apart_its_members_only():
    head, features = make_sampling((6, 4), 1), random_features()
    Y = labels_of(True)
    z = scores_of(head.table, features)
    expected = torch.zeros(())
    for row in range(N_ROWS):
        (code,) = Y[[row]].indices
        group = slice(code // 4 * 4, min(code // 4 * 4 + 4, N_LABELS))
        expected = expected - z[row, group].log_softmax(0)[code % 4]
    loss = head.loss(features, SparseRows.from_csr(Y))
    torch.testing.assert_close(loss, expected / N_ROWS)


@pytest.mark.parametrize(
    "make",
    [
        lambda: make_cascade((6, 4), False),
        lambda: make_product((6, 4), n_shortlist=4),
        lambda: make_sampling((6, 4), 2),
    ],
)
def test_rows_without_labels_have_a_finite_loss(make):
    head = make()
    Y = labels_of(False)[[0, 0]]
    Y.data[:] = 0
    Y.eliminate_zeros()
    loss = head.loss(random_features()[:2].requires_grad_(), SparseRows.from_csr(Y))
    loss.backward()
    assert loss.isfinite()
