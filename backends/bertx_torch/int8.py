"""Linear layers with int8 weights, for inference."""

from __future__ import annotations

import torch

_LARGEST = 127
_SMALLEST = 1e-12  # what divides is never zero


class Int8Linear(torch.nn.Module):
    """x Wᵀ + b with whole numbers from −127 to 127 for W and x, each row of both in steps of its own.

    weight [out, in] int8, scale [out] its steps, bias [out]; the steps of x are found at each call ("dynamic"), one for
    each position. The product is exact, in int32.
    """

    def __init__(self, linear):
        super().__init__()
        weight, scale = _rounded(linear.weight.detach())
        self.register_buffer("weight", weight)
        self.register_buffer("scale", scale[:, 0])
        self.register_buffer("bias", linear.bias.detach())

    def forward(self, x):
        """[..., in] → [..., out]."""
        rows, step = _rounded(x.reshape(-1, x.shape[-1]))
        product = torch._int_mm(rows, self.weight.t()).to(x.dtype)
        return product.mul_(step).mul_(self.scale).add_(self.bias).view(*x.shape[:-1], -1)


def _rounded(rows):
    """rows [R, C] → int8 [R, C], and the step of each row [R, 1]."""
    step = rows.abs().amax(-1, keepdim=True).clamp_min(_SMALLEST) / _LARGEST
    return (rows / step).round_().to(torch.int8), step


def to_int8(encoder):
    """Replaces every Linear of an encoder, in place."""
    for module in list(encoder.modules()):
        for name, child in module.named_children():
            if isinstance(child, torch.nn.Linear):
                setattr(module, name, Int8Linear(child))


def is_int8(module):
    """Whether weights of the module were rounded."""
    return any(isinstance(block, Int8Linear) for block in module.modules())
