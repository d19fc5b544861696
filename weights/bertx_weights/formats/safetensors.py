"""The hub's safetensors: model.safetensors, whole or in shards, under the schema's own names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ..checkpoint import Checkpoint, StoredTensor
from ..safetensors_store import FILE, INDEX, open_safetensors, write_safetensors
from . import hub


def files(folder: Path) -> list[Path]:
    """The files that hold the weights; none where the folder has none of this format."""
    return hub.files(folder, FILE, INDEX)


def read(folder: Path) -> Checkpoint:
    """The checkpoint, mapped.

    Raises:
        CheckpointError: a file is missing, truncated or corrupt.
    """
    tensors = {name: StoredTensor.of_array(name, array) for name, array in open_safetensors(folder).items()}
    return Checkpoint(folder, "safetensors", tuple(files(folder)), hub.read_config(folder), tensors)


def write(folder: Path, config: Mapping[str, Any], tensors: Iterable[StoredTensor]) -> list[str]:
    """Writes config.json and model.safetensors, a tensor at a time."""
    write_safetensors(folder, hub.under_hub_names(tensors))
    hub.write_config(folder, config)
    return []
