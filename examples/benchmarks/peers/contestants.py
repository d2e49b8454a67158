"""What is compared, behind one interface; each imports its own package when made.

A contestant has `fit(X, Y)`, `predict(X)`, which ranks the `N_RANKED` best labels of
each row in an array of (n_rows, N_RANKED) filled up with -1, and `save(path)`, which
writes the model to a folder that is there.
"""

import contextlib
import importlib
import json
import os
import pickle
from pathlib import Path

import numpy as np
import scipy.sparse as sp

N_RANKED = 5


class Contestant:
    """Base: imports its package, whose time is not counted, and holds its options."""

    modules = ()

    def __init__(self, folder, n_threads, params):
        self.folder, self.n_threads, self.params = Path(folder), n_threads, params
        for module in self.modules:
            importlib.import_module(module)

    def save(self, path):
        """Write the model below a folder."""
        with open(path / "model.pickle", "wb") as file:
            pickle.dump(self.model, file, protocol=5)


class Ours(Contestant):
    """An estimator of skxmc; it takes 1-D y where each row has one label."""

    estimator = None

    def __init__(self, folder, n_threads, params):
        super().__init__(folder, n_threads, params)
        # `import skxmc` alone loads neither the estimator nor torch.
        getattr(importlib.import_module("skxmc"), self.estimator)

    def fit(self, X, Y):
        """Fit, and have numbers compressed if the parameters say so."""
        import skxmc

        params = dict(self.params)
        storage, n_numbers = (params.pop(k, None) for k in ("storage", "n_numbers"))
        if params.pop("label_texts", False):
            params["label_features"] = sp.load_npz(self.folder / "label_features.npz")
        self.model = getattr(skxmc, self.estimator)(random_state=0, **params)
        is_single_label = (np.diff(Y.indptr) == 1).all()
        self.model.fit(X, Y.indices if is_single_label else Y)
        if storage is not None:
            self.model = self.model.compress(storage, n_components=n_numbers, X=X)

    def predict(self, X):
        """Rank labels."""
        return self.model.classes_[self.model.predict_topk(X, k=N_RANKED)[0]]


class DECLARE(Ours):
    """Compressed labels and neighbours."""

    estimator = "DECLAREClassifier"


class MultiHead(Ours):
    """Multi-head encoding."""

    estimator = "MultiHeadEncodingClassifier"


class UniDEC(Ours):
    """Dual encoder and classifier."""

    estimator = "UniDECClassifier"


class Pecos(Contestant):
    """XR-Linear of PECOS with its defaults, on PIFA clusters."""

    modules = ("pecos.xmc.xlinear.model",)

    def fit(self, X, Y):
        """Cluster the labels, then train."""
        from pecos.xmc import Indexer, LabelEmbeddingFactory
        from pecos.xmc.xlinear.model import XLinearModel

        X, Y = sp.csr_matrix(X), sp.csr_matrix(Y, dtype=np.float32)
        clusters = Indexer.gen(LabelEmbeddingFactory.create(Y, X, method="pifa"))
        self.model = XLinearModel.train(X, Y, C=clusters, threads=self.n_threads)

    def predict(self, X):
        """Rank labels."""
        scores = self.model.predict(
            sp.csr_matrix(X), only_topk=N_RANKED, threads=self.n_threads
        )
        return best_stored(scores)

    def save(self, path):
        """Write PECOS's own files."""
        self.model.save(str(path))


class Omikuji(Contestant):
    """Parabel by omikuji with its defaults. It trains from a text file only."""

    modules = ("omikuji",)

    def fit(self, X, Y):
        """Write the file before the clock starts, see `prepare`."""
        import omikuji

        with silent():
            self.model = omikuji.Model.train_on_data(
                str(self.folder / "train.txt"), n_threads=self.n_threads
            )
            self.model.init_prediction_thread_pool(self.n_threads)

    def predict(self, X):
        """Rank labels, a row a call: there is no other way."""
        ranking = np.full((X.shape[0], N_RANKED), -1)
        ends = X.indptr
        for row in range(X.shape[0]):
            part = slice(ends[row], ends[row + 1])
            pairs = list(
                zip(X.indices[part].tolist(), X.data[part].tolist(), strict=True)
            )
            found = self.model.predict(pairs, top_k=N_RANKED)
            ranking[row, : len(found)] = [label for label, _ in found]
        return ranking

    def save(self, path):
        """Write omikuji's own files."""
        self.model.save(str(path))


class NapkinXC(Contestant):
    """PLT of napkinXC with its defaults. Its model lives in a folder."""

    modules = ("napkinxc.models",)

    def fit(self, X, Y):
        """Train."""
        from napkinxc.models import PLT

        self.model = PLT(str(self.folder / "napkinxc"), threads=self.n_threads, seed=0)
        self.model.fit(sp.csr_matrix(X), sp.csr_matrix(Y, dtype=np.float32))

    def predict(self, X):
        """Rank labels."""
        found = self.model.predict(sp.csr_matrix(X), top_k=N_RANKED)
        rows = [labels + [-1] * (N_RANKED - len(labels)) for labels in found]
        return np.array(rows)

    def save(self, path):
        """Move the files there."""
        for file in (self.folder / "napkinxc").iterdir():
            os.replace(file, path / file.name)


class OneVsRest(Contestant):
    """One logistic regression a label, by scikit-learn."""

    modules = ("sklearn.linear_model", "sklearn.multiclass")

    def fit(self, X, Y):
        """Train."""
        from sklearn.linear_model import LogisticRegression
        from sklearn.multiclass import OneVsRestClassifier

        one = LogisticRegression(solver="liblinear", C=10)
        # Of int8 targets liblinear learns nonsense.
        self.model = OneVsRestClassifier(one, n_jobs=self.n_threads).fit(
            X, Y.astype(np.int64)
        )

    def predict(self, X):
        """Rank labels."""
        return best_of(self.model.predict_proba(X))


class KNN(Contestant):
    """The 50 most similar training rows vote with their cosine."""

    modules = ("sklearn.neighbors",)

    def fit(self, X, Y):
        """Keep the rows."""
        from sklearn.neighbors import NearestNeighbors

        self.labels = sp.csr_matrix(Y, dtype=np.float32)
        self.model = NearestNeighbors(
            n_neighbors=min(50, X.shape[0]), metric="cosine", n_jobs=self.n_threads
        ).fit(X)

    def predict(self, X):
        """Rank labels."""
        distances, rows = self.model.kneighbors(X)
        ends = np.arange(0, rows.size + 1, rows.shape[1])
        votes = sp.csr_matrix(
            (1 - distances.ravel(), rows.ravel(), ends),
            shape=(X.shape[0], self.labels.shape[0]),
        )
        return best_stored(votes.astype(np.float32) @ self.labels)


class Popularity(Contestant):
    """The most frequent labels, whatever the row."""

    def fit(self, X, Y):
        """Count."""
        counts = np.bincount(Y.indices, minlength=Y.shape[1])
        self.model = np.argsort(-counts, kind="stable")[:N_RANKED]

    def predict(self, X):
        """Rank labels."""
        return np.tile(self.model, (X.shape[0], 1))


CONTESTANTS = {
    "declare": DECLARE,
    "multi_head": MultiHead,
    "unidec": UniDEC,
    "pecos": Pecos,
    "omikuji": Omikuji,
    "napkinxc": NapkinXC,
    "one_vs_rest": OneVsRest,
    "knn": KNN,
    "popularity": Popularity,
}


def best_of(scores):
    """Rank the columns of a dense array."""
    return np.argsort(-scores, axis=1, kind="stable")[:, :N_RANKED]


def best_stored(scores):
    """Rank the stored columns of a CSR matrix, -1 where a row has fewer."""
    n_rows = scores.shape[0]
    rows = np.repeat(np.arange(n_rows), np.diff(scores.indptr))
    order = np.lexsort((-scores.data, rows))
    places = np.arange(len(order)) - scores.indptr[rows[order]]
    kept = places < N_RANKED
    ranking = np.full((n_rows, N_RANKED), -1)
    ranking[rows[order][kept], places[kept]] = scores.indices[order][kept]
    return ranking


@contextlib.contextmanager
def silent():
    """Send what other languages print nowhere; omikuji knows no quiet."""
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(nowhere)
        os.close(kept)


def make(name, folder, n_threads, params):
    """Make a contestant; `params` is JSON."""
    return CONTESTANTS[name](folder, n_threads, json.loads(params))
