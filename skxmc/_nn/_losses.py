"""Losses and probabilities, as functions of tensors."""

import numpy as np
import torch
from torch.nn import functional as F

from skxmc._nn._threads import thread_count

# Rows of logits whose losses are formed at a time, to be added up.
_BLOCK_ROWS = 64


def path_cross_entropy(z, above, truth):
    """Compute the binary cross-entropy of ``p = exp(above) * sigmoid(z)``.

    ``-log(1 - p) = softplus(z) - softplus(z + log(1 - exp(above)))`` loses nothing to
    rounding, and for ``above = 0`` is the usual ``softplus(z)``.

    Parameters
    ----------
    z : float tensor of shape (n,)
        Logits of nodes given their parents.
    above : float tensor of shape (n,)
        Log-probabilities of the parents, at most 0.
    truth : float tensor of shape (n,)
        1 for true nodes, 0 for others.

    Returns
    -------
    losses : tensor of shape (n,)
        With a gradient for z alone.
    """
    return _PathCrossEntropy.apply(z, above, truth)


class _PathCrossEntropy(torch.autograd.Function):
    """`path_cross_entropy` that keeps one number a node for its gradient, not nine."""

    @staticmethod
    @thread_count(1)  # see log_sigmoid
    def forward(ctx, z, above, truth):
        # -inf where above is 0
        shifted = z + torch.log(-torch.expm1(above.clamp(max=0)))
        is_true = truth > 0
        slope = torch.where(is_true, -(-z).sigmoid(), z.sigmoid() - shifted.sigmoid())
        ctx.save_for_backward(slope)
        false = F.softplus(z) - F.softplus(shifted)
        return torch.where(is_true, F.softplus(-z) - above, false)

    @staticmethod
    def backward(ctx, grad_output):
        (slope,) = ctx.saved_tensors
        return slope * grad_output, None, None


def summed_cross_entropy(z, places):
    """Sum the binary cross-entropies of an array of logits.

    Parameters
    ----------
    z : float tensor of shape (n_rows, n_nodes)
    places : int64 tensor of shape (n_true,)
        Places, each once, of the true ones in the flattened array; all others are
        false.

    Returns
    -------
    loss : tensor of shape ()
        ``softplus(z).sum() - z.flatten()[places].sum()``
    """
    return _SummedCrossEntropy.apply(z, places)


class _SummedCrossEntropy(torch.autograd.Function):
    """`summed_cross_entropy` that makes one array for its gradient, not four."""

    @staticmethod
    @thread_count(1)  # see log_sigmoid
    def forward(ctx, z, places):
        true = places // z.shape[1], places % z.shape[1]
        ctx.slope = z.sigmoid()
        ctx.slope[true] -= 1
        false = sum(F.softplus(some).sum() for some in z.split(_BLOCK_ROWS))
        return false - z[true].sum()

    @staticmethod
    def backward(ctx, grad_output):
        slope, ctx.slope = ctx.slope, None  # the graph outlives the optimiser's step
        return slope.mul_(grad_output), None


def segment_log_softmax(values, segments, n_segments):
    """Compute log-softmax within groups of entries.

    Parameters
    ----------
    values : float tensor of shape (n,)
    segments : int64 tensor of shape (n,)
        Group of each entry.
    n_segments : int
        Number of groups.

    Returns
    -------
    log_probabilities : tensor of shape (n,)
    """
    total = segment_logsumexp(values, segments, n_segments)
    return values - total.index_select(0, segments)


def row_logsumexp(values):
    """Compute log-sum-exp of each row, shape (n_rows,).

    As its parts: the gradient of torch's own computes exponentials anew, on threads.
    """
    top = values.detach().amax(1, keepdim=True)
    with thread_count(1):  # see log_sigmoid
        powers = (values - top).exp()
        return top[:, 0] + powers.sum(1).log()


def segment_logsumexp(values, segments, n_segments):
    """Compute log-sum-exp within groups of entries, shape (n_segments,)."""
    top = values.new_full((n_segments,), -torch.inf)
    top = top.scatter_reduce(0, segments, values.detach(), "amax")
    total = values.new_zeros(n_segments)
    with thread_count(1):  # see log_sigmoid
        return top + total.index_add(0, segments, (values - top[segments]).exp()).log()


@thread_count(1)
def log_sigmoid(z):
    """Compute ``log(sigmoid(z))``.

    On one thread: where the share of a thread ends amid a vector register, torch rounds
    the rest otherwise, and what is learned must not depend on the number of threads.
    """
    return F.logsigmoid(z)


def valid_mass(probabilities, n_codes):
    """Compute the probability of the codes below `n_codes` in a product space.

    Parameters
    ----------
    probabilities : list of tensors of shape (n_rows, l_h)
        Probabilities of the digits, each head's summing to 1.
    n_codes : int
        At least 1, at most the product of the l_h.

    Returns
    -------
    mass : tensor of shape (n_rows,)
    """
    first, *others = probabilities
    step = 1
    for p in others:
        step *= p.shape[1]
    n_full, rest = divmod(n_codes, step)
    mass = first[:, :n_full].sum(1)
    if rest:
        mass = mass + first[:, n_full] * valid_mass(others, rest)
    return mass


def probability_of_draws(log_p, n_draws):
    """Compute the probability to be drawn at least once: ``1 - (1 - p) ** n_draws``.

    It takes the labels of a row for draws from a softmax.

    Parameters
    ----------
    log_p : ndarray, float
        Log-probabilities of a single draw.
    n_draws : float
        Mean number of draws; may be a fraction.

    Returns
    -------
    probabilities : ndarray of the same shape, float32
    """
    p = np.exp(np.minimum(log_p, 0)).astype(np.float64)
    if n_draws != 1:
        with np.errstate(divide="ignore"):  # log(0) is meant where p is 1
            p = -np.expm1(n_draws * np.log1p(-p)) if n_draws else np.zeros_like(p)
    return p.astype(np.float32)
