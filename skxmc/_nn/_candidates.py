"""Candidates: for each row of a batch, the nodes of a label tree that are scored.

Rows have different numbers of candidates. They are kept as one ragged list, sorted by
row and then by node, so that sets are joined and looked up by sorting.
"""

from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
import torch

from skxmc._topk import fill_ranking, topk_csr


class Candidates(NamedTuple):
    """Distinct nodes for each row, sorted.

    Attributes
    ----------
    rows, nodes : int64 tensor of shape (n_pairs,)
        Which node is a candidate of which row.
    n_rows, n_nodes : int
        Bounds of both.
    """

    rows: torch.Tensor
    nodes: torch.Tensor
    n_rows: int
    n_nodes: int

    def __len__(self):
        return len(self.nodes)

    @property
    def is_complete(self):
        """Whether all nodes are candidates of all rows."""
        return len(self) == self.n_rows * self.n_nodes

    @classmethod
    def union(cls, n_rows, n_nodes, *pairs):
        """Join lists of (rows, nodes) tensors, in any order and with repetitions."""
        keys = torch.cat([rows * n_nodes + nodes for rows, nodes in pairs])
        keys = torch.unique(keys)
        return cls(keys // n_nodes, keys % n_nodes, n_rows, n_nodes)

    def indicator(self, rows, nodes):
        """Return 1 for the given pairs, which are all in the list, and 0 for others."""
        indicator = torch.zeros(len(self), device=self.nodes.device)
        # Not by assignment: a GPU is waited for, to hand it the 1.
        return indicator.index_fill_(0, self.find(rows, nodes), 1.0)

    @property
    def offsets(self):
        """Where each row begins in the list, and its end: shape (n_rows + 1,)."""
        # Not bincount: a GPU is waited for, to know how long its result is.
        starts = torch.arange(self.n_rows + 1, device=self.rows.device)
        return torch.searchsorted(self.rows, starts)

    def find(self, rows, nodes):
        """Return the places in the list of pairs that are all in it."""
        return torch.searchsorted(self.flat_indices, rows * self.n_nodes + nodes)

    def contains(self, rows, nodes):
        """Return which of the given pairs are in the list."""
        return torch.isin(rows * self.n_nodes + nodes, self.flat_indices)

    @property
    def flat_indices(self):
        """Number of each pair in a flattened (n_rows, n_nodes) table, sorted."""
        return (self.rows * self.n_nodes).add_(self.nodes)

    def children(self, branching, n_nodes):
        """Return the children of all candidates, and the place of each one's parent.

        Parameters
        ----------
        branching : int
            Node p has the children ``p * branching`` to ``(p + 1) * branching - 1``,
        n_nodes : int
            but for those from `n_nodes` on, which do not exist.

        Returns
        -------
        children : Candidates
        parents : int64 tensor of shape (n_children,)
            Places in this list.
        """
        starts = self.nodes * branching
        counts = (n_nodes - starts).clamp(max=branching)
        parents = torch.repeat_interleave(counts)
        ends = counts.cumsum(0)
        nodes = torch.arange(len(parents), device=starts.device)
        nodes += (starts - ends + counts)[parents]
        return Candidates(self.rows[parents], nodes, self.n_rows, n_nodes), parents

    def best(self, scores, k):
        """Return (rows, nodes) of the `k` best of each row, or all if it has fewer."""
        offsets = self.offsets
        lengths = offsets.diff()
        width = int(lengths.max())
        place = torch.arange(len(self), device=scores.device) - offsets[self.rows]
        table = scores.new_full((self.n_rows, width), -torch.inf)
        table[self.rows, place] = scores.detach()
        chosen = table.topk(min(k, width), dim=1).indices  # (n_rows, k)
        rows = torch.arange(self.n_rows, device=scores.device)[:, None]
        kept = chosen < lengths[:, None]
        return rows.expand_as(chosen)[kept], self.nodes[(offsets[rows] + chosen)[kept]]


def target_pairs(targets):
    """Return (rows, codes) tensors of all entries of `targets`, `SparseRows`."""
    rows = torch.arange(len(targets), device=targets.offsets.device)
    counts, size = targets.offsets.diff(), len(targets.indices)
    return torch.repeat_interleave(rows, counts, output_size=size), targets.indices


def candidate_probabilities(candidates, log_p, node):
    """Return the probability of one node in each row, 0 where it is no candidate.

    Parameters
    ----------
    candidates : Candidates
    log_p : float tensor of shape (n_pairs,)
        Their log-probabilities.
    node : int

    Returns
    -------
    probabilities : ndarray of shape (n_rows,)
    """
    found = candidates.nodes == node
    own = log_p.new_full((candidates.n_rows,), -torch.inf)
    own[candidates.rows[found]] = log_p[found]
    return np.exp(np.minimum(own.cpu().numpy(), 0))


def rank_candidates(candidates, log_p, k, fallback):
    """Rank the k best candidates of each row.

    Parameters
    ----------
    candidates : Candidates
    log_p : float tensor of shape (n_pairs,)
        Their log-probabilities.
    k : int
        Length of the rankings.
    fallback : int64 ndarray of shape (n_nodes,)
        All nodes, in the order in which short rankings are filled up, with score 0.

    Returns
    -------
    codes, scores : ndarrays of shape (n_rows, k)
        Best first, ties by lowest code; scores are probabilities.
    """
    parts = log_p, candidates.nodes, candidates.offsets
    shape = candidates.n_rows, candidates.n_nodes
    scores = sp.csr_array(tuple(part.cpu().numpy() for part in parts), shape=shape)
    codes, log_p = topk_csr(scores, k)
    return fill_ranking(codes, fallback), np.exp(np.minimum(log_p, 0))
