"""Labels that neighbours vote for, against votes of all other rows."""

import numpy as np
import pytest
import scipy.sparse as sp

from skxmc._recovery import LabelStore, neighbor_weights
from skxmc._shortlists import N_SHORTLISTED, shortlist_labels, shortlisted


def problem(n_rows, n_labels, seed=0):
    rng = np.random.default_rng(seed)
    Y = sp.random_array((n_rows, n_labels), density=3 / n_labels, rng=rng, format="csr")
    Y.data[:] = 1
    return Y.astype(np.float32), rng.normal(size=(n_rows, 8)).astype(np.float32)


@pytest.mark.parametrize("key_per_set", [True, False])
def test_votes_are_those_of_the_nearest_others(key_per_set):
    """With so few rows that all clusters are searched."""
    Y, codes = problem(60, 20)
    store = LabelStore(Y, key_per_set=key_per_set)
    codes = codes[store.rows]
    found = shortlist_labels(codes, store, n_neighbors=5, sharpening=3.0).toarray()
    unit = codes / np.linalg.norm(codes, axis=1, keepdims=True)
    cosines = unit @ unit.T
    np.fill_diagonal(cosines, -np.inf)
    nearest = np.argsort(-cosines, axis=1)[:, :5]
    weights = neighbor_weights(np.take_along_axis(cosines, nearest, axis=1), 3.0)
    truth = Y.toarray()[store.rows]
    expected = np.einsum("nq,nql->nl", weights, truth[nearest])
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_the_best_labels_are_kept():
    Y, codes = problem(300, 2000)
    store = LabelStore(Y, key_per_set=False)
    codes = codes[store.rows]
    found = shortlist_labels(codes, store, n_neighbors=40, sharpening=1.0)
    assert np.diff(found.indptr).max() == N_SHORTLISTED
    assert found.has_sorted_indices
    assert found.data.min() > 0


def test_one_row_has_no_others():
    ones = sp.csr_array(np.ones((1, 3), dtype=np.float32))
    codes, store = problem(1, 3)[1], LabelStore(ones, key_per_set=False)
    found = shortlist_labels(codes, store, n_neighbors=5, sharpening=1.0)
    assert found.shape == (1, 3)
    assert not found.nnz


def test_the_best_stored_scores_of_each_row_are_told():
    rng = np.random.default_rng(0)
    scores = rng.random((4, 50)).astype(np.float32)
    scores[1, 5:] = 0  # fewer than there may be
    scores[2, 10:] = 0.5  # equal ones cross the cut
    scores[3] = 0
    found = shortlisted(sp.csr_array(scores))
    listed = np.zeros(scores.shape, dtype=bool)
    listed[scores > 0] = found
    np.testing.assert_array_equal(
        np.sort(np.argsort(-scores[0])[:N_SHORTLISTED]), np.flatnonzero(listed[0])
    )
    assert listed[1].sum() == 5
    assert listed[2, 10:].all()
    assert not listed[3].any()
