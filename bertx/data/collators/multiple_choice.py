"""Multiple choice: a question, its choices, and which of them is right."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..columns import LABEL, Field, as_list, refuse
from ..rows import Row
from .base import Collator, not_text


class MultipleChoiceCollator(Collator):
    """Rows of {"question", "choices": texts, "label"} → inputs [B, C, T] and labels [B], int64.

    A label is the index of the right choice, from 0, or its text.
    """

    fields = (Field("question", ("question", "text")), Field("choices", ("choices", "endings")), LABEL)

    def problem_of_values(self, row: Row) -> str | None:
        """See Collator."""
        question, choices = self.value("question", row), as_list(self.value("choices", row))
        if problem := not_text("question", question):
            return problem
        if not isinstance(choices, list) or len(choices) < 2:
            return f"has {choices!r:.40} for its choices, expected a list of two or more texts"
        if problem := next(filter(None, (not_text("choices", choice) for choice in choices)), None):
            return problem
        if self._right(row) is None:
            return (
                f"has the label {self.value('label', row)!r:.40}, expected 0 to {len(choices) - 1} or the text of a "
                "choice"
            )
        return None

    def _right(self, row: Row) -> int | None:
        """The index of the right choice; None where the label is of none."""
        label, choices = self.value("label", row), as_list(self.value("choices", row))
        if isinstance(label, str) and choices.count(label) == 1:
            return choices.index(label)
        if isinstance(label, bool) or not isinstance(label, (int, str)) or not str(label).isdecimal():
            return None
        return int(label) if int(label) < len(choices) else None

    def prepare(self, rows: Sequence[Row], seed: int = 0) -> Sequence[Row]:
        """See Collator; all rows must have as many choices."""
        rows = super().prepare(rows, seed)
        self._check_counts(rows)
        return rows

    def _check_counts(self, rows: Sequence[Row]) -> None:
        counts = [len(as_list(self.value("choices", rows[i]))) for i in range(len(rows))]
        others = {i: count for i, count in enumerate(counts) if count != counts[0]}
        refuse({i: f"has {count} choices, the first row {counts[0]}" for i, count in others.items()}, rows)

    def collate(self, rows: Sequence[Row], seed: int, step: int) -> dict[str, np.ndarray]:
        """See Collator."""
        self._check_counts(rows)
        choices = [as_list(of_row) for of_row in self.values("choices", rows)]
        questions = [question for question in self.values("question", rows) for _ in choices[0]]
        inputs = self.pad(self.encode(questions, [choice for of_row in choices for choice in of_row]))
        inputs = {name: value.reshape(len(rows), len(choices[0]), -1) for name, value in inputs.items()}
        return {**inputs, "labels": np.array([self._right(row) for row in rows], np.int64)}
