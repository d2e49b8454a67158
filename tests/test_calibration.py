"""Probabilities from scores, against models that made the truth."""

import pickle

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.special import expit, logit, softmax
from sklearn.base import BaseEstimator, ClassifierMixin, clone, is_classifier
from sklearn.exceptions import NotFittedError
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.frozen import FrozenEstimator
from sklearn.isotonic import IsotonicRegression
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MultiLabelBinarizer
from sklearn.utils.estimator_checks import (
    check_dataframe_column_names_consistency,
    check_param_validation,
    parametrize_with_checks,
)

from skxmc import DECLAREClassifier, XMCTextClassifier
from skxmc._calibration import (
    IsotonicMap,
    SigmoidMap,
    apply_rank_maps,
    fit_rank_maps,
    fit_sigmoid,
    fit_temperature,
    share_among_classes,
    sigmoid,
)
from skxmc._text_classifier import default_vectorizer
from skxmc.calibration import TopKCalibratedClassifier
from skxmc.datasets import make_xmc_classification
from skxmc.metrics import make_xmc_scorers, precision_at_k


@pytest.mark.parametrize("scale", [1e-2, 1.0, 1e3])
def test_sigmoid_finds_the_model_behind_the_truth(scale):
    rng = np.random.default_rng(0)
    scores = rng.normal(size=50_000)
    truth = rng.random(50_000) < expit(1.5 * scores - 1)
    slope, intercept = fit_sigmoid((scale * scores).astype(np.float32), truth)
    assert slope * scale == pytest.approx(1.5, rel=0.05)
    assert intercept == pytest.approx(-1, abs=0.05)


def test_sigmoid_keeps_the_order_where_scores_are_worse_than_chance():
    scores = np.linspace(-1, 1, 100)
    slope, _ = fit_sigmoid(scores, scores < 0)
    assert slope > 0


@pytest.mark.parametrize("answer", [True, False])
def test_one_answer_alone_leaves_a_small_chance_of_the_other(answer):
    scores = np.zeros(98, dtype=np.float32)
    model = fit_sigmoid(scores, np.full(98, answer))
    other = 1 - sigmoid(scores, *model) if answer else sigmoid(scores, *model)
    np.testing.assert_allclose(other, 0.01, rtol=1e-5)


def test_temperature_finds_the_model_behind_the_truth():
    rng = np.random.default_rng(0)
    scores = 3 * rng.normal(size=(20_000, 6))
    chances = softmax(0.4 * scores, axis=1)
    drawn = (rng.random((20_000, 1)) > np.cumsum(chances, axis=1)).sum(axis=1)
    truth = np.arange(6) == np.minimum(drawn, 5)[:, None]
    slope = fit_temperature(scores.astype(np.float32), truth)
    assert slope == pytest.approx(0.4, rel=0.05)


def test_temperature_makes_scores_no_surer_than_they_are():
    scores = np.array([[2.0, 0.0], [3.0, 1.0]])
    truth = np.array([[True, False], [True, False]])
    assert fit_temperature(scores, truth) == pytest.approx(1, rel=1e-3)


def test_temperature_without_a_true_label_leaves_scores_alone():
    assert fit_temperature(np.ones((3, 2)), np.zeros((3, 2), dtype=bool)) == 1


def test_sigmoid_map_finds_the_model_behind_the_truth():
    rng = np.random.default_rng(0)
    scores = rng.random(50_000)
    truth = rng.random(50_000) < expit(0.5 * logit(scores) - 1)
    found = SigmoidMap.fit(scores, truth)
    assert found.slope == pytest.approx(0.5, rel=0.05)
    assert found.intercept == pytest.approx(-1, abs=0.05)


def test_isotonic_map_is_that_of_scikit_learn_and_goes_to_zero_below():
    rng = np.random.default_rng(0)
    scores = 0.2 + 0.7 * rng.random(500)
    truth = rng.random(500) < scores**2
    found = IsotonicMap.fit(scores, truth)
    theirs = IsotonicRegression(out_of_bounds="clip").fit(scores, truth)
    inside = np.linspace(scores.min(), 1, 200)
    np.testing.assert_allclose(found(inside), theirs.predict(inside))
    lowest = found(scores.min())
    assert found(scores.min() / 2) == pytest.approx(lowest / 2)
    assert found(np.array([0.0])) == 0


@pytest.mark.parametrize("kind", [SigmoidMap, IsotonicMap])
def test_probabilities_keep_the_order_of_the_scores(kind):
    rng = np.random.default_rng(0)
    scores = -np.sort(-rng.random((400, 4)), axis=1)
    truth = rng.random((400, 4)) < 0.3 * np.arange(1, 5) / 4  # later ranks truer
    maps = fit_rank_maps(scores, truth, np.ones_like(truth), kind)
    longer = np.hstack([scores, scores[:, -1:] / 2])
    for given_scores in (scores[:, :2], scores, longer):
        P = apply_rank_maps(maps, given_scores)
        assert P.shape == given_scores.shape
        assert (np.diff(P, axis=1) < 0).all()
        assert ((P >= 0) & (P <= 1)).all()


def test_ranks_without_a_label_do_not_count():
    scores, truth = np.array([[0.9, 0.5], [0.8, 0.0]]), np.array([[1, 1], [0, 0]])
    known = np.array([[True, True], [True, False]])
    maps = fit_rank_maps(scores, truth.astype(bool), known, IsotonicMap)
    assert maps[1](0.5) == 1
    assert len(fit_rank_maps(scores, truth, known & [True, False], IsotonicMap)) == 1


@pytest.mark.parametrize("n_ranked", [1, 3, 6])
def test_classes_share_what_the_first_leave_and_keep_their_order(n_ranked):
    rng = np.random.default_rng(0)
    scores = -np.sort(-rng.dirichlet(np.ones(6), 50), axis=1)
    P = np.minimum.accumulate(rng.random((50, 6)), axis=1)
    shared = share_among_classes(P, scores, n_ranked, 6)
    assert (shared.sum(axis=1) < 1 + 1e-9).all()
    assert (np.diff(shared, axis=1) <= 0).all()
    fits = P[:, :n_ranked].sum(axis=1) <= 1
    if n_ranked < 6:
        np.testing.assert_allclose(shared[fits, :n_ranked], P[fits, :n_ranked])
        ratio = shared[:, n_ranked:] / scores[:, n_ranked:]
        np.testing.assert_allclose(ratio, np.tile(ratio[:, :1], 6 - n_ranked))
    else:
        np.testing.assert_allclose(shared.sum(axis=1), 1)


class Overconfident(ClassifierMixin, BaseEstimator):
    """Know the logit of each label from X, and give twice it."""

    def fit(self, X, y):
        self.classes_ = np.arange(X.shape[1])
        return self

    def predict_topk(self, X, k=5):
        X = np.asarray(X)
        indices = np.argsort(-X, axis=1)[:, :k]
        return indices, expit(2 * np.take_along_axis(X, indices, axis=1))


@pytest.mark.parametrize("method", ["isotonic", "sigmoid"])
def test_probabilities_are_those_that_made_the_truth(method):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(20_000, 4))
    Y = sp.csr_array((rng.random(X.shape) < expit(X)).astype(int))
    model = TopKCalibratedClassifier(Overconfident(), method=method, cv=2, k=3)
    indices, P = model.fit(X, Y).predict_topk(X[:2000], k=3)
    true_p = expit(np.take_along_axis(X[:2000], indices, axis=1))
    raw = Overconfident().predict_topk(X[:2000], k=3)[1]
    assert np.abs(P - true_p).mean() < 0.02 < 0.05 < np.abs(raw - true_p).mean()


def problem():
    X, Y = make_xmc_classification(160, n_labels=12, random_state=0)
    return X, Y.astype(int)


def fitted(Y, **options):
    model = TopKCalibratedClassifier(DECLAREClassifier(random_state=0), **options)
    return model.fit(problem()[0], Y)


@pytest.mark.parametrize("method", ["isotonic", "sigmoid"])
def test_rankings_are_those_of_the_estimator(method):
    X, Y = problem()
    model = fitted(Y, method=method, cv=2, k=3)
    plain = DECLAREClassifier(random_state=0).fit(X, Y)
    for k in (1, 3, 7):
        np.testing.assert_array_equal(
            model.predict_topk(X, k=k)[0], plain.predict_topk(X, k=k)[0]
        )
    assert model.score(X, Y) == plain.score(X, Y)
    P = model.predict_proba(X)
    assert precision_at_k(Y, P, k=3) == precision_at_k(
        Y, model.predict_topk(X, k=3), k=3
    )


def test_predictions_take_the_form_of_y():
    X, Y = problem()
    sparse, dense = fitted(Y, cv=2, k=3), fitted(Y.toarray(), cv=2, k=3)
    P = sparse.predict_proba(X)
    assert sp.issparse(P)
    assert (np.diff(P.indptr) <= 3).all()
    dense_P = dense.predict_proba(X)
    assert dense_P.shape == Y.shape
    indices, probabilities = sparse.predict_topk(X, k=3)
    rows = np.arange(len(indices))[:, None]
    np.testing.assert_array_equal(P.toarray()[rows, indices], probabilities)
    np.testing.assert_allclose(dense_P[rows, indices], probabilities, atol=2e-7)
    assert (sparse.predict(X).toarray() == (P.toarray() >= 0.5)).all()
    assert (sparse.predict(X, k=2).sum(axis=1) <= 2).all()
    assert (dense.predict(X) == (dense_P >= 0.5)).all()


def test_class_labels_have_probabilities_that_sum_to_one():
    X, Y = problem()
    y = np.array([f"c{label}" for label in Y.toarray().argmax(axis=1)])
    y[np.isin(y, [label for label in np.unique(y) if (y == label).sum() < 3])] = "c0"
    model = fitted(y, cv=3, k=2)
    P = model.predict_proba(X)
    np.testing.assert_allclose(P.sum(axis=1), 1, rtol=1e-5)
    np.testing.assert_array_equal(model.predict(X), model.classes_[P.argmax(axis=1)])
    assert model.score(X, y) == np.mean(model.predict(X) == y)
    indices, probabilities = model.predict_topk(X, k=2)
    longer = model.predict_topk(X, k=3)
    np.testing.assert_array_equal(longer[1][:, :2], probabilities)
    assert (longer[0][:, :2] == indices).all()


def test_a_frozen_estimator_is_not_fitted_again():
    X, Y = problem()
    trained = DECLAREClassifier(random_state=0).fit(X[:100], Y[:100])
    frozen = FrozenEstimator(trained)
    model = TopKCalibratedClassifier(frozen, k=2).fit(X[100:], Y[100:])
    assert model.estimator_ is frozen
    np.testing.assert_array_equal(
        model.predict_topk(X, k=2)[0], trained.predict_topk(X, k=2)[0]
    )
    with pytest.raises(ValueError, match="has 12 labels, but y has 5 columns"):
        TopKCalibratedClassifier(frozen).fit(X[100:], Y[100:, :5])


def test_a_frozen_estimator_may_know_more_classes_than_y():
    X, _ = problem()
    y = np.arange(160) % 4
    trained = DECLAREClassifier(random_state=0).fit(X[:100], y[:100])
    few = 100 + np.flatnonzero(y[100:] < 3)
    model = TopKCalibratedClassifier(FrozenEstimator(trained)).fit(X[few], y[few])
    np.testing.assert_array_equal(model.classes_, np.arange(4))
    assert model.predict_proba(X).shape == (160, 4)


def test_works_with_text_in_a_pipeline_inside_and_survives_pickle_and_clone():
    texts = ["red wine", "white wine", "red apple", "green apple"] * 8
    Y = sp.csr_matrix(np.tile([[1, 0, 1], [1, 0, 0], [0, 1, 1], [0, 1, 0]], (8, 1)))
    pipe = make_pipeline(TfidfVectorizer(), DECLAREClassifier(random_state=0))
    model = TopKCalibratedClassifier(pipe, cv=KFold(4), k=2, threshold=0.4)
    assert not hasattr(model, "n_features_in_")
    model.fit(texts, Y)
    assert (model.predict(texts) != Y).nnz == 0
    copy = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(
        copy.predict_topk(texts, k=2)[1], model.predict_topk(texts, k=2)[1]
    )
    assert clone(model).get_params()["threshold"] == 0.4
    assert not hasattr(clone(model), "estimator_")


TEXTS = ["red wine", "white wine", "red apple", "green apple"] * 8
TAGS = [["red", "drink"], ["drink"], ["fruit", "red"], {"fruit"}] * 8


def tagger(**params):
    return XMCTextClassifier(DECLAREClassifier(random_state=0), **params)


@pytest.mark.parametrize("method", ["isotonic", "sigmoid"])
def test_a_model_of_texts_has_the_probabilities_of_its_parts(method):
    options = {"method": method, "cv": 4, "k": 2, "threshold": 0.4}
    model = TopKCalibratedClassifier(tagger(), **options).fit(TEXTS, TAGS)
    binarizer = MultiLabelBinarizer(sparse_output=True)
    Y = binarizer.fit_transform(TAGS)
    pipe = make_pipeline(default_vectorizer(), DECLAREClassifier(random_state=0))
    parts = TopKCalibratedClassifier(pipe, **options).fit(TEXTS, Y)
    new = ["red wine", "an apple", ""]
    assert model.classes_.tolist() == binarizer.classes_.tolist()
    for k in (1, 3):
        ours, expected = model.predict_topk(new, k=k), parts.predict_topk(new, k=k)
        np.testing.assert_array_equal(ours, expected)
    P = model.predict_proba(new)
    assert (parts.predict_proba(new) != P).nnz == 0
    assert isinstance(P, sp.csr_array)
    assert model.predict(new) == binarizer.inverse_transform(parts.predict(new))
    names = binarizer.inverse_transform(parts.predict(new, k=1))
    assert model.predict(new, k=1) == names
    assert model.score(TEXTS, TAGS) == parts.score(TEXTS, Y)
    copy = pickle.loads(pickle.dumps(model))
    assert copy.predict(TEXTS) == model.predict(TEXTS)


def test_calibrated_names_are_suggested_by_models_of_texts_alone():
    model = TopKCalibratedClassifier(tagger(), cv=2, k=2).fit(TEXTS, TAGS)
    table = model.suggest("red wine", k=9)
    indices, P = model.predict_topk(["red wine"], k=3)
    assert table["label"].tolist() == model.classes_[indices[0]].tolist()
    np.testing.assert_array_equal(table["score"], P[0].astype(float))
    assert not hasattr(fitted(problem()[1], cv=2), "suggest")


def test_tags_that_a_calibrated_model_does_not_know_are_misses():
    model = TopKCalibratedClassifier(tagger(), cv=2, k=2).fit(TEXTS, TAGS)
    with pytest.warns(UserWarning, match="1, such as 'new'.* 1 of 2 rows") as record:
        assert model.score(TEXTS[:2], [["new"], TAGS[1]]) == 0.5
    assert record[0].filename == __file__


def test_one_name_a_text_has_probabilities_that_sum_to_one():
    names = ["rare", *(["wine", "wine", "apple", "apple"] * 8)[1:]]
    model = TopKCalibratedClassifier(tagger(min_label_count=2), cv=KFold(4), k=3)
    model.fit(TEXTS, names)
    assert model.classes_.tolist() == ["apple", "wine"]
    assert model.predict(TEXTS[1:4]).tolist() == names[1:4]
    np.testing.assert_allclose(model.predict_proba(TEXTS).sum(axis=1), 1, rtol=1e-6)
    assert model.score(TEXTS, names) == 31 / 32


def test_a_frozen_model_of_texts_is_calibrated_on_tags_of_which_it_knows_some():
    frozen = FrozenEstimator(tagger().fit(TEXTS, TAGS))
    tags = [["a new one", *row] for row in TAGS]
    model = TopKCalibratedClassifier(frozen, k=2).fit(TEXTS, tags)
    known = TopKCalibratedClassifier(frozen, k=2).fit(TEXTS, TAGS)
    assert model.classes_.tolist() == ["drink", "fruit", "red"]
    np.testing.assert_array_equal(
        model.predict_topk(TEXTS, k=2), known.predict_topk(TEXTS, k=2)
    )


def test_searches_and_scorers_take_a_calibrated_model_of_texts():
    model = TopKCalibratedClassifier(tagger(), cv=2, k=2)
    assert not is_classifier(model)
    scoring = make_xmc_scorers(ks=(1,))
    search = GridSearchCV(
        model,
        {"estimator__classifier__n_components": [1, 3]},
        scoring=scoring,
        refit="precision_at_1",
        cv=2,
        error_score="raise",
    ).fit(TEXTS, TAGS)
    assert search.best_score_ > 0.9
    assert scoring["precision_at_1"](search, TEXTS, TAGS) == 1


class Raw(Overconfident):
    def predict_topk(self, X, k=5):
        indices, scores = super().predict_topk(X, k)
        return indices, 3 * scores


def test_scores_that_are_no_probabilities_are_refused():
    X = np.eye(20, 3)
    with pytest.raises(ValueError, match=r"scores run from .* to .* from 0 to 1"):
        TopKCalibratedClassifier(Raw(), cv=2).fit(X, X.astype(int))


CALIBRATED = [
    TopKCalibratedClassifier(DECLAREClassifier(random_state=0), cv=2, method=method)
    for method in ("isotonic", "sigmoid")
]


@parametrize_with_checks(CALIBRATED[:1])
def test_scikit_learn_checks(estimator, check):
    check(estimator)


@pytest.mark.parametrize("estimator", CALIBRATED)
def test_scikit_learn_checks_that_are_not_in_its_list(estimator):
    check_param_validation(type(estimator).__name__, estimator)
    check_dataframe_column_names_consistency(type(estimator).__name__, estimator)


def test_a_frozen_model_has_to_be_fitted():
    frozen = FrozenEstimator(DECLAREClassifier())
    with pytest.raises(NotFittedError):
        TopKCalibratedClassifier(frozen).fit(np.eye(4), [0, 1, 0, 1])
