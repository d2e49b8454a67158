"""Extreme multi-label classification with the scikit-learn interface."""

from importlib import import_module
from typing import TYPE_CHECKING

from skxmc._version import __version__

if TYPE_CHECKING:
    from skxmc._declare import DECLAREClassifier
    from skxmc._load import load
    from skxmc._mhe import MultiHeadEncodingClassifier
    from skxmc._text_classifier import XMCTextClassifier
    from skxmc._text_encoder import TextEncoder
    from skxmc._unidec import UniDECClassifier

__all__ = [
    "DECLAREClassifier",
    "MultiHeadEncodingClassifier",
    "TextEncoder",
    "UniDECClassifier",
    "XMCTextClassifier",
    "__version__",
    "load",
]

# Imported when first used: torch takes seconds, which data sets, metrics and the help
# of the command line do without.
_MODULES = {
    "DECLAREClassifier": "_declare",
    "MultiHeadEncodingClassifier": "_mhe",
    "TextEncoder": "_text_encoder",
    "UniDECClassifier": "_unidec",
    "XMCTextClassifier": "_text_classifier",
    "load": "_load",
}
_SUBPACKAGES = (
    "calibration",
    "datasets",
    "display",
    "distributed",
    "exceptions",
    "export",
    "inspection",
    "metrics",
    "model_selection",
)


def __getattr__(name):
    if name in _SUBPACKAGES:
        return import_module(f"skxmc.{name}")
    if name not in _MODULES:
        raise AttributeError(f"module 'skxmc' has no attribute {name!r}")
    globals()[name] = getattr(import_module(f"skxmc.{_MODULES[name]}"), name)
    return globals()[name]


def __dir__():
    return sorted([*globals(), *__all__, *_SUBPACKAGES])
