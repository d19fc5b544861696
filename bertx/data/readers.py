"""Readers of files: rows by their number, parsed when they are asked for, so that no file is in memory as a whole."""

from __future__ import annotations

import csv
import json
import os
import tempfile
import weakref
from abc import ABC, abstractmethod
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, overload

import numpy as np

from bertx_weights.containers.libraries import needs

from .rows import DataError, Row, listed, place_of

_BOM = b"\xef\xbb\xbf"
_CONLL = (".conll", ".iob", ".iob2", ".bio")
_DOCUMENT_START = b"-DOCSTART-"


class Rows(Sequence[Row], ABC):
    """The rows of a file; `rows[3:9]` is a view of some.

    Attributes:
        path: the file.
        column_names: of a table; absent where each row has its own.
        features: of a parquet file: the columns whose numbers have names, as `datasets` writes them.
    """

    path: Path
    column_names: tuple[str, ...]

    @overload
    def __getitem__(self, index: int) -> Row: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Row]: ...
    def __getitem__(self, index: int | slice) -> Row | Sequence[Row]:
        """One row, or a view of several.

        Raises:
            DataError: the row cannot be read.
            IndexError: there is no such row.
        """
        if isinstance(index, slice):
            return Selected(self, range(*index.indices(len(self))))
        if not -len(self) <= index < len(self):
            raise IndexError(f"{self.path} has {len(self)} rows: there is no row {index}")
        index %= len(self)
        try:
            return self._row(index)
        except _Problem as problem:
            raise DataError({index: str(problem)}, self) from None

    @abstractmethod
    def __len__(self) -> int:
        """How many rows there are."""

    @abstractmethod
    def _row(self, index: int) -> Row:
        """One row; raises _Problem."""

    def place(self, index: int) -> str:
        """What an error calls a row."""
        return f"row {index}"


class Selected(Sequence[Row]):
    """Some rows of others, which keep the names that errors have for them."""

    def __init__(self, rows: Sequence[Row], indices: Sequence[int]):
        self._rows, self._indices = rows, indices
        for name in ("path", "column_names", "features"):
            if hasattr(rows, name):
                setattr(self, name, getattr(rows, name))

    @overload
    def __getitem__(self, index: int) -> Row: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Row]: ...
    def __getitem__(self, index: int | slice) -> Row | Sequence[Row]:
        """One row, or a view of several."""
        if isinstance(index, slice):
            return Selected(self._rows, self._indices[index])
        try:
            return self._rows[self._indices[index]]
        except DataError as error:  # which numbers the rows of the file
            (problem,) = error.problems.values()
            raise DataError({index % len(self): problem}, self) from None

    def __len__(self) -> int:
        """How many rows there are."""
        return len(self._indices)

    def place(self, index: int) -> str:
        """What an error calls a row."""
        return place_of(self._rows, self._indices[index])


class _Problem(Exception):  # noqa: N818
    """Why a row cannot be read."""


class _Indexed(Rows):
    """Rows that are a part of a file's bytes each: an index of where they begin and end, and a parser of one."""

    def __init__(
        self, path: Path, file: Any, found: Iterator[tuple[int, int, int]], parse: Callable[[bytes], Row], lines: bool
    ):
        """`found`: (first byte, one past the last, line) of each row; `lines`: whether the user's file has those."""
        self.path, self._parse, self._has_lines = path, parse, lines
        self._index = np.frombuffer(array("q", (number for of_row in found for number in of_row)), np.int64)
        self._index = self._index.reshape(-1, 3)
        if not len(self._index):
            raise ValueError(f"{path} has no rows")
        self._descriptor = os.dup(file.fileno())
        weakref.finalize(self, os.close, self._descriptor)

    def __len__(self) -> int:
        """How many rows there are."""
        return len(self._index)

    def _row(self, index: int) -> Row:
        start, end = (int(number) for number in self._index[index, :2])
        content = os.pread(self._descriptor, end - start, start)
        if len(content) != end - start:
            raise _Problem("is no longer there: the file has been changed since it was opened")
        return self._parse(content)

    def place(self, index: int) -> str:
        """What an error calls a row."""
        return f"line {self._index[index, 2]}" if self._has_lines else f"row {index}"


def read(
    path: Any,
    format: str | None = None,  # noqa: A002
    *,
    delimiter: str | None = None,
    word_column: int = 0,
    tag_column: int = -1,
) -> Any:
    """The rows of a file, each a mapping from column to value, read from the disk when it is asked for.

    ```python
    rows = bertx.data.read("reviews.jsonl")
    rows[7]["text"]
    train, held_out = rows[1000:], rows[:1000]
    ```

    Args:
        path: the file. A `datasets.Dataset`, or whatever else has column_names and a length, is given back as it is.
        format: None goes by the end of the file's name:

            - "jsonl": a JSON object a line;
            - "csv", "tsv": a table with a header, as RFC 4180 has it; values are text, an empty cell is None;
            - "parquet": needs pyarrow;
            - "txt": {"text"} of each line that is not blank;
            - "documents": {"sentences"} of each block of lines between blank ones; no file is called so;
            - "conll": {"tokens", "tags"} of each such block, a word a line (.conll, .iob, .iob2, .bio);
            - "json": SQuAD's nested questions, version 1 or 2, or an array of objects.
        delimiter: of a table; None is a comma, for "tsv" a tab.
        word_column, tag_column: of "conll", counted from 0, negative ones from the end.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: an unknown format, an empty file, or one that is not what its name says.
        MissingExtraError: a parquet file without pyarrow.
    """
    if not isinstance(path, (str, os.PathLike)):
        if hasattr(path, "column_names") and hasattr(path, "__len__"):
            return path
        raise TypeError(f"{type(path).__name__} is neither a path nor a table with column_names and a length")
    path = Path(path)
    format = _format_of(path) if format is None else format  # noqa: A001
    if format not in _READERS:
        raise ValueError(f"format is {format!r}, expected one of {', '.join(_READERS)}")
    if delimiter is not None and format not in ("csv", "tsv"):
        raise ValueError(f"delimiter is of a table, and {path} is read as {format}")
    if path.is_dir():
        raise ValueError(f"{path} is a folder, expected a file of rows")
    if not path.stat().st_size:
        raise ValueError(f"{path} is empty")
    options: dict[str, Any] = {}
    if format in ("csv", "tsv"):
        options = {"delimiter": delimiter or ("\t" if format == "tsv" else ",")}
    if format == "conll":
        options = {"word_column": word_column, "tag_column": tag_column}
    return _READERS[format](path, **options)


def _format_of(path: Path) -> str:
    name = path.name.lower()
    if name.endswith(".gz"):
        raise ValueError(f"{path} is compressed: rows are read from anywhere in a file, so unpack it first")
    if name.endswith(_CONLL):
        return "conll"
    if (suffix := path.suffix.lower().removeprefix(".")) in _READERS:
        return suffix
    raise ValueError(f"{path}: its name does not say what it is: give format, one of {', '.join(_READERS)}")


def _text(content: bytes) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise _Problem(f"is not UTF-8: byte 0x{content[error.start]:02x}; convert the file to UTF-8") from None


def _lines(file: Any) -> Iterator[tuple[int, int, int, bytes]]:
    """(First byte, one past the last, number, content) of each line, a mark of the byte order left out."""
    end = 0
    for number, line in enumerate(file, 1):
        start, end = end, end + len(line)
        if number == 1 and line.startswith(_BOM):
            start, line = start + len(_BOM), line.removeprefix(_BOM)
        yield start, end, number, line


# --- lines ----------------------------------------------------------------------------------------


def _json_lines(path: Path) -> Rows:
    with open(path, "rb") as file:
        return _Indexed(path, file, (line[:3] for line in _lines(file) if line[3].strip()), _json_object, True)


def _json_object(content: bytes) -> Row:
    try:
        value = json.loads(_text(content))
    except (ValueError, RecursionError) as error:
        raise _Problem(f"is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise _Problem(f"is {value!r:.40}, expected a JSON object")
    return value


def _texts(path: Path) -> Rows:
    with open(path, "rb") as file:
        found = (line[:3] for line in _lines(file) if line[3].strip())
        return _Indexed(path, file, found, lambda content: {"text": _text(content).strip()}, True)


# --- blocks of lines ------------------------------------------------------------------------------


def _blocks(file: Any) -> Iterator[tuple[int, int, int]]:
    """(First byte, one past the last, line) of each block of lines between blank ones."""
    first: tuple[int, int] | None = None
    last = 0
    for start, end, number, line in _lines(file):
        if line.strip() and not line.startswith(_DOCUMENT_START):
            first, last = first or (start, number), end
        elif first is not None:
            yield first[0], last, first[1]
            first = None
    if first is not None:
        yield first[0], last, first[1]


def _documents(path: Path) -> Rows:
    with open(path, "rb") as file:
        return _Indexed(path, file, _blocks(file), _document, True)


def _document(content: bytes) -> Row:
    return {"sentences": [line.strip() for line in _text(content).split("\n") if line.strip()]}


def _conll(path: Path, word_column: int, tag_column: int) -> Rows:
    def parse(content: bytes) -> Row:
        tokens, tags = [], []
        for number, line in enumerate(content.splitlines()):
            # A word may have a space that is no ASCII one, or any where columns are parted by tabs.
            cells = line.rstrip(b"\r").split(b"\t") if b"\t" in line else line.split()
            try:
                word, tag = cells[word_column], cells[tag_column]
            except IndexError:
                word = tag = b""
            if not word or not tag or len(cells) < 2:
                raise _Problem(
                    f"has {line.decode(errors='replace')!r:.40} on its line {number}, expected a word and a tag"
                )
            tokens.append(_text(word))
            tags.append(_text(tag))
        return {"tokens": tokens, "tags": tags}

    with open(path, "rb") as file:
        return _Indexed(path, file, _blocks(file), parse, True)


# --- tables ---------------------------------------------------------------------------------------


def _table(path: Path, delimiter: str) -> Rows:
    csv.field_size_limit(2**31 - 1)  # the library's own limit is less than a long document
    with open(path, "rb") as file:
        records = _records(path, file, delimiter)
        _, _, _, header = next(records)
        if twice := sorted({name for name in header if header.count(name) > 1}):
            raise ValueError(f"{path}: two columns are called {listed(twice)}")

        def parse(content: bytes) -> Row:
            try:
                row = next(csv.reader([_text(content)], strict=True, delimiter=delimiter))
            except csv.Error as error:
                raise _Problem(f"is not CSV: {error}") from None
            if len(row) != len(header):
                raise _Problem(f"has {len(row)} columns, the header {len(header)}")
            return dict(zip(header, (cell or None for cell in row), strict=True))

        rows = _Indexed(path, file, (record[:3] for record in records if record[3] != []), parse, True)
    rows.column_names = tuple(header)
    return rows


def _records(path: Path, file: Any, delimiter: str) -> Iterator[tuple[int, int, int, Any]]:
    """(First byte, one past the last, line, cells) of each record, the header first; None for one that is not CSV."""
    end = line = 0

    def lines() -> Iterator[str]:
        nonlocal end, line
        for _, end, line, content in _lines(file):  # noqa: B007
            yield content.decode(errors="surrogateescape")

    reader = csv.reader(lines(), strict=True, delimiter=delimiter)
    while True:
        start, number = end, line + 1
        try:
            cells: Any = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            if not start:
                raise ValueError(f"{path}: its header is not CSV: {error}") from None
            cells = None
        yield start, end, number, cells


class _Arrow(Rows):
    """The rows of a parquet file, unpacked into an Arrow file that is mapped into memory and has no name."""

    def __init__(self, path: Path):
        pa = needs("pyarrow", "parquet", "a .parquet file needs")
        import pyarrow.parquet as pq

        self.path = path
        with tempfile.NamedTemporaryFile(suffix=".arrow") as temporary:
            try:
                with pq.ParquetFile(path) as file, pa.ipc.new_file(temporary.name, file.schema_arrow) as writer:
                    for batch in file.iter_batches(_UNPACKED):
                        writer.write_batch(batch)
            except (pa.ArrowException, OSError) as error:
                raise ValueError(f"{path} is no parquet file, or damaged: {error}") from error
            self._table = pa.ipc.open_file(pa.memory_map(temporary.name)).read_all()
        self.column_names = tuple(self._table.column_names)
        self.features = _classes_of(self._table.schema.metadata or {})
        if not len(self):
            raise ValueError(f"{path} has no rows")

    def __len__(self) -> int:
        """How many rows there are."""
        return self._table.num_rows

    def _row(self, index: int) -> Row:
        return self._table.slice(index, 1).to_pylist()[0]


def _classes_of(metadata: Mapping[bytes, bytes]) -> dict[str, Any]:
    """The columns whose numbers have names, as `datasets` writes them; see `labels_of`."""
    try:
        features = json.loads(metadata.get(b"huggingface", b"{}"))["info"]["features"]
        inner = {name: feature.get("feature", feature) for name, feature in features.items()}
        return {name: SimpleNamespace(names=one["names"]) for name, one in inner.items() if "names" in one}
    except (ValueError, KeyError, TypeError, AttributeError):  # a table of another writer
        return {}


# --- JSON of one piece ----------------------------------------------------------------------------


class _Questions(Rows):
    """The questions of SQuAD's json, each with its context; a paragraph is parsed for each of its questions."""

    def __init__(self, path: Path, paragraphs: _Indexed, of_paragraphs: Sequence[tuple[int, int]]):
        self.path, self._paragraphs = path, paragraphs
        self._questions = np.array(of_paragraphs, np.int64).reshape(-1, 2)
        if not len(self._questions):
            raise ValueError(f"{path} has no questions")

    def __len__(self) -> int:
        """How many questions there are."""
        return len(self._questions)

    def _row(self, index: int) -> Row:
        paragraph, number = (int(part) for part in self._questions[index])
        found = self._paragraphs[paragraph]
        asked = found["qas"][number]
        if not isinstance(asked, dict) or not isinstance(answers := asked.get("answers", []), list):
            raise _Problem(f"is {asked!r:.60}, expected a question of SQuAD with a list of answers")
        row = {name: value for name, value in asked.items() if name != "plausible_answers"}
        columns = {name: [one.get(name) for one in answers if isinstance(one, dict)] for name in _ANSWER}
        return {"title": found["title"], "context": found["context"], **row, "answers": columns}


def _json(path: Path) -> Rows:
    """SQuAD's questions, or an array of objects: parsed once as a whole, and kept as lines in a file without a name."""
    try:
        value = json.loads(path.read_bytes().removeprefix(_BOM).decode())
    except (ValueError, RecursionError) as error:  # UnicodeDecodeError is a ValueError
        raise ValueError(f"{path} is not JSON: {error}") from None
    if isinstance(value, list):
        return _spilled(path, value)
    articles: Any = value.get("data") if isinstance(value, dict) else None
    try:
        paragraphs = [
            {"title": article.get("title", ""), "context": paragraph["context"], "qas": paragraph["qas"]}
            for article in articles
            for paragraph in article["paragraphs"]
        ]
        questions = [(i, j) for i, paragraph in enumerate(paragraphs) for j in range(len(paragraph["qas"]))]
    except (TypeError, KeyError, AttributeError):
        raise ValueError(
            f'{path} is neither an array of objects nor of SQuAD\'s form, {{"data": [{{"paragraphs": [{{"context", '
            '"qas"}}]}}]}}: JSON with an object a line is called .jsonl'
        ) from None
    return _Questions(path, _spilled(path, paragraphs), questions)


def _spilled(path: Path, values: Sequence[Any]) -> _Indexed:
    """The rows of values that are not kept in memory."""
    with tempfile.TemporaryFile() as file:
        for value in values:
            file.write(json.dumps(value).encode() + b"\n")
        file.seek(0)
        return _Indexed(path, file, (line[:3] for line in _lines(file)), _json_object, False)


_UNPACKED = 8192  # rows of a parquet file that are in memory at once, and of a block of the Arrow file
_ANSWER = ("text", "answer_start")
_READERS: Mapping[str, Callable[..., Rows]] = {
    "jsonl": _json_lines,
    "csv": _table,
    "tsv": _table,
    "parquet": _Arrow,
    "txt": _texts,
    "documents": _documents,
    "conll": _conll,
    "json": _json,
}
