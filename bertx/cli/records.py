"""Records to work on, from arguments, .txt, .jsonl and .csv: a line that cannot be read is told, not raised."""

from __future__ import annotations

import csv
import hashlib
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

SUFFIXES = (".txt", ".jsonl", ".csv")
_BOM = b"\xef\xbb\xbf"
_SURROGATE = "a lone surrogate, which is no text,"
_NOT_UTF8 = "bytes that are not UTF-8"


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


@dataclass(frozen=True)
class Record:
    """One input: the line where it begins (from 1), its fields, and why it cannot be used, if so."""

    line: int
    values: dict[str, Any] = field(default_factory=dict)
    problem: str | None = None


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
        for number, text in enumerate(arguments, 1):
            yield _checked(number, {needed[0].name: text}, fields, _NOT_UTF8)
        return
    names = " ".join(one.name.upper() + (" …" if one.many else "") for one in needed)
    if len(arguments) < len(needed) or (len(arguments) > len(needed) and not needed[-1].many):
        raise WrongUsage(f"expected {names}, found {len(arguments)} texts")
    values: dict[str, Any] = {one.name: text for one, text in zip(needed, arguments, strict=False)}
    if needed[-1].many:
        values[needed[-1].name] = list(arguments[len(needed) - 1 :])
    yield _checked(1, values, fields, _NOT_UTF8)


class Source:
    """A file or stdin, read once: iterates its records.

    Attributes:
        size: in bytes; None where not known.
        position: how many bytes were read.
    """

    def __init__(self, path: Path | None, fields: Sequence[Field], as_jsonl: bool = False):
        """`path` None is stdin, text lines or with `as_jsonl` JSON lines.

        Raises:
            WrongUsage: a suffix that says nothing, or a text file where a record has several fields.
        """
        self._fields = fields
        self.position = 0
        self._digest = hashlib.sha256()
        self._path = path
        suffix = path.suffix.lower() if path else ".jsonl" if as_jsonl else ".txt"
        if suffix not in SUFFIXES:
            raise WrongUsage(f"{path}: expected a file that ends in {', '.join(SUFFIXES)}")
        needed = [one.name for one in fields if one.required]
        if suffix == ".txt" and len(needed) > 1:
            raise WrongUsage(f"a line of text has no {' and '.join(needed)}: give .jsonl or .csv")
        self.size = path.stat().st_size if path else None
        self._read = {".txt": self._texts, ".jsonl": self._json_lines, ".csv": self._rows}[suffix]

    def __iter__(self) -> Iterator[Record]:
        """Raises WrongUsage for a .csv without the columns that are needed."""
        if self._path is None:
            yield from self._read(sys.stdin.buffer)
            return
        with open(self._path, "rb") as stream:
            yield from self._read(stream)

    def digest(self) -> str:
        """SHA-256 of what was read until now, in hexadecimal."""
        return self._digest.hexdigest()

    def _lines(self, stream: BinaryIO) -> Iterator[bytes]:
        for line in stream:
            first = self.position == 0
            self._digest.update(line)
            self.position += len(line)
            yield line.removeprefix(_BOM) if first else line

    def _texts(self, stream: BinaryIO) -> Iterator[Record]:
        for number, line in enumerate(self._lines(stream), 1):
            try:
                text = line.removesuffix(b"\n").removesuffix(b"\r").decode()
            except UnicodeDecodeError as error:
                yield Record(number, problem=_not_utf8(error))
            else:
                yield Record(number, {self._fields[0].name: text})

    def _json_lines(self, stream: BinaryIO) -> Iterator[Record]:
        for number, line in enumerate(self._lines(stream), 1):
            if not line.strip():
                continue
            try:
                values = json.loads(line.decode())
            except UnicodeDecodeError as error:
                yield Record(number, problem=_not_utf8(error))
            except (ValueError, RecursionError) as error:
                yield Record(number, problem=f"is not JSON: {error}")
            else:
                if isinstance(values, str) and sum(one.required for one in self._fields) == 1:
                    values = {self._fields[0].sources[0]: values}
                yield _record(number, values, self._fields)

    def _rows(self, stream: BinaryIO) -> Iterator[Record]:
        csv.field_size_limit(2**31 - 1)  # the library's own limit is less than a long document
        # What is not UTF-8 becomes lone surrogates, and its row a problem of its own.
        reader = csv.reader((line.decode("utf-8", "surrogateescape") for line in self._lines(stream)), strict=True)
        try:
            header = next(reader, [])
        except csv.Error as error:
            raise WrongUsage(f"{self._path}: its header is not CSV: {error}") from error
        read = {column for one in self._fields for column in one.sources}
        if twice := sorted(column for column in read if header.count(column) > 1):
            raise WrongUsage(f"{self._path}: two columns are called {', '.join(twice)}")
        lost = [column for one in self._fields if one.required for column in one.sources if column not in header]
        if lost:
            raise WrongUsage(
                f"{self._path}: no column {', '.join(map(repr, lost))}; it has {', '.join(header) or 'none'}: "
                "name yours with --column"
            )
        while True:
            number = reader.line_num + 1
            try:
                row = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                lines = "" if reader.line_num == number else f" (lines {number} to {reader.line_num})"
                yield Record(number, problem=f"is not CSV: {error}{lines}")
                continue
            if row and len(row) != len(header):
                yield Record(number, problem=f"has {len(row)} columns, the header {len(header)}")
            elif row:
                cells = _cells(dict(zip(header, row, strict=True)), self._fields)
                yield _record(number, cells, self._fields, _NOT_UTF8)


def _cells(row: dict[str, str], fields: Sequence[Field]) -> dict[str, Any]:
    """The cells of a row; one that holds several strings is JSON."""
    values: dict[str, Any] = dict(row)
    for one in fields:
        if one.many and len(one.sources) == 1:
            try:
                values[one.sources[0]] = json.loads(row[one.sources[0]])
            except (ValueError, RecursionError):
                values[one.sources[0]] = None
    return values


def _record(number: int, found: Any, fields: Sequence[Field], surrogate: str = _SURROGATE) -> Record:
    """`surrogate` says what a lone one in a text is."""
    if not isinstance(found, dict):
        return Record(number, problem=f"is a {type(found).__name__}, expected a JSON object")
    values = {}
    for one in fields:
        lost = [column for column in one.sources if column not in found]
        if lost and one.required:
            names = ", ".join(map(repr, lost))
            return Record(number, problem=f"has no {names}; it has {', '.join(found) or 'nothing'}")
        if lost:
            continue
        if one.many and len(one.sources) > 1:
            values[one.name] = [found[column] for column in one.sources if found[column] not in (None, "")]
        elif one.required or found[one.sources[0]] is not None:
            values[one.name] = found[one.sources[0]]
    return _checked(number, values, fields, surrogate)


def _checked(number: int, values: dict[str, Any], fields: Sequence[Field], surrogate: str = _SURROGATE) -> Record:
    for one in fields:
        if one.name not in values:
            continue
        value = values[one.name]
        texts = value if one.many and isinstance(value, list) else [value]
        if not all(isinstance(text, str) for text in texts) or (one.many and texts is not value):
            expected = "a list of strings" if one.many else "a string"
            return Record(number, problem=f"has {value!r:.40} in {one.name!r}, expected {expected}")
        try:
            "".join(texts).encode()
        except UnicodeEncodeError:
            return Record(number, problem=f"has {surrogate} in {one.name!r}")
    return Record(number, values)


def _not_utf8(error: UnicodeDecodeError) -> str:
    return f"is not UTF-8: byte 0x{error.object[error.start]:02x} at {error.start}"
