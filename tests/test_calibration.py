"""Probabilities from scores, against models that made the truth."""

import numpy as np
import pytest
from scipy.special import expit, softmax

from skxmc._calibration import fit_sigmoid, fit_temperature, sigmoid


@pytest.mark.parametrize("scale", [1e-2, 1.0, 1e3])
def test_sigmoid_finds_the_model_behind_the_truth(scale):
    rng = np.random.default_rng(0)
    scores = rng.normal(size=50_000)
    truth = rng.random(50_000) < expit(1.5 * scores - 1)
    slope, intercept = fit_sigmoid((scale * scores).astype(np.float32), truth)
    assert slope * scale == pytest.approx(1.5, rel=0.05)
    assert intercept == pytest.approx(-1, abs=0.05)


def test_sigmoid_keeps_the_order_where_scores_are_worse_than_chance():
    scores = np.linspace(-1, 1, 100)
    slope, _ = fit_sigmoid(scores, scores < 0)
    assert slope > 0


@pytest.mark.parametrize("answer", [True, False])
def test_one_answer_alone_leaves_a_small_chance_of_the_other(answer):
    scores = np.zeros(98, dtype=np.float32)
    model = fit_sigmoid(scores, np.full(98, answer))
    other = 1 - sigmoid(scores, *model) if answer else sigmoid(scores, *model)
    np.testing.assert_allclose(other, 0.01, rtol=1e-5)


def test_temperature_finds_the_model_behind_the_truth():
    rng = np.random.default_rng(0)
    scores = 3 * rng.normal(size=(20_000, 6))
    chances = softmax(0.4 * scores, axis=1)
    drawn = (rng.random((20_000, 1)) > np.cumsum(chances, axis=1)).sum(axis=1)
    truth = np.arange(6) == np.minimum(drawn, 5)[:, None]
    slope = fit_temperature(scores.astype(np.float32), truth)
    assert slope == pytest.approx(0.4, rel=0.05)


def test_temperature_makes_scores_no_surer_than_they_are():
    scores = np.array([[2.0, 0.0], [3.0, 1.0]])
    truth = np.array([[True, False], [True, False]])
    assert fit_temperature(scores, truth) == pytest.approx(1, rel=1e-3)


def test_temperature_without_a_true_label_leaves_scores_alone():
    assert fit_temperature(np.ones((3, 2)), np.zeros((3, 2), dtype=bool)) == 1
