"""The encoder as a function of rows, and the names of devices."""

import pickle
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from skxmc._nn import Encoder, SparseEncoder, _encoder, resolve_device

CPU = torch.device("cpu")
HAS_CUDA = torch.cuda.is_available()
needs_no_cuda = pytest.mark.skipif(HAS_CUDA, reason="there is a CUDA device")


def random_encoder(device=CPU):
    rng = np.random.default_rng(0)
    linear = rng.standard_normal((30, 12)), rng.standard_normal(12)
    module = SparseEncoder(
        30,
        12,
        (50, 40),
        dropout=0.5,
        input_scale=0.5,
        linear=[part.astype(np.float32) for part in linear],
        seed=0,
    )
    with torch.no_grad():
        module.rest[-1].weight.normal_(generator=torch.Generator().manual_seed(0))
    return Encoder(module, device)


def random_csr(n_rows):
    rng = np.random.default_rng(1)
    X = sp.random_array((n_rows, 30), density=0.2, format="csr", rng=rng)
    return X.astype(np.float32)


@pytest.mark.parametrize("n_rows", [1, 8, 9, 64, 65, 256, 300])  # 256 at a time
def test_a_row_is_encoded_the_same_whatever_it_is_encoded_with(n_rows):
    encode, X = random_encoder(), random_csr(n_rows)
    together = encode(X)
    assert together.shape == (n_rows, 12)
    assert together.dtype == np.float32
    alone = np.vstack([encode(X[[i]]) for i in range(n_rows)])
    order = np.random.default_rng(0).permutation(n_rows)
    assert np.array_equal(alone, together)
    assert np.array_equal(encode(X[order]), together[order])


def heights_of_blocks(encode):
    seen = []
    encode.module.register_forward_pre_hook(lambda _, rows: seen.append(len(rows[0])))
    return seen


HEIGHTS = [
    # What is set, numbers of rows, the blocks they are put into.
    ({}, 1, [2]),
    ({}, 3, [8]),
    ({}, 8, [8]),
    ({}, 9, [64]),
    ({}, 256, [256]),
    ({}, 257, [256, 2]),
    ({}, 321, [256, 128]),
    ({"n_scores": 4096}, 100, [128]),
    ({"n_scores": 4097}, 100, [64, 64]),
    ({"is_foreign": True}, 1, [64]),
    ({"is_foreign": True}, 100, [64, 64]),
]


@pytest.mark.parametrize(("attributes", "n_rows", "heights"), HEIGHTS)
def test_how_many_rows_a_module_is_given_at_once(attributes, n_rows, heights):
    module, X = random_encoder().module, random_csr(n_rows)
    expected = Encoder(module, CPU)(X)
    for name, value in attributes.items():
        setattr(module, name, value)
    own = Encoder(module, CPU)
    for encode in (pickle.loads(pickle.dumps(own)), own):
        seen = heights_of_blocks(encode)
        assert np.array_equal(encode(X), expected)
        assert seen == heights


@pytest.mark.parametrize("n_rows", [1, 64, 511, 512, 600, 1100])
def test_more_rows_at_once_on_a_gpu_are_the_same_rows(n_rows, monkeypatch):
    encode, X = random_encoder(), random_csr(n_rows)
    expected = encode(X)
    monkeypatch.setattr(encode, "_block_size", _encoder.ROWS_ON_DEVICE)
    monkeypatch.setattr(encode, "_least", 64)
    seen = heights_of_blocks(encode)
    assert np.array_equal(encode(X), expected)
    assert seen == [512] * (n_rows // 512) + [64 * -(-(n_rows % 512) // 64)] * (
        n_rows % 512 > 0
    )


def test_encoding_is_evaluation_without_gradient_on_any_number_of_threads():
    module = torch.nn.Module()
    seen = []

    def forward(x):
        mode = module.training, torch.is_grad_enabled(), torch.get_num_threads()
        seen.append(mode)
        return x.matmul(torch.eye(30))

    module.forward = forward
    X, n_threads = random_csr(3), torch.get_num_threads()
    np.testing.assert_array_equal(Encoder(module, CPU)(X), X.toarray())
    assert seen == [(False, False, 1)]
    assert torch.get_num_threads() == n_threads
    assert torch.is_grad_enabled()


def test_a_pickled_encoder_computes_the_same():
    encode, X = random_encoder(), random_csr(70)
    restored = pickle.loads(pickle.dumps(encode))
    assert restored.device == CPU
    assert np.array_equal(restored(X), encode(X))


def test_size_is_that_of_the_weights():
    n_weights = 30 * 50 + 50 + 50 * 40 + 40 + 40 * 12 + 12 + 30 * 12 + 12
    assert random_encoder().n_bytes == 4 * n_weights


@needs_no_cuda
def test_a_model_from_an_absent_device_warns_and_predicts_on_the_cpu():
    encode, X = random_encoder(), random_csr(5)
    moved = Encoder.__new__(Encoder)
    with pytest.warns(UserWarning, match="trained on cuda:0, which is not available"):
        moved.__setstate__(encode.__getstate__() | {"device": "cuda:0"})
    assert moved.device == CPU
    assert np.array_equal(moved(X), encode(X))


@pytest.mark.parametrize(
    ("name", "n_devices", "expected"),
    [("cuda:1", 1, "cuda"), ("cuda:1", 2, "cuda:1"), ("cuda", 1, "cuda")],
)
def test_models_of_a_gpu_that_is_not_seen_move_to_the_first(
    monkeypatch, name, n_devices, expected
):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: n_devices)
    module = SimpleNamespace(to=lambda device: f"on {device}")
    moved = Encoder.__new__(Encoder)
    moved.__setstate__({"module": module, "device": name})
    assert (str(moved.device), moved.module) == (expected, f"on {expected}")


@pytest.mark.gpu
@pytest.mark.skipif(not HAS_CUDA, reason="needs a CUDA device")
def test_a_pickled_gpu_encoder_keeps_its_device_and_the_original_too():
    encode, X = random_encoder(torch.device("cuda")), random_csr(70)
    before = encode(X)
    restored = pickle.loads(pickle.dumps(encode))
    assert restored.device.type == "cuda"
    assert np.array_equal(restored(X), before)
    assert np.array_equal(encode(X), before)
    np.testing.assert_allclose(before, random_encoder()(X), rtol=1e-4, atol=1e-4)


def test_auto_is_the_best_device_there_is():
    has_mps = torch.backends.mps.is_available()
    best = "cuda" if HAS_CUDA else "mps" if has_mps else "cpu"
    assert resolve_device("auto").type == best
    assert resolve_device("cpu") == CPU


@pytest.mark.parametrize(
    ("device", "message"),
    [
        ("tpu", "device='tpu' is not the name of a device; use 'auto'"),
        ("cuda:7x", "device='cuda:7x' is not the name of a device; use 'auto'"),
        ("", "device='' is not the name of a device"),
        ("meta", r"device='meta' is not supported; use one of .*'cpu'"),
        pytest.param(
            "cuda",
            r"device='cuda' requested but torch.cuda.is_available\(\) is False",
            marks=needs_no_cuda,
        ),
        pytest.param(
            "cuda:99",
            r"device='cuda:99' requested but there are only \d+ CUDA devices",
            marks=pytest.mark.skipif(not HAS_CUDA, reason="needs a CUDA device"),
        ),
    ],
)
def test_a_device_that_is_not_there_is_refused(device, message):
    with pytest.raises(ValueError, match=message):
        resolve_device(device)
