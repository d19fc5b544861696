"""The hub's pytorch_model.bin, whole or in shards, zip or legacy pickle, under the schema's names."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ..checkpoint import Checkpoint, StoredTensor
from ..containers.torch_file import read_file, write_file
from ..files import check_index, inside, shards
from ..naming import wrappers
from ..naming.rules import ModelNames, NamesOf
from ..schema import plain_name
from . import hub

FILE = "pytorch_model.bin"
INDEX = "pytorch_model.bin.index.json"
STORED, WRITTEN = hub.stored(FILE, INDEX), hub.written(FILE, INDEX)


def files(folder: Path) -> list[Path]:
    """The files that hold the weights; none where the folder has none of this format."""
    return hub.files(folder, FILE, INDEX)


def read(folder: Path, names_of: NamesOf) -> Checkpoint:
    """The checkpoint; of a zip file the tensors are mapped.

    Raises:
        CheckpointError: a file is broken, or needs more than tensors to be unpickled, which bertx never does.
        MissingExtraError: torch is not installed.
    """
    if (folder / FILE).is_file():
        tensors = read_file(inside(folder, FILE))
    else:
        weight_map = shards(folder, INDEX)
        held = {path: read_file(path) for path in sorted(set(weight_map.values()))}
        check_index(folder, INDEX, weight_map, {name: path for path, of_file in held.items() for name in of_file})
        tensors = {name: held[path][name] for name, path in weight_map.items()}
    plain = wrappers.unwrapped(tensors)
    named = {name: dataclasses.replace(tensor, schema_name=plain_name(plain[name])) for name, tensor in tensors.items()}
    notes = wrappers.notes(plain)
    return Checkpoint(folder, "pytorch", tuple(files(folder)), hub.read_config(folder), named, notes=notes)


def write(
    folder: Path, config: Mapping[str, Any], tensors: Iterable[StoredTensor], names: ModelNames | None = None
) -> list[str]:
    """Writes config.json and pytorch_model.bin, a zip; the library needs all tensors at once."""
    write_file(folder / FILE, hub.under_hub_names(tensors))
    hub.write_config(folder, config)
    return []
