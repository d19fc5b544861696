"""The modules of sentence-transformers that make an embedding of token vectors, as it computes them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..models import nn


@dataclass(frozen=True)
class Pooling:
    """modes: of `MODES`, their results joined; include_prompt: whether a prompt's tokens count."""

    modes: tuple[str, ...]
    include_prompt: bool = True


@dataclass(frozen=True)
class Dense:
    """y = f(W x + b), W [out, in]; with a residual x is added to it, or V x."""

    weight: np.ndarray
    bias: np.ndarray | None
    activation: str
    use_residual: bool = False
    residual: np.ndarray | None = None

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Embeddings [B, in] → [B, out]."""
        y = x @ self.weight.T.astype(x.dtype)
        if self.bias is not None:
            y = y + self.bias.astype(x.dtype)
        y = ACTIVATIONS[self.activation](y)
        if not self.use_residual:
            return y
        return y + (x if self.residual is None else x @ self.residual.T.astype(x.dtype))


@dataclass(frozen=True)
class Normalize:
    """Scales embeddings to length 1."""

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Embeddings [B, H] → [B, H]."""
        return unit(x)


def embed(modules: Sequence[Any], vectors: np.ndarray, mask: np.ndarray, prompt_tokens: int) -> np.ndarray:
    """Token vectors [B, T, H], padded on the right, through modules → embeddings [B, D].

    `prompt_tokens` are the first of each row, which a Pooling may leave out.
    """
    found: Any = None
    for module in modules:
        if isinstance(module, Pooling):
            counted = mask.copy()
            if not module.include_prompt:
                counted[:, :prompt_tokens] = 0
            found = np.concatenate([MODES[mode](vectors, counted) for mode in module.modes], axis=-1)
        else:
            found = module(found)
    return found


def unit(vectors: np.ndarray) -> np.ndarray:
    """Vectors [..., H] scaled to length 1."""
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)


def _sum(vectors: np.ndarray, weights: np.ndarray) -> np.ndarray:
    # As a product, which is faster than a sum of what a mask leaves.
    return (weights.astype(vectors.dtype)[:, None] @ vectors)[:, 0]


def _count(weights: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    return np.maximum(weights.sum(1, keepdims=True).astype(vectors.dtype), 1e-9)


def _mean(vectors: np.ndarray, mask: np.ndarray) -> np.ndarray:
    return _sum(vectors, mask) / _count(mask, vectors)


def _weighted_mean(vectors: np.ndarray, mask: np.ndarray) -> np.ndarray:
    weights = mask * np.arange(1, mask.shape[1] + 1)
    return _sum(vectors, weights) / _count(weights, vectors)


def _last(vectors: np.ndarray, mask: np.ndarray) -> np.ndarray:
    at = mask.shape[1] - 1 - mask[:, ::-1].argmax(1)
    return np.where(mask.any(1, keepdims=True), vectors[np.arange(len(mask)), at], 0)


# [B, T, H], mask [B, T] → [B, H]; in the order in which older configs join several.
MODES: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "cls": lambda vectors, mask: vectors[np.arange(len(mask)), mask.argmax(1)],
    "max": lambda vectors, mask: np.where(mask[..., None] == 1, vectors, -np.inf).max(1),
    "mean": _mean,
    "mean_sqrt_len_tokens": lambda vectors, mask: _sum(vectors, mask) / np.sqrt(_count(mask, vectors)),
    "weightedmean": _weighted_mean,
    "lasttoken": _last,
}

# By the names of the classes of torch.nn, with the arguments that these have where none are given.
ACTIVATIONS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "Identity": lambda x: x,
    "Tanh": np.tanh,
    "Sigmoid": nn.sigmoid,
    "ReLU": nn.relu,
    "GELU": nn.gelu,
    "SiLU": nn.silu,
    "LeakyReLU": lambda x: np.where(x > 0, x, x * x.dtype.type(0.01)),
    "ELU": lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0))),
    "Softplus": lambda x: np.logaddexp(x, 0).astype(x.dtype),
    "LogSigmoid": lambda x: -np.logaddexp(-x, 0).astype(x.dtype),
    "Softsign": lambda x: x / (1 + np.abs(x)),
    "Hardtanh": lambda x: np.clip(x, -1, 1),
}
