"""NumPy's arrays as JAX takes them."""

from __future__ import annotations

import jax.numpy as jnp

from bertx_weights import BFLOAT16, contiguous


def from_numpy(array):
    """The array, bfloat16 as JAX has it: a view, which needs the last axis whole."""
    return contiguous(array).view(jnp.bfloat16) if array.dtype == BFLOAT16 else array
