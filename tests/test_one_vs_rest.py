"""A classifier for each label, against a general minimiser."""

import copy

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.optimize import minimize
from sklearn.metrics import roc_auc_score

from skxmc import DECLAREClassifier, load
from skxmc._mapped import MappedCSR
from skxmc._one_vs_rest import LabelClassifiers, fit_classifiers
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


@pytest.mark.parametrize("n_values", [1, 1000, 2**17])
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


def listed_at_random(Y, n_listed, seed=0):
    """Return shortlists of labels that say nothing, and half of the true ones."""
    rng = np.random.default_rng(seed)
    density = n_listed / Y.shape[1]
    listed = sp.random_array(Y.shape, density=density, rng=rng, dtype=np.float32)
    own = Y.tocoo()
    own.data = own.data * (rng.random(own.nnz) < 0.5)
    lists = sp.csr_array((listed + own) > 0).astype(np.float32)
    lists.data[:] = rng.uniform(0.1, 0.2, size=lists.nnz)
    lists.sort_indices()
    return lists


@pytest.fixture(scope="module")
def shortlists(topics):
    return listed_at_random(topics[1], 20)


def test_each_label_has_the_plane_of_least_loss_on_its_own_rows(topics, shortlists):
    X, Y = topics
    classifiers = fit_classifiers(X, Y, shortlists, 3.0)
    weights, scale = classifiers.weights.toarray(), (X.data**2).sum() / X.shape[0]
    is_true, is_listed = Y.toarray() > 0, shortlists.toarray() > 0
    for label in (0, 17, 299):
        rows = is_true[:, label] | is_listed[:, label]
        A = np.hstack([X[rows].toarray() / np.sqrt(scale), np.ones((rows.sum(), 1))])
        t = np.where(is_true[rows, label], 1.0, -1.0)

        def loss(w, A=A, t=t):
            margins = np.maximum(1 - t * (A @ w), 0)
            gradient = w - 2 * A.T @ (t * margins)
            return (margins**2).sum() + 0.5 * w @ w, gradient

        best = minimize(loss, np.zeros(A.shape[1]), jac=True, tol=1e-9).x
        expected = best[:-1] / np.sqrt(scale)
        assert classifiers.bias[label] == pytest.approx(best[-1], abs=0.01)
        limit = abs(expected).max()
        is_kept = weights[label] != 0
        np.testing.assert_allclose(
            weights[label, is_kept], expected[is_kept], atol=0.02 * limit
        )
        assert abs(expected[~is_kept]).max() < 0.12 * limit


def test_classifiers_part_rows_that_they_have_not_seen(topics, shortlists):
    X, Y = topics
    seen = fit_classifiers(X[:2500], Y[:2500], shortlists[:2500], 3.0)
    f, is_true = all_scores(seen, X[2500:], 300), Y[2500:].toarray() > 0
    assert roc_auc_score(is_true.ravel(), f.ravel()) > 0.95


def test_classifiers_that_do_not_improve_the_shortlists_are_none():
    rng = np.random.default_rng(0)
    X = sp.csr_array((rng.random((2000, 5)) < 0.5).astype(np.float32))
    Y = sp.csr_array((rng.random((2000, 300)) < 0.02).astype(np.float32))
    lists = listed_at_random(Y, 20)
    lists.data += 0.5 * (Y.toarray()[lists.nonzero()] > 0)
    assert fit_classifiers(X, Y, lists, 3.0) is None


def test_labels_without_rows_have_scores_of_minus_one(topics, shortlists):
    X, Y = topics
    none = sp.csr_array((3000, 1), dtype=np.float32)
    Y, lists = (
        sp.csr_array(sp.hstack([none, A, none]).astype(np.float32))
        for A in (Y, shortlists)
    )
    classifiers = fit_classifiers(X, Y, lists, 3.0)
    np.testing.assert_array_equal(classifiers.bias[[0, -1]], [-1, -1])
    assert not classifiers.weights[[0, -1]].nnz
    assert classifiers.weights.shape == (302, 500)


@pytest.mark.parametrize("empty", ["labels", "shortlists", "both"])
def test_without_labels_or_shortlists_there_are_none(topics, shortlists, empty):
    (X, Y), nothing = topics, sp.csr_array(topics[1].shape, dtype=np.float32)
    if empty != "shortlists":
        Y = nothing
    if empty != "labels":
        shortlists = nothing
    assert fit_classifiers(X, Y, shortlists, 3.0) is None


def test_what_is_learned_is_the_same_on_any_number_of_threads(
    topics, shortlists, monkeypatch
):
    monkeypatch.setattr("skxmc._hinge_newton.N_STACKED", 2**12)  # several spans
    found = []
    for count in (1, 3):
        monkeypatch.setattr("skxmc._nn._threads.n_available", lambda count=count: count)
        found.append(fit_classifiers(*topics, shortlists, 3.0))
    one, several = found
    np.testing.assert_array_equal(one.bias, several.bias)
    np.testing.assert_array_equal(one.weights.toarray(), several.weights.toarray())


def test_the_scale_of_the_rows_does_not_matter(topics, shortlists):
    X, Y = topics
    large = X * np.float32(8)
    one, other = (fit_classifiers(A, Y, shortlists, 3.0) for A in (X, large))
    np.testing.assert_allclose(
        all_scores(other, large, 300), all_scores(one, X, 300), rtol=1e-3, atol=1e-3
    )


@pytest.fixture(scope="module")
def model(topics):
    X, Y = topics
    model = DECLAREClassifier(n_components=32, n_top_labels=300, random_state=0)
    return model.fit(X[:2500], Y[:2500])


def test_declare_mixes_them_into_the_scores_of_labels_with_votes(model, topics):
    X = topics[0][2500:2600]
    with_them = model.predict_proba(X).toarray()
    without = copy.copy(model).set_params(classifier_weight=0)
    before = without.predict_proba(X).toarray()
    f = all_scores(model._classifiers, X, 300)
    is_listed = before >= np.sort(before, axis=1)[:, [-30]]
    chances = np.where(is_listed, np.clip((f + 1) / 2, 0.01, 1), 0.01)
    expected = before**0.8 * chances**0.2
    np.testing.assert_allclose(with_them, expected, rtol=1e-4, atol=1e-6)


def test_declare_ranks_better_with_them(topics):
    X, Y = topics
    found = {}
    for weight in (0, 0.2):
        model = DECLAREClassifier(32, classifier_weight=weight, random_state=0)
        model.fit(X[:2500], Y[:2500])
        ranking = model.predict_topk(X[2500:], k=1)
        found[weight] = precision_at_k(Y[2500:], ranking, k=1)
    assert found[0.2] > found[0] + 0.02


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
    model = DECLAREClassifier(32, random_state=0)
    model.set_params(**params)
    assert model.fit(X, Y)._classifiers is None


def test_declare_fits_none_of_mapped_rows(topics):
    X, Y = topics
    model = DECLAREClassifier(32, random_state=0)
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


def test_memory_is_estimated_with_them(model, topics):
    X, Y = topics
    options = {"n_nonzero": X.nnz / 3000, "n_labels_per_sample": Y.nnz / 3000}
    without, with_them = (
        DECLAREClassifier(32, classifier_weight=w).estimate_memory(
            2500, 500, 300, **options
        )
        for w in (0, 0.2)
    )
    expected = with_them["model"] - without["model"]
    assert 0.25 < model._classifiers.n_bytes / expected < 2
    assert with_them["peak"] > without["peak"]


def test_contributions_of_training_rows_are_shares_of_the_mixed_score(model, topics):
    X = topics[0][2500:2501]
    label = model.predict_topk(X, k=1)[0][0, 0]
    rows, _, contributions = model._explain_vote(X, label)
    linear = np.clip(model._label_index.score(model._encoder(X), label)[0], 0, 1)
    score = model.predict_proba(X).toarray()[0, label]
    without = copy.copy(model).set_params(classifier_weight=0)
    before = without.predict_proba(X).toarray()[0, label]
    share = 1 - 0.4 * linear / before  # of the votes
    assert contributions.sum() == pytest.approx(score * share, abs=1e-4)
    assert len(rows)
