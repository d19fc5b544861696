"""Next-sentence prediction: whether the second text follows the first."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..columns import TEXT, TEXT_PAIR, Field
from ..rows import Row
from .base import Collator, not_text

_LABELS = {"0": 0, "1": 1}


class NextSentencePredictionCollator(Collator):
    """Rows of {"text", "text_pair", "label"} → labels [B], int64; 0: the second follows the first, 1: it is random."""

    fields = (
        TEXT,
        Field("text_pair", TEXT_PAIR.candidates),
        Field("label", ("label", "labels", "next_sentence_label")),
    )

    def problem_of_values(self, row: Row) -> str | None:
        """See Collator."""
        label = self.value("label", row)
        if isinstance(label, bool) or str(label) not in _LABELS:
            return f"has the label {label!r:.40}, expected 0 (the second text follows the first) or 1 (it does not)"
        return not_text("text", self.value("text", row)) or not_text("text_pair", self.value("text_pair", row))

    def collate(self, rows: Sequence[Row], seed: int, step: int) -> dict[str, np.ndarray]:
        """See Collator."""
        inputs = self.pad(self.encode(self.values("text", rows), self.values("text_pair", rows)))
        labels = [_LABELS[str(label)] for label in self.values("label", rows)]
        return {**inputs, "labels": np.array(labels, np.int64)}
