"""The checkpoints that the real writers wrote, what they must be read to, and what each format can hold."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import safetensors.numpy

from bertx.registry import architectures, names_of, task_of_architecture
from bertx_weights import Checkpoint
from bertx_weights import open_checkpoint as open_with
from fixture_files import CHECKPOINTS as FIXTURES

VARIANTS = FIXTURES / "variants"
HEADS = {head: task_of_architecture(head) for head in architectures("bert")}
POOLED = (
    "BertModel",
    "BertForPreTraining",
    "BertForNextSentencePrediction",
    "BertForSequenceClassification",
    "BertForMultipleChoice",
)
# Every checkpoint of a head in its own folder, the original's among them: (head, folder, format).
WRITTEN = [
    (head, name, form)
    for head in HEADS
    for name, form in (
        ("safetensors", "safetensors"),
        ("pytorch", "pytorch"),
        ("tensorflow", "tensorflow"),
        ("flax", "flax"),
        ("tf1", "tf1"),
        ("orbax", "orbax"),
    )
]
WRITTEN += [
    ("BertModel", "tf2", "tf2"),
    ("BertModel", "tf2_encoder", "tf2"),
    ("BertModel", "tf2_encoder_v2", "tf2"),
    ("BertModel", "tf2_released", "tf2"),
    ("BertForMaskedLM", "tf2", "tf2"),
    ("BertForPreTraining", "tf2", "tf2"),
    ("BertForSequenceClassification", "tf2", "tf2"),
    ("BertForTokenClassification", "tf2", "tf2"),
    ("BertForQuestionAnswering", "tf2", "tf2"),
    ("BertForSequenceClassification", "tf1_estimator", "tf1"),
    ("BertModel", "keras_hub", "keras-hub"),
    ("BertForSequenceClassification", "keras_hub", "keras-hub"),
    ("BertModel", "orbax_nnx", "orbax"),
    ("BertModel", "orbax_pure", "orbax"),
    ("BertModel", "orbax_zarr", "orbax"),
    ("BertModel", "orbax_manager", "orbax"),
    ("BertModel", "orbax_train_state", "orbax"),
]


def original(head: str, folder: Path | None = None) -> dict[str, np.ndarray]:
    """The values of a head's safetensors by schema name, read with the library alone."""
    tensors = safetensors.numpy.load_file((folder or FIXTURES / head / "safetensors") / "model.safetensors")
    return {f"bert.{name}" if head == "BertModel" else name: tensor for name, tensor in tensors.items()}


def open_checkpoint(folder: Path) -> Checkpoint:
    """As bertx opens it, without its adapter."""
    return open_with(folder, names_of)


def read_tensors(folder: Path) -> dict[str, np.ndarray]:
    """What bertx reads of a folder, by schema name, without what is a buffer or stored twice."""
    checkpoint = open_checkpoint(folder)
    return {tensor.schema_name: tensor.read() for tensor in checkpoint.tensors.values()}


def assert_bit_equal(found: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
    """The same names, dtypes, shapes and bits."""
    assert set(found) == set(expected)
    for name, array in expected.items():
        assert found[name].dtype == array.dtype, name
        assert found[name].shape == array.shape, name
        assert found[name].tobytes() == array.tobytes(), name


def gelu_of(form: str) -> str:
    """The GELU that a format's readers have where they have one only."""
    return "gelu_new" if form == "keras-hub" else "gelu"


def sha256(array: np.ndarray) -> str:
    """Of the values in C order, as they lie in a safetensors file."""
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()


def copy_with_config(source: Path, target: Path, file: str = "config.json", **changes) -> Path:
    """A copy of a checkpoint folder with keys of its config changed; None takes a key out."""
    shutil.copytree(source, target)
    values = json.loads((target / file).read_text()) | changes
    (target / file).write_text(json.dumps({key: value for key, value in values.items() if value is not None}))
    return target


def batch(head: str) -> dict[str, np.ndarray]:
    """Ids and token types of the fixtures' sizes, one row padded."""
    generator = np.random.default_rng(3)
    shape = (2, 3, 7) if head == "BertForMultipleChoice" else (2, 7)
    mask = np.ones(shape, np.int64)
    mask[1, ..., -3:] = 0
    return {
        "input_ids": generator.integers(0, 41, shape),
        "attention_mask": mask,
        "token_type_ids": generator.integers(0, 3, shape),
    }


def outputs(model, head: str) -> dict[str, np.ndarray]:
    """All that a model says of the batch, hidden states and attentions too, each by a name of its own."""
    found = {}
    for name, value in model.forward(**batch(head), output_hidden_states=True, output_attentions=True).items():
        parts = {f"{name}.{i}": part for i, part in enumerate(value)} if isinstance(value, tuple) else {name: value}
        found |= parts
    return found


def assert_same_outputs(found: dict[str, np.ndarray], expected: dict[str, np.ndarray], atol: float = 0.0) -> None:
    """Equal, or within `atol`."""
    assert set(found) == set(expected)
    for name, value in expected.items():
        if atol:
            np.testing.assert_allclose(found[name], value, rtol=0, atol=atol, err_msg=name)
        else:
            np.testing.assert_array_equal(found[name], value, err_msg=name)


def bits(array: np.ndarray) -> np.ndarray:
    """The sixteen bits of a half-precision array, of bertx or ml_dtypes."""
    return array.view("<u2")


def left_beside(folder: Path) -> set[str]:
    """The names in a folder, hidden ones too."""
    return {path.name for path in folder.iterdir()}
