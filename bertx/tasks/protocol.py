"""What a task needs of a model: `bertx.Model` has it, and so can a model of one's own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

import numpy as np

from ..backend import Decoder
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

    @property
    def packs(self) -> bool:
        """Whether rows of any length are faster packed in one, with `segments`, than padded."""
        ...

    def replays(self, rows: int, length: int) -> bool:
        """Whether a small batch of such a shape is padded to one of a few, which are recorded."""
        ...

    def forward(self, **inputs: Any) -> dict[str, Any]:
        """Arrays by the hub's names (`input_ids`, `attention_mask`, …) → arrays by the hub's names (`logits`, …)."""
        ...

    @property
    def decoder(self) -> Decoder:
        """What generates with a causal model, token by token."""
        ...

    def map(self, compute: Callable[[Any], Any], batches: Sequence[Any]) -> Iterator[Any]:
        """Yields `compute` of each batch, in order."""
        ...

    def embedder(self, modules: Sequence[Any], truncate_dim: int | None = None) -> Callable[..., np.ndarray]:
        """A function of a batch, by the names of `forward`, that gives its sentence embeddings [B, D].

        modules: what is computed of the token vectors, of `bertx.tasks.pooling`; truncate_dim: how many values of an
        embedding are kept. The function also takes `prompt_lengths` [B], how many of a row's first tokens are a
        prompt's, and `pooling` and `normalize` as the task does.
        """
        ...

    def predictor(self, name: str, **options: Any) -> Callable[..., dict[str, np.ndarray]]:
        """A function of a batch, by the names of `forward`, that gives what a task reads of the head's outputs.

        name: a class of `bertx.models.predictions`; options: the arguments of its `forward` that are no arrays. The
        function also takes the `arrays` of the class, and gives its outputs.
        """
        ...
