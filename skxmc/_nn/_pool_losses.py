"""Losses over a pool of labels that all rows of a batch share.

Each takes scores and truth, tensors of shape (n_rows, n_pool), float and bool, and
returns the loss of each row, shape (n_rows,), float32; 0 for a row without a positive.
With s the scores of a row, p its positives and j one of them:

- supcon: ``-mean_j log(e^s_j / sum_l e^s_l)``
- decoupled: ``-mean_j log(e^s_j / (e^s_j + sum_(l not in p) e^s_l))``
- balanced: ``-mean_j log(e^s_j / (mean_(l in p) e^s_l + sum_(l not in p) e^s_l))``
- bce: ``sum_j softplus(-s_j) + sum_(l not in p) softplus(s_l)``
"""

import torch
from torch.nn import functional as F

# Instead of -inf, whose log-sum-exp has no gradient.
_FAR_BELOW = -1e30


def supcon(scores, truth):
    """Compute the softmax over the pool of each positive (InfoNCE of several)."""
    scores = scores.float()
    rows, own = _positives(scores, truth)
    return _mean_over_positives(scores.logsumexp(1)[rows] - own, rows, truth)


def decoupled(scores, truth):
    """Compute the softmax of each positive against the negatives alone."""
    scores = scores.float()
    rows, own = _positives(scores, truth)
    negatives = scores.masked_fill(truth, _FAR_BELOW).logsumexp(1)
    return _mean_over_positives(F.softplus(negatives[rows] - own), rows, truth)


def balanced(scores, truth):
    """Compute the softmax of each positive against negatives and a mean positive."""
    scores = scores.float()
    rows, own = _positives(scores, truth)
    log_count = truth.sum(1, keepdim=True).clamp(min=1).log()
    total = (scores - truth * log_count).logsumexp(1)
    return _mean_over_positives(total[rows] - own, rows, truth)


def bce(scores, truth):
    """Compute the binary cross-entropy of each label of the pool, summed."""
    scores = scores.float()
    rows, own = _positives(scores, truth)
    # -log(sigmoid(s)) = softplus(s) - s
    losses = F.softplus(scores).sum(1).index_add(0, rows, -own)
    return losses * truth.any(1)


POOL_LOSSES = {
    "supcon": supcon,
    "infonce": supcon,
    "decoupled": decoupled,
    "balanced": balanced,
    "bce": bce,
}


def pool_loss(name, scores, truth, *, symmetric):
    """Compute the mean loss of the rows that have a positive.

    Parameters
    ----------
    name : str
        Key of `POOL_LOSSES`.
    scores, truth : tensors of shape (n_rows, n_pool), float and bool
    symmetric : bool
        Whether to average it with the loss of the labels, whose positives are rows.

    Returns
    -------
    loss : tensor of shape (), float32
    """
    return _PoolLoss.apply(scores, truth, name, symmetric)


class _PoolLoss(torch.autograd.Function):
    """`pool_loss` that keeps its gradient, not what it is computed from.

    That would be several arrays of the scores' size for each direction.
    """

    @staticmethod
    def forward(ctx, scores, truth, name, symmetric):
        needs_gradient = ctx.needs_input_grad[0]
        total, gradient = 0.0, torch.zeros_like(scores, dtype=torch.float32)
        directions = [(scores, truth, gradient)]
        if symmetric:
            directions.append((scores.T, truth.T, gradient.T))
        for own, positives, part in directions:
            with torch.set_grad_enabled(needs_gradient):
                own = own.detach().float().requires_grad_(needs_gradient)
                losses = POOL_LOSSES[name](own, positives)
                loss = losses.sum() / positives.any(1).sum().clamp(min=1)
            total = total + loss.detach() / len(directions)
            if needs_gradient:
                part += torch.autograd.grad(loss, own)[0] / len(directions)
        ctx.save_for_backward(gradient)
        ctx.dtype = scores.dtype
        return total

    @staticmethod
    def backward(ctx, grad_output):
        (gradient,) = ctx.saved_tensors
        return (grad_output * gradient).to(ctx.dtype), None, None, None


def _positives(scores, truth):
    """Return the row and the score of each positive: few, beside n_rows x n_pool."""
    rows, labels = truth.nonzero(as_tuple=True)
    return rows, scores[rows, labels]


def _mean_over_positives(losses, rows, truth):
    totals = losses.new_zeros(len(truth)).index_add(0, rows, losses)
    return totals / truth.sum(1).clamp(min=1)
