"""A trained module as a function from CSR rows to an array."""

import copy
import warnings

import numpy as np
import torch

from skxmc._blocks import (
    BLOCK_ROWS,
    LEAST_ROWS,
    ROWS_AT_ONCE,
    ROWS_ON_DEVICE,
    filled_up,
    row_blocks,
)
from skxmc._nn._modules import SparseEncoder, SteadyLinear, has_foreign_layers
from skxmc._nn._reduction import reduce_input
from skxmc._nn._sparse import SparseLinear, SparseRows
from skxmc._nn._tables import LabelTable
from skxmc._nn._threads import limited_threads
from skxmc._stored import StoredRows

# What `Encoder.compressed` stores in fewer bits, but for so many last columns, which
# are biases; where it has so many numbers.
_STORED = {
    SparseLinear: ("weight", 0),
    SparseEncoder: ("linear_weight", 0),
    SteadyLinear: ("weight", 0),
    LabelTable: ("weight", 1),
}
_MIN_STORED = 2**14
# With more scores a row, a module has but BLOCK_ROWS rows at once: they take memory.
_MAX_SCORES = 4096


class Encoder:
    """Apply a trained module to rows, the same to each whatever the batch.

    Parameters
    ----------
    module : torch.nn.Module
        Maps `SparseRows` (n_rows, n_features) to (n_rows, n_outputs).
    device : torch.device
        Where to compute. An unpickled encoder falls back to the first GPU, or to the
        CPU with a warning, where there is no such device.
    reduction : InputReduction or None, default=None
        What rows go through first, on the CPU.
    """

    def __init__(self, module, device, reduction=None):
        self._place(module.eval(), device, reduction)

    def _place(self, module, device, reduction):
        self.module, self.device = module.to(device), device
        self.reduction = reduction
        self._block_size, self._least = _block_rows(module, device)

    def __call__(self, X):
        """Map a CSR matrix (n, n_features) to a float32 ndarray (n, n_outputs)."""
        outputs, start = None, 0
        with limited_threads(one_thread=True), torch.inference_mode():
            for x, n_true in self._blocks(X):
                output = self.module(x).cpu().numpy()[:n_true]
                if outputs is None:
                    shape = X.shape[0], output.shape[1]
                    outputs = np.empty(shape, dtype=np.float32)
                outputs[start : start + n_true] = output
                start += n_true
                del x  # before the next block is read
        return outputs

    def rank(self, X, k, *options):
        """Rank the labels of CSR rows by a module that does, and is given the options.

        Returns
        -------
        codes, scores : ndarrays of shape (n_samples, k)
        """
        parts = self._map_blocks(self.module.rank, X, k, *options)
        return tuple(map(np.concatenate, zip(*parts, strict=True)))

    def score_label(self, X, code, *options):
        """Score one label of CSR rows by a module that ranks: shape (n_samples,)."""
        parts = self._map_blocks(self.module.score_label, X, code, *options)
        return np.concatenate(parts)

    def _map_blocks(self, function, X, argument, *options):
        """Apply a method of the module to blocks of rows; return the list of results.

        It is given the padded rows, the argument, how many of the rows are true, and
        the options.
        """
        with limited_threads(one_thread=True), torch.inference_mode():
            blocks = self._blocks(X)
            return [function(x, argument, n_true, *options) for x, n_true in blocks]

    def _blocks(self, X):
        """Yield blocks of rows as `SparseRows`, filled up, and how many are true."""
        for block in row_blocks(X, self._block_size):
            n_true = block.shape[0]
            x = SparseRows.from_csr(block, filled_up(n_true, self._least))
            del block
            x = x.to(self.device) if self.reduction is None else self.reduction(x)
            yield x, n_true
            del x

    def reduced(self, X, n_components, directions):
        """Return an encoder on the CPU that is given fewer numbers, `reduce_input`."""
        if has_foreign_layers(self.module):
            raise ValueError(
                f"n_components={n_components} reduces what networks of skxmc read; "
                "set it to None with an encoder of your own."
            )
        module, reduction = reduce_input(self.module, X, n_components, directions)
        return Encoder(module, torch.device("cpu"), reduction)

    def compressed(self, storage):
        """Return an encoder on the CPU with large weights in fewer bits."""
        module, reduction = copy.deepcopy(self.module).cpu(), self.reduction
        if reduction is not None and reduction.weight.size >= _MIN_STORED:
            reduction = reduction.compressed(storage)
        for layer in module.modules():
            if type(layer) not in _STORED:
                continue
            name, n_exact = _STORED[type(layer)]
            weight = getattr(layer, name)
            if weight is not None and weight.numel() >= _MIN_STORED:
                delattr(layer, name)
                stored = StoredRows(weight.detach().numpy(), storage, n_exact)
                setattr(layer, name, stored)
        return Encoder(module, torch.device("cpu"), reduction)

    @property
    def n_bytes(self):
        """Memory of the weights in bytes."""
        weights = [*self.module.parameters()]
        for layer in self.module.modules():
            weights += [w for w in vars(layer).values() if isinstance(w, StoredRows)]
        n_bytes = sum(w.nbytes for w in weights)
        return n_bytes if self.reduction is None else n_bytes + self.reduction.n_bytes

    def __getstate__(self):
        on_cpu = self.device.type == "cpu"
        module = self.module if on_cpu else copy.deepcopy(self.module).cpu()
        state = {"module": module, "device": str(self.device)}
        return (
            state if self.reduction is None else state | {"reduction": self.reduction}
        )

    def __setstate__(self, state):
        device = _device_here(state["device"])
        self._place(state["module"], device, state.get("reduction"))


def _block_rows(module, device):
    """Return how many rows a module is given at once, and what few are filled up to."""
    if device.type != "cpu":
        return ROWS_ON_DEVICE, BLOCK_ROWS
    if has_foreign_layers(module):
        return BLOCK_ROWS, BLOCK_ROWS
    n_scores = getattr(module, "n_scores", 0)
    return ROWS_AT_ONCE if n_scores <= _MAX_SCORES else BLOCK_ROWS, LEAST_ROWS


def _device_here(name):
    """Return the device that a model was trained on, or what stands for it here."""
    device = torch.device(name)
    if device.type != "cuda":
        return device
    if torch.cuda.is_available():
        # A worker that sees one GPU of several knows it as the first.
        is_there = (device.index or 0) < torch.cuda.device_count()
        return device if is_there else torch.device("cuda")
    warnings.warn(
        f"The model was trained on {device}, which is not available here; "
        "it will predict on the CPU.",
        UserWarning,
        stacklevel=3,
    )
    return torch.device("cpu")


def resolve_device(device):
    """Return the torch device that the parameter `device` names.

    Raises
    ------
    ValueError
        If the name is unknown or no such device is available.
    """
    if device == "auto":
        return torch.device(_best_device())
    try:
        resolved = torch.device(device)
    except RuntimeError as error:
        raise ValueError(
            f"device={device!r} is not the name of a device; use 'auto', 'cpu', "
            "'cuda', 'cuda:0' or 'mps'."
        ) from error
    supported = {
        "cpu": True,
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
    }
    if not supported.get(resolved.type, False):
        raise ValueError(
            f"device={device!r} requested but torch.{resolved.type}.is_available() is "
            "False; use 'cpu' or 'auto'."
            if resolved.type in supported
            else f"device={device!r} is not supported; use one of {[*supported]}."
        )
    if resolved.type == "cuda" and (resolved.index or 0) >= torch.cuda.device_count():
        raise ValueError(
            f"device={device!r} requested but there are only "
            f"{torch.cuda.device_count()} CUDA devices; use 'cuda' or 'auto'."
        )
    return resolved


def _best_device():
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"
