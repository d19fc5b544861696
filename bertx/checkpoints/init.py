"""The values of a parameter that no checkpoint gives: N(0, initializer_range), as the paper's release has it."""

from __future__ import annotations

import zlib
from collections.abc import Iterable

import numpy as np

from bertx_weights import Row, base_prefix

from ..configs.base import ModelConfig
from ..parameters import ValueOf


def initial_values(rows: Iterable[Row], config: ModelConfig, seed: int = 0) -> ValueOf:
    """A source of initial values, float32: matrices N(0, initializer_range), biases 0, LayerNorm weights 1.

    A tensor depends on its schema name and the seed alone, so every backend and every head gets the same. What is none
    of the `rows`, a parameter of a user's own, is a matrix.
    """
    kinds = {row.name: row.kind for row in rows}

    def value_of(name: str, shape: tuple[int, ...]) -> np.ndarray:
        kind = kinds.get(name)
        if kind == "norm":
            return np.ones(shape, np.float32)
        if kind == "bias":
            return np.zeros(shape, np.float32)
        generator = np.random.default_rng([seed, zlib.crc32(_own_name(name).encode())])
        values = generator.standard_normal(shape, np.float32)
        values *= config.initializer_range
        return values

    return value_of


def _own_name(name: str) -> str:
    """A name without the prefix that the base model's tensors have in a model with a head, such as "bert."."""
    return name.removeprefix(base_prefix([name]))


_SPREAD = 1e-9  # of the variance about the mean of the old rows, as transformers has it
_AT_ONCE = 64


def added_rows(old: np.ndarray, count: int, name: str, seed: int = 0) -> np.ndarray:
    """Rows to add to a parameter whose first axis is the vocabulary, float32, drawn about the mean of the old ones.

    Their covariance is a billionth of that of the old rows (Hewitt 2021, "Initializing new word embeddings"): what is
    not trained yet takes no probability from what is. Of a vector they are its mean, and as close to it.
    """
    generator = np.random.default_rng([seed, zlib.crc32(_own_name(name).encode()), len(old)])
    mean = old.mean(0, dtype=np.float64)
    if old.ndim == 1:
        return (mean + _SPREAD * old.std() * generator.standard_normal(count)).astype(np.float32)
    centred = (old - mean).astype(np.float32)
    centred *= (_SPREAD / len(old)) ** 0.5
    parts = [
        # Sums of all old rows with weights N(0, 1) have their covariance.
        generator.standard_normal((min(_AT_ONCE, count - start), len(old)), np.float32) @ centred
        for start in range(0, count, _AT_ONCE)
    ]
    return (mean + np.concatenate(parts)).astype(np.float32)
