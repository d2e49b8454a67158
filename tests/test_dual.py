"""The dual network, its batches and refreshes, against dense computations."""

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from torch import nn
from torch.nn import functional as F

from skxmc import _nn
from skxmc._nn._pool_losses import POOL_LOSSES
from skxmc._nn._sparse import SparseRows

N_LABELS, N_FEATURES, SIZE = 20, 15, 3


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    X, L = (
        sp.random_array((n, N_FEATURES), density=0.3, rng=rng, dtype=np.float32)
        for n in (50, N_LABELS)
    )
    Y = (rng.random((50, N_LABELS)) < 0.15).astype(np.float32)
    Y[np.arange(50), np.arange(50) % N_LABELS] = 1
    Y[:5] = 0  # rows without a label
    X = X.toarray()
    X[:, 0] += 0.1  # none is empty
    return sp.csr_array(X), sp.csr_array(Y), sp.csr_array(L)


def dataset(data, **options):
    defaults = {"n_positives": 2, "n_negatives": 2, "max_pool_size": 100, "seed": 0}
    return _nn.PoolDataset(*data, **defaults | options)


def features():
    return _nn.Features(
        N_FEATURES, (4,), dropout=0.0, input_scale=1.0, linear=None, seed=0
    )


def net(**options):
    weight = np.random.default_rng(1).normal(size=(N_LABELS, 5)).astype(np.float32)
    defaults = {
        "loss": "decoupled",
        "encoder_weight": 0.3,
        "symmetric": set(),
        "temperature": 0.1,
        "learn_temperature": True,
    }
    tower = _nn.Tower(features(), SIZE, 0, n_features=N_FEATURES, input_scale=0.5)
    return _nn.DualNet(tower, _nn.LabelTable.from_array(weight), **defaults | options)


def test_batches_hold_labelled_rows_and_their_truth(data):
    pooled = dataset(data)
    Y = data[1].toarray()[5:]  # those without a label are left out
    assert len(pooled) == len(Y)
    rows = [3, 0, 17]
    batch, truth = pooled.__getitems__(rows)
    assert len(batch) == 3
    np.testing.assert_array_equal(truth, Y[rows][:, batch.pool] > 0)
    assert truth.any(dim=1).all()  # each row finds a positive of its own
    dense = torch.eye(N_FEATURES)
    np.testing.assert_allclose(
        batch.label_rows.matmul(dense), data[2].toarray()[batch.pool]
    )
    np.testing.assert_allclose(batch.rows.matmul(dense), data[0].toarray()[5:][rows])


def test_every_other_time_labels_are_described_by_their_own_features(data):
    own = sp.csr_array(np.where(np.arange(N_LABELS)[:, None] == 4, 0, 9.0))
    own = sp.csr_array(np.tile(own.toarray(), N_FEATURES).astype(np.float32))
    pooled = dataset(data, own_features=own, max_pool_size=N_LABELS)
    shares = []
    for _ in range(50):
        batch, _ = pooled.__getitems__(list(range(40)))
        rows = batch.label_rows.matmul(torch.eye(N_FEATURES)).numpy()
        is_own = (rows == 9).all(axis=1)
        expected = data[2].toarray()[batch.pool]
        np.testing.assert_allclose(rows[~is_own], expected[~is_own])
        assert not is_own[batch.pool == 4].any()  # it has none
        shares.append(is_own.mean())
    assert 0.4 < np.mean(shares) < 0.55


def test_known_hard_negatives_are_the_ones_that_are_drawn(data):
    pooled = dataset(data)
    pooled.hard_negatives = np.full((len(pooled), 3), -1)
    pooled.hard_negatives[:, 0] = 7
    batch, truth = pooled.__getitems__([0, 1, 2, 3])
    others = batch.pool[~truth.any(dim=0)].tolist()
    assert set(others) <= {7}


def test_groups_stay_together_and_the_ragged_one_comes_last(data):
    sampler = dataset(data).sampler
    assert sorted(sampler) == list(range(45))
    assert list(sampler) != list(sampler)
    groups = np.split(np.random.default_rng(0).permutation(45), [10, 20, 30, 40])
    sampler.groups = groups
    orders = [list(sampler) for _ in range(5)]
    for order in orders:
        parts = [set(order[i : i + 10]) for i in range(0, 45, 10)]
        assert all(part in [set(group) for group in groups] for part in parts)
        assert parts[-1] == set(groups[-1])
    assert len({tuple(order) for order in orders}) == 5


def dense_loss(name, scores, truth):
    """Compute a pool loss from its formula, mean over the rows with a positive."""
    scores, truth = scores[truth.any(1)], truth[truth.any(1)]
    counts = truth.sum(1, keepdim=True)
    true, false = (
        (scores.exp() * part).sum(1, keepdim=True) for part in (truth, ~truth)
    )
    totals = {
        "supcon": true + false,
        "infonce": true + false,
        "decoupled": scores.exp() + false,
        "balanced": true / counts + false,
    }
    if name == "bce":
        losses = F.softplus(scores) - scores * truth
    else:
        losses = truth * (totals[name].log() - scores) / counts
    return losses.sum() / len(truth)


@pytest.mark.parametrize("symmetric", [set(), {"encoder"}, {"classifier"}])
@pytest.mark.parametrize("name", sorted(POOL_LOSSES))
def test_loss_and_gradients_are_those_of_dense_autograd(data, name, symmetric):
    model = net(loss=name, symmetric=symmetric)
    batch, truth = dataset(data).__getitems__(list(range(12)))
    loss = model.loss(model(batch), truth)
    loss.backward()

    tower, weight = model.tower, model.table.weight.detach().clone().requires_grad_()
    first = tower.features.hidden.first.weight.detach().clone().requires_grad_()
    direct = tower.direct.weight.detach().clone().requires_grad_()
    head = tower.head.weight.detach().clone().requires_grad_()
    log_scale = model.log_scale.detach().clone().requires_grad_()

    def outputs(x):
        h = (x.matmul(torch.eye(N_FEATURES)) @ first).relu()
        hidden = tower.features.hidden
        h = hidden.rest[-1](h.relu()).relu() if len(hidden.rest) else h
        f = 4 * h / h.norm(dim=1, keepdim=True).clamp(min=1e-6)
        h = f @ head.T + tower.head.bias.detach()
        return F.normalize(h + x.matmul(torch.eye(N_FEATURES)) @ direct / 2), f

    z, f = outputs(batch.rows)
    z_labels, _ = outputs(batch.label_rows)
    own = F.pad(f, (0, 1), value=1.0) @ weight[batch.pool].T
    parts = {"encoder": log_scale.exp() * z @ z_labels.T, "classifier": own}
    expected = 0.0
    for part, scores in parts.items():
        one = dense_loss(name, scores, truth)
        if part in symmetric:
            other = dense_loss(name, scores.T, truth.T)
            one = (one + other) / 2
        expected = expected + {"encoder": 0.3, "classifier": 0.7}[part] * one
    expected.backward()
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(tower.head.weight.grad, head.grad)
    torch.testing.assert_close(model.log_scale.grad, log_scale.grad)
    for table, grad in (
        (model.table.weight, weight.grad),
        (tower.features.hidden.first.weight, first.grad),
        (tower.direct.weight, direct.grad),
    ):
        total = torch.zeros_like(table)
        for gradient in table.row_gradients:
            for rows, g in gradient.blocks(7):
                total[rows] += g
        torch.testing.assert_close(total, grad, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("weight", "untrained"), [(0.0, 0), (1.0, 1)])
def test_a_part_without_weight_is_not_computed(data, weight, untrained):
    outputs = net(encoder_weight=weight)(dataset(data).__getitems__([0, 1])[0])
    assert outputs[untrained] is None
    assert outputs[1 - untrained] is not None


def test_training_changes_the_array_that_the_table_shares(data):
    weight = np.zeros((N_LABELS, 5), dtype=np.float32)
    wide = np.zeros((N_LABELS, 9), dtype=np.float32)
    columns = wide[:, 2:7]  # a view with gaps
    trained = []
    for start in (weight, columns):
        model = net()
        model.table = _nn.LabelTable.from_array(start)
        _nn.train(
            *(model, dataset(data)),
            **{"max_epochs": 3, "batch_size": 8, "lr": 0.01, "weight_decay": 0.0},
        )
        trained.append(start)
    assert np.abs(weight).max() > 0
    np.testing.assert_allclose(columns, weight, rtol=1e-5, atol=1e-6)
    assert (wide[:, :2] == 0).all()
    assert (wide[:, 7:] == 0).all()


@pytest.mark.parametrize(("every", "expected"), [(None, []), (1, [1, 2, 3]), (2, [2])])
def test_refreshes_come_every_few_epochs_but_not_first(data, every, expected):
    epochs, model = [], net()

    def refresh(module, training):
        assert not module.training
        assert training is pooled
        epochs.append(len(epochs_done))

    class Count(_nn.Refresh):
        def on_epoch_end(self, net, **kwargs):
            epochs_done.append(1)

    epochs_done, pooled = [], dataset(data)
    _nn.train(
        *(model, pooled),
        **{"max_epochs": 4, "batch_size": 8, "lr": 0.01, "weight_decay": 0.0},
        callbacks=[Count(every, refresh)],
    )
    assert epochs == expected


def test_temperature_stays_within_bounds():
    model = net(temperature=0.05)
    assert model.scale == pytest.approx(20)
    for value, scale in ((50.0, 1000), (-50.0, 1)):
        model.log_scale.data.fill_(value)
        assert model.scale == pytest.approx(scale)


def test_embedder_gives_the_first_part_of_the_tower(data):
    tower = _nn.Tower(features(), SIZE, seed=0).eval()
    x = SparseRows.from_csr(data[0])
    both = tower(x)
    torch.testing.assert_close(_nn.Embedder(tower)(x), both[:, :SIZE])
    torch.testing.assert_close(both[:, SIZE:], tower.features(x))
    is_known = both[:, SIZE:].norm(dim=1) > 0
    torch.testing.assert_close(both[:, :SIZE].norm(dim=1), is_known.float())


class Halves(nn.Module):
    """A user's module: a linear map of sparse rows."""

    def __init__(self, n_features):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(n_features, 4))

    def forward(self, x):
        return x @ self.weight / 2


def test_a_users_module_sees_sparse_tensors(data):
    wrapped = _nn.ModuleFeatures(Halves(N_FEATURES), data[0])
    assert wrapped.n_outputs == 4
    out = wrapped(SparseRows.from_csr(data[0])).detach().numpy()
    # What the module says, at a root mean square norm of 4.
    expected = np.tile(data[0].sum(axis=1) / 2, (4, 1)).T
    expected *= 4 / np.sqrt(np.mean((expected**2).sum(axis=1)))
    np.testing.assert_allclose(out, expected, rtol=1e-5)


def test_a_module_of_another_shape_is_refused(data):
    class Sums(nn.Module):
        def forward(self, x):
            return x.to_dense().sum()

    with pytest.raises(ValueError, match="encoder=Sums maps 50 rows to an output of"):
        _nn.ModuleFeatures(Sums(), data[0])


def test_parameters_take_the_learning_rate_of_their_group(data):
    model = net(learning_rates={"tower.head.*": 1e-9, "table.*": 0.02})
    head = model.tower.head.weight.detach().clone()
    table = model.table.array.copy()
    options = {"max_epochs": 1, "batch_size": 8, "lr": 1e-9, "weight_decay": 0.0}
    _nn.train(model, dataset(data), **options)
    torch.testing.assert_close(model.tower.head.weight, head, atol=1e-6, rtol=0)
    assert np.abs(model.table.array - table).max() > 0.01
