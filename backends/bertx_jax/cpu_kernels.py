"""How a processor multiplies matrices of few rows, where XLA's choice is slow: see benchmarks/decisions.md."""

from __future__ import annotations

import contextlib
import functools
from contextvars import ContextVar

import jax
import jax.numpy as jnp

# For jax.jit: XLA's own products, not YNNPACK's.
OPTIONS = {"xla_cpu_experimental_ynn_fusion_type": ""}
_MOST_ROWS = 32
_sums = ContextVar("sums", default=False)


def for_few_rows(rows: int, has_decoder: bool) -> bool:
    """Whether a model with that many rows in its products is compiled with `OPTIONS` and traced in `with few_rows()`.

    YNNPACK takes up to 1.6 times as long as XLA's own products of so few rows. With a transposed table, which an
    `nn.Decoder` has, XLA's own are up to three times slower.
    """
    return rows <= _MOST_ROWS and not has_decoder and jax.default_backend() == "cpu" and _has_ynnpack()


@contextlib.contextmanager
def few_rows():
    """Inside, `product` of float32 is a sum, which XLA computes in one loop with what stands before and after it."""
    token = _sums.set(True)
    try:
        yield
    finally:
        _sums.reset(token)


def product(a, b):
    """a [..., T, K], b [..., K, S] → [..., T, S]."""
    if _sums.get() and a.dtype == b.dtype == jnp.float32:
        return (a[..., None] * b[..., None, :, :]).sum(-2)
    return a @ b


@functools.cache
def _has_ynnpack() -> bool:
    try:
        jax.jit(lambda: 0, compiler_options=OPTIONS).lower().compile()
    except jax.errors.JaxRuntimeError:  # another XLA does not know the option
        return False
    return True
