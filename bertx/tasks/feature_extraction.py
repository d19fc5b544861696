"""Token vectors, or sentence embeddings where a checkpoint was trained for them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..tokenizer import BertTokenizer
from .sentence_transformers import POOLINGS, SentenceSettings, read_settings


class FeatureExtraction:
    """The task of a BertModel."""

    def __init__(
        self,
        forward: Callable[..., dict[str, Any]],
        tokenizer: BertTokenizer,
        hidden_size: int,
        max_length: int,
        settings: SentenceSettings,
    ):
        self._forward = forward
        self._tokenizer = tokenizer
        self._hidden_size = hidden_size
        self._max_length = max_length
        self._settings = settings

    @classmethod
    def from_model(cls, model: Any, folder: Path | None) -> FeatureExtraction:
        """Pooling, normalisation and length as a sentence-transformers folder has them, else none."""
        settings = read_settings(folder) if folder is not None else SentenceSettings()
        lengths = (settings.max_length, model.tokenizer.model_max_length, model.config.max_position_embeddings)
        max_length = min(length for length in lengths if length is not None)
        return cls(model.forward, model.tokenizer, model.config.hidden_size, max_length, settings)

    def __call__(
        self,
        texts: str | Sequence[str],
        *,
        pooling: str | None = None,
        normalize: bool | None = None,
        batch_size: int = 32,
    ) -> np.ndarray | list[np.ndarray]:
        """Runs texts through the model, texts of like length together; longer ones are truncated.

        Args:
            texts: one text or several.
            pooling: "mean", "cls" or "max" over the tokens, padding left out; "none" gives each token's
                vector; None does as the checkpoint says, "none" where it says nothing.
            normalize: whether embeddings are scaled to length 1; None does as the checkpoint says.
            batch_size: how many texts run at once.

        Returns:
            Embeddings [B, H] float32, or with pooling "none" a list of [T, H], [CLS] and [SEP] included.
            One text gives one of them.

        Raises:
            ValueError: an unknown pooling.
        """
        modes = self._settings.pooling if pooling is None else () if pooling == "none" else (pooling,)
        if set(modes) - set(POOLINGS):
            raise ValueError(f"pooling is {pooling!r}, expected one of none, {', '.join(POOLINGS)}")
        normalize = self._settings.normalize if normalize is None else normalize
        batch = [texts] if isinstance(texts, str) else list(texts)
        results: list[np.ndarray] = [np.empty(0)] * len(batch)
        by_length = sorted(range(len(batch)), key=lambda i: len(batch[i]))
        for start in range(0, len(batch), batch_size):
            places = by_length[start : start + batch_size]
            inputs = self._tokenizer([batch[i] for i in places], max_length=self._max_length)
            vectors = self._forward(**inputs)["last_hidden_state"]
            for i, row in zip(places, _pool(vectors, inputs["attention_mask"], modes, normalize), strict=True):
                results[i] = row
        if isinstance(texts, str):
            return results[0]
        if not modes:
            return results
        return np.stack(results) if results else np.empty((0, self._hidden_size * len(modes)), np.float32)


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
    "mean": lambda vectors, mask: (vectors * mask).sum(1) / np.maximum(mask.sum(1), 1e-9),
}
