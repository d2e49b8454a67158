"""The cascade head: a tree of labels, of which few branches are scored."""

import numpy as np
import torch
from torch import nn

from skxmc._codes import level_sizes, strides
from skxmc._nn._candidates import (
    Candidates,
    candidate_probabilities,
    rank_candidates,
    target_pairs,
)
from skxmc._nn._losses import (
    log_sigmoid,
    path_cross_entropy,
    segment_log_softmax,
    summed_cross_entropy,
)
from skxmc._nn._modules import prior_layer
from skxmc._nn._tables import LabelTable, prior_bias
from skxmc._topk import topk_dense


class CascadeHead(nn.Module):
    """A tree of labels, of which only the most promising branches are scored.

    The first level is an ordinary layer. Of each further level a `LabelTable` scores
    the children of the best `n_candidates` nodes of the level above, in training those
    of the best `n_trained` and of all true nodes. The probability of a label is the
    product of those along its path. With a single level this is one-vs-all.

    Parameters
    ----------
    n_features : int
        Length of the features.
    head_sizes : tuple of int
        Branches at each level.
    counts : list of ndarray of int
        Training rows of each node, one array a level; the last is that of the labels.
    n_samples : int
        Number of training rows.
    n_candidates : int
        Nodes of a level whose children are scored.
    n_trained : int
        The same in training, beside the true nodes; fewer do.
    is_single_label : bool
        Whether siblings exclude each other (softmax) or not (a sigmoid each).
    """

    takes_votes = True  # labels are scored one by one

    def __init__(
        self,
        n_features,
        head_sizes,
        counts,
        *,
        n_samples,
        n_candidates,
        n_trained,
        is_single_label,
    ):
        super().__init__()
        self.head_sizes, self.n_labels = head_sizes, len(counts[-1])
        self.level_sizes = level_sizes(self.n_labels, head_sizes)
        self.n_candidates, self.n_trained = n_candidates, n_trained
        self.is_single_label = is_single_label
        bias = prior_bias(counts[0], n_samples, is_single_label)
        self.root = prior_layer(bias, n_features)
        self.tables = nn.ModuleList()
        levels = zip(head_sizes[1:], counts[:-1], counts[1:], strict=True)
        for size, above, below in levels:
            parents = above[np.arange(len(below)) // size]
            bias = prior_bias(below, parents, is_single_label)
            self.tables.append(LabelTable(bias, n_features))
        self.by_frequency = np.argsort(-counts[-1], kind="stable")

    @property
    def n_scores(self):
        """How many nodes are scored for a row at once, at most."""
        below = max(self.head_sizes[1:], default=0)
        return max(self.level_sizes[0], self.n_candidates * below)

    @property
    def directions(self):
        """By what features are multiplied: a list of ndarrays (n_nodes, n_features)."""
        root = self.root.weight.detach().cpu().numpy()
        return [root, *(table.directions for table in self.tables)]

    def loss(self, features, targets):
        """Compute the cross-entropy: a sum over levels and nodes, a mean over rows.

        Where siblings do not exclude each other, a node is judged by the probability of
        its path, so that a false one counts the less the less likely its parent is. The
        parent's part is a constant in it: a level learns from its own nodes alone.
        """
        rows, codes = target_pairs(targets)
        true = [(rows, codes // step) for step in strides(self.head_sizes)]
        loss, levels = 0.0, self._levels(features, true)
        for pair in true:  # no level is kept here while the next is scored
            loss = loss + self._level_loss(next(levels), pair)
        return loss / len(targets)

    def rank(self, features, k, n_rows=None, votes=None):
        """Rank the k most probable labels of the first rows; the others are padding."""
        if self._is_flat:
            # Logits are in the order of their probabilities, of which few are needed.
            z = self._all_logits(features, n_rows, votes)
            codes, z = topk_dense(z.cpu().numpy(), k)
            log_p = log_sigmoid(torch.from_numpy(z)).numpy()
            return codes, np.exp(np.minimum(log_p, 0))
        candidates, log_p = self.score(features, n_rows, votes)
        if candidates is None:
            codes, log_p = topk_dense(log_p.cpu().numpy(), k)
            return codes, np.exp(np.minimum(log_p, 0))
        return rank_candidates(candidates, log_p, k, self.by_frequency)

    def score_label(self, features, code, n_rows=None, votes=None):
        """Compute the probability of one label for the first rows, an ndarray."""
        candidates, log_p = self.score(features, n_rows, votes)
        if candidates is not None:
            return candidate_probabilities(candidates, log_p, code)
        return np.exp(np.minimum(log_p[:, code].cpu().numpy(), 0))

    def score(self, features, n_rows=None, votes=None):
        """Score the labels below the best nodes; `votes` are `VoteShares`.

        Returns
        -------
        candidates : Candidates or None
            The labels; None for all.
        log_p : tensor of shape (n_pairs,) or (n_rows, n_labels)
            Their log-probabilities.
        """
        if self._is_flat:
            return None, log_sigmoid(self._all_logits(features, n_rows, votes))
        *_, (candidates, z, own, above) = self._levels(features, n_rows=n_rows)
        log_p = _path(z, own, above)
        if votes is not None:
            log_p = votes.raised(log_p, candidates, self.is_single_label)
        return candidates, log_p

    @property
    def _is_flat(self):
        """Whether labels have a sigmoid each, of one level."""
        return not self.tables and not self.is_single_label

    def _all_logits(self, features, n_rows, votes):
        z = self.root(features)[:n_rows]
        return z if votes is None else votes.raised_logits(z)

    def _levels(self, features, true=None, n_rows=None):
        """Yield, level by level, what is scored and how.

        That is the candidates (None: all nodes of the first level), their logits,
        log-probabilities given their parents (None: the log-sigmoid of the logits), and
        the parents' log-probabilities.
        """
        z = self.root(features)[:n_rows]  # (n_rows, l_1)
        n_rows = len(z)
        own = z.log_softmax(1) if self.is_single_label else None
        scored, above = None, 0.0
        yield scored, z, own, above
        for level, table in enumerate(self.tables):
            # The logits of the first level order its nodes, and few are looked up.
            is_logit = scored is None and own is None
            log_p = z.detach() if is_logit else _path(z, own, above)
            del z, own  # large, as log_p is
            chosen = self._choose(scored, log_p, true and true[level])
            kept = Candidates.union(n_rows, self.level_sizes[level], *chosen)
            above = _look_up(scored, log_p, kept)  # (n_kept,)
            del log_p
            above = log_sigmoid(above) if is_logit else above
            n_nodes = self.level_sizes[level + 1]
            scored, parents = kept.children(self.head_sizes[level + 1], n_nodes)
            z, above = table(features, scored), above[parents]  # (n_scored,)
            own = None
            if self.is_single_label:
                own = segment_log_softmax(z, parents, len(kept))
            del parents
            yield scored, z, own, above

    def _choose(self, scored, log_p, true):
        """Choose the nodes whose children are scored: the true ones, and the best."""
        if true is not None and self.is_single_label:
            # A softmax among siblings learns nothing from the children of other nodes.
            return [true]
        if true is None:
            return [_best_nodes(scored, log_p, self.n_candidates)]
        return [true, _best_nodes(scored, log_p, self.n_trained)]

    def _level_loss(self, level, true):
        (scored, z, own, above), (rows, nodes) = level, true
        if scored is None and self.is_single_label:
            return -own[rows, nodes].sum()
        if self.is_single_label:
            return -own[scored.find(rows, nodes)].sum()
        if scored is None:
            # A node may be that of several labels of a row.
            places = torch.unique(rows * z.shape[1] + nodes)
            return summed_cross_entropy(z, places)
        return path_cross_entropy(z, above, scored.indicator(rows, nodes)).sum()


def _path(z, own, above):
    """Return the log-probabilities of nodes: their own part and that of the parents."""
    own = log_sigmoid(z.detach()) if own is None else own.detach()
    return own + above


def _best_nodes(scored, log_p, k):
    """Return (rows, nodes) of the best nodes of a level."""
    if scored is not None:
        return scored.best(log_p, k)
    nodes = log_p.topk(min(k, log_p.shape[1]), dim=1).indices  # (n_rows, k)
    rows = torch.arange(len(nodes), device=nodes.device)[:, None]
    return rows.expand_as(nodes).flatten(), nodes.flatten()


def _look_up(scored, log_p, kept):
    """Return the log-probabilities of the nodes in `kept`."""
    if scored is None:
        return log_p[kept.rows, kept.nodes]
    return log_p[scored.find(kept.rows, kept.nodes)]
