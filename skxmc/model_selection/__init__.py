"""Model selection that takes sparse label indicators.

The splitters work as `cv` of scikit-learn's own searches.
"""

from skxmc.model_selection._cross_val import cross_val_topk
from skxmc.model_selection._splitters import (
    IterativeStratifiedKFold,
    IterativeStratifiedShuffleSplit,
)

__all__ = [
    "IterativeStratifiedKFold",
    "IterativeStratifiedShuffleSplit",
    "cross_val_topk",
]
