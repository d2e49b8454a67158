"""The layers of the package: imports go downwards only."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import skxmc

ROOT = Path(skxmc.__file__).parent

# What a module or folder may import from the package; nothing else may be imported.
ALLOWED = {
    "__init__": {
        "_declare",
        "_load",
        "_mhe",
        "_text_classifier",
        "_text_encoder",
        "_unidec",
        "_version",
    },
    "__main__": {"_cli"},
    "_cli": {"_commands"},
    "_commands": {"_json_lines", "_tags", "datasets"},
    "_load": {"_declare", "_mhe", "_model_files", "_text_classifier", "_unidec"},
    "_text_classifier": {
        "_declare",
        "_doc_links",
        "_model_files",
        "_stored_texts",
        "_suggestions",
        "_tags",
        "metrics",
    },
    "_stored_texts": {"_model_kinds"},
    "_model_schema": {
        "_balance",
        "_dual_ranking",
        "_label_features",
        "_model_kinds",
        "_neighbor_votes",
        "_neighbors",
        "_nn",
        "_one_vs_rest",
        "_recovery",
        "_stored",
        "_targets",
    },
    "_model_files": {"_archive", "_model_kinds", "_model_tree", "exceptions"},
    "_checkpoint": {"_archive", "_model_tree", "_version", "exceptions"},
    "_archive": {"_safetensors", "_version", "exceptions"},
    "_model_tree": {"_model_fields", "_model_kinds", "exceptions"},
    "_model_fields": {"exceptions"},
    "_safetensors": {"exceptions"},
    "_declare": {
        "_base",
        "_blocks",
        "_compression",
        "_freed",
        "_linear_map",
        "_mapped",
        "_memory",
        "_neighbors",
        "_nn",
        "_one_vs_rest",
        "_recovery",
        "_shortlists",
        "_squared_hinge",
        "metrics",
    },
    "_one_vs_rest": {
        "_blocks",
        "_hinge_newton",
        "_mapped",
        "_nn",
        "_recovery",
        "_squared_hinge",
    },
    "_shortlists": {"_blocks", "_neighbors", "_recovery", "_topk"},
    "_linear_map": {"_compression", "_mapped", "_ridge", "_squared_hinge"},
    "_squared_hinge": {"_hinge_newton", "_mapped", "_nn", "_ridge"},
    "_mhe": {
        "_base",
        "_blocks",
        "_codes",
        "_features",
        "_label_order",
        "_memory",
        "_neighbor_votes",
        "_nn",
        "metrics",
    },
    "_unidec": {
        "_base",
        "_dual_ranking",
        "_dual_training",
        "_features",
        "_label_features",
        "_mapped",
        "_memory",
        "_neighbor_votes",
        "_nn",
        "_targets",
        "_text_encoder",
        "metrics",
    },
    "inspection": {"_base", "_blocks", "_declare", "_text_classifier"},
    "distributed": {"_load"},
    "export": {
        "_codes",
        "_declare",
        "_dual_ranking",
        "_mhe",
        "_neighbor_votes",
        "_nn",
        "_recovery",
        "_text_classifier",
        "_topk",
        "_unidec",
        "_validation",
        "_version",
    },
    "_text_encoder": {"_doc_links", "_nn"},
    "_dual_training": {
        "_blocks",
        "_dual_ranking",
        "_label_order",
        "_mapped",
        "_mining",
        "_neighbors",
        "_nn",
    },
    "_dual_ranking": {
        "_calibration",
        "_neighbor_votes",
        "_neighbors",
        "_pairs",
        "_stored",
        "_topk",
    },
    "_neighbor_votes": {"_blocks", "_mapped", "_neighbors", "_nn", "_recovery"},
    "_features": {"_freed", "_linear_features", "_mapped", "_nn"},
    "_label_features": {"_centroids"},
    "_mining": {"_blocks", "_neighbors", "_nn", "_pairs"},
    "_linear_features": {
        "_blocks",
        "_compression",
        "_linear_map",
        "_mapped",
        "_squared_hinge",
    },
    "_base": {
        "_blocks",
        "_checked_data",
        "_checkpoint",
        "_doc_links",
        "_freed",
        "_memory",
        "_nn",
        "_persistence",
        "_predictions",
        "_topk",
        "_validation",
        "exceptions",
    },
    "_memory": {
        "_centroids",
        "_codes",
        "_hinge_newton",
        "_label_svd",
        "_neighbors",
        "_ridge",
        "_shortlists",
        "_squared_hinge",
    },
    "_persistence": {"_model_files", "_model_schema", "_stored", "_version"},
    "_balance": {"_mapped"},
    "_checked_data": {"_balance", "_mapped", "_nn", "_targets", "_validation"},
    "_predictions": {"_tags", "_targets", "_topk", "_validation", "metrics"},
    "_nn": {
        "_blocks",
        "_codes",
        "_forked",
        "_mapped",
        "_model_kinds",
        "_picks",
        "_product_topk",
        "_stored",
        "_topk",
        "exceptions",
    },
    "_label_order": {"_centroids", "_label_svd", "_mapped"},
    "_product_topk": {"_codes", "_topk"},
    "_compression": {
        "_blocks",
        "_label_sketch",
        "_label_svd",
        "_mapped",
        "_pairs",
        "_ridge",
    },
    "_label_sketch": {"_label_svd", "_mapped"},
    "_label_svd": {"_mapped"},
    "_neighbors": {"_blocks", "_forked", "_nn", "_pairs", "_stored", "_topk"},
    "_recovery": {"_blocks", "_mapped", "_pairs", "_topk"},
    "_ridge": {"_freed", "_mapped", "_nn"},
    "_targets": {"_mapped", "_validation"},
    "display": {
        "_innermost",
        "_tags",
        "_topk",
        "_validation",
        "inspection",
        "metrics",
    },
    "metrics": {"_innermost", "_pairs", "_tags", "_topk", "_validation"},
    "model_selection": {"_innermost", "_tags", "_targets", "_topk"},
    "calibration": {
        "_calibration",
        "_doc_links",
        "_innermost",
        "_predictions",
        "_suggestions",
        "_topk",
        "metrics",
        "model_selection",
    },
    "_centroids": {"_mapped"},
    "_codes": {"_blocks", "_mapped"},
    "_picks": {"_blocks"},
    "datasets": {"_mapped", "_tags", "_validation"},
}
# Heavy packages, and the only module or folder that imports each.
HOMES = {
    "torch": "_nn",
    "skorch": "_nn",
    "tqdm": "_nn",
    "faiss": "_neighbors/_faiss",
    "transformers": "_nn",
    "matplotlib": "display",
    "onnx": "export",
}


def modules():
    return sorted(ROOT.rglob("*.py"))


def unit_of(path):
    """Name the module, or the folder it lies in: what the rules are about."""
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def imported_names(path):
    """Yield the full dotted names that a module imports, anywhere in it."""
    package = ["skxmc", *path.relative_to(ROOT).parts[:-1]]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*above, *filter(None, [node.module])])
            yield from (f"{module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_go_down_only(path):
    unit, place = unit_of(path), path.relative_to(ROOT).with_suffix("").as_posix()
    names = [name.split(".") for name in imported_names(path)]
    own = {name[1] for name in names if name[0] == "skxmc" and len(name) > 1}
    assert own - {unit} <= ALLOWED.get(unit, set())
    for name in names:
        assert HOMES.get(name[0], unit) in (unit, place)


def test_layers_have_no_cycle():
    below = {unit: set(targets) for unit, targets in ALLOWED.items()}
    while below:
        bottom = {unit for unit, targets in below.items() if not targets & below.keys()}
        assert bottom, f"a cycle among {sorted(below)}"
        below = {unit: below[unit] for unit in below.keys() - bottom}


def test_private_parts_of_scikit_learn_are_few():
    private = {
        name
        for path in modules()
        for name in imported_names(path)
        if name.startswith("sklearn.") and "._" in name
    }
    assert {name.rpartition(".")[0] for name in private} <= {
        "sklearn.base",
        "sklearn.metrics._scorer",
        "sklearn.utils",  # _safe_indexing, which is in its reference
        "sklearn.utils._param_validation",
    }


def test_import_adds_no_side_effects_to_those_of_its_dependencies():
    code = (
        "import os, sys, skorch, sklearn, torch\n"
        "before, threads = dict(os.environ), torch.get_num_threads()\n"
        "from skxmc import *\n"
        "import skxmc.display\n"
        "assert dict(os.environ) == before\n"
        "assert torch.get_num_threads() == threads\n"
        "assert not torch.cuda.is_initialized()\n"
        "assert not {'faiss', 'matplotlib'} & sys.modules.keys()\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_data_sets_and_metrics_do_without_torch():
    code = (
        "import sys, skxmc\n"
        "assert 'sklearn' not in sys.modules\n"
        "skxmc.metrics.precision_at_k, skxmc.datasets.load_dataset\n"
        "assert 'torch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_first_fit_imports_no_compiler():
    """That takes 1.5 s and 90 MiB: torch does so where no one asks it to compile."""
    code = (
        "import sys, tempfile\n"
        "from skxmc import *\n"
        "from skxmc.datasets import make_xmc_classification\n"
        "X, Y = make_xmc_classification(100, 50, 5, random_state=0)\n"
        "small = {'hidden_layer_sizes': (4,), 'max_epochs': 1}\n"
        "kinds = DECLAREClassifier, MultiHeadEncodingClassifier, UniDECClassifier\n"
        "for kind in kinds:\n"
        "    with tempfile.TemporaryDirectory() as folder:\n"
        "        model = kind(**small, checkpoint=folder + '/a').fit(X, Y)\n"
        "        model.save(folder + '/model')\n"
        "        load(folder + '/model').predict_topk(X)\n"
        "assert not {'torch._dynamo', 'sympy'} & sys.modules.keys()\n"
    )
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True)


def test_every_public_name_is_there_and_no_other():
    assert {name for name in skxmc.__all__ if not hasattr(skxmc, name)} == set()
    assert set(skxmc.__all__) <= set(dir(skxmc))
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        skxmc.Nothing  # noqa: B018
