"""Losses over a pool of labels that all rows of a batch share.

With s the scores of a row, p its positives and j one of them:

- supcon: ``-mean_j log(e^s_j / sum_l e^s_l)``
- decoupled: ``-mean_j log(e^s_j / (e^s_j + sum_(l not in p) e^s_l))``
- balanced: ``-mean_j log(e^s_j / (mean_(l in p) e^s_l + sum_(l not in p) e^s_l))``
- bce: ``sum_j softplus(-s_j) + sum_(l not in p) softplus(s_l)``

Each takes scores, float32 of shape (n_rows, n_pool), and `Positives`, and returns the
losses, shape (n_rows,), and their gradients, shape (n_rows, n_pool), both 0 for a row
without a positive. A row's loss depends on its own scores alone, so that these are the
slopes of their sum. The scores are what a step spends most memory on: gradients are
written out, which takes one array of that size where autograd keeps four.
"""

from dataclasses import dataclass
from functools import cached_property

import torch
from torch.nn import functional as F

# Instead of -inf, of which the row with no other score would make NaN.
_FAR_BELOW = -1e30


@dataclass(frozen=True)
class Positives:
    """Where the positives of `n_rows` rows are: few, beside n_rows x n_pool.

    Parameters
    ----------
    rows, columns : int64 tensors of shape (n_positives,)
    n_rows : int
    """

    rows: torch.Tensor
    columns: torch.Tensor
    n_rows: int

    @cached_property
    def present(self):
        """Whether a row has a positive, shape (n_rows,)."""
        return self._counts > 0

    @cached_property
    def counts(self):
        """Positives of each row, 1 for one without, shape (n_rows,)."""
        return self._counts.clamp(min=1)

    @cached_property
    def _counts(self):
        # Not bincount: a GPU is waited for, to know how long its result is.
        zeros = self.rows.new_zeros(self.n_rows)
        return zeros.index_add_(0, self.rows, torch.ones_like(self.rows))

    def mean(self, values):
        """Average values of the positives of each row, shape (n_rows,)."""
        totals = values.new_zeros(self.n_rows).index_add(0, self.rows, values)
        return totals / self.counts


def supcon(scores, positives):
    """Compute the softmax over the pool of each positive (InfoNCE of several)."""
    return _against_all(scores, scores.clone(), positives)


def balanced(scores, positives):
    """Compute the softmax of each positive against negatives and a mean positive."""
    at = positives.rows, positives.columns
    others = scores.clone()
    others[at] -= positives.counts[positives.rows].log()
    return _against_all(scores, others, positives)


def decoupled(scores, positives):
    """Compute the softmax of each positive against the negatives alone."""
    at = positives.rows, positives.columns
    others = scores.clone()
    others[at] = _FAR_BELOW
    negatives, shares = _softmax(others)
    ahead = negatives[positives.rows] - scores[at]
    # loss = softplus(logsumexp(negatives) - s_j), whose slope is the sigmoid
    slopes = ahead.sigmoid()
    shares *= positives.mean(slopes)[:, None]
    shares[at] -= slopes / positives.counts[positives.rows]
    return positives.mean(F.softplus(ahead)), shares


def bce(scores, positives):
    """Compute the binary cross-entropy of each label of the pool, summed."""
    at = positives.rows, positives.columns
    # -log(sigmoid(s)) = softplus(s) - s
    losses = F.softplus(scores).sum(1).index_add(0, positives.rows, -scores[at])
    slopes = scores.sigmoid()
    slopes[at] -= 1
    return losses * positives.present, slopes.mul_(positives.present[:, None])


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
    """`pool_loss` with the gradients that the losses write out."""

    @staticmethod
    def forward(ctx, scores, truth, name, symmetric):
        rows, columns = truth.nonzero(as_tuple=True)
        own, loss = scores.float(), POOL_LOSSES[name]
        total, gradient = _mean(loss, own, Positives(rows, columns, len(own)))
        if symmetric:
            mirrored = Positives(columns, rows, own.shape[1])
            other, part = _mean(loss, own.T, mirrored)
            total = (total + other) / 2
            gradient = gradient.add_(part.T).div_(2)
        ctx.save_for_backward(gradient)
        ctx.dtype = scores.dtype
        return total

    @staticmethod
    def backward(ctx, grad_output):
        (gradient,) = ctx.saved_tensors
        return (grad_output * gradient).to(ctx.dtype), None, None, None


def _mean(loss, scores, positives):
    """Return the mean loss of the rows that have a positive, and its gradient."""
    losses, gradient = loss(scores, positives)
    n_present = positives.present.sum().clamp(min=1)
    return losses.sum() / n_present, gradient.div_(n_present)


def _against_all(scores, others, positives):
    """Compute ``mean_j (logsumexp(others) - s_j)``; `others` is written over."""
    at = positives.rows, positives.columns
    total, shares = _softmax(others)
    shares *= positives.present[:, None]
    shares[at] -= 1 / positives.counts[positives.rows]
    return positives.mean(total[positives.rows] - scores[at]), shares


def _softmax(scores):
    """Return log-sum-exp (n_rows,) and softmax (n_rows, n_pool), in place of scores."""
    top = scores.amax(1, keepdim=True)
    sums = scores.sub_(top).exp_().sum(1, keepdim=True)
    return (top + sums.log()).squeeze(1), scores.div_(sums)
