"""Linear layers with int8 weights, for inference."""

from __future__ import annotations

import torch

_LARGEST = 127
_SMALLEST = 1e-12  # what divides is never zero
# A processor without VNNI adds two products of bytes in 16 bits, which hold 2 · 255 · 64 but not 2 · 255 · 127.
# torch._int_mm makes no use of that, and is far slower than float32 there.
IN_PAIRS = torch.cpu._is_avx2_supported() and not torch.cpu._is_vnni_supported()
_LARGEST_IN_PAIRS = 64
# Steps that are tried for a row of weights, in parts of the one that its largest weight needs.
_SHARES = (1.0, 0.97, 0.94, 0.91, 0.88, 0.85, 0.8, 0.75)


class Int8Linear(torch.nn.Module):
    """x Wᵀ + b with whole numbers from −127 to 127 for W and x, each row of both in steps of its own.

    On processors without VNNI those of W are from −64 to 64.

    weight [out, in] int8, scale [out] its steps, bias [out]; the steps of x are found at each call ("dynamic"), one for
    each position. The product is exact, in int32.
    """

    weight: torch.Tensor
    scale: torch.Tensor
    bias: torch.Tensor

    def __init__(self, linear):
        super().__init__()
        weight, scale = _rounded_best(linear.weight.detach(), _LARGEST_IN_PAIRS if IN_PAIRS else _LARGEST)
        self.register_buffer("weight", weight)
        self.register_buffer("scale", scale[:, 0])
        self.register_buffer("bias", linear.bias.detach())

    def forward(self, x):
        """[..., in] → [..., out]."""
        rows, step = _rounded(x.reshape(-1, x.shape[-1]), _LARGEST)
        multiply = _multiply_in_pairs if IN_PAIRS and x.device.type == "cpu" else torch._int_mm  # pyright: ignore[reportPrivateImportUsage]
        product = multiply(rows, self.weight.t()).to(x.dtype)
        return product.mul_(step).mul_(self.scale).add_(self.bias).view(*x.shape[:-1], -1)


def _multiply_in_pairs(rows, columns):
    """rows [R, C] int8, columns [C, out] int8 from −64 to 64 → their product [R, out], exact, in float32."""
    out = columns.shape[1]
    packed = torch.ops.onednn.qlinear_prepack(columns.t(), None)  # a tenth of the product's time
    ones, zeros = torch.ones(out), torch.zeros(out, dtype=torch.int64)
    rows = rows.view(torch.uint8) + 128  # bytes wrap: −127 to 127 become 1 to 255
    return torch.ops.onednn.qlinear_pointwise(
        rows, 1.0, 128, packed, ones, zeros, None, 1.0, 0, torch.float32, "none", [], ""
    )


def _rounded(rows, largest):
    """rows [R, C] → int8 [R, C], and the step of each row [R, 1]."""
    step = _step_of_largest(rows, largest)
    return (rows / step).round_().to(torch.int8), step


def _rounded_best(rows, largest):
    """As `_rounded`, with the step of `_SHARES` for each row that makes the sum of squared errors the smallest."""

    def whole(step):
        return (rows / step).round_().clamp_(-largest, largest)

    top = _step_of_largest(rows, largest)
    best, least = top, torch.full_like(top, torch.inf)
    for share in _SHARES:
        step = top * share
        error = (whole(step).mul_(step) - rows).square_().sum(-1, keepdim=True)
        best, least = torch.where(error < least, step, best), torch.minimum(error, least)
    return whole(best).to(torch.int8), best


def _step_of_largest(rows, largest):
    """The step of each row [R, 1] of which its largest number is `largest`."""
    return rows.abs().amax(-1, keepdim=True).clamp_min(_SMALLEST) / largest


def to_int8(encoder):
    """Replaces every Linear of an encoder, in place."""
    for module in list(encoder.modules()):
        for name, child in module.named_children():
            if isinstance(child, torch.nn.Linear):
                setattr(module, name, Int8Linear(child))


def is_int8(module):
    """Whether weights of the module were rounded."""
    return any(isinstance(block, Int8Linear) for block in module.modules())
