"""Orbax checkpoints: trees of arrays in TensorStore's chunks; read and written an array at a time."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..dtypes import BFLOAT16
from ..errors import CheckpointError
from .libraries import needs
from .safetensors import release

_METADATA = "_METADATA"
_CHUNKS = f"d/{'[0-9a-f]' * 32}"
# Patterns of the files of a checkpoint.
FILES = (
    *(_METADATA, "_CHECKPOINT_METADATA", "_sharding", "commit_success.txt", "manifest.ocdbt", _CHUNKS),
    *("array_metadatas/process_[0-9]*", "ocdbt.process_[0-9]*/manifest.ocdbt", f"ocdbt.process_[0-9]*/{_CHUNKS}"),
)
_DEEPEST = 3
# Chunks are compressed: a file of zeros may be this many times smaller than its arrays.
_FOLDED = 1024

Array = tuple[tuple[int, ...], np.dtype, Callable[[], np.ndarray]]
"""Shape, dtype, and how its values are read."""


def files(folder: Path) -> list[Path]:
    """The files of the checkpoint in a folder, of several steps of the last; none where there is none."""
    return sorted(path for root in _roots(folder)[-1:] for path in _plain_files(root))


def read(folder: Path) -> dict[tuple[str, ...], Array | None]:
    """Every leaf of the tree, of several steps of the last: its path → the array, None where it is none.

    Raises:
        CheckpointError: a file is missing or broken, or there are several checkpoints that are no steps.
        MissingExtraError: orbax-checkpoint is not installed.
    """
    roots = _roots(folder)
    if len({root.parent.parent if _is_step(root) else root for root in roots}) > 1:
        raise CheckpointError(f"{folder} holds several Orbax checkpoints: {', '.join(map(str, roots))}")
    root = roots[-1].absolute()  # Orbax takes no relative path
    checkpointer = needs("orbax.checkpoint", "orbax").PyTreeCheckpointer()
    held = files(folder)
    try:
        metadata = checkpointer.metadata(root).item_metadata
        if metadata is None:
            raise ValueError("its metadata cannot be read")
        leaves = dict(_leaves(metadata.tree))
        shapes = {path: (tuple(leaf.shape), np.dtype(leaf.dtype)) for path, leaf in leaves.items() if _is_array(leaf)}
    except Exception as error:  # Orbax and TensorStore raise errors of every kind
        raise CheckpointError(f"{root}: not a whole Orbax checkpoint: {str(error)[:300]}") from error
    # TensorStore makes room for a whole chunk, and ends the process where there is none.
    chunks = [getattr(leaf.storage, "chunk_shape", None) or () for leaf in leaves.values() if _is_array(leaf)]
    room = _FOLDED * sum(path.stat().st_size for path in held)
    if sum(math.prod(shape) for shape, _ in shapes.values()) > room or max(map(math.prod, chunks), default=0) > room:
        raise CheckpointError(f"{root}: its arrays are larger than its files can hold")
    values_of = _reader(root, metadata.use_zarr3)

    def array_of(path: tuple[str, ...], leaf: Any) -> Array | None:
        if path not in shapes:
            return None
        shape, dtype = shapes[path]
        stored = BFLOAT16 if dtype.name == "bfloat16" else dtype
        return shape, stored, lambda: values_of(leaf.name, "/".join(path))

    return {path: array_of(path, leaf) for path, leaf in leaves.items()}


def write(folder: Path, tree: Mapping[str, Any]) -> None:
    """Writes a nested dict whose leaves, when called, read the array, one after the other.

    Raises:
        MissingExtraError: orbax-checkpoint is not installed.
    """
    ocp = needs("orbax.checkpoint", "orbax")
    with ocp.Checkpointer(_handler()) as checkpointer:
        checkpointer.save(folder.absolute(), needs("jax", "orbax").tree.map(_Leaf, tree))


def _roots(folder: Path) -> list[Path]:
    """The folders that hold a checkpoint, the last step at the end; links are not followed."""
    found, level = [], [folder]
    for _ in range(_DEEPEST + 1):
        found += [root for root in level if (root / _METADATA).is_file() and not (root / _METADATA).is_symlink()]
        level = [Path(entry) for root in level for entry in os.scandir(root) if entry.is_dir(follow_symlinks=False)]
    return sorted(found, key=lambda root: (int(root.parent.name) if _is_step(root) else -1, root.name))


def _plain_files(root: Path) -> Iterator[Path]:
    """All files below a folder.

    Raises:
        CheckpointError: there is a link, or what is no file, which TensorStore would follow or wait for.
    """
    for entry in os.scandir(root):
        if entry.is_dir(follow_symlinks=False):
            yield from _plain_files(Path(entry))
        elif entry.is_file(follow_symlinks=False):
            yield Path(entry)
        else:
            raise CheckpointError(f"{entry.path} is a link or no file: an Orbax checkpoint has plain files only")


def _is_step(root: Path) -> bool:
    return root.parent.name.isdecimal() and root.parent.name.isascii()


def _leaves(tree: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    if isinstance(tree, (Mapping, list, tuple)):
        for name, child in tree.items() if isinstance(tree, Mapping) else enumerate(tree):
            if "/" in str(name) or str(name) in ("", ".", ".."):
                raise ValueError(f"{name!r} is no name")
            yield from _leaves(child, (*path, str(name)))
    elif tree is not None:
        yield path, tree


def _is_array(leaf: Any) -> bool:
    return getattr(leaf, "shape", None) is not None and getattr(leaf, "dtype", None) is not None


def _reader(root: Path, zarr3: bool) -> Callable[[str, str], np.ndarray]:
    """(name of an array, what to call it) → its values. TensorStore's own reading: Orbax's takes the whole tree."""
    ts = needs("tensorstore", "orbax")
    ocdbt = needs("orbax.checkpoint", "orbax").type_handlers.is_ocdbt_checkpoint(root)
    context = ts.Context()

    def read(name: str, path: str) -> np.ndarray:
        files = {"driver": "file", "path": f"{root / ('' if ocdbt else name)}/"}
        spec = {
            "driver": "zarr3" if zarr3 else "zarr",
            "kvstore": {"driver": "ocdbt", "base": files, "path": f"{name}/"} if ocdbt else files,
            "fill_missing_data_reads": False,
        }
        try:
            array = ts.open(spec, read=True, context=context).result().read().result()
        except Exception as error:  # TensorStore raises errors of several kinds
            raise CheckpointError(f"{root}: {path} cannot be read: {str(error)[:300]}") from error
        return array.view(BFLOAT16) if array.dtype.name == "bfloat16" else array

    return read


@dataclass(frozen=True)
class _Leaf:
    """What Orbax takes for an array, and is read when its turn comes."""

    read: Callable[[], np.ndarray]


def _handler() -> Any:
    """Orbax's handler of a tree, for leaves that are read one by one; its own copies all of them first."""
    ocp = needs("orbax.checkpoint", "orbax")
    handlers, bfloat16 = ocp.type_handlers, needs("ml_dtypes", "orbax").bfloat16

    class OneByOne(handlers.NumpyHandler):
        async def serialize(self, values: Any, infos: Any, args: Any = None) -> list[Any]:
            for leaf, info, arg in zip(values, infos, args or [None] * len(values), strict=True):
                array = leaf.read()
                called = array.view(bfloat16) if array.dtype == BFLOAT16 else array
                for written in await super().serialize([called], [info], arg and [arg]):
                    written.result()
                release(array)
            return []

    kinds = (_Leaf, OneByOne()), (needs("jax", "orbax").Array, handlers.ArrayHandler())
    registry = handlers.create_type_handler_registry(*kinds)
    return ocp.PyTreeCheckpointHandler(type_handler_registry=registry)
