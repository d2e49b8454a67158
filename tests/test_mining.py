"""Hard negatives, against a sort of all similarities."""

import numpy as np
import pytest
import scipy.sparse as sp

from skxmc._mining import find_hard_negatives


@pytest.mark.parametrize("n_labels", [3, 40])
def test_hard_negatives_are_the_closest_labels_that_a_row_has_not(n_labels):
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(150, 6)).astype(np.float32)  # more than a block
    labels = rng.normal(size=(n_labels, 6)).astype(np.float32)
    Y = sp.csr_array((rng.random((150, n_labels)) < 0.3).astype(np.float32))
    negatives = find_hard_negatives(rows, labels.copy(), Y, 2, "exact")
    assert negatives.shape == (150, 8)
    similarities = rows @ labels.T
    for row in range(150):
        order = np.argsort(-similarities[row])
        expected = [j for j in order if not Y[row, j]][:8]
        found = negatives[row][: len(expected)]
        np.testing.assert_array_equal(found, expected)
        assert (negatives[row][len(expected) :] == -1).all()


def test_rows_with_very_many_labels_still_get_no_positive():
    rng = np.random.default_rng(0)
    rows, labels = (rng.normal(size=(n, 4)).astype(np.float32) for n in (5, 300))
    Y = sp.csr_array(np.ones((5, 300), dtype=np.float32))
    Y[:, [7]] = 0
    Y.eliminate_zeros()
    negatives = find_hard_negatives(rows, labels, Y, 1, "exact")
    assert set(np.unique(negatives)) <= {-1, 7}
