"""How networks are stored in model files: sizes, settings and weights, by class."""

import math

import numpy as np
import torch
from skorch.history import History
from torch import nn

from skxmc._codes import level_sizes
from skxmc._model_kinds import attributes, register
from skxmc._nn._cascade import CascadeHead
from skxmc._nn._dual import Tower
from skxmc._nn._encoder import Encoder
from skxmc._nn._modules import Dropout, SparseEncoder, SteadyLinear
from skxmc._nn._multihead import SHARPENED, Features, MultiHeadNet
from skxmc._nn._product import ProductHead
from skxmc._nn._reduction import InputReduction
from skxmc._nn._sampling import SamplingHead
from skxmc._nn._sparse import SparseLinear
from skxmc._nn._tables import LabelTable

_TORCHS_OWN = set(vars(nn.Module())) | {"generator"}
# Weights that training leaves as they are.
_FIXED = {"linear_weight", "linear_bias"}
_MATRIX = "float32[{0}, {1}] | StoredRows[{0}, {1}]".format
_SIZES = "tuple int"
_FIELDS = {
    SparseLinear: {"weight": _MATRIX("n_read", "n_outputs")},
    SteadyLinear: {
        "in_features": "size n_inputs",
        "out_features": "size n_outputs",
        "weight": _MATRIX("n_outputs", "n_inputs"),
        "bias": "float32[n_outputs]",
    },
    LabelTable: {"weight": _MATRIX("n_nodes", "n_inputs")},
    Dropout: {"p": "float"},
    nn.ReLU: {"inplace": "bool"},
    SparseEncoder: {
        "n_features": "size n_read",
        "input_scale": "float",
        "first": "SparseLinear | none",
        "first_bias?": "float32[n_hidden]",
        "rest?": "Sequential",
        "linear_weight": _MATRIX("n_read", "n_outputs") + " | none",
        "linear_bias": "float32[n_outputs] | none",
    },
    Features: {
        "n_features": "size n_read",
        "n_outputs": "int",
        "hidden": "SparseEncoder | none",
        "linear": "SparseEncoder | none",
        "sharpened?": "str",
        "n_codes?": "int",
        "dropout": "Dropout",
    },
    MultiHeadNet: {
        "features": "Features",
        "head": "ProductHead | CascadeHead | SamplingHead",
    },
    ProductHead: {
        "head_sizes": _SIZES,
        "n_labels": "size n_labels",
        "n_shortlist": "int",
        "n_draws": "float | int",
        "is_single_label?": "bool",
        "digits": "SteadyLinear",
        "table": "LabelTable | none",
        "by_frequency?": "int64[n_labels]",
    },
    CascadeHead: {
        "head_sizes": _SIZES,
        "n_labels": "size n_labels",
        "level_sizes": "list int",
        "n_candidates": "int",
        "n_trained": "int",
        "is_single_label": "bool",
        "root": "SteadyLinear",
        "tables": "ModuleList",
        "by_frequency": "int64[n_labels]",
    },
    SamplingHead: {
        "n_labels": "size n_labels",
        "n_draws": "float | int",
        "group_size": "int",
        "n_groups": "int",
        "n_others": "int",
        "table": "LabelTable",
    },
    Tower: {
        "embedding_size": "int",
        "input_scale": "float",
        "features": "Features",
        "head": "SteadyLinear",
        "direct": "SparseLinear | none",
    },
}


def _module_state(module):
    """Return settings, weights as arrays, and submodules."""
    state = {k: v for k, v in vars(module).items() if k not in _TORCHS_OWN}
    weights = {**module._parameters, **module._buffers}
    arrays = {
        name: None if weight is None else weight.detach().cpu().numpy()
        for name, weight in weights.items()
    }
    return state | arrays | module._modules


def _restore_module(cls, state):
    """Make a module of such a state, without its `__init__`, and check that it fits."""
    module = cls.__new__(cls)
    nn.Module.__init__(module)
    if cls in (Dropout, SamplingHead):
        module.generator = None
    for name, value in state.items():
        if isinstance(value, np.ndarray) and name != "by_frequency":
            value = nn.Parameter(
                torch.from_numpy(value), requires_grad=name not in _FIXED
            )
        setattr(module, name, value)
    _CHECKS.get(cls, lambda module: None)(module)
    return module.eval()


def _check_cascade(head):
    """Raise ValueError if scores would be read from beyond the ends of tables."""
    sizes = level_sizes(head.n_labels, head.head_sizes)
    found = [len(head.root.weight), *(len(table.weight) for table in head.tables)]
    if not head.level_sizes == sizes == found or sizes[-1] != head.n_labels:
        raise ValueError(f"the levels have {found} nodes, not {sizes}.")
    _check_ranking(head)


def _check_product(head):
    n_codes, n_digits = math.prod(head.head_sizes), sum(head.head_sizes)
    if n_codes < head.n_labels or n_digits != len(head.digits.weight):
        raise ValueError(f"heads of {head.head_sizes} do not fit {head.n_labels}.")
    if head.table is not None:
        if len(head.table.weight) != head.n_labels:
            raise ValueError(f"its table has {len(head.table.weight)} labels.")
        _check_ranking(head)


def _check_sampling(head):
    if len(head.table.weight) != head.n_labels:
        raise ValueError(f"its table has {len(head.table.weight)} labels.")


def _check_features(features):
    known = {None, *SHARPENED}
    if features.sharpened not in known:
        raise ValueError(f"its scores are {features.sharpened!r}, not of {known}.")
    n_linear = 0 if features.linear is None else len(features.linear.linear_bias)
    if features.n_codes is not None and not 0 < features.n_codes <= n_linear:
        raise ValueError(f"{features.n_codes} of {n_linear} linear features are codes.")


def _check_ranking(head):
    if not np.array_equal(np.sort(head.by_frequency), np.arange(head.n_labels)):
        raise ValueError("by_frequency does not name each label once.")


_CHECKS = {
    Features: _check_features,
    CascadeHead: _check_cascade,
    ProductHead: _check_product,
    SamplingHead: _check_sampling,
}


def register_modules():
    """Let networks, encoders and training histories be stored."""
    for cls, fields in _FIELDS.items():
        register(cls, fields, get=_module_state, restore=_restore_module)
    for cls in (nn.Sequential, nn.ModuleList):
        register(
            cls,
            {"parts": "list ReLU/Dropout/SteadyLinear/LabelTable"},
            get=lambda modules: {"parts": list(modules)},
            restore=_restore_container,
        )
    kinds = "MultiHeadNet | SparseEncoder | Tower"
    register(
        Encoder,
        {"module": kinds, "device": "str", "reduction?": "InputReduction"},
        get=Encoder.__getstate__,
        restore=_restore_encoder,
    )
    register(
        InputReduction,
        {
            "n_features": "size n_columns",
            "columns": "int32[n_kept]",
            "weight": _MATRIX("n_kept", "n_read"),
        },
        get=attributes("n_features", "columns", "weight"),
        restore=_restore_reduction,
    )
    register(
        History,
        {"rows": "plain"},
        get=lambda history: {"rows": [_without_batches(row) for row in history]},
        restore=lambda cls, state: cls(state["rows"]),
    )


def _restore_container(cls, state):
    parts = state["parts"]
    return cls(*parts) if cls is nn.Sequential else cls(parts)


def _restore_reduction(cls, state):
    columns, n_features = state["columns"], state["n_features"]
    ends = np.concatenate([[-1], columns, [n_features]])
    if (np.diff(ends) <= 0).any():
        raise ValueError(f"its columns are not sorted, or not among {n_features}.")
    return cls(**state)


def _restore_encoder(cls, state):
    encoder = cls.__new__(cls)
    encoder.__setstate__(state)
    return encoder


def _without_batches(row):
    return {
        name: float(value) if isinstance(value, np.floating) else value
        for name, value in row.items()
        if name != "batches"
    }
