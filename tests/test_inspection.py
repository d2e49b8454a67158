"""Explanations: contributions sum to the score, and are what their definition says."""

from itertools import permutations

import matplotlib
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from _estimators import ESTIMATORS, VARIANTS
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from skxmc import (
    DECLAREClassifier,
    MultiHeadEncodingClassifier,
    UniDECClassifier,
    XMCTextClassifier,
)
from skxmc._base import BaseXMCClassifier
from skxmc.datasets import make_xmc_classification
from skxmc.display import ContributionDisplay
from skxmc.inspection import (
    Contributions,
    feature_contributions,
    training_row_contributions,
)
from skxmc.inspection._shapley import shapley_values

matplotlib.use("Agg")
ALL = ESTIMATORS + VARIANTS


def make_data():
    return make_xmc_classification(
        200, 100, 20, n_labels_per_sample=2, noise=0.05, label_skew=0.5, random_state=0
    )


@pytest.fixture(
    scope="module",
    params=ALL,
    ids=[f"{type(e).__name__}{i}" for i, e in enumerate(ALL)],
)
def fitted(request):
    """Each estimator, fitted on rows with several labels, and further rows."""
    X, Y = make_data()
    return clone(request.param).fit(X[:150], Y[:150]), X[150:]


@pytest.fixture(scope="module")
def words():
    """Texts of which single words decide the class."""
    texts = [f"{a} {b}" for a in ("red", "big") for b in ("wine", "apple", "pear")]
    return texts * 8, [text.split()[1] for text in texts] * 8


def score_of(model, X, label):
    """Look the score of a label up in the public ranking of all labels."""
    indices, scores = model.predict_topk(X, k=len(model.classes_))
    return scores[indices == label].astype(float)


def shapley_by_definition(score, x):
    """Average over all orders what each feature adds to those before it."""
    orders = list(permutations(range(x.nnz)))
    total = np.zeros(x.nnz)
    for order in orders:
        rows = np.zeros((x.nnz + 1, x.shape[1]), dtype=np.float32)
        for place, feature in enumerate(order):
            rows[place + 1 :, x.indices[feature]] = x.data[feature]
        total[list(order)] += np.diff(score(rows))
    return total / len(orders)


def three_way(X):
    """Score rows by a function with interactions of three features."""
    A = X.toarray() if sp.issparse(X) else X
    return A.sum(axis=1) + 2 * A[:, 0] * A[:, 1] * A[:, 2] - 3 * A[:, 1] * A[:, 3] + 1


@pytest.mark.parametrize(
    ("n", "n_subsets"), [(0, 1), (1, 1), (2, 1), (3, 1), (4, 14), (5, 30), (5, 64)]
)
def test_shapley_values_of_few_features_are_exact(n, n_subsets):
    x = sp.csr_array(np.append(np.arange(1, n + 1), np.zeros(8 - n))[None])
    values, full, empty = shapley_values(three_way, x, n_subsets, None)
    np.testing.assert_allclose(values, shapley_by_definition(three_way, x), atol=1e-9)
    assert (full, empty) == (three_way(x)[0], 1)


def test_sampled_shapley_values_sum_to_the_difference_and_come_closer():
    x = sp.csr_array(np.linspace(0.5, 1.5, 11)[None])
    rng = np.random.RandomState(0)
    exact, full, empty = shapley_values(three_way, x, 2**11, rng)
    errors = []
    for n_subsets in (1, 60, 1000):
        values = shapley_values(three_way, x, n_subsets, rng)[0]
        assert values.sum() == pytest.approx(full - empty)
        errors.append(np.abs(values - exact).max())
    assert errors[0] > errors[2]
    assert errors[2] < 0.05 * np.abs(exact).max()


def test_shapley_values_of_interactions_in_pairs_do_not_depend_on_the_sample():
    def score(X):
        return (X @ X.T).diagonal() + X.sum(axis=1) ** 2

    x = sp.csr_array(np.arange(1.0, 31)[None])
    values = shapley_values(score, x, 200, np.random.RandomState(0))[0]
    np.testing.assert_allclose(values, x.data**2 + x.data * x.data.sum())


def test_score_of_one_label_is_that_of_the_ranking(fitted):
    model, X = fitted
    for some in (model, model.compress()):
        for label in (0, 7, 19):
            scores = some._score_label(some._check_X(X), label)
            assert scores.shape == (X.shape[0],)
            np.testing.assert_allclose(scores, score_of(some, X, label), atol=1e-6)


@pytest.mark.parametrize("estimator", ALL, ids=lambda e: type(e).__name__)
def test_score_of_one_class_is_that_of_the_ranking(estimator):
    X, Y = make_data()
    y = np.array([f"c{c}" for c in Y.toarray().argmax(axis=1)])
    model = clone(estimator).set_params(max_epochs=1).fit(X[:150], y[:150])
    X = model._check_X(X[150:])
    for label in (0, 7):
        expected = BaseXMCClassifier._score_label(model, X, label)
        np.testing.assert_allclose(model._score_label(X, label), expected, atol=2e-6)


def test_contributions_follow_their_definition(fitted):
    model, X = fitted
    x = sp.csr_array(X[[0]])
    x = sp.csr_array((x.data[:4], x.indices[:4], [0, 4]), shape=x.shape)
    label = int(model.predict_topk(x, k=1)[0][0, 0])
    explained = feature_contributions(model, x)
    assert explained.label == label
    assert explained.score == pytest.approx(score_of(model, x, label)[0], abs=1e-6)
    expected = shapley_by_definition(lambda rows: score_of(model, rows, label), x)
    order = np.argsort(explained.indices)
    np.testing.assert_array_equal(explained.indices[order], x.indices)
    np.testing.assert_array_equal(explained.values[order], x.data)
    np.testing.assert_allclose(explained.contributions[order], expected, atol=1e-5)
    assert np.all(np.diff(explained.contributions) <= 0)


def test_contributions_sum_to_the_score_less_that_of_an_empty_row(fitted):
    model, X = fitted
    reduced = model.compress(n_components=8, X=X)
    for some in (model, model.compress("float16"), reduced):
        explained = feature_contributions(some, X[[1]], 3, random_state=0)
        empty = score_of(some, np.zeros((1, X.shape[1])), 3)[0]
        assert explained.baseline == pytest.approx(empty, abs=1e-6)
        total = explained.baseline + explained.contributions.sum()
        assert total == pytest.approx(score_of(some, X[[1]], 3)[0], abs=1e-6)


def test_naming_the_best_features_beats_chance(fitted):
    model, X = fitted
    drops = {"named": [], "random": []}
    rng = np.random.RandomState(0)
    for i in range(6):
        x = X[[i]]
        explained = feature_contributions(model, x, random_state=0)
        chance = rng.choice(explained.indices, 3, replace=False)
        for kind, gone in ("named", explained.indices[:3]), ("random", chance):
            rest = x.toarray()
            rest[0, gone] = 0
            after = score_of(model, rest, explained.label)[0]
            drops[kind].append(explained.score - after)
    assert np.mean(drops["named"]) > np.mean(drops["random"])


@pytest.mark.parametrize(
    "estimator",
    [
        DECLAREClassifier(random_state=0),
        MultiHeadEncodingClassifier(lr=0.05, random_state=0),
        UniDECClassifier(batch_size=16, random_state=0),
    ],
    ids=lambda e: type(e).__name__,
)
def test_the_word_that_decides_is_named_first(estimator, words):
    texts, y = words
    model = make_pipeline(TfidfVectorizer(), estimator).fit(texts, y)
    for text, word in ("a big pear", "pear"), ("red apple", "apple"):
        for label in (None, word):
            explained = feature_contributions(model, [text], label)
            assert explained.label == word
            assert explained.names[0] == word
            assert explained.contributions[0] > 0.2
    against = feature_contributions(model, ["big pear"], "wine")
    assert against.names[-1] == "pear"
    assert against.contributions[-1] < 0


def test_forms_of_input_agree_and_stay_as_they_were():
    X, Y = make_data()
    model = DECLAREClassifier(random_state=0).fit(X, Y)
    x = sp.csr_array(X[[5]], dtype=np.float64)
    before = x.copy()
    forms = x, sp.csc_matrix(x), x.toarray(), x.toarray().tolist()
    first, *others = (feature_contributions(model, f, random_state=1) for f in forms)
    for other in others:
        np.testing.assert_array_equal(other.indices, first.indices)
        np.testing.assert_array_equal(other.contributions, first.contributions)
    assert (x != before).nnz == 0
    assert first.names[0] == f"x{first.indices[0]}"


def test_names_come_from_the_fit_or_the_caller():
    X, Y = make_data()
    columns = [f"word{j}" for j in range(X.shape[1])]
    frame = pd.DataFrame(X.toarray(), columns=columns)
    model = DECLAREClassifier(random_state=0).fit(frame, Y)
    explained = feature_contributions(model, frame[3:4])
    assert set(explained.names) == {columns[j] for j in X[[3]].indices}
    own = [name.upper() for name in columns]
    explained = feature_contributions(model, frame[3:4], feature_names=own)
    assert explained.names[0] == f"WORD{explained.indices[0]}"
    with pytest.raises(ValueError, match="has 2 names, but the model has 100"):
        feature_contributions(model, frame[3:4], feature_names=["a", "b"])


def test_a_row_without_features_has_no_contributions():
    X, Y = make_data()
    model = DECLAREClassifier(random_state=0).fit(X, Y)
    explained = feature_contributions(model, np.zeros((1, X.shape[1])))
    assert len(explained) == 0
    assert explained.score == explained.baseline


def test_errors_say_what_to_do(words):
    X, Y = make_data()
    model = DECLAREClassifier(random_state=0)
    with pytest.raises(NotFittedError):
        feature_contributions(model, X[[0]])
    model.fit(X, Y)
    with pytest.raises(ValueError, match="X has 2 rows"):
        feature_contributions(model, X[:2])
    for label in (20, -1, "open", [1]):
        with pytest.raises(ValueError, match="none of the 20 labels"):
            feature_contributions(model, X[[0]], label)
    for wrong in (0, 1.5):
        with pytest.raises(ValueError, match="n_subsets="):
            feature_contributions(model, X[[0]], n_subsets=wrong)
    other = make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(*words)
    with pytest.raises(TypeError, match="LogisticRegression"):
        feature_contributions(other, ["red wine"])
    model.set_params(decoder="linear")
    with pytest.raises(ValueError, match='decoder="linear"'):
        training_row_contributions(model, X[[0]])
    heads = MultiHeadEncodingClassifier(max_epochs=1, random_state=0).fit(X, Y)
    with pytest.raises(TypeError, match="MultiHeadEncodingClassifier does not"):
        training_row_contributions(heads, X[[0]])


@pytest.mark.parametrize("keys", ["predicted", "exact"])
@pytest.mark.parametrize("input_weight", [0, 0.3])
def test_votes_of_the_rows_named_are_the_scores_of_all_labels(keys, input_weight):
    X, Y = make_data()
    Y = sp.vstack([Y[:80], Y[:80], Y[160:]], format="csr")  # equal label sets
    X = sp.csr_array(X[:200])
    model = DECLAREClassifier(
        decoder="neighbors", keys=keys, input_weight=input_weight, random_state=0
    ).fit(X, Y)
    explained = training_row_contributions(model, X[[0]])
    assert explained.values.sum() == pytest.approx(1)
    # Y and the row numbers alone give every label's score.
    votes = Y[explained.indices].T @ explained.values
    everything = [score_of(model, X[[0]], label)[0] for label in range(20)]
    np.testing.assert_allclose(votes, everything, atol=1e-6)
    assert explained.baseline == pytest.approx(0, abs=1e-6)
    carries = Y[explained.indices][:, [explained.label]].toarray()[:, 0] > 0
    np.testing.assert_array_equal(explained.contributions > 0, carries)


def test_rows_that_one_key_stands_for_share_its_weight():
    X, Y = make_data()
    Y = sp.vstack([Y[:100], Y[:100]], format="csr")
    model = DECLAREClassifier(
        decoder="neighbors", keys="exact", input_weight=0, random_state=0
    ).fit(X, Y)
    explained = training_row_contributions(model, X[[0]])
    weights = dict(zip(explained.indices, explained.values, strict=True))
    assert all(weights[row] == weights[(row + 100) % 200] for row in weights)


@pytest.mark.parametrize("is_single_label", [False, True])
def test_votes_and_the_linear_part_sum_to_the_score(is_single_label):
    X, Y = make_data()
    y = Y.toarray().argmax(axis=1) if is_single_label else Y
    model = DECLAREClassifier(random_state=0).fit(X[:150], y[:150])
    for some in (model, model.compress()):
        explained = training_row_contributions(some, X[[170]])
        label = np.flatnonzero(some.classes_ == explained.label)[0]
        score = score_of(some, X[[170]], label)[0]
        total = explained.baseline + explained.contributions.sum()
        assert explained.score == pytest.approx(score)
        assert total == pytest.approx(score, abs=1e-6)
        assert 0 < explained.baseline < score
    linear = clone(model).set_params(linear_weight=0).fit(X[:150], y[:150])
    assert training_row_contributions(linear, X[[170]]).baseline < 1e-6


@pytest.fixture
def table():
    return Contributions(
        label="pear",
        score=0.9,
        baseline=0.3,
        indices=np.array([4, 8, 1, 0]),
        names=np.array(["sweet", "a", "b", "sour"], dtype=object),
        values=np.array([1.0, 2.0, 3.0, 4.0]),
        contributions=np.array([0.8, 0.1, -0.05, -0.25]),
    )


def test_tables_are_read_as_text_and_as_frames(table):
    assert len(table) == 4
    np.testing.assert_array_equal(table.largest(2), [0, 3])
    assert "label 'pear': score 0.900, baseline 0.300" in repr(table)
    assert "      +0.800     1.000  sweet" in repr(table)
    frame = table.to_frame()
    assert frame.index.tolist() == [4, 8, 1, 0]
    assert frame.loc[0].tolist() == ["sour", 4.0, -0.25]


def test_display_draws_the_largest_and_the_sum_of_the_rest(table):
    display = ContributionDisplay(table)
    assert display.plot(k=2, name="Pear") is display
    widths = [bar.get_width() for bar in display.bars_]
    np.testing.assert_allclose(widths, [0.8, -0.25, 0.05])
    texts = [text.get_text() for text in display.ax_.get_yticklabels()]
    assert texts == ["sweet", "sour", "2 others"]
    assert display.ax_.get_title() == "Pear: score 0.900, baseline 0.300"
    assert display.ax_.yaxis_inverted()
    assert len(display.plot(k=3).bars_) == 4  # a single other one has its name
    X, Y = make_data()
    model = DECLAREClassifier(random_state=0).fit(X, Y)
    ax = display.ax_
    ax.clear()
    other = ContributionDisplay.from_estimator(
        model, X[[0]], random_state=0, ax=ax, k=100, color="k"
    )
    assert (other.ax_, other.figure_) == (ax, ax.figure)
    assert len(other.bars_) == X[[0]].nnz
    rows = ContributionDisplay(training_row_contributions(model, X[[0]])).plot(k=3)
    assert len(rows.bars_) == 4
    matplotlib.pyplot.close("all")


def test_a_text_classifier_is_explained_as_its_parts_are_with_names_of_labels(words):
    texts, classes = words
    model = XMCTextClassifier(DECLAREClassifier(random_state=0))
    model.fit(texts, [[name] for name in classes])
    explained = feature_contributions(model, ["big red wine"], "pear", random_state=0)
    parts = make_pipeline(model.vectorizer_, model.classifier_)
    column = model.classes_.tolist().index("pear")
    expected = feature_contributions(parts, ["big red wine"], column, random_state=0)
    assert explained.label == "pear"
    assert explained.names.tolist() == expected.names.tolist()
    np.testing.assert_array_equal(explained.contributions, expected.contributions)
    assert feature_contributions(model, ["big red wine"]).label == "wine"
    rows = training_row_contributions(model, ["big red wine"])
    assert {texts[row].split()[1] for row in rows.indices[:3]} == {"wine"}
    with pytest.raises(ValueError, match="'plum' is none of the 3 labels"):
        feature_contributions(model, ["big red wine"], "plum")
