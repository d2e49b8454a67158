"""In which order labels are numbered, and so which of them share a digit."""

import numpy as np
from scipy.optimize import linear_sum_assignment

from skxmc._centroids import label_centroids
from skxmc._label_svd import svd_codes
from skxmc._mapped import count_columns

_N_ITERATIONS = 8
_N_ALIGNMENTS = 3
# Length of the vectors that labels are aligned by: SVD codes of their centroids.
_ALIGNED_LENGTH = 64


def order_labels(label_order, X, Y, head_sizes, *, align, random_state):
    """Put labels in the order of their codes.

    Parameters
    ----------
    label_order : {"natural", "random", "frequency", "cluster"} or array-like
        As in `MultiHeadEncodingClassifier`.
    X : csr_array of shape (n_samples, n_features), float32
        Input rows, for "cluster".
    Y : csr_array of shape (n_samples, n_labels), float32
        Label indicator.
    head_sizes : tuple of int
        With "cluster", labels that share all digits but the last are alike.
    align : bool
        With "cluster", whether those that share the last digit are to be alike too.
    random_state : numpy RandomState
        Source of randomness.

    Returns
    -------
    order : ndarray of shape (n_labels,), intp
        The label of each code.

    Raises
    ------
    ValueError
        If `label_order` is an array but not a permutation of the labels.
    """
    n_labels = Y.shape[1]
    if not isinstance(label_order, str):
        return _check_permutation(label_order, n_labels)
    if label_order == "random":
        return random_state.permutation(n_labels)
    if label_order == "frequency":
        counts = count_columns(Y)
        return np.argsort(-counts, kind="stable")
    if label_order == "natural" or head_sizes[-1] >= n_labels:
        return np.arange(n_labels)
    centroids = label_centroids(X, Y)
    order = cluster_order(centroids, head_sizes[-1], random_state)
    if align:
        vectors = svd_codes(centroids, _ALIGNED_LENGTH, random_state)
        order = align_members(vectors, order, head_sizes[-1])
    return order


def cluster_order(centroids, group_size, random_state):
    """Order vectors so that each run of `group_size` of them is alike.

    Balanced 2-means, again and again: a set is halved along its main direction,
    then along the difference of the means of the halves; both halves are split further
    until no more than `group_size` vectors are left. All groups are full but the last.

    Parameters
    ----------
    centroids : csr_array of shape (n_labels, n_features), float32
        Rows of unit length.
    group_size : int
        Size of a group.
    random_state : numpy RandomState
        Source of the first directions.

    Returns
    -------
    order : ndarray of shape (n_labels,), intp
    """
    order = np.arange(centroids.shape[0])
    stack = [(centroids, 0)]  # vectors, and the place of the first of them
    while stack:
        vectors, start = stack.pop()
        n_groups = -(-vectors.shape[0] // group_size)
        if n_groups < 2:
            continue
        # The ragged group, if any, is the last one and stays in the right half.
        n_left = n_groups // 2 * group_size
        halves = _balanced_halves(vectors, n_left, random_state)
        places = slice(start, start + vectors.shape[0])
        order[places] = order[places][np.concatenate(halves)]
        stack.append((vectors[halves[1]], start + n_left))
        stack.append((vectors[halves[0]], start))
    return order


def align_members(vectors, order, group_size):
    """Reorder labels within their groups so that equal places mean like labels.

    The last head of a product has to tell the places apart, in all groups at once. Each
    group in turn is assigned to the places such that the products of its vectors with
    the sums of the other groups' at the same place add up to the most.

    Parameters
    ----------
    vectors : ndarray of shape (n_labels, n_components), float32
        What makes labels alike.
    order : ndarray of shape (n_labels,), intp
        The label of each code; groups are runs of `group_size`.
    group_size : int
        Size of a group.

    Returns
    -------
    order : ndarray of shape (n_labels,), intp
    """
    order = order.copy()
    sums = np.zeros((group_size, vectors.shape[1]), dtype=vectors.dtype)
    for start in range(0, len(order), group_size):
        members = vectors[order[start : start + group_size]]
        sums[: len(members)] += members
    for _ in range(_N_ALIGNMENTS):
        for start in range(0, len(order), group_size):
            group = slice(start, start + group_size)
            members = vectors[order[group]]
            others = sums[: len(members)]
            others -= members  # a view: the sums lose the group, and get it back below
            places = linear_sum_assignment(others @ members.T, maximize=True)[1]
            order[group] = order[group][places]
            others += members[places]
    return order


def _balanced_halves(vectors, n_left, random_state):
    """Split rows by 2-means into `n_left` rows and the others."""
    n = vectors.shape[0]
    direction = _main_direction(vectors, random_state)  # (n_features,)
    left = None
    for _ in range(_N_ITERATIONS):
        new = np.argsort(-(vectors @ direction), kind="stable")[:n_left]
        if left is not None and np.array_equal(np.sort(new), np.sort(left)):
            break
        left = new
        side = np.full(n, -1.0, dtype=np.float32)
        side[left] = 1.0
        sums = [vectors.T @ (side == s).astype(np.float32) for s in (1, -1)]
        direction = _unit(sums[0]) - _unit(sums[1])
    is_left = np.zeros(n, dtype=bool)
    is_left[left] = True
    return np.flatnonzero(is_left), np.flatnonzero(~is_left)


def _main_direction(vectors, random_state):
    """Return a direction in which rows differ a lot, by power iteration.

    Two centres drawn at random would tell only those rows apart that are like either.
    """
    weights = random_state.standard_normal(vectors.shape[0]).astype(vectors.dtype)
    for _ in range(_N_ITERATIONS):
        weights -= weights.mean()
        direction = _unit(vectors.T @ weights)
        weights = vectors @ direction
    return direction


def _unit(vector):
    norm = np.linalg.norm(vector)
    return vector / norm if norm > 0 else vector


def _check_permutation(order, n_labels):
    order = np.asarray(order)
    if order.shape != (n_labels,) or not np.array_equal(
        np.sort(order), np.arange(n_labels)
    ):
        raise ValueError(
            f"label_order is an array of shape {order.shape}, but y has {n_labels} "
            f"labels; pass each of the numbers 0 to {n_labels - 1} once."
        )
    return order.astype(np.intp)
