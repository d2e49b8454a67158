"""Batches cut straight from CSR matrices."""

import scipy.sparse as sp
import torch
from torch.utils.data import Dataset

from skxmc._nn._sparse import SparseRows


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


def whole_batch(batch):
    """Collate function of a data set that returns whole batches already."""
    return batch
