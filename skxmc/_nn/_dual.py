"""A dual encoder and a classifier, trained together on a pool of labels."""

import math

import torch
from torch import nn
from torch.nn import functional as F

from skxmc._nn._modules import dense_layer
from skxmc._nn._pool_losses import pool_loss
from skxmc._nn._sparse import SparseLinear, SparseRows

# Norm of V x at the start, of rows of mean length. It makes up most of an embedding
# then: W f is around 2.
_DIRECT_NORM = 3.0

# Root mean square norm of the features of a user's module, and the rows it is measured
# on.
_FEATURE_NORM, _N_TRIED = 4.0, 256

# A learned temperature falls no lower than 1 / 1000, a given one neither.
_MAX_SCALE = 1000.0


class Tower(nn.Module):
    """Features of rows or labels, and their embeddings.

    ``z = normalize(W f(x) + b + V x)``, the embedding, is compared with those of
    labels; the features f(x) themselves are what the classifier sees. V starts at
    random, which keeps the angles between inputs: rows are like labels of their words.

    Parameters
    ----------
    features : torch.nn.Module
        Maps `SparseRows` to (n_rows, n_outputs), and has that attribute.
    embedding_size : int
        Length of z.
    seed : int
        Seeds W and V.
    n_features : int or None
        Length of x; None leaves V out, where columns mean nothing.
    input_scale : float
        What V x is multiplied by, 1 / (the root mean square norm of rows).
    """

    def __init__(
        self, features, embedding_size, seed, *, n_features=None, input_scale=1.0
    ):
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.features, self.embedding_size = features, embedding_size
        self.head = dense_layer(
            features.n_outputs, embedding_size, generator, zero=False
        )
        self.input_scale, self.direct = input_scale, None
        if n_features is not None:
            std = _DIRECT_NORM / math.sqrt(embedding_size)
            self.direct = SparseLinear(
                n_features, embedding_size, std=std, generator=generator
            )

    def forward(self, x):
        """Map `SparseRows` to [z, f], (n_rows, embedding_size + n_outputs)."""
        f = self.features(x)
        h = self.head(f)
        if self.direct is not None:
            h = h + self.direct(x.scaled(self.input_scale))
        return torch.cat([F.normalize(h), f], dim=1)


class DualNet(nn.Module):
    """The tower, the classifier's vectors and the loss.

    Parameters
    ----------
    tower : Tower
    table : LabelTable
        The classifier: a vector and a bias for each label.
    loss : str
        Key of `POOL_LOSSES`.
    encoder_weight : float
        Part of the dual encoder in the loss, the rest is the classifier's.
    symmetric : set of {"encoder", "classifier"}
        Whose loss also has labels choose among rows.
    temperature : float
        What cosines are divided by.
    learn_temperature : bool
        Whether training changes it.
    learning_rates : dict of str to float
        Learning rates of parameters other than the usual one, by pattern of names.
    """

    def __init__(
        self,
        tower,
        table,
        *,
        loss,
        encoder_weight,
        symmetric,
        temperature,
        learn_temperature,
        learning_rates=None,
    ):
        super().__init__()
        self.learning_rates = learning_rates or {}
        self.tower, self.table = tower, table
        self.loss_name, self.encoder_weight = loss, encoder_weight
        self.symmetric = symmetric
        self.log_scale = nn.Parameter(
            torch.tensor(-math.log(temperature)), requires_grad=learn_temperature
        )

    @property
    def scale(self):
        """What cosines are multiplied by: 1 / temperature, between 1 and 1000."""
        return float(self._scale().detach())

    def _scale(self):
        return self.log_scale.clamp(0, math.log(_MAX_SCALE)).exp()

    def forward(self, batch):
        """Map a `PoolBatch` to scores of the encoder and of the classifier.

        Each is (n_rows, n_pool), or None for a part without weight in the loss.
        """
        size = self.tower.embedding_size
        z, f = self.tower(batch.rows).split([size, self.tower.features.n_outputs], 1)
        by_encoder = by_classifier = None
        if self.encoder_weight > 0:
            z_labels = self.tower(batch.label_rows)[:, :size]  # (n_pool, size)
            by_encoder = self._scale() * (z @ z_labels.T)
        if self.encoder_weight < 1:
            by_classifier = self.table.pool_scores(f, batch.pool)
        return by_encoder, by_classifier

    def loss(self, outputs, truth):
        """Compute the weighted sum of both losses."""
        names = "encoder", "classifier"
        weights = self.encoder_weight, 1 - self.encoder_weight
        total = 0.0
        for name, weight, scores in zip(names, weights, outputs, strict=True):
            if scores is not None:
                symmetric = name in self.symmetric
                part = pool_loss(self.loss_name, scores, truth, symmetric=symmetric)
                total = total + weight * part
        return total


class ModuleFeatures(nn.Module):
    """A user's module as features, brought to the usual length at the start.

    Parameters
    ----------
    module : torch.nn.Module
        Maps a sparse CSR tensor (n_rows, n_features) to a dense (n_rows, d).
    X : csr_array of shape (n_samples, n_features)
        Rows, the first of which are tried.
    """

    is_foreign = True

    def __init__(self, module, X):
        super().__init__()
        self.module, self.n_features, self.factor = module, X.shape[1], 1.0
        some = X[:_N_TRIED]
        with torch.inference_mode():
            output = self.eval()(SparseRows.from_csr(some))
        if output.ndim != 2 or len(output) != some.shape[0]:
            raise ValueError(
                f"encoder={type(module).__name__} maps {some.shape[0]} rows to an "
                f"output of shape {tuple(output.shape)}; it has to be a vector for "
                "each row."
            )
        norm = output.square().sum(1).mean().sqrt().item()
        self.factor = _FEATURE_NORM / norm if norm > 0 else 1.0
        self.n_outputs = output.shape[1]

    def forward(self, x):
        """Map `SparseRows` (n_rows, n_features) to (n_rows, n_outputs)."""
        shape = len(x), self.n_features
        parts = x.offsets, x.indices, x.values
        rows = torch.sparse_csr_tensor(*parts, shape, check_invariants=False)
        return self.factor * self.module(rows).float()


class Embedder(nn.Module):
    """A tower that only gives the embeddings, so that no features are kept.

    Parameters
    ----------
    tower : Tower
    """

    def __init__(self, tower):
        super().__init__()
        self.tower = tower

    def forward(self, x):
        """Map `SparseRows` to z, (n_rows, embedding_size)."""
        return self.tower(x)[:, : self.tower.embedding_size]
