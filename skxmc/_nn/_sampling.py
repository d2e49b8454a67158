"""The sampling head: a full classifier, trained on a few groups of labels a row."""

import math

import torch
from torch import nn

from skxmc._codes import level_sizes, strides
from skxmc._nn._candidates import target_pairs
from skxmc._nn._losses import probability_of_draws, row_logsumexp
from skxmc._nn._tables import LabelTable, prior_bias
from skxmc._topk import topk_dense


class SamplingHead(nn.Module):
    """A softmax over all labels, in training over the true group and some others.

    Parameters
    ----------
    n_features : int
        Length of the features.
    head_sizes : tuple of int
        The first digit of a label's code is its group.
    counts : ndarray of shape (n_labels,), int
        Training rows of each label.
    n_sampled_groups : int
        Groups that each label of a row is told apart from, its own among them.
    n_draws : float
        Mean number of labels of a row; 1 if each has one.
    """

    takes_votes = False  # several labels are draws of one softmax

    def __init__(self, n_features, head_sizes, counts, *, n_sampled_groups, n_draws):
        super().__init__()
        self.n_labels, self.n_draws = len(counts), n_draws
        self.group_size = strides(head_sizes)[0]
        self.n_groups = level_sizes(len(counts), head_sizes)[0]
        self.n_others = min(n_sampled_groups, self.n_groups) - 1
        self.table = LabelTable(prior_bias(counts, None, True), n_features)
        self.generator = None  # set for training by `seed_generators`

    @property
    def n_scores(self):
        """How many labels are scored for a row, all."""
        return self.n_labels

    @property
    def directions(self):
        """By what features are multiplied: a list of one (n_labels, n_features)."""
        return [self.table.directions]

    def loss(self, features, targets):
        """Compute the sampled cross-entropy, a mean over the labels of all rows.

        The labels of the n_others groups, drawn from all n_groups - 1, stand for those
        of all other groups: their logits are raised by the log of that ratio.
        """
        rows, codes = target_pairs(targets)
        own = codes // self.group_size
        groups = torch.cat([own[:, None], self._draw_others(own)], dim=1)  # (n, S)
        # A group is scored at once for all labels that are told apart from its own.
        sorted_groups, order = groups.flatten().sort(stable=True)
        z = self.table.group_scores(
            features, rows[order // groups.shape[1]], sorted_groups, self.group_size
        )  # (n * S, group_size)
        n_last = self.n_labels - (self.n_groups - 1) * self.group_size
        z[sorted_groups == self.n_groups - 1, n_last:] = -torch.inf
        places = order.argsort().view_as(groups)
        true = z[places[:, 0], codes % self.group_size]  # (n,)
        totals = row_logsumexp(z).index_select(0, places.flatten()).view_as(places)
        if self.n_others:
            raised = math.log((self.n_groups - 1) / self.n_others)
            totals = torch.cat([totals[:, :1], totals[:, 1:] + raised], dim=1)
        return (row_logsumexp(totals) - true).sum() / max(len(codes), 1)

    def rank(self, features, k, n_rows=None, votes=None):
        """Rank the k most probable labels of the first rows; the others are padding."""
        codes, log_p = topk_dense(self._log_probabilities(features, n_rows), k)
        return codes, probability_of_draws(log_p, self.n_draws)

    def score_label(self, features, code, n_rows=None, votes=None):
        """Compute the probability of one label for the first rows, an ndarray."""
        log_p = self._log_probabilities(features, n_rows)[:, code]
        return probability_of_draws(log_p, self.n_draws)

    def _log_probabilities(self, features, n_rows):
        scores = self.table.all_scores(features)[:n_rows]
        return scores.log_softmax(1).cpu().numpy()

    def score(self, features):
        """Return (None, None): all labels are scored, and no list of them is made."""
        return None, None

    def _draw_others(self, own):
        """Draw distinct groups beside each row's own, by Floyd's algorithm."""
        drawn = own[:, None]
        for last in range(self.n_groups - self.n_others, self.n_groups):
            # One more group is added to what may be drawn; if the draw is taken
            # already, it is that one. The groups are counted without the own one.
            new = torch.randint(
                last, own.shape, generator=self.generator, device=own.device
            )
            taken = (_skip(new, own)[:, None] == drawn[:, 1:]).any(1)
            new = _skip(torch.where(taken, last - 1, new), own)
            drawn = torch.cat([drawn, new[:, None]], dim=1)
        return drawn[:, 1:]


def _skip(numbers, own):
    """Turn numbers that leave out `own` into group numbers."""
    return numbers + (numbers >= own).long()
