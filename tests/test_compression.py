"""Label codes, against numpy's singular value decomposition and brute force."""

import tracemalloc

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LinearRegression

from skxmc._compression import (
    _neighbor_pairs,
    compress_labels,
    linear_decoder,
    neighbor_codes,
    predictable_codes,
    project_labels,
    svd_codes,
)

TALL, WIDE = (40, 16), (16, 40)  # the two orientations: n > L and n < L


def compress(Y, n_components, method, rare_label_weight, random_state):
    """Compress where X is one feature a row, from which all codes follow."""
    return compress_labels(
        sp.eye_array(Y.shape[0], format="csr", dtype=np.float32),
        Y,
        n_components,
        method=method,
        alpha=1.0,
        rare_label_weight=rare_label_weight,
        random_state=random_state,
        seed=0 if method == "sketch" else None,
    )


def rng_state():
    return np.random.RandomState(0)


def random_labels(shape, density=0.3, seed=0):
    rng = np.random.default_rng(seed)
    return sp.csr_array((rng.random(shape) < density).astype(np.float32))


def gram_of_svd(A, c):
    """Compute U_c Sigma_c^2 U_c^T from numpy's decomposition."""
    U, S, _ = np.linalg.svd(np.asarray(A, dtype=np.float64), full_matrices=False)
    return (U[:, :c] * S[:c] ** 2) @ U[:, :c].T


def direction(gram):
    return gram / np.linalg.norm(gram)


def relative_error(actual, expected):
    return np.linalg.norm(actual - expected) / np.linalg.norm(expected)


@pytest.mark.parametrize("c", [1, 6, 16])
@pytest.mark.parametrize("shape", [TALL, WIDE])
def test_svd_codes_have_the_inner_products_of_numpys_svd(shape, c):
    Y = random_labels(shape)
    codes = svd_codes(Y, c, rng_state())
    assert codes.shape == (shape[0], c)
    assert codes.dtype == np.float32
    assert relative_error(codes @ codes.T, gram_of_svd(Y.toarray(), c)) < 1e-4


@pytest.mark.parametrize("shape", [(150, 60), (60, 150)])
def test_svd_codes_find_a_few_strong_directions_among_many(shape):
    """More columns than the iteration carries, and a gap after the fourth."""
    Y = random_labels(shape, density=0.02)
    groups = np.arange(shape[0]) % 4, np.arange(shape[1]) % 4
    noise = np.random.default_rng(1).random(shape) < 0.9
    strong = (groups[0][:, None] == groups[1]) & noise
    Y = sp.csr_array(np.maximum(Y.toarray(), strong))
    codes = svd_codes(Y, 4, rng_state())
    assert relative_error(codes @ codes.T, gram_of_svd(Y.toarray(), 4)) < 1e-4


@pytest.mark.parametrize("shape", [TALL, WIDE])
def test_svd_codes_are_ordered_by_singular_value(shape):
    Y = random_labels(shape)
    codes = svd_codes(Y, 6, rng_state())
    S = np.linalg.svd(Y.toarray(), compute_uv=False)
    np.testing.assert_allclose(codes.T @ codes, np.diag(S[:6] ** 2), atol=1e-3)


@pytest.mark.parametrize("shape", [TALL, WIDE, (5, 1), (1, 5)])
def test_more_components_than_rows_or_labels_keep_everything(shape):
    Y = random_labels(shape, density=0.7)
    codes = svd_codes(Y, 100, rng_state())
    assert codes.shape == (shape[0], min(shape))
    np.testing.assert_allclose(codes @ codes.T, (Y @ Y.T).toarray(), atol=1e-3)


@pytest.mark.parametrize("method", ["sketch", "svd", "predictable", "neighbors"])
@pytest.mark.parametrize("shape", [TALL, WIDE])
def test_codes_of_no_labels_are_zero(shape, method):
    Y = sp.csr_array(shape, dtype=np.float32)
    assert not compress(Y, 3, method, 0.5, rng_state()).any()


@pytest.mark.parametrize("method", ["sketch", "svd", "predictable", "neighbors"])
def test_codes_have_root_mean_square_one_and_follow_the_seed(method):
    Y = random_labels((60, 25))
    codes, again = (compress(Y, 8, method, 0, rng_state()) for _ in range(2))
    assert np.sqrt(np.mean(codes**2)) == pytest.approx(1, rel=1e-5)
    assert np.array_equal(codes, again)


@pytest.mark.parametrize("power", [0, 0.5, 1])
def test_rare_labels_are_weighted_by_a_power_of_their_frequency(power):
    Y = random_labels(TALL, density=np.linspace(0, 0.6, TALL[1]))  # the first: never
    before = Y.copy()
    codes = compress(Y, 5, "svd", power, rng_state())
    counts = np.maximum(Y.toarray().sum(axis=0), 1)
    expected = gram_of_svd(Y.toarray() / counts**power, 5)
    np.testing.assert_allclose(
        direction(codes @ codes.T), direction(expected), atol=1e-4
    )
    assert (before != Y).nnz == 0


@pytest.mark.parametrize("shape", [TALL, WIDE])
def test_decoder_of_svd_codes_holds_the_right_singular_vectors(shape):
    Y = random_labels(shape)
    decoder = linear_decoder(Y, svd_codes(Y, 6, rng_state()))
    V = np.linalg.svd(Y.toarray())[2][:6].T
    np.testing.assert_allclose(decoder @ decoder.T, V @ V.T, atol=1e-3)
    np.testing.assert_allclose(decoder.T @ decoder, np.eye(6), atol=1e-3)


def test_decoder_is_the_least_squares_solution():
    Y = random_labels(TALL)
    codes = np.random.default_rng(0).standard_normal((TALL[0], 6)).astype(np.float32)
    expected = np.linalg.lstsq(codes, Y.toarray())[0].T
    np.testing.assert_allclose(linear_decoder(Y, codes), expected, atol=1e-4)


def test_projection_and_decoder_invert_a_product_of_codes():
    rng = np.random.default_rng(0)
    codes = rng.standard_normal((40, 5)).astype(np.float32)
    decoder = rng.standard_normal((16, 5)).astype(np.float32)
    Y = sp.csr_array(codes @ decoder.T)
    np.testing.assert_allclose(linear_decoder(Y, codes), decoder, atol=1e-4)
    np.testing.assert_allclose(project_labels(Y, decoder), codes, atol=1e-4)


@pytest.mark.parametrize("shape", [TALL, WIDE])
def test_projection_of_the_training_labels_gives_their_codes(shape):
    Y = random_labels(shape)
    codes = compress(Y, 6, "svd", 0, rng_state())
    projected = project_labels(Y, linear_decoder(Y, codes))
    np.testing.assert_allclose(projected, codes, atol=1e-2)


def brute_force_pairs(Y, n_neighbors, max_frequency):
    """List the pairs of rows as the docstring defines them, row by row."""
    rare = Y.mean(axis=0) <= max_frequency
    sets = [set(np.flatnonzero(row * rare)) for row in Y]
    pairs = set()
    for i, labels in enumerate(sets):
        others = [j for j in range(len(sets)) if j != i and labels & sets[j]]
        others.sort(key=lambda j, labels=labels: (-len(labels & sets[j]), j))
        for j in others[:n_neighbors]:
            pairs |= {(i, j), (j, i)}
    return pairs


@settings(deadline=None)
@given(
    st.integers(1, 20),
    st.integers(1, 6),
    st.sampled_from([0.0, 0.2, 0.5, 1.0]),
    st.integers(1, 30),
    st.integers(0, 2**32),
)
def test_neighbor_pairs_share_the_most_labels(n, n_neighbors, limit, block_rows, seed):
    Y = random_labels((n, 8), seed=seed)
    i, j = _neighbor_pairs(Y, n_neighbors, limit, block_rows=block_rows)
    pairs = list(zip(i.tolist(), j.tolist(), strict=True))
    assert len(pairs) == len(set(pairs))
    assert set(pairs) == brute_force_pairs(Y.toarray(), n_neighbors, limit)


@pytest.mark.parametrize("c", [5, 20])
def test_neighbor_codes_are_closer_on_neighbor_pairs_than_the_svd(c):
    Y = random_labels((300, 100), density=0.03)
    before = svd_codes(Y, c, rng_state())
    after = neighbor_codes(Y, before, n_neighbors=10)
    assert after.shape == before.shape
    pairs = brute_force_pairs(Y.toarray(), 10, 0.05)
    i, j = np.array(sorted(pairs)).T
    truth = (Y @ Y.T).toarray()[i, j]

    def error(Z):
        return np.linalg.norm(truth - (Z @ Z.T)[i, j])

    assert error(after) < 0.8 * error(before)


def test_without_neighbor_pairs_the_codes_keep_their_inner_products():
    Y = random_labels(TALL)  # each label on more than 5 % of the rows
    codes = svd_codes(Y, 6, rng_state())
    after = neighbor_codes(Y, codes)
    np.testing.assert_allclose(after @ after.T, codes @ codes.T, atol=1e-3)


@pytest.mark.parametrize("method", ["sketch", "svd", "predictable", "neighbors"])
def test_nothing_of_the_size_n_by_n_is_built(method):
    n, n_labels = 20_000, 1_500
    labels = np.random.default_rng(0).integers(n_labels, size=(n, 3))
    ones = np.ones(3 * n, dtype=np.float32)
    Y = sp.csr_array((ones, labels.ravel(), np.arange(0, 3 * n + 1, 3)), (n, n_labels))
    Y.sum_duplicates()
    tracemalloc.start()
    codes = compress(Y, 8, method, 0, rng_state())
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert codes.shape == (n, 8)
    assert peak < n**2 / 4  # bytes: a quarter of a boolean array of that size


def test_predictable_codes_are_those_of_cplst():
    """Against the eigenvectors of Y^T H Y, with the hat matrix H formed."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((60, 12)).astype(np.float32)
    Y = (X @ rng.standard_normal((12, 9)) + rng.standard_normal((60, 9)) > 1).astype(
        "f"
    )
    alpha, c = 0.5, 4
    centred = X - X.mean(axis=0)
    penalty = alpha * np.mean((X**2).sum(axis=1))
    gram = centred.T @ centred + penalty * np.eye(12)
    hat = centred @ np.linalg.solve(gram, centred.T) + 1 / 60
    directions = np.linalg.eigh(Y.T @ hat @ Y)[1][:, ::-1][:, :c]
    # Twice 5 components are all 9 singular vectors: nothing is cut off beforehand.
    codes = predictable_codes(sp.csr_array(X), sp.csr_array(Y), 5, alpha, rng_state())
    expected = Y @ directions
    np.testing.assert_allclose(
        codes[:, :c] @ codes[:, :c].T, expected @ expected.T, atol=0.05
    )


def test_predictable_codes_leave_out_what_x_cannot_tell():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((400, 5)).astype(np.float32)
    told = X[:, :2] > 1.2
    untold = rng.random((400, 2)) < 0.5  # of much larger variance
    Y = sp.csr_array(np.hstack([told, untold]).astype(np.float32))
    codes = predictable_codes(sp.csr_array(X), Y, 3, 1.0, rng_state())
    plain = svd_codes(Y, 3, rng_state())
    told, by_variance = (
        LinearRegression().fit(X, Z).score(X, Z) for Z in (codes, plain)
    )
    assert codes.shape == plain.shape
    assert told > by_variance
