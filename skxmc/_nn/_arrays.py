"""Arrays as tensors that share their memory."""

import numpy as np
import torch


class _Unlocked:
    """The memory of a read-only array, such as a mapped file, for those who only read.

    torch warns of it, and a copy would have to be made in each call.
    """

    def __init__(self, A):
        self.array = A
        self.__array_interface__ = {
            **A.__array_interface__,
            "data": (A.ctypes.data, False),
        }


def as_tensor(A):
    """Return a tensor of the memory of an ndarray, which nobody may write to."""
    return torch.from_numpy(A if A.flags.writeable else np.asarray(_Unlocked(A)))
