"""One input file or stdin, read once, a record after another: what cannot be read is reported, not raised."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import itertools
import json
import re
import sys
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO

from bertx_weights.containers.libraries import needs

from .records import ENCODING_HINT, NOT_UTF8, SURROGATE, Field, Record, WrongUsage, is_text, record_of

FORMS = ("txt", "jsonl", "json", "csv", "tsv", "parquet", "arrow")
SUFFIXES = {f".{form}": form for form in FORMS} | {".feather": "arrow"}
ALL = "*"
"""In the columns of an output: all that a JSON object has beside the fields."""

_BOM = b"\xef\xbb\xbf"
_GZIP = b"\x1f\x8b"
_ARROW = b"ARROW1"  # a file; a stream begins otherwise
_ROWS = 1024  # of a parquet or Arrow file, made Python objects at once


@dataclass(frozen=True)
class Reading:
    """How an input is read.

    Attributes:
        form: one of FORMS; None goes by the name of the file.
        encoding: of a file of text.
        delimiter: of a table; None is a comma, for "tsv" a tab.
        keep: columns that go to the output beside those that are read; ("all",) for each.
        shard: (i, n): only the records whose row leaves i - 1 when divided by n.
    """

    form: str | None = None
    encoding: str = "utf-8"
    delimiter: str | None = None
    keep: tuple[str, ...] = ()
    shard: tuple[int, int] = (1, 1)


def description(reading: Reading, form: str | Sequence[str]) -> dict[str, Any]:
    """How an input of a form, or files of several, are read, as JSON."""
    return json.loads(json.dumps(asdict(reading) | {"form": form}))


def form_of(path: Path) -> str | None:
    """What a file is by its name, compressed or not; None where that does not say."""
    name = path.name.lower().removesuffix(".gz")
    return next((form for suffix, form in SUFFIXES.items() if name.endswith(suffix)), None)


class Source:
    """The records of a file or of stdin.

    Attributes:
        path: the file; None for stdin.
        form: one of FORMS.
        size: in bytes, of a parquet file in rows, of an Arrow file in batches; None where not known.
        rows: how many records were read, those of other shards too.
        columns: those of a table or a parquet or Arrow file; None of another.
        kept: the columns that are kept → "text", "any", or the type of an Arrow column; ALL for those that a
            JSON object happens to have.
    """

    def __init__(
        self,
        path: Path | None,
        fields: Sequence[Field],
        reading: Reading = Reading(),
        taken: Iterable[str] = (),
        columns_given: bool = False,
    ):
        """Opens the input, and reads as much of it as says what its columns are.

        Args:
            path: None is stdin.
            fields: what is read of each record.
            reading: how.
            taken: columns of the output, which no column that is kept may be called.
            columns_given: whether the user has named columns: what has no name is then JSON lines.

        Raises:
            WrongUsage: the input has not what was asked for, or looks like another form than it is read as.
            MissingExtraError: a parquet or Arrow file without pyarrow.
        """
        self.path, self._fields, self._reading = path, tuple(fields), reading
        self._taken = frozenset(taken)
        self._name = str(path) if path else "stdin"
        self._digest = hashlib.sha256()
        self.size = path.stat().st_size if path else None
        self.rows = 0
        self.columns: frozenset[str] | None = None
        self.kept: dict[str, Any] = {}
        several = sum(one.required for one in fields) > 1
        guessed = reading.form is None and (path is None or form_of(path) == "txt")
        form = reading.form or (form_of(path) if path else "jsonl" if columns_given or several else "txt")
        if form is None:
            raise WrongUsage(f"{path}: its name does not say what it is: give --input-format {', '.join(FORMS)}")
        self.form: str = form
        if reading.delimiter is not None and self.form not in ("csv", "tsv"):
            raise WrongUsage(f"--delimiter is of a table, and {self._name} is read as {self.form}")
        self._raw: BinaryIO | None = None
        self._file: Any = None  # of Arrow's
        self._position = 0
        if binary := {"parquet": self._parquet, "arrow": self._arrow}.get(self.form):
            try:
                self._found = binary()
            except BaseException:
                self.close()
                raise
            return
        self._raw = self._opened()
        try:
            self._begin(guessed, columns_given)
        except BaseException:
            self.close()
            raise

    def _begin(self, guessed: bool, columns_given: bool) -> None:
        """Reads as much as says what the columns are."""
        self._stream = self._decoded()
        if guessed:
            self._refuse_what_looks_otherwise()
        if self.form == "txt":
            needed = [one.name for one in self._fields if one.required]
            if len(needed) > 1:
                raise WrongUsage(f"a line of text has no {' and '.join(needed)}: give .jsonl or .csv")
            if columns_given or self._reading.keep:
                option = "--column" if columns_given else "--keep"
                raise WrongUsage(f"{option} is of a file with columns: {self._name} has none")
        self._found = {
            "txt": self._texts,
            "jsonl": self._json_lines,
            "json": self._json,
            "csv": self._table,
            "tsv": self._table,
        }[self.form]()

    @property
    def has_lines(self) -> bool:
        """Whether a record has a line of its own."""
        return self.form not in ("json", "parquet", "arrow")

    @property
    def position(self) -> int:
        """How far it was read, in what `size` is in."""
        if self._raw is None:
            return self._position
        if not self.path:
            return 0
        return (self.size or 0) if self._raw.closed else self._raw.tell()

    def digest(self) -> str:
        """SHA-256 of what was read until now, in hexadecimal."""
        return self._digest.hexdigest()

    def records(self, first: int = 0) -> Iterator[Record]:
        """The records, whose rows are counted from the first.

        Raises:
            ValueError: the input breaks off, as a damaged .gz file does.
        """
        shard, every = self._reading.shard
        for row, (line, found, problem) in enumerate(self._found, first):
            self.rows += 1
            if row % every == shard - 1:
                yield self._record(row, line, found, problem)

    def close(self) -> None:
        """Closes a file; stdin stays open."""
        if file := self._file or (self._raw if self.path else None):
            file.close()

    def _record(self, row: int, line: int | None, found: Any, problem: str | None) -> Record:
        if problem is not None:
            return Record(row, line, problem=problem)
        if isinstance(found, str):
            return Record(row, line, {self._fields[0].name: found})
        kept = {}
        if isinstance(found, dict):
            if ALL in self.kept:
                read = {column for one in self._fields for column in one.sources}
                kept = {name: value for name, value in found.items() if name not in read and is_text(name)}
                if both := sorted(self._taken & kept.keys()):
                    kept = {name: value for name, value in kept.items() if name not in self._taken}
                    return Record(row, line, {}, kept, _taken(both))
            else:
                kept = {name: found[name] for name in self.kept if name in found}
        return record_of(row, line, found, self._fields, kept, NOT_UTF8 if self.form in ("csv", "tsv") else SURROGATE)

    # --- bytes ------------------------------------------------------------------------------------

    def _opened(self) -> BinaryIO:
        if self.path:
            return open(self.path, "rb")
        if sys.stdin is None:
            raise WrongUsage("nothing to work on: stdin is closed; give texts or --input FILE")
        return sys.stdin.buffer

    def _decoded(self) -> Iterator[bytes]:
        """The lines, decompressed and in UTF-8: what is not of the encoding becomes what is not UTF-8."""
        stream: Any = self._raw
        try:
            start = stream.peek(2) if hasattr(stream, "peek") else stream.getvalue()
        except OSError as error:
            raise WrongUsage(f"{self._name} cannot be read: {error.strerror or error}") from error
        if start.startswith(_GZIP):
            stream = gzip.GzipFile(fileobj=stream)
        return self._whole(stream)

    def _whole(self, stream: Any) -> Iterator[bytes]:
        try:
            if self._is_utf8:
                yield from stream
            else:
                text = io.TextIOWrapper(stream, self._reading.encoding, "surrogateescape", newline="\n")
                yield from (line.encode("utf-8", "surrogateescape") for line in text)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise ValueError(f"{self._name} is a damaged .gz file: {error}") from error
        except UnicodeError as error:
            raise ValueError(f"{self._name} is not {self._reading.encoding}: {error}") from error

    @property
    def _is_utf8(self) -> bool:
        return self._reading.encoding.lower().replace("_", "-") in ("utf-8", "utf8")

    def _first(self) -> bytes:
        """The first line that is not blank, which is read again."""
        read = []
        for line in self._stream:
            read.append(line)
            if line.removeprefix(_BOM).strip():
                break
        self._stream = itertools.chain(read, self._stream)
        return read[-1].removeprefix(_BOM) if read else b""

    def _ahead(self, lines: int) -> Iterator[bytes]:
        """The first lines, which are read again."""
        first = list(itertools.islice(self._stream, lines))
        self._stream = itertools.chain(first, self._stream)
        return iter(first)

    def _lines(self) -> Iterator[bytes]:
        for number, line in enumerate(self._stream):
            self._digest.update(line)
            yield line if number else line.removeprefix(_BOM)

    def _refuse_what_looks_otherwise(self) -> None:
        try:
            first = self._first().decode()
            found = _json_or_table(first, self._fields)
            if found is None and _names(first, ","):
                # A pipe may give its second line much later: it is read only where the first is suspicious.
                second = list(self._ahead(2))[1:]
                found = "csv" if second and second[0].count(b",") == first.count(",") else None
        except UnicodeDecodeError:
            return
        if found is None or found == self.form or (self.form == "jsonl" and _is_json_record(first)):
            return
        form, _, delimiter = found.partition(" ")
        option = f"--input-format {form}" + (f" --delimiter '{delimiter}'" if delimiter else "")
        as_text = "" if self.form == "jsonl" else ", --input-format txt to read each line as a text"
        raise WrongUsage(
            f"{self._name} begins with {first.strip()!r:.60}, which looks like {form.upper()}: "
            f"give {option} to read it so{as_text}"
        )

    # --- forms: (line, what is there, problem) ----------------------------------------------------

    def _texts(self) -> Iterator[tuple[int, Any, str | None]]:
        for number, line in enumerate(self._lines(), 1):
            try:
                yield number, line.removesuffix(b"\n").removesuffix(b"\r").decode(), None
            except UnicodeDecodeError as error:
                yield number, None, self._not_text(error)

    def _json_lines(self) -> Iterator[tuple[int, Any, str | None]]:
        with_first = self._first()
        try:
            first = json.loads(with_first)
        except (ValueError, RecursionError):
            first = None
        self._keep_of_json(first)
        return self._json_records()

    def _json_records(self) -> Iterator[tuple[int, Any, str | None]]:
        for number, line in enumerate(self._lines(), 1):
            if not line.strip():
                continue
            try:
                yield number, self._named(json.loads(line.decode())), None
            except UnicodeDecodeError as error:
                yield number, None, self._not_text(error)
            except (ValueError, RecursionError) as error:
                yield number, None, f"is not JSON: {error}"

    def _json(self) -> Iterator[tuple[None, Any, str | None]]:
        """A JSON array, which is read whole."""
        try:
            values = json.loads(b"".join(self._stream).removeprefix(_BOM).decode())
        except UnicodeDecodeError as error:
            raise WrongUsage(f"{self._name} {self._not_text(error)}; {ENCODING_HINT}") from error
        except (ValueError, RecursionError) as error:
            raise WrongUsage(f"{self._name} is not JSON: {error}") from error
        if not isinstance(values, list):
            raise WrongUsage(f"{self._name} is not a JSON array, expected one of objects or strings")
        self._keep_of_json(values[0] if values else None)

        def records() -> Iterator[tuple[None, Any, str | None]]:
            for value in values:
                self._digest.update(json.dumps(value).encode())
                yield None, self._named(value), None

        return records()

    def _named(self, value: Any) -> Any:
        """A string alone is the only field."""
        alone = isinstance(value, str) and sum(one.required for one in self._fields) == 1
        return {self._fields[0].sources[0]: value} if alone else value

    def _keep_of_json(self, first: Any) -> None:
        keep = self._reading.keep
        self.kept = {ALL: "any"} if keep == ("all",) else dict.fromkeys(keep, "any")
        self._check_kept(first if isinstance(first, dict) else None)

    def _table(self) -> Iterator[tuple[int, Any, str | None]]:
        csv.field_size_limit(2**31 - 1)  # the library's own limit is less than a long document
        delimiter = self._reading.delimiter or ("\t" if self.form == "tsv" else ",")
        # What is not UTF-8 becomes lone surrogates, and its row a problem of its own.
        lines = (line.decode("utf-8", "surrogateescape") for line in self._lines())
        reader = csv.reader(lines, strict=True, delimiter=delimiter)
        try:
            header = next(reader, [])
        except csv.Error as error:
            raise WrongUsage(f"{self._name}: its header is not CSV: {error}") from error
        self._check_columns(header)
        self._keep_of_table(dict.fromkeys(header, "text"))
        read = {column for one in self._fields for column in one.sources} | self.kept.keys()
        if twice := sorted(column for column in read if header.count(column) > 1):
            raise WrongUsage(f"{self._name}: two columns are called {', '.join(twice)}")
        return self._table_rows(reader, header)

    def _table_rows(self, reader: Any, header: list[str]) -> Iterator[tuple[int, Any, str | None]]:
        while True:
            number = reader.line_num + 1
            try:
                row = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                last = f" (read until line {reader.line_num})" if reader.line_num > number else ""
                yield number, None, f"is not CSV: {error}{last}"
            else:
                if row and len(row) != len(header):
                    yield number, None, f"has {len(row)} columns, the header {len(header)}"
                elif row:
                    yield number, _cells(dict(zip(header, row, strict=True)), self._fields), None

    def _parquet(self) -> Iterator[tuple[None, Any, str | None]]:
        if self.path is None:
            raise WrongUsage("a parquet file cannot be read from a pipe: give --input FILE")
        pa = needs("pyarrow", "parquet", "a .parquet file needs")
        import pyarrow.parquet as pq

        try:
            file = pq.ParquetFile(self.path)
        except (pa.ArrowInvalid, OSError) as error:
            raise ValueError(f"{self.path} is no parquet file, or damaged: {error}") from error
        columns = self._arrow_columns(file.schema_arrow)
        self.size = file.metadata.num_rows
        self._file = file

        def batches() -> Iterator[Any]:
            for batch in file.iter_batches(_ROWS, columns=columns):
                yield batch
                self._position += len(batch)

        return self._arrow_rows(batches())

    def _arrow(self) -> Iterator[tuple[None, Any, str | None]]:
        """An Arrow file, which Feather 2 is too, or a stream of Arrow's in a file, which `datasets` keeps."""
        if self.path is None:
            raise WrongUsage("an Arrow file cannot be read from a pipe: give --input FILE")
        pa = needs("pyarrow", "parquet", "an .arrow or .feather file needs")

        try:
            self._file = mapped = pa.memory_map(str(self.path))
            is_file = mapped.read(len(_ARROW)) == _ARROW
            mapped.seek(0)
            file = pa.ipc.open_file(mapped) if is_file else pa.ipc.open_stream(mapped)
        except (pa.ArrowInvalid, OSError) as error:
            raise ValueError(f"{self.path} is no Arrow file, or damaged: {error}") from error
        columns = self._arrow_columns(file.schema)
        self.size = file.num_record_batches if is_file else None

        def batches() -> Iterator[Any]:
            for batch in map(file.get_batch, range(file.num_record_batches)) if is_file else file:
                for start in range(0, len(batch), _ROWS):
                    yield batch.slice(start, _ROWS).select(columns)
                self._position += 1

        return self._arrow_rows(batches())

    def _arrow_columns(self, schema: Any) -> list[str]:
        """The columns that are read or kept of a file with a schema."""
        import pyarrow as pa

        # What was read of a dictionary is its values.
        types = {one.name: one.type.value_type if pa.types.is_dictionary(one.type) else one.type for one in schema}
        self._check_columns(list(types))
        self._keep_of_table(types)
        read = [column for one in self._fields for column in one.sources if column in types]
        return list(dict.fromkeys([*read, *self.kept]))

    def _arrow_rows(self, batches: Iterator[Any]) -> Iterator[tuple[None, Any, str | None]]:
        import pyarrow as pa

        try:
            for batch in batches:
                for row in batch.to_pylist():
                    self._digest.update(repr(row).encode("utf-8", "backslashreplace"))
                    yield None, row, None
        except (pa.ArrowException, OSError) as error:
            raise ValueError(f"{self.path} is damaged: {error}") from error

    # --- columns ----------------------------------------------------------------------------------

    def _check_columns(self, there: Sequence[str]) -> None:
        """Raises WrongUsage where a column that a task needs is not there."""
        self.columns = frozenset(there)
        lost = [column for one in self._fields if one.required for column in one.sources if column not in there]
        if lost:
            raise WrongUsage(
                f"{self._name}: no column {', '.join(map(repr, lost))}; it has {', '.join(there) or 'none'}: "
                f"name yours with --column{_delimiter_hint(there)}"
            )

    def _keep_of_table(self, there: Mapping[str, Any]) -> None:
        read = {column for one in self._fields for column in one.sources}
        keep = self._reading.keep
        names = [name for name in there if name not in read] if keep == ("all",) else keep
        self._check_kept(there, names)
        self.kept = {name: there[name] for name in names}

    def _check_kept(self, there: Mapping[str, Any] | None, names: Sequence[str] | None = None) -> None:
        """Raises WrongUsage where a column to keep is not there, or is called as one of the output."""
        names = [name for name in self.kept if name != ALL] if names is None else names
        if there is not None and (lost := [name for name in names if name not in there]):
            raise WrongUsage(
                f"{self._name}: no column {', '.join(map(repr, lost))} to keep; it has {', '.join(there) or 'none'}"
            )
        if both := [name for name in names if name in self._taken]:
            raise WrongUsage(f"{self._name}: {_taken(both)}")

    def _not_text(self, error: UnicodeDecodeError) -> str:
        if not self._is_utf8:
            return f"has bytes that are not {self._reading.encoding}"
        return f"is not UTF-8: byte 0x{error.object[error.start]:02x} at {error.start}"


def _delimiter_hint(header: Sequence[str]) -> str:
    """What to try where a header that should have several columns has one."""
    found = next((mark for mark in ";|\t" if len(header) == 1 and mark in header[0]), None)
    return f"; if the columns are parted by {found!r}, give --delimiter {found!r}" if found else ""


def _taken(names: Sequence[str]) -> str:
    columns = ", ".join(map(repr, names))
    return f"has the column {columns}, which the output has too: give --keep the names of the others"


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


def _json_or_table(first: str, fields: Sequence[Field]) -> str | None:
    """What a first line says that the file is, and its delimiter where that is not the form's own; None for text."""
    line = first.strip()
    if line == "[" or re.match(r"\[\s*\{", line) or _is_json_array(line):
        return "json"
    if line.startswith("{"):
        return "jsonl" if _is_json_record(line) else None
    columns = {column for one in fields for column in one.sources}
    for delimiter, form in (("\t", "tsv"), (",", "csv"), (";", "csv ;")):
        if columns & set(_names(line, delimiter)):
            return form
    return "csv" if line.strip('"') in columns else None


def _names(line: str, delimiter: str) -> list[str]:
    """The cells of a line, where they are several and all could be names of columns.

    A sentence has a space after a comma, the header of a table has none.
    """
    cells = [cell.removeprefix('"').removesuffix('"') for cell in line.strip().split(delimiter)]
    return cells if len(cells) > 1 and all(re.fullmatch(r"[A-Za-z_][\w.-]*", cell) for cell in cells) else []


def _is_json_array(line: str) -> bool:
    try:
        values = json.loads(line)
    except (ValueError, RecursionError):
        return False
    return isinstance(values, list) and any(isinstance(value, dict | str) for value in values)


def _is_json_record(line: str) -> bool:
    try:
        return isinstance(json.loads(line), dict | str)
    except (ValueError, RecursionError):
        return False
