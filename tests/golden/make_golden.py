"""Write the golden files of this release: ``python tests/golden/make_golden.py NAME``.

NAME is that of the release, and ends the names of the files; nothing that is there is
written over. Files of past releases are never made again: `load` has to go on reading
them. With `--device cuda`, those of models that a GPU has trained.
"""

import argparse
import json
from pathlib import Path

from skxmc import DECLAREClassifier, MultiHeadEncodingClassifier, UniDECClassifier
from skxmc.datasets import make_xmc_classification

FOLDER = Path(__file__).parent


def models(device):
    small = {"max_epochs": 2, "random_state": 0, "device": device}
    hidden = {"hidden_layer_sizes": (8,), "n_components": 4, **small}
    return {
        "declare": DECLAREClassifier(n_components=6, **small),
        "declare-perceptron": DECLAREClassifier(keys="exact", **hidden),
        "multihead-product": MultiHeadEncodingClassifier(
            "product", n_heads=2, **hidden
        ),
        "multihead-cascade": MultiHeadEncodingClassifier(
            "cascade", n_heads=2, **hidden
        ),
        "multihead-sampling": MultiHeadEncodingClassifier(
            "sampling", n_heads=2, **hidden
        ),
        "unidec": UniDECClassifier(embedding_size=8, **hidden),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--folder", type=Path, default=FOLDER)
    options = parser.parse_args()
    X, Y = make_xmc_classification(40, 12, 10, n_nonzero=4, random_state=0)
    for name, model in models(options.device).items():
        model.fit(X, Y)
        write(options.folder / f"{name}-{options.name}", model, X)
        if name == "unidec":
            write(options.folder / f"{name}-int8-{options.name}", model.compress(), X)


def write(stem, model, X):
    path = stem.with_name(f"{stem.name}.skxmc")
    if path.exists():
        raise FileExistsError(f"{path} is there; golden files are not written over.")
    model.save(path)
    indices, scores = model.predict_topk(X[:8], k=3)
    expected = {
        "X": X[:8].toarray().tolist(),
        "indices": indices.tolist(),
        "scores": scores.tolist(),
    }
    text = json.dumps(expected)
    stem.with_name(f"{stem.name}.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
