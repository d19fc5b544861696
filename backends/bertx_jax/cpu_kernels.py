"""Which library XLA multiplies matrices with on a processor, where its choice is slow: see benchmarks/decisions.md."""

from __future__ import annotations

import functools
from typing import Any

import jax

_OWN_PRODUCTS = {"xla_cpu_experimental_ynn_fusion_type": ""}
_MOST_ROWS = 32


def compiler_options(rows: int, has_decoder: bool) -> dict[str, Any] | None:
    """What jax.jit is told of a model whose products have so many rows.

    YNNPACK takes up to 1.6 times as long as XLA's own products of so few rows. With a transposed table, which an
    `nn.Decoder` has, XLA's own are up to three times slower.
    """
    own = rows <= _MOST_ROWS and not has_decoder and jax.default_backend() == "cpu" and _has_ynnpack()
    return _OWN_PRODUCTS if own else None


@functools.cache
def _has_ynnpack() -> bool:
    try:
        jax.jit(lambda: 0, compiler_options=_OWN_PRODUCTS).lower().compile()
    except jax.errors.JaxRuntimeError:  # another XLA does not know the option
        return False
    return True
