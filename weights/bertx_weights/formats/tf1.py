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
from ..containers import bundle
from ..naming.rules import ModelNames, Names, NamesOf, Rule, naming_of, table_of
from ..naming.tables import both_ways, layers_of, stored_tensor, to_stored
from . import hub, settings

STORED, WRITTEN = bundle.STORED, (hub.BERT_CONFIG, *bundle.WRITTEN)

RULE = Rule(
    leaves={
        "linear": ("kernel", "kernel"),
        "embedding": ("", "same"),
        "norm": ("gamma", "same"),
        "norm bias": ("beta", "same"),
        "bias": ("bias", "same"),
    },
    # What multiplies the outputs in Google's heads is no layer: [out, in], as in the schema.
    blocks={
        "cls.predictions.bias": "cls/predictions/output_bias",
        "cls.seq_relationship.weight": ("cls/seq_relationship/output_weights", "same"),
        "cls.seq_relationship.bias": "cls/seq_relationship/output_bias",
        "classifier.weight": ("output_weights", "same"),
        "classifier.bias": "output_bias",
        "qa_outputs.weight": ("cls/squad/output_weights", "same"),
        "qa_outputs.bias": "cls/squad/output_bias",
    },
    layer="layer_{i}",
)

_ACTIVATIONS = ("gelu", "relu", "tanh")  # of modeling.py
_SLOTS = ("/adam_m", "/adam_v", "/AdamWeightDecayOptimizer", "/AdamWeightDecayOptimizer_1", "/Adam", "/Adam_1")
_COUNTERS = ("global_step", "beta1_power", "beta2_power", "loss_scale", "good_steps")


def files(folder: Path) -> list[Path]:
    """The files that hold the weights; none where the folder has none of this format."""
    prefix = _prefix(folder)
    return bundle.files(folder, prefix) if prefix else []


def _prefix(folder: Path) -> Any:
    if not any((folder / name).is_file() for name in (hub.BERT_CONFIG, hub.CONFIG)):
        return None
    found = [prefix for prefix in bundle.prefixes(folder) if not bundle.is_object_based(folder, prefix)]
    return found[-1] if found else None


def _table(names: ModelNames, folder: Path) -> Names:
    return table_of(names, naming_of("tf1", names, folder), RULE)


def read(folder: Path, names_of: NamesOf) -> Checkpoint:
    """The checkpoint, of several steps the last; what only training needs is skipped.

    Raises:
        CheckpointError: a file is missing or broken.
    """
    held = files(folder)
    config = hub.read_config(folder)
    names = names_of(config)
    variables = bundle.read(folder, _prefix(folder))
    skipped = bundle.skip_training(variables, lambda name: name.endswith(_SLOTS), _COUNTERS)
    reading, _ = both_ways(_table(names, folder), layers_of(config, folder))
    tensors = {}
    for name, variable in variables.items():
        if variable.dtype is None:
            skipped[name] = "no array"
        elif name not in skipped:
            tensors[name] = stored_tensor(name, reading.get(name), variable.shape, variable.dtype, variable.read)
    if "output_weights" in tensors and "id2label" not in config:
        config = {**config, "num_labels": math.prod(tensors["output_weights"].shape[:1])}
    return Checkpoint(folder, "tf1", tuple(held), config, tensors, skipped)


def write(folder: Path, config: Mapping[str, Any], tensors: Iterable[StoredTensor], names: ModelNames) -> list[str]:
    """Writes bert_config.json, with all that the hub's config has, and bert_model.ckpt.

    Raises:
        CheckpointError: the model is none that the original release computes.
    """
    settings.refuse("tf1", settings.problems(config, "the original release", settings.GOOGLES, _ACTIVATIONS))
    _, writing = both_ways(_table(names, folder), layers_of(config, folder))
    bundle.save(folder / bundle.PREFIX, to_stored(tensors, writing, config, "tf1"))
    hub.write_config(folder, config, hub.BERT_CONFIG)
    return []
