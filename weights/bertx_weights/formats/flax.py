"""The hub's flax_model.msgpack, whole or in shards, of every head of a Flax model of transformers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..checkpoint import Checkpoint, StoredTensor
from ..containers import msgpack
from ..files import check_index, inside, shards
from ..naming.rules import ModelNames, Names, NamesOf, Rule, naming_of, table_of
from ..naming.tables import both_ways, layers_of, stored_tensor, to_stored
from ..schema import base_prefix
from . import hub, settings

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
    strips_base=True,
)

_FIXED = {"position_embedding_type": "absolute"}
_ACTIVATIONS = ("gelu", "gelu_new", "gelu_pytorch_tanh", "quick_gelu", "relu", "silu", "swish", "tanh")

# What a flax TrainState and its usual subclasses have beside the parameters.
_BESIDE_PARAMS = ("step", "opt_state", "dropout_rng", "rng", "key", "epoch", "loss_scale", "dynamic_scale")


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
        arrays = msgpack.read(inside(folder, FILE), _parameters)
    else:
        weight_map = shards(folder, INDEX)
        held = {path: msgpack.read(path, _parameters) for path in sorted(set(weight_map.values()))}
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
    naming = naming_of("flax", names, folder)
    settings.refuse("flax", settings.problems_of_all(config, "Flax", names, naming, _FIXED, _ACTIVATIONS))
    tensors = list(tensors)
    tree = tree_of(tensors, config, names, "flax", folder)
    msgpack.write(folder / FILE, tree)
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
