"""Inner products of pairs against those of whole matrices."""

import numpy as np
import pytest
import scipy.sparse as sp

from skxmc import _pairs
from skxmc._pairs import pair_products


@pytest.mark.parametrize("make", [np.asarray, sp.csr_array])
@pytest.mark.parametrize("n_pairs", [0, 1, 7, 8, 20])
def test_products_are_entries_of_the_matrix_product(make, n_pairs, monkeypatch):
    monkeypatch.setattr(_pairs, "_BLOCK_PAIRS", 7)
    rng = np.random.default_rng(0)
    A, B = (rng.integers(-3, 4, (n, 5)).astype(np.float32) for n in (6, 9))
    i, j = rng.integers(0, 6, n_pairs), rng.integers(0, 9, n_pairs)
    expected = (A @ B.T)[i, j]
    np.testing.assert_array_equal(pair_products(make(A), i, make(B), j), expected)


def test_a_product_is_rounded_alike_wherever_it_stands():
    rng = np.random.default_rng(0)
    A, B = (rng.standard_normal((50, 101)).astype(np.float32) for _ in range(2))
    i = rng.permutation(50)
    together = pair_products(A, i, B, i)
    alone = [pair_products(A[[n]], np.array([0]), B, np.array([n]))[0] for n in i]
    assert together.tolist() == [float(value) for value in alone]
