"""Memory given back to the system."""

import ctypes
import platform
import subprocess
import sys

import pytest

from skxmc import _freed

HOLDS_ON = """
from skxmc._freed import return_freed_memory
def resident():
    lines = open("/proc/self/status").read().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))
freed = [bytearray(64 * 1024) for _ in range(2000)]
kept = bytearray(64 * 1024)  # above them: the C library gives back from its end only
del freed
before = resident()
return_freed_memory()
assert before - resident() > 100_000, (before, resident())  # KiB
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc keeps it")
def test_freed_memory_goes_back_to_the_system():
    subprocess.run([sys.executable, "-c", HOLDS_ON], check=True)


@pytest.mark.parametrize("error", [AttributeError, OSError, TypeError])
def test_other_c_libraries_are_left_alone(monkeypatch, error):
    def load(name):
        raise error

    monkeypatch.setattr(ctypes, "CDLL", load)
    monkeypatch.setattr(_freed, "_trim", _freed._find_trim())
    assert _freed._trim is None
    _freed.return_freed_memory()
