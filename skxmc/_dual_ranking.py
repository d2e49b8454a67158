"""Ranking by a dual encoder and a classifier at once: one inner product a label."""

import copy
import math
from typing import Any, NamedTuple

import numpy as np
from scipy.special import logsumexp

from skxmc._calibration import fit_sigmoid, fit_temperature, sigmoid
from skxmc._neighbor_votes import widened
from skxmc._neighbors import NeighborIndex
from skxmc._pairs import holds_labels
from skxmc._stored import StoredRows
from skxmc._topk import fill_ranking

# Labels of each row that probabilities are calibrated on; of classes that exclude each
# other, those that they add up to 1 over.
N_CALIBRATED = 100
# At the start, a row scores this times the product of its features with the label's,
# of which each has a norm of around 5. Zero costs half a point of PSP@k where labels
# have texts; twice as much makes the classifier too sure of rows that it has seen.
_START = 0.15
# A frequency counts this many rows more, so that no logarithm is infinite.
_SMOOTHING = 0.5
# Of the logarithm of a label's chance to be in a pool. Its own weight would be 1 if
# negatives were picked by chance alone; this is what held-out rows say.
_POOL_FACTOR = 0.5
# Of a label without training rows that is described otherwise, see `start_bonus`.
_UNSEEN_BONUS = 1.0
# Scores of a flatter calibration tell nothing: votes do not grow with them for ever.
_MIN_SLOPE = 0.1


class Dial(NamedTuple):
    """What both parts and popularity weigh, changeable after training.

    ``score = encoder_weight * scale * cos(z, z_l) + (1 - encoder_weight) * (f @ w_l +
    b_l) + bonus_l + popularity * log(frequency_l)``, to whose log-odds are added
    ``neighbor_weight * vote_l``.
    """

    encoder_weight: float
    popularity: float
    neighbor_weight: float = 0.0


def dial_of(encoder_weight, popularity, neighbor_weight, loss_weight):
    """Return the `Dial` of parameters of these names.

    Raises
    ------
    ValueError
        If `encoder_weight` is not between 0 and 1, `neighbor_weight` below 0 or
        `popularity` not finite.
    """
    if not neighbor_weight >= 0:
        raise ValueError(
            f"neighbor_weight={neighbor_weight!r} is not at least 0; it is what votes "
            "of training rows add to log-odds."
        )
    if not 0 <= encoder_weight <= 1:
        raise ValueError(
            f"encoder_weight={encoder_weight!r} is not between 0 and 1; it is "
            "the dual encoder's part in the score."
        )
    if not math.isfinite(popularity):
        raise ValueError(f"popularity={popularity!r} is not a finite number.")
    # A part that no loss has trained has nothing to say.
    weight = {0: 0.0, 1: 1.0}.get(loss_weight, float(encoder_weight))
    return Dial(weight, float(popularity), float(neighbor_weight))


class DualRanker:
    """Labels as keys, searched for the best scores of a row.

    Parameters
    ----------
    keys : ndarray of shape (n_labels, embedding_size + n_features + 3), float32
        [z_l, w_l, b_l, bonus_l, log frequency_l] of each label, see `empty_keys`.
    embedding_size : int
        Length of z.
    scale : float
        What cosines are multiplied by.
    is_exclusive : bool
        Whether probabilities are a softmax, or a sigmoid each.
    kind : {"auto", "exact", "ivf", "hnsw"}
        How to search, see `NeighborIndex`.
    outputs : ndarray of shape (n_sample, embedding_size + n_features), float32
        [z, f] of rows to calibrate with.
    truth : csr_array of shape (n_sample, n_labels)
        Their labels.
    dial : Dial
        What an approximate index is tuned for.
    votes : NeighborVotes or None, default=None
        Of rows by the last numbers of f.
    sample_votes : csr_array of shape (n_sample, n_labels) or None, default=None
        What they count for the rows to calibrate with.
    """

    votes: Any = None  # of models stored before there were any
    sample_votes: Any = None

    def __init__(
        self,
        keys,
        embedding_size,
        scale,
        is_exclusive,
        kind,
        outputs,
        truth,
        dial,
        votes=None,
        sample_votes=None,
    ):
        self.votes, self.sample_votes = votes, sample_votes
        self.embedding_size, self.scale = embedding_size, scale
        self.is_exclusive, self.kind = is_exclusive, kind
        self.outputs, self.truth = outputs, truth
        self.by_frequency = np.argsort(-keys[:, -1], kind="stable").astype(np.int32)
        self.index = NeighborIndex(
            keys,
            similarity="dot",
            kind=kind,
            n_neighbors=N_CALIBRATED,
            queries=make_queries(outputs, embedding_size, scale, dial),
        )
        self.calibrated = dial, self._calibrate(dial)

    @property
    def keys(self):
        """[z_l, w_l, b_l, bonus_l, log frequency_l] of each label."""
        return self.index.keys

    @property
    def n_features(self):
        """Length of f."""
        return self.outputs.shape[1] - self.embedding_size

    @property
    def label_vectors(self):
        """z_l of each label."""
        return self.keys[:][:, : self.embedding_size]

    def directions(self, dial):
        """Return by what [z, f] is multiplied for the scores, (n_labels, n_outputs)."""
        n_outputs = self.outputs.shape[1]
        ones = np.ones((1, n_outputs), dtype=np.float32)
        weights = make_queries(ones, self.embedding_size, self.scale, dial)
        return self.keys[:, :n_outputs] * weights[:, :n_outputs]

    def compressed(self, storage):
        """Return a ranker whose keys are stored in fewer bits, but for their biases."""
        small = copy.copy(self)
        small.index = self.index.compressed(storage, n_exact=3)
        small.outputs = StoredRows(self.outputs, storage)
        dial = self.calibrated[0]
        if self.votes is not None:
            small.votes = self.votes.compressed(storage)
        small.calibrated = dial, small._calibrate(dial)
        return small

    def extended(self, outputs, bonus):
        """Return a ranker of more labels, as frequent as the median of those here.

        Parameters
        ----------
        outputs : ndarray of shape (n_new, embedding_size + n_features), float32
            [z, f] of the new labels, from which their classifier's vectors start.
        bonus : float
            What their scores are raised by.
        """
        new = empty_keys(len(outputs), self.embedding_size, self.n_features)
        start_keys(new, outputs, self.embedding_size)
        new[:, -2] = bonus
        new[:, -1] = np.median(self.keys[:, -1])
        keys = np.concatenate([self.keys, new])
        votes, sample_votes = self.votes, self.sample_votes
        if votes is not None:
            votes = votes.extended(len(keys))
            sample_votes = widened(sample_votes, len(keys))
        return DualRanker(
            keys,
            self.embedding_size,
            self.scale,
            self.is_exclusive,
            self.kind,
            self.outputs,
            widened(self.truth, len(keys)),
            self.calibrated[0],
            votes,
            sample_votes,
        )

    def rank(self, outputs, k, dial, device=None):
        """Rank the k best labels.

        Parameters
        ----------
        outputs : ndarray of shape (n_rows, embedding_size + n_features), float32
            [z, f] of each row.
        k : int
            Length of the rankings.
        dial : Dial
        device : torch.device or None, default=None
            Where to search, see `NeighborIndex`.

        Returns
        -------
        indices, probabilities : ndarrays of shape (n_rows, k)
        """
        slope, intercept, weight = self._calibration(dial)
        n_searched = min(max(k, N_CALIBRATED), len(self.keys))
        n_searched = n_searched if self.is_exclusive else k
        votes = self._weigh_votes(outputs, weight, device)
        indices, scores = self._search(outputs, n_searched, dial, device, votes)
        if self.is_exclusive:
            log_p = slope * scores
            log_p -= log_p[:, :1]
            best = np.exp(log_p[:, :N_CALIBRATED]).sum(axis=1, keepdims=True)
            probabilities = (np.exp(log_p) / best).astype(np.float32)
        else:
            probabilities = sigmoid(scores, slope, intercept)
        return fill_ranking(indices[:, :k], self.by_frequency), probabilities[:, :k]

    def score_label(self, outputs, label, dial):
        """Score one label as `rank` does: probabilities of shape (n_rows,)."""
        slope, intercept, weight = self._calibration(dial)
        queries = make_queries(outputs, self.embedding_size, self.scale, dial)
        scores = self.index.score(queries, label)
        votes = self._weigh_votes(outputs, weight)
        if votes is not None:
            scores += votes[:, [label]].toarray()[:, 0]
        if not self.is_exclusive:
            return sigmoid(scores, slope, intercept)
        n_best = min(N_CALIBRATED, len(self.keys))
        best = self._search(outputs, n_best, dial, votes=votes)[1]
        log_p = slope * scores - logsumexp(slope * best, axis=1)
        return np.exp(np.minimum(log_p, 0)).astype(np.float32)

    def _calibration(self, dial):
        """Return what `_calibrate` does, computed where the dial is new."""
        calibrated = self.calibrated  # once: other threads may set another pair
        if calibrated[0] != dial:
            self.calibrated = calibrated = dial, self._calibrate(dial)
        # Models stored before there were votes have no third number.
        slope, intercept, *weights = calibrated[1]
        return slope, intercept, weights[0] if self.votes is not None else 0.0

    def _weigh_votes(self, outputs, weight, device=None):
        """Return what the training rows nearest to each row add to scores, or None."""
        if not weight:
            return None
        codes = outputs[:, -self.votes.n_components :]
        return self.votes.count(codes, device) * np.float32(weight)

    def _search(self, outputs, k, dial, device=None, votes=None):
        queries = make_queries(outputs, self.embedding_size, self.scale, dial)
        return self.index.search(queries, k, device, added=votes)

    def _calibrate(self, dial):
        """Return what makes probabilities of scores: slope, intercept, weight of votes.

        A vote counts as much in the logarithm of the odds, whatever the scores' scale.
        """
        slope, intercept = self._fit_calibration(dial)
        if self.votes is None or dial.neighbor_weight == 0:
            return slope, intercept, 0.0
        weight = dial.neighbor_weight / max(slope, _MIN_SLOPE)
        votes = self.sample_votes * np.float32(weight)
        return (*self._fit_calibration(dial, votes), weight)

    def _fit_calibration(self, dial, votes=None):
        k = min(N_CALIBRATED, len(self.keys))
        indices, scores = self._search(self.outputs[:], k, dial, votes=votes)
        truth, found = holds_labels(self.truth, indices), indices >= 0
        if self.is_exclusive:
            return fit_temperature(scores, truth), 0.0
        return fit_sigmoid(scores[found], truth[found])


def empty_keys(n_labels, embedding_size, n_features):
    """Make keys of zeros, for labels not trained yet.

    They hold [z_l, w_l, b_l, bonus_l, log frequency_l] of each label: float32 array of
    shape (n_labels, embedding_size + n_features + 3).
    """
    return np.zeros((n_labels, embedding_size + n_features + 3), dtype=np.float32)


def table_of(keys, embedding_size):
    """Return the part [w_l, b_l] of keys, a view."""
    return keys[:, embedding_size:-2]


def start_keys(keys, outputs, embedding_size):
    """Start keys from [z, f] of their labels, in place.

    The classifier's vectors start from f, so that a row scores like labels before any
    training, also those that few rows have.
    """
    keys[:, :embedding_size] = outputs[:, :embedding_size]
    keys[:, embedding_size:-3] = _START * outputs[:, embedding_size:]


def log_frequency(counts, n_samples):
    """Compute the logarithm of the share of rows that have each label, float32."""
    return np.log(_frequency(counts, n_samples)).astype(np.float32)


def pool_bonus(counts, n_samples, n_draws):
    """Compute what makes up for labels that are seldom in the pool of a batch.

    They are compared with fewer of the rows that lack them than frequent labels are,
    and come out too high: ``0.5 * log(1 - (1 - frequency) ** n_draws)``, half the
    logarithm of the chance to be in the pool.

    Parameters
    ----------
    counts, n_samples : ndarray of shape (n_labels,) and int
        Training rows of each label, of how many.
    n_draws : int
        Labels drawn for a pool, with repetitions.

    Returns
    -------
    bonus : ndarray of shape (n_labels,), float32
        At most 0.
    """
    chance = -np.expm1(n_draws * np.log1p(-_frequency(counts, n_samples)))
    return (_POOL_FACTOR * np.log(chance)).astype(np.float32)


def start_bonus(own_features, n_labels, n_samples, n_draws):
    """Compute the bonus of labels while they have no training row.

    They were never a positive, so labels that were outdo them. One that is described is
    raised, to be found by its features; one that is not is as rare as can be.

    Parameters
    ----------
    own_features : csr_array of shape (n_labels, n_features), or None
        What labels are described by, beside their rows.
    n_labels, n_samples, n_draws : int
        See `pool_bonus`.

    Returns
    -------
    bonus : ndarray of shape (n_labels,), float32
    """
    bonus = pool_bonus(np.zeros(n_labels), n_samples, n_draws)
    if own_features is not None:
        bonus[np.diff(own_features.indptr) > 0] = _UNSEEN_BONUS
    return bonus


def _frequency(counts, n_samples):
    return (counts + _SMOOTHING) / (n_samples + 2 * _SMOOTHING)


def make_queries(outputs, embedding_size, scale, dial):
    """Weigh [z, f] so that inner products with the keys are the scores.

    Parameters
    ----------
    outputs : ndarray of shape (n_rows, embedding_size + n_features), float32
        [z, f] of each row.
    embedding_size : int
        Length of z.
    scale : float
        What cosines are multiplied by.
    dial : Dial

    Returns
    -------
    queries : ndarray of shape (n_rows, embedding_size + n_features + 3), float32
    """
    queries = np.empty((len(outputs), outputs.shape[1] + 3), dtype=np.float32)
    encoder, classifier = np.split(outputs, [embedding_size], axis=1)
    queries[:, :embedding_size] = dial.encoder_weight * scale * encoder
    queries[:, embedding_size:-3] = (1 - dial.encoder_weight) * classifier
    queries[:, -3:] = 1 - dial.encoder_weight, 1.0, dial.popularity
    return queries
