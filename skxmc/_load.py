"""Loading model files: with every class that one may hold in the table."""

import skxmc._declare
import skxmc._mhe
import skxmc._text_classifier
import skxmc._unidec  # noqa: F401
from skxmc._model_files import read_model


def load(path, *, mmap=False, expected_sha256=None, max_bytes=None):
    """Load a model that `save` has written.

    Nothing in the file is executed: it holds numbers and names of settings, and the
    classes of the objects come from a table of skxmc. Damaged files are refused, by the
    digest in them. The digest does not tell who wrote the file: for that, compare it
    with one that you got from whom you trust, by `expected_sha256`.

    Parameters
    ----------
    path : str or path-like
        The file.
    mmap : bool, default=False
        Whether to leave the arrays in the file, and read what predictions need of them.
        Opens a model of any size at once, and processes that open the same file share
        its memory. The digest is then only checked if `expected_sha256` is given.
        The file must not be changed meanwhile (`save` writes a new one in its place).
    expected_sha256 : str or None, default=None
        The digest that the file must have: 64 hexadecimal digits, as `save` returns
        and the file ends in.
    max_bytes : int or None, default=None
        Refuse larger files.

    Returns
    -------
    estimator : object
        The fitted estimator. It predicts on the device that it was trained on, or, with
        a warning, on the CPU where there is no such device.

    Raises
    ------
    CorruptFileError
        If the file is damaged, incomplete or no model file, or has another digest.
    FormatVersionError
        If a newer skxmc has written it.
    ValueError
        If it is larger than `max_bytes`.

    Examples
    --------
    >>> import skxmc, tempfile, os
    >>> from skxmc.datasets import make_xmc_classification
    >>> X, Y = make_xmc_classification(50, 20, 8, random_state=0)
    >>> model = skxmc.DECLAREClassifier(n_components=4, random_state=0).fit(X, Y)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "model.skxmc")
    ...     digest = model.save(path)
    ...     again = skxmc.load(path, expected_sha256=digest)
    >>> bool((again.predict(X) != model.predict(X)).nnz)
    False
    """
    return read_model(
        path, mmap=mmap, expected_sha256=expected_sha256, max_bytes=max_bytes
    )
