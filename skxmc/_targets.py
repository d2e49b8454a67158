"""Targets in scikit-learn's forms, brought to one CSR indicator and back."""

from dataclasses import dataclass, replace

import numpy as np
import scipy.sparse as sp
from sklearn.utils import assert_all_finite
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import column_or_1d

from skxmc._mapped import check_mapped, is_mapped
from skxmc._validation import check_indicator


@dataclass(frozen=True)
class TargetForm:
    """The form that y had at `fit`, which predictions take again.

    Attributes
    ----------
    kind : {"classes", "names", "dense", "array", "matrix"}
        Class labels in 1-D, lists of names as of texts, or an indicator: ndarray,
        csr_array or csr_matrix.
    dtype : numpy dtype
        Type of y; of lists of names, that of their indicator.
    classes : ndarray of shape (n_labels,)
        The class labels or names, or the column numbers of an indicator.
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
        return self.kind in ("array", "matrix", "names")

    @property
    def is_named(self):
        """Whether y names its labels, so that y of some rows may lack some."""
        return self.kind in ("classes", "names")

    @property
    def is_single_label(self):
        """Whether each row has exactly one label."""
        return self.kind == "classes"

    def extended(self, n_new, classes):
        """Return the form with `n_new` more labels.

        Parameters
        ----------
        n_new : int
            How many.
        classes : array-like of shape (n_new,) or None
            Their class labels, for 1-D y alone.

        Raises
        ------
        ValueError
            If `classes` is given or missing wrongly, of another type, or holds a class
            twice.
        """
        if not self.is_single_label:
            if classes is not None:
                raise ValueError(
                    "classes is given, but the model was fitted on an indicator, whose "
                    "labels are columns; leave it out."
                )
            return replace(self, classes=np.arange(self.n_labels + n_new))
        if np.shape(classes) != (n_new,):
            raise ValueError(
                f"classes has the shape {np.shape(classes)}, but there are {n_new} new "
                "labels; after a fit on 1-D y, pass the class of each."
            )
        new = np.asarray(classes)
        if not _are_alike(self.classes, new):
            raise ValueError(
                f"classes holds {new.tolist()[0]!r}, of dtype {new.dtype}, but those "
                f"of the model are of dtype {self.classes.dtype}, such as "
                f"{self.classes.tolist()[0]!r}; pass classes of that type."
            )
        joined = np.concatenate([self.classes, new])
        if len(np.unique(joined)) < len(joined):
            raise ValueError(
                "classes holds a class twice, or one that the model has already; pass "
                "new ones."
            )
        return replace(self, classes=joined)


def form_of(y, classes):
    """Return the form of `y`, which need not hold all the classes there are.

    Parameters
    ----------
    y : as for `encode_targets`
    classes : array-like of shape (n_labels,) or None
        All classes of 1-D y; not used for an indicator.

    Returns
    -------
    form : TargetForm

    Raises
    ------
    ValueError
        If `y` is 1-D and there are no classes.
    """
    form = encode_targets(y)[1]
    if not form.is_single_label:
        return form
    if classes is None:
        raise ValueError(
            "classes=None, but y is 1-D and may not hold all classes; pass them on the "
            "first call of partial_fit."
        )
    classes = np.asarray(sorted(classes) if isinstance(classes, set) else classes)
    if classes.ndim != 1 or not len(classes):
        raise ValueError(
            f"classes has the shape {classes.shape}; pass all classes there will be, "
            "one each."
        )
    return replace(form, classes=np.unique(classes))


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
        Canonical 0/1 indicator. A `MappedCSR` stays as it is, of any dtype.
    form : TargetForm
        The form of `y`.

    Raises
    ------
    ValueError
        If `y` is continuous or holds NaN or infinity, or is an indicator that holds
        anything but 0 and 1.
    """
    if is_mapped(y):
        check_mapped(y, "Y", indicator=True)
        return y, TargetForm("array", y.dtype, np.arange(y.shape[1]))
    if sp.issparse(y):
        Y = check_indicator(y)
        kind = "array" if isinstance(y, sp.sparray) else "matrix"
    else:
        y = np.asarray(y)
        assert_all_finite(y, input_name="y")
        if y.ndim == 1 or (y.ndim == 2 and y.shape[1] == 1):
            return _encode_classes(column_or_1d(y, warn=True))
        Y, kind = check_indicator(y), "dense"
    return Y, TargetForm(kind, y.dtype, np.arange(Y.shape[1]))


def encode_known_targets(y, form):
    """Bring further targets to an indicator of the labels that `form` has.

    Parameters
    ----------
    y : as for `encode_targets`
    form : TargetForm
        The form of earlier targets.

    Returns
    -------
    Y : csr_array of shape (n_samples, n_labels), float32

    Raises
    ------
    ValueError
        If `y` is of another kind, has another number of columns or an unknown class.
    """
    if not form.is_single_label:
        Y, new_form = encode_targets(y)
        if new_form.is_single_label or new_form.n_labels != form.n_labels:
            raise ValueError(
                f"y has the shape {np.shape(y)}, but the model has {form.n_labels} "
                "labels; pass an indicator with a column for each."
            )
        return Y
    if not sp.issparse(y) and np.ndim(y) == 2 and np.shape(y)[1] == 1:
        y = column_or_1d(y, warn=True)
    if np.ndim(y) != 1 or sp.issparse(y):
        raise ValueError(
            f"y has the shape {np.shape(y)}, but the model was fitted on 1-D y; pass "
            "one class label a row."
        )
    y = np.asarray(y)
    # Classes that were added later are not in sorted order.
    order = np.argsort(form.classes, kind="stable")
    try:
        places = np.searchsorted(form.classes[order], y)
    except TypeError as err:  # of objects that have no order
        raise ValueError(
            f"y holds {y.tolist()[0]!r}, of another type than the model's classes, "
            f"such as {form.classes.tolist()[0]!r}; pass classes of that type."
        ) from err
    codes = order[np.minimum(places, len(order) - 1)]
    unknown = form.classes[codes] != y
    if unknown.any():
        raise ValueError(
            f"y holds {y[unknown].tolist()[0]!r}, which is none of the model's "
            f"{form.n_labels} classes; pass all of them as `classes` on the first "
            "call of partial_fit, or set warm_start=False to start anew."
        )
    return _one_hot(codes, form.n_labels)


def _are_alike(classes, new):
    """Whether class labels keep their type beside others."""
    old, kind = classes.dtype.kind, new.dtype.kind
    if old == "O":
        return {*map(type, new.tolist())} <= {*map(type, classes.tolist())}
    return kind == old or (old in "iuf" and kind in "iu")


def _encode_classes(y):
    check_classification_targets(y)
    classes, codes = np.unique(y, return_inverse=True)
    return _one_hot(codes, len(classes)), TargetForm("classes", y.dtype, classes)


def _one_hot(codes, n_labels):
    n_samples = len(codes)
    ones, indptr = np.ones(n_samples, dtype=np.float32), np.arange(n_samples + 1)
    return sp.csr_array((ones, codes, indptr), shape=(n_samples, n_labels))
