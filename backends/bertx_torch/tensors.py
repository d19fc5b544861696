"""Arrays as tensors."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import torch

from bertx_weights import BFLOAT16, contiguous


def from_numpy(array):
    """The array's memory as a tensor; a copy where it is transposed or read-only."""
    array = np.require(contiguous(array), requirements="W")
    if array.dtype == BFLOAT16:
        return torch.from_numpy(array.view("<i2")).view(torch.bfloat16)
    return torch.from_numpy(array)


def input_tensor(array, device, dtype):
    """An input of a model on its device; what is no integer in its dtype."""
    tensor = torch.from_numpy(np.ascontiguousarray(array)).to(device)
    return tensor.to(dtype) if tensor.is_floating_point() else tensor


def to_numpy(tensor):
    """The tensor's values, bfloat16 as float32."""
    return tensor.float().cpu().numpy() if tensor.dtype == torch.bfloat16 else tensor.cpu().numpy()


def first_parameter(module) -> Any:
    """The first of module.parameters(), or None; those look the whole module through for names, ten times as long."""
    own = (parameter for parameter in module._parameters.values() if parameter is not None)
    inside = (first_parameter(block) for block in module._modules.values() if block is not None)
    return next((found for found in itertools.chain(own, inside) if found is not None), None)
