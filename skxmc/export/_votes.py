"""Votes of training rows, as nodes of a graph."""

from typing import NamedTuple

import numpy as np

from skxmc._neighbor_votes import N_NEIGHBORS, SHARPENING
from skxmc.export._graph import DOUBLE, FLOAT


def add_shares(graph, codes, votes):
    """Add what `NeighborVotes` count of all labels, exactly: (n_rows, n_labels)."""
    keys, store = votes.index.keys[:], votes.store
    sets, n_keys = store.sets, len(keys)
    n_labels, n_neighbors = sets.shape[1], min(N_NEIGHBORS, n_keys)
    codes = graph.unit_length(codes, np.finfo(np.float32).tiny)
    products = graph.linear(codes, keys, np.zeros(n_keys, dtype=np.float32))
    best, places = graph.topk(products, n_neighbors)
    best = graph.add("Relu", best)
    top = graph.add("Slice", best, [0], [1], [1])
    is_near = graph.add("Greater", top, 0.0)
    relative = graph.add("Div", best, graph.add("Where", is_near, top, 1.0))
    relative = graph.add("Where", is_near, relative, 1.0)
    power = graph.add("Pow", relative, SHARPENING)
    total = graph.add("ReduceSum", power, [1], keepdims=1)
    shares = graph.add("Div", power, total)
    # Labels of each key, filled up by one that does not exist.
    lengths = np.diff(sets.indptr)
    labels = np.full((sets.shape[0], max(1, lengths.max())), n_labels)
    labels[np.arange(labels.shape[1]) < lengths[:, None]] = sets.indices
    sizes = [0, n_neighbors * labels.shape[1]]
    clusters = votes.index.clusters
    order = slice(None) if clusters is None else clusters.numbers  # of the keys
    found = graph.add("Gather", labels[store.set_of_key[order]], places)
    ones = np.ones((1, 1, labels.shape[1]), dtype=np.float32)
    shares = graph.add("Mul", graph.add("Unsqueeze", shares, [2]), ones)
    found, shares = (graph.add("Reshape", part, sizes) for part in (found, shares))
    n_rows = graph.add("Slice", graph.add("Shape", codes), [0], [1])
    shape = graph.add("Concat", n_rows, np.array([n_labels + 1]), axis=0)
    empty = graph.add("ConstantOfShape", shape)
    total = graph.add("ScatterElements", empty, found, shares, axis=1, reduction="add")
    return graph.add("Slice", total, [0], [n_labels], [1])


class AddedVotes(NamedTuple):
    """Shares of all labels, of which a head takes some, and their weight."""

    shares: str
    weight: float

    def padded(self, graph, n_more):
        """Return the same with labels that no row has."""
        if not n_more:
            return self
        return self._replace(shares=graph.add("Pad", self.shares, [0, 0, 0, n_more]))

    def chosen(self, graph, labels):
        """Return the same of some labels of each row, (n_rows, n)."""
        shares = graph.add("GatherElements", self.shares, labels, axis=1)
        return self._replace(shares=shares)

    def raised(self, graph, log_p, is_exclusive):
        """Add them to log-probabilities (n_rows, n), as `VoteShares` do."""
        # In 64 bits: of probabilities near 1, their rest counts.
        p = graph.add("Exp", graph.add("Cast", log_p, to=DOUBLE))
        rest = graph.add("Log", graph.add("Sub", np.array(1.0), p))
        rest, p = (graph.add("Cast", part, to=FLOAT) for part in (rest, p))
        added = graph.add("Mul", graph.add("Sub", self.shares, p), float(self.weight))
        z = graph.add("Add", graph.add("Sub", log_p, rest), added)
        raised = graph.log_sigmoid(z)
        if not is_exclusive:
            return raised
        before, after = (
            graph.add("ReduceLogSumExp", part, [1], keepdims=1)
            for part in (log_p, raised)
        )
        return graph.add("Add", raised, graph.add("Sub", before, after))
