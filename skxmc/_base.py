"""What all estimators share: the contract with scikit-learn and with sparse labels."""

import os
from abc import ABCMeta, abstractmethod
from contextlib import contextmanager
from functools import partial
from numbers import Integral, Real

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, _fit_context
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval
from sklearn.utils.validation import check_is_fitted

from skxmc import _nn
from skxmc._blocks import BLOCK_ROWS, row_blocks, searched_rows
from skxmc._checked_data import CheckedData
from skxmc._checkpoint import describe_problem, open_checkpoint
from skxmc._doc_links import DocLinkMixin
from skxmc._freed import return_freed_memory
from skxmc._memory import ProblemSize
from skxmc._persistence import Persistence
from skxmc._predictions import RankingPredictions
from skxmc._topk import check_k
from skxmc._validation import check_dense_fits
from skxmc.exceptions import TrainingDivergedError

# Training rows whose precision is shown while nothing is held out.
_N_SHOWN_ROWS = 512
# Of blocks of rows that are ranked at once, all their labels: some 100 MB of scores.
_LABELS_AT_ONCE = 2**16


class BaseXMCClassifier(
    RankingPredictions,
    Persistence,
    CheckedData,
    DocLinkMixin,
    ClassifierMixin,
    BaseEstimator,
    metaclass=ABCMeta,
):
    """Template of the estimators: their public methods, their training options.

    Of the methods, `predict`, `predict_proba` and `score` come with
    `RankingPredictions`, `save`, `compress` and pickling with `Persistence`; how X and
    y are read is in `CheckedData`.

    A subclass adds its parameters and three hooks: `_fit_model`, `_rank` and
    `_memory_of`; and, to be stored in model files, `_stored_fields`. It may also have
    `_score_label`, and `_score_directions` for `compress(n_components=...)`.
    """

    _ranks_on_cpu = False  # most of `_rank`, wherever the network is
    # What `max_epochs=None` stands for: as many as make so many steps, and no fewer.
    _least_epochs, _least_steps = 1, 1

    _parameter_constraints: dict = {
        "hidden_layer_sizes": ["array-like"],
        "dropout": [Interval(Real, 0, 1, closed="left")],
        "max_epochs": [Interval(Integral, 1, None, closed="left"), None],
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
        "distributed": ["boolean"],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y):
        """Fit the model.

        If this raises or is interrupted, the estimator is left as it was.

        Parameters
        ----------
        X : {array-like, sparse matrix or array} of shape (n_samples, n_features)
            Input rows; any sparse format. Converted to float32. Columns, or a mean,
            that would outweigh all else are brought down, see the user guide. Columns
            without a value take no room, and are ignored in predictions.
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
            goes_on = self.warm_start and hasattr(self, "_encoder")
            if goes_on:
                self._check_same_names(X)
            X, Y, form = self._validate_fit_data(X, y, form=self._form_to_keep())
            if goes_on:
                check_same_form(self._form, form)
            problem = partial(describe_problem, self, X, Y, form)
            X = self._balance_to_fit(X, goes_on=goes_on, all_columns=self.warm_start)
            device = self._join_processes()
            opened = open_checkpoint(self.checkpoint, self.random_state, problem)
            with opened as checkpoint:
                rng = self._start_rng() if checkpoint is None else checkpoint.rng
                fitted = self._fit_model(X, Y, form, device, rng, checkpoint)
        self.__dict__.pop("storage_", None)
        # In one order, whatever was fitted before: equal models have equal pickles.
        balance = self.__dict__.pop("_balance", None)
        self.__dict__.update(fitted, classes_=form.classes, _form=form)
        if balance is not None:
            self._balance = balance
        return_freed_memory()
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
        device = self._encoder.device
        blocks = row_blocks(X, searched_rows(device))
        rank, on_cpu = partial(self._rank, k=k), self._ranks_on_cpu
        most = max(1, _LABELS_AT_ONCE // self._form.n_labels)
        parts = _nn.map_blocks(
            rank, blocks, device, most_threads=most, mostly_on_cpu=on_cpu
        )
        return tuple(map(np.concatenate, zip(*parts, strict=True)))

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
            Shapes of the data. Of the features, those that have a value in some row.
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
    def _fit_model(self, X, Y, form, device, rng, checkpoint):
        """Fit on CSR X and indicator Y; return the fitted attributes in a dict.

        `checkpoint` is for `_train`.
        """

    @abstractmethod
    def _rank(self, X, k):
        """Rank labels of a block of rows: (indices, scores in [0, 1]), both (n, k).

        Each row alike, bit for bit, whatever other rows are in the block.
        """

    @abstractmethod
    def _memory_of(self, size):
        """Return the bytes of the fitted model, and the peak of fitting it."""

    def _score_label(self, X, label):
        """Score one label for a block of rows, as `_rank` does: shape (n,).

        Ranking all labels is the slow way; estimators have a faster one.
        """
        indices, scores = self._rank(X, self._form.n_labels)
        return scores[indices == label]

    def _feature_names(self, x):
        """Return names of the non-zero features of a CSR row, or None."""
        names = getattr(self, "feature_names_in_", None)
        return None if names is None else names[self._original_columns(x)]

    def _n_epochs(self, n_samples):
        """Return `max_epochs`, or what it is for so many rows by default."""
        if self.max_epochs is not None:
            return self.max_epochs
        n_batches = -(-n_samples // self.batch_size)
        return max(self._least_epochs, -(-self._least_steps // n_batches))

    def _is_shared(self):
        """Tell whether other processes train this model too."""
        return self.distributed and _nn.join_processes()[1] > 1

    def _join_processes(self):
        """Return the device to train on, once the processes that share it are there."""
        device = _nn.resolve_device(self.device)
        if not self._is_shared():
            return device
        if self.checkpoint is not None:
            raise ValueError(
                f"checkpoint={str(self.checkpoint)!r} keeps no state of a training "
                "that several processes share; set it to None, or distributed=False."
            )
        return _nn.local_device(device)

    def _start_rng(self):
        """Return the source of random numbers of a fit, one for all processes."""
        rng = check_random_state(self.random_state)
        return _nn.of_first(rng) if self._is_shared() else rng

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
            max_epochs=max_epochs or self._n_epochs(len(training)),
            batch_size=self.batch_size,
            lr=self.lr,
            weight_decay=self.weight_decay,
            callbacks=callbacks,
            validation=validation,
            verbose=int(self.verbose),
            device=device,
            seed=rng.randint(2**31),
            checkpoint=checkpoint,
            distributed=self._is_shared(),
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


def record_training(history):
    """Return the fitted attributes that tell how training went, a dict."""
    return {
        "history_": history,
        "loss_curve_": [row["train_loss"] for row in history],
        "n_iter_": len(history),
    }


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


def check_same_form(before, now):
    """Raise ValueError if warm_start cannot go on with y of another form."""
    if before.is_single_label != now.is_single_label:
        kinds = {True: "one class label a row", False: "an indicator"}
        raise ValueError(
            f"y is {kinds[now.is_single_label]}, but the model was fitted on "
            f"{kinds[before.is_single_label]}; pass y in that form, or set "
            "warm_start=False to start anew."
        )


def check_same_problem(n_features, n_labels, X, Y):
    """Raise ValueError if warm_start cannot go on with X and Y from a model."""
    before, now = (n_features, n_labels), (X.shape[1], Y.shape[1])
    if before != now:
        raise ValueError(
            f"warm_start=True goes on from a model of {before[0]} features and "
            f"{before[1]} labels, but X and y have {now[0]} and {now[1]}; set "
            "warm_start=False to start anew."
        )
