"""A classifier for each label, against those that see all rows."""

import copy

import numpy as np
import pytest
import scipy.sparse as sp

from skxmc import DECLAREClassifier, load
from skxmc._mapped import MappedCSR
from skxmc._one_vs_rest import LabelClassifiers, fit_classifiers
from skxmc._squared_hinge import fit_squared_hinge
from skxmc.exceptions import CorruptFileError
from skxmc.metrics import precision_at_k


def random_csr(shape, density, seed):
    rng = np.random.default_rng(seed)
    return sp.random_array(shape, density=density, rng=rng, dtype=np.float32).tocsr()


@pytest.fixture(scope="module")
def topics():
    """Rows with the words of their two or three labels, and some of no meaning."""
    rng = np.random.default_rng(0)
    words = rng.random((300, 500)) < 0.02
    Y = rng.random((3000, 300)) < 2.5 / 300
    noise = rng.random((3000, 500)) < 0.01
    X = ((Y.astype(np.float32) @ words) > 0) | noise
    return sp.csr_array(X.astype(np.float32)), sp.csr_array(Y.astype(np.float32))


def all_scores(classifiers, X, n_labels):
    rows, labels = np.indices((X.shape[0], n_labels)).reshape(2, -1)
    return classifiers.score_pairs(X, rows, labels).reshape(X.shape[0], n_labels)


@pytest.mark.parametrize("n_values", [1, 100, 2**17])
def test_pairs_are_scored_as_by_dense_products(n_values, monkeypatch):
    monkeypatch.setattr("skxmc._one_vs_rest._BLOCK_VALUES", n_values)
    X, weights = random_csr((30, 40), 0.2, 0), random_csr((25, 40), 0.3, 1)
    bias = np.linspace(-1, 1, 25, dtype=np.float32)
    rng = np.random.default_rng(2)
    rows, labels = np.sort(rng.integers(30, size=200)), rng.integers(25, size=200)
    expected = (X @ weights.T).toarray() + bias
    found = LabelClassifiers(weights, bias).score_pairs(X, rows, labels)
    np.testing.assert_allclose(found, expected[rows, labels], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("storage", "steps"), [("float16", 32767), ("int8", 127)])
def test_compressed_weights_are_within_half_a_step(storage, steps):
    weights = random_csr((25, 40), 0.3, 1)
    weights[3] *= 0  # a label without any
    weights.eliminate_zeros()
    bias = np.zeros(25, dtype=np.float32)
    small = LabelClassifiers(weights, bias).compressed(storage)
    one_each = sp.eye_array(40, format="csr", dtype=np.float32)
    found, limit = all_scores(small, one_each, 25).T, abs(weights).max(axis=1).toarray()
    error = abs(found - weights.toarray())
    assert (error <= limit[:, None] / steps * 0.51 + 1e-7).all()
    assert small.n_bytes < LabelClassifiers(weights, bias).n_bytes


def test_classifiers_rank_like_those_of_all_rows(topics):
    X, Y = topics
    found = all_scores(fit_classifiers(X, Y, 0.5), X, 300)
    eye = np.eye(300, dtype=np.float32)
    weight, bias, _ = fit_squared_hinge(X, Y, 0.5, eye)
    expected = 2 * (X @ weight + bias) - 1
    is_true = Y.toarray() > 0
    assert np.corrcoef(found[is_true], expected[is_true])[0, 1] > 0.95
    # Of rows beyond the margin no more is asked than to be there.
    assert np.mean(found[~is_true] > -0.5) < np.mean(expected[~is_true] > -0.5) + 0.001
    assert np.mean(found[is_true] > 0) > 0.95


def test_labels_that_planes_do_not_part_have_none():
    rng = np.random.default_rng(0)
    X = sp.csr_array((rng.random((2000, 5)) < 0.5).astype(np.float32))
    Y = sp.csr_array((rng.random((2000, 300)) < 0.02).astype(np.float32))
    assert fit_classifiers(X, Y, 0.5) is None


def test_labels_of_every_row_and_of_none_are_constants(topics):
    X, Y = topics
    ones, none = np.ones((3000, 1)), np.zeros((3000, 1))
    Y = sp.csr_array(sp.hstack([ones, none, Y]).astype(np.float32))
    classifiers = fit_classifiers(X, Y, 0.5)
    np.testing.assert_array_equal(classifiers.bias[:2], [1, -1])
    assert not classifiers.weights[:2].nnz


def test_no_labels_have_no_classifiers(topics):
    X, Y = topics
    assert fit_classifiers(X, sp.csr_array(Y.shape, dtype=np.float32), 0.5) is None


def test_of_many_values_a_row_weights_are_small_and_kept():
    rng = np.random.default_rng(0)
    y = np.arange(1200) % 40
    X = rng.normal(size=(40, 2000))[y] + 0.5 * rng.normal(size=(1200, 2000))
    X, Y = (sp.csr_array(A.astype(np.float32)) for A in (X, np.eye(40)[y]))
    scores = all_scores(fit_classifiers(X, Y, 0.5), X, 40)
    assert scores[np.arange(1200), y].mean() > 0.8


def test_what_is_learned_is_the_same_on_any_number_of_threads(topics, monkeypatch):
    found = []
    for count in (1, 3):
        monkeypatch.setattr("skxmc._nn.n_available", lambda count=count: count)
        found.append(fit_classifiers(*topics, 0.5))
    one, several = found
    np.testing.assert_array_equal(one.bias, several.bias)
    np.testing.assert_array_equal(one.weights.toarray(), several.weights.toarray())


def test_the_scale_of_the_rows_does_not_matter(topics):
    X, Y = topics
    one, large = fit_classifiers(X, Y, 0.5), fit_classifiers(X * np.float32(8), Y, 0.5)
    np.testing.assert_allclose(
        all_scores(large, X * np.float32(8), 300),
        all_scores(one, X, 300),
        rtol=1e-3,
        atol=1e-3,
    )


@pytest.fixture(scope="module")
def model(topics):
    X, Y = topics
    model = DECLAREClassifier(
        n_components=32, classifier_weight=0.6, n_top_labels=300, random_state=0
    )
    return model.fit(X[:2500], Y[:2500])


def test_declare_mixes_them_into_the_scores_of_labels_with_votes(model, topics):
    X = topics[0][2500:2600]
    with_them = model.predict_proba(X).toarray()
    without = copy.copy(model).set_params(classifier_weight=0)
    before = without.predict_proba(X).toarray()
    f = all_scores(model._classifiers, X, 300)
    expected = np.where(before > 0, 0.4 * before + 0.6 * np.clip((f + 1) / 2, 0, 1), 0)
    np.testing.assert_allclose(with_them, expected, rtol=1e-4, atol=1e-6)


def test_declare_ranks_better_with_them(topics):
    X, Y = topics
    found = {}
    for weight in (0, 0.6):
        model = DECLAREClassifier(32, classifier_weight=weight, random_state=0)
        model.fit(X[:2500], Y[:2500])
        ranking = model.predict_topk(X[2500:], k=1)
        found[weight] = precision_at_k(Y[2500:], ranking, k=1)
    assert found[0.6] > found[0] + 0.05


@pytest.mark.parametrize("storage", [None, "int8", "float16"])
def test_declare_stores_them(model, topics, storage, tmp_path):
    X = topics[0][2500:2600]
    stored = model if storage is None else model.compress(storage)
    stored.save(tmp_path / "model")
    for mmap in (False, True):
        loaded = load(tmp_path / "model", mmap=mmap)
        np.testing.assert_array_equal(
            loaded.predict_topk(X, k=5), stored.predict_topk(X, k=5)
        )
    assert loaded._classifiers.weights.dtype == stored._classifiers.weights.dtype
    scores = all_scores(model._classifiers, X, 300)
    np.testing.assert_allclose(
        all_scores(loaded._classifiers, X, 300), scores, atol=0.05
    )


@pytest.mark.parametrize(
    "params",
    [{"n_components": 300}, {"classifier_weight": 0}, {"decoder": "neighbors"}],
    ids=str,
)
def test_declare_fits_none_where_they_are_not_used(topics, params):
    X, Y = topics
    model = DECLAREClassifier(32, classifier_weight=0.6, random_state=0)
    model.set_params(**params)
    assert model.fit(X, Y)._classifiers is None


def test_declare_fits_none_of_mapped_rows(topics):
    X, Y = topics
    model = DECLAREClassifier(32, classifier_weight=0.6, random_state=0)
    assert model.fit(MappedCSR(X), Y)._classifiers is None


@pytest.mark.parametrize(
    "change",
    [
        lambda c: setattr(c, "weights", sp.csr_array((300, 501), dtype=np.float32)),
        lambda c: setattr(c, "weights", c.weights.astype(np.float64)),
        lambda c: setattr(c, "weights", c.weights.astype(np.int8)),
        lambda c: setattr(c, "scales", np.ones(300, dtype=np.float32)),
        lambda c: setattr(c, "bias", c.bias[:-1]),
    ],
    ids=["wide", "float64", "no scales", "scales", "bias"],
)
def test_files_whose_weights_do_not_fit_are_refused(model, change, tmp_path):
    wrong = copy.copy(model)
    wrong._classifiers = copy.copy(model._classifiers)
    change(wrong._classifiers)
    wrong.save(tmp_path / "model")
    with pytest.raises(CorruptFileError):
        load(tmp_path / "model")


def test_memory_is_estimated_with_them(topics):
    X, Y = topics
    size = *X.shape, Y.shape[1]
    without, with_them = (
        DECLAREClassifier(32, classifier_weight=w).estimate_memory(*size)
        for w in (0, 0.6)
    )
    assert with_them["model"] - without["model"] == 300 * 200 * 8
    assert with_them["peak"] > without["peak"]


def test_contributions_of_training_rows_leave_the_classifiers_out(model, topics):
    X = topics[0][2500:2501]
    label = model.predict_topk(X, k=1)[0][0, 0]
    rows, _, contributions = model._explain_vote(X, label)
    f = all_scores(model._classifiers, X, 300)[0, label]
    linear = model._label_index.score(model._encoder(X), label)[0]
    rest = 0.6 * np.clip((f + 1) / 2, 0, 1) + 0.4 * 0.4 * np.clip(linear, 0, 1)
    score = model.predict_proba(X).toarray()[0, label]
    assert contributions.sum() + rest == pytest.approx(score, abs=1e-4)
    assert len(rows)
