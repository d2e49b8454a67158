"""Sums of rows kept in bytes, each times a number: torch's `embedding_bag` of bytes."""

from functools import lru_cache

import numpy as np
import torch


def pack_bags(numbers, scales, offsets):
    """Make what `sum_bags` reads: rows of ``numbers * scale + offset``.

    Parameters
    ----------
    numbers : ndarray of shape (n_rows, n_columns), uint8
    scales, offsets : ndarray of shape (n_rows,), float32

    Returns
    -------
    packed : ndarray of shape (n_rows, n_columns + 8), uint8
        Scale and offset of a row at its end, as their bytes.
    """
    packed = np.empty((len(numbers), numbers.shape[1] + 8), dtype=np.uint8)
    packed[:, :-8] = numbers
    packed[:, -8:] = np.stack([scales, offsets], axis=1).view(np.uint8)
    return packed


def sum_bags(packed, indices, offsets, values):
    """Sum rows of `pack_bags`, each times a value.

    Parameters
    ----------
    packed : tensor of shape (n_rows, n_columns + 8), uint8
    indices, values : tensor of shape (n,), int64 and float32
        Rows, and what they are multiplied with.
    offsets : tensor of shape (n_bags + 1,), int64
        Where the rows of each bag begin, and where those of the last end.

    Returns
    -------
    sums : tensor of shape (n_bags, n_columns), float32
    """
    return torch.ops.quantized.embedding_bag_byte_rowwise_offsets(
        packed, indices, offsets, False, 0, False, values, None, True
    )


@lru_cache(maxsize=1)
def bags_are_summed():
    """Try whether `sum_bags` is there, and does what is expected of it."""
    rng = np.random.default_rng(0)
    numbers = rng.integers(0, 256, (50, 70), dtype=np.uint8)
    scales, least = rng.standard_normal((2, 50)).astype(np.float32)
    indices, values = np.arange(40), np.linspace(-1, 1, 40, dtype=np.float32)
    rows = (numbers * scales[:, None] + least[:, None])[:40] * values[:, None]
    expected = [rows[:25].sum(axis=0), np.zeros(70), rows[25:].sum(axis=0)]
    parts = (
        pack_bags(numbers, scales, least),
        indices,
        np.array([0, 25, 25, 40]),
        values,
    )
    try:
        found = sum_bags(*map(torch.from_numpy, parts))
    except (AttributeError, RuntimeError):  # of another torch
        return False
    return np.allclose(found, expected, rtol=1e-4, atol=1e-2)
