"""The network of multi-head encoding: features of a row, and a head on them."""

import math
from typing import Any

import numpy as np
import torch
from torch import nn

from skxmc._nn._candidates import target_pairs
from skxmc._nn._modules import Dropout, SparseEncoder
from skxmc._nn._sparse import SparseRows
from skxmc._nn._threads import limited_threads

_BLOCK_ROWS = 256

# Hidden units are scaled to one length, so that rows with many known words do not
# outweigh the others: that of the linear features, on average.
HIDDEN_NORM, MIN_NORM = 4.0, 1e-6
# Of the scores of classes, in units of their root mean square: where "rectified" cuts
# them, and what "softmax" multiplies them with.
LOWEST, SHARPNESS = -1.0, 6.0


class Features(nn.Module):
    """Hidden units of a perceptron, beside a fixed linear map.

    ``f(x) = [dropout(4 h / ||h||), linear(x), s(x)]`` with ``h = relu(hidden(x))``

    Parameters
    ----------
    n_features : int
        Length of x.
    hidden_layer_sizes : sequence of int
        Units of the perceptron; empty for none.
    dropout : float
        Probability of dropping a hidden unit in training.
    input_scale : float
        What rows are multiplied with, 1 / (their root mean square norm).
    linear : tuple of (weight, bias) or None
        Arrays of shape (n_features, c) and (c,), which are not trained.
    sharpened : {"rectified", "softmax"} or None
        s(x), where linear(x) are scores of classes, of which what tells low ones from
        still lower ones is noise: cut below minus their root mean square, to norm 4; or
        their softmax, times 4. None for no s.
    n_codes : int or None
        How many of the first outputs of the linear map are a code, by which rows are
        compared; None for all.
    seed : int
        Seeds the initial weights.
    """

    # Of models stored before there was a choice.
    sharpened: Any = None
    n_codes: Any = None

    def __init__(
        self,
        n_features,
        hidden_layer_sizes,
        *,
        dropout,
        input_scale,
        linear,
        seed,
        sharpened=None,
        n_codes=None,
    ):
        super().__init__()
        self.n_features, self.n_outputs = n_features, 0
        self.hidden = self.linear = None
        options = {"dropout": dropout, "input_scale": input_scale, "seed": seed}
        if len(hidden_layer_sizes):
            *inner, last = hidden_layer_sizes
            self.hidden = SparseEncoder(n_features, last, inner, linear=None, **options)
            self.n_outputs += last
        if linear is not None:
            c = len(linear[1])
            self.linear = SparseEncoder(n_features, c, (), linear=linear, **options)
            self.n_outputs += c
            if n_codes is not None:
                self.n_codes = n_codes
            if sharpened is not None:
                self.sharpened = sharpened
                self.n_outputs += c
        self.dropout = Dropout(dropout)

    @property
    def codes(self):
        """Where the codes are among the outputs, a slice; None without a linear map."""
        if self.linear is None or self.linear.linear_bias is None:
            return None
        n_linear = len(self.linear.linear_bias)
        n_copies = 1 if self.sharpened is None else 2
        start = self.n_outputs - n_copies * n_linear
        return slice(start, start + (self.n_codes or n_linear))

    def forward(self, x):
        """Map `SparseRows` (n_rows, n_features) to (n_rows, n_outputs)."""
        parts = []
        if self.hidden is not None:
            h = self.hidden(x).relu()
            norm = h.norm(dim=1, keepdim=True).clamp(min=MIN_NORM)
            parts.append(self.dropout(HIDDEN_NORM / norm * h))
        if self.linear is not None:
            scores = self.linear(x)
            parts.append(scores)
            if self.sharpened is not None:
                parts.append(SHARPENED[self.sharpened](scores))
        return torch.cat(parts, dim=1)


def _rectify(scores):
    rms = HIDDEN_NORM / math.sqrt(scores.shape[1])
    r = (scores - LOWEST * rms).relu()
    return HIDDEN_NORM / r.norm(dim=1, keepdim=True).clamp(min=MIN_NORM) * r


def _soften(scores):
    rms = HIDDEN_NORM / math.sqrt(scores.shape[1])
    return HIDDEN_NORM * (SHARPNESS / rms * scores).softmax(dim=1)


SHARPENED = {"rectified": _rectify, "softmax": _soften}


class MultiHeadNet(nn.Module):
    """Features and a head, which has the loss and the ranking.

    Parameters
    ----------
    features : Features
    head : ProductHead, CascadeHead or SamplingHead
    """

    def __init__(self, features, head):
        super().__init__()
        self.features, self.head = features, head

    @property
    def n_scores(self):
        """How many labels or nodes are scored for a row at once, at most."""
        return self.head.n_scores

    def forward(self, x):
        """Map `SparseRows` to features."""
        return self.features(x)

    def loss(self, features, targets):
        """Compute the loss of the head; targets are the codes of the true labels."""
        return self.head.loss(features, targets)

    def rank(self, x, k, n_rows=None, count_votes=None):
        """Rank the k most probable labels of the first rows: (codes, probabilities).

        `count_votes` computes `VoteShares` of rows from their codes, an ndarray.
        """
        features = self.features(x)
        votes = self._votes(features, n_rows, count_votes)
        return self.head.rank(features, k, n_rows, votes)

    def score_label(self, x, code, n_rows=None, count_votes=None):
        """Compute the probability of one label for the first rows, an ndarray."""
        features = self.features(x)
        votes = self._votes(features, n_rows, count_votes)
        return self.head.score_label(features, code, n_rows, votes)

    def _votes(self, features, n_rows, count_votes):
        if count_votes is None:
            return None
        codes = features[:n_rows, self.features.codes].cpu().numpy()
        return count_votes(np.ascontiguousarray(codes))


def candidate_recall(encoder, X, targets):
    """Compute which share of the true labels the head of a network scores at all.

    Parameters
    ----------
    encoder : Encoder
        Of a `MultiHeadNet`.
    X : csr_array or SelectedRows of shape (n_samples, n_features), float32
        Input rows.
    targets : csr_array of shape (n_samples, n_labels)
        Indicator in the order of the codes.

    Returns
    -------
    recall : float
        1 where all labels are scored, or none is true.
    """
    n_found = 0
    net, device = encoder.module, encoder.device
    with limited_threads(one_thread=True), torch.inference_mode():
        for start in range(0, X.shape[0], _BLOCK_ROWS):
            block = slice(start, start + _BLOCK_ROWS)
            x = SparseRows.from_csr(X[block]).to(device)
            candidates, _ = net.head.score(net(x))
            if candidates is None:
                return 1.0
            true = target_pairs(SparseRows.from_csr(targets[block]).to(device))
            n_found += int(candidates.contains(*true).sum())
    return n_found / targets.nnz if targets.nnz else 1.0
