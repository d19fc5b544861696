"""model.safetensors, whole or in shards: read memory-mapped, written atomically."""

from __future__ import annotations

import json
import mmap
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import safetensors

from .dtypes import SAFETENSORS_DTYPES, dtype_name
from .errors import CheckpointError
from .files import atomic_path

FILE = "model.safetensors"
INDEX = "model.safetensors.index.json"


def open_safetensors(folder: Path) -> dict[str, np.ndarray]:
    """The tensors of a checkpoint folder by their stored names, mapped: nothing is read until it is used.

    The mapping is private: writing to a tensor changes memory, never the file.

    Raises:
        CheckpointError: there is no such file, or one of its shards is missing, truncated or corrupt.
    """
    if (folder / FILE).is_file():
        return _map_file(folder / FILE)
    if (folder / INDEX).is_file():
        return _map_shards(folder)
    present = ", ".join(sorted(path.name for path in folder.iterdir())) or "nothing"
    raise CheckpointError(f"{folder}: expected {FILE} or {INDEX}, found {present}")


def release(tensor: np.ndarray) -> None:
    """Gives the memory of a mapped tensor back to the system; the file is read again if the tensor is used again.

    Only for a tensor that nobody has written to: what was written would be lost.
    """
    mapped = tensor
    while isinstance(mapped, np.ndarray) and not isinstance(mapped, np.memmap):
        mapped = mapped.base
    if isinstance(mapped, np.memmap) and hasattr(mmap, "MADV_DONTNEED"):
        start = tensor.ctypes.data - mapped.ctypes.data
        first = -(-start // mmap.PAGESIZE) * mmap.PAGESIZE
        last = (start + tensor.nbytes) // mmap.PAGESIZE * mmap.PAGESIZE
        if last > first:
            mapped._mmap.madvise(mmap.MADV_DONTNEED, first, last - first)


def write_safetensors(folder: Path, tensors: Mapping[str, np.ndarray]) -> None:
    """Writes model.safetensors; a write that is killed leaves an older file whole.

    The shards of an older sharded checkpoint in the folder go once the new file stands.
    """
    contiguous = {
        name: np.ascontiguousarray(tensor.astype(tensor.dtype.newbyteorder("<"), copy=False))
        for name, tensor in sorted(tensors.items())
    }
    views = {
        name: safetensors.TensorSpec(
            dtype=dtype_name(tensor.dtype),
            shape=tensors[name].shape,
            data_ptr=tensor.ctypes.data,
            data_len=tensor.nbytes,
        )
        for name, tensor in contiguous.items()
    }
    with atomic_path(folder / FILE) as temporary:
        safetensors.serialize_file(views, temporary, metadata={"format": "pt"})
    if (folder / INDEX).is_file():
        for name in {INDEX, *_shards_of_an_older_checkpoint(folder / INDEX)}:
            (folder / name).unlink(missing_ok=True)


def _map_file(path: Path) -> dict[str, np.ndarray]:
    try:
        # The library checks lengths, offsets, overlaps and shapes; the mapping below can rely on them.
        with safetensors.safe_open(path, framework="np"):
            pass
    except (safetensors.SafetensorError, OSError) as error:
        raise CheckpointError(
            f"{path}: not a whole safetensors file ({error}); it has {path.stat().st_size} bytes: fetch it again"
        ) from error
    data = np.memmap(path, np.uint8, mode="c")
    start = 8 + int.from_bytes(data[:8].tobytes(), "little")
    header = json.loads(data[8:start].tobytes())
    header.pop("__metadata__", None)
    tensors = {}
    for name, entry in header.items():
        if entry["dtype"] not in SAFETENSORS_DTYPES:
            raise CheckpointError(
                f"{path}: tensor {name} has dtype {entry['dtype']}, bertx reads {', '.join(SAFETENSORS_DTYPES)}"
            )
        begin, end = entry["data_offsets"]
        tensor = np.frombuffer(data, np.uint8, end - begin, start + begin) if end > begin else np.empty(0, np.uint8)
        tensor = tensor.view(SAFETENSORS_DTYPES[entry["dtype"]]).reshape(entry["shape"])
        tensors[name] = tensor if tensor.flags.aligned else tensor.copy()
    return tensors


def _map_shards(folder: Path) -> dict[str, np.ndarray]:
    weight_map = _read_index(folder / INDEX)
    absent = sorted({name for name in weight_map.values() if not (folder / name).is_file()})
    if absent:
        raise CheckpointError(f"{folder / INDEX} names shards that are not there: {', '.join(absent)}")
    shards = {name: _map_file(folder / name) for name in sorted(set(weight_map.values()))}
    lost = sorted(f"{name} (in {shard})" for name, shard in weight_map.items() if name not in shards[shard])
    if lost:
        raise CheckpointError(f"{folder / INDEX} names tensors that their shards do not hold: {', '.join(lost)}")
    return {name: shards[shard][name] for name, shard in weight_map.items()}


def _shards_of_an_older_checkpoint(index: Path) -> set[str]:
    try:
        names = _read_index(index).values()
    except CheckpointError:
        return set()  # a broken index names nothing that could be trusted
    return {name for name in names if name.endswith(".safetensors") and name != FILE}


def _read_index(path: Path) -> dict[str, str]:
    try:
        weight_map = json.loads(path.read_bytes())["weight_map"]
        names = list(weight_map.values())
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{path}: expected a JSON object with a weight_map ({error!r})") from error
    foreign = sorted({str(n) for n in names if not isinstance(n, str) or Path(n).name != n or n in ("", ".", "..")})
    if foreign:
        raise CheckpointError(f"{path}: a shard must be a file of the same folder, found {', '.join(foreign)}")
    return weight_map
