"""Metrics for rankings of labels, and scorers for model selection.

Ranking metrics are called as ``metric(y_true, y_score, k=5)``, where `y_true` is a 0/1
indicator of shape (n_samples, n_labels), dense or sparse. `y_score` is one of

- a dense array of scores, of the shape of `y_true`;
- a sparse matrix or array of scores, of the shape of `y_true`; an absent entry ranks
  below every stored one and is never predicted, an explicit zero may be;
- the tuple ``(indices, scores)`` that ``predict_topk`` returns: ``indices[i, j]`` is
  the label at rank j of row i, or -1 for none. Scores are not looked at, and may be
  None;
- only those indices, an integer array. With exactly n_labels columns, an integer array
  is taken for scores: pass ``(indices, None)`` instead.

Labels of equal score rank in ascending order. All rows count, also those without true
labels. Sparse inputs are never made dense, and no input is changed.
"""

from skxmc.metrics._frequency import scores_by_frequency
from skxmc.metrics._precision import (
    coverage_at_k,
    ndcg_at_k,
    precision_at_k,
    recall_at_k,
)
from skxmc.metrics._propensity import (
    label_propensities,
    propensity_scored_ndcg_at_k,
    propensity_scored_precision_at_k,
)
from skxmc.metrics._reliability import (
    expected_calibration_error,
    reliability_curve,
)
from skxmc.metrics._scorers import make_topk_scorer, make_xmc_scorers

__all__ = [
    "coverage_at_k",
    "expected_calibration_error",
    "label_propensities",
    "make_topk_scorer",
    "make_xmc_scorers",
    "ndcg_at_k",
    "precision_at_k",
    "propensity_scored_ndcg_at_k",
    "propensity_scored_precision_at_k",
    "recall_at_k",
    "reliability_curve",
    "scores_by_frequency",
]
