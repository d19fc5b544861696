"""The hub's flax_model.msgpack, whole or in shards, of every head of a Flax model of transformers."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..checkpoint import Checkpoint, StoredTensor
from ..dtypes import BFLOAT16, SAFETENSORS_DTYPES, dtype_name
from ..errors import CheckpointError
from ..files import atomic_path, check_index, inside, shards
from ..naming.rules import ModelNames, Names, NamesOf, Rule, naming_of, table_of
from ..naming.tables import both_ways, layers_of, stored_tensor, to_stored
from ..safetensors_store import release
from ..schema import base_prefix
from . import hub, settings
from .libraries import needs

FILE = "flax_model.msgpack"
INDEX = "flax_model.msgpack.index.json"
STORED, WRITTEN = hub.stored(FILE, INDEX), hub.written(FILE, INDEX)

RULE = Rule(
    leaves={
        "linear": ("kernel", "kernel"),
        "embedding": ("embedding", "same"),
        "norm": ("scale", "same"),
        "norm bias": ("bias", "same"),
        "bias": ("bias", "same"),
    },
    decoder=True,
)

_FIXED = {"position_embedding_type": "absolute"}
_ACTIVATIONS = ("gelu", "gelu_new", "gelu_pytorch_tanh", "quick_gelu", "relu", "silu", "swish", "tanh")

# Flax packs an array as an extension: its shape, dtype and bytes, packed again. Larger ones it cuts in chunks.
_ARRAY = 1
_CHUNKED = "__msgpack_chunked_array__"
_CHUNK = 2**30
_READ = 2**20
_MOST_ENTRIES = 10**4
_DEEPEST = 16
# What a flax TrainState and its usual subclasses have beside the parameters.
_BESIDE_PARAMS = ("step", "opt_state", "dropout_rng", "rng", "key", "epoch", "loss_scale", "dynamic_scale")
_DTYPES = {dtype_name(dtype): dtype for dtype in SAFETENSORS_DTYPES.values()}


def files(folder: Path) -> list[Path]:
    """The files that hold the weights; none where the folder has none of this format."""
    return hub.files(folder, FILE, INDEX)


def read(folder: Path, names_of: NamesOf) -> Checkpoint:
    """The checkpoint, in memory as msgpack needs it.

    Raises:
        CheckpointError: a file is broken, or holds what is no array.
        MissingExtraError: msgpack is not installed.
    """
    config = hub.read_config(folder)
    names = names_of(config)
    if (folder / FILE).is_file():
        arrays = _read_file(inside(folder, FILE))
    else:
        weight_map = shards(folder, INDEX)
        held = {path: _read_file(path) for path in sorted(set(weight_map.values()))}
        check_index(folder, INDEX, weight_map, {name: path for path, of_file in held.items() for name in of_file})
        arrays = {name: held[path][name] for name, path in weight_map.items()}
    return Checkpoint(folder, "flax", tuple(files(folder)), config, tensors_of(arrays, config, names, folder))


def table(names: ModelNames, form: str, folder: Path) -> Names:
    """The names of a model in Flax; `form` is the format that has them, flax or orbax."""
    return table_of(names, naming_of(form, names, folder), RULE)


def tensors_of(
    arrays: Mapping[str, np.ndarray], config: Mapping[str, Any], names: ModelNames, folder: Path
) -> dict[str, StoredTensor]:
    """The tensors of a Flax model's parameters, flattened with "/", or with "." as in safetensors.

    A model without a head has no prefix such as bert/ before them.
    """
    reading, _ = both_ways(table(names, "flax", folder), layers_of(config, folder))
    base = names.prefix.replace(".", "/")
    return {
        name: stored_tensor(
            name,
            reading.get(name.replace(".", "/")) or reading.get(base + name.replace(".", "/")),
            array.shape,
            array.dtype,
            lambda array=array: array,
        )
        for name, array in arrays.items()
    }


def write(folder: Path, config: Mapping[str, Any], tensors: Iterable[StoredTensor], names: ModelNames) -> list[str]:
    """Writes config.json and flax_model.msgpack, a tensor at a time.

    Raises:
        CheckpointError: the model is none that the classes of transformers compute.
    """
    fixed = _FIXED | dict(naming_of("flax", names, folder).fixed)
    settings.refuse("flax", settings.problems(config, f"Flax{names.class_prefix}", fixed, _ACTIVATIONS))
    tensors = list(tensors)
    tree = tree_of(tensors, config, names, "flax", folder)
    msgpack = needs("msgpack", "msgpack")
    with atomic_path(folder / FILE) as temporary, open(temporary, "wb") as file:
        for part in _packed(msgpack.Packer(), tree):
            file.write(part)
    hub.write_config(folder, config)
    return []


def tree_of(
    tensors: list[StoredTensor], config: Mapping[str, Any], names: ModelNames, form: str, folder: Path
) -> dict[str, Any]:
    """The parameters of a Flax model as a nested dict whose leaves, when called, read the array.

    Raises:
        CheckpointError: a tensor has no place there.
    """
    _, writing = both_ways(table(names, form, folder), layers_of(config, folder))
    base = base_prefix([tensor.schema_name for tensor in tensors]).replace(".", "/")
    tree: dict[str, Any] = {}
    for name, value_of in to_stored(tensors, writing, config, form).items():
        *parents, leaf = name.removeprefix(base).split("/")
        node = tree
        for parent in parents:
            node = node.setdefault(parent, {})
        node[leaf] = value_of
    return tree


def _packed(packer: Any, node: Any) -> Iterator[bytes]:
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


def _packed_array(packer: Any, array: np.ndarray) -> Iterator[bytes]:
    name = "bfloat16" if array.dtype == BFLOAT16 else array.dtype.name
    inner = packer.pack_array_header(3) + packer.pack(array.shape) + packer.pack(name)
    data = array.view("<u2") if array.dtype == BFLOAT16 else array
    # A bin of four length bytes, whatever its size, as an extension of four.
    inner += b"\xc6" + array.nbytes.to_bytes(4, "big")
    yield b"\xc9" + (len(inner) + array.nbytes).to_bytes(4, "big") + _ARRAY.to_bytes(1, "big") + inner
    yield data.data.cast("B") if data.size else b""


def _read_file(path: Path) -> dict[str, np.ndarray]:
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
        return dict(_flat(_parameters(tree), (), 0))
    except (ValueError, TypeError, OverflowError, RecursionError, msgpack.exceptions.UnpackException) as error:
        raise CheckpointError(f"{path}: not a whole Flax msgpack file: {error}") from error


def _parameters(tree: Any) -> Any:
    """The parameters of a train state, and the tree itself where it is no train state."""
    while isinstance(tree, dict) and isinstance(tree.get("params"), dict):
        if others := sorted(str(name)[:40] for name in tree.keys() - {"params", *_BESIDE_PARAMS}):
            raise ValueError(
                f"params beside {', '.join(others[:9])}, which may be weights too: save the parameters alone, with "
                "flax.serialization.to_bytes(state.params)"
            )
        tree = tree["params"]
    return tree


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
    shape = [shape.get(str(i)) for i in range(len(shape))]
    chunks = [chunks.get(str(i)) for i in range(len(chunks))]
    whole = all(isinstance(chunk, np.ndarray) and chunk.dtype == chunks[0].dtype for chunk in chunks)
    if not whole or not all(isinstance(length, int) and length >= 0 for length in shape):
        raise ValueError("an array in chunks that are no arrays of one dtype, or of a shape that is none")
    return np.concatenate([chunk.reshape(-1) for chunk in chunks]).reshape(shape)
