"""Everything that needs torch and skorch; nothing else imports them."""

from skxmc._nn._callbacks import AverageWeights, MonitorPrecision, Refresh
from skxmc._nn._cascade import CascadeHead
from skxmc._nn._data import PoolDataset, SparseDataset
from skxmc._nn._device_keys import keys_on
from skxmc._nn._dual import DualNet, Embedder, ModuleFeatures, Tower
from skxmc._nn._encoder import Encoder, resolve_device
from skxmc._nn._key_panels import panels_of
from skxmc._nn._modules import SparseEncoder
from skxmc._nn._multihead import Features, MultiHeadNet, candidate_recall
from skxmc._nn._net import check_callbacks, train
from skxmc._nn._out_of_memory import memory_errors
from skxmc._nn._processes import join_processes, local_device, of_first
from skxmc._nn._product import ProductHead
from skxmc._nn._sampling import SamplingHead
from skxmc._nn._sparse import SparseProduct
from skxmc._nn._steady import (
    grouped_products,
    products_are_steady,
    steady_products,
)
from skxmc._nn._stored_modules import register_modules
from skxmc._nn._tables import LabelTable
from skxmc._nn._text import TextFeatures, load_tokenizer, tokenize
from skxmc._nn._threads import (
    all_blas_threads,
    limited_threads,
    map_blocks,
    n_available,
    one_blas_thread,
)
from skxmc._nn._votes import VoteShares
from skxmc._nn._whole_numbers import has_whole_numbers, whole_products

__all__ = [
    "AverageWeights",
    "CascadeHead",
    "DualNet",
    "Embedder",
    "Encoder",
    "Features",
    "LabelTable",
    "ModuleFeatures",
    "MonitorPrecision",
    "MultiHeadNet",
    "PoolDataset",
    "ProductHead",
    "Refresh",
    "SamplingHead",
    "SparseDataset",
    "SparseEncoder",
    "SparseProduct",
    "TextFeatures",
    "Tower",
    "VoteShares",
    "all_blas_threads",
    "candidate_recall",
    "check_callbacks",
    "grouped_products",
    "has_whole_numbers",
    "join_processes",
    "keys_on",
    "limited_threads",
    "load_tokenizer",
    "local_device",
    "map_blocks",
    "memory_errors",
    "n_available",
    "of_first",
    "one_blas_thread",
    "panels_of",
    "products_are_steady",
    "register_modules",
    "resolve_device",
    "steady_products",
    "tokenize",
    "train",
    "whole_products",
]
