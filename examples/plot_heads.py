"""
How many heads do classes need?
===============================

`MultiHeadEncodingClassifier` writes the number of a class with `n_heads` digits, and
has a short output layer for each. More heads are fewer parameters. What do they cost?
"""

# %%
# Single-label rows of 1000 classes; two heads have 32 outputs each, three 10 each.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.model_selection import train_test_split

from skxmc import MultiHeadEncodingClassifier
from skxmc.datasets import make_xmc_classification

X, Y = make_xmc_classification(
    n_samples=12_000,
    n_features=4000,
    n_labels=1000,
    n_labels_per_sample=1,
    label_skew=0.3,
    n_nonzero=12,
    noise=0.4,
    random_state=0,
)
y = Y.indices  # one label a row
X_train, X_test, y_train, y_test = train_test_split(
    X, y, test_size=2000, random_state=0
)
print(X_train.shape, len(np.unique(y_train)), "classes")

# %%
# One head is one-vs-all: a layer with an output for each class.

heads = (1, 2, 3, 4)
models = [
    MultiHeadEncodingClassifier(
        n_heads=n_heads, hidden_layer_sizes=(128,), max_epochs=5, random_state=0
    ).fit(X_train, y_train)
    for n_heads in heads
]
accuracy = [model.score(X_test, y_test) for model in models]
parameters = [model.parameter_counts()["head"] for model in models]
for model, share, count in zip(models, accuracy, parameters, strict=True):
    print(f"{model.head_sizes_!s:<18} {share:.3f} {count:>8} parameters in the heads")

# %%
# The second head cuts the parameters most, and costs least; each further one cuts less
# and costs more.

fig, (left, right) = plt.subplots(1, 2, figsize=(9, 3.8), layout="constrained")
left.plot(heads, accuracy, "o-")
left.set(xlabel="n_heads", ylabel="accuracy", xticks=heads, ylim=(0, None))
bars = right.bar(heads, parameters, color="C1")
right.bar_label(bars, fmt="{:,.0f}")
right.set(xlabel="n_heads", ylabel="parameters of the heads", xticks=heads)
right.set_yscale("log")
right.margins(y=0.1)
plt.show()
