"""Token vectors, or sentence embeddings where a checkpoint was trained for them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .classification import max_tokens
from .sentence_transformers import POOLINGS, SentenceSettings, read_settings
from .streaming import Row, padded, rows_of, run_whole


class FeatureExtraction:
    """The task of a BertModel."""

    def __init__(self, model: Any, folder: Path | None):
        """Pooling, normalisation and length as a sentence-transformers folder has them, else none."""
        self._model = model
        self._settings = read_settings(folder) if folder is not None else SentenceSettings()
        self._max_length = min(self._settings.max_length or max_tokens(model), max_tokens(model))

    def __call__(
        self,
        texts: Any,
        *,
        pooling: str | None = None,
        normalize: bool | None = None,
        batch_tokens: int | None = None,
    ) -> Any:
        """Runs texts through the model; longer ones than it takes are truncated.

        Args:
            texts: one text, a list or a stream.
            pooling: "mean", "cls" or "max" over the tokens, padding left out; "none" gives each token's
                vector; None does as the checkpoint says, "none" where it says nothing.
            normalize: whether embeddings are scaled to length 1; None does as the checkpoint says.
            batch_tokens: the most tokens of a batch.

        Returns:
            Of one text its embedding [H] float32, or with pooling "none" its [T, H], [CLS] and [SEP] included;
            of a list the embeddings [B, H], or a list of [T, H]; of a stream an iterator of the former.

        Raises:
            ValueError: an unknown pooling.
        """
        modes = self._settings.pooling if pooling is None else () if pooling == "none" else (pooling,)
        if set(modes) - set(POOLINGS):
            raise ValueError(f"pooling is {pooling!r}, expected one of none, {', '.join(POOLINGS)}")
        normalize = self._settings.normalize if normalize is None else normalize

        def compute(rows: list[Row]) -> Sequence[np.ndarray]:
            batch = padded(self._model, rows)
            vectors = self._model.forward(**batch)["last_hidden_state"]
            return _pool(vectors, batch["attention_mask"], modes, normalize)

        results = run_whole(self._model, texts, self._encode, compute, batch_tokens)
        if not isinstance(texts, list) or not modes:
            return results
        return np.stack(results) if results else np.empty((0, self._model.config.hidden_size * len(modes)), np.float32)

    def _encode(self, texts: list[str]) -> list[Row]:
        encoded = self._model.tokenizer(texts, truncation=True, max_length=self._max_length)
        return rows_of(encoded)


def cosine_similarity(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The cosine of every pair; a [A, H], b [B, H] → [A, B]."""
    return _unit(np.atleast_2d(a)) @ _unit(np.atleast_2d(b)).T


def _pool(vectors: np.ndarray, mask: np.ndarray, modes: tuple[str, ...], normalize: bool) -> Sequence[np.ndarray]:
    if not modes:
        return [row[counted == 1] for row, counted in zip(vectors, mask, strict=True)]
    pooled = np.concatenate([_POOLS[mode](vectors, mask[..., None].astype(vectors.dtype)) for mode in modes], axis=-1)
    return _unit(pooled) if normalize else pooled


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)


_POOLS = {
    "cls": lambda vectors, mask: vectors[:, 0],
    "max": lambda vectors, mask: np.where(mask == 1, vectors, -np.inf).max(1),
    # The sum is a product: five times as fast as one over what a mask leaves.
    "mean": lambda vectors, mask: (mask.swapaxes(1, 2) @ vectors)[:, 0] / np.maximum(mask.sum(1), 1e-9),
}
