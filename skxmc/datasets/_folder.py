"""Train/test data sets stored as one folder of sparse matrices and text files."""

import gzip
import zlib

import scipy.sparse as sp
from sklearn.utils import Bunch

from skxmc.datasets._base import check_binary, get_data_home

_MATRICES = ("X_train", "Y_train", "X_test", "Y_test")

# Bunch key -> (file, the matrix it describes, the axis of that matrix).
_TEXTS = {
    "target_names": ("labels", "Y_train", 1),
    "label_texts": ("label_texts", "Y_train", 1),
    "train_texts": ("train_texts", "Y_train", 0),
    "test_texts": ("test_texts", "Y_test", 0),
    "feature_names": ("features", "X_train", 1),
}

# Pairs of (matrix, axis) that must be of one size.
_SAME_SIZE = (
    (("X_train", 0), ("Y_train", 0)),
    (("X_test", 0), ("Y_test", 0)),
    (("X_train", 1), ("X_test", 1)),
    (("Y_train", 1), ("Y_test", 1)),
)


def load_dataset(name, data_home=None):
    """Load a train/test data set from a folder of the data home.

    The folder ``<data_home>/<name>`` holds the CSR matrices ``X_train.npz``,
    ``Y_train.npz``, ``X_test.npz`` and ``Y_test.npz`` as written by
    :func:`scipy.sparse.save_npz`. It may hold ``labels.txt.gz``,
    ``label_texts.txt.gz``, ``train_texts.txt.gz``, ``test_texts.txt.gz`` and
    ``features.txt.gz`` (UTF-8, line i describes row or column i), and ``README.md``.

    Parameters
    ----------
    name : str
        Name of the folder, without any path separator.
    data_home : str or path-like, default=None
        The folder that holds the data sets, see :func:`get_data_home`.

    Returns
    -------
    :class:`~sklearn.utils.Bunch`
        With these attributes, of which the optional ones are None if the file is
        missing:

        X_train, X_test : csr_array of shape (n_train or n_test, n_features)
            Features, with the values and the dtype of the file.
        Y_train, Y_test : csr_array of shape (n_train or n_test, n_labels)
            Labels, 0 or 1, with the dtype of the file.
        target_names, label_texts : list of str, length n_labels, or None
            Name and description of each label.
        train_texts, test_texts : list of str, length n_train or n_test, or None
            The text that each row was made from.
        feature_names : list of str, length n_features, or None
            Name of each feature.
        DESCR : str or None
            The README of the data set.

    Raises
    ------
    FileNotFoundError
        If the folder or one of its four matrices is missing.
    ValueError
        If `name` is not a plain folder name, a file is damaged, an index is outside
        its matrix, Y has a value other than 0 and 1, or sizes disagree.

    See Also
    --------
    get_data_home : Where data sets are looked for.
    load_xmc_text : Load a text file of the Extreme Classification Repository.

    Examples
    --------
    >>> import tempfile, pathlib, scipy.sparse as sp
    >>> from skxmc.datasets import load_dataset
    >>> with tempfile.TemporaryDirectory() as home:
    ...     folder = pathlib.Path(home, "tiny")
    ...     folder.mkdir()
    ...     for key in ("X_train", "Y_train", "X_test", "Y_test"):
    ...         sp.save_npz(folder / f"{key}.npz", sp.eye_array(3, format="csr"))
    ...     data = load_dataset("tiny", data_home=home)
    >>> data.X_train.shape
    (3, 3)
    """
    folder = _find_folder(name, get_data_home(data_home))
    data = Bunch(**{key: _load_csr(folder / f"{key}.npz") for key in _MATRICES})
    for key in ("Y_train", "Y_test"):
        data[key].sum_duplicates()
        check_binary(data[key], folder / f"{key}.npz")
    for one, other in _SAME_SIZE:
        _check_same_size(data, one, other, folder)
    for key, (stem, matrix, axis) in _TEXTS.items():
        path = folder / f"{stem}.txt.gz"
        data[key] = _load_lines(path, data[matrix].shape[axis])
    readme = folder / "README.md"
    data.DESCR = readme.read_text(encoding="utf-8") if readme.exists() else None
    return data


def _find_folder(name, home):
    """Return the folder of the data set, or say which data sets there are."""
    if name in {"", ".", ".."} or any(char in name for char in "/\\:\0"):
        raise ValueError(
            f"`name` must be the plain name of a folder, got {name!r}; "
            "give the path that leads to it as `data_home`."
        )
    folder = home / name
    missing = [
        f"{key}.npz" for key in _MATRICES if not (folder / f"{key}.npz").exists()
    ]
    if missing:
        found = sorted(path.parent.name for path in home.glob("*/X_train.npz"))
        raise FileNotFoundError(
            f"{folder} lacks {', '.join(missing)}. Data sets in {home}: "
            f"{', '.join(found) or 'none'}. Set the environment variable SKXMC_DATA, "
            "or pass `data_home`, to choose the folder that holds the data sets."
        )
    return folder


def _load_csr(path):
    """Load a CSR matrix whose indices are safe to hand to compiled code."""
    with path.open("rb") as file:
        try:
            matrix = sp.load_npz(file)
            if matrix.format != "csr" or matrix.dtype.kind not in "biuf":
                raise ValueError(f"it holds {matrix!r}")
            # Loading does not look at the indices, and compiled code trusts them.
            matrix.check_format(full_check=True)
        except Exception as error:  # damage shows in a dozen kinds of exception
            raise ValueError(
                f"{path} is not a valid CSR matrix: {error}. Write it anew with "
                "scipy.sparse.save_npz."
            ) from error
    return sp.csr_array(matrix)


def _check_same_size(data, one, other, folder):
    sizes = [data[key].shape[axis] for key, axis in (one, other)]
    if sizes[0] != sizes[1]:
        (key, axis), (other_key, _) = one, other
        what = ("rows", "columns")[axis]
        raise ValueError(
            f"{folder}: {key} has {sizes[0]} {what}, but {other_key} has {sizes[1]}; "
            "they must be equal."
        )


def _load_lines(path, n_expected):
    """Return the lines of a gzip file, or None where there is no such file."""
    if not path.exists():
        return None
    try:
        text = gzip.decompress(path.read_bytes()).decode("utf-8")
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is no gzip file of UTF-8 text ({error}).") from error
    # Not str.splitlines, which also splits at characters such as U+2028.
    lines = text.removesuffix("\n").split("\n") if text else []
    if len(lines) != n_expected:
        raise ValueError(
            f"{path} has {len(lines)} lines, but the matrices have {n_expected} "
            "rows or columns for them; write one line for each."
        )
    return lines
