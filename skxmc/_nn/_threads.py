"""Thread counts of torch, set for a while and put back, or chosen by trial."""

import threading
import time
from contextlib import contextmanager

import torch
from threadpoolctl import threadpool_info, threadpool_limits

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


@contextmanager
def thread_count(count):
    """Compute on so many threads within a block of `limited_threads`."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def one_blas_thread():
    """Compute numpy's products on one thread inside the block.

    Others, once woken, would spin for a while beside the steps of training.
    """
    pools = [pool for pool in threadpool_info() if pool["user_api"] == "blas"]
    # numpy and scipy bring one each, whose counts may differ.
    n_threads = min((pool["num_threads"] for pool in pools), default=None)
    with threadpool_limits(1, user_api="blas"):
        _thread.n_blas = n_threads
        try:
            yield
        finally:
            _thread.n_blas = None


@contextmanager
def all_blas_threads():
    """Compute on all of them again, for one large product amid `one_blas_thread`."""
    n_threads = 1 if openmp_is_broken() else getattr(_thread, "n_blas", None)
    if n_threads is None:
        yield
        return
    with threadpool_limits(n_threads, user_api="blas"):
        yield


def n_available():
    """Return how many torch threads were set before `limited_threads` was entered."""
    with _lock:
        return _process["n_threads"] if _process["users"] else torch.get_num_threads()


# Steps that are timed on one thread, then on all; and steps until the next trial, which
# doubles as long as the outcome is the same.
_N_TIMED, _FIRST_INTERVAL, _LAST_INTERVAL = 3, 100, 3200
_MIN_SECONDS = 2e-3  # of a step, below which threads never pay


class StepThreads:
    """Choose by trial whether steps of training are faster on all threads than on one.

    Where nothing else keeps a core busy they are, if steps are large; where something
    does, OpenMP's threads wait for each other by spinning, and steps take many times as
    long. Which it is can change at any time, so trials are repeated.

    Parameters
    ----------
    n_threads : int
        What "all" is.
    clock : callable
        Returns seconds.
    """

    def __init__(self, n_threads, clock=time.perf_counter):
        self.n_threads, self.clock = n_threads, clock
        self.chosen, self.interval = 1, _FIRST_INTERVAL
        self.n_left = 1  # the first step of all is slower than the others
        self.times: dict[int, list[float]] = {1: [], n_threads: []}

    def begin(self):
        """Return the number of threads for the step that begins."""
        self.count = self.chosen
        if self.n_left == 0 and self.n_threads > 1:
            is_first_half = len(self.times[1]) < _N_TIMED
            self.count = 1 if is_first_half else self.n_threads
        self.start = self.clock()
        return self.count

    def end(self):
        """Take note of the time of the step."""
        if self.n_threads == 1:
            return
        if self.n_left:
            self.n_left -= 1
            return
        self.times[self.count].append(self.clock() - self.start)
        one, all_ = self.times[1], self.times[self.n_threads]
        if len(one) < _N_TIMED:
            return
        best = min(one)
        is_clear = best < _MIN_SECONDS or (all_ and all_[-1] > 1.5 * best)
        if is_clear:
            self._choose(1)
        elif len(all_) == _N_TIMED:
            self._choose(self.n_threads if min(all_) < 0.9 * best else 1)

    def _choose(self, count):
        same = count == self.chosen
        self.interval = (
            min(2 * self.interval, _LAST_INTERVAL) if same else (_FIRST_INTERVAL)
        )
        self.chosen, self.n_left = count, self.interval
        self.times = {1: [], self.n_threads: []}
