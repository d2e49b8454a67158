"""Losses and probabilities, as functions of tensors."""

import torch
from torch.nn import functional as F


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
    """
    unlikely = torch.log(-torch.expm1(above.clamp(max=0)))  # -inf where above is 0
    false = F.softplus(z) - F.softplus(z + unlikely)
    return torch.where(truth > 0, F.softplus(-z) - above, false)


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
    top = values.new_full((n_segments,), -torch.inf)
    top = top.scatter_reduce(0, segments, values.detach(), "amax")
    shifted = values - top[segments]
    total = values.new_zeros(n_segments).index_add(0, segments, shifted.exp())
    return shifted - total.log()[segments]


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
