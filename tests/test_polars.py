"""Columns and frames of polars give what lists and arrays do."""

import numpy as np
import polars as pl
import pytest
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV

from skxmc import (
    DECLAREClassifier,
    MultiHeadEncodingClassifier,
    UniDECClassifier,
    XMCTextClassifier,
)
from skxmc.calibration import TopKCalibratedClassifier
from skxmc.datasets import make_xmc_classification
from skxmc.display import PrecisionAtKDisplay
from skxmc.metrics import make_topk_scorer
from skxmc.model_selection import IterativeStratifiedKFold, cross_val_topk

TEXTS = ["red wine", "white wine", "red apple", "green apple"] * 6
TAGS = [["drink", "red"], ["drink"], ["fruit", "red"], []] * 6
TABLE = pl.DataFrame({"text": TEXTS, "tags": TAGS})
SMALL = {"hidden_layer_sizes": (8,), "max_epochs": 2, "random_state": 0}
ESTIMATORS = [
    DECLAREClassifier(random_state=0),
    MultiHeadEncodingClassifier(**SMALL),
    UniDECClassifier(**SMALL),
]
estimators = pytest.mark.parametrize(
    "estimator", ESTIMATORS, ids=lambda estimator: type(estimator).__name__
)


def tagger():
    return XMCTextClassifier(DECLAREClassifier(random_state=0))


def problem():
    """Return X and Y as arrays, and as frames."""
    X, Y = make_xmc_classification(60, n_features=30, n_labels=4, random_state=0)
    X, Y = X.toarray(), Y.toarray().astype(int)
    names = [f"word {i}" for i in range(30)]
    return X, Y, pl.DataFrame(X, schema=names), pl.DataFrame(Y, schema=[*"abcd"])


@pytest.mark.parametrize(
    "tags",
    [
        TABLE["tags"],
        TABLE["tags"].cast(pl.List(pl.Categorical)),
        pl.Series([np.array(row, dtype=object) for row in TAGS], dtype=pl.Object),
    ],
    ids=["str", "categorical", "object"],
)
def test_columns_of_texts_and_of_lists_of_tags(tags):
    model = tagger().fit(TABLE["text"], tags)
    plain = tagger().fit(TEXTS, TAGS)
    assert model.classes_.tolist() == ["drink", "fruit", "red"]
    assert model.predict(TABLE["text"]) == plain.predict(TEXTS)
    assert model.score(TABLE["text"], tags) == plain.score(TEXTS, TAGS)
    assert model.suggest(TABLE["text"]).equals(plain.suggest(TEXTS))


def test_lists_of_one_length_are_tags_too():
    tags = pl.Series([["a", "b"], ["a", "c"], ["b", "c"]] * 4)
    fixed = tags.cast(pl.Array(pl.String, 2))
    expected = tagger().fit(TEXTS[:12], tags.to_list()).predict(TEXTS)
    assert tagger().fit(TABLE["text"][:12], tags).predict(TEXTS) == expected
    assert tagger().fit(TABLE["text"][:12], fixed).predict(TEXTS) == expected


@pytest.mark.parametrize("dtype", [pl.String, pl.Categorical])
def test_one_name_a_text(dtype):
    names = ["wine", "wine", "apple", "apple"] * 6
    model = tagger().fit(TABLE["text"], pl.Series(names, dtype=dtype))
    assert model.predict(TABLE["text"]).tolist() == names


def test_what_is_missing_is_named_by_its_row():
    with pytest.raises(TypeError, match=r"texts\[1\] is None"):
        tagger().fit(pl.Series(["red", None]), [["a"], ["b"]])
    with pytest.raises(TypeError, match=r"tags\[1\] is None"):
        tagger().fit(["red", "blue"], pl.Series([["a"], None]))
    with pytest.raises(ValueError, match=r"texts has the shape \(24, 1\)"):
        tagger().fit(TABLE.select("text"), TABLE["tags"])


def test_model_selection_calibration_and_metrics_of_texts():
    texts, tags = TABLE["text"], TABLE["tags"]
    options = {"k": 2, "cv": IterativeStratifiedKFold(2, random_state=0)}
    np.testing.assert_array_equal(
        cross_val_topk(tagger(), texts, tags, **options),
        cross_val_topk(tagger(), TEXTS, TAGS, **options),
    )
    model = TopKCalibratedClassifier(tagger(), **options).fit(texts, tags)
    plain = TopKCalibratedClassifier(tagger(), **options).fit(TEXTS, TAGS)
    assert model.suggest(texts).equals(plain.suggest(TEXTS))
    scorer = make_topk_scorer("precision_at_k", k=1)
    assert scorer(model, texts, tags) == scorer(plain, TEXTS, TAGS) == 0.75
    shown = PrecisionAtKDisplay.from_estimator(model, texts, tags, k=2)
    assert shown.scores[0] == 0.75
    grid = GridSearchCV(tagger(), {"min_label_count": [1, 2]}, scoring=scorer, cv=2)
    assert grid.fit(texts, tags).best_score_ == 0.75


@estimators
def test_frames_of_features_and_of_an_indicator(estimator):
    X, Y, frame, indicator = problem()
    model = clone(estimator).fit(frame, indicator)
    assert model.feature_names_in_.tolist() == frame.columns
    expected = clone(estimator).fit(X, Y)
    for got, wanted in zip(
        model.predict_topk(frame, k=4), expected.predict_topk(X, k=4), strict=True
    ):
        np.testing.assert_array_equal(got, wanted)
    assert model.score(frame, indicator) == expected.score(X, Y)
    with pytest.raises(ValueError, match="feature names should match"):
        model.predict(frame[:, ::-1])


@estimators
def test_a_column_of_classes(estimator):
    X, Y, frame, _ = problem()
    y = np.array([*"abcd"])[Y.argmax(axis=1)]
    model = clone(estimator).fit(frame, pl.Series("class", y))
    expected = clone(estimator).fit(X, y).predict(X)
    np.testing.assert_array_equal(model.predict(frame), expected)


def test_frames_are_split_by_rows():
    X, Y, frame, indicator = problem()
    options = {"k": 2, "cv": IterativeStratifiedKFold(2, random_state=0)}
    np.testing.assert_array_equal(
        cross_val_topk(ESTIMATORS[0], frame, indicator, **options),
        cross_val_topk(ESTIMATORS[0], X, Y, **options),
    )
