"""
One of thousands of classes
===========================

With 1-D y the estimators are ordinary classifiers, whose classes may be thousands:
`score` is accuracy, and probabilities of a row sum to one.
"""

# %%
# From the name, arguments and docstring of a function of Python's standard library,
# predict the name that only its body tells: the rarest that it calls. Class names are
# strings, and stay so.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.model_selection import train_test_split

from skxmc import DECLAREClassifier, MultiHeadEncodingClassifier, UniDECClassifier
from skxmc.datasets import load_stdlib_calls
from skxmc.display import PrecisionAtKDisplay

data = load_stdlib_calls()
counts = data.target.sum(axis=0)
rarest = [
    row.indices[np.argmin(counts[row.indices])]
    for row in (data.target[[i]] for i in range(len(data.data)))
]
y = np.array(data.target_names)[rarest]
texts_train, texts_test, y_train, y_test = train_test_split(
    data.data, y, test_size=0.2, random_state=0
)
vectorizer = TfidfVectorizer(sublinear_tf=True)
X_train, X_test = (
    vectorizer.fit_transform(texts_train),
    vectorizer.transform(texts_test),
)
print(X_train.shape[0], "rows of", len(np.unique(y_train)), "classes")

# %%
# Classes that only the test part has cannot be right; they count as misses.

models = {
    "DECLARE": DECLAREClassifier(random_state=0),
    "Multi-head": MultiHeadEncodingClassifier(
        hidden_layer_sizes=(256,), max_epochs=5, random_state=0
    ),
    "UniDEC": UniDECClassifier(
        hidden_layer_sizes=(256,), embedding_size=128, max_epochs=3, random_state=0
    ),
}
for name, model in models.items():
    model.fit(X_train, y_train)
    print(f"{name:<11} accuracy {model.score(X_test, y_test):.3f}")
print(models["Multi-head"].parameter_counts())

# %%
# The multi-head model writes a class with two digits: its head is a small part of the
# parameters that an output for each class takes, and is less accurate here.
# `n_heads=1` is one-vs-all; see the example on heads.

# %%
# The prediction of a row is a string; the ranking holds positions in `classes_`.

model = models["UniDEC"]
print(model.predict(X_test[[0]]), "true:", y_test[0])
labels, probabilities = model.predict_topk(X_test[[0]], k=3)
print(model.classes_[labels], probabilities.round(3))

# %%
# How often is the true class among the first k? That is recall at k.

fig, ax = plt.subplots(layout="constrained")
known = np.isin(y_test, model.classes_)
for name, model in models.items():
    PrecisionAtKDisplay.from_estimator(
        model,
        X_test[known],
        y_test[known],
        metric="recall_at_k",
        k=10,
        name=name,
        ax=ax,
    )
plt.show()
