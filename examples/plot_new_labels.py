"""
Labels that no training row has
===============================

Labels that are described by texts can be predicted before anyone has used them.
`UniDECClassifier` reads the descriptions by the encoder that reads the rows.
"""

# %%
# Functions of Python's standard library, and what they call. A label is described by
# the words of its name. Every tenth label is put aside: training sees neither it nor
# its name.

import re
from copy import deepcopy

import matplotlib.pyplot as plt
import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer

from skxmc import UniDECClassifier
from skxmc.datasets import load_stdlib_calls
from skxmc.display import LabelFrequencyDisplay
from skxmc.metrics import precision_at_k

train, test = (load_stdlib_calls(subset=part) for part in ("train", "test"))
words = [
    " ".join(re.findall("[A-Z]?[a-z]+|[A-Z]+", name)) for name in train.target_names
]
vectorizer = TfidfVectorizer(sublinear_tf=True)
X_train, X_test = vectorizer.fit_transform(train.data), vectorizer.transform(test.data)
described = vectorizer.transform(words)

is_described = np.diff(described.indptr) > 0  # by a word that the texts have
new = np.flatnonzero(is_described)[::10]
known = np.setdiff1d(np.arange(len(words)), new)
print(len(known), "labels to train with,", len(new), "new ones")

Y_train = train.target[:, known]
has_label = np.diff(Y_train.indptr) > 0
model = UniDECClassifier(
    described[known],
    hidden_layer_sizes=(128,),
    embedding_size=128,
    max_epochs=3,
    random_state=0,
)
model.fit(X_train[has_label], Y_train[has_label])

# %%
# `add_labels` takes in the new ones, by their descriptions alone: nothing is trained.
# `bonus` raises their scores, which labels with training rows would outdo otherwise.

Y_test = test.target[:, np.concatenate([known, new])]  # new ones come last
label_counts = np.append(Y_train.sum(axis=0), np.zeros(len(new), dtype=int))
extended = {
    bonus: deepcopy(model).add_labels(described[new], bonus=bonus)
    for bonus in (0.0, 2.0, 4.0)
}
print(
    "P@1 before",
    round(precision_at_k(Y_test[:, : len(known)], model.predict_topk(X_test), k=1), 3),
)
for bonus, longer in extended.items():
    ranking = longer.predict_topk(X_test, k=10)
    print(f"bonus {bonus}: P@1 {precision_at_k(Y_test, ranking, k=1):.3f}")

# %%
# The first bin, with no training row, holds the new labels. A larger bonus finds more
# of them among the best ten, and fewer of the others, which lose their places. Here a
# bonus of 2 costs nothing in the first place, one of 4 does.

fig, ax = plt.subplots(figsize=(8, 5), layout="constrained")
for bonus, longer in extended.items():
    LabelFrequencyDisplay.from_estimator(
        longer,
        X_test,
        Y_test,
        label_counts=label_counts,
        k=10,
        name=f"bonus={bonus}",
        ax=ax,
    )
plt.show()
