"""The training engine on problems with a known answer."""

import contextlib
import math
import random
import sys

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from skorch.callbacks import Callback, EarlyStopping, GradientNormClipping

from skxmc._nn import MonitorPrecision, SparseDataset, SparseEncoder, train
from skxmc._nn._modules import Dropout
from skxmc._nn._net import check_callbacks
from skxmc._nn._sparse import SparseRows
from skxmc.exceptions import TrainingDivergedError

N_FEATURES, N_OUTPUTS = 8, 2


def linear_problem(n_samples=120):
    """Draw sparse rows and targets that are linear in them, but for noise."""
    rng = np.random.default_rng(0)
    X = sp.random_array((n_samples, N_FEATURES), density=0.6, format="csr", rng=rng)
    W = rng.standard_normal((N_FEATURES, N_OUTPUTS))
    Z = X @ W + 1 + 0.1 * rng.standard_normal((n_samples, N_OUTPUTS))
    return X.astype(np.float32), Z.astype(np.float32)


def make_module(hidden=(), *, dropout=0.0, linear=None, seed=0):
    return SparseEncoder(
        N_FEATURES,
        N_OUTPUTS,
        hidden,
        dropout=dropout,
        input_scale=1.0,
        linear=linear,
        seed=seed,
    )


def run(module, *, dataset=None, max_epochs=3, batch_size=24, **options):
    dataset = dataset or SparseDataset(*linear_problem())
    options = {"lr": 0.02, "weight_decay": 0.0} | options
    return train(
        module,
        dataset,
        max_epochs=max_epochs,
        batch_size=batch_size,
        **options,
    )


def weights_of(module):
    return [p.detach().clone() for p in module.parameters()]


def same(first, second):
    return all(map(torch.equal, first, second))


class Raise(Callback):
    """Raise an error at the end of an epoch."""

    def __init__(self, error, epoch=2):
        self.error, self.epoch = error, epoch

    def on_epoch_end(self, net, **kwargs):
        if len(net.history) == self.epoch:
            raise self.error


def never_improves():
    """Return an EarlyStopping that ends training after the third epoch."""
    return EarlyStopping("train_loss", patience=2, threshold=1e9, threshold_mode="abs")


def test_training_reaches_the_least_squares_optimum():
    X, Z = linear_problem()
    module = make_module()
    run(module, dataset=SparseDataset(X, Z), max_epochs=60, lr=0.1)
    with_bias = np.hstack([X.toarray(), np.ones((len(Z), 1))])
    best = with_bias @ np.linalg.lstsq(with_bias, Z)[0]
    with torch.no_grad():
        out = module(SparseRows.from_csr(X)).numpy()
    assert np.mean((out - Z) ** 2) < 1.02 * np.mean((best - Z) ** 2)


class Recorded(SparseDataset):
    """Remember which rows are fetched."""

    def __getitems__(self, rows):
        vars(self).setdefault("fetched", []).append(rows)
        return super().__getitems__(rows)


def test_every_epoch_takes_each_row_once_in_an_order_of_its_own():
    dataset = Recorded(*linear_problem())
    run(make_module(), dataset=dataset, max_epochs=2, batch_size=50)
    assert [len(rows) for rows in dataset.fetched] == [50, 50, 20] * 2
    first, second = (np.hstack(dataset.fetched[i : i + 3]).tolist() for i in (0, 3))
    assert sorted(first) == sorted(second) == list(range(120))
    assert first != second
    assert first != sorted(first)


class RecordLr(Callback):
    """Remember the learning rate of every step."""

    def on_train_begin(self, net, **kwargs):
        self.values = []

    def on_batch_begin(self, net, training=False, **kwargs):
        self.values.append(net.optimizer_.param_groups[0]["lr"])


@pytest.mark.parametrize("n_batches", [1, 2, 5, 9, 10, 11, 20, 60])
def test_learning_rate_rises_over_a_tenth_of_the_steps_and_falls(n_batches):
    record = RecordLr()
    options = {"max_epochs": 1, "batch_size": math.ceil(120 / n_batches), "lr": 0.02}
    run(make_module(), callbacks=[record], **options)
    lrs = record.values
    assert len(lrs) == math.ceil(120 / options["batch_size"])
    peak = int(np.argmax(lrs))
    assert peak <= max(1, len(lrs) // 10)
    assert lrs[peak] == pytest.approx(0.02)
    assert (np.diff(lrs[: peak + 1]) > 0).all()
    assert (np.diff(lrs[peak:]) <= 0).all()
    assert min(lrs) > 0
    assert lrs[-1] <= 0.02 * (1 if len(lrs) < 3 else 0.6)


def test_weights_depend_on_the_seed_alone():
    def trained(seed):
        module = make_module((5,), dropout=0.3)
        run(module, seed=seed)
        return weights_of(module)

    first = trained(0)
    torch.manual_seed(1), np.random.seed(1), random.seed(1)  # noqa: NPY002
    assert same(first, trained(0))
    assert not same(first, trained(1))


@pytest.mark.parametrize("grad_enabled", [True, False])
@pytest.mark.parametrize(
    "error",
    [None, RuntimeError, KeyboardInterrupt],
    ids=lambda e: getattr(e, "__name__", "fine"),
)
def test_training_leaves_the_process_as_it_was(error, grad_enabled):
    def global_state():
        return [
            torch.get_rng_state().tolist(),
            repr(np.random.get_state(legacy=False)),  # noqa: NPY002
            random.getstate(),
            torch.get_num_threads(),
            torch.is_grad_enabled(),
            torch.are_deterministic_algorithms_enabled(),
        ]

    module = make_module((5,), dropout=0.3)
    before_threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with torch.set_grad_enabled(grad_enabled):
            before = global_state()
            with pytest.raises(error) if error else contextlib.nullcontext():
                run(module, callbacks=[Raise(error)] if error else ())
            assert global_state() == before
    finally:
        torch.set_num_threads(before_threads)
    dropouts = [layer for layer in module.modules() if isinstance(layer, Dropout)]
    assert [layer.generator for layer in dropouts] == [None]


@pytest.mark.parametrize("beside", [[], [never_improves()]])
def test_ctrl_c_goes_through(beside):
    with pytest.raises(KeyboardInterrupt):
        run(make_module(), callbacks=[*beside, Raise(KeyboardInterrupt)], max_epochs=9)


def test_skorchs_early_stopping_ends_training_quietly(capfd):
    history = run(make_module(), callbacks=[never_improves()], max_epochs=9)
    assert len(history) == 3
    assert capfd.readouterr() == ("", "")


class Poisoned(SparseDataset):
    """Holds NaN targets in the n-th batch that is fetched."""

    def __init__(self, X, targets, bad):
        super().__init__(X, targets)
        self.n_fetched, self.bad = 0, bad

    def __getitems__(self, rows):
        self.n_fetched += 1
        x, targets = super().__getitems__(rows)
        return x, targets * math.nan if self.n_fetched == self.bad else targets


@pytest.mark.parametrize(("bad", "epoch", "batch"), [(1, 1, 1), (7, 2, 2), (15, 3, 5)])
def test_divergence_names_the_epoch_the_batch_and_the_learning_rate(bad, epoch, batch):
    dataset = Poisoned(*linear_problem(), bad=bad)  # five batches an epoch
    message = f"became nan in epoch {epoch}, batch {batch}, at lr=0.125; try a lower lr"
    with pytest.raises(TrainingDivergedError, match=message):
        run(make_module(), dataset=dataset, lr=0.125)


class ScriptedScore:
    """Return given scores one after the other; remember the weights they were for."""

    def __init__(self, scores):
        self.scores, self.weights = scores, []

    def __call__(self, module):
        assert not module.training
        self.weights.append(weights_of(module))
        return self.scores[len(self.weights) - 1]


@pytest.mark.parametrize(
    ("scores", "best", "n_epochs"),
    [
        ([0.1, 0.2, 0.9, 0.3, 0.9, 0.95, 0.8], 2, 4),  # an equal score is no better
        ([0.5, 0.1, 0.2, 0.9], 0, 2),  # 0: the weights before the first epoch
        ([0.1, 0.2, 0.1, 0.3, 0.2, 0.4], 5, 5),
    ],
)
def test_monitor_keeps_the_weights_of_the_best_epoch(scores, best, n_epochs):
    score = ScriptedScore(scores)
    module = make_module((4,), linear=(np.ones((N_FEATURES, 2), "f"), np.ones(2, "f")))
    history = run(
        module, callbacks=[MonitorPrecision(score, "p", patience=2)], max_epochs=5
    )
    assert history[:, "p"] == scores[1 : n_epochs + 1]
    assert same(weights_of(module), score.weights[best])
    assert not same(score.weights[best], score.weights[best - 1])
    highest = np.maximum.accumulate(scores)
    improved = [highest[i + 1] > highest[i] for i in range(n_epochs)]
    assert history[:, "p_best"] == improved


def test_monitor_without_patience_only_records():
    score = ScriptedScore([0.9, 0.2, 0.1])
    module = make_module()
    history = run(module, callbacks=[MonitorPrecision(score, "p")])
    assert history[:, "p"] == [0.9, 0.2, 0.1]
    assert same(weights_of(module), score.weights[-1])


@pytest.mark.parametrize("error", [None, ValueError])
@pytest.mark.parametrize(
    ("verbose", "bar", "table"), [(0, False, False), (1, True, False), (2, True, True)]
)
def test_verbose_shows_nothing_a_bar_or_a_table(verbose, bar, table, error, capfd):
    callbacks = [MonitorPrecision(lambda module: 0.5, "train_precision_at_1")]
    callbacks += [Raise(error, epoch=3)] if error else []
    with pytest.raises(error) if error else contextlib.nullcontext():
        run(make_module(), callbacks=callbacks, verbose=verbose)
    out, err = capfd.readouterr()
    assert ("fit: 100%" in err and "15/15" in err) == bar
    assert ("P@1=0.500" in err) == bar
    assert ("train_loss" in out and "train_precision_at_1" in out) == table
    assert bool(err) == bar
    assert "\r" not in err  # this is no terminal: lines, not one line drawn over
    assert len(err.splitlines()) <= 2
    assert bool(out) == table


class RaiseAtTheEnd(Callback):
    def on_train_end(self, net, **kwargs):
        raise ValueError("at the end")


def test_a_bar_is_closed_where_a_callback_fails_at_the_end(capfd):
    with pytest.raises(ValueError, match="at the end") as caught:
        run(make_module(), callbacks=[RaiseAtTheEnd()], verbose=1)
    assert "fit: 100%" in capfd.readouterr().err
    run(make_module(), verbose=1)
    # Moving up a line, past a bar that is still open, begins with an escape.
    assert "\x1b" not in capfd.readouterr().err
    del caught  # which kept the first bar alive till here


def test_in_a_terminal_the_bar_is_drawn_over_itself(monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    run(make_module(), verbose=1)
    err = capsys.readouterr().err
    assert "\r" in err
    assert "fit: 100%" in err


def test_validation_rows_are_scored_and_not_trained_on():
    X, Z = linear_problem()
    held_out = SparseDataset(X[:30], Z[:30] + 100)
    history = run(
        make_module(), dataset=SparseDataset(X[30:], Z[30:]), validation=held_out
    )
    assert min(history[:, "valid_loss"]) > 90**2
    assert max(history[:, "train_loss"]) < 10


def test_nothing_to_train_is_an_empty_history():
    linear = np.ones((N_FEATURES, 2), "f"), np.ones(2, "f")
    module = make_module(linear=linear)
    before = weights_of(module)
    assert len(run(module)) == 0
    assert same(weights_of(module), before)


def test_gradient_clipping_is_refused_and_other_callbacks_are_not():
    check_callbacks([never_improves()])
    with pytest.raises(ValueError, match=r"GradientNormClipping.*lower lr"):
        check_callbacks([never_improves(), GradientNormClipping(1.0)])


@pytest.mark.parametrize("rows", [[3], [5, 0, 5], []])
def test_dataset_cuts_batches_in_the_order_asked_for(rows):
    X, Z = linear_problem()
    x, targets = SparseDataset(X, Z).__getitems__(rows)
    identity = torch.eye(N_FEATURES)
    np.testing.assert_array_equal(x.matmul(identity), X.toarray()[rows])
    np.testing.assert_array_equal(targets, Z[rows])
