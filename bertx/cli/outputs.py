"""Where rows go: a file that is whole or unfinished, a table on a terminal, JSON lines in a pipe."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from bertx_weights.files import is_special, write_atomically, write_through

from ..printable import printable
from .fingerprint import finished, job_digest, note_finished
from .formats import FORMATS, Columns, Csv, Format, JsonLines, Row
from .records import WrongUsage
from .source import ALL
from .terminal import console, is_terminal, named_stdout, show

# What a person does not read in a table.
_TECHNICAL = ("start", "end", "index", "token", "tokens", "sequence")


class Output(ABC):
    """Takes the rows of one chunk after another.

    Attributes:
        records, failed: how many were taken before, and how many of them could not be used.
        digest: of the input that they were read from.
    """

    records = 0
    failed = 0
    digest = ""

    @abstractmethod
    def write(self, rows: Sequence[Row], failed: int, digest: str) -> None:
        """Takes a chunk; `digest` is that of the input up to its end."""

    @abstractmethod
    def finish(self, digest: str) -> None:
        """After the last chunk; `digest` is that of the whole input."""

    @abstractmethod
    def discard(self) -> None:
        """After a job that failed: takes back what was begun, where there is no chunk yet."""


class FileOutput(Output):
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
        with _naming(self._path):
            self._file = open(self._part, "r+b" if self.records else "wb")  # noqa: SIM115
            try:
                self._file.truncate(self._bytes)
                self._file.seek(self._bytes)
                self._save()
            except (Exception, KeyboardInterrupt):
                self.discard()
                raise

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
        with _naming(self._path):
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
        with contextlib.suppress(OSError):  # what a full disk has no room for is cut off by whoever goes on
            self._file.close()
        if self.records == 0:
            self._part.unlink(missing_ok=True)
            self._state_file.unlink(missing_ok=True)

    def _save(self) -> None:
        state = {"job": self._job, "records": self.records, "failed": self.failed, "bytes": self._bytes}
        write_atomically(self._state_file, json.dumps(state | {"digest": self.digest}).encode())

    def finish(self, digest: str) -> None:
        """See Output."""
        self.digest = digest
        with _naming(self._path):
            if self.records == 0:
                self._file.write(self._form.encode([], first=True))
            self._file.close()
            self._form.finish(self._part, self._path, self.records, self._note)
        self._state_file.unlink(missing_ok=True)

    def _note(self, whole: Path) -> None:
        note_finished(whole, self._job, self.records, self.failed, self.digest)


class StreamOutput(Output):
    """Rows on stdout, or in a device or a pipe, as they come."""

    def __init__(self, form: Format, path: Path | None = None):
        """`path` None is stdout."""
        self._form, self._first = form, True
        self._target = sys.stdout.buffer if path is None else open(path, "ab")  # noqa: SIM115
        self._path = path

    def write(self, rows: Sequence[Row], failed: int, digest: str) -> None:
        """See Output."""
        self.failed += failed
        with named_stdout() if self._path is None else _naming(self._path):
            self._target.write(self._form.encode(rows, first=self._first))
            self._target.flush()
        self._first = False

    def finish(self, digest: str) -> None:
        """See Output."""
        if self._first:
            self.write([], 0, digest)
        self.discard()

    def discard(self) -> None:
        """See Output."""
        if self._path is not None:
            with contextlib.suppress(OSError):
                self._target.close()


class CopiedOutput(Output):
    """A form that is made whole before it can be read, for a device or a pipe."""

    def __init__(self, path: Path, form: Format):
        self._target = path
        self._folder = tempfile.TemporaryDirectory(prefix="bertx-")
        self._whole = Path(self._folder.name) / "out"
        self._file = FileOutput(self._whole, form, {}, resume=False)

    def write(self, rows: Sequence[Row], failed: int, digest: str) -> None:
        """See Output."""
        self._file.write(rows, failed, digest)
        self.failed = self._file.failed

    def finish(self, digest: str) -> None:
        """See Output."""
        self._file.finish(digest)
        with open(self._whole, "rb") as content:
            write_through(self._target, content)
        self._folder.cleanup()

    def discard(self) -> None:
        """See Output."""
        self._file.discard()
        self._folder.cleanup()


class TableOutput(Output):
    """A table for people on stdout, one for each chunk; failed lines are reported on stderr instead."""

    def __init__(self, columns: Columns):
        hidden = (*_TECHNICAL, "line", "row", "error", ALL)
        self._columns = {name: kind for name, kind in columns.items() if name not in hidden}

    def write(self, rows: Sequence[Row], failed: int, digest: str) -> None:
        """See Output."""
        self.failed += failed
        table = Table(box=None, padding=(0, 2, 0, 0))
        for name, kind in self._columns.items():
            table.add_column(name, justify="right" if kind in ("number", "integer") else "left", overflow="fold")
        for row in rows:
            if "error" not in row:
                table.add_row(*(Text(printable(_shown(row.get(name), kind))) for name, kind in self._columns.items()))
        if table.row_count:
            show(table, out=console(soft_wrap=False))

    def finish(self, digest: str) -> None:
        """See Output."""

    def discard(self) -> None:
        """See Output."""


def check_target(path: Path, resume: bool, overwrite: bool) -> bool:
    """Whether there is a finished file to go on with; to be called by who has `targets.reserved` it.

    Raises:
        WrongUsage: there is a file, or an unfinished one, that is not to be replaced or gone on with.
    """
    part, state = _unfinished(path)
    if state.is_file() and not part.is_file():
        state.unlink()  # of a job that was killed in the moment in which its file appeared
    if overwrite or (resume and part.is_file() and state.is_file()):
        return False
    if path.exists():
        if resume and finished(path):
            return True
        raise WrongUsage(f"{path} is there already: give --overwrite to replace it, or another --out")
    if part.exists() and not resume:
        raise WrongUsage(f"{part} is of an unfinished job: give --resume to go on, --overwrite to begin anew")
    return False


def check_finished(path: Path, job: Mapping[str, Any], source: Iterable[Any], digest: Callable[[], str]) -> int:
    """How many records of a finished file could not be used.

    Raises:
        WrongUsage: it is of another job, or of another input than these records.
    """
    note = finished(path) or {}
    again = "give --overwrite to replace it, or another --out"
    if note.get("job") != job_digest(json.loads(json.dumps(job))):
        raise WrongUsage(f"{path} is whole, and of another job (model, options, columns or versions): {again}")
    for _ in source:
        pass
    if note["input"] != digest():
        raise WrongUsage(f"{path} is whole, and of another input: {again}")
    return note["failed"]


def check_form(path: Path | None, columns: Columns, dtype: str = "float32") -> None:
    """Raises WrongUsage or MissingExtraError, as `open_output`, where a file of that name cannot hold the columns."""
    if path is not None:
        FORMATS.get(path.suffix.lower(), JsonLines)(columns, 1 if "vector" in columns.values() else None, dtype)


def open_output(
    path: Path | None, columns: Columns, width: int | None, dtype: str, job: Mapping[str, Any], resume: bool
) -> Output:
    """The output of `--out`, else a table on a terminal and JSON lines in a pipe.

    Raises:
        WrongUsage: the unfinished file is of another job, or the form cannot hold the results.
        MissingExtraError: the form needs a library that is not installed.
    """
    if path is None:
        if is_terminal(sys.stdout):
            return TableOutput(columns)
        if sys.stdout is None:
            raise WrongUsage("stdout is closed: give --out FILE")
        return StreamOutput(JsonLines(columns, None))
    form = FORMATS.get(path.suffix.lower(), JsonLines)(columns, width, dtype)
    if not is_special(path):
        return FileOutput(path, form, job, resume)
    return StreamOutput(form, path) if isinstance(form, JsonLines | Csv) else CopiedOutput(path, form)


@contextlib.contextmanager
def _naming(path: Path) -> Iterator[None]:
    """An error of a write names the file: that of a full disk does not, and Arrow's has a stack of its own."""
    try:
        yield
    except OSError as error:
        if error.filename is not None:
            raise
        reason = os.strerror(error.errno) if error.errno else str(error).splitlines()[0]
        raise OSError(error.errno, reason, str(path)) from error


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
    return str(value)
