"""The training engine: skorch's loop over sparse batches."""

import math
from contextlib import closing, contextmanager, nullcontext
from functools import partial

import numpy as np
import torch
from skorch import NeuralNet
from skorch.callbacks import Callback, EarlyStopping, GradientNormClipping, LRScheduler
from skorch.helper import predefined_split
from skorch.history import History
from torch.optim.lr_scheduler import LambdaLR

from skxmc._mapped import is_mapped
from skxmc._nn._callbacks import (
    ChooseThreads,
    ShowProgress,
    StopOnDivergence,
    StopTraining,
)
from skxmc._nn._data import BlockSampler, whole_batch
from skxmc._nn._divided import SumGradients, divided
from skxmc._nn._modules import has_foreign_layers, seed_generators
from skxmc._nn._optim import RowSparseAdamW
from skxmc._nn._processes import (
    check_same_start,
    everywhere,
    join_processes,
    of_first,
)
from skxmc._nn._resume import KeepState
from skxmc._nn._state import trained_parameters
from skxmc._nn._threads import limited_threads, one_blas_thread


class SparseNet(NeuralNet):
    """skorch network whose batches are `SparseRows`, and whose module has the loss."""

    def infer(self, x, **fit_params):
        """Run the module on a batch."""
        return self.module_(x.to(self.device), **fit_params)

    def get_loss(self, y_pred, y_true, *args, **kwargs):
        """Compute the module's own loss."""
        return self.module_.loss(y_pred, y_true.to(self.device))


def train(
    module,
    dataset,
    *,
    max_epochs,
    batch_size,
    lr,
    weight_decay,
    callbacks=(),
    validation=None,
    verbose=0,
    device="cpu",
    seed=0,
    checkpoint=None,
    distributed=False,
):
    """Train a module in place and return skorch's history.

    Unlike skorch's own `fit`, this lets Ctrl-C through, seeds its own generators and
    leaves torch's global one alone.

    Parameters
    ----------
    module : torch.nn.Module
        Maps `SparseRows` to outputs, and has a method ``loss(outputs, targets)``. It
        may have `learning_rates`, by pattern of parameters' names.
    dataset, validation : SparseDataset or PoolDataset
        Training data, and held-out data or None.
    max_epochs, batch_size, lr, weight_decay
        As in the estimators. The learning rate rises to `lr` over a tenth of the steps
        and falls to zero over the others.
    callbacks : sequence of skorch callbacks
        Run beside skorch's own.
    verbose : int
        0 silent, 1 a progress bar, 2 and more skorch's table of epochs too.
    device : torch.device or str
        Where to compute.
    seed : int
        Seeds the order of the rows and dropout.
    checkpoint : Checkpoint or None
        Where the state of training is kept, and what it goes on from.
    distributed : bool
        Whether all processes of torch's group train this module together, in which case
        they all call this with the same arguments.

    Returns
    -------
    history : skorch.history.History
        One row an epoch; empty if there is nothing to train, or to train it on.
    """
    if not len(dataset) or not trained_parameters(module):
        return History()
    n_batches = math.ceil(len(dataset) / batch_size) * max_epochs
    schedule = LRScheduler(
        LambdaLR,
        lr_lambda=partial(_lr_factor, n_batches),
        step_every="batch",
        last_epoch=-1,  # a training that goes on puts it forward itself
    )
    order, layers = _generator("cpu", seed), _generator(device, seed)
    keeper = None
    if checkpoint is not None:
        generators = {"order": order, "layers": layers}
        if has_foreign_layers(module):
            generators["global"] = _global_generator(device)
        keeper = KeepState(checkpoint, dataset, schedule, generators)
    if distributed:
        _agree_on(module, dataset, validation)
        callbacks = [SumGradients(), *callbacks]
        verbose = verbose if join_processes()[0] == 0 else 0
    progress = ShowProgress(n_batches)
    net = SparseNet(
        module,
        criterion=torch.nn.Identity,  # skorch wants one, see get_loss
        optimizer=RowSparseAdamW,
        optimizer__weight_decay=weight_decay,
        optimizer__param_groups=[
            (pattern, {"lr": rate})
            for pattern, rate in getattr(module, "learning_rates", {}).items()
        ],
        lr=lr,
        max_epochs=max_epochs,
        batch_size=int(batch_size),  # torch refuses numpy's
        **_order(dataset, seed),
        iterator_train__collate_fn=whole_batch,
        iterator_train__generator=order,
        iterator_valid__collate_fn=whole_batch,
        iterator_valid__generator=_generator("cpu", seed),
        train_split=None if validation is None else predefined_split(validation),
        callbacks=[
            StopOnDivergence(everywhere if distributed else bool),
            *([ChooseThreads()] if str(device) == "cpu" else []),
            schedule,
            *callbacks,
            *([keeper] if keeper else []),
            *([progress] if verbose else []),
        ],
        verbose=max(0, verbose - 1),
        device=str(device),
    )
    seed_generators(module, layers)
    try:
        with (
            closing(progress),  # also where another callback fails at the end
            limited_threads(one_thread=True),
            one_blas_thread(),
            _own_global_generator(module, device, seed),
            divided(module) if distributed else nullcontext(),
        ):
            _run(net, dataset, keeper)
    finally:
        seed_generators(module, None)
        module.zero_grad()  # gradients are as large as weights
    return net.history


def check_callbacks(callbacks):
    """Raise ValueError for what is no skorch callback, or one that cannot work here."""
    for item in callbacks:
        # skorch takes instances, classes, and tuples of a name and either.
        callback = item[1] if isinstance(item, tuple) and len(item) == 2 else item
        kind = callback if isinstance(callback, type) else type(callback)
        if not issubclass(kind, Callback):
            raise ValueError(
                f"callbacks holds {item!r}, which is not a callback of skorch; derive "
                "it from skorch.callbacks.Callback."
            )
        if issubclass(kind, GradientNormClipping):
            raise ValueError(
                "callbacks holds GradientNormClipping, but the gradient of the input "
                "table is row-sparse and has no norm to clip; lower lr instead."
            )


def _agree_on(module, dataset, validation):
    """Let all processes draw the same data; raise where they start otherwise."""
    check_same_start(module, len(dataset))
    for data in (dataset, validation):
        if hasattr(data, "agree"):
            data.agree = of_first


def _order(dataset, seed):
    """Return the options of the loader: the data's own order, a file's, or any."""
    if hasattr(dataset, "sampler"):
        return {"iterator_train__sampler": dataset.sampler}
    if is_mapped(dataset.X):
        sampler = BlockSampler(dataset.X, np.random.default_rng(seed))
        return {"iterator_train__sampler": sampler}
    return {"iterator_train__shuffle": True}


def _run(net, dataset, keeper):
    net.initialize()
    if keeper:
        keeper.restore_network(net)
    net.notify("on_train_begin", X=dataset, y=None)
    try:
        if keeper:
            keeper.restore_others(net)
        net.fit_loop(dataset, epochs=net.max_epochs - len(net.history))
    except StopTraining:
        pass
    except KeyboardInterrupt:
        # skorch's EarlyStopping ends training this way; a user's Ctrl-C goes through.
        if not any(map(_has_stopped, (callback for _, callback in net.callbacks_))):
            raise
    finally:
        net.notify("on_train_end", X=dataset, y=None)


def _has_stopped(callback):
    return isinstance(callback, EarlyStopping) and (
        getattr(callback, "misses_", None) == callback.patience
    )


def _lr_factor(n_steps, step):
    """Rise linearly over a tenth of the steps, fall linearly to 0 over the others."""
    n_rising = max(1, n_steps // 10)
    n_falling = max(1, n_steps - n_rising)
    return max(0.0, min((step + 1) / n_rising, (n_steps - step) / n_falling))


@contextmanager
def _own_global_generator(module, device, seed):
    """Seed torch's global generators, for layers that know no other; put them back.

    Not for our own layers: several threads that train would put back each other's.
    """
    if not has_foreign_layers(module):
        yield
        return
    device = torch.device(device)
    is_cuda = device.type == "cuda"
    with torch.random.fork_rng(devices=[device] if is_cuda else []):
        torch.default_generator.manual_seed(seed)
        if is_cuda:
            torch.cuda.manual_seed(seed)
        yield


def _global_generator(device):
    device = torch.device(device)
    if device.type != "cuda":
        return torch.default_generator
    return torch.cuda.default_generators[device.index or 0]


def _generator(device, seed):
    return torch.Generator(device=device).manual_seed(seed)
