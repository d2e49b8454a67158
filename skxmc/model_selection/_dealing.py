"""Rows dealt to folds so that each label is spread: iterative stratification."""

import heapq

import numpy as np

# Rows tried as partners of a row whose label has no row outside its test fold.
_N_PARTNERS = 50


def deal_rows(Y, sizes, is_test, rng):
    """Deal rows to folds, the rows of the rarest label first.

    A row goes to the fold that lacks its rarest label most; where folds are alike, to
    the one that lacks its other labels most. Before either, it avoids to complete a
    label in a test fold: a model trained on the other folds would never see it. Rows
    change places in the end for labels to which that happened all the same.

    Parameters
    ----------
    Y : csr_array of shape (n_samples, n_labels)
        Canonical 0/1 indicator.
    sizes : array-like of shape (n_folds,), int
        Rows each fold takes; their sum is n_samples.
    is_test : array-like of shape (n_folds,), bool
        Folds that must not hold all rows of a label, where that can be helped.
    rng : RandomState
        Decides the order of the rows of a label.

    Returns
    -------
    fold_of : ndarray of shape (n_samples,), int
        The fold of each row.

    References
    ----------
    .. [1] K. Sechidis, G. Tsoumakas, I. Vlahavas, "On the Stratification of
       Multi-Label Data", ECML PKDD 2011.
    """
    shuffled = rng.permutation(Y.shape[0])
    folds = _Folds(Y[shuffled], sizes, is_test)
    for label, rows in folds.by_rarity():
        for row in rows:
            folds.place(row, label)
    folds.place_unlabelled()
    folds.spread_completed(rng)
    fold_of = np.empty(Y.shape[0], dtype=np.intp)
    fold_of[shuffled] = folds.fold_of
    return fold_of


class _Folds:
    """Folds being filled. Lists, as a row at a time is faster with them than arrays.

    `held[label][fold]` counts rows of a label in a fold, `left[label]` those that are
    not placed yet.
    """

    def __init__(self, Y, sizes, is_test):
        columns = Y.tocsc()
        self._labels, self._row_starts = Y.indices.tolist(), Y.indptr.tolist()
        self._rows, self._label_starts = columns.indices.tolist(), columns.indptr
        self.counts = np.diff(columns.indptr).tolist()
        self.left = [*self.counts]
        self.room = [int(size) for size in sizes]
        self.share = _shares(self.room)
        self.is_test = [bool(test) for test in is_test]
        self.held = [[0] * len(self.room) for _ in self.counts]
        self.fold_of = [-1] * Y.shape[0]

    def labels_of(self, row):
        return self._labels[self._row_starts[row] : self._row_starts[row + 1]]

    def rows_of(self, label):
        return self._rows[self._label_starts[label] : self._label_starts[label + 1]]

    def by_rarity(self):
        """Yield a label with the fewest rows left, and these, until all are placed."""
        # Of labels with as many left, first those that have no other rows: they have to
        # be where there is room that is not a test fold's.
        rarest = [(n, n, label) for label, n in enumerate(self.counts) if n]
        heapq.heapify(rarest)
        while rarest:
            n_rows, _, label = heapq.heappop(rarest)
            if n_rows != self.left[label] or n_rows == 0:
                continue  # a newer entry stands for the label
            rows = [row for row in self.rows_of(label) if self.fold_of[row] < 0]
            yield label, rows
            for other in {other for row in rows for other in self.labels_of(row)}:
                if self.left[other]:
                    entry = self.left[other], self.counts[other], other
                    heapq.heappush(rarest, entry)

    def place(self, row, label):
        """Put a row in the fold where `label`, its rarest, is wanted most."""
        labels, folds = self.labels_of(row), range(len(self.room))
        completed = [0] * len(self.room)
        wanted_by_all = [len(labels) * share for share in self.share]
        for other in labels:
            held, n_rows = self.held[other], self.counts[other]
            for fold in folds:
                wanted_by_all[fold] -= held[fold] / n_rows
            if self.left[other] == 1:
                for fold in folds:
                    completed[fold] += self._is_complete(fold, held[fold] + 1, n_rows)
        held, n_rows = self.held[label], self.counts[label]
        best = max(
            (fold for fold in folds if self.room[fold]),
            key=lambda fold: (
                -completed[fold],
                self.share[fold] * n_rows - held[fold],
                wanted_by_all[fold],
                self.room[fold],
            ),
        )
        self._put(row, labels, best)

    def place_unlabelled(self):
        """Put the rows without labels where room is left."""
        vacant = (f for f, n_rows in enumerate(self.room) for _ in range(n_rows))
        rows = [row for row, fold in enumerate(self.fold_of) if fold < 0]
        for row, fold in zip(rows, [*vacant], strict=True):
            self._put(row, [], fold)

    def spread_completed(self, rng):
        """Let rows change places while that takes a label out of a single test fold."""
        for label, n_rows in enumerate(self.counts):
            fold = self.held[label].index(max(self.held[label]))
            if n_rows > 1 and self._is_complete(fold, self.held[label][fold], n_rows):
                self._spread(label, rng)

    def _spread(self, label, rng):
        for row in self.rows_of(label):
            for partner in rng.randint(len(self.fold_of), size=_N_PARTNERS).tolist():
                if self._gain(row, partner) > 0:
                    self._swap(row, partner)
                    return

    def _gain(self, row, partner):
        """Count the labels in a single test fold that a swap sets free, net."""
        here, there = self.fold_of[row], self.fold_of[partner]
        if here == there:
            return 0
        labels, others = set(self.labels_of(row)), set(self.labels_of(partner))
        leaving = ((label, here, there) for label in labels - others)
        coming = ((label, there, here) for label in others - labels)
        gain = 0
        for label, old, new in (*leaving, *coming):
            held, n_rows = self.held[label], self.counts[label]
            gain += self._is_complete(old, held[old], n_rows)
            gain -= self._is_complete(new, held[new] + 1, n_rows)
        return gain

    def _swap(self, row, partner):
        here, there = self.fold_of[row], self.fold_of[partner]
        for moved, old, new in ((row, here, there), (partner, there, here)):
            for label in self.labels_of(moved):
                self.held[label][old] -= 1
                self.held[label][new] += 1
            self.fold_of[moved] = new

    def _is_complete(self, fold, n_held, n_rows):
        return n_held == n_rows and self.is_test[fold]

    def _put(self, row, labels, fold):
        self.fold_of[row] = fold
        self.room[fold] -= 1
        for label in labels:
            self.held[label][fold] += 1
            self.left[label] -= 1


def _shares(sizes):
    """Return the share of the rows for each fold; sizes that differ by 1 are alike.

    Otherwise that 1 would decide between folds that should be equal.
    """
    if max(sizes) - min(sizes) <= 1:
        return [1 / len(sizes)] * len(sizes)
    return [size / sum(sizes) for size in sizes]
