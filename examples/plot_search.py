"""
Search parameters by precision at k
===================================

`GridSearchCV` takes sparse labels, and `make_xmc_scorers` scores by what matters with
many of them: the first few places of the ranking.
"""

# %%
# Functions of Python's standard library, and what they call; labels of at least ten
# rows, and every sixth row, to be quick.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline

from skxmc import DECLAREClassifier
from skxmc.datasets import load_stdlib_calls
from skxmc.metrics import label_propensities, make_xmc_scorers
from skxmc.model_selection import IterativeStratifiedKFold

train = load_stdlib_calls(subset="train", min_count=10)
texts, Y = train.data[::6], train.target[::6]
Y = Y[:, np.flatnonzero(Y.sum(axis=0) >= 3)]  # a row for each training fold
print(Y.shape)

# %%
# The propensity-scored metrics count rare labels more. Folds are stratified by label,
# so that each training fold has rows of each.

pipeline = Pipeline(
    [
        ("tfidf", TfidfVectorizer(sublinear_tf=True, min_df=2)),
        ("model", DECLAREClassifier(random_state=0)),
    ]
)
lengths, weights = [16, 64, 256], [0.0, 0.3]
search = GridSearchCV(
    pipeline,
    {"model__n_components": lengths, "model__input_weight": weights},
    scoring=make_xmc_scorers(ks=(1, 5), propensities=label_propensities(Y)),
    refit="precision_at_1",
    cv=IterativeStratifiedKFold(3, random_state=0),
)
search.fit(texts, Y)
print(search.best_params_)

# %%
# The search holds all metrics of all settings. Bars are the standard deviation over the
# folds.

results = search.cv_results_
names = {
    "precision_at_1": "P@1",
    "precision_at_5": "P@5",
    "propensity_scored_precision_at_5": "PSP@5",
}
fig, axes = plt.subplots(1, 3, figsize=(11, 3.5), layout="constrained")
for (metric, title), ax in zip(names.items(), axes, strict=True):
    for weight in weights:
        shown = results["param_model__input_weight"] == weight
        ax.errorbar(
            np.asarray(results["param_model__n_components"][shown], dtype=float),
            results[f"mean_test_{metric}"][shown],
            results[f"std_test_{metric}"][shown],
            fmt="o-",
            capsize=3,
            label=f"input_weight={weight}",
        )
    ax.set(title=title, xlabel="n_components", xscale="log", xticks=lengths)
    ax.set_xticks(lengths, lengths)
    ax.minorticks_off()
axes[0].legend()
plt.show()
