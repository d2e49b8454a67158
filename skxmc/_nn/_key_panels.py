"""Keys in 8 bits, laid out for the products with one query."""

import numpy as np
import torch

from skxmc._nn._arrays import as_tensor
from skxmc._nn._byte_bags import bags_are_summed, pack_bags, sum_bags
from skxmc._nn._threads import limited_threads
from skxmc._nn._whole_numbers import has_whole_numbers, rounded_rows, whole_rows

# Keys side by side: what a product sums for them stays in the processor's registers.
_WIDTH = 64
# Fewer numbers are multiplied as fast as they are; more are not kept twice.
_MIN_KEPT, _MAX_KEPT = 2**20, 2**28
# Times a query's numbers that are handed to the kernel at once; the cache holds them.
_VALUES_AT_ONCE = 2**16
_EPS = np.finfo(np.float32).eps


class KeyPanels:
    """A copy of keys for rough products with one query at a time.

    Such a product takes as long as it takes to read the keys; these are read in a
    quarter of the time. 64 keys make a panel, which has a row for each component: bytes
    with a scale and an offset of their own, so that a product is a weighted sum of rows
    (`sum_bags`).

    Parameters
    ----------
    keys : ndarray or StoredRows of shape (n_keys, n_components), float32
        Finite.
    """

    def __init__(self, keys):
        self.shape = n_keys, n = keys.shape
        self._keys = keys if has_whole_numbers(keys) else None
        n_panels = -(-n_keys // _WIDTH)
        packed = np.empty((n_panels, n, _WIDTH + 8), dtype=np.uint8)
        self._errors = np.empty((n_panels, _WIDTH), dtype=np.float32)
        for number in range(n_panels):
            rows = slice(number * _WIDTH, (number + 1) * _WIDTH)
            some = keys[rows] if self._keys is None else whole_rows(keys, rows)
            packed[number], self._errors[number] = _pack(some)
        self._packed = torch.from_numpy(packed)
        at_once = max(1, min(n_panels, _VALUES_AT_ONCE // n))
        self._indices = torch.arange(at_once * n)
        self._offsets = torch.arange(0, at_once * n + 1, n)

    def products(self, query):
        """Multiply keys with a query, roughly.

        Parameters
        ----------
        query : ndarray of shape (1, n_components), float32
            Rounded to 8 bits first if the keys are `StoredRows` of no more.

        Returns
        -------
        products, errors : ndarrays of shape (n_keys,), float32
            Inner products, and how far those in float32 may be from each at most.
        """
        n_keys, n = self.shape
        if self._keys is not None:
            query = rounded_rows(query, self._keys)
        at_once = len(self._offsets) - 1
        values = as_tensor(np.tile(query[0], at_once))
        sums = torch.empty(len(self._packed), _WIDTH)
        with limited_threads(True), torch.inference_mode():
            for start in range(0, len(sums), at_once):
                some = self._packed[start : start + at_once]
                m = len(some)
                sums[start : start + m] = sum_bags(
                    some.view(m * n, -1),
                    self._indices[: m * n],
                    self._offsets[: m + 1],
                    values[: m * n],
                )
        errors = self._errors.ravel()[:n_keys] * np.linalg.norm(query)
        return sums.numpy().ravel()[:n_keys], errors


def _pack(keys):
    """Return the rows of a panel, and the lengths of what they lack of its keys.

    By Cauchy and Schwarz, a product with a query is wrong by no more than such a length
    times the query's. What sums of float32 may lose is added.
    """
    columns = np.zeros((keys.shape[1], _WIDTH), dtype=np.float32)
    columns[:, : len(keys)] = keys.T
    least, largest = columns.min(axis=1), columns.max(axis=1)
    scales = np.maximum((largest - least) / np.float32(255), np.float32(1e-30))
    numbers = np.rint((columns - least[:, None]) / scales[:, None]).clip(0, 255)
    missing = columns - (numbers * scales[:, None] + least[:, None])
    sizes = np.abs(least) + (largest - least)
    rounding = 2 * _EPS * len(columns) * np.linalg.norm(sizes)
    errors = np.linalg.norm(missing, axis=0) + rounding
    return pack_bags(numbers.astype(np.uint8), scales, least), errors


def panels_of(keys):
    """Return `KeyPanels`, or None where keys are too few to gain or too many to keep.

    Parameters
    ----------
    keys : ndarray or StoredRows of shape (n_keys, n_components), float32
    """
    n_numbers = keys.shape[0] * keys.shape[1]
    if not _MIN_KEPT <= n_numbers <= _MAX_KEPT or not bags_are_summed():
        return None
    return KeyPanels(keys)
