"""The data set made of the standard library."""

import gzip
import json
import sysconfig

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from skxmc.datasets import _stdlib, load_stdlib_calls
from skxmc.datasets._stdlib_parse import parse_library

LIBRARY = {
    "alpha.py": '''
def readHTTPHeader(file_name, *args, key=lambda z: z, **options):
    """Read   the
    header."""
    secret_variable = open(file_name)
    return json.tool.load(secret_variable) or (lambda: 0)() or handlers[0]()

def silent(x):
    return x + 1
''',
    "pack/__init__.py": "async def start():\n    await sleep(1)\n",
    "pack/inner.py": """
class Machine:
    @decorate(len)
    def _run_2(self, item=default()):
        def helper(y):
            return list(y)
        if item:
            class Local:
                def go(self): return super().go()
        return helper(item)
""",
    "test/hidden.py": "def f(): g()\n",
    "pack/tests/hidden.py": "def f(): g()\n",
    "site-packages/hidden.py": "def f(): g()\n",
    "broken.py": "def f(: g()\n",
    "odd.py": "def _(): return '\\d', f()\n",
    "notes.txt": "def f(): g()\n",
}

EXPECTED = [
    (
        "alpha",
        "alpha.readHTTPHeader",
        "alpha . read HTTP Header . file name args key options . Read the header.",
        ["load", "open"],
    ),
    ("odd", "odd._", "odd", ["f"]),
    ("pack", "pack.start", "pack . start", ["sleep"]),
    (
        "pack",
        "pack.inner.Machine._run_2",
        "pack inner . Machine run 2 . self item",
        ["go", "helper", "list", "super"],
    ),
    (
        "pack",
        "pack.inner.Machine._run_2.helper",
        "pack inner . Machine run 2 helper . y",
        ["list"],
    ),
    (
        "pack",
        "pack.inner.Machine._run_2.Local.go",
        "pack inner . Machine run 2 Local go . self",
        ["go", "super"],
    ),
]


@pytest.fixture
def library(tmp_path, monkeypatch):
    """Make a small source tree stand in for the standard library."""
    root = tmp_path / "library"
    for name, source in LIBRARY.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(source)
    monkeypatch.setattr(sysconfig, "get_path", lambda name: str(root))
    return root


@pytest.fixture(scope="module")
def real_home(tmp_path_factory):
    """Return a data home that is filled by the first test that needs it."""
    return tmp_path_factory.mktemp("home")


def test_rows(library):
    assert [tuple(row) for row in parse_library(library)] == EXPECTED


def test_small_library(library):
    data = load_stdlib_calls(min_count=1, test_size=0.01, cache=False)
    assert data.target_names == sorted({name for row in EXPECTED for name in row[3]})
    assert data.data == [text for _, _, text, _ in EXPECTED]
    assert data.modules == [module for module, *_ in EXPECTED]
    assert data.functions == [name for _, name, _, _ in EXPECTED]
    calls = [
        [data.target_names[j] for j in np.flatnonzero(row)]
        for row in data.target.toarray()
    ]
    assert calls == [calls for *_, calls in EXPECTED]
    assert data.target.dtype == np.int8


def test_labels_are_counted_on_training_rows(library):
    parts = {
        subset: load_stdlib_calls(
            subset=subset, min_count=1, test_size=0.2, random_state=1, cache=False
        )
        for subset in ("train", "test", "all")
    }
    # One module of one row is 1/6; its labels occur nowhere else, so the row goes.
    assert len(parts["train"].data) == 5
    assert parts["test"].target.shape == (0, parts["train"].target.shape[1])
    assert parts["all"].data == parts["train"].data
    frequent = load_stdlib_calls(min_count=2, test_size=0.01, cache=False)
    assert frequent.target_names == ["go", "list", "super"]
    assert len(frequent.data) == 3


def test_no_sources(tmp_path, monkeypatch):
    monkeypatch.setattr(sysconfig, "get_path", lambda name: str(tmp_path))
    with pytest.raises(FileNotFoundError, match="Found 0 Python files"):
        load_stdlib_calls(cache=False)


def refuse_to_parse(root):
    raise AssertionError("the cache was not used")


def test_cache(library, tmp_path, monkeypatch):
    home = tmp_path / "home"
    first = load_stdlib_calls(min_count=1, data_home=home)
    (file,) = (home / "stdlib_calls").iterdir()
    assert file.name.endswith(".json.gz")
    monkeypatch.setattr(_stdlib, "parse_library", refuse_to_parse)
    second = load_stdlib_calls(min_count=1, data_home=home)
    assert (second.data, second.target_names) == (first.data, first.target_names)
    assert_array_equal(second.target.toarray(), first.target.toarray())
    with pytest.raises(AssertionError, match="not used"):
        load_stdlib_calls(min_count=1, data_home=home, cache=False)


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: b"",
        lambda content: content[:-20],
        lambda content: content[:40] + bytes([content[40] ^ 255]) + content[41:],
        lambda content: gzip.compress(b"[[1, 2"),
        lambda content: gzip.compress(b"\xff"),
        lambda content: gzip.compress(json.dumps([["a", "b"]]).encode()),
        lambda content: gzip.compress(b"7"),
        lambda content: gzip.compress(b"[]"),
    ],
)
def test_damaged_cache_is_rebuilt(library, tmp_path, damage):
    load_stdlib_calls(min_count=1, data_home=tmp_path)
    (file,) = (tmp_path / "stdlib_calls").iterdir()
    content = file.read_bytes()
    file.write_bytes(damage(content))
    data = load_stdlib_calls(min_count=1, test_size=0.01, data_home=tmp_path)
    assert data.data == [text for _, _, text, _ in EXPECTED]
    assert file.read_bytes() == content


def test_unwritable_home(library, tmp_path):
    home = tmp_path / "a_file"
    home.write_text("in the way")
    with pytest.warns(UserWarning, match="SKXMC_DATA") as records:
        data = load_stdlib_calls(min_count=1, test_size=0.01, data_home=home)
    assert len(data.data) == len(EXPECTED)
    assert [record.filename for record in records] == [__file__]


def test_parameters_are_checked():
    with pytest.raises(ValueError, match="The 'subset' parameter"):
        load_stdlib_calls(subset="both")
    with pytest.raises(ValueError, match="The 'test_size' parameter"):
        load_stdlib_calls(test_size=1.0)


def test_real_library(real_home):
    train, test, both = (
        load_stdlib_calls(subset=subset, data_home=real_home)
        for subset in ("train", "test", "all")
    )
    assert len(both.data) > 8000
    assert both.target.shape[1] > 1000
    assert 2 < both.target.nnz / len(both.data) < 4
    assert len(train.data) + len(test.data) == len(both.data)
    assert set(train.modules).isdisjoint(test.modules)
    assert 0.15 < len(test.data) / len(both.data) < 0.2
    assert train.target_names == test.target_names == both.target_names
    assert train.target.sum(axis=0).min() >= 3
    for part in (train, test):
        assert np.diff(part.target.indptr).min() >= 1
        assert part.target.shape == (len(part.data), len(part.target_names))
    assert not any("\n" in text for text in both.data)

    row = both.functions.index("textwrap.shorten")
    called = {both.target_names[j] for j in both.target[[row]].indices}
    assert {"TextWrapper", "join", "split"} <= called
    assert both.data[row].startswith("textwrap . shorten . text width kwargs . Coll")
    other, Y = load_stdlib_calls(random_state=1, data_home=real_home, return_X_y=True)
    assert len(other) == Y.shape[0]
