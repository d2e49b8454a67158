"""Model files: what is saved comes back, and what is damaged or hostile does not.

The cases S01 to S15 of the acceptance matrix. Mutated files are loaded in subprocesses
with limits of memory and time, because what they could do is to crash.
"""

import hashlib
import io
import json
import os
import pickle
import signal
import stat
import struct
import sys
import threading
import warnings
import zipfile
from functools import partial
from pathlib import Path

import joblib
import numpy as np
import pytest
import safetensors.numpy
import scipy.sparse as sp
import torch
from _estimators import ESTIMATORS, VARIANTS
from _faults import (
    answers,
    assert_same_answers,
    contents,
    each_class,
    fitted,
    in_subprocess,
    outcome,
    problem,
)
from sklearn.exceptions import InconsistentVersionWarning, NotFittedError
from sklearn.feature_extraction.text import (
    CountVectorizer,
    HashingVectorizer,
    TfidfVectorizer,
)
from skorch.callbacks import EarlyStopping
from torch import nn

import skxmc
from skxmc import (
    DECLAREClassifier,
    MultiHeadEncodingClassifier,
    UniDECClassifier,
    XMCTextClassifier,
    _archive,
    _persistence,
)
from skxmc._archive import MAX_DESCRIPTION
from skxmc._model_files import FORMAT_VERSION
from skxmc._safetensors import MAX_ARRAYS, MAX_HEADER
from skxmc.datasets import make_xmc_classification
from skxmc.exceptions import CorruptFileError, FormatVersionError

resource = pytest.importorskip("resource", reason="limits memory by Unix's means")
SETTINGS = ESTIMATORS + VARIANTS
GOLDEN = Path(__file__).parent / "golden"
REFUSED = r"model\.skxmc cannot be loaded"


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.skxmc"


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Return the bytes of a file of each kind of estimator."""
    folder = tmp_path_factory.mktemp("saved")
    files = []
    for number in (0, 4, 6):
        fitted(SETTINGS[number]).save(folder / "model.skxmc")
        files.append((folder / "model.skxmc").read_bytes())
    return files


@pytest.mark.parametrize("storage", [None, "int8", "float16", "int4"])
@pytest.mark.parametrize("estimator", SETTINGS)
def test_s01_what_is_loaded_is_what_was_saved(estimator, storage, path):
    model = fitted(estimator)
    model = model if storage is None else model.compress(storage)
    digest = model.save(path)
    for mmap in (False, True):
        again = skxmc.load(path, mmap=mmap, expected_sha256=digest)
        assert type(again) is type(model)
        assert str(again.get_params()) == str(model.get_params())
        assert again.loss_curve_ == model.loss_curve_
        assert len(again.history_) == len(model.history_)
        assert_same_answers(again, model, problem()[0])
    assert again.save(path) == digest  # nothing is lost on the way


@pytest.mark.parametrize("estimator", SETTINGS)
def test_s01_a_loaded_model_can_be_trained_further(estimator, path):
    X, Y = problem()
    model = fitted(estimator, warm_start=True)
    model.save(path)
    again = skxmc.load(path)
    assert_same_answers(again.fit(X, Y), model.fit(X, Y), X)


@pytest.mark.parametrize("estimator", [DECLAREClassifier, UniDECClassifier])
@pytest.mark.parametrize("index", ["ivf", "hnsw"])
def test_s12_approximate_indexes_are_made_anew(estimator, index, path):
    X, Y = make_xmc_classification(600, 30, 50, random_state=0)
    model = estimator(index=index, random_state=0, max_epochs=1).fit(X, Y)
    model.save(path)
    assert_same_answers(skxmc.load(path), model, X)


@pytest.mark.parametrize("dtype", [str, object])
def test_names_of_classes_and_features_come_back(dtype, path):
    pd = pytest.importorskip("pandas")
    X, Y = problem()
    frame = pd.DataFrame(X.toarray(), columns=[f"größe {i}" for i in range(X.shape[1])])
    y = np.array([f"lä {c}" for c in Y.toarray().argmax(1)], dtype=dtype)
    model = DECLAREClassifier(random_state=0).fit(frame, y)
    model.save(path)
    again = skxmc.load(path)
    assert again.classes_.tolist() == model.classes_.tolist()
    assert again.feature_names_in_.tolist() == model.feature_names_in_.tolist()
    assert again.predict(frame).tolist() == model.predict(frame).tolist()
    assert again.predict(frame).dtype == model.predict(frame).dtype


def test_the_file_is_an_archive_of_json_and_safetensors(path):
    model = fitted(ESTIMATORS[0])
    digest = model.save(path)
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        config = json.loads(archive.read("config.json"))
        arrays = safetensors.numpy.load(archive.read("arrays.safetensors"))
    assert config["model"]["class"] == "DECLAREClassifier"
    assert config["versions"]["skxmc"] == skxmc.__version__
    sets = arrays["_store.sets.indices"]
    np.testing.assert_array_equal(sets, model._store.sets.indices)
    content = path.read_bytes()
    assert hashlib.sha256(content[: -(2 + 71)]).hexdigest() == digest


def test_arrays_that_are_mapped_lie_where_their_items_are_aligned(path):
    fitted(UniDECClassifier(max_epochs=1)).save(path)
    model = skxmc.load(path, mmap=True)
    assert model._ranker.keys.flags.aligned
    assert model._ranker.truth.data.flags.aligned


def test_writing_to_a_mapped_model_leaves_the_file_alone(path):
    fitted(UniDECClassifier(max_epochs=1)).save(path)
    before = path.read_bytes()
    model = skxmc.load(path, mmap=True)
    model._ranker.keys[:] = 7
    assert path.read_bytes() == before


def test_what_only_a_fit_needs_is_left_out_with_a_warning(path):
    X, Y = problem()
    model = UniDECClassifier(
        max_epochs=1,
        callbacks=[EarlyStopping("train_loss")],
        random_state=np.random.RandomState(0),
    ).fit(X, Y)
    with pytest.warns(UserWarning, match="no callbacks and no random_state") as caught:
        model.save(path)
    assert caught[0].filename == __file__
    again = skxmc.load(path)
    assert again.callbacks is None
    assert again.random_state is None
    assert_same_answers(again, model, X)


TEXTS = ["red wine", "white wine", "red apple", "green apple"] * 10
TAGS = [["drink", "red"], ["drink"], ["fruit", "red"], ["fruit"]] * 10


@pytest.mark.parametrize(
    "vectorizer",
    [
        None,
        TfidfVectorizer(ngram_range=(1, 2), use_idf=False),
        CountVectorizer(stop_words=["white"], dtype=np.float32),
        HashingVectorizer(n_features=64, alternate_sign=False),
    ],
)
@pytest.mark.parametrize("tags", [TAGS, [row[0] for row in TAGS]])
def test_texts_and_names_travel_along(vectorizer, tags, path):
    model = XMCTextClassifier(
        DECLAREClassifier(random_state=0), vectorizer=vectorizer
    ).fit(TEXTS, tags)
    digest = model.save(path)
    again = skxmc.load(path)
    assert list(again.predict(TEXTS)) == list(model.predict(TEXTS))
    assert again.suggest(TEXTS, k=2).equals(model.suggest(TEXTS, k=2))
    assert again.save(path) == digest


def test_a_function_in_a_vectorizer_is_refused_by_name(path):
    vectorizer = TfidfVectorizer(tokenizer=str.split, token_pattern=None)
    model = XMCTextClassifier(
        DECLAREClassifier(random_state=0), vectorizer=vectorizer
    ).fit(TEXTS, TAGS)
    with pytest.raises(ValueError, match=r"vectorizer.params.tokenizer=.*pickle"):
        model.save(path)


class Own(nn.Module):
    def forward(self, x):
        return x.to_dense()


def test_a_module_of_ones_own_is_refused_by_name(path):
    model = UniDECClassifier(encoder=Own(), max_epochs=1).fit(*problem())
    with pytest.raises(ValueError, match=r"encoder=Own\(\).*pickle the model instead"):
        model.save(path)
    assert not path.exists()


def test_label_features_and_a_fitted_start_are_stored(path):
    X, Y = problem()
    features = sp.csr_array(np.eye(Y.shape[1], X.shape[1]))
    model = UniDECClassifier(features, max_epochs=1, random_state=0).fit(X, Y)
    model.save(path)
    again = skxmc.load(path)
    assert (again.label_features != features).nnz == 0
    assert_same_answers(again.add_labels(features), model.add_labels(features), X)


def test_an_unfitted_estimator_is_not_saved(path):
    with pytest.raises(NotFittedError):
        DECLAREClassifier().save(path)


# Golden files -----------------------------------------------------------------------


@pytest.mark.parametrize("file", sorted(GOLDEN.glob("*.skxmc")), ids=lambda p: p.stem)
@pytest.mark.filterwarnings("ignore:The model was trained on cuda:UserWarning")
def test_s02_golden_files_of_every_format_predict_as_they_did(file):
    expected = json.loads(file.with_suffix(".json").read_text(encoding="utf-8"))
    model = skxmc.load(file)
    indices, scores = model.predict_topk(np.array(expected["X"]), k=3)
    assert indices.tolist() == expected["indices"]
    # Votes are powers of 24, which makes more of how a machine rounds.
    atol = 1e-5 if "votes" in file.stem else 1e-6
    np.testing.assert_allclose(scores, expected["scores"], atol=atol)


def test_s02_there_is_a_golden_file_of_each_estimator():
    names = {file.stem.split("-")[0] for file in GOLDEN.glob("*.skxmc")}
    assert {"declare", "multihead", "unidec"} <= names


# Damage -----------------------------------------------------------------------------


def resigned(content):
    """Return the content of a file with the digest that fits it."""
    body = content[: -(2 + 71)]
    digest = hashlib.sha256(body).hexdigest().encode()
    return body + struct.pack("<H", 71) + b"sha256:" + digest


def rewritten(content, change=lambda config: config, arrays=lambda data: data):
    """Return a well-formed file with another configuration and other arrays."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        config = json.loads(archive.read("config.json"))
        data = archive.read("arrays.safetensors")
    config = change(config)
    text = config if isinstance(config, bytes) else json.dumps(config).encode()
    return archive_of([("config.json", text), ("arrays.safetensors", arrays(data))])


def archive_of(members, method=zipfile.ZIP_STORED):
    stream = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(stream, "w", method) as archive:
        warnings.simplefilter("ignore")  # of names that occur twice
        for name, data in members:
            archive.writestr(zipfile.ZipInfo(name), data, compress_type=method)
    return resigned(stream.getvalue() + bytes(71))


def refuse(content, path, error=CorruptFileError, match=REFUSED):
    path.write_bytes(content)
    for mmap in (False, True):
        with pytest.raises(error, match=match):
            skxmc.load(path, mmap=mmap)


def test_s03_a_newer_format_is_refused_by_its_version(saved, path):
    def newer(config):
        return config | {"format_version": FORMAT_VERSION + 1}

    match = f"format {FORMAT_VERSION + 1}.*{skxmc.__version__}.*up to {FORMAT_VERSION}"
    refuse(rewritten(saved[0], newer), path, FormatVersionError, match)


def test_s04_truncated_files(saved, path):
    for content in saved:
        for part in range(50):
            path.write_bytes(content[: len(content) * part // 50])
            with pytest.raises(CorruptFileError, match=REFUSED):
                skxmc.load(path)


def test_s04_any_flipped_byte_is_found(saved, path):
    rng = np.random.default_rng(0)
    content = saved[0]
    places = [*range(60), *rng.integers(len(content), size=200), *range(-150, 0)]
    for place in places:
        changed = bytearray(content)
        changed[place] ^= 1 << rng.integers(8)
        path.write_bytes(changed)
        with pytest.raises(CorruptFileError, match=REFUSED):
            skxmc.load(path)


def test_s05_what_is_no_file(path, tmp_path):
    with pytest.raises(FileNotFoundError):
        skxmc.load(path)
    with pytest.raises(IsADirectoryError):
        skxmc.load(tmp_path)
    with pytest.raises(IsADirectoryError, match="name a file"):
        fitted(ESTIMATORS[0]).save(tmp_path)
    for content in (b"", b"PK\x03\x04", np.random.default_rng(0).bytes(5000)):
        refuse(content, path)


class Canary:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_s06_pickles_are_not_opened(path, tmp_path):
    canary = tmp_path / "canary"
    path.write_bytes(pickle.dumps(Canary(canary)))
    with pytest.raises(CorruptFileError, match="Pickles are never opened"):
        skxmc.load(path)
    joblib.dump(Canary(canary), path)
    with pytest.raises(CorruptFileError, match="Pickles are never opened"):
        skxmc.load(path)
    torch.save(Canary(canary), path)  # a ZIP archive, like ours
    with pytest.raises(CorruptFileError, match="another ZIP archive"):
        skxmc.load(path)
    assert not canary.exists()


def header_of(n_arrays=0, text=None):
    entry = {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}
    header = {f"a{i}": entry for i in range(n_arrays)} if text is None else text
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text


@pytest.mark.parametrize(
    "header",
    [
        header_of(MAX_ARRAYS + 1),
        header_of(300_000),
        header_of(text=b" " * (MAX_HEADER + 1)),
        struct.pack("<Q", 2**63) + b"{}",
        header_of(text=b"{"),
        header_of(text=b"[]"),
        header_of(text={"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 8]}}),
        header_of(text={"a": {"dtype": "F32", "shape": [-1], "data_offsets": [0, -4]}}),
        header_of(
            text={"a": {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 2**42]}}
        ),
        header_of(
            text={"a": {"dtype": "F32", "shape": [0, 2**62], "data_offsets": [0, 0]}}
        ),
        header_of(text={"a": {"dtype": "O", "shape": [0], "data_offsets": [0, 0]}}),
        header_of(text={"a": 3}),
        header_of(text=b'{"a": {}, "a": {}}'),
        b"",
    ],
    ids=range(14),
)
def test_s07_headers_that_promise_too_much(saved, header, path):
    refuse(rewritten(saved[0], arrays=lambda _: header), path)


def test_s08_a_file_larger_than_one_wants(saved, path):
    path.write_bytes(saved[0])
    with pytest.raises(ValueError, match=f"{len(saved[0])} bytes, but max_bytes=1000"):
        skxmc.load(path, max_bytes=1000)


def test_another_digest_than_expected(saved, path):
    path.write_bytes(saved[0])
    with pytest.raises(CorruptFileError, match=f"expected_sha256='{'0' * 64}'"):
        skxmc.load(path, expected_sha256="0" * 64)


def test_s09_archives_of_another_kind(saved, path, tmp_path):
    with zipfile.ZipFile(io.BytesIO(saved[0])) as archive:
        config, arrays = (archive.read(info) for info in archive.infolist())
    own = [("config.json", config), ("arrays.safetensors", arrays)]
    refuse(archive_of(own, zipfile.ZIP_DEFLATED), path, match="config.json is packed")
    for names in (
        ["config.json", "config.json"],
        ["config.json", "../arrays.safetensors"],
        ["/config.json", "arrays.safetensors"],
        ["arrays.safetensors", "config.json"],
    ):
        members = [(name, data) for name, (_, data) in zip(names, own, strict=True)]
        refuse(archive_of(members), path, match="it has the members")
    refuse(archive_of([*own, ("more", b"")]), path, match="another ZIP archive")
    assert [p.name for p in tmp_path.iterdir()] == ["model.skxmc"]
    assert not (tmp_path.parent / "arrays.safetensors").exists()


def in_model(**changes):
    def change(config):
        config["model"].update(changes)
        return config

    return change


def in_params(**changes):
    def change(config):
        config["model"]["state"]["params"]["items"].update(changes)
        return config

    return change


def in_encoder(name, value):
    def change(config):
        config["model"]["state"]["_encoder"]["state"][name] = value
        return config

    return change


def in_state(name, value):
    def change(config):
        config["model"]["state"][name] = value
        return config

    return change


@pytest.mark.parametrize(
    "change",
    [
        in_model(**{"class": "os.system"}),
        in_model(**{"class": "LabelStore"}),
        in_model(**{"class": ["DECLAREClassifier"]}),
        in_model(**{"$": "call"}),
        in_encoder("device", "nonsense"),
        in_encoder("device", 3),
        lambda config: config | {"model": None},
        lambda config: config | {"model": unfitted(config["model"])},
        lambda config: config | {"format_version": "1"},
        lambda config: config | {"format": "other"},
        lambda config: [config],
        in_params(n_neighbors=-1),
        in_params(n_neighbors={"$": "object", "class": "eval", "state": {}}),
        in_params(unknown=1),
        in_state("n_iter_", "many"),
        in_state("_encoder", None),
        in_state("unknown", 1),
        in_state("classes_", {"$": "array", "name": "none such"}),
        in_state("classes_", {"$": "dtype", "name": "V1000000000"}),
        lambda config: json.dumps(config).replace("{", '{"format": 1, ', 1).encode(),
        lambda config: b'{"format": NaN}',
        lambda config: b'{"format": 1, "format": 2}',
        lambda config: b'{"format": ' + b"9" * 5000 + b"}",
        lambda config: b"[" * 200_000,
        lambda config: b"\xff\xfe",
        lambda config: b" " * (MAX_DESCRIPTION + 1),
        lambda config: config | {"model": nested(100)},
    ],
    ids=range(27),
)
def test_s10_configurations_that_no_model_has(saved, change, path):
    refuse(rewritten(saved[0], change), path)


def unfitted(model):
    return model | {"state": {"params": model["state"]["params"]}}


def nested(depth):
    node = 1
    for _ in range(depth):
        node = [node]
    return node


def test_s10_names_in_a_file_import_nothing(saved, path):
    path.write_bytes(rewritten(saved[0], in_model(**{"class": "antigravity.fly"})))
    before = set(sys.modules)
    with pytest.raises(CorruptFileError):
        skxmc.load(path)
    assert set(sys.modules) == before


def with_array(name, change):
    """Return a change of the arrays: of one of them, by its name."""

    def changed(data):
        arrays = {k: v.copy() for k, v in safetensors.numpy.load(data).items()}
        arrays[name] = change(arrays[name])
        return safetensors.numpy.save(arrays)

    return changed


def first_as(value):
    def change(array):
        array.flat[0] = value
        return array

    return change


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("_store.sets.indices", first_as(-1)),
        ("_store.sets.indices", first_as(10**6)),
        ("_store.sets.indptr", first_as(1)),
        ("_store.sets.data", lambda a: a[1:]),
        ("_store.set_of_row", first_as(10**6)),
        ("_encoder.module.linear_weight", lambda a: a[:-1]),
        ("_encoder.module.linear_weight", lambda a: a.astype(np.float64)),
        ("_encoder.module.linear_bias", lambda a: a[:-1]),
        ("_form.classes", lambda a: a[:-1]),
    ],
    ids=lambda part: part if isinstance(part, str) else "",
)
def test_s11_arrays_that_do_not_fit(saved, name, change, path):
    refuse(rewritten(saved[0], arrays=with_array(name, change)), path)


@pytest.mark.parametrize("sizes", [[0, 0, 0], [1, 0, 8], [-1, -1, 8], [8], []])
def test_s11_levels_of_a_cascade_that_are_none(saved, sizes, path):
    def change(config):
        head = config["model"]["state"]["_encoder"]["state"]["module"]["state"]["head"]
        head["state"]["head_sizes"] = {"$": "tuple", "items": sizes}
        return config

    refuse(rewritten(saved[1], change), path)


@pytest.mark.parametrize(
    ("dtype", "change"),
    [("<U9999", lambda a: a), ("<U4", lambda a: a | 0x80), ("int64", lambda a: a)],
    ids=["wide", "no UTF-8", "no texts"],
)
def test_s11_names_of_classes_that_are_none(dtype, change, path):
    X, Y = problem()
    y = np.array([f"{c:04d}" for c in Y.toarray().argmax(1)])
    DECLAREClassifier(random_state=0).fit(X, y).save(path)

    def as_dtype(config):
        config["model"]["state"]["classes_"]["dtype"] = dtype
        return config

    refuse(
        rewritten(path.read_bytes(), as_dtype, with_array("_form.classes", change)),
        path,
    )


def test_s11_numbers_that_are_not_finite(saved, path):
    arrays = with_array("_encoder.module.linear_weight", first_as(np.nan))
    path.write_bytes(rewritten(saved[0], arrays=arrays))
    with pytest.raises(CorruptFileError, match="linear_weight' has numbers that are"):
        skxmc.load(path)


def test_s11_levels_of_a_cascade_that_lead_beyond_its_tables(saved, path):
    def change(config):
        head = config["model"]["state"]["_encoder"]["state"]["module"]["state"]["head"]
        head["state"]["head_sizes"] = {"$": "tuple", "items": [1, 1, 2]}
        return config

    refuse(rewritten(saved[1], change), path, match="levels have")


def mutate(content, rng):
    """Change, cut out, repeat or insert some bytes."""
    content = bytearray(content)
    for _ in range(rng.integers(1, 4)):
        at, length = rng.integers(len(content)), int(rng.integers(1, 9))
        kind = rng.integers(5)
        if kind == 0:
            content[at] ^= 1 << rng.integers(8)
        elif kind == 1:
            content[at : at + length] = rng.bytes(length)
        elif kind == 2:
            del content[at : at + length]
        elif kind == 3:
            content[at:at] = rng.bytes(length)
        else:
            content[at : at + length] = bytes([rng.choice([0, 255])]) * length
    return bytes(content)


def load_mutants(contents, seed, n_mutants, folder):
    """Load mutants and predict with what loads; return how each kind ended.

    Each is tried as it is, when only an error is right, and with a digest that fits, as
    by someone who means harm: then whatever loads has to answer or to raise an error.
    """
    os.environ["CUDA_VISIBLE_DEVICES"] = ""  # a GPU's addresses are beyond the limit
    limit = 4 * 2**30
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    rng = np.random.default_rng(seed)
    X, path = problem()[0], Path(folder) / "mutant.skxmc"
    counts = {"loaded though damaged": 0, "refused": 0, "answered": 0, "raised": 0}
    for _ in range(n_mutants):
        content = contents[rng.integers(len(contents))]
        mutant = mutate(content, rng)
        if mutant == content:
            continue
        path.write_bytes(mutant)
        counts["loaded though damaged"] += loads(path) is not None
        path.write_bytes(resigned(mutate_inside(content, rng)))
        model = loads(path, mmap=bool(rng.integers(2)))
        if model is None:
            counts["refused"] += 1
            continue
        try:
            model.predict_topk(X, k=3)
            counts["answered"] += 1
        except (ValueError, IndexError, RuntimeError, TypeError, MemoryError):
            counts["raised"] += 1
    return counts


def mutate_inside(content, rng):
    """Mutate the configuration, the header of arrays or the arrays, well-packed."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = [[i.filename, archive.read(i)] for i in archive.infolist()]
    member = members[rng.integers(2)]
    if member[0] == "arrays.safetensors" and rng.integers(2):
        length = 8 + struct.unpack("<Q", member[1][:8])[0]
        member[1] = mutate(member[1][:length], rng) + member[1][length:]
    else:
        member[1] = mutate(member[1], rng)
    return archive_of(members)


def loads(path, mmap=False):
    try:
        return skxmc.load(path, mmap=mmap)
    except (CorruptFileError, FormatVersionError):
        return None


def assert_mutants_do_no_harm(saved, seed, n_mutants, folder):
    result = in_subprocess(
        load_mutants, saved, seed, n_mutants, str(folder), timeout=280
    )
    assert result.returncode == 0
    assert result.value["loaded though damaged"] == 0
    assert result.value["refused"] > n_mutants / 4
    assert result.value["answered"] > 0


def test_mutated_files_do_no_harm(saved, tmp_path):
    assert_mutants_do_no_harm(saved, 0, 60, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 11))
def test_ten_thousand_mutated_files_do_no_harm(saved, seed, tmp_path):
    assert_mutants_do_no_harm(saved, seed, 1000, tmp_path)


# Writing ----------------------------------------------------------------------------


def test_s15_a_file_is_replaced_by_a_complete_one(path, monkeypatch):
    model = fitted(ESTIMATORS[0])
    model.save(path)
    before = path.read_bytes()

    def fail(*args):
        raise OSError("No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="No space left"):
        model.save(path)
    assert path.read_bytes() == before
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_s15_two_writers_at_once(path):
    models = [fitted(ESTIMATORS[0]), fitted(ESTIMATORS[3])]
    stop, errors = threading.Event(), []

    def write(model):
        while not stop.is_set():
            model.save(path)

    writers = [threading.Thread(target=write, args=(model,)) for model in models]
    models[0].save(path)
    for writer in writers:
        writer.start()
    for _ in range(50):
        try:
            skxmc.load(path)
        except Exception as error:
            errors.append(error)
    stop.set()
    for writer in writers:
        writer.join()
    assert errors == []


def save_beyond_the_limit(model, path):
    """Save where a file may have 1000 bytes, which is as on a full disk."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
    return outcome(model.save, path)


@each_class
def test_f07_a_full_disk_leaves_the_file_that_was_there(estimator, path):
    model = fitted(estimator)
    model.save(path)
    before = path.read_bytes()
    result = in_subprocess(save_beyond_the_limit, model, path)
    assert result.value.startswith("OSError: ")
    assert str(path) in result.value
    assert path.read_bytes() == before
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_f07_where_nothing_can_be_written(path, tmp_path):
    model = fitted(ESTIMATORS[0])
    with pytest.raises(FileNotFoundError, match=r"absent.*model\.skxmc"):
        model.save(tmp_path / "absent" / "model.skxmc")
    with pytest.raises(IsADirectoryError, match="is a folder; name a file"):
        model.save(tmp_path)
    assert [*tmp_path.iterdir()] == []


def save_and_die(model, path, place):
    """Save, but be killed by the first call of a function."""
    module, name = place.split(".")
    kill = partial(os.kill, os.getpid(), signal.SIGKILL)
    setattr({"os": os, "archive": _archive}[module], name, lambda *_: kill())
    model.save(path)


@pytest.mark.parametrize("place", ["archive.write_arrays", "os.fsync", "os.replace"])
def test_f08_killed_while_saving(place, path):
    old, new = fitted(ESTIMATORS[0]), fitted(ESTIMATORS[3])
    old.save(path)
    result = in_subprocess(save_and_die, new, path, place)
    assert result.returncode == -signal.SIGKILL
    [left] = [p for p in path.parent.iterdir() if p != path]
    assert left.name.startswith(".")
    assert_same_answers(skxmc.load(path), old, problem()[0])
    new.save(path)
    assert_same_answers(skxmc.load(path), new, problem()[0])


def test_the_mode_is_that_of_any_new_file(path, tmp_path):
    (tmp_path / "other").touch()
    fitted(ESTIMATORS[0]).save(path)
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE(
        (tmp_path / "other").stat().st_mode
    )


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
def test_s13_a_model_of_a_gpu_predicts_on_the_cpu_and_says_so(saved, path):
    def change(config):
        config["model"]["state"]["_encoder"]["state"]["device"] = "cuda"
        return config

    path.write_bytes(rewritten(saved[1], change))
    with pytest.warns(UserWarning, match="trained on cuda.*predict on the CPU"):
        model = skxmc.load(path)
    assert_same_answers(model, fitted(SETTINGS[4]), problem()[0])


def answers_of_pickle(path):
    return list(map(contents, answers(joblib.load(path), problem()[0])))


def test_s14_pickles_go_on_working_and_warn_of_other_versions(tmp_path, monkeypatch):
    model = fitted(ESTIMATORS[3])
    joblib.dump(model, tmp_path / "model.joblib")
    mapped = joblib.load(tmp_path / "model.joblib", mmap_mode="r")
    assert_same_answers(mapped, model, problem()[0])
    result = in_subprocess(answers_of_pickle, tmp_path / "model.joblib")
    assert result.value == list(map(contents, answers(model, problem()[0])))
    monkeypatch.setattr(_persistence, "__version__", "99.0")
    with pytest.warns(InconsistentVersionWarning, match="from version 0.* using .* 99"):
        pickle.loads(pickle.dumps(model).replace(b"99.0", b"0.01"))


def test_estimators_among_parameters_have_sizes_of_their_own(path):
    X, Y = make_xmc_classification(120, 30, 12, random_state=0)
    y = Y.toarray().argmax(axis=1)
    first = MultiHeadEncodingClassifier("sampling", max_epochs=1).fit(X, y)
    model = MultiHeadEncodingClassifier(init=first, max_epochs=1, random_state=0)
    model.fit(X, Y).save(path)
    again = skxmc.load(path)
    assert_same_answers(again, model, X)
    assert_same_answers(again.init, first, X)


@pytest.mark.parametrize("names", [["a", "b"], [3, 20]])
def test_texts_of_labels_are_kept(names, path):
    texts = ["red wine", "white wine", "red apple", "green apple"] * 10
    tags = [names, names[:1], names[1:], names[1:]] * 10
    described = dict.fromkeys(names[:1], "drink " * 200000)
    classifier = UniDECClassifier(max_epochs=1, random_state=0)
    model = XMCTextClassifier(classifier, label_texts=described).fit(texts, tags)
    model.save(path)
    again = skxmc.load(path)
    assert again.label_texts == described
    assert again.suggest(texts, k=2).equals(model.suggest(texts, k=2))
