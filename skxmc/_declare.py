"""DECLARE: labels compressed to short codes and recovered from neighbours."""

import copy
from functools import partial
from numbers import Integral, Real
from typing import Any

import numpy as np
from sklearn.preprocessing import normalize
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from skxmc import _nn
from skxmc._base import (
    BaseXMCClassifier,
    check_same_problem,
    record_training,
    rest_of,
)
from skxmc._blocks import SelectedRows
from skxmc._compression import compress_labels, linear_decoder, project_labels
from skxmc._freed import return_freed_memory
from skxmc._linear_map import fit_linear_map
from skxmc._mapped import input_scale
from skxmc._memory import (
    array_bytes,
    classifiers_bytes,
    code_bytes,
    layer_bytes,
    linear_map_bytes,
    vote_bytes,
)
from skxmc._neighbors import NeighborIndex, SparseNeighborIndex
from skxmc._one_vs_rest import fit_classifiers
from skxmc._recovery import (
    N_SHARING,
    LabelStore,
    blend_linear,
    cap_multiplicities,
    neighbor_weights,
    rank_votes,
    share_among_best,
    vote,
)
from skxmc._shortlists import blend_classifiers, shortlist_labels
from skxmc._squared_hinge import fits_in_memory
from skxmc.metrics import precision_at_k

# Cosines between rows are smaller than between codes, and tell less.
_INPUT_SHARPENING = 8.0


class DECLAREClassifier(BaseXMCClassifier):
    """Classifier that predicts compressed labels and recovers them from neighbours.

    The label matrix is compressed to `n_components` columns, a linear map or a network
    learns to predict these codes from X, and a row's labels are those of the training
    rows whose codes are most similar to its own. It suits rows with many labels, labels
    that occur together, label sets in the hundred thousands, and whoever needs a model
    in seconds.

    Parameters
    ----------
    n_components : int, default=256
        Length of the codes; at most the number of labels or rows.
    compression : {"sketch", "svd", "predictable", "neighbors"}, default="sketch"
        "svd" keeps the leading directions of the label rows, "sketch" half as many and
        random projections of the others: better where labels seldom occur together.
        "predictable" keeps of twice as many SVD codes what X predicts best: better for
        short codes. "neighbors" keeps rows with common labels close.
    rare_label_weight : float, default=0.0
        Labels are weighted by frequency ** -rare_label_weight before compression.
    ridge_alpha : float or None, default=3.0
        The network is a linear map of X to the codes, with this ridge penalty in units
        of the mean squared row norm of X, plus a perceptron that learns what the map
        leaves over. None leaves the map out.
    loss : {"auto", "squared_error", "squared_hinge"}, default="auto"
        What the linear map minimises: the squared error of the codes (ridge
        regression), or the squared hinge loss of each label (a linear support vector
        machine, with a sixth of the penalty). "auto" is squared hinge where each row
        has one of at most `n_components` labels and at least half of the rows come out
        on the right side of their label's plane.
    hidden_layer_sizes : sequence of int, default=()
        Units of the perceptron's hidden layers. Empty: the linear map alone, which is
        solved and not trained, or a linear network where `ridge_alpha` is None. Where
        nothing is trained, `dropout` to `n_iter_no_change` and `callbacks` change
        nothing.
    keys : {"predicted", "exact"}, default="predicted"
        What a prediction is compared with: the codes that the network predicts for the
        training rows, or their true codes. Predicted ones err like the query does.
    similarity : {"cosine", "dot"}, default="cosine"
        How codes are compared.
    n_neighbors : int, default=50
        Training rows that a prediction is recovered from.
    sharpening : float, default=24.0
        Neighbours vote with weight similarity ** sharpening.
    decoder : {"blend", "neighbors", "linear"}, default="blend"
        Source of the scores: the neighbours' votes, the linear reconstruction of the
        labels from the code, or the votes mixed with the linear scores of the same
        labels. Of 1-D y, "linear" shares the probability among the 100 best classes
        by their positive scores.
    linear_weight : float, default=0.4
        Share of the linear scores in a blend.
    classifier_weight : float, default=0.2
        Share of each label's own linear classifier in a geometric mean with the blend.
        Classifiers tell labels apart that codes confuse; 0.4 is better where rows to
        come are like those of training. They are fitted where labels are more than
        `n_components` and X and y in memory, and kept if those of half of the rows rank
        labels of the other half better. 0 for none.
    input_weight : float, default=0.3
        Share of the votes that go to the rows of X most similar to the input itself,
        not to its code: they know rare labels that the codes leave out. 0 for none,
        and then the rows of X are not kept.
    index : {"auto", "exact", "ivf", "hnsw"}, default="auto"
        How neighbours are searched: exactly, or by an approximate index of faiss.
        "auto" is exact up to 65 536 keys, and with more searches their clusters if that
        finds 95 of 100; if not, it is exact up to 500 000, "ivf" above.
    dropout : float, default=0.5
        Probability of dropping a hidden unit in training.
    max_epochs : int, default=6
        Passes over the training rows.
    batch_size : int, default=128
        Rows in a training step.
    lr : float, default=0.001
        Highest learning rate; it rises over the first tenth of training, then falls.
    weight_decay : float, default=0.0
        Decoupled weight decay.
    early_stopping : bool, default=False
        Hold out part of the rows, watch precision@1 of the linear decoder on them,
        stop when it no longer rises and keep the best epoch. Rows held out are not
        trained on, but still serve as neighbours.
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
        the fit is complete. Without hidden layers there is no training to go on with.
    warm_start : bool, default=False
        Go on from the network and the codes of the last fit. If set before the first
        fit, columns of X that are empty then may have values in a later one.
    device : str, default="auto"
        "cpu", "cuda", "cuda:1", "mps", or "auto" for the best that is there. The
        network runs on it, and exact search while it has room for the codes; votes are
        counted on the CPU.
    distributed : bool, default=False
        Train one model in all processes that ``torchrun`` or ``accelerate launch`` have
        started: each runs the same script and calls `fit` with the same data, encodes
        some of the rows of each batch. What is solved and not trained, each process
        solves by itself. In a process alone this changes nothing. Not together with
        `checkpoint`.
    random_state : int, RandomState or None, default=None
        Seeds the codes, the network's start and the order of the rows. An int makes
        fits repeatable on one machine with the same versions and thread count.
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
    n_components_ : int
        Length of the codes.
    compression_ratio_ : float
        `n_components_` over the number of labels.
    index_recall_ : float
        Measured share of the true neighbours that the index finds; 1 if exact.
    history_ : skorch.history.History
        skorch's record of the training.
    loss_curve_ : list of float
        Training loss after each epoch.
    n_iter_ : int
        Number of epochs trained.

    See Also
    --------
    skxmc.metrics.make_xmc_scorers : Scorers for a search over the parameters.

    Notes
    -----
    With codes Z = Y V of the truncated SVD Y ~ U S V^T, beside them (Y - Z V^T) R /
    sqrt(m) of m columns R of random signs [2]_ for a sketch, the network h minimises
    ``||h(x) - z||^2``. The similarity of h(x) to the keys gives the q nearest rows with
    weights w_j, and the score of label l is ``sum_j w_j Y_jl``, mixed with that of the
    rows whose x is nearest. The linear decoder is ``h(x) D^T`` with D of least ``||Y -
    Z D^T||^2``. Weights sum to 1, so scores are estimates of probabilities. The
    classifier of label l has a score
    ``f(x) = x @ w + b`` for which ``sum_i max(0, 1 - t_i f(x_i)) ** 2 + alpha * s *
    (||w||^2 + b^2)`` is near its least, with t 1 for rows that have l, -1 for others of
    whose 30 labels with most votes it is one, s the mean squared norm of the rows and
    alpha a sixth of `ridge_alpha`, or 0.5. A score v becomes ``v ** (1 - c) * p ** c``
    with c the `classifier_weight` and p = (f + 1) / 2, clipped to [0.01, 1], of the 30
    labels with the highest v, and 0.01 of others.

    Of X and y that `skxmc.datasets.load_mapped` has opened, `fit` reads blocks of rows,
    and has in memory what the model holds of each: a code, the labels, and with
    `input_weight` the row of X. Only compression="neighbors" reads all of y.

    The paper's own setting is ``DECLAREClassifier(n_components=100, compression="svd",
    ridge_alpha=None, keys="exact", similarity="dot", sharpening=1, n_neighbors=25,
    decoder="neighbors", input_weight=0, hidden_layer_sizes=(256,), dropout=0, lr=5e-4,
    batch_size=128, max_epochs=300)``; it gives the number of epochs as "until
    convergence", and nothing on dropout. The defaults here are what measured best on
    held-out parts of several data sets. They leave out the perceptron, which gained
    nothing on any of them; it is for relations that are not linear.

    References
    ----------
    .. [1] M. Bornstein, T. Rabbani, B. Gravelle, F. Huang, "Shrinking the Size of Deep
       Extreme Multi-Label Classification".
    .. [2] D. Achlioptas, "Database-friendly random projections: Johnson-Lindenstrauss
       with binary coins", Journal of Computer and System Sciences 66 (2003).

    Examples
    --------
    >>> from skxmc import DECLAREClassifier
    >>> from skxmc.datasets import make_xmc_classification
    >>> X, Y = make_xmc_classification(n_labels=50, random_state=0)
    >>> clf = DECLAREClassifier(random_state=0).fit(X[:800], Y[:800])
    >>> indices, scores = clf.predict_topk(X[800:], k=3)
    >>> indices.shape
    (200, 3)
    """

    _ranks_on_cpu = True  # counts votes

    _stored_fields = {
        "n_components_": "int",
        "compression_ratio_": "float",
        "index_recall_": "float",
        "_label_index": "NeighborIndex",
        "_sketch_seed?": "int | none",
        "_store": "LabelStore",
        "_index": "NeighborIndex | none",
        "_input_index": "SparseNeighborIndex | none",
        "_classifiers?": "LabelClassifiers | none",
    }
    # Of models stored before there were any.
    _sketch_seed: Any = None
    _classifiers: Any = None

    _parameter_constraints: dict = {
        **BaseXMCClassifier._parameter_constraints,
        "n_components": [Interval(Integral, 1, None, closed="left")],
        "compression": [StrOptions({"sketch", "svd", "predictable", "neighbors"})],
        "rare_label_weight": [Interval(Real, 0, None, closed="left")],
        "ridge_alpha": [Interval(Real, 0, None, closed="neither"), None],
        "loss": [StrOptions({"auto", "squared_error", "squared_hinge"})],
        "keys": [StrOptions({"predicted", "exact"})],
        "similarity": [StrOptions({"cosine", "dot"})],
        "n_neighbors": [Interval(Integral, 1, None, closed="left")],
        "sharpening": [Interval(Real, 0, None, closed="left")],
        "decoder": [StrOptions({"blend", "neighbors", "linear"})],
        "linear_weight": [Interval(Real, 0, 1, closed="both")],
        "classifier_weight": [Interval(Real, 0, 1, closed="both")],
        "input_weight": [Interval(Real, 0, 1, closed="both")],
        "max_epochs": [Interval(Integral, 1, None, closed="left")],
        "index": [StrOptions({"auto", "exact", "ivf", "hnsw"})],
    }

    def __init__(
        self,
        n_components=256,
        *,
        compression="sketch",
        rare_label_weight=0.0,
        ridge_alpha=3.0,
        loss="auto",
        hidden_layer_sizes=(),
        keys="predicted",
        similarity="cosine",
        n_neighbors=50,
        sharpening=24.0,
        decoder="blend",
        linear_weight=0.4,
        classifier_weight=0.2,
        input_weight=0.3,
        index="auto",
        dropout=0.5,
        max_epochs=6,
        batch_size=128,
        lr=1e-3,
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
        self.n_components = n_components
        self.compression = compression
        self.rare_label_weight = rare_label_weight
        self.ridge_alpha = ridge_alpha
        self.loss = loss
        self.hidden_layer_sizes = hidden_layer_sizes
        self.keys = keys
        self.similarity = similarity
        self.n_neighbors = n_neighbors
        self.sharpening = sharpening
        self.decoder = decoder
        self.linear_weight = linear_weight
        self.classifier_weight = classifier_weight
        self.input_weight = input_weight
        self.index = index
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
        is_trained = self.ridge_alpha is None or len(self.hidden_layer_sizes) > 0
        held_out = np.arange(0)
        if is_trained:
            held_out = self._held_out_rows(X.shape[0], rng)
        seed = self._choose_seed(Y, rng)
        codes, module, decoder = self._start(X, Y, held_out, rng, seed)
        n_components = codes.shape[1]
        labels = NeighborIndex(decoder, similarity="dot", kind="exact", n_neighbors=1)

        def precision(module, rows):
            outputs = _nn.Encoder(module, device)(X[rows])
            return precision_at_k(Y[rows], labels.search(outputs, 1, device), k=1)

        history = self._train(
            *(module, X, codes, held_out, precision, device, rng), checkpoint=checkpoint
        )
        encoder = self._finished_encoder(module, X, device)
        # Rows with the same labels have the same exact code: one key stands for all.
        store = LabelStore(Y, key_per_set=self.keys == "exact")
        exact = codes[store.key_rows] if self.keys == "exact" else None
        del codes  # as large as the keys that take their place
        predicted = classifiers = None
        wants_classifiers = self._wants_classifiers(X, Y)
        if exact is None or wants_classifiers:
            predicted = encoder(SelectedRows(X, store.rows))
        if wants_classifiers:
            classifiers = self._fit_classifiers(X, Y, store, predicted, held_out)
        index = NeighborIndex(
            predicted if exact is None else exact,
            similarity=self.similarity,
            kind=self.index,
            n_neighbors=self.n_neighbors,
        )
        input_index = None
        if self.input_weight:
            input_index = SparseNeighborIndex(SelectedRows(X, store.rows))
        return {
            "n_components_": n_components,
            "compression_ratio_": n_components / Y.shape[1],
            **record_training(history),
            "index_recall_": index.recall_,
            "_encoder": encoder,
            "_label_index": labels,
            "_sketch_seed": self._kept_seed(seed),
            "_store": store,
            "_index": index,
            "_input_index": input_index,
            "_classifiers": classifiers,
        }

    def _goes_on(self):
        return self.warm_start and hasattr(self, "_encoder")

    def _choose_seed(self, Y, rng):
        """Return what seeds a sketch of the labels; None where codes are none."""
        if self._goes_on():
            return self._sketch_seed
        if self.compression != "sketch" or self.n_components >= min(Y.shape):
            return None
        return int(rng.randint(2**31))

    def _kept_seed(self, seed):
        """Return the seed for later rows; None where the weights of labels are lost."""
        is_weighted = self.rare_label_weight and not self._goes_on()
        return None if is_weighted else seed

    def _start(self, X, Y, held_out, rng, seed):
        """Return codes of the rows of Y, the network to train and the decoder."""
        if self._goes_on():
            decoder = self._label_index.keys
            module = copy.deepcopy(self._encoder.module)
            check_same_problem(module.n_features, len(decoder), X, Y)
            return project_labels(Y, decoder, seed), module, decoder
        codes = compress_labels(
            X,
            Y,
            self.n_components,
            method=self.compression,
            alpha=self._penalty,
            rare_label_weight=self.rare_label_weight,
            random_state=rng,
            seed=seed,
        )
        return_freed_memory()
        # In this order: the decoder may be the largest array of all.
        module = self._build_module(X, Y, codes, held_out, rng)
        return_freed_memory()
        return codes, module, linear_decoder(Y, codes)

    def _build_module(self, X, Y, codes, held_out, rng):
        linear = None
        if self.ridge_alpha is not None:
            rows, labels, targets = rest_of(held_out, X, Y, codes)
            linear = fit_linear_map(
                *(rows, labels, targets, self.ridge_alpha), loss=self.loss
            )
        return _nn.SparseEncoder(
            X.shape[1],
            codes.shape[1],
            self.hidden_layer_sizes,
            dropout=self.dropout,
            input_scale=input_scale(X),
            linear=linear,
            seed=rng.randint(2**31),
        )

    @property
    def _penalty(self):
        """Of linear maps beside the network's, which may have none."""
        return self.ridge_alpha or 3.0

    def _wants_classifiers(self, X, Y):
        """Whether classifiers are to be fitted."""
        return self._lacks_labels(Y.shape[1]) and fits_in_memory(X, Y)

    def _lacks_labels(self, n_labels):
        """Whether classifiers are wanted, and codes leave labels out."""
        return self._blends_classifiers() and n_labels > self.n_components

    def _blends_classifiers(self):
        return self.decoder == "blend" and self.classifier_weight > 0

    def _fit_classifiers(self, X, Y, store, codes, held_out):
        """Fit a classifier for each label, or None, given codes of the rows stored."""
        shortlists = shortlist_labels(
            codes, store, n_neighbors=self.n_neighbors, sharpening=self.sharpening
        )
        is_seen = ~np.isin(store.rows, held_out)
        rows = store.rows[is_seen]
        if len(rows) < X.shape[0]:
            X, Y, shortlists = X[rows], Y[rows], shortlists[is_seen]
        return fit_classifiers(X, Y, shortlists, self._penalty)

    def _memory_of(self, size):
        n, d, n_labels = size.n_samples, size.n_features, size.n_labels
        c = min(self.n_components, n, n_labels)
        is_sketched = self.compression == "sketch"
        coding, codes = code_bytes(size, c, is_sketched=is_sketched)
        weights, linear = 0, 0
        if self.ridge_alpha is not None:
            weights = array_bytes(d, c)
            linear = linear_map_bytes(size, self.n_components, c, self.loss)
        layers, optimizer = layer_bytes(d, self.hidden_layer_sizes, c)
        decoder = array_bytes(n_labels, c)
        network = weights + layers
        rows = size.x_bytes if self.input_weight else 0
        model = network + decoder + rows + vote_bytes(size, self.index, c)
        classifiers, fitting = 0, 0
        if self._lacks_labels(n_labels):
            classifiers, fitting = classifiers_bytes(size)
        peak = max(
            coding,
            codes + linear,
            codes + network + decoder + optimizer,
            model + fitting,
        )
        return model + classifiers, peak

    def _rank(self, X, k):
        codes = self._encoder(X)
        if self.decoder == "linear":
            return self._rank_linearly(codes, k)
        return rank_votes(self._recover(X, codes), k, self._store.by_frequency)

    def _score_label(self, X, label):
        codes = self._encoder(X)
        if self.decoder == "linear" and self._form.is_single_label:
            n_sharing = min(N_SHARING, self._form.n_labels)
            indices, shares = self._rank_linearly(codes, n_sharing)
            scores = np.where(indices == label, shares, 0).sum(axis=1)
        elif self.decoder == "linear":
            scores = self._label_index.score(codes, label)
        else:
            scores = self._recover(X, codes)[:, [label]].toarray()[:, 0]
        return np.clip(scores, 0, 1)

    def _rank_linearly(self, codes, k):
        search, device = self._label_index.search, self._encoder.device
        if not self._form.is_single_label:
            indices, scores = search(codes, k, device)
            return indices, np.clip(scores, 0, 1)
        n_searched = min(max(k, N_SHARING), self._form.n_labels)
        indices, scores = search(codes, n_searched, device)
        return indices[:, :k], share_among_best(scores)[:, :k]

    def _recover(self, X, codes):
        """Return the scores of the labels that neighbours have."""
        scores = self._blend(X, codes)
        if self._form.is_single_label:
            scores = normalize(scores, norm="l1")
        return scores

    def _blend(self, X, codes):
        """Return the votes, mixed with linear scores and classifiers if wanted."""
        scores = self._blend_linear(X, codes)
        if not self._classifies():
            return scores
        score_pairs = partial(self._classifiers.score_pairs, X)
        return blend_classifiers(scores, score_pairs, self.classifier_weight)

    def _blend_linear(self, X, codes):
        """Return the votes, mixed with linear scores if wanted."""
        votes = self._count_votes(X, codes)
        if self.decoder != "blend":
            return votes
        score_pairs = partial(self._label_index.score_pairs, codes)
        return blend_linear(votes, score_pairs, self.linear_weight)

    def _classifies(self):
        return self._classifiers is not None and self._blends_classifiers()

    def _count_votes(self, X, codes):
        """Return the votes of the neighbours of the codes, and of those of the rows."""
        store = self._store
        keys, weights = self._nearest_keys(codes)
        sets = store.set_of_key[keys]
        if self._compares_input():
            rows, own = self._nearest_rows(X)
            sets = np.hstack([sets, store.set_of_row[rows]])
            share = float(self.input_weight)
            weights = np.hstack([(1 - share) * weights, share * own])
        return vote(store.sets, sets, weights)

    def _compares_input(self):
        return self._input_index is not None and self.input_weight > 0

    def _nearest_keys(self, codes):
        """Return the keys most similar to each code, and what they weigh."""
        store = self._store
        n_keys = min(self.n_neighbors, len(store.key_rows))
        device = self._encoder.device
        keys, similarities = self._index.search(codes, n_keys, device)
        taken = cap_multiplicities(store.count_of_key[keys], self.n_neighbors)
        return keys, neighbor_weights(similarities, self.sharpening, taken)

    def _nearest_rows(self, X):
        """Return the stored rows most similar to each row of X, and their weights."""
        n_rows = min(self.n_neighbors, len(self._store.rows))
        rows, similarities = self._input_index.search(X, n_rows)
        return rows, neighbor_weights(similarities, _INPUT_SHARPENING)

    def _explain_vote(self, x, label):
        """Split the score of a label for one row among the training rows that vote.

        Returns
        -------
        rows : ndarray of shape (n_voters,), int32
            Numbers of the training rows.
        weights, contributions : ndarrays of shape (n_voters,), float64
            What each row weighs in the vote, and adds to the score.
        """
        store, codes = self._store, self._encoder(x)
        weights = store.weights_of_rows(*self._nearest_keys(codes))
        if self._compares_input():
            rows, own = self._nearest_rows(x)
            own = np.bincount(rows[0], own[0], minlength=len(weights))
            weights = (1 - self.input_weight) * weights + self.input_weight * own
        voters = np.flatnonzero(weights)
        weights = weights[voters]
        factor = 1 - self.linear_weight if self.decoder == "blend" else 1.0
        scores = self._blend(x, codes)
        if self._classifies():  # which raise or lower all parts of a score alike
            before = self._blend_linear(x, codes)[0, label]
            factor *= scores[0, label] / before if before else 0.0
        if self._form.is_single_label:
            factor /= scores.sum() or 1.0
        carries = store.sets[:, [label]].toarray()[store.set_of_row[voters], 0] > 0
        return store.rows[voters], weights, factor * weights * carries

    def model_size(self):
        """Compute the memory that the fitted model takes, by part.

        Returns
        -------
        sizes : dict of str to int
            Bytes of "network", "input_rows" (of X, see `input_weight`), "codes" (the
            keys and the linear decoder), "label_rows" (the label sets of the training
            rows), "classifiers" and their sum, "total".
        """
        check_is_fitted(self)
        rows = self._input_index.n_bytes if self._input_index else 0
        sizes = {
            "network": self._encoder.n_bytes,
            "input_rows": rows,
            "codes": self._index.n_bytes + self._label_index.n_bytes,
            "label_rows": self._store.n_bytes,
            "classifiers": self._classifiers.n_bytes if self._classifiers else 0,
        }
        return sizes | {"total": sum(sizes.values())}
