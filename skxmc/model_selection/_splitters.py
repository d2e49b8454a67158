"""Splitters that spread each label over the folds; public in `skxmc.model_selection`.

scikit-learn's own stratified splitters know one label a row only.
"""

import warnings
from numbers import Integral

import numpy as np
from sklearn.model_selection import BaseCrossValidator, BaseShuffleSplit
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_consistent_length

from skxmc._targets import encode_targets
from skxmc.model_selection._dealing import deal_rows


class IterativeStratifiedKFold(BaseCrossValidator):
    """K folds with the share of each label that the whole set has, for sparse labels.

    Rows are dealt to folds by iterative stratification [1]_, the rows of the rarest
    label first. A label with two rows or more is kept out of a single test fold, so
    that each training set has it. Of a label with one row nothing can be done: it is in
    one test set, whose training set lacks it.

    Parameters
    ----------
    n_splits : int, default=5
        Number of folds, at least 2.
    random_state : int, RandomState or None, default=None
        Decides the order in which the rows of a label are dealt. Pass an int for the
        same folds in each call.

    See Also
    --------
    IterativeStratifiedShuffleSplit : Train and test sets of a given size.
    sklearn.model_selection.StratifiedKFold : For 1-D y of class labels.

    Notes
    -----
    The sizes of folds differ by at most 1, as those of
    :class:`~sklearn.model_selection.KFold`. Labels are kept out of a single fold step
    by step, as the best folds are NP-hard to find: with three folds or more, hardly
    ever is one left there without need; with two folds and very many labels of two
    rows, a few are (58 of 13 244 on a set of 43 000 rows, 3214 by chance).

    Memory is that of a list of the entries of y and of a number for each label and
    fold. 100 000 rows with 5 of 100 000 labels each take about 3 seconds.

    References
    ----------
    .. [1] K. Sechidis, G. Tsoumakas, I. Vlahavas, "On the Stratification of
       Multi-Label Data", ECML PKDD 2011.

    Examples
    --------
    >>> import numpy as np
    >>> from skxmc.model_selection import IterativeStratifiedKFold
    >>> Y = np.array([[1, 0], [1, 1], [1, 1], [1, 0]])
    >>> for train, test in IterativeStratifiedKFold(2, random_state=0).split(Y, Y):
    ...     print(Y[test].sum(axis=0))
    [2 1]
    [2 1]
    """

    def __init__(self, n_splits=5, *, random_state=None):
        self.n_splits = n_splits
        self.random_state = random_state

    def split(self, X, y, groups=None):
        """Generate indices of training and test rows.

        Parameters
        ----------
        X : {array-like, sparse matrix or array} of shape (n_samples, n_features)
            Input rows, of which only the number matters.
        y : {array-like, sparse matrix or array}
            Labels: a 0/1 indicator of shape (n_samples, n_labels), or one class label
            a row, shape (n_samples,).
        groups : object, default=None
            Ignored, with a warning if given.

        Returns
        -------
        splits : iterator of (train, test)
            Numbers of the training rows and of the test rows of each split, ascending.

        Raises
        ------
        ValueError
            If `n_splits` is no integer from 2 to n_samples, or `y` is no indicator and
            holds no class labels.
        """
        _warn_groups(self, groups)
        return super().split(X, _indicator(y, X))

    def _iter_test_indices(self, X, y, groups):
        n_samples, n_splits = y.shape[0], self.n_splits
        if not isinstance(n_splits, Integral) or n_splits not in range(
            2, n_samples + 1
        ):
            raise ValueError(
                f"n_splits={n_splits!r}, but there are n_samples={n_samples}; pass an "
                "integer of at least 2 and at most n_samples."
            )
        sizes = np.full(n_splits, n_samples // n_splits)
        sizes[: n_samples % n_splits] += 1
        rng = check_random_state(self.random_state)
        fold_of = deal_rows(y, sizes, np.ones(n_splits, dtype=bool), rng)
        for fold in range(n_splits):
            yield np.flatnonzero(fold_of == fold)

    def get_n_splits(self, X=None, y=None, groups=None):
        """Return the number of folds.

        Parameters
        ----------
        X, y, groups : object, default=None
            Ignored; here for scikit-learn's interface.

        Returns
        -------
        n_splits : int
            The parameter.
        """
        return self.n_splits


class IterativeStratifiedShuffleSplit(BaseShuffleSplit):
    """Random train and test sets with equal shares of each label, for sparse labels.

    By iterative stratification, see :class:`IterativeStratifiedKFold`. Labels with one
    row are in the training set, and no label has all of its rows in the test set, where
    the sizes allow it.

    Parameters
    ----------
    n_splits : int, default=10
        Number of splits, each drawn anew.
    test_size : float or int, default=None
        Share or number of test rows; None for what `train_size` leaves, or 0.1.
    train_size : float or int, default=None
        Share or number of training rows; None for what `test_size` leaves.
    random_state : int, RandomState or None, default=None
        Seeds the splits. Pass an int for the same splits in each call.

    See Also
    --------
    IterativeStratifiedKFold : Folds, of which each is the test set once.

    Examples
    --------
    >>> import numpy as np
    >>> from skxmc.model_selection import IterativeStratifiedShuffleSplit
    >>> Y = np.array([[1, 0], [1, 1], [1, 1], [1, 0]])
    >>> splitter = IterativeStratifiedShuffleSplit(1, test_size=0.5, random_state=0)
    >>> train, test = next(splitter.split(Y, Y))
    >>> Y[train].sum(axis=0), Y[test].sum(axis=0)
    (array([2, 1]), array([2, 1]))
    """

    def __init__(
        self, n_splits=10, *, test_size=None, train_size=None, random_state=None
    ):
        super().__init__(
            n_splits,
            test_size=test_size,
            train_size=train_size,
            random_state=random_state,
        )

    def split(self, X, y, groups=None):
        """Generate indices of training and test rows.

        Parameters
        ----------
        X : {array-like, sparse matrix or array} of shape (n_samples, n_features)
            Input rows, of which only the number matters.
        y : {array-like, sparse matrix or array}
            Labels: a 0/1 indicator of shape (n_samples, n_labels), or one class label
            a row, shape (n_samples,).
        groups : object, default=None
            Ignored, with a warning if given.

        Returns
        -------
        splits : iterator of (train, test)
            Numbers of the training rows and of the test rows of each split, ascending.

        Raises
        ------
        ValueError
            If the sizes do not fit the number of rows, or `y` is no indicator and holds
            no class labels.
        """
        _warn_groups(self, groups)
        return super().split(X, _indicator(y, X))

    def _iter_indices(self, X, y, groups=None):
        rng = check_random_state(self.random_state)
        for train, test in super()._iter_indices(X):  # of the sizes asked for
            sizes = [len(train), len(test), y.shape[0] - len(train) - len(test)]
            fold_of = deal_rows(y, sizes, [False, True, True], rng)
            yield np.flatnonzero(fold_of == 0), np.flatnonzero(fold_of == 1)


def _indicator(y, X):
    if y is None:
        raise ValueError("y=None, but the labels decide the split; pass y.")
    check_consistent_length(X, y)
    return encode_targets(y)[0]


def _warn_groups(splitter, groups):
    if groups is not None:
        warnings.warn(
            f"The groups parameter is ignored by {type(splitter).__name__}",
            UserWarning,
            stacklevel=3,
        )
