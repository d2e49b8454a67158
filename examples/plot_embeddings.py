"""
Search over the embeddings
==========================

`UniDECClassifier` sends rows and labels into one space. `transform` and
`transform_labels` return where they are, for a search of your own: labels like a label,
rows like a row, labels of a new text.
"""

# %%
# Functions of Python's standard library, and what they call.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.decomposition import PCA
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.neighbors import NearestNeighbors

from skxmc import UniDECClassifier
from skxmc.datasets import load_stdlib_calls

data = load_stdlib_calls(min_count=20)
names = np.array(data.target_names)
vectorizer = TfidfVectorizer(sublinear_tf=True)
X = vectorizer.fit_transform(data.data)
model = UniDECClassifier(
    hidden_layer_sizes=(128,), embedding_size=128, max_epochs=4, random_state=0
).fit(X, data.target)

# %%
# Embeddings have length one, so that inner products are cosines. Labels that are called
# by the same functions are close.

labels = model.transform_labels()
search = NearestNeighbors(n_neighbors=5, metric="cosine").fit(labels)
asked = ["acquire", "unpack", "listdir", "divmod"]
positions = [int(np.flatnonzero(names == name)[0]) for name in asked]
near = search.kneighbors(labels[positions], return_distance=False)
for row in near:
    print(f"{names[row[0]]:>10}: {', '.join(names[row[1:]])}")

# %%
# Rows like a text of one's own: functions that do similar things.

text = "wait for a lock with a timeout"
embedding = model.transform(vectorizer.transform([text]))
cosines = model.transform(X) @ embedding[0]
for row in np.argsort(-cosines)[:4]:
    print(f"{cosines[row]:.2f} {data.functions[row]}")

# %%
# The groups of labels on a plane, with the two main directions of these labels.

shown = np.unique(near)
group = {label: i for i, row in reversed([*enumerate(near)]) for label in row}
plane = PCA(2, random_state=0).fit_transform(labels[shown])
fig, ax = plt.subplots(figsize=(8, 6), layout="constrained")
ax.scatter(*plane.T, c=[f"C{group[label]}" for label in shown], s=25)
for label, point in zip(shown, plane, strict=True):
    weight = "bold" if names[label] in asked else "normal"
    ax.annotate(names[label], point, (4, 3), textcoords="offset points", weight=weight)
ax.set(xticks=[], yticks=[], title="Bold: the labels asked for")
ax.margins(x=0.15)
plt.show()
