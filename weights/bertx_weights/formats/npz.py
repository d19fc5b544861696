"""NumPy's model.npz, under the schema's own names; bfloat16 as its bits, named so in the archive's dtypes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ..checkpoint import Checkpoint, StoredTensor
from ..containers import npz
from ..files import inside
from ..naming.rules import ModelNames, NamesOf
from ..schema import plain_name
from . import hub

FILE = "model.npz"
STORED, WRITTEN = ((FILE,),), (hub.CONFIG, FILE)


def files(folder: Path) -> list[Path]:
    """The files that hold the weights; none where the folder has none of this format."""
    return [inside(folder, FILE)] if (folder / FILE).is_file() else []


def read(folder: Path, names_of: NamesOf) -> Checkpoint:
    """The checkpoint; a tensor is read from the archive when it is asked for.

    Raises:
        CheckpointError: the archive is broken, or holds what is no array.
    """
    path = inside(folder, FILE)
    tensors = {name: StoredTensor(name, plain_name(name), *array) for name, array in npz.read(path).items()}
    return Checkpoint(folder, "npz", (path,), hub.read_config(folder), tensors)


def write(
    folder: Path, config: Mapping[str, Any], tensors: Iterable[StoredTensor], names: ModelNames | None = None
) -> list[str]:
    """Writes config.json and model.npz, uncompressed, a tensor at a time."""
    named = hub.under_hub_names(tensors)
    npz.write(folder / FILE, ((name, tensor.read) for name, tensor in sorted(named.items())))
    hub.write_config(folder, config)
    return []
