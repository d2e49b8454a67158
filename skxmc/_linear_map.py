"""The linear map from rows to the codes of their labels, by a loss that suits them."""

import numpy as np
import scipy.sparse as sp

from skxmc._compression import linear_decoder, project_labels
from skxmc._mapped import longest_row
from skxmc._ridge import fit_ridge
from skxmc._squared_hinge import fit_squared_hinge, fits_in_memory

# Of the true labels on the right side of their planes, for squared hinge to be kept.
_MIN_RECALL = 0.5


def fit_linear_map(X, Y, codes, alpha, *, loss="auto"):
    """Fit codes of label rows as a linear map of X.

    Parameters
    ----------
    X : csr_array of shape (n_samples, n_features), float32
        Input rows.
    Y : csr_array of shape (n_samples, n_labels), float32
        Label indicator.
    codes : ndarray of shape (n_samples, n_components), float32
        Codes of its rows.
    alpha : float
        Strength of the penalty, see `fit_ridge`; of squared hinge a sixth.
    loss : {"auto", "squared_error", "squared_hinge"}, default="auto"
        "auto" is squared hinge where each row has one of so few labels that the codes
        lose nothing, and planes part at least half of the rows from other labels.

    Returns
    -------
    weight : ndarray of shape (n_features, n_components), float32
    bias : ndarray of shape (n_components,), float32
    """
    is_auto = loss == "auto"
    if loss == "squared_hinge" or (is_auto and _suits_hinge(X, Y, codes)):
        each_label = sp.eye_array(Y.shape[1], dtype=np.float32, format="csr")
        weight, bias, recall = fit_squared_hinge(
            X,
            Y,
            alpha,
            projection=project_labels(each_label, linear_decoder(Y, codes)),
        )
        if not is_auto or recall >= _MIN_RECALL:
            return weight, bias
    return fit_ridge(X, codes, alpha)


def _suits_hinge(X, Y, codes):
    """Whether each row has one of few labels, whose codes lose nothing."""
    loses_nothing = Y.shape[1] <= codes.shape[1]
    return fits_in_memory(X, Y) and loses_nothing and longest_row(Y) <= 1
