"""DECLARE of rows read in blocks, against the same rows in memory."""

import numpy as np
import pytest
from sklearn.base import clone

import skxmc._mapped as mapped_rows
from skxmc import DECLAREClassifier
from skxmc._blocks import SelectedRows
from skxmc._compression import compress_labels, linear_decoder, project_labels
from skxmc._mapped import CodedRows, MappedCSR
from skxmc._neighbors import SparseNeighborIndex
from skxmc._recovery import LabelStore
from skxmc.datasets import make_xmc_classification, write_mapped
from skxmc.metrics import precision_at_k

METHODS = ["sketch", "svd", "predictable", "neighbors"]


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    """Make several blocks of little data."""
    monkeypatch.setattr(mapped_rows, "_BLOCK_ENTRIES", 700)
    monkeypatch.setattr("skxmc._nn._data._BLOCK_ROWS", 8)
    monkeypatch.setattr("skxmc._neighbors._sparse._SHARD_KEYS", 100)
    monkeypatch.setattr("skxmc._neighbors._sparse._COPIED_KEYS", 30)


@pytest.fixture(scope="module")
def problem():
    X, Y = make_xmc_classification(400, 60, 40, n_nonzero=8, random_state=0)
    Y = Y.astype(np.float32)
    Y.data[Y.indptr[5] : Y.indptr[9]] = 0  # rows without labels
    Y.eliminate_zeros()
    return X, Y


@pytest.fixture(scope="module")
def folders(tmp_path_factory, problem):
    home = tmp_path_factory.mktemp("mapped")
    X, Y = problem[0], problem[1].astype(np.int8)
    return [
        write_mapped(home / name, [M[:150], M[150:300]])
        for name, M in (("X", X), ("Y", Y))
    ]


def rows_only(problem, n_samples=300):
    return (M[:n_samples] for M in problem)


# More rows than labels, and fewer: the SVD is then of another Gram matrix, from another
# start, and the same only if it is exact.
@pytest.mark.parametrize(("n_samples", "n_components"), [(300, 6), (30, 20)])
@pytest.mark.parametrize("power", [0.0, 0.5])
@pytest.mark.parametrize("method", METHODS)
def test_codes_are_those_of_labels_in_memory(
    problem, method, power, n_samples, n_components
):
    X, Y = rows_only(problem, n_samples)
    exact, codes = (
        compress_labels(
            *parts,
            n_components,
            method=method,
            alpha=3.0,
            rare_label_weight=power,
            random_state=np.random.RandomState(0),
            seed=0 if method == "sketch" else None,
        )
        for parts in ((X, Y), (MappedCSR(X), MappedCSR(Y)))
    )
    assert isinstance(codes, CodedRows) == (method != "neighbors")
    assert codes.shape == exact.shape
    held = codes[0:n_samples]
    np.testing.assert_allclose(held @ held.T, exact @ exact.T, atol=0.01)
    some = [7, 3, 20]
    np.testing.assert_array_equal(codes[some], held[some])
    decoder = linear_decoder(MappedCSR(Y), codes)
    np.testing.assert_allclose(decoder, linear_decoder(Y, held), atol=1e-4)
    projected = project_labels(MappedCSR(Y), decoder)
    np.testing.assert_allclose(
        projected[0:n_samples], project_labels(Y, decoder), atol=1e-3
    )


@pytest.mark.parametrize("key_per_set", [True, False])
def test_label_sets_and_keys_are_those_in_memory(problem, key_per_set):
    Y = problem[1]
    held = LabelStore(Y, key_per_set=key_per_set)
    mapped = LabelStore(MappedCSR(Y, dtype=np.int8), key_per_set=key_per_set)
    assert type(mapped.sets) is type(held.sets)
    assert mapped.sets.dtype == held.sets.dtype
    assert (mapped.sets != held.sets).nnz == 0
    for name, numbers in vars(held).items():
        if name != "sets":
            np.testing.assert_array_equal(getattr(mapped, name), numbers)


def test_input_rows_are_copied_a_few_at_a_time(problem, monkeypatch):
    X = problem[0]
    rows = np.r_[0:5, 9:300]
    filled = SparseNeighborIndex(SelectedRows(MappedCSR(X), rows)).shards
    monkeypatch.setattr("skxmc._neighbors._sparse._COPIED_KEYS", 10**6)
    for shard, start in zip(filled, range(0, len(rows), 100), strict=True):
        part = X[rows[start : start + 100]]
        expected = part / np.sqrt(part.power(2).sum(axis=1))[:, None]
        np.testing.assert_allclose(shard.toarray(), expected.toarray(), rtol=1e-6)
        assert shard.has_canonical_format
        assert shard.indices.dtype == shard.indptr.dtype == np.int32
    for a, b in zip(SparseNeighborIndex(X[rows]).shards, filled, strict=True):
        for name in ("data", "indices", "indptr"):
            np.testing.assert_array_equal(getattr(a, name), getattr(b, name))


# Classifiers are fitted of rows in memory alone.
MODEL = DECLAREClassifier(n_components=12, classifier_weight=0, random_state=0)
VARIANTS = [
    *({"compression": method, "keys": "predicted"} for method in METHODS),
    *({"compression": method, "keys": "exact"} for method in METHODS),
    {"decoder": "linear", "input_weight": 0.0, "rare_label_weight": 0.3},
    {"decoder": "neighbors", "similarity": "dot", "sharpening": 2.0},
]


@pytest.mark.parametrize(
    "params", VARIANTS, ids=lambda p: "-".join(map(str, [*p.values()]))
)
def test_a_fit_from_disk_predicts_what_a_fit_in_memory_does(params, problem, folders):
    X, Y = rows_only(problem)
    held = clone(MODEL).set_params(**params).fit(X, Y)
    expected = held.predict_proba(problem[0]).toarray()
    for parts in (folders, (folders[0], Y), (X, folders[1])):
        fitted = clone(MODEL).set_params(**params).fit(*parts)
        scores = fitted.predict_proba(problem[0]).toarray()
        np.testing.assert_allclose(scores, expected, atol=2e-3)
        sizes = fitted.model_size()
        assert sizes == held.model_size()


def test_classes_are_read_as_they_are_in_memory(problem, folders):
    X, Y = rows_only(problem)
    classes = Y.toarray().argmax(axis=1)
    held, fitted = (clone(MODEL).fit(rows, classes) for rows in (X, folders[0]))
    np.testing.assert_allclose(
        fitted.predict_proba(X), held.predict_proba(X), atol=2e-3
    )


def test_a_network_is_trained_on_shuffled_blocks(problem, folders):
    X, Y = problem
    model = clone(MODEL).set_params(
        ridge_alpha=None,
        hidden_layer_sizes=(32,),
        max_epochs=16,
        lr=0.01,
        warm_start=True,
    )
    model.fit(*folders)
    assert model.loss_curve_[-1] < 0.9 * model.loss_curve_[0]
    first = precision_at_k(Y[300:], model.predict_topk(X[300:], 1), k=1)
    assert first > 0.7
    losses = model.loss_curve_
    model.fit(*folders)
    assert model.loss_curve_[-1] < losses[-1]
    again = precision_at_k(Y[300:], model.predict_topk(X[300:], 1), k=1)
    assert again > first - 0.06
