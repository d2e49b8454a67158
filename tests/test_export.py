"""ONNX models against the estimators that they were made of."""

import sys
import warnings

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from skxmc import (
    DECLAREClassifier,
    MultiHeadEncodingClassifier,
    UniDECClassifier,
    XMCTextClassifier,
)
from skxmc.datasets import make_xmc_classification
from skxmc.export import pad_rows, to_onnx

FAST = {"max_epochs": 6, "batch_size": 32, "lr": 0.02, "random_state": 0}
N_LABELS = 60
MULTI_LABEL = [
    DECLAREClassifier(decoder="linear", **FAST),
    DECLAREClassifier(decoder="linear", hidden_layer_sizes=(16, 8), **FAST),
    DECLAREClassifier(
        decoder="linear", ridge_alpha=None, hidden_layer_sizes=(16,), **FAST
    ),
    MultiHeadEncodingClassifier(**FAST),
    MultiHeadEncodingClassifier(ridge_alpha=None, **FAST),
    MultiHeadEncodingClassifier("full", hidden_layer_sizes=(), **FAST),
    MultiHeadEncodingClassifier("cascade", n_heads=2, n_candidate_groups=3, **FAST),
    MultiHeadEncodingClassifier("cascade", n_heads=3, n_candidate_groups=3, **FAST),
    MultiHeadEncodingClassifier("product", n_heads=3, n_shortlist=10, **FAST),
    MultiHeadEncodingClassifier("product", n_shortlist=0, **FAST),
    MultiHeadEncodingClassifier("sampling", n_heads=2, **FAST),
    UniDECClassifier(**FAST),
    UniDECClassifier(
        encoder_weight=0.7,
        popularity=0.3,
        ridge_alpha=None,
        hidden_layer_sizes=(32, 16),
        index="ivf",
        **FAST,
    ),
]
SINGLE_LABEL = [
    DECLAREClassifier(decoder="linear", **FAST),
    MultiHeadEncodingClassifier(**FAST),
    MultiHeadEncodingClassifier(n_heads=2, **FAST),
    MultiHeadEncodingClassifier("product", n_heads=2, n_shortlist=12, **FAST),
    MultiHeadEncodingClassifier("cascade", n_heads=3, n_candidate_groups=3, **FAST),
    MultiHeadEncodingClassifier("sampling", n_heads=2, **FAST),
    UniDECClassifier(**FAST),
]


X, Y = make_xmc_classification(150, 40, N_LABELS, random_state=0)
y = Y.indices[Y.indptr[:-1]]  # the first label of each row


def fit(estimator, y=Y):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # labels without a row
        return clone(estimator).fit(X, y)


def run(path, X, names=("labels", "scores", "embeddings")):
    """Run an ONNX model on rows of X."""
    runtime = pytest.importorskip("onnxruntime")
    session = runtime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return session.run([*names], pad_rows(X))


def assert_same_ranking(path, model, X, k):
    labels, scores = run(path, X, ("labels", "scores"))
    expected, expected_scores = model.predict_topk(X, k=k)
    np.testing.assert_allclose(scores, expected_scores, atol=2e-5)
    # Neighbours in a ranking may change places where scores differ by a last digit.
    is_clear = np.abs(np.diff(expected_scores, axis=1, append=0)) > 2e-5
    is_clear &= np.abs(np.diff(expected_scores, axis=1, prepend=2)) > 2e-5
    assert is_clear.mean() > 0.3
    assert (labels == expected)[is_clear].all()
    assert (np.diff(np.sort(labels, axis=1)) > 0).all()


@pytest.mark.parametrize("estimator", MULTI_LABEL)
def test_model_ranks_as_the_estimator(estimator, tmp_path):
    pytest.importorskip("onnx")
    model, path = fit(estimator), tmp_path / "model.onnx"
    to_onnx(model, path, k=7)
    assert_same_ranking(path, model, X, 7)
    if hasattr(model, "transform"):
        (embeddings,) = run(path, X, ["embeddings"])
        np.testing.assert_allclose(embeddings, model.transform(X), atol=1e-5)


@pytest.mark.parametrize("estimator", SINGLE_LABEL)
def test_model_ranks_classes_as_the_estimator(estimator, tmp_path):
    pytest.importorskip("onnx")
    model, path = fit(estimator, y), tmp_path / "model.onnx"
    for k in (1, 10):
        to_onnx(model, path, k=k)
        assert_same_ranking(path, model, X, k)


def test_classes_beyond_those_that_are_calibrated(tmp_path):
    pytest.importorskip("onnx")
    X, Y = make_xmc_classification(400, 40, 300, random_state=0)
    model = UniDECClassifier(**FAST).fit(X, Y.indices[Y.indptr[:-1]])
    n_classes = len(model.classes_)
    assert n_classes > 110
    for k in (110, n_classes):
        to_onnx(model, tmp_path / "model.onnx", k=k)
        labels, scores = run(tmp_path / "model.onnx", X, ("labels", "scores"))
        expected = model.predict_topk(X, k=k)[1]
        np.testing.assert_allclose(scores, expected, atol=2e-5)
        assert labels.max() < n_classes


def test_rows_without_features_and_rows_alone(tmp_path):
    pytest.importorskip("onnx")
    model, path = fit(UniDECClassifier(**FAST)), tmp_path / "model.onnx"
    to_onnx(model, path)
    empty = sp.csr_array((1, X.shape[1]), dtype=np.float32)
    assert_same_ranking(path, model, sp.csr_array(sp.vstack([empty, X[:20]])), 5)
    assert_same_ranking(path, model, empty, 5)
    np.testing.assert_allclose(
        run(path, X[[3]], ["scores"])[0], run(path, X, ["scores"])[0][[3]], atol=1e-6
    )


def test_encoder_alone(tmp_path):
    onnx = pytest.importorskip("onnx")
    model, path = fit(DECLAREClassifier(**FAST)), tmp_path / "codes.onnx"
    to_onnx(model, path, k=None)
    (codes,) = run(path, X, ["embeddings"])
    np.testing.assert_allclose(codes, model._encoder(X), atol=1e-5)
    stored = onnx.load(path)
    assert [output.name for output in stored.graph.output] == ["embeddings"]
    properties = {entry.key: entry.value for entry in stored.metadata_props}
    assert properties == {
        "estimator": "DECLAREClassifier",
        "n_features": "40",
        "n_labels": "60",
    }


def test_large_models_have_a_file_beside(tmp_path, monkeypatch):
    pytest.importorskip("onnx")
    monkeypatch.setattr("skxmc.export._graph._MAX_INLINE_BYTES", 1000)
    model, path = fit(MultiHeadEncodingClassifier(**FAST)), tmp_path / "model.onnx"
    for _ in range(2):  # what is there is replaced
        to_onnx(model, path)
    assert_same_ranking(path, model, X, 5)
    assert {file.name for file in tmp_path.iterdir()} == {
        "model.onnx",
        "model.onnx.data",
    }
    assert path.stat().st_size < 100_000 < (tmp_path / "model.onnx.data").stat().st_size


def test_what_cannot_be_exported_says_so(tmp_path):
    path = tmp_path / "model.onnx"
    with pytest.raises(TypeError, match=r"export its classifier_"):
        to_onnx(XMCTextClassifier(), path)
    with pytest.raises(TypeError, match=r"^Ridge cannot be exported; pass one of"):
        to_onnx(type("Ridge", (), {})(), path)
    with pytest.raises(NotFittedError):
        to_onnx(UniDECClassifier(), path)
    model = fit(DECLAREClassifier(**FAST))
    with pytest.raises(ValueError, match=r"compressed to 'int8'; export the model"):
        to_onnx(model.compress(), path)
    with pytest.raises(ValueError, match=r"k=61 is larger than the number of labels"):
        to_onnx(model, path, k=61)
    pytest.importorskip("onnx")
    with pytest.raises(ValueError, match=r"decoder='blend' looks up training rows"):
        to_onnx(model, path)
    cascade = fit(
        MultiHeadEncodingClassifier("cascade", n_heads=2, n_candidate_groups=1, **FAST)
    )
    with pytest.raises(ValueError, match=r"scores only \d labels of each row"):
        to_onnx(cascade, path, k=20)
    assert not path.exists()


def test_missing_package_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ImportError, match=r"pip install skxmc\[onnx\]"):
        to_onnx(fit(DECLAREClassifier(**FAST)), tmp_path / "model.onnx")


def test_modules_of_ones_own_are_refused(tmp_path):
    pytest.importorskip("onnx")
    model = fit(UniDECClassifier(encoder=torch.nn.Linear(40, 8), **FAST))
    with pytest.raises(ValueError, match=r"encoder=Linear.* is a network of its own"):
        to_onnx(model, tmp_path / "model.onnx")


@given(st.lists(st.lists(st.sampled_from([0, 0, 1.5, -2]), min_size=4, max_size=4)))
def test_padded_rows_hold_what_the_rows_hold(rows):
    X = np.array(rows, dtype=np.float32).reshape(-1, 4)
    inputs = pad_rows(sp.coo_array(X))
    again = np.zeros_like(X)
    for row, columns, values in zip(again, *inputs.values(), strict=True):
        np.add.at(row, columns, values)
    np.testing.assert_array_equal(again, X)
    assert inputs["indices"].shape == inputs["values"].shape
    assert pad_rows(X, width=9)["values"].shape == (len(X), 9)


def test_rows_longer_than_the_width_are_refused():
    with pytest.raises(ValueError, match=r"width=1, but a row has 2 features"):
        pad_rows([[1, 0, 2]], width=1)
