"""Checkpoints: whatever ends a fit, the next one ends where it would have ended."""

import os
import pickle
import shutil
import signal
import threading
import zipfile
from functools import cache

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from _estimators import ESTIMATORS, VARIANTS
from _faults import (
    OnBatch,
    answers,
    assert_same_answers,
    contents,
    fresh,
    in_subprocess,
    problem,
)
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from skorch.callbacks import Callback
from torch import nn

import skxmc
from skxmc import DECLAREClassifier, MultiHeadEncodingClassifier, UniDECClassifier
from skxmc._archive import Format, read_archive, write_archive
from skxmc._checkpoint import Checkpoint, _build
from skxmc.exceptions import CorruptFileError, TrainingDivergedError

# Not all of them train; to ask each would take long in the processes below.
TRAINED = [
    estimator for estimator in ESTIMATORS + VARIANTS if estimator.hidden_layer_sizes
]
MHE, UNIDEC = TRAINED[2], TRAINED[6]
KILLS = "in the midst of an epoch", "between write and replace"
FORM = Format("skxmc-checkpoint", 1, "a checkpoint of skxmc")
each_kind = pytest.mark.parametrize("estimator", [TRAINED[0], MHE, UNIDEC])
each_trained = pytest.mark.parametrize("estimator", TRAINED)


def interrupt(net):
    raise KeyboardInterrupt


def start(estimator, **params):
    """Clone an estimator, with some epochs of several batches."""
    return fresh(estimator, max_epochs=5, batch_size=16).set_params(**params)


def interrupted(estimator, folder, *, epoch=4, **params):
    """Begin a fit in a folder, which Ctrl-C ends."""
    callbacks = [OnBatch(interrupt, epoch, 2)]
    model = start(estimator, checkpoint=folder, callbacks=callbacks, **params)
    with pytest.raises(KeyboardInterrupt):
        model.fit(*problem())
    assert not hasattr(model, "classes_")


def epochs(model):
    """Return the history without the seconds that epochs took."""
    rows = [dict(row) for row in model.history_]
    return [{name: row[name] for name in row.keys() - {"dur"}} for row in rows]


@cache
def uninterrupted(estimator, **params):
    """Fit without a checkpoint."""
    return start(estimator, **params).fit(*problem())


def assert_same_fit(model, other):
    assert_same_answers(model, other, problem()[0])
    assert epochs(model) == epochs(other)
    assert model.loss_curve_ == other.loss_curve_


def die(*args):
    os.kill(os.getpid(), signal.SIGKILL)


def kill_all(folder):
    """Kill fits of all estimators, in epoch 3; return the signals they died of."""
    found = []
    for kill in KILLS:
        for number, estimator in enumerate(TRAINED):
            callbacks = [OnBatch(die, 3, 2)] if kill == KILLS[0] else []
            place = os.path.join(folder, str(number))
            child = os.fork()  # of a process that has not computed anything yet
            if not child:
                if kill == KILLS[1]:
                    os.replace = die
                start(estimator, checkpoint=place, callbacks=callbacks).fit(*problem())
                os._exit(0)
            found.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    return found


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    """Return a folder with one for each estimator, whose fit was killed twice."""
    folder = tmp_path_factory.mktemp("killed")
    result = in_subprocess(kill_all, str(folder))
    assert result.value == [-signal.SIGKILL] * 2 * len(TRAINED)
    return folder


@each_trained
def test_killed_twice_and_ended_where_it_would_have_been(estimator, killed):
    """In the midst of epoch 3, then between writing epoch 3 and putting it in place."""
    folder = killed / str(TRAINED.index(estimator))
    assert (folder / "training.skxmc").exists()
    assert len(list(folder.glob(".*.tmp"))) == 1
    seen = []
    callbacks = [OnBatch(lambda net: seen.append(len(net.history)), epoch=3)]
    model = start(estimator, checkpoint=folder, callbacks=callbacks).fit(*problem())
    assert seen == [3]
    assert_same_fit(model, uninterrupted(estimator))
    assert [path.name for path in folder.iterdir()] == ["lock"]


@each_kind
def test_ctrl_c_leaves_what_can_be_gone_on_with(estimator, tmp_path):
    interrupted(estimator, tmp_path)
    model = start(estimator, checkpoint=tmp_path).fit(*problem())
    assert_same_fit(model, uninterrupted(estimator))


@each_kind
def test_early_stopping_goes_on(estimator, tmp_path):
    params = {"early_stopping": True, "n_iter_no_change": 2, "lr": 0.05}
    whole = uninterrupted(estimator, **params)
    last = len(whole.history_)
    interrupted(estimator, tmp_path, epoch=last, **params)
    model = start(estimator, checkpoint=tmp_path, **params).fit(*problem())
    assert_same_fit(model, whole)


@pytest.mark.parametrize("epoch", [2, 4, 5])
def test_averages_of_weights_go_on(epoch, tmp_path):
    params = {"average_weights": True}
    interrupted(MHE, tmp_path, epoch=epoch, **params)
    model = start(MHE, checkpoint=str(tmp_path), **params).fit(*problem())
    assert_same_fit(model, uninterrupted(MHE, **params))


def test_nothing_is_trained_again_once_all_epochs_are_done(tmp_path):
    class Fail(Callback):
        def on_train_end(self, net, **kwargs):
            raise OSError("killed while the index is built")

    with pytest.raises(OSError, match="index"):
        start(UNIDEC, checkpoint=tmp_path, callbacks=[Fail()]).fit(*problem())
    begun = []
    callbacks = [OnBatch(begun.append, epoch) for epoch in range(1, 6)]
    model = start(UNIDEC, checkpoint=tmp_path, callbacks=callbacks).fit(*problem())
    assert begun == []
    assert_same_fit(model, uninterrupted(UNIDEC))


def test_without_random_state_the_same_run_goes_on(tmp_path):
    for random_state in (None, np.random.RandomState(7)):
        folder, copy = tmp_path / str(random_state), tmp_path / "copy"
        interrupted(UNIDEC, folder, random_state=random_state)
        shutil.copytree(folder, copy)
        one, other = (
            start(UNIDEC, checkpoint=place, random_state=random_state).fit(*problem())
            for place in (folder, copy)
        )
        assert_same_fit(one, other)
        assert len(one.history_) == 5
        shutil.rmtree(copy)


def test_modules_that_draw_from_the_global_generator(tmp_path):
    class Own(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer, self.norm = nn.Linear(20, 6), nn.BatchNorm1d(6)
            self.dropout = nn.Dropout(0.5)
            nn.init.eye_(self.layer.weight)
            nn.init.zeros_(self.layer.bias)

        def forward(self, x):
            return self.dropout(self.norm(self.layer(x.to_dense())))

    params = {"encoder": Own(), "hidden_layer_sizes": ()}
    whole = start(UNIDEC, **params).fit(*problem())
    interrupted(UNIDEC, tmp_path, **params)
    model = start(UNIDEC, checkpoint=tmp_path, **params).fit(*problem())
    assert_same_fit(model, whole)


class Counting(Callback):
    """Count batches, over all fits."""

    n_batches = 0

    def on_batch_end(self, net, training=False, **kwargs):
        self.n_batches += training

    def state_dict(self):
        return {"n_batches": torch.tensor(self.n_batches), "more": [1, "text"]}

    def load_state_dict(self, state):
        self.n_batches = int(state["n_batches"])
        assert state["more"] == [1, "text"]


def test_callbacks_with_a_state_go_on(tmp_path):
    stop, counting = OnBatch(interrupt, 4, 2), Counting()
    model = start(MHE, checkpoint=tmp_path, callbacks=[Counting(), stop])
    with pytest.raises(KeyboardInterrupt):
        model.fit(*problem())
    start(MHE, checkpoint=tmp_path, callbacks=[counting]).fit(*problem())
    assert counting.n_batches == 5 * 4


def test_warm_start_goes_on_from_the_same_model_only(tmp_path):
    base = uninterrupted(MHE)
    whole = pickle.loads(pickle.dumps(base)).set_params(warm_start=True)
    stopped = pickle.loads(pickle.dumps(whole)).set_params(checkpoint=tmp_path)
    again, another = pickle.loads(pickle.dumps(stopped)), clone(stopped)
    stopped.set_params(callbacks=[OnBatch(interrupt, 3, 2)])
    with pytest.raises(KeyboardInterrupt):
        stopped.fit(*problem())
    assert_same_answers(stopped, base, problem()[0])
    with pytest.raises(ValueError, match=r"model to go on from was .* and is None"):
        another.fit(*problem())
    assert_same_fit(again.fit(*problem()), whole.fit(*problem()))


def test_where_nothing_is_trained_nothing_is_kept(tmp_path):
    model = DECLAREClassifier(random_state=0, checkpoint=tmp_path).fit(*problem())
    assert [path.name for path in tmp_path.iterdir()] == ["lock"]
    assert model.n_iter_ == 0


def test_partial_fit_keeps_nothing(tmp_path):
    model = start(UNIDEC, checkpoint=tmp_path / "none")
    model.partial_fit(*problem()).partial_fit(*problem())
    assert list(tmp_path.iterdir()) == []


# What is refused --------------------------------------------------------------------


def _other_data():
    X, Y = problem()
    X, changed = X.copy(), X.copy()
    changed.data[5] += 1
    fewer = Y.copy().tolil()
    fewer[0] = 0
    return {"X": (changed, Y), "y": (X, sp.csr_array(fewer)), "both": (X[:50], Y[:50])}


@pytest.mark.parametrize("name", ["X", "y", "both"])
def test_other_data_are_refused(name, tmp_path):
    interrupted(MHE, tmp_path)
    before = (tmp_path / "training.skxmc").read_bytes()
    what = {"both": r"X was '\(60, 20\).* and is '\(50, 20\).*; y was"}
    match = what.get(name, f"another problem: {name} was")
    with pytest.raises(ValueError, match=match + r".*remove the folder"):
        start(MHE, checkpoint=tmp_path).fit(*_other_data()[name])
    assert (tmp_path / "training.skxmc").read_bytes() == before


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"lr": 0.5}, "lr was 0.04 and is 0.5"),
        ({"max_epochs": 6}, "max_epochs was 5 and is 6"),
        ({"hidden_layer_sizes": (16, 8)}, r"was \[32\] and is \[16, 8\]"),
        ({"random_state": 1}, "random_state was 0 and is 1"),
        ({"label_order": np.arange(8)[::-1]}, r"was 'cluster' and is '\(8,\) of int"),
        ({"init": FrozenEstimator(MHE)}, "init was None and is"),
    ],
)
def test_other_parameters_are_refused(params, message, tmp_path):
    interrupted(MHE, tmp_path)
    with pytest.raises(ValueError, match=message):
        start(MHE, checkpoint=tmp_path, **params).fit(*problem())
    # These decide nothing that is trained.
    params = {"verbose": 0, "threshold": 0.4, "n_top_labels": 3, "device": "auto"}
    model = start(MHE, checkpoint=tmp_path, **params).fit(*problem())
    assert epochs(model) == epochs(uninterrupted(MHE))


def test_objects_as_parameters_are_told_apart_by_what_they_hold(tmp_path):
    inits = [
        FrozenEstimator(fresh(MHE, random_state=seed).fit(*problem()))
        for seed in (0, 1)
    ]
    interrupted(MHE, tmp_path, init=inits[0])
    with pytest.raises(ValueError, match=r"init was .*CRC"):
        start(MHE, checkpoint=tmp_path, init=inits[1]).fit(*problem())
    start(MHE, checkpoint=tmp_path, init=inits[0]).fit(*problem())


def test_another_estimator_is_refused(tmp_path):
    interrupted(MHE, tmp_path)
    with pytest.raises(ValueError, match="estimator was 'MultiHeadEnc"):
        start(UNIDEC, checkpoint=tmp_path).fit(*problem())


def test_two_fits_at_once_do_not_mix(tmp_path):
    """The second is refused, in another thread as in another process."""
    X, Y = problem()
    refusals = []

    def try_it(net):
        with pytest.raises(ValueError, match="in use by another fit"):
            start(MHE, checkpoint=tmp_path).fit(X, Y)
        refusals.append(in_subprocess(_refusal, str(tmp_path)).value)

    callbacks = [OnBatch(try_it, epoch=3)]
    model = start(MHE, checkpoint=tmp_path, callbacks=callbacks)
    thread = threading.Thread(target=model.fit, args=(X, Y))
    thread.start()
    thread.join()
    assert len(refusals) == 1
    assert "in use by another fit" in refusals[0]
    assert_same_fit(model, uninterrupted(MHE))


def _refusal(folder):
    try:
        start(MHE, checkpoint=folder).fit(*problem())
    except ValueError as error:
        return str(error)
    return None


@pytest.mark.parametrize("checkpoint", [3, True, ["folder"]])
def test_what_is_no_folder_is_refused(checkpoint):
    with pytest.raises(ValueError, match="'checkpoint' parameter"):
        MultiHeadEncodingClassifier(checkpoint=checkpoint).fit(*problem())


# What fails -------------------------------------------------------------------------


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_full_disk_loses_nothing(step, tmp_path, monkeypatch):
    interrupted(MHE, tmp_path)
    before = (tmp_path / "training.skxmc").read_bytes()

    def fail(*args):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, step, fail)
        model = start(MHE, checkpoint=tmp_path)
        with pytest.raises(OSError, match="No space left"):
            model.fit(*problem())
    assert not hasattr(model, "classes_")
    assert (tmp_path / "training.skxmc").read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "lock",
        "training.skxmc",
    ]
    model.fit(*problem())
    assert_same_fit(model, uninterrupted(MHE))


def test_a_training_that_diverges_leaves_nothing_to_go_on_with(tmp_path):
    params = {"lr": 1e30, "checkpoint": tmp_path}
    for _ in range(2):
        with pytest.raises(TrainingDivergedError):
            start(TRAINED[0], **params).fit(*problem())
    start(TRAINED[0], checkpoint=tmp_path).fit(*problem())


def _changed(path, change):
    """Write an archive anew, with a digest that is right."""
    node, arrays = read_archive(path, FORM, lambda *parts: parts)
    content = {"training": node["training"]}
    arrays = {name: array.copy() for name, array in arrays.items()}
    change(content["training"]["items"], arrays)
    write_archive(path, FORM, content, arrays)


def _without_state(items, arrays):
    del items["state"]


def _without_module(items, arrays):
    del items["state"]["items"]["module"]


def _other_shapes(items, arrays):
    for name in [name for name in arrays if "optimizer" in name]:
        arrays[name] = arrays[name].reshape(-1)[:1]


def _no_history(items, arrays):
    arrays["state.history"] = np.frombuffer(b"[3, [", dtype=np.uint8)


def _other_generator(items, arrays):
    arrays["state.generators.order"][:] = 255


CHANGES = [
    _without_state,
    _without_module,
    _other_shapes,
    _no_history,
    _other_generator,
]


@pytest.mark.parametrize("change", CHANGES)
def test_a_checkpoint_that_is_none_is_refused(change, tmp_path):
    interrupted(MHE, tmp_path)
    path = tmp_path / "training.skxmc"
    _changed(path, change)
    with pytest.raises(CorruptFileError, match=r"training\.skxmc is damaged.*Remove"):
        start(MHE, checkpoint=tmp_path).fit(*problem())


def test_a_damaged_checkpoint_is_refused_by_name(tmp_path):
    interrupted(MHE, tmp_path)
    path = tmp_path / "training.skxmc"
    good = path.read_bytes()
    middle = len(good) // 2
    for bad in (
        b"",
        good[:middle],
        good[:middle] + bytes([good[middle] ^ 1]) + good[middle + 1 :],
        pickle.dumps({"state": 1}),
    ):
        path.write_bytes(bad)
        with pytest.raises(CorruptFileError, match=r"training\.skxmc is damaged"):
            start(MHE, checkpoint=tmp_path).fit(*problem())
        assert path.read_bytes() == bad


# What is in the folder --------------------------------------------------------------


def test_it_holds_json_and_arrays_and_no_pickle(tmp_path):
    interrupted(UNIDEC, tmp_path)
    with zipfile.ZipFile(tmp_path / "training.skxmc") as archive:
        assert archive.namelist() == ["config.json", "arrays.safetensors"]
    saved = read_archive(tmp_path / "training.skxmc", FORM, _build)
    assert saved["problem"]["lr"] == start(UNIDEC).lr
    assert saved["state"].keys() >= {"module", "optimizer", "schedule", "data"}


def test_a_state_comes_back(tmp_path):
    checkpoint = Checkpoint(tmp_path, {"X": "all"}, 3)
    first = checkpoint.rng.rand()
    state = {"a": np.arange(3), "b": [1.5, None], "c": {"d": float("inf")}}
    checkpoint.write(state)
    again = Checkpoint(tmp_path, {"X": "all"}, None)
    assert contents(again.state["a"]) == contents(state["a"])
    assert again.state["b"] == state["b"]
    assert again.state["c"] == state["c"]
    assert again.rng.rand() == first
    again.restore_rng()
    assert again.rng.rand() == checkpoint.rng.rand()


def test_a_search_may_use_one_folder_one_fit_at_a_time(tmp_path):
    models = [start(MHE, checkpoint=tmp_path, lr=lr).fit(*problem()) for lr in (1, 2)]
    assert contents(answers(models[0], problem()[0])) != contents(
        answers(models[1], problem()[0])
    )


def test_model_files_do_not_hold_the_folder(tmp_path):
    model = start(MHE, checkpoint=tmp_path).fit(*problem())
    model.save(tmp_path / "model.skxmc")
    assert str(tmp_path).encode() not in (tmp_path / "model.skxmc").read_bytes()
    again = skxmc.load(tmp_path / "model.skxmc")
    assert again.checkpoint is None
    assert_same_answers(again, model, problem()[0])


def test_the_default_keeps_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    UniDECClassifier(random_state=0, max_epochs=1).fit(*problem())
    assert list(tmp_path.iterdir()) == []
