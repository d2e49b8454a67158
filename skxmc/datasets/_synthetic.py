"""Synthetic long-tailed sparse data of any size."""

from numbers import Integral, Real

import numpy as np
import scipy.sparse as sp
from sklearn.feature_extraction.text import TfidfTransformer
from sklearn.utils import check_random_state, gen_batches
from sklearn.utils._param_validation import Interval, validate_params

from skxmc.datasets._base import index_dtype

_BATCH_ROWS = 2**16  # bounds the memory of temporaries


@validate_params(
    {
        "n_samples": [Interval(Integral, 1, None, closed="left")],
        "n_features": [Interval(Integral, 1, None, closed="left")],
        "n_labels": [Interval(Integral, 1, None, closed="left")],
        "n_labels_per_sample": [Interval(Real, 1, None, closed="left")],
        "n_nonzero": [Interval(Real, 1, None, closed="left")],
        "label_skew": [Interval(Real, 0, None, closed="left")],
        "noise": [Interval(Real, 0, 1, closed="both")],
        "random_state": ["random_state"],
    },
    prefer_skip_nested_validation=True,
)
def make_xmc_classification(
    n_samples=1000,
    n_features=5000,
    n_labels=500,
    *,
    n_labels_per_sample=3.0,
    n_nonzero=30,
    label_skew=1.0,
    noise=0.1,
    random_state=None,
):
    r"""Generate a sparse multi-label problem with a long tail of rare labels.

    Each label owns a few features, its topic. A row draws its labels from a Zipf
    distribution, then most of its features from the topics of its labels and the rest
    from a common background. Every row has at least one label and one feature.

    Parameters
    ----------
    n_samples : int, default=1000
        Number of rows.
    n_features : int, default=5000
        Number of columns of `X`.
    n_labels : int, default=500
        Number of columns of `Y`. Rare labels may have no row.
    n_labels_per_sample : float, default=3.0
        Mean number of label draws of a row, at least 1. Repeated draws count once, so
        that rows have slightly fewer labels.
    n_nonzero : float, default=30
        Mean number of feature draws of a row, at least 1. Repeated draws raise the
        weight of a feature, so that rows have somewhat fewer non-zeros. Also the
        number of features that a label owns, rounded up.
    label_skew : float, default=1.0
        Exponent of the Zipf distribution; 0 makes all labels equally frequent.
    noise : float, default=0.1
        Share of the feature draws that come from the background.
    random_state : int, RandomState instance or None, default=None
        Pass an int for the same data at each call.

    Returns
    -------
    X : csr_array of shape (n_samples, n_features), dtype float32
        Positive TF-IDF weights, rows of unit length.
    Y : csr_array of shape (n_samples, n_labels), dtype int8
        The labels, stored as ones. Columns are in no order of frequency.

    Raises
    ------
    ValueError
        If a parameter is out of its range.

    See Also
    --------
    sklearn.datasets.make_multilabel_classification : Dense data, few labels.

    Notes
    -----
    A draw gives the label of rank :math:`r` with probability
    :math:`p_r \propto r^{-s}`, where :math:`s` is `label_skew`. A row makes
    :math:`1 + \mathrm{Poisson}(m - 1)` draws, where :math:`m` is
    `n_labels_per_sample`, so that the label is present with probability
    :math:`1 - (1 - p_r) \exp(-(m - 1) p_r)`.

    Time and memory grow with the non-zeros of the result plus
    ``n_labels * n_nonzero`` for the topics.

    Examples
    --------
    >>> from skxmc.datasets import make_xmc_classification
    >>> X, Y = make_xmc_classification(n_samples=100, random_state=0)
    >>> X.shape, Y.shape
    ((100, 5000), (100, 500))
    >>> int(Y.sum(axis=1).min())
    1
    """
    rng = check_random_state(random_state)
    Y = _draw_labels(n_samples, n_labels, n_labels_per_sample, label_skew, rng)
    topics = rng.randint(
        n_features,
        size=(n_labels, int(np.ceil(n_nonzero))),
        dtype=index_dtype(n_features),
    )
    background = rng.permutation(n_features)
    counts = sp.vstack(
        [
            _draw_features(Y[rows], topics, background, n_nonzero, noise, rng)
            for rows in gen_batches(n_samples, _BATCH_ROWS)
        ],
        format="csr",
    )
    X = TfidfTransformer(sublinear_tf=True).fit_transform(counts)
    return sp.csr_array(X), Y


def _draw_labels(n_samples, n_labels, mean, skew, rng):
    """Draw each row's labels; columns are shuffled, rank must not show in them."""
    n_draws = 1 + rng.poisson(mean - 1, size=n_samples)
    labels = rng.permutation(n_labels)[_draw_ranks(n_labels, skew, n_draws.sum(), rng)]
    Y = _count_draws(labels, n_draws, n_labels)
    return sp.csr_array(
        (np.ones(Y.nnz, dtype=np.int8), Y.indices, Y.indptr), shape=Y.shape
    )


def _draw_features(Y, topics, background, mean, noise, rng):
    """Draw each row's features from the topics of its labels and the background."""
    n_draws = 1 + rng.poisson(mean - 1, size=Y.shape[0])
    row = np.repeat(np.arange(Y.shape[0]), n_draws)
    nth_label = rng.random_sample(row.size) * np.diff(Y.indptr)[row]
    label = Y.indices[Y.indptr[row] + nth_label.astype(np.intp)]
    feature = topics[label, rng.randint(topics.shape[1], size=row.size)]
    is_noise = rng.random_sample(row.size) < noise
    # As in text, a few background words are very common.
    ranks = _draw_ranks(background.size, 1.0, is_noise.sum(), rng)
    feature[is_noise] = background[ranks]
    return _count_draws(feature, n_draws, background.size)


def _draw_ranks(n, exponent, size, rng):
    """Draw from 0..n-1 with probability proportional to (rank + 1) ** -exponent."""
    cumulative = np.cumsum(np.arange(1, n + 1, dtype=np.float64) ** -exponent)
    return np.searchsorted(cumulative, rng.uniform(0, cumulative[-1], size=size))


def _count_draws(columns, n_draws, n_columns):
    """Return the CSR matrix that counts how often each row drew each column."""
    dtype = index_dtype(columns.size, n_columns)
    indptr = np.concatenate([[0], np.cumsum(n_draws)]).astype(dtype)
    ones = np.ones(columns.size, dtype=np.float32)
    counts = sp.csr_array(
        (ones, columns.astype(dtype, copy=False), indptr),
        shape=(n_draws.size, n_columns),
    )
    counts.sum_duplicates()
    return counts
