"""Extreme multi-label classification with the scikit-learn interface."""

from skxmc._declare import DECLAREClassifier
from skxmc._mhe import MultiHeadEncodingClassifier
from skxmc._model_schema import load
from skxmc._text_encoder import TextEncoder
from skxmc._unidec import UniDECClassifier
from skxmc._version import __version__

__all__ = [
    "DECLAREClassifier",
    "MultiHeadEncodingClassifier",
    "TextEncoder",
    "UniDECClassifier",
    "__version__",
    "load",
]
