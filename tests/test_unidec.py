"""UniDECClassifier: what it promises beyond the common contract."""

import pickle

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from sklearn.base import clone
from sklearn.feature_extraction.text import TfidfTransformer
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import normalize
from torch import nn

from skxmc import UniDECClassifier
from skxmc._dual_ranking import pool_bonus, table_of
from skxmc.datasets import make_xmc_classification
from skxmc.metrics import make_xmc_scorers

SMALL = {
    "hidden_layer_sizes": (64,),
    "embedding_size": 32,
    "batch_size": 32,
    "lr": 0.01,
}


def topics(n_samples, n_labels, seed, n_words=5, n_features=400):
    """Labels with words of their own; rows hold half the words of their labels."""
    words = np.random.default_rng(0).integers(0, n_features, (n_labels, n_words))
    rng = np.random.default_rng(seed)
    L = np.zeros((n_labels, n_features), dtype=np.float32)
    L[np.arange(n_labels)[:, None], words] = 1
    labels = rng.integers(0, n_labels, (n_samples, 2))
    Y = np.zeros((n_samples, n_labels), dtype=np.float32)
    Y[np.arange(n_samples)[:, None], labels] = 1
    kept = rng.random((n_samples, n_features)) < 0.6
    noise = rng.random((n_samples, n_features)) < 0.01
    X = np.where(kept, np.minimum(Y @ L, 1), 0) + noise
    return sp.csr_array(X.astype(np.float32)), sp.csr_array(Y), sp.csr_array(L)


@pytest.fixture(scope="module")
def data():
    X, Y, L = topics(600, 60, seed=1)
    X_test, Y_test, _ = topics(200, 60, seed=2)
    return X, Y, L, X_test, Y_test


def fitted(data, **params):
    X, Y, L, *_ = data
    return UniDECClassifier(L, random_state=0, **SMALL | params).fit(X, Y)


@pytest.fixture(scope="module")
def model(data):
    return fitted(data)


@pytest.mark.parametrize("weight", [0.0, 0.2, 1.0])
def test_encoder_classifier_and_both_find_the_labels(data, model, weight):
    *_, X_test, Y_test = data
    turned = clone(model).fit(data[0], data[1]).set_params(encoder_weight=weight)
    assert turned.score(X_test, Y_test) > 0.9


@pytest.mark.parametrize("weight", [0.2, 1.0])
def test_labels_without_any_row_are_found_by_their_features(data, weight):
    X, Y, L, X_test, Y_test = data
    hidden, seen = np.arange(5), np.arange(5, 60)
    rows = np.flatnonzero(Y[:, hidden].sum(axis=1) == 0)
    model = UniDECClassifier(L[seen], encoder_weight=weight, random_state=0, **SMALL)
    model.fit(X[rows], Y[rows][:, seen])
    found = []
    for bonus in (0.0, 2.0, 6.0):
        extended = pickle.loads(pickle.dumps(model)).add_labels(L[hidden], bonus=bonus)
        proba = extended.predict_proba(X_test[:10])
        assert proba.shape == (10, 60)
        indices, _ = extended.predict_topk(X_test, k=5)
        found.append(recall_of_new(indices, Y_test[:, hidden].toarray(), len(seen)))
    assert found == sorted(found)
    assert found[1] > 0.5  # by chance, 5 of 60
    assert found[2] > 0.8
    assert extended.classes_.tolist() == list(range(60))


def test_columns_without_any_row_are_found_if_they_are_described(data):
    X, Y, L, X_test, Y_test = data
    rows = np.flatnonzero(Y[:, 55:].sum(axis=1) == 0)
    undescribed = L.tolil()
    undescribed[55:] = 0
    found = []
    for features in (L, undescribed.tocsr()):
        model = UniDECClassifier(features, random_state=0, **SMALL)
        with pytest.warns(UserWarning, match="no positive row"):
            model.fit(X[rows], Y[rows])
        indices, _ = model.predict_topk(X_test, k=5)
        found.append(recall_of_new(indices, Y_test[:, 55:].toarray(), 55))
    assert found[0] > 0.3  # by chance, 5 of 60
    assert found[1] == 0


def recall_of_new(indices, truth, first_new):
    """Compute the share of true new labels, numbered from `first_new`, in a ranking."""
    ranked = np.zeros(truth.shape)
    rows, places = np.nonzero(indices >= first_new)
    ranked[rows, indices[rows, places] - first_new] = 1
    return (ranked * truth).sum() / truth.sum()


def test_partial_fit_trains_labels_that_were_added(data):
    X, Y, L, X_test, Y_test = data
    model = UniDECClassifier(L[:50], random_state=0, **SMALL)
    model.fit(X, Y[:, :50]).add_labels(L[50:])
    assert (model._ranker.keys[50:, -2] == 2).all()
    before = model.score(X_test, Y_test)
    table = table_of(model._ranker.keys, 32).copy()
    model.partial_fit(X, Y)
    assert np.abs(table_of(model._ranker.keys, 32) - table).max() > 0
    n_draws = model.batch_size * (1 + model.n_negatives)
    expected = pool_bonus(*model._seen, n_draws)  # and no bonus of their own any more
    np.testing.assert_array_equal(model._ranker.keys[:, -2], expected)
    assert model.score(X_test, Y_test) > before - 0.02
    assert model.n_iter_ == 1


def test_partial_fit_from_nothing_learns(data):
    X, Y, L, X_test, Y_test = data
    model = UniDECClassifier(L, random_state=0, **SMALL)
    for _ in range(6):
        for rows in np.array_split(np.arange(600), 2):
            model.partial_fit(X[rows], Y[rows])
    assert model.score(X_test, Y_test) > 0.9
    # Popularity counts the rows of all calls.
    counts, n_samples = model._seen
    assert n_samples == 6 * 600
    np.testing.assert_array_equal(counts, 6 * Y.sum(axis=0))


def test_partial_fit_with_classes_of_1d_y(data):
    X, Y, L, X_test, Y_test = data
    names = np.array([f"c{j:02d}" for j in range(60)])
    y = names[Y.toarray().argmax(axis=1)]
    model = UniDECClassifier(L, random_state=0, **SMALL)
    with pytest.raises(ValueError, match="classes=None, but y is 1-D"):
        model.partial_fit(X, y)
    for _ in range(6):
        model.partial_fit(X, y, classes=names)
    np.testing.assert_array_equal(model.classes_, names)
    in_truth = Y_test.toarray()[
        np.arange(200), np.searchsorted(names, model.predict(X_test))
    ]
    assert in_truth.mean() > 0.8
    with pytest.raises(
        ValueError, match="y holds 'new', which is none of the model's 60"
    ):
        model.partial_fit(X[:2], ["new", "c00"])


def test_classes_can_be_added_to_1d_y(data):
    X, Y, L, *_ = data
    first = Y.toarray().argmax(axis=1)
    names = np.unique(first)
    old, new = names[3:], names[:3]
    known = np.isin(first, old)
    model = UniDECClassifier(L[old], random_state=0, **SMALL)
    model.fit(X[known], first[known])
    with pytest.raises(ValueError, match=r"classes has the shape \(\)"):
        model.add_labels(L[new])
    with pytest.raises(ValueError, match="classes holds a class twice"):
        model.add_labels(L[new], classes=[new[0], new[1], old[0]])
    model.add_labels(L[new], classes=new)
    np.testing.assert_array_equal(model.classes_, [*old, *new])
    by_chance = 3 / len(names)
    assert np.mean(np.isin(model.predict(X[~known]), new)) > 3 * by_chance
    for _ in range(3):
        model.partial_fit(X, first)
    assert np.mean(model.predict(X[~known]) == first[~known]) > 0.5


def test_add_labels_refuses_what_does_not_fit_and_changes_nothing(data, model):
    labels_before = model.classes_
    with pytest.raises(ValueError, match="label_features has 7 columns, but X has 400"):
        model.add_labels(np.ones((2, 7)))
    with pytest.raises(
        ValueError, match="classes is given, but the model was fitted on"
    ):
        model.add_labels(data[2][:1], classes=["a"])
    assert model.classes_ is labels_before
    assert len(model.transform_labels()) == 60


def test_popularity_moves_predictions_to_frequent_labels(data):
    X, Y, L, X_test, _ = data
    rng = np.random.default_rng(0)
    thinned = Y.copy()
    rare = thinned.indices >= 30
    thinned.data[rare & (rng.random(thinned.nnz) < 0.6)] = 0
    thinned.data[0] = 1
    thinned.eliminate_zeros()
    model = UniDECClassifier(L, random_state=0, **SMALL).fit(X, thinned)
    shares = []
    for popularity in (-2.0, 0.0, 2.0):
        model.set_params(popularity=popularity)
        shares.append(np.mean(model.predict_topk(X_test, k=2)[0] < 30))
    assert shares == sorted(shares)
    assert shares[2] > shares[0] + 0.05


@pytest.mark.parametrize(("is_described", "weight"), [(True, 0.5), (False, 0.3)])
def test_described_labels_are_found_by_the_encoder_more(data, is_described, weight):
    X, Y, L, X_test, _ = data
    model = UniDECClassifier(L if is_described else None, random_state=0, **SMALL)
    _, by_default = model.fit(X, Y).predict_topk(X_test, k=3)
    _, as_set = model.set_params(encoder_weight=weight).predict_topk(X_test, k=3)
    _, other = model.set_params(encoder_weight=0.27).predict_topk(X_test, k=3)
    np.testing.assert_array_equal(by_default, as_set)
    assert np.abs(by_default - other).max() > 1e-3


def test_the_dial_is_checked_where_it_is_used(data, model):
    turned = clone(model).set_params(max_epochs=1).fit(data[0], data[1])
    with pytest.raises(ValueError, match=r"encoder_weight=1\.5 is not between"):
        turned.set_params(encoder_weight=1.5).predict_topk(data[3])


def test_embeddings_are_unit_vectors_whose_cosines_rank(data, model):
    *_, X_test, _ = data
    rows, labels = model.transform(X_test), model.transform_labels()
    assert rows.shape == (200, 32)
    assert labels.shape == (60, 32)
    for vectors in (rows, labels):
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-5)
    turned = clone(model).fit(data[0], data[1])
    turned.set_params(encoder_weight=1.0, neighbor_weight=0)
    best = turned.predict_topk(X_test, k=1)[0][:, 0]
    np.testing.assert_array_equal(best, (rows @ labels.T).argmax(axis=1))
    assert len(model.get_feature_names_out()) == 32


def test_label_features_survive_clone_and_search_with_as_many_rows_as_labels():
    X, Y, L = topics(60, 60, seed=3)  # scikit-learn would slice them as rows
    pipeline = make_pipeline(TfidfTransformer(), UniDECClassifier(L, **SMALL))
    search = GridSearchCV(
        pipeline,
        {"unidecclassifier__centroid_weight": [0.0, 1.0]},
        scoring=make_xmc_scorers(),
        refit="precision_at_1",
        cv=KFold(3),
    )
    with pytest.warns(UserWarning, match="no positive row"):
        search.fit(X, Y)
    assert search.best_estimator_[-1].label_features.shape == (60, 400)
    assert search.best_score_ > 0.3


@pytest.mark.parametrize("n_labels", [59, 61])
def test_label_features_of_other_labels_are_refused(data, n_labels):
    X, Y, L, *_ = data
    wrong = sp.csr_array(sp.vstack([L, L[:1]]))[:n_labels]
    message = f"label_features has {n_labels} rows, but there are 60 labels"
    with pytest.raises(ValueError, match=message):
        UniDECClassifier(wrong).fit(X, Y)


def test_nothing_to_describe_labels_by_is_refused(data):
    with pytest.raises(ValueError, match="label_features=None leaves nothing"):
        UniDECClassifier(centroid_weight=0).fit(data[0], data[1])


def test_centroids_do_not_see_the_rows_held_out(data):
    X, Y, *_ = data
    params = {"early_stopping": True, "validation_fraction": 0.3, "max_epochs": 1}
    model = UniDECClassifier(
        random_state=0, n_centroid_features=400, **SMALL | params
    ).fit(X, Y)
    held_out = clone(model)._held_out_rows(600, np.random.RandomState(0))
    rest = np.setdiff1d(np.arange(600), held_out)
    scale = np.sqrt(np.mean(sp.linalg.norm(X[rest], axis=1) ** 2))
    expected = scale * normalize(Y[rest].T @ normalize(X[rest])).toarray()
    np.testing.assert_allclose(model._labels.features.toarray(), expected, atol=1e-5)


@pytest.mark.parametrize("kind", ["hnsw", "ivf"])
def test_approximate_search_ranks_almost_like_exact(data, model, kind):
    *_, X_test, Y_test = data
    approximate = fitted(data, index=kind)
    assert 0.95 <= approximate.index_recall_ <= 1
    assert approximate.score(X_test, Y_test) > 0.9


def test_learned_temperature_moves_and_the_given_one_stays(data, model):
    assert model.temperature_ == pytest.approx(0.04)
    assert fitted(data, learn_temperature=True).temperature_ != pytest.approx(0.04)


@pytest.mark.parametrize("refresh_every", [None, 1])
@pytest.mark.parametrize("group_batches", [False, True])
def test_refreshes_and_groups_still_learn(data, refresh_every, group_batches):
    model = fitted(data, refresh_every=refresh_every, group_batches=group_batches)
    assert model.score(data[3], data[4]) > 0.9


class OwnEncoder(nn.Module):
    """A linear map with units of its own."""

    def __init__(self):
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        weight = torch.randn(400, 64, generator=generator) / 8
        self.weight = nn.Parameter(weight)

    def forward(self, x):
        return (x @ self.weight).tanh()


def test_any_module_can_be_the_encoder(data):
    module = OwnEncoder()
    before = module.weight.detach().clone()
    model = fitted(data, encoder=module)
    assert model.score(data[3], data[4]) > 0.9
    torch.testing.assert_close(module.weight.detach(), before)  # a copy was trained
    assert clone(model).encoder is not module


def test_a_small_pool_still_learns(data):
    assert fitted(data, max_pool_size=8, max_epochs=30).score(data[3], data[4]) > 0.5


def test_labels_that_nothing_describes_are_refused():
    X, Y = make_xmc_classification(60, 20, 8, random_state=0)
    model = UniDECClassifier(max_epochs=1, random_state=0).fit(X, Y)
    before = model.predict_topk(X, k=3)
    for features, bonus in ((None, 1.0), (X[:1], np.nan), (X[:1], np.inf)):
        with pytest.raises(ValueError, match="describe no label"):
            model.add_labels(features, bonus=bonus)
    with pytest.raises(ValueError, match="popularity=nan"):
        model.set_params(popularity=np.nan).predict_topk(X)
    model.set_params(popularity=0.0)
    for one, other in zip(model.predict_topk(X, k=3), before, strict=True):
        assert np.array_equal(one, other)
