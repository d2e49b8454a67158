"""
Probabilities that mean what they say
=====================================

Of the labels with a probability of 0.4, four in ten should be true.
`TopKCalibratedClassifier` sees to that by folds of the training rows, if these folds
are like the rows that will come.
"""

# %%
# Functions of Python's standard library, and what they call. The test part holds whole
# modules, of which nothing was seen in training.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.model_selection import GroupKFold, KFold

from skxmc import DECLAREClassifier
from skxmc.calibration import TopKCalibratedClassifier
from skxmc.datasets import load_stdlib_calls
from skxmc.display import ReliabilityDisplay
from skxmc.metrics import precision_at_k

train, test = (
    load_stdlib_calls(subset=part, min_count=10) for part in ("train", "test")
)
vectorizer = TfidfVectorizer(sublinear_tf=True)
few = slice(None, None, 2)  # to be quick
X_train = vectorizer.fit_transform(train.data[few])
X_test = vectorizer.transform(test.data)

# %%
# Folds of single rows have functions of a module on both sides, folds of modules do
# not. Labels of a single module would be missing there, and are left out.

folds = {
    "folds of rows": [*KFold(3, shuffle=True, random_state=0).split(X_train)],
    "folds of modules": [*GroupKFold(3).split(X_train, groups=train.modules[few])],
}
Y_train, Y_test = train.target[few], test.target
is_common = [
    Y_train[rows].sum(axis=0) > 0 for splits in folds.values() for rows, _ in splits
]
common = np.flatnonzero(np.all(is_common, axis=0))
Y_train, Y_test = Y_train[:, common], Y_test[:, common]

declare = DECLAREClassifier(random_state=0)
models = {
    "scores as they are": declare,
    **{
        name: TopKCalibratedClassifier(declare, cv=splits, k=5)
        for name, splits in folds.items()
    },
}
for name, model in models.items():
    model.fit(X_train, Y_train)
    _, probabilities = ranking = model.predict_topk(X_test, k=1)
    print(
        f"{name:<19} mean probability {probabilities.mean():.2f}, "
        f"true {precision_at_k(Y_test, ranking, k=1):.2f}"
    )

# %%
# The ranking is the same; what is said of it differs. Folds of rows still promise too
# much for modules never seen, folds of modules hardly do.

fig, ax = plt.subplots(figsize=(6, 5.5), layout="constrained")
for name, model in models.items():
    ReliabilityDisplay.from_estimator(model, X_test, Y_test, name=name, ax=ax)
plt.show()
