"""The forms that results are written in: a chunk of rows becomes bytes, and all of them a file in the end."""

from __future__ import annotations

import contextlib
import csv
import importlib.util
import io
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from bertx_weights.files import atomic_path

from ..backend import MissingExtraError
from .records import WrongUsage

Columns = Mapping[str, str]
"""Name → kind: "integer", "number", "text", "flag", "vector" [H], "vectors" [T, H], or "json" for what has parts."""

Row = Mapping[str, Any]


class Format(Protocol):
    """One form of output."""

    def __init__(self, columns: Columns, width: int | None):
        """`width`: how long a vector is, None where there is none of one length."""

    def encode(self, rows: Sequence[Row], first: bool) -> bytes:
        """What a chunk adds to the unfinished file; the first one begins it."""

    def finish(self, part: Path, target: Path, rows: int) -> None:
        """Makes the target, whole or not at all, from the unfinished file; removes that."""


class JsonLines:
    """A JSON object a line."""

    def __init__(self, columns: Columns, width: int | None):
        self._columns = columns

    def encode(self, rows: Sequence[Row], first: bool) -> bytes:
        """See Format."""
        return "".join(f"{self._line(row)}\n" for row in rows).encode()

    def _line(self, row: Row) -> str:
        cells = (f"{json.dumps(name)}: {_text(row[name], kind)}" for name, kind in self._columns.items() if name in row)
        return "{" + ", ".join(cells) + "}"

    def finish(self, part: Path, target: Path, rows: int) -> None:
        """See Format."""
        part.replace(target)


class Csv:
    """A header and a line a row, as RFC 4180 has it; what has parts is JSON in its cell."""

    def __init__(self, columns: Columns, width: int | None):
        self._columns = columns

    def encode(self, rows: Sequence[Row], first: bool) -> bytes:
        """See Format."""
        text = io.StringIO()
        writer = csv.writer(text)
        if first:
            writer.writerow(self._columns)
        for row in rows:
            writer.writerow([self._cell(row.get(name), kind) for name, kind in self._columns.items()])
        return text.getvalue().encode()

    @staticmethod
    def _cell(value: Any, kind: str) -> Any:
        return _text(value, kind) if value is not None and kind in ("vector", "vectors", "json") else value

    def finish(self, part: Path, target: Path, rows: int) -> None:
        """See Format."""
        part.replace(target)


class Npy:
    """One float32 array [B, H], a row each; NaN in the row of a line that failed."""

    def __init__(self, columns: Columns, width: int | None):
        if width is None:
            raise WrongUsage("a .npy file holds one vector of each text: take .jsonl, .csv or .parquet for this")
        self._name = next(name for name, kind in columns.items() if kind == "vector")
        self._width = width

    def encode(self, rows: Sequence[Row], first: bool) -> bytes:
        """See Format."""
        vectors = np.full((len(rows), self._width), np.nan, "<f4")
        for place, row in enumerate(rows):
            if self._name in row:
                vectors[place] = row[self._name]
        return (self._header(0) if first else b"") + vectors.tobytes()

    def finish(self, part: Path, target: Path, rows: int) -> None:
        """See Format."""
        with open(part, "r+b") as file:
            file.write(self._header(rows))
            file.flush()
            os.fsync(file.fileno())
        part.replace(target)

    def _header(self, rows: int) -> bytes:
        # NumPy leaves room for the number of rows to grow: headers of the same width have the same length.
        text = io.BytesIO()
        np.lib.format.write_array_header_1_0(
            text, {"descr": "<f4", "fortran_order": False, "shape": (rows, self._width)}
        )
        return text.getvalue()


class Parquet:
    """An Arrow table, zstd-compressed; what has parts is a column of JSON."""

    def __init__(self, columns: Columns, width: int | None):
        """Raises MissingExtraError without pyarrow."""
        if importlib.util.find_spec("pyarrow") is None:
            raise MissingExtraError("a .parquet file needs pyarrow, not installed here: pip install 'bertx[parquet]'")
        import pyarrow as pa

        vector = pa.list_(pa.float32())
        types = {"integer": pa.int64(), "number": pa.float64(), "text": pa.string(), "flag": pa.bool_()}
        types |= {"vector": vector, "vectors": pa.list_(vector), "json": pa.string()}
        self._columns = columns
        self._schema = pa.schema([(name, types[kind]) for name, kind in columns.items()])

    def encode(self, rows: Sequence[Row], first: bool) -> bytes:
        """See Format: the messages of an Arrow stream, which can be added to."""
        import pyarrow as pa

        values = {name: [self._value(row.get(name), kind) for row in rows] for name, kind in self._columns.items()}
        batch = pa.record_batch(values, schema=self._schema)
        return (self._schema.serialize().to_pybytes() if first else b"") + batch.serialize().to_pybytes()

    @staticmethod
    def _value(value: Any, kind: str) -> Any:
        if value is None or kind not in ("json", "vectors"):
            return value
        return _text(value, kind) if kind == "json" else list(value)

    def finish(self, part: Path, target: Path, rows: int) -> None:
        """See Format."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        with (
            atomic_path(target) as temporary,
            pa.OSFile(str(part)) as stream,
            pq.ParquetWriter(temporary, self._schema, compression="zstd") as writer,
        ):
            # Chunks are small for row groups: some are joined.
            held: list[Any] = []
            for batch in pa.ipc.open_stream(stream) if rows else ():
                held.append(batch)
                if sum(map(len, held)) >= 2**15:
                    writer.write_table(pa.Table.from_batches(held))
                    held = []
            if held:
                writer.write_table(pa.Table.from_batches(held))
        with contextlib.suppress(FileNotFoundError):
            part.unlink()


FORMATS: Mapping[str, type[Format]] = {".jsonl": JsonLines, ".csv": Csv, ".npy": Npy, ".parquet": Parquet}


def _text(value: Any, kind: str) -> str:
    """JSON, a float32 in as few digits as give it back."""
    if kind == "vector":
        return "[" + ", ".join(["%.9g"] * len(value)) % tuple(value.tolist()) + "]"
    if kind == "vectors":
        return "[" + ", ".join(_text(vector, "vector") for vector in value) + "]"
    return json.dumps(value, ensure_ascii=False)
