"""
Look at a model from six sides
==============================

How precise is it, and for which labels? How did it train, what does a smaller one cost,
how do two compare, and can their probabilities be trusted? Each display is one call.

Run it with ``python examples/plot_displays.py figure.png``; it takes half a minute and
downloads nothing.
"""

import sys

import matplotlib.pyplot as plt
from sklearn.feature_extraction.text import TfidfVectorizer

from skxmc import DECLAREClassifier, MultiHeadEncodingClassifier
from skxmc.datasets import load_stdlib_calls
from skxmc.display import (
    ComparisonDisplay,
    CompressionDisplay,
    LabelFrequencyDisplay,
    PrecisionAtKDisplay,
    ReliabilityDisplay,
    TrainingCurveDisplay,
)

# %%
# Two models that predict which functions a function calls, from its name, arguments and
# docstring.

train, test = (load_stdlib_calls(subset=part) for part in ("train", "test"))
vectorizer = TfidfVectorizer(sublinear_tf=True)
X_train, y_train = vectorizer.fit_transform(train.data), train.target
X_test, y_test = vectorizer.transform(test.data[::3]), test.target[::3]

declare = DECLAREClassifier(random_state=0).fit(X_train, y_train)
multi_head = MultiHeadEncodingClassifier(
    hidden_layer_sizes=(64,), max_epochs=6, early_stopping=True, random_state=0
).fit(X_train, y_train)

# %%
# A display draws into the axes it is given, so that several share a figure, and several
# models the same axes.

figure, axes = plt.subplots(2, 3, figsize=(16, 9), layout="constrained")

models = {"DECLARE": declare, "Multi-head": multi_head}
data = X_test, y_test
for name, model in models.items():
    PrecisionAtKDisplay.from_estimator(model, *data, name=name, k=10, ax=axes[0, 0])
    LabelFrequencyDisplay.from_estimator(
        model, *data, y_train=y_train, name=name, ax=axes[0, 1]
    )
    ReliabilityDisplay.from_estimator(model, *data, name=name, ax=axes[0, 2])
    CompressionDisplay.from_estimator(model, *data, name=name, ax=axes[1, 1])

TrainingCurveDisplay.from_estimator(multi_head, name="Multi-head", ax=axes[1, 0])
ComparisonDisplay.from_estimators(models, *data, y_train=y_train, ax=axes[1, 2])

# %%
# Without arguments nothing is written to a file.

if len(sys.argv) > 1:
    figure.savefig(sys.argv[1], dpi=80)
