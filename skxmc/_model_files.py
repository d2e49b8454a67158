"""Fitted estimators in files: JSON and safetensors in an archive, and no code.

A model file is an archive, see `skxmc._archive`, whose ``config.json`` has the tree of
`skxmc._model_tree`.
"""

from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted

from skxmc._archive import Format, read_archive, write_archive
from skxmc._model_kinds import TABLE
from skxmc._model_tree import decode, encode
from skxmc.exceptions import CorruptFileError

FORMAT_VERSION = 1
_FORMAT = Format("skxmc-model", FORMAT_VERSION, "a model file of skxmc, see `save`")


def save(estimator, path):
    """Write a fitted estimator to a file; see `BaseXMCClassifier.save`."""
    try:
        model, arrays = encode(estimator)
    except TypeError as error:
        what = str(error).removeprefix("params.")
        raise ValueError(
            f"{what}, which a model file cannot hold; pickle the model instead, and "
            "open pickles of your own only."
        ) from error
    return write_archive(path, _FORMAT, {"model": model}, arrays)


def read_model(path, *, mmap, expected_sha256, max_bytes):
    """Read what `save` has written; see `skxmc.load`."""
    return read_archive(
        path,
        _FORMAT,
        _build,
        mmap=mmap,
        expected_sha256=expected_sha256,
        max_bytes=max_bytes,
    )


def _build(config, arrays):
    node = config.get("model")
    name = node.get("class") if isinstance(node, dict) else None
    kind = TABLE.get(name) if isinstance(name, str) else None
    if kind is None or not hasattr(kind.cls, "predict"):
        raise CorruptFileError(f"its model is of the class {name!r}, no estimator.")
    model = decode(node, arrays)
    try:
        check_is_fitted(model)
    except NotFittedError as error:
        raise CorruptFileError(f"its {name} is not fitted.") from error
    return model
