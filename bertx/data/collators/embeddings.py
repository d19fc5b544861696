"""Embeddings of sentences: pairs or triplets, for losses over the negatives of a batch, or a score of a pair."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..columns import Field, refuse
from ..labels import as_number
from ..rows import Row
from .base import Collator, not_text

_TEXTS = ("anchor", "positive", "negative")


class EmbeddingsCollator(Collator):
    """Rows of {"anchor", "positive"}, and "negative" or "score" where there is one → inputs [B, K, T].

    K is 2 for pairs and 3 for triplets, in the order of the columns; scores are labels [B], float32.
    """

    fields = (
        Field("anchor", ("anchor", "query", "question", "sentence1", "text")),
        Field("positive", ("positive", "answer", "sentence2", "text_pair")),
        Field("negative", ("negative",), required=False),
        Field("score", ("score", "similarity_score", "label"), required=False),
    )

    def problem_of_values(self, row: Row) -> str | None:
        """See Collator."""
        score = self.value("score", row)
        if score is not None and as_number(score) is None:
            return f"has the score {score!r:.40}, expected a number"
        texts = {name: self.value(name, row) for name in _TEXTS}
        problems = (not_text(name, text) for name, text in texts.items() if text is not None)
        return next(filter(None, problems), None)

    def prepare(self, rows: Sequence[Row], seed: int = 0) -> Sequence[Row]:
        """See Collator; all rows must have the same columns."""
        rows = super().prepare(rows, seed)
        self._check_columns(rows)
        return rows

    def _names(self, row: Row) -> tuple[str, ...]:
        return tuple(name for name in self._fields if self.value(name, row) is not None)

    def _check_columns(self, rows: Sequence[Row]) -> None:
        first = self._names(rows[0])
        names = {i: self._names(rows[i]) for i in range(len(rows))}
        refuse(
            {i: f"has {', '.join(own)}, the first row {', '.join(first)}" for i, own in names.items() if own != first},
            rows,
        )

    def collate(self, rows: Sequence[Row], seed: int, step: int) -> dict[str, np.ndarray]:
        """See Collator."""
        self._check_columns(rows)
        names = [name for name in self._names(rows[0]) if name in _TEXTS]
        texts = [self.value(name, row) for row in rows for name in names]
        inputs = self.pad(self.encode(texts, [None] * len(texts)))
        batch = {name: value.reshape(len(rows), len(names), -1) for name, value in inputs.items()}
        scores = self.values("score", rows)
        if scores[0] is not None:
            batch["labels"] = np.array(list(map(as_number, scores)), np.float32)
        return batch
