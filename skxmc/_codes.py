"""Labels as points in a mixed-radix space: the integer arithmetic of multi-head codes.

With head sizes l_1, ..., l_H and M_h = l_(h+1) * ... * l_H, the code c of a label has
the digits ``y_h = c // M_h % l_h``: head 1 is the most significant. All codes from 0 to
L - 1 belong to a label; where the product of the sizes exceeds L, the last block of the
first head is cut short, and the codes beyond are nobody's. The first digits of a code
are its node in a tree: node ``c // M_h`` at level h.
"""

import math
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp

from skxmc._blocks import rows_of
from skxmc._mapped import MappedCSR, csr_blocks, is_mapped

# Members of a group of the cascade: about half as many as there are groups, but enough
# for a matrix product to be worth its call, and few enough to be scored at once.
_MIN_MEMBERS, _MAX_MEMBERS = 8, 128

# With more labels than these there is one more head by default. It saves nothing where
# all labels are scored at once; and the first one grows with the labels.
_MOST_LABELS = 1024, 2**20

# By default a product scores so many labels anew, where digits alone would not do: of
# rows with several labels each, and of classes, which more are worth half a point to.
_N_SHORTLIST, _N_CLASS_SHORTLIST = 100, 200

# By default a cascade scores so many labels a row, in this many groups, or more.
_N_CANDIDATES, _MIN_CANDIDATE_GROUPS = 1024, 10
# In training a quarter of them does as well, in less than half the time.
_N_TRAINED = 256


class LabelCodes:
    """The bijection between labels and codes, and the digits of the codes.

    Parameters
    ----------
    head_sizes : sequence of int
        Sizes as returned by `fit_head_sizes`.
    order : ndarray of shape (n_labels,), int
        Label of each code.

    Attributes
    ----------
    code_of : ndarray of shape (n_labels,), intp
        Code of each label.
    """

    def __init__(self, head_sizes, order):
        self.head_sizes = tuple(map(int, head_sizes))
        self.order = np.asarray(order, dtype=np.intp)
        self.code_of = np.empty_like(self.order)
        self.code_of[self.order] = np.arange(len(self.order))

    @property
    def n_labels(self):
        """Number of labels."""
        return len(self.order)

    n_columns = n_labels  # of what `reorder` returns

    def reorder(self, Y):
        """Return an indicator (n, n_labels) with its columns in the order of codes.

        Of a `MappedCSR`, rows are reordered when they are read.
        """
        if is_mapped(Y):
            Y = MappedCSR(Y)
            Y.row_map = self
            return Y
        indices = self.code_of.astype(Y.indices.dtype)[Y.indices]
        Y = sp.csr_array((Y.data, indices, Y.indptr.copy()), shape=Y.shape)
        Y.sort_indices()
        return Y

    __call__ = reorder  # as the `row_map` of a `MappedCSR`


def strides(head_sizes):
    """Return M_h, the number of codes that share their first h digits."""
    tails = [head_sizes[h + 1 :] for h in range(len(head_sizes))]
    return [math.prod(tail) for tail in tails]


def code_digits(codes, head_sizes):
    """Return the digits of codes, an array or tensor, as a list with one a head."""
    steps = strides(head_sizes)
    return [codes // step % s for step, s in zip(steps, head_sizes, strict=True)]


def level_sizes(n_labels, head_sizes):
    """Return how many nodes each level of the tree has; the last has `n_labels`."""
    return [-(-n_labels // step) for step in strides(head_sizes)]


def level_counts(Y, head_sizes):
    """Count the rows that each node of the tree has.

    Parameters
    ----------
    Y : csr_array of shape (n_samples, n_labels), canonical
        Label indicator with columns in the order of the codes.
    head_sizes : tuple of int

    Returns
    -------
    counts : list of ndarray of int
        One array a level; the last counts the rows of the labels.
    """
    counts = [_level_counts(block, head_sizes) for _, block in csr_blocks(Y)]
    return [sum(level) for level in zip(*counts, strict=True)]


def _level_counts(Y, head_sizes):
    rows = rows_of(Y)
    counts = []
    for step, size in zip(
        strides(head_sizes), level_sizes(Y.shape[1], head_sizes), strict=True
    ):
        nodes = Y.indices // step
        is_new = np.ones(len(nodes), dtype=bool)  # nodes are sorted within a row
        is_new[1:] = (nodes[1:] != nodes[:-1]) | (rows[1:] != rows[:-1])
        counts.append(np.bincount(nodes[is_new], minlength=size))
    return counts


class HeadPlan(NamedTuple):
    """What heads there are.

    Attributes
    ----------
    variant : {"product", "cascade", "sampling", "full"}
        The variant in use.
    sizes : tuple of int
        Sizes of the heads.
    n_shortlist : int
        Labels that a product scores anew.
    n_labels : int
        Number of labels.
    is_single_label : bool
        Whether each row has one label.
    """

    variant: str
    sizes: tuple
    n_shortlist: int
    n_labels: int
    is_single_label: bool

    @property
    def is_product(self):
        """Whether labels are told apart by digits."""
        return self.variant == "product" and len(self.sizes) > 1

    @property
    def takes_votes(self):
        """Whether labels are scored one by one, beside which rows may vote."""
        if self.variant == "product":
            has_one_digit = self.is_single_label and len(self.sizes) == 1
            return self.n_shortlist > 0 or has_one_digit
        return self.variant != "sampling"

    def gains_by_linear_features(self, n_components):
        """Whether linear features help; digits alone of more classes do without."""
        is_alone = self.is_product and self.is_single_label and not self.n_shortlist
        return not is_alone or self.n_labels <= n_components


def plan_heads(n_labels, is_single_label, *, variant, n_heads, head_sizes, n_shortlist):
    """Plan the heads: those that are wanted, or what suits the labels.

    The product of few classes needs no second head, and is one-vs-all by an exact
    softmax. Of more, digits alone lose 5 to 13 points of accuracy against a vector for
    each, so that "auto" scores a shortlist by these, until they outgrow the memory.

    Parameters
    ----------
    n_labels : int
        Number of labels.
    is_single_label : bool
        Whether each row has one label.
    variant, n_heads, head_sizes, n_shortlist
        As in `MultiHeadEncodingClassifier`.
    """
    is_auto = variant == "auto"
    if is_auto:
        variant = "product" if is_single_label else "cascade"
    sizes = choose_head_sizes(variant, n_labels, n_heads, head_sizes)
    if n_shortlist is None and is_single_label:
        few, many = _MOST_LABELS
        is_worth_it = is_auto and few < n_labels <= many and len(sizes) > 1
        n_shortlist = _N_CLASS_SHORTLIST if is_worth_it else 0
    elif n_shortlist is None:
        n_shortlist = _N_SHORTLIST
    return HeadPlan(variant, sizes, n_shortlist, n_labels, is_single_label)


def choose_head_sizes(variant, n_labels, n_heads=None, head_sizes=None):
    """Return head sizes for a variant, those that are wanted or the default ones.

    Parameters
    ----------
    variant : {"product", "cascade", "sampling", "full"}
        The variant in use.
    n_labels : int
        Number of labels.
    n_heads, head_sizes
        As in `MultiHeadEncodingClassifier`.
    """
    if variant == "full":
        return (n_labels,)
    if head_sizes is not None:
        return fit_head_sizes(head_sizes, n_labels)
    automatic = cascade_sizes if variant == "cascade" else balanced_sizes
    return automatic(n_labels, n_heads or 1 + sum(n_labels > m for m in _MOST_LABELS))


def candidate_groups(n_labels, group_size):
    """Choose how many groups are scored in prediction, and in training."""
    n_candidates = max(_MIN_CANDIDATE_GROUPS, -(-_N_CANDIDATES // group_size))
    if n_labels <= _N_CANDIDATES:
        return n_candidates, n_candidates  # all at once, in one dense product
    return n_candidates, -(-_N_TRAINED // group_size)


def balanced_sizes(n_labels, n_heads):
    """Return head sizes that are as equal as can be.

    Equal sizes have the smallest sum for their product, and so the fewest outputs.

    Examples
    --------
    >>> from skxmc._codes import balanced_sizes
    >>> balanced_sizes(150, 2), balanced_sizes(1000, 3)
    ((12, 13), (10, 10, 10))
    """
    size = max(1, round(n_labels ** (1 / n_heads)))
    while size**n_heads < n_labels:  # a root that was rounded down
        size += 1
    while size > 1 and (size - 1) ** n_heads >= n_labels:
        size -= 1
    return fit_head_sizes((size,) * n_heads, n_labels)


def cascade_sizes(n_labels, n_heads):
    """Return head sizes for a cascade: many small groups at the last level.

    Examples
    --------
    >>> from skxmc._codes import cascade_sizes
    >>> cascade_sizes(3956, 2), cascade_sizes(1_000_000, 3)
    ((124, 32), (88, 89, 128))
    """
    if n_heads == 1:
        return (n_labels,)
    half = math.ceil(math.sqrt(n_labels) / 2)
    members = min(max(half, _MIN_MEMBERS), _MAX_MEMBERS, n_labels)
    groups = balanced_sizes(-(-n_labels // members), n_heads - 1)
    return fit_head_sizes((*groups, members), n_labels)


def fit_head_sizes(head_sizes, n_labels):
    """Cut the first size to what `n_labels` need.

    Parameters
    ----------
    head_sizes : sequence of int
        Sizes wanted.
    n_labels : int
        Number of labels.

    Returns
    -------
    head_sizes : tuple of int
        The first is ``ceil(n_labels / product of the others)``.

    Raises
    ------
    ValueError
        If a size is no whole number of at least 1, or their product is too small.
    """
    sizes = [
        size.item() if isinstance(size, np.generic) else size for size in head_sizes
    ]
    if not sizes or not all(isinstance(s, int) and s >= 1 for s in sizes):
        raise ValueError(
            f"head_sizes={head_sizes!r}; pass one whole number of at least 1 for each "
            "head."
        )
    if math.prod(sizes) < n_labels:
        raise ValueError(
            f"head_sizes={head_sizes!r} has room for {math.prod(sizes)} labels, but y "
            f"has {n_labels}; make a head larger or add one."
        )
    return (-(-n_labels // math.prod(sizes[1:])), *sizes[1:])
