"""The text format of the Extreme Classification Repository."""

import gzip

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.testing import assert_array_equal

from skxmc.datasets import dump_xmc_text, load_xmc_text

HAND_WRITTEN = b"""4 5 3
0,2 1:0.5 4:-2e-1
 3:1 0:7
1

"""


def write(tmp_path, content, name="data.txt"):
    path = tmp_path / name
    path.write_bytes(content)
    return path


def assert_same_csr(actual, expected):
    """Compare stored entries, not values only."""
    assert actual.shape == expected.shape
    assert_array_equal(actual.indptr, expected.indptr)
    assert_array_equal(actual.indices, expected.indices)
    # Bytes, since 0.0 equals -0.0 and nan equals nothing.
    assert actual.data.tobytes() == expected.data.tobytes()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_load_hand_written(tmp_path, dtype):
    X, Y = load_xmc_text(write(tmp_path, HAND_WRITTEN), dtype=dtype)
    expected = np.zeros((4, 5), dtype=dtype)
    expected[0, 1], expected[0, 4], expected[1, 3], expected[1, 0] = 0.5, -0.2, 1, 7
    assert_array_equal(X.toarray(), expected)
    assert_array_equal(Y.toarray(), [[1, 0, 1], [0, 0, 0], [0, 1, 0], [0, 0, 0]])
    assert isinstance(X, sp.csr_array)
    assert isinstance(Y, sp.csr_array)
    assert (X.dtype, Y.dtype) == (dtype, np.int8)
    assert X.indices.dtype == np.int32
    assert X.has_canonical_format
    assert Y.has_canonical_format


def test_load_is_lenient_about_white_space(tmp_path):
    expected = load_xmc_text(write(tmp_path, HAND_WRITTEN))
    content = HAND_WRITTEN.replace(b" 3:1 0:7", b"3:1\t 0:7 ").replace(b"\n", b"\r\n")
    for actual, matrix in zip(
        load_xmc_text(write(tmp_path, content)), expected, strict=True
    ):
        assert_same_csr(actual, matrix)


def test_load_gzip(tmp_path):
    path = write(tmp_path, gzip.compress(HAND_WRITTEN), "data.txt.gz")
    plain = write(tmp_path, HAND_WRITTEN)
    for actual, matrix in zip(load_xmc_text(path), load_xmc_text(plain), strict=True):
        assert_same_csr(actual, matrix)


@pytest.mark.parametrize("header", [b"", b"1 2", b"1 2 3 4", b"1 x 3", b"-1 2 3"])
def test_bad_header(tmp_path, header):
    path = write(tmp_path, header + b"\n0 1:1\n")
    with pytest.raises(ValueError, match=r"data\.txt, line 1: the header must be"):
        load_xmc_text(path)


@pytest.mark.parametrize(("announced", "rows"), [(3, 2), (1, 2), (10**17, 2)])
def test_wrong_number_of_rows(tmp_path, announced, rows):
    path = write(tmp_path, b"%d 2 2\n" % announced + b"0 1:1\n" * rows)
    message = f"line 1: the header announces {announced} rows, but {rows} follow"
    with pytest.raises(ValueError, match=message):
        load_xmc_text(path)


@pytest.mark.parametrize(
    "row",
    [
        b"0 1:1:1",
        b"0 1: 2:2",
        b"0 1: :2",
        b"0 1:1 2",
        b"0 1",
        b"0,,1 1:1",
        b"0, 1:1",
        b"x 1:1",
        b"0.5 1:1",
        b"0 1.5:1",
        b"0 1:one",
        b"0 1:1,0",
        b"0 1:1_0",
        b"0_1 1:1",
        b"0 1:\xff",
        b"0 99999999999999999999:1",
    ],
)
def test_malformed_row(tmp_path, row):
    path = write(tmp_path, b"3 9 9\n1 1:1\n" + row + b"\n1 1:1\n")
    with pytest.raises(ValueError, match=r"data\.txt, line 3: "):
        load_xmc_text(path)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (b"0 2:1", "feature 2 is not among the 2 features"),
        (b"0 -1:1", "feature -1 is not among the 2 features"),
        (b"3 1:1", "label 3 is not among the 3 labels"),
        (b"0 1:1 0:1 1:2", "feature 1 is repeated"),
        (b"2,1,2 1:1", "label 2 is repeated"),
    ],
)
def test_bad_index(tmp_path, row, message):
    # The neighbours end and begin with the same indices, which is no repetition.
    path = write(tmp_path, b"5 2 3\n1 1:1\n1 1:1\n\n" + row + b"\n2 1:1\n")
    with pytest.raises(ValueError, match=rf"data\.txt, line 5: {message}"):
        load_xmc_text(path)


def test_unsupported_dtype(tmp_path):
    with pytest.raises(ValueError, match="float32 or float64, got int64"):
        load_xmc_text(write(tmp_path, HAND_WRITTEN), dtype=np.int64)


@st.composite
def matrices(draw):
    """Draw X in float32 or float64 with stored zeros, and Y, with empty rows."""
    n_samples, n_features, n_labels = (draw(st.integers(1, 6)) for _ in range(3))
    pattern = draw(hnp.arrays(bool, (n_samples, n_features)))
    dtype = draw(st.sampled_from([np.float32, np.float64]))
    X = sp.csr_array(pattern.astype(dtype))
    values = hnp.from_dtype(np.dtype(dtype), allow_nan=False)
    X.data[:] = draw(hnp.arrays(dtype, X.nnz, elements=values))
    return X, sp.csr_array(draw(hnp.arrays(bool, (n_samples, n_labels))))


@settings(deadline=None)
@given(matrices(), st.sampled_from(["data.txt", "data.txt.gz"]))
def test_round_trip(tmp_path_factory, data, name):
    X, Y = data
    path = tmp_path_factory.mktemp("round_trip") / name
    dump_xmc_text(X, Y, path)
    X_read, Y_read = load_xmc_text(path, dtype=X.dtype)
    assert_same_csr(X_read, X)
    assert_same_csr(Y_read, Y.astype(np.int8))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_round_trip_of_any_bits(tmp_path, dtype):
    rng = np.random.RandomState(0)
    values = np.frombuffer(rng.bytes(80_000), dtype=dtype)
    # The second has the shortest digits 7.038531e-26, which as a double rounds away.
    values = np.append(values, np.array([1e-45, 7.038531e-26]).astype(dtype))
    values = np.append(values, np.array([0x15AE43FD], np.uint32).view(np.float32))
    values = values[np.isfinite(values)].astype(dtype)[:, None]
    X = sp.csr_array(values)
    dump_xmc_text(X, np.ones_like(values), tmp_path / "data.txt")
    assert_same_csr(load_xmc_text(tmp_path / "data.txt", dtype=dtype)[0], X)


def test_dump_is_short(tmp_path):
    X = np.array([[0.1, 0, 1 / 3], [0, 0, 0]], dtype=np.float32)
    dump_xmc_text(X, [[0, 1], [0, 0]], tmp_path / "data.txt")
    content = (tmp_path / "data.txt").read_text()
    assert content == "2 3 2\n1 0:0.1 2:0.33333334\n\n"


@pytest.mark.parametrize("container", [sp.csr_matrix, sp.csc_array, sp.coo_array])
def test_dump_leaves_its_input_alone(tmp_path, container):
    X, Y = container(np.eye(3)), container(np.ones((3, 2), dtype=np.int64))
    X.data[0] = 0
    Y.data[0] = 0
    before = X.copy(), Y.copy()
    dump_xmc_text(X, Y, tmp_path / "data.txt")
    assert (tmp_path / "data.txt").read_text().splitlines()[1] == "1 0:0.0"
    for matrix, copy in zip((X, Y), before, strict=True):
        assert_array_equal(matrix.data, copy.data)


def test_dump_sums_duplicates_on_a_copy(tmp_path):
    X = sp.csr_array(([1.0, 2.0, 4.0], [2, 0, 2], [0, 3]), shape=(1, 3))
    dump_xmc_text(X, [[1]], tmp_path / "data.txt")
    assert (tmp_path / "data.txt").read_text() == "1 3 1\n0 0:2.0 2:5.0\n"
    assert_array_equal(X.indices, [2, 0, 2])


def test_dump_refuses(tmp_path):
    with pytest.raises(ValueError, match="X has 2 rows, but Y has 3"):
        dump_xmc_text(np.ones((2, 1)), np.ones((3, 1)), tmp_path / "data.txt")
    with pytest.raises(ValueError, match=r"Y has the value 0\.5"):
        dump_xmc_text(np.ones((1, 1)), [[0.5]], tmp_path / "data.txt")
    assert list(tmp_path.iterdir()) == []


def test_no_rows_are_written_and_one_dimension_is_refused(tmp_path):
    path = tmp_path / "none.txt"
    dump_xmc_text(np.zeros((0, 3)), np.zeros((0, 2)), path)
    X, Y = load_xmc_text(path)
    assert (X.shape, Y.shape) == ((0, 3), (0, 2))
    with pytest.raises(ValueError, match="Y has the shape"):
        dump_xmc_text([[0, 1]], [1], path)


@pytest.mark.parametrize("damage", [lambda b: b[:-9], lambda b: b"no" + b[2:]])
def test_damaged_compressed_files_are_named(damage, tmp_path):
    path = tmp_path / "rows.txt.gz"
    dump_xmc_text(np.eye(50), np.eye(50), path)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ValueError, match=r"rows\.txt\.gz is damaged or incomplete"):
        load_xmc_text(path)
