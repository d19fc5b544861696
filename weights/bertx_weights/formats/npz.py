"""NumPy's model.npz, under the schema's own names; bfloat16 as its bits, named so in the archive's dtypes."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..checkpoint import Checkpoint, StoredTensor
from ..errors import CheckpointError
from ..files import atomic_path, inside
from ..safetensors_store import release
from ..schema import schema_name
from . import hub
from .names import hub_name, is_base

FILE = "model.npz"


def files(folder: Path) -> list[Path]:
    """The files that hold the weights; none where the folder has none of this format."""
    return [inside(folder, FILE)] if (folder / FILE).is_file() else []


def read(folder: Path) -> Checkpoint:
    """The checkpoint; a tensor is read from the archive when it is asked for.

    Raises:
        CheckpointError: the archive is broken, or holds what is no array.
    """
    path = inside(folder, FILE)
    tensors = {}
    try:
        with zipfile.ZipFile(path) as archive:
            for entry in archive.infolist():
                if not entry.filename.endswith(".npy"):
                    raise CheckpointError(f"{path}: {entry.filename!r} is no array")
                name = entry.filename.removesuffix(".npy")
                with archive.open(entry) as stream:
                    shape, dtype = _header(stream)
                if dtype.hasobject or entry.file_size > 1024 * max(entry.compress_size, 1):
                    raise CheckpointError(
                        f"{path}: {name} is not an array of numbers, or larger than its file can hold"
                    )
                tensors[name] = StoredTensor(name, schema_name(name), shape, dtype, _reader(path, name))
    except (zipfile.BadZipFile, ValueError, OSError, EOFError, NotImplementedError, RuntimeError) as error:
        if isinstance(error, CheckpointError):
            raise
        raise CheckpointError(f"{path}: not a whole .npz file: {error}") from error
    return Checkpoint(folder, "npz", (path,), hub.read_config(folder), tensors)


def write(folder: Path, config: Mapping[str, Any], tensors: Iterable[StoredTensor]) -> list[str]:
    """Writes config.json and model.npz, uncompressed, a tensor at a time."""
    tensors = list(tensors)
    base = is_base(tensors)
    with atomic_path(folder / FILE) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for tensor in sorted(tensors, key=lambda tensor: tensor.schema_name):
            array = tensor.read()
            with archive.open(f"{hub_name(tensor.schema_name, base)}.npy", "w", force_zip64=True) as stream:
                np.lib.format.write_array(stream, np.ascontiguousarray(array), allow_pickle=False)
            release(array)
    hub.write_config(folder, config)
    return []


def _header(stream: Any) -> tuple[tuple[int, ...], np.dtype]:
    version = np.lib.format.read_magic(stream)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(stream)
    return shape, dtype


def _reader(path: Path, name: str) -> Any:
    def read() -> np.ndarray:
        try:
            with np.load(path, allow_pickle=False) as archive:
                return archive[name]
        except (zipfile.BadZipFile, ValueError, OSError, EOFError, zipfile.LargeZipFile) as error:
            raise CheckpointError(f"{path}: {name} cannot be read: {error}") from error

    return read
