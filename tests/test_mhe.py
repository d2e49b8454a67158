"""Multi-head encoding as a user sees it: variants, sizes, orders, reuse of features."""

import pickle

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.special import softmax
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skxmc import MultiHeadEncodingClassifier
from skxmc._codes import choose_head_sizes, plan_heads
from skxmc.datasets import make_xmc_classification
from skxmc.metrics import make_xmc_scorers, precision_at_k

VARIANTS = ("product", "cascade", "sampling", "full")
SMALL = {"hidden_layer_sizes": (64,), "batch_size": 32, "lr": 0.02, "max_epochs": 8}
each_variant = pytest.mark.parametrize("variant", VARIANTS)


def make(variant="auto", **params):
    params = {"n_heads": 2} | SMALL | params
    return MultiHeadEncodingClassifier(variant, random_state=0, **params)


@pytest.fixture(scope="module")
def classes():
    """Rows of one class each, that can be told from their features."""
    X, Y = make_xmc_classification(
        900, 300, 40, n_labels_per_sample=1, label_skew=0, noise=0.3, random_state=0
    )
    y = np.asarray(Y.argmax(axis=1))
    return X[:700], y[:700], X[700:], y[700:]


@pytest.fixture(scope="module")
def labels():
    """Rows of several labels each."""
    X, Y = make_xmc_classification(
        900,
        300,
        60,
        n_labels_per_sample=3,
        noise=0.2,
        label_skew=0.3,
        random_state=0,
    )
    return X[:700], Y[:700], X[700:], Y[700:]


@pytest.mark.parametrize(
    ("n_classes", "n_shortlist"),
    [(1, 0), (1024, 0), (1025, 200), (2**20, 200), (2**20 + 1, 0)],
)
def test_auto_scores_classes_beyond_those_of_one_head_anew(n_classes, n_shortlist):
    wanted = {"n_heads": None, "head_sizes": None, "n_shortlist": None}
    plan = plan_heads(n_classes, True, variant="auto", **wanted)
    assert (plan.variant, plan.n_shortlist) == ("product", n_shortlist)
    plan = plan_heads(n_classes, True, variant="product", **wanted)
    assert (plan.variant, plan.n_shortlist) == ("product", 0)
    plan = plan_heads(n_classes, False, variant="auto", **wanted)
    assert plan.variant == "cascade"
    one_head = wanted | {"n_heads": 1}
    assert plan_heads(n_classes, True, variant="auto", **one_head).n_shortlist == 0


def test_auto_of_many_classes_is_better_than_the_product():
    X, Y = make_xmc_classification(
        *(3000, 1000, 1500), n_labels_per_sample=1, label_skew=0, random_state=0
    )
    y = np.asarray(Y.argmax(axis=1))
    auto, product = (
        MultiHeadEncodingClassifier(variant, hidden_layer_sizes=(256,), random_state=0)
        .fit(X[:2500], y[:2500])
        .score(X[2500:], y[2500:])
        for variant in ("auto", "product")
    )
    assert len(np.unique(y[:2500])) > 1024
    assert auto > product + 0.1


@pytest.mark.parametrize("variant", ["auto", "product"])
def test_the_estimated_memory_of_many_classes_is_what_they_take(variant):
    X, Y = make_xmc_classification(
        *(3000, 4000, 1500), n_labels_per_sample=1, label_skew=0, random_state=0
    )
    y = np.asarray(Y.argmax(axis=1))
    model = MultiHeadEncodingClassifier(variant, max_epochs=1, random_state=0)
    sizes = model.estimate_memory(
        *(X.shape[0], len(np.unique(X.indices)), len(np.unique(y))),
        n_nonzero=X.nnz / X.shape[0],
        n_labels_per_sample=1,
    )
    taken = len(pickle.dumps(model.fit(X, y)))
    assert 0.75 * taken < sizes["model"] < 1.25 * taken


def test_auto_is_product_for_classes_and_cascade_for_labels(classes, labels):
    assert make(max_epochs=1).fit(*classes[:2]).variant_ == "product"
    assert make(max_epochs=1).fit(*labels[:2]).variant_ == "cascade"


@each_variant
def test_every_variant_is_as_good_as_logistic_regression_on_classes(variant, classes):
    X, y, X_test, y_test = classes
    reference = LogisticRegression().fit(X, y).score(X_test, y_test)
    assert make(variant).fit(X, y).score(X_test, y_test) > reference - 0.05 > 0.5


@each_variant
def test_every_variant_is_as_good_as_one_vs_rest_on_labels(variant, labels):
    X, Y, X_test, Y_test = labels
    reference = OneVsRestClassifier(LogisticRegression()).fit(X, Y)
    reference = precision_at_k(Y_test, reference.predict_proba(X_test), k=1)
    assert make(variant).fit(X, Y).score(X_test, Y_test) > reference - 0.05 > 0.5


@pytest.mark.parametrize(("n_labels", "sizes"), [(60, (60,)), (1100, (65, 17))])
def test_the_number_of_heads_follows_that_of_the_labels(n_labels, sizes):
    Y = sp.eye_array(n_labels, format="csr") + sp.eye_array(n_labels, k=1)
    model = make("cascade", n_heads=None, label_order="natural", max_epochs=1)
    assert model.fit(Y, Y.tocsr()).head_sizes_ == sizes
    assert len(choose_head_sizes("cascade", 2**20)) == 2
    assert len(choose_head_sizes("cascade", 2**20 + 1)) == 3


@pytest.mark.parametrize("variant", ["product", "cascade"])
def test_one_head_is_one_vs_all(variant, classes):
    X, y, X_test, _ = classes
    one, full = make(variant, n_heads=1).fit(X, y), make("full").fit(X, y)
    assert one.head_sizes_ == full.head_sizes_ == (40,)
    assert one.parameter_counts() == full.parameter_counts()
    assert full.parameter_counts()["ratio"] == 1
    agreement = np.mean(one.predict(X_test) == full.predict(X_test))
    assert agreement > 0.97


def test_parameters_of_a_product_are_those_of_its_heads(classes):
    X, y, *_ = classes
    counts = make("product", head_sizes=(5, 8), max_epochs=1).fit(X, y)
    counts = counts.parameter_counts()
    length = 64 + 2 * 40  # the hidden layer and, of 40 classes, scores and softmax
    assert counts["head"] == (5 + 8) * (length + 1)
    assert counts["one_vs_all"] == 40 * (length + 1)
    assert counts["ratio"] == 13 / 40
    assert counts["features"] == 300 * 64 + 64 + 300 * 40 + 40


@pytest.mark.parametrize("head_sizes", [(40,), (3, 14), (14, 3), (100, 7), (3, 4, 4)])
@each_variant
def test_sizes_that_do_not_fit_the_labels_predict_labels_only(
    variant, head_sizes, classes
):
    X, y, X_test, _ = classes
    model = make(variant, head_sizes=head_sizes, max_epochs=1).fit(X, y)
    if variant != "full":
        assert model.head_sizes_[1:] == head_sizes[1:]
    indices, _ = model.predict_topk(X_test, k=40)
    np.testing.assert_array_equal(
        np.sort(indices, axis=1), np.tile(np.arange(40), (len(indices), 1))
    )


def test_too_small_heads_are_refused(classes):
    with pytest.raises(ValueError, match=r"room for 39 labels, but y has 40"):
        make(head_sizes=(3, 13)).fit(*classes[:2])


@pytest.mark.parametrize("order", ["natural", "random", "frequency", "cluster"])
def test_the_order_of_labels_is_kept(order, classes):
    X, y, *_ = classes
    model = make("product", label_order=order, max_epochs=1).fit(X, y)
    np.testing.assert_array_equal(np.sort(model.label_order_), np.arange(40))
    given = make("product", label_order=model.label_order_, max_epochs=1).fit(X, y)
    np.testing.assert_array_equal(given.label_order_, model.label_order_)


def test_clustered_labels_share_their_first_digit():
    # Labels 2 j and 2 j + 1 have the same features but for one.
    rng = np.random.default_rng(0)
    y = np.repeat(np.arange(16), 20)
    X = np.zeros((len(y), 24))
    X[np.arange(len(y)), y // 2] = 1
    X[np.arange(len(y)), 8 + y] = 0.3
    X += 0.01 * rng.random(X.shape)
    model = make("product", head_sizes=(8, 2), max_epochs=1).fit(X, y)
    pairs = {tuple(sorted(pair)) for pair in model.label_order_.reshape(8, 2)}
    assert len(pairs & {(2 * j, 2 * j + 1) for j in range(8)}) >= 6


def test_more_candidates_find_more_labels(labels):
    X, Y, *_ = labels
    recalls = []
    for n_groups in (1, 3, 8):
        model = make("cascade", n_candidate_groups=n_groups, max_epochs=3)
        recalls.append(model.fit(X, Y).candidate_recall_)
    assert recalls[0] < recalls[1] < recalls[2] == 1
    assert make("full", max_epochs=1).fit(X, Y).candidate_recall_ == 1


def test_the_recall_of_the_groups_is_what_is_found(labels):
    X, Y, *_ = labels
    model = make("cascade", n_candidate_groups=2, max_epochs=3).fit(X, Y)
    # A label outside the groups has score 0: rank all, and count those above.
    indices, scores = model.predict_topk(X, k=Y.shape[1])
    rows = np.arange(X.shape[0])[:, None]
    found = Y.toarray()[rows, indices][scores > 0].sum() / Y.nnz
    assert model.candidate_recall_ == pytest.approx(found)


def test_a_shortlist_mends_ghost_labels():
    # Of labels with digits (0, 0) and (1, 1), a product cannot tell (0, 1) and (1, 0).
    rng = np.random.default_rng(0)
    X = rng.random((400, 8))
    Y = np.zeros((400, 4), dtype=int)
    Y[:200, [0, 3]] = 1  # codes 0 and 3: digits (0, 0) and (1, 1)
    Y[200:300, 1] = 1
    Y[300:, 2] = 1
    X[:200, 0] += 3
    X[200:300, 1] += 3
    X[300:, 2] += 3
    params = {"label_order": "natural", "head_sizes": (2, 2), "max_epochs": 20}
    plain = make("product", n_shortlist=0, **params).fit(X, Y)
    mended = make("product", n_shortlist=4, **params).fit(X, Y)
    assert precision_at_k(Y, mended.predict_topk(X, k=2), k=2) > 0.74  # 0.75 is all
    ghosts = plain.predict_topk(X[:200], k=4)[1]
    assert np.ptp(ghosts, axis=1).mean() < 0.3  # all four seem about alike
    assert plain.parameter_counts()["head"] < mended.parameter_counts()["head"]


def test_labels_of_a_softmax_are_counted_as_draws(labels):
    X, Y, *_ = labels
    for variant, params in (("sampling", {}), ("product", {"n_shortlist": 0})):
        model = make(variant, **params).fit(X, Y)
        expected = model.predict_topk(X, k=Y.shape[1])[1].sum()
        # Draws may repeat, so that there are somewhat fewer labels; but the softmax
        # itself would count one a row.
        assert 1.5 * X.shape[0] < 0.55 * Y.nnz < expected < Y.nnz


def test_features_drop_into_a_pipeline(classes):
    X, y, X_test, y_test = classes
    pipe = make_pipeline(make("sampling"), LogisticRegression(max_iter=1000))
    pipe.fit(X, y)
    names = pipe[0].get_feature_names_out()
    features = pipe[0].transform(X_test)
    assert features.shape == (len(y_test), len(names)) == (len(y_test), 64 + 80)
    assert features.dtype == np.float32
    reference = LogisticRegression().fit(X, y).score(X_test, y_test)
    assert pipe.score(X_test, y_test) > reference - 0.05


def test_training_starts_from_the_features_of_init(classes):
    X, y, X_test, _ = classes
    first = make("sampling").fit(X, y)
    before = first.transform(X_test)
    for init in (first, FrozenEstimator(first)):
        second = make("product", init=init, lr=1e-9, max_epochs=1).fit(X, y)
        np.testing.assert_allclose(second.transform(X_test), before, atol=1e-4)
    trained = make("product", init=first).fit(X, y)
    assert np.abs(trained.transform(X_test) - before).max() > 0.01
    np.testing.assert_array_equal(first.transform(X_test), before)


def test_init_in_a_search_needs_a_frozen_estimator(classes):
    X, y, *_ = classes
    first = make("sampling", max_epochs=1).fit(X, y)
    with pytest.raises(NotFittedError, match=r"wrap it in sklearn\.frozen"):
        clone(make("product", init=first)).fit(X, y)
    frozen = make("product", init=FrozenEstimator(first), max_epochs=1)
    search = GridSearchCV(frozen, {"n_heads": [1, 2]}, cv=2, error_score="raise")
    assert search.fit(X, y).best_score_ > 0


def test_init_that_does_not_fit(classes):
    X, y, *_ = classes
    first = make("sampling", max_epochs=1).fit(X, y)
    with pytest.raises(ValueError, match="fitted on 300 features, but X has 299"):
        make(init=first).fit(X[:, :299], y)
    with pytest.raises(ValueError, match="is a StandardScaler; pass a fitted"):
        make(init=StandardScaler()).fit(X, y)


def test_warm_start_keeps_to_its_variant(classes):
    X, y, *_ = classes
    model = make("product", warm_start=True, max_epochs=1).fit(X, y)
    model.set_params(variant="full")
    with pytest.raises(ValueError, match="goes on from variant='product', but it is"):
        model.fit(X, y)


def test_average_weights_is_the_mean_of_the_last_epochs(classes):
    from skorch.callbacks import Callback

    class Collect(Callback):
        def on_train_begin(self, net, **kwargs):
            self.weights = []

        def on_epoch_end(self, net, **kwargs):
            weights = [p.detach().clone().cpu() for p in net.module_.parameters()]
            self.weights.append(weights)

    X, y, *_ = classes
    collect = Collect()
    model = make("full", average_weights=True, max_epochs=5, callbacks=[collect])
    model.fit(X, y)
    for own, *last in zip(
        model._encoder.module.parameters(), *collect.weights[2:], strict=True
    ):
        mean = sum(last) / len(last)
        np.testing.assert_allclose(own.detach().cpu(), mean, atol=1e-5)
    with pytest.raises(ValueError, match="average_weights=True and early_stopping"):
        make(average_weights=True, early_stopping=True).fit(X, y)


def test_no_features_at_all_is_an_error(classes):
    X, y, *_ = classes
    params = {"hidden_layer_sizes": (), "ridge_alpha": None}
    with pytest.raises(ValueError, match="leaves no features"):
        make(**params).fit(X, y)
    with pytest.raises(ValueError, match="more than n_components classes"):
        make("product", n_components=39, hidden_layer_sizes=()).fit(X, y)
    linear = make("full", hidden_layer_sizes=()).fit(X, y)
    assert linear.transform(X).shape[1] == 80
    assert linear.score(X, y) > 0.5


def test_sizes_may_be_arrays(classes):
    X, y, *_ = classes
    params = {"hidden_layer_sizes": np.array([16]), "head_sizes": np.array([5, 8])}
    assert make(max_epochs=1, **params).fit(X, y).head_sizes_ == (5, 8)


@each_variant
def test_scores_of_classes_stand_sharpened_beside_themselves(variant, classes):
    X, y, X_test, _ = classes
    found = make(variant, max_epochs=1).fit(X, y).transform(X_test)
    scores, sharpened = found[:, 64:104], found[:, 104:]
    assert np.mean(scores.argmax(axis=1) == classes[3]) > 0.5
    rms = 4 / np.sqrt(40)
    if variant == "product":
        expected = 4 * softmax(6 / rms * scores, axis=1)
    else:
        above = np.maximum(scores + rms, 0)
        expected = 4 * above / np.linalg.norm(above, axis=1, keepdims=True)
    np.testing.assert_allclose(sharpened, expected, atol=1e-5)


def test_a_digit_of_classes_on_opposite_sides_is_learned():
    rng = np.random.default_rng(0)
    y = np.arange(800) % 8
    angle = np.pi / 4 * y + rng.uniform(-0.2, 0.2, 800)
    X = np.column_stack([np.cos(angle), np.sin(angle)])
    # The second digit of c is that of c + 4, which lies across.
    params = {"head_sizes": (2, 4), "label_order": "natural"}
    model = make("product", hidden_layer_sizes=(), max_epochs=30, **params)
    assert model.fit(X, y).score(X, y) > 0.95


@pytest.mark.parametrize(
    ("variant", "n_linear"), [("product", 0), ("cascade", 19 + 19), ("full", 19 + 19)]
)
def test_linear_features_of_many_classes_are_codes_and_machines(
    variant, n_linear, classes
):
    X, y, *_ = classes
    model = make(variant, n_components=19, max_epochs=1).fit(X, y)
    assert model.transform(X).shape[1] == 64 + n_linear


def test_search_over_heads_and_orders_with_precision_scorers(labels):
    X, Y, *_ = labels
    search = GridSearchCV(
        make(max_epochs=3),
        {"n_heads": [1, 2, 3], "label_order": ["cluster", "random"]},
        scoring=make_xmc_scorers(ks=(1, 3)),
        refit="precision_at_1",
        cv=2,
        error_score="raise",
    )
    assert search.fit(X, Y).best_score_ > 0.5
    assert search.cv_results_["mean_test_precision_at_3"].shape == (6,)
