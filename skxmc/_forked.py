"""Know when this process was forked after its parent had started worker threads.

OpenMP's threads do not survive a fork: the first parallel region in the child waits
for them for ever. Whoever computes with OpenMP (torch, faiss) calls `openmp_is_broken`
and, if it is, stays on one thread.
"""

import os
import warnings

_state = {"used": False, "forked": False, "warned": False}


def _after_fork():
    _state["forked"] = _state["forked"] or _state["used"]


if hasattr(os, "register_at_fork"):  # absent on Windows, which does not fork
    os.register_at_fork(after_in_child=_after_fork)


def openmp_is_broken():
    """Return whether OpenMP would hang here, and warn once if so."""
    _state["used"] = True
    if _state["forked"] and not _state["warned"]:
        _state["warned"] = True
        warnings.warn(
            "This process was forked after OpenMP use, so it computes on one thread; "
            "use the loky or spawn start method instead of fork.",
            RuntimeWarning,
            stacklevel=3,
        )
    return _state["forked"]
