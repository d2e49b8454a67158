"""Thread counts of torch, set for a while and put back."""

import threading
from contextlib import contextmanager

import torch

from skxmc._forked import openmp_is_broken

_lock = threading.Lock()
_state = {"users": 0, "n_threads": 1}


@contextmanager
def limited_threads(one_thread):
    """Compute on one torch thread inside the block, or on as many as are set.

    Splitting a small operation costs more than it saves, and much more where another
    process keeps a core busy: OpenMP's threads wait for each other by spinning. torch
    holds a count a thread and a default for new threads, so the outermost user, of
    several at once, remembers what was set before.
    """
    if not (openmp_is_broken() or one_thread):
        yield
        return
    with _lock:
        if _state["users"] == 0:
            _state["n_threads"] = torch.get_num_threads()
        _state["users"] += 1
        torch.set_num_threads(1)
    try:
        yield
    finally:
        with _lock:
            _state["users"] -= 1
            torch.set_num_threads(_state["n_threads"])
