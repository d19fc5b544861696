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
_MOST_PRODUCTS = 400_000
_few_rows = ContextVar("few_rows", default=False)


def for_few_rows(rows: int, has_decoder: bool) -> bool:
    """Whether a model with so many rows in its products is compiled with `OPTIONS` and traced in `few_rows(True)`.

    YNNPACK takes up to 1.6 times as long as XLA's own products of so few rows. With a transposed table, which an
    `nn.Decoder` has, XLA's own are up to three times slower.
    """
    return rows <= _MOST_ROWS and not has_decoder and jax.default_backend() == "cpu" and _has_ynnpack()


@contextlib.contextmanager
def few_rows(are_few: bool):
    """Inside, float32 is for `product` and `standardized`, if the rows are few."""
    token = _few_rows.set(are_few)
    try:
        yield
    finally:
        _few_rows.reset(token)


def takes(*arrays) -> bool:
    """Whether `product` and `standardized` are for these arrays."""
    return _few_rows.get() and all(array.dtype == jnp.float32 for array in arrays)


def takes_product(a, b) -> bool:
    """Whether `product` is for these arrays: with more numbers to multiply XLA's own product of a batch is faster."""
    return takes(a, b) and a.size * b.shape[-1] <= _MOST_PRODUCTS


def product(a, b):
    """a [..., T, K], b [..., K, S] → [..., T, S], as a sum: XLA has one loop for it and for what stands about it."""
    return (a[..., None] * b[..., None, :, :]).sum(-2)


def standardized(x, epsilon):
    """x of mean 0 and variance 1 along the last axis, which are products: XLA adds one value of a sum at a time."""
    share = jnp.full(x.shape[-1:], 1 / x.shape[-1], x.dtype)
    about_mean = x - (x @ share)[..., None]
    return about_mean * jax.lax.rsqrt((about_mean * about_mean) @ share + epsilon)[..., None]


@functools.cache
def _has_ynnpack() -> bool:
    try:
        jax.jit(lambda: 0, compiler_options=OPTIONS).lower().compile()
    except jax.errors.JaxRuntimeError:  # another XLA does not know the option
        return False
    return True
