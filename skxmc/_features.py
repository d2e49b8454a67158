"""The part of a network that maps rows to features, before it is trained."""

from skxmc import _nn
from skxmc._freed import return_freed_memory
from skxmc._linear_features import fit_linear_features
from skxmc._mapped import input_scale


def start_features(
    X,
    Y,
    form,
    *,
    n_components,
    ridge_alpha,
    hidden_layer_sizes,
    dropout,
    random_state,
    n_machines=0,
    sharpened=None,
):
    """Make hidden layers beside linear features, which are fitted.

    Parameters
    ----------
    X, Y : csr_array
        Training rows and their labels.
    form : TargetForm
        The form of y.
    n_components, ridge_alpha, hidden_layer_sizes, dropout
        As in the estimators.
    random_state : numpy RandomState
        Seeds the SVD and the initial weights.
    n_machines : int, default=0
        Linear features beside the codes, see `fit_linear_features`.
    sharpened : {"rectified", "softmax"} or None, default=None
        What stands beside the linear features of classes, see `Features`.

    Returns
    -------
    features : Features

    Raises
    ------
    ValueError
        If there is neither a hidden layer nor a linear feature.
    """
    linear = None
    is_small = form.is_single_label and Y.shape[1] <= n_components
    of_classes = is_small and sharpened is not None
    if ridge_alpha is not None:
        linear = fit_linear_features(
            *(X, Y, n_components, ridge_alpha, random_state),
            n_machines=n_machines,
            of_classes=of_classes,
        )
        return_freed_memory()
    if not len(hidden_layer_sizes) and linear is None:
        raise ValueError(
            "hidden_layer_sizes=() leaves no features where there are no linear ones "
            "(ridge_alpha=None, or a product for more than n_components classes); pass "
            "at least one layer."
        )
    return _nn.Features(
        X.shape[1],
        hidden_layer_sizes,
        dropout=dropout,
        input_scale=input_scale(X),
        linear=linear,
        sharpened=sharpened if of_classes else None,
        n_codes=min(n_components, *Y.shape),
        seed=random_state.randint(2**31),
    )
