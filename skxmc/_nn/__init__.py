"""Everything that needs torch and skorch; nothing else imports them."""

from skxmc._nn._callbacks import AverageWeights, MonitorPrecision
from skxmc._nn._cascade import CascadeHead
from skxmc._nn._data import SparseDataset
from skxmc._nn._encoder import Encoder, resolve_device
from skxmc._nn._modules import SparseEncoder
from skxmc._nn._multihead import Features, MultiHeadNet, candidate_recall
from skxmc._nn._net import check_callbacks, train
from skxmc._nn._product import ProductHead
from skxmc._nn._sampling import SamplingHead

__all__ = [
    "AverageWeights",
    "CascadeHead",
    "Encoder",
    "Features",
    "MonitorPrecision",
    "MultiHeadNet",
    "ProductHead",
    "SamplingHead",
    "SparseDataset",
    "SparseEncoder",
    "candidate_recall",
    "check_callbacks",
    "resolve_device",
    "train",
]
