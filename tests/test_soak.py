"""Hours in little: no memory, file or thread is kept, and any number take part."""

import gc
import multiprocessing
import os
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import psutil
import pytest
from _faults import (
    answers,
    contents,
    each_estimator,
    fitted,
    fresh,
    in_subprocess,
    problem,
)

import skxmc

MB = 2**20


def cycle(estimator, path):
    """Fit, predict, save, load and predict; return the bits of the answers."""
    X, Y = problem()
    model = fresh(estimator, max_epochs=1).fit(X, Y)
    model.save(path)
    again = skxmc.load(path, mmap=True)
    bits = list(map(contents, answers(model, X)))
    assert list(map(contents, answers(again, X))) == bits
    return bits


def taken():
    """Return what this process takes: resident memory, files and threads."""
    gc.collect()
    process = psutil.Process()
    memory = process.memory_info().rss / MB
    return memory, process.num_fds(), process.num_threads()


def soak(estimator, path, n_warm_up, n_cycles):
    """Return what is taken after the warm-up, and after the cycles."""
    for _ in range(n_warm_up):
        cycle(estimator, path)
    before = taken()
    for _ in range(n_cycles):
        cycle(estimator, path)
    return before, taken()


@pytest.mark.slow
@each_estimator
def test_500_cycles_take_no_more_than_the_first(estimator, tmp_path):
    result = in_subprocess(
        partial(soak, estimator, tmp_path / "model.skxmc", 50, 500), timeout=280
    )
    assert result.returncode == 0
    (memory, *others), (memory_after, *others_after) = result.value
    assert others_after == others
    assert memory_after < memory + 4


def differing(estimator, folder):
    """Run cycles in four threads; return how many answer otherwise than one alone."""
    expected = cycle(estimator, folder / f"alone {os.getpid()}")
    # Paths that no other thread or process writes at the same time.
    paths = [folder / f"{os.getpid()} {i}" for i in range(40)]
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(partial(cycle, estimator), paths))
    return sum(bits != expected for bits in results)


@pytest.mark.slow
@each_estimator
def test_threads_of_several_processes_answer_as_one_does(estimator, tmp_path):
    with multiprocessing.get_context("spawn").Pool(3) as pool:
        assert pool.starmap(differing, [(estimator, tmp_path)] * 3) == [0, 0, 0]


@pytest.mark.slow
@each_estimator
def test_threads_share_a_model_while_others_fit(estimator):
    X, Y = problem()
    model = fitted(estimator)
    expected = [contents(answer) for answer in answers(model, X)]

    def work(i):
        if i % 4:
            return [contents(answer) for answer in answers(model, X)]
        other = fresh(estimator).fit(X, Y)
        return [contents(answer) for answer in answers(other, X)]

    with ThreadPoolExecutor(8) as pool:
        assert all(bits == expected for bits in pool.map(work, range(400)))
