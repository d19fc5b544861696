"""HDF5 files: what may be read of one, and how its datasets become tensors."""

from __future__ import annotations

import contextlib
import io
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ..dtypes import BFLOAT16
from ..errors import CheckpointError
from ..files import atomic_path
from .libraries import needs

_DEEPEST = 16
_MOST = 10**5
# A compressed dataset may be so many times larger than what is stored of it.
_FOLDED = 64


def datasets(path: Path) -> dict[str, tuple[tuple[int, ...], np.dtype]]:
    """Every dataset of numbers: its place in the file → shape and dtype.

    Raises:
        CheckpointError: the file is broken, points to other files, or has what is no array of numbers.
        MissingExtraError: h5py is not installed.
    """
    with _open(path) as file:
        found = {}
        for name, dataset in _walk(needs("h5py", "h5"), file, "", 0, {}):
            if len(found) >= _MOST:
                raise ValueError(f"more than {_MOST} datasets")
            found[name] = dataset.shape, BFLOAT16 if _is_bfloat16(dataset) else dataset.dtype
        return found


def reader(path: Path, name: str) -> Callable[[], np.ndarray]:
    """Reads one dataset when it is called."""

    def read() -> np.ndarray:
        with _open(path) as file:
            dataset = file[name]
            array = dataset[()]
            return np.asarray(array).view(BFLOAT16) if _is_bfloat16(dataset) else array

    return read


@contextlib.contextmanager
def new_file(path: Path) -> Iterator[Any]:
    """A new h5py.File, which replaces `path` when the block ends well.

    Raises:
        MissingExtraError: h5py is not installed.
        OSError: the disk is full.
    """
    h5py = needs("h5py", "h5")
    with atomic_path(path) as temporary, _Disk(temporary, "wb+") as disk:
        with h5py.File(disk, "w") as file:
            yield file
        if disk.error is not None:
            raise disk.error


class _Disk(io.FileIO):
    """A file whose errors are kept: HDF5 ends the process (SIGSEGV) when a write fails while it closes a file."""

    error: OSError | None = None

    def write(self, data: Any) -> int:
        """Writes all of it, or keeps why it could not."""
        rest = memoryview(data).cast("B")
        size = len(rest)
        try:
            while rest and self.error is None:
                rest = rest[super().write(rest) :]
        except OSError as error:
            self.error = error
        return size

    def truncate(self, size: int | None = None) -> int:
        """As a file's; an error is kept."""
        try:
            return super().truncate(size)
        except OSError as error:
            self.error = self.error or error
            return size or 0


@contextlib.contextmanager
def _open(path: Path) -> Iterator[Any]:
    h5py = needs("h5py", "h5")
    try:
        with h5py.File(path, "r") as file:
            yield file
    except CheckpointError:
        raise
    except Exception as error:  # the library raises errors of every kind for a broken file
        raise CheckpointError(f"{path}: not a whole HDF5 file of arrays: {str(error)[:300]}") from error


def _walk(h5py: Any, group: Any, prefix: str, depth: int, seen: dict[int, str]) -> Iterator[tuple[str, Any]]:
    if depth > _DEEPEST:
        raise ValueError(f"{prefix}: groups within groups, {depth} deep")
    for name in group:
        path = f"{prefix}/{name}"
        if not isinstance(group.get(name, getlink=True), h5py.HardLink):
            raise ValueError(f"{path} is a link, which could lead out of the file")
        child = group[name]
        # With several names for one group, a file of n groups would have 2ⁿ paths.
        address = h5py.h5o.get_info(child.id).addr
        if address in seen:
            raise ValueError(f"{path} is {seen[address]} by another name")
        seen[address] = path
        if isinstance(child, h5py.Group):
            yield from _walk(h5py, child, path, depth + 1, seen)
        elif isinstance(child, h5py.Dataset):
            yield path, _checked(path, child)
        else:
            raise ValueError(f"{path} is a {type(child).__name__}, expected groups and datasets")


def _is_bfloat16(dataset: Any) -> bool:
    """HDF5 has no such type: Keras writes the two bytes of each value, and the name as an attribute."""
    return dataset.dtype == "V2" and dataset.attrs.get("dtype") == "bfloat16"


def write(group: Any, name: str, array: np.ndarray) -> None:
    """A dataset, in bfloat16 as Keras writes it."""
    if array.dtype == BFLOAT16:
        group.create_dataset(name, data=array.view("V2")).attrs["dtype"] = "bfloat16"
    else:
        group.create_dataset(name, data=array)


def _checked(path: str, dataset: Any) -> Any:
    if dataset.shape is None:
        raise ValueError(f"{path} has no values")
    if dataset.is_virtual or dataset.external:
        raise ValueError(f"{path} takes its values from another file")
    if not _is_bfloat16(dataset) and (dataset.dtype.kind not in "fiub" or dataset.dtype.itemsize > 8):
        raise ValueError(f"{path} has dtype {dataset.dtype}, expected numbers")
    # What is stored may itself say more than the file has.
    stored = min(dataset.id.get_storage_size(), dataset.file.id.get_filesize())
    chunk = math.prod(dataset.chunks or ()) * dataset.dtype.itemsize
    if max(dataset.nbytes, chunk) > _FOLDED * stored:
        raise ValueError(f"{path} has {dataset.nbytes} bytes in chunks of {chunk}, of which {stored} are stored")
    return dataset
