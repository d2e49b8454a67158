"""Parameters and state: checked in `fit`, copied, cloned, and fitted anew."""

import copy
import pickle

import numpy as np
import pytest
import torch
from _faults import (
    N_LABELS,
    OnBatch,
    arrays,
    assert_fit_refuses,
    assert_same_answers,
    assert_untouched,
    contents,
    each_class,
    each_estimator,
    fitted,
    fresh,
    literal,
    n_live_tensors,
    problem,
    trains,
)
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.utils._param_validation import InvalidParameterError
from skorch.callbacks import GradientNormClipping

from skxmc._base import BaseXMCClassifier
from skxmc._nn import _encoder
from skxmc.metrics import make_topk_scorer

BAD_VALUES = {
    "hidden_layer_sizes": [5, None],
    "dropout": [-0.1, 1.0, "a"],
    "max_epochs": [0, 1.5, "3"],
    "batch_size": [0, 2.5, None],
    "lr": [0, -1, np.nan, np.inf, "fast"],
    "weight_decay": [-1, np.nan, "a"],
    "early_stopping": ["yes", None],
    "validation_fraction": [0, 1, "a"],
    "n_iter_no_change": [0, 1.5],
    "threshold": [-0.1, 1.1, "a"],
    "n_top_labels": [0, 2.5],
    "callbacks": ["a", 3],
    "checkpoint": [3, b"folder"],
    "distributed": ["yes", 2],
    "warm_start": ["yes", None],
    "device": [0, None],
    "random_state": ["0", -1, 1.5],
    "verbose": [-1, "yes"],
}


@each_estimator
@pytest.mark.parametrize(
    ("name", "value"),
    [(name, value) for name, values in BAD_VALUES.items() for value in values],
)
def test_p01_parameter_of_wrong_type_or_range(estimator, name, value):
    message = f"The {name!r} parameter of {type(estimator).__name__} must be "
    got = f" Got {value!r} instead."
    assert_fit_refuses(
        estimator,
        *problem(),
        InvalidParameterError,
        f"{literal(message)}.*{literal(got)}",
        **{name: value},
    )


def test_p01_covers_the_parameters_that_all_estimators_share():
    assert BAD_VALUES.keys() == BaseXMCClassifier._parameter_constraints.keys()


@each_estimator
def test_p01_every_parameter_of_the_estimator_is_checked(estimator):
    for name in estimator.get_params():
        assert_fit_refuses(
            estimator,
            *problem(),
            InvalidParameterError,
            f"The {name!r} parameter of .* Got <object object",
            **{name: object()},
        )


@each_estimator
@pytest.mark.parametrize("sizes", [(0,), (8, -1), (2.5,), ("a",)])
def test_p01_layer_sizes_that_are_no_sizes(estimator, sizes):
    message = literal(f"hidden_layer_sizes={sizes!r} holds {sizes[-1]!r}")
    assert_fit_refuses(
        estimator, *problem(), ValueError, message, hidden_layer_sizes=sizes
    )


@each_estimator
@pytest.mark.parametrize("callback", [3, "a", None, ("name", 3), object])
def test_p01_callbacks_that_are_no_callbacks(estimator, callback):
    assert_fit_refuses(
        estimator,
        *problem(),
        ValueError,
        f"callbacks.*{literal(repr(callback))}",
        callbacks=[callback],
    )


@each_estimator
def test_p02_unknown_parameter(estimator):
    model = fitted(estimator)
    old, state = pickle.dumps(model), dict(vars(model))
    with pytest.raises(ValueError, match=r"Invalid parameter 'zz' for") as caught:
        model.set_params(zz=1)
    assert type(caught.value) is ValueError
    text = str(caught.value)
    assert f"for estimator {type(estimator).__name__}(" in text
    assert "Valid parameters are: [" in text
    assert all(repr(name) in text for name in estimator.get_params(deep=False))
    assert_untouched(model, state, old)


class Clipping(GradientNormClipping):
    pass


@each_estimator
@pytest.mark.parametrize(
    "clipping",
    [
        GradientNormClipping(1.0),
        ("clip", GradientNormClipping(1.0)),
        GradientNormClipping,
        ("clip", GradientNormClipping),
        Clipping(1.0),
    ],
    ids=["instance", "named", "class", "named_class", "subclass"],
)
def test_p03_gradient_clipping_is_refused_before_training(estimator, clipping):
    begun = []
    callbacks = [OnBatch(begun.append), clipping]
    assert_fit_refuses(
        estimator,
        *problem(),
        ValueError,
        "callbacks holds GradientNormClipping.*row-sparse",
        callbacks=callbacks,
    )
    assert begun == []


@each_estimator
@pytest.mark.parametrize(
    "method", ["predict", "predict_proba", "predict_topk", "score"]
)
def test_p04_prediction_before_fit(estimator, method):
    model = fresh(estimator)
    state = dict(vars(model))
    X, Y = problem()
    message = (
        f"This {type(estimator).__name__} instance is not fitted yet. Call 'fit' with "
        "appropriate arguments before using this estimator."
    )
    arguments = (X, Y) if method == "score" else (X,)
    with pytest.raises(NotFittedError, match=literal(message)) as caught:
        getattr(model, method)(*arguments)
    assert type(caught.value) is NotFittedError
    assert vars(model) == state


@each_estimator
@pytest.mark.parametrize("device", ["cuda", "cuda:0", "cuda:1"])
def test_p05_cuda_where_there_is_none(estimator, device, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    message = (
        f"device={device!r} requested but torch.cuda.is_available() is False; "
        "use 'cpu' or 'auto'"
    )
    assert_fit_refuses(
        estimator, *problem(), ValueError, literal(message), device=device
    )


@each_estimator
def test_p05_more_cuda_devices_than_there_are(estimator, monkeypatch):
    monkeypatch.setattr(_encoder.torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(_encoder.torch.cuda, "device_count", lambda: 2)
    message = "device='cuda:2' requested but there are only 2 CUDA devices"
    assert_fit_refuses(
        estimator, *problem(), ValueError, literal(message), device="cuda:2"
    )


@each_estimator
@pytest.mark.parametrize("device", ["cuda:7x", "gpu", "", "cuda:-1"])
def test_p06_name_of_no_device(estimator, device):
    message = f"device={device!r} is not the name of a device"
    assert_fit_refuses(
        estimator, *problem(), ValueError, literal(message), device=device
    )


@each_estimator
@pytest.mark.parametrize("device", ["meta", "xla"])
def test_p06_device_that_no_one_computes_on(estimator, device):
    # The advice must not be to look at a function that torch does not have.
    message = f"device={device!r} (?!.*torch.{device}.is_available)"
    assert_fit_refuses(estimator, *problem(), ValueError, message, device=device)


@each_estimator
def test_p07_more_labels_than_there_are(estimator):
    X, Y = problem()
    model = fitted(estimator)
    old, state = pickle.dumps(model), dict(vars(model))
    scorer = make_topk_scorer("precision_at_k", k=10)
    for ask in (
        lambda: model.predict_topk(X, k=10),
        lambda: model.predict(X, k=10),
        lambda: scorer(model, X, Y),
    ):
        message = f"k=10 is larger than the number of labels {N_LABELS}"
        with pytest.raises(ValueError, match=message) as caught:
            ask()
        assert type(caught.value) is ValueError
    assert_untouched(model, state, old)


@each_estimator
def test_p07_default_k_where_there_are_fewer_labels(estimator):
    X, Y = problem()
    model = fresh(estimator).fit(X, Y[:, :3])
    with pytest.raises(ValueError, match="k=5 is larger than the number of labels 3"):
        model.predict_topk(X)


@each_estimator
@pytest.mark.parametrize(
    ("k", "error"), [(0, ValueError), (-1, ValueError), (2.0, TypeError)]
)
def test_p07_k_that_is_no_number_of_labels(estimator, k, error):
    model = fitted(estimator)
    for method in (model.predict_topk, model.predict):
        with pytest.raises(error, match=f"k={k}.*pass an integer of at least 1"):
            method(problem()[0], k=k)


@each_estimator
@pytest.mark.parametrize(
    "seed",
    [3, np.int64(3), np.random.RandomState(3), None],
    ids=lambda seed: type(seed).__name__,
)
def test_p08_every_kind_of_random_state(estimator, seed):
    X, Y = problem()
    global_state = np.random.get_state()  # noqa: NPY002
    seed = copy.deepcopy(seed)  # the parameter is shared between the estimators
    model = fresh(estimator, random_state=seed).fit(X, Y)
    np.random.set_state(global_state)  # noqa: NPY002
    assert model.random_state is seed
    if seed is not None:
        same = fresh(estimator, random_state=3).fit(X, Y)
        assert_same_answers(model, same, X)


@each_estimator
def test_p08_random_state_of_wrong_type(estimator):
    message = r"The 'random_state' parameter of .* Got 'seed' instead"
    assert_fit_refuses(
        estimator, *problem(), InvalidParameterError, message, random_state="seed"
    )


@each_estimator
def test_p09_clone_is_unfitted_and_shares_nothing(estimator):
    callback = OnBatch(print, epoch=99)
    model = fresh(estimator, callbacks=[callback]).fit(*problem())
    copied = clone(model)
    assert vars(copied).keys() == vars(fresh(estimator)).keys()
    assert arrays(copied) == []
    assert copied.callbacks[0] is not callback
    params, old = copied.get_params(), model.get_params()
    del params["callbacks"], old["callbacks"]
    assert params == old
    # What fit was given is as it was: skorch works on the callback, not in it.
    assert model.callbacks == [callback]


@each_estimator
@pytest.mark.parametrize(
    "duplicate", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))]
)
def test_p09_copy_predicts_the_same_and_shares_nothing(estimator, duplicate):
    model = fitted(estimator)
    copied = duplicate(model)
    assert_same_answers(copied, model, problem()[0])
    pairs = zip(arrays(copied), arrays(model), strict=True)
    for ours, theirs in pairs:
        assert contents(ours)[1] == contents(theirs)[1]
        assert ours.size == 0 or not np.shares_memory(ours, theirs)


@each_estimator
def test_p09_parameters_survive_the_round_trip(estimator):
    params = estimator.get_params()
    model = type(estimator)(**params)
    assert model.get_params() == params
    assert all(model.get_params()[name] is value for name, value in params.items())
    assert type(estimator)().set_params(**params).get_params() == params


@each_estimator
def test_p10_second_fit_equals_a_fresh_one(estimator):
    X, Y = problem()
    model = fitted(estimator)
    model.fit(X[:40, :12], Y[:40, 2:].toarray())
    model.fit(X, Y)
    new = fresh(estimator).fit(X, Y)
    assert_same_answers(model, new, X)
    for ours, theirs in zip(arrays(model), arrays(new), strict=True):
        assert contents(ours) == contents(theirs)
    assert vars(model).keys() == vars(new).keys()


@each_class
def test_p10_fitting_again_keeps_no_memory(estimator):
    trains(estimator)
    X, Y = problem()
    model = fresh(estimator).fit(X, Y)
    n_tensors, size = n_live_tensors(), len(pickle.dumps(arrays(model)))
    for _ in range(3):
        model.fit(X, Y)
    assert n_live_tensors() == n_tensors
    assert len(pickle.dumps(arrays(model))) == size
