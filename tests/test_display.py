"""What the displays draw, against the metrics and counts computed apart."""

import pickle
import sys
from functools import partial

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import RandomForestClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import RidgeClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.multiclass import OneVsRestClassifier
from sklearn.naive_bayes import BernoulliNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler

from skxmc import (
    DECLAREClassifier,
    MultiHeadEncodingClassifier,
    XMCTextClassifier,
)
from skxmc.calibration import TopKCalibratedClassifier
from skxmc.datasets import make_xmc_classification
from skxmc.display import (
    ComparisonDisplay,
    CompressionDisplay,
    LabelFrequencyDisplay,
    PrecisionAtKDisplay,
    ReliabilityDisplay,
    TrainingCurveDisplay,
)
from skxmc.metrics import (
    expected_calibration_error,
    label_propensities,
    make_topk_scorer,
    ndcg_at_k,
    precision_at_k,
    propensity_scored_precision_at_k,
)

X, Y = make_xmc_classification(
    n_samples=300, n_features=60, n_labels=12, random_state=0
)
CLASSES = np.array([f"label {j:02}" for j in range(12)])
Y_ONE = Y.toarray().argmax(axis=1)
FORMS = {
    "sparse array": sp.csr_array(Y),
    "sparse matrix": sp.csc_matrix(Y),
    "dense": Y.toarray(),
    "frame": pd.DataFrame(Y.toarray(), columns=CLASSES),
    "classes": CLASSES[Y_ONE],
    "series": pd.Series(CLASSES[Y_ONE]),
}
TRAIN, TEST = slice(0, 200), slice(200, None)


@pytest.fixture(autouse=True)
def closed_figures():
    before = dict(mpl.rcParams)
    yield
    plt.close("all")
    assert dict(mpl.rcParams) == before


@pytest.fixture(scope="module", params=FORMS)
def fitted(request):
    """Return a model, test rows, training and test y, and both as dense indicators."""
    y = FORMS[request.param]
    y = y.tocsr() if sp.issparse(y) else y
    train, test = (y.iloc[p] if hasattr(y, "iloc") else y[p] for p in (TRAIN, TEST))
    model = DECLAREClassifier(n_components=8, random_state=0).fit(X[TRAIN], train)
    dense = Y.toarray()
    if np.ndim(y) == 1 and not sp.issparse(y):
        dense = np.equal.outer(np.asarray(y), model.classes_)
    return model, X[TEST], train, test, dense[TRAIN], dense[TEST]


def test_precision_at_k_draws_the_metric_of_one_ranking(fitted):
    model, X, _, y, _, truth = fitted
    ranking = model.predict_topk(X, k=4)
    display = PrecisionAtKDisplay.from_estimator(model, X, y, k=4)
    expected = [precision_at_k(truth, ranking, k=k) for k in (1, 2, 3, 4)]
    assert display.line_.get_xdata().tolist() == [1, 2, 3, 4]
    np.testing.assert_allclose(display.line_.get_ydata(), expected)
    assert display.ax_.get_legend().get_texts()[0].get_text() == "DECLAREClassifier"
    assert display.ax_.get_ylabel() == "Precision@k"
    assert display.figure_ is display.ax_.figure


def test_propensities_come_from_the_training_labels(fitted):
    model, X, y_train, y, train_truth, truth = fitted
    display = PrecisionAtKDisplay.from_estimator(
        model, X, y, k=2, metric="propensity_scored_precision_at_k", y_train=y_train
    )
    metric = partial(
        propensity_scored_precision_at_k,
        propensities=label_propensities(train_truth),
    )
    ranking = model.predict_topk(X, k=2)
    expected = [metric(truth, ranking, k=k) for k in (1, 2)]
    np.testing.assert_allclose(display.line_.get_ydata(), expected)
    assert display.ax_.get_ylabel() == "Propensity-scored precision@k"
    bound = PrecisionAtKDisplay.from_estimator(model, X, y, k=2, metric=metric)
    np.testing.assert_allclose(bound.scores, expected)


def test_label_frequency_draws_counts_by_bin(fitted):
    model, X, y_train, y, train_truth, truth = fitted
    display = LabelFrequencyDisplay.from_estimator(
        model, X, y, y_train=y_train, k=3, base=2
    )
    indices = model.predict_topk(X, k=3)[0]
    counts = train_truth.sum(axis=0)
    predicted = np.zeros(truth.shape, dtype=bool)
    np.put_along_axis(predicted, indices, True, axis=1)
    bins = np.where(counts > 0, np.floor(np.log2(np.maximum(counts, 1))), -1)
    ticks = [text.get_text() for text in display.ax_.get_xticklabels()]
    assert len(ticks) == len(np.unique(bins))
    for place, value in enumerate(np.unique(bins)):
        own = bins == value
        n_hits = (predicted & (truth == 1))[:, own].sum()
        for score, whole in (("precision", predicted), ("recall", truth)):
            drawn = display.lines_[score].get_ydata()[place]
            n = whole[:, own].sum()
            np.testing.assert_allclose(drawn, n_hits / n if n else np.nan)
        assert f"({own.sum()})" in ticks[place]
    by_counts = LabelFrequencyDisplay.from_estimator(
        model, X, y, label_counts=counts, k=3, base=2
    )
    np.testing.assert_array_equal(by_counts.table["recall"], display.table["recall"])


def test_reliability_draws_the_shares_of_true_labels(fitted):
    model, X, _, y, _, truth = fitted
    display = ReliabilityDisplay.from_estimator(model, X, y, k=3, n_bins=1)
    indices, scores = model.predict_topk(X, k=3)
    share = np.take_along_axis(truth, indices, axis=1).mean()
    np.testing.assert_allclose(display.line_.get_ydata(), [share])
    np.testing.assert_allclose(display.line_.get_xdata(), [scores.mean()], rtol=1e-5)
    finer = ReliabilityDisplay.from_estimator(model, X, y, k=3, ax=display.ax_)
    error = expected_calibration_error(truth, (indices, scores), k=3)
    assert finer.expected_calibration_error == pytest.approx(error)
    labels = display.ax_.get_legend_handles_labels()[1]
    assert labels.count("Perfectly calibrated") == 1
    assert labels[-1] == f"DECLAREClassifier (ECE = {error:.3f})"


def test_comparison_draws_a_bar_for_each_model_and_score(fitted):
    model, X, y_train, y, train_truth, truth = fitted
    models = {"plain": model, "small": model.compress()}
    display = ComparisonDisplay.from_estimators(
        models, X, y, ks=(1, 3), y_train=y_train
    )
    propensities = label_propensities(train_truth)
    for name, estimator in models.items():
        ranking = estimator.predict_topk(X, k=3)
        expected = [precision_at_k(truth, ranking, k=k) for k in (1, 3)] + [
            propensity_scored_precision_at_k(
                truth, ranking, k=k, propensities=propensities
            )
            for k in (1, 3)
        ]
        heights = [bar.get_height() for bar in display.bars_[name]]
        np.testing.assert_allclose(heights, expected)
    ticks = [text.get_text() for text in display.ax_.get_xticklabels()]
    assert ticks == ["P@1", "P@3", "PSP@1", "PSP@3"]
    again = ComparisonDisplay.from_predictions(
        y,
        {name: m.predict_topk(X, k=3) for name, m in models.items()},
        ks=(1, 3),
        classes=model.classes_,
    )
    for name in models:
        np.testing.assert_allclose(again.scores[name], display.scores[name][:2])


def test_bars_of_a_group_stand_beside_each_other():
    display = ComparisonDisplay({"a": [1, 2], "b": [3, 4], "c": [5, 6]}, ["P@1", "P@3"])
    display.plot()
    for place in (0, 1):
        bars = [display.bars_[name][place] for name in "abc"]
        edges = [(bar.get_x(), bar.get_x() + bar.get_width()) for bar in bars]
        np.testing.assert_allclose([e[0] for e in edges[1:]], [e[1] for e in edges[:2]])
        assert (edges[0][0] + edges[-1][1]) / 2 == pytest.approx(place)
    assert len({bar[0].get_hatch() for bar in display.bars_.values()}) == 3


def test_compression_draws_sizes_of_pickles(fitted):
    model, X, _, y, _, truth = fitted
    display = CompressionDisplay.from_estimator(model, X, y, k=2)
    models = [model, model.compress("float16"), model.compress("int8")]
    sizes = [len(pickle.dumps(m, pickle.HIGHEST_PROTOCOL)) / 2**20 for m in models]
    # A stream is framed a little differently from bytes.
    np.testing.assert_allclose(display.line_.get_xdata(), sizes, rtol=0.01)
    scores = [precision_at_k(truth, m.predict_topk(X, k=2), k=2) for m in models]
    np.testing.assert_allclose(display.line_.get_ydata(), scores)
    names = [text.get_text() for text in display.texts_]
    assert names == ["float32", "float16", "int8"]
    assert np.ptp(display.ax_.get_ylim()) >= 0.1 - 1e-9


def test_compression_takes_codes_of_different_lengths():
    models = {
        f"{c} components": DECLAREClassifier(n_components=c).fit(X[TRAIN], Y[TRAIN])
        for c in (2, 8)
    }
    display = CompressionDisplay.from_estimators(models, X[TEST], Y[TEST], name="codes")
    assert display.points[0][1] < display.points[1][1]
    assert [point[0] for point in display.points] == [*models]
    assert display.ax_.get_legend().get_texts()[0].get_text() == "codes"


@pytest.mark.parametrize("early_stopping", [False, True])
def test_training_curve_draws_the_history(early_stopping):
    model = MultiHeadEncodingClassifier(
        max_epochs=3, early_stopping=early_stopping, random_state=0
    ).fit(X, Y)
    display = TrainingCurveDisplay.from_estimator(model)
    wanted = {"train_loss"}
    if early_stopping:
        wanted |= {"valid_loss", "valid_precision_at_1"}
    assert display.lines_.keys() == wanted
    for key, line in display.lines_.items():
        assert line.get_xdata().tolist() == [1, 2, 3]
        assert line.get_ydata().tolist() == model.history_[:, key]
    assert (display.ax_precision_ is not None) == early_stopping
    n_labels = len(wanted)
    legends = [a.get_legend() for a in display.figure_.axes if a.get_legend()]
    assert [len(legend.get_texts()) for legend in legends] == [n_labels]


def test_training_curves_share_axes():
    first = TrainingCurveDisplay([3.0, 2.0], name="first").plot()
    curves = {"valid_precision_at_1": [0.2, 0.4]}
    second = TrainingCurveDisplay([4.0, 1.0], **curves, name="second").plot(first.ax_)
    third = TrainingCurveDisplay([4.0, 1.0], **curves, name="third").plot(first.ax_)
    assert third.ax_precision_ is second.ax_precision_
    legends = [a.get_legend() for a in first.figure_.axes if a.get_legend()]
    assert [len(legend.get_texts()) for legend in legends] == [5]
    lines = [*first.lines_.values(), *second.lines_.values(), *third.lines_.values()]
    assert len({line.get_marker() for line in lines}) == 5
    assert len({line.get_color() for line in lines}) == 5


def test_training_curve_without_epochs_says_why():
    model = DECLAREClassifier(n_components=4).fit(X, Y)
    with pytest.raises(
        ValueError, match=r"DECLAREClassifier was solved in closed form"
    ):
        TrainingCurveDisplay.from_estimator(model)
    with pytest.raises(TypeError, match="DummyClassifier keeps no history_"):
        TrainingCurveDisplay.from_estimator(DummyClassifier().fit(X, Y_ONE))


def test_pipelines_and_searches_are_looked_into():
    model = DECLAREClassifier(n_components=4, random_state=0)
    pipeline = make_pipeline(MaxAbsScaler(), model).fit(X[TRAIN], Y[TRAIN])
    grid = {"n_components": [4]}
    search = GridSearchCV(model, grid, cv=2).fit(X[TRAIN], Y[TRAIN])
    scaled = pipeline[0].transform(X[TEST])
    for estimator, inner, rows in (
        (pipeline, pipeline[-1], scaled),
        (search, search.best_estimator_, X[TEST]),
        (FrozenEstimator(pipeline), pipeline[-1], scaled),
    ):
        display = PrecisionAtKDisplay.from_estimator(estimator, X[TEST], Y[TEST], k=2)
        ranking = inner.predict_topk(rows, k=2)
        assert display.scores[1] == precision_at_k(Y[TEST], ranking, k=2)
        assert display.name == type(estimator).__name__
        small = CompressionDisplay.from_estimator(estimator, X[TEST], Y[TEST])
        assert small.points[0][2] == precision_at_k(Y[TEST], ranking, k=1)


def test_estimators_of_scikit_learn_are_ranked_by_probability():
    many = OneVsRestClassifier(BernoulliNB()).fit(X[TRAIN], Y[TRAIN])
    display = PrecisionAtKDisplay.from_estimator(
        many, X[TEST], Y[TEST], k=3, metric="ndcg_at_k"
    )
    assert display.scores[2] == ndcg_at_k(Y[TEST], many.predict_proba(X[TEST]), k=3)
    assert display.ax_.get_ylabel() == "nDCG@k"
    one = BernoulliNB().fit(X[TRAIN], CLASSES[Y_ONE[TRAIN]])
    display = PrecisionAtKDisplay.from_estimator(one, X[TEST], CLASSES[Y_ONE[TEST]])
    assert display.scores[0] == one.score(X[TEST], CLASSES[Y_ONE[TEST]])
    for estimator, message in (
        (RidgeClassifier(), "neither predict_topk nor predict_proba"),
        (RandomForestClassifier(2), "a list of 12 arrays"),
    ):
        estimator.fit(X[TRAIN], Y[TRAIN].toarray())
        with pytest.raises(TypeError, match=message):
            PrecisionAtKDisplay.from_estimator(estimator, X[TEST], Y[TEST])


def test_predictions_may_be_sparse_dense_or_rankings():
    rng = np.random.default_rng(0)
    scores = rng.random(Y.shape)
    indices = np.argsort(-scores, axis=1)[:, :4]
    ranking = indices, np.take_along_axis(scores, indices, axis=1)
    for make in (PrecisionAtKDisplay, ReliabilityDisplay):
        drawn = [
            make.from_predictions(Y, y_score, k=4).line_.get_xydata()
            for y_score in (scores, sp.csr_matrix(scores), ranking)
        ]
        np.testing.assert_array_equal(drawn[0], drawn[1])
        np.testing.assert_array_equal(drawn[0], drawn[2])


def test_millions_of_labels_are_never_made_dense():
    shape = (500, 3_000_000)
    rows = np.arange(500)
    y = sp.csr_array((np.ones(500), (rows, rows * 5000)), shape=shape)
    P = y * 0.5
    assert PrecisionAtKDisplay.from_predictions(y, P, k=2).scores.tolist() == [1, 0.5]
    frequency = LabelFrequencyDisplay.from_predictions(y, P, y_train=y, k=1)
    assert frequency.table["n_labels"].tolist() == [shape[1] - 500, 500]
    reliability = ReliabilityDisplay.from_predictions(y, P, k=1)
    assert reliability.expected_calibration_error == 0.5


def test_lines_in_one_figure_differ_without_colour():
    ax = plt.figure().subplots()
    lines = [PrecisionAtKDisplay([0.5, 0.4]).plot(ax).line_ for _ in range(7)]
    assert len({line.get_marker() for line in lines}) == 7
    assert len({line.get_color() for line in lines}) == 7
    assert ax.get_legend() is None
    frequency = {"low": [1], "high": [3], "n_labels": [1]}
    frequency |= {"precision": [0.5], "recall": [0.2]}
    display = LabelFrequencyDisplay(frequency).plot()
    styles = {
        (line.get_linestyle(), line.get_mfc()) for line in display.lines_.values()
    }
    assert len(styles) == 2
    assert display.ax_.get_xticklabels()[0].get_text() == "1–3\n(1)"


def test_what_the_user_wants_of_a_line_goes_first():
    display = PrecisionAtKDisplay([0.5, 0.4], name="own")
    display.plot(name="other", c="red", ls=":", marker=None)
    assert display.line_.get_color() == "red"
    assert display.line_.get_linestyle() == ":"
    assert display.line_.get_label() == "other"
    bars = ComparisonDisplay({"a": [1]}, ["P@1"]).plot(alpha=0.5).bars_["a"]
    assert bars[0].get_alpha() == 0.5


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"metric": "precision"}, "metric='precision' is unknown"),
        (
            {"metric": "propensity_scored_ndcg_at_k"},
            "metric='propensity_scored_ndcg_at_k' weights labels .* pass y_train",
        ),
        ({"k": 13}, "k=13 is larger than the number of labels 12"),
    ],
)
def test_wrong_arguments_of_precision_at_k_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        PrecisionAtKDisplay.from_predictions(Y, Y, **arguments)


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match="y_train and label_counts, neither is given"):
        LabelFrequencyDisplay.from_predictions(Y, Y)
    with pytest.raises(ValueError, match="label_counts, both is given"):
        LabelFrequencyDisplay.from_predictions(Y, Y, y_train=Y, label_counts=[1])
    with pytest.raises(ValueError, match=r"y_true is 1-D.* pass classes=estimator"):
        ReliabilityDisplay.from_predictions(Y_ONE, Y)
    with pytest.raises(ValueError, match="There are 0 models"):
        ComparisonDisplay.from_estimators({}, X, Y)
    with pytest.raises(ValueError, match="There are 0 models"):
        CompressionDisplay.from_estimators({}, X, Y)
    for scores in (Y, Y.toarray().astype(float)):
        with pytest.raises(
            ValueError, match="k=13 is larger than the number of labels"
        ):
            ComparisonDisplay.from_predictions(Y, {"a": scores}, ks=(1, 13))


def test_without_matplotlib_only_drawing_fails(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    display = PrecisionAtKDisplay([0.5])
    message = r'^PrecisionAtKDisplay needs matplotlib.* pip install "skxmc\[plot\]"'
    for draw in (
        display.plot,
        partial(PrecisionAtKDisplay.from_predictions, Y, Y),
        partial(PrecisionAtKDisplay.from_estimator, None, X, Y),
    ):
        with pytest.raises(ImportError, match=message):
            draw()


@pytest.mark.parametrize("form", [list, pd.Series, "same length"])
def test_texts_and_names_draw_as_their_matrices_do(form):
    texts = ["red wine", "white wine", "red apple", "green apple"] * 10
    tags = [["drink", "red"], ["drink"], ["fruit", "red"], ["fruit", "unknown"]] * 10
    if form == "same length":  # scikit-learn would make a 2-D array of these
        tags, form = [[row[0]] for row in tags], list
    model = XMCTextClassifier(DECLAREClassifier(random_state=0), min_label_count=11)
    model.fit([*texts, "wine"], [*tags, ["drink"]])
    matrices = model.to_matrices(texts, tags)
    for display, options in (
        (PrecisionAtKDisplay, {"metric": "propensity_scored_precision_at_k"}),
        (LabelFrequencyDisplay, {}),
    ):
        drawn = display.from_estimator(
            model, texts, form(tags), y_train=form(tags), k=1, **options
        )
        expected = display.from_estimator(
            model.classifier_, *matrices, y_train=matrices[1], k=1, **options
        )
        for name in ("scores", "table"):
            if hasattr(drawn, name):
                assert repr(getattr(drawn, name)) == repr(getattr(expected, name))


@pytest.mark.parametrize("names", [[0, 1], [1, 2]])
def test_numbers_may_be_names(names):
    texts = ["red wine", "white wine", "red apple", "green apple"] * 10
    tags = [names, names, names[::-1], names] * 10
    tags[::5], tags[1::5] = [names[:1]] * 8, [names[1:]] * 8
    model = XMCTextClassifier(DECLAREClassifier(random_state=0)).fit(texts, tags)
    X, Y = model.to_matrices(texts, tags)
    drawn = PrecisionAtKDisplay.from_estimator(model, texts, tags, k=2)
    expected = PrecisionAtKDisplay.from_estimator(model.classifier_, X, Y, k=2)
    assert drawn.scores.tolist() == expected.scores.tolist()
    for display in (LabelFrequencyDisplay, ReliabilityDisplay):
        options = {"y_train": tags} if display is LabelFrequencyDisplay else {}
        display.from_estimator(model, texts, tags, k=1, **options)
    ComparisonDisplay.from_estimators({"a": model}, texts, tags, ks=(1, 2))
    scorer = make_topk_scorer("precision_at_k", k=2)
    calibrated = TopKCalibratedClassifier(model, cv=2, k=2).fit(texts, tags)
    assert scorer(calibrated, texts, tags) == pytest.approx(
        precision_at_k(Y, calibrated.predict_topk(texts, k=2), k=2)
    )


def test_what_cannot_be_compressed_or_compared_is_named():
    texts, tags = ["red wine", "apple"] * 5, [["a", "b"], ["b", "c"]] * 5
    model = XMCTextClassifier(DECLAREClassifier(random_state=0)).fit(
        texts, [*tags[:-1], ["a"]]
    )
    with pytest.raises(TypeError, match="XMCTextClassifier has no compress"):
        CompressionDisplay.from_estimator(model, texts, tags)
    with pytest.raises(ValueError, match="There are 0 models"):
        ComparisonDisplay({}, ["P@1"])
