"""The table of what model files may hold: classes, and what their attributes are.

Networks are in `skxmc._nn._stored_modules`; the fitted attributes of an estimator are
in its `_stored_fields`. `load` has to go on reading the files in ``tests/golden``: a
new attribute may be missing ("name?"), and a new parameter goes into `_ADDED` with what
stands for it; any other change raises `FORMAT_VERSION`.
"""

import warnings
from typing import Any

import numpy as np

from skxmc._balance import Balance
from skxmc._dual_ranking import Dial, DualRanker
from skxmc._label_features import LabelDescriptions
from skxmc._model_kinds import attributes, no_sizes, register, restore_vars
from skxmc._neighbor_votes import NeighborVotes
from skxmc._neighbors import (
    KeyClusters,
    NeighborIndex,
    SparseNeighborIndex,
    StoredColumns,
)
from skxmc._nn import register_modules
from skxmc._one_vs_rest import LabelClassifiers
from skxmc._recovery import LabelStore
from skxmc._stored import StoredRows
from skxmc._targets import TargetForm

_HISTORY = {
    "history_": "History",
    "loss_curve_": "list float",
    "n_iter_": "int",
}
_FITTED = {
    "params": "dict",
    "n_features_in_": "size n_features",
    "feature_names_in_?": "object[n_features]",
    "classes_": "any[n_labels]",
    "storage_?": "str",
    "_balance?": "Balance",
    "_encoder": "Encoder",
    "_form": "TargetForm",
    **_HISTORY,
}
# Parameters that say where a model is trained, not what it is.
_NOT_STORED = {"checkpoint", "distributed"}
# Parameters that the first files lack, and what their models did.
_ADDED = {"loss": "squared_error", "classifier_weight": 0.0, "neighbor_weight": 0.0}


def _estimator_state(estimator):
    """Return parameters and fitted attributes, without what only a fit needs."""
    params = estimator.get_params(deep=False)
    # In one order, so that the same model is the same file.
    names = sorted(vars(estimator).keys() - params.keys())
    params = {name: params[name] for name in params if name not in _NOT_STORED}
    # What a file cannot hold, and only a fit needs.
    lost = ["callbacks"] if params["callbacks"] else []
    if isinstance(params["random_state"], np.random.RandomState):
        lost.append("random_state")
    if lost:
        warnings.warn(
            f"A model file holds no {' and no '.join(lost)}: the model that is loaded "
            "has None there. Predictions do not need it.",
            UserWarning,
            stacklevel=7,  # who calls `save`
        )
    params |= dict.fromkeys(lost)
    return {"params": params} | {name: getattr(estimator, name) for name in names}


def _restore_estimator(cls, state):
    params = state.pop("params")
    names = cls().get_params(deep=False).keys() - _NOT_STORED
    params = {name: _ADDED[name] for name in _ADDED.keys() & names} | params
    if params.keys() != names:
        raise ValueError(f"it has the parameters {sorted(params)}.")
    estimator = cls(**params)
    estimator._validate_params()
    vars(estimator).update(state)
    return estimator


def _input_sizes(state):
    """Return the number of columns that are kept, and that networks read."""
    if "n_features_in_" not in state:
        return {}
    balance, reduction = state.get("_balance"), state["_encoder"].reduction
    n_columns = state["n_features_in_"] if balance is None else balance.n_columns
    n_read = n_columns if reduction is None else reduction.weight.shape[1]
    return {"n_columns": n_columns, "n_read": n_read}


def _restore_balance(cls, state):
    balance, n_features = cls(**state), len(state["scale"])
    if balance.columns is not None:
        kept = np.zeros(n_features, dtype=bool)
        kept[balance.columns] = True
        if not np.array_equal(np.flatnonzero(kept), balance.columns):
            raise ValueError("its columns are not sorted, or stand twice.")
        if balance.mean is not None or balance.scale[~kept].any():
            raise ValueError("it has values of columns that it leaves out.")
    return balance


def _index_state(index):
    """Return all but faiss's own structure, which is made anew from the keys."""
    return index.kept_state() | {"index": None, "effort": index.effort}


def _restore_index(cls, state):
    effort = state.pop("effort")
    index = restore_vars(cls, state)
    if index.kind in ("ivf", "hnsw"):
        index.rebuild(effort)
    clusters = index.clusters
    if clusters is not None and (
        clusters.centroids.shape[1] != index.keys.shape[1]
        or len(clusters.numbers) != len(index.keys)
    ):
        raise ValueError("its clusters are not those of its keys.")
    return index


def _restore_clusters(cls, state):
    clusters = restore_vars(cls, state)
    starts, numbers = clusters.starts, clusters.numbers
    is_fine = (
        1 <= clusters.n_searched <= len(clusters.centroids) == len(starts) - 1
        and starts[0] == 0
        and starts[-1] == len(numbers)
        and (np.diff(starts) >= 0).all()
        and np.array_equal(np.sort(numbers), np.arange(len(numbers)))
    )
    if not is_fine:
        raise ValueError("its clusters do not hold each key once.")
    return clusters


def _restore_store(cls, state):
    store = restore_vars(cls, state)
    for numbers in (store.set_of_row, store.set_of_key):
        if (
            len(numbers)
            and not 0 <= numbers.min() <= numbers.max() < store.sets.shape[0]
        ):
            raise ValueError("it names label sets that are not there.")
    return store


def _restore_columns(cls, state):
    columns = restore_vars(cls, state)
    indptr, indices = columns.indptr, columns.indices
    if (
        indptr[0] != 0
        or indptr[-1] != len(indices)
        or (np.diff(indptr) < 0).any()
        or (len(indices) and indices.max() >= columns.shape[0])
    ):
        raise ValueError("its columns are no valid sparse matrix.")
    return columns


def _restore_rows(cls, state):
    rows = restore_vars(cls, state)
    if not rows.is_consistent:
        scales = getattr(rows.scales, "shape", None)
        raise ValueError(
            f"{rows.data.dtype} numbers of shape {rows.data.shape} and scales of shape "
            f"{scales} are no matrix of shape {rows.shape}."
        )
    return rows


def _restore_classifiers(cls, state):
    classifiers = restore_vars(cls, state)
    dtype, scales = classifiers.weights.dtype, classifiers.scales
    fitting = {"float32"} if scales is None else {"int8", "int16"}
    if dtype.name not in fitting:
        scaled = "without" if scales is None else "with"
        raise ValueError(f"its weights are {dtype} {scaled} scales.")
    return classifiers


def _weight_sizes(state):
    return {"n_columns": state["weights"].shape[1]}


def _from_dict(cls, state):
    return cls(**state)


def register_estimator(cls, fields):
    """Let an estimator be stored, with these fitted attributes of its own."""
    register(
        cls,
        _FITTED | fields,
        get=_estimator_state,
        restore=_restore_estimator,
        sizes=_input_sizes,
    )


_FIELDS: dict[type, dict] = {
    TargetForm: {
        "kind": "str",
        "dtype": "dtype",
        "classes": "any[n_labels]",
    },
    Balance: {
        "scale": "float32[n_features]",
        "mean": "float32[n_features] | none",
        "norm": "float",
        "columns?": "int64[n_columns] | none",
    },
    StoredRows: {
        "shape": "tuple int",
        "data": "int8/float16[n_rows, n_rounded] | uint8[n_rows, n_pairs]",
        "exact": "float32[n_rows, n_exact]",
        "scales": "float32[n_rows] | float32/float16[n_rows, n_blocks] | none",
    },
    NeighborIndex: {
        "similarity": "str",
        "kind": "str",
        "keys": "float32[n_keys, n_dims] | StoredRows[n_keys, n_dims]",
        "max_norm": "float",
        "recall_": "float",
        "index": "none",
        "effort": "int | none",
        "clusters?": "KeyClusters | none",
    },
    KeyClusters: {
        "centroids": "float32[n_clusters, n_dims]",
        "starts": "int32[n_ends]",
        "numbers": "int32[n_keys]",
        "n_searched": "int",
        "recall": "float",
    },
    SparseNeighborIndex: {
        "shards": "list csc[n_rows, n_columns] | list StoredColumns",
    },
    StoredColumns: {
        "shape": "tuple int",
        "indptr": "int32/int64[n_ends]",
        "indices": "uint16[n_entries]",
        "scale": "float",
        "data": "int8/float16[n_entries]",
    },
    LabelStore: {
        "sets": "csr[n_sets, n_labels]",
        "rows": "int32[n_rows]",
        "set_of_row": "int32[n_rows]",
        "key_rows": "int32[n_keys]",
        "set_of_key": "int32[n_keys]",
        "count_of_key": "int32[n_keys]",
        "by_frequency": "int32[n_labels]",
    },
    NeighborVotes: {
        "store": "LabelStore",
        "index": "NeighborIndex",
    },
    LabelClassifiers: {
        "weights": "csr[n_labels, n_columns]",
        "bias": "float32[n_labels]",
        "scales": "float32[n_labels] | none",
    },
    Dial: {
        "encoder_weight": "float | int",
        "popularity": "float | int",
        "neighbor_weight?": "float",
    },
    LabelDescriptions: {
        "features": "csr[n_labels, n_columns]",
        "own": "csr[n_labels, n_columns] | none",
    },
    DualRanker: {
        "embedding_size": "int",
        "scale": "float",
        "is_exclusive": "bool",
        "kind": "str",
        "outputs": "float32[n_sample, n_outputs] | StoredRows[n_sample, n_outputs]",
        "truth": "csr[n_sample, n_labels]",
        "by_frequency": "int32/int64[n_labels]",
        "index": "NeighborIndex",
        "calibrated": "tuple Dial/tuple",
        "votes?": "NeighborVotes | none",
        "sample_votes?": "csr[n_sample, n_labels] | none",
    },
}
# Where attributes are not all of `vars`, where they are checked further, and where they
# tell sizes that hold for the whole model.
_GET: dict[type, Any] = {
    Balance: attributes("scale", "mean", "norm", "columns"),
    NeighborIndex: _index_state,
    Dial: Dial._asdict,
    LabelDescriptions: LabelDescriptions._asdict,
}
_RESTORE: dict[type, Any] = {
    Balance: _restore_balance,
    StoredRows: _restore_rows,
    NeighborIndex: _restore_index,
    KeyClusters: _restore_clusters,
    StoredColumns: _restore_columns,
    LabelStore: _restore_store,
    LabelClassifiers: _restore_classifiers,
    Dial: _from_dict,
    LabelDescriptions: _from_dict,
}
_SIZES: dict[type, Any] = {
    LabelClassifiers: _weight_sizes,
}

register_modules()
for _cls, _fields in _FIELDS.items():
    register(
        _cls,
        _fields,
        get=_GET.get(_cls, vars),
        restore=_RESTORE.get(_cls, restore_vars),
        sizes=_SIZES.get(_cls, no_sizes),
    )
