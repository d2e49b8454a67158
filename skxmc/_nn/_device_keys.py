"""Vectors on a GPU, ranked there by matrix products."""

import numpy as np
import torch

# Scores that are on the device at once, 512 MiB.
_MAX_SCORES = 2**27


class DeviceKeys:
    """A copy of keys on a device, where those of largest inner product are found.

    Parameters
    ----------
    keys : ndarray of shape (n_keys, n_components), float32
        The vectors to search.
    device : torch.device
        Where to keep and to search them.
    """

    def __init__(self, keys, device):
        keys = np.require(keys, requirements="W")  # torch wants it, of a file's too
        self.device, self.keys = device, torch.from_numpy(keys).to(device)

    def rank_roughly(self, queries, k):
        """Rank keys by inner products as matrix products round them.

        Parameters
        ----------
        queries : ndarray of shape (n_queries, n_components), float32
        k : int
            At most n_keys.

        Returns
        -------
        indices : ndarray of shape (n_queries, k), int64
            Best first, ties in any order.
        scores : ndarray of shape (n_queries, k), float32
        """
        queries = torch.from_numpy(np.ascontiguousarray(queries)).to(self.device)
        size, parts = max(1, _MAX_SCORES // max(1, len(queries))), []
        for start in range(0, len(self.keys), size):
            block = queries @ self.keys[start : start + size].T
            scores, indices = block.topk(min(k, block.shape[1]), dim=1)
            parts.append((scores, indices + start))
        scores, indices = (torch.cat(part, dim=1) for part in zip(*parts, strict=True))
        scores, places = scores.topk(k, dim=1)
        return indices.gather(1, places).cpu().numpy(), scores.cpu().numpy()


def keys_on(device, keys, last=None):
    """Return keys on a GPU, or None where they are to be searched on the CPU.

    That is on any other device, where the keys would take over half of the GPU's free
    memory, and where matrix products are allowed to round to fewer bits than float32
    has, so that a candidate may be missed.

    Parameters
    ----------
    device : torch.device or None
        Where to search.
    keys : ndarray or StoredRows of shape (n_keys, n_components)
        The vectors to search.
    last : DeviceKeys or None, default=None
        What this returned for these keys before.
    """
    if device is None or device.type != "cuda" or not isinstance(keys, np.ndarray):
        return None
    if torch.get_float32_matmul_precision() != "highest":
        return None
    if last is not None and last.device == device:
        return last
    n_free, _ = torch.cuda.mem_get_info(device)
    return DeviceKeys(keys, device) if 2 * keys.nbytes <= n_free else None
