"""Targets in scikit-learn's forms, brought to one CSR indicator and back."""

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import column_or_1d

from skxmc._validation import check_indicator


@dataclass(frozen=True)
class TargetForm:
    """The form that y had at `fit`, which predictions take again.

    Attributes
    ----------
    kind : {"classes", "dense", "array", "matrix"}
        Class labels in 1-D, or an indicator: ndarray, csr_array or csr_matrix.
    dtype : numpy dtype
        Type of y.
    classes : ndarray of shape (n_labels,)
        The class labels, or the column numbers of an indicator.
    """

    kind: str
    dtype: np.dtype
    classes: np.ndarray

    @property
    def n_labels(self):
        """Number of labels."""
        return len(self.classes)

    @property
    def is_sparse(self):
        """Whether y was sparse, so that nothing dense of its shape may be made."""
        return self.kind in ("array", "matrix")

    @property
    def is_single_label(self):
        """Whether each row has exactly one label."""
        return self.kind == "classes"


def encode_targets(y):
    """Bring targets to a CSR indicator and remember their form.

    Parameters
    ----------
    y : array-like of shape (n_samples,), or array-like, sparse matrix or array of \
            shape (n_samples, n_labels)
        Class labels, or a 0/1 indicator. A dense single column counts as 1-D, with
        scikit-learn's `DataConversionWarning`.

    Returns
    -------
    Y : csr_array of shape (n_samples, n_labels), float32
        Canonical 0/1 indicator.
    form : TargetForm
        The form of `y`.

    Raises
    ------
    ValueError
        If `y` is continuous, or an indicator that holds anything but 0 and 1.
    """
    if sp.issparse(y):
        Y = check_indicator(y)
        kind = "array" if isinstance(y, sp.sparray) else "matrix"
    else:
        y = np.asarray(y)
        if y.ndim == 1 or (y.ndim == 2 and y.shape[1] == 1):
            return _encode_classes(column_or_1d(y, warn=True))
        Y, kind = check_indicator(y), "dense"
    return Y, TargetForm(kind, y.dtype, np.arange(Y.shape[1]))


def _encode_classes(y):
    check_classification_targets(y)
    classes, codes = np.unique(y, return_inverse=True)
    rows = np.arange(len(y) + 1)
    ones = np.ones(len(y), dtype=np.float32)
    Y = sp.csr_array((ones, codes, rows), shape=(len(y), len(classes)))
    return Y, TargetForm("classes", y.dtype, classes)
