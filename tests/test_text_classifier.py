"""Texts in, names out."""

import pickle
import sys

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.preprocessing import MultiLabelBinarizer

from skxmc import (
    DECLAREClassifier,
    MultiHeadEncodingClassifier,
    UniDECClassifier,
    XMCTextClassifier,
)
from skxmc.metrics import make_topk_scorer, make_xmc_scorers, precision_at_k

TEXTS = ["red wine", "white wine", "red apple", "green apple"] * 10
TAGS = [["drink", "red"], ["drink"], ["fruit", "red"], ["fruit"]] * 10
SMALL = {"hidden_layer_sizes": (8,), "max_epochs": 8, "batch_size": 8, "lr": 0.02}


def make_model(**params):
    return XMCTextClassifier(DECLAREClassifier(random_state=0), **params)


@pytest.fixture(scope="module")
def model():
    return make_model().fit(TEXTS, TAGS)


def test_is_vectorizer_binarizer_and_classifier_in_one(model):
    binarizer = MultiLabelBinarizer(sparse_output=True)
    Y = binarizer.fit_transform(TAGS)
    vectorizer = clone(model.vectorizer_)
    classifier = DECLAREClassifier(random_state=0).fit(
        vectorizer.fit_transform(TEXTS), Y
    )
    new = ["old red wine", "apple pie", ""]
    X = vectorizer.transform(new)
    assert model.classes_.tolist() == binarizer.classes_.tolist()
    assert model.predict(new) == binarizer.inverse_transform(classifier.predict(X))
    for got, expected in zip(
        model.predict_topk(new, k=3), classifier.predict_topk(X, k=3), strict=True
    ):
        np.testing.assert_array_equal(got, expected)
    P = classifier.predict_proba(X).toarray()
    np.testing.assert_array_equal(model.predict_proba(new).toarray(), P)
    names = binarizer.inverse_transform(classifier.predict(X, k=1))
    assert model.predict(new, k=1) == names


@pytest.mark.parametrize(
    "column", [pd.Series, lambda values: pd.Series(values, range(100, 140)), tuple]
)
def test_columns_and_sets_give_the_same_model(model, column):
    other = make_model().fit(column(TEXTS), column([set(row) for row in TAGS]))
    assert other.predict(column(TEXTS)) == model.predict(TEXTS)


def test_words_of_one_character_count():
    texts, tags = ["about C", "about R"] * 10, [["c"], ["r"]] * 10
    assert make_model().fit(texts, tags).predict(["R", "C"]) == [("r",), ("c",)]


def test_one_name_a_text_is_single_label():
    tags = [row[0] for row in TAGS]
    model = make_model().fit(TEXTS, tags)
    assert model.predict(["red wine", "apple"]).tolist() == ["drink", "fruit"]
    assert model.score(TEXTS, tags) == np.mean(model.predict(TEXTS) == np.array(tags))
    np.testing.assert_allclose(model.predict_proba(TEXTS).sum(axis=1), 1, rtol=1e-6)


def test_rare_tags_are_no_labels():
    tags = [["rare"], *TAGS[1:]]
    assert "rare" not in make_model(min_label_count=2).fit(TEXTS, tags).classes_
    single = ["rare", *(row[0] for row in TAGS[1:])]
    fitted = make_model(min_label_count=2).fit([*TEXTS[1:], "gone"], [*single[1:], "x"])
    assert fitted.classes_.tolist() == ["drink", "fruit"]
    assert "gone" not in fitted.vectorizer_.vocabulary_


def test_suggestions_are_a_table_of_the_ranking(model):
    table = model.suggest(["red wine", "green apple"], k=2)
    assert table.columns.tolist() == ["row", "rank", "label", "score"]
    indices, scores = model.predict_topk(["red wine", "green apple"], k=2)
    assert table["row"].tolist() == [0, 0, 1, 1]
    assert table["rank"].tolist() == [1, 2, 1, 2]
    assert table["label"].tolist() == model.classes_[indices].ravel().tolist()
    np.testing.assert_array_equal(table["score"], scores.ravel().astype(float))


def test_suggest_takes_one_text_and_any_k(model):
    table = model.suggest("red wine", k=99)
    assert set(table["row"]) == {0}
    assert 2 <= len(table) <= 3
    assert (table["score"] > 0).all()
    with pytest.raises(ValueError, match="k=0"):
        model.suggest("red wine", k=0)
    with pytest.raises(TypeError, match="single text"):
        model.predict("red wine")


def test_suggestions_are_named_tuples_without_pandas(model, monkeypatch):
    table = model.suggest(TEXTS[:2])
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "pandas", None)
        plain = model.suggest(TEXTS[:2])
    assert pd.DataFrame(plain).equals(table)
    assert plain[0].rank == 1


def test_score_is_precision_at_1_and_unknown_tags_are_misses(model):
    best = model.classes_[model.predict_topk(TEXTS[:4], k=1)[0][:, 0]]
    assert model.score(TEXTS[:4], [[name] for name in best]) == 1
    with pytest.warns(UserWarning, match="2, such as 'new'.* 1 of 4 rows") as record:
        score = model.score(TEXTS[:4], [["new"], ["newer", best[1]], [], [best[3]]])
    assert score == 0.5
    assert len(record) == 1


def test_grid_search_reaches_parameters_of_parts_that_are_none():
    grid = {"classifier__n_components": [1, 3], "vectorizer__ngram_range": [(1, 2)]}
    base = XMCTextClassifier().set_params(classifier__random_state=0)
    search = GridSearchCV(base, grid, cv=2, error_score="raise").fit(TEXTS, TAGS)
    best = search.best_estimator_
    assert (
        best.classifier_.n_components == search.best_params_["classifier__n_components"]
    )
    assert "red wine" in best.vectorizer_.vocabulary_
    assert best.vectorizer_.sublinear_tf
    assert XMCTextClassifier().set_params(min_label_count=2).classifier is None


def test_scorers_of_the_field_take_texts_and_names():
    scoring = make_xmc_scorers(ks=(1, 2))
    search = GridSearchCV(
        make_model(),
        {"classifier__n_components": [1, 3]},
        scoring=scoring,
        refit="precision_at_1",
        cv=2,
        error_score="raise",
    ).fit(pd.Series(TEXTS), pd.Series(TAGS))
    model = search.best_estimator_
    assert search.best_score_ > 0.9
    X, Y = model.to_matrices(TEXTS, TAGS)
    expected = precision_at_k(Y, model.classifier_.predict_topk(X, k=2), k=2)
    assert scoring["precision_at_2"](model, TEXTS, TAGS) == pytest.approx(expected)
    recall = make_topk_scorer("recall_at_k", k=3)
    assert recall(model, TEXTS[:2], [["new"], ["drink"]]) == 0.5


def test_scorers_predict_once_for_all(monkeypatch):
    calls = []
    predict_proba = DECLAREClassifier.predict_proba

    def counted(self, X):
        calls.append(X.shape)
        return predict_proba(self, X)

    monkeypatch.setattr(DECLAREClassifier, "predict_proba", counted)
    scoring = make_xmc_scorers(ks=(1, 2))
    GridSearchCV(make_model(), {}, scoring=scoring, refit=False, cv=2).fit(TEXTS, TAGS)
    assert len(calls) == 2


def test_cross_validation_takes_lists_of_lists():
    assert cross_val_score(make_model(), TEXTS, TAGS, cv=2).mean() > 0.9


@pytest.mark.parametrize("label_texts", ["names", {"drink": "wine", "fruit": "apple"}])
def test_labels_are_described_through_the_vectorizer(label_texts):
    classifier = UniDECClassifier(random_state=0, **SMALL)
    model = XMCTextClassifier(classifier, label_texts=label_texts).fit(TEXTS, TAGS)
    words = ["drink", "fruit", "red"]
    if label_texts != "names":
        words = ["wine", "apple", "red"]
    features = model.classifier_.label_features
    expected = model.vectorizer_.transform(words)
    assert abs(features - expected).max() == 0
    assert classifier.label_features is None


def test_label_texts_need_a_classifier_that_takes_them():
    with pytest.raises(ValueError, match="DECLAREClassifier does not look at"):
        make_model(label_texts="names").fit(TEXTS, TAGS)
    both = UniDECClassifier(np.eye(3), **SMALL)
    with pytest.raises(ValueError, match="leave one out"):
        XMCTextClassifier(both, label_texts="names").fit(TEXTS, TAGS)


class TextReader(DECLAREClassifier):
    """A classifier that reads texts itself."""

    def _read(self, X, *, fitting=False):
        return np.array([[len(text), text.count("wine")] for text in X], np.float32)


def test_passthrough_hands_texts_to_the_classifier():
    reader = TextReader(n_components=2, random_state=0)
    model = XMCTextClassifier(reader, vectorizer="passthrough").fit(TEXTS, TAGS)
    direct = reader.fit(
        TEXTS, MultiLabelBinarizer(sparse_output=True).fit_transform(TAGS)
    )
    np.testing.assert_array_equal(
        model.predict_topk(TEXTS, k=3), direct.predict_topk(TEXTS, k=3)
    )


@pytest.mark.parametrize(
    "classifier",
    [
        MultiHeadEncodingClassifier("cascade", random_state=0, **SMALL),
        UniDECClassifier(random_state=0, **SMALL),
    ],
)
def test_every_estimator_learns_texts(classifier):
    model = XMCTextClassifier(classifier).fit(TEXTS, TAGS)
    assert model.score(TEXTS, TAGS) > 0.9
    copy = pickle.loads(pickle.dumps(model))
    assert copy.predict(TEXTS) == model.predict(TEXTS)


def test_text_and_tags_must_be_as_many():
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        make_model().fit(TEXTS, TAGS[:3])


def test_failed_fit_leaves_the_model_as_it_was():
    model = make_model().fit(TEXTS, TAGS)
    before = dict(vars(model))
    with pytest.raises(ValueError, match="empty vocabulary"):
        model.fit(["", ""], [["a"], ["b"]])
    assert vars(model) == before


def test_parameters_and_state_are_checked():
    with pytest.raises(NotFittedError):
        make_model().predict(TEXTS)
    with pytest.raises(ValueError, match="'min_label_count' parameter"):
        make_model(min_label_count=0).fit(TEXTS, TAGS)
    with pytest.raises(ValueError, match="'classifier' parameter"):
        XMCTextClassifier(TfidfVectorizer()).fit(TEXTS, TAGS)
    params = set(XMCTextClassifier._parameter_constraints)
    assert params == set(XMCTextClassifier().get_params())


def test_texts_of_labels_are_texts():
    model = XMCTextClassifier(UniDECClassifier(), label_texts={"red": 3})
    with pytest.raises(ValueError, match="'red': 3} holds a int"):
        model.fit(TEXTS, TAGS)
