"""Fitted estimators as ONNX models."""

import numpy as np
from sklearn.utils.validation import check_is_fitted

from skxmc import _nn
from skxmc._declare import DECLAREClassifier
from skxmc._mhe import MultiHeadEncodingClassifier
from skxmc._text_classifier import XMCTextClassifier
from skxmc._topk import check_k
from skxmc._unidec import UniDECClassifier
from skxmc.export import _encoders, _heads
from skxmc.export._graph import Graph
from skxmc.export._votes import AddedVotes, add_shares


def to_onnx(estimator, path, k=5):
    """Write a fitted estimator as an ONNX model, which needs no Python to run.

    The model takes rows as `pad_rows` lays them out: "indices", int64, and "values",
    float32, both of shape (n_rows, width). It gives

    - "embeddings", float32 of shape (n_rows, n): what `transform` returns, or the codes
      of `DECLAREClassifier`,
    - "labels", int64, and "scores", float32, both of shape (n_rows, k): what
      `predict_topk` returns, but for the last digits. Labels are positions in
      `classes_`.

    Runtimes compute those that they are asked for.

    Parameters
    ----------
    estimator : object
        Fitted `DECLAREClassifier`, `MultiHeadEncodingClassifier` or `UniDECClassifier`.
        Weights of the score that may be set after `fit` are taken as they are now.
    path : str or path-like
        The file, by custom with the ending ``.onnx``. Of more than 1 GiB, the weights
        go into a second file beside it, named after it with ``.data``.
    k : int or None, default=5
        How many labels to rank; None for the embeddings alone.

    Raises
    ------
    TypeError
        If it is another estimator.
    ValueError
        If a part of it cannot be exported: the neighbours that `DECLAREClassifier`
        looks up unless ``decoder="linear"``, language models and modules of your own,
        compressed weights; or if `k` is larger than what the model ranks.
    ImportError
        If the package onnx is missing.

    See Also
    --------
    pad_rows : The input of the model.
    skxmc.load : Models in files of our own, with everything that they can do.

    Notes
    -----
    Labels are ranked exactly, also by estimators with an approximate index. Rows are
    looked up in one table and added up by a matrix product: a batch takes memory of
    4 bytes * n_rows * width * (outputs of the first layers).

    Examples
    --------
    >>> import os, tempfile
    >>> from skxmc import DECLAREClassifier
    >>> from skxmc.datasets import make_xmc_classification
    >>> from skxmc.export import to_onnx
    >>> X, Y = make_xmc_classification(50, 20, 8, random_state=0)
    >>> model = DECLAREClassifier(4, decoder="linear", random_state=0).fit(X, Y)
    >>> with tempfile.TemporaryDirectory() as folder:  # doctest: +SKIP
    ...     to_onnx(model, os.path.join(folder, "model.onnx"))
    """
    _check_exportable(estimator)
    if k is not None:
        check_k(k, len(estimator.classes_))
    try:
        import onnx  # noqa: F401
    except ImportError as error:
        raise ImportError(
            "to_onnx needs the package onnx: pip install skxmc[onnx]."
        ) from error
    graph, balance = Graph(), estimator._balance
    if balance is not None:
        graph.map_rows(balance)
    embeddings, n_embeddings, ranking = _PARTS[type(estimator)](graph, estimator, k)
    outputs = {"embeddings": (embeddings, "FLOAT", n_embeddings)}
    if k is not None:
        outputs |= {
            "labels": (ranking[1], "INT64", k),
            "scores": (ranking[0], "FLOAT", k),
        }
    graph.save(path, outputs, _metadata(estimator))


# Each adds an estimator to a graph; returns the embeddings, their length and, unless k
# is None, [scores, labels] of the k best.


def _declare(graph, estimator, k):
    module, decoder = estimator._encoder.module, estimator._label_index.keys
    codes, ranking = _encoders.add_perceptron(graph, module), None
    if k is not None:
        if estimator.decoder != "linear":
            raise ValueError(
                f"decoder={estimator.decoder!r} looks up training rows, which an ONNX "
                "model cannot do; export the codes alone by k=None, or see by `score` "
                'what set_params(decoder="linear") loses, and export that.'
            )
        ranking = _heads.add_linear_ranking(
            graph, codes, decoder[:], k, is_exclusive=estimator._form.is_single_label
        )
    return codes, decoder.shape[1], ranking


def _multi_head(graph, estimator, k):
    net, ranking = estimator._encoder.module, None
    f = _encoders.add_features(graph, net.features)
    if k is not None:
        add = _HEADS[type(net.head).__name__]
        order = estimator.label_order_.astype(np.int64)
        votes = _votes_of(graph, estimator, f)
        ranking = add(graph, f, net.head, order, k, votes)
    return f, net.features.n_outputs, ranking


def _votes_of(graph, estimator, f):
    weight, place = estimator._vote_weight(), estimator._encoder.module.features.codes
    if not weight:
        return None
    codes = graph.add("Slice", f, [place.start], [place.stop], [1])
    return AddedVotes(add_shares(graph, codes, estimator._votes), weight)


def _unidec(graph, estimator, k):
    tower, ranking = estimator._encoder.module, None
    if not isinstance(tower.features, _nn.Features):
        raise ValueError(
            f"encoder={estimator.encoder!r} is a network of its own, which is not "
            "exported here; export it by itself, and take `transform_labels` along."
        )
    z, f = _encoders.add_tower(graph, tower)
    if k is not None:
        dial = estimator._dial()
        ranking = _heads.add_dual_ranking(graph, z, f, estimator._ranker, dial, k)
    return z, tower.embedding_size, ranking


_PARTS: dict = {
    DECLAREClassifier: _declare,
    MultiHeadEncodingClassifier: _multi_head,
    UniDECClassifier: _unidec,
}
_HEADS = {
    "CascadeHead": _heads.add_cascade,
    "ProductHead": _heads.add_product,
    "SamplingHead": _heads.add_sampling,
}


def _check_exportable(estimator):
    name = type(estimator).__name__
    if isinstance(estimator, XMCTextClassifier):
        raise TypeError(
            f"{name} reads texts, which an ONNX model does not; export its "
            "classifier_, and give it what its vectorizer_ makes of the texts."
        )
    if type(estimator) not in _PARTS:
        raise TypeError(
            f"{name} cannot be exported; pass one of {[c.__name__ for c in _PARTS]}."
        )
    check_is_fitted(estimator)
    if getattr(estimator, "storage_", None) is not None:
        raise ValueError(
            f"This model is compressed to {estimator.storage_!r}; export the model "
            "that it was made of, and let an ONNX tool quantize it."
        )


def _metadata(estimator):
    """Return what a reader of the file may want to know."""
    return {
        "estimator": type(estimator).__name__,
        "n_features": estimator.n_features_in_,
        "n_labels": len(estimator.classes_),
    }
