"""The layouts in which formats keep a tensor."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

from ..arrays import contiguous

Shape = tuple[int, ...]


class Layout(NamedTuple):
    """How a format keeps a tensor of the schema's [out, in].

    Attributes:
        axes: how many the stored one has; None for any number.
        shape: stored shape → schema shape.
        load: stored → schema layout, a view.
        save: (schema layout, number of attention heads) → stored, in C order.
    """

    axes: int | None
    shape: Callable[[Shape], Shape]
    load: Callable[[np.ndarray], np.ndarray]
    save: Callable[[np.ndarray, int], np.ndarray]


def _split(array: np.ndarray, heads: int) -> np.ndarray:
    return array.reshape(*array.shape[:-1], heads, array.shape[-1] // heads)


# H hidden, N heads, D head size.
LAYOUTS: Mapping[str, Layout] = {
    "same": Layout(None, lambda s: s, lambda a: a, lambda a, n: contiguous(a)),
    "kernel": Layout(2, lambda s: s[::-1], lambda a: a.T, lambda a, n: contiguous(a.T)),
    # query, key, value: [H, N, D] and [N, D]
    "to heads": Layout(
        3, lambda s: (s[1] * s[2], s[0]), lambda a: a.reshape(len(a), -1).T, lambda a, n: _split(contiguous(a.T), n)
    ),
    "heads": Layout(2, lambda s: (s[0] * s[1],), lambda a: a.reshape(-1), _split),
    # attention output: [N, D, H]
    "from heads": Layout(
        3,
        lambda s: (s[2], s[0] * s[1]),
        lambda a: a.reshape(-1, a.shape[-1]).T,
        lambda a, n: contiguous(a.T).reshape(n, -1, a.shape[0]),
    ),
}
