"""Logits to scores: softmax and sigmoid, the largest of them, and the names of a classifier's labels."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from bertx_weights import CheckpointError

from ..models.nn import softmax

if TYPE_CHECKING:
    from pathlib import Path

    from .protocol import TaskModel


def labels_of(model: TaskModel, folder: Path | None) -> list[str]:
    """The names of a classifier's outputs, in their order.

    Raises:
        CheckpointError: the config does not say which name is which output's.
    """
    try:
        return list(model.config.labels)
    except ValueError as error:
        raise CheckpointError(f"{folder}: {error}") from error


def at_least(count: int) -> int:
    """A power of two of at least `count`: a size that code is compiled for, where that is done for each."""
    return 1 << (count - 1).bit_length()


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """1 / (1 + e⁻ˣ) of each."""
    return 0.5 * (1 + np.tanh(0.5 * logits))


FUNCTIONS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "softmax": softmax,
    "sigmoid": sigmoid,
    "none": lambda logits: logits,
}
"""Logits [B, L] → scores [B, L], by the hub's names."""
