"""Fewer numbers in front of a network, against the best that linear algebra allows."""

import pickle

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from _estimators import ESTIMATORS

import skxmc
from skxmc import MultiHeadEncodingClassifier, UniDECClassifier
from skxmc._mapped import MappedCSR
from skxmc._nn._encoder import Encoder
from skxmc._nn._modules import SparseEncoder
from skxmc._nn._reduction import DenseRows, InputReduction, reduce_input
from skxmc._nn._sparse import SparseRows
from skxmc._nn._stored_modules import _restore_reduction
from skxmc.datasets import make_xmc_classification
from skxmc.metrics import precision_at_k

N_SAMPLES, N_FEATURES, N_OUTPUTS = 600, 40, 12
CPU = torch.device("cpu")


def random_rows(n=N_SAMPLES, seed=0):
    rng = np.random.default_rng(seed)
    X = sp.random_array((n, N_FEATURES), density=0.2, rng=rng, format="csr")
    return sp.csr_array(X, dtype=np.float32)


def linear_network(weight, hidden_layer_sizes=()):
    linear = weight.astype(np.float32), np.zeros(weight.shape[1], dtype=np.float32)
    return SparseEncoder(
        len(weight),
        weight.shape[1],
        hidden_layer_sizes,
        dropout=0.0,
        input_scale=0.5,
        linear=linear,
        seed=0,
    ).eval()


def outputs_of(module, X, reduction=None):
    return Encoder(module, CPU, reduction)(X)


@pytest.mark.parametrize("hidden_layer_sizes", [(), (7,)])
def test_as_many_numbers_as_the_rank_lose_nothing(hidden_layer_sizes):
    rng, X = np.random.default_rng(0), random_rows()
    module = linear_network(rng.standard_normal((N_FEATURES, 12)), hidden_layer_sizes)
    if hidden_layer_sizes:  # else the last layer is zero, and hides the others
        torch.nn.init.normal_(
            module.rest[-1].weight, generator=torch.Generator().manual_seed(0)
        )
    rank = 12 + sum(hidden_layer_sizes)
    expected = outputs_of(module, X)
    small, reduction = reduce_input(module, X, rank, None)
    assert reduction.weight.shape[1] == rank
    found = outputs_of(small, X, reduction)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3)
    small, reduction = reduce_input(module, X, rank - 8, None)
    assert np.abs(outputs_of(small, X, reduction) - expected).max() > 0.1


@pytest.mark.parametrize("n_components", [1, 3, 6])
def test_scores_of_a_linear_network_are_as_good_as_eckart_and_young_allow(n_components):
    rng, X = np.random.default_rng(0), random_rows()
    weight = rng.standard_normal((N_FEATURES, N_OUTPUTS))
    # Labels that look in few directions, and unequally.
    D = rng.standard_normal((90, N_OUTPUTS)) * 2.0 ** -np.arange(N_OUTPUTS)
    D = D.astype(np.float32)
    module = linear_network(weight)
    scores = outputs_of(module, X) @ D.T
    best = np.sqrt((np.linalg.svd(scores)[1][n_components:] ** 2).sum())
    parts = D[:50], D[50:]
    small, reduction = reduce_input(module, X, n_components, parts)
    lost = np.linalg.norm(scores - outputs_of(small, X, reduction) @ D.T)
    assert best * (1 - 1e-3) <= lost <= 1.15 * best
    # What is best for the outputs is not.
    small, reduction = reduce_input(module, X, n_components, None)
    assert np.linalg.norm(scores - outputs_of(small, X, reduction) @ D.T) > 1.3 * best


def test_columns_that_make_no_difference_are_not_read():
    rng, X = np.random.default_rng(0), random_rows()
    weight = rng.standard_normal((N_FEATURES, N_OUTPUTS))
    weight[[3, 17]] = 0
    X = X.tolil()
    X[:, 20] = 0
    X = sp.csr_array(X, dtype=np.float32)
    small, reduction = reduce_input(linear_network(weight), X, N_OUTPUTS, None)
    assert reduction.columns.dtype == np.int32
    assert reduction.columns.tolist() == sorted({*range(N_FEATURES)} - {3, 17, 20})
    others = sp.csr_array(np.eye(N_FEATURES, dtype=np.float32)[[3, 17, 20]])
    nothing = sp.csr_array((3, N_FEATURES), dtype=np.float32)
    assert np.array_equal(
        outputs_of(small, others, reduction), outputs_of(small, nothing, reduction)
    )


def test_dense_rows_are_multiplied_as_sparse_ones_are():
    X, weight = random_rows(9), torch.randn(N_FEATURES, 5)
    dense = DenseRows(torch.from_numpy(X.toarray()))
    assert len(dense) == 9
    torch.testing.assert_close(
        dense.scaled(0.3).matmul(weight),
        SparseRows.from_csr(X).scaled(0.3).matmul(weight),
    )


@pytest.fixture(scope="module")
def data():
    return make_xmc_classification(
        n_samples=300, n_features=120, n_labels=30, random_state=0
    )


@pytest.fixture(scope="module")
def fitted(data):
    models = {}

    def fit(number):
        if number not in models:
            models[number] = (
                ESTIMATORS[number]
                .__class__(**ESTIMATORS[number].get_params())
                .fit(*data)
            )
        return models[number]

    return fit


each_model = pytest.mark.parametrize("number", range(len(ESTIMATORS)))


@each_model
@pytest.mark.parametrize("storage", ["float16", "int4"])
def test_a_reduced_model_predicts_nearly_the_same(
    number, storage, data, fitted, tmp_path
):
    (X, Y), model = data, fitted(number)
    before, expected = X.copy(), precision_at_k(Y, model.predict_topk(X, k=1), k=1)
    state = torch.get_rng_state()
    small = model.compress(storage, n_components=60, X=X)
    assert (before != X).nnz == 0
    assert torch.equal(torch.get_rng_state(), state)
    assert precision_at_k(Y, small.predict_topk(X, k=1), k=1) >= expected - 0.05
    found = model.predict_topk(X, k=1)  # the model itself is as it was
    assert precision_at_k(Y, found, k=1) == expected
    repeated = model.compress(storage, n_components=60, X=X)
    assert small.save(tmp_path / "first") == repeated.save(tmp_path / "second")


@each_model
def test_a_reduced_model_gives_a_row_one_answer(number, data, fitted, tmp_path):
    X, _ = data
    small = fitted(number).compress("int8", n_components=16, X=X)
    together = small.predict_topk(X, k=5)
    alone = [small.predict_topk(X[[i]], k=5) for i in range(40)]
    for part, rows in zip(together, zip(*alone, strict=True), strict=True):
        assert np.array_equal(np.vstack(rows), part[:40])
    small.save(tmp_path / "small.skxmc")
    loaded = skxmc.load(tmp_path / "small.skxmc")
    for other in (pickle.loads(pickle.dumps(small)), loaded):
        for part, same in zip(together, other.predict_topk(X, k=5), strict=True):
            assert np.array_equal(part, same)


@pytest.mark.parametrize("number", [3, 6])
def test_transform_goes_through_the_reduction(number, data, fitted):
    (X, _), model = data, fitted(number)
    small = model.compress("float16", n_components=120, X=X)
    np.testing.assert_allclose(small.transform(X), model.transform(X), atol=0.05)


def test_a_reduced_model_is_much_smaller():
    X, Y = make_xmc_classification(
        n_samples=300, n_features=5000, n_labels=30, random_state=0
    )
    model = MultiHeadEncodingClassifier(max_epochs=3, random_state=0).fit(X, Y)
    rounded = model.compress("int4")
    small = model.compress("int4", n_components=20, X=X)
    assert len(pickle.dumps(small)) < len(pickle.dumps(rounded)) / 8
    assert small._encoder.n_bytes < rounded._encoder.n_bytes / 8


def test_threads_make_no_difference(data, fitted, tmp_path):
    (X, _), model, before = data, fitted(6), torch.get_num_threads()
    digests = set()
    try:
        for n_threads in (1, 2, 3):
            torch.set_num_threads(n_threads)
            small = model.compress(n_components=10, X=X)
            digests.add(small.save(tmp_path / str(n_threads)))
            assert torch.get_num_threads() == n_threads
    finally:
        torch.set_num_threads(before)
    assert len(digests) == 1


def test_rows_of_a_file_do_as_well(data, fitted, tmp_path):
    (X, _), model = data, fitted(3)
    X = sp.csr_array(X, dtype=np.float32)
    mapped = MappedCSR(X)
    expected = model.compress(n_components=10, X=X)
    found = model.compress(n_components=10, X=mapped)
    assert found.save(tmp_path / "found") == expected.save(tmp_path / "expected")


def test_what_cannot_be_reduced_is_told(data, fitted):
    (X, Y), model = data, fitted(3)
    with pytest.raises(ValueError, match=r"n_components=8 .* X=None"):
        model.compress(n_components=8)
    with pytest.raises(ValueError, match="n_components == 0"):
        model.compress(n_components=0, X=X)
    with pytest.raises(TypeError, match="n_components must be an instance of int"):
        model.compress(n_components=0.9, X=X)
    with pytest.raises(ValueError, match="120 features"):
        model.compress(n_components=8, X=X[:, :50])
    with pytest.raises(ValueError, match="5 rows, in which nothing"):
        model.compress(n_components=8, X=sp.csr_array((5, 120)))
    small = model.compress(n_components=8, X=X)
    with pytest.raises(ValueError, match="compressed to 'int8'"):
        small.compress(n_components=8, X=X)
    own = UniDECClassifier(encoder=OwnNetwork(), max_epochs=1, random_state=0)
    with pytest.raises(ValueError, match="encoder of your own"):
        own.fit(X, Y).compress(n_components=8, X=X)


class OwnNetwork(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(120, 4))

    def forward(self, x):
        return x @ self.weight


@pytest.mark.parametrize("columns", [[-1, 3], [3, 3], [5, 2], [0, 7]])
def test_columns_of_a_file_that_are_not_there_are_refused(columns):
    columns = np.array(columns, dtype=np.int32)
    state = {"n_features": 7, "columns": columns, "weight": np.ones((2, 3))}
    with pytest.raises(ValueError, match="not sorted, or not among 7"):
        _restore_reduction(InputReduction, state)
