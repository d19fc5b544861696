"""Where rows go: a file that is whole or unfinished, a table on a terminal, JSON lines in a pipe."""

from __future__ import annotations

import json
import os
import sys
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from rich.console import Console
from rich.table import Table
from rich.text import Text

from bertx_weights import write_atomically

from .formats import FORMATS, Columns, Format, JsonLines, Row
from .records import WrongUsage

# What a person does not read in a table.
_TECHNICAL = ("start", "end", "index", "token", "tokens", "sequence")


class Output(Protocol):
    """Takes the rows of one chunk after another.

    Attributes:
        records, failed: how many were taken before, and how many of them could not be used.
        digest: of the input that they were read from.
    """

    records: int
    failed: int
    digest: str

    def write(self, rows: Sequence[Row], failed: int, digest: str) -> None:
        """Takes a chunk; `digest` is that of the input up to its end."""

    def finish(self) -> None:
        """After the last chunk."""

    def discard(self) -> None:
        """After a job that failed: takes back what was begun, where there is no chunk yet."""


class FileOutput:
    """A file that appears when it is whole; until then OUT.part has the chunks and OUT.part.json says how far it is."""

    def __init__(self, path: Path, form: Format, job: Mapping[str, Any], resume: bool):
        """`job` is what the rows depend on: an unfinished file is gone on with only where it is the same.

        Raises:
            WrongUsage: the job is another.
        """
        self._path, self._form, self._job = path, form, json.loads(json.dumps(job))
        self._part, self._state_file = _unfinished(path)
        self.records = self.failed = 0
        self.digest = ""
        self._bytes = 0
        if resume and self._state_file.is_file() and self._part.is_file():
            self._resume()
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = open(self._part, "r+b" if self.records else "wb")  # noqa: SIM115
        self._file.truncate(self._bytes)
        self._file.seek(self._bytes)
        self._save()

    def _resume(self) -> None:
        try:
            state = json.loads(self._state_file.read_bytes())
            job, self.records, self.failed = state["job"], state["records"], state["failed"]
            self.digest, self._bytes = state["digest"], state["bytes"]
        except (ValueError, KeyError, TypeError) as error:
            raise WrongUsage(
                f"{self._state_file}: cannot be read ({error!r}): give --overwrite to begin anew"
            ) from error
        if changed := _changes(job, self._job):
            raise WrongUsage(
                f"{self._part} is of another job ({'; '.join(changed)}): ask for the same, or begin with --overwrite"
            )
        if self._part.stat().st_size < self._bytes:
            raise WrongUsage(f"{self._part} is shorter than {self._state_file} says: begin with --overwrite")

    def write(self, rows: Sequence[Row], failed: int, digest: str) -> None:
        """See Output; when this returns the chunk is on disk."""
        self._file.write(self._form.encode(rows, first=self.records == 0))
        self._file.flush()
        os.fsync(self._file.fileno())
        self.records += len(rows)
        self.failed += failed
        self.digest = digest
        self._bytes = self._file.tell()
        self._save()

    def discard(self) -> None:
        """See Output."""
        self._file.close()
        if self.records == 0:
            self._part.unlink(missing_ok=True)
            self._state_file.unlink(missing_ok=True)

    def _save(self) -> None:
        state = {"job": self._job, "records": self.records, "failed": self.failed, "bytes": self._bytes}
        write_atomically(self._state_file, json.dumps(state | {"digest": self.digest}).encode())

    def finish(self) -> None:
        """See Output."""
        if self.records == 0:
            self._file.write(self._form.encode([], first=True))
        self._file.close()
        self._form.finish(self._part, self._path, self.records)
        self._state_file.unlink(missing_ok=True)


class StreamOutput:
    """JSON lines on stdout."""

    records = failed = 0
    digest = ""

    def __init__(self, columns: Columns):
        self._form = JsonLines(columns, None)

    def write(self, rows: Sequence[Row], failed: int, digest: str) -> None:
        """See Output."""
        self.failed += failed
        sys.stdout.buffer.write(self._form.encode(rows, first=False))
        sys.stdout.buffer.flush()

    def finish(self) -> None:
        """See Output."""

    def discard(self) -> None:
        """See Output."""


class TableOutput:
    """A table for people on stdout, one for each chunk; failed lines are told on stderr instead."""

    records = failed = 0
    digest = ""

    def __init__(self, columns: Columns):
        self._columns = {name: kind for name, kind in columns.items() if name not in (*_TECHNICAL, "line", "error")}

    def write(self, rows: Sequence[Row], failed: int, digest: str) -> None:
        """See Output."""
        self.failed += failed
        table = Table(box=None, padding=(0, 2, 0, 0))
        for name, kind in self._columns.items():
            table.add_column(name, justify="right" if kind in ("number", "integer") else "left", overflow="fold")
        for row in rows:
            if "error" not in row:
                table.add_row(*(Text(_shown(row.get(name), kind)) for name, kind in self._columns.items()))
        if table.row_count:
            Console(highlight=False).print(table)

    def finish(self) -> None:
        """See Output."""

    def discard(self) -> None:
        """See Output."""


def check_target(path: Path, resume: bool, overwrite: bool) -> None:
    """Raises WrongUsage where there is a file, or an unfinished one, that is not to be replaced or gone on with."""
    part, state = _unfinished(path)
    if overwrite or (resume and part.is_file() and state.is_file()):
        return
    if path.exists():
        raise WrongUsage(f"{path} is there already: give --overwrite to replace it, or another --out")
    if part.exists() and not resume:
        raise WrongUsage(f"{part} is of an unfinished job: give --resume to go on, --overwrite to begin anew")


def open_output(path: Path | None, columns: Columns, width: int | None, job: Mapping[str, Any], resume: bool) -> Output:
    """The output of `--out`, else a table on a terminal and JSON lines in a pipe.

    Raises:
        WrongUsage: the unfinished file is of another job, or the form cannot hold the results.
        MissingExtraError: the form needs a library that is not installed.
    """
    if path is not None:
        return FileOutput(path, FORMATS[path.suffix.lower()](columns, width), job, resume)
    return (TableOutput if sys.stdout.isatty() else StreamOutput)(columns)


def _changes(before: Any, now: Any, name: str = "") -> list[str]:
    """What differs between two jobs, innermost."""
    if before == now:
        return []
    if isinstance(before, dict) and isinstance(now, dict):
        names = sorted(before.keys() | now.keys())
        return [change for key in names for change in _changes(before.get(key), now.get(key), f"{name} {key}".strip())]
    return [f"{name} was {before!r}, is {now!r}"]


def _unfinished(path: Path) -> tuple[Path, Path]:
    return path.with_name(f"{path.name}.part"), path.with_name(f"{path.name}.part.json")


def _shown(value: Any, kind: str) -> str:
    if value is None:
        return ""
    if kind == "vector":
        return f"[{', '.join(f'{x:.4f}' for x in value[:4])}, … {len(value)}]"
    if kind == "vectors":
        return f"{len(value)} vectors of {len(value[0])}"
    if isinstance(value, float):
        return f"{value:.4f}"
    if isinstance(value, Mapping):
        return "  ".join(_shown(part, "") for name, part in value.items() if name not in _TECHNICAL)
    if isinstance(value, list):
        # The parts of a list that has parts of its own are told apart by a line between them.
        nested = any(isinstance(part, list) for part in value)
        return ("\n\n" if nested else "\n").join(_shown(part, "") for part in value)
    # A text must not command the terminal.
    return "".join("\ufffd" if _commands(letter) else letter for letter in str(value))


def _commands(letter: str) -> bool:
    return unicodedata.category(letter) == "Cc" and letter not in "\t\n"
