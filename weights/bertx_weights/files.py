"""The files of a checkpoint folder: read from nowhere else, written whole or not at all."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from .errors import CheckpointError


@contextlib.contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """A path beside `path` to write to; it takes the place of `path` when the block ends well, else it is removed."""
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with open(temporary, "rb") as written:
            os.fsync(written.fileno())
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_atomically(path: Path, content: bytes) -> None:
    """Writes a file; a write that is killed leaves the old file whole."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


_LARGEST_JSON = 8 * 2**20


def inside(folder: Path, name: str, named_by: Path | None = None) -> Path:
    """The path of a file of a checkpoint folder, which must lie in it; the hub's cache has links to its own blobs.

    Raises:
        CheckpointError: the name or a link leads out of the folder, or there is no such file.
    """
    by = f"{named_by} names" if named_by else f"{folder} has"
    if Path(name).name != name or name in ("", ".", ".."):
        raise CheckpointError(f"{by} {name!r}: expected a file of the same folder")
    path = folder / name
    try:
        is_there = path.is_file()
    except (OSError, ValueError) as error:  # a name that no file can have
        raise CheckpointError(f"{by} {name!r:.80}: {error.__class__.__name__}") from error
    if not is_there:
        raise CheckpointError(f"{by} {name}, which is not there")
    root = folder.parent.parent if folder.parent.name == "snapshots" else folder
    if not path.resolve().is_relative_to(root.resolve()):
        raise CheckpointError(f"{by} {name}, a link to {path.resolve()} outside the folder: copy the file here")
    return path


def read_json(path: Path) -> dict[str, Any]:
    """The object of a JSON file.

    Raises:
        CheckpointError: it is none, or larger than any that a checkpoint has.
    """
    if path.stat().st_size > _LARGEST_JSON:
        raise CheckpointError(f"{path}: {path.stat().st_size} bytes of JSON, expected at most {_LARGEST_JSON}")
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path}: not JSON: {error}") from error
    if not isinstance(values, dict):
        raise CheckpointError(f"{path}: expected a JSON object, found {type(values).__name__}")
    return values


def shards(folder: Path, index: str) -> dict[str, Path]:
    """The files that an index names: tensor → file.

    Raises:
        CheckpointError: the index is none, or one of its files is missing or lies elsewhere.
    """
    path = inside(folder, index)
    weight_map = read_json(path).get("weight_map")
    if not isinstance(weight_map, dict):
        raise CheckpointError(f"{path}: expected a weight_map from tensors to files")
    if strange := [repr(name) for name in weight_map.values() if not isinstance(name, str)]:
        raise CheckpointError(f"{path}: a shard must be a file of the same folder, found {', '.join(strange[:9])}")
    problems, found = [], {}
    for name in sorted(set(weight_map.values())):
        try:
            found[name] = inside(folder, name, path)
        except CheckpointError as error:
            problems.append(str(error))
    if problems:
        raise CheckpointError("\n  ".join(problems))
    return {tensor: found[name] for tensor, name in weight_map.items()}


def check_index(folder: Path, index: str, expected: Mapping[str, Path], found: Mapping[str, Path]) -> None:
    """Raises CheckpointError for tensors that the index names and its files do not hold."""
    lost = sorted(f"{name} (in {path.name})" for name, path in expected.items() if found.get(name) != path)
    if lost:
        raise CheckpointError(f"{folder / index} names tensors that their shards do not hold: {', '.join(lost)}")
