"""A linear map from rows to what can be predicted of their labels."""

import numpy as np

from skxmc._blocks import SelectedRows, row_blocks
from skxmc._compression import compress_labels
from skxmc._linear_map import fit_linear_map

# Root mean square norm of the features, and the rows it is measured on.
_NORM, _N_NORM_ROWS = 4.0, 4096


def fit_linear_features(X, Y, n_components, alpha, random_state):
    """Fit the leading SVD codes of Y as a linear map of X.

    Returns
    -------
    weight, bias : ndarrays of shape (n_features, c) and (c,), float32
        Of ``X @ weight + bias``, whose rows have root mean square norm 4.
    """
    Z = compress_labels(
        X,
        Y,
        n_components,
        method="svd",
        alpha=alpha,
        rare_label_weight=0.0,
        random_state=random_state,
    )
    weight, bias = fit_linear_map(X, Y, Z, alpha, random_state)
    some = SelectedRows(X, np.arange(min(X.shape[0], _N_NORM_ROWS)))
    outputs = np.concatenate([block @ weight + bias for block in row_blocks(some)])
    norm = np.sqrt(np.mean(np.einsum("ij,ij->i", outputs, outputs)))
    scale = np.float32(_NORM / norm) if norm > 0 else np.float32(1)
    return weight * scale, bias * scale
