"""The hub's tf_model.h5, whole or in shards, of every head of a TensorFlow model of transformers."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..checkpoint import Checkpoint, StoredTensor
from ..containers import h5
from ..containers.safetensors import release
from ..dtypes import BFLOAT16
from ..errors import CheckpointError
from ..naming.rules import ModelNames, Names, NamesOf, Rule, naming_of, table_of
from ..naming.tables import both_ways, layers_of, stored_tensor, to_stored
from ..schema import head_of_decoder
from . import hub, settings

FILE = "tf_model.h5"
INDEX = "tf_model.h5.index.json"
STORED, WRITTEN = hub.stored(FILE, INDEX), hub.written(FILE, INDEX)
_WORDS = "/embeddings/word_embeddings/weight"  # ends the name of a tensor that every model has

RULE = Rule(
    leaves={
        "linear": ("kernel", "kernel"),
        "embedding": ("embeddings", "same"),
        "norm": ("gamma", "same"),
        "norm bias": ("beta", "same"),
        "bias": ("bias", "same"),
    },
    blocks={"embeddings.word_embeddings.weight": "embeddings/word_embeddings/weight"},
    layer="layer_._{i}",
)

_FIXED = {"position_embedding_type": "absolute"}
_ACTIVATIONS = ("gelu", "gelu_new", "gelu_fast", "quick_gelu", "relu", "silu", "swish", "tanh")
_TIES = "{classes} always shares the word embeddings with the decoder, whatever tie_word_embeddings says"


def files(folder: Path) -> list[Path]:
    """The files that hold the weights; none where the folder has none of this format."""
    return hub.files(folder, FILE, INDEX)


def read(folder: Path, names_of: NamesOf) -> Checkpoint:
    """The checkpoint; a tensor is read when it is asked for.

    Raises:
        CheckpointError: a file is missing or broken, or points out of itself.
        MissingExtraError: h5py is not installed.
    """
    config = hub.read_config(folder)
    names = names_of(config)
    config, notes = as_computed(config, names, folder)
    held = files(folder)
    stored = [
        (place, shape, dtype, h5.reader(path, place))
        for path in held
        for place, (shape, dtype) in h5.datasets(path).items()
    ]
    tensors = tensors_of(stored, config, names, folder)
    if not config.get("architectures") and (architecture := _architecture(tensors, names)):
        config = {**config, "architectures": [architecture]}
    return Checkpoint(folder, "tensorflow", tuple(held), config, tensors, notes=notes)


def as_computed(config: Mapping[str, Any], names: ModelNames, folder: Path) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The config as the classes of transformers run it, and what a reader should know of that."""
    found, notes, classes = dict(config), [], f"TF{names.class_prefix}"
    for part, inner in names.parts.items():
        found[part], of_part = as_computed(config[part], inner, folder)
        notes += [f"the {part}: {note}" for note in of_part]
    if not config.get("tie_word_embeddings", True):
        found["tie_word_embeddings"] = True
        notes.append(_TIES.format(classes=classes))
    for key, value in naming_of("tensorflow", names, folder).fixed.items():
        if config.get(key, value) != value:
            found[key] = value
            notes.append(f"{classes} computes with {key} {value!r}, whatever {key} says: {config[key]!r:.40}")
    return found, tuple(notes)


def tensors_of(
    stored: Iterable[tuple[str, tuple[int, ...], np.dtype, Callable[[], np.ndarray]]],
    config: Mapping[str, Any],
    names: ModelNames,
    folder: Path,
) -> dict[str, StoredTensor]:
    """The tensors of a TensorFlow model from (stored name, shape, dtype, how to read it).

    A name is NAME in a shard and in safetensors, LAYER/MODEL/NAME in a whole .h5: Keras calls the model as its class or
    its maker does. Of a MODEL with "/" in it, shards and safetensors keep what comes after the first.
    """
    reading, _ = both_ways(_table(names, folder), layers_of(config, folder))
    stored = list(stored)
    known = [*_prefix_lengths(name for name, *_ in stored), 2]
    tensors = {}
    for name, shape, dtype, read in stored:
        own = _parts(name)
        meaning = next(
            (reading[rest] for length in (0, *known) if (rest := "/".join(own[length:])) in reading),
            None,
        )
        tensors[name] = stored_tensor(name, meaning and _with_heads(meaning, len(shape)), shape, dtype, read)
    return tensors


def _table(names: ModelNames, folder: Path) -> Names:
    return table_of(names, naming_of("tensorflow", names, folder), RULE)


def has_names(names: Iterable[str]) -> bool:
    """Whether these are a TensorFlow model's."""
    return bool(_prefix_lengths(names))


def _prefix_lengths(names: Iterable[str]) -> list[int]:
    """How many parts come before NAME, as the word embeddings have it; none where there are none."""
    own = (f"/{'/'.join(_parts(name))}" for name in names)
    return sorted(
        {name.removesuffix(_WORDS).count("/") - 1 for name in own if name.endswith(_WORDS) and name != _WORDS}
    )


def _parts(name: str) -> list[str]:
    return name.removesuffix(":0").strip("/").split("/")


def _with_heads(meaning: tuple[str, str], axes: int) -> tuple[str, str]:
    """transformers 4.2 keeps the heads of an attention as an axis of their own."""
    name, layout = meaning
    if ".attention.self." in name and (layout, axes) in (("kernel", 3), ("same", 2)):
        return name, "to heads" if axes == 3 else "heads"
    if ".attention.output.dense." in name and (layout, axes) == ("kernel", 3):
        return name, "from heads"
    return meaning


def _architecture(stored: Iterable[str], names: ModelNames) -> str | None:
    """The class that Keras named the model after: tf_bert_for_masked_lm, or that with _1; None where it is another."""
    models = {re.sub(r"_\d+$", "", parts[1]) for parts in map(_parts, stored) if len(parts) > 2}
    known = [name for name in names.classes() if _keras_name(name) in models]
    return known[0] if len(known) == 1 else None


def write(folder: Path, config: Mapping[str, Any], tensors: Iterable[StoredTensor], names: ModelNames) -> list[str]:
    """Writes config.json and tf_model.h5, a tensor at a time.

    Raises:
        CheckpointError: a bfloat16 tensor, which TensorFlow's classes do not read, or a model that they do not compute.
    """
    tensors = list(tensors)
    naming = naming_of("tensorflow", names, folder)
    settings.refuse("tensorflow", settings.problems_of_all(config, "TF", names, naming, _FIXED, _ACTIVATIONS))
    if any(tensor.dtype == BFLOAT16 for tensor in tensors):
        raise CheckpointError("tf_model.h5 cannot hold bfloat16: cast it with dtype float32 or float16")
    table = _table(names, folder)
    _, writing = both_ways(table, layers_of(config, folder))
    values = to_stored(tensors, writing, config, "tensorflow")
    model = _keras_name((config.get("architectures") or names.classes())[0])
    base = names.prefix.replace(".", "/")
    order = dict.fromkeys(stored.partition("/")[0] for stored, _, _ in table)
    # The layer of a head that scores the vocabulary has the embeddings with it, all of them.
    heads = {f"{head_of_decoder(row.name)}.bias" for row in names.rows()}
    with_embeddings = {stored.partition("/")[0] for stored, name, _ in table if name in heads}
    with h5.new_file(folder / FILE) as file:
        groups = [layer for layer in order if any(name.startswith(f"{layer}/") for name in values)]
        file.attrs["layer_names"] = [group.encode() for group in groups]
        file.attrs["backend"], file.attrs["keras_version"] = b"tensorflow", b"2.0.0"
        file.create_group("top_level_model_weights").attrs["weight_names"] = np.empty(0, "S1")
        for layer in groups:
            own = [name for name in values if name.startswith(f"{layer}/")]
            if layer in with_embeddings:
                own += [name for name in values if name.startswith(f"{base}embeddings/")]
            group = file.create_group(layer)
            group.attrs["weight_names"] = [f"{model}/{name}:0".encode() for name in own]
            for name in own:
                array = values[name]()
                group.create_dataset(f"{model}/{name}:0", data=array)
                release(array)
    hub.write_config(folder, config)
    return []


def _keras_name(architecture: str) -> str:
    """What Keras calls a TFBertForMaskedLM: tf_bert_for_masked_lm."""
    words = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", f"TF{architecture}")
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", words).lower()
