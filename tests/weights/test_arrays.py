from __future__ import annotations

import numpy as np
import pytest

from bertx_weights import BFLOAT16, contiguous

BITS = np.arange(130 * 200, dtype="<u2").reshape(130, 200)


@pytest.mark.parametrize(
    "array", [BITS, BITS.astype(np.float32), BITS.view(BFLOAT16), BITS[0], np.float32(1) + BITS[0, 0]]
)
def test_what_is_in_c_order_is_not_copied(array):
    array = np.asarray(array)
    assert contiguous(array) is array


@pytest.mark.parametrize(
    "array",
    [
        BITS.T,
        BITS.astype(np.float64).T,
        BITS.view(BFLOAT16).T,
        BITS[::2, ::-3],
        BITS[:, :1].T[:, ::-1],
        BITS[:0].T,
        BITS.reshape(13, 10, 200).transpose(2, 0, 1),
        BITS[0, ::2],
    ],
)
def test_others_become_so_with_the_same_values(array):
    made = contiguous(array)
    assert made.flags.c_contiguous and made.dtype == array.dtype and made.shape == array.shape
    assert made.tobytes() == array.tobytes()
