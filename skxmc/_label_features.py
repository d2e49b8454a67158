"""What the labels are described by: features of their own, their rows, or both."""

from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
from sklearn.preprocessing import normalize
from sklearn.utils import check_array

from skxmc._centroids import label_centroids


class LabelDescriptions(NamedTuple):
    """The input of the encoder for each label.

    Attributes
    ----------
    features : csr_array of shape (n_labels, n_features), float32
        What labels are found by.
    own : csr_array of shape (n_labels, n_features), float32, or None
        Features of their own alone, without what training rows tell.
    """

    features: sp.csr_array
    own: sp.csr_array | None

    def extended(self, new):
        """Return the descriptions with those of new labels, a csr_array, below."""
        own = self.own if self.own is None else _stack(self.own, new)
        return LabelDescriptions(_stack(self.features, new), own)

    def compressed(self, storage):
        """Return empty ones of the same shape: a compressed model never reads them."""
        return LabelDescriptions(
            sp.csr_array(self.features.shape, dtype=np.float32), None
        )


def check_label_features(label_features, n_labels, n_features):
    """Check features that the user has given, and bring them to rows of unit length.

    Parameters
    ----------
    label_features : array-like, sparse matrix or array, or None
        One row a label, in the columns of X.
    n_labels : int or None
        Number of rows it must have; None for any.
    n_features : int
        Number of columns it must have.

    Returns
    -------
    features : csr_array of shape (n_labels, n_features), float32, or None

    Raises
    ------
    ValueError
        If the shape is another, or an entry is not finite.
    """
    if label_features is None:
        return None
    features = check_array(
        label_features,
        accept_sparse="csr",
        dtype=np.float32,
        ensure_min_samples=0,
        input_name="label_features",
    )
    check_n_rows(features, n_labels)
    if features.shape[1] != n_features:
        raise ValueError(
            f"label_features has {features.shape[1]} columns, but X has {n_features}; "
            "labels and rows go through one encoder and need the same features."
        )
    features = sp.csr_array(normalize(features))  # a copy
    features.sum_duplicates()
    features.eliminate_zeros()
    return features


def check_n_rows(features, n_labels):
    """Return the features, if they have one row a label; None stands for any number."""
    if n_labels is not None and features.shape[0] != n_labels:
        raise ValueError(
            f"label_features has {features.shape[0]} rows, but there are {n_labels} "
            "labels; pass one row for each column of Y (of 1-D y, for each class in "
            "sorted order)."
        )
    return features


def describe_labels(X, Y, own, *, centroid_weight, n_strongest, norm):
    """Compute the input of the encoder for each label.

    Parameters
    ----------
    X : csr_array of shape (n_samples, n_features), float32
        Training rows.
    Y : csr_array of shape (n_samples, n_labels), float32
        Label indicator.
    own : csr_array of shape (n_labels, n_features) or None
        Features of the labels' own, rows of unit length.
    centroid_weight : float
        Weight of the mean direction of a label's rows beside them.
    n_strongest : int
        Features that a mean direction keeps at most.
    norm : float
        Length of the result: that of rows, which go through the same encoder.

    Returns
    -------
    labels : LabelDescriptions
        ``features = norm * normalize(own + centroid_weight * centroids)``; rows may be
        empty. Without features of their own, those are the centroids alone.
    """
    norm = np.float32(norm)
    if own is None:
        return LabelDescriptions(label_centroids(X, Y, n_strongest) * norm, None)
    if centroid_weight == 0:
        return LabelDescriptions(own * norm, None)
    centroids = label_centroids(X, Y, n_strongest)
    total = sp.csr_array(own + centroid_weight * centroids).astype(np.float32)
    return LabelDescriptions(normalize(total, copy=False) * norm, own * norm)


def _stack(above, below):
    return sp.csr_array(sp.vstack([above, below]))
