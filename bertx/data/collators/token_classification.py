"""Token classification: a label of each word, given to the first of its tokens, or to all."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from ..columns import TAGS, Field, as_list
from ..labels import Classes
from ..rows import Row
from .base import IGNORED, Collator, not_text


class TokenClassificationCollator(Collator):
    """Rows of {"tokens": words, "tags": a label of each} → labels [B, T], int64, -100 where none counts."""

    fields = (Field("tokens", ("tokens", "words")), TAGS)

    def __init__(self, tokenizer: Any, config: Any, *, label_all: bool = False, **options: Any):
        """See Collator.

        Args:
            tokenizer, config, options: see Collator.
            label_all: whether the tokens of a word after its first have its label too, B-X as I-X where there is such
                a label; False gives them -100.
        """
        super().__init__(tokenizer, config, **options)
        tokenizer(["a"], is_split_into_words=True)  # not every tokenizer can: it says so here
        self._classes, self._label_all = Classes(config), label_all
        names = self._classes.names
        numbers = {name: number for number, name in enumerate(names)}
        self._inside = [
            numbers.get(f"I-{name[2:]}", number) if name.startswith("B-") else number
            for number, name in enumerate(names)
        ]

    def problem_of_values(self, row: Row) -> str | None:
        """See Collator."""
        words, tags = as_list(self.value("tokens", row)), as_list(self.value("tags", row))
        if not isinstance(words, list) or not isinstance(tags, list):
            name, value = ("tokens", words) if not isinstance(words, list) else ("tags", tags)
            return f"has {value!r:.40} for its {name}, expected a list"
        if not words:
            return "has no words"
        if len(words) != len(tags):
            return f"has {len(words)} words and {len(tags)} tags: give one for each"
        problems = [not_text("tokens", word) for word in words] + [self._classes.problem(tag) for tag in tags]
        return next(filter(None, problems), None)

    def classes_of(self, row: Row) -> Iterable[int]:
        """See Collator."""
        return self._numbers(row)

    def _numbers(self, row: Row) -> list[int]:
        return [n for tag in as_list(self.value("tags", row)) if (n := self._classes.number(tag)) is not None]

    def collate(self, rows: Sequence[Row], seed: int, step: int) -> dict[str, np.ndarray]:
        """See Collator."""
        encoded = self.tokenizer(
            [as_list(words) for words in self.values("tokens", rows)],
            is_split_into_words=True,
            truncation=True,
            max_length=self.max_length,
        )
        inputs = self.pad(encoded)
        labels = np.full(inputs["input_ids"].shape, IGNORED, np.int64)
        for i, row in enumerate(rows):
            numbers, before = self._numbers(row), None
            for position, word in enumerate(encoded.word_ids(i)):
                if word is not None and word != before:
                    labels[i, position] = numbers[word]
                elif word is not None and self._label_all:
                    labels[i, position] = self._inside[numbers[word]]
                before = word
        return {**inputs, "labels": labels}
