"""Which token follows, drawn from the scores of all."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..tasks.scores import softmax


@dataclass(frozen=True)
class Sampling:
    """How a token is drawn.

    Attributes:
        temperature: divides the logits.
        top_k: only so many of the likeliest tokens are drawn from.
        top_p: only the likeliest tokens whose probabilities first reach this sum.
    """

    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None

    def draw(self, logits: np.ndarray, generator: np.random.Generator) -> int:
        """A token by its logits [V]."""
        probabilities = softmax(logits.astype(np.float64) / self.temperature)
        return int(generator.choice(len(logits), p=truncated(probabilities, self.top_k, self.top_p)))


def truncated(probabilities: np.ndarray, top_k: int | None, top_p: float | None) -> np.ndarray:
    """Probabilities [V], those that are not drawn from 0."""
    order = np.argsort(-probabilities, kind="stable")
    kept = np.zeros_like(probabilities)
    ranked = probabilities[order]
    count = len(order) if top_k is None else min(top_k, len(order))
    if top_p is not None:
        # The token that reaches the sum is the last that counts.
        reached = np.cumsum(ranked[:count] / ranked[:count].sum())
        count = min(count, int(np.searchsorted(reached, top_p)) + 1)
    kept[order[:count]] = ranked[:count]
    return kept / kept.sum()
