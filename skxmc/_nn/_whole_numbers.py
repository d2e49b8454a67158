"""Products with `StoredRows` of 8 bits or fewer.

Dense rows are rounded to 8 bits, and products summed as whole numbers: exactly, so
alike in any order, on any machine and whatever else is computed, in a quarter of the
time of float32. Sparse rows are not rounded, and summed as floats.
"""

import threading
import time
from functools import lru_cache
from itertools import pairwise
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch.nn import functional as F

from skxmc._blocks import filled_up
from skxmc._nn._arrays import as_tensor
from skxmc._nn._byte_bags import bags_are_summed, pack_bags, sum_bags
from skxmc._nn._threads import MIN_PARALLEL_WORK, limited_threads
from skxmc._stored import StoredRows

_LARGEST = 127
# Sums of fewer products of two numbers of 8 bits are exact in float32 too.
_MAX_EXACT = 2**24 // _LARGEST**2
# Products computed at once, which the processor's cache holds until they are scaled,
# and rows of a matrix at least, or at once where they are unpacked for it.
_BLOCK_PRODUCTS, _BLOCK_ROWS = 2**17, 512
# Rows that are floats at once, where they have to be: the cache holds them.
_CONVERTED_ROWS = 1024
# Of fewer pairs than this share of all, each row's are computed by themselves.
_LEAST_SHARE = 1 / 16
# What larger matrices are multiplied with is not kept beside them: 256 MiB.
_MAX_KEPT = 2**28
_kept: WeakKeyDictionary[StoredRows, dict] = WeakKeyDictionary()
_lock = threading.Lock()


def has_whole_numbers(weight):
    """Tell whether a matrix is `StoredRows` of 8 bits or fewer.

    Not with scales of 64 columns: such files predict as they did.
    """
    if not isinstance(weight, StoredRows) or weight.scales is None:
        return False
    return weight.n_rounded > 0 and (
        weight.has_one_scale or weight.data.dtype == np.uint8
    )


def whole_linear(h, weight, bias=None, rows=slice(None)):
    """Compute ``h @ weight[rows].T + bias``, `rows` a slice or an int64 tensor."""
    split = _split(h, weight)
    size = _BLOCK_ROWS
    if _is_kept(weight):
        size = max(size, _BLOCK_PRODUCTS // max(1, len(h)))
    out = h.new_empty(len(h), _count(rows, len(weight)))
    for first in range(0, out.shape[1], size):
        part = out[:, first : first + size]
        _products(split, weight, _part(rows, first, part.shape[1]), part)
    return out if bias is None else out.add_(bias)


def whole_matmul(h, weight):
    """Compute ``h @ weight``, without columns kept as they are: (n_rows, n_columns)."""
    some, factors = _whole(weight, slice(None))
    numbers, scales = _rounded(h * factors)
    return _multiply(numbers, some) * scales


def whole_pairs(h, weight, candidates):
    """Compute ``h[row] @ weight[node]`` for each candidate: (n_pairs,)."""
    if len(candidates) >= _LEAST_SHARE * len(h) * len(weight):
        return whole_linear(h, weight).take(candidates.flat_indices)
    split, out = _split(h, weight), h.new_empty(len(candidates))
    ends = candidates.offsets.tolist()
    for row, (start, end) in enumerate(pairwise(ends)):
        own = tuple(part[row : row + 1] for part in split)
        # Few different sizes: code for a product is compiled for each that is met.
        n_missing = filled_up(end - start) - (end - start)
        nodes = F.pad(candidates.nodes[start:end], (0, n_missing))
        part = h.new_empty(1, len(nodes))
        _products(own, weight, nodes, part)
        out[start:end] = part[0, : end - start]
    return out


def rounded_rows(A, B):
    """Return rows as products with a matrix take them: rounded, as floats."""
    numbers, scales, rest = _split(as_tensor(A), B)
    return torch.cat([numbers * scales, rest], dim=1).numpy()


def whole_rows(B, rows):
    """Return rows of a matrix as products take them, as floats: an ndarray."""
    numbers, scales = B.whole(rows)
    return np.hstack([numbers * scales[:, None], B.exact[rows]])


def whole_products(A, B, rows):
    """Compute ``A @ B[rows].T`` of an ndarray and `StoredRows`: an ndarray.

    `rows` is a slice or an ndarray of int64.
    """
    if isinstance(rows, np.ndarray):
        rows = torch.from_numpy(rows)
    is_small = A.size * _count(rows, len(B)) < MIN_PARALLEL_WORK
    with limited_threads(is_small), torch.inference_mode():
        return whole_linear(as_tensor(A), B, rows=rows).numpy()


def can_sum_bags(weight):
    """Tell whether `stored_bags` can be had for a matrix."""
    is_plain = has_whole_numbers(weight) and not weight.exact.shape[1]
    return is_plain and _is_small(weight) and bags_are_summed()


def stored_bags(x, weight):
    """Compute ``x @ weight`` for `SparseRows`: (n_rows, n_columns)."""
    packed = _form(weight, _packed)
    return sum_bags(packed, x.indices, x.offsets, x.values)


def _split(h, weight):
    """Return rows rounded, their scales, and what meets the columns kept exact."""
    return *_rounded(h[:, : weight.n_rounded]), h[:, weight.n_rounded :]


def _products(split, weight, rows, out):
    """Compute the products of what `_split` returns with some rows of a matrix."""
    numbers, scales, rest = split
    some, factors = _whole(weight, rows)
    torch.mul(_multiply(numbers, some.T), factors, out=out)
    out *= scales
    exact = _select(as_tensor(weight.exact), rows)
    for column, own in zip(rest.T, exact.T, strict=True):
        out += column[:, None] * own


def _rounded(h):
    """Return rows as whole numbers, and what those of each are multiplied with."""
    scales = h.abs().amax(dim=1, keepdim=True).div_(_LARGEST).clamp_(min=1e-30)
    return (h / scales).round_().to(torch.int8), scales


def _count(rows, n):
    return len(range(n)[rows]) if isinstance(rows, slice) else len(rows)


def _part(rows, first, size):
    """Return some of the rows that a slice or a tensor names."""
    if isinstance(rows, slice):
        start = (rows.start or 0) + first
        return slice(start, start + size)
    return rows[first : first + size]


def _whole(weight, rows):
    """Return rows of a matrix as whole numbers, and their scales: tensors."""
    if not _is_kept(weight):
        return tuple(map(as_tensor, weight.whole(rows)))
    return tuple(_select(part, rows) for part in _form(weight, _unpacked))


def _is_kept(weight):
    """Whether `_unpacked` is; that of 8 bits takes no memory."""
    return weight.has_one_scale or _is_small(weight)


def _is_small(weight):
    return len(weight) * weight.n_rounded <= _MAX_KEPT


def _select(A, rows):
    # Indexing takes twenty times as long.
    return A[rows] if isinstance(rows, slice) else A.index_select(0, rows)


def _form(weight, make):
    """Return what a function makes of a matrix, kept as long as the matrix is."""
    forms = _kept.setdefault(weight, {})
    if make not in forms:
        with _lock:  # threads that begin together make it once
            if make not in forms:
                forms[make] = make(weight)
    return forms[make]


def _unpacked(weight):
    """Return all rows as `_whole` does; of 8 bits they are those that are stored."""
    if weight.has_one_scale:
        return tuple(map(as_tensor, weight.whole(slice(None))))
    numbers = torch.empty(len(weight), weight.n_rounded, dtype=torch.int8)
    scales = torch.empty(len(weight))
    for rows in _blocks(weight):
        numbers[rows], scales[rows] = map(torch.from_numpy, weight.whole(rows))
    return numbers, scales


def _packed(weight):
    """Return all rows as `sum_bags` reads them."""
    packed = np.empty((len(weight), weight.n_rounded + 8), dtype=np.uint8)
    for rows in _blocks(weight):
        numbers, scales = weight.whole(rows)
        plus_128 = numbers.view(np.uint8) ^ 128
        packed[rows] = pack_bags(plus_128, scales, -128 * scales)
    return torch.from_numpy(packed)


def _blocks(weight):
    starts = range(0, len(weight), _BLOCK_ROWS)
    return (slice(start, start + _BLOCK_ROWS) for start in starts)


def _multiply(a, b):
    """Multiply matrices of whole numbers, exactly: int32."""
    if _int_products_are_fast():
        return torch._int_mm(a, b)
    return _multiply_as_floats(a, b)


def _multiply_as_floats(a, b):
    sums = torch.zeros(len(a), b.shape[1], dtype=torch.int32)
    parts, rows = a.float().split(_MAX_EXACT, 1), b.T
    for start in range(0, len(rows), _CONVERTED_ROWS):
        block = slice(start, start + _CONVERTED_ROWS)
        for some, others in zip(parts, rows[block].split(_MAX_EXACT, 1), strict=True):
            sums[:, block] += (some @ others.float().T).int()
    return sums


@lru_cache(maxsize=1)
def _int_products_are_fast():
    """Try whether products of whole numbers are exact, and faster than as floats.

    Without instructions for them they saturate, or take their time.
    """
    if not torch.backends.mkldnn.is_available():
        return False
    pattern = torch.arange(83 * 1100).view(83, 1100)
    b = ((pattern * pattern // 7) % 255 - 127).to(torch.int8)
    b[:2], a = torch.tensor([[127], [-127]]), b.flip(0)[:64].contiguous()
    exact = a.long() @ b.long().T
    try:
        for some in (a, a[-1:]):
            for others in (b.T, b.T.contiguous()):
                found = torch._int_mm(some, others).long()
                if not torch.equal(found, exact[-len(some) :]):
                    return False
    except (AttributeError, RuntimeError):  # of another torch
        return False
    return _seconds(torch._int_mm, a, b.T) < _seconds(_multiply_as_floats, a, b.T)


def _seconds(multiply, a, b):
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        multiply(a, b)
        seconds.append(time.perf_counter() - start)
    return min(seconds)
