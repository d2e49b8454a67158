"""A linear map from rows to what can be predicted of their labels."""

import numpy as np

from skxmc._blocks import SelectedRows, row_blocks
from skxmc._compression import compress_labels
from skxmc._linear_map import fit_linear_map
from skxmc._mapped import count_columns
from skxmc._squared_hinge import fit_squared_hinge, fits_in_memory

# Root mean square norm of the features, and the rows it is measured on.
_NORM, _N_NORM_ROWS = 4.0, 4096


def fit_linear_features(
    X, Y, n_components, alpha, random_state, *, n_machines=0, of_classes=False
):
    """Fit the leading SVD codes of Y and its most frequent labels as linear maps of X.

    Parameters
    ----------
    X, Y : csr_array
        Rows and their labels.
    n_components : int
        Length of the codes.
    alpha : float
        Strength of the penalty, see `fit_linear_map`.
    random_state : numpy RandomState
        Seeds the SVD.
    n_machines : int, default=0
        Labels that stand beside the codes, each by a support vector machine: the SVD
        mixes them, and squared errors pull the score of each row to its target, also
        where it is on the right side already. None where the codes lose nothing of Y,
        or X is mapped.
    of_classes : bool, default=False
        The rows of Y are their own codes, one of few classes each: the features are
        then the scores of the classes.

    Returns
    -------
    weight, bias : ndarrays of shape (n_features, c) and (c,), float32
        Of ``X @ weight + bias``, whose rows have root mean square norm 4.
    """
    if Y.shape[1] <= n_components or not fits_in_memory(X, Y):
        n_machines = 0
    if of_classes:
        codes = Y.toarray()
    else:
        codes = compress_labels(
            *(X, Y, n_components),
            method="svd",
            alpha=alpha,
            rare_label_weight=0.0,
            random_state=random_state,
        )
    maps = [fit_linear_map(X, Y, codes, alpha)]
    del codes
    if n_machines:
        frequent = np.argsort(-count_columns(Y), kind="stable")[:n_machines]
        weight, bias, _ = fit_squared_hinge(
            X,
            Y[:, np.sort(frequent)],
            alpha,
            projection=np.eye(len(frequent), dtype=np.float32),
        )
        maps.append((weight, bias))
    some = SelectedRows(X, np.arange(min(X.shape[0], _N_NORM_ROWS)))
    norm = _NORM / np.sqrt(len(maps))
    for weight, bias in maps:
        _scale_outputs(norm, some, weight, bias)
    if len(maps) == 1:
        return maps[0]
    weights, biases = zip(*maps, strict=True)
    return np.concatenate(weights, axis=1), np.concatenate(biases)


def _scale_outputs(norm, X, weight, bias):
    """Scale a map, in place, so that its outputs have this root mean square norm."""
    outputs = np.concatenate([block @ weight + bias for block in row_blocks(X)])
    found = np.sqrt(np.mean(np.einsum("ij,ij->i", outputs, outputs)))
    scale = np.float32(norm / found) if found > 0 else np.float32(1)
    weight *= scale
    bias *= scale
