"""One training by several processes: each encodes some rows and has some labels.

The loss of a batch is computed from the scores of all rows and labels, as in a single
process, and by each process alike. What is divided, and what it takes to put it
together again (the operators f and g of tensor parallelism, arXiv:1909.08053):

- The encoder maps a process's own rows; the features of all rows are gathered. Its
  weights are everywhere, and their gradients are added up.
- A layer or `LabelTable` with an output for each label has a process's own labels; the
  scores of all labels are put together. The gradients of the features are added up.
"""

import atexit
import os
import zlib
from contextlib import contextmanager
from typing import NamedTuple

import torch
import torch.distributed as dist
from skorch.callbacks import Callback
from torch import nn

from skxmc._nn._candidates import Candidates
from skxmc._nn._dual import Tower
from skxmc._nn._modules import Dropout, SparseEncoder, SteadyLinear
from skxmc._nn._multihead import Features
from skxmc._nn._sparse import RowGradient, SparseRows
from skxmc._nn._tables import LabelTable

_ENCODERS = Features, Tower, SparseEncoder
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


class _Gather(torch.autograd.Function):
    """Put together what each process has; its gradient is known to all of them."""

    @staticmethod
    def forward(ctx, part, share):
        ctx.share = share
        return share.gather(part)

    @staticmethod
    def backward(ctx, grad_output):
        return grad_output[ctx.share.span()], None


class _Spread(torch.autograd.Function):
    """Put together scores, of which a process has those that `own` tells."""

    @staticmethod
    def forward(ctx, part, own):
        ctx.own = own
        whole = part.new_zeros(*own.shape, *part.shape[1:])
        whole[own] = part
        dist.all_reduce(whole)
        return whole

    @staticmethod
    def backward(ctx, grad_output):
        return grad_output[ctx.own], None


class _Copied(torch.autograd.Function):
    """What all processes have, and use for their own labels: gradients are added up."""

    @staticmethod
    def forward(ctx, h):
        return h.view_as(h)

    @staticmethod
    def backward(ctx, grad_output):
        grad = grad_output.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(grad)
        return grad


class _OwnRows(SparseRows):
    """The rows of a process, and the `whole` that they are a part of."""

    __slots__ = ("whole",)
    whole: SparseRows

    @classmethod
    def of(cls, whole):
        """Cut the rows of this process out."""
        span = Share(len(whole)).span()
        offsets = whole.offsets[span.start : span.stop + 1]
        first, last = int(offsets[0]), int(offsets[-1])
        indices, values = whole.indices[first:last], whole.values[first:last]
        own = cls(indices, offsets - first, values)
        own.whole = whole
        return own

    def scaled(self, factor):
        """Return the rows multiplied by a number."""
        own = _OwnRows(self.indices, self.offsets, self.values * factor)
        own.whole = self.whole.scaled(factor)
        return own


class _OwnLabels(LabelTable):
    """The labels of a process in a table, with the scores of all.

    Parameters
    ----------
    whole : LabelTable
        On the CPU. Its memory is shared: `whole` is up to date after `restore`.
    """

    def __init__(self, whole):
        nn.Module.__init__(self)
        self.share = Share(len(whole.weight))
        self.span = self.share.span()
        # In a list, a module is not one that torch knows of and moves to a device.
        self._whole = [whole]
        self.weight = nn.Parameter(whole.weight.detach()[self.span])

    @property
    def array(self):
        """The vectors of all labels with their biases; all processes have to ask."""
        return self.restore().array

    @torch.no_grad()
    def restore(self):
        """Gather the labels of all processes and return the table that holds them."""
        (whole,) = self._whole
        # Not on a GPU, which may have room for its own labels only.
        whole.weight.copy_(self.share.gather(self.weight.detach().cpu()))
        return whole

    def forward(self, features, candidates):
        """Score all candidates, each by the process that has its label."""
        own = self._has(candidates.nodes)
        mine = Candidates(
            candidates.rows[own],
            candidates.nodes[own] - self.span.start,
            candidates.n_rows,
            len(self.weight),
        )
        return _Spread.apply(super().forward(_Copied.apply(features), mine), own)

    def pool_scores(self, features, pool):
        """Score the labels `pool`, each by the process that has it."""
        own = self._has(pool)
        mine = pool[own] - self.span.start
        scores = super().pool_scores(_Copied.apply(features), mine)
        return _Spread.apply(scores.T, own).T

    def all_scores(self, features):
        """Score all labels, shape (n_rows, n_labels)."""
        scores = super().all_scores(_Copied.apply(features))
        return _Gather.apply(scores.T, self.share).T

    def _has(self, labels):
        return (labels >= self.span.start) & (labels < self.span.stop)


@contextmanager
def shared(module):
    """Divide a module among the processes inside the block, and put it together again.

    Each process has the same module before and, if nothing is raised, after it.

    Parameters
    ----------
    module : torch.nn.Module
        Is trained in the block by batches that are the same in all processes, and has
        the callback `SumGradients`.
    """
    module.cpu()
    undo = [_divide(*place) for place in [*_divisible(module)]]
    yield
    for step in undo:
        step()


def _divisible(module, parent=None, name=None):
    """Yield (parent, name, part) for what is divided: encoders, layers and tables."""
    if isinstance(module, (*_ENCODERS, SteadyLinear, LabelTable)):
        yield parent, name, module
        return
    for child, part in module.named_children():
        yield from _divisible(part, module, child)


def _divide(parent, name, part):
    """Divide a part of a module in place; return what puts it together."""
    if isinstance(part, _ENCODERS):
        return _divide_rows(part)
    if len(part.weight) < dist.get_world_size():
        return lambda: None
    if isinstance(part, LabelTable):
        own = _OwnLabels(part)
        setattr(parent, name, own)
        return lambda: setattr(parent, name, own.restore())
    return _divide_outputs(part)


def _divide_rows(encoder):
    """Let an encoder in training map the rows of this process, and give all."""
    dropouts = [layer for layer in encoder.modules() if isinstance(layer, Dropout)]

    def cut(module, args):
        if not module.training:
            return None
        own = _OwnRows.of(args[0])
        for layer in dropouts:
            layer.share = Share(len(own.whole))
        return (own,)

    def gather(module, args, output):
        if not module.training:
            return None
        return _Gather.apply(output, Share(len(args[0].whole)))

    encoder.is_divided = True
    hooks = (
        encoder.register_forward_pre_hook(cut),
        encoder.register_forward_hook(gather),
    )

    def put_together():
        for hook in hooks:
            hook.remove()
        for layer in dropouts:
            vars(layer).pop("share", None)
        del encoder.is_divided

    return put_together


@torch.no_grad()
def _divide_outputs(layer):
    """Leave a linear layer the outputs of this process, and let it give all."""
    share = Share(layer.out_features)
    for name, parameter in [*layer.named_parameters()]:
        own = parameter.detach()[share.span()].clone()
        setattr(layer, name, nn.Parameter(own))
    hooks = (
        layer.register_forward_pre_hook(lambda _, args: (_Copied.apply(*args),)),
        layer.register_forward_hook(lambda *call: _Gather.apply(call[-1].T, share).T),
    )

    def put_together():
        for hook in hooks:
            hook.remove()
        for name, parameter in [*layer.named_parameters()]:
            setattr(layer, name, nn.Parameter(share.gather(parameter.detach())))

    return put_together


class SumGradients(Callback):
    """Add up the gradients of encoders, of which each process has those of its rows."""

    @torch.no_grad()
    def on_grad_computed(self, net, **kwargs):
        """Do so before the optimiser's step."""
        dense = []
        for encoder in net.module_.modules():
            if not getattr(encoder, "is_divided", False):
                continue
            for parameter in encoder.parameters():
                gradients = getattr(parameter, "row_gradients", [])
                gradients[:] = map(_of_all_rows, gradients)
                if parameter.grad is not None:
                    dense.append(parameter.grad)
        if dense:
            bucket = torch.cat([grad.flatten() for grad in dense])
            dist.all_reduce(bucket)
            for grad, total in zip(
                dense, bucket.split([grad.numel() for grad in dense]), strict=True
            ):
                grad.copy_(total.view_as(grad))


def _of_all_rows(gradient):
    whole = gradient.x.whole
    return RowGradient(whole, Share(len(whole)).gather(gradient.grad_output))
