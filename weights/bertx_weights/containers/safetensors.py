"""model.safetensors, whole or in shards: read memory-mapped, written atomically."""

from __future__ import annotations

import contextlib
import json
import mmap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors

from ..arrays import contiguous
from ..checkpoint import StoredTensor
from ..dtypes import SAFETENSORS_DTYPES
from ..errors import CheckpointError
from ..files import atomic_path, check_index, inside, read_json, shards, write_atomically

FILE = "model.safetensors"
INDEX = "model.safetensors.index.json"
_NAMES = {dtype: name for name, dtype in SAFETENSORS_DTYPES.items()}


def open_safetensors(folder: Path) -> dict[str, np.ndarray]:
    """The tensors of a checkpoint folder by their stored names, mapped: nothing is read until it is used.

    The mapping is private: writing to a tensor changes memory, never the file.

    Raises:
        CheckpointError: there is no such file, or one of its shards is missing, truncated or corrupt.
    """
    if (folder / FILE).is_file():
        return map_file(inside(folder, FILE))
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
    # A copy of a mapped array is an np.memmap without a mapping.
    if getattr(mapped, "_mmap", None) is not None and hasattr(mmap, "MADV_DONTNEED"):
        start = tensor.ctypes.data - mapped.ctypes.data  # pyright: ignore[reportOptionalMemberAccess]
        first = -(-start // mmap.PAGESIZE) * mmap.PAGESIZE
        last = (start + tensor.nbytes) // mmap.PAGESIZE * mmap.PAGESIZE
        if last > first:
            mapped._mmap.madvise(mmap.MADV_DONTNEED, first, last - first)  # pyright: ignore[reportOptionalMemberAccess, reportAttributeAccessIssue]


def write_safetensors(folder: Path, tensors: Mapping[str, StoredTensor | np.ndarray]) -> None:
    """Writes model.safetensors, one tensor after the other; a write that is killed leaves an older file whole.

    The library's own writer needs all tensors in memory at once. The pages of a StoredTensor are released once it is
    written; those of an array are not, see `StoredTensor.of_array`. The shards of an older sharded
    checkpoint in the folder go once the new file stands.
    """
    write_file(folder / FILE, tensors)
    if (folder / INDEX).is_file():
        for name in {INDEX, *_shards_of_an_older_checkpoint(folder / INDEX)}:
            (folder / name).unlink(missing_ok=True)


def write_file(path: Path, tensors: Mapping[str, StoredTensor | np.ndarray]) -> None:
    """Writes one file of tensors, whole or not at all."""
    with atomic_path(path) as temporary:
        _write_file(temporary, tensors)


def write_shards(folder: Path, tensors: Mapping[str, StoredTensor | np.ndarray], max_bytes: int) -> None:
    """Writes the tensors, in their order, to files of at most `max_bytes` each, or of one tensor, and their index.

    All files are whole before the first takes its place. A model.safetensors, and shards of an older checkpoint, go
    once the index stands.
    """
    parts: list[dict[str, StoredTensor | np.ndarray]] = [{}]
    size = total = 0
    for name, tensor in tensors.items():
        if parts[-1] and size + tensor.nbytes > max_bytes:
            parts.append({})
            size = 0
        parts[-1][name] = tensor
        size, total = size + tensor.nbytes, total + tensor.nbytes
    names = [f"model-{i:05}-of-{len(parts):05}.safetensors" for i in range(1, len(parts) + 1)]
    weight_map = {name: file for file, part in zip(names, parts, strict=True) for name in part}
    index = {"metadata": {"total_size": total}, "weight_map": dict(sorted(weight_map.items()))}
    older = _shards_of_an_older_checkpoint(folder / INDEX) if (folder / INDEX).is_file() else set()
    with contextlib.ExitStack() as stack:
        for file, part in zip(names, parts, strict=True):
            _write_file(stack.enter_context(atomic_path(folder / file)), part)
    write_atomically(folder / INDEX, (json.dumps(index, indent=2) + "\n").encode())
    for name in {FILE, *older} - set(names):
        (folder / name).unlink(missing_ok=True)


def _write_file(path: Path, tensors: Mapping[str, StoredTensor | np.ndarray]) -> None:
    stored = {
        name: StoredTensor.of_array(name, tensor) if isinstance(tensor, np.ndarray) else tensor
        for name, tensor in tensors.items()
    }
    # The largest items first: then each tensor begins where its items are aligned.
    order = sorted(stored, key=lambda name: (-stored[name].dtype.itemsize, name))
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name in order:
        tensor = stored[name]
        begin, end = end, end + tensor.nbytes
        dtype = _NAMES.get(tensor.dtype.newbyteorder("<"))
        if dtype is None:
            raise ValueError(f"{name} is {tensor.dtype}, safetensors has {', '.join(SAFETENSORS_DTYPES)}")
        header[name] = {"dtype": dtype, "shape": list(tensor.shape), "data_offsets": [begin, end]}
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for name in order:
            array = stored[name].read()
            if array.size:
                file.write(contiguous(array).astype(array.dtype.newbyteorder("<"), copy=False).data.cast("B"))
            release(array)


def map_file(path: Path) -> dict[str, np.ndarray]:
    """The tensors of one file, mapped.

    Raises:
        CheckpointError: it is truncated or corrupt.
    """
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
        try:
            tensor = tensor.view(SAFETENSORS_DTYPES[entry["dtype"]]).reshape(entry["shape"])
        except (ValueError, OverflowError) as error:
            raise CheckpointError(f"{path}: tensor {name} cannot be: {error}") from error
        tensors[name] = tensor if tensor.flags.aligned else tensor.copy()
    return tensors


def _map_shards(folder: Path) -> dict[str, np.ndarray]:
    weight_map = shards(folder, INDEX)
    files = {path: map_file(path) for path in sorted(set(weight_map.values()))}
    weight_map = {_name_in_shard(name, files[path]): path for name, path in weight_map.items()}
    check_index(folder, INDEX, weight_map, {name: path for path, held in files.items() for name in held})
    return {name: files[path][name] for name, path in weight_map.items()}


def _name_in_shard(name: str, held: Mapping[str, np.ndarray]) -> str:
    """The name that a shard has for a tensor of the index.

    TFBert writes the variable's name in the index, MODEL/NAME:0, and leaves out the model in the shards.
    """
    variable = name.removesuffix(":0")
    forms = (variable, variable.partition("/")[2])
    return next((form for own in forms for form in (own, f"{own}:0") if form in held), name)


def _shards_of_an_older_checkpoint(index: Path) -> set[str]:
    try:
        names = read_json(index)["weight_map"].values()
    except (CheckpointError, KeyError, AttributeError):
        return set()  # a broken index names nothing that could be trusted
    return {
        name
        for name in names
        if isinstance(name, str) and name.endswith(".safetensors") and name != FILE and Path(name).name == name
    }
