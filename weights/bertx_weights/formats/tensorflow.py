"""The hub's tf_model.h5, whole or in shards, of every TFBert head."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..checkpoint import Checkpoint, StoredTensor
from ..dtypes import BFLOAT16
from ..errors import CheckpointError
from ..safetensors_store import release
from . import h5, hub, settings
from .names import both_ways, layers_of, stored_tensor, to_stored

FILE = "tf_model.h5"
INDEX = "tf_model.h5.index.json"
STORED, WRITTEN = hub.stored(FILE, INDEX), hub.written(FILE, INDEX)
_WORDS = "bert/embeddings/word_embeddings/weight"  # ends the name of a tensor that every TFBert has

NAMES = (
    ("bert/embeddings/word_embeddings/weight", "bert.embeddings.word_embeddings.weight", "same"),
    ("bert/embeddings/position_embeddings/embeddings", "bert.embeddings.position_embeddings.weight", "same"),
    ("bert/embeddings/token_type_embeddings/embeddings", "bert.embeddings.token_type_embeddings.weight", "same"),
    ("bert/embeddings/LayerNorm/gamma", "bert.embeddings.LayerNorm.weight", "same"),
    ("bert/embeddings/LayerNorm/beta", "bert.embeddings.LayerNorm.bias", "same"),
    ("bert/encoder/layer_._{i}/attention/self/query/kernel", "bert.encoder.layer.{i}.attention.self.query.weight", "kernel"),
    ("bert/encoder/layer_._{i}/attention/self/query/bias", "bert.encoder.layer.{i}.attention.self.query.bias", "same"),
    ("bert/encoder/layer_._{i}/attention/self/key/kernel", "bert.encoder.layer.{i}.attention.self.key.weight", "kernel"),
    ("bert/encoder/layer_._{i}/attention/self/key/bias", "bert.encoder.layer.{i}.attention.self.key.bias", "same"),
    ("bert/encoder/layer_._{i}/attention/self/value/kernel", "bert.encoder.layer.{i}.attention.self.value.weight", "kernel"),
    ("bert/encoder/layer_._{i}/attention/self/value/bias", "bert.encoder.layer.{i}.attention.self.value.bias", "same"),
    ("bert/encoder/layer_._{i}/attention/output/dense/kernel", "bert.encoder.layer.{i}.attention.output.dense.weight", "kernel"),
    ("bert/encoder/layer_._{i}/attention/output/dense/bias", "bert.encoder.layer.{i}.attention.output.dense.bias", "same"),
    ("bert/encoder/layer_._{i}/attention/output/LayerNorm/gamma", "bert.encoder.layer.{i}.attention.output.LayerNorm.weight", "same"),
    ("bert/encoder/layer_._{i}/attention/output/LayerNorm/beta", "bert.encoder.layer.{i}.attention.output.LayerNorm.bias", "same"),
    ("bert/encoder/layer_._{i}/intermediate/dense/kernel", "bert.encoder.layer.{i}.intermediate.dense.weight", "kernel"),
    ("bert/encoder/layer_._{i}/intermediate/dense/bias", "bert.encoder.layer.{i}.intermediate.dense.bias", "same"),
    ("bert/encoder/layer_._{i}/output/dense/kernel", "bert.encoder.layer.{i}.output.dense.weight", "kernel"),
    ("bert/encoder/layer_._{i}/output/dense/bias", "bert.encoder.layer.{i}.output.dense.bias", "same"),
    ("bert/encoder/layer_._{i}/output/LayerNorm/gamma", "bert.encoder.layer.{i}.output.LayerNorm.weight", "same"),
    ("bert/encoder/layer_._{i}/output/LayerNorm/beta", "bert.encoder.layer.{i}.output.LayerNorm.bias", "same"),
    ("bert/pooler/dense/kernel", "bert.pooler.dense.weight", "kernel"),
    ("bert/pooler/dense/bias", "bert.pooler.dense.bias", "same"),
    ("mlm___cls/predictions/transform/dense/kernel", "cls.predictions.transform.dense.weight", "kernel"),
    ("mlm___cls/predictions/transform/dense/bias", "cls.predictions.transform.dense.bias", "same"),
    ("mlm___cls/predictions/transform/LayerNorm/gamma", "cls.predictions.transform.LayerNorm.weight", "same"),
    ("mlm___cls/predictions/transform/LayerNorm/beta", "cls.predictions.transform.LayerNorm.bias", "same"),
    ("mlm___cls/predictions/bias", "cls.predictions.bias", "same"),
    ("nsp___cls/seq_relationship/kernel", "cls.seq_relationship.weight", "kernel"),
    ("nsp___cls/seq_relationship/bias", "cls.seq_relationship.bias", "same"),
    ("classifier/kernel", "classifier.weight", "kernel"),
    ("classifier/bias", "classifier.bias", "same"),
    ("qa_outputs/kernel", "qa_outputs.weight", "kernel"),
    ("qa_outputs/bias", "qa_outputs.bias", "same"),
)  # fmt: skip

_LAYERS = ("bert", "mlm___cls", "nsp___cls", "classifier", "qa_outputs")
_FIXED = {"position_embedding_type": "absolute"}
_ACTIVATIONS = ("gelu", "gelu_new", "gelu_fast", "quick_gelu", "relu", "silu", "swish", "tanh")
_TIES = "TFBert always shares the word embeddings with the decoder, whatever tie_word_embeddings says"


def files(folder: Path) -> list[Path]:
    """The files that hold the weights; none where the folder has none of this format."""
    return hub.files(folder, FILE, INDEX)


def read(folder: Path) -> Checkpoint:
    """The checkpoint; a tensor is read when it is asked for.

    Raises:
        CheckpointError: a file is missing or broken, or points out of itself.
        MissingExtraError: h5py is not installed.
    """
    config, notes = tied(hub.read_config(folder))
    held = files(folder)
    stored = [
        (place, shape, dtype, h5.reader(path, place))
        for path in held
        for place, (shape, dtype) in h5.datasets(path).items()
    ]
    tensors = tensors_of(stored, config, folder)
    if not config.get("architectures") and (architecture := _architecture(tensors)):
        config = {**config, "architectures": [architecture]}
    return Checkpoint(folder, "tensorflow", tuple(held), config, tensors, notes=notes)


def tied(config: Mapping[str, Any]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The config as TFBert runs it, and what a reader should know of that."""
    if config.get("tie_word_embeddings", True):
        return dict(config), ()
    return {**config, "tie_word_embeddings": True}, (_TIES,)


def tensors_of(
    stored: Iterable[tuple[str, tuple[int, ...], np.dtype, Callable[[], np.ndarray]]],
    config: Mapping[str, Any],
    folder: Path,
) -> dict[str, StoredTensor]:
    """The tensors of a TFBert from (stored name, shape, dtype, how to read it).

    A name is NAME in a shard and in safetensors, LAYER/MODEL/NAME in a whole .h5: Keras calls the model as its class or
    its maker does. Of a MODEL with "/" in it, shards and safetensors keep what comes after the first.
    """
    reading, _ = both_ways(NAMES, layers_of(config, folder))
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


def has_names(names: Iterable[str]) -> bool:
    """Whether these are a TFBert's."""
    return bool(_prefix_lengths(names))


def _prefix_lengths(names: Iterable[str]) -> list[int]:
    """How many parts come before NAME, as the word embeddings have it; none where there are none."""
    own = ("/".join(_parts(name)) for name in names)
    return sorted({name.removesuffix(_WORDS).count("/") for name in own if f"/{name}".endswith(f"/{_WORDS}")})


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


def _architecture(names: Iterable[str]) -> str | None:
    """The class that Keras named the model after: tf_bert_for_masked_lm, or that with _1; None where it is another."""
    models = {re.sub(r"_\d+$", "", parts[1]) for parts in map(_parts, names) if len(parts) > 2}
    known = [model for model in models if model.startswith("tf_bert_")]
    if len(known) != 1:
        return None
    return known[0].title().replace("_", "").replace("Lm", "LM").replace("Tf", "TF")


def write(folder: Path, config: Mapping[str, Any], tensors: Iterable[StoredTensor]) -> list[str]:
    """Writes config.json and tf_model.h5, a tensor at a time.

    Raises:
        CheckpointError: a bfloat16 tensor, which TFBert does not read, or a model that TFBert does not compute.
    """
    tensors = list(tensors)
    settings.refuse("tensorflow", settings.problems(config, "TFBert", _FIXED, _ACTIVATIONS))
    if any(tensor.dtype == BFLOAT16 for tensor in tensors):
        raise CheckpointError("tf_model.h5 cannot hold bfloat16: cast it with dtype float32 or float16")
    _, writing = both_ways(NAMES, layers_of(config, folder))
    values = to_stored(tensors, writing, config, "tensorflow")
    model = _model_name(config)
    with h5.new_file(folder / FILE) as file:
        groups = [layer for layer in _LAYERS if any(name.startswith(f"{layer}/") for name in values)]
        file.attrs["layer_names"] = [group.encode() for group in groups]
        file.attrs["backend"], file.attrs["keras_version"] = b"tensorflow", b"2.0.0"
        file.create_group("top_level_model_weights").attrs["weight_names"] = np.empty(0, "S1")
        for layer in groups:
            names = [name for name in values if name.startswith(f"{layer}/")]
            if layer == "mlm___cls":  # which has the embeddings of its decoder with it, all of them
                names += [name for name in values if name.startswith("bert/embeddings/")]
            group = file.create_group(layer)
            group.attrs["weight_names"] = [f"{model}/{name}:0".encode() for name in names]
            for name in names:
                array = values[name]()
                group.create_dataset(f"{model}/{name}:0", data=array)
                release(array)
    hub.write_config(folder, config)
    return []


def _model_name(config: Mapping[str, Any]) -> str:
    """What Keras calls a TFBertForMaskedLM: tf_bert_for_masked_lm."""
    architecture = (config.get("architectures") or ["BertModel"])[0]
    words = architecture.replace("LM", "Lm")
    return "tf" + "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in words)
