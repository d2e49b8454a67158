"""
How long to train, and on how much?
===================================

With `early_stopping=True` an estimator that learns in epochs holds out some rows, and
keeps the epoch that is best on them. A learning curve says whether more rows would
help.
"""

# %%
# Functions of Python's standard library, and what they call.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer

from skxmc import DECLAREClassifier, MultiHeadEncodingClassifier
from skxmc.datasets import load_stdlib_calls
from skxmc.display import TrainingCurveDisplay

train, test = (
    load_stdlib_calls(subset=part, min_count=10) for part in ("train", "test")
)
vectorizer = TfidfVectorizer(sublinear_tf=True)
X_train, X_test = vectorizer.fit_transform(train.data), vectorizer.transform(test.data)

# %%
# Far more epochs are allowed than are needed, on every fourth row.

stopped = MultiHeadEncodingClassifier(
    hidden_layer_sizes=(128,), max_epochs=30, early_stopping=True, random_state=0
)
few = slice(None, None, 4)
seen = np.flatnonzero(train.target[few].sum(axis=0))  # labels that have a row there
stopped.fit(X_train[few], train.target[few][:, seen])
best = np.argmax(stopped.history_[:, "valid_precision_at_1"]) + 1
print(f"stopped after {stopped.n_iter_} epochs; the best, {best}, was kept")

# %%
# `history_` is what the display draws: the training loss goes on falling where
# precision on the rows held out has stopped to rise.

display = TrainingCurveDisplay.from_estimator(stopped, name="Multi-head")

# %%
# More rows: fits on a growing part of them, in random order. The test part has modules
# of which training knows nothing.

order = np.random.RandomState(0).permutation(X_train.shape[0])
sizes = np.array([500, 1000, 2000, 4000, X_train.shape[0]])
scores = []
for size in sizes:
    Y = train.target[order[:size]]
    seen = np.flatnonzero(Y.sum(axis=0))
    model = DECLAREClassifier(random_state=0).fit(X_train[order[:size]], Y[:, seen])
    scores.append(model.score(X_test, test.target[:, seen]))

fig, ax = plt.subplots(layout="constrained")
ax.plot(sizes, scores, "o-")
ax.set(xlabel="training rows", ylabel="P@1, test modules", xscale="log", ylim=(0, None))
ax.set_xticks(sizes, sizes)
ax.minorticks_off()
plt.show()
