"""Any order of calls: answers stay whole, and what fails changes nothing."""

import copy
import pickle
import tempfile
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
from _estimators import ESTIMATORS
from _faults import N_FEATURES, answers, arrays, contents, fresh, problem
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

import skxmc

X, Y = problem()
QUERIES = X[:7]
MAKE_X = [lambda X: X, sp.coo_array, lambda X: X.toarray()]
#: Labels as sparse and dense indicator and as classes; fewer of them in the last.
TARGETS = [Y, Y.toarray(), np.array(["tea", "mate", "milk"])[np.arange(60) % 3]]
BAD_FITS = [
    (X * np.float32(np.nan), Y),
    (X, Y * 2),
    (X[:, :0], Y),
    (X, None),
]


def when(condition):
    """Let a rule run in states that meet the condition only."""
    return precondition(lambda self: condition(self))


class Calls(RuleBasedStateMachine):
    """One model, and what is known of it."""

    is_fitted = is_small = False
    y = None  # of the last fit, with a column or row for each label that was added

    # UniDEC has most methods: it is more often met than the others.
    @initialize(estimator=st.sampled_from([*ESTIMATORS, *ESTIMATORS[-2:] * 2]))
    def begin(self, estimator):
        self.model = fresh(estimator, max_epochs=1)

    @property
    def is_unidec(self):
        return hasattr(self.model, "partial_fit")

    def refused(self, function, *args):
        """Call what has to fail, and leave the model as it is."""
        before = dict(vars(self.model)), list(map(contents, arrays(self.model)))
        with pytest.raises((ValueError, NotFittedError)):
            function(*args)
        after = vars(self.model)
        assert after.keys() == before[0].keys()
        assert all(after[name] is value for name, value in before[0].items())
        assert list(map(contents, arrays(self.model))) == before[1]

    def replaced(self, model):
        """Go on with another model that has to answer the same."""
        if self.is_fitted:
            for ours, theirs in zip(
                answers(model, QUERIES), answers(self.model, QUERIES), strict=True
            ):
                assert contents(ours) == contents(theirs)
        self.model = model

    @rule(make=st.sampled_from(MAKE_X), y=st.sampled_from(TARGETS))
    def fit(self, make, y):
        self.model.set_params(warm_start=False).fit(make(X), y)
        self.is_fitted, self.is_small, self.y = True, False, y
        self.n_labels = len(self.model.classes_)

    @rule(bad=st.sampled_from(BAD_FITS), warm_start=st.booleans())
    def fail_to_fit(self, bad, warm_start):
        self.model.set_params(warm_start=warm_start)
        self.refused(self.model.fit, *bad)
        if self.is_unidec:
            self.refused(self.model.partial_fit, *bad)

    @when(lambda self: self.is_fitted)
    @rule()
    def go_on(self):
        self.model.set_params(warm_start=True)
        if self.is_small:
            self.refused(self.model.fit, X, self.y)
            return
        classes = self.model.classes_.tolist()
        self.model.fit(X, self.y)
        assert self.model.classes_.tolist() == classes

    @when(lambda self: self.is_unidec)
    @rule(rows=st.sampled_from([slice(0, 40), slice(20, 60)]))
    def partial_fit(self, rows):
        if self.is_small:
            self.refused(self.model.partial_fit, X, self.y)
            return
        y = Y if self.y is None else self.y
        classes = None if sp.issparse(y) or y.ndim == 2 else np.unique(y)
        self.model.partial_fit(X[rows], y[rows], classes=classes)
        self.is_fitted, self.y = True, y
        self.n_labels = len(self.model.classes_)

    @when(lambda self: self.is_unidec and self.is_fitted)
    @rule()
    def add_labels(self):
        if self.is_small:
            self.refused(self.model.add_labels, X[:1])
            return
        self.refused(self.model.add_labels, X[:1, :-1])
        row, name = 20 + self.n_labels % 20, f"new {self.n_labels}"
        if self.model.classes_.dtype.kind == "U":
            self.model.add_labels(X[[row]], [name])
            self.y = self.y.astype("U9")
            self.y[row] = name
        else:
            self.model.add_labels(X[[row]])
            # What has the old number of columns is refused from now on.
            self.refused(self.model.partial_fit, X, self.y)
            new = (np.arange(60) == row)[:, None]
            if sp.issparse(self.y):
                self.y = sp.hstack([self.y, sp.csr_array(new)], format="csr")
            else:
                self.y = np.hstack([self.y, new])
        self.n_labels += 1

    @when(lambda self: self.is_fitted)
    @rule(storage=st.sampled_from(["int8", "float16", "int4"]))
    def compress(self, storage):
        if self.is_small:
            self.refused(self.model.compress, storage)
            return
        self.refused(self.model.compress, "int2")
        self.model, self.is_small = self.model.compress(storage), True

    @rule(mmap=st.booleans())
    def save_and_load(self, mmap):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.skxmc"
            if not self.is_fitted:
                self.refused(self.model.save, path)
                return
            self.model.save(path)
            self.replaced(skxmc.load(path, mmap=mmap))

    @rule(duplicate=st.sampled_from([copy.copy, copy.deepcopy, pickle.dumps]))
    def copy(self, duplicate):
        other = duplicate(self.model)
        self.replaced(pickle.loads(other) if isinstance(other, bytes) else other)

    @rule(goes_on=st.booleans())
    def clone(self, goes_on):
        other = clone(self.model)
        assert other.get_params() == self.model.get_params()
        assert arrays(other) == []
        with pytest.raises(NotFittedError):
            other.predict(QUERIES)
        if goes_on:
            self.model, self.y = other, None
            self.is_fitted = self.is_small = False

    @invariant()
    def answers_are_whole(self):
        if not hasattr(self, "model"):
            return
        self.refused(self.model.predict, QUERIES[:, : N_FEATURES - 1])
        if not self.is_fitted:
            self.refused(self.model.predict_topk, QUERIES)
            return
        indices, scores = self.model.predict_topk(QUERIES, k=self.n_labels)
        assert (np.sort(indices) == np.arange(self.n_labels)).all()
        assert ((scores >= 0) & (scores <= 1)).all()
        assert (np.diff(scores) <= 0).all()
        P = self.model.predict_proba(QUERIES)
        assert P.shape == (7, self.n_labels)
        assert np.isfinite(P.data if sp.issparse(P) else P).all()
        is_class = self.model.classes_.dtype.kind == "U"
        predicted = self.model.predict(QUERIES)
        assert predicted.shape == ((7,) if is_class else (7, self.n_labels))


def run_machine(n_examples):
    run_state_machine_as_test(
        Calls,
        settings=settings(
            max_examples=n_examples,
            stateful_step_count=12,
            deadline=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_no_order_of_calls_breaks_a_model():
    run_machine(12)


@pytest.mark.slow
def test_no_order_of_many_calls_breaks_a_model():
    run_machine(100)
