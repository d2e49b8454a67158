"""One model trained by several processes: its losses, speed, and what they exchange.

``python examples/benchmarks/shared_training.py`` starts each fit in ``torchrun``, on
this machine, with as many processes as ``--processes`` says and one thread each. "loss"
is the largest relative difference from the loss curve of one process; "head" what a
process holds of the weights that have an output for each label, or group of labels;
"exchanged" the size of what it sends in a step.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import skorch.callbacks
import torch
import torch.distributed as dist
from _data import load, print_header, print_row

import skxmc

MODELS = {
    "cascade": skxmc.MultiHeadEncodingClassifier(),
    "UniDEC": skxmc.UniDECClassifier(),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="*", default=[*MODELS])
    parser.add_argument("--data", default="debian-depends")
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--alone", metavar="FILE", help="fit in this process")
    args = parser.parse_args()
    if args.alone:
        measure(args)
        return
    print_header(
        *("model", "processes", "rows / s", "loss", "head, MiB", "exchanged, MiB")
    )
    for name in args.models:
        losses = None
        for n_processes in args.processes:
            found = launch(name, n_processes, args)
            losses = losses or found["losses"]
            ratios = np.divide(found["losses"], losses)
            found["loss"] = f"{np.abs(ratios - 1).max():.0e}"
            print_row(
                *(name, n_processes, f"{found['rows']:.0f}", found["loss"]),
                *(f"{found['head'] / 2**20:.1f}", f"{found['sent'] / 2**20:.2f}"),
            )


def launch(name, n_processes, args):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "found.json")
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
        command += ["--nproc-per-node", str(n_processes), __file__, name]
        command += ["--data", args.data, "--epochs", str(args.epochs)]
        command += ["--batch", str(args.batch), "--alone", str(path)]
        # The closed forms before the training round otherwise on other threads.
        one_thread = os.environ | {"OMP_NUM_THREADS": "1"}
        subprocess.run(command, check=True, stderr=subprocess.DEVNULL, env=one_thread)
        return json.loads(path.read_text())


class CountBytes:
    """Add up the sizes of the tensors that are given to torch's collectives."""

    def __init__(self, *names):
        self.n_bytes = 0
        for name in names:
            setattr(dist, name, self.counted(getattr(dist, name)))

    def counted(self, collective):
        def call(*tensors):
            self.n_bytes += tensors[-1].nbytes  # all_gather's first are the outputs
            return collective(*tensors)

        return call


def measure(args):
    torch.set_num_threads(1)
    counter = CountBytes("all_gather", "all_reduce")
    (name,) = args.models
    X, Y, _, _ = load(args.data)
    sizes = []
    model = MODELS[name].set_params(
        max_epochs=args.epochs,
        batch_size=args.batch,
        random_state=0,
        distributed=True,
        callbacks=[HeadSizes(sizes)],
    )
    model.fit(X, Y)
    if dist.get_rank():
        return
    n_steps = -(-X.shape[0] // args.batch) * args.epochs
    found = {
        "losses": model.loss_curve_,
        "rows": X.shape[0] / np.median(model.history_[:, "dur"]),
        "head": max(sizes),
        "sent": counter.n_bytes / n_steps,
    }
    Path(args.alone).write_text(json.dumps(found))


class HeadSizes(skorch.callbacks.Callback):
    """Note what a process holds of the head."""

    def __init__(self, sizes):
        self.sizes = sizes

    def on_epoch_begin(self, net, **kwargs):
        """Add the bytes of its weights."""
        module = net.module_
        head = module.table if hasattr(module, "table") else module.head
        self.sizes.append(sum(weight.nbytes for weight in head.parameters()))


if __name__ == "__main__":
    main()
