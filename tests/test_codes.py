"""Label codes: exact inverses, no code without a label, sizes as promised."""

import itertools
import math

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from skxmc._codes import (
    LabelCodes,
    balanced_sizes,
    cascade_sizes,
    code_digits,
    fit_head_sizes,
    level_counts,
    level_sizes,
    strides,
)


@st.composite
def label_codes(draw):
    n_labels = draw(st.integers(1, 300))
    others = draw(st.lists(st.integers(1, 7), max_size=3))
    sizes = fit_head_sizes((n_labels, *others), n_labels)
    seed = draw(st.integers(0, 100))
    return LabelCodes(sizes, np.random.default_rng(seed).permutation(n_labels))


@given(label_codes())
@settings(deadline=None)
def test_labels_have_the_first_codes_and_each_its_digits(codes):
    all_digits = itertools.product(*map(range, codes.head_sizes))  # in order of codes
    for code, digits in zip(range(codes.n_labels), all_digits, strict=False):
        label = codes.order[code]
        assert codes.code_of[label] == code
        assert tuple(code_digits(code, codes.head_sizes)) == digits
        assert np.dot(digits, strides(codes.head_sizes)) == code


def test_the_first_head_is_the_most_significant():
    assert strides((4, 3, 2)) == [6, 2, 1]
    digits = code_digits(np.array([0, 7, 23]), (4, 3, 2))
    assert [d.tolist() for d in digits] == [[0, 1, 3], [0, 0, 2], [0, 1, 1]]


@given(st.integers(1, 10**7), st.integers(1, 5))
@settings(deadline=None)
def test_balanced_sizes_are_the_smallest_equal_ones(n_labels, n_heads):
    first, *others = balanced_sizes(n_labels, n_heads)
    assert len(others) == n_heads - 1
    assert first == math.ceil(n_labels / math.prod(others))
    if others:
        (size,) = set(others)
        assert size**n_heads >= n_labels
        assert (size - 1) ** n_heads < n_labels


@given(st.integers(1, 10**7), st.integers(2, 4))
@settings(deadline=None)
def test_cascade_sizes_hold_all_labels_in_groups_of_bounded_size(n_labels, n_heads):
    *above, members = cascade_sizes(n_labels, n_heads)
    assert len(above) == n_heads - 1
    assert members <= min(128, n_labels)
    assert members >= min(8, n_labels)
    assert math.prod(above) * members >= n_labels
    if n_heads == 2 and n_labels > 64:
        assert above[0] > members


def test_the_first_size_is_cut_to_what_is_needed():
    assert fit_head_sizes((8400, 80), 670_091) == (8377, 80)
    assert fit_head_sizes(np.array([86, 46]), 3956) == (86, 46)
    assert fit_head_sizes([1000], 3) == (3,)


@pytest.mark.parametrize("sizes", [(), (0, 5), (2.5, 4), ("a",), (True, 0)])
def test_sizes_that_are_no_sizes(sizes):
    with pytest.raises(ValueError, match="one whole number of at least 1"):
        fit_head_sizes(sizes, 5)


def test_too_few_codes_is_an_error_that_names_both_numbers():
    with pytest.raises(ValueError, match="room for 12 labels, but y has 13"):
        fit_head_sizes((3, 4), 13)


def test_levels_and_their_counts_against_a_loop():
    rng = np.random.default_rng(0)
    sizes = fit_head_sizes((9, 3, 4), 31)
    Y = sp.random_array((20, 31), density=0.2, format="csr", rng=rng)
    Y.sort_indices()
    counts = level_counts(Y, sizes)
    assert [len(c) for c in counts] == level_sizes(31, sizes) == [3, 8, 31]
    for step, level in zip(strides(sizes), counts, strict=True):
        expected = np.zeros(len(level), dtype=int)
        for row in range(20):
            labels = Y[[row]].indices
            for node in {label // step for label in labels}:
                expected[node] += 1
        np.testing.assert_array_equal(level, expected)
