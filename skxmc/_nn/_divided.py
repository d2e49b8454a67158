"""One training by several processes: each encodes some rows and has some labels.

The loss of a batch is computed from the scores of all rows and labels, as in a single
process, and by each process alike. What is divided, and what it takes to put it
together again (the operators f and g of tensor parallelism, arXiv:1909.08053):

- The encoder maps a process's own rows; the features of all rows are gathered. Its
  weights are everywhere, and their gradients are added up.
- A layer or `LabelTable` with an output for each label has a process's own labels; the
  scores of all labels are put together. The gradients of the features are added up.
"""

from contextlib import contextmanager

import torch
import torch.distributed as dist
from skorch.callbacks import Callback
from torch import nn

from skxmc._nn._candidates import Candidates
from skxmc._nn._dual import Tower
from skxmc._nn._modules import Dropout, SparseEncoder, SteadyLinear
from skxmc._nn._multihead import Features
from skxmc._nn._processes import Share
from skxmc._nn._sparse import RowGradient, SparseRows
from skxmc._nn._tables import LabelTable

_ENCODERS = Features, Tower, SparseEncoder


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


class _Sum(torch.autograd.Function):
    """Add up scores, each of which is 0 but in the process that has its label."""

    @staticmethod
    def forward(ctx, part):
        whole = part.clone()
        dist.all_reduce(whole)
        return whole

    @staticmethod
    def backward(ctx, grad_output):
        return grad_output


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
        # In a list, a module is not one that torch knows of and moves to a device.
        self._whole = [whole]
        self.weight = nn.Parameter(whole.weight.detach()[self.span])

    @property
    def span(self):
        """The labels of this process."""
        return self.share.span()

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

    def group_scores(self, features, *pairs):
        """Score the labels of some groups, each by the process that has it."""
        return _Sum.apply(super().group_scores(_Copied.apply(features), *pairs))

    def all_scores(self, features):
        """Score all labels, shape (n_rows, n_labels)."""
        scores = super().all_scores(_Copied.apply(features))
        return _Gather.apply(scores.T, self.share).T

    def _has(self, labels):
        return (labels >= self.span.start) & (labels < self.span.stop)


@contextmanager
def divided(module):
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
