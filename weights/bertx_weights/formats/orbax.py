"""An Orbax checkpoint beside a config.json: the parameters of a Flax model of transformers, an nnx.Module's state, or a
train state.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ..checkpoint import Checkpoint, StoredTensor
from ..containers import orbax
from ..naming.rules import ModelNames, NamesOf
from ..naming.tables import both_ways, layers_of, stored_tensor
from . import hub
from .flax import table, tree_of

_PARAMS = "params"
STORED = (tuple(f"{_PARAMS}/{name}" for name in orbax.FILES),)
WRITTEN = (hub.CONFIG, *STORED[0])


def files(folder: Path) -> list[Path]:
    """The files that hold the weights; none where the folder has none of this format."""
    return orbax.files(folder)


def read(folder: Path, names_of: NamesOf) -> Checkpoint:
    """The checkpoint; of several steps the last.

    Raises:
        CheckpointError: a file is missing or broken, or there are several checkpoints that are no steps.
        MissingExtraError: orbax-checkpoint is not installed.
    """
    config = hub.read_config(folder)
    names = names_of(config)
    leaves = orbax.read(folder)
    reading, _ = both_ways(table(names, "orbax", folder), layers_of(config, folder))
    with_params = any(path[0] == _PARAMS for path in leaves)
    tensors, skipped = {}, {}
    for path, array in leaves.items():
        stored = "/".join(path)
        own = path[1:] if with_params else path
        name = "/".join(own[:-1] if own[-1:] == ("value",) else own)
        if with_params and path[0] != _PARAMS:
            skipped[stored] = "state of the training"
        elif "rngs" in own:
            skipped[stored] = "state of a random generator"
        elif array is None:
            skipped[stored] = "no array"
        else:
            meaning = reading.get(name) or reading.get(names.prefix.replace(".", "/") + name)
            tensors[stored] = stored_tensor(stored, meaning, *array)
    return Checkpoint(folder, "orbax", tuple(files(folder)), config, tensors, skipped)


def write(folder: Path, config: Mapping[str, Any], tensors: Iterable[StoredTensor], names: ModelNames) -> list[str]:
    """Writes config.json and the parameters of a Flax model of transformers under params/, a tensor at a time."""
    orbax.write(folder / _PARAMS, tree_of(list(tensors), config, names, "orbax", folder))
    hub.write_config(folder, config)
    return []
