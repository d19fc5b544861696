"""NumPy's model.npz, under the schema's own names; bfloat16 as its bits, named so in the archive's dtypes."""

from __future__ import annotations

import io
import math
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..arrays import contiguous
from ..checkpoint import Checkpoint, StoredTensor
from ..dtypes import BFLOAT16
from ..errors import CheckpointError
from ..files import atomic_path, inside
from ..naming.rules import ModelNames, NamesOf
from ..safetensors_store import release
from ..schema import plain_name
from . import hub

FILE = "model.npz"
STORED, WRITTEN = ((FILE,),), (hub.CONFIG, FILE)
_COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_FOLDED = 1032  # what deflate can make of a file of zeros
_LONGEST_HEADER = 10_000


def files(folder: Path) -> list[Path]:
    """The files that hold the weights; none where the folder has none of this format."""
    return [inside(folder, FILE)] if (folder / FILE).is_file() else []


def read(folder: Path, names_of: NamesOf) -> Checkpoint:
    """The checkpoint; a tensor is read from the archive when it is asked for.

    Raises:
        CheckpointError: the archive is broken, or holds what is no array.
    """
    path = inside(folder, FILE)
    tensors: dict[str, StoredTensor] = {}
    size = path.stat().st_size
    try:
        with zipfile.ZipFile(path) as archive:
            for entry in archive.infolist():
                name = entry.filename.removesuffix(".npy")
                if name == entry.filename or name in tensors:
                    raise CheckpointError(f"{path}: {entry.filename[:80]!r} is no array, or there twice")
                if entry.compress_type not in _COMPRESSIONS or entry.file_size > _FOLDED * size:
                    raise CheckpointError(f"{path}: {name[:80]} is larger than its file can hold")
                with archive.open(entry) as stream:
                    shape, dtype, header = _header(stream)
                plain = dtype == BFLOAT16 or (dtype.kind in "fiub" and dtype.subdtype is None)
                if not plain or header + math.prod(shape) * dtype.itemsize != entry.file_size:
                    raise CheckpointError(f"{path}: {name[:80]} is no array of numbers, or not a whole one")
                tensors[name] = StoredTensor(name, plain_name(name), shape, dtype, _reader(path, name))
    except CheckpointError:
        raise
    except (Exception, MemoryError) as error:  # of zipfile, its decompressors and NumPy's header parser
        raise CheckpointError(f"{path}: not a whole .npz file: {error}") from error
    return Checkpoint(folder, "npz", (path,), hub.read_config(folder), tensors)


def write(
    folder: Path, config: Mapping[str, Any], tensors: Iterable[StoredTensor], names: ModelNames | None = None
) -> list[str]:
    """Writes config.json and model.npz, uncompressed, a tensor at a time."""
    with atomic_path(folder / FILE) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for name, tensor in sorted(hub.under_hub_names(tensors).items()):
            array = tensor.read()
            with archive.open(f"{name}.npy", "w", force_zip64=True) as stream:
                np.lib.format.write_array(stream, contiguous(array), allow_pickle=False)
            release(array)
    hub.write_config(folder, config)
    return []


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
