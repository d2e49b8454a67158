"""
How much can labels be compressed?
==================================

`DECLAREClassifier` compresses the labels of a row to `n_components` numbers; these
codes are most of its model. `compress` stores any model in 8 bits. How much precision
does each cost?
"""

# %%
# Fit with codes of several lengths, to 3000 rows with some 900 labels.

import matplotlib.pyplot as plt
import numpy as np

from skxmc import DECLAREClassifier
from skxmc.datasets import make_xmc_classification
from skxmc.display import CompressionDisplay
from skxmc.metrics import precision_at_k

X, Y = make_xmc_classification(
    n_samples=4000, n_labels=1000, n_nonzero=12, noise=0.5, random_state=0
)
X_train, X_test, Y_train, Y_test = X[:3000], X[3000:], Y[:3000], Y[3000:]
known = np.flatnonzero(Y_train.sum(axis=0))  # labels with a training row
Y_train, Y_test = Y_train[:, known], Y_test[:, known]

lengths = (8, 16, 32, 64, 128, 256)
models = {
    str(length): DECLAREClassifier(length, random_state=0).fit(X_train, Y_train)
    for length in lengths
}

# %%
# Precision over the length of the codes, in percent of the number of labels on top.

fig, ax = plt.subplots(layout="constrained")
rankings = [model.predict_topk(X_test, k=5) for model in models.values()]
for k, marker in zip((1, 3, 5), "osv", strict=True):
    scores = [precision_at_k(Y_test, ranking, k=k) for ranking in rankings]
    ax.plot(lengths, scores, f"{marker}-", label=f"P@{k}")
ax.set(xlabel="n_components", ylabel="precision", xscale="log", ylim=(0, None))
ax.set_xticks(lengths, lengths)
ratios = [f"{100 * model.compression_ratio_:.0f} %" for model in models.values()]
top = ax.secondary_xaxis("top")
top.set_xticks(lengths, ratios)
ax.minorticks_off()
top.minorticks_off()
ax.legend()

# %%
# The same models by size, and what `compress` makes of them. Eight bits are nearly
# free: cut the bits first, then the codes.

small = {length: model.compress("int8") for length, model in models.items()}
fig, ax = plt.subplots(layout="constrained")
for name, group in {"32 bits": models, "8 bits": small}.items():
    CompressionDisplay.from_estimators(group, X_test, Y_test, k=5, name=name, ax=ax)
ax.set(title="Numbers are n_components")
plt.show()
