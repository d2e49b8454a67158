"""What all estimators share: the contract with scikit-learn and with sparse labels."""

import copy
import os
import warnings
from abc import ABCMeta, abstractmethod
from contextlib import contextmanager
from functools import partial
from numbers import Integral, Real

import numpy as np
import scipy.sparse as sp
from sklearn.base import BaseEstimator, ClassifierMixin, _fit_context
from sklearn.exceptions import InconsistentVersionWarning
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval
from sklearn.utils.multiclass import type_of_target
from sklearn.utils.validation import (
    check_consistent_length,
    check_is_fitted,
    validate_data,
)

from skxmc import _nn
from skxmc._blocks import BLOCK_ROWS, row_blocks
from skxmc._checkpoint import describe_problem, open_checkpoint
from skxmc._mapped import MappedCSR, check_mapped, count_columns, is_mapped
from skxmc._memory import ProblemSize
from skxmc._model_files import save
from skxmc._model_schema import register_estimator
from skxmc._predictions import RankingPredictions
from skxmc._stored import STORAGES
from skxmc._targets import encode_known_targets, encode_targets
from skxmc._topk import check_k
from skxmc._validation import check_dense_fits, check_structure
from skxmc._version import __version__
from skxmc.exceptions import TrainingDivergedError

# Training rows whose precision is shown while nothing is held out.
_N_SHOWN_ROWS = 512


class BaseXMCClassifier(
    RankingPredictions, ClassifierMixin, BaseEstimator, metaclass=ABCMeta
):
    """Template of the estimators: validation, containers, training options.

    A subclass adds its parameters and three hooks: `_fit_model`, `_rank` and
    `_memory_of`; and, to be stored in model files, `_stored_fields`.
    """

    def __init_subclass__(cls, **kwargs):
        """Let instances be stored in model files, if their attributes are declared."""
        super().__init_subclass__(**kwargs)
        if "_stored_fields" in vars(cls):
            register_estimator(cls, cls._stored_fields)

    _parameter_constraints: dict = {
        "hidden_layer_sizes": ["array-like"],
        "dropout": [Interval(Real, 0, 1, closed="left")],
        "max_epochs": [Interval(Integral, 1, None, closed="left")],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "lr": [Interval(Real, 0, None, closed="neither")],
        "weight_decay": [Interval(Real, 0, None, closed="left")],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
        "threshold": [Interval(Real, 0, 1, closed="both")],
        "n_top_labels": [Interval(Integral, 1, None, closed="left")],
        "callbacks": [list, None],
        "checkpoint": [str, os.PathLike, None],
        "warm_start": ["boolean"],
        "device": [str],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    @abstractmethod
    def _fit_model(self, X, Y, form, device, rng, checkpoint):
        """Fit on CSR X and indicator Y; return the fitted attributes in a dict.

        `checkpoint` is for `_train`.
        """

    @abstractmethod
    def _rank(self, X, k):
        """Rank labels of a block of rows: (indices, scores in [0, 1]), both (n, k).

        Each row alike, bit for bit, whatever other rows are in the block.
        """

    def _score_label(self, X, label):
        """Score one label for a block of rows, as `_rank` does: shape (n,).

        Ranking all labels is the slow way; estimators have a faster one.
        """
        indices, scores = self._rank(X, self._form.n_labels)
        return scores[indices == label]

    def _feature_names(self, x):
        """Return names of the non-zero features of a CSR row, or None."""
        names = getattr(self, "feature_names_in_", None)
        return None if names is None else names[x.indices]

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y):
        """Fit the model.

        If this raises or is interrupted, the estimator is left as it was.

        Parameters
        ----------
        X : {array-like, sparse matrix or array} of shape (n_samples, n_features)
            Input rows; any sparse format. Converted to float32.
        y : {array-like, sparse matrix or array}
            Labels: a 0/1 indicator of shape (n_samples, n_labels), or one class label
            a row, shape (n_samples,). Its container is that of the predictions.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        MemoryError
            If memory runs out; a fit with smaller `batch_size` may follow at once.
        TrainingDivergedError
            If the training loss is no longer finite.
        """
        with unchanged_on_error(self):
            if self.warm_start:
                self._check_trainable()
            X, Y, form = self._validate_fit_data(X, y, form=self._form_to_keep())
            device = _nn.resolve_device(self.device)
            problem = partial(describe_problem, self, X, Y, form)
            opened = open_checkpoint(self.checkpoint, self.random_state, problem)
            with opened as checkpoint:
                rng = check_random_state(self.random_state)
                rng = rng if checkpoint is None else checkpoint.rng
                fitted = self._fit_model(X, Y, form, device, rng, checkpoint)
        self.__dict__.pop("storage_", None)
        self.__dict__.update(fitted, classes_=form.classes, _form=form)
        return self

    def predict_topk(self, X, k=5):
        """Rank the most probable labels: the way to use a model with many labels.

        Parameters
        ----------
        X : {array-like, sparse matrix or array} of shape (n_samples, n_features)
            Input rows.
        k : int, default=5
            How many labels to rank.

        Returns
        -------
        indices : ndarray of shape (n_samples, k), intp
            Positions in `classes_`, best first. Equal scores stand by position (or by
            number, where the estimator numbers labels), but labels of score 0 or 1 in
            order of preference.
        scores : ndarray of shape (n_samples, k), float32
            Their probabilities.

        Raises
        ------
        ValueError
            If `k` is larger than the number of labels.
        """
        check_is_fitted(self)
        check_k(k, self._form.n_labels)
        X = self._check_X(X)
        check_dense_fits(
            (X.shape[0], k),
            "fit with sparse y for sparse predictions, or use predict_topk with a "
            "smaller k",
        )
        parts = [self._rank(block, k) for block in row_blocks(X)]
        return tuple(map(np.concatenate, zip(*parts, strict=True)))

    def save(self, path):
        """Write the fitted model to a file that holds no code, for `skxmc.load`.

        Unlike a pickle it may be opened wherever it comes from, and by later versions.
        Of the parameters, `callbacks` and a `random_state` that is no int are left out,
        with a warning. A file of that name is replaced once the new one is complete.

        Parameters
        ----------
        path : str or path-like
            The file, by custom with the ending ``.skxmc``.

        Returns
        -------
        digest : str
            SHA-256 of the file, which `load` can be told to expect.

        Raises
        ------
        ValueError
            If a parameter or the encoder is an object of your own, which a file without
            code cannot hold.
        """
        check_is_fitted(self)
        return save(self, path)

    def compress(self, storage="int8"):
        """Make a model whose numbers take fewer bits.

        It predicts nearly the same, on the CPU, and cannot be trained further. Weights,
        codes and neighbours are decoded where they are read, so that memory shrinks as
        stored files do; an approximate index stays as it is.

        Parameters
        ----------
        storage : {"int8", "float16"}, default="int8"
            8 bits with a scale for each 64 numbers, or 16.

        Returns
        -------
        model : object
            A copy of the fitted estimator.

        Raises
        ------
        ValueError
            If `storage` is unknown, or the model is compressed already.
        """
        check_is_fitted(self)
        if storage not in STORAGES:
            raise ValueError(
                f"storage={storage!r} is unknown; pass one of {[*STORAGES]}."
            )
        self._check_trainable()
        small = copy.copy(self)
        for name, value in vars(self).items():
            if hasattr(value, "compressed"):
                setattr(small, name, value.compressed(storage))
        small.storage_ = storage
        return small

    def estimate_memory(
        self,
        n_samples,
        n_features,
        n_labels,
        *,
        n_nonzero=50,
        n_labels_per_sample=5,
    ):
        """Estimate what `fit` will take before it starts.

        Parameters
        ----------
        n_samples, n_features, n_labels : int
            Shapes of the data.
        n_nonzero : float, default=50
            Mean number of non-zero features of a row.
        n_labels_per_sample : float, default=5
            Mean number of labels of a row; 1 stands for 1-D y.

        Returns
        -------
        sizes : dict of str to int
            Bytes of "data" (X and Y as CSR, float32), of the fitted "model", and of the
            "peak" of `fit`, beside the data.
        """
        self._validate_params()
        size = ProblemSize(
            n_samples, n_features, n_labels, n_nonzero, n_labels_per_sample
        )
        model, peak = self._memory_of(size)
        data = size.x_bytes + size.y_bytes
        return {"data": data, "model": int(model), "peak": int(max(model, peak))}

    @abstractmethod
    def _memory_of(self, size):
        """Return the bytes of the fitted model, and the peak of fitting it."""

    def _check_trainable(self):
        """Raise ValueError for a compressed model, whose numbers are rounded."""
        if getattr(self, "storage_", None) is not None:
            raise ValueError(
                f"This model is compressed to {self.storage_!r}, so it can only "
                "predict; train or compress the model that it was made of."
            )

    def _check_X(self, X):
        """Return the rows to predict as canonical CSR, float32."""
        X = self._read(X)
        if is_mapped(X):
            return _checked_mapped(self, X, reset=False)
        check_structure(X, "X")
        if not _needs_no_check(self, X):
            X = _checked(self, X, reset=False)
        return _to_csr(X)

    def _read(self, X, *, fitting=False):
        """Return X as numbers, whatever the estimator takes."""
        return X

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

    def _form_to_keep(self):
        """Return the form whose classes are the columns of the last fit, or None."""
        form = getattr(self, "_form", None)
        return form if self.warm_start and form and form.is_single_label else None

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

    def _held_out_rows(self, n_samples, rng):
        """Draw the rows that early stopping watches; none without it."""
        rows = np.arange(n_samples)
        if not self.early_stopping:
            return rows[:0]
        seed = rng.randint(2**31)
        split = train_test_split(
            rows, test_size=self.validation_fraction, random_state=seed
        )
        return np.sort(split[1])

    def _train(
        self,
        module,
        X,
        targets,
        held_out,
        precision,
        device,
        rng,
        *,
        extra=(),
        make_dataset=_nn.SparseDataset,
        max_epochs=None,
        checkpoint=None,
    ):
        """Train `module` from rows of X to rows of `targets` but for those held out.

        `extra` are callbacks beside those of the user; `make_dataset` makes training
        data of X and targets; `max_epochs` stands for the parameter;
        `checkpoint` keeps the state, and is what training goes on from.

        `precision(module, rows)` is precision@1 of a module on rows of X; it decides
        when to stop early, and is shown on some training rows otherwise.
        """
        callbacks = [*(self.callbacks or ()), *extra]
        training = make_dataset(*rest_of(held_out, X, targets))
        validation = None
        if len(held_out):
            validation = make_dataset(X[held_out], targets[held_out])
            watch = ("valid_precision_at_1", self.n_iter_no_change)
            score = partial(precision, rows=held_out)
            callbacks.append(_nn.MonitorPrecision(score, *watch))
        elif self.verbose:
            score = partial(precision, rows=np.arange(min(X.shape[0], _N_SHOWN_ROWS)))
            callbacks.append(_nn.MonitorPrecision(score, "train_precision_at_1"))
        return _nn.train(
            module,
            training,
            max_epochs=max_epochs or self.max_epochs,
            batch_size=self.batch_size,
            lr=self.lr,
            weight_decay=self.weight_decay,
            callbacks=callbacks,
            validation=validation,
            verbose=int(self.verbose),
            device=device,
            seed=rng.randint(2**31),
            checkpoint=checkpoint,
        )

    def _finished_encoder(self, module, X, device):
        """Wrap a trained module, once it is seen to give finite outputs."""
        encoder = _nn.Encoder(module, device)
        if not np.isfinite(encoder(X[:BLOCK_ROWS])).all():
            raise TrainingDivergedError(
                f"The trained network's outputs are not finite, at lr={self.lr}; try a "
                "lower lr or rescale X."
            )
        return encoder

    def __getstate__(self):
        """Return what a pickle holds: the attributes, and our version."""
        return dict(super().__getstate__(), _skxmc_version=__version__)

    def __setstate__(self, state):
        """Take over what a pickle holds; warn if another version has written it."""
        state = dict(state)
        version = state.pop("_skxmc_version", "unknown")
        if version != __version__:
            warnings.warn(
                InconsistentVersionWarning(
                    estimator_name=type(self).__name__,
                    current_sklearn_version=__version__,
                    original_sklearn_version=version,
                ),
                stacklevel=2,
            )
        super().__setstate__(state)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.classifier_tags.multi_label = True
        return tags


def rest_of(held_out, *arrays):
    """Return the rows of each array that are not held out; all, if none is."""
    if not len(held_out):
        return arrays
    rows = np.delete(np.arange(arrays[0].shape[0]), held_out)
    return tuple(array[rows] for array in arrays)


@contextmanager
def unchanged_on_error(estimator):
    """Leave an estimator as it was if the block raises or is interrupted."""
    before = dict(vars(estimator))
    try:
        with _nn.memory_errors(estimator.batch_size):
            yield
    except BaseException:
        vars(estimator).clear()
        vars(estimator).update(before)
        raise


def check_same_problem(n_features, n_labels, X, Y):
    """Raise ValueError if warm_start cannot go on with X and Y from a model."""
    before, now = (n_features, n_labels), (X.shape[1], Y.shape[1])
    if before != now:
        raise ValueError(
            f"warm_start=True goes on from a model of {before[0]} features and "
            f"{before[1]} labels, but X and y have {now[0]} and {now[1]}; set "
            "warm_start=False to start anew."
        )


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
