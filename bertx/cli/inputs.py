"""What a verb works on: a file, several of them one after another, or stdin."""

from __future__ import annotations

import glob
import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bertx_weights.files import is_special

from .records import Field, Record, WrongUsage
from .source import ALL, Reading, Source, description


def files_of(given: Sequence[str], after: Sequence[str] = (), option: str = "--input") -> list[Path]:
    """The files of an option, in order; what matches a pattern is sorted by name.

    Args:
        given: one for each time that it is given.
        after: arguments behind it, as a shell gives them for a pattern that it has expanded.
        option: its name.

    Raises:
        WrongUsage: what is given is no file, or is one twice.
    """
    if after and len(given) > 1:
        raise WrongUsage(f"several files are given after one {option}, or with an {option} for each: not both")
    files: list[Path] = []
    for name in [*given, *after]:
        found = [name] if os.path.exists(name) else sorted(glob.glob(name, recursive=True))
        if name in after and not found and not glob.has_magic(name):
            raise WrongUsage(f"both texts and {option} {given[0]}: give one of them ({name!r:.60} is no file)")
        if not found:
            reason = "no file matches" if glob.has_magic(name) else "the file does not exist"
            raise WrongUsage(f"{option} {name}: {reason}")
        if folders := [one for one in found if os.path.isdir(one)]:
            raise WrongUsage(f"{option} {folders[0]} is a directory: give its files, such as '{folders[0]}/*.jsonl'")
        files += map(Path, found)
    if twice := next((file for file in files if files.count(file) > 1), None):
        raise WrongUsage(f"{option} {twice} is given twice")
    return files


@dataclass(frozen=True)
class _Columns:
    """What must be the same in all files: the columns that are kept, and those of a table that fields are read from."""

    path: Path | None
    kept: dict[str, Any]
    read: frozenset[str] | None


class Input:
    """The records of files, read once in their order, or of stdin.

    Attributes:
        several: whether there is more than one file: a record then says of which it is.
        has_lines: whether the records of any have a line of their own.
        kept: the columns that are kept, as Source has them.
        size: of the files in bytes; None where not known.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        fields: Sequence[Field],
        reading: Reading,
        taken: Iterable[str] = (),
        columns_given: bool = False,
    ):
        """Opens each file once to look at its columns; no path is stdin.

        Raises:
            WrongUsage: as Source; or two files have other columns.
        """
        self._paths, self._fields = paths or [None], tuple(fields)
        self._reading = reading
        self._taken, self._columns_given = frozenset(taken), columns_given
        self.several = len(self._paths) > 1
        self._sizes = [path.stat().st_size if path else 0 for path in self._paths]
        self.size = sum(self._sizes) or None
        self._done: list[str] = []  # the digests of the files before the open one
        self._source = self._opened(0)
        self._forms = [self._source.form]
        self.has_lines = self._source.has_lines
        self.kept = self._source.kept
        if self.several:
            try:
                self._look_at_all()
            except BaseException:
                self.close()
                raise

    def _look_at_all(self) -> None:
        if pipe := next((path for path in self._paths if path and is_special(path)), None):
            raise WrongUsage(f"{pipe} is no plain file: a device or a pipe is read alone")
        first = self._columns_of(self._source)
        kept = dict(first.kept)
        for number in range(1, len(self._paths)):
            source = self._opened(number)
            source.close()
            found = self._columns_of(source)
            _check_same(first, found)
            # A value of JSON, a cell of text and one of Arrow can only be written as a value of JSON.
            kept = {name: kind if found.kept[name] == kind else "any" for name, kind in kept.items()}
            self._forms.append(source.form)
            self.has_lines |= source.has_lines
        self.kept = kept

    def _columns_of(self, source: Source) -> _Columns:
        read = {column for one in self._fields for column in one.sources}
        return _Columns(source.path, source.kept, None if source.columns is None else frozenset(read & source.columns))

    def _opened(self, number: int) -> Source:
        return Source(self._paths[number], self._fields, self._reading, self._taken, self._columns_given)

    @property
    def description(self) -> dict[str, Any]:
        """How it is read, as JSON."""
        if not self.several:
            return description(self._reading, self._forms[0])
        return description(self._reading, self._forms) | {"files": list(map(str, self._paths))}

    @property
    def position(self) -> int:
        """How many of the bytes were read, about."""
        number, part = len(self._done), self._source
        share = part.position / part.size if part.size else 0
        return sum(self._sizes[:number]) + int(self._sizes[number] * share)

    def digest(self) -> str:
        """SHA-256 of what was read until now, in hexadecimal."""
        if not self.several:
            return self._source.digest()
        return hashlib.sha256(" ".join([*self._done, self._source.digest()]).encode()).hexdigest()

    def __iter__(self) -> Iterator[Record]:
        """Raises ValueError for an input that breaks off, as a damaged .gz file does."""
        first = 0
        for number, path in enumerate(self._paths):
            if number:
                self._source.close()
                self._done.append(self._source.digest())
                self._source = self._opened(number)
            for record in self._source.records(first):
                yield replace(record, file=str(path), first=first) if self.several else record
            first += self._source.rows

    def close(self) -> None:
        """Closes the open file; stdin stays open."""
        self._source.close()


def _check_same(one: _Columns, other: _Columns) -> None:
    """Raises WrongUsage where two files have other columns."""
    if one.kept.keys() != other.kept.keys():
        raise WrongUsage(
            f"{one.path} and {other.path} have not the same columns to keep: {_named(one.kept)}, and "
            f"{_named(other.kept)}: give --keep the names of those that both have"
        )
    if one.read is not None and other.read is not None and one.read != other.read:
        lost = ", ".join(map(repr, sorted(one.read ^ other.read)))
        raise WrongUsage(
            f"{one.path} and {other.path} have not the same columns: only one of them has {lost}: "
            "give them to jobs of their own"
        )
    for name, kind in one.kept.items():
        found = other.kept[name]
        if kind != found and not isinstance(kind, str) and not isinstance(found, str):
            raise WrongUsage(
                f"{one.path} has {kind} in the column {name!r}, and {other.path} {found}: "
                "convert one of them, or leave the column out of --keep"
            )


def _named(kept: dict[str, Any]) -> str:
    return "any that an object has" if ALL in kept else ", ".join(kept) or "none"
