"""Arrays in the order of their axes."""

from __future__ import annotations

import numpy as np

from .dtypes import BFLOAT16

_BLOCK = 64


def contiguous(array: np.ndarray) -> np.ndarray:
    """The array in C order: itself if it is, else a copy.

    A transposed matrix is copied by blocks of columns, which keep what was read in the cache.
    """
    if array.flags.c_contiguous or array.ndim != 2:
        return np.asarray(array, order="C")
    made = np.empty(array.shape, array.dtype)
    to, of = (each.view("<u2") if array.dtype == BFLOAT16 else each for each in (made, array))
    for start in range(0, array.shape[1], _BLOCK):
        to[:, start : start + _BLOCK] = of[:, start : start + _BLOCK]
    return made
