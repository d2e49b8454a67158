"""What few columns, or a common mean, may not do to a model."""

import pickle

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.datasets import load_iris, make_blobs
from sklearn.frozen import FrozenEstimator
from sklearn.preprocessing import StandardScaler, normalize

import skxmc
import skxmc._mapped as mapped_rows
from skxmc import DECLAREClassifier, MultiHeadEncodingClassifier, UniDECClassifier
from skxmc._balance import Balance, cap_scales, fit_balance
from skxmc._mapped import MappedCSR, csr_blocks, is_mapped
from skxmc.datasets import make_xmc_classification, write_mapped
from skxmc.exceptions import CorruptFileError
from skxmc.export import to_onnx
from skxmc.inspection import feature_contributions
from skxmc.metrics import precision_at_k

FAST = {
    "hidden_layer_sizes": (64,),
    "max_epochs": 6,
    "batch_size": 64,
    "lr": 0.01,
    "random_state": 0,
}
MODELS = [
    DECLAREClassifier(random_state=0),
    MultiHeadEncodingClassifier(**FAST),
    UniDECClassifier(**FAST),
]
each_model = pytest.mark.parametrize("model", MODELS, ids=lambda m: type(m).__name__)
SPARSE, Y = make_xmc_classification(600, 120, 30, n_nonzero=15, random_state=0)
POINTS, CLASSES = make_blobs(600, 12, centers=15, cluster_std=2, random_state=0)
POINTS = POINTS.astype(np.float32)
N_TRAIN = 400
rng = np.random.default_rng(0)
# A count of bytes beside words; a mean that all rows have in common.
BYTES = (1000 * rng.lognormal(size=(600, 1))).astype(np.float32)
WITH_BYTES = sp.csr_array(sp.hstack([SPARSE, BYTES]))
FAR = POINTS + 300 * rng.normal(size=12).astype(np.float32)


def score(model, X, y):
    """Return precision@1 on rows that `model` is not fitted to."""
    model = clone(model).fit(X[:N_TRAIN], y[:N_TRAIN])
    if y.ndim == 1:
        return model.score(X[N_TRAIN:], y[N_TRAIN:])
    return precision_at_k(y[N_TRAIN:], model.predict_topk(X[N_TRAIN:], k=1), k=1)


def as_csr(X):
    return sp.csr_array(np.asarray(X, dtype=np.float32))


def with_gaps(X):
    """Return rows with ten columns in place of each, of which nine are empty."""
    parts = X.data, 10 * X.indices + 4, X.indptr
    return sp.csr_array(parts, shape=(X.shape[0], 10 * X.shape[1]))


GAPS = with_gaps(SPARSE)
each_mapped_rows = pytest.mark.parametrize(
    "X", [WITH_BYTES, as_csr(FAR), GAPS], ids=["bytes", "far", "gaps"]
)


@each_model
def test_a_large_column_does_no_harm(model):
    assert score(model, WITH_BYTES, Y) > score(model, SPARSE, Y) - 0.04


@each_model
def test_a_common_mean_does_no_harm(model):
    assert score(model, FAR, CLASSES) > score(model, POINTS, CLASSES) - 0.04


@pytest.mark.parametrize(
    "X",
    [
        SPARSE,
        as_csr(StandardScaler().fit_transform(load_iris().data)),
        normalize(SPARSE),
        as_csr(np.ones((5, 1))),
        as_csr(np.eye(3)),
        as_csr(np.zeros((5, 4))),
    ],
    ids=["text", "standard", "unit", "one", "eye", "zero"],
)
def test_most_input_needs_no_map(X):
    assert fit_balance(X) is None


energies = st.lists(
    st.one_of(st.just(0.0), st.floats(1e-12, 1e12)), min_size=1, max_size=60
)


@given(energies)
def test_no_column_has_more_than_its_share(energy):
    energy = np.array(energy)
    n_columns = (energy > 0).sum()
    scale = cap_scales(energy)
    after = energy * scale**2
    share = max(0.05, 1.5 / max(1, n_columns))
    assert (after <= share * after.sum() * (1 + 1e-6)).all()
    assert (scale > 0).all()
    assert (scale <= 1).all()
    # Nor is a column shrunk by more than that.
    shrunk = scale < 1
    np.testing.assert_allclose(after[shrunk], share * after.sum(), rtol=1e-6)


def test_scales_are_where_capping_again_and_again_ends():
    energy = rng.lognormal(sigma=3, size=40)
    expected = energy.copy()
    for _ in range(2000):
        expected = np.minimum(expected, 0.05 * expected.sum())
    np.testing.assert_allclose(energy * cap_scales(energy) ** 2, expected, rtol=1e-6)


def test_dense_rows_with_a_large_mean_are_centred():
    balance = fit_balance(as_csr(FAR))
    mapped = balance(as_csr(FAR)).toarray()
    np.testing.assert_allclose(balance.mean, FAR.mean(axis=0, dtype=float), rtol=1e-5)
    np.testing.assert_allclose(mapped, (FAR - balance.mean) * balance.scale, rtol=1e-6)
    assert fit_balance(as_csr(POINTS)) is None
    # Sparse rows keep their zeros, whatever their mean.
    balance = fit_balance(WITH_BYTES)
    assert balance.mean is None
    mapped = balance(WITH_BYTES)
    np.testing.assert_array_equal(mapped.indices, WITH_BYTES.indices)
    assert mapped.power(2).sum(axis=0).max() < 0.051 * mapped.power(2).sum()
    assert (mapped[:, :120] != SPARSE).nnz == 0


@each_mapped_rows
@given(st.integers(0, 599), st.integers(1, 80))
def test_rows_are_mapped_alike_in_any_batch(X, start, n_rows):
    balance = fit_balance(X)
    some = slice(start, start + n_rows)
    assert (balance(X)[some] != balance(X[some])).nnz == 0


def test_nothing_of_the_callers_is_changed_or_shared_for_change():
    X = sp.csr_array([[1e-30, 1, 0], [0, 0, 2]], dtype=np.float32)
    before = X.toarray(), X.indptr.copy()
    balance = Balance(np.full(3, 1e-30, np.float32), None, 1.0)
    assert balance(X).nnz == 2  # the smallest one is 0 now
    np.testing.assert_array_equal(X.toarray(), before[0])
    np.testing.assert_array_equal(X.indptr, before[1])


@pytest.mark.parametrize("size", [1e18, 1e30, 3e38])
@pytest.mark.parametrize("mean", [0, 1])
def test_numbers_whose_squares_are_none_give_finite_maps(size, mean):
    X = np.random.default_rng(0).uniform(-0.1, 0.1, size=(30, 40)) + 0.8 * mean
    X[:, 0] *= 1e-40
    X[:, 1] *= size
    X[:, 2] = size
    X = as_csr(X)
    balance = fit_balance(X)
    for part in (balance.scale, balance.mean):
        assert part is None or np.isfinite(part).all()
    extreme = as_csr(np.full((2, 40), [[3e38], [-3e38]]))
    for rows in (X, extreme):
        assert np.isfinite(balance(rows).data).all()


def test_a_common_factor_changes_nothing():
    for X in (WITH_BYTES, as_csr(FAR)):
        balance = fit_balance(X)
        for factor in (1e6, 1e-6, 1e25, 1e-25):
            other = fit_balance((X * np.float32(factor)).astype(np.float32))
            np.testing.assert_allclose(other.scale, balance.scale, rtol=1e-3)


def test_a_constant_column_of_centred_rows_says_nothing_but_an_empty_one_may():
    X = np.c_[np.zeros(600), FAR, np.full(600, 7)].astype(np.float32)
    model = DECLAREClassifier(random_state=0).fit(X, CLASSES)
    assert model._balance.scale[[0, -1]].tolist() == [1, 0]
    other = X.copy()
    other[:, -1] = 1e6
    np.testing.assert_array_equal(model.predict_proba(X), model.predict_proba(other))


@each_model
@pytest.mark.parametrize("is_mapped", [False, True])
def test_empty_columns_change_nothing_but_the_numbers_of_the_others(model, is_mapped):
    wrap = MappedCSR if is_mapped else sp.csr_array
    model = clone(model).set_params(max_epochs=2).fit(wrap(SPARSE), Y)
    expected = model.predict_topk(SPARSE, k=3)
    size = len(pickle.dumps(model))
    model.fit(wrap(GAPS), Y)
    for found, wanted in zip(model.predict_topk(GAPS, k=3), expected, strict=True):
        np.testing.assert_array_equal(found, wanted)
    # A number and two places for each column, but not a vector.
    assert len(pickle.dumps(model)) < size + 20 * GAPS.shape[1]


@each_model
def test_what_training_has_not_seen_is_ignored(model):
    model = clone(model).set_params(max_epochs=2).fit(GAPS, Y)
    new = GAPS.tolil()
    new[:, 0] = 1e6
    np.testing.assert_array_equal(
        model.predict_topk(new.tocsr(), k=3), model.predict_topk(GAPS, k=3)
    )


def test_empty_columns_stay_where_later_rows_may_have_them():
    assert fit_balance(GAPS, all_columns=True) is None
    later = sp.csr_array(GAPS[:, np.roll(np.arange(1200), 1)])
    for model in MODELS:
        model = clone(model).set_params(max_epochs=1, warm_start=True).fit(GAPS, Y)
        assert model._balance is None
        model.fit(later, Y)  # without a warning
    first = UniDECClassifier(**FAST).partial_fit(GAPS, Y)
    assert first._balance is None


@each_model
def test_rows_with_other_columns_are_warned_of(model):
    model = clone(model).set_params(max_epochs=1).fit(GAPS, Y)
    model.set_params(warm_start=True).fit(GAPS, Y)  # without a warning
    other = GAPS.tolil()
    other[0, :3] = 1.0
    with pytest.warns(UserWarning, match="^3 columns of X had no values"):
        model.fit(other.tocsr(), Y)
    with pytest.raises(ValueError, match="of 1200 features while X has 120 columns"):
        model.fit(SPARSE, Y)  # as many as are not empty


def test_features_that_a_fit_starts_from_tell_columns_apart_by_number():
    source = MultiHeadEncodingClassifier(**FAST).fit(GAPS, Y)
    model = clone(MODELS[1]).set_params(init=FrozenEstimator(source))
    model.fit(GAPS, Y)
    assert model._balance is source._balance
    with pytest.raises(ValueError, match="init was fitted on 1200 features"):
        model.fit(SPARSE, Y)
    other = GAPS.tolil()
    other[0, 0] = 1.0
    with pytest.warns(UserWarning, match="^1 columns of X had no values") as caught:
        model.fit(other.tocsr(), Y)
    assert caught[0].filename == __file__


@pytest.mark.parametrize(
    "change",
    [
        lambda columns: columns[::-1].copy(),
        lambda columns: columns - columns[0] - 1,
        lambda columns: columns + 6,
        lambda columns: np.append(columns[:-2], columns[-2:-1]),
        lambda columns: columns[:-1],
    ],
    ids=["unsorted", "negative", "too large", "twice", "too few"],
)
def test_files_with_wrong_columns_are_refused(change, tmp_path):
    model = clone(MODELS[0]).set_params(max_epochs=1).fit(GAPS, Y)
    model._balance.columns = change(model._balance.columns)
    model.save(tmp_path / "model.skxmc")
    with pytest.raises(CorruptFileError):
        skxmc.load(tmp_path / "model.skxmc")


def test_new_labels_may_be_described_by_columns_without_values():
    model = UniDECClassifier(**FAST).fit(GAPS, Y)
    features = GAPS[:2].tolil()
    features[:, 0] = 1.0
    model.add_labels(features.tocsr())
    assert model.predict_topk(GAPS, k=32)[0].max() == 31


@each_model
def test_the_map_lasts_as_long_as_the_fit(model):
    model = clone(model).set_params(max_epochs=1)
    model.fit(WITH_BYTES, Y)
    kept = model._balance
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        model.fit(as_csr(FAR), Y[:50])
    assert model._balance is kept
    model.set_params(warm_start=True).fit(WITH_BYTES * np.float32(2), Y)
    assert model._balance is kept
    with pytest.raises(ValueError, match=r"warm_start=True .* 121 features .* 12 "):
        model.fit(FAR, Y)
    model.set_params(warm_start=False).fit(SPARSE, Y)
    assert model._balance is None
    model.set_params(warm_start=True).fit(SPARSE * np.float32(3), Y)
    assert model._balance is None


@each_model
@each_mapped_rows
def test_models_keep_it_wherever_they_go(model, X, tmp_path):
    model = clone(model).set_params(max_epochs=1).fit(X, Y)
    expected = model.predict_topk(X, k=3)[1]
    model.save(tmp_path / "model.skxmc")
    for other in (
        pickle.loads(pickle.dumps(model)),
        skxmc.load(tmp_path / "model.skxmc"),
    ):
        np.testing.assert_array_equal(other.predict_topk(X, k=3)[1], expected)
    small = model.compress().predict_topk(X, k=3)[1]
    np.testing.assert_allclose(small, expected, atol=0.05)


def test_a_pickle_says_little_of_columns_left_out():
    X = sp.random_array((50, 40_000), density=1e-3, rng=np.random.default_rng(0))
    X = sp.csr_array(X, dtype=np.float32)
    X = sp.csr_array(sp.hstack([X[:, :39_999], np.full((50, 1), 9.0, np.float32)]))
    balance = fit_balance(X)
    assert len(balance.columns) < 10_000
    assert 0 < balance.scale[-1] < 1
    stored = pickle.dumps(balance)
    assert len(stored) < 40_000 / 8 + 1000
    other = pickle.loads(stored)
    for name in ("scale", "columns", "places"):
        found, expected = getattr(other, name), getattr(balance, name)
        assert found.dtype == expected.dtype
        np.testing.assert_array_equal(found, expected)
    assert (other.norm, other.mean) == (balance.norm, None)


def test_the_next_part_of_the_rows_is_mapped_like_the_first():
    model = UniDECClassifier(**FAST).partial_fit(WITH_BYTES[:300], Y[:300])
    kept = model._balance
    model.partial_fit(WITH_BYTES[300:] * np.float32(5), Y[300:])
    assert model._balance is kept


def test_features_that_a_fit_starts_from_come_with_their_map():
    source = MultiHeadEncodingClassifier(**FAST).fit(WITH_BYTES, Y)
    model = clone(MODELS[1]).set_params(init=FrozenEstimator(source))
    assert model.fit(WITH_BYTES[:300], Y[:300])._balance is source._balance
    with pytest.raises(ValueError, match="init was fitted on 121 features"):
        model.fit(FAR, Y)
    plain = MultiHeadEncodingClassifier(**FAST).fit(SPARSE, Y)
    model.set_params(init=FrozenEstimator(plain)).fit(WITH_BYTES[:, :120], Y)
    assert model._balance is None


@each_mapped_rows
def test_rows_on_disk_are_mapped_when_they_are_read(X, monkeypatch, tmp_path):
    monkeypatch.setattr(mapped_rows, "_BLOCK_ENTRIES", 900)
    on_disk = write_mapped(tmp_path, [X], dtype="float32")
    balance, expected = fit_balance(on_disk), fit_balance(X)
    np.testing.assert_allclose(balance.scale, expected.scale, rtol=1e-6)
    rows = balance(on_disk)
    assert is_mapped(rows)
    assert (rows[5:90] != balance(X)[5:90]).nnz == 0
    blocks = [block for _, block in csr_blocks(rows)]
    assert len(blocks) > 3
    assert (sp.vstack(blocks) != balance(X)).nnz == 0
    assert (on_disk[:] != X).nnz == 0


@each_model
def test_a_fit_to_rows_on_disk_is_as_good(model):
    def from_disk(X):
        fitted = clone(model).fit(MappedCSR(X[:N_TRAIN]), Y[:N_TRAIN])
        top = fitted.predict_topk(MappedCSR(X[N_TRAIN:]), k=1)
        return precision_at_k(Y[N_TRAIN:], top, k=1)

    assert from_disk(WITH_BYTES) > from_disk(SPARSE) - 0.04


@pytest.mark.parametrize("n_rows", [1, 8, 64, 100])  # fewer than a block
@each_model
def test_few_rows_on_disk_are_brought_down_as_those_in_memory(model, n_rows):
    fitted = clone(model).fit(WITH_BYTES[:N_TRAIN], Y[:N_TRAIN])
    few = WITH_BYTES[:n_rows]
    held = fitted.predict_topk(few, k=3)
    np.testing.assert_array_equal(fitted.predict_topk(MappedCSR(few), k=3), held)


def test_labels_are_described_in_the_columns_of_rows():
    X = as_csr(FAR)
    balance = fit_balance(X)
    names = as_csr(np.eye(12))
    labels = sp.csr_array(sp.vstack([names[:1], normalize(X), names[1:]]))
    mapped = balance.map_labels(labels)
    # Rows as far from 0 as the others are described like them; names are directions.
    rows = normalize(X) * np.float32(balance.norm)
    assert abs(mapped[1:-11] - normalize(balance(rows))).max() < 1e-5
    np.testing.assert_array_equal(mapped[[0]].toarray(), names[[0]].toarray())
    np.testing.assert_array_equal(mapped[-11:].toarray(), names[1:].toarray())


@pytest.mark.parametrize("factor", [1e-25, 1e25])
def test_labels_are_described_alike_whatever_unit_rows_have(factor):
    labels = sp.csr_array(sp.vstack([normalize(as_csr(FAR)), as_csr(np.eye(12))]))
    mapped = [fit_balance(as_csr(FAR * c)).map_labels(labels) for c in (1, factor)]
    assert abs(mapped[0] - mapped[1]).max() < 1e-4


def test_new_labels_are_found_among_rows_with_a_common_mean():
    centres = np.array([FAR[c == CLASSES].mean(axis=0) for c in range(15)])
    y = CLASSES.astype(np.int64)
    known = np.flatnonzero(y < 12)
    model = UniDECClassifier(centres[:12], encoder_weight=1.0, **FAST)
    model.fit(FAR[known], y[known]).add_labels(centres[12:], [12, 13, 14])
    new = np.flatnonzero(y >= 12)
    assert np.mean(model.predict(FAR[new]) == y[new]) > 0.8


def test_modules_of_ones_own_see_the_rows_as_they_are():
    class Sums(torch.nn.Linear):
        def forward(self, x):
            largest.append(x.to_dense().max().item())
            return super().forward(x.to_dense())

    largest = []
    model = UniDECClassifier(encoder=Sums(121, 8), **FAST | {"max_epochs": 1})
    model.fit(WITH_BYTES, Y)
    assert model._balance is None
    assert max(largest) == BYTES.max()


@each_model
@each_mapped_rows
def test_exported_models_map_rows_themselves(model, X, tmp_path):
    pytest.importorskip("onnx")
    runtime = pytest.importorskip("onnxruntime")
    model = clone(model).set_params(max_epochs=2)
    if hasattr(model, "decoder"):
        model.set_params(decoder="linear", hidden_layer_sizes=(8,))
    model.fit(X, Y)
    to_onnx(model, tmp_path / "model.onnx", k=3)
    session = runtime.InferenceSession(tmp_path / "model.onnx")
    inputs = skxmc.export.pad_rows(X)
    scores = session.run(["scores"], inputs)[0]
    np.testing.assert_allclose(scores, model.predict_topk(X, k=3)[1], atol=1e-4)


def test_what_is_explained_are_the_values_that_were_given():
    model = DECLAREClassifier(random_state=0).fit(WITH_BYTES, Y)
    explained = feature_contributions(model, WITH_BYTES[[3]], random_state=0)
    given = WITH_BYTES[[3]].toarray()[0, explained.indices]
    np.testing.assert_array_equal(explained.values, given)
    names = [f"word {j}" for j in range(GAPS.shape[1])]
    explained = feature_contributions(
        model.fit(GAPS, Y), GAPS[[3]], feature_names=names, random_state=0
    )
    assert set(explained.indices) == set(GAPS[[3]].indices)
    np.testing.assert_array_equal(
        explained.values, GAPS[[3]].toarray()[0, explained.indices]
    )
    assert explained.names.tolist() == [names[j] for j in explained.indices]
    model.fit(FAR, CLASSES)
    explained = feature_contributions(model, FAR[[3]], random_state=0)
    np.testing.assert_array_equal(explained.values, FAR[3, explained.indices])
    total = explained.baseline + explained.contributions.sum()
    assert total == pytest.approx(explained.score, abs=1e-5)
