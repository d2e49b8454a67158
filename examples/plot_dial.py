"""
The head and the tail: a dial between frequent and rare labels
==============================================================

`UniDECClassifier` ranks by the sum of two parts and of how frequent a label is. What
each weighs may be changed on a fitted model; nothing is trained again.
"""

# %%
# Functions of Python's standard library; the labels are the names that they call. Most
# labels have a few rows only.

import matplotlib.pyplot as plt
from sklearn.feature_extraction.text import TfidfVectorizer

from skxmc import UniDECClassifier
from skxmc.datasets import load_stdlib_calls
from skxmc.display import LabelFrequencyDisplay
from skxmc.metrics import (
    label_propensities,
    precision_at_k,
    propensity_scored_precision_at_k,
)

train = load_stdlib_calls(subset="train", min_count=5)
test = load_stdlib_calls(subset="test", min_count=5)
vectorizer = TfidfVectorizer(sublinear_tf=True)
X_train, X_test = vectorizer.fit_transform(train.data), vectorizer.transform(test.data)

# %%
# One fit, of a small model.

model = UniDECClassifier(
    n_components=128,
    embedding_size=128,
    hidden_layer_sizes=(128,),
    max_epochs=3,
    random_state=0,
)
model.fit(X_train, train.target)

# %%
# P@1 counts all labels alike, PSP@5 counts rare ones more.

propensities = label_propensities(train.target)


def measure(encoder_weight, popularity):
    model.set_params(encoder_weight=encoder_weight, popularity=popularity)
    ranking = model.predict_topk(X_test, k=5)
    return (
        propensity_scored_precision_at_k(
            test.target, ranking, k=5, propensities=propensities
        ),
        precision_at_k(test.target, ranking, k=1),
    )


fig, ax = plt.subplots(layout="constrained")
steps = (0.3, 0.0, -0.3, -0.6)
for encoder_weight in (0.0, 0.3, 0.6):
    points = [measure(encoder_weight, popularity) for popularity in steps]
    ax.plot(*zip(*points, strict=True), "o-", label=f"encoder_weight={encoder_weight}")
    for popularity, point in zip(steps, points, strict=True):
        ax.annotate(popularity, point, (5, 5), textcoords="offset points")
ax.set(xlabel="PSP@5", ylabel="P@1", title="Numbers are popularity")
ax.margins(0.1)
ax.legend()

# %%
# What the dial does to labels of each frequency:

fig, ax = plt.subplots(figsize=(8, 5), layout="constrained")
for popularity in (0.0, -0.3):
    model.set_params(encoder_weight=0.3, popularity=popularity)
    LabelFrequencyDisplay.from_estimator(
        model,
        X_test,
        test.target,
        y_train=train.target,
        name=f"popularity={popularity}",
        ax=ax,
    )
plt.show()

# %%
# Somewhat below zero, popularity finds more rare labels for almost nothing; far below,
# both metrics fall. Choose on rows that were held out, by the metric you care for.
