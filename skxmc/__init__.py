"""Extreme multi-label classification with the scikit-learn interface."""

from skxmc._declare import DECLAREClassifier
from skxmc._mhe import MultiHeadEncodingClassifier
from skxmc._text_encoder import TextEncoder
from skxmc._unidec import UniDECClassifier

__all__ = [
    "DECLAREClassifier",
    "MultiHeadEncodingClassifier",
    "TextEncoder",
    "UniDECClassifier",
    "__version__",
]

__version__ = "0.1.0.dev0"
