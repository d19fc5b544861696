"""Attention of packed rows by `torch.nn.attention.varlen`: flash attention on CUDA, in half precision."""

from __future__ import annotations

import functools
from typing import Any

import torch

DEVICES = ("cuda",)
DTYPES = (torch.bfloat16, torch.float16)
_LARGEST_HEAD = 256


@functools.cache
def kernel():
    """`varlen_attn`, or None in a PyTorch that has none (before 2.10)."""
    try:
        from torch.nn.attention.varlen import varlen_attn
    except ImportError:
        return None
    return varlen_attn


def is_for(device, dtype, head_size):
    """Whether the kernel is for such a model."""
    return (
        torch.device(device).type in DEVICES
        and dtype in DTYPES
        and head_size % 8 == 0
        and head_size <= _LARGEST_HEAD
        and kernel() is not None
    )


def takes(query, scale, dropout):
    """Whether the kernel is for such queries [1, N, S, D]: it drops nothing out, and its scale is 1 / √D."""
    size = query.shape[-1]
    drops = dropout.training and dropout.p > 0
    return not drops and scale == size**-0.5 and is_for(query.device, query.dtype, size)


def attention(query, key, value, segments):
    """query, key, value [1, N, S, D] → context [1, N, S, D]."""
    lengths = segments.shown.sum(1, dtype=torch.int32)
    offsets = torch.nn.functional.pad(lengths.cumsum(0, dtype=torch.int32), (1, 0))
    longest = segments.index.shape[1]
    by_token = [states[0].transpose(0, 1) for states in (query, key, value)]
    run: Any = kernel()
    context = run(*by_token, offsets, offsets, longest, longest)
    return context.transpose(0, 1)[None]
