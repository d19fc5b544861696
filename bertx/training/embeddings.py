"""Training sentence embeddings: the module that a Trainer updates, and the model that is saved with its pooling."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from bertx_weights.files import exists

from ..backend import Backend
from ..model import Model
from ..tasks.keras_embedders import write_pooling
from ..tasks.pooling import Dense, Pooling, blocks, values
from ..tasks.sentence_transformers import MODULES, lowercased, read_embedding_settings

_POOLING = Pooling(("mean",))


class Embedder(Model):
    """An encoder whose embeddings are trained: where its folder names no pooling they are means of the token vectors.

    Attributes:
        collator: arguments of the collator that its folder sets.
        reader: its tokenizer, as the folder says that texts are read.
    """

    def __init__(self, model: Model, backend: Backend):
        """Raises ValueError for an encoder with modules that are not trained."""
        super().__init__(
            model.module, model.config, backend, model.architecture, model.folder, load_report=model.load_report
        )
        settings = read_embedding_settings(model.folder, model.config.hidden_size)
        if any(isinstance(module, Dense) for module in settings.modules):
            raise ValueError(
                f"{model.folder} has a Dense module, which bertx does not train: train it with sentence-transformers"
            )
        self._modules, self._truncate_dim = settings.modules, settings.truncate_dim
        self.collator: dict[str, Any] = {} if settings.max_length is None else {"max_length": settings.max_length}
        self.reader = lowercased(self.tokenizer, self.folder) if settings.lower_case else self.tokenizer

    def similarity(self) -> Any:
        """The native SentenceSimilarity over the encoder, whose parameters are the encoder's own."""
        modules = self._modules or (_POOLING,)
        dtype = "float64" if self._backend.dtype(self.module) == "float64" else "float32"
        head = self._backend.build(
            self._backend.spec_class("sentence_embedding", "SentenceSimilarity"),
            self.config,
            values(modules),
            dtype,
            self._backend.head_device(self.module),
            {"modules": blocks(modules), "truncate_dim": self._truncate_dim},
        )
        head.base = self.module
        return head

    def save(self, folder: str | os.PathLike[str]) -> None:
        """As Model, and the files that say how it pools."""
        super().save(folder)
        if not exists(Path(folder), MODULES):
            write_pooling(Path(folder), _POOLING.modes[0], self.config.hidden_size)
