"""Batches cut straight from CSR matrices."""

import torch
from torch.utils.data import Dataset

from skxmc._nn._sparse import SparseRows


class SparseDataset(Dataset):
    """Rows of a CSR matrix with a dense target each, fetched a batch at a time.

    Parameters
    ----------
    X : sparse CSR of shape (n_samples, n_features)
        The input rows.
    targets : float32 ndarray of shape (n_samples, n_outputs)
        One target vector a row.
    """

    def __init__(self, X, targets):
        self.X, self.targets = X, targets

    def __len__(self):
        return self.X.shape[0]

    def __getitem__(self, row):
        return self.__getitems__([row])

    def __getitems__(self, rows):
        """Return the batch (SparseRows, target tensor) of these rows."""
        return SparseRows.from_csr(self.X[rows]), torch.from_numpy(self.targets[rows])


def whole_batch(batch):
    """Collate function of a data set that returns whole batches already."""
    return batch
