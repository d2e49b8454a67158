"""Everything that needs torch and skorch; nothing else imports them."""

from torch.nn import MSELoss

from skxmc._nn._callbacks import MonitorPrecision
from skxmc._nn._data import SparseDataset
from skxmc._nn._encoder import Encoder, resolve_device
from skxmc._nn._modules import SparseEncoder
from skxmc._nn._net import check_callbacks, train

__all__ = [
    "Encoder",
    "MSELoss",
    "MonitorPrecision",
    "SparseDataset",
    "SparseEncoder",
    "check_callbacks",
    "resolve_device",
    "train",
]
