"""Displays of what a model does, in the manner of scikit-learn's.

A display holds what it draws, computed already: ``from_estimator`` and
``from_predictions`` compute and draw, ``plot`` draws again. Several displays may share
one ``ax``. They need matplotlib, ``pip install "skxmc[plot]"``; this module does not.
"""

from skxmc.display._comparison import ComparisonDisplay
from skxmc.display._compression import CompressionDisplay
from skxmc.display._contribution import ContributionDisplay
from skxmc.display._label_frequency import LabelFrequencyDisplay
from skxmc.display._precision_at_k import PrecisionAtKDisplay
from skxmc.display._reliability import ReliabilityDisplay
from skxmc.display._training_curve import TrainingCurveDisplay

__all__ = [
    "ComparisonDisplay",
    "CompressionDisplay",
    "ContributionDisplay",
    "LabelFrequencyDisplay",
    "PrecisionAtKDisplay",
    "ReliabilityDisplay",
    "TrainingCurveDisplay",
]
