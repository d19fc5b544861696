"""A KerasHub preset of a backbone or a task over it: config.json, model.weights.h5, task.weights.h5, assets.

What a model's backbone computes is in its `KerasHubNaming`, such as BERT's tanh GELU, of which the config says
`gelu_new`: a checkpoint with another is not written.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..checkpoint import Checkpoint, StoredTensor
from ..containers import h5
from ..containers.safetensors import release
from ..dtypes import as_float
from ..errors import CheckpointError
from ..files import exists, inside, read_json, write_atomically
from ..naming.rules import KerasHubNaming, ModelNames, NamesOf, Rule, naming_of, table_of
from ..naming.tables import both_ways, layers_of, stored_tensor, to_stored
from ..schema import head_of_decoder
from . import hub, settings

FILE = "model.weights.h5"
INDEX = "model.weights.json"
TASK_FILE = "task.weights.h5"
TASK = "task.json"
PREPROCESSOR = "preprocessor.json"
POOLINGS = ("mean", "cls", "max")
_EMBEDDER = "TextEmbedder"
TOKENIZER = "tokenizer.json"
METADATA = "metadata.json"
VOCABULARY = "assets/tokenizer/vocabulary.txt"
STORED = (FILE, TASK_FILE), (INDEX, f"model_{'[0-9]' * 5}.weights.h5", TASK_FILE)
WRITTEN = (hub.CONFIG, hub.BERT_CONFIG, FILE, TASK_FILE, TASK, PREPROCESSOR, TOKENIZER, METADATA, VOCABULARY)

_LAYER = "layers/transformer_encoder{_i}"
_ATTENTION = f"{_LAYER}/_self_attention_layer"
RULE = Rule(
    leaves={
        "linear": ("vars/0", "kernel"),
        "embedding": ("vars/0", "same"),
        "norm": ("vars/0", "same"),
        "norm bias": ("vars/1", "same"),
        "bias": ("vars/1", "same"),
    },
    blocks={
        "embeddings.LayerNorm": "layers/layer_normalization",
        "encoder.layer.{i}.attention.self.query.weight": (f"{_ATTENTION}/query_dense/vars/0", "to heads"),
        "encoder.layer.{i}.attention.self.query.bias": (f"{_ATTENTION}/query_dense/vars/1", "heads"),
        "encoder.layer.{i}.attention.self.key.weight": (f"{_ATTENTION}/key_dense/vars/0", "to heads"),
        "encoder.layer.{i}.attention.self.key.bias": (f"{_ATTENTION}/key_dense/vars/1", "heads"),
        "encoder.layer.{i}.attention.self.value.weight": (f"{_ATTENTION}/value_dense/vars/0", "to heads"),
        "encoder.layer.{i}.attention.self.value.bias": (f"{_ATTENTION}/value_dense/vars/1", "heads"),
        "encoder.layer.{i}.attention.output.dense.weight": (f"{_ATTENTION}/output_dense/vars/0", "from heads"),
        "encoder.layer.{i}.attention.output.dense": f"{_ATTENTION}/output_dense",
        "encoder.layer.{i}.attention.output.LayerNorm": f"{_LAYER}/_self_attention_layer_norm",
        "encoder.layer.{i}.intermediate.dense": f"{_LAYER}/_feedforward_intermediate_dense",
        "encoder.layer.{i}.output.dense": f"{_LAYER}/_feedforward_output_dense",
        "encoder.layer.{i}.output.LayerNorm": f"{_LAYER}/_feedforward_layer_norm",
    },
    base=False,
    listed=True,
)

# KerasHub's key of a backbone → the hub's.
_KEYS = {
    "vocabulary_size": "vocab_size",
    "num_layers": "num_hidden_layers",
    "num_heads": "num_attention_heads",
    "hidden_dim": "hidden_size",
    "intermediate_dim": "intermediate_size",
    "dropout": "hidden_dropout_prob",
    "max_sequence_length": "max_position_embeddings",
}
# What KerasHub calls a task → how the hub calls its head.
_TASKS = {"TextClassifier": "ForSequenceClassification", "MaskedLM": "ForMaskedLM"}
_MOST = 2**31
_POSITIONS = "embeddings.position_embeddings.weight"
_UNUSED = "/padding/0"  # beside its vars, which Keras does not look at
_LAYERS_OF_2_13 = "_layer_checkpoint_dependencies/"
_QUANTIZED = ("QuantizedDTypePolicy", "QuantizedFloat8DTypePolicy", '"int8', '"int4', '"float8')
# The activation of a classifier → which problem it is for.
_ACTIVATIONS = {
    None: None,
    "linear": None,
    "softmax": "single_label_classification",
    "sigmoid": "multi_label_classification",
}


def files(folder: Path) -> list[Path]:
    """The files that hold the weights; none where the folder has none of this format."""
    whole = [inside(folder, FILE)] if (folder / FILE).is_file() else []
    of_model = whole or (sorted(set(_shards(folder))) if (folder / INDEX).is_file() else [])
    return of_model + ([inside(folder, TASK_FILE)] if (folder / TASK_FILE).is_file() else [])


def read(folder: Path, names_of: NamesOf) -> Checkpoint:
    """The checkpoint; a tensor is read when it is asked for.

    Raises:
        CheckpointError: a file is missing or broken, or of a model that bertx does not have.
        MissingExtraError: h5py is not installed.
    """
    held = files(folder)
    task = read_json(inside(folder, TASK)) if (folder / TASK).is_file() else {}
    values = read_json(inside(folder, hub.CONFIG))
    names = names_of(values)
    naming = _naming(names, folder)
    config = _read_config(folder, values, task, names, naming)
    reading, writing = both_ways(table_of(names, naming, RULE), layers_of(config, folder))
    served = _served(names, naming)
    tensors, skipped = {}, {}
    for path in held:
        of_task = path.name == TASK_FILE
        for place, (shape, dtype) in h5.datasets(path).items():
            name = ("task/" if of_task else "") + place.strip("/")
            if name in tensors:
                raise CheckpointError(f"{path}: {name} is in another shard too")
            if of_task and "/optimizer/" in place:
                skipped[name] = "state of the training"
            elif of_task and _class_name(task) not in served:
                of_words = _class_name(task) == _class(names, "MaskedLM")
                skipped[name] = naming.without_masked_lm if of_words else "of another task"
            else:
                own = _renamed(name)
                tensors[name] = stored_tensor(name, reading.get(own), shape, dtype, h5.reader(path, place))
    if not (folder / FILE).is_file() and (folder / INDEX).is_file():
        _check_shards(folder, tensors)
    notes = _complete(folder, tensors, config, names, naming, writing)
    return Checkpoint(folder, "keras-hub", tuple(held), config, tensors, skipped, notes)


def _naming(names: ModelNames, folder: Path) -> KerasHubNaming:
    naming = naming_of("keras-hub", names, folder)
    assert isinstance(naming, KerasHubNaming)
    return naming


def _class(names: ModelNames, kind: str) -> str:
    """KerasHub's class: "BertBackbone"."""
    return f"{names.class_prefix}{kind}"


def _class_name(values: Mapping[str, Any]) -> str:
    """The class that a Keras config is of."""
    return str(values.get("class_name"))


def _served(names: ModelNames, naming: KerasHubNaming) -> dict[str, str]:
    """KerasHub's classes of the tasks that are read and written → how the hub's are called."""
    return {
        _class(names, kind): head for kind, head in _TASKS.items() if kind != "MaskedLM" or not naming.without_masked_lm
    }


def _complete(
    folder: Path,
    tensors: dict[str, StoredTensor],
    config: Mapping[str, Any],
    names: ModelNames,
    naming: KerasHubNaming,
    writing: Mapping[str, tuple[str, str]],
) -> tuple[str, ...]:
    """Adds what the hub's model has and the backbone lacks; gives what a reader should know of it."""
    notes = []
    words = next(
        (tensor for tensor in tensors.values() if tensor.schema_name.endswith(".word_embeddings.weight")), None
    )
    if words is not None:
        for own in naming.absent:
            shape = tuple(_counts(folder, config, "type_vocab_size", "hidden_size"))
            name = names.prefix + own
            zeros = functools.partial(np.zeros, shape, words.dtype)
            tensors[name] = StoredTensor(name, name, shape, words.dtype, zeros)
            notes.append(f"{_class(names, 'Backbone')} has no {own}: zeros")
    place = writing[names.prefix + _POSITIONS][0]
    if naming.unused_positions and place in tensors:
        rows, positions = config["pad_token_id"] + 1, tensors[place]
        padding = tensors.pop(place.removesuffix("/vars/0") + _UNUSED, None)

        def read() -> np.ndarray:
            values = positions.read()
            first = np.zeros((rows, values.shape[1]), values.dtype) if padding is None else padding.read()
            return np.concatenate([first, values])

        if len(positions.shape) == 2 and (padding is None or padding.shape == (rows, positions.shape[1])):
            shape = (positions.shape[0] + rows, positions.shape[1])
            tensors[place] = StoredTensor(place, positions.schema_name, shape, positions.dtype, read)
        if padding is None:
            notes.append(f"{_class(names, 'Backbone')} has no positions of padding: {rows} rows of zeros")
    return tuple(notes)


def _renamed(name: str) -> str:
    """A name of Keras 2.13 as Keras 3 has it."""
    name = name.replace(_LAYERS_OF_2_13, "layers/")
    return re.sub(r"(/_self_attention_layer)/_(query|key|value|output)_dense/", r"\1/\2_dense/", name)


def _shards(folder: Path) -> dict[Path, list[str]]:
    """Shard → the groups that the index says are in it; a group can lie in several."""
    path = inside(folder, INDEX)
    weight_map = read_json(path).get("weight_map")
    if not isinstance(weight_map, dict):
        raise CheckpointError(f"{path}: expected a weight_map from groups to files")
    found: dict[Path, list[str]] = {}
    for group, names in weight_map.items():
        for name in names if isinstance(names, list) else [names]:
            if not isinstance(name, str) or "/" in name or not name.endswith(".h5"):
                raise CheckpointError(f"{path}: a shard must be an .h5 file of the same folder, found {name!r:.80}")
            found.setdefault(inside(folder, name, path), []).append(group)
    return found


def _check_shards(folder: Path, tensors: Iterable[str]) -> None:
    held = {name.rpartition("/")[0] for name in tensors}
    lost = sorted(group for groups in _shards(folder).values() for group in groups if group.strip("/") not in held)
    if lost:
        raise CheckpointError(f"{folder / INDEX} names groups that its shards do not hold: {', '.join(lost)}")


def _read_config(
    folder: Path, values: Mapping[str, Any], task: Mapping[str, Any], names: ModelNames, naming: KerasHubNaming
) -> dict[str, Any]:
    own, keys = values.get("config"), {**_KEYS, **naming.keys}
    backbone = _class(names, "Backbone")
    if values.get("class_name") != backbone or not isinstance(own, dict) or not keys.keys() <= own.keys():
        raise CheckpointError(f"{folder / hub.CONFIG} is of {values.get('class_name')!r}, expected a {backbone}")
    if any(word in json.dumps(own.get("dtype")) for word in _QUANTIZED):
        raise CheckpointError(
            f"{folder / hub.CONFIG} is of a quantized preset, and bertx reads floating weights: "
            "save the preset as it was before quantize()"
        )
    written = read_json(inside(folder, hub.BERT_CONFIG)) if (folder / hub.BERT_CONFIG).is_file() else {}
    config = {
        "model_type": names.model_type,
        **naming.config,
        **written,
        **{hubs: own[key] for key, hubs in keys.items()},
    }
    config |= {**settings.ENCODER, **naming.fixed, "hidden_act": naming.activations[0]}
    if naming.unused_positions:
        config["max_position_embeddings"] = sum(_counts(folder, config, "max_position_embeddings", "pad_token_id")) + 1
    config["attention_probs_dropout_prob"] = written.get("attention_probs_dropout_prob", own["dropout"])
    if "architectures" not in written:
        head = _served(names, naming).get(_class_name(task))
        config["architectures"] = [f"{names.class_prefix}{head or 'Model'}"]
        if head == _TASKS["TextClassifier"]:
            of_task = task.get("config")
            if not isinstance(of_task, dict) or "num_classes" not in of_task:
                raise CheckpointError(f"{folder / TASK}: expected a config with num_classes")
            config["num_labels"] = of_task["num_classes"]
            activation = of_task.get("activation")
            if activation not in _ACTIVATIONS:
                raise CheckpointError(
                    f"{folder / TASK}: activation is {activation!r:.80}, bertx has {', '.join(map(str, _ACTIVATIONS))}"
                )
            config["problem_type"] = _ACTIVATIONS[activation]
    return config


def _counts(folder: Path, config: Mapping[str, Any], *keys: str) -> list[int]:
    """Settings that are numbers from 0 on."""
    found: list[Any] = [config.get(key) for key in keys]
    if not all(isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _MOST for value in found):
        listed = ", ".join(f"{key} {value!r:.40}" for key, value in zip(keys, found, strict=True))
        raise CheckpointError(f"{folder}: the config has {listed}, expected numbers from 0 to {_MOST}")
    return found


def write(folder: Path, config: Mapping[str, Any], tensors: Iterable[StoredTensor], names: ModelNames) -> list[str]:
    """Writes the preset without its tokenizer, and bert_config.json with all that the hub's config has.

    Raises:
        CheckpointError: the model is none that KerasHub computes.
    """
    tensors, naming = list(tensors), _naming(names, folder)
    classes = f"KerasHub's {names.name}"
    fixed = {**settings.ENCODER, **naming.fixed}
    problems = settings.problems(config, classes, fixed, naming.activations)
    if config.get("architectures") == [f"{names.class_prefix}ForTokenClassification"]:
        problems.append(f"{classes} classifies texts, not tokens")
    by_name = {tensor.schema_name: tensor for tensor in tensors}
    heads = tuple({f"{head}." for row in names.rows() if (head := head_of_decoder(row.name))})
    if naming.without_masked_lm and any(name.startswith(heads) for name in by_name):
        problems.append(naming.without_masked_lm)
    if naming.pooler and f"{names.prefix}pooler.dense.weight" not in by_name:
        problems.append(f"KerasHub's {_class(names, 'Backbone')} has a pooler, and this model has none")
    for name in [names.prefix + own for own in naming.absent]:
        if name in by_name and np.any(as_float(by_name[name].read(), "float32")):
            problems.append(f"KerasHub's {_class(names, 'Backbone')} has no {name}, which is not zero")
    settings.refuse("keras-hub", problems)
    _, writing = both_ways(table_of(names, naming, RULE), layers_of(config, folder))
    kept = [tensor for name, tensor in by_name.items() if name.removeprefix(names.prefix) not in naming.absent]
    for name in by_name.keys() - {tensor.schema_name for tensor in kept}:
        by_name[name].read()  # so that the caller knows its values, too
    values = to_stored(kept, writing, config, "keras-hub")
    length = config["max_position_embeddings"]
    if naming.unused_positions:
        rows = config["pad_token_id"] + 1
        length -= rows
        place = writing[names.prefix + _POSITIONS][0]
        if place in values:
            positions = values[place]
            values[place] = lambda: positions()[rows:]
            values[place.removesuffix("/vars/0") + _UNUSED] = lambda: positions()[:rows]
    of_task = {name.removeprefix("task/"): value for name, value in values.items() if name.startswith("task/")}
    _write_h5(folder / FILE, {name: value for name, value in values.items() if not name.startswith("task/")})
    backbone = _keras_class(names, "Backbone", trainable=True)
    backbone["config"] |= {key: config[hubs] for key, hubs in {**_KEYS, **naming.keys}.items()}
    backbone["config"]["max_sequence_length"] = length
    _write(folder, hub.CONFIG, backbone)
    _write(folder, METADATA, {"keras_version": "3.8.0", "keras_hub_version": "0.20.0"})
    if of_task:
        _write_h5(folder / TASK_FILE, of_task)
        kind = "MaskedLM" if any(name.startswith(heads) for name in by_name) else "TextClassifier"
        task = _keras_class(names, kind)
        task["config"] |= {"backbone": backbone, "preprocessor": None}
        if kind == "TextClassifier":
            labels = by_name[f"{naming.logits}.bias"].shape[0]
            task["config"] |= {"num_classes": labels, "dropout": 0.1}
        _write(folder, TASK, task)
    hub.write_config(folder, config, hub.BERT_CONFIG)
    return []


def write_tokenizer(folder: Path, vocabulary: bytes, lowercase: bool, strip_accents: bool) -> None:
    """Writes the preset's tokenizer: its Keras config and the text of a vocab.txt."""
    own = {"config_file": TOKENIZER, "vocabulary": None, "sequence_length": None, "lowercase": lowercase}
    own |= {"strip_accents": strip_accents, "split": True, "suffix_indicator": "##", "oov_token": "[UNK]"}
    tokenizer = _keras("models.bert.bert_tokenizer", "BertTokenizer", dtype="int32")
    tokenizer["config"] |= own
    _write(folder, TOKENIZER, tokenizer)
    (folder / VOCABULARY).parent.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / VOCABULARY, vocabulary)


def read_tokenizer(folder: Path) -> tuple[Path, dict[str, Any]] | None:
    """The vocabulary of a preset and the keys of the hub's tokenizer_config.json; None where it is no preset.

    Raises:
        CheckpointError: a file cannot be read, or is of another tokenizer than BERT's.
    """
    if not exists(folder, VOCABULARY) or not exists(folder, TOKENIZER):
        return None
    path = inside(folder, TOKENIZER)
    values = read_json(path)
    own = values.get("config")
    if values.get("class_name") != "BertTokenizer" or not isinstance(own, dict):
        raise CheckpointError(f"{path} is of {values.get('class_name')!r:.80}, expected KerasHub's BertTokenizer")
    fixed = {"split": True, "suffix_indicator": "##", "oov_token": "[UNK]"}
    problems = [
        f"{key} is {own[key]!r:.80}, expected {value!r}" for key, value in fixed.items() if own.get(key, value) != value
    ]
    keys = {"lowercase": "do_lower_case", "strip_accents": "strip_accents", "split_on_cjk": "tokenize_chinese_chars"}
    found = {key: own.get(key, key == "split_on_cjk") for key in keys}
    problems += [
        f"{key} is {value!r:.80}, expected true or false" for key, value in found.items() if not isinstance(value, bool)
    ]
    if problems:
        raise CheckpointError("\n  ".join(f"{path}: {problem}" for problem in problems))
    return inside(folder, VOCABULARY), {keys[key]: value for key, value in found.items()}


def read_embedder(folder: Path) -> dict[str, Any] | None:
    """What a preset's text embedder makes of the encoder's output; None where the folder is no such preset.

    Returns:
        pooling_mode, normalize, hidden_dim, and sequence_length, None where no preprocessor is saved.

    Raises:
        CheckpointError: the preset has another pooling than KerasHub has.
    """
    if not exists(folder, TASK):
        return None
    task = read_json(inside(folder, TASK))
    if not _class_name(task).endswith(_EMBEDDER):
        return None
    own = task.get("config")
    mode, normalize = (own.get("pooling_mode"), own.get("normalize")) if isinstance(own, dict) else (None, None)
    if mode not in POOLINGS or not isinstance(normalize, bool):
        raise CheckpointError(
            f"{folder / TASK}: pooling_mode is {mode!r:.40} and normalize {normalize!r:.40}, "
            f"expected one of {', '.join(POOLINGS)} and true or false"
        )
    length = None
    if exists(folder, PREPROCESSOR):
        preprocessor = read_json(inside(folder, PREPROCESSOR)).get("config")
        length = preprocessor.get("sequence_length") if isinstance(preprocessor, dict) else None
    if not (length is None or (isinstance(length, int) and not isinstance(length, bool) and length > 0)):
        raise CheckpointError(f"{folder / PREPROCESSOR}: sequence_length is {length!r:.40}, expected a number")
    backbone = read_json(inside(folder, hub.CONFIG)).get("config")
    hidden = backbone.get("hidden_dim") if isinstance(backbone, dict) else None
    return {"pooling_mode": mode, "normalize": normalize, "sequence_length": length, "hidden_dim": hidden}


def write_embedder(folder: Path, pooling_mode: str, normalize: bool, sequence_length: int | None) -> None:
    """Makes a BertTextEmbedder of a preset that `write` and `write_tokenizer` wrote."""
    backbone, tokenizer = (read_json(folder / name) for name in (hub.CONFIG, TOKENIZER))
    if backbone["class_name"] != "BertBackbone":
        raise CheckpointError(
            f"bertx writes no text embedder over a {backbone['class_name']}: convert to another format"
        )
    length = sequence_length or backbone["config"]["max_sequence_length"]
    preprocessor = _keras("models.bert.bert_text_embedder_preprocessor", f"Bert{_EMBEDDER}Preprocessor")
    preprocessor["config"] |= {"tokenizer": tokenizer, "config_file": PREPROCESSOR}
    preprocessor["config"] |= {"sequence_length": length, "truncate": "round_robin"}
    task = _keras("models.bert.bert_text_embedder", f"Bert{_EMBEDDER}")
    del task["config"]["dtype"]
    task["config"] |= {"backbone": backbone, "preprocessor": preprocessor}
    task["config"] |= {"pooling_mode": pooling_mode, "normalize": normalize}
    _write(folder, PREPROCESSOR, preprocessor)
    _write(folder, TASK, task)


def _keras_class(names: ModelNames, kind: str, **config: Any) -> dict[str, Any]:
    """An object of KerasHub's class of a model."""
    file = re.sub("([a-z])([A-Z])", r"\1_\2", kind.replace("LM", "Lm")).lower()
    return _keras(f"models.{names.module}.{names.module}_{file}", _class(names, kind), **config)


def _keras(module: str, class_name: str, dtype: str = "float32", **config: Any) -> dict[str, Any]:
    """An object as Keras writes it."""
    policy = {"module": "keras", "class_name": "DTypePolicy", "config": {"name": dtype}, "registered_name": None}
    return {
        "module": f"keras_hub.src.{module}",
        "class_name": class_name,
        "config": {"name": module.rpartition(".")[2], **config, "dtype": policy},
        "registered_name": f"keras_hub>{class_name}",
    }


def _write(folder: Path, name: str, values: Mapping[str, Any]) -> None:
    hub.write_config(folder, values, name)


def _write_h5(path: Path, values: Mapping[str, Any]) -> None:
    with h5.new_file(path) as file:
        for name, value_of in values.items():
            array = value_of()
            h5.write(file, name, array)
            release(array)
