"""Votes of training rows in the probabilities of labels."""

from typing import Any, NamedTuple

import numpy as np
import torch

from skxmc._nn._losses import log_sigmoid, row_logsumexp, segment_logsumexp

# Of the probability that a label is false: no log-odds are infinite.
_LEAST = 1e-30


class VoteShares(NamedTuple):
    """Shares of the training rows near each row of a batch that have a label.

    ``log-odds(p) + weight * (share - p)`` stands for the log-odds of p: a label that
    its neighbours have as often as the model expects stays where it is. Labels of equal
    shares keep their order up to a weight of 4.

    Attributes
    ----------
    shares : csr_array of shape (n_rows, n_labels), float32
        Columns in the order of the codes.
    weight : float
    """

    shares: Any
    weight: float

    def raised_logits(self, z):
        """Add them to the logits of all labels, a tensor (n_rows, n_labels)."""
        # Not torch's own sigmoid, which rounds the last numbers of an array otherwise.
        return z + self.weight * (self._all(z.device) - log_sigmoid(z).exp())

    def raised(self, log_p, candidates, is_exclusive):
        """Add them to log-probabilities.

        Parameters
        ----------
        log_p : float tensor of shape (n_pairs,) or (n_rows, n_labels)
        candidates : Candidates or None
            The labels; None for all.
        is_exclusive : bool
            Whether the probabilities of a row have a sum, which stays what it was.

        Returns
        -------
        log_p : tensor of the same shape
        """
        log_p = log_p.clamp(max=-_LEAST)
        z = log_p - (-log_p.expm1()).log()
        shares = self._all(z.device) if candidates is None else self._of(candidates)
        raised = log_sigmoid(z + self.weight * (shares - log_p.exp()))
        if not is_exclusive:
            return raised
        if candidates is None:
            return raised + (row_logsumexp(log_p) - row_logsumexp(raised))[:, None]
        before, after = (
            segment_logsumexp(values, candidates.rows, candidates.n_rows)
            for values in (log_p, raised)
        )
        return raised + (before - after)[candidates.rows]

    def _all(self, device):
        return torch.from_numpy(self.shares.toarray()).to(device)

    def _of(self, candidates):
        """Look up the candidates' shares, 0 where no row votes: (n_pairs,)."""
        device, places = candidates.nodes.device, candidates.flat_indices
        rows = np.repeat(np.arange(candidates.n_rows), np.diff(self.shares.indptr))
        voted = rows * np.int64(candidates.n_nodes) + self.shares.indices
        voted = torch.from_numpy(voted).to(device)  # sorted, as the candidates are
        found = torch.searchsorted(places, voted).clamp_(max=len(places) - 1)
        is_there = places[found] == voted
        shares = torch.zeros(len(places), device=device)
        values = torch.from_numpy(self.shares.data).to(device)
        shares[found[is_there]] = values[is_there]
        return shares
