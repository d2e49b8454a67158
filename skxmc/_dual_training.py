"""What training a dual encoder owes to its embeddings."""

import copy

import numpy as np

from skxmc import _nn
from skxmc._blocks import SelectedRows
from skxmc._dual_ranking import (
    DualRanker,
    empty_keys,
    log_frequency,
    make_queries,
    pool_bonus,
    start_keys,
    table_of,
)
from skxmc._label_order import cluster_order
from skxmc._mapped import is_mapped, longest_row
from skxmc._mining import MappedNegatives, NegativesMiner, find_hard_negatives
from skxmc._neighbors import search_exact

# Labels whose features are held at once.
_BLOCK_LABELS = 8192
# Rows that probabilities are calibrated on, held out ones or else of training.
_N_CALIBRATION_ROWS = 128


def refresh_picks(
    net, data, label_features, *, n_negatives, group_size, kind, device, random_state
):
    """Renew the hard negatives of training data, and the groups of their rows.

    Parameters
    ----------
    net : DualNet
        In evaluation mode.
    data : PoolDataset
        Whose `hard_negatives` and `sampler.groups` are set.
    label_features : csr_array of shape (n_labels, n_features)
        Input of the labels.
    n_negatives : int
        Hard negatives that a batch draws for each row; 0 searches none.
    group_size : int or None
        Rows in a group of like ones; None makes no groups.
    kind : {"auto", "exact", "ivf", "hnsw"}
        How negatives are searched.
    device : torch.device
        Where to compute.
    random_state : numpy RandomState
        Source of the groups' first directions.
    """
    if is_mapped(data.X):
        if n_negatives:
            tower = copy.deepcopy(net.tower)  # it stays as it is until the next time
            embed = _nn.Encoder(_nn.Embedder(tower), device)
            most = longest_row(data.Y)
            vectors = embed(label_features)
            miner = NegativesMiner(vectors, most, n_negatives, kind, device)
            data.hard_negatives = MappedNegatives(embed, data.X, data.Y, miner)
        return
    embed = _nn.Encoder(_nn.Embedder(net.tower), device)
    vectors = embed(data.X)
    if group_size is not None:
        order = cluster_order(vectors, group_size, random_state)
        data.sampler.groups = np.split(
            order, np.arange(group_size, len(order), group_size)
        )
    if n_negatives:
        labels = embed(label_features)
        data.hard_negatives = find_hard_negatives(
            vectors, labels, data.Y, n_negatives, kind, device
        )


def start_labels(tower, label_features, device):
    """Make the keys of all labels and start them, see `start_keys`."""
    encoder = _nn.Encoder(tower, device)
    n_labels, n_features = label_features.shape[0], tower.features.n_outputs
    keys = empty_keys(n_labels, tower.embedding_size, n_features)
    for start in range(0, len(keys), _BLOCK_LABELS):
        block = slice(start, start + _BLOCK_LABELS)
        start_keys(keys[block], encoder(label_features[block]), tower.embedding_size)
    return keys


def fill_keys(keys, net, label_features, counts, n_samples, n_draws, device):
    """Bring the keys of all labels, see `empty_keys`, up to a network, in place.

    Parameters
    ----------
    keys : ndarray
        Of all labels.
    net : DualNet
        What has been trained.
    label_features : csr_array of shape (n_labels, n_features)
        Input of the labels.
    counts, n_samples : ndarray of shape (n_labels,) and int
        Training rows of each label, of how many.
    n_draws : int
        Labels drawn for the pool of a batch, with repetitions.
    device : torch.device
        Where to compute.
    """
    size = net.tower.embedding_size
    keys[:, :size] = _nn.Encoder(_nn.Embedder(net.tower), device)(label_features)
    table = table_of(keys, size)
    if not np.shares_memory(table, net.table.array):
        table[:] = net.table.array
    # A label with rows needs no bonus of its own any more.
    known = counts > 0
    keys[known, -2] = pool_bonus(counts[known], n_samples, n_draws)
    keys[:, -1] = log_frequency(counts, n_samples)


def best_labels(net, X, keys, dial, device):
    """Rank the best label of each row while the network is trained.

    Returns
    -------
    indices, scores : ndarrays of shape (n_samples, 1)
    """
    outputs = _nn.Encoder(net.tower, device)(X)
    queries = make_queries(outputs, net.tower.embedding_size, net.scale, dial)
    on_device = _nn.keys_on(device, keys)
    with _nn.all_blas_threads():
        return search_exact(queries, keys, 1, on_device=on_device)


def make_ranker(
    keys,
    net,
    encoder,
    X,
    Y,
    held_out,
    *,
    is_exclusive,
    kind,
    dial,
    votes,
    votes_are_own,
):
    """Make the `DualRanker` of a trained network, calibrated on a few rows.

    Parameters
    ----------
    keys : ndarray
        Of all labels, brought up to `net`.
    net : DualNet
        What has been trained.
    encoder : Encoder
        Of its tower.
    X, Y : csr_array
        All rows, with their labels.
    held_out : ndarray of int
        Those not trained on; they are calibrated on, if there are any.
    is_exclusive, kind, dial, votes
        As in `DualRanker`.
    votes_are_own : bool
        Whether the votes are of these rows, which then have none for themselves.
    """
    rows = calibration_rows(held_out, X.shape[0])
    outputs, sample_votes = encoder(SelectedRows(X, rows)), None
    if votes is not None:
        codes = outputs[:, -votes.n_components :]
        own_rows = rows if votes_are_own else None
        sample_votes = votes.count(codes, encoder.device, own_rows=own_rows)
    return DualRanker(
        keys,
        embedding_size=net.tower.embedding_size,
        scale=net.scale,
        is_exclusive=is_exclusive,
        kind=kind,
        outputs=outputs,
        truth=Y[rows].astype(np.float32, copy=False),
        dial=dial,
        votes=votes,
        sample_votes=sample_votes,
    )


def calibration_rows(held_out, n_samples):
    """Choose the rows that probabilities are fitted to."""
    if len(held_out):
        return held_out[:_N_CALIBRATION_ROWS]
    rows = np.linspace(0, n_samples - 1, _N_CALIBRATION_ROWS)
    return np.unique(rows.astype(np.intp))
