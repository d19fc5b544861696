"""Columns: where a collator finds in a row what it needs, by the names that data sets of the field use."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .rows import DataError, Row, columns_of, listed, source_of


@dataclass(frozen=True)
class Field:
    """What a collator needs of a row.

    Attributes:
        name: what it is called here, and in `columns=`.
        candidates: the columns that it may be in; the first that a row has counts.
        required: whether a row without it is an error.
    """

    name: str
    candidates: tuple[str, ...]
    required: bool = True

    def value(self, row: Row) -> Any:
        """What a row has of it; None where it has nothing."""
        return next((row[name] for name in self.candidates if row.get(name) is not None), None)

    def check(self, rows: Sequence[Row]) -> None:
        """Raises ValueError where the data have no such column."""
        check_columns((self,), rows)


TEXT = Field("text", ("text", "sentence", "sentence1", "premise", "question1"))
TEXT_PAIR = Field("text_pair", ("text_pair", "sentence2", "hypothesis", "question2"), required=False)
LABEL = Field("label", ("label", "labels"))
TAGS = Field("tags", ("tags", "ner_tags", "labels"))


def with_columns(fields: Sequence[Field], columns: Mapping[str, str] | None) -> tuple[Field, ...]:
    """The fields, those of `columns` in the column that it names alone.

    Raises:
        ValueError: `columns` names no field.
    """
    columns = columns or {}
    known = [field.name for field in fields]
    if strange := [name for name in columns if name not in known]:
        raise ValueError(f"columns names {listed(strange)}; what this task reads is {listed(known)}")
    return tuple(
        Field(field.name, (columns[field.name],), required=True) if field.name in columns else field for field in fields
    )


def check_columns(fields: Sequence[Field], rows: Sequence[Row]) -> None:
    """Raises ValueError where the data lack a column that is needed, all of them in one message."""
    there = columns_of(rows)
    if lost := [field for field in fields if field.required and not set(field.candidates) & set(there)]:
        needed = "; ".join(
            f"{field.name}: {listed(field.candidates)}" if len(field.candidates) > 1 else listed(field.candidates)
            for field in lost
        )
        name = lost[0].name
        raise ValueError(
            f"{source_of(rows)}no column for {needed}; the data have {listed(there)}: "
            f'name yours with columns={{"{name}": …}}'
        )


def missing(fields: Sequence[Field], row: Row) -> str | None:
    """What a row lacks, for an error."""
    lost = [field.name for field in fields if field.required and field.value(row) is None]
    return f"has no {' and no '.join(lost)}; it has {listed(row)}" if lost else None


def as_list(value: Any) -> Any:
    """A list, also of a tuple, an array or the JSON array that a cell of a table holds; else the value itself."""
    if isinstance(value, str) and value.startswith("["):
        try:
            found = json.loads(value)
        except (ValueError, RecursionError):
            return value
        return found if isinstance(found, list) else value
    if isinstance(value, np.ndarray):
        return value.tolist()
    return list(value) if isinstance(value, tuple) else value


def refuse(problems: Mapping[int, str], rows: Any = None) -> None:
    """Raises DataError if there are problems."""
    if problems:
        raise DataError(problems, rows)
