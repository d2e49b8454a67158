"""Keys in clusters, of which those nearest to a query are searched."""

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from skxmc._blocks import row_blocks
from skxmc._neighbors._exact import normalize_rows, search_exact, search_spans
from skxmc._nn import (
    grouped_products,
    map_blocks,
    one_blas_thread,
    products_are_steady,
    steady_products,
)
from skxmc._topk import topk_dense

# Clusters that are searched at least, and the share of the nearest keys to be found.
_LEAST_SEARCHED, _RECALL_GOAL = 16, 0.95
# Times the wanted keys that these have to hold, if their clusters are of mean size.
_LEAST_KEYS = 8
# Rounds of k-means, and the keys that it sees of each cluster: with more of them hardly
# more of the nearest keys are found.
_N_ROUNDS, _SEEN_KEYS = 2, 64
# Clusters that keys look for others in, how many others at most, spaced where there are
# more, and how many keys look for them at once.
_OTHER_CLUSTERS, _MOST_OTHERS, _MEMBERS = 8, 2**14, 128
# Columns of the keys that are moved at once, and keys that are assigned at once.
_MOVED_COLUMNS, _ASSIGNED_KEYS = 16, 8192


def cluster_keys(keys, queries, n_neighbors):
    """Return `KeyClusters` of keys, put in their order, or None where these are vain.

    The number of clusters that are searched is doubled until the recall goal of 0.95 is
    met; beyond a quarter of all, a search of all keys takes less time.

    Parameters
    ----------
    keys : ndarray of shape (n_keys, n_components), float32
        Vectors of unit length, or 0. Moved in place: those of a cluster follow each
        other then, in the order in which they stood. Not moved for None.
    queries : ndarray of shape (n_queries, n_components), float32
        Typical ones, of unit length.
    n_neighbors : int
        For how many neighbours to measure the recall; at most n_keys.
    """
    if not products_are_steady():
        return None
    centroids = _means(keys, int(2 * np.sqrt(len(keys))))
    nearest = _nearest(keys, centroids)
    wanted = nearest[search_exact(queries, keys, n_neighbors)[0]]
    near = np.argsort(-steady_products(queries, centroids), axis=1, kind="stable")
    ranks = np.argsort(near, axis=1)  # of each cluster, (n_queries, n_clusters)
    ranks = np.take_along_axis(ranks, wanted, axis=1)
    n_searched = _LEAST_SEARCHED
    while np.mean(ranks < n_searched) < _RECALL_GOAL:
        n_searched *= 2
    if n_searched > len(centroids) // 4:
        return None
    sizes = np.bincount(nearest, minlength=len(centroids))
    starts = np.append(0, np.cumsum(sizes)).astype(np.int32)
    numbers = np.argsort(nearest, kind="stable").astype(np.int32)
    for start in range(0, keys.shape[1], _MOVED_COLUMNS):
        part = slice(start, start + _MOVED_COLUMNS)
        keys[:, part] = keys[numbers, part]
    recall = float(np.mean(ranks < n_searched))
    return KeyClusters(centroids, starts, numbers, n_searched, recall)


@dataclass(frozen=True)
class KeyClusters:
    """Clusters of unit vectors that stand in their order.

    Parameters
    ----------
    centroids : ndarray of shape (n_clusters, n_components), float32
        Directions of the means of 2 sqrt(n_keys) clusters.
    starts : ndarray of shape (n_clusters + 1,), int32
        Where each cluster begins among the keys.
    numbers : ndarray of shape (n_keys,), int32
        Where each key stood.
    n_searched : int
        How many clusters are searched for a query.
    recall : float
        Share of the nearest keys of typical queries that are in these.
    """

    centroids: np.ndarray
    starts: np.ndarray
    numbers: np.ndarray
    n_searched: int
    recall: float

    def search(self, queries, keys, k):
        """Find the `k` most similar keys in the clusters nearest to each query.

        A query has the same answer bit for bit whatever it is searched together with,
        where `products_are_steady`.

        Parameters
        ----------
        queries : ndarray of shape (n_queries, n_components), float32
            Of unit length.
        keys : ndarray or StoredRows of shape (n_keys, n_components), float32
            In the order of the clusters.
        k : int
            At most n_keys.

        Returns
        -------
        indices : ndarray of shape (n_queries, k), intp
            Best first, by where keys stood; -1 where too few are in the clusters.
        similarities : ndarray of shape (n_queries, k), float32
            -inf where the index is -1.
        """
        n = self.n_searched
        near, _ = topk_dense(steady_products(queries, self.centroids), n)
        near.sort(axis=1)  # (n_queries, n)
        sizes = np.diff(self.starts)[near]
        ends = np.cumsum(sizes, axis=1)
        if len(queries) == 1 and isinstance(keys, np.ndarray) and k <= ends[0, -1]:
            spans = self.starts[near[0]].tolist(), self.starts[near[0] + 1].tolist()
            found, similarities = search_spans(queries, keys, k, *spans)
            return self.numbers[found].astype(np.intp), similarities
        products = self._products(queries, keys, near, max(k, ends[:, -1].max()))
        found, similarities = topk_dense(products, k)
        which = (found[:, :, None] >= ends[:, None, :-1]).sum(axis=2)
        first = self.starts[near] - (ends - sizes)  # of the keys of a cluster
        found += np.take_along_axis(first, which, axis=1)
        is_none = np.isneginf(similarities)
        found = self.numbers[np.where(is_none, 0, found)].astype(np.intp)
        return np.where(is_none, -1, found), similarities

    def _products(self, queries, keys, near, width):
        """Return the products with the keys of clusters, side by side, then -inf."""
        pairs = np.argsort(near, axis=None, kind="stable")
        rows = pairs // near.shape[1]
        clusters, counts = np.unique(near, return_counts=True)
        spans = self.starts[clusters], self.starts[clusters + 1]
        groups = [*zip(counts.tolist(), *(s.tolist() for s in spans), strict=True)]
        parts = grouped_products(queries[rows], keys, groups)
        by_pair = [row for part in parts for row in part]
        products = np.full((len(queries), width), -np.inf, dtype=np.float32)
        order = np.argsort(pairs).reshape(near.shape).tolist()
        for row, own in zip(products, order, strict=True):
            some = np.concatenate([by_pair[pair] for pair in own])
            row[: len(some)] = some
        return products

    def hold(self, k):
        """Tell whether the searched clusters hold many more keys than `k`."""
        share = self.n_searched / len(self.centroids)
        return k <= share * len(self.numbers) / _LEAST_KEYS

    @property
    def n_bytes(self):
        """Memory in bytes."""
        parts = self.centroids, self.starts, self.numbers
        return sum(part.nbytes for part in parts)


def map_nearest_others(function, keys, k):
    """Find for each key most of the `k` others that are most similar to it.

    Keys of a cluster look among those of the clusters nearest to it, so that many of
    them are one product: of n keys, about 8 n sqrt(n) products in all.

    Parameters
    ----------
    function : callable
        What takes the neighbours of some keys, in threads, as three arrays: the numbers
        of these keys, (n,), of their neighbours in no order, (n, k), -1 where there are
        too few, and the cosines of both, (n, k), -inf then. Each key is in one call.
    keys : ndarray of shape (n_keys, n_components), float32
        Vectors of any length.
    k : int
    """
    means = _means(keys, int(np.ceil(np.sqrt(len(keys)))))
    nearest = _nearest(keys, means)
    order = np.argsort(nearest, kind="stable")
    ends = np.cumsum(np.bincount(nearest, minlength=len(means)))
    clusters = np.split(order, ends[:-1])
    near = np.argsort(-_products(means, means), axis=1, kind="stable")

    def search(block):
        number, own = block
        found = [clusters[other] for other in near[number, :_OTHER_CLUSTERS]]
        others = np.concatenate(found)
        others = others[:: -(-len(others) // _MOST_OTHERS)]
        function(own, *_nearest_of(keys, own, others, k))

    blocks = [
        (number, own[start : start + _MEMBERS])
        for number, own in enumerate(clusters)
        for start in range(0, len(own), _MEMBERS)
    ]
    with one_blas_thread():  # products of one thread, whatever their number
        map_blocks(search, blocks, None, most_threads=len(blocks))


def _nearest_of(keys, members, others, k):
    """Return the nearest of some keys to members of a cluster, and the cosines."""
    products = normalize_rows(keys[members]) @ normalize_rows(keys[others]).T
    products[members[:, None] == others] = -np.inf
    n_found = min(k, len(others))
    best = np.argpartition(-products, n_found - 1, axis=1)[:, :n_found]
    similarities = np.full((len(members), k), -np.inf, dtype=np.float32)
    similarities[:, :n_found] = np.take_along_axis(products, best, axis=1)
    indices = np.full((len(members), k), -1)
    indices[:, :n_found] = others[best]
    return np.where(np.isneginf(similarities), -1, indices), similarities


def _means(keys, n_clusters):
    """Return directions of the means of clusters, by k-means of some of the keys."""
    rng = np.random.default_rng(0)
    means = normalize_rows(keys[rng.choice(len(keys), n_clusters, replace=False)])
    n_seen = min(len(keys), _SEEN_KEYS * n_clusters)
    seen = keys[np.sort(rng.choice(len(keys), n_seen, replace=False))]
    normalize_rows(seen, out=seen)
    for _ in range(_N_ROUNDS):
        nearest = _nearest(seen, means)
        ones = np.ones(n_seen, dtype=np.float32)
        places = nearest, np.arange(n_seen)
        members = sp.csr_array((ones, places), shape=(n_clusters, n_seen))
        is_empty = np.bincount(nearest, minlength=n_clusters) == 0
        means = np.where(is_empty[:, None], means, normalize_rows(members @ seen))
    return means


def _nearest(keys, means):
    """Return the number of the mean nearest to each key, the first of equal ones."""
    blocks = row_blocks(keys, _ASSIGNED_KEYS)
    return np.concatenate([_products(some, means).argmax(axis=1) for some in blocks])


def _products(A, B):
    """Compute ``A @ B.T``, as steadily as can be had."""
    return steady_products(A, B) if products_are_steady() else A @ B.T
