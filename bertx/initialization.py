"""The values of a parameter that no checkpoint gives: N(0, initializer_range), as the paper's release has it."""

from __future__ import annotations

import zlib

import numpy as np

from .backend import ValueOf
from .config import BertConfig


def initial_values(config: BertConfig, seed: int = 0) -> ValueOf:
    """A source of initial values, float32: matrices N(0, initializer_range), biases 0, LayerNorm weights 1.

    A tensor depends on its schema name and the seed alone, so every backend and every head gets the same.
    """

    def value_of(name: str, shape: tuple[int, ...]) -> np.ndarray:
        if name.endswith("LayerNorm.weight"):
            return np.ones(shape, np.float32)
        if name.endswith("bias"):
            return np.zeros(shape, np.float32)
        generator = np.random.default_rng([seed, zlib.crc32(name.removeprefix("bert.").encode())])
        values = generator.standard_normal(shape, np.float32)
        values *= config.initializer_range
        return values

    return value_of
