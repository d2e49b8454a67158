"""Fitted models in formats that other programs run."""

from skxmc.export._models import to_onnx
from skxmc.export._rows import pad_rows

__all__ = ["pad_rows", "to_onnx"]
