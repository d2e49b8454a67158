"""What keeps a fitted estimator: model files, pickles, a copy in fewer bits."""

import copy
import warnings
from numbers import Integral

from sklearn.base import BaseEstimator
from sklearn.exceptions import InconsistentVersionWarning
from sklearn.utils import check_scalar
from sklearn.utils.validation import check_is_fitted

from skxmc._model_files import save
from skxmc._model_schema import register_estimator
from skxmc._stored import STORAGES
from skxmc._version import __version__


class Persistence(BaseEstimator):
    """An estimator that can be stored once it is fitted.

    A class that declares its fitted attributes in `_stored_fields` can be stored in
    model files; attributes with a method `compressed(storage)` take part in `compress`.
    """

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
            SHA-256 of the file but for this digest, which it ends in. `load` can be
            told to expect it.

        Raises
        ------
        ValueError
            If a parameter or the encoder is an object of your own, which a file without
            code cannot hold.
        """
        check_is_fitted(self)
        return save(self, path)

    def compress(self, storage="int8", *, n_components=None, X=None):
        """Make a model whose numbers take fewer bits, or are fewer.

        It predicts nearly the same, on the CPU, and cannot be trained further. Of 8
        bits and 4, products are computed in whole numbers, for which rows are rounded
        to 8 bits too; beside what is stored, first weights and what has 4 bits are
        kept in 8 bits from the first prediction on. 16 bits are unpacked where they
        are read. An approximate index stays as it is. What only training reads is left
        out.

        Parameters
        ----------
        storage : {"int8", "float16", "int4"}, default="int8"
            8 bits with a scale for each row, 16, or 4 with one for each 128 numbers.
        n_components : int or None, default=None
            Put so many numbers, which are linear in a row, in place of the row: those
            that the scores feel most. Columns of X that make up less than a quarter of
            what is lost by that are not read any more. None for the rows themselves.
        X : {array-like, sparse matrix or array} of shape (n_samples, n_features) or \
                None, default=None
            Rows by which `n_components` are found, such as those of training; not read
            without.

        Returns
        -------
        model : object
            A copy of the fitted estimator.

        Raises
        ------
        ValueError
            If `storage` is unknown, `n_components` is below 1 or comes without `X` or
            with a network of your own, or the model is compressed already.
        """
        check_is_fitted(self)
        if storage not in STORAGES:
            raise ValueError(
                f"storage={storage!r} is unknown; pass one of {[*STORAGES]}."
            )
        self._check_trainable()
        small = copy.copy(self)
        if n_components is not None:
            small._encoder = self._reduced_encoder(n_components, X)
        for name, value in vars(small).items():
            if hasattr(value, "compressed"):
                setattr(small, name, value.compressed(storage))
        small.storage_ = storage
        return small

    def _reduced_encoder(self, n_components, X):
        check_scalar(n_components, "n_components", Integral, min_val=1)
        if X is None:
            raise ValueError(
                f"n_components={n_components} are found by rows, but X=None; pass "
                "those of training, or some of them."
            )
        X, directions = self._check_X(X), self._score_directions()
        return self._encoder.reduced(X, n_components, directions)

    def _score_directions(self):
        """Return by what the outputs of the network are multiplied, or None."""
        return None

    def __init_subclass__(cls, **kwargs):
        """Let instances be stored in model files, if their attributes are declared."""
        super().__init_subclass__(**kwargs)
        if "_stored_fields" in vars(cls):
            register_estimator(cls, cls._stored_fields)

    def _check_trainable(self):
        """Raise ValueError for a compressed model, whose numbers are rounded."""
        if getattr(self, "storage_", None) is not None:
            raise ValueError(
                f"This model is compressed to {self.storage_!r}, so it can only "
                "predict; train or compress the model that it was made of."
            )

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
