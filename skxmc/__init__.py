"""Extreme multi-label classification with the scikit-learn interface."""

from skxmc._declare import DECLAREClassifier

__all__ = ["DECLAREClassifier", "__version__"]

__version__ = "0.1.0.dev0"
