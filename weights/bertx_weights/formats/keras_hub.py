"""A KerasHub preset of a BertBackbone or BertTextClassifier: config.json, model.weights.h5, task.weights.h5, assets.

KerasHub's encoder computes the tanh GELU, so the config of one says `gelu_new`, and a checkpoint with another is not
written. Its masked-LM head computes the exact GELU and a LayerNorm of epsilon 1e-5 on top, which no config of the hub
can say of one model: that head is neither read nor written.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ..checkpoint import Checkpoint, StoredTensor
from ..dtypes import BFLOAT16
from ..errors import CheckpointError
from ..files import atomic_path, exists, inside, read_json, write_atomically
from ..safetensors_store import release
from . import h5, hub
from .libraries import needs
from .names import both_ways, layers_of, stored_tensor, to_stored

FILE = "model.weights.h5"
TASK_FILE = "task.weights.h5"
TASK = "task.json"
TOKENIZER = "tokenizer.json"
METADATA = "metadata.json"
VOCABULARY = "assets/tokenizer/vocabulary.txt"
STORED = ((FILE, TASK_FILE),)
WRITTEN = (hub.CONFIG, hub.BERT_CONFIG, FILE, TASK_FILE, TASK, TOKENIZER, METADATA, VOCABULARY)

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
_FIXED = {"hidden_act": "gelu_new", "layer_norm_eps": 1e-12, "position_embedding_type": "absolute"}
_TANH = ("gelu_new", "gelu_pytorch_tanh", "gelu_fast")
_NO_MASKED_LM = "KerasHub's masked-LM head computes another GELU and epsilon than its encoder, which no config can say"


def files(folder: Path) -> list[Path]:
    """The files that hold the weights; none where the folder has none of this format."""
    return [inside(folder, name) for name in (FILE, TASK_FILE) if (folder / name).is_file()]


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
            if of_task and "/optimizer/" in place:
                skipped[name] = "state of the training"
            elif of_task and not classifies:
                skipped[name] = _NO_MASKED_LM if task.get("class_name") == "BertMaskedLM" else "of another task"
            else:
                tensors[name] = stored_tensor(name, reading.get(name), shape, dtype, h5.reader(path, place))
    return Checkpoint(folder, "keras-hub", tuple(held), config, tensors, skipped)


def _read_config(folder: Path, task: Mapping[str, Any]) -> dict[str, Any]:
    values = read_json(inside(folder, hub.CONFIG))
    own = values.get("config")
    if values.get("class_name") != "BertBackbone" or not isinstance(own, dict) or not _KEYS.keys() <= own.keys():
        raise CheckpointError(f"{folder / hub.CONFIG} is of {values.get('class_name')!r}, expected a BertBackbone")
    written = read_json(inside(folder, hub.BERT_CONFIG)) if (folder / hub.BERT_CONFIG).is_file() else {}
    config = {**written, **{hubs: own[key] for key, hubs in _KEYS.items()}, **_FIXED}
    config["attention_probs_dropout_prob"] = written.get("attention_probs_dropout_prob", own["dropout"])
    if "architectures" not in written:
        classifies = task.get("class_name") == "BertTextClassifier"
        config["architectures"] = ["BertForSequenceClassification" if classifies else "BertModel"]
        of_task = task.get("config")
        if classifies:
            if not isinstance(of_task, dict) or "num_classes" not in of_task:
                raise CheckpointError(f"{folder / TASK}: expected a config with num_classes")
            config["num_labels"] = of_task["num_classes"]
    return config


def write(folder: Path, config: Mapping[str, Any], tensors: Iterable[StoredTensor]) -> list[str]:
    """Writes the preset without its tokenizer, and bert_config.json with all that the hub's config has.

    Raises:
        CheckpointError: the model is none that KerasHub computes.
    """
    tensors = list(tensors)
    problems = [
        f"{key} is {config.get(key, default)!r}, KerasHub's BERT has {default!r}"
        for key, default in _FIXED.items()
        if config.get(key, default) != default and not (key == "hidden_act" and config.get(key) in _TANH)
    ]
    if config.get("is_decoder"):
        problems.append("is_decoder is true, and KerasHub's BERT sees every position")
    if "hidden_act" not in config:
        problems.append("hidden_act is the hub's default 'gelu', KerasHub's BERT has 'gelu_new'")
    names = {tensor.schema_name for tensor in tensors}
    if any(name.startswith("cls.predictions.") for name in names):
        problems.append(_NO_MASKED_LM)
    if "bert.pooler.dense.weight" not in names:
        problems.append("KerasHub's BertBackbone has a pooler, and this model has none")
    if any(tensor.dtype == BFLOAT16 for tensor in tensors):
        problems.append("an .h5 file cannot hold bfloat16: cast it with dtype float32 or float16")
    if problems:
        raise CheckpointError("\n  ".join(["this is no model of KerasHub:", *problems]))
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
    h5py = needs("h5py", "h5")
    with atomic_path(path) as temporary, h5py.File(temporary, "w") as file:
        for name, value_of in values.items():
            array = value_of()
            file.create_dataset(name, data=array)
            release(array)
