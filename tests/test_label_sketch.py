"""Sketched codes, against the inner products that they stand for."""

import numpy as np
import pytest
import scipy.sparse as sp

from skxmc import DECLAREClassifier, load
from skxmc._compression import linear_decoder
from skxmc._label_sketch import sketch_again, sketched_codes
from skxmc._label_svd import svd_codes
from skxmc._mapped import MappedCSR
from skxmc.datasets import make_xmc_classification

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
        codes = sketched_codes(kind(Y), n_components, rng, weights, seed=seed)
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
    codes = sketched_codes(random_labels(shape), 12, np.random.RandomState(0), seed=1)
    np.testing.assert_allclose(codes[:, :6].T @ codes[:, 6:], 0, atol=1e-3)


def test_rows_of_one_label_each_are_told_apart():
    """Of labels in equal numbers, an SVD has nothing on most."""
    classes = np.arange(2000) % 200
    Y = sp.csr_array(np.eye(200, dtype=np.float32)[classes])
    Z = sketched_codes(Y, 40, np.random.RandomState(0), seed=0)
    similar = Z[:200] @ Z[200:400].T
    assert np.mean(similar.argmax(axis=1) == np.arange(200)) > 0.99


@pytest.mark.parametrize("shape", [TALL, WIDE])
def test_one_component_and_no_seed_leave_the_svd(shape):
    Y = random_labels(shape)
    for c, seed in ((1, 0), (9, None)):
        codes = sketched_codes(Y, c, np.random.RandomState(0), seed=seed)
        svd = svd_codes(Y, c, np.random.RandomState(0))
        np.testing.assert_allclose(codes, svd, atol=1e-5)


@pytest.mark.parametrize("kind", [sp.csr_array, MappedCSR])
@pytest.mark.parametrize("c", [1, 2, 12, 13])
@pytest.mark.parametrize("shape", [TALL, WIDE])
def test_later_rows_get_the_codes_that_they_had(shape, c, kind):
    Y = random_labels(shape)
    codes = sketched_codes(Y, c, np.random.RandomState(0), seed=3)
    codes /= np.sqrt(np.mean(codes**2))
    some = Y[: shape[0] // 2]
    again = sketch_again(kind(some), linear_decoder(Y, codes), 3)
    # As close as the directions of the SVD are to where they do not turn any more.
    atol = 0.01 if c > 11 else 0.5
    np.testing.assert_allclose(
        again[0 : len(codes) // 2], codes[: len(codes) // 2], atol=atol
    )


@pytest.mark.parametrize("storage", [False, True])
def test_a_warm_start_on_the_same_rows_changes_no_prediction(storage, tmp_path):
    X, Y = make_xmc_classification(n_samples=300, n_labels=60, random_state=0)
    model = DECLAREClassifier(16, keys="exact", warm_start=True, random_state=0)
    model.fit(X, Y)
    before = model.predict_topk(X, k=3)[1]
    if storage:
        model.save(tmp_path / "model")
        model = load(tmp_path / "model")
    after = model.fit(X, Y).predict_topk(X, k=3)[1]
    np.testing.assert_allclose(after, before, atol=0.02)
