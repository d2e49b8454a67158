"""Thread counts of torch, set for a while and put back."""

import threading
from contextlib import contextmanager

import torch

from skxmc._forked import openmp_is_broken

_lock = threading.Lock()
_process = {"users": 0, "n_threads": 1}
_thread = threading.local()


@contextmanager
def limited_threads(one_thread):
    """Compute on one torch thread inside the block, or on as many as are set.

    Splitting a small operation costs more than it saves, and much more where another
    process keeps a core busy: OpenMP's threads wait for each other by spinning. Blocks
    may be nested. torch holds a count a thread and a default for new threads, so what
    was set before is remembered by the first of several threads that enter at once.
    """
    if not (openmp_is_broken() or one_thread):
        yield
        return
    depth = _thread.depth = getattr(_thread, "depth", 0) + 1
    if depth == 1:
        _enter()
    try:
        yield
    finally:
        _thread.depth -= 1
        if depth == 1:
            _leave()


def _enter():
    with _lock:
        if _process["users"] == 0:
            _process["n_threads"] = torch.get_num_threads()
        _process["users"] += 1
        torch.set_num_threads(1)


def _leave():
    with _lock:
        _process["users"] -= 1
        # Where OpenMP would hang, torch stays on one thread: it also copies weights in
        # parallel when multiprocessing sends a model back.
        if not openmp_is_broken():
            torch.set_num_threads(_process["n_threads"])
