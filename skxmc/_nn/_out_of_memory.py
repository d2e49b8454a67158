"""Out of memory: one error for every device and library, that says what to do."""

import traceback
from contextlib import contextmanager

import torch

# Of torch's errors on the CPU, and where a library of CUDA finds no room.
_MESSAGES = ("DefaultCPUAllocator", "CUBLAS_STATUS_ALLOC_FAILED")


@contextmanager
def memory_errors(batch_size):
    """Raise MemoryError, with advice, for whatever runs out of memory in the block."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not _is_out_of_memory(error):
            raise
        # Else what its frames hold is in the way of whoever catches it and tries again.
        traceback.clear_frames(error.__traceback__)
        raise MemoryError(
            f"Memory ran out in the fit, at batch_size={batch_size}: {error}\n"
            "Try a smaller batch_size; estimate_memory tells what a fit takes."
        ) from error


def _is_out_of_memory(error):
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or any(
        message in str(error) for message in _MESSAGES
    )
