"""Which loss the linear map takes, against the one asked for by name."""

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.datasets import (
    make_blobs,
    make_classification,
    make_multilabel_classification,
)

from skxmc import DECLAREClassifier
from skxmc._compression import compress_labels
from skxmc._linear_features import fit_linear_features
from skxmc._linear_map import fit_linear_map
from skxmc._mapped import MappedCSR
from skxmc._squared_hinge import fit_squared_hinge


def one_hot(y):
    ones, rows = np.ones(len(y), dtype=np.float32), np.arange(len(y))
    return sp.csr_array((ones, (rows, y)))


def loss_taken(X, Y, n_components=50):
    """Return the name of the loss that "auto" takes."""
    X = sp.csr_array(X, dtype=np.float32)
    rng = np.random.RandomState(0)
    codes = compress_labels(
        X, Y, n_components, method="svd", alpha=3, rare_label_weight=0, random_state=rng
    )
    maps = {
        loss: fit_linear_map(X, Y, codes, 3.0, loss=loss)
        for loss in ("auto", "squared_error", "squared_hinge")
    }
    auto = maps.pop("auto")
    (taken,) = [
        loss
        for loss, found in maps.items()
        if all(np.array_equal(a, b) for a, b in zip(auto, found, strict=True))
    ]
    return taken


@pytest.fixture
def clusters():
    X, y = make_blobs(400, n_features=20, centers=8, cluster_std=3, random_state=0)
    return X, one_hot(y)


def test_auto_is_squared_hinge_where_planes_part_the_classes(clusters):
    assert loss_taken(*clusters) == "squared_hinge"


def test_auto_is_squared_error_where_no_plane_does():
    # Two clusters a class, some of each on either side of the others.
    X, y = make_classification(
        600, 20, n_informative=10, n_classes=10, n_clusters_per_class=2, random_state=0
    )
    assert loss_taken(X, one_hot(y)) == "squared_error"


def test_auto_is_squared_error_with_two_labels_in_a_row(clusters):
    X, Y = clusters
    Y = Y.tolil()
    Y[0] = 1
    assert loss_taken(X, sp.csr_array(Y)) == "squared_error"


def test_auto_is_squared_error_where_codes_are_shorter_than_the_labels_are_many(
    clusters,
):
    assert loss_taken(*clusters, n_components=7) == "squared_error"


def test_mapped_rows_have_squared_error():
    X, y = make_blobs(400, n_features=20, centers=8, random_state=0)
    X, Y = sp.csr_array(X, dtype=np.float32), one_hot(y)
    codes = Y.toarray()
    weight, _ = fit_linear_map(MappedCSR(X), Y, codes, 3.0)
    expected, _ = fit_linear_map(X, Y, codes, 3.0, loss="squared_error")
    np.testing.assert_allclose(weight, expected, atol=1e-4)


def test_declare_takes_the_loss_that_it_is_given():
    X, y = make_blobs(400, n_features=20, centers=8, cluster_std=3, random_state=0)

    def scores(loss):
        classifier = DECLAREClassifier(decoder="linear", loss=loss, random_state=0)
        return classifier.fit(X, y).predict_topk(X, 8)[1]

    assert np.array_equal(scores("auto"), scores("squared_hinge"))
    assert not np.array_equal(scores("auto"), scores("squared_error"))


def test_linear_features_are_the_map_at_one_scale(clusters):
    X, Y = sp.csr_array(clusters[0], dtype=np.float32), clusters[1]
    weight, bias = fit_linear_features(X, Y, 8, 3.0, np.random.RandomState(0))
    rng = np.random.RandomState(0)
    codes = compress_labels(
        X, Y, 8, method="svd", alpha=3, rare_label_weight=0, random_state=rng
    )
    expected, offset = fit_linear_map(X, Y, codes, 3.0, loss="squared_hinge")
    scale = np.linalg.norm(weight) / np.linalg.norm(expected)
    np.testing.assert_allclose(weight, scale * expected, rtol=1e-4)
    np.testing.assert_allclose(bias, scale * offset, rtol=1e-4)


def test_linear_features_of_classes_are_their_scores(clusters):
    X, Y = sp.csr_array(clusters[0], dtype=np.float32), clusters[1]
    rng = np.random.RandomState(0)
    weight, bias = fit_linear_features(X, Y, 8, 3.0, rng, of_classes=True)
    expected, offset, _ = fit_squared_hinge(X, Y, 3, np.eye(8, dtype=np.float32))
    scale = np.linalg.norm(weight) / np.linalg.norm(expected)
    np.testing.assert_allclose(weight, scale * expected, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(bias, scale * offset, rtol=1e-4, atol=1e-6)


@pytest.fixture
def tags():
    X, Y = make_multilabel_classification(
        300, 30, n_classes=20, n_labels=3, random_state=0
    )
    return sp.csr_array(X, dtype=np.float32), sp.csr_array(Y, dtype=np.float32)


def test_frequent_labels_stand_beside_the_codes_where_there_are_more_labels(tags):
    X, Y = tags
    rng = np.random.RandomState(0)
    weight, bias = fit_linear_features(X, Y, 8, 3.0, rng, n_machines=4)
    assert weight.shape == (30, 12)
    parts = np.split(X @ weight + bias, [8], axis=1)
    norms = [np.sqrt(np.mean((part**2).sum(axis=1))) for part in parts]
    np.testing.assert_allclose(norms, np.sqrt(8), rtol=1e-4)
    most = np.sort(np.argsort(-Y.sum(axis=0), kind="stable")[:4])
    expected, offset, _ = fit_squared_hinge(
        X, Y[:, most], 3.0, np.eye(4, dtype=np.float32)
    )
    truth = (X @ expected + offset).ravel()
    assert np.corrcoef(parts[1].ravel(), truth)[0, 1] > 0.999


def test_features_are_codes_alone_of_mapped_rows_and_where_these_lose_nothing(tags):
    X, Y = tags
    for rows, n_components in ((MappedCSR(X), 8), (X, 20)):
        rng = np.random.RandomState(0)
        weight, _ = fit_linear_features(
            *(rows, Y, n_components, 3.0, rng), n_machines=4
        )
        codes = compress_labels(
            *(X, Y, n_components),
            method="svd",
            alpha=3,
            rare_label_weight=0,
            random_state=np.random.RandomState(0),
        )
        expected, _ = fit_linear_map(X, Y, codes, 3.0, loss="squared_error")
        scale = np.linalg.norm(weight) / np.linalg.norm(expected)
        np.testing.assert_allclose(weight, scale * expected, rtol=1e-2, atol=1e-3)


def test_there_are_no_more_machines_than_labels(tags):
    X, Y = tags
    rng = np.random.RandomState(0)
    weight, _ = fit_linear_features(X, Y, 15, 3.0, rng, n_machines=100)
    assert weight.shape == (30, 15 + 20)
