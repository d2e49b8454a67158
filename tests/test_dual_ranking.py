"""Ranking by encoder and classifier, against scores written out."""

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.special import expit, softmax

from skxmc._dual_ranking import (
    Dial,
    DualRanker,
    empty_keys,
    log_frequency,
    pool_bonus,
    start_bonus,
    table_of,
)

N_LABELS, SIZE, N_FEATURES, SCALE = 150, 4, 6, 20.0


@pytest.fixture
def problem():
    rng = np.random.default_rng(0)
    keys = empty_keys(N_LABELS, SIZE, N_FEATURES)
    keys[:] = rng.normal(size=keys.shape)
    keys[:, -1] = log_frequency(rng.integers(0, 30, N_LABELS), 100)
    outputs = rng.normal(size=(40, SIZE + N_FEATURES)).astype(np.float32)
    truth = sp.csr_array((rng.random((40, N_LABELS)) < 0.1).astype(np.float32))
    return keys, outputs, truth


def make(problem, dial, *, is_exclusive=False, kind="exact"):
    keys, outputs, truth = problem
    return DualRanker(
        keys.copy(), SIZE, SCALE, is_exclusive, kind, outputs, truth, dial
    )


def scores_written_out(problem, outputs, dial):
    keys = problem[0].astype(float)
    z, f = outputs[:, :SIZE], outputs[:, SIZE:]
    w, b = keys[:, SIZE:-3], keys[:, -3]
    by_encoder = SCALE * z @ keys[:, :SIZE].T
    by_classifier = f @ w.T + b
    mixed = dial.encoder_weight * by_encoder + (1 - dial.encoder_weight) * by_classifier
    return mixed + keys[:, -2] + dial.popularity * keys[:, -1]


@pytest.mark.parametrize("dial", [Dial(0.2, 0.0), Dial(0, 0.3), Dial(1, -0.2)])
def test_ranks_by_the_weighted_sum(problem, dial):
    ranker = make(problem, dial)
    queries = np.random.default_rng(1).normal(size=(70, SIZE + N_FEATURES))
    queries = queries.astype(np.float32)
    indices, probabilities = ranker.rank(queries, 5, dial)
    scores = scores_written_out(problem, queries, dial)
    np.testing.assert_array_equal(indices, np.argsort(-scores, axis=1)[:, :5])
    slope, intercept, _ = ranker.calibrated[1]
    expected = expit(slope * -np.sort(-scores, axis=1)[:, :5] + intercept)
    np.testing.assert_allclose(probabilities, expected, rtol=1e-3, atol=1e-6)


def test_dial_turned_later_ranks_as_if_it_had_stood_there(problem):
    turned = make(problem, Dial(0.2, 0.0))
    before = turned.rank(problem[1], 5, Dial(0.2, 0.0))
    there = make(problem, Dial(0.9, 0.4))
    for a, b in zip(
        turned.rank(problem[1], 5, Dial(0.9, 0.4)),
        there.rank(problem[1], 5, Dial(0.9, 0.4)),
        strict=True,
    ):
        np.testing.assert_array_equal(a, b)
    for a, b in zip(before, turned.rank(problem[1], 5, Dial(0.2, 0.0)), strict=True):
        np.testing.assert_array_equal(a, b)


def test_exclusive_probabilities_are_a_softmax_whatever_k(problem):
    dial = Dial(0.3, 0.0)
    ranker = make(problem, dial, is_exclusive=True)
    outputs = problem[1]
    scores = -np.sort(-scores_written_out(problem, outputs, dial), axis=1)
    slope = ranker.calibrated[1][0]
    expected = softmax(slope * scores[:, :100], axis=1)  # over the 100 best
    for k in (1, 7, 100):
        probabilities = ranker.rank(outputs, k, dial)[1]
        np.testing.assert_allclose(probabilities, expected[:, :k], rtol=1e-3, atol=1e-6)
    every = ranker.rank(outputs, N_LABELS, dial)[1]
    np.testing.assert_allclose(every[:, :100], expected, rtol=1e-3, atol=1e-6)


def test_probabilities_are_calibrated_on_the_sample():
    # Scores that say nothing but how often a label is true.
    rng = np.random.default_rng(0)
    keys = empty_keys(10, 1, 1)
    chances = np.linspace(0.05, 0.95, 10)
    keys[:, 2] = 7 * np.log(chances / (1 - chances))
    truth = sp.csr_array((rng.random((4000, 10)) < chances).astype(np.float32))
    outputs = np.zeros((4000, 2), dtype=np.float32)
    dial = Dial(0.0, 0.0)
    ranker = DualRanker(keys, 1, SCALE, False, "exact", outputs, truth, dial)
    indices, probabilities = ranker.rank(outputs[:1], 10, dial)
    np.testing.assert_array_equal(indices[0], np.arange(10)[::-1])
    np.testing.assert_allclose(probabilities[0], chances[::-1], atol=0.02)


def test_approximate_index_finds_most_and_says_how_many(problem):
    dial = Dial(0.5, 0.0)
    exact, hnsw = make(problem, dial), make(problem, dial, kind="hnsw")
    assert exact.index.recall_ == 1
    assert hnsw.index.recall_ >= 0.95
    a, b = (ranker.rank(problem[1], 5, dial)[0] for ranker in (exact, hnsw))
    assert np.mean([np.isin(p, q).mean() for p, q in zip(a, b, strict=True)]) > 0.9


def test_more_labels_come_after_those_that_are_there(problem):
    dial = Dial(0.2, 0.0)
    ranker = make(problem, dial)
    outputs = np.full((1, SIZE + N_FEATURES), 3, dtype=np.float32)
    more = ranker.extended(outputs, bonus=1.5)
    assert len(more.keys) == N_LABELS + 1
    np.testing.assert_array_equal(more.keys[:-1], ranker.keys)
    z, w = np.split(more.keys[-1], [SIZE])
    np.testing.assert_array_equal(z, outputs[0, :SIZE])
    w, (b, bonus, frequency) = w[:-3], w[-3:]
    assert np.ptp(w) == 0  # in the direction of the features
    assert w[0] > 0
    assert (b, bonus) == (0, 1.5)
    assert frequency == np.median(ranker.keys[:, -1])
    assert more.rank(outputs, 1, dial)[0][0, 0] == N_LABELS


def test_tables_are_views_of_the_keys(problem):
    keys = problem[0]
    assert np.shares_memory(table_of(keys, SIZE), keys)
    assert table_of(keys, SIZE).shape == (N_LABELS, N_FEATURES + 1)


def test_labels_lose_by_the_chance_to_be_out_of_the_pool():
    rng = np.random.default_rng(0)
    n_samples, counts = 400, np.array([1, 5, 40, 400])
    shares = (counts + 0.5) / (n_samples + 1)
    draws = rng.random((4000, 100, 4)) < shares  # a pool of 100 draws, 4000 times
    chances = draws.any(axis=1).mean(axis=0)
    bonus = pool_bonus(counts, n_samples, 100)
    np.testing.assert_allclose(bonus, 0.5 * np.log(chances), atol=0.03)
    assert bonus.dtype == np.float32
    assert pool_bonus(np.array([1]), 10**7, 1)[0] < -7  # finite, however rare


def test_labels_without_rows_are_raised_if_they_are_described():
    rarest = pool_bonus(np.array([1]), 400, 100)[0]
    own = sp.csr_array(np.array([[0.0, 2.0], [0.0, 0.0], [1.0, 1.0]]))
    bonus = start_bonus(own, 3, 400, 100)
    assert bonus[0] == bonus[2] == 1
    assert bonus[1] < rarest
    assert (start_bonus(None, 3, 400, 100) == bonus[1]).all()
