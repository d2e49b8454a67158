"""Rows read in blocks: the same mathematics as of rows in memory, and its faults."""

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.base import clone

import skxmc._mapped as mapped_rows
from skxmc import DECLAREClassifier, MultiHeadEncodingClassifier, UniDECClassifier
from skxmc._centroids import label_centroids
from skxmc._codes import LabelCodes, level_counts
from skxmc._compression import svd_codes
from skxmc._mapped import (
    MappedCSR,
    check_mapped,
    count_columns,
    csr_blocks,
    input_scale,
    row_spans,
)
from skxmc._mining import MappedNegatives, NegativesMiner, find_hard_negatives
from skxmc._nn import PoolDataset, SparseDataset
from skxmc._nn._data import BlockSampler
from skxmc._ridge import fit_ridge
from skxmc.datasets import make_xmc_classification, write_mapped
from skxmc.metrics import precision_at_k


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    """Make several blocks of little data."""
    monkeypatch.setattr(mapped_rows, "_BLOCK_ENTRIES", 700)
    monkeypatch.setattr("skxmc._nn._data._BLOCK_ROWS", 8)
    monkeypatch.setattr("skxmc._nn._data._N_BLOCKS", 4)


@pytest.fixture(scope="module")
def problem():
    X, Y = make_xmc_classification(400, 60, 20, n_nonzero=8, random_state=0)
    return X, Y.astype(np.float32)


def test_blocks_are_all_rows_in_order(problem):
    X = problem[0]
    spans = [*row_spans(MappedCSR(X))]
    assert len(spans) > 3
    stacked = sp.vstack([block for _, block in csr_blocks(MappedCSR(X))])
    assert (stacked != X).nnz == 0
    starts, stops = [s.start for s in spans], [s.stop for s in spans]
    assert [*starts, X.shape[0]] == [0, *stops]
    assert all(X[span].nnz <= 700 for span in spans)
    ((_, block),) = csr_blocks(X)
    assert block is X


def test_a_row_longer_than_a_block_is_a_block(monkeypatch):
    monkeypatch.setattr(mapped_rows, "_BLOCK_ENTRIES", 3)
    X = MappedCSR(np.ones((3, 5), np.float32))
    assert [*row_spans(X)] == [slice(0, 1), slice(1, 2), slice(2, 3)]


def test_sums_are_those_of_rows_in_memory(problem):
    X, Y = problem
    assert input_scale(MappedCSR(X)) == pytest.approx(input_scale(X), rel=1e-6)
    np.testing.assert_array_equal(count_columns(MappedCSR(Y)), Y.sum(axis=0))
    centroids = label_centroids(MappedCSR(X), MappedCSR(Y)).toarray()
    np.testing.assert_allclose(centroids, label_centroids(X, Y).toarray(), atol=1e-5)
    codes = LabelCodes((4, 5), np.random.default_rng(0).permutation(20))
    for a, b in zip(
        level_counts(codes.reorder(MappedCSR(Y)), (4, 5)),
        level_counts(codes.reorder(Y), (4, 5)),
        strict=True,
    ):
        np.testing.assert_array_equal(a, b)


def test_centroids_that_drop_entries_keep_the_strongest(problem, monkeypatch):
    X, Y = problem
    monkeypatch.setattr("skxmc._centroids._MOST_ENTRIES", 300)
    few = label_centroids(MappedCSR(X), MappedCSR(Y), 5)
    exact = label_centroids(X, Y, 5)
    assert np.diff(few.indptr).max() == 5
    cosines = few.multiply(exact).sum(axis=1)
    assert cosines.min() > 0.8
    assert cosines.mean() > 0.97


@pytest.mark.parametrize("n_samples", [400, 12])  # more rows than labels, and fewer
def test_codes_and_regression_are_those_of_rows_in_memory(problem, n_samples):
    X, Y = (M[:n_samples] for M in problem)
    codes, exact = (
        svd_codes(M, 4, np.random.RandomState(0)) for M in (MappedCSR(Y), Y)
    )
    assert codes.shape == exact.shape
    held = codes[0:n_samples, 0:4]
    # Directions may be turned where singular values are equal; projections may not.
    np.testing.assert_allclose(held @ held.T, exact @ exact.T, atol=2e-3)
    np.testing.assert_allclose(codes.mean(axis=0), held.mean(axis=0), atol=1e-5)
    unit = codes.scaled_to_unit()[0:n_samples, 0:4]
    assert np.sqrt(np.mean(unit**2)) == pytest.approx(1, rel=1e-5)
    streamed = fit_ridge(MappedCSR(X), codes, 2.0, tol=1e-4)
    dense = fit_ridge(X, held, 2.0, tol=1e-4)
    for a, b in zip(streamed, dense, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-3)


def test_hard_negatives_are_found_where_rows_are_read(problem):
    X, Y = problem
    rng = np.random.default_rng(0)
    weight = rng.normal(size=(60, 5)).astype(np.float32)
    labels = rng.normal(size=(20, 5)).astype(np.float32)
    expected = find_hard_negatives(X @ weight, labels.copy(), Y, 2, "exact")
    miner = NegativesMiner(labels.copy(), mapped_rows.longest_row(Y), 2, "exact")
    found = MappedNegatives(lambda rows: rows @ weight, MappedCSR(X), Y, miner)
    np.testing.assert_array_equal(found[[7, 300, 2]], expected[[7, 300, 2]])


def test_an_epoch_is_every_row_once_and_neighbours_stay_together(problem):
    X = MappedCSR(problem[0])
    sampler = BlockSampler(X, np.random.default_rng(0))
    first, second = [*sampler], [*sampler]
    assert len(sampler) == 400
    assert sorted(first) == sorted(second) == [*range(400)]
    assert first != second
    for start in range(0, 400, 32):  # four blocks of eight rows
        assert len({row // 8 for row in first[start : start + 32]}) <= 4
    assert first[:32] != sorted(first[:32])


def test_rows_without_labels_are_not_trained_on(problem):
    X, Y = problem
    Y = Y.copy()
    Y.data[Y.indptr[5] : Y.indptr[17]] = 0
    Y.eliminate_zeros()
    options = {"n_positives": 1, "n_negatives": 1, "max_pool_size": 9, "seed": 0}
    data = PoolDataset(MappedCSR(X), MappedCSR(Y), X[:20], **options)
    assert len(data) == 388
    assert sorted(data.sampler) == [*range(5), *range(17, 400)]
    assert len(SparseDataset(MappedCSR(X), Y)) == 400


MODELS = [
    MultiHeadEncodingClassifier(
        n_heads=2, n_components=8, hidden_layer_sizes=(32,), lr=0.02, random_state=0
    ),
    MultiHeadEncodingClassifier(
        "product", n_components=8, hidden_layer_sizes=(32,), lr=0.02, random_state=0
    ),
    UniDECClassifier(
        n_components=8,
        embedding_size=16,
        hidden_layer_sizes=(32,),
        max_epochs=4,
        random_state=0,
    ),
    DECLAREClassifier(n_components=8, random_state=0),
]
each_model = pytest.mark.parametrize("model", MODELS, ids=lambda m: type(m).__name__)


@pytest.fixture(scope="module")
def folders(tmp_path_factory, problem):
    home = tmp_path_factory.mktemp("mapped")
    return [
        write_mapped(home / name, [M[:150], M[150:300]])
        for name, M in zip("XY", problem, strict=True)
    ]


@each_model
def test_fits_from_disk_predict_as_well(model, problem, folders):
    X, Y = problem
    held = clone(model).fit(X[:300], Y[:300])
    data = [[part.tobytes() for part in (M.data, M.indices)] for M in folders]
    scores = [precision_at_k(Y[300:], held.predict_topk(X[300:], 1), k=1)]
    for parts in (folders, (folders[0], Y[:300]), (X[:300], folders[1])):
        fitted = clone(model).fit(*parts)
        ranking = fitted.predict_topk(X[300:], 1)
        scores.append(precision_at_k(Y[300:], ranking, k=1))
    assert min(scores) > 0.8
    assert max(scores) - min(scores) < 0.06
    assert fitted.n_features_in_ == 60
    assert data == [[part.tobytes() for part in (M.data, M.indices)] for M in folders]


@each_model
def test_predictions_of_mapped_rows_are_those_of_rows(model, problem, folders):
    X = problem[0]
    fitted = clone(model).set_params(max_epochs=1).fit(*folders)
    for a, b in zip(
        fitted.predict_topk(folders[0], 3), fitted.predict_topk(X[:300], 3), strict=True
    ):
        np.testing.assert_array_equal(a, b)
    again = clone(model).set_params(max_epochs=1).fit(*folders)
    for a, b in zip(again.predict_topk(X, 3), fitted.predict_topk(X, 3), strict=True):
        np.testing.assert_array_equal(a, b)


def test_classes_and_partial_fit(problem, folders):
    X, Y = problem
    classes = Y[:300].toarray().argmax(axis=1)
    model = clone(MODELS[0]).fit(folders[0], classes)
    assert (model.predict(X[:300]) == classes).mean() > 0.5
    model = clone(MODELS[2])
    model.partial_fit(*folders).partial_fit(*folders)
    assert model.predict_topk(X, 2)[0].shape == (400, 2)


def with_part(M, **parts):
    parts = {name: getattr(M, name) for name in ("data", "indices", "indptr")} | parts
    return MappedCSR((parts["data"], parts["indices"], parts["indptr"]), shape=M.shape)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"data": np.inf}, "NaN or infinity"),
        ({"data": 0}, "zeros among"),
        ({"indices": 60}, "column index 60 but only 60 columns"),
        ({"indices": -1}, "column index -1"),
        ({"indptr": 10**6}, "inconsistent indptr"),
    ],
)
def test_what_is_wrong_on_disk_is_found(problem, change, message):
    X = problem[0]
    (name, value), place = *change.items(), 300
    part = getattr(X, name).copy()
    part[place] = value
    with pytest.raises(ValueError, match=f"X .*{message}"):
        check_mapped(with_part(X, **{name: part}), "X")


def test_rows_out_of_order_and_other_types_are_refused(problem):
    X, Y = problem
    check_mapped(MappedCSR(X), "X")
    row = np.flatnonzero(np.diff(X.indptr) > 1)[-1]
    for value in (X.indices[X.indptr[row] + 1], 10**9):
        swapped = X.indices.copy()
        first = X.indptr[row]
        swapped[first] = min(value, 59)
        with pytest.raises(ValueError, match="not sorted, or stand twice"):
            check_mapped(with_part(X, indices=swapped), "X")
    with pytest.raises(ValueError, match="dtype float64"):
        check_mapped(MappedCSR(X, dtype=np.float64), "X")
    with pytest.raises(ValueError, match=r"only 0 and 1.*found 2"):
        check_mapped(MappedCSR(2 * Y), "Y", indicator=True)
    with pytest.raises(ValueError, match="no rows"):
        check_mapped(MappedCSR((0, 3), dtype=np.float32), "X")


def test_what_would_hold_rows_in_memory_is_refused(problem):
    X, Y = map(MappedCSR, problem)
    with pytest.raises(ValueError, match=r"early_stopping=True.*mapped"):
        clone(MODELS[0]).set_params(early_stopping=True).fit(X, Y)
    with pytest.raises(ValueError, match=r"checkpoint='folder' keeps no.*mapped"):
        clone(MODELS[0]).set_params(checkpoint="folder").fit(X, Y)
    with pytest.raises(ValueError, match=r"group_batches=True.*mapped"):
        clone(MODELS[2]).set_params(group_batches=True).fit(X, Y)
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        clone(MODELS[0]).fit(X, MappedCSR(Y[:30]))


def test_copies_and_other_values_are_in_memory(problem, folders):
    X = problem[0][:300]
    mapped = folders[0]
    for made, expected in (
        (mapped.copy(), X),
        (2 * mapped, 2 * X),
        (mapped.astype(np.float64), X),
        (abs(mapped), abs(X)),
    ):
        assert type(made) is sp.csr_array
        assert made.data.flags.writeable
        assert abs(made - expected).nnz == 0
    assert type(mapped) is MappedCSR
