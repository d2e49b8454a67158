"""The processes that share a training: who they are, and what they tell each other."""

import atexit
import os
import zlib
from typing import NamedTuple

import torch
import torch.distributed as dist

# Set by torchrun and by accelerate launch.
_VARIABLES = "RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"


def join_processes():
    """Return (rank, number of processes), of which a script alone has one.

    The first call opens torch's process group, unless the script has.
    """
    if not dist.is_available():
        return 0, 1
    if not dist.is_initialized():
        if not all(name in os.environ for name in _VARIABLES):
            return 0, 1
        has_gpu = torch.cuda.is_available()
        dist.init_process_group("cpu:gloo,cuda:nccl" if has_gpu else "gloo")
        atexit.register(_leave_processes)
    return dist.get_rank(), dist.get_world_size()


def _leave_processes():
    if dist.is_initialized():
        dist.destroy_process_group()


def of_first(value):
    """Return what the first process has, any object that pickle takes."""
    box = [value]
    dist.broadcast_object_list(box)
    return box[0]


def everywhere(flag):
    """Return whether `flag` is true in all processes."""
    flags = [None] * dist.get_world_size()
    dist.all_gather_object(flags, bool(flag))
    return all(flags)


def check_same_start(module, n_samples):
    """Raise RuntimeError unless all processes begin with the same module and rows."""
    crc = 0
    for tensor in module.state_dict().values():
        array = tensor.detach().cpu().contiguous().reshape(-1)
        crc = zlib.crc32(array.view(torch.uint8).numpy().data, crc)
    starts = [None] * dist.get_world_size()
    dist.all_gather_object(starts, (n_samples, f"{crc:08x}"))
    if len(set(starts)) > 1:
        raise RuntimeError(
            "The processes that share this training begin with different rows or "
            f"weights; (n_samples, checksum) are {starts}. Give all of them the same "
            "data and parameters, on machines of one kind."
        )


def local_device(device):
    """Return the GPU of this process, where `device` only says that it is one."""
    if device.type != "cuda" or device.index is not None:
        return device
    number = int(os.environ.get("LOCAL_RANK", dist.get_rank()))
    return torch.device("cuda", number % torch.cuda.device_count())


class Share(NamedTuple):
    """The part of a process in `n` rows or labels: consecutive ones, evenly divided."""

    n: int

    def span(self, rank=None):
        """Return the slice of a process, by default this one."""
        rank, size = dist.get_rank() if rank is None else rank, dist.get_world_size()
        return slice(rank * self.n // size, (rank + 1) * self.n // size)

    def gather(self, part):
        """Put the parts of all processes together, along the first dimension."""
        spans = [self.span(rank) for rank in range(dist.get_world_size())]
        longest = max(span.stop - span.start for span in spans)
        padded = part.new_zeros(longest, *part.shape[1:])
        padded[: len(part)] = part
        parts = [torch.empty_like(padded) for _ in spans]
        dist.all_gather(parts, padded)
        return torch.cat(
            [
                part[: span.stop - span.start]
                for part, span in zip(parts, spans, strict=True)
            ]
        )
