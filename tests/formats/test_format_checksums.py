"""TensorFlow's bundles carry a CRC-32C per tensor and per block of the index: a damaged file is refused, never read."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from format_support import FIXTURES, assert_bit_equal, original, read_tensors

import bertx
from bertx import CheckpointError

BUNDLES = {"tf1": FIXTURES / "BertModel" / "tf1", "tf2": FIXTURES / "BertModel" / "tf2_encoder"}
FLIPS = 60


def file_of(folder: Path, kind: str) -> Path:
    return next(path for path in sorted(folder.iterdir()) if f".{kind}" in path.name)


def write_bundle(prefix: Path, values: dict[str, np.ndarray]) -> None:
    """What TensorFlow's Saver writes."""
    names = sorted(values)
    tensors = [tf.constant(values[name]) for name in names]
    tf.raw_ops.SaveV2(prefix=str(prefix), tensor_names=names, shape_and_slices=[""] * len(names), tensors=tensors)


def tensorflow_reads(folder: Path) -> bool:
    """Whether TensorFlow reads every variable."""
    try:
        reader = tf.train.load_checkpoint(str(file_of(folder, "index").with_suffix("")))
        for name in reader.get_variable_to_shape_map():
            reader.get_tensor(name)
    except (tf.errors.OpError, RuntimeError, ValueError):
        return False
    return True


@pytest.mark.parametrize("form", BUNDLES)
@pytest.mark.parametrize("kind", ["data-", "index"])
def test_a_flipped_bit_is_refused_wherever_it_lies(tmp_path, form, kind):
    """In the data TensorFlow refuses each too; a damaged index can end its process, so that it is not asked."""
    shutil.copytree(BUNDLES[form], tmp_path / "copy")
    path = file_of(tmp_path / "copy", kind)
    whole = path.read_bytes()
    generator = random.Random(0)
    refused = 0
    for i in range(FLIPS):
        at, bit = generator.randrange(len(whole)), generator.randrange(8)
        path.write_bytes(whole[:at] + bytes([whole[at] ^ (1 << bit)]) + whole[at + 1 :])
        try:
            found = dict(bertx.load(tmp_path / "copy", backend="numpy").tensors())
        except CheckpointError as error:
            assert str(tmp_path / "copy") in str(error)
            refused += 1
        else:  # only what no reader looks at: the padding of the index's last 48 bytes, and its empty block
            assert kind == "index", (at, bit)
            assert_bit_equal({f"bert.{name}": array for name, array in found.items()}, original("BertModel"))
        if kind == "data-" and i < 10:
            assert not tensorflow_reads(tmp_path / "copy")
    assert refused == FLIPS if kind == "data-" else refused > FLIPS * 0.9


def test_the_damaged_variable_is_named(tmp_path):
    shutil.copytree(FIXTURES / "BertModel" / "tf1", tmp_path / "copy")
    path = file_of(tmp_path / "copy", "data-")
    data = bytearray(path.read_bytes())
    at = data.find(original("BertModel")["bert.embeddings.word_embeddings.weight"].tobytes())
    data[at + 100] ^= 4
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match=r"bert/embeddings/word_embeddings do not match their checksum.*fetch"):
        bertx.load(tmp_path / "copy", backend="numpy")
    with pytest.raises(CheckpointError, match="word_embeddings do not match their checksum"):
        bertx.convert(tmp_path / "copy", tmp_path / "target", verify=False)
    assert not (tmp_path / "target").exists()


def test_another_checkpoints_data_file_is_refused(tmp_path):
    """The files of two steps mixed up: of the same sizes, and each whole."""
    reader = tf.train.load_checkpoint(str(FIXTURES / "BertModel" / "tf1" / "bert_model.ckpt"))
    stored = {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}
    for name, add in (("a", 0), ("b", 1)):
        (tmp_path / name).mkdir()
        values = {key: array + add for key, array in original("BertModel").items()}
        write_bundle(tmp_path / name / "bert_model.ckpt", {key: array + add for key, array in stored.items()})
        shutil.copy(FIXTURES / "BertModel" / "tf1" / "bert_config.json", tmp_path / name)
        assert_bit_equal(read_tensors(tmp_path / name), values)
    data = "bert_model.ckpt.data-00000-of-00001"
    shutil.copy(tmp_path / "b" / data, tmp_path / "a" / data)
    with pytest.raises(CheckpointError, match="checksum"):
        bertx.load(tmp_path / "a", backend="numpy")


@pytest.mark.parametrize("first", [np.array(True), np.array([1, 2, 3], np.int8)], ids=["bool", "int8"])
def test_weights_that_are_not_aligned_are_read(tmp_path, first):
    """TensorFlow puts tensors one after the other, whatever their items: a scalar bool shifts all that follow."""
    source = FIXTURES / "BertModel" / "tf2"
    reader = tf.train.load_checkpoint(str(source / "bert_model.ckpt-1"))
    values = {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}
    values["_first/.ATTRIBUTES/VARIABLE_VALUE"] = first
    (folder := tmp_path / "source").mkdir()
    write_bundle(folder / "bert_model.ckpt-1", values)
    shutil.copy(source / "bert_config.json", folder)
    task = "feature-extraction"  # with which a stray variable is left out
    if first.ndim:
        with pytest.raises(CheckpointError, match="_first"):
            bertx.load(folder, backend="numpy")
    found = dict(bertx.load(folder, task=task, backend="numpy").tensors())
    assert_bit_equal({f"bert.{name}": value for name, value in found.items()}, original("BertModel"))
    for backend in ("torch", "jax", "tensorflow"):
        bertx.load(folder, task=task, backend=backend)
    assert bertx.convert(folder, tmp_path / "target", task=task).verified
