"""How estimators read X and y: checked, canonical, in memory or in blocks."""

import warnings
from numbers import Integral
from typing import Any

import numpy as np
import scipy.sparse as sp
from sklearn.utils.multiclass import type_of_target
from sklearn.utils.validation import check_consistent_length, validate_data

from skxmc import _nn
from skxmc._balance import fit_balance
from skxmc._mapped import MappedCSR, check_mapped, count_columns, is_mapped
from skxmc._targets import TargetForm, encode_known_targets, encode_targets
from skxmc._validation import check_structure


class CheckedData:
    """The methods by which an estimator takes in rows and labels.

    It has the parameters that `BaseXMCClassifier` constrains.
    """

    callbacks: list | None
    checkpoint: Any
    early_stopping: bool
    hidden_layer_sizes: Any
    warm_start: bool
    _form: TargetForm
    _balance: Any = None  # only fits that need one keep one

    def _validate_fit_data(self, X, y, *, reset=True, form=None):
        """Return canonical X, indicator Y and the form of y, or in the form given."""
        _nn.check_callbacks(self.callbacks or ())
        _check_layer_sizes(self.hidden_layer_sizes)
        X = self._read(X, fitting=True)
        if is_mapped(X, y):
            return self._validate_mapped(X, y, reset=reset, form=form)
        check_structure(X, "X")
        check_structure(y, "Y")
        _check_label_lists(y)
        X, y = _checked(self, X, y, multi_output=True, reset=reset)
        if form is not None:
            return _to_csr(X), encode_known_targets(y, form), form
        Y, form = encode_targets(y)
        if not form.is_single_label:
            _warn_constant_labels(Y)
        return _to_csr(X), Y, form

    def _validate_mapped(self, X, y, *, reset, form):
        """Do what `_validate_fit_data` does, in blocks of the rows."""
        if self.early_stopping:
            raise ValueError(
                "early_stopping=True would hold a share of the rows in memory, but X "
                "or y is mapped; set it to False, and choose max_epochs on some rows."
            )
        if self.checkpoint is not None:
            raise ValueError(
                f"checkpoint={str(self.checkpoint)!r} keeps no state of a fit to "
                "mapped rows; set it to None, or use rows in memory."
            )
        if is_mapped(X):
            X = _checked_mapped(self, X, y, reset=reset)
        else:
            check_structure(X, "X")
            X = MappedCSR(_to_csr(_checked(self, X, reset=reset)))
        if form is None:
            Y, form = encode_targets(y)
        else:
            Y = encode_known_targets(y, form)
        check_consistent_length(X, Y)
        if reset and not form.is_single_label:
            _warn_constant_labels(Y)
        return X, MappedCSR(Y), form

    def _check_same_names(self, X):
        """Raise ValueError where columns of X have other names than in the fit."""
        if hasattr(self, "feature_names_in_") and hasattr(X, "columns"):
            validate_data(self, X, reset=False, skip_check_array=True)

    def _form_to_keep(self):
        """Return the form whose classes are the columns of the last fit, or None."""
        form = getattr(self, "_form", None)
        return form if self.warm_start and form and form.is_single_label else None

    def _check_X(self, X):
        """Return the rows to predict as training saw them, see `_balanced`."""
        return self._balanced(self._check_rows(X))

    def _check_rows(self, X):
        """Return the rows to predict as canonical CSR, float32."""
        X = self._read(X)
        if is_mapped(X):
            return _checked_mapped(self, X, reset=False)
        check_structure(X, "X")
        if not _needs_no_check(self, X):
            X = _checked(self, X, reset=False)
        return _to_csr(X)

    def _balance_to_fit(self, X, *, goes_on, all_columns):
        """Return training rows as `_balanced` does; keep the map, if X needs one."""
        if goes_on:
            _check_columns(X, self._balance)
            return self._balanced(X)
        self.__dict__.pop("_balance", None)
        balance = self._start_balance(X, all_columns)
        if balance is not None:
            self._balance = balance
        return self._balanced(X)

    def _start_balance(self, X, all_columns):
        """Return the map of rows for a new fit, or None."""
        return fit_balance(X, all_columns=all_columns)

    def _balanced(self, X):
        """Return rows in the form that everything but this class sees."""
        balance = self._balance
        return X if balance is None else balance(X)

    def _original_columns(self, x):
        """Return the columns, in the rows of the user, of the entries of balanced x."""
        balance = self._balance
        if balance is None or balance.columns is None:
            return x.indices
        return balance.columns[x.indices]

    def _read(self, X, *, fitting=False):
        """Return X as numbers, whatever the estimator takes."""
        return X


def _check_columns(X, balance):
    """Raise or warn if training goes on from a model of other columns than those of X.

    Without a map of rows, the number of columns is that of the network, which is
    compared later.
    """
    if balance is None:
        return
    if len(balance.scale) != X.shape[1]:
        raise ValueError(
            f"warm_start=True goes on from a model of {len(balance.scale)} features "
            f"while X has {X.shape[1]} columns; set warm_start=False to start anew."
        )
    balance.warn_of_new_columns(X)


def _checked(estimator, X, y="no_validation", **options):
    # Overflow in the cast to float32 is reported as an infinite value instead.
    with np.errstate(over="ignore"):
        return validate_data(
            estimator, X, y, accept_sparse="csr", dtype=np.float32, **options
        )


def _checked_mapped(estimator, X, y="no_validation", **options):
    """Check a `MappedCSR` as `_checked` would, but read it in blocks."""
    validate_data(estimator, X, y, skip_check_array=True, **options)
    check_mapped(X, "X")
    return X


def _needs_no_check(estimator, X):
    """Whether scikit-learn's validation would return X as it is.

    That is float32 rows of the right length, all finite, without names that could be
    wrong. Of a single row it takes as long as the prediction.
    """
    return (
        sp.issparse(X)
        and X.format == "csr"
        and X.dtype == np.float32
        and X.ndim == 2
        and X.shape[0] > 0
        and X.shape[1] == estimator.n_features_in_
        and not hasattr(estimator, "feature_names_in_")
        and np.isfinite(X.data).all()
    )


def _check_layer_sizes(sizes):
    for size in sizes:
        if not isinstance(size, Integral) or size < 1:
            raise ValueError(
                f"hidden_layer_sizes={sizes!r} holds {size!r}; pass whole numbers of "
                "at least 1."
            )


def _check_label_lists(y):
    """Raise ValueError for y as lists of labels, or without a column."""
    if getattr(y, "ndim", 0) == 2 and y.shape[1] == 0:
        raise ValueError("Y has 0 labels; pass at least one column.")
    if isinstance(y, list | tuple) and len(y) and isinstance(y[0], set | frozenset):
        y = [list(labels) for labels in y]
    if isinstance(y, list | tuple) and len(y) and isinstance(y[0], list | tuple):
        type_of_target(y)  # refuses lists of label lists, and says what to use


def _to_csr(X):
    """Return X as a canonical CSR array; one that is not is copied first."""
    X = sp.csr_array(X)
    if not X.has_canonical_format or (X.data == 0).any():
        X = X.copy()
        X.sum_duplicates()
        X.eliminate_zeros()
    return X


def _warn_constant_labels(Y):
    counts = count_columns(Y)
    n_empty, n_full = np.sum(counts == 0), np.sum(counts == Y.shape[0])
    if n_empty or n_full:
        warnings.warn(
            f"Of {Y.shape[1]} labels, {n_empty} have no positive row and cannot be "
            f"learned, and {n_full} have only positive rows.",
            UserWarning,
            stacklevel=5,  # the caller of fit, which scikit-learn wraps
        )
