"""NumPy's .npz archives; bfloat16 as its bits, named so in the archive's dtypes."""

from __future__ import annotations

import io
import math
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from ..arrays import contiguous
from ..dtypes import BFLOAT16
from ..errors import CheckpointError
from ..files import atomic_path
from .safetensors import release

_COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_FOLDED = 1032  # what deflate can make of a file of zeros
_LONGEST_HEADER = 10_000

Array = tuple[tuple[int, ...], np.dtype, Callable[[], np.ndarray]]
"""Shape, dtype, and how its values are read."""


def read(path: Path) -> dict[str, Array]:
    """The arrays of an archive by name; one is read when it is asked for.

    Raises:
        CheckpointError: the archive is broken, or holds what is no array.
    """
    arrays: dict[str, Array] = {}
    size = path.stat().st_size
    try:
        with zipfile.ZipFile(path) as archive:
            for entry in archive.infolist():
                name = entry.filename.removesuffix(".npy")
                if name == entry.filename or name in arrays:
                    raise CheckpointError(f"{path}: {entry.filename[:80]!r} is no array, or there twice")
                if entry.compress_type not in _COMPRESSIONS or entry.file_size > _FOLDED * size:
                    raise CheckpointError(f"{path}: {name[:80]} is larger than its file can hold")
                with archive.open(entry) as stream:
                    shape, dtype, header = _header(stream)
                plain = dtype == BFLOAT16 or (dtype.kind in "fiub" and dtype.subdtype is None)
                if not plain or header + math.prod(shape) * dtype.itemsize != entry.file_size:
                    raise CheckpointError(f"{path}: {name[:80]} is no array of numbers, or not a whole one")
                arrays[name] = shape, dtype, _reader(path, name)
    except CheckpointError:
        raise
    except (Exception, MemoryError) as error:  # of zipfile, its decompressors and NumPy's header parser
        raise CheckpointError(f"{path}: not a whole .npz file: {error}") from error
    return arrays


def write(path: Path, arrays: Iterable[tuple[str, Callable[[], np.ndarray]]]) -> None:
    """Writes an archive, uncompressed, an array at a time."""
    with atomic_path(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for name, read_array in arrays:
            array = read_array()
            with archive.open(f"{name}.npy", "w", force_zip64=True) as stream:
                np.lib.format.write_array(stream, contiguous(array), allow_pickle=False)
            release(array)


def _header(stream: Any) -> tuple[tuple[int, ...], np.dtype, int]:
    """Shape, dtype and how many bytes say so."""
    start = stream.read(10)
    length = int.from_bytes(start[8:], "little")
    if start[:8] != b"\x93NUMPY\x01\x00" or length > _LONGEST_HEADER:
        raise ValueError("an array of another version than NumPy writes for plain numbers")
    shape, _, dtype = np.lib.format.read_array_header_1_0(io.BytesIO(start[8:] + stream.read(length)))
    return shape, dtype, 10 + length


def _reader(path: Path, name: str) -> Any:
    def read() -> np.ndarray:
        try:
            with np.load(path, allow_pickle=False) as archive:
                return archive[name]
        except Exception as error:
            raise CheckpointError(f"{path}: {name} cannot be read: {error}") from error

    return read
