"""Training states in a folder, from which a fit that was killed goes on.

A checkpoint is an archive, see `skxmc._archive`. It names the problem whose training it
belongs to: data and parameters, numbers of arrays by their checksum.
"""

import os
import sys
import zlib
from contextlib import contextmanager
from numbers import Integral
from pathlib import Path

import numpy as np
import scipy.sparse as sp
from sklearn.frozen import FrozenEstimator
from sklearn.utils import check_random_state

from skxmc._archive import Format, read_archive, write_archive
from skxmc._model_tree import decode, encode
from skxmc._version import __version__
from skxmc.exceptions import CorruptFileError, TrainingDivergedError

_FORMAT = Format("skxmc-checkpoint", 1, "a checkpoint of skxmc")
_NAME, _LOCK = "training.skxmc", "lock"
# What may change when a training goes on: nothing that it computes hangs on these.
_FREE = {"checkpoint", "callbacks", "verbose", "device", "distributed"}
_FREE |= {"threshold", "n_top_labels", "neighbor_weight"}
# What taking up a state raises that is none of this training.
_WRONG = (AttributeError, LookupError, RuntimeError, TypeError, ValueError)


class Checkpoint:
    """The state of one training, in a folder.

    Parameters
    ----------
    folder : Path
        An existing folder.
    problem : dict of str to plain values
        See `describe_problem`.
    random_state : int, RandomState or None
        As in the estimators.

    Attributes
    ----------
    state : dict or None
        What was written last.
    rng : numpy RandomState
        As the interrupted fit had it in the beginning.

    Raises
    ------
    ValueError
        If the folder holds the training of another problem.
    CorruptFileError
        If what is in the folder is damaged.
    """

    def __init__(self, folder, problem, random_state):
        self.folder, self.path, self.problem = folder, folder / _NAME, problem
        saved = self._read() if self.path.exists() else None
        self.state = None if saved is None else saved["state"]
        if saved is not None:
            self._seed, self._rng_state = saved["seed"], saved["rng"]
        elif isinstance(random_state, Integral):
            self._seed = int(random_state)
        else:
            self._seed = check_random_state(random_state).randint(2**31)
        self.rng = np.random.RandomState(self._seed)

    def write(self, state):
        """Write a state in the place of the last one, which a failure leaves there.

        Parameters
        ----------
        state : dict
            Plain values, ndarrays, and dicts and sequences of them.
        """
        rng = self.rng.get_state(legacy=False)
        parts = {
            "problem": self.problem,
            "seed": self._seed,
            "rng": rng,
            "state": state,
        }
        node, arrays = encode(parts)
        write_archive(self.path, _FORMAT, {"training": node}, arrays)

    def restore_rng(self):
        """Bring `rng` to where it was when the state was written."""
        with self.corrupt_if_wrong():
            self.rng.set_state(self._rng_state)

    @contextmanager
    def corrupt_if_wrong(self):
        """Turn errors of what takes a saved state up into `CorruptFileError`."""
        try:
            yield
        except _WRONG as error:
            raise self._corrupt(f"{error!r}.") from error

    def _read(self):
        try:
            saved = read_archive(self.path, _FORMAT, _build)
        except CorruptFileError as error:
            raise self._corrupt(error) from error
        self._check_problem(saved["problem"])
        return saved

    def _check_problem(self, before):
        changes = [
            f"{name} was {before.get(name)!r} and is {self.problem.get(name)!r}"
            for name in sorted(before.keys() | self.problem.keys())
            if before.get(name) != self.problem.get(name)
        ]
        if changes:
            raise ValueError(
                f"checkpoint={str(self.folder)!r} holds the unfinished training of "
                f"another problem: {'; '.join(changes)}. Fit as before to go on with "
                "it, or remove the folder to start anew."
            )

    def _corrupt(self, reason):
        return CorruptFileError(
            f"The checkpoint {self.path} is damaged: {reason} Remove the folder to "
            "train anew."
        )


@contextmanager
def open_checkpoint(folder, random_state, make_problem):
    """Give the `Checkpoint` of a folder, or None; empty it once the training is over.

    Parameters
    ----------
    folder : str, path-like or None
        Is made if it is not there. None gives None.
    random_state : int, RandomState or None
        As in the estimators.
    make_problem : callable
        Returns the problem, see `describe_problem`.

    Raises
    ------
    ValueError
        If another fit uses the folder, or as `Checkpoint` does.
    """
    if folder is None:
        yield None
        return
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with _locked(folder):
        for left_over in folder.glob(f".{_NAME}.*.tmp"):  # by a process that was killed
            left_over.unlink()
        checkpoint = Checkpoint(folder, make_problem(), random_state)
        try:
            yield checkpoint
        except TrainingDivergedError:
            checkpoint.path.unlink(missing_ok=True)  # it would diverge again
            raise
        checkpoint.path.unlink(missing_ok=True)


@contextmanager
def _locked(folder):
    """Keep other fits out of a folder; the system lets go when a process ends."""
    with open(folder / _LOCK, "ab") as file:
        try:
            _lock(file)
        except (BlockingIOError, PermissionError) as error:
            raise ValueError(
                f"checkpoint={str(folder)!r} is in use by another fit; give each fit a "
                "folder of its own, and None in a search over parameters."
            ) from error
        yield


def _lock(file):
    if sys.platform == "win32":
        import msvcrt

        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
    else:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def describe_problem(estimator, X, Y, form):
    """Describe all that the outcome of a training hangs on, as plain values.

    Parameters
    ----------
    estimator : object
        Whose parameters are described, and, with `warm_start`, whose network.
    X, Y : csr_array
        The training data.
    form : TargetForm
        The form that y had.
    """
    params = estimator.get_params(deep=False)
    parts = {name: value for name, value in params.items() if name not in _FREE}
    parts |= {
        "estimator": type(estimator).__name__,
        "version of skxmc": __version__,
        "X": X,
        "y": Y,
        "form of y": "classes" if form.is_single_label else "indicator",
    }
    if estimator.warm_start:
        parts["model to go on from"] = getattr(estimator, "_encoder", None)
    return {name: _describe(value) for name, value in parts.items()}


def _describe(value):
    """Describe a value as a plain one, the same in each process."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if sp.issparse(value):
        value = value.tocsr()
        checksum = _checksum(value.indptr, value.indices, value.data)
        return f"{value.shape} with {value.nnz} entries, CRC {checksum}"
    if hasattr(value, "to_numpy"):
        value = value.to_numpy()
    if isinstance(value, np.ndarray) and value.dtype != object:
        return f"{value.shape} of {value.dtype}, CRC {_checksum(value)}"
    if isinstance(value, list | tuple | np.ndarray):
        parts = [_describe(part) for part in value]
        if len(parts) <= 20:
            return parts
        return f"{len(parts)} values, CRC {zlib.crc32(repr(parts).encode()):08x}"
    if isinstance(value, dict):
        return {str(key): _describe(part) for key, part in value.items()}
    return _describe_object(value)


def _describe_object(value):
    if isinstance(value, FrozenEstimator):
        value = value.estimator
    # Of a fitted model, training goes on from nothing but the network.
    encoder = getattr(value, "_encoder", value)
    network = getattr(encoder, "module", encoder)
    name = type(value).__name__
    if hasattr(network, "state_dict"):
        arrays = [part.cpu().float().numpy() for part in network.state_dict().values()]
        return f"{name}, CRC {_checksum(*arrays)}"
    if hasattr(value, "get_params"):
        return {"class": name, **_describe(value.get_params(deep=False))}
    return name


def _checksum(*arrays):
    crc = 0
    for array in arrays:
        crc = zlib.crc32(
            np.ascontiguousarray(array).reshape(-1).view(np.uint8).data, crc
        )
    return f"{crc:08x}"


def _build(config, arrays):
    saved = decode(config.get("training"), arrays)
    names = {"problem": dict, "seed": int, "rng": dict, "state": dict}
    if not isinstance(saved, dict) or any(
        type(saved.get(name)) is not kind for name, kind in names.items()
    ):
        raise CorruptFileError("it has no state of a training.")
    return saved
