"""Candidates of a tree, against sets."""

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from skxmc._nn._candidates import Candidates, rank_candidates, target_pairs
from skxmc._nn._sparse import SparseRows

N_ROWS, N_NODES = 4, 7
PAIRS = st.lists(st.tuples(st.integers(0, N_ROWS - 1), st.integers(0, N_NODES - 1)))


def tensors(pairs):
    columns = torch.tensor(pairs, dtype=torch.int64).reshape(-1, 2)
    return columns[:, 0], columns[:, 1]


def listed(candidates):
    return list(zip(candidates.rows.tolist(), candidates.nodes.tolist(), strict=True))


def union(*lists):
    return Candidates.union(N_ROWS, N_NODES, *map(tensors, lists))


@given(PAIRS, PAIRS)
@settings(deadline=None)
def test_union_is_that_of_sets_sorted(first, second):
    joined = union(first, second)
    assert listed(joined) == sorted({*first, *second})
    offsets = joined.offsets.tolist()
    assert len(offsets) == N_ROWS + 1
    for row in range(N_ROWS):
        assert set(joined.rows[offsets[row] : offsets[row + 1]].tolist()) <= {row}
    assert offsets[-1] == len(joined)


@given(PAIRS, PAIRS)
@settings(deadline=None)
def test_pairs_are_found_and_looked_up(pairs, others):
    candidates = union(pairs)
    places = candidates.find(*tensors(pairs))
    assert [listed(candidates)[i] for i in places.tolist()] == pairs
    inside = candidates.contains(*tensors(others)).tolist()
    assert inside == [pair in pairs for pair in others]
    indicator = candidates.indicator(*tensors(pairs[:2])).tolist()
    assert indicator == [float(pair in pairs[:2]) for pair in listed(candidates)]


@given(PAIRS.filter(len), st.integers(1, 5), st.integers(0, 4))
@settings(deadline=None)
def test_children_are_those_that_exist_and_know_their_parents(pairs, branching, cut):
    n_children = max((N_NODES - 1) * branching + 1, N_NODES * branching - cut)
    parents = union(pairs)
    children, parent_of = parents.children(branching, n_children)
    expected = [
        (row, child)
        for row, node in listed(parents)
        for child in range(node * branching, (node + 1) * branching)
        if child < n_children
    ]
    assert listed(children) == expected
    assert children.n_nodes == n_children
    for (row, child), place in zip(expected, parent_of.tolist(), strict=True):
        assert listed(parents)[place] == (row, child // branching)


@given(PAIRS.filter(len), st.integers(1, 9), st.integers(0, 99))
@settings(deadline=None)
def test_best_are_those_of_largest_score_in_each_row(pairs, k, seed):
    candidates = union(pairs)
    scores = torch.from_numpy(np.random.default_rng(seed).permutation(len(candidates)))
    rows, nodes = candidates.best(scores.float(), k)
    found = set(zip(rows.tolist(), nodes.tolist(), strict=True))
    for row in range(N_ROWS):
        own = [(s, p) for s, p in zip(scores, listed(candidates), strict=True)]
        own = sorted((s, p) for s, p in own if p[0] == row)
        assert {p for p in found if p[0] == row} == {p for _, p in own[-k:]}


def test_target_pairs():
    rows = SparseRows(
        torch.tensor([4, 6, 1]), torch.tensor([0, 2, 2, 3]), torch.ones(3)
    )
    assert [part.tolist() for part in target_pairs(rows)] == [[0, 0, 2], [4, 6, 1]]


def test_short_rankings_are_filled_up_with_score_0():
    candidates = union([(0, 2), (0, 5), (1, 3), (2, 0), (3, 6)])
    log_p = torch.log(torch.tensor([0.25, 0.5, 0.125, 1.0, 0.0]))
    fallback = np.array([3, 2, 5, 0, 1, 4, 6])
    codes, scores = rank_candidates(candidates, log_p, 3, fallback)
    assert codes.tolist() == [[5, 2, 3], [3, 2, 5], [0, 3, 2], [6, 3, 2]]
    expected = [[0.5, 0.25, 0], [0.125, 0, 0], [1, 0, 0], [0, 0, 0]]
    np.testing.assert_allclose(scores, expected)
