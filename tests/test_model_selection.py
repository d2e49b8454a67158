"""Splitters and out-of-fold rankings, against scikit-learn and a loop over folds."""

import tracemalloc
import warnings

import joblib
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    KFold,
    LeaveOneGroupOut,
    ShuffleSplit,
    StratifiedKFold,
)
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, MultiLabelBinarizer

from skxmc import DECLAREClassifier, XMCTextClassifier
from skxmc.datasets import make_xmc_classification
from skxmc.metrics import make_topk_scorer, precision_at_k
from skxmc.model_selection import (
    IterativeStratifiedKFold,
    IterativeStratifiedShuffleSplit,
    cross_val_topk,
)

FORMS = [sp.csr_array, sp.csc_matrix, sp.lil_array, np.asarray]


def long_tail(n_samples=600, n_labels=400, seed=0):
    rng = np.random.default_rng(seed)
    chances = np.minimum(1, 40 / np.arange(1, n_labels + 1) ** 1.2)
    return (rng.random((n_samples, n_labels)) < chances / 10).astype(int)


def folds_of(splitter, y):
    return [test for _, test in splitter.split(np.zeros(len(y)), y)]


def held(tests, Y):
    """Count the rows of each label in each test set."""
    return np.stack([Y[test].sum(axis=0) for test in tests])


def lost_labels(tests, Y):
    """Count labels with two rows or more, all of them in one test set."""
    counts = Y.sum(axis=0)
    return int(((held(tests, Y) == counts) & (counts > 1)).any(axis=0).sum())


@pytest.mark.parametrize("n_splits", [2, 3, 7])
def test_folds_are_a_partition_with_the_sizes_of_kfold(n_splits):
    Y = long_tail()
    splits = [*IterativeStratifiedKFold(n_splits, random_state=0).split(Y, Y)]
    assert len(splits) == n_splits
    for train, test in splits:
        np.testing.assert_array_equal(np.sort(np.append(train, test)), np.arange(600))
    sizes = sorted(len(test) for _, test in splits)
    assert sizes == sorted(map(len, folds_of(KFold(n_splits), Y)))


@pytest.mark.parametrize("n_splits", [3, 5])
def test_no_label_with_two_rows_is_missing_in_training(n_splits):
    Y = long_tail()
    assert (Y.sum(axis=0) == 2).sum() > 20
    folds = folds_of(IterativeStratifiedKFold(n_splits, random_state=0), Y)
    assert lost_labels(folds, Y) == 0
    chance = folds_of(KFold(n_splits, shuffle=True, random_state=0), Y)
    assert lost_labels(chance, Y) > 5


@pytest.mark.parametrize("n_splits", [2, 5])
def test_shares_of_labels_are_closer_to_equal_than_by_chance(n_splits):
    Y = long_tail()
    Y = Y[:, Y.sum(axis=0) >= n_splits]

    def deviation(splitter):
        shares = held(folds_of(splitter, Y), Y) / Y.sum(axis=0)
        return np.abs(shares - 1 / n_splits).mean()

    ours = deviation(IterativeStratifiedKFold(n_splits, random_state=0))
    chance = deviation(KFold(n_splits, shuffle=True, random_state=0))
    assert ours < 0.5 * chance


def test_one_dimensional_y_is_spread_as_by_stratified_kfold():
    y = np.repeat(["a", "b", "c"], [10, 25, 40])
    rng = np.random.default_rng(0)
    rng.shuffle(y)
    indicator = (y[:, None] == np.unique(y)).astype(int)
    ours = held(folds_of(IterativeStratifiedKFold(5, random_state=0), y), indicator)
    theirs = held(folds_of(StratifiedKFold(5), y), indicator)
    np.testing.assert_array_equal(ours, theirs)  # 2, 5 and 8 in each


@pytest.mark.parametrize("make", FORMS)
def test_folds_do_not_depend_on_the_container_and_y_stays_as_it_is(make):
    Y = long_tail(100, 30)
    splitter = IterativeStratifiedKFold(3, random_state=0)
    given_y = make(Y)
    before = given_y.copy()
    for ours, dense in zip(
        splitter.split(np.zeros(100), given_y), splitter.split(Y, Y), strict=True
    ):
        np.testing.assert_array_equal(ours[1], dense[1])
    assert abs(before - given_y).sum() == 0


def test_random_state_decides_the_folds():
    Y = long_tail(100, 30)
    first, again, other = (
        folds_of(IterativeStratifiedKFold(3, random_state=seed), Y)
        for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(np.concatenate(first), np.concatenate(again))
    assert (np.concatenate(first) != np.concatenate(other)).any()


@st.composite
def small_indicators(draw):
    n_samples = draw(st.integers(4, 9))
    n_labels = draw(st.integers(2, 4))
    cells = st.lists(st.booleans(), min_size=n_labels, max_size=n_labels)
    rows = draw(st.lists(cells, min_size=n_samples, max_size=n_samples))
    return np.array(rows, dtype=int)


def fewest_lost(Y):
    """Count the labels that any two halves lose, by trying all."""
    n = len(Y)
    masks = np.array([[bits >> row & 1 for row in range(n)] for bits in range(2**n)])
    masks = masks[np.isin(masks.sum(axis=1), [n // 2, n - n // 2])].astype(bool)
    return min(lost_labels([mask, ~mask], Y) for mask in masks)


def lost_in_halves(Y, seed):
    return lost_labels(folds_of(IterativeStratifiedKFold(2, random_state=seed), Y), Y)


@settings(max_examples=60, deadline=None)
@given(small_indicators(), st.integers(0, 3))
def test_of_few_labels_one_more_is_lost_than_by_the_best_halves_at_most(Y, seed):
    assert fewest_lost(Y) <= lost_in_halves(Y, seed) <= fewest_lost(Y) + 1


def test_of_few_labels_as_few_are_lost_as_by_the_best_halves_almost_always():
    # Rows change places two at a time, which misses the best of a few in thousands.
    rng = np.random.default_rng(0)
    n_worse = 0
    for seed in range(1000):
        shape = rng.integers(4, 10), rng.integers(2, 5)
        Y = (rng.random(shape) < rng.choice([0.2, 0.35, 0.5, 0.8])).astype(int)
        n_worse += lost_in_halves(Y, seed) > fewest_lost(Y)
    assert n_worse <= 3


def test_a_hundred_thousand_labels_are_no_dense_array():
    rng = np.random.default_rng(0)
    n, n_labels = 2000, 100_000
    Y = sp.csr_array(
        (np.ones(3 * n), rng.integers(0, n_labels, 3 * n), np.arange(0, 3 * n + 1, 3)),
        shape=(n, n_labels),
    )
    Y.sum_duplicates()
    Y.data[:] = 1
    tracemalloc.start()
    sizes = [len(t) for _, t in IterativeStratifiedKFold(5).split(np.zeros(n), Y)]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert sizes == [400] * 5
    assert peak < n * n_labels / 2  # bytes; an array of booleans has n * n_labels


@pytest.mark.parametrize("test_size", [0.25, 50])
def test_shuffle_split_keeps_every_label_in_training(test_size):
    Y = long_tail()
    Y = Y[:, Y.sum(axis=0) > 0]
    splitter = IterativeStratifiedShuffleSplit(3, test_size=test_size, random_state=0)
    splits = [*splitter.split(Y, Y)]
    shuffled = ShuffleSplit(3, test_size=test_size, random_state=0).split(Y)
    for (train, test), (train_by_chance, test_by_chance) in zip(
        splits, shuffled, strict=True
    ):
        assert len(train) == len(train_by_chance)
        assert len(test) == len(test_by_chance)
        assert not np.intersect1d(train, test).size
        assert (Y[train].sum(axis=0) > 0).all()
        assert (Y[train_by_chance].sum(axis=0) == 0).any()
    assert (splits[0][1] != splits[1][1]).any()


def test_shuffle_split_may_leave_rows_out():
    Y = long_tail()
    splitter = IterativeStratifiedShuffleSplit(1, test_size=100, train_size=200)
    train, test = next(splitter.split(Y, Y))
    assert (len(train), len(test)) == (200, 100)
    assert not np.intersect1d(train, test).size


@pytest.mark.parametrize("n_splits", [1, 2.5, 7])
def test_wrong_numbers_of_folds_are_refused(n_splits):
    with pytest.raises(ValueError, match=f"n_splits={n_splits}.*n_samples=6"):
        [*IterativeStratifiedKFold(n_splits).split(np.eye(6), np.eye(6))]


def test_splitters_refuse_y_that_is_missing_or_too_short_and_warn_of_groups():
    splitter = IterativeStratifiedKFold(2)
    with pytest.raises(ValueError, match="pass y"):
        splitter.split(np.eye(4), None)
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        splitter.split(np.eye(4), np.eye(3))
    with pytest.warns(UserWarning, match="groups parameter is ignored"):
        splitter.split(np.eye(4), np.eye(4), groups=np.arange(4))


class Popular(ClassifierMixin, BaseEstimator):
    """Rank labels by frequency in training; the score is the share of rows."""

    def __init__(self, offset=0.0):
        self.offset = offset

    def fit(self, X, y):
        if y.ndim == 1:
            self.classes_, counts = np.unique(y, return_counts=True)
        else:
            counts, self.classes_ = y.sum(axis=0), np.arange(y.shape[1])
        self.shares_ = counts / y.shape[0]
        return self

    def predict_topk(self, X, k=5):
        best = np.argsort(-self.shares_, kind="stable")[:k]
        rank = np.tile(best, (X.shape[0], 1))
        return rank, self.shares_[rank] + self.offset

    def score(self, X, y):
        return self.offset


def by_loop(estimator, X, y, k, splits):
    n = y.shape[0]
    indices, scores = np.empty((n, k), int), np.empty((n, k))
    for train, test in splits:
        fitted = clone(estimator).fit(X[train], y[train])
        indices[test], scores[test] = fitted.predict_topk(X[test], k=k)
    return indices, scores


@pytest.mark.parametrize("make", FORMS)
def test_rankings_are_those_of_a_loop_over_the_folds(make):
    X, Y = make_xmc_classification(120, n_labels=8, random_state=0)
    Y = np.asarray(Y.todense()).astype(int)
    model = DECLAREClassifier(random_state=0)
    cv = IterativeStratifiedKFold(3, random_state=0)
    expected = by_loop(model, X, sp.csr_array(Y), 4, cv.split(X, Y))
    indices, scores = cross_val_topk(model, X, make(Y), k=4, cv=cv)
    np.testing.assert_array_equal(indices, expected[0])
    np.testing.assert_array_equal(scores, expected[1])
    assert not hasattr(model, "classes_")


def test_a_number_of_folds_means_kfold_for_indicators_and_stratified_for_classes():
    rng = np.random.default_rng(0)
    X, Y = np.zeros((30, 1)), (rng.random((30, 4)) < 0.4).astype(int)
    y = np.repeat([3, 5, 9], 10)
    for target, splitter in ((Y, KFold(3)), (y, StratifiedKFold(3))):
        ours = cross_val_topk(Popular(), X, target, k=2, cv=3)
        expected = by_loop(Popular(), X, target, 2, splitter.split(X, target))
        np.testing.assert_array_equal(ours[0], expected[0])
        np.testing.assert_array_equal(ours[1], expected[1])


def test_one_sparse_column_is_an_indicator():
    Y = sp.csr_array(np.array([[1], [0], [1], [1]]))
    assert (cross_val_topk(Popular(), np.zeros((4, 1)), Y, k=1, cv=2)[0] == 0).all()


def test_classes_missing_in_training_keep_the_places_of_the_others():
    y = np.array(["a", "a", "b", "b", "c", "c"])
    groups = np.array([0, 0, 1, 1, 2, 2])
    options = {"cv": LeaveOneGroupOut(), "groups": groups}
    X = np.zeros((6, 1))
    indices, scores = cross_val_topk(Popular(), X, y, k=3, **options)
    # Each model knows two classes, never that of the rows it ranks for.
    expected = np.repeat([[1, 2, -1], [0, 2, -1], [0, 1, -1]], 2, axis=0)
    np.testing.assert_array_equal(indices, expected)
    np.testing.assert_array_equal(scores, np.tile([0.5, 0.5, 0], (6, 1)))


def test_pipelines_and_searches_are_looked_into():
    texts = np.array(["red wine", "white wine", "red apple", "green apple"] * 6)
    Y = sp.csr_array(np.tile([[1, 0, 1], [1, 0, 0], [0, 1, 1], [0, 1, 0]], (6, 1)))
    pipe = make_pipeline(TfidfVectorizer(), DECLAREClassifier(random_state=0))
    search = GridSearchCV(
        pipe,
        {"declareclassifier__n_components": [2, 3]},
        scoring=make_topk_scorer("precision_at_k", k=1),
        cv=IterativeStratifiedKFold(2, random_state=0),
    )
    indices, _ = cross_val_topk(search, texts, Y, k=1, cv=2)
    assert Y.toarray()[np.arange(24), indices[:, 0]].all()
    plain = cross_val_topk(pipe, [*texts], Y, k=2, cv=3)
    nested = cross_val_topk(make_pipeline("passthrough", pipe), texts, Y, k=2, cv=3)
    alone = cross_val_topk(make_pipeline(Popular()), np.zeros((24, 1)), Y, k=1, cv=3)
    np.testing.assert_array_equal(plain[1], nested[1])
    assert alone[0].shape == (24, 1)


def test_a_frozen_model_ranks_as_it_stands():
    X, y = np.zeros((6, 1)), np.array([0, 0, 0, 1, 1, 2])
    frozen = FrozenEstimator(Popular().fit(X, y))
    indices, scores = cross_val_topk(frozen, X, y, k=3, cv=KFold(2))
    np.testing.assert_array_equal(indices, np.tile([0, 1, 2], (6, 1)))
    np.testing.assert_allclose(scores[0], [1 / 2, 1 / 3, 1 / 6])
    with pytest.raises(ValueError, match="1 classes that y lacks, such as 2"):
        cross_val_topk(frozen, X, np.minimum(y, 1), k=2, cv=KFold(2))
    with pytest.raises(ValueError, match="has 3 labels, but y has 2 columns"):
        cross_val_topk(frozen, X, np.eye(6, 2, dtype=int), k=2, cv=KFold(2))


TEXTS = ["red wine", "white wine", "red apple", "green apple", "plum"] * 6
TAGS = [["red", "drink"], ["drink"], ("fruit", "red"), {"fruit"}, []] * 6
TAGS[-1] = ["plum"]  # which the training set of the last fold lacks


def tagger(**params):
    return XMCTextClassifier(DECLAREClassifier(random_state=0), **params)


def by_loop_over_names(model, texts, tags, k, splits, names):
    """Rank with a model of each fold, and look its names up among all."""
    indices, scores = np.full((len(texts), k), -1), np.zeros((len(texts), k))
    for train, test in splits:
        fitted = clone(model).fit([texts[i] for i in train], [tags[i] for i in train])
        n_ranks = min(k, len(fitted.classes_))
        ranking = fitted.predict_topk([texts[i] for i in test], k=n_ranks)
        for row, found, values in zip(test, *ranking, strict=True):
            indices[row, :n_ranks] = [names.index(fitted.classes_[i]) for i in found]
            scores[row, :n_ranks] = values
    return indices, scores


@pytest.mark.parametrize(
    "column", [list, np.array, lambda x: pd.Series(x, range(9, 39))]
)
def test_rankings_of_texts_are_positions_in_the_sorted_names_of_all_rows(column):
    names = MultiLabelBinarizer().fit(TAGS).classes_.tolist()
    expected = by_loop_over_names(
        tagger(), TEXTS, TAGS, 4, KFold(3).split(TEXTS), names
    )
    tags = TAGS if column is list else pd.Series(TAGS)
    indices, scores = cross_val_topk(tagger(), column(TEXTS), tags, k=4, cv=3)
    np.testing.assert_array_equal(indices, expected[0])
    np.testing.assert_array_equal(scores, expected[1])
    assert (indices[20:, 3] == -1).all()
    assert (indices[:20] >= 0).all()
    Y = MultiLabelBinarizer(sparse_output=True).fit_transform(TAGS)
    assert precision_at_k(Y, (indices, scores), k=1) > 0.7


def test_splitters_see_the_indicator_of_the_names():
    Y = MultiLabelBinarizer(sparse_output=True).fit_transform(TAGS)
    splitter = IterativeStratifiedKFold(3, random_state=0)
    ours = cross_val_topk(tagger(), TEXTS, TAGS, k=2, cv=splitter)
    splits = [*splitter.split(TEXTS, Y)]
    expected = cross_val_topk(tagger(), TEXTS, TAGS, k=2, cv=splits)
    np.testing.assert_array_equal(ours, expected)


def test_lists_of_numbers_are_names_for_a_model_of_texts():
    texts, tags = ["red wine", "red apple", "wine"] * 6, [[0, 1], [0, 7], [1, 7]] * 6
    indices, _ = cross_val_topk(tagger(), texts, tags, k=2, cv=2)
    np.testing.assert_array_equal(np.sort(indices), [[0, 1], [0, 2], [1, 2]] * 6)


def test_one_name_a_text_is_as_1d_y():
    texts, names = TEXTS[:24], ["wine", "wine", "apple", "apple"] * 6
    vectors = make_pipeline(
        clone(tagger().fit(texts, names).vectorizer_), DECLAREClassifier(random_state=0)
    )
    ours = cross_val_topk(tagger(), texts, names, k=2, cv=3)
    expected = cross_val_topk(vectors, texts, np.array(names), k=2, cv=3)
    np.testing.assert_array_equal(ours, expected)


def test_tags_that_are_too_rare_to_be_labels_keep_their_position():
    tags = [["a rare one"], *TAGS[1:]]
    model = tagger(min_label_count=2)
    indices, _ = cross_val_topk(model, TEXTS, tags, k=5, cv=3)
    assert set(np.unique(indices)) == {-1, 1, 2, 4}
    with pytest.raises(ValueError, match="k=6 is larger than the number of labels 5"):
        cross_val_topk(model, TEXTS, tags, k=6)


def test_models_of_texts_are_found_in_pipelines_and_searches():
    plain = cross_val_topk(tagger(), TEXTS, TAGS, k=2, cv=2)
    search = GridSearchCV(tagger(), {"min_label_count": [1]}, cv=2)
    frozen = FrozenEstimator(tagger().fit(TEXTS, TAGS))
    for model in (make_pipeline(FunctionTransformer(), tagger()), search):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of names that a fold has not seen
            ranking = cross_val_topk(model, TEXTS, TAGS, k=2, cv=2)
        np.testing.assert_array_equal(ranking, plain)
    ranking = cross_val_topk(frozen, TEXTS, TAGS, k=2, cv=2)
    np.testing.assert_array_equal(ranking, frozen.predict_topk(TEXTS, k=2))
    with pytest.raises(ValueError, match="1 classes that y lacks, such as 'plum'"):
        cross_val_topk(frozen, TEXTS[:5], TAGS[:5], k=2, cv=2)


def test_folds_fitted_side_by_side_give_the_same_rankings():
    X, Y = make_xmc_classification(80, n_labels=6, random_state=0)
    model = make_pipeline(FunctionTransformer(), DECLAREClassifier(random_state=0))
    one = cross_val_topk(model, X, Y, k=2, cv=2)
    with joblib.parallel_config(backend="threading"):  # processes take long to start
        two = cross_val_topk(model, X, Y, k=2, cv=2, n_jobs=2)
    np.testing.assert_array_equal(one[0], two[0])
    np.testing.assert_allclose(one[1], two[1], rtol=1e-5)


def test_splits_that_are_no_partition_are_refused():
    X, Y = np.zeros((10, 1)), np.eye(10, 3, dtype=int)
    twice = [([0, 1], [*range(10)]), ([0, 1], [4])]
    with pytest.raises(ValueError, match="tests row 4 2 times, and 1 of 10 rows"):
        cross_val_topk(Popular(), X, Y, k=1, cv=twice)
    with pytest.raises(ValueError, match=r"0 times.*pass a splitter"):
        cross_val_topk(Popular(), X, Y, k=1, cv=ShuffleSplit(1, random_state=0))


def test_wrong_arguments_of_rankings_are_refused():
    X, Y = np.zeros((10, 1)), np.eye(10, 3, dtype=int)
    with pytest.raises(ValueError, match="k=4 is larger than the number of labels 3"):
        cross_val_topk(Popular(), X, Y, k=4)
    with pytest.raises(TypeError, match="GaussianNB has no predict_topk"):
        cross_val_topk(GaussianNB(), X, np.tile([0, 1], 5), k=1)
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        cross_val_topk(Popular(), X[:9], Y, k=1)


def test_groups_stay_together():
    X, Y = np.zeros((12, 1)), np.eye(12, 3, dtype=int)
    ranking = cross_val_topk(
        Popular(), X, Y, k=1, cv=GroupKFold(3), groups=np.repeat(np.arange(3), 4)
    )
    assert ranking[0].shape == (12, 1)


def test_labels_with_one_row_are_trained_on_where_other_rows_are_enough():
    _, Y = make_xmc_classification(
        300, 50, 2000, label_skew=0.6, n_labels_per_sample=3, random_state=0
    )
    single = Y[:, np.flatnonzero(Y.sum(axis=0) == 1)].sum(axis=1) > 0
    assert (~single).sum() > 30
    splitter = IterativeStratifiedShuffleSplit(5, test_size=30, random_state=0)
    for _, test in splitter.split(Y, Y):
        assert not single[test].any()
