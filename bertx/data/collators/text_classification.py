"""Text classification: a label of a text or a pair, several, or numbers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from ..columns import LABEL, TEXT, TEXT_PAIR, as_list
from ..labels import Classes, as_number
from ..rows import Row
from .base import Collator, not_text

_ONE, _SEVERAL, _NUMBERS = "single_label_classification", "multi_label_classification", "regression"


class TextClassificationCollator(Collator):
    """Rows of {"text", "label"}, and "text_pair" where texts are pairs → labels [B], or [B, L].

    What a label is follows from the config's `problem_type`: a class's name or number → int64 [B]; a list of them →
    float32 [B, L] of zeros and ones; a number, or a list of L numbers → float32 [B] or [B, L]. Without a problem_type
    it is a number where there is one label in all, else one class.
    """

    fields = (TEXT, TEXT_PAIR, LABEL)

    def __init__(self, tokenizer: Any, config: Any, **options: Any):
        """See Collator."""
        super().__init__(tokenizer, config, **options)
        self._classes = Classes(config)

        numbers = config.problem_type is None and config.num_labels == 1
        self._kind = config.problem_type or (_NUMBERS if numbers else _ONE)

    def problem_of_values(self, row: Row) -> str | None:
        """See Collator."""
        text, pair, label = (self.value(name, row) for name in ("text", "text_pair", "label"))
        problem = not_text("text", text) or (None if pair is None else not_text("text_pair", pair))
        return problem or self._problem_of_label(label)

    def _problem_of_label(self, label: Any) -> str | None:
        kind, several = self._kind, isinstance(as_list(label), list)
        if kind == _NUMBERS:
            parts, count = as_list(label) if several else [label], self.config.num_labels
            if None in map(as_number, parts) or len(parts) != count:
                expected = "a number" if count == 1 else f"a list of {count} numbers"
                return f"has the label {label!r:.60}, expected {expected}: the config's problem_type is regression"
            return None
        if kind == _ONE:
            if isinstance(label, (list, tuple)):
                return (
                    f"has the label {label!r:.60}, expected one class: for several set the config's problem_type to "
                    f"{_SEVERAL}"
                )
            return self._classes.problem(label)
        if not several:
            return f"has the label {label!r:.60}, expected a list of classes: the config's problem_type is {kind}"
        return next(filter(None, map(self._classes.problem, as_list(label))), None)

    def classes_of(self, row: Row) -> Iterable[int]:
        """See Collator."""
        return () if self._kind == _NUMBERS else self._numbers(self.value("label", row))

    def _numbers(self, label: Any) -> list[int]:
        """The class of a label, or the classes."""
        labels = as_list(label) if self._kind == _SEVERAL else [label]
        return [number for one in labels if (number := self._classes.number(one)) is not None]

    def collate(self, rows: Sequence[Row], seed: int, step: int) -> dict[str, np.ndarray]:
        """See Collator."""
        inputs = self.pad(self.encode(self.values("text", rows), self.values("text_pair", rows)))
        return {**inputs, "labels": self._labels(self.values("label", rows))}

    def _labels(self, labels: Sequence[Any]) -> np.ndarray:
        if self._kind == _NUMBERS:
            return np.array(
                [
                    list(map(as_number, parts)) if isinstance(parts := as_list(label), list) else as_number(label)
                    for label in labels
                ],
                np.float32,
            )
        if self._kind == _ONE:
            return np.array([self._numbers(label)[0] for label in labels], np.int64)
        found = np.zeros((len(labels), len(self._classes.names)), np.float32)
        for row, label in zip(found, labels, strict=True):
            row[self._numbers(label)] = 1
        return found
