"""
Quick start: thousands of labels in a few lines
===============================================

Fit, rank and score. The data are the functions of Python's own standard library: from a
function's name, arguments and docstring, predict which functions it calls. Nothing is
downloaded.
"""

# %%
# The texts and the labels. The test part holds modules of which nothing was seen in
# training, so it is not easy.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.pipeline import make_pipeline

from skxmc import DECLAREClassifier
from skxmc.datasets import load_stdlib_calls
from skxmc.display import PrecisionAtKDisplay
from skxmc.metrics import precision_at_k

train, test = (load_stdlib_calls(subset=part) for part in ("train", "test"))
print(f"{len(train.data)} training texts, {train.target.shape[1]} labels")
print(train.data[100][:80])
print([train.target_names[label] for label in train.target[[100]].indices])

# %%
# A vectorizer turns the texts into sparse rows; the estimator takes these and the
# sparse labels as they are.

model = make_pipeline(
    TfidfVectorizer(sublinear_tf=True), DECLAREClassifier(random_state=0)
)
model.fit(train.data, train.target)

# %%
# With many labels, ask for the best few. A pipeline passes on no `predict_topk`, so
# take it apart: all steps but the last make the rows, the last one ranks.

rows = model[:-1].transform(test.data)
labels, probabilities = model[-1].predict_topk(rows, k=5)
print("P@1", round(precision_at_k(test.target, (labels, probabilities), k=1), 3))
print("P@5", round(precision_at_k(test.target, (labels, probabilities), k=5), 3))

# %%
# Is that much? Beside it the labels that are most frequent in training, the same for
# each row: not half as good in the first place.

popular = np.argsort(-train.target.sum(axis=0), kind="stable")[:10]
everywhere = np.tile(popular, (len(test.data), 1)), None

fig, ax = plt.subplots(layout="constrained")
PrecisionAtKDisplay.from_estimator(
    model, test.data, test.target, k=10, name="DECLARE", ax=ax
)
PrecisionAtKDisplay.from_predictions(
    test.target, everywhere, k=10, name="most frequent labels", ax=ax
)
plt.show()
