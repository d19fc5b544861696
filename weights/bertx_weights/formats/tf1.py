"""The original release: bert_model.ckpt of TensorFlow 1's Saver, bert_config.json and vocab.txt.

The names are those of google-research/bert: modeling.py, run_pretraining.py, run_classifier.py and run_squad.py.
Its bert_config.json says "gelu"; as on the hub that means the exact one.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ..checkpoint import Checkpoint, StoredTensor
from . import bundle, hub, settings
from .names import both_ways, layers_of, stored_tensor, to_stored

STORED, WRITTEN = bundle.STORED, bundle.WRITTEN

NAMES = (
    ("bert/embeddings/word_embeddings", "bert.embeddings.word_embeddings.weight", "same"),
    ("bert/embeddings/position_embeddings", "bert.embeddings.position_embeddings.weight", "same"),
    ("bert/embeddings/token_type_embeddings", "bert.embeddings.token_type_embeddings.weight", "same"),
    ("bert/embeddings/LayerNorm/gamma", "bert.embeddings.LayerNorm.weight", "same"),
    ("bert/embeddings/LayerNorm/beta", "bert.embeddings.LayerNorm.bias", "same"),
    ("bert/encoder/layer_{i}/attention/self/query/kernel", "bert.encoder.layer.{i}.attention.self.query.weight", "kernel"),
    ("bert/encoder/layer_{i}/attention/self/query/bias", "bert.encoder.layer.{i}.attention.self.query.bias", "same"),
    ("bert/encoder/layer_{i}/attention/self/key/kernel", "bert.encoder.layer.{i}.attention.self.key.weight", "kernel"),
    ("bert/encoder/layer_{i}/attention/self/key/bias", "bert.encoder.layer.{i}.attention.self.key.bias", "same"),
    ("bert/encoder/layer_{i}/attention/self/value/kernel", "bert.encoder.layer.{i}.attention.self.value.weight", "kernel"),
    ("bert/encoder/layer_{i}/attention/self/value/bias", "bert.encoder.layer.{i}.attention.self.value.bias", "same"),
    ("bert/encoder/layer_{i}/attention/output/dense/kernel", "bert.encoder.layer.{i}.attention.output.dense.weight", "kernel"),
    ("bert/encoder/layer_{i}/attention/output/dense/bias", "bert.encoder.layer.{i}.attention.output.dense.bias", "same"),
    ("bert/encoder/layer_{i}/attention/output/LayerNorm/gamma", "bert.encoder.layer.{i}.attention.output.LayerNorm.weight", "same"),
    ("bert/encoder/layer_{i}/attention/output/LayerNorm/beta", "bert.encoder.layer.{i}.attention.output.LayerNorm.bias", "same"),
    ("bert/encoder/layer_{i}/intermediate/dense/kernel", "bert.encoder.layer.{i}.intermediate.dense.weight", "kernel"),
    ("bert/encoder/layer_{i}/intermediate/dense/bias", "bert.encoder.layer.{i}.intermediate.dense.bias", "same"),
    ("bert/encoder/layer_{i}/output/dense/kernel", "bert.encoder.layer.{i}.output.dense.weight", "kernel"),
    ("bert/encoder/layer_{i}/output/dense/bias", "bert.encoder.layer.{i}.output.dense.bias", "same"),
    ("bert/encoder/layer_{i}/output/LayerNorm/gamma", "bert.encoder.layer.{i}.output.LayerNorm.weight", "same"),
    ("bert/encoder/layer_{i}/output/LayerNorm/beta", "bert.encoder.layer.{i}.output.LayerNorm.bias", "same"),
    ("bert/pooler/dense/kernel", "bert.pooler.dense.weight", "kernel"),
    ("bert/pooler/dense/bias", "bert.pooler.dense.bias", "same"),
    ("cls/predictions/transform/dense/kernel", "cls.predictions.transform.dense.weight", "kernel"),
    ("cls/predictions/transform/dense/bias", "cls.predictions.transform.dense.bias", "same"),
    ("cls/predictions/transform/LayerNorm/gamma", "cls.predictions.transform.LayerNorm.weight", "same"),
    ("cls/predictions/transform/LayerNorm/beta", "cls.predictions.transform.LayerNorm.bias", "same"),
    ("cls/predictions/output_bias", "cls.predictions.bias", "same"),
    ("cls/seq_relationship/output_weights", "cls.seq_relationship.weight", "same"),
    ("cls/seq_relationship/output_bias", "cls.seq_relationship.bias", "same"),
    ("output_weights", "classifier.weight", "same"),
    ("output_bias", "classifier.bias", "same"),
    ("cls/squad/output_weights", "qa_outputs.weight", "same"),
    ("cls/squad/output_bias", "qa_outputs.bias", "same"),
)  # fmt: skip

_ACTIVATIONS = ("gelu", "relu", "tanh")  # of modeling.py
_SLOTS = ("/adam_m", "/adam_v", "/AdamWeightDecayOptimizer", "/AdamWeightDecayOptimizer_1", "/Adam", "/Adam_1")
_COUNTERS = ("global_step", "beta1_power", "beta2_power", "loss_scale", "good_steps")


def files(folder: Path) -> list[Path]:
    """The files that hold the weights; none where the folder has none of this format."""
    prefix = _prefix(folder)
    return bundle.files(folder, prefix) if prefix else []


def _prefix(folder: Path) -> str | None:
    found = [prefix for prefix in bundle.prefixes(folder) if not bundle.is_object_based(folder, prefix)]
    return found[-1] if found else None


def read(folder: Path) -> Checkpoint:
    """The checkpoint, of several steps the last; what only training needs is skipped.

    Raises:
        CheckpointError: a file is missing or broken.
    """
    held = files(folder)
    config = hub.read_config(folder)
    variables = bundle.read(folder, _prefix(folder))
    skipped = bundle.skip_training(variables, lambda name: name.endswith(_SLOTS), _COUNTERS)
    reading, _ = both_ways(NAMES, layers_of(config, folder))
    tensors = {}
    for name, variable in variables.items():
        if variable.dtype is None:
            skipped[name] = "no array"
        elif name not in skipped:
            tensors[name] = stored_tensor(name, reading.get(name), variable.shape, variable.dtype, variable.read)
    if "output_weights" in tensors and "id2label" not in config:
        config = {**config, "num_labels": math.prod(tensors["output_weights"].shape[:1])}
    return Checkpoint(folder, "tf1", tuple(held), config, tensors, skipped)


def write(folder: Path, config: Mapping[str, Any], tensors: Iterable[StoredTensor]) -> list[str]:
    """Writes bert_config.json, with all that the hub's config has, and bert_model.ckpt.

    Raises:
        CheckpointError: the model is none that the original release computes.
    """
    settings.refuse("tf1", settings.problems(config, "the original release", settings.GOOGLES, _ACTIVATIONS))
    _, writing = both_ways(NAMES, layers_of(config, folder))
    bundle.save(folder / bundle.PREFIX, to_stored(tensors, writing, config, "tf1"))
    hub.write_config(folder, config, hub.BERT_CONFIG)
    return []
