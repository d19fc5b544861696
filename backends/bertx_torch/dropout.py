"""Dropout. On a CPU PyTorch draws a number for each element, on one thread; here a draw of 64 bits is for four."""

from __future__ import annotations

import torch

from bertx.rates import STEPS, steps_of

from . import cpu_kernels


class Dropout(torch.nn.Dropout):
    """torch.nn.Dropout; on a CPU the rate is one of 16 bits where such a one is within 0.1 % of it."""

    def forward(self, input):  # noqa: A002 - as torch.nn has it
        """x of any shape → of the same shape."""
        return input * _factors(steps_of(self.p), input) if self.takes(input) else super().forward(input)

    def takes(self, x):
        """Whether `x` is multiplied by factors that are drawn here."""
        return (
            self.training
            and not self.inplace
            and cpu_kernels.runs_at_once()
            and not torch._C._are_functorch_transforms_active()  # vmap says what is drawn
            and x.device.type == "cpu"
            and steps_of(self.p) is not None
        )


def _factors(dropped, x):
    """0 for `dropped` of 65,536, else what keeps the mean; of the shape and dtype of `x`."""
    draws = torch.empty(-(-x.numel() // 4), dtype=torch.int64).random_(-(2**63), None).view(torch.int16)
    kept = draws[: x.numel()].view(x.shape) >= dropped - STEPS // 2
    return kept.to(x.dtype).mul_(STEPS / (STEPS - dropped))
