"""What a folder says is computed of token vectors; `bertx.models.sentence_embedding` computes it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..parameters import ValueOf


@dataclass(frozen=True)
class Pooling:
    """modes: of `bertx.models.sentence_embedding.MODES`, joined; include_prompt: whether a prompt's tokens count."""

    modes: tuple[str, ...]
    include_prompt: bool = True

    def arguments(self) -> dict[str, Any]:
        """Those of the block of this name."""
        return {"modes": self.modes, "include_prompt": self.include_prompt}


@dataclass(frozen=True)
class Dense:
    """tensors: by the names of sentence-transformers: linear.weight, linear.bias, residual.weight."""

    in_features: int
    out_features: int
    activation: str
    use_residual: bool
    tensors: Mapping[str, np.ndarray] = field(compare=False)

    def arguments(self) -> dict[str, Any]:
        """Those of the block of this name."""
        sizes = {"in_features": self.in_features, "out_features": self.out_features}
        return sizes | {"activation": self.activation, "use_residual": self.use_residual}


@dataclass(frozen=True)
class Normalize:
    """Scales embeddings to length 1."""

    def arguments(self) -> dict[str, Any]:
        """Those of the block of this name."""
        return {}


def blocks(modules: Sequence[Any]) -> tuple[tuple[str, dict[str, Any]], ...]:
    """The name of the block that runs each module, and its arguments."""
    return tuple((type(module).__name__, module.arguments()) for module in modules)


def values(modules: Sequence[Any]) -> ValueOf:
    """The parameters of the blocks, by name ("steps.1.linear.weight"); a bias that a Dense lacks is 0."""

    def value_of(name: str, shape: tuple[int, ...]) -> np.ndarray:
        _, index, tensor = name.split(".", 2)
        found = modules[int(index)].tensors.get(tensor)
        return np.zeros(shape, np.float32) if found is None else found

    return value_of
