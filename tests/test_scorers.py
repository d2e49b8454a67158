"""Scorers, inside scikit-learn's model selection."""

import pickle
from functools import partial

import numpy as np
import pytest
import scipy.sparse as sp
import sklearn
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_validate
from sklearn.multiclass import OneVsRestClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler

from skxmc.metrics import (
    coverage_at_k,
    label_propensities,
    make_topk_scorer,
    make_xmc_scorers,
    ndcg_at_k,
    precision_at_k,
    propensity_scored_ndcg_at_k,
    propensity_scored_precision_at_k,
    recall_at_k,
)


class Echo(ClassifierMixin, BaseEstimator):
    """Predict the features as probabilities, and count how often."""

    n_calls = 0

    def __init__(self, scale=1.0):
        self.scale = scale

    def fit(self, X, y):
        self.classes_ = np.arange(y.shape[1])
        return self

    def predict_proba(self, X):
        Echo.n_calls += 1
        return X * self.scale


@pytest.fixture
def multilabel():
    """Give a function that makes X of the shape of an indicator Y."""

    def make(n_labels, n_samples=60):
        rng = np.random.default_rng(n_labels)
        Y = (rng.random((n_samples, n_labels)) < 0.5).astype(int)
        return Y * 0.4 + rng.random(Y.shape) * 0.6, Y

    return make


@pytest.mark.parametrize("n_labels", [1, 2, 3, 30])
@pytest.mark.parametrize("container", [np.asarray, sp.csr_array, sp.csr_matrix])
def test_scorer_applies_the_metric_to_predict_proba(multilabel, n_labels, container):
    X, Y = multilabel(n_labels)
    estimator = Echo().fit(X, Y)
    score = make_topk_scorer(recall_at_k, k=1)(estimator, container(X), container(Y))
    assert score == recall_at_k(Y, X, k=1)
    assert 0 < score < 1


@pytest.mark.parametrize("n_labels", [2, 4])
@pytest.mark.parametrize(
    ("estimator", "as_matrix"),
    [
        (OneVsRestClassifier(LogisticRegression()), np.asarray),
        (
            make_pipeline(MaxAbsScaler(), OneVsRestClassifier(LogisticRegression())),
            np.asarray,
        ),
        # A list of one array of shape (n_samples, 2) per label.
        (KNeighborsClassifier(), lambda P: np.column_stack([p[:, 1] for p in P])),
    ],
)
def test_scorer_works_with_multilabel_estimators(
    multilabel, estimator, as_matrix, n_labels
):
    X, Y = multilabel(n_labels)
    search = GridSearchCV(estimator, {}, scoring=make_topk_scorer("ndcg_at_k", k=1))
    search.fit(X, Y)
    assert 0 < search.best_score_ < 1
    assert search.score(X, Y) == ndcg_at_k(Y, as_matrix(search.predict_proba(X)), k=1)


@pytest.mark.parametrize(
    "classes", [["no", "yes"], [3, 5], ["a", "b", "c"], [2, 4, 8, 9]]
)
def test_precision_at_1_of_class_labels_is_accuracy(classes):
    rng = np.random.default_rng(0)
    y = rng.choice(classes, size=90)
    X = np.searchsorted(classes, y)[:, None] + rng.normal(size=(90, 2))
    scoring = {"precision": make_topk_scorer("precision_at_k", k=1), "acc": "accuracy"}
    scores = cross_validate(KNeighborsClassifier(4), X, y, scoring=scoring)
    np.testing.assert_allclose(scores["test_precision"], scores["test_acc"])


def test_class_unknown_to_the_estimator_is_a_row_without_true_labels():
    X = np.array([[0.0], [1.0], [2.0]])
    estimator = KNeighborsClassifier(1).fit(X, ["a", "b", "c"])
    scorer = make_topk_scorer("recall_at_k", k=3)
    assert scorer(estimator, X, np.array(["a", "zebra", "Aa"])) == pytest.approx(1 / 3)


def test_class_labels_need_not_be_sorted():
    estimator = Echo()
    estimator.classes_ = ["b", "c", "a"]
    scorer = make_topk_scorer("precision_at_k", k=1)
    assert scorer(estimator, np.eye(3), ["b", "c", "a"]) == 1


@pytest.mark.parametrize("container", [np.asarray, sp.csr_array, sp.csr_matrix])
def test_grid_search_predicts_once_for_all_scorers(multilabel, container):
    X, Y = multilabel(6)
    scoring = make_xmc_scorers(propensities=label_propensities(Y))
    search = GridSearchCV(
        Echo(), {"scale": [1.0, -1.0]}, scoring=scoring, refit="precision_at_1", cv=3
    )
    Echo.n_calls = 0
    search.fit(container(X), container(Y))
    assert Echo.n_calls == 2 * 3
    assert search.best_params_ == {"scale": 1.0}
    for name in scoring:
        assert np.all(search.cv_results_[f"mean_test_{name}"] > 0)


def test_xmc_scorers_are_the_named_metrics(multilabel):
    X, Y = multilabel(6)
    estimator, p = Echo().fit(X, Y), label_propensities(Y)
    values = {
        name: scorer(estimator, X, Y)
        for name, scorer in make_xmc_scorers(iter([1, 4]), propensities=p).items()
    }
    psndcg = partial(propensity_scored_ndcg_at_k, propensities=p)
    psp = partial(propensity_scored_precision_at_k, propensities=p)
    assert values == {
        "precision_at_1": precision_at_k(Y, X, k=1),
        "precision_at_4": precision_at_k(Y, X, k=4),
        "ndcg_at_1": ndcg_at_k(Y, X, k=1),
        "ndcg_at_4": ndcg_at_k(Y, X, k=4),
        "propensity_scored_precision_at_1": psp(Y, X, k=1),
        "propensity_scored_precision_at_4": psp(Y, X, k=4),
        "propensity_scored_ndcg_at_1": psndcg(Y, X, k=1),
        "propensity_scored_ndcg_at_4": psndcg(Y, X, k=4),
    }
    assert list(make_xmc_scorers(ks=[2])) == ["precision_at_2", "ndcg_at_2"]


@pytest.mark.parametrize("copy", [lambda s: pickle.loads(pickle.dumps(s)), clone])
def test_scorer_survives_pickle_and_clone(multilabel, copy):
    X, Y = multilabel(3)
    scorer = make_topk_scorer(
        "propensity_scored_ndcg_at_k", k=2, propensities=[0.5] * 3
    )
    search = copy(GridSearchCV(Echo(), {}, scoring=scorer)).fit(X, Y)
    assert search.score(X, Y) == scorer(Echo().fit(X, Y), X, Y)
    assert repr(search.scoring) == repr(scorer)


def test_scorer_repr_is_the_call_that_makes_it():
    scorer = make_topk_scorer(coverage_at_k, k=2)
    assert repr(scorer) == "make_topk_scorer(coverage_at_k, k=2)"
    scorers = make_xmc_scorers(propensities=np.full(1000, 0.5))
    assert len(repr(scorers["propensity_scored_ndcg_at_5"])) < 150


def test_scorer_takes_part_in_metadata_routing(multilabel):
    X, Y = multilabel(3)
    scorer = make_topk_scorer(recall_at_k, k=3)
    with sklearn.config_context(enable_metadata_routing=True):
        with pytest.warns(UserWarning, match="Overlapping parameters are: {'k'}"):
            scorer.set_score_request(k=True)
        scores = cross_validate(Echo(), X, Y, scoring=scorer, cv=2, params={"k": 1})
    expected = [
        recall_at_k(Y[half], X[half], k=1) for half in np.split(np.arange(60), 2)
    ]
    assert scores["test_score"].tolist() == expected


def test_scorer_arguments_are_checked_at_once():
    with pytest.raises(ValueError, match=r"metric='p@1' is unknown; .*'ndcg_at_k'"):
        make_topk_scorer("p@1")
    with pytest.raises(TypeError, match=r"missing a required .*'propensities'"):
        make_topk_scorer("propensity_scored_precision_at_k")
    with pytest.raises(TypeError, match="unexpected keyword argument 'K'"):
        make_topk_scorer(precision_at_k, K=3)


def test_scorer_rejects_k_above_the_number_of_labels(multilabel):
    X, Y = multilabel(3)
    with pytest.raises(ValueError, match="k=5 is larger than the number of labels 3"):
        make_topk_scorer(precision_at_k)(Echo().fit(X, Y), X, Y)
