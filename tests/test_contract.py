"""What every estimator promises beyond scikit-learn's checks."""

import inspect
import pickle
import warnings

import joblib
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import torch
from _estimators import each_setting
from sklearn.base import clone
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.model_selection import GridSearchCV, RandomizedSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MultiLabelBinarizer

from skxmc import DECLAREClassifier, MultiHeadEncodingClassifier, UniDECClassifier
from skxmc._nn._threads import StepThreads
from skxmc.datasets import make_xmc_classification
from skxmc.metrics import make_xmc_scorers, precision_at_k


@pytest.fixture(scope="module")
def data():
    """Rows whose labels can be read off their features."""
    X, Y = make_xmc_classification(
        400, 200, 30, n_labels_per_sample=2, noise=0.05, label_skew=0.5, random_state=0
    )
    return X[:300], Y[:300], X[300:], Y[300:]


@pytest.fixture(scope="module")
def fit_once(data):
    """Return a function that gives a new copy of an estimator, fitted on `data`."""
    X, Y, *_ = data
    kept = {}

    def fit(estimator, dense=False):
        key = repr(estimator), dense
        if key not in kept:
            model = clone(estimator).fit(X, Y.toarray() if dense else Y)
            kept[key] = pickle.dumps(model)
        return pickle.loads(kept[key])

    return fit


def assert_equal(ranking, expected):
    for got, wanted in zip(ranking, expected, strict=True):
        np.testing.assert_array_equal(got, wanted)


@each_setting
def test_learns_a_problem_that_can_be_learned(estimator, fit_once, data):
    _, Y, X_test, Y_test = data
    popular = np.argsort(-Y.sum(axis=0))[:1]
    by_chance = precision_at_k(Y_test, np.tile(popular, (X_test.shape[0], 1)), k=1)
    assert fit_once(estimator).score(X_test, Y_test) > max(0.7, 3 * by_chance)


@each_setting
@pytest.mark.parametrize(
    ("container", "dtype"),
    [(sp.csr_array, np.int8), (sp.csr_matrix, np.float64), (sp.csr_array, bool)],
)
def test_sparse_y_in_sparse_predictions_out(estimator, container, dtype, data):
    X, Y, X_test, _ = data
    fitted = (
        clone(estimator).set_params(n_top_labels=7).fit(X, container(Y, dtype=dtype))
    )
    predicted, proba = fitted.predict(X_test), fitted.predict_proba(X_test)
    for result in (predicted, proba):
        assert type(result) is container
        assert result.shape == (X_test.shape[0], Y.shape[1])
        assert np.diff(result.indptr).max() <= 7
    assert predicted.dtype == dtype
    assert set(np.unique(predicted.data)) <= {1}
    assert proba.data.min() >= 0
    assert proba.data.max() <= 1


@each_setting
def test_dense_and_sparse_y_give_the_same_predictions(estimator, fit_once, data):
    _, Y, X_test, _ = data
    on_cpu = clone(estimator).set_params(device="cpu")  # a GPU repeats no fit exactly
    sparse, dense = fit_once(on_cpu), fit_once(on_cpu, dense=True)
    assert isinstance(dense.predict(X_test), np.ndarray)
    np.testing.assert_array_equal(
        dense.predict(X_test), sparse.predict(X_test).toarray()
    )
    proba = dense.predict_proba(X_test)
    assert proba.shape == (X_test.shape[0], Y.shape[1])
    assert ((proba > 0) & (proba < 1)).all()
    np.testing.assert_allclose(proba, sparse.predict_proba(X_test).toarray(), atol=1e-6)


@each_setting
def test_predict_topk_ranks_what_predict_proba_scores(estimator, fit_once, data):
    X_test, fitted = data[2], fit_once(estimator, dense=True)
    indices, scores = fitted.predict_topk(X_test, k=5)
    assert indices.shape == scores.shape == (X_test.shape[0], 5)
    assert (np.diff(scores, axis=1) <= 0).all()
    assert all(len(set(row)) == 5 for row in indices)
    proba = fitted.predict_proba(X_test)
    expected = np.take_along_axis(proba, indices, axis=1)
    np.testing.assert_allclose(scores, expected, atol=1e-6)
    np.testing.assert_allclose(-np.sort(-proba, axis=1)[:, :5], expected, atol=1e-6)


@each_setting
def test_threshold_and_k_decide_what_predict_keeps(estimator, fit_once, data):
    X_test, fitted = data[2], fit_once(estimator, dense=True)
    proba = fitted.predict_proba(X_test)
    np.testing.assert_array_equal(fitted.predict(X_test, threshold=0.3), proba >= 0.3)
    np.testing.assert_array_equal(fitted.predict(X_test), proba >= 0.5)
    best_two = fitted.predict(X_test, k=2)
    indices = fitted.predict_topk(X_test, k=2)[0]
    assert best_two.sum(axis=1).max() <= 2
    assert (np.take_along_axis(best_two, indices[:, :1], axis=1) == 1).all()
    both = fitted.predict(X_test, k=2, threshold=0.3)
    np.testing.assert_array_equal(both, best_two * (proba >= 0.3))


@each_setting
def test_class_labels_of_any_kind(estimator, data):
    X, Y, X_test, Y_test = data
    names = np.array([f"class {j}" for j in range(Y.shape[1])])
    y = names[Y.toarray().argmax(axis=1)]
    fitted = clone(estimator).fit(X, y)
    assert fitted.predict(X_test).dtype == y.dtype
    proba = fitted.predict_proba(X_test)
    np.testing.assert_allclose(proba.sum(axis=1), 1, rtol=1e-5)
    np.testing.assert_array_equal(
        fitted.classes_[proba.argmax(axis=1)], fitted.predict(X_test)
    )
    y_test = names[Y_test.toarray().argmax(axis=1)]
    assert fitted.score(X_test, y_test) == np.mean(fitted.predict(X_test) == y_test)
    for y_other in (y_test[:1], y_test[:-1]):
        with pytest.raises(ValueError, match="inconsistent numbers of samples"):
            fitted.score(X_test, y_other)


@each_setting
@pytest.mark.parametrize("n_labels", [1, 2])
def test_one_and_two_labels(estimator, n_labels, data):
    X, Y, X_test, _ = data
    columns = np.argsort(-Y.sum(axis=0))[:n_labels]
    fitted = clone(estimator).fit(X, Y[:, columns])
    assert fitted.predict_proba(X_test).shape == (X_test.shape[0], n_labels)
    assert fitted.predict_topk(X_test, k=n_labels)[0].shape[1] == n_labels
    y = Y[:, columns].toarray()
    if n_labels == 2:
        scorers = make_xmc_scorers(ks=(1, 2))
        search = GridSearchCV(
            clone(estimator),
            {"threshold": [0.5]},
            scoring=scorers,
            cv=2,
            refit="precision_at_1",
            error_score="raise",
        )
        assert search.fit(X, y).best_score_ > 0.7 * np.mean(y.any(axis=1))


@each_setting
def test_predictions_do_not_depend_on_the_batch(estimator, fit_once, data):
    X_test, fitted = data[2], fit_once(estimator)
    indices, scores = fitted.predict_topk(X_test, k=4)
    order = np.random.default_rng(0).permutation(X_test.shape[0])
    permuted = fitted.predict_topk(X_test[order], k=4)
    np.testing.assert_array_equal(permuted[0], indices[order])
    np.testing.assert_array_equal(permuted[1], scores[order])
    for row in range(0, X_test.shape[0], 17):
        alone = fitted.predict_topk(X_test[[row]], k=4)
        np.testing.assert_array_equal(alone[0][0], indices[row])
        np.testing.assert_array_equal(alone[1][0], scores[row])


@each_setting
def test_pickle_and_memory_mapped_joblib(estimator, data, tmp_path):
    X, Y, X_test, _ = data
    fitted = clone(estimator).fit(X, Y)  # not a copy, which a pickle made
    expected = fitted.predict_topk(X_test, k=3)
    joblib.dump(fitted, tmp_path / "model.joblib")
    mapped = joblib.load(tmp_path / "model.joblib", mmap_mode="r")
    for copy in (pickle.loads(pickle.dumps(fitted)), mapped):
        for got, wanted in zip(copy.predict_topk(X_test, k=3), expected, strict=True):
            np.testing.assert_array_equal(got, wanted)


@each_setting
@pytest.mark.parametrize(
    ("storage", "agreement", "error"),
    [("float16", 0.95, 0.05), ("int8", 0.95, 0.05), ("int4", 0.8, 0.6)],
)
def test_a_compressed_model_predicts_nearly_the_same(
    estimator, fit_once, data, storage, agreement, error
):
    X_test, model = data[2], fit_once(estimator)
    size, before = len(pickle.dumps(model)), model.predict_topk(X_test, k=3)
    small = model.compress(storage)
    assert type(small) is type(model)
    assert small.get_params() == model.get_params()
    indices, scores = small.predict_topk(X_test, k=3)
    assert np.mean(indices[:, 0] == before[0][:, 0]) >= agreement
    np.testing.assert_allclose(scores[:, 0], before[1][:, 0], atol=error)
    assert np.mean(np.abs(scores[:, 0] - before[1][:, 0])) < error / 5
    assert len(pickle.dumps(small)) < size
    again = pickle.loads(pickle.dumps(small)).predict_topk(X_test, k=3)
    assert_equal(again, (indices, scores))
    assert_equal(model.predict_topk(X_test, k=3), before)
    one = small.predict_topk(X_test[:1], k=3)
    assert_equal(one, (indices[:1], scores[:1]))


@each_setting
def test_a_compressed_model_is_not_trained_further(estimator, fit_once, data):
    X, Y, *_ = data
    small = fit_once(estimator).compress()
    with pytest.raises(ValueError, match="compressed to 'int8'"):
        small.compress("float16")
    with pytest.raises(ValueError, match="compressed to 'int8'"):
        small.set_params(warm_start=True).fit(X, Y)
    with pytest.raises(ValueError, match="storage='int2' is unknown"):
        fit_once(estimator).compress("int2")
    small.set_params(warm_start=False).fit(X, Y).compress()


@each_setting
@pytest.mark.parametrize("n_labels", [40, 1300])
def test_the_estimated_memory_of_a_model_is_what_it_takes(estimator, n_labels):
    X, Y = make_xmc_classification(
        2000, 5000, n_labels, label_skew=0, n_labels_per_sample=6, random_state=0
    )
    model = clone(estimator).set_params(max_epochs=1)
    sizes = model.estimate_memory(
        *(X.shape[0], len(np.unique(X.indices)), n_labels),
        n_nonzero=X.nnz / X.shape[0],
        n_labels_per_sample=Y.nnz / X.shape[0],
    )
    taken = len(pickle.dumps(model.fit(X, Y)))
    # What calibrates probabilities, and code, are not part of the estimate.
    assert 0.75 * taken < sizes["model"] < 1.25 * taken
    assert sizes["peak"] >= sizes["model"]
    held = sum(part.nbytes for M in (X, Y) for part in (M.data, M.indices, M.indptr))
    assert sizes["data"] == pytest.approx(held, rel=0.2)


@pytest.mark.parametrize("n_labels", [7, 1300])
@each_setting
def test_c07_what_is_learned_does_not_depend_on_the_threads(
    estimator, n_labels, monkeypatch
):
    X, Y = make_xmc_classification(
        *(700, 3000, n_labels),
        label_skew=0,
        n_labels_per_sample=min(6, n_labels / 4),
        random_state=0,
    )
    rankings = []
    before = torch.get_num_threads()
    for n_threads in (1, 2):
        monkeypatch.setattr(
            StepThreads, "begin", lambda self, n=n_threads: min(n, self.n_threads)
        )
        monkeypatch.setattr(StepThreads, "end", lambda _: None)
        model = clone(estimator).set_params(max_epochs=2, batch_size=128)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Of .* labels", UserWarning)
            rankings.append(model.fit(X, Y).predict_topk(X[:50], k=5))
    assert torch.get_num_threads() == before
    assert_equal(*rankings)


@each_setting
def test_grid_search_over_a_text_pipeline_with_sparse_y(estimator):
    words = ["red", "green", "blue", "wine", "apple", "car", "house", "tree"]
    rng = np.random.default_rng(0)
    chosen = [rng.choice(words, size=2, replace=False) for _ in range(120)]
    texts = [f"the {a} and the {b}" for a, b in chosen]
    Y = MultiLabelBinarizer(sparse_output=True).fit_transform(chosen)
    model = make_pipeline(TfidfVectorizer(), clone(estimator))
    step = type(estimator).__name__.lower()
    search = GridSearchCV(
        model,
        {f"{step}__max_epochs": [2, 40]},
        scoring=make_xmc_scorers(ks=(1, 2)),
        refit="precision_at_1",
        cv=3,
        n_jobs=2,
        error_score="raise",
    )
    search.fit(texts, Y)
    assert search.best_score_ > 0.9
    assert search.predict(["the red car"]).shape == (1, len(words))
    randomized = RandomizedSearchCV(
        model,
        {f"{step}__lr": [1e-3, 1e-2]},
        n_iter=1,
        cv=2,
        random_state=0,
        error_score="raise",
    )
    assert randomized.fit(texts, Y).best_score_ > 0.3  # `score` is precision@1


@each_setting
def test_early_stopping_watches_rows_held_out(estimator, data):
    X, Y, *_ = data
    fitted = clone(estimator).set_params(early_stopping=True, max_epochs=8).fit(X, Y)
    rows = list(fitted.history_)
    assert len(rows) == fitted.n_iter_ == len(fitted.loss_curve_) <= 8
    for row in rows:
        assert 0 <= row["valid_precision_at_1"] <= 1
        assert np.isfinite(row["valid_loss"])


@each_setting
def test_warm_start_goes_on_from_the_last_fit(estimator, data):
    X, Y, *_ = data
    fitted = clone(estimator).set_params(warm_start=True, max_epochs=3).fit(X, Y)
    if not fitted.loss_curve_:
        pytest.skip("nothing is trained in this setting")
    first = list(fitted.loss_curve_)
    fitted.fit(X, Y)
    assert fitted.loss_curve_[-1] < first[0]
    narrower = "warm_start=True .* 200 features .* 199"
    with pytest.raises(ValueError, match=narrower):
        fitted.fit(X[:, :199], Y)


@each_setting
def test_warm_start_goes_on_with_the_same_classes(estimator, data):
    X, Y, *_ = data
    y = np.array(["milk", "mate", "tea"])[np.arange(300) % 3]
    fitted = clone(estimator).set_params(warm_start=True, max_epochs=1).fit(X, y)
    with pytest.raises(ValueError, match="'rum', which is none of the model's 3 class"):
        fitted.fit(X, np.where(y == "tea", "rum", y))
    with pytest.raises(ValueError, match="fitted on 1-D y"):
        fitted.fit(X, Y)
    assert fitted.fit(X[y != "mate"], y[y != "mate"]).classes_.tolist() == sorted(
        set(y)
    )


@each_setting
def test_verbose_speaks_and_silence_is_the_default(estimator, data, capfd):
    X, Y, *_ = data
    clone(estimator).fit(X, Y)
    assert capfd.readouterr() == ("", "")
    fitted = clone(estimator).set_params(verbose=1).fit(X, Y)
    shown = capfd.readouterr()
    assert shown.out == ""
    assert ("loss" in shown.err and "P@1" in shown.err) == (fitted.n_iter_ > 0)


@each_setting
def test_skorch_callbacks_run(estimator, data):
    from skorch.callbacks import Callback

    class Count(Callback):
        epochs = 0

        def on_epoch_end(self, net, **kwargs):
            self.epochs += 1

    X, Y, *_ = data
    callback = Count()
    fitted = clone(estimator).set_params(callbacks=[callback]).fit(X, Y)
    assert callback.epochs == fitted.n_iter_


@each_setting
def test_parameters_are_the_same_set_of_words(estimator):
    """Shared parameters have one name and one documented meaning in all estimators."""
    shared = {
        "hidden_layer_sizes", "dropout", "max_epochs", "batch_size", "lr",
        "weight_decay", "early_stopping", "validation_fraction", "n_iter_no_change",
        "threshold", "n_top_labels", "callbacks", "warm_start", "device",
        "random_state", "verbose",
    }  # fmt: skip
    assert shared <= set(inspect.signature(type(estimator)).parameters)


@pytest.mark.parametrize(
    ("kind", "n_samples", "n_epochs"),
    [
        # Three batches of 128, or two of 256.
        (MultiHeadEncodingClassifier, 300, 50),
        (UniDECClassifier, 300, 10),
        (MultiHeadEncodingClassifier, 2689, 7),
        (UniDECClassifier, 1025, 4),
    ],
)
def test_few_rows_are_passed_over_more_often_by_default(kind, n_samples, n_epochs):
    X, Y = make_xmc_classification(n_samples, 40, 10, random_state=0)
    model = kind(hidden_layer_sizes=(8,), n_components=4, random_state=0)
    assert model.fit(X, Y).n_iter_ == n_epochs
    assert model.set_params(max_epochs=2).fit(X, Y).n_iter_ == 2


@pytest.mark.filterwarnings("ignore:Of 30 labels:UserWarning")
@each_setting
def test_numbers_of_numpy_are_numbers(estimator, data):
    X, Y, *_ = data
    own = {k: v for k, v in estimator.get_params().items() if k != "random_state"}
    kinds = {bool: np.bool_, int: np.int64, float: np.float64}
    as_numpy = {k: kinds[type(v)](v) for k, v in own.items() if type(v) in kinds}
    model = clone(estimator).set_params(max_epochs=1).fit(X[:80], Y[:80])
    other = clone(estimator).set_params(**as_numpy).set_params(max_epochs=np.int64(1))
    assert_equal(
        other.fit(X[:80], Y[:80]).predict_topk(X, k=3), model.predict_topk(X, 3)
    )


@each_setting
def test_class_probabilities_are_those_of_the_ranking(estimator, data):
    X, Y, X_test, _ = data
    model = clone(estimator).set_params(max_epochs=2).fit(X, Y.toarray().argmax(axis=1))
    n = len(model.classes_)
    for scale in (1, 4):
        indices, scores = model.predict_topk(scale * X_test, k=n)
        P = model.predict_proba(scale * X_test)
        own = np.take_along_axis(P, indices, axis=1)
        total = scores.sum(axis=1, keepdims=True)
        np.testing.assert_allclose(own, scores / total, atol=1e-5)
        # A cascade leaves a rest for classes that it does not score.
        assert (total < 1 + 1e-5).all()
        is_whole = not isinstance(model, MultiHeadEncodingClassifier)
        assert not is_whole or (total > 1 - 1e-5).all()
        best = model.classes_[P.argmax(axis=1)]
        assert np.mean(best == model.predict(scale * X_test)) > 0.98  # but for ties


@each_setting
def test_scores_of_other_columns_are_refused(estimator, fit_once, data):
    model, (_, _, X, Y) = fit_once(estimator), data
    for other in (sp.hstack([Y, Y]).tocsr(), Y[:, :-1]):
        with pytest.raises(ValueError, match="but the model has 30 labels"):
            model.score(X, other)


@each_setting
def test_columns_of_pandas_own_types_are_scored(estimator, fit_once, data):
    model, (_, _, X, Y) = fit_once(estimator), data
    frame = pd.DataFrame(Y.toarray())
    for dtype in ("boolean", "Int64"):
        assert model.score(X, frame.astype(dtype)) == model.score(X, Y)


@pytest.mark.filterwarnings("ignore:Of 30 labels:UserWarning")
@each_setting
def test_warm_start_takes_columns_and_y_of_one_kind(estimator, data):
    X, Y, *_ = data
    frame = pd.DataFrame(X[:80].toarray(), columns=[f"f{i}" for i in range(X.shape[1])])
    y = np.r_[np.arange(30), np.arange(50) % 30]
    model = clone(estimator).set_params(warm_start=True, max_epochs=1)
    model.fit(frame, Y[:80])
    before = model.predict_topk(frame, k=3)
    with pytest.raises(ValueError, match="feature names"):
        model.fit(frame[frame.columns[::-1]], Y[:80])
    with pytest.raises(ValueError, match="y is one class label a row, but"):
        model.fit(frame, y)
    assert_equal(model.predict_topk(frame, k=3), before)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.DataConversionWarning")
@each_setting
def test_warm_start_takes_a_column_of_classes_again(estimator, data):
    X, Y, *_ = data
    y = Y[:80].toarray().argmax(axis=1)[:, None]
    model = clone(estimator).set_params(warm_start=True, max_epochs=1)
    assert model.fit(X[:80], y).fit(X[:80], y).predict(X).ndim == 1


def test_without_training_early_stopping_holds_nothing_out(data):
    X, Y, X_test, _ = data
    expected = DECLAREClassifier(random_state=0).fit(X, Y).predict_topk(X_test, k=3)
    model = DECLAREClassifier(early_stopping=True, random_state=0).fit(X, Y)
    assert_equal(model.predict_topk(X_test, k=3), expected)
