"""The product head: a softmax for each digit of a label's code."""

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from skxmc._codes import code_digits
from skxmc._nn._candidates import (
    Candidates,
    candidate_probabilities,
    rank_candidates,
    target_pairs,
)
from skxmc._nn._losses import probability_of_draws, valid_mass
from skxmc._nn._modules import prior_layer
from skxmc._nn._tables import LabelTable, prior_bias
from skxmc._product_topk import exact_scores, product_topk


class ProductHead(nn.Module):
    """A softmax for each digit; together the exact softmax over all labels.

    With z_h the outputs of head h, ``sum_h log_softmax(z_h)[y_h]`` is the log-softmax
    of all sums of one output a head: the logits of a classifier of low rank. It is
    renormalised over the codes that belong to a label.

    For rows with several labels it is trained on the digits of each, which tells how
    often a digit occurs, but not which digits go together. A `LabelTable` then scores
    the best `n_shortlist` labels anew.

    Parameters
    ----------
    n_features : int
        Length of the features.
    head_sizes : tuple of int
        Sizes of the heads.
    counts : ndarray of shape (n_labels,), int
        Training rows of each label.
    n_samples : int
        Number of training rows.
    n_shortlist : int
        Labels to score anew; 0 for none.
    n_draws : float
        Mean number of labels of a row; 1 if each has one.
    """

    def __init__(
        self, n_features, head_sizes, counts, *, n_samples, n_shortlist, n_draws
    ):
        super().__init__()
        self.head_sizes, self.n_labels = head_sizes, len(counts)
        self.n_shortlist, self.n_draws = min(n_shortlist, len(counts)), n_draws
        digits = code_digits(np.arange(len(counts)), head_sizes)
        bias = [
            prior_bias(np.bincount(d, weights=counts, minlength=size), None, True)
            for d, size in zip(digits, head_sizes, strict=True)
        ]
        self.digits = prior_layer(np.concatenate(bias), n_features)
        self.table = None
        if self.n_shortlist:
            self.table = LabelTable(prior_bias(counts, n_samples, False), n_features)
            self.by_frequency = np.argsort(-counts, kind="stable")

    @property
    def n_scores(self):
        """How many digits and labels are scored for a row."""
        return sum(self.head_sizes) + self.n_shortlist

    def log_probabilities(self, features):
        """Return log-probabilities of the digits, a (n_rows, l_h) tensor a head.

        The first head's are shifted so that the probabilities of all labels sum to 1.
        """
        outputs = self.digits(features).split(self.head_sizes, dim=1)
        first, *others = (z.log_softmax(1) for z in outputs)
        mass = valid_mass([log_p.exp() for log_p in (first, *others)], self.n_labels)
        return [first - mass.log()[:, None], *others]

    def loss(self, features, targets):
        """Compute the cross-entropy, each row's shared among its labels.

        The table adds the binary cross-entropy of the shortlist and the true labels.
        """
        heads = self.log_probabilities(features)
        rows, codes = target_pairs(targets)
        digits = code_digits(codes, self.head_sizes)
        log_p = sum(z[rows, d] for z, d in zip(heads, digits, strict=True))
        weights = 1 / targets.offsets.diff().clamp(min=1)
        loss = -(log_p * weights[rows]).sum()
        if self.table is not None:
            chosen = self._shortlist([z.detach() for z in heads])
            pairs = chosen, (rows, codes)
            candidates = Candidates.union(len(targets), self.n_labels, *pairs)
            truth = candidates.indicator(rows, codes)
            z = self.table(features, candidates)
            loss = loss + F.binary_cross_entropy_with_logits(z, truth, reduction="sum")
        return loss / len(targets)

    def rank(self, features, k, n_rows=None):
        """Rank the k most probable labels of the first rows; the others are padding."""
        if self.table is not None:
            candidates, log_p = self.score(features, n_rows)
            return rank_candidates(candidates, log_p, k, self.by_frequency)
        heads = _to_exact(self.log_probabilities(features), n_rows)
        codes, log_p = product_topk(heads, k, self.n_labels)
        return codes, probability_of_draws(log_p, self.n_draws)

    def score_label(self, features, code, n_rows=None):
        """Compute the probability of one label for the first rows, an ndarray."""
        if self.table is not None:
            candidates, log_p = self.score(features, n_rows)
            return candidate_probabilities(candidates, log_p, code)
        heads = _to_exact(self.log_probabilities(features), n_rows)
        digits = code_digits(code, self.head_sizes)
        log_p = sum(z[:, digit] for z, digit in zip(heads, digits, strict=True))
        return probability_of_draws(log_p, self.n_draws)

    def score(self, features, n_rows=None):
        """Score the shortlist.

        Returns
        -------
        candidates : Candidates or None
            The labels; None for all, of which no list is made.
        log_p : tensor of shape (n_pairs,) or None
            Their log-probabilities.
        """
        if self.table is None:
            return None, None
        heads = [log_p[:n_rows] for log_p in self.log_probabilities(features)]
        chosen = self._shortlist(heads)
        candidates = Candidates.union(len(heads[0]), self.n_labels, chosen)
        return candidates, F.logsigmoid(self.table(features, candidates))

    def _shortlist(self, heads):
        codes, _ = product_topk(_to_exact(heads), self.n_shortlist, self.n_labels)
        rows = np.repeat(np.arange(len(codes)), codes.shape[1])
        pair = torch.from_numpy(rows), torch.from_numpy(codes.ravel())
        return tuple(part.to(heads[0].device) for part in pair)


def _to_exact(heads, n_rows=None):
    return [exact_scores(log_p[:n_rows].cpu().numpy()) for log_p in heads]
