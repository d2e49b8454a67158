"""Scores of whole groups of labels, other groups for each row, by dense products.

Pairs of a row and a group are sorted by group. A bundle of neighbouring groups is
scored at once for all of their pairs, and of the scores only those of a pair's own
group are kept. Where groups are small this wastes arithmetic, but takes less time than
to treat each group by itself; and where they are large, less memory and time than to
list each pair of a row and a label.
"""

import math
from typing import NamedTuple

import torch
from torch.nn import functional as F

from skxmc._nn._threads import thread_count

# Labels of a bundle, if a group has fewer. On a GPU, where each call is a launch, more.
_BUNDLE_LABELS, _BUNDLE_LABELS_ON_DEVICE = 32, 2048


class Bundle(NamedTuple):
    """Neighbouring groups of labels, and the pairs (row, group) to score.

    Attributes
    ----------
    pairs : slice
    rows : int64 tensor of shape (n_pairs,)
        Row of each pair.
    place : int64 tensor of shape (n_pairs, 1, group_size)
        Which of the groups is that of each pair, the same number all along.
    shape : tuple of int
        Number of groups, and of labels in each.
    labels : slice
        Rows of the table with these labels,
    missing : tuple of int
        but for so many of the first and of the last, which the table does not have.
    """

    pairs: slice
    rows: torch.Tensor
    place: torch.Tensor
    shape: tuple
    labels: slice
    missing: tuple

    def score(self, features, weight):
        """Score each pair's labels, shape (n_pairs, group_size); 0 for missing ones."""
        scores = features.index_select(0, self.rows) @ weight[self.labels].T
        if any(self.missing):
            scores = F.pad(scores, self.missing)
        if self.shape[0] == 1:
            return scores
        return scores.view(-1, *self.shape).gather(1, self.place).squeeze(1)

    def spread(self, grad):
        """Return the gradient of the scores of all labels that the table has."""
        grad = grad[self.pairs]
        if self.shape[0] > 1:
            spread = grad.new_zeros(len(grad), *self.shape)
            grad = spread.scatter_(1, self.place, grad[:, None]).flatten(1)
        first, last = self.missing
        return grad[:, first : grad.shape[1] - last]


def bundles(rows, groups, group_size, span):
    """Put pairs of rows and groups into bundles.

    Parameters
    ----------
    rows, groups : int64 tensors of shape (n_pairs,)
        Sorted by group.
    group_size : int
        Group g has the labels ``g * group_size`` to ``(g + 1) * group_size - 1``.
    span : slice
        The labels that the table has.

    Returns
    -------
    bundles : list of Bundle
        Some of the labels of each are in the table.
    """
    on_cpu = rows.device.type == "cpu"
    n_labels = _BUNDLE_LABELS if on_cpu else _BUNDLE_LABELS_ON_DEVICE
    n_groups = math.ceil(n_labels / group_size)
    numbers, counts = torch.unique_consecutive(groups // n_groups, return_counts=True)
    places = (groups % n_groups)[:, None, None].expand(-1, 1, group_size)
    width = n_groups * group_size
    parts, stop = [], 0
    for number, count in zip(numbers.tolist(), counts.tolist(), strict=True):
        first, start, stop = number * width, stop, stop + count
        low, high = max(first, span.start), min(first + width, span.stop)
        if low < high:
            part = Bundle(
                slice(start, stop),
                rows[start:stop],
                places[start:stop],
                (n_groups, group_size),
                slice(low - span.start, high - span.start),
                (low - first, first + width - high),
            )
            parts.append(part)
    return parts


class GroupProducts(torch.autograd.Function):
    """The scores of the labels of pairs, whose gradient of the weight stays sparse."""

    @staticmethod
    def forward(ctx, weight, features, parts, shape):
        ctx.weight, ctx.features, ctx.parts = weight, features, parts
        scores = features.new_zeros(shape)
        for part in parts:
            scores[part.pairs] = part.score(features, weight)
        return scores

    @staticmethod
    def backward(ctx, grad_output):
        weight, features, parts = ctx.weight, ctx.features, ctx.parts
        grad = torch.zeros_like(features)
        for part in parts:
            part_grad = part.spread(grad_output) @ weight[part.labels]
            grad.index_add_(0, part.rows, part_grad)
        weight.row_gradients.append(GroupGradient(grad_output, features, parts))
        return None, grad, None, None


class GroupGradient(NamedTuple):
    """The gradient of a table from those of the scores of groups."""

    grad: torch.Tensor
    features: torch.Tensor
    parts: list

    def blocks(self, size):
        """Yield (rows, gradient of these rows), at most `size` rows a time."""
        for part in self.parts:
            labels = torch.arange(part.labels.start, part.labels.stop)
            labels = labels.to(self.grad.device)
            features = self.features.index_select(0, part.rows)
            grad = part.spread(self.grad).T  # (n_labels, n_pairs)
            for some, g in zip(labels.split(size), grad.split(size), strict=True):
                yield some, _steady_product(g, features)


@thread_count(1)
def _steady_product(grad, features):
    """Multiply: of few pairs, the rounding depends on the number of threads."""
    return grad @ features
