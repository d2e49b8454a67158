"""What rows go through first: no column, nor a common mean, outweighs all else in X.

And columns without a value in training are left out, of which nothing is learned.
"""

import warnings

import numpy as np
import scipy.sparse as sp
from sklearn.preprocessing import normalize

from skxmc._mapped import MappedCSR, count_columns, csr_blocks, is_mapped

# Largest share of a column in the sum of all, and how many times an equal share it may
# be in any case: of few columns, each has a large one.
_MAX_SHARE, _MAX_RATIO = 0.05, 1.5
# Variance, in units of the squared mean, that rounding alone may leave of a constant.
_ROUNDING = 1e-10
# Stored values that are summed at once, in 64 bits.
_CHUNK = 2**20


class Balance:
    """A map of rows, ``((x - mean) * scale)[columns]``.

    Parameters
    ----------
    scale : ndarray of shape (n_features,), float32
        From 0 to 1.
    mean : ndarray of shape (n_features,), float32, or None
        None where rows are not centred and stay sparse.
    norm : float
        Root mean square norm of the rows it was fitted to.
    columns : ndarray of shape (n_columns,), int64, or None
        Sorted; the others have the scale 0. None for all. Rows are not centred then.

    Attributes
    ----------
    n_columns : int
        Number of columns of the rows that it returns.
    places : ndarray of shape (n_features,), int32, or None
        Where these are among the columns; 0 for those that are left out.
    """

    def __init__(self, scale, mean, norm, columns=None):
        self.scale, self.mean, self.norm, self.columns = scale, mean, norm, columns
        self.n_columns = len(scale) if columns is None else len(columns)
        self.places = None
        if columns is not None:
            self.places = np.zeros(len(scale), dtype=np.int32)
            self.places[columns] = np.arange(len(columns))

    def __reduce__(self):
        """Pickle what it was made of, and of columns left out nothing."""
        if self.columns is None:
            return Balance, (self.scale, self.mean, self.norm)
        is_kept = np.zeros(len(self.scale), dtype=bool)
        is_kept[self.columns] = True
        others = self.columns[self.scale[self.columns] != 1]
        parts = np.packbits(is_kept), others, self.scale[others], self.norm
        return _of_columns, (len(self.scale), *parts)

    def __call__(self, X):
        """Map the rows of a canonical CSR array, each by itself, to another one.

        Of a `MappedCSR`, rows are mapped when they are read.
        """
        if is_mapped(X):
            X = MappedCSR(X)
            X.row_map = self
            return X
        if self.mean is None:
            data, indices = self.scale[X.indices], X.indices
            data *= X.data
            if self.places is not None:
                indices = self.places[indices]
            shape = X.shape[0], self.n_columns
            return _without_zeros(data, indices, X.indptr, shape)
        n, d = X.shape
        data = X.toarray()
        with np.errstate(over="ignore", invalid="ignore"):
            data -= self.mean
            data *= self.scale
        np.nan_to_num(data, copy=False)  # of numbers close to the largest ones
        indices = np.tile(np.arange(d, dtype=np.int32), n)
        return _without_zeros(data.ravel(), indices, np.arange(n + 1) * d, X.shape)

    def warn_of_new_columns(self, X):
        """Warn if rows that training goes on with have values in columns left out."""
        if self.columns is None:
            return
        counts = count_columns(X)
        n_new = np.count_nonzero(counts) - np.count_nonzero(counts[self.columns])
        if n_new:
            warnings.warn(
                f"{n_new} columns of X had no values when the model was first fitted, "
                "and are ignored. To learn from columns that come later, set "
                "warm_start=True before the first fit, or begin with partial_fit.",
                UserWarning,
                stacklevel=6,  # the caller of fit, which scikit-learn wraps
            )

    def map_labels(self, features):
        """Map what labels are described by: unit rows, in the columns of X.

        They are mapped as if they had the length of rows. Mostly empty ones, such as
        the name of a column, are directions: they have no part in the common mean.

        Parameters
        ----------
        features : csr_array of shape (n_labels, n_features), float32

        Returns
        -------
        features : csr_array of shape (n_labels, n_columns)
            Of unit length.
        """
        plain = Balance(self.scale, None, 1.0, self.columns)
        if self.mean is None:
            return normalize(plain(features))
        # The mean is brought to unit rows instead, whose squares are in no danger.
        mean = (self.mean / self.norm).astype(np.float32)
        centred = Balance(self.scale, mean, 1.0)
        full = _is_dense(np.diff(features.indptr), features.shape[1])
        parts = plain(features[~full]), centred(features[full])
        order = np.argsort(np.append(np.flatnonzero(~full), np.flatnonzero(full)))
        return normalize(sp.csr_array(sp.vstack(parts, format="csr"))[order])


def _of_columns(n_features, is_kept, others, scale, norm):
    """Make a `Balance` of columns, as bits, which have the scale 1 but for some."""
    full = np.unpackbits(is_kept, count=n_features).astype(np.float32)
    columns = np.flatnonzero(full)
    full[others] = scale
    return Balance(full, None, norm, columns)


def fit_balance(X, *, all_columns=False):
    """Find out what map of the rows X needs.

    Rows are centred where they are mostly dense, and more than half of their mean
    square is that of the mean row. Of the columns, those that have more than 5 % of the
    sum over all (of few columns, more than 1.5 equal shares) are shrunk to that share:
    of the variances where rows are centred, else of the mean squares. All others keep
    their scale. Empty columns of rows that are not centred are left out.

    Parameters
    ----------
    X : csr_array of shape (n_samples, n_features), float32
        Training rows, canonical.
    all_columns : bool, default=False
        Keep empty columns too, which later rows may have.

    Returns
    -------
    balance : Balance or None
        None where there is nothing to do.
    """
    n, d = X.shape
    n_stored, sums, squares = _column_sums(X)
    mean, energy = sums / n, squares / n
    norm = float(np.sqrt(energy.sum()))
    if _is_dense(n_stored / n, d) and 2 * (mean @ mean) > energy.sum():
        variance = np.maximum(energy - mean**2, 0)
        variance[variance <= _ROUNDING * energy] = 0
        if not variance.any():
            return None  # all rows are alike
        # Constants say nothing, whatever they are in other rows; empty columns may.
        is_constant = (variance == 0) & (mean != 0)
        scale = np.where(is_constant, 0, cap_scales(variance))
        return Balance(scale.astype(np.float32), mean.astype(np.float32), norm)
    scale, columns = cap_scales(energy), None
    if not all_columns and energy.any() and not energy.all():
        columns = np.flatnonzero(energy)
        scale[energy == 0] = 0
    if (scale == 1).all():
        return None
    return Balance(scale.astype(np.float32), None, norm, columns)


def cap_scales(energy):
    """Compute what columns are multiplied by so that none has too large a share.

    Parameters
    ----------
    energy : ndarray of shape (n_features,), float64
        Mean squares of the columns, before.

    Returns
    -------
    scale : ndarray of shape (n_features,), float64
        From 0 to 1; ``energy * scale**2`` has no entry above the largest share of its
        sum, and is `energy` where that is below it.
    """
    largest = np.sort(energy[energy > 0])[::-1]
    if not len(largest):
        return np.ones_like(energy)
    share = max(_MAX_SHARE, _MAX_RATIO / len(largest))
    # With m columns at the limit a: a = share * (m * a + what the others have).
    m = np.arange(int((1 - 1e-9) / share) + 1)
    others = np.cumsum(largest[::-1])[::-1]
    limits = share * others[m] / (1 - m * share)
    fits = largest[m] <= limits * (1 + 1e-9)
    fits[-1] = True  # but for rounding
    limit = limits[fits.argmax()]
    above = energy > limit * (1 + 1e-9)
    return np.where(above, np.sqrt(limit / np.where(above, energy, 1)), 1.0)


def _column_sums(X):
    """Return the number of stored values; sums and squares of columns in 64 bits."""
    d = X.shape[1]
    n_stored, sums, squares = 0, np.zeros(d), np.zeros(d)
    for _, block in csr_blocks(X):
        n_stored += block.nnz
        for start in range(0, block.nnz, _CHUNK):
            some = slice(start, start + _CHUNK)
            columns, values = block.indices[some], block.data[some].astype(np.float64)
            sums += np.bincount(columns, values, d)
            squares += np.bincount(columns, values**2, d)
    return n_stored, sums, squares


def _is_dense(n_stored, n_features):
    return n_stored > n_features / 2


def _without_zeros(data, indices, indptr, shape):
    rows = sp.csr_array((data, indices, indptr), shape=shape)
    if not data.all():
        rows = rows.copy()  # the structure may be the caller's
        rows.eliminate_zeros()
    return rows
