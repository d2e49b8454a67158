"""What training a dual encoder owes to its embeddings."""

import copy

import numpy as np

from skxmc import _nn
from skxmc._dual_ranking import log_frequency, make_queries, start_keys, table_of
from skxmc._label_order import cluster_order
from skxmc._mapped import is_mapped, longest_row
from skxmc._mining import MappedNegatives, NegativesMiner, find_hard_negatives
from skxmc._neighbors import search_exact

# Labels whose features are held at once.
_BLOCK_LABELS = 8192


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
            miner = NegativesMiner(embed(label_features), most, n_negatives, kind)
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
        data.hard_negatives = find_hard_negatives(
            vectors, embed(label_features), data.Y, n_negatives, kind
        )


def start_labels(keys, tower, label_features, device):
    """Start the keys of all labels, see `start_keys`, in place."""
    encoder = _nn.Encoder(tower, device)
    for start in range(0, len(keys), _BLOCK_LABELS):
        block = slice(start, start + _BLOCK_LABELS)
        start_keys(keys[block], encoder(label_features[block]), tower.embedding_size)


def fill_keys(keys, net, label_features, counts, n_samples, device):
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
    device : torch.device
        Where to compute.
    """
    size = net.tower.embedding_size
    keys[:, :size] = _nn.Encoder(_nn.Embedder(net.tower), device)(label_features)
    table = table_of(keys, size)
    if not np.shares_memory(table, net.table.array):
        table[:] = net.table.array
    keys[counts > 0, -2] = 0.0  # a label with rows needs no bonus any more
    keys[:, -1] = log_frequency(counts, n_samples)


def best_labels(net, X, keys, dial, device):
    """Rank the best label of each row while the network is trained.

    Returns
    -------
    indices, scores : ndarrays of shape (n_samples, 1)
    """
    outputs = _nn.Encoder(net.tower, device)(X)
    queries = make_queries(outputs, net.tower.embedding_size, net.scale, dial)
    return search_exact(queries, keys, 1)
