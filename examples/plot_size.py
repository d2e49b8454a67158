"""
Precision for size
==================

The codes of `DECLAREClassifier` are most of its model. Shorter ones make it smaller,
and `compress` stores any model in 8 bits. How much precision does each cost?
"""

# %%
# Fit with codes of several lengths, and compress each model.

import pickle

import matplotlib.pyplot as plt
import numpy as np

from skxmc import DECLAREClassifier
from skxmc.datasets import make_xmc_classification
from skxmc.metrics import precision_at_k

X, Y = make_xmc_classification(
    n_samples=4000, n_labels=1000, n_nonzero=12, noise=0.5, random_state=0
)
X_train, X_test, Y_train, Y_test = X[:3000], X[3000:], Y[:3000], Y[3000:]
known = np.flatnonzero(Y_train.sum(axis=0))  # labels with a training row
Y_train, Y_test = Y_train[:, known], Y_test[:, known]


def size_and_precision(model):
    ranking = model.predict_topk(X_test, k=5)
    return len(pickle.dumps(model)) / 2**20, precision_at_k(Y_test, ranking, k=5)


lengths = (16, 32, 64, 128, 256)
points: dict[str, list] = {"32 bits": [], "8 bits": []}
for length in lengths:
    model = DECLAREClassifier(length, random_state=0).fit(X_train, Y_train)
    points["32 bits"].append(size_and_precision(model))
    points["8 bits"].append(size_and_precision(model.compress("int8")))

# %%
# Eight bits are nearly free: cut the bits first, then the codes.

fig, ax = plt.subplots(layout="constrained")
for label, pairs in points.items():
    ax.plot(*zip(*pairs, strict=True), "o-", label=label)
    for length, pair in zip(lengths, pairs, strict=True):
        ax.annotate(length, pair, (4, -10), textcoords="offset points")
ax.set(
    xlabel="model, MiB", ylabel="P@5", xscale="log", title="Numbers are n_components"
)
ax.legend()
plt.show()
