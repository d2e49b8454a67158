"""Votes of nearest rows beside a model's scores, against all scores written out."""

import numpy as np
import pytest
import scipy.sparse as sp

from skxmc import MultiHeadEncodingClassifier, UniDECClassifier
from skxmc._dual_ranking import Dial, DualRanker, make_queries
from skxmc._neighbor_votes import NeighborVotes
from skxmc._recovery import LabelStore
from skxmc.datasets import make_xmc_classification, write_mapped

SIZE, N_FEATURES, N_CODES, N_LABELS = 4, 7, 3, 130


@pytest.fixture
def rows():
    rng = np.random.default_rng(0)
    Y = sp.csr_array((rng.random((90, N_LABELS)) < 0.03).astype(np.float32))
    codes = rng.normal(size=(90, N_CODES)).astype(np.float32)
    return codes, Y


def make_votes(codes, Y, kind="exact"):
    store = LabelStore(Y, key_per_set=False)
    return NeighborVotes(store, codes[store.key_rows], kind)


def votes_written_out(codes, Y, queries, own_rows=None):
    keys = codes / np.linalg.norm(codes, axis=1, keepdims=True)
    cosines = queries @ keys.T / np.linalg.norm(queries, axis=1, keepdims=True)
    cosines[:, np.diff(Y.indptr) == 0] = -np.inf  # rows without labels
    if own_rows is not None:
        cosines[np.arange(len(queries)), own_rows] = -np.inf
    lowest = -np.sort(-cosines, axis=1)[:, [49]]
    weights = np.where(cosines >= lowest, np.maximum(cosines, 0), 0) ** 24
    return (weights / weights.sum(axis=1, keepdims=True)) @ Y.toarray()


@pytest.mark.parametrize("own_rows", [None, np.arange(0, 40)])
def test_votes_are_shares_of_the_nearest_rows(rows, own_rows):
    codes, Y = rows
    found = make_votes(codes.copy(), Y).count(codes[:40].copy(), own_rows=own_rows)
    expected = votes_written_out(codes, Y, codes[:40], own_rows)
    np.testing.assert_allclose(found.toarray(), expected, atol=1e-5)
    # A row that has a label of its own votes for it, unless it is told not to.
    own = found.multiply(Y[:40]).sum() / found.sum()
    assert own > 0.3 if own_rows is None else own < 0.1


def test_the_only_row_has_no_vote_for_itself():
    Y = sp.csr_array(np.ones((1, 2), dtype=np.float32))
    votes = make_votes(np.ones((1, 3), dtype=np.float32), Y)
    codes = np.ones((1, 3), dtype=np.float32)
    np.testing.assert_allclose(votes.count(codes).toarray(), [[1, 1]])
    assert votes.count(codes, own_rows=np.array([0])).sum() == 0


def make_ranker(rows, dial, *, is_exclusive=False):
    codes, Y = rows
    rng = np.random.default_rng(1)
    keys = rng.normal(size=(N_LABELS, SIZE + N_FEATURES + 3)).astype(np.float32)
    outputs = rng.normal(size=(60, SIZE + N_FEATURES)).astype(np.float32)
    # True are the labels of high scores, now and then: a calibration that says much.
    scores = make_queries(outputs, SIZE, 2.0, dial) @ keys.T
    noise = rng.logistic(size=scores.shape)
    truth = sp.csr_array((scores + noise > 5).astype(np.float32))
    votes = make_votes(codes.copy(), Y)
    sample = votes.count(outputs[:, -N_CODES:])
    return DualRanker(
        *(keys, SIZE, 2.0, is_exclusive, "exact", outputs, truth, dial, votes, sample)
    )


@pytest.mark.parametrize("is_exclusive", [False, True])
def test_log_odds_of_a_label_rise_with_its_votes(rows, is_exclusive):
    dial, plain = Dial(0.3, 0.1, 2.0), Dial(0.3, 0.1, 0.0)
    ranker = make_ranker(rows, dial, is_exclusive=is_exclusive)
    queries = np.random.default_rng(2).normal(size=(30, SIZE + N_FEATURES))
    queries = queries.astype(np.float32)
    every, scores = ranker._search(queries, N_LABELS, plain)
    dense = np.take_along_axis(scores, np.argsort(every, axis=1), axis=1)
    slope = ranker._calibrate(plain)[0]
    assert slope > 0.2
    votes = votes_written_out(*rows, queries[:, -N_CODES:])
    total = dense + 2.0 / slope * votes
    for k in (1, 5, N_LABELS):
        indices, probabilities = ranker.rank(queries, k, dial)
        best = np.take_along_axis(total, indices, axis=1)
        np.testing.assert_allclose(best, -np.sort(-total, axis=1)[:, :k], atol=1e-4)
        assert (np.diff(probabilities, axis=1) <= 0).all()
    by_label = [ranker.score_label(queries, label, dial) for label in range(N_LABELS)]
    by_label = np.take_along_axis(np.array(by_label).T, indices, axis=1)
    np.testing.assert_allclose(by_label, probabilities, rtol=1e-4, atol=1e-6)
    assert (ranker.rank(queries, 5, plain)[0] != indices[:, :5]).any()


def test_new_labels_have_no_votes_and_the_others_keep_theirs(rows):
    dial = Dial(0.3, 0.0, 2.0)
    ranker = make_ranker(rows, dial)
    new = np.zeros((2, SIZE + N_FEATURES), dtype=np.float32)
    more = ranker.extended(new, bonus=-100.0)
    queries = ranker.outputs[:20]
    np.testing.assert_array_equal(
        ranker.rank(queries, 9, dial)[0], more.rank(queries, 9, dial)[0]
    )
    assert more.votes.count(queries[:, -N_CODES:]).shape == (20, N_LABELS + 2)
    assert ranker.votes.store.sets.shape[1] == N_LABELS


@pytest.fixture(scope="module")
def problem():
    X, Y = make_xmc_classification(900, 300, 60, random_state=0)
    return X[:700], Y[:700], X[700:], Y[700:]


def fit(problem, **params):
    return UniDECClassifier(max_epochs=4, random_state=0, **params).fit(*problem[:2])


def test_codes_of_mapped_rows_are_not_held_in_memory(problem, tmp_path):
    X = write_mapped(tmp_path / "X", [problem[0]])
    model = UniDECClassifier(max_epochs=1, random_state=0).fit(X, problem[1])
    assert model._ranker.votes is None


@pytest.mark.parametrize("params", [{"ridge_alpha": None}, {"neighbor_weight": 0}])
def test_without_linear_features_or_weight_rows_are_not_kept(problem, params):
    model = fit(problem, **params)
    assert model._ranker.votes is None
    assert model.predict_topk(problem[2], k=3)[0].shape == (200, 3)


def test_partial_fit_keeps_the_rows_of_fit_and_no_others(problem):
    X, Y = problem[:2]
    assert UniDECClassifier(random_state=0).partial_fit(X, Y)._ranker.votes is None
    model = fit(problem)
    before = model._ranker.votes
    model.partial_fit(X[300:], Y[300:])
    assert model._ranker.votes is before
    # Rows of the same numbers are others, and do not lose their votes.
    ranker = model._ranker
    codes = ranker.outputs[:, -before.n_components :]
    found = ranker.sample_votes.toarray()
    np.testing.assert_array_equal(found, before.count(codes).toarray())
    assert model.fit(X, Y)._ranker.votes is not before


def test_rows_are_kept_in_as_few_bits_as_all_else(problem):
    model = fit(problem)
    small = model.compress("int8")
    found = small.predict_topk(problem[2], k=1)[0]
    assert (found == model.predict_topk(problem[2], k=1)[0]).mean() > 0.95
    assert 3 * small._ranker.votes.index.n_bytes < model._ranker.votes.index.n_bytes


# Multi-head: where all labels are scored, and where few are.
MULTI_HEAD = {
    "flat": {},
    "full": {"variant": "full"},
    "cascade": {"variant": "cascade", "n_heads": 2, "n_candidate_groups": 50},
    "product": {"variant": "product", "n_heads": 2, "n_shortlist": 60},
    "cascade of few": {"variant": "cascade", "n_heads": 2, "n_candidate_groups": 2},
    "product of few": {"variant": "product", "n_heads": 2, "n_shortlist": 9},
}


def first_labels(Y):
    return Y.indices[Y.indptr[:-1]]


def fit_multi_head(problem, *, single=False, **params):
    X, Y = problem[:2]
    params = {"max_epochs": 4, "random_state": 0} | params
    y = first_labels(Y) if single else Y
    return MultiHeadEncodingClassifier(**params).fit(X, y)


def all_probabilities(model, X):
    indices, scores = model.predict_topk(X, k=len(model.classes_))
    return np.take_along_axis(scores, np.argsort(indices, axis=1), axis=1)


def codes_of(model, X):
    return model.transform(X)[:, model._encoder.module.features.codes]


@pytest.mark.parametrize("single", [False, True])
@pytest.mark.parametrize("kind", MULTI_HEAD)
@pytest.mark.parametrize("weight", [1, 4])
def test_log_odds_of_the_heads_rise_with_votes(problem, kind, single, weight):
    X, Y, X_new, _ = problem
    model = fit_multi_head(problem, single=single, **MULTI_HEAD[kind])
    plain = model.set_params(neighbor_weight=0.0)
    p = all_probabilities(plain, X_new).astype(np.float64)
    is_scored = p > 0
    assert is_scored.all() != ("few" in kind)
    if single:
        names, columns = np.unique(first_labels(Y), return_inverse=True)
        Y = sp.eye_array(len(names), format="csr", dtype=np.float32)[columns]
    shares = votes_written_out(codes_of(model, X), Y, codes_of(model, X_new))
    assert (shares[~is_scored] > 0).any() == ("few" in kind)
    p = np.clip(p, 1e-9, 1 - 1e-7)
    expected = 1 / (1 + np.exp(-np.log(p / (1 - p)) - weight * (shares - p)))
    p, expected = np.where(is_scored, p, 0), np.where(is_scored, expected, 0)
    if single:
        expected *= p.sum(axis=1, keepdims=True) / expected.sum(axis=1, keepdims=True)
    model.set_params(neighbor_weight=weight)
    found = all_probabilities(model, X_new)
    np.testing.assert_allclose(found, expected, rtol=2e-3, atol=2e-5)
    scores = model.predict_topk(X_new, k=5)[1]
    np.testing.assert_array_equal(scores, -np.sort(-found, axis=1)[:, :5])
    for label in (0, 7):
        by_label = model._score_label(model._check_X(X_new), label)
        np.testing.assert_allclose(by_label, found[:, label], rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("kind", ["unidec", "multi_head"])
def test_a_weight_of_0_after_the_fit_is_one_before_it(problem, kind):
    X, make = problem[2], {"unidec": fit, "multi_head": fit_multi_head}[kind]
    turned, never = make(problem), make(problem, neighbor_weight=0)
    voted = turned.predict_topk(X, k=5)
    turned.set_params(neighbor_weight=0)
    for a, b in zip(
        turned.predict_topk(X, k=5), never.predict_topk(X, k=5), strict=True
    ):
        np.testing.assert_array_equal(a, b)
    assert (voted[0] != turned.predict_topk(X, k=5)[0]).any()
    assert (never._ranker.votes if kind == "unidec" else never._votes) is None


WITHOUT = [
    (False, {"ridge_alpha": None}),
    (False, {"variant": "sampling"}),
    (False, {"variant": "product", "n_heads": 1, "n_shortlist": 0}),
    (False, {"variant": "product", "n_heads": 2, "n_shortlist": 0}),
    (True, {"variant": "product", "n_heads": 2}),
]


@pytest.mark.parametrize(("single", "params"), WITHOUT)
def test_multi_head_without_votes(problem, single, params):
    model = fit_multi_head(problem, single=single, **params)
    assert model._votes is None
    assert model.predict_topk(problem[2], k=3)[0].shape == (200, 3)


@pytest.mark.parametrize(
    ("single", "params", "then"),
    [
        (True, {"variant": "product", "n_heads": 2}, {"n_heads": 1}),
        (True, {"variant": "product", "n_heads": 2}, {"n_shortlist": 10}),
        (False, {"variant": "product", "n_shortlist": 0}, {"n_shortlist": 10}),
        (False, {"variant": "product", "n_shortlist": 10}, {"n_shortlist": 0}),
    ],
)
def test_heads_that_training_goes_on_from_decide(problem, single, params, then):
    model = fit_multi_head(problem, single=single, warm_start=True, **params)
    had_votes = model._votes is not None
    X, Y = problem[0][100:], problem[1][100:]
    model.set_params(**then).fit(X, first_labels(Y) if single else Y)
    assert (model._votes is not None) == had_votes
    assert model.predict_topk(X, k=3)[0].shape == (600, 3)
    if had_votes:  # of the new rows
        assert len(model._votes.index.keys) == 600


@pytest.mark.parametrize("weight", [-1, 4.5, np.nan])
def test_weights_out_of_range_are_refused_after_the_fit_too(problem, weight):
    for model in (fit_multi_head(problem, max_epochs=1), fit(problem)):
        model.set_params(neighbor_weight=weight)
        if weight > 4 and isinstance(model, UniDECClassifier):
            continue  # it calibrates anew
        with pytest.raises(ValueError, match=f"neighbor_weight={weight!r} is not"):
            model.predict_topk(problem[2], k=1)


def test_multi_head_holds_no_codes_of_mapped_rows(problem, tmp_path):
    X = write_mapped(tmp_path / "X", [problem[0]])
    assert fit_multi_head((X, problem[1]))._votes is None


def test_codes_are_as_long_as_n_components(problem):
    # Twelve machines stand beside them.
    model = fit_multi_head(problem, n_components=12)
    assert model._votes.n_components == 12
    assert model.transform(problem[2]).shape[1] == 1024 + 2 * 12
    # They are those of the features, wherever these come from.
    for params in ({"init": model}, {"init": model, "ridge_alpha": None}):
        assert fit_multi_head(problem, **params)._votes.n_components == 12


def test_rows_held_out_vote_too(problem):
    model = fit_multi_head(problem, early_stopping=True)
    assert len(model._votes.index.keys) == 700


@pytest.mark.parametrize("n_components", [None, 40])
def test_a_small_multi_head_model_votes_as_well(problem, n_components):
    model = fit_multi_head(problem)
    small = model.compress("int8", n_components=n_components, X=problem[0])
    assert 3 * small._votes.index.n_bytes < model._votes.index.n_bytes
    found, others = (m.predict_topk(problem[2], k=1)[0] for m in (model, small))
    assert (found == others).mean() > (0.95 if n_components is None else 0.8)
