"""Explaining a prediction: which features, and which training rows, spoke for it."""

from skxmc.inspection._contributions import Contributions
from skxmc.inspection._features import feature_contributions
from skxmc.inspection._rows import training_row_contributions

__all__ = [
    "Contributions",
    "feature_contributions",
    "training_row_contributions",
]
