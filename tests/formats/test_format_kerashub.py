"""Presets as KerasHub itself writes them: halves, shards, Keras 2.13's names, its classifier and its text embedder."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import h5py
import keras_hub
import numpy as np
import pytest
from format_support import (
    FIXTURES,
    assert_bit_equal,
    copy_with_config,
    left_beside,
    open_checkpoint,
    original,
    read_tensors,
)

import bertx
from bertx import CheckpointError
from bertx_weights import dtype_name
from fixture_files import CASES

# Of Keras's own writer, on TensorFlow with NumPy 2.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning")
PRESETS = CASES / "10_kerashub"
IDS = np.array([[2, 5, 6, 7, 9, 3]])
KERAS = {"token_ids": IDS, "segment_ids": IDS * 0, "padding_mask": IDS > 0}
TEXTS = ["the cat sat", "the dog", "a very long text that is longer than the length of the embedder"]
SIZES = {
    "vocabulary_size": 41,
    "num_layers": 2,
    "num_heads": 3,
    "hidden_dim": 12,
    "intermediate_dim": 20,
    "max_sequence_length": 19,
    "num_segments": 3,
}


def backbone(dtype: str = "float32"):
    made = keras_hub.models.BertBackbone(**SIZES, dtype=dtype)
    generator = np.random.default_rng(0)
    made.set_weights([generator.normal(0, 0.2, array.shape) for array in made.get_weights()])
    return made


def states(folder: Path) -> np.ndarray:
    return bertx.load(folder, task="feature-extraction", backend="numpy").forward(input_ids=IDS)["last_hidden_state"]


# --- halves, shards, older names ------------------------------------------------------------------


def test_a_bfloat16_preset_of_the_cases(tmp_path):
    folder = PRESETS / "bfloat16"
    assert {dtype_name(t.dtype) for t in open_checkpoint(folder).tensors.values()} == {"bfloat16"}
    np.testing.assert_allclose(
        states(folder), json.loads((PRESETS / "expected_bfloat16.json").read_text()), rtol=0, atol=5e-2
    )
    # The values are exact: Keras computes in bfloat16, its weights in float32 give what NumPy gives.
    wide = keras_hub.models.BertBackbone.from_preset(str(folder), dtype="float32")
    np.testing.assert_allclose(states(folder), wide(KERAS)["sequence_output"].numpy(), rtol=0, atol=1e-5)
    assert bertx.convert(folder, tmp_path / "there", dtype=None).verified
    assert bertx.convert(tmp_path / "there", tmp_path / "back", "keras-hub").verified
    assert_bit_equal(read_tensors(tmp_path / "back"), read_tensors(folder))
    again = keras_hub.models.BertBackbone.from_preset(str(tmp_path / "back"), dtype="float32")
    for ours, theirs in zip(again.weights, wide.weights, strict=True):
        np.testing.assert_array_equal(ours.numpy(), theirs.numpy(), err_msg=ours.path)


@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16", "float16"])
def test_shards_as_keras_writes_them(tmp_path, dtype):
    model = backbone(dtype)
    model.save_to_preset(str(tmp_path / "whole"))
    model.save_to_preset(str(tmp_path / "shards"), max_shard_size=4e-6)
    assert len(list((tmp_path / "shards").glob("*.h5"))) > 1 and not (tmp_path / "shards" / "model.weights.h5").exists()
    assert_bit_equal(read_tensors(tmp_path / "shards"), read_tensors(tmp_path / "whole"))
    assert bertx.inspect(tmp_path / "shards").loads
    np.testing.assert_array_equal(states(tmp_path / "shards"), states(tmp_path / "whole"))


def test_shards_that_are_not_whole_are_named(tmp_path):
    folder = tmp_path / "copy"
    shutil.copytree(PRESETS / "sharded", folder)
    assert bertx.inspect(folder).loads
    (folder / "model_00001.weights.h5").rename(tmp_path / "away")
    with pytest.raises(CheckpointError, match=r"json names model_00001\.weights\.h5, which is not there"):
        bertx.load(folder, backend="numpy")
    shutil.copy(folder / "model_00002.weights.h5", folder / "model_00001.weights.h5")
    with pytest.raises(CheckpointError, match="is in another shard too"):
        bertx.load(folder, backend="numpy")
    with h5py.File(tmp_path / "away", "a") as file:
        group = "layers/transformer_encoder/_feedforward_layer_norm"
        del file[group]
    shutil.copy(tmp_path / "away", folder / "model_00001.weights.h5")
    with pytest.raises(CheckpointError, match=rf"groups that its shards do not hold: /{group}/vars"):
        bertx.load(folder, backend="numpy")


@pytest.mark.parametrize("name", ["../x.h5", "/etc/passwd", 5, None, [["x"]], "config.json"])
def test_an_index_that_names_no_shard_is_refused(tmp_path, name):
    shutil.copytree(PRESETS / "sharded", tmp_path / "copy")
    index = tmp_path / "copy" / "model.weights.json"
    values = json.loads(index.read_text())
    values["weight_map"]["/layers/embedding/vars"] = name
    index.write_text(json.dumps(values))
    with pytest.raises(CheckpointError, match=r"model\.weights\.json"):
        bertx.load(tmp_path / "copy", backend="numpy")


@pytest.mark.parametrize("head", ["BertModel", "BertForSequenceClassification"])
@pytest.mark.parametrize("attention", [False, True])
def test_names_of_keras_2_13(tmp_path, head, attention):
    """Keras 3 reads those of the layers too; Keras 2 has the attention's private attributes."""
    folder = tmp_path / "copy"
    shutil.copytree(FIXTURES / head / "keras_hub", folder)
    for path in folder.glob("*.weights.h5"):
        with h5py.File(path, "a") as file:
            file.move("layers", "_layer_checkpoint_dependencies")
            for part in ("query", "key", "value", "output"):
                for layer in ("transformer_encoder", "transformer_encoder_1"):
                    parent = f"_layer_checkpoint_dependencies/{layer}/_self_attention_layer"
                    if attention and parent in file:
                        file.move(f"{parent}/{part}_dense", f"{parent}/_{part}_dense")
    assert_bit_equal({k: v for k, v in read_tensors(folder).items() if k in original(head)}, original(head))
    if not attention and head == "BertModel":
        model = keras_hub.models.BertBackbone.from_preset(str(folder))
        np.testing.assert_allclose(model(KERAS)["sequence_output"].numpy(), states(folder), rtol=0, atol=5e-6)


@pytest.mark.filterwarnings("ignore:.*does not have a `quantize` method:UserWarning")
def test_a_quantized_preset_is_refused_by_name(tmp_path):
    model = backbone()
    model.quantize("int8")
    model.save_to_preset(str(tmp_path / "preset"))
    with pytest.raises(CheckpointError, match=r"a quantized preset.*before quantize\(\)"):
        bertx.load(tmp_path / "preset", backend="numpy")


# --- tasks ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("activation", "problem"),
    [(None, None), ("softmax", "single_label_classification"), ("sigmoid", "multi_label_classification")],
)
def test_a_classifiers_activation_is_read(tmp_path, activation, problem):
    made = keras_hub.models.BertTextClassifier(backbone(), num_classes=3, activation=activation)
    made.save_to_preset(str(tmp_path / "preset"))
    model = bertx.load(tmp_path / "preset", backend="numpy")
    assert model.config.problem_type == problem
    logits = model.forward(input_ids=IDS)["logits"]
    softmax, sigmoid = np.exp(logits) / np.exp(logits).sum(), 1 / (1 + np.exp(-logits))
    scores = {None: logits, "softmax": softmax, "sigmoid": sigmoid}[activation]
    np.testing.assert_allclose(made(KERAS).numpy(), scores, rtol=0, atol=1e-5)


def test_another_activation_is_refused(tmp_path):
    keras_hub.models.BertTextClassifier(backbone(), num_classes=3, activation="tanh").save_to_preset(str(tmp_path))
    with pytest.raises(CheckpointError, match=r"task\.json: activation is 'tanh'"):
        bertx.load(tmp_path, backend="numpy")


@pytest.fixture
def embedder(tmp_path):
    """(pooling, whether to normalise) → KerasHub's embedder and its preset."""

    def make(mode, normalize):
        vocabulary = FIXTURES / "BertModel" / "safetensors" / "vocab.txt"
        tokenizer = keras_hub.models.BertTokenizer(str(vocabulary), lowercase=True)
        preprocessor = keras_hub.models.BertTextEmbedderPreprocessor(tokenizer, sequence_length=8)
        made = keras_hub.models.BertTextEmbedder(
            backbone(), preprocessor=preprocessor, pooling_mode=mode, normalize=normalize
        )
        made.save_to_preset(str(tmp_path / "preset"))
        return made.predict(TEXTS, verbose=0), tmp_path / "preset"

    return make


@pytest.mark.parametrize(("mode", "normalize"), [("mean", True), ("cls", False), ("max", True), ("mean", False)])
def test_a_text_embedder_gives_keras_vectors(tmp_path, embedder, mode, normalize):
    """Loaded, saved, converted, and converted back for KerasHub itself; sentence-transformers reads what is saved."""
    expected, preset = embedder(mode, normalize)
    plain = bertx.load(preset, backend="numpy")(TEXTS, pooling="mean", normalize=False)
    assert (mode == "mean" and not normalize) or np.abs(plain - expected).max() > 1e-3  # the settings are seen

    def assert_same(folder):
        np.testing.assert_allclose(bertx.load(folder, backend="numpy")(TEXTS), expected, rtol=0, atol=1e-5)

    assert_same(preset)
    bertx.load(preset, backend="numpy").save(tmp_path / "saved")
    assert_same(tmp_path / "saved")
    assert bertx.convert(preset, tmp_path / "hub").verified
    assert_same(tmp_path / "hub")
    sentence_transformers = pytest.importorskip("sentence_transformers")
    for name in ("saved", "hub"):
        theirs = sentence_transformers.SentenceTransformer(str(tmp_path / name), device="cpu")
        assert theirs.max_seq_length == 8
        np.testing.assert_allclose(theirs.encode(TEXTS), expected, rtol=0, atol=1e-5)
    for source in ("preset", "hub"):
        bertx.convert(tmp_path / source, tmp_path / f"back-{source}", "keras-hub")
        assert_same(tmp_path / f"back-{source}")
        again = keras_hub.models.TextEmbedder.from_preset(str(tmp_path / f"back-{source}"))
        assert (again.pooling_mode, again.normalize, again.preprocessor.sequence_length) == (mode, normalize, 8)
        np.testing.assert_allclose(again.predict(TEXTS, verbose=0), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("file", "changes", "said"),
    [
        ("task.json", {"pooling_mode": "weighted"}, "pooling_mode is 'weighted'"),
        ("task.json", {"normalize": "yes"}, "normalize 'yes'"),
        ("task.json", {"pooling_mode": ["mean"]}, r"pooling_mode is \['mean'\]"),
        ("preprocessor.json", {"sequence_length": "x"}, "sequence_length is 'x'"),
    ],
)
def test_an_embedder_that_cannot_be_is_refused(embedder, file, changes, said):
    _, preset = embedder("mean", True)
    values = json.loads((preset / file).read_text())
    values["config"] |= changes
    (preset / file).write_text(json.dumps(values))
    with pytest.raises(CheckpointError, match=said):
        bertx.load(preset, backend="numpy")(TEXTS)


def test_poolings_that_are_joined_are_none_of_kerashub(tmp_path):
    folder = copy_with_config(FIXTURES / "BertModel" / "safetensors", tmp_path / "source", hidden_act="gelu_new")
    (folder / "1_Pooling").mkdir()
    pooling = {"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": True, "word_embedding_dimension": 12}
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling))
    types = [("", "Transformer"), ("1_Pooling", "Pooling")]
    modules = [{"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{kind}"}
               for i, (path, kind) in enumerate(types)]  # fmt: skip
    (folder / "modules.json").write_text(json.dumps(modules))
    with pytest.raises(CheckpointError, match="pools by cls and mean"):
        bertx.convert(folder, tmp_path / "target", "keras-hub")
    assert left_beside(tmp_path) == {"source"}
