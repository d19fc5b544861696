"""A KerasHub preset of a BertBackbone or BertTextClassifier: config.json, model.weights.h5, task.weights.h5, assets.

KerasHub's encoder computes the tanh GELU, so the config of one says `gelu_new`, and a checkpoint with another is not
written. Its masked-LM head computes the exact GELU and a LayerNorm of epsilon 1e-5 on top, which no config of the hub
can say of one model: that head is neither read nor written.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ..checkpoint import Checkpoint, StoredTensor
from ..errors import CheckpointError
from ..files import exists, inside, read_json, write_atomically
from ..safetensors_store import release
from . import h5, hub, settings
from .names import both_ways, layers_of, stored_tensor, to_stored

FILE = "model.weights.h5"
INDEX = "model.weights.json"
TASK_FILE = "task.weights.h5"
TASK = "task.json"
PREPROCESSOR = "preprocessor.json"
POOLINGS = ("mean", "cls", "max")
_EMBEDDER = "BertTextEmbedder"
TOKENIZER = "tokenizer.json"
METADATA = "metadata.json"
VOCABULARY = "assets/tokenizer/vocabulary.txt"
STORED = (FILE, TASK_FILE), (INDEX, f"model_{'[0-9]' * 5}.weights.h5", TASK_FILE)
WRITTEN = (hub.CONFIG, hub.BERT_CONFIG, FILE, TASK_FILE, TASK, PREPROCESSOR, TOKENIZER, METADATA, VOCABULARY)

_LAYER = "layers/transformer_encoder{_i}"
NAMES = (
    ("layers/reversible_embedding/vars/0", "bert.embeddings.word_embeddings.weight", "same"),
    ("layers/position_embedding/vars/0", "bert.embeddings.position_embeddings.weight", "same"),
    ("layers/embedding/vars/0", "bert.embeddings.token_type_embeddings.weight", "same"),
    ("layers/layer_normalization/vars/0", "bert.embeddings.LayerNorm.weight", "same"),
    ("layers/layer_normalization/vars/1", "bert.embeddings.LayerNorm.bias", "same"),
    (_LAYER + "/_self_attention_layer/query_dense/vars/0", "bert.encoder.layer.{i}.attention.self.query.weight", "to heads"),
    (_LAYER + "/_self_attention_layer/query_dense/vars/1", "bert.encoder.layer.{i}.attention.self.query.bias", "heads"),
    (_LAYER + "/_self_attention_layer/key_dense/vars/0", "bert.encoder.layer.{i}.attention.self.key.weight", "to heads"),
    (_LAYER + "/_self_attention_layer/key_dense/vars/1", "bert.encoder.layer.{i}.attention.self.key.bias", "heads"),
    (_LAYER + "/_self_attention_layer/value_dense/vars/0", "bert.encoder.layer.{i}.attention.self.value.weight", "to heads"),
    (_LAYER + "/_self_attention_layer/value_dense/vars/1", "bert.encoder.layer.{i}.attention.self.value.bias", "heads"),
    (_LAYER + "/_self_attention_layer/output_dense/vars/0", "bert.encoder.layer.{i}.attention.output.dense.weight", "from heads"),
    (_LAYER + "/_self_attention_layer/output_dense/vars/1", "bert.encoder.layer.{i}.attention.output.dense.bias", "same"),
    (_LAYER + "/_self_attention_layer_norm/vars/0", "bert.encoder.layer.{i}.attention.output.LayerNorm.weight", "same"),
    (_LAYER + "/_self_attention_layer_norm/vars/1", "bert.encoder.layer.{i}.attention.output.LayerNorm.bias", "same"),
    (_LAYER + "/_feedforward_intermediate_dense/vars/0", "bert.encoder.layer.{i}.intermediate.dense.weight", "kernel"),
    (_LAYER + "/_feedforward_intermediate_dense/vars/1", "bert.encoder.layer.{i}.intermediate.dense.bias", "same"),
    (_LAYER + "/_feedforward_output_dense/vars/0", "bert.encoder.layer.{i}.output.dense.weight", "kernel"),
    (_LAYER + "/_feedforward_output_dense/vars/1", "bert.encoder.layer.{i}.output.dense.bias", "same"),
    (_LAYER + "/_feedforward_layer_norm/vars/0", "bert.encoder.layer.{i}.output.LayerNorm.weight", "same"),
    (_LAYER + "/_feedforward_layer_norm/vars/1", "bert.encoder.layer.{i}.output.LayerNorm.bias", "same"),
    ("layers/dense/vars/0", "bert.pooler.dense.weight", "kernel"),
    ("layers/dense/vars/1", "bert.pooler.dense.bias", "same"),
    # A classifier's own, in task.weights.h5.
    ("task/layers/dense/vars/0", "classifier.weight", "kernel"),
    ("task/layers/dense/vars/1", "classifier.bias", "same"),
)  # fmt: skip

# KerasHub's key of a BertBackbone → the hub's.
_KEYS = {
    "vocabulary_size": "vocab_size",
    "num_layers": "num_hidden_layers",
    "num_heads": "num_attention_heads",
    "hidden_dim": "hidden_size",
    "intermediate_dim": "intermediate_size",
    "dropout": "hidden_dropout_prob",
    "max_sequence_length": "max_position_embeddings",
    "num_segments": "type_vocab_size",
}
_FIXED = settings.GOOGLES
_TANH = ("gelu_new", "gelu_pytorch_tanh", "gelu_fast")
_LAYERS_OF_2_13 = "_layer_checkpoint_dependencies/"
_QUANTIZED = ("QuantizedDTypePolicy", "QuantizedFloat8DTypePolicy", '"int8', '"int4', '"float8')
# The activation of a classifier → which problem it is for.
_ACTIVATIONS = {
    None: None,
    "linear": None,
    "softmax": "single_label_classification",
    "sigmoid": "multi_label_classification",
}
_NO_MASKED_LM = "KerasHub's masked-LM head computes another GELU and epsilon than its encoder, which no config can say"


def files(folder: Path) -> list[Path]:
    """The files that hold the weights; none where the folder has none of this format."""
    whole = [inside(folder, FILE)] if (folder / FILE).is_file() else []
    of_model = whole or (sorted(set(_shards(folder))) if (folder / INDEX).is_file() else [])
    return of_model + ([inside(folder, TASK_FILE)] if (folder / TASK_FILE).is_file() else [])


def read(folder: Path) -> Checkpoint:
    """The checkpoint; a tensor is read when it is asked for.

    Raises:
        CheckpointError: a file is missing or broken, or of another model than BERT.
        MissingExtraError: h5py is not installed.
    """
    held = files(folder)
    task = read_json(inside(folder, TASK)) if (folder / TASK).is_file() else {}
    config = _read_config(folder, task)
    reading, _ = both_ways(NAMES, layers_of(config, folder))
    classifies = task.get("class_name") == "BertTextClassifier"
    tensors, skipped = {}, {}
    for path in held:
        of_task = path.name == TASK_FILE
        for place, (shape, dtype) in h5.datasets(path).items():
            name = ("task/" if of_task else "") + place.strip("/")
            if name in tensors:
                raise CheckpointError(f"{path}: {name} is in another shard too")
            if of_task and "/optimizer/" in place:
                skipped[name] = "state of the training"
            elif of_task and not classifies:
                skipped[name] = _NO_MASKED_LM if task.get("class_name") == "BertMaskedLM" else "of another task"
            else:
                own = _renamed(name)
                tensors[name] = stored_tensor(name, reading.get(own), shape, dtype, h5.reader(path, place))
    if not (folder / FILE).is_file() and (folder / INDEX).is_file():
        _check_shards(folder, tensors)
    return Checkpoint(folder, "keras-hub", tuple(held), config, tensors, skipped)


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


def _read_config(folder: Path, task: Mapping[str, Any]) -> dict[str, Any]:
    values = read_json(inside(folder, hub.CONFIG))
    own = values.get("config")
    if values.get("class_name") != "BertBackbone" or not isinstance(own, dict) or not _KEYS.keys() <= own.keys():
        raise CheckpointError(f"{folder / hub.CONFIG} is of {values.get('class_name')!r}, expected a BertBackbone")
    if any(word in json.dumps(own.get("dtype")) for word in _QUANTIZED):
        raise CheckpointError(
            f"{folder / hub.CONFIG} is of a quantized preset, and bertx reads floating weights: "
            "save the preset as it was before quantize()"
        )
    written = read_json(inside(folder, hub.BERT_CONFIG)) if (folder / hub.BERT_CONFIG).is_file() else {}
    config = {**written, **{hubs: own[key] for key, hubs in _KEYS.items()}, **_FIXED, "hidden_act": _TANH[0]}
    config["attention_probs_dropout_prob"] = written.get("attention_probs_dropout_prob", own["dropout"])
    if "architectures" not in written:
        classifies = task.get("class_name") == "BertTextClassifier"
        config["architectures"] = ["BertForSequenceClassification" if classifies else "BertModel"]
        of_task = task.get("config")
        if classifies:
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


def write(folder: Path, config: Mapping[str, Any], tensors: Iterable[StoredTensor]) -> list[str]:
    """Writes the preset without its tokenizer, and bert_config.json with all that the hub's config has.

    Raises:
        CheckpointError: the model is none that KerasHub computes.
    """
    tensors = list(tensors)
    problems = settings.problems(config, "KerasHub's BERT", _FIXED, _TANH)
    if config.get("architectures") == ["BertForTokenClassification"]:
        problems.append("KerasHub's BERT classifies texts, not tokens")
    names = {tensor.schema_name for tensor in tensors}
    if any(name.startswith("cls.predictions.") for name in names):
        problems.append(_NO_MASKED_LM)
    if "bert.pooler.dense.weight" not in names:
        problems.append("KerasHub's BertBackbone has a pooler, and this model has none")
    settings.refuse("keras-hub", problems)
    _, writing = both_ways(NAMES, layers_of(config, folder))
    values = to_stored(tensors, writing, config, "keras-hub")
    of_task = {name.removeprefix("task/"): value for name, value in values.items() if name.startswith("task/")}
    _write_h5(folder / FILE, {name: value for name, value in values.items() if not name.startswith("task/")})
    backbone = _keras("models.bert.bert_backbone", "BertBackbone", name="bert_backbone", trainable=True)
    backbone["config"] |= {key: config[hubs] for key, hubs in _KEYS.items()}
    _write(folder, hub.CONFIG, backbone)
    _write(folder, METADATA, {"keras_version": "3.8.0", "keras_hub_version": "0.20.0"})
    if of_task:
        _write_h5(folder / TASK_FILE, of_task)
        classifier = _keras("models.bert.bert_text_classifier", "BertTextClassifier", name="bert_text_classifier")
        labels = next(tensor.shape[0] for tensor in tensors if tensor.schema_name == "classifier.bias")
        classifier["config"] |= {"backbone": backbone, "preprocessor": None, "num_classes": labels, "dropout": 0.1}
        _write(folder, TASK, classifier)
    hub.write_config(folder, config, hub.BERT_CONFIG)
    return []


def write_tokenizer(folder: Path, vocabulary: bytes, lowercase: bool, strip_accents: bool) -> None:
    """Writes the preset's tokenizer: its Keras config and the text of a vocab.txt."""
    own = {"config_file": TOKENIZER, "vocabulary": None, "sequence_length": None, "lowercase": lowercase}
    own |= {"strip_accents": strip_accents, "split": True, "suffix_indicator": "##", "oov_token": "[UNK]"}
    tokenizer = _keras("models.bert.bert_tokenizer", "BertTokenizer", name="bert_tokenizer", dtype="int32")
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
    """What a preset's BertTextEmbedder makes of the encoder's output; None where the folder is no such preset.

    Returns:
        pooling_mode, normalize, hidden_dim, and sequence_length, None where no preprocessor is saved.

    Raises:
        CheckpointError: the preset has another pooling than KerasHub has.
    """
    if not exists(folder, TASK):
        return None
    task = read_json(inside(folder, TASK))
    if task.get("class_name") != _EMBEDDER:
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
    length = sequence_length or backbone["config"]["max_sequence_length"]
    preprocessor = _keras(
        "models.bert.bert_text_embedder_preprocessor",
        f"{_EMBEDDER}Preprocessor",
        name="bert_text_embedder_preprocessor",
    )
    preprocessor["config"] |= {"tokenizer": tokenizer, "config_file": PREPROCESSOR}
    preprocessor["config"] |= {"sequence_length": length, "truncate": "round_robin"}
    task = _keras("models.bert.bert_text_embedder", _EMBEDDER, name="bert_text_embedder")
    del task["config"]["dtype"]
    task["config"] |= {"backbone": backbone, "preprocessor": preprocessor}
    task["config"] |= {"pooling_mode": pooling_mode, "normalize": normalize}
    _write(folder, PREPROCESSOR, preprocessor)
    _write(folder, TASK, task)


def _keras(module: str, class_name: str, dtype: str = "float32", **config: Any) -> dict[str, Any]:
    """An object as Keras writes it."""
    policy = {"module": "keras", "class_name": "DTypePolicy", "config": {"name": dtype}, "registered_name": None}
    return {
        "module": f"keras_hub.src.{module}",
        "class_name": class_name,
        "config": {**config, "dtype": policy},
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
