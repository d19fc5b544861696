"""Flax's msgpack files: nested dicts of arrays, each an extension of its own."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..dtypes import BFLOAT16, SAFETENSORS_DTYPES, dtype_name
from ..errors import CheckpointError
from ..files import atomic_path
from .libraries import needs
from .safetensors import release

# Flax packs an array as an extension: its shape, dtype and bytes, packed again. Larger ones it cuts in chunks.
_ARRAY = 1
_CHUNKED = "__msgpack_chunked_array__"
_CHUNK = 2**30
_READ = 2**20
_MOST_ENTRIES = 10**4
_DEEPEST = 16
_DTYPES = {dtype_name(dtype): dtype for dtype in SAFETENSORS_DTYPES.values()}


def write(path: Path, tree: Mapping[str, Any]) -> None:
    """Writes a nested dict whose leaves, when called, read the array, one after the other.

    Raises:
        MissingExtraError: msgpack is not installed.
    """
    msgpack = needs("msgpack", "msgpack")
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        for part in _packed(msgpack.Packer(), tree):
            file.write(part)


def _packed(packer: Any, node: Any) -> Iterator[bytes | memoryview]:
    if isinstance(node, dict):
        yield packer.pack_map_header(len(node))
        for name, child in node.items():
            yield packer.pack(name)
            yield from _packed(packer, child)
        return
    array = node()
    if array.nbytes <= _CHUNK:
        yield from _packed_array(packer, array)
    else:
        flat = array.reshape(-1)
        step = _CHUNK // array.itemsize
        chunks = [flat[start : start + step] for start in range(0, len(flat), step)]
        yield packer.pack_map_header(3)
        yield packer.pack(_CHUNKED) + packer.pack(True) + packer.pack("shape")
        yield packer.pack({str(i): length for i, length in enumerate(array.shape)})
        yield packer.pack("chunks") + packer.pack_map_header(len(chunks))
        for i, chunk in enumerate(chunks):
            yield packer.pack(str(i))
            yield from _packed_array(packer, chunk)
    release(array)


def _packed_array(packer: Any, array: np.ndarray) -> Iterator[bytes | memoryview]:
    name = "bfloat16" if array.dtype == BFLOAT16 else array.dtype.name
    inner = packer.pack_array_header(3) + packer.pack(array.shape) + packer.pack(name)
    data = array.view("<u2") if array.dtype == BFLOAT16 else array
    # A bin of four length bytes, whatever its size, as an extension of four.
    inner += b"\xc6" + array.nbytes.to_bytes(4, "big")
    yield b"\xc9" + (len(inner) + array.nbytes).to_bytes(4, "big") + _ARRAY.to_bytes(1, "big") + inner
    yield data.data.cast("B") if data.size else b""


def read(path: Path, select: Callable[[Any], Any] = lambda tree: tree) -> dict[str, np.ndarray]:
    """The arrays of a file, their names joined by "/".

    select: the tree of the file → the part of it that is read, or a ValueError.

    Raises:
        CheckpointError: the file is broken, or holds what is no array.
        MissingExtraError: msgpack is not installed.
    """
    msgpack = needs("msgpack", "msgpack")
    entries = 0

    def counted(pairs: list[tuple[Any, Any]]) -> dict[Any, Any]:
        nonlocal entries
        entries += len(pairs)
        if entries > _MOST_ENTRIES or len(dict(pairs)) < len(pairs):
            raise ValueError("more entries than any model has, or two of one name")
        return dict(pairs)

    try:
        size = path.stat().st_size
        with open(path, "rb") as file:
            unpacker = msgpack.Unpacker(
                file,
                read_size=min(size, _READ) or 1,
                max_buffer_size=size or 1,
                ext_hook=_array,
                object_pairs_hook=counted,
                max_array_len=16,
                max_map_len=_MOST_ENTRIES,
                max_str_len=2**8,
                max_bin_len=0,
            )
            tree = unpacker.unpack()
            if unpacker.tell() != size:
                raise ValueError(f"{size - unpacker.tell()} bytes after its end")
        return dict(_flat(select(tree), (), 0))
    except (ValueError, TypeError, OverflowError, RecursionError, msgpack.exceptions.UnpackException) as error:
        raise CheckpointError(f"{path}: not a whole Flax msgpack file: {error}") from error


def _array(code: int, data: bytes) -> np.ndarray:
    import msgpack

    if code != _ARRAY:
        raise ValueError(f"extension {code}, expected arrays ({_ARRAY}) only")
    shape, name, buffer = msgpack.unpackb(data, max_array_len=16)
    if name not in _DTYPES:
        raise ValueError(f"an array of dtype {name!r:.40}, expected one of {', '.join(_DTYPES)}")
    dtype = _DTYPES[name]
    if not all(isinstance(length, int) and length >= 0 for length in shape):
        raise ValueError(f"an array of shape {shape!r:.80}")
    if math.prod(shape) * dtype.itemsize != len(buffer):
        raise ValueError(f"an array {shape} of {name} with {len(buffer)} bytes")
    return np.frombuffer(buffer, dtype).reshape(shape)


def _flat(tree: Any, path: tuple[str, ...], depth: int) -> Iterator[tuple[str, np.ndarray]]:
    if isinstance(tree, np.ndarray):
        yield "/".join(path), tree
    elif not isinstance(tree, dict) or depth > _DEEPEST:
        raise ValueError(f"{'/'.join(path)[:80] or 'the file'} is no array, and no arrays by name")
    elif _CHUNKED in tree:
        yield "/".join(path), _joined(tree)
    else:
        for name, child in tree.items():
            if not isinstance(name, str):
                raise ValueError(f"{name!r:.40} is no name")
            yield from _flat(child, (*path, name), depth + 1)


def _joined(tree: Mapping[str, Any]) -> np.ndarray:
    shape, chunks = tree.get("shape"), tree.get("chunks")
    if not isinstance(shape, dict) or not isinstance(chunks, dict) or not chunks:
        raise ValueError("an array in chunks without its shape or its chunks")
    lengths: list[Any] = [shape.get(str(i)) for i in range(len(shape))]
    parts: list[Any] = [chunks.get(str(i)) for i in range(len(chunks))]
    whole = all(isinstance(part, np.ndarray) and part.dtype == parts[0].dtype for part in parts)
    if not whole or not all(isinstance(length, int) and length >= 0 for length in lengths):
        raise ValueError("an array in chunks that are no arrays of one dtype, or of a shape that is none")
    return np.concatenate([part.reshape(-1) for part in parts]).reshape(lengths)
