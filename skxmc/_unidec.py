"""UniDEC: a dual encoder and a classifier trained together on picked labels."""

import copy
from functools import partial
from numbers import Integral, Real

import numpy as np
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from skxmc import _nn
from skxmc._base import (
    BaseXMCClassifier,
    check_same_problem,
    record_training,
    rest_of,
    unchanged_on_error,
)
from skxmc._dual_ranking import dial_of, start_bonus, table_of
from skxmc._dual_training import (
    best_labels,
    fill_keys,
    make_ranker,
    refresh_picks,
    start_labels,
)
from skxmc._features import start_features
from skxmc._label_features import (
    LabelDescriptions,
    check_label_features,
    check_n_rows,
    describe_labels,
)
from skxmc._mapped import count_columns, input_scale, is_mapped
from skxmc._memory import dual_encoder_bytes
from skxmc._neighbor_votes import gather_votes
from skxmc._targets import form_of
from skxmc._text_encoder import (
    TextEncoder,
    load_features,
    load_tokenizer,
    read_texts,
    text_encoder_of,
    token_names,
)
from skxmc.metrics import precision_at_k

# Weights of the encoder in the score, by precision on held-out rows: labels that are
# described by more than their rows are found by what they are.
_OWN_WEIGHT, _DESCRIBED_WEIGHT = 0.3, 0.5


class UniDECClassifier(
    ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseXMCClassifier
):
    """Dual encoder and one-vs-all classifier, trained together on picked labels.

    Rows and labels go through one encoder, so that labels with features of their own,
    rare ones and even new ones can be found by what they are; a vector for each label
    beside it learns what the features do not tell. A batch is trained on the labels
    picked for it: a step takes as long with a million labels as with a thousand.

    Parameters
    ----------
    label_features : array, sparse matrix, list of str or None, default=None
        What labels are described by, in the columns of X, such as the TF-IDF of their
        names, of shape (n_labels, n_features): one row for each column of Y (of 1-D y,
        each class in sorted order). Texts, if `encoder` is a language model, which
        cannot do without.
    centroid_weight : float, default=0.3
        Weight of the mean direction of a label's training rows, beside its own
        features. Without those, the mean directions are all there is.
    n_centroid_features : int, default=32
        Features that such a mean direction keeps: the strongest.
    n_positives : int, default=3
        Labels of each row that are picked for its batch; all that it has, of those
        picked for any row, count as its positives.
    n_negatives : int, default=4
        Hard negatives of each row that are picked: labels whose embeddings are close to
        it. Before the first refresh they are drawn from all labels.
    max_pool_size : int, default=2048
        Most labels picked for a batch; the most frequent stay. A step takes memory in
        proportion to batch_size * max_pool_size.
    refresh_every : int or None, default=2
        Epochs from one search of hard negatives to the next. None for never.
    group_batches : bool, default=False
        Whether batches are made of rows whose embeddings are alike, renewed at each
        refresh, so that their positives are hard negatives for each other.
    loss : {"decoupled", "supcon", "infonce", "balanced", "bce"}, default="decoupled"
        How the labels of the pool compete, see Notes. "infonce" is the same as
        "supcon".
    loss_weight : float, default=0.5
        Part of the dual encoder in the loss; 0 trains the classifier alone, 1 the dual
        encoder alone.
    symmetric_loss : {"none", "encoder", "classifier", "both"}, default="none"
        Which part also learns to find the rows of a label.
    temperature : float, default=0.04
        What cosines are divided by; from 0.001 to 1.
    learn_temperature : bool, default=False
        Whether it changes in training.
    encoder_weight : float or None, default=None
        Part of the dual encoder in the score, the rest is the classifier's. By default
        0.3, with `label_features` 0.5. May be set after `fit`: more of it finds more
        rare labels, 1 and 0 rank by one part alone.
    popularity : float, default=0.0
        Weight of the logarithm of a label's frequency in the score. May be set after
        `fit`: above 0 for frequent labels, below 0 for rare ones.
    neighbor_weight : float, default=2.5
        What it adds to the log-odds of a label if all training rows near a row have
        it, near by their linear features; see Notes. May be set after `fit`, 0 for
        faster predictions by scores alone. Fitted with 0, a model is smaller by the
        codes of its training rows and has no votes, as it has none of mapped rows, from
        a first `partial_fit` or without linear features.
    index : {"auto", "exact", "ivf", "hnsw"}, default="auto"
        How labels and training rows are searched: exactly, or by an approximate index
        of faiss. "auto" is exact up to 500 000 of them, "ivf" above, but searches the
        clusters of more than 65 536 rows if that finds 95 of 100.
    embedding_size : int, default=256
        Length of the embeddings of rows and labels.
    n_components : int, default=256
        Length of the linear features: what a linear map of X predicts of the leading
        singular vectors of Y, fitted as in `DECLAREClassifier` with loss="auto".
    ridge_alpha : float or None, default=3.0
        Ridge penalty of that map, in units of the mean squared row norm of X. None
        leaves the linear features out.
    hidden_layer_sizes : sequence of int, default=(512,)
        Units of the encoder's hidden layers. The last one and the linear features are
        what embeddings are made of, and what the classifier sees.
    encoder : str, TextEncoder, torch.nn.Module or None, default=None
        In place of these features: a language model, by its folder or name, or with
        options as `TextEncoder`; X and `label_features` are lists of texts then. Or a
        module of your own, which maps a sparse CSR tensor of shape (n, n_features) to a
        dense (n, d); a copy of it is trained.
    dropout : float, default=0.5
        Probability of dropping a hidden unit in training.
    max_epochs : int or None, default=None
        Passes over the training rows. By default 4, or of few rows as many as make 20
        steps.
    batch_size : int, default=256
        Rows in a training step.
    lr : float, default=0.005
        Highest learning rate; it rises over the first tenth of training, then falls.
    classifier_lr : float or None, default=None
        Highest learning rate of the classifier's vectors; None for `lr`.
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
        Go on from the network and the label features of the last fit. If set before the
        first fit, columns of X that are empty then may have values in a later one.
    device : str, default="auto"
        "cpu", "cuda", "cuda:1", "mps", or "auto" for the best that is there.
    distributed : bool, default=False
        Train one model in all processes that ``torchrun`` or ``accelerate launch`` have
        started: each runs the same script and calls `fit` with the same data, encodes
        some of the rows of each batch and holds some of the labels. In a process by
        itself this changes nothing. Not together with `checkpoint`.
    random_state : int, RandomState or None, default=None
        Seeds the SVD, the network's start, the order of the rows and the picks. An int
        makes fits repeatable on one machine with the same versions and thread count.
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
    temperature_ : float
        The temperature in use.
    index_recall_ : float
        Share of the best labels that the index finds; 1 if it is exact.
    history_ : skorch.history.History
        skorch's record of the training.
    loss_curve_ : list of float
        Training loss after each epoch.
    n_iter_ : int
        Number of epochs trained.

    See Also
    --------
    MultiHeadEncodingClassifier : Labels as points in a mixed-radix space.
    DECLAREClassifier : Labels compressed to codes and recovered from neighbours.
    skxmc.metrics.make_xmc_scorers : Scorers for a search over the parameters.

    Notes
    -----
    With features f of a row or a label x, ``z = normalize(W f + b + V x)`` is its
    embedding; V starts at random, so that common words count from the beginning. With
    w_l, b_l the classifier's vector and bias, T the temperature and n_l the number
    of training rows of label l out of n, the score is ::

        encoder_weight * z @ z_l / T + (1 - encoder_weight) * (f @ w_l + b_l)
            + popularity * log(n_l / n) + 0.5 * log(1 - (1 - n_l / n) ** m)

    with m = batch_size * (1 + n_negatives): labels that are seldom in the pool of a
    batch learn too little of the rows that lack them, and would come out too high. A
    label without any row has 1 in place of that term, if `label_features` describe it.
    That is one inner product, searched for its largest values. To the log-odds that
    it stands for is added `neighbor_weight` times the share of the 50 training rows
    most similar by cosine of their linear features that have the label, weighted by
    similarity to the power 24, as in `DECLAREClassifier`: a network is as sure of
    itself far from all rows that it has seen as amid them.

    Over the pool of a batch, with p the positives of a row and j one of them, the
    losses are the means over p of ::

        supcon     -log(e^s_j / sum_l e^s_l)
        decoupled  -log(e^s_j / (e^s_j + sum_(l not in p) e^s_l))
        balanced   -log(e^s_j / (mean_(l in p) e^s_l + sum_(l not in p) e^s_l))

    and for "bce" the sum of the binary cross-entropies over the pool. Labels are picked
    as often as they occur; scores come out corrected for popularity, therefore.

    Probabilities are a logistic function of the score (for 1-D y, a softmax over the
    100 best classes), fitted to 128 rows: those held out if there are any, else
    training rows, where they are too sure of themselves, but which have no vote for
    themselves. They are fitted anew when the weights in the score change.

    References
    ----------
    .. [1] "UniDEC: Unified Dual Encoder and Classifier Training for Extreme Multi-Label
       Classification", WWW 2025, arXiv:2405.03714.

    Examples
    --------
    >>> from skxmc import UniDECClassifier
    >>> from skxmc.datasets import make_xmc_classification
    >>> X, Y = make_xmc_classification(n_labels=50, random_state=0)
    >>> clf = UniDECClassifier(random_state=0).fit(X[:800], Y[:800])
    >>> indices, scores = clf.predict_topk(X[800:], k=3)
    >>> indices.shape
    (200, 3)
    >>> clf.set_params(encoder_weight=1.0).transform_labels().shape
    (50, 256)
    """

    _least_epochs, _least_steps = 4, 20

    _stored_fields = {
        "temperature_": "float",
        "index_recall_": "float",
        "_n_features_out": "int",
        "_ranker": "DualRanker",
        "_labels": "LabelDescriptions",
        "_seen": "tuple ndarray/int",
    }

    _parameter_constraints: dict = {
        **BaseXMCClassifier._parameter_constraints,
        "label_features": ["array-like", "sparse matrix", None],
        "centroid_weight": [Interval(Real, 0, None, closed="left")],
        "n_centroid_features": [Interval(Integral, 1, None, closed="left")],
        "n_positives": [Interval(Integral, 1, None, closed="left")],
        "n_negatives": [Interval(Integral, 0, None, closed="left")],
        "max_pool_size": [Interval(Integral, 1, None, closed="left")],
        "refresh_every": [Interval(Integral, 1, None, closed="left"), None],
        "group_batches": ["boolean"],
        "loss": [StrOptions({"decoupled", "supcon", "infonce", "balanced", "bce"})],
        "loss_weight": [Interval(Real, 0, 1, closed="both")],
        "symmetric_loss": [StrOptions({"none", "encoder", "classifier", "both"})],
        "temperature": [Interval(Real, 0.001, 1, closed="both")],
        "learn_temperature": ["boolean"],
        "encoder_weight": [Interval(Real, 0, 1, closed="both"), None],
        "popularity": [Interval(Real, None, None, closed="neither")],
        "neighbor_weight": [Interval(Real, 0, None, closed="left")],
        "index": [StrOptions({"auto", "exact", "ivf", "hnsw"})],
        "embedding_size": [Interval(Integral, 1, None, closed="left")],
        "n_components": [Interval(Integral, 1, None, closed="left")],
        "ridge_alpha": [Interval(Real, 0, None, closed="neither"), None],
        "encoder": [HasMethods(["forward", "parameters"]), TextEncoder, str, None],
        "classifier_lr": [Interval(Real, 0, None, closed="neither"), None],
    }

    def __init__(
        self,
        label_features=None,
        *,
        centroid_weight=0.3,
        n_centroid_features=32,
        n_positives=3,
        n_negatives=4,
        max_pool_size=2048,
        refresh_every=2,
        group_batches=False,
        loss="decoupled",
        loss_weight=0.5,
        symmetric_loss="none",
        temperature=0.04,
        learn_temperature=False,
        encoder_weight=None,
        popularity=0.0,
        neighbor_weight=2.5,
        index="auto",
        embedding_size=256,
        n_components=256,
        ridge_alpha=3.0,
        hidden_layer_sizes=(512,),
        encoder=None,
        dropout=0.5,
        max_epochs=None,
        batch_size=256,
        lr=5e-3,
        classifier_lr=None,
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
        self.label_features = label_features
        self.centroid_weight = centroid_weight
        self.n_centroid_features = n_centroid_features
        self.n_positives = n_positives
        self.n_negatives = n_negatives
        self.max_pool_size = max_pool_size
        self.refresh_every = refresh_every
        self.group_batches = group_batches
        self.loss = loss
        self.loss_weight = loss_weight
        self.symmetric_loss = symmetric_loss
        self.temperature = temperature
        self.learn_temperature = learn_temperature
        self.encoder_weight = encoder_weight
        self.popularity = popularity
        self.neighbor_weight = neighbor_weight
        self.index = index
        self.embedding_size = embedding_size
        self.n_components = n_components
        self.ridge_alpha = ridge_alpha
        self.hidden_layer_sizes = hidden_layer_sizes
        self.encoder = encoder
        self.dropout = dropout
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.lr = lr
        self.classifier_lr = classifier_lr
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
        goes_on = self.warm_start and hasattr(self, "_ranker")
        return self._fit_network(
            *(X, Y, form, device, rng), goes_on=goes_on, checkpoint=checkpoint
        )

    def _fit_network(
        self,
        X,
        Y,
        form,
        device,
        rng,
        *,
        goes_on,
        max_epochs=None,
        seen=(0, 0),
        checkpoint=None,
        is_whole=True,
    ):
        """Fit the network and what ranks labels; return the fitted attributes.

        `goes_on` tells whether to start from the last fit, `max_epochs` stands for the
        parameter, `seen` are the rows of each label, and all rows, seen before,
        `is_whole` whether the rows are all there are: only then do they get votes.
        """
        if self.group_batches and is_mapped(X):
            raise ValueError(
                "group_batches=True needs the embeddings of all rows in memory, but X "
                "or y is mapped; set it to False."
            )
        held_out = self._held_out_rows(X.shape[0], rng)
        X_train, Y_train = rest_of(held_out, X, Y)
        if goes_on:
            labels, keys, net = self._last_network(X_train, Y_train)
        else:
            labels, keys, net = self._start(X_train, Y_train, form, device, rng)
        counts = seen[0] + count_columns(Y_train)
        n_samples = seen[1] + X_train.shape[0]
        fill = partial(
            fill_keys,
            keys,
            label_features=labels.features,
            counts=counts,
            n_samples=n_samples,
            n_draws=self._n_draws,
            device=device,
        )
        dial = self._dial()

        def precision(net, rows):
            fill(net)
            ranking = best_labels(net, X[rows], keys, dial, device)
            return precision_at_k(Y[rows], ranking, k=1)

        make_dataset, refresh = self._picking(labels, device, rng)
        history = self._train(
            *(net, X, Y, held_out, precision, device, rng),
            extra=[_nn.Refresh(self.refresh_every, refresh)],
            make_dataset=make_dataset,
            max_epochs=max_epochs,
            checkpoint=checkpoint,
        )
        encoder = self._finished_encoder(net.tower, X, device)
        fill(net)
        votes = None
        if is_whole and self.neighbor_weight > 0:
            votes = gather_votes(encoder, X, Y, self.index)
        elif goes_on and not is_whole:
            votes = self._ranker.votes
        ranker = make_ranker(
            *(keys, net, encoder, X, Y, held_out),
            is_exclusive=form.is_single_label,
            kind=self.index,
            dial=dial,
            votes=votes,
            votes_are_own=is_whole,
        )
        return {
            "temperature_": 1 / net.scale,
            "index_recall_": ranker.index.recall_,
            **record_training(history),
            "_n_features_out": net.tower.embedding_size,
            "_encoder": encoder,
            "_ranker": ranker,
            "_labels": labels,
            "_seen": (counts, n_samples),
        }

    def _picking(self, labels, device, rng):
        """Return what makes training data that pick labels, and what renews them."""
        refresh = partial(
            refresh_picks,
            label_features=labels.features,
            n_negatives=self.n_negatives,
            group_size=self.batch_size if self.group_batches else None,
            kind=self.index,
            device=device,
            random_state=rng,
        )
        make_dataset = partial(
            _nn.PoolDataset,
            label_features=labels.features,
            own_features=labels.own,
            n_positives=self.n_positives,
            n_negatives=self.n_negatives,
            max_pool_size=self.max_pool_size,
            seed=rng.randint(2**31),
        )
        return make_dataset, refresh

    def _start(self, X, Y, form, device, rng):
        """Return the input of the labels, their keys and the network to train."""
        text = text_encoder_of(self.encoder)
        own = self._check_label_features(self.label_features, Y.shape[1], X.shape[1])
        if own is None and (text is not None or self.centroid_weight == 0):
            raise ValueError(
                "label_features=None leaves nothing to describe labels by where "
                "centroid_weight=0 or encoder is a language model; pass them."
            )
        scale, n_features = input_scale(X), X.shape[1]
        labels = LabelDescriptions(own, None)
        if text is None:
            labels = describe_labels(
                *(X, Y, own),
                centroid_weight=self.centroid_weight,
                n_strongest=self.n_centroid_features,
                norm=1 / scale if scale else 1.0,  # 0 where squares overflow
            )
        else:
            scale, n_features = 1.0, None
        tower = _nn.Tower(
            self._start_features(X, Y, form, rng),
            *(self.embedding_size, rng.randint(2**31)),
            n_features=n_features,
            input_scale=scale,
        )
        keys = start_labels(tower, labels.features, device)
        keys[:, -2] = start_bonus(own, Y.shape[1], Y.shape[0], self._n_draws)
        return labels, keys, self._make_net(tower, keys, self.temperature)

    def _start_features(self, X, Y, form, rng):
        text = text_encoder_of(self.encoder)
        if text is not None:
            return load_features(text)
        if self.encoder is not None:
            return _nn.ModuleFeatures(copy.deepcopy(self.encoder), X)
        return start_features(
            *(X, Y, form),
            n_components=self.n_components,
            ridge_alpha=self.ridge_alpha,
            hidden_layer_sizes=self.hidden_layer_sizes,
            dropout=self.dropout,
            random_state=rng,
        )

    def _check_label_features(self, label_features, n_labels, n_features):
        """Return label features, or tokens of label texts, as csr_array; or None."""
        text = text_encoder_of(self.encoder)
        if label_features is None or text is None:
            own = check_label_features(label_features, n_labels, n_features)
            balance = self._balance
            return own if own is None or balance is None else balance.map_labels(own)
        tokens = read_texts(text, self._tokenizer, label_features, "label_features")
        return check_n_rows(tokens, n_labels)

    def _start_balance(self, X, all_columns):
        # Tokens are no amounts; a module of the user's own wants the rows as they are.
        if self.encoder is not None:
            return None
        return super()._start_balance(X, all_columns or self.label_features is not None)

    def _read(self, X, *, fitting=False):
        """Return X, or the tokens of its texts."""
        text = text_encoder_of(self.encoder)
        if text is None:
            return X
        if fitting:
            # Kept: a model that is stored and opened elsewhere has to read texts too.
            self._tokenizer = load_tokenizer(text)
        return read_texts(text, self._tokenizer, X, "X")

    def _feature_names(self, x):
        if text_encoder_of(self.encoder) is None:
            return super()._feature_names(x)
        return token_names(self._tokenizer, x)

    def _last_network(self, X, Y):
        """Return the input of the labels, their keys and the last fit's network."""
        ranker = self._ranker
        n_features, n_labels = self._labels.features.shape[1], len(ranker.keys)
        check_same_problem(n_features, n_labels, X, Y)
        tower, keys = copy.deepcopy(self._encoder.module), ranker.keys.copy()
        net = self._make_net(tower, keys, self.temperature_)
        return self._labels, keys, net

    def _make_net(self, tower, keys, temperature):
        symmetric = {self.symmetric_loss}
        if self.symmetric_loss == "both":
            symmetric = {"encoder", "classifier"}
        return _nn.DualNet(
            tower,
            _nn.LabelTable.from_array(table_of(keys, tower.embedding_size)),
            loss=self.loss,
            encoder_weight=self.loss_weight,
            symmetric=symmetric,
            temperature=temperature,
            learn_temperature=bool(self.learn_temperature),
            learning_rates=self._learning_rates(),
        )

    def _learning_rates(self):
        """Return the learning rates that are not `lr`, by pattern of parameters."""
        text, rates = text_encoder_of(self.encoder), {}
        if text is not None and text.lr > 0:
            rates["tower.features.*"] = text.lr
        if self.classifier_lr is not None:
            rates["table.*"] = self.classifier_lr
        return rates

    @property
    def _n_draws(self):
        """Labels drawn for the pool of a batch, with repetitions."""
        return self.batch_size * (1 + self.n_negatives)

    def _dial(self):
        """Return the weights in the score, as they are set now."""
        weight = self.encoder_weight
        if weight is None:
            weight = _OWN_WEIGHT if self.label_features is None else _DESCRIBED_WEIGHT
        return dial_of(weight, self.popularity, self.neighbor_weight, self.loss_weight)

    def _memory_of(self, size):
        if self.encoder is not None:
            raise ValueError(
                f"encoder={type(self.encoder).__name__} has a size of its own, which "
                "is not known here; estimate_memory needs encoder=None."
            )
        return dual_encoder_bytes(
            size,
            has_centroids=self.centroid_weight > 0 or self.label_features is None,
            n_centroid_features=self.n_centroid_features,
            embedding_size=self.embedding_size,
            has_votes=self.neighbor_weight > 0,
            index=self.index,
            n_components=self.n_components,
            ridge_alpha=self.ridge_alpha,
            hidden_layer_sizes=self.hidden_layer_sizes,
        )

    def _rank(self, X, k):
        encoder = self._encoder
        return self._ranker.rank(encoder(X), k, self._dial(), encoder.device)

    def _score_label(self, X, label):
        return self._ranker.score_label(self._encoder(X), label, self._dial())

    def _score_directions(self):
        return [self._ranker.directions(self._dial())]

    def partial_fit(self, X, y, classes=None):
        """Train one more epoch, on further rows.

        The label features stay as they are, as does what the rows of the first call
        told of the scale of X, and the rows that vote: those of `fit`, or none. The
        learning rate rises and falls within the call. No checkpoint is kept.

        Parameters
        ----------
        X : {array-like, sparse matrix or array} of shape (n_samples, n_features)
            Input rows.
        y : {array-like, sparse matrix or array}
            Their labels, in the form of `fit`.
        classes : array-like of shape (n_labels,) or None, default=None
            On the first call with 1-D y, all classes there will be.

        Returns
        -------
        self : object
            The fitted estimator.
        """
        self._check_trainable()
        is_first = not hasattr(self, "_ranker")
        with unchanged_on_error(self):
            self._validate_params()
            form = form_of(y, classes) if is_first else self._form
            X, Y, form = self._validate_fit_data(X, y, reset=is_first, form=form)
            X = self._balance_to_fit(X, goes_on=not is_first, all_columns=True)
            fitted = self._fit_network(
                *(X, Y, form, self._join_processes(), self._start_rng()),
                goes_on=not is_first,
                max_epochs=1,
                seen=(0, 0) if is_first else self._seen,
                is_whole=False,
            )
        self.__dict__.update(fitted, classes_=form.classes, _form=form)
        return self

    def add_labels(self, label_features, classes=None, *, bonus=2.0):
        """Let labels be predicted that training has not seen.

        Embeddings and classifier's vectors are computed from their features, as those
        of all labels were before training. `partial_fit` trains them further.

        Parameters
        ----------
        label_features : {array-like, sparse matrix or array} of shape \
                (n_new_labels, n_features)
            What the new labels are described by, in the columns of X.
        classes : array-like of shape (n_new_labels,) or None, default=None
            After a fit on 1-D y, their class labels.
        bonus : float, default=2.0
            Added to their scores until they have been trained: labels with training
            rows outdo them otherwise. More of it finds more of the new labels, and
            more that are wrong.

        Returns
        -------
        self : object
            The fitted estimator, whose predictions have n_new_labels more columns.
        """
        check_is_fitted(self)
        self._check_trainable()
        if label_features is None or not np.isfinite(bonus):
            raise ValueError(
                f"label_features={label_features!r} and bonus={bonus!r} describe no "
                "label; pass features of the new labels and a finite number."
            )
        new = self._check_label_features(label_features, None, self.n_features_in_)
        if text_encoder_of(self.encoder) is None:
            scale = self._encoder.module.input_scale
            new = new * np.float32(1 / scale if scale else 1.0)  # as long as rows
        form = self._form.extended(new.shape[0], classes)
        ranker = self._ranker.extended(self._encoder(new), bonus)
        self.__dict__.update(
            classes_=form.classes,
            index_recall_=ranker.index.recall_,
            _form=form,
            _ranker=ranker,
            _labels=self._labels.extended(new),
            _seen=(np.pad(self._seen[0], (0, new.shape[0])), self._seen[1]),
        )
        return self

    def transform(self, X):
        """Compute the embeddings of rows.

        Parameters
        ----------
        X : {array-like, sparse matrix or array} of shape (n_samples, n_features)
            Input rows.

        Returns
        -------
        embeddings : ndarray of shape (n_samples, embedding_size), float32
            Of unit length.
        """
        check_is_fitted(self)
        encoder, embedder = self._encoder, _nn.Embedder(self._encoder.module)
        only = _nn.Encoder(embedder, encoder.device, encoder.reduction)
        return only(self._check_X(X))

    def transform_labels(self):
        """Return the embeddings of the labels.

        Returns
        -------
        embeddings : ndarray of shape (n_labels, embedding_size), float32
            Of unit length; their inner products with those of rows are cosines.
        """
        check_is_fitted(self)
        return self._ranker.label_vectors.copy()

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags
