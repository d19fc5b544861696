"""Collator: what the collators of all tasks have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from ...configs.base import ModelConfig
from ...tokenizers.base import PreTrainedTokenizer
from ..columns import Field, check_columns, missing, refuse, with_columns
from ..labels import Classes
from ..rows import Row, check_rows

IGNORED = -100
"""The label of a position that the loss does not count."""

_PADDINGS = ("longest", "max_length")


class Collator(ABC):
    """Makes the arrays of a batch of rows; a pure function of (rows, seed, step).

    The arrays have the names that the head's forward has for them: input_ids, attention_mask [B, T], token_type_ids
    [B, T] where the tokenizer gives them, all int64, padded on the right, and labels.
    """

    fields: ClassVar[tuple[Field, ...]]
    """What a row must have."""

    def __init__(
        self,
        tokenizer: PreTrainedTokenizer,
        config: ModelConfig,
        *,
        columns: Mapping[str, str] | None = None,
        max_length: int | None = None,
        padding: str = "longest",
        pad_to_multiple_of: int | None = None,
    ):
        """A collator.

        Args:
            tokenizer: the model's.
            config: the model's.
            columns: what is needed of a row → the column of the data that has it, where it is called otherwise.
            max_length: of a row, in tokens; a longer text is truncated. None is what the model takes.
            padding: "longest" pads to the longest row of a batch; "max_length" gives every batch one shape, so that
                a compiled step is compiled once.
            pad_to_multiple_of: pads on to a multiple of this.

        Raises:
            ValueError: an unknown padding, a field that the task does not have, or a max_length that the model does
                not take.
        """
        self.tokenizer, self.config = tokenizer, config
        self._fields = {field.name: field for field in with_columns(self.fields, columns)}
        longest = min(tokenizer.model_max_length, config.max_sequence_length)
        if max_length is not None and not 1 <= max_length <= longest:
            raise ValueError(f"max_length is {max_length}, expected 1 to {longest}, which the model takes")
        if padding not in _PADDINGS:
            raise ValueError(f"padding is {padding!r}, expected one of {', '.join(_PADDINGS)}")
        if pad_to_multiple_of is not None and pad_to_multiple_of < 1:
            raise ValueError(f"pad_to_multiple_of is {pad_to_multiple_of}, expected 1 or more")
        self.max_length = longest if max_length is None else max_length
        self.padding, self.pad_to_multiple_of = padding, pad_to_multiple_of

    def prepare(self, rows: Sequence[Row], seed: int = 0) -> Sequence[Row]:
        """Checks all rows, and gives those that batches are taken from; logs the classes that no row has.

        Raises:
            DataError: rows that cannot be used, all of them.
            ValueError: no rows, or a column that is not there.
        """
        if len(rows):
            check_columns(tuple(self._fields.values()), rows)
        seen: set[int] = set()

        def problem_of(row: Row) -> str | None:
            problem = self.problem(row)
            if problem is None:
                seen.update(self.classes_of(row))
            return problem

        check_rows(rows, problem_of)
        if seen:
            Classes(self.config).warn_of_unseen(seen, len(rows))
        return rows

    def __call__(self, rows: Sequence[Row], seed: int, step: int) -> dict[str, np.ndarray]:
        """The arrays of a batch.

        Raises:
            DataError: rows that cannot be used, by their index among `rows`.
        """
        problems = {index: self.problem(row) for index, row in enumerate(rows)}
        refuse({index: problem for index, problem in problems.items() if problem is not None})
        return self.collate(rows, seed, step)

    def problem(self, row: Row) -> str | None:
        """What is wrong with a row; None where it can be used."""
        lost = missing(tuple(self._fields.values()), row)
        return self.problem_of_values(row) if lost is None else lost

    @abstractmethod
    def problem_of_values(self, row: Row) -> str | None:
        """What is wrong with the values of a row that has all fields."""

    def classes_of(self, row: Row) -> Iterable[int]:
        """The classes of the config that a row has; none where labels are no classes."""
        return ()

    @abstractmethod
    def collate(self, rows: Sequence[Row], seed: int, step: int) -> dict[str, np.ndarray]:
        """The arrays of rows that are right."""

    def lengths(self, rows: Sequence[Row]) -> np.ndarray:
        """How many characters each row has: what batches of like length are made by."""
        return np.array([sum(map(_characters, map(rows[i].get, self._columns(rows[i])))) for i in range(len(rows))])

    def value(self, name: str, row: Row) -> Any:
        """What a row has of a field; None where it has nothing."""
        return self._fields[name].value(row)

    def values(self, name: str, rows: Sequence[Row]) -> list[Any]:
        """What each row has of a field."""
        return [self.value(name, row) for row in rows]

    def encode(self, texts: Sequence[str], pairs: Sequence[str | None]) -> dict[str, list[Any]]:
        """The tokenizer's columns of texts, those that have a pair with it; truncated, not padded."""
        columns: dict[str, list[Any]] = {}
        for has_pair in (False, True):
            indices = [i for i, pair in enumerate(pairs) if (pair is not None) == has_pair]
            if indices:
                second: Any = [pairs[i] for i in indices] if has_pair else None
                first = [texts[i] for i in indices]
                encoded = self.tokenizer(first, second, truncation=True, max_length=self.max_length)
                for name, values in encoded.items():
                    column = columns.setdefault(name, [None] * len(texts))
                    for index, value in zip(indices, values, strict=True):
                        column[index] = value
        return columns

    def pad(self, encoded: Mapping[str, Any], max_length: int | None = None) -> dict[str, np.ndarray]:
        """The arrays [B, T] of the tokenizer's rows; `max_length` is what "max_length" pads to, None the collator's."""
        names = ("input_ids", "token_type_ids", "attention_mask")
        return dict(
            self.tokenizer.pad(
                {name: encoded[name] for name in names if name in encoded},
                padding=self.padding,
                max_length=(max_length or self.max_length) if self.padding == "max_length" else None,
                pad_to_multiple_of=self.pad_to_multiple_of,
                padding_side="right",
                return_attention_mask=True,
                return_tensors="np",
            )
        )

    def _columns(self, row: Row) -> list[str]:
        return [name for field in self._fields.values() for name in field.candidates if name in row]


def not_text(name: str, value: Any) -> str | None:
    """What is wrong with a value that should be a text."""
    if not isinstance(value, str):
        return f"has {value!r:.40} for its {name}, expected text"
    try:
        value.encode()
    except UnicodeEncodeError:
        return f"has a lone surrogate, which is no text, in its {name}"
    return None


def _characters(value: Any) -> int:
    if isinstance(value, (list, tuple)):
        return sum(map(_characters, value))
    return len(value) if isinstance(value, str) else 0
