"""The state of training after an epoch: what is kept of it, and how it comes back."""

import json

import numpy as np
import torch
from skorch.callbacks import Callback, PassthroughScoring
from skorch.history import History

from skxmc._nn._state import as_arrays, put_back, tensors_of


class KeepState(Callback):
    """Write the state of training after each epoch, and begin with the last one.

    Parts of training that hold a state of their own, callbacks and data, have
    `state_dict` and `load_state_dict`, as in torch.

    Parameters
    ----------
    checkpoint : Checkpoint
        Where to.
    dataset : Dataset
        The training data.
    schedule : skorch LRScheduler
        The learning rates.
    generators : dict of str to torch.Generator
        What random numbers are drawn from.
    """

    def __init__(self, checkpoint, dataset, schedule, generators):
        self.checkpoint, self.dataset = checkpoint, dataset
        self.schedule, self.generators = schedule, generators

    def on_epoch_end(self, net, **kwargs):
        """Write the state."""
        state = {
            "history": _to_bytes(net.history),
            "module": as_arrays(tensors_of(net.module_)),
            "optimizer": as_arrays(net.optimizer_.state_dict()["state"]),
            "schedule": self.schedule.lr_scheduler_.state_dict(),
            "generators": as_arrays(
                {name: made.get_state() for name, made in self.generators.items()}
            ),
            "data": as_arrays(_state_of(self.dataset)),
            "callbacks": {
                name: as_arrays(_state_of(callback))
                for name, callback in net.callbacks_
            },
        }
        self.checkpoint.write(state)

    def restore_network(self, net):
        """Put back what callbacks may look at when training begins."""
        state = self.checkpoint.state
        if state is None:
            return
        with self.checkpoint.corrupt_if_wrong():
            net.history_ = History(json.loads(state["history"].tobytes()))
            put_back(tensors_of(net.module_), state["module"])

    def restore_others(self, net):
        """Put back what callbacks start when training begins."""
        state = self.checkpoint.state
        if state is None:
            return
        with self.checkpoint.corrupt_if_wrong():
            _put_optimizer(net.optimizer_, state["optimizer"])
            self._put_schedule(net, state["schedule"])
            if state["data"]:
                self.dataset.load_state_dict(state["data"])
            for name, callback in net.callbacks_:
                _put_callback(net, callback, state["callbacks"].get(name))
            for name, generator in self.generators.items():
                _put_generator(generator, state["generators"].get(name))
        self.checkpoint.restore_rng()
        self.checkpoint.state = None  # as large as the training

    def _put_schedule(self, net, state):
        scheduler = self.schedule.lr_scheduler_
        scheduler.load_state_dict(state)
        rates = scheduler.get_last_lr()
        for group, rate in zip(net.optimizer_.param_groups, rates, strict=True):
            group["lr"] = float(rate)


def _state_of(part):
    return part.state_dict() if hasattr(part, "state_dict") else {}


def _put_optimizer(optimizer, states):
    # Not by `load_state_dict`: Adam's knows no other state than its own.
    groups = optimizer.param_groups
    parameters = [parameter for group in groups for parameter in group["params"]]
    for number, state in states.items():
        parameter = parameters[int(number)]
        for name, array in state.items():
            # The step's kernels trust these shapes.
            shapes = {"step": (), "square_sum": parameter.shape[:1]}
            tensor = torch.from_numpy(array).reshape(shapes.get(name, parameter.shape))
            dtype = torch.float32 if name == "step" else parameter.dtype
            optimizer.state[parameter][name] = tensor.to(parameter.device, dtype)


def _put_callback(net, callback, state):
    if isinstance(callback, PassthroughScoring):
        # What a loss is compared with, to mark the best epoch.
        if callback.name in net.history[-1]:
            callback.best_score_ = min(net.history[:, callback.name])
    elif state and hasattr(callback, "load_state_dict"):
        callback.load_state_dict(state)


def _put_generator(generator, array):
    """Put a generator back; one of another device goes on from its seed."""
    if array is not None and len(array) == len(generator.get_state()):
        generator.set_state(torch.from_numpy(array))


def _to_bytes(history):
    """Write the history as JSON, an array of bytes."""
    text = json.dumps(history.to_list(), default=_plain)
    return np.frombuffer(text.encode(), dtype=np.uint8)


def _plain(value):
    """Return a number or a list for one of numpy or torch, else its text."""
    return value.tolist() if hasattr(value, "tolist") else repr(value)
