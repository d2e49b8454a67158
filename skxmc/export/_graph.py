"""ONNX graphs, written node by node."""

from pathlib import Path

import numpy as np

from skxmc._version import __version__

# Operators of 2022, which runtimes have had for years.
_OPSET, _IR_VERSION = 18, 8
FLOAT, DOUBLE = 1, 11  # kinds of numbers, of onnx.TensorProto
_INPUTS = "indices", "values"
# Protocol buffers end at 2 GiB; above this, weights go into a file beside.
_MAX_INLINE_BYTES = 2**30


class Graph:
    """Nodes and weights of a model that takes padded rows, see `pad_rows`.

    Methods that add a node take and return names of tensors; arrays and numbers among
    their inputs become weights.
    """

    def __init__(self):
        self.nodes, self.weights = [], []
        self.indices, self.values = _INPUTS  # both (n_rows, width)
        self.shift = None  # what is subtracted from rows: (n_features,), or nothing

    def map_rows(self, balance):
        """Map the rows by a `Balance`, before all else."""
        scale = self.add("Gather", balance.scale, self.indices)
        self.values = self.add("Mul", self.values, scale)
        if balance.columns is not None:
            # Values of columns that are left out are 0 by now, wherever they stand.
            self.indices = self.add("Gather", balance.places, self.indices)
        if balance.mean is not None:
            self.shift = balance.mean.astype(np.float64) * balance.scale

    def add(self, operator, *inputs, n_outputs=1, **attributes):
        """Add a node; return the name of its output, or their list."""
        from onnx.helper import make_node

        number = len(self.nodes)
        outputs = [f"{operator}_{number}_{i}" for i in range(n_outputs)]
        names = [x if isinstance(x, str) else self.weight(x) for x in inputs]
        self.nodes.append(make_node(operator, names, outputs, **attributes))
        return outputs[0] if n_outputs == 1 else outputs

    def weight(self, value):
        """Add an array or a number; numbers are int64 or float32."""
        from onnx.numpy_helper import from_array

        array = np.asarray(value)
        if array.dtype == np.float64 and not isinstance(value, np.ndarray):
            array = array.astype(np.float32)
        name = f"weight_{len(self.weights)}"
        self.weights.append(from_array(np.ascontiguousarray(array), name))
        return name

    def linear(self, h, weight, bias):
        """Add ``h @ weight.T + bias``; `weight` is (n_outputs, n_inputs)."""
        return self.add("Gemm", h, weight, bias, transB=1)

    def pair_products(self, h, table, chosen):
        """Add ``[h, 1] @ table[chosen]`` for the rows of a table chosen for each row.

        `table` is (n_labels, n_inputs + 1), `chosen` and the result (n_rows, n_chosen).
        """
        weight, bias = (np.ascontiguousarray(p) for p in (table[:, :-1], table[:, -1]))
        vectors = self.add("Gather", weight, chosen)  # (n_rows, n_chosen, n_inputs)
        column = self.add("Unsqueeze", h, [2])
        products = self.add("Squeeze", self.add("MatMul", vectors, column), [2])
        return self.add("Add", products, self.add("Gather", bias, chosen))

    def log_sigmoid(self, z):
        """Add ``log(sigmoid(z))``."""
        return self.add("Neg", self.add("Softplus", self.add("Neg", z)))

    def topk(self, scores, k):
        """Add the k largest of each row: [values, places], largest first."""
        return self.add("TopK", scores, [k], n_outputs=2, axis=1)

    def unit_length(self, h, min_norm):
        """Add ``h / max(||h||, min_norm)``."""
        norm = self.add("ReduceL2", h, [1], keepdims=1)
        return self.add("Div", h, self.add("Max", norm, float(min_norm)))

    def save(self, path, outputs, metadata):
        """Check the model and write it.

        `outputs` maps the public name of each output to (tensor, kind, width), the kind
        being "FLOAT" or "INT64".
        """
        import onnx
        from onnx.helper import make_model, make_node, make_opsetid

        nodes = [
            *self.nodes,
            *(make_node("Identity", [t], [name]) for name, (t, *_) in outputs.items()),
        ]
        inputs = [
            _describe(_INPUTS[0], "INT64", "width"),
            _describe(_INPUTS[1], "FLOAT", "width"),
        ]
        described = [_describe(name, *rest) for name, (_, *rest) in outputs.items()]
        graph = onnx.helper.make_graph(nodes, "skxmc", inputs, described, self.weights)
        model = make_model(
            graph,
            opset_imports=[make_opsetid("", _OPSET)],
            ir_version=_IR_VERSION,
            producer_name="skxmc",
            producer_version=__version__,
        )
        onnx.helper.set_model_props(model, {k: str(v) for k, v in metadata.items()})
        self._write(model, Path(path))

    def _write(self, model, path):
        import onnx

        n_bytes = sum(len(weight.raw_data) for weight in self.weights)
        beside = {}
        if n_bytes > _MAX_INLINE_BYTES:
            location = path.name + ".data"
            # onnx would append to it.
            path.with_name(location).unlink(missing_ok=True)
            beside = {"save_as_external_data": True, "location": location}
        onnx.save_model(model, path, **beside)
        onnx.checker.check_model(str(path), full_check=True)


def _describe(name, kind, width):
    from onnx import TensorProto
    from onnx.helper import make_tensor_value_info

    return make_tensor_value_info(name, getattr(TensorProto, kind), ["n_rows", width])
