"""
Why this label?
===============

`skxmc.inspection` says which words of a text spoke for a label, and for
`DECLAREClassifier` also which training rows did.
"""

# %%
# A model of what functions of Python's standard library call, asked for a text of one's
# own.

from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.pipeline import make_pipeline

from skxmc import DECLAREClassifier
from skxmc.datasets import load_stdlib_calls
from skxmc.display import ContributionDisplay
from skxmc.inspection import feature_contributions, training_row_contributions

train = load_stdlib_calls(subset="train")
model = make_pipeline(
    TfidfVectorizer(sublinear_tf=True), DECLAREClassifier(random_state=0)
)
model.fit(train.data, train.target)
text = (
    "send mail . Connect to the SMTP server, send the message and close the connection"
)

# %%
# The words. Contributions and baseline, which is the score of an empty text, sum up to
# the score.

words = feature_contributions(model, [text], random_state=0)
name = train.target_names[words.label]
print(name)
print(words)
print(round(words.baseline + words.contributions.sum(), 3))

# %%
# The training rows that voted for it, by the names of the functions. The baseline is
# the part of the linear decoder here.

rows = training_row_contributions(model, [text], label=words.label)
rows = replace(
    rows, names=np.array([train.functions[row] for row in rows.indices], dtype=object)
)
print(rows)

# %%
# Both as figures.

fig, axes = plt.subplots(2, 1, figsize=(8, 7), layout="constrained")
ContributionDisplay(words).plot(axes[0], name=f"{name}, by words")
ContributionDisplay(rows).plot(axes[1], name=f"{name}, by training rows", k=6)
plt.show()
