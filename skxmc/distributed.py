"""Predictions by many processes, each of which opens the same model file."""

import os
from functools import lru_cache

from joblib import Parallel, delayed

from skxmc._load import load

# Models that a process keeps open; they are mapped, not read.
_N_OPEN = 4

__all__ = ["open_model", "predict_topk"]


def open_model(path):
    """Open a model file once in this process, mapped into memory.

    What a worker of Dask, Spark or Ray calls for each part of its data: the first call
    takes milliseconds, the others none, and workers of one machine share the memory of
    the file. A file that has been replaced is opened anew.

    Parameters
    ----------
    path : str or path-like
        A file that `save` has written, which the worker can read.

    Returns
    -------
    model : object
        The fitted estimator, see :func:`skxmc.load`. It is shared: do not change it.

    Examples
    --------
    >>> import os, tempfile
    >>> from skxmc import DECLAREClassifier
    >>> from skxmc.datasets import make_xmc_classification
    >>> from skxmc.distributed import open_model
    >>> X, Y = make_xmc_classification(50, 20, 8, random_state=0)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "model.skxmc")
    ...     _ = DECLAREClassifier(n_components=4, random_state=0).fit(X, Y).save(path)
    ...     open_model(path) is open_model(path)
    True
    """
    path = os.path.realpath(path)
    status = os.stat(path)
    return _open(path, (status.st_ino, status.st_mtime_ns, status.st_size))


@lru_cache(maxsize=_N_OPEN)
def _open(path, version):
    return load(path, mmap=True)


def predict_topk(path, blocks, k=5, *, n_jobs=None):
    """Rank the most probable labels of blocks of rows, in parallel.

    The backend is joblib's, loky or what `joblib.parallel_config` names: "dask" or
    "ray" for workers on other machines. The model does not travel: each worker opens
    the file.

    Parameters
    ----------
    path : str or path-like
        A file that `save` has written, where all workers can read it.
    blocks : iterable
        Blocks of rows, such as sparse matrices or, for an `XMCTextClassifier`, lists of
        texts. Taken as workers become free, so it may be a generator that reads files.
    k : int, default=5
        How many labels to rank.
    n_jobs : int or None, default=None
        How many processes; None for what `joblib.parallel_config` says, else one.

    Returns
    -------
    rankings : generator of (indices, scores)
        The rankings of a block, arrays of shape (n_rows, k) as from `predict_topk` of
        the estimators; block by block, in the order of `blocks`.

    Examples
    --------
    >>> import os, tempfile
    >>> from skxmc import DECLAREClassifier
    >>> from skxmc.datasets import make_xmc_classification
    >>> from skxmc.distributed import predict_topk
    >>> X, Y = make_xmc_classification(50, 20, 8, random_state=0)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "model.skxmc")
    ...     _ = DECLAREClassifier(n_components=4, random_state=0).fit(X, Y).save(path)
    ...     parts = predict_topk(path, [X[:20], X[20:]], k=3)
    ...     [indices.shape for indices, scores in parts]
    [(20, 3), (30, 3)]
    """
    path = os.path.realpath(path)
    tasks = (delayed(_rank_block)(path, block, k) for block in blocks)
    return Parallel(n_jobs=n_jobs, return_as="generator")(tasks)


def _rank_block(path, block, k):
    return open_model(path).predict_topk(block, k=k)
