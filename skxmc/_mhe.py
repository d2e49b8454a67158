"""Multi-head encoding: labels as points in a mixed-radix space."""

import copy
from numbers import Integral, Real
from typing import Any

import numpy as np
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from skxmc import _nn
from skxmc._base import (
    BaseXMCClassifier,
    check_same_problem,
    record_training,
    rest_of,
)
from skxmc._blocks import SelectedRows
from skxmc._codes import LabelCodes, candidate_groups, level_counts, plan_heads
from skxmc._features import start_features
from skxmc._label_order import order_labels
from skxmc._memory import multi_head_bytes
from skxmc._neighbor_votes import gather_votes
from skxmc.metrics import precision_at_k

# Training rows that the recall of the candidates is measured on, if none is held out.
_N_RECALL_ROWS = 4096
# Up to this, labels that no row votes for keep their order.
_MOST_WEIGHT = 4


class MultiHeadEncodingClassifier(
    ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseXMCClassifier
):
    """Classifier whose labels are points in a mixed-radix space.

    Labels are numbered and the numbers written with `n_heads` digits; short heads on
    the features of a row predict the digits. That replaces a linear layer with an
    output for each label (one-vs-all) by one of a few outputs a digit ("product"), by a
    tree of which few branches are scored ("cascade"), or trains it on a few groups of
    labels at a time ("sampling").

    Parameters
    ----------
    variant : {"auto", "product", "cascade", "sampling", "full"}, default="auto"
        - "product": a softmax for each digit. Together they are the exact softmax of a
          classifier of low rank, with the fewest parameters. For 1-D y.
        - "cascade": the first digits are nodes of a tree; of each level, the children
          of the best nodes are scored. For rows with several labels.
        - "sampling": one-vs-all, trained on the group of the true label and a few
          others. For 1-D y, and to train features for something else.
        - "full": one-vs-all, the baseline.
        - "auto": "product" for 1-D y, and where it has 1025 to 1 048 576 classes with a
          shortlist, which is worth 5 to 13 points; "cascade" for an indicator.
    n_heads : int or None, default=None
        Number of digits. One makes "product" and "cascade" one-vs-all. By default two;
        of at most 1024 labels one, as more would save little and cost precision; of
        more than a million three.
    head_sizes : sequence of int or None, default=None
        Values that each digit can take, the most significant first, in place of
        `n_heads`; the first is cut to what the labels need. By default they are equal,
        but for "cascade", where groups have 8 to 128 members and there are more groups
        than members.
    label_order : str or array of shape (n_labels,), default="cluster"
        How labels are numbered: "cluster", in balanced clusters of the mean rows of the
        labels (of "product", with like members at like places); "natural", as they
        come; "random", shuffled; "frequency", by falling number of training rows; or a
        permutation, the label of each number.
    n_candidate_groups : int or None, default=None
        Nodes of a level whose children "cascade" scores. By default 10, or as many as
        have 1024 children if that is more; of more than 1024 labels, as many as have
        256 children in training.
    n_sampled_groups : int, default=4
        Groups that "sampling" tells each label apart from, its own among them.
    n_shortlist : int or None, default=None
        Labels that "product" scores anew, by a vector for each. With rows of several
        labels, digits are mixed up: of labels (1, 2) and (3, 4) they cannot tell the
        ghosts (1, 4) and (3, 2). Of 1-D y they are a softmax of low rank. 0 leaves the
        vectors out. By default 100 for rows of several labels, 200 where "auto" meets
        1-D y of 1025 to 1 048 576 classes, and else 0: "product" of 1-D y is exact.
    n_components : int, default=256
        Length of the linear features: what a linear map of X predicts of the leading
        singular vectors of Y, fitted as in `DECLAREClassifier` with loss="auto". Where
        there are more labels, as many stand beside them: the scores of the most
        frequent labels, each by a linear support vector machine (not of an X on disk).
        Of 1-D y with no more classes than this they are the scores of the classes, and
        the same once more without what tells low scores from still lower ones (of
        "product" with several heads, their softmax; with more classes, that has none).
    ridge_alpha : float or None, default=3.0
        Penalty of that map, in units of the mean squared row norm of X; of the machines
        a sixth. None leaves the linear features out.
    neighbor_weight : float, default=2.0
        What votes of the nearest training rows add to the log-odds of labels, see
        Notes; at most 4. May be changed after `fit`, by rows held out: those of
        training vote for themselves. 0 ranks without votes, in a fraction of the time;
        a model fitted with 0 has none. Nor has one without linear features or of data
        on disk, "sampling", and "product" without a shortlist but for 1-D y of one
        digit.
    hidden_layer_sizes : sequence of int, default=(1024,)
        Units of the perceptron's hidden layers. The last one and the linear features
        are what the heads see.
    init : MultiHeadEncodingClassifier or None, default=None
        A fitted estimator whose features training starts from, instead of those that
        `n_components`, `ridge_alpha`, `hidden_layer_sizes` and `dropout` describe.
        Where this one is cloned, as in a search, wrap it in
        `sklearn.frozen.FrozenEstimator`.
    average_weights : bool, default=False
        Keep the average of the weights over the second half of the epochs (the paper's
        SWA). Not together with `early_stopping`.
    dropout : float, default=0.5
        Probability of dropping a hidden unit in training.
    max_epochs : int or None, default=None
        Passes over the training rows. By default 7, or of few rows as many as make 150
        steps.
    batch_size : int, default=128
        Rows in a training step.
    lr : float, default=0.005
        Highest learning rate; it rises over the first tenth of training, then falls.
    weight_decay : float, default=0.0
        Decoupled weight decay.
    early_stopping : bool, default=False
        Hold out part of the rows, watch precision@1 on them, stop when it no longer
        rises and keep the best epoch.
    validation_fraction : float, default=0.1
        Share of the rows held out.
    n_iter_no_change : int, default=3
        Epochs without a better precision@1 after which to stop.
    threshold : float, default=0.5
        Probability from which on `predict` assigns a label.
    n_top_labels : int, default=100
        Labels a row that sparse `predict` and `predict_proba` hold at most.
    callbacks : list of skorch callbacks or None, default=None
        Run in training.
    checkpoint : str, PathLike or None, default=None
        Folder that keeps the state of training after each epoch, from which `fit` goes
        on if it was interrupted, on the same data and parameters. It is emptied once
        the fit is complete.
    warm_start : bool, default=False
        Go on from the network and the codes of the last fit. If set before the first
        fit, columns of X that are empty then may have values in a later one.
    device : str, default="auto"
        "cpu", "cuda", "cuda:1", "mps", or "auto" for the best that is there.
    distributed : bool, default=False
        Train one model in all processes that ``torchrun`` or ``accelerate launch`` have
        started: each runs the same script and calls `fit` with the same data, encodes
        some of the rows of each batch and holds some of the labels. In a process by
        itself this changes nothing. Not together with `checkpoint`.
    random_state : int, RandomState or None, default=None
        Seeds the order of the labels, the SVD, the network's start, the order of the
        rows and what is sampled. An int makes fits repeatable on one machine with the
        same versions and thread count.
    verbose : int, default=0
        0 is silent, 1 shows a progress bar, 2 also a table of epochs.

    Attributes
    ----------
    classes_ : ndarray of shape (n_labels,)
        Class labels of 1-D y, else column numbers.
    n_features_in_ : int
        Number of features seen in `fit`.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features; only for input with string column names.
    variant_ : str
        The variant in use.
    head_sizes_ : tuple of int
        Values that each digit takes.
    label_order_ : ndarray of shape (n_labels,), intp
        Position in `classes_` of the label with each number.
    candidate_recall_ : float
        Share of the true labels that are scored at all: of "cascade" the recall of its
        groups, of "product" that of its shortlist; 1 where all labels are scored. On
        the rows held out if there are any, else on 4096 training rows, where it is
        higher than on new ones.
    history_ : skorch.history.History
        skorch's record of the training.
    loss_curve_ : list of float
        Training loss after each epoch.
    n_iter_ : int
        Number of epochs trained.

    See Also
    --------
    DECLAREClassifier : Labels compressed to codes and recovered from neighbours.
    skxmc.metrics.make_xmc_scorers : Scorers for a search over the parameters.

    Notes
    -----
    With sizes l_1, ..., l_H and M_h = l_(h+1) ... l_H, label number c has the digits
    ``y_h = c // M_h % l_h``. With features f:

    - "product": ``log p(c) = sum_h log_softmax(W_h f + b_h)[y_h]``, renormalised over
      the numbers that belong to a label. Trained by cross-entropy, of several labels
      by its mean over them. `predict_topk` finds the best labels exactly, without a
      score for each: only digits whose ranks have a product of at most k can be among
      the k best. Several labels count as ``m`` draws, m their mean number: the
      probability is ``1 - (1 - p) ** m``.
    - "cascade": ``p(c) = prod_h sigmoid(w_n f + b_n)`` over the nodes n on the path of
      c, trained by binary cross-entropy of the nodes that are scored: the children of
      the best nodes and of all true ones. For 1-D y, a softmax among siblings.
    - "sampling": ``log_softmax(W f + b)``, in training over the groups drawn, whose
      logits are raised to stand for those that are not.

    The vote v for a label is the weighted share of the 50 training rows nearest to x
    that have it (of those with labels; approximately, of more than 65 536), by the
    cosine of the first `n_components` linear features, to the power 24. ``log-odds(p) +
    neighbor_weight * (v - p)`` stands for the log-odds of p: what neighbours have as
    often as the heads expect stays where it is. Of 1-D y, probabilities are then scaled
    to their former sum.

    Labels with equal scores stand by their number, those without a score come last,
    by frequency, with score 0.

    References
    ----------
    .. [1] "Multi-Head Encoding for Extreme Label Classification", arXiv:2412.10182.

    Examples
    --------
    >>> from skxmc import MultiHeadEncodingClassifier
    >>> from skxmc.datasets import make_xmc_classification
    >>> X, Y = make_xmc_classification(n_labels=50, random_state=0)
    >>> clf = MultiHeadEncodingClassifier(random_state=0).fit(X[:800], Y[:800])
    >>> indices, scores = clf.predict_topk(X[800:], k=3)
    >>> indices.shape
    (200, 3)
    """

    _least_epochs, _least_steps = 7, 150

    _stored_fields = {
        "variant_": "str",
        "head_sizes_": "tuple int",
        "label_order_": "int64[n_labels]",
        "candidate_recall_": "float",
        "_n_features_out": "int",
        "_votes?": "NeighborVotes | none",
    }
    _votes: Any = None  # of models stored before there were any

    _parameter_constraints: dict = {
        **BaseXMCClassifier._parameter_constraints,
        "variant": [StrOptions({"auto", "product", "cascade", "sampling", "full"})],
        "n_heads": [Interval(Integral, 1, None, closed="left"), None],
        "head_sizes": ["array-like", None],
        "label_order": [
            StrOptions({"natural", "random", "frequency", "cluster"}),
            "array-like",
        ],
        "n_candidate_groups": [Interval(Integral, 1, None, closed="left"), None],
        "n_sampled_groups": [Interval(Integral, 1, None, closed="left")],
        "n_shortlist": [Interval(Integral, 0, None, closed="left"), None],
        "n_components": [Interval(Integral, 1, None, closed="left")],
        "ridge_alpha": [Interval(Real, 0, None, closed="neither"), None],
        "neighbor_weight": [Interval(Real, 0, _MOST_WEIGHT, closed="both")],
        "init": [HasMethods(["transform", "fit"]), None],
        "average_weights": ["boolean"],
    }

    def __init__(
        self,
        variant="auto",
        *,
        n_heads=None,
        head_sizes=None,
        label_order="cluster",
        n_candidate_groups=None,
        n_sampled_groups=4,
        n_shortlist=None,
        n_components=256,
        ridge_alpha=3.0,
        neighbor_weight=2.0,
        hidden_layer_sizes=(1024,),
        init=None,
        average_weights=False,
        dropout=0.5,
        max_epochs=None,
        batch_size=128,
        lr=5e-3,
        weight_decay=0.0,
        early_stopping=False,
        validation_fraction=0.1,
        n_iter_no_change=3,
        threshold=0.5,
        n_top_labels=100,
        callbacks=None,
        checkpoint=None,
        warm_start=False,
        device="auto",
        distributed=False,
        random_state=None,
        verbose=0,
    ):
        self.variant = variant
        self.n_heads = n_heads
        self.head_sizes = head_sizes
        self.label_order = label_order
        self.n_candidate_groups = n_candidate_groups
        self.n_sampled_groups = n_sampled_groups
        self.n_shortlist = n_shortlist
        self.n_components = n_components
        self.ridge_alpha = ridge_alpha
        self.neighbor_weight = neighbor_weight
        self.hidden_layer_sizes = hidden_layer_sizes
        self.init = init
        self.average_weights = average_weights
        self.dropout = dropout
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.lr = lr
        self.weight_decay = weight_decay
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.threshold = threshold
        self.n_top_labels = n_top_labels
        self.callbacks = callbacks
        self.checkpoint = checkpoint
        self.warm_start = warm_start
        self.device = device
        self.distributed = distributed
        self.random_state = random_state
        self.verbose = verbose

    def _fit_model(self, X, Y, form, device, rng, checkpoint):
        if self.average_weights and self.early_stopping:
            raise ValueError(
                "average_weights=True and early_stopping=True both decide which "
                "weights are kept; set one of them to False."
            )
        held_out = self._held_out_rows(X.shape[0], rng)
        X_train, Y_train = rest_of(held_out, X, Y)
        variant, codes, net = self._start(X_train, Y_train, form, rng)
        targets = codes.reorder(Y)

        def precision(module, rows):
            ranking = _nn.Encoder(module, device).rank(X[rows], 1)
            return precision_at_k(targets[rows], ranking, k=1)

        n_epochs = self._n_epochs(X_train.shape[0])
        averaging = _nn.AverageWeights(first=n_epochs // 2 + 1)
        extra = [averaging] if self.average_weights else []
        history = self._train(
            *(net, X, targets, held_out, precision, device, rng),
            extra=extra,
            checkpoint=checkpoint,
        )
        encoder = self._finished_encoder(net, X, device)
        seen = held_out if len(held_out) else np.arange(min(X.shape[0], _N_RECALL_ROWS))
        sample = SelectedRows(X, seen), targets[seen]
        recall = _nn.candidate_recall(encoder, *sample)
        return {
            "variant_": variant,
            "head_sizes_": codes.head_sizes,
            "label_order_": codes.order,
            "candidate_recall_": recall,
            **record_training(history),
            "_n_features_out": net.features.n_outputs,
            "_encoder": encoder,
            "_votes": self._gather_votes(encoder, X, targets),
        }

    def _gather_votes(self, encoder, X, targets):
        if self.neighbor_weight == 0 or not encoder.module.head.takes_votes:
            return None
        return gather_votes(encoder, X, targets, "auto")

    def _start(self, X, Y, form, rng):
        """Return the variant, the codes of the labels and the network to train."""
        plan = self._plan(Y.shape[1], form.is_single_label)
        if self.warm_start and hasattr(self, "_encoder"):
            return plan.variant, *self._last_network(plan.variant, X, Y)
        order = order_labels(
            *(self.label_order, X, Y, plan.sizes),
            align=plan.variant == "product",
            random_state=rng,
        )
        codes = LabelCodes(plan.sizes, order)
        features = self._start_features(X, Y, form, rng, plan)
        counts = level_counts(codes.reorder(Y), plan.sizes)
        head = self._make_head(plan, features.n_outputs, counts, Y)
        return plan.variant, codes, _nn.MultiHeadNet(features, head)

    def _last_network(self, variant, X, Y):
        """Return the codes and a copy of the network of the last fit."""
        net = self._encoder.module
        codes = LabelCodes(self.head_sizes_, self.label_order_)
        check_same_problem(net.features.n_features, codes.n_labels, X, Y)
        if variant != self.variant_:
            raise ValueError(
                f"warm_start=True goes on from variant={self.variant_!r}, but it is "
                f"{variant!r} now; set warm_start=False to start anew."
            )
        return codes, copy.deepcopy(net)

    def _start_balance(self, X, all_columns):
        if self.init is None:
            return super()._start_balance(X, all_columns)
        balance = getattr(_unfrozen(self.init), "_balance", None)
        if balance is not None:
            _check_same_columns(len(balance.scale), X)
            balance.warn_of_new_columns(X)
        return balance

    def _plan(self, n_labels, is_single_label):
        return plan_heads(
            *(n_labels, is_single_label),
            variant=self.variant,
            n_heads=self.n_heads,
            head_sizes=self.head_sizes,
            n_shortlist=self.n_shortlist,
        )

    def _start_features(self, X, Y, form, rng, plan):
        """Make the part of the network that maps rows to features."""
        if self.init is not None:
            return features_of(self.init, X)
        has_linear = plan.gains_by_linear_features(self.n_components)
        return start_features(
            *(X, Y, form),
            n_components=self.n_components,
            ridge_alpha=self.ridge_alpha if has_linear else None,
            hidden_layer_sizes=self.hidden_layer_sizes,
            dropout=self.dropout,
            random_state=rng,
            n_machines=self.n_components,
            # A digit is a union of classes, which is no half space of their scores.
            sharpened="softmax" if plan.is_product else "rectified",
        )

    def _make_head(self, plan, n_features, counts, Y):
        n_samples = Y.shape[0]
        n_draws = Y.nnz / n_samples
        if plan.variant == "sampling":
            return _nn.SamplingHead(
                n_features,
                plan.sizes,
                counts[-1],
                n_sampled_groups=self.n_sampled_groups,
                n_draws=n_draws,
            )
        if plan.variant == "product":
            return _nn.ProductHead(
                n_features,
                plan.sizes,
                counts[-1],
                n_samples=n_samples,
                n_shortlist=plan.n_shortlist,
                n_draws=n_draws,
                is_single_label=plan.is_single_label,
            )
        n_candidates = n_trained = self.n_candidate_groups
        if n_candidates is None:
            n_candidates, n_trained = candidate_groups(plan.n_labels, plan.sizes[-1])
        return _nn.CascadeHead(
            n_features,
            plan.sizes,
            counts,
            n_samples=n_samples,
            n_candidates=n_candidates,
            n_trained=n_trained,
            is_single_label=plan.is_single_label,
        )

    def _memory_of(self, size):
        plan = self._plan(size.n_labels, size.is_single_label)
        return multi_head_bytes(
            *(size, plan),
            clusters_labels=isinstance(self.label_order, str)
            and self.label_order == "cluster",
            n_components=self.n_components,
            ridge_alpha=self.ridge_alpha,
            has_votes=self.neighbor_weight > 0 and plan.takes_votes,
            hidden_layer_sizes=self.hidden_layer_sizes,
        )

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags

    def _rank(self, X, k):
        codes, scores = self._encoder.rank(X, k, self._count_votes())
        return self.label_order_[codes], scores

    def _score_label(self, X, label):
        code = np.flatnonzero(self.label_order_ == label)[0]
        return self._encoder.score_label(X, code, self._count_votes())

    def _vote_weight(self):
        """Return what votes weigh as it is set now, 0 where there are none."""
        if self._votes is None:
            return 0.0
        if not 0 <= self.neighbor_weight <= _MOST_WEIGHT:
            raise ValueError(
                f"neighbor_weight={self.neighbor_weight!r} is not between 0 and "
                f"{_MOST_WEIGHT}; votes of greater weight would turn labels round."
            )
        return float(self.neighbor_weight)

    def _count_votes(self):
        """Return what computes `VoteShares` of rows from their codes, or None."""
        weight, votes, device = self._vote_weight(), self._votes, self._encoder.device
        if not weight:
            return None
        return lambda codes: _nn.VoteShares(votes.count(codes, device), weight)

    def _score_directions(self):
        return self._encoder.module.head.directions

    def transform(self, X):
        """Compute the features that the heads see.

        Parameters
        ----------
        X : {array-like, sparse matrix or array} of shape (n_samples, n_features)
            Input rows.

        Returns
        -------
        features : ndarray of shape (n_samples, n_features_out), float32
            The last hidden layer, then the linear features, see `n_components`.
        """
        check_is_fitted(self)
        return self._encoder(self._check_X(X))

    def parameter_counts(self):
        """Count the numbers that were learned.

        Returns
        -------
        counts : dict of str to int or float
            "features" (the encoder), "head", "one_vs_all" (what a linear layer with an
            output and a bias for each label would take on the same features) and
            "ratio", head / one_vs_all.
        """
        check_is_fitted(self)
        net = self._encoder.module
        head = sum(p.numel() for p in net.head.parameters())
        one_vs_all = len(self.label_order_) * (net.features.n_outputs + 1)
        return {
            "features": sum(p.numel() for p in net.features.parameters()),
            "head": head,
            "one_vs_all": one_vs_all,
            "ratio": head / one_vs_all,
        }


def features_of(init, X):
    """Return a copy of the features of X that the estimator `init` has learned."""
    source = _unfrozen(init)
    if not isinstance(source, MultiHeadEncodingClassifier):
        raise ValueError(
            f"init={init!r} is a {type(source).__name__}; pass a fitted "
            "MultiHeadEncodingClassifier."
        )
    if not hasattr(source, "_encoder"):
        raise NotFittedError(
            "init is not fitted. clone, pipelines and searches take the fit away: wrap "
            "it in sklearn.frozen.FrozenEstimator."
        )
    source._check_trainable()
    features = source._encoder.module.features
    _check_same_columns(features.n_features, X)
    return copy.deepcopy(features)


def _check_same_columns(n_features, X):
    if n_features != X.shape[1]:
        raise ValueError(
            f"init was fitted on {n_features} features, but X has {X.shape[1]}; fit it "
            "on the same columns."
        )


def _unfrozen(init):
    return init.estimator if isinstance(init, FrozenEstimator) else init
