"""Thread counts of torch, set for a while and put back, or chosen by trial."""

import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from functools import lru_cache
from itertools import chain, islice
from typing import Any

import torch
from threadpoolctl import ThreadpoolController

from skxmc._forked import openmp_is_broken

# Below so many multiply-adds, one thread is the fastest.
MIN_PARALLEL_WORK = 10**8

_lock = threading.Lock()
_process = {"users": 0, "n_threads": 1}
_blas: dict[str, Any] = {"users": 0}
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

    Others, once woken, would spin for a while beside the steps of training. The count
    is one of the process: it is put back when the last of several threads leaves.
    """
    before = getattr(_thread, "n_blas", None)
    _thread.n_blas = _enter_blas()
    try:
        yield
    finally:
        _thread.n_blas = before
        _leave_blas()


def _enter_blas():
    """Set one thread; return how many there were before the first user."""
    with _lock:
        if _blas["users"] == 0:
            pools = _blas_pools(len(sys.modules))
            # numpy and scipy bring one each, whose counts may differ.
            _blas["n_threads"] = min(_blas_counts(pools), default=None)
            _blas["limit"] = pools.limit(limits=1, user_api="blas")
        _blas["users"] += 1
        return _blas["n_threads"]


@lru_cache(maxsize=1)
def _blas_pools(n_modules):
    """Find the libraries, which takes 3 ms: anew once modules were imported."""
    return ThreadpoolController()


def _blas_counts(pools):
    return [p["num_threads"] for p in pools.info() if p["user_api"] == "blas"]


def _leave_blas():
    with _lock:
        _blas["users"] -= 1
        if _blas["users"] == 0:
            _blas.pop("limit").restore_original_limits()


@contextmanager
def all_blas_threads():
    """Compute on all of them again, for one large product amid `one_blas_thread`."""
    n_threads = 1 if openmp_is_broken() else getattr(_thread, "n_blas", None)
    if n_threads is None:
        yield
        return
    with _blas_pools(len(sys.modules)).limit(limits=n_threads, user_api="blas"):
        yield


def n_available():
    """Return how many torch threads were set before `limited_threads` was entered."""
    with _lock:
        return _process["n_threads"] if _process["users"] else torch.get_num_threads()


# Threads beside a GPU, each of which takes memory there.
_DEVICE_THREADS = 4


def map_blocks(function, blocks, device, *, most_threads, mostly_on_cpu=False):
    """Apply a function to blocks of rows, a few at once, each on a thread of its own.

    Its small operations are not worth splitting (see `limited_threads`), but blocks
    are independent.

    Parameters
    ----------
    function : callable
        Of a block.
    blocks : iterable
        Read as they are needed.
    device : torch.device or None
        Where the function computes; None for the CPU. On a GPU it gets one block at a
        time, unless `mostly_on_cpu`.
    most_threads : int
        No more blocks than this at once: each takes memory.
    mostly_on_cpu : bool, default=False
        Whether most of the work is done beside the GPU, where threads help; those that
        share one hinder each other.

    Returns
    -------
    results : list
        In the order of the blocks.
    """
    is_on_cpu, done = device is None or device.type == "cpu", []
    if not (is_on_cpu or mostly_on_cpu):
        return [function(block) for block in blocks]
    n_threads = 1 if openmp_is_broken() else min(n_available(), most_threads)
    blocks = iter(blocks)
    if not is_on_cpu:
        # Before the others: what stays on the device is moved there once.
        done = [function(block) for block in islice(blocks, 1)]
        n_threads = min(n_threads, _DEVICE_THREADS)
    some = [*islice(blocks, 2)]
    if len(some) < 2 or n_threads == 1:
        return done + [function(block) for block in chain(some, blocks)]
    with limited_threads(one_thread=True), one_blas_thread():
        return done + _map_in_threads(function, chain(some, blocks), n_threads)


def _map_in_threads(function, blocks, n_threads):
    """Apply a function to blocks, each read when a thread is free for it.

    joblib would look for results every 10 ms, which is longer than most blocks take.
    """
    blocks, lock, is_over = enumerate(blocks), threading.Lock(), threading.Event()
    results: dict[int, Any] = {}

    def work():
        while not is_over.is_set():
            with lock:
                number, block = next(blocks, (None, None))
            if number is None:
                return
            results[number] = function(block)

    with ThreadPoolExecutor(n_threads) as executor:
        try:
            for done in as_completed([executor.submit(work) for _ in range(n_threads)]):
                done.result()
        finally:
            is_over.set()  # an error or Ctrl-C: the others end with their blocks
    return [results[number] for number in range(len(results))]


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
