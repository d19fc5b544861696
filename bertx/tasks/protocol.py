"""What a task needs of a model: `bertx.Model` has it, and so can a model of one's own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

from ..configs.base import ModelConfig


class TaskModel(Protocol):
    """A model from arrays to arrays, with a config and a tokenizer."""

    @property
    def config(self) -> ModelConfig:
        """The sizes, and the names of the labels."""
        ...

    @property
    def tokenizer(self) -> Any:
        """Texts to rows of ids, and back."""
        ...

    @property
    def device(self) -> str:
        """Where it runs: "cpu", "cuda:0", … A batch has more tokens where this is not "cpu"."""
        ...

    @property
    def compiles_each_shape(self) -> bool:
        """Whether batches are padded to a few shapes, since each new one is compiled."""
        ...

    def forward(self, **inputs: Any) -> dict[str, Any]:
        """Arrays by the hub's names (`input_ids`, `attention_mask`, …) → arrays by the hub's names (`logits`, …)."""
        ...

    def map(self, compute: Callable[[Any], Any], batches: Sequence[Any]) -> Iterator[Any]:
        """Yields `compute` of each batch, in order."""
        ...
