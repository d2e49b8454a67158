"""What labels are described by."""

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.preprocessing import normalize

from skxmc._label_features import (
    LabelDescriptions,
    check_label_features,
    describe_labels,
)


@pytest.fixture
def problem():
    rng = np.random.default_rng(0)
    X = sp.random_array((30, 12), density=0.4, rng=rng, format="csr", dtype=np.float32)
    Y = sp.csr_array((rng.random((30, 5)) < 0.3).astype(np.float32))
    given = rng.random((5, 12)).astype(np.float32)
    return X, Y, given


def centroids(X, Y):
    return normalize(Y.toarray().T @ normalize(X.toarray()))


@pytest.mark.parametrize("weight", [0.0, 0.5, 2.0])
def test_features_are_the_normalised_sum(problem, weight):
    X, Y, given = problem
    checked = check_label_features(given, 5, 12)
    features = describe_labels(
        *(X, Y, checked), centroid_weight=weight, n_strongest=12, norm=2.0
    ).features.toarray()
    expected = 2 * normalize(normalize(given) + weight * centroids(X, Y))
    np.testing.assert_allclose(features, expected, atol=1e-6)


def test_without_features_of_their_own_labels_are_their_rows(problem):
    X, Y, _ = problem
    features = describe_labels(
        *(X, Y, None), centroid_weight=0.5, n_strongest=12, norm=1.0
    ).features.toarray()
    np.testing.assert_allclose(features, centroids(X, Y), atol=1e-6)


def test_centroids_keep_the_strongest_features(problem):
    X, Y, _ = problem
    features = describe_labels(
        *(X, Y, None), centroid_weight=0.5, n_strongest=3, norm=1.0
    ).features
    full = centroids(X, Y)
    for label, row in enumerate(full):
        kept = set(features[[label]].indices)
        assert kept == set(np.argsort(-row)[:3])
    np.testing.assert_allclose(sp.linalg.norm(features, axis=1), 1, rtol=1e-6)


@pytest.mark.parametrize("make", [np.asarray, sp.csr_matrix, sp.coo_array, list])
def test_any_container_is_checked_and_left_alone(problem, make):
    given = make(problem[2].tolist())
    checked = check_label_features(given, 5, 12)
    np.testing.assert_allclose(checked.toarray(), normalize(problem[2]), atol=1e-6)
    after = given.toarray() if sp.issparse(given) else np.asarray(given)
    np.testing.assert_allclose(after, problem[2], rtol=1e-6)


@pytest.mark.parametrize(
    ("n_labels", "n_features", "message"),
    [
        (6, 12, "label_features has 5 rows, but there are 6 labels"),
        (5, 13, "label_features has 12 columns, but X has 13"),
    ],
)
def test_wrong_shapes_are_named(problem, n_labels, n_features, message):
    with pytest.raises(ValueError, match=message):
        check_label_features(problem[2], n_labels, n_features)


def test_infinite_features_are_refused(problem):
    problem[2][0, 0] = np.inf
    with pytest.raises(ValueError, match="label_features contains infinity"):
        check_label_features(problem[2], 5, 12)


def test_a_compressed_model_keeps_none_of_what_training_alone_reads():
    features = sp.random_array((5, 9), density=0.5, format="csr", dtype=np.float32)
    small = LabelDescriptions(features, features).compressed("int8")
    assert small.own is None
    assert (small.features.shape, small.features.nnz) == ((5, 9), 0)
