"""ONNX models beside the estimators that they were made of.

``SKXMC_DATA=folder python examples/benchmarks/onnx_export.py`` (with the extra
``skxmc[onnx]``) fits estimators to bibtex and prints, for the test part, the share of
the best 5 labels that are the same, the largest difference of a score, precision@1 of
both, and CPU milliseconds to rank a row.
"""

import tempfile
import time
from pathlib import Path

import numpy as np
import onnxruntime
from _data import load, print_header, print_row
from threadpoolctl import threadpool_limits

from skxmc import DECLAREClassifier, MultiHeadEncodingClassifier, UniDECClassifier
from skxmc.export import pad_rows, to_onnx
from skxmc.metrics import precision_at_k

NO_VOTES = {"neighbor_weight": 0, "random_state": 0}
ESTIMATORS = {
    "UniDEC": UniDECClassifier(**NO_VOTES),
    "multi-head, full": MultiHeadEncodingClassifier("full", **NO_VOTES),
    "multi-head, cascade": MultiHeadEncodingClassifier(
        "cascade", n_heads=2, n_candidate_groups=5, **NO_VOTES
    ),
    "multi-head, product": MultiHeadEncodingClassifier("product", **NO_VOTES),
    "DECLARE, linear": DECLAREClassifier(
        decoder="linear", input_weight=0, random_state=0
    ),
}
N_ROWS = 200  # that are timed


def main():
    X, Y, X_test, Y_test = load("bibtex")
    print_header(
        "model",
        "same labels",
        "score, max diff",
        "P@1",
        "P@1, ONNX",
        "CPU ms",
        "CPU ms, ONNX",
        "MiB",
    )
    for name, estimator in ESTIMATORS.items():
        with tempfile.TemporaryDirectory() as folder, threadpool_limits(1):
            path = Path(folder) / "model.onnx"
            model = estimator.fit(X, Y)
            to_onnx(model, path)
            compare(name, model, path, X_test, Y_test)


def compare(name, model, path, X, Y):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    providers = ["CPUExecutionProvider"]
    session = onnxruntime.InferenceSession(path, options, providers=providers)

    def run(X):
        return session.run(["labels", "scores"], pad_rows(X))

    starts = range(0, X.shape[0], 64)
    batches = [run(X[start : start + 64]) for start in starts]
    exported = [np.concatenate(part) for part in zip(*batches, strict=True)]
    own = model.predict_topk(X, k=5)
    precision = [100 * precision_at_k(Y, tuple(r), k=1) for r in (own, exported)]
    times = [ms_a_row(function, X) for function in (model.predict_topk, run)]
    print_row(
        name,
        f"{100 * np.mean(own[0] == exported[0]):.2f} %",
        f"{np.abs(own[1] - exported[1]).max():.0e}",
        *(f"{p:.2f}" for p in precision),
        *(f"{t:.2f}" for t in times),
        f"{path.stat().st_size / 2**20:.0f}",
    )


def ms_a_row(function, X):
    rows = [X[[i]] for i in range(N_ROWS)]
    function(rows[0])
    start = time.process_time()
    for row in rows:
        function(row)
    return 1000 * (time.process_time() - start) / N_ROWS


if __name__ == "__main__":
    main()
