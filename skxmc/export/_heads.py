"""What ranks labels, as nodes of a graph.

Each function returns [scores, labels] of the k best labels, both (n_rows, k).
"""

import numpy as np

from skxmc._codes import code_digits
from skxmc._dual_ranking import N_CALIBRATED
from skxmc._recovery import N_SHARING
from skxmc.export._encoders import array_of
from skxmc.export._graph import DOUBLE, FLOAT
from skxmc.export._votes import add_shares

# Logit of a code that no label has. Finite: a group of nothing else stays a number.
_NEVER = np.float32(-1e30)


def add_dual_ranking(graph, z, f, ranker, dial, k):
    """Add the ranking of a `DualRanker` by z and f, exactly, whatever its index."""
    size, share = ranker.embedding_size, 1 - dial.encoder_weight
    keys = ranker.keys[:]
    weight = np.hstack(
        [dial.encoder_weight * ranker.scale * keys[:, :size], share * keys[:, size:-3]]
    )
    bias = keys[:, -3:] @ np.array([share, 1, dial.popularity], dtype=np.float32)
    rows = graph.add("Concat", z, f, axis=1)
    scores = graph.linear(rows, weight.astype(np.float32), bias)
    slope, intercept, vote_weight = ranker._calibration(dial)
    if vote_weight:
        codes = graph.add("Slice", f, [-ranker.votes.n_components], [2**31], [1])
        shares = add_shares(graph, codes, ranker.votes)
        votes = graph.add("Mul", shares, float(vote_weight))
        scores = graph.add("Add", scores, votes)
    n_ranked = min(max(k, N_CALIBRATED), len(keys)) if ranker.is_exclusive else k
    best, labels = graph.topk(scores, n_ranked)
    scaled = graph.add("Mul", best, float(slope))
    if not ranker.is_exclusive:
        scaled = graph.add("Add", scaled, float(intercept))
        return [graph.add("Sigmoid", scaled), labels]
    scaled = graph.add("Sub", scaled, graph.add("Slice", scaled, [0], [1], [1]))
    p = graph.add("Exp", scaled)
    counted = graph.add("Slice", p, [0], [N_CALIBRATED], [1])
    p = graph.add("Div", p, graph.add("ReduceSum", counted, [1], keepdims=1))
    return [graph.add("Slice", part, [0], [k], [1]) for part in (p, labels)]


def add_linear_ranking(graph, codes, decoder, k, *, is_exclusive):
    """Add the ranking by the linear decoder, (n_labels, n_components)."""
    n_ranked = min(max(k, N_SHARING), len(decoder)) if is_exclusive else k
    bias = np.zeros(len(decoder), dtype=np.float32)
    best, labels = graph.topk(graph.linear(codes, decoder, bias), n_ranked)
    if not is_exclusive:
        return [graph.add("Clip", best, 0.0, 1.0), labels]
    best = graph.add("Relu", best)
    total = graph.add("Slice", best, [0], [N_SHARING], [1])
    total = graph.add("ReduceSum", total, [1], keepdims=1)
    one = graph.add("Where", graph.add("Greater", total, 0.0), total, 1.0)
    best = graph.add("Div", graph.add("Slice", best, [0], [k], [1]), one)
    is_shared = (np.arange(k) < N_SHARING).astype(np.float32)[None]
    best = graph.add("Mul", best, is_shared)
    return [best, graph.add("Slice", labels, [0], [k], [1])]


def add_cascade(graph, f, head, order, k, votes):
    """Add a `CascadeHead`; `order` is the label of each code, `votes` `AddedVotes`.

    Tables are filled up to whole groups by nodes that are never likely, so that all
    groups are of one size.
    """
    width = head.head_sizes[0]
    z = graph.linear(f, array_of(head.root.weight), array_of(head.root.bias))
    log_p, nodes = _log_share(graph, z, head), None
    n_nodes = n_padded = width
    for size, table in zip(head.head_sizes[1:], head.tables, strict=True):
        n_nodes *= size
        table = array_of(table.weight)
        n_padded = n_nodes - len(table)
        table = np.pad(table, ((0, n_padded), (0, 0)))
        table[len(table) - n_padded :, -1] = _NEVER
        n_kept = min(head.n_candidates, width)
        if n_kept == n_nodes // size:  # all: a dense product, of which no list is made
            above = log_p
            z = graph.linear(f, table[:, :-1], table[:, -1])
        else:
            above, places = graph.topk(log_p, n_kept)
            parents = places
            if nodes is not None:
                parents = graph.add("GatherElements", nodes, places, axis=1)
            nodes = _children(graph, parents, size)
            z = graph.pair_products(f, table, nodes)
        own = graph.add("Reshape", z, [0, n_kept, size])
        own = _log_share(graph, own, head)
        log_p = graph.add("Add", own, graph.add("Unsqueeze", above, [2]))
        log_p = graph.add("Reshape", log_p, [0, n_kept * size])
        width = n_kept * size
    if votes is not None:
        votes = votes.padded(graph, n_nodes - head.n_labels)
        votes = votes if nodes is None else votes.chosen(graph, nodes)
        log_p = votes.raised(graph, log_p, head.is_single_label)
    _check_ranked(k, width - (n_padded if head.tables else 0), "n_candidate_groups")
    best, codes = graph.topk(log_p, k)
    if nodes is not None:
        codes = graph.add("GatherElements", nodes, codes, axis=1)
    return [_probability(graph, best, 1), graph.add("Gather", order, codes)]


def add_product(graph, f, head, order, k, votes):
    """Add a `ProductHead`: the sums of the digits' scores, of all labels."""
    outputs = graph.linear(f, array_of(head.digits.weight), array_of(head.digits.bias))
    sizes = [*head.head_sizes]
    if len(sizes) == 1:
        parts = [outputs]
    else:
        parts = graph.add("Split", outputs, sizes, n_outputs=len(sizes), axis=1)
    digits = code_digits(np.arange(head.n_labels), head.head_sizes)
    sums = [
        graph.add("Gather", part, own, axis=1)
        for part, own in zip(parts, digits, strict=True)
    ]
    logits = sums[0] if len(sums) == 1 else graph.add("Sum", *sums)
    if head.table is None:
        return _draws(graph, logits, head.n_draws, order, k, votes)
    _check_ranked(k, head.n_shortlist, "n_shortlist")
    _, shortlist = graph.topk(logits, head.n_shortlist)
    z = graph.pair_products(f, array_of(head.table.weight), shortlist)
    log_p = _log_share(graph, z, head)
    if votes is not None:
        votes = votes.chosen(graph, shortlist)
        log_p = votes.raised(graph, log_p, head.is_single_label)
    best, places = graph.topk(log_p, k)
    codes = graph.add("GatherElements", shortlist, places, axis=1)
    return [_probability(graph, best, 1), graph.add("Gather", order, codes)]


def add_sampling(graph, f, head, order, k, votes):
    """Add a `SamplingHead`: a softmax over all labels."""
    table = array_of(head.table.weight)
    logits = graph.linear(f, table[:, :-1], table[:, -1])
    return _draws(graph, logits, head.n_draws, order, k, votes)


def _draws(graph, logits, n_draws, order, k, votes):
    """Rank by a softmax, of which a row's labels are `n_draws` draws."""
    log_p = graph.add("LogSoftmax", logits, axis=1)
    if votes is not None:
        log_p = votes.raised(graph, log_p, True)
    best, codes = graph.topk(log_p, k)
    return [_probability(graph, best, n_draws), graph.add("Gather", order, codes)]


def _probability(graph, log_p, n_draws):
    """Add ``1 - (1 - p) ** n_draws``, in 64 bits: p may be very small."""
    p = graph.add("Exp", log_p)
    if n_draws == 1:
        return p
    one, draws = np.array(1.0), np.array(float(n_draws))
    p = graph.add("Cast", p, to=DOUBLE)
    rest = graph.add("Pow", graph.add("Sub", one, p), draws)
    return graph.add("Cast", graph.add("Sub", one, rest), to=FLOAT)


def _log_share(graph, z, head):
    """Add the log-probabilities of siblings, which are along the last axis."""
    if head.is_single_label:
        return graph.add("LogSoftmax", z, axis=-1)
    return graph.log_sigmoid(z)


def _children(graph, parents, size):
    """Add the children of nodes (n_rows, n), `size` of each: (n_rows, n * size)."""
    starts = graph.add("Mul", graph.add("Unsqueeze", parents, [2]), size)
    children = graph.add("Add", starts, np.arange(size))
    return graph.add("Flatten", children, axis=1)


def _check_ranked(k, n_scored, name):
    if k > n_scored:
        raise ValueError(
            f"k={k}, but the model scores only {n_scored} labels of each row; pass "
            f"k={n_scored} at most, or fit with a larger {name}."
        )
