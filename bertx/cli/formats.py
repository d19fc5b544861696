"""The forms that results are written in: a chunk of rows becomes bytes, and all of them a file in the end."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import math
import os
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bertx_weights.containers.libraries import needs
from bertx_weights.files import atomic_path

from .records import WrongUsage
from .source import ALL

Columns = Mapping[str, Any]
"""Name → kind: "integer", "number", "text", "flag", "vector" [H], "vectors" [T, H], "json" for what has parts, "any"
for a value of JSON, or the Arrow type of a column that a parquet file has. ALL stands for columns of any name."""

Row = Mapping[str, Any]

SCALE = "embedding_scale"
"""The column with what an int8 vector is multiplied by."""


class Format(ABC):
    """One form of output."""

    @abstractmethod
    def __init__(self, columns: Columns, width: int | None, dtype: str = "float32"):
        """`width`: how long a vector is, None where there is none of one length; `dtype`: what it is stored in."""

    @abstractmethod
    def encode(self, rows: Sequence[Row], first: bool) -> bytes:
        """What a chunk adds to the unfinished file; the first one begins it."""
        ...

    def finish(self, part: Path, target: Path, rows: int, note: Callable[[Path], None]) -> None:
        """Makes the target, whole or not at all, from the unfinished file; removes that.

        `note` is called with the whole file before it gets its name.
        """
        note(part)
        part.replace(target)


class JsonLines(Format):
    """A JSON object a line."""

    def __init__(self, columns: Columns, width: int | None, dtype: str = "float32"):
        _refuse_bytes(columns, "JSON")
        self._columns = columns

    def encode(self, rows: Sequence[Row], first: bool) -> bytes:
        """See Format."""
        return "".join(f"{self._line(row)}\n" for row in rows).encode()

    def _line(self, row: Row) -> str:
        cells = []
        for name, kind in self._columns.items():
            named = [one for one in row if one not in self._columns] if name == ALL else [name] if name in row else []
            cells += [f"{_json(one)}: {_text(row[one], kind)}" for one in named]
        return "{" + ", ".join(cells) + "}"


class Csv(Format):
    """A header and a line a row, as RFC 4180 has it; what has parts is JSON in its cell."""

    def __init__(self, columns: Columns, width: int | None, dtype: str = "float32"):
        _refuse_all(columns, ".csv")
        _refuse_bytes(columns, "CSV")
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
        if isinstance(value, list | Mapping | np.ndarray) or (isinstance(value, bool) and kind != "flag"):
            return _text(value, kind)
        return value


class Npy(Format):
    """One array [B, H], float32, float16 or int8, a row each; that of a line that failed is NaN, for int8 0."""

    def __init__(self, columns: Columns, width: int | None, dtype: str = "float32"):
        if width is None:
            raise WrongUsage(
                "a .npy file holds one vector of each text: take .jsonl, .csv or .parquet for this, or for "
                "one vector of each text --pooling mean"
            )
        self._name = next(name for name, kind in columns.items() if kind == "vector")
        self._width = width
        self._dtype = np.dtype(dtype).newbyteorder("<")

    def encode(self, rows: Sequence[Row], first: bool) -> bytes:
        """See Format."""
        failed = np.nan if self._dtype.kind == "f" else 0
        vectors = np.full((len(rows), self._width), failed, self._dtype)
        for i, row in enumerate(rows):
            if self._name in row:
                vectors[i] = row[self._name]
        return (self._header(0) if first else b"") + vectors.tobytes()

    def finish(self, part: Path, target: Path, rows: int, note: Callable[[Path], None]) -> None:
        """See Format; how many rows there are is then known."""
        with open(part, "r+b") as file:
            file.write(self._header(rows))
            file.flush()
            os.fsync(file.fileno())
        super().finish(part, target, rows, note)

    def _header(self, rows: int) -> bytes:
        # NumPy leaves room for the number of rows to grow: headers of the same width have the same length.
        text = io.BytesIO()
        np.lib.format.write_array_header_1_0(
            text, {"descr": self._dtype.str, "fortran_order": False, "shape": (rows, self._width)}
        )
        return text.getvalue()


class Parquet(Format):
    """An Arrow table, zstd-compressed; what has parts is a column of JSON."""

    def __init__(self, columns: Columns, width: int | None, dtype: str = "float32"):
        """Raises MissingExtraError without pyarrow."""
        _refuse_all(columns, ".parquet")
        pa = needs("pyarrow", "parquet", "a .parquet file needs")

        number = pa.type_for_alias(dtype)
        vector = pa.list_(number) if width is None else pa.list_(number, width)
        types = {"integer": pa.int64(), "number": pa.float64(), "text": pa.string(), "flag": pa.bool_()}
        types |= {"vector": vector, "vectors": pa.list_(pa.list_(number)), "json": pa.string(), "any": pa.string()}
        self._columns = columns
        self._schema = pa.schema(
            [(name, types[kind] if isinstance(kind, str) else kind) for name, kind in columns.items()]
        )

    def encode(self, rows: Sequence[Row], first: bool) -> bytes:
        """See Format: the messages of an Arrow stream, which can be added to."""
        import pyarrow as pa

        values = {name: [self._value(row.get(name), kind) for row in rows] for name, kind in self._columns.items()}
        batch = pa.record_batch(values, schema=self._schema)
        return (self._schema.serialize().to_pybytes() if first else b"") + batch.serialize().to_pybytes()

    @staticmethod
    def _value(value: Any, kind: str) -> Any:
        if value is None or kind not in ("json", "any", "vectors") or (kind == "any" and isinstance(value, str)):
            return value
        return list(value) if kind == "vectors" else _text(value, kind)

    def finish(self, part: Path, target: Path, rows: int, note: Callable[[Path], None]) -> None:
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
            note(temporary)
        with contextlib.suppress(FileNotFoundError):
            part.unlink()


FORMATS: Mapping[str, type[Format]] = {".jsonl": JsonLines, ".csv": Csv, ".npy": Npy, ".parquet": Parquet}


def _refuse_all(columns: Columns, suffix: str) -> None:
    if ALL in columns:
        raise WrongUsage(
            f"JSON objects have any columns, and a {suffix} file the same in each row: "
            "give --keep the names of those to keep, or a .jsonl file to --out"
        )


def _refuse_bytes(columns: Columns, form: str) -> None:
    binary = [name for name, kind in columns.items() if not isinstance(kind, str) and "binary" in str(kind)]
    if binary:
        raise WrongUsage(
            f"{form} has no bytes, and the column {', '.join(map(repr, binary))} is of them: "
            "leave it out of --keep, or give a .parquet file to --out"
        )


def _text(value: Any, kind: Any) -> str:
    """JSON, a vector in as few digits as give it back."""
    if kind == "vector":
        digits = "%.9g" if value.dtype == np.float32 else "%.5g"
        return "[" + ", ".join([digits] * len(value)) % tuple(value.tolist()) + "]"
    if kind == "vectors":
        return "[" + ", ".join(_text(vector, "vector") for vector in value) + "]"
    return _json(value)


def _json(value: Any) -> str:
    """JSON that no terminal takes for a command, and no reader for anything but JSON."""
    try:
        text = json.dumps(value, ensure_ascii=False, default=str, allow_nan=False)
    except ValueError:  # a number of the user's that is not finite
        text = json.dumps(_without_nan(value), ensure_ascii=False, default=str)
    return _CONTROLS.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


# What JSON allows in a text and a terminal acts on.
_CONTROLS = re.compile("[\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def _without_nan(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _without_nan(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
