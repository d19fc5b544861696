"""Records to work on, and how one is made of what a line, a row or an argument holds."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

SURROGATE = "a lone surrogate, which is no text,"
NOT_UTF8 = "bytes that are not UTF-8"
ENCODING_HINT = "give the encoding of the file, such as --encoding latin-1 or --encoding cp1252"


class WrongUsage(ValueError):  # noqa: N818
    """What was asked for cannot be done, whatever the data are: exit code 2."""


@dataclass(frozen=True)
class Field:
    """What a task reads of a record. `many`: a list of strings; `columns`: what a file calls it, or its parts."""

    name: str
    required: bool = True
    many: bool = False
    columns: tuple[str, ...] = ()

    @property
    def sources(self) -> tuple[str, ...]:
        """The columns that it is read from."""
        return self.columns or (self.name,)

    @property
    def shown(self) -> str:
        """What an error calls it: the columns that the user has."""
        return ", ".join(map(repr, self.sources))


@dataclass(frozen=True)
class Record:
    """One input.

    Attributes:
        row: its index among the records of the input, from 0.
        line: the line of the file where it begins, from 1; None where a file has no lines.
        values: its fields.
        kept: other columns of it, which go to the output as they are.
        problem: why it cannot be used, if so.
        file: which it is of, where the input is several.
        first: the row with which that file begins.
    """

    row: int
    line: int | None
    values: dict[str, Any] = field(default_factory=dict)
    kept: dict[str, Any] = field(default_factory=dict)
    problem: str | None = None
    file: str | None = None
    first: int = 0

    @property
    def place(self) -> str:
        """What a message calls it: its place in its file."""
        place = f"row {self.row - self.first}" if self.line is None else f"line {self.line}"
        return place if self.file is None else f"{self.file}, {place}"


def json_kind(value: Any) -> str:
    """What JSON calls a value, with its article."""
    kinds = {dict: "an object", list: "an array", str: "a string", bool: "a boolean", type(None): "null"}
    return kinds.get(type(value), "a number")


def with_columns(fields: Sequence[Field], given: Iterable[str]) -> tuple[Field, ...]:
    """The fields with the columns of `--column NAME` (the first field's) and `--column FIELD=NAME[,NAME…]`.

    Only a field of several strings is read from several columns; for another the comma is of the name.
    """
    known = {one.name: one for one in fields}
    for text in given:
        name, found, column = text.partition("=")
        if not found or name not in known:
            name, column = fields[0].name, text
        columns = tuple(column.split(",")) if known[name].many else (column,)
        known[name] = Field(name, required=True, many=known[name].many, columns=columns)
    return tuple(known.values())


def from_arguments(arguments: Sequence[str], fields: Sequence[Field]) -> Iterator[Record]:
    """Each argument a record where a task needs one field, else all of them one record.

    Raises:
        WrongUsage: another number of arguments than the fields take.
    """
    needed = [one for one in fields if one.required]
    if len(needed) == 1:
        for row, text in enumerate(arguments):
            yield checked(Record(row, row + 1, {needed[0].name: text}), fields, NOT_UTF8)
        return
    names = " ".join(one.name.upper() + (" …" if one.many else "") for one in needed)
    if len(arguments) < len(needed) or (len(arguments) > len(needed) and not needed[-1].many):
        raise WrongUsage(f"expected {names}, found {len(arguments)} texts")
    values: dict[str, Any] = {one.name: text for one, text in zip(needed, arguments, strict=False)}
    if needed[-1].many:
        values[needed[-1].name] = list(arguments[len(needed) - 1 :])
    yield checked(Record(0, 1, values), fields, NOT_UTF8)


def record_of(
    row: int,
    line: int | None,
    found: Any,
    fields: Sequence[Field],
    kept: dict[str, Any],
    surrogate: str = SURROGATE,
) -> Record:
    """The record of an object or a row of a table; `surrogate` says what a lone one in a text is."""
    if not isinstance(found, dict):
        return Record(row, line, problem=f"is {json_kind(found)}, expected a JSON object")
    values = {}
    for one in fields:
        lost = [column for column in one.sources if column not in found]
        if lost and one.required:
            names = ", ".join(map(repr, lost))
            return Record(row, line, {}, kept, f"has no {names}; it has {', '.join(found) or 'nothing'}")
        if lost:
            continue
        first: Any = next(iter(one.sources))
        if one.many and len(one.sources) > 1:
            values[one.name] = [found[column] for column in one.sources if found[column] not in (None, "")]
        elif one.required or found[first] is not None:
            values[one.name] = found[first]
    return checked(Record(row, line, values, kept), fields, surrogate)


def checked(record: Record, fields: Sequence[Field], surrogate: str = SURROGATE) -> Record:
    """The record, or one without values that says why its values are no texts."""

    def failed(problem: str, kept: dict[str, Any]) -> Record:
        return Record(record.row, record.line, {}, kept, problem)

    for name, value in record.kept.items():
        if not is_text(value):
            kept = {other: one for other, one in record.kept.items() if is_text(one) and is_text(other)}
            return failed(f"has {surrogate} in {name!r}", kept)
    for one in fields:
        if one.name not in record.values:
            continue
        value = record.values[one.name]
        texts = value if one.many and isinstance(value, list) else [value]
        if not all(isinstance(text, str) for text in texts) or (one.many and texts is not value):
            expected = "a list of strings" if one.many else "a string"
            return failed(f"has {value!r:.40} in {one.shown}, expected {expected}", record.kept)
        if not is_text("".join(texts)):
            return failed(f"has {surrogate} in {one.shown}", record.kept)
    return record


def is_text(value: Any) -> bool:
    """Whether a value, with all its parts, can be written as UTF-8."""
    try:
        (value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)).encode()
    except UnicodeEncodeError:
        return False
    return True
