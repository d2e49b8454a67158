"""Synthetic data: distribution, reproducibility, learnability, size."""

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal

from skxmc.datasets import make_xmc_classification


def same(A, B):
    return all(
        np.array_equal(getattr(A, part), getattr(B, part))
        for part in ("data", "indices", "indptr")
    )


def test_form():
    X, Y = make_xmc_classification(300, 200, 50, random_state=0)
    assert (X.shape, Y.shape) == ((300, 200), (300, 50))
    assert (X.dtype, Y.dtype) == (np.float32, np.int8)
    for matrix in (X, Y):
        assert isinstance(matrix, sp.csr_array)
        matrix.check_format(full_check=True)
        assert matrix.has_canonical_format
        assert matrix.indices.dtype == np.int32
        assert np.diff(matrix.indptr).min() >= 1
    assert (X.data > 0).all()
    assert_allclose(np.linalg.norm(X.toarray(), axis=1), 1, rtol=1e-5)
    assert (Y.data == 1).all()


def test_random_state():
    parts = make_xmc_classification(random_state=3)
    again = make_xmc_classification(random_state=np.random.RandomState(3))
    other = make_xmc_classification(random_state=4)
    assert all(map(same, parts, again))
    assert not any(map(same, parts, other))


def test_global_random_state_is_untouched():
    np.random.seed(0)  # noqa: NPY002
    expected = np.random.rand()  # noqa: NPY002
    np.random.seed(0)  # noqa: NPY002
    make_xmc_classification(10, random_state=1)
    assert np.random.rand() == expected  # noqa: NPY002


@pytest.mark.parametrize("skew", [0, 0.5, 1.0, 1.5])
def test_label_frequencies_are_zipf(skew):
    n, n_labels, mean = 40_000, 40, 3.0
    _, Y = make_xmc_classification(
        n, 50, n_labels, n_nonzero=1, label_skew=skew, random_state=0
    )
    p = np.arange(1.0, n_labels + 1) ** -skew
    p /= p.sum()
    # A row lacks a label if none of its 1 + Poisson(mean - 1) draws gives it.
    poisson = [np.exp(-(mean - 1))]
    for k in range(1, 60):
        poisson.append(poisson[-1] * (mean - 1) / k)
    present = 1 - sum(w * (1 - p) ** (k + 1) for k, w in enumerate(poisson))
    frequencies = np.sort(Y.mean(axis=0, dtype=np.float64))[::-1]
    # 4.5 standard errors, and what sorting equal frequencies adds.
    assert_allclose(frequencies, present, atol=4.5 * np.sqrt(0.25 / n))
    assert not np.array_equal(np.argsort(-Y.sum(axis=0)), np.arange(n_labels))


def test_means_follow_the_parameters():
    X, Y = make_xmc_classification(
        2000, 10**6, 10**5, n_labels_per_sample=5, label_skew=0, random_state=0
    )
    assert_allclose(Y.nnz / 2000, 5, rtol=0.05)
    # Five topics of 30 features, 27 draws: few repetitions.
    assert 25 < X.nnz / 2000 < 30


def test_extremes():
    X, Y = make_xmc_classification(
        5, 1, 1, n_labels_per_sample=1, n_nonzero=1, random_state=0
    )
    assert_array_equal(X.toarray(), np.ones((5, 1)))
    assert_array_equal(Y.toarray(), np.ones((5, 1)))
    _, Y = make_xmc_classification(4, 9, 3, n_labels_per_sample=500, random_state=0)
    assert_array_equal(Y.toarray(), np.ones((4, 3)))


@pytest.mark.parametrize(
    ("name", "value"),
    [("n_samples", 0), ("n_labels", 0), ("n_nonzero", 0.5), ("noise", 1.1)],
)
def test_parameters_are_checked(name, value):
    with pytest.raises(ValueError, match=f"The '{name}' parameter of make_xmc"):
        make_xmc_classification(**{name: value})


def precision_at_1(scores, Y):
    return Y.toarray()[np.arange(Y.shape[0]), scores.argmax(axis=1)].mean()


def nearest_centroid_and_popularity(noise):
    X, Y = make_xmc_classification(2000, noise=noise, random_state=0)
    train, test = slice(1500), slice(1500, None)
    centroids = (Y[train].T @ X[train]).toarray().astype(np.float64)
    centroids /= np.maximum(np.linalg.norm(centroids, axis=1, keepdims=True), 1e-12)
    popularity = np.tile(Y[train].sum(axis=0), (500, 1))
    scores = X[test] @ centroids.T
    return [precision_at_1(s, Y[test]) for s in (scores, popularity)]


def test_learnable_unless_all_is_noise():
    centroid, popularity = nearest_centroid_and_popularity(noise=0.1)
    assert centroid > popularity + 0.3
    centroid, popularity = nearest_centroid_and_popularity(noise=1.0)
    assert centroid <= popularity


def test_a_million_labels_stay_sparse():
    # A dense array would take 20 GB for Y, 1 TB for the topics.
    X, Y = make_xmc_classification(20_000, 10**6, 10**6, random_state=0)
    assert Y.shape == (20_000, 10**6)
    assert X.nnz < 20_000 * 31
