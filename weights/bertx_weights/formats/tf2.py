"""TensorFlow's Model Garden: an encoder's tf.train.Checkpoint, bert_config.json and vocab.txt.

Written is what `tf.train.Checkpoint(model=encoder)` restores to a `networks.BertEncoder`. Read are also an encoder
under the key `encoder`, the encoders of 2020 and of BertEncoderV2, and the heads of Model Garden's own trainings.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ..checkpoint import Checkpoint, StoredTensor
from ..containers import bundle
from ..containers.libraries import needs
from ..naming.rules import ModelNames, Names, NamesOf, Rule, naming_of, table_of
from ..naming.tables import both_ways, layers_of, stored_tensor, to_stored
from . import hub, settings

STORED, WRITTEN = bundle.STORED, (hub.BERT_CONFIG, *bundle.WRITTEN)
_VALUE = "/.ATTRIBUTES/VARIABLE_VALUE"
_ROOTS = ("model/", "encoder/")

_LAYER = "layer_with_weights-{i4}"
_ATTENTION = f"{_LAYER}/_attention_layer"
RULE = Rule(
    leaves={
        "linear": ("kernel", "kernel"),
        "embedding": ("embeddings", "same"),
        "norm": ("gamma", "same"),
        "norm bias": ("beta", "same"),
        "bias": ("bias", "same"),
    },
    blocks={
        "embeddings.word_embeddings": "layer_with_weights-0",
        "embeddings.position_embeddings": "layer_with_weights-1",
        "embeddings.token_type_embeddings": "layer_with_weights-2",
        "embeddings.LayerNorm": "layer_with_weights-3",
        "encoder.layer.{i}.attention.self.query.weight": (f"{_ATTENTION}/_query_dense/kernel", "to heads"),
        "encoder.layer.{i}.attention.self.query.bias": (f"{_ATTENTION}/_query_dense/bias", "heads"),
        "encoder.layer.{i}.attention.self.key.weight": (f"{_ATTENTION}/_key_dense/kernel", "to heads"),
        "encoder.layer.{i}.attention.self.key.bias": (f"{_ATTENTION}/_key_dense/bias", "heads"),
        "encoder.layer.{i}.attention.self.value.weight": (f"{_ATTENTION}/_value_dense/kernel", "to heads"),
        "encoder.layer.{i}.attention.self.value.bias": (f"{_ATTENTION}/_value_dense/bias", "heads"),
        "encoder.layer.{i}.attention.output.dense.weight": (f"{_ATTENTION}/_output_dense/kernel", "from heads"),
        "encoder.layer.{i}.attention.output.dense": f"{_ATTENTION}/_output_dense",
        "encoder.layer.{i}.attention.output.LayerNorm": f"{_LAYER}/_attention_layer_norm",
        "encoder.layer.{i}.intermediate.dense": f"{_LAYER}/_intermediate_dense",
        "encoder.layer.{i}.output.dense": f"{_LAYER}/_output_dense",
        "encoder.layer.{i}.output.LayerNorm": f"{_LAYER}/_output_layer_norm",
        "pooler.dense": "layer_with_weights-{end4}",
    },
    base=False,
    listed=True,
)

# Other names of the same, in part of the encoder of 2020 and of BertEncoderV2: its layers are numbered from 0.
_ALSO = (
    ("layer_with_weights-{n}/_attention_output_dense/", "layer_with_weights-{n}/_attention_layer/_output_dense/"),
    ("_transformer_layers/{i}/", "layer_with_weights-{n}/"),
    ("_embedding_layer/", "layer_with_weights-0/"),
    ("_position_embedding_layer/", "layer_with_weights-1/"),
    ("_type_embedding_layer/", "layer_with_weights-2/"),
    ("_embedding_norm_layer/", "layer_with_weights-3/"),
    ("_pooler_layer/", "layer_with_weights-{end4}/"),
)

# The heads of Model Garden's trainings, read only: a shared word embedding is stored under the masked LM alone.
_HEADS = (
    ("masked_lm/embedding_table", "bert.embeddings.word_embeddings.weight", "same"),
    ("masked_lm/dense/kernel", "cls.predictions.transform.dense.weight", "kernel"),
    ("masked_lm/dense/bias", "cls.predictions.transform.dense.bias", "same"),
    ("masked_lm/layer_norm/gamma", "cls.predictions.transform.LayerNorm.weight", "same"),
    ("masked_lm/layer_norm/beta", "cls.predictions.transform.LayerNorm.bias", "same"),
    ("masked_lm/output_bias.Sbias", "cls.predictions.bias", "same"),
    ("next_sentence..pooler_dense/kernel", "bert.pooler.dense.weight", "kernel"),
    ("next_sentence..pooler_dense/bias", "bert.pooler.dense.bias", "same"),
    ("model/classification_heads/0/out_proj/kernel", "cls.seq_relationship.weight", "kernel"),
    ("model/classification_heads/0/out_proj/bias", "cls.seq_relationship.bias", "same"),
    ("model/layer_with_weights-1/out_proj/kernel", "classifier.weight", "kernel"),
    ("model/layer_with_weights-1/out_proj/bias", "classifier.bias", "same"),
    ("model/layer_with_weights-1/kernel", "classifier.weight", "kernel"),
    ("model/layer_with_weights-1/bias", "classifier.bias", "same"),
    ("model/layer_with_weights-1/layer_with_weights-0/kernel", "qa_outputs.weight", "kernel"),
    ("model/layer_with_weights-1/layer_with_weights-0/bias", "qa_outputs.bias", "same"),
)  # fmt: skip
_ACTIVATIONS = ("gelu", "relu", "silu", "swish", "tanh")  # by which Keras finds them
_HEADS_POOLER = "next_sentence..pooler_dense/"


def files(folder: Path) -> list[Path]:
    """The files that hold the weights; none where the folder has none of this format."""
    prefix = _prefix(folder)
    return bundle.files(folder, prefix) if prefix else []


def _prefix(folder: Path) -> Any:
    if not any((folder / name).is_file() for name in (hub.BERT_CONFIG, hub.CONFIG)):
        return None
    found = [prefix for prefix in bundle.prefixes(folder) if bundle.is_object_based(folder, prefix)]
    return found[-1] if found else None


def _table(names: ModelNames, folder: Path) -> Names:
    return table_of(names, naming_of("tf2", names, folder), RULE)


def read(folder: Path, names_of: NamesOf) -> Checkpoint:
    """The checkpoint, of several the last; what only training needs is skipped.

    Raises:
        CheckpointError: a file is missing or broken.
    """
    held = files(folder)
    config = hub.read_config(folder)
    table = _table(names_of(config), folder)
    variables = bundle.read(folder, _prefix(folder))
    meanings = _meanings(table, layers_of(config, folder))
    skipped = bundle.skip_training(variables, lambda name: "/.OPTIMIZER_SLOT/" in name, ())
    head_pools = any(name.startswith(_HEADS_POOLER) for name in variables)
    tensors = {}
    for name, variable in variables.items():
        own = name.removesuffix(_VALUE)
        meaning = meanings.get(own)
        if name in skipped:
            continue
        if variable.dtype is None:
            skipped[name] = "no array"
        elif meaning is None and (not variable.shape or own.startswith(("optimizer/", "save_counter", "global_step"))):
            skipped[name] = "a counter of the training"
        elif head_pools and meaning and meaning[0].startswith("bert.pooler.") and not own.startswith(_HEADS_POOLER):
            skipped[name] = "the head has trained a pooler of its own"
        else:
            tensors[name] = stored_tensor(name, meaning, variable.shape, variable.dtype, variable.read)
    labels = [math.prod(tensor.shape[:1]) for tensor in tensors.values() if tensor.schema_name == "classifier.bias"]
    if labels and "id2label" not in config:
        config = {**config, "num_labels": labels[0]}
    return Checkpoint(folder, "tf2", tuple(held), config, tensors, skipped)


def _meanings(names: Names, layers: int) -> dict[str, tuple[str, str]]:
    """Every name that is read → (schema name, layout)."""
    reading, _ = both_ways(names, layers)
    for i in range(-1, layers):
        for other, canonical in _ALSO:
            other, canonical = (text.format(i=i, n=i + 4, end4=layers + 4) for text in (other, canonical))
            same = {name: meaning for name, meaning in reading.items() if name.startswith(canonical)}
            reading |= {other + name.removeprefix(canonical): meaning for name, meaning in same.items()}
    rooted = {root + name: meaning for root in _ROOTS for name, meaning in reading.items()}
    return rooted | {name: (meaning, layout) for name, meaning, layout in _HEADS}


def write(folder: Path, config: Mapping[str, Any], tensors: Iterable[StoredTensor], names: ModelNames) -> list[str]:
    """Writes bert_config.json, with all that the hub's config has, and the encoder.

    Raises:
        CheckpointError: the model is none that Model Garden computes.
    """
    settings.refuse("tf2", settings.problems(config, "Model Garden", settings.GOOGLES, _ACTIVATIONS))
    _, writing = both_ways(_table(names, folder), layers_of(config, folder))
    values = to_stored(tensors, writing, config, "tf2")
    stored = {f"model/{name}{_VALUE}": value_of for name, value_of in values.items()}
    bundle.save(folder / bundle.PREFIX, stored, _object_graph(values))
    hub.write_config(folder, config, hub.BERT_CONFIG)
    return []


def _object_graph(names: Iterable[str]) -> bytes:
    """What tf.train.Checkpoint notes of objects with variables of these names; it does not depend on their values."""
    tf = needs("tensorflow", "tensorflow")
    model = tf.Module()
    with tf.device("cpu"), tempfile.TemporaryDirectory() as folder:
        for name in names:
            *parents, leaf = name.split("/")
            node = model
            for parent in parents:
                if not hasattr(node, parent):
                    setattr(node, parent, tf.Module())
                node = getattr(node, parent)
            setattr(node, leaf, tf.Variable(0.0))
        prefix = tf.train.Checkpoint(model=model).write(f"{folder}/graph")
        return tf.train.load_checkpoint(prefix).get_tensor(bundle.OBJECT_GRAPH)
