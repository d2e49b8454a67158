"""Batches cut straight from CSR matrices."""

import json
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
import torch
from torch.utils.data import Dataset, Sampler

from skxmc._mapped import csr_blocks, is_mapped, read_ahead
from skxmc._nn._sparse import SparseRows
from skxmc._picks import draw_negatives, draw_positives, fill_pool, find_in_pool

# Rows of a file that are read at once, and how many times as many are shuffled: of rows
# with 50 values, 100 KiB and 13 MiB.
_BLOCK_ROWS, _N_BLOCKS = 256, 128


class SparseDataset(Dataset):
    """Rows of a CSR matrix with a target each, fetched a batch at a time.

    Parameters
    ----------
    X : sparse CSR of shape (n_samples, n_features)
        The input rows.
    targets : ndarray or sparse CSR of shape (n_samples, n_outputs), float32
        One target vector a row.
    """

    def __init__(self, X, targets):
        self.X, self.targets = X, targets

    def __len__(self):
        return self.X.shape[0]

    def __getitem__(self, row):
        return self.__getitems__([row])

    def __getitems__(self, rows):
        """Return the batch (SparseRows, targets) of these rows.

        The targets are a tensor, or `SparseRows` if they are sparse.
        """
        x, targets = SparseRows.from_csr(self.X[rows]), self.targets[rows]
        if sp.issparse(targets):
            return x, SparseRows.from_csr(targets)
        return x, torch.from_numpy(targets)


@dataclass
class PoolBatch:
    """Rows, and the labels that all of them are scored against.

    Attributes
    ----------
    rows : SparseRows
        Input of the rows.
    label_rows : SparseRows
        Features of the labels in the pool.
    pool : int64 tensor of shape (n_pool,)
        These labels, sorted.
    """

    rows: SparseRows
    label_rows: SparseRows
    pool: torch.Tensor

    def __len__(self):
        return len(self.rows)

    def to(self, device):
        """Return the same batch on `device`."""
        return PoolBatch(
            self.rows.to(device), self.label_rows.to(device), self.pool.to(device)
        )


class PoolDataset(Dataset):
    """Rows of a CSR matrix, of which a batch comes with a few labels picked for it.

    Parameters
    ----------
    X : csr_array of shape (n_samples, n_features)
        The input rows.
    Y : csr_array of shape (n_samples, n_labels)
        Label indicator. Rows without a label are left out.
    label_features : csr_array of shape (n_labels, n_label_features)
        Input of the labels.
    own_features : csr_array of shape (n_labels, n_label_features) or None
        What takes its place every other time, where it is not empty: without a part
        that the training rows have told, and that rows to come will not find.
    n_positives, n_negatives : int
        Positive and negative labels picked for each row.
    max_pool_size : int
        Most labels of a batch.
    seed : int
        Seeds the picks and the order of the rows.

    Attributes
    ----------
    hard_negatives : int ndarray of shape (n_samples, n_known), MappedNegatives or None
        Labels like those of a row that it does not have, -1 where there are fewer. To
        be set while training; without them negatives are drawn from all labels.
    sampler : GroupedSampler or BlockSampler
        The order of the rows.
    agree : callable or None
        Makes the labels picked those of all processes that share the training.
    """

    def __init__(
        self,
        X,
        Y,
        label_features,
        *,
        own_features=None,
        n_positives,
        n_negatives,
        max_pool_size,
        seed,
    ):
        self.rng = np.random.default_rng(seed)
        self.sampler: GroupedSampler | BlockSampler
        if is_mapped(X):
            self.sampler = BlockSampler(X, self.rng, labels=Y)
        else:
            labelled = np.flatnonzero(np.diff(Y.indptr))
            if len(labelled) < X.shape[0]:
                X, Y = X[labelled], Y[labelled]
            self.sampler = GroupedSampler(X.shape[0], self.rng)
        self.X, self.Y, self.label_features = X, Y, label_features
        self.own_features = own_features
        self.n_positives, self.n_negatives = n_positives, n_negatives
        self.max_pool_size = max_pool_size
        self.hard_negatives = self.agree = None

    def __len__(self):
        return len(self.sampler)

    def __getitem__(self, row):
        return self.__getitems__([row])

    def __getitems__(self, rows):
        """Return (PoolBatch, truth), a bool tensor of shape (n_rows, n_pool)."""
        Y = self.Y[rows]
        positives = draw_positives(Y, self.n_positives, self.rng)
        pool = fill_pool(positives, self._draw_negatives(rows), self.max_pool_size)
        if self.agree is not None:
            pool = self.agree(pool)
        truth = torch.zeros(len(rows), len(pool), dtype=torch.bool)
        truth[*map(torch.from_numpy, find_in_pool(Y, pool))] = True
        x, labels = self.X[rows], self._describe(pool)
        inputs = SparseRows.from_csr(x), SparseRows.from_csr(labels)
        return PoolBatch(*inputs, torch.from_numpy(pool)), truth

    def state_dict(self):
        """Return what training has set, and how far the picks have got."""
        groups, generator = self.sampler.groups, self.rng.bit_generator.state
        return {
            # Its numbers have 128 bits, which no file takes.
            "generator": json.dumps(generator),
            "hard_negatives": self.hard_negatives,
            "order": None if groups is None else np.concatenate(groups),
            "sizes": None if groups is None else np.array(list(map(len, groups))),
        }

    def load_state_dict(self, state):
        """Go on from such a state."""
        negatives, order = state["hard_negatives"], state["order"]
        if negatives is not None and not (
            len(negatives) == len(self)
            and negatives.min(initial=0) >= -1
            and negatives.max(initial=-1) < self.Y.shape[1]
        ):
            raise ValueError("hard negatives of other rows or labels")
        self.rng.bit_generator.state = json.loads(state["generator"])
        self.hard_negatives = negatives
        if order is not None:
            if not np.array_equal(np.sort(order), np.arange(len(self))):
                raise ValueError("groups of other rows")
            self.sampler.groups = np.split(order, np.cumsum(state["sizes"])[:-1])

    def _describe(self, pool):
        """Return the input of the labels in the pool."""
        if self.own_features is None:
            return self.label_features[pool]
        is_own = self.rng.random(len(pool)) < 0.5
        is_own &= self.own_features.indptr[pool + 1] > self.own_features.indptr[pool]
        both = self.label_features[pool[~is_own]], self.own_features[pool[is_own]]
        order = np.argsort(np.argsort(is_own, kind="stable"))
        return sp.csr_array(sp.vstack(both))[order]

    def _draw_negatives(self, rows):
        if self.hard_negatives is not None:
            known = self.hard_negatives[rows]
            return draw_negatives(known, self.n_negatives, self.rng)
        return self.rng.integers(self.Y.shape[1], size=len(rows) * self.n_negatives)


class GroupedSampler(Sampler):
    """Rows in random order; once they are grouped, the groups are.

    Parameters
    ----------
    n_samples : int
        Number of rows.
    rng : numpy Generator
        Source of the order.

    Attributes
    ----------
    groups : list of int ndarrays or None
        The rows of each group. To be set while training.
    """

    def __init__(self, n_samples, rng):
        self.n_samples, self.rng, self.groups = n_samples, rng, None

    def __len__(self):
        return self.n_samples

    def __iter__(self):
        if self.groups is None:
            return iter(self.rng.permutation(self.n_samples).tolist())
        # The last group may be smaller. It stays last, so that batches are groups.
        order = [*self.rng.permutation(len(self.groups) - 1), -1]
        rows = [self.rng.permutation(self.groups[group]) for group in order]
        return iter(np.concatenate(rows).tolist())


class BlockSampler(Sampler):
    """Rows of a file in random order, so that runs of them are read at once.

    Blocks of consecutive rows are put in random order, and the rows of some blocks at a
    time shuffled. Few enough rows for that are in any order.

    Parameters
    ----------
    X : MappedCSR of shape (n_samples, n_features)
        The rows.
    rng : numpy Generator
        Source of the order.
    labels : csr_array of shape (n_samples, n_labels) or None, default=None
        Rows without an entry in it are left out.
    """

    groups = None  # of rows that are alike there are none, see `GroupedSampler`

    def __init__(self, X, rng, labels=None):
        self.X, self.rng, self.labels = X, rng, labels
        self.n_samples = X.shape[0]
        if labels is not None:
            blocks = csr_blocks(labels)
            self.n_samples = sum(
                np.count_nonzero(np.diff(block.indptr)) for _, block in blocks
            )

    def __len__(self):
        return self.n_samples

    def __iter__(self):
        n_rows = self.X.shape[0]
        order = self.rng.permutation(-(-n_rows // _BLOCK_ROWS))
        for some in range(0, len(order), _N_BLOCKS):
            spans = []
            for block in np.sort(order[some : some + _N_BLOCKS]).tolist():
                start = block * _BLOCK_ROWS
                spans.append(slice(start, min(start + _BLOCK_ROWS, n_rows)))
                read_ahead(self.X, spans[-1])
            rows = np.concatenate([self._rows_of(span) for span in spans])
            yield from self.rng.permutation(rows).tolist()

    def _rows_of(self, span):
        rows = np.arange(span.start, span.stop)
        if self.labels is None:
            return rows
        return rows[np.diff(self.labels.indptr[span.start : span.stop + 1]) > 0]


def whole_batch(batch):
    """Collate function of a data set that returns whole batches already."""
    return batch
