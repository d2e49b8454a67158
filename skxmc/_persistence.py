"""What keeps a fitted estimator: model files, pickles, a copy in fewer bits."""

import copy
import warnings

from sklearn.base import BaseEstimator
from sklearn.exceptions import InconsistentVersionWarning
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
        stored files do; an approximate index stays as it is. What only training reads
        is left out.

        Parameters
        ----------
        storage : {"int8", "float16", "int4"}, default="int8"
            8 bits with a scale for each 64 numbers, 16, or 4 with one for each 128.

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
