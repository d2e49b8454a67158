"""AdamW for dense parameters, row-wise Adagrad for sparse tables."""

import inspect

import torch
from torch.optim import Optimizer
from torch.optim.adamw import adamw

from skxmc._nn._threads import thread_count

# 1024 rows of 256 float32 are 1 MiB: the gradient of a block, and what is computed
# from it, stay in a processor's second-level cache.
_BLOCK_ROWS = 1024
# Where every call is a launch, the fewer the better; 256 MiB of such rows.
_BLOCK_ROWS_ON_DEVICE = 2**18

# A table's steps shrink as 1 / sqrt(number of updates), Adam's do not. With this factor
# both reach the same precision at the same `lr` (examples/benchmarks/sparse_step.py).
_TABLE_LR_FACTOR = 10.0

# Of AdamW, as in torch.
_BETAS, _EPS = (0.9, 0.999), 1e-8


class RowSparseAdamW(Optimizer):
    """AdamW that updates, of a sparse table, only the rows that a batch touches.

    A table holds its gradient as `RowGradient` factors (see `SparseLinear`). For each
    touched row r with gradient g::

        s_r <- s_r + mean(g ** 2)
        W_r <- (1 - lr * weight_decay) * W_r - 10 * lr * g / (sqrt(s_r) + eps)

    so the state is one number a row, where Adam keeps two a weight, and untouched rows
    are neither read nor decayed. All other parameters take torch's fused AdamW step.

    Parameters
    ----------
    params : iterable
        Parameters or parameter groups, as for any torch optimiser.
    lr : float, default=1e-3
        Learning rate.
    weight_decay : float, default=0.0
        Decoupled weight decay.
    """

    # Behind decorators that would import torch._dynamo, 1.5 s and 90 MiB, for nothing:
    # so do those of `Optimizer.zero_grad` and `AdamW.step`.
    add_param_group = inspect.unwrap(Optimizer.add_param_group)
    state_dict = inspect.unwrap(Optimizer.state_dict)

    def __init__(self, params, lr=1e-3, weight_decay=0.0):
        defaults = {"lr": lr, "weight_decay": weight_decay, "betas": _BETAS}
        super().__init__(params, defaults | {"eps": _EPS})

    @torch.no_grad()
    def step(self, closure=None):
        """Take one step on all parameters and return the closure's loss."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        # On several threads torch's step rounds otherwise where their shares end.
        with thread_count(1):
            for group in self.param_groups:
                self._step_dense(group)
        for group in self.param_groups:
            for table in group["params"]:
                gradients = getattr(table, "row_gradients", None)
                while gradients:
                    self._step_rows(table, gradients.pop(), group)
        return loss

    def zero_grad(self, set_to_none=True):
        """Forget all gradients, also those of tables that no step has used."""
        for group in self.param_groups:
            for parameter in group["params"]:
                getattr(parameter, "row_gradients", []).clear()
                if set_to_none or parameter.grad is None:
                    parameter.grad = None
                else:
                    parameter.grad.zero_()

    def _step_dense(self, group):
        moved = [p for p in group["params"] if p.grad is not None]
        for p in moved:
            if not self.state[p]:
                self.state[p]["step"] = torch.zeros((), device=p.device)
                self.state[p]["exp_avg"] = torch.zeros_like(p)
                self.state[p]["exp_avg_sq"] = torch.zeros_like(p)
        states = [self.state[p] for p in moved]
        beta1, beta2 = group["betas"]
        adamw(
            moved,
            [p.grad for p in moved],
            [state["exp_avg"] for state in states],
            [state["exp_avg_sq"] for state in states],
            [],
            [state["step"] for state in states],
            fused=True,
            amsgrad=False,
            beta1=beta1,
            beta2=beta2,
            lr=group["lr"],
            weight_decay=group["weight_decay"],
            eps=group["eps"],
            maximize=False,
        )

    def _step_rows(self, table, gradient, group):
        state = self.state[table]
        if not state:
            state["square_sum"] = table.new_zeros(len(table))
        square_sum = state["square_sum"]
        lr, eps = group["lr"] * _TABLE_LR_FACTOR, group["eps"]
        decay = group["lr"] * group["weight_decay"]
        size = _BLOCK_ROWS if table.device.type == "cpu" else _BLOCK_ROWS_ON_DEVICE
        for rows, g in gradient.blocks(size):
            total = square_sum[rows] + g.square().mean(1)
            square_sum[rows] = total
            g *= (-lr / (total.sqrt() + eps))[:, None]
            if decay:
                g -= decay * table[rows]
            table.index_add_(0, rows, g)
