"""Attention by cuDNN, through `jax.nn.dot_product_attention`: on an NVIDIA GPU, in half precision."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp

PLATFORM, KERNEL = "cuda", "cudnn"
DTYPES = (jnp.bfloat16, jnp.float16)
_LARGEST_HEAD = 128  # 256 from Hopper on


@functools.cache
def is_there():
    """Whether JAX sees such a GPU; the model may run on the processor beside it."""
    return any(device.platform == "gpu" for device in jax.devices())


def takes(query, key, bias, dropout):
    """Whether cuDNN is for an attention: it drops nothing out, and its gradients need even lengths.

    A bias that differs between heads has a gradient of its own: it is left to XLA.
    """
    size = query.shape[-1]
    return (
        is_there()
        and query.dtype == key.dtype
        and query.dtype in DTYPES
        and size % 8 == 0
        and size <= _LARGEST_HEAD
        and query.shape[2] % 2 == key.shape[2] % 2 == 0
        and (bias is None or bias.shape[1] == 1)
        and (dropout.deterministic or not dropout.rate)
    )


def attention(query, key, value, bias, scale, plain):
    """softmax(Q Kᵀ · scale + bias) V, as `plain` computes it from (query, key, value, bias) on other devices.

    Shapes: as `bertx.models.nn.attention`.
    """

    def fused(query, key, value, bias):
        query, key, value = (jnp.swapaxes(states, 1, 2) for states in (query, key, value))
        if bias is not None:
            bias = jnp.broadcast_to(bias, (*bias.shape[:2], query.shape[1], key.shape[1])).astype(query.dtype)
        context = jax.nn.dot_product_attention(query, key, value, bias, scale=scale, implementation=KERNEL)
        return jnp.swapaxes(context, 1, 2)

    return jax.lax.platform_dependent(query, key, value, bias, default=plain, **{PLATFORM: fused})
