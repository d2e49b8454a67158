"""Thread counts: put back by every user, and one after a fork."""

import subprocess
import sys
import threading

import pytest
import torch
from threadpoolctl import threadpool_info, threadpool_limits

from skxmc._nn import _threads
from skxmc._nn._threads import (
    StepThreads,
    all_blas_threads,
    limited_threads,
    map_blocks,
    n_available,
    one_blas_thread,
)


@pytest.fixture(autouse=True)
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def count_in_a_new_thread():
    counts = []
    thread = threading.Thread(target=lambda: counts.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    return counts[0]


@pytest.mark.parametrize("error", [None, ValueError])
@pytest.mark.parametrize(
    ("outer", "inner"), [(True, True), (True, False), (False, True)]
)
def test_the_count_is_one_inside_and_put_back_by_the_outermost(outer, inner, error):
    def use():
        with limited_threads(outer):
            with limited_threads(inner):
                assert torch.get_num_threads() == 1  # one of the two is always set
            inside.append(torch.get_num_threads())
            if error:
                raise error

    inside = []
    if error:
        with pytest.raises(error):
            use()
    else:
        use()
    assert inside == [1 if outer else 2]
    assert torch.get_num_threads() == 2
    assert count_in_a_new_thread() == 2


def test_without_limit_the_count_stays():
    with limited_threads(False):
        assert torch.get_num_threads() == 2


@pytest.mark.parametrize("first_out", [0, 1])
def test_threads_that_overlap_find_the_count_of_before(first_out):
    """Two threads enter one after the other and leave in either order."""
    entered = [threading.Event(), threading.Event()]
    leave = [threading.Event(), threading.Event()]
    seen = [None, None]

    def use(i):
        torch.get_num_threads()  # a thread takes over the default on its first call
        if i == 1:
            entered[0].wait(30)
        with limited_threads(True):
            inside = torch.get_num_threads()
            entered[i].set()
            leave[i].wait(30)
            inside = max(inside, torch.get_num_threads())
        seen[i] = inside, torch.get_num_threads()

    threads = [threading.Thread(target=use, args=(i,)) for i in (0, 1)]
    for thread in threads:
        thread.start()
    assert entered[1].wait(30)
    for i in (first_out, 1 - first_out):
        leave[i].set()
        threads[i].join(30)
    assert seen == [(1, 2), (1, 2)]
    assert count_in_a_new_thread() == 2


FORK_SCRIPT = """
import multiprocessing, sys, warnings
import torch
from skxmc._nn._threads import StepThreads, limited_threads, n_available

A = torch.ones(600, 600)

def compute():
    with limited_threads(False):
        assert (A @ A == 600).all() and A.exp().sum() > 0
        return torch.get_num_threads()

def child():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        counts = [compute(), compute()]
    about_fork = [w for w in caught if issubclass(w.category, RuntimeWarning)]
    print("child", counts, len(about_fork), "forked" in str(about_fork[0].message))

torch.set_num_threads(2)
print("parent", compute(), flush=True)
process = multiprocessing.get_context("fork").Process(target=child)
process.start()
process.join()
sys.exit(process.exitcode)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows does not fork")
def test_a_fork_of_a_process_that_used_threads_computes_on_one_and_warns_once():
    done = subprocess.run(
        [sys.executable, "-c", FORK_SCRIPT], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["parent 2", "child [1, 1] 1 True"]


def test_what_was_available_is_known_within_the_limit():
    assert n_available() == 2
    with limited_threads(True):
        assert n_available() == 2


def counts_of_steps(n_steps, seconds, n_threads=2):
    """Run steps that take ``seconds(number, threads)``; return the threads of each."""
    now, counts = [0.0], []
    steps = StepThreads(n_threads, clock=lambda: now[0])
    for number in range(n_steps):
        counts.append(steps.begin())
        now[0] += seconds(number, counts[-1])
        steps.end()
    return counts


@pytest.mark.parametrize(
    ("one", "two", "expected"),
    [(0.1, 0.06, 2), (0.1, 0.098, 1), (0.1, 2.0, 1), (1e-3, 1e-4, 1)],
)
def test_steps_take_all_threads_where_these_are_clearly_faster(one, two, expected):
    counts = counts_of_steps(1000, lambda _, threads: one if threads == 1 else two)
    share = sum(count == expected for count in counts) / len(counts)
    assert share > 0.97


def test_steps_leave_the_threads_once_another_process_keeps_a_core_busy():
    def seconds(number, threads):
        return {1: 0.1, 2: 0.06 if number < 2000 else 2.0}[threads]

    counts = counts_of_steps(20_000, seconds)
    assert counts[1000] == 2
    assert sum(count == 2 for count in counts[6000:]) < 10


def test_steps_on_one_thread_need_no_trial():
    assert set(counts_of_steps(500, lambda *_: 0.1, n_threads=1)) == {1}


def blas_counts():
    """Return the threads of the libraries of numpy and scipy."""
    pools = [pool for pool in threadpool_info() if pool["user_api"] == "blas"]
    own = ("numpy", "scipy")  # others that are loaded may count for each thread alone
    return {p["num_threads"] for p in pools if any(o in p["filepath"] for o in own)}


def test_numpy_has_one_thread_in_training_and_all_for_a_large_product():
    with threadpool_limits(2, user_api="blas"):
        with one_blas_thread():
            assert blas_counts() == {1}
            with all_blas_threads():
                assert blas_counts() == {2}
            assert blas_counts() == {1}
        assert blas_counts() == {2}
        with all_blas_threads():
            assert blas_counts() == {2}


def test_a_callers_own_limit_of_numpys_threads_is_kept():
    with threadpool_limits(1, user_api="blas"), one_blas_thread(), all_blas_threads():
        assert blas_counts() == {1}


def test_of_pools_that_differ_the_least_count_is_put_back(monkeypatch):
    monkeypatch.setattr(_threads, "_blas_counts", lambda _: [2, 1])
    with threadpool_limits(2, user_api="blas"), one_blas_thread(), all_blas_threads():
        assert blas_counts() == {1}


@pytest.mark.parametrize("first_out", [0, 1])
def test_numpys_threads_are_put_back_by_the_last_of_two_that_overlap(first_out):
    with threadpool_limits(2, user_api="blas"):
        users = [one_blas_thread(), one_blas_thread()]
        for user in users:
            user.__enter__()
        users[first_out].__exit__(None, None, None)
        assert blas_counts() == {1}
        users[1 - first_out].__exit__(None, None, None)
        assert blas_counts() == {2}


CPU, GPU = torch.device("cpu"), torch.device("cuda")


def test_blocks_are_mapped_side_by_side_in_order():
    both = threading.Barrier(2, timeout=30)

    def name(block):
        both.wait()  # fails unless two are under way
        return block, threading.get_ident(), torch.get_num_threads(), blas_counts()

    with threadpool_limits(2, user_api="blas"):
        found = map_blocks(name, iter(range(6)), CPU, most_threads=9)
        assert blas_counts() == {2}
    blocks, idents, n_torch, n_blas = zip(*found, strict=True)
    assert blocks == (0, 1, 2, 3, 4, 5)
    assert len(set(idents)) == 2
    assert (set(n_torch), n_blas) == ({1}, ({1},) * 6)
    assert torch.get_num_threads() == 2


@pytest.mark.parametrize(("n_blocks", "n_threads"), [(0, 2), (1, 2), (4, 1)])
def test_blocks_that_gain_nothing_by_it_stay_in_this_thread(n_blocks, n_threads):
    torch.set_num_threads(n_threads)
    here = threading.get_ident()
    found = map_blocks(
        lambda _: threading.get_ident(), range(n_blocks), CPU, most_threads=9
    )
    assert found == [here] * n_blocks


def test_a_gpu_is_not_shared_by_threads():
    here = threading.get_ident()
    found = map_blocks(lambda _: threading.get_ident(), range(4), GPU, most_threads=9)
    assert found == [here] * 4


def test_beside_a_gpu_blocks_are_mapped_side_by_side_but_for_the_first():
    here, others = threading.get_ident(), threading.Barrier(2, timeout=30)

    def name(block):
        if block:
            others.wait()
        return block, threading.get_ident() == here

    assert map_blocks(
        name, iter(range(5)), GPU, most_threads=9, mostly_on_cpu=True
    ) == [
        (0, True),
        *((block, False) for block in range(1, 5)),
    ]


def test_an_error_in_a_block_is_raised_and_the_threads_are_put_back():
    def fail(block):
        if block == 3:
            raise ValueError("block 3")

    with pytest.raises(ValueError, match="block 3"):
        map_blocks(fail, range(6), CPU, most_threads=9)
    assert torch.get_num_threads() == 2


def test_after_an_error_no_further_block_is_begun():
    begun, both = [], threading.Barrier(2, timeout=30)

    def fail(block):
        begun.append(block)
        both.wait()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        map_blocks(fail, iter(range(100)), CPU, most_threads=9)
    assert len(begun) <= 4
