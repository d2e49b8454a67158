"""
From texts to tags, and back
============================

`XMCTextClassifier` holds the vectorizer, the classifier and the names of the labels. It
is fitted to texts and lists of tags, and suggests tags.
"""

# %%
# Real texts with lists of names: what functions of Python's standard library call.

import matplotlib.pyplot as plt

from skxmc import DECLAREClassifier, XMCTextClassifier
from skxmc.datasets import load_stdlib_calls

train, test = (load_stdlib_calls(subset=part) for part in ("train", "test"))


def lists_of_names(part):
    rows = [part.target[[row]].indices for row in range(len(part.data))]
    return [[part.target_names[label] for label in row] for row in rows]


tags, true_tags = lists_of_names(train), lists_of_names(test)
print(train.data[100][:80], tags[100])

# %%
# No matrices are needed.

model = XMCTextClassifier(DECLAREClassifier(random_state=0)).fit(train.data, tags)
print(f"P@1 on modules never seen: {model.score(test.data, true_tags):.3f}")

# %%
# `predict` keeps names of a probability of at least 0.5, if there are any; `suggest`
# always has some, with their scores.

texts = [
    "read a json file",
    "send an e-mail message to a server",
    "wait until all threads are done",
]
print(model.predict(texts))
suggestions = model.suggest(texts, k=5)
print([row.label for row in suggestions.itertuples() if row.rank == 1])

# %%
# A table of pandas, so that a figure is a loop.

fig, axes = plt.subplots(1, 3, figsize=(11, 3.2), sharex=True, layout="constrained")
for (row, table), ax in zip(suggestions.groupby("row"), axes, strict=True):
    bars = ax.barh(table["label"][::-1], table["score"][::-1])
    ax.bar_label(bars, fmt="%.2f", padding=3)
    ax.set(title=texts[row], xlabel="score", xlim=(0, 1.15))
plt.show()
