"""States of modules and of what trains them, as arrays."""

import torch


def trained_parameters(module):
    """Return the parameters of `module` that training changes."""
    return [p for p in module.parameters() if p.requires_grad]


def tensors_of(module):
    """Return what training changes of a module, by position or name."""
    parameters = {str(i): p for i, p in enumerate(trained_parameters(module))}
    return parameters | dict(module.named_buffers(prefix="buffers"))


def as_arrays(value):
    """Turn the tensors in a state into arrays, and its keys into texts."""
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu()
        # What numpy does not know, a wider type holds exactly.
        value = value.float() if value.dtype == torch.bfloat16 else value
        # Files hold arrays of three dimensions at most.
        return value.numpy() if value.ndim <= 3 else value.reshape(-1).numpy()
    if isinstance(value, dict):
        return {str(key): as_arrays(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [as_arrays(part) for part in value]
    return value


def put_back(tensors, arrays):
    """Copy arrays into the tensors of the same keys.

    Raises
    ------
    KeyError, RuntimeError
        If keys or sizes are others.
    """
    if tensors.keys() != arrays.keys():
        raise KeyError(f"tensors {sorted(arrays)}, not {sorted(tensors)}")
    with torch.no_grad():
        for name, tensor in tensors.items():
            tensor.copy_(torch.from_numpy(arrays[name]).reshape(tensor.shape))
