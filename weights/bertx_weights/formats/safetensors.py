"""The hub's safetensors: model.safetensors, whole or in shards, under the schema's own names.

It also reads what transformers' TensorFlow and Flax classes wrote there: the names and layouts of tf_model.h5 and
flax_model.msgpack.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ..checkpoint import Checkpoint, StoredTensor
from ..containers.safetensors import FILE, INDEX, open_safetensors, write_safetensors
from ..naming import wrappers
from ..naming.rules import ModelNames, NamesOf
from ..schema import plain_name
from . import hub, tensorflow

_FLAX_WORDS = "embeddings.word_embeddings.embedding"
STORED, WRITTEN = hub.stored(FILE, INDEX), hub.written(FILE, INDEX)


def files(folder: Path) -> list[Path]:
    """The files that hold the weights; none where the folder has none of this format."""
    return hub.files(folder, FILE, INDEX)


def read(folder: Path, names_of: NamesOf) -> Checkpoint:
    """The checkpoint, mapped.

    Raises:
        CheckpointError: a file is missing, truncated or corrupt.
    """
    held, config, notes = open_safetensors(folder), hub.read_config(folder), ()
    if tensorflow.has_names(held):
        names = names_of(config)
        config, notes = tensorflow.as_computed(config, names, folder)
        tensors = tensorflow.tensors_of(
            ((name, array.shape, array.dtype, lambda array=array: array) for name, array in held.items()),
            config,
            names,
            folder,
        )
    elif any(name.endswith(_FLAX_WORDS) for name in held):
        from . import flax

        tensors = flax.tensors_of(held, config, names_of(config), folder)
    else:
        plain = wrappers.unwrapped(held)
        notes = wrappers.notes(plain)
        tensors = {
            name: StoredTensor(name, plain_name(plain[name]), array.shape, array.dtype, lambda array=array: array)
            for name, array in held.items()
        }
    return Checkpoint(folder, "safetensors", tuple(files(folder)), config, tensors, notes=notes)


def write(
    folder: Path, config: Mapping[str, Any], tensors: Iterable[StoredTensor], names: ModelNames | None = None
) -> list[str]:
    """Writes config.json and model.safetensors, a tensor at a time."""
    write_safetensors(folder, hub.under_hub_names(tensors))
    hub.write_config(folder, config)
    return []
