"""Matrix products that round a row alike wherever it stands, and among how many."""

from functools import lru_cache

import numpy as np
import torch
from torch.nn import functional as F

from skxmc._blocks import BLOCK_ROWS, FEW_ROWS, LEAST_ROWS, filled_up
from skxmc._nn._arrays import as_tensor
from skxmc._nn._threads import MIN_PARALLEL_WORK, limited_threads
from skxmc._nn._whole_numbers import has_whole_numbers, whole_linear
from skxmc._stored import StoredRows, chunks

# From 12 outputs on, MKL copies both factors into blocks first. With a margin.
_MIN_PACKED_OUTPUTS = 64
# Rows of a group's product, or as many as others have, and what its columns are a
# multiple of: the code of a product is compiled for each shape that is met.
_GROUP_HEIGHTS, _GROUP_WIDTH = (LEAST_ROWS, FEW_ROWS, 16, 32), 64
# Outcomes of `_few_round_alike`, and numbers that a trial may copy: 64 MiB.
_tried: dict[tuple, bool] = {}
_MAX_TRIED = 2**24


def steady_linear(h, weight, bias=None):
    """Compute ``h @ weight.T + bias``, and round a row alike wherever it stands.

    On the CPU in inference, that is. oneDNN does so for two rows and columns or more;
    where it cannot be had, one thread does in products of one height.
    """
    if has_whole_numbers(weight):
        return whole_linear(h, weight, bias)
    if isinstance(weight, StoredRows):
        parts = [steady_linear(h, torch.from_numpy(part)) for part in chunks(weight)]
        out = torch.cat(parts, dim=1)
        return out if bias is None else out + bias
    if not torch.is_inference_mode_enabled() or h.device.type != "cpu":
        h, weight = _aligned(h, weight)
        return F.linear(h, weight, bias)
    if products_are_steady() and weight.dtype == torch.float32:
        return _by_onednn(h, weight, bias)
    return _at_one_height(h, weight, bias)


def steady_products(A, B):
    """Compute ``A @ B.T``, each entry rounded alike whatever is beside it.

    Only where `products_are_steady`.

    Parameters
    ----------
    A, B : ndarray of shape (n, d) and (m, d), float32

    Returns
    -------
    products : ndarray of shape (n, m), float32
    """
    h, weight = as_tensor(A), as_tensor(B)
    is_small = A.size * len(B) < MIN_PARALLEL_WORK
    with limited_threads(is_small), torch.inference_mode():
        return _by_onednn(h, weight, None).numpy()


def grouped_products(A, B, groups):
    """Compute the products of consecutive rows of A with some of B, group by group.

    As `steady_products` does, or `whole_products`, and where these can be had.

    Parameters
    ----------
    A : ndarray of shape (n, d), float32
    B : ndarray or StoredRows of shape (m, d), float32
    groups : list of (int, int, int)
        How many rows of A, and where those of B begin and end.

    Returns
    -------
    products : list of ndarray of shape (n_rows, n_columns), float32
    """
    h = F.pad(as_tensor(A), (0, 0, 0, BLOCK_ROWS))
    whole = as_tensor(B) if isinstance(B, np.ndarray) else None
    products, first = [], 0
    with limited_threads(True), torch.inference_mode():
        for n_rows, start, stop in groups:
            width = -(-(stop - start) // _GROUP_WIDTH) * _GROUP_WIDTH
            last = min(start + width, len(B))
            some = h[first : first + _height(n_rows)]
            if whole is not None:
                part = _onednn(some, whole[start:last], None)
            elif has_whole_numbers(B):
                part = whole_linear(some, B, rows=slice(start, last))
            else:
                part = _onednn(some, torch.from_numpy(B[start:last]), None)
            products.append(part[:n_rows, : stop - start].numpy())
            first += n_rows
    return products


def _height(n_rows):
    """Return how many rows a product of a group is given: few different numbers."""
    heights = [n for n in _GROUP_HEIGHTS if n >= n_rows]
    return heights[0] if heights else filled_up(n_rows)


def products_are_steady():
    """Tell whether products on the CPU can be left to oneDNN, in all of float32."""
    return torch.get_float32_matmul_precision() == "highest" and _onednn_is_steady()


@lru_cache(maxsize=1)
def _onednn_is_steady():
    """Try whether oneDNN rounds an entry alike in products of any size."""
    if not torch.backends.mkldnn.is_available():
        return False
    h, weight = _random(BLOCK_ROWS, 519), _random(83, 519)
    with torch.inference_mode():
        try:
            whole = _by_onednn(h, weight, None)
        except (AttributeError, RuntimeError):  # of another torch
            return False
        rows = [_by_onednn(h[:1], weight, None)]
        rows += [_onednn(h[:n], weight, None) for n in _GROUP_HEIGHTS]
        columns = [_by_onednn(h, weight[-n:], None) for n in (1, 2, 17)]
        return torch.allclose(whole, h @ weight.T, atol=1e-3) and all(
            [torch.equal(part, whole[: len(part)]) for part in rows]
            + [torch.equal(part, whole[:, -part.shape[1] :]) for part in columns]
        )


def _by_onednn(h, weight, bias):
    """Multiply, two rows and columns at least: for a vector it has another way."""
    n_rows, n_outputs = len(h), len(weight)
    if n_outputs == 1:
        weight = F.pad(weight, (0, 0, 0, 1))
        bias = bias if bias is None else F.pad(bias, (0, 1))
    n_missing = filled_up(n_rows) - n_rows
    if n_missing:  # few different heights: the code for each is compiled when it is met
        h = F.pad(h, (0, 0, 0, n_missing))
    out = _onednn(h, weight, bias)
    return out[:n_rows, :n_outputs] if n_missing or n_outputs == 1 else out


def _onednn(h, weight, bias):
    return torch.ops.mkldnn._linear_pointwise(h, weight, bias, "none", [], "")


def _at_one_height(h, weight, bias):
    """Multiply, on one thread, as often as it takes for all products to be alike.

    There rounding may depend on a product's height, so all of inference have one.
    """
    h, weight = _aligned(h, weight)
    if len(h) <= BLOCK_ROWS:
        is_few = len(h) <= FEW_ROWS and _few_round_alike(weight, bias)
        height = FEW_ROWS if is_few else BLOCK_ROWS
        filled = F.pad(h, (0, 0, 0, height - len(h)))
        return F.linear(filled, weight, bias)[: len(h)]
    return torch.cat([F.linear(some, weight, bias) for some in h.split(BLOCK_ROWS)])


def _aligned(h, weight):
    """Let rows begin at multiples of 64 bytes, if there are few outputs.

    MKL's result depends on where in memory a row begins there.
    """
    if len(weight) >= _MIN_PACKED_OUTPUTS:
        return h, weight
    n_missing = -h.shape[1] % 16
    return tuple(F.pad(part, (0, n_missing)) for part in (h, weight))


def _few_round_alike(weight, bias):
    """Tell whether FEW_ROWS rows are rounded as BLOCK_ROWS are, tried once a shape.

    Where a library has one kernel for both, they are, in a fifth of the time.
    """
    if weight.numel() > _MAX_TRIED:
        return False
    key = *weight.shape, bias is None
    if key not in _tried:
        # Not of the weights themselves: they may be zero still.
        h, other = _random(BLOCK_ROWS, weight.shape[1]), _random(*weight.shape)
        few = [F.linear(some, other, bias) for some in h.split(FEW_ROWS)]
        _tried[key] = torch.equal(torch.cat(few), F.linear(h, other, bias))
    return _tried[key]


def _random(n_rows, n_columns):
    """Make a random matrix, quickly: its numbers come again after a prime number."""
    some = torch.randn(65_521, generator=torch.Generator().manual_seed(n_rows))
    n = n_rows * n_columns
    return some.repeat(-(-n // len(some)))[:n].view(n_rows, n_columns)
