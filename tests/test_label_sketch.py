"""Sketched codes, against the inner products that they stand for."""

import numpy as np
import pytest
import scipy.sparse as sp

from skxmc._label_sketch import sketched_codes
from skxmc._label_svd import svd_codes
from skxmc._mapped import MappedCSR

TALL, WIDE = (40, 16), (16, 40)  # more rows than labels, and fewer


def random_labels(shape, density=0.2):
    rng = np.random.default_rng(0)
    return sp.csr_array((rng.random(shape) < density).astype(np.float32))


def leading_gram(A, c):
    """Compute U_c Sigma_c^2 U_c^T from numpy's decomposition."""
    U, S, _ = np.linalg.svd(A.astype(np.float64), full_matrices=False)
    return (U[:, :c] * S[:c] ** 2) @ U[:, :c].T


@pytest.mark.parametrize("kind", [sp.csr_array, MappedCSR])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("n_components", [12, 15])
@pytest.mark.parametrize("shape", [TALL, WIDE])
def test_inner_products_are_those_of_labels_on_average(
    shape, n_components, weighted, kind
):
    Y = random_labels(shape)
    weights, A = None, Y.toarray()
    if weighted:
        weights = np.linspace(0.5, 2, shape[1], dtype=np.float32)
        A = A * weights
    n_seeds, n_svd = 400, n_components - n_components // 2
    grams = []
    for seed in range(n_seeds):
        rng = np.random.RandomState(seed)
        codes = sketched_codes(kind(Y), n_components, rng, weights)
        assert codes.shape == (shape[0], n_components)
        Z = codes[0 : shape[0]]
        assert Z.dtype == np.float32
        leading = Z[:, :n_svd] @ Z[:, :n_svd].T
        np.testing.assert_allclose(leading, leading_gram(A, n_svd), atol=1e-3)
        grams.append(Z @ Z.T)
    spread = np.std(grams, axis=0) / np.sqrt(n_seeds)
    error = np.abs(np.mean(grams, axis=0) - A @ A.T)
    assert (error <= 5 * spread + 0.01).all()


@pytest.mark.parametrize("shape", [TALL, WIDE])
def test_projections_are_of_what_the_svd_leaves(shape):
    codes = sketched_codes(random_labels(shape), 12, np.random.RandomState(0))
    np.testing.assert_allclose(codes[:, :6].T @ codes[:, 6:], 0, atol=1e-3)


def test_rows_of_one_label_each_are_told_apart():
    """Of labels in equal numbers, an SVD has nothing on most."""
    classes = np.arange(2000) % 200
    Y = sp.csr_array(np.eye(200, dtype=np.float32)[classes])
    found = {}
    for encode in (svd_codes, sketched_codes):
        Z = encode(Y, 40, np.random.RandomState(0)).astype(np.float64)
        Z /= np.maximum(np.linalg.norm(Z, axis=1, keepdims=True), 1e-9)
        similar = Z[:200] @ Z[200:400].T
        found[encode] = np.mean(similar.argmax(axis=1) == np.arange(200))
    assert found[sketched_codes] > 0.99


@pytest.mark.parametrize("shape", [TALL, WIDE, (1, 5), (5, 1)])
def test_where_an_svd_loses_nothing_it_is_that(shape):
    Y = random_labels(shape, density=0.7)
    codes = sketched_codes(Y, 16, np.random.RandomState(0))
    np.testing.assert_array_equal(codes, svd_codes(Y, 16, np.random.RandomState(0)))


def test_one_component_is_the_svds():
    Y = random_labels(TALL)
    codes = sketched_codes(Y, 1, np.random.RandomState(0))[:, 0]
    svd = svd_codes(Y, 1, np.random.RandomState(0))[:, 0]
    np.testing.assert_allclose(np.outer(codes, codes), np.outer(svd, svd), atol=0.1)
