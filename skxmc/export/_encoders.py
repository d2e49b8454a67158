"""What maps rows to vectors, as nodes of a graph."""

from itertools import chain

import numpy as np

from skxmc._nn._multihead import HIDDEN_NORM, LOWEST, MIN_NORM, SHARPNESS

_MIN_LENGTH = 1e-12  # as torch's normalize


def array_of(weight):
    """Return a weight of a network as an ndarray."""
    return weight.detach().cpu().numpy()


def add_perceptron(graph, network):
    """Add a `SparseEncoder`; return its output, (n_rows, n_outputs)."""
    (output,) = _add_sparse(graph, [network])
    return output


def add_features(graph, features):
    """Add `Features`; return their output, (n_rows, n_outputs)."""
    return _join(graph, features, _add_sparse(graph, _networks(features)))


def add_tower(graph, tower):
    """Add a `Tower`; return the embedding z and the features f, see there."""
    networks = _networks(tower.features)
    direct = tower.input_scale * array_of(tower.direct.weight)
    *outputs, direct = _add_sparse(graph, networks, [(direct, 0)])
    f = _join(graph, tower.features, outputs)
    head = tower.head
    h = graph.linear(f, array_of(head.weight), array_of(head.bias))
    return graph.unit_length(graph.add("Add", h, direct), _MIN_LENGTH), f


def _networks(features):
    return [part for part in (features.hidden, features.linear) if part is not None]


def _join(graph, features, outputs):
    """Scale the hidden units and put them beside the linear features."""
    if features.hidden is not None:
        hidden, *others = outputs
        hidden = graph.unit_length(graph.add("Relu", hidden), MIN_NORM)
        outputs = [graph.add("Mul", hidden, HIDDEN_NORM), *others]
    if features.sharpened is not None:
        outputs = [*outputs, _add_sharpened(graph, features, outputs[-1])]
    return outputs[0] if len(outputs) == 1 else graph.add("Concat", *outputs, axis=1)


def _add_sharpened(graph, features, scores):
    """Add what a network makes of the scores of classes, see `Features`."""
    rms = HIDDEN_NORM / np.sqrt(len(features.linear.linear_bias))
    if features.sharpened == "softmax":
        sharp = graph.add("Mul", scores, SHARPNESS / rms)
        sharp = graph.add("Softmax", sharp, axis=1)
    else:
        above = graph.add("Relu", graph.add("Sub", scores, LOWEST * rms))
        sharp = graph.unit_length(above, MIN_NORM)
    return graph.add("Mul", sharp, HIDDEN_NORM)


def _add_sparse(graph, networks, maps=()):
    """Add networks on sparse rows and further linear maps, with one look-up for all.

    Returns the output of each `SparseEncoder`, then of each (weight, bias).
    """
    firsts = [_first_maps(network) for network in networks]
    products = _sparse_products(graph, [*chain(*firsts), *maps])
    outputs = []
    for network, own in zip(networks, firsts, strict=True):
        parts, products = products[: len(own)], products[len(own) :]
        if network.first is not None:
            parts[0] = _add_rest(graph, parts[0], network.rest)
        outputs.append(parts[0] if len(parts) == 1 else graph.add("Add", *parts))
    return [*outputs, *products]


def _first_maps(network):
    """Return (weight, bias) of what a `SparseEncoder` applies to its sparse rows."""
    maps = []
    if network.first is not None:
        weight = network.input_scale * array_of(network.first.weight)
        maps.append((weight, array_of(network.first_bias)))
    if network.linear_weight is not None:
        weight = array_of(network.linear_weight)
        maps.append((weight, array_of(network.linear_bias)))
    return maps


def _sparse_products(graph, maps):
    """Add ``x @ weight + bias`` for each map; `weight` is (n_features, n_outputs)."""
    sizes = [weight.shape[1] for weight, _ in maps]
    weight = np.hstack([weight for weight, _ in maps]).astype(np.float32, copy=False)
    bias = [np.broadcast_to(b, n) for (_, b), n in zip(maps, sizes, strict=True)]
    rows = graph.add("Gather", weight, graph.indices)  # (n_rows, width, sum of sizes)
    values = graph.add("Unsqueeze", graph.values, [1])
    product = graph.add("Squeeze", graph.add("MatMul", values, rows), [1])
    offset = np.concatenate(bias)
    if graph.shift is not None:
        offset = offset - graph.shift @ weight
    product = graph.add("Add", product, offset.astype(np.float32))
    if len(sizes) == 1:
        return [product]
    return graph.add("Split", product, sizes, n_outputs=len(sizes), axis=1)


def _add_rest(graph, h, layers):
    """Add the dense layers behind the first, each of which has a ReLU before it."""
    for layer in layers:
        if hasattr(layer, "weight"):
            h = graph.add("Relu", h)
            h = graph.linear(h, array_of(layer.weight), array_of(layer.bias))
    return h
