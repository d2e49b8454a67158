"""The best codes of a product, against scores of all codes."""

import tracemalloc

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from skxmc._codes import balanced_sizes, fit_head_sizes
from skxmc._product_topk import exact_scores, product_topk


def brute_force(head_scores, k, n_codes):
    """Rank all codes: best first, ties by lowest code."""
    total = head_scores[0]
    for scores in head_scores[1:]:
        total = (total[:, :, None] + scores[:, None, :]).reshape(len(total), -1)
    total = total[:, :n_codes]
    order = np.argsort(-total, axis=1, kind="stable")[:, :k]
    return order, np.take_along_axis(total, order, axis=1)


@st.composite
def problems(draw):
    n_codes = draw(st.integers(1, 120))
    if draw(st.booleans()):
        sizes = balanced_sizes(n_codes, draw(st.integers(1, 4)))
    else:
        others = draw(st.lists(st.integers(1, 6), max_size=3))
        sizes = fit_head_sizes((n_codes, *others), n_codes)
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    n_values = draw(st.sampled_from([1, 2, 4, None]))  # few values: ties are the rule
    if n_values is None:
        heads = [-rng.exponential(size=(3, size)) for size in sizes]
    else:
        heads = [-rng.integers(n_values, size=(3, size)) for size in sizes]
    return heads, draw(st.integers(1, n_codes)), n_codes


@given(problems())
@settings(deadline=None, max_examples=300)
def test_ranking_is_that_of_all_codes_ties_and_ragged_blocks_included(problem):
    heads, k, n_codes = problem
    heads = [exact_scores(scores) for scores in heads]
    codes, scores = product_topk(heads, k, n_codes)
    expected_codes, expected_scores = brute_force(heads, k, n_codes)
    np.testing.assert_array_equal(codes, expected_codes)
    np.testing.assert_array_equal(scores, expected_scores)


def test_sums_of_exact_scores_are_exact():
    rng = np.random.default_rng(0)
    a, b, c = exact_scores(-np.exp(rng.uniform(-40, 12, size=(3, 1000))))
    np.testing.assert_array_equal((a + b) + c, a + (b + c))
    np.testing.assert_array_equal((a + b) - b, a)
    np.testing.assert_allclose(a, exact_scores(a), rtol=0)


def test_rounded_sums_would_rank_a_tie_the_wrong_way():
    # Why exact_scores is there: 1e-17 is lost beside 1, and code 1 ties with code 0.
    heads = np.array([[0.0, 1e-17]]), np.array([[1.0]])
    assert product_topk(heads, 1, 2)[0][0, 0] == 1
    assert brute_force(heads, 1, 2)[0][0, 0] == 0
    heads = [exact_scores(scores) for scores in heads]
    assert product_topk(heads, 1, 2)[0][0, 0] == brute_force(heads, 1, 2)[0][0, 0]


def test_memory_does_not_depend_on_the_number_of_codes():
    peaks = []
    for size in (100, 1000):
        rng = np.random.default_rng(0)
        heads = [exact_scores(rng.standard_normal((64, size))) for _ in range(2)]
        product_topk(heads, 5, size**2)
        tracemalloc.start()
        product_topk(heads, 5, size**2)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    # A hundred times the codes; what grows is the ranking within a head.
    assert peaks[1] < 20 * peaks[0] < 100 * 1000**2
