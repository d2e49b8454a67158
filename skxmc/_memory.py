"""How much memory a fit will take: what its large arrays add up to, stage by stage."""

from itertools import pairwise
from typing import NamedTuple

from joblib import cpu_count

from skxmc._centroids import N_STRONGEST
from skxmc._codes import level_sizes
from skxmc._hinge_newton import MOST_MARKED, N_STACKED
from skxmc._label_svd import N_OVERSAMPLES
from skxmc._neighbors import index_bytes
from skxmc._ridge import BLOCK_TARGETS
from skxmc._shortlists import N_SHORTLISTED
from skxmc._squared_hinge import BLOCK_LABELS, MOST_COPIED, N_OTHERS

_FLOAT = 4
_SPARSE = 8  # a float32 and an int32 index
# Weights that a classifier of a label keeps at most, about, and for each value of its
# rows.
_N_WEIGHTS, _WEIGHTS_OF_VALUES = 220, 1.5
# Rows of a network's first weights that a step of training copies, about: those of a
# batch, their gradients and what moves them.
_STEP_ROWS = 12_000


class ProblemSize(NamedTuple):
    """Shapes of the data, and what a row holds on average."""

    n_samples: int
    n_features: int
    n_labels: int
    n_nonzero: float
    n_labels_per_sample: float

    @property
    def is_single_label(self):
        """Whether it stands for 1-D y: one label a row."""
        return self.n_labels_per_sample == 1

    @property
    def x_bytes(self):
        """Bytes of X as CSR."""
        return int(self.n_samples * (_SPARSE * self.n_nonzero + 4))

    @property
    def y_bytes(self):
        """Bytes of Y as CSR."""
        return int(self.n_samples * (_SPARSE * self.n_labels_per_sample + 4))


def array_bytes(*shape):
    """Return the bytes of a float32 array."""
    total = _FLOAT
    for length in shape:
        total *= length
    return int(total)


def code_bytes(size, n_components, *, is_sketched=False):
    """Return the peak of computing codes of the label rows, and the bytes of them."""
    smaller = min(size.n_samples, size.n_labels)
    c = min(n_components, smaller)
    n_vectors = c - c // 2 if is_sketched and c < smaller else c
    width = min(n_vectors + N_OVERSAMPLES, smaller)
    codes, vectors = (array_bytes(size.n_samples, n) for n in (c, n_vectors))
    svd = array_bytes(smaller, width) + max(array_bytes(smaller, width), vectors)
    turning = array_bytes(smaller, n_vectors)  # V, if there are fewer labels than rows
    sketch = codes + vectors + turning if n_vectors < c else 0
    return size.y_bytes + max(svd, sketch), codes


def ridge_bytes(size, n_targets):
    """Return the peak of the ridge regression beside its targets, with the weights."""
    block = min(BLOCK_TARGETS, n_targets)
    rows = 2 * array_bytes(size.n_samples, block)
    columns = 6 * array_bytes(size.n_features, block)
    return array_bytes(size.n_features, n_targets) + size.x_bytes + rows + columns


def hinge_bytes(size, n_targets):
    """Return the peak of fitting a machine a label, with the weights."""
    weights = 2 * array_bytes(size.n_features, n_targets)
    held = 3 * array_bytes(size.n_features, min(BLOCK_TARGETS, n_targets))
    block = min(BLOCK_LABELS, n_targets)
    rows = 4 * array_bytes(size.n_samples, block)
    columns = 7 * array_bytes(size.n_features, block)
    n_threads = _n_hinge_threads(size, -(-n_targets // BLOCK_LABELS))
    each = rows + columns + _stacked_bytes(size)
    # X scaled, and turned round.
    return int(weights + held + 2 * size.x_bytes + n_threads * each)


def _n_hinge_threads(size, n_blocks):
    n_values = max(1, int(size.n_samples * size.n_nonzero))
    return max(1, min(cpu_count(), n_blocks, MOST_COPIED // n_values))


def _stacked_bytes(size):
    """Return the bytes of rows side by side, and of those that are put there."""
    n_true = size.n_samples * size.n_labels_per_sample / max(1, size.n_labels)
    n_chosen = min(size.n_samples, (1 + N_OTHERS) * n_true)
    return 2 * _SPARSE * max(N_STACKED, n_chosen * size.n_nonzero)


def classifiers_bytes(size):
    """Return the bytes of a classifier for each label, and the peak of fitting them."""
    n_own = size.n_samples * size.n_labels_per_sample / size.n_labels
    n_values = _WEIGHTS_OF_VALUES * n_own * size.n_nonzero
    weights = _SPARSE * size.n_labels * min(_N_WEIGHTS, size.n_features, n_values)
    n_listed = min(size.n_labels, N_SHORTLISTED)
    shortlists = _SPARSE * size.n_samples * n_listed
    n_pairs = size.n_samples * (n_listed + size.n_labels_per_sample)
    n_groups = max(1, n_pairs * size.n_nonzero / N_STACKED)
    # For each number a mark of 1 byte and a place of 4.
    marked = 5 * min(MOST_MARKED, size.n_labels / n_groups * size.n_features)
    stacked = 5 * _SPARSE * min(N_STACKED, n_pairs * size.n_nonzero)
    solving = _n_hinge_threads(size, size.n_labels) * (marked + stacked)
    # The same of pairs, by row and then by label.
    fitting = 10 * n_pairs + size.x_bytes / 2 + 2 * weights + solving
    return int(weights), int(shortlists + max(2 * shortlists, fitting))


def linear_map_bytes(size, n_components, n_targets, loss="auto"):
    """Return the peak of fitting the linear map to codes, with the weights."""
    is_small = size.is_single_label and size.n_labels <= n_components
    if loss == "squared_hinge" or (loss == "auto" and is_small):
        return max(hinge_bytes(size, n_targets), ridge_bytes(size, n_targets))
    return ridge_bytes(size, n_targets)


def linear_features_bytes(size, n_components, alpha, n_machines):
    """Return the peak of fitting the linear features, their bytes and their number."""
    n_targets = min(n_components, size.n_samples, size.n_labels)
    is_large = size.n_labels > n_components
    if alpha is None or not n_targets:
        return 0, 0, 0
    coding, codes = code_bytes(size, n_components)
    mapping = codes + linear_map_bytes(size, n_components, n_targets)
    n_machines = min(n_machines, size.n_labels) if is_large else 0
    weights = array_bytes(size.n_features, n_targets + n_machines)
    machines = weights + hinge_bytes(size, n_machines) if n_machines else 0
    peak = max(coding, mapping, machines, 2 * weights)
    return peak, weights, n_targets + n_machines


class FeatureSizes(NamedTuple):
    """What features of rows take: a perceptron beside linear features."""

    n_outputs: int
    weights: int
    fitting: int  # peak of fitting the linear ones
    optimizer: int
    step: int  # what batches take, and is not given back at once


def feature_sizes(
    size, n_components, alpha, hidden_layer_sizes, *, n_machines=0, is_sharpened=False
):
    """Return the sizes of what `start_features` makes."""
    fitting, linear, n_linear = linear_features_bytes(
        size, n_components, alpha, n_machines
    )
    layers, optimizer = layer_bytes(size.n_features, hidden_layer_sizes)
    n_hidden = hidden_layer_sizes[-1] if len(hidden_layer_sizes) else 0
    if is_sharpened and size.is_single_label and size.n_labels <= n_components:
        n_linear *= 2
    n_rows = min(_STEP_ROWS, size.n_features)
    step = array_bytes(n_rows, hidden_layer_sizes[0]) if n_hidden else 0
    return FeatureSizes(n_linear + n_hidden, linear + layers, fitting, optimizer, step)


def centroid_bytes(size, n_strongest):
    """Return the bytes of the labels' centroids, cut to their strongest features."""
    most = size.n_samples * size.n_labels_per_sample * size.n_nonzero
    return int(_SPARSE * min(size.n_labels * n_strongest, most))


def layer_bytes(n_in, hidden_layer_sizes, n_out=None):
    """Return the bytes of a perceptron, and of what its optimiser keeps beside it."""
    sizes = [*hidden_layer_sizes, *([] if n_out is None else [n_out])]
    if not len(hidden_layer_sizes):
        return 0, 0
    first = array_bytes(n_in, sizes[0])
    dense = sum(array_bytes(a, b) for a, b in pairwise(sizes))
    return first + dense, 3 * dense  # a gradient and two moments


def multi_head_bytes(
    size,
    plan,
    *,
    clusters_labels,
    has_votes,
    n_components,
    ridge_alpha,
    hidden_layer_sizes,
):
    """Return the bytes of a multi-head model, and the peak of fitting it.

    Parameters
    ----------
    size : ProblemSize
        The data.
    plan : HeadPlan
        The heads.
    clusters_labels : bool
        Whether labels are numbered in clusters.
    has_votes : bool
        Whether training rows are kept by their linear features, if there are any.
    n_components, ridge_alpha, hidden_layer_sizes
        As in `MultiHeadEncodingClassifier`.
    """
    n_labels = size.n_labels
    if not plan.gains_by_linear_features(n_components):
        ridge_alpha = None
    features = feature_sizes(
        *(size, n_components, ridge_alpha, hidden_layer_sizes),
        n_machines=n_components,
        is_sharpened=True,
    )
    if plan.variant in ("cascade", "full"):
        root, *levels = level_sizes(n_labels, plan.sizes)
    elif plan.variant == "product":
        root, levels = sum(plan.sizes), [n_labels] if plan.n_shortlist else []
    else:
        root, levels = 0, [n_labels]
    dense = array_bytes(root, features.n_outputs + 1)
    tables = array_bytes(sum(levels), features.n_outputs + 1)
    order = 0
    if clusters_labels:
        order = 2 * centroid_bytes(size, N_STRONGEST) + size.x_bytes
    model = features.weights + dense + tables + 16 * n_labels
    training = model + features.optimizer + 3 * dense + 2 * size.y_bytes
    if has_votes and ridge_alpha is not None:
        model += vote_bytes(size, "auto", n_components)
    peak = max(order, features.fitting, training, model)
    return model, peak + features.step


def vote_bytes(size, index, n_components):
    """Return the bytes of training rows that vote, by codes, and of their labels."""
    n_components = min(n_components, size.n_samples, size.n_labels)
    label_rows = size.y_bytes + 16 * size.n_samples + 4 * size.n_labels
    return index_bytes(index, size.n_samples, n_components) + label_rows


def dual_encoder_bytes(
    size,
    *,
    has_centroids,
    n_centroid_features,
    embedding_size,
    has_votes,
    index,
    n_components,
    ridge_alpha,
    hidden_layer_sizes,
):
    """Return the bytes of a dual encoder with its labels, and the peak of fitting it.

    Parameters
    ----------
    size : ProblemSize
        The data.
    has_centroids : bool
        Whether labels are described by their training rows.
    has_votes : bool
        Whether training rows are kept by their linear features, if there are any.
    n_centroid_features, embedding_size, index, n_components, ridge_alpha, \
            hidden_layer_sizes
        As in `UniDECClassifier`.
    """
    features = feature_sizes(size, n_components, ridge_alpha, hidden_layer_sizes)
    length = features.n_outputs
    embedding = array_bytes(size.n_features + length, embedding_size)
    keys = size.n_labels, embedding_size + length + 3
    descriptions = centroid_bytes(size, n_centroid_features) if has_centroids else 0
    tower = features.weights + embedding
    model = tower + descriptions + index_bytes(index, *keys)
    if has_votes and ridge_alpha is not None:
        model += vote_bytes(size, index, n_components)
    training = tower + features.optimizer + descriptions
    training += array_bytes(*keys) + size.y_bytes
    start = 3 * descriptions + 2 * size.x_bytes
    peak = max(start, descriptions + features.fitting, training, model)
    # Of rows and of labels, which the network reads as well.
    return model, peak + 2 * features.step
