"""The product head: a softmax for each digit of a label's code."""

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from skxmc._codes import code_digits, strides
from skxmc._nn._candidates import (
    Candidates,
    candidate_probabilities,
    rank_candidates,
    target_pairs,
)
from skxmc._nn._losses import (
    probability_of_draws,
    segment_log_softmax,
    valid_mass,
)
from skxmc._nn._modules import prior_layer
from skxmc._nn._tables import LabelTable, prior_bias
from skxmc._product_topk import exact_scores, product_topk


class ProductHead(nn.Module):
    """A softmax for each digit; together the exact softmax over all labels.

    With z_h the outputs of head h, ``sum_h log_softmax(z_h)[y_h]`` is the log-softmax
    of all sums of one output a head: the logits of a classifier of low rank. It is
    renormalised over the codes that belong to a label.

    A `LabelTable` can score the best `n_shortlist` labels anew: by a softmax, or, where
    rows have several labels, by a sigmoid each. For these the heads are trained on the
    digits of each label, which tells how often a digit occurs, but not which digits go
    together.

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
    is_single_label : bool
        Whether each row has one label.
    """

    is_single_label: bool = False  # of models stored before a shortlist needed it

    def __init__(
        self,
        n_features,
        head_sizes,
        counts,
        *,
        n_samples,
        n_shortlist,
        n_draws,
        is_single_label,
    ):
        super().__init__()
        self.head_sizes, self.n_labels = head_sizes, len(counts)
        self.n_shortlist, self.n_draws = min(n_shortlist, len(counts)), n_draws
        self.is_single_label = is_single_label
        digits = code_digits(np.arange(len(counts)), head_sizes)
        bias = [
            prior_bias(np.bincount(d, weights=counts, minlength=size), None, True)
            for d, size in zip(digits, head_sizes, strict=True)
        ]
        self.digits = prior_layer(np.concatenate(bias), n_features)
        self.table = None
        if self.n_shortlist:
            prior = prior_bias(counts, n_samples, is_single_label)
            self.table = LabelTable(prior, n_features)
            self.by_frequency = np.argsort(-counts, kind="stable")

    @property
    def takes_votes(self):
        """Whether labels are scored one by one, beside which rows may vote."""
        has_one_digit = self.is_single_label and len(self.head_sizes) == 1
        return self.table is not None or has_one_digit

    @property
    def n_scores(self):
        """How many digits and labels are scored for a row."""
        return sum(self.head_sizes) + self.n_shortlist

    @property
    def directions(self):
        """By what features are multiplied: a list of ndarrays (n, n_features)."""
        digits = self.digits.weight.detach().cpu().numpy()
        return [digits] if self.table is None else [digits, self.table.directions]

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

        The table adds its own among the shortlist and the true labels, a binary one for
        each where a row has several labels.
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
            z = self.table(features, candidates)
            loss = loss + self._table_loss(z, candidates, rows, codes)
        return loss / len(targets)

    def _table_loss(self, z, candidates, rows, codes):
        if self.is_single_label:
            log_p = segment_log_softmax(z, candidates.rows, candidates.n_rows)
            return -log_p[candidates.find(rows, codes)].sum()
        truth = candidates.indicator(rows, codes)
        return F.binary_cross_entropy_with_logits(z, truth, reduction="sum")

    def rank(self, features, k, n_rows=None, votes=None):
        """Rank the k most probable labels of the first rows; the others are padding."""
        if self.table is not None:
            candidates, log_p = self.score(features, n_rows, votes)
            return rank_candidates(candidates, log_p, k, self.by_frequency)
        heads = self._exact_heads(features, n_rows, votes)
        codes, log_p = product_topk(heads, k, self.n_labels)
        return codes, probability_of_draws(log_p, self.n_draws)

    def score_label(self, features, code, n_rows=None, votes=None):
        """Compute the probability of one label for the first rows, an ndarray."""
        if self.table is not None:
            candidates, log_p = self.score(features, n_rows, votes)
            return candidate_probabilities(candidates, log_p, code)
        heads = self._exact_heads(features, n_rows, votes)
        digits = code_digits(code, self.head_sizes)
        log_p = sum(z[:, digit] for z, digit in zip(heads, digits, strict=True))
        return probability_of_draws(log_p, self.n_draws)

    def _exact_heads(self, features, n_rows, votes):
        """Return the digits' log-probabilities for exact sums.

        There are votes only where a single digit is the label, one in each row.
        """
        heads = [log_p[:n_rows] for log_p in self.log_probabilities(features)]
        if votes is not None:
            heads = [votes.raised(heads[0], None, True)]
        return [exact_scores(log_p.cpu().numpy()) for log_p in heads]

    def score(self, features, n_rows=None, votes=None):
        """Score the shortlist; `votes` are `VoteShares`.

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
        z = self.table(features, candidates)
        if self.is_single_label:
            log_p = segment_log_softmax(z, candidates.rows, len(heads[0]))
        else:
            log_p = F.logsigmoid(z)
        if votes is not None:
            log_p = votes.raised(log_p, candidates, self.is_single_label)
        return candidates, log_p

    def _shortlist(self, heads):
        codes, _ = _best_codes(heads, self.n_shortlist, self.n_labels)
        rows = torch.arange(len(codes), device=codes.device)[:, None]
        return rows.expand_as(codes).flatten(), codes.flatten()


def _best_codes(heads, k, n_codes):
    """Find about the k best codes by the sum of their digits' scores.

    Unlike those of `product_topk`, the sums are rounded, and ties stand in any order;
    but all is computed where the scores are.

    Parameters
    ----------
    heads : list of tensor of shape (n_rows, l_h)
        Scores of the digits.
    k : int
        At most n_codes.
    n_codes : int
        Codes from this one on belong to no label, see `product_topk`.

    Returns
    -------
    codes, scores : tensors of shape (n_rows, k)
        Best first.
    """
    step = strides([z.shape[1] for z in heads])[0]
    n_full, rest = divmod(n_codes, step)
    parts = []
    if n_full:
        parts.append(_best_sums([heads[0][:, :n_full], *heads[1:]], k))
    if rest:  # of the last block only the first codes are valid
        n_digits = -(-rest // strides([z.shape[1] for z in heads[1:]])[0])
        others = [heads[1][:, :n_digits], *heads[2:]]
        codes, scores = _best_codes(others, min(k, rest), rest)
        parts.append((codes + n_full * step, scores + heads[0][:, [n_full]]))
    codes, scores = (torch.cat(part, dim=1) for part in zip(*parts, strict=True))
    return _keep_best(codes, scores, k)


def _best_sums(heads, k):
    """Find the k best codes of a whole product: they begin with the best beginnings."""
    scores = heads[0].new_zeros(len(heads[0]), 1)
    codes = scores.long()
    for z in heads:
        digit_scores, digits = z.topk(min(k, z.shape[1]), dim=1)
        i, j = _rank_pairs(k, scores.shape[1], digits.shape[1], z.device)
        codes = codes[:, i] * z.shape[1] + digits[:, j]  # (n_rows, about k log k)
        codes, scores = _keep_best(codes, scores[:, i] + digit_scores[:, j], k)
    return codes, scores


def _rank_pairs(k, n_first, n_second, device):
    """List the ranks (i, j), from 0, whose sums can be among the k best.

    ``(i + 1) * (j + 1) - 1`` others are at least as good.
    """
    counts = (k // torch.arange(1, n_first + 1, device=device)).clamp(max=n_second)
    # Told, because a GPU would be waited for.
    n_pairs = sum(min(k // i, n_second) for i in range(1, n_first + 1))
    i = torch.repeat_interleave(counts, output_size=n_pairs)
    starts = counts.cumsum(0) - counts
    return i, torch.arange(n_pairs, device=device) - starts[i]


def _keep_best(codes, scores, k):
    best = scores.topk(min(k, scores.shape[1]), dim=1).indices
    return codes.gather(1, best), scores.gather(1, best)
