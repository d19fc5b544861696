"""TensorFlow's checkpoint files, a prefix with .index and .data-…: what the formats of TF1 and TF2 have in common.

They are read here without TensorFlow, which is killed by a damaged index (an absl CHECK) and takes seconds to import.
The index is a table of LevelDB's form whose values are BundleEntryProto: tensorflow/core/lib/io/table_format.txt and
tensorflow/core/protobuf/tensor_bundle.proto.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..dtypes import BFLOAT16
from ..errors import CheckpointError
from ..files import inside
from .libraries import needs
from .protobuf import fields_of, varint
from .safetensors import release

PREFIX = "bert_model.ckpt"
STORED = (("*ckpt*.index", "*ckpt*.data-*"),)
WRITTEN = (f"{PREFIX}.index", f"{PREFIX}.data-{'[0-9]' * 5}-of-{'[0-9]' * 5}")
OBJECT_GRAPH = "_CHECKPOINTABLE_OBJECT_GRAPH"
_LARGEST_INDEX = 64 * 2**20
_FOOTER, _MAGIC = 48, 0xDB4775248B80FB57
_LONGEST_NAME = 1024
_PART = 2**27
_TRAILER = 5  # of a block: its compression and its checksum
# The numbers of tensorflow/core/framework/types.proto.
_DTYPES = {
    1: np.dtype("<f4"), 2: np.dtype("<f8"), 3: np.dtype("<i4"), 4: np.dtype("u1"), 5: np.dtype("<i2"),
    6: np.dtype("i1"), 9: np.dtype("<i8"), 10: np.dtype("?"), 14: BFLOAT16, 17: np.dtype("<u2"),
    19: np.dtype("<f2"), 22: np.dtype("<u4"), 23: np.dtype("<u8"),
}  # fmt: skip
_STRING = 7
_NO_NUMBERS = (_STRING, 20, 21)  # strings, resources, variants


@dataclass(frozen=True)
class Variable:
    """One variable: dtype None for what is no array of numbers, such as the object graph."""

    shape: tuple[int, ...]
    dtype: np.dtype | None
    read: Callable[[], np.ndarray] = field(repr=False)


def prefixes(folder: Path) -> list[str]:
    """The checkpoints of a folder that has a config beside them, the last step at the end."""
    names = [path.name for path in folder.iterdir() if path.is_file()]
    found = [name.removesuffix(".index") for name in names if name.endswith(".index")]
    found = [prefix for prefix in found if any(name.startswith(f"{prefix}.data-") for name in names)]
    return sorted(found, key=lambda prefix: (_step(prefix), prefix))


def _step(prefix: str) -> int:
    step = prefix.rpartition("-")[2]
    return int(step) if step.isdecimal() and step.isascii() else -1


def is_object_based(folder: Path, prefix: str) -> bool:
    """Whether it is of tf.train.Checkpoint (TF2) rather than of a Saver (TF1)."""
    return OBJECT_GRAPH.encode() in _index(folder, prefix)


def files(folder: Path, prefix: str) -> list[Path]:
    """The files of a checkpoint.

    Raises:
        CheckpointError: one is a link out of the folder.
    """
    data = sorted(path.name for path in folder.iterdir() if path.name.startswith(f"{prefix}.data-"))
    return [inside(folder, name) for name in (f"{prefix}.index", *data)]


def read(folder: Path, prefix: str) -> dict[str, Variable]:
    """The variables of a checkpoint by name, mapped.

    Raises:
        CheckpointError: a file is missing or broken.
    """
    index = _index(folder, prefix)
    try:
        entries = dict(_table(index))
        header = dict(fields_of(entries.pop(b"")))
        shards = header.get(1, 0)
        if header.get(2, 0) != 0:
            raise ValueError("big-endian values")
        if not 1 <= shards <= 10**5:
            raise ValueError(f"{shards} shards")
        data = {
            shard: np.memmap(inside(folder, f"{prefix}.data-{shard:05}-of-{shards:05}"), np.uint8, mode="c")
            for shard in sorted({dict(fields_of(entry)).get(3, 0) for entry in entries.values()})
            if 0 <= shard < shards
        }
        return {
            name.decode(): _variable(name.decode(), entry, data, folder / prefix)
            for name, entry in sorted(entries.items())
        }
    except CheckpointError:
        raise
    except (ValueError, IndexError, KeyError, TypeError, OSError, OverflowError) as error:
        raise CheckpointError(f"{folder / prefix}.index: not a whole TensorFlow checkpoint: {error!r}") from error


def _index(folder: Path, prefix: str) -> bytes:
    path = inside(folder, f"{prefix}.index")
    if path.stat().st_size > _LARGEST_INDEX:
        raise CheckpointError(f"{path} has {path.stat().st_size} bytes, expected at most {_LARGEST_INDEX}")
    return path.read_bytes()


def _variable(name: str, entry: bytes, data: Mapping[int, np.ndarray], prefix: Path) -> Variable:
    fields = dict(fields_of(entry))
    if 7 in fields:
        raise ValueError("a variable in slices")
    shape = tuple(dict(fields_of(dim)).get(1, 0) for number, dim in fields_of(fields.get(2, b"")) if number == 2)
    begin, size = fields.get(4, 0), fields.get(5, 0)
    whole = data[fields.get(3, 0)]
    checksum = int.from_bytes(fields.get(6, b""), "little")
    if fields.get(1) in _NO_NUMBERS and begin + size <= len(whole):
        if fields[1] == _STRING and _masked_crc(_as_checked(whole[begin : begin + size].tobytes(), shape)) != checksum:
            raise ValueError(f"the values of {name} do not match their checksum")
        return Variable(shape, None, lambda: np.empty(0))
    dtype = _DTYPES[fields.get(1)]  # pyright: ignore[reportArgumentType]
    if size != math.prod(shape) * dtype.itemsize or begin + size > len(whole):
        raise ValueError(f"{size} bytes at {begin} for {dtype} {list(shape)}, the file has {len(whole)}")
    stored = whole[begin : begin + size]

    def read() -> np.ndarray:
        if _masked_crc(stored) != checksum:
            raise CheckpointError(
                f"{prefix}.data-…: the values of {name} do not match their checksum: "
                "the file is damaged, fetch it again"
            )
        array = stored.view(dtype).reshape(shape) if size else np.empty(shape, dtype)
        return array if array.flags.aligned else array.copy()

    return Variable(shape, dtype, read)


def _as_checked(stored: bytes, shape: tuple[int, ...]) -> bytes:
    """The bytes that the checksum of a tensor of strings is made of: the lengths as integers, then what is stored."""
    place, lengths = 0, b""
    for _ in range(math.prod(shape)):
        length, place = varint(stored, place)
        lengths += length.to_bytes(4 if length < 2**32 else 8, "little")
    return lengths + stored[place:]


# --- a table of LevelDB's form ----------------------------------------------------------------------


def _table(index: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Its keys and values."""
    footer = index[-_FOOTER:]
    if len(footer) < _FOOTER or int.from_bytes(footer[-8:], "little") != _MAGIC:
        raise ValueError("the table has no footer")
    _, place = _handle(footer, 0)
    (begin, size), _ = _handle(footer, place)
    end, before = 0, None
    for _, handle in _block(index, begin, size):
        (begin, size), _ = _handle(handle, 0)
        if begin < end:
            raise ValueError("blocks that are not one after the other")
        end = begin + size
        for key, value in _block(index, begin, size):
            if before is not None and key <= before:
                raise ValueError("names that are not in order")
            before = key
            yield key, value


def _handle(data: bytes, place: int) -> tuple[tuple[int, int], int]:
    begin, place = varint(data, place)
    size, place = varint(data, place)
    return (begin, size), place


def _block(index: bytes, begin: int, size: int) -> Iterator[tuple[bytes, bytes]]:
    block = index[begin : begin + size]
    if len(block) != size or size < 4 or begin + size + _TRAILER > len(index):
        raise ValueError(f"a block of {size} bytes at {begin} is not in the table")
    if index[begin + size] != 0:
        raise ValueError("a compressed block, which TensorFlow does not write")
    if _masked_crc(index[begin : begin + size + 1]) != int.from_bytes(
        index[begin + size + 1 : begin + size + 5], "little"
    ):
        raise ValueError(f"the block at {begin} has another checksum")
    restarts = int.from_bytes(block[-4:], "little")
    end = size - 4 * (restarts + 1)
    place, key = 0, b""
    while place < end:
        shared, place = varint(block, place)
        own, place = varint(block, place)
        length, place = varint(block, place)
        if shared > len(key) or place + own + length > end:
            raise ValueError("an entry that is longer than its block")
        if shared + own > _LONGEST_NAME:
            raise ValueError(f"a name of {shared + own} bytes")
        key = key[:shared] + block[place : place + own]
        yield key, block[place + own : place + own + length]
        place += own + length


def _masked_crc(data: Any) -> int:
    """CRC-32C of bytes or an array, masked as LevelDB has it."""
    import google_crc32c

    value = google_crc32c.value(data)
    return (((value >> 15) | (value << 17)) + 0xA282EAD8) & 0xFFFFFFFF


# --- writing ----------------------------------------------------------------------------------------


def save(prefix: Path, values: Mapping[str, Callable[[], np.ndarray]], graph: bytes | None = None) -> None:
    """Writes variables under their names, as a Saver does; those of a large model as several data files.

    `graph` is what tf.train.Checkpoint writes beside them.
    """
    tf = needs("tensorflow", "tensorflow")
    parts = []
    with tf.device("cpu"):
        for held in _in_parts(values):
            if graph is not None and not parts:
                held[OBJECT_GRAPH] = tf.constant(graph)
            parts.append(f"{prefix}.parts/{len(parts)}")
            tf.raw_ops.SaveV2(
                prefix=parts[-1],
                tensor_names=[*held],
                shape_and_slices=[""] * len(held),
                tensors=[*held.values()],
            )
        # TensorFlow keeps all that one of its calls writes in memory, so that it writes a part at a time.
        tf.raw_ops.MergeV2Checkpoints(checkpoint_prefixes=parts, destination_prefix=str(prefix))


def _in_parts(values: Mapping[str, Callable[[], np.ndarray]]) -> Iterator[dict[str, Any]]:
    """The variables as tensors of TensorFlow, in parts of some `_PART` bytes; one part at least."""
    held: dict[str, Any] = {}
    size = 0
    for name in sorted(values):
        array = values[name]()
        if size and size + array.nbytes > _PART:
            yield held
            held, size = {}, 0
        held[name] = to_tensorflow(array)
        size += array.nbytes
        release(array)
    yield held


def to_tensorflow(array: np.ndarray) -> Any:
    """The array as a tensor on the CPU."""
    tf = needs("tensorflow", "tensorflow")
    return tf.constant(array.view(tf.bfloat16.as_numpy_dtype) if array.dtype == BFLOAT16 else array)


def skip_training(names: Iterable[str], is_slot: Callable[[str], bool], counters: Iterable[str]) -> dict[str, str]:
    """Those names that only training needs → what they are."""
    counters = set(counters)
    return {
        name: "an optimizer's slot" if is_slot(name) else "a counter of the training"
        for name in names
        if is_slot(name) or name in counters
    }
