"""skorch callbacks: stop in time, keep the best weights, show progress."""

import math
import sys
from typing import Any

import torch
from skorch.callbacks import Callback
from torch.optim.swa_utils import AveragedModel
from tqdm import tqdm

from skxmc._nn._state import put_back, tensors_of, trained_parameters
from skxmc._nn._threads import StepThreads, n_available
from skxmc.exceptions import TrainingDivergedError

_MIN_THREADED_ROWS = 100
# MKL rounds products of fewer rows otherwise on other numbers of threads.
_MIN_THREADED_OUTPUTS = 12
_LOG_SECONDS = 10


class StopTraining(Exception):
    """Raised by a callback to end training early, successfully."""


class StopOnDivergence(Callback):
    """Raise `TrainingDivergedError` once a loss or a weight is no longer finite.

    Parameters
    ----------
    agree : callable, default=bool
        Tells from whether the weights of this process are finite whether all are.
    """

    def __init__(self, agree=bool):
        self.agree = agree

    def on_batch_end(self, net, training=False, loss=None, **kwargs):
        """Check the loss of a training batch."""
        if training and not math.isfinite(loss.item()):
            self._stop(net, f"loss became {loss.item()}")

    def on_epoch_end(self, net, **kwargs):
        """Check the weights, which the last step may have spoilt after its loss."""
        # A sum needs no array of its own, and is finite only where all terms are.
        parameters = trained_parameters(net.module_)
        if not self.agree(all(p.sum().isfinite() for p in parameters)):
            self._stop(net, "weights became infinite or NaN")

    def _stop(self, net, what):
        raise TrainingDivergedError(
            f"The training {what} in epoch {len(net.history)}, batch "
            f"{len(net.history[-1, 'batches'])}, at lr={net.lr}; try a lower lr or "
            "rescale X."
        )


class ChooseThreads(Callback):
    """Run steps on as many threads as they are fastest on, within `limited_threads`.

    Whole batches only: the products of a smaller one are rounded differently by
    different numbers of threads, and what a seed gives must not depend on the time of
    day.
    """

    def on_train_begin(self, net, **kwargs):
        """Begin with a trial, unless threads would change what is learned."""
        is_tiny = any(
            parameter.ndim > 1 and len(parameter) < _MIN_THREADED_OUTPUTS
            for parameter in net.module_.parameters()
        )
        self.steps_ = StepThreads(1 if is_tiny else n_available())

    def on_batch_begin(self, net, batch=None, training=False, **kwargs):
        """Set the threads of a step."""
        n_rows = len(batch[0])
        self.is_whole_ = training and n_rows == net.batch_size >= _MIN_THREADED_ROWS
        if self.is_whole_:
            torch.set_num_threads(self.steps_.begin())

    def on_batch_end(self, net, **kwargs):
        """Go back to one thread."""
        if self.is_whole_:
            self.steps_.end()
            torch.set_num_threads(1)


class MonitorPrecision(Callback):
    """Record precision@1 after each epoch and, on request, keep the best epoch.

    Parameters
    ----------
    score : callable
        Takes the module in evaluation mode, returns precision@1.
    name : str
        Key in the history.
    patience : int or None
        Stop after so many epochs without a better score, and put the best weights back.
        None only records. The weights before the first epoch take part.
    """

    def __init__(self, score, name, patience=None):
        self.score, self.name, self.patience = score, name, patience

    def on_train_begin(self, net, **kwargs):
        """Score the weights that training starts from."""
        if self.patience is not None:
            self._keep(net, self._score(net))

    def on_epoch_end(self, net, **kwargs):
        """Score the epoch and decide whether to go on."""
        score = self._score(net)
        net.history.record(self.name, score)
        if self.patience is None:
            return
        if score > self.best_score_:
            self._keep(net, score)
        else:
            self.misses_ += 1
        net.history.record(f"{self.name}_best", self.misses_ == 0)
        if self.misses_ >= self.patience:
            raise StopTraining

    def on_train_end(self, net, **kwargs):
        """Put the best weights back."""
        if self.patience is not None:
            for parameter, best in zip(
                trained_parameters(net.module_), self.best_weights_, strict=True
            ):
                parameter.data.copy_(best)

    def state_dict(self):
        """Return what decides when to stop, and which weights are kept."""
        if self.patience is None:
            return {}
        return {
            "best_score": float(self.best_score_),
            "misses": self.misses_,
            "best_weights": _numbered(self.best_weights_),
        }

    def load_state_dict(self, state):
        """Go on from such a state."""
        self.best_score_, self.misses_ = state["best_score"], state["misses"]
        put_back(_numbered(self.best_weights_), state["best_weights"])

    def _score(self, net):
        net.module_.eval()
        return self.score(net.module_)

    def _keep(self, net, score):
        self.best_score_, self.misses_ = score, 0
        self.best_weights_ = [
            p.detach().clone() for p in trained_parameters(net.module_)
        ]


class AverageWeights(Callback):
    """Put the average over the epochs from `first` on in the place of the weights."""

    def __init__(self, first):
        self.first = first

    def on_train_begin(self, net, **kwargs):
        """Begin a new average."""
        self.average_ = AveragedModel(net.module_)

    def on_epoch_end(self, net, **kwargs):
        """Add the weights of this epoch."""
        if len(net.history) >= self.first:
            self.average_.update_parameters(net.module_)

    def on_train_end(self, net, **kwargs):
        """Put the average in place."""
        if self.average_.n_averaged:
            net.module_.load_state_dict(self.average_.module.state_dict())
        del self.average_

    def state_dict(self):
        """Return the average, once it has begun."""
        return tensors_of(self.average_) if self.average_.n_averaged else {}

    def load_state_dict(self, state):
        """Go on from such an average."""
        put_back(tensors_of(self.average_), state)


class Refresh(Callback):
    """Renew, every few epochs, what the training data owe to the network.

    Parameters
    ----------
    every : int or None
        Epochs from one refresh to the next, and before the first; None for never.
    refresh : callable
        Takes the module in evaluation mode, and the training data.
    """

    def __init__(self, every, refresh):
        self.every, self.refresh = every, refresh

    def on_epoch_begin(self, net, dataset_train=None, **kwargs):
        """Refresh, if it is time."""
        n_done = len(net.history) - 1  # this epoch has its row already
        if self.every and n_done and n_done % self.every == 0:
            net.module_.eval()
            self.refresh(net.module_, dataset_train)


def _numbered(tensors):
    return {str(i): tensor for i, tensor in enumerate(tensors)}


class _LogLines:
    """Stream for a bar where it cannot be drawn over itself: a line each time."""

    def __init__(self, stream):
        self.stream = stream

    def write(self, text):
        if text.strip():
            self.stream.write(f"{text.strip()}\n")

    def flush(self):
        self.stream.flush()


class ShowProgress(Callback):
    """One progress bar over all batches of all epochs, with loss and precision@1.

    In a log, which is neither a terminal nor a notebook, it is a line every ten seconds
    instead.
    """

    def __init__(self, n_batches):
        self.n_batches = n_batches
        self.bar_: Any = None

    def on_train_begin(self, net, **kwargs):
        """Open the bar."""
        n_done = sum(net.history[:, "train_batch_count"]) if net.history else 0
        options = {"total": self.n_batches, "initial": n_done, "unit": "batch"}
        self.is_log_ = not sys.stderr.isatty() and "ipykernel" not in sys.modules
        if self.is_log_:
            options |= {"file": _LogLines(sys.stderr), "mininterval": _LOG_SECONDS}
        self.bar_ = tqdm(desc="fit", **options)

    def on_batch_end(self, net, training=False, **kwargs):
        """Advance by one batch."""
        if training:
            self.bar_.update()

    def on_epoch_end(self, net, **kwargs):
        """Show the figures of the epoch."""
        row = net.history[-1]
        shown = {"epoch": row["epoch"], "loss": f"{row['train_loss']:.4f}"}
        for key in row.keys() & {"train_precision_at_1", "valid_precision_at_1"}:
            shown["P@1"] = f"{row[key]:.3f}"
        self.bar_.set_postfix(shown, refresh=not self.is_log_)

    def close(self):
        """Close the bar: where it stays open, the next one is drawn below it."""
        if self.bar_ is not None:
            self.bar_.close()
