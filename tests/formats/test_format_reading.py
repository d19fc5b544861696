"""Every checkpoint of the real writers loads to tensors bit-equal to the original, and gives equal outputs."""

from __future__ import annotations

import functools
import importlib
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
import safetensors.torch
import tensorflow as tf
import torch
from format_support import (
    FIXTURES,
    HEADS,
    POOLED,
    VARIANTS,
    WRITTEN,
    assert_bit_equal,
    assert_same_outputs,
    batch,
    bits,
    copy_with_config,
    open_checkpoint,
    original,
    outputs,
    read_tensors,
)

import bertx
from bertx import CheckpointError
from bertx.backend import get_backend
from bertx.checkpoints.load import load_model
from bertx_weights import FORMATS, dtype_name, format_of

IDS = [f"{head}-{name}" for head, name, _ in WRITTEN]
NEEDS_TASK = {"BertForSequenceClassification", "BertForTokenClassification", "BertForMultipleChoice"}
MASKED_LM_REASON = (
    "KerasHub's masked-LM head computes another GELU and epsilon than its encoder, which no config can say"
)
# What is no weight of the model, and how much of it: (head, folder) → reason → tensors.
SKIPPED = {
    ("BertForPreTraining", "tf1"): {"an optimizer's slot": 92, "a counter of the training": 1},
    ("BertForSequenceClassification", "tf1_estimator"): {"an optimizer's slot": 82, "a counter of the training": 1},
    ("BertModel", "tf2"): {"no array": 1, "a counter of the training": 1},
    ("BertModel", "tf2_encoder"): {"no array": 1},
    ("BertModel", "tf2_encoder_v2"): {"no array": 1},
    ("BertModel", "tf2_released"): {"no array": 1},
    ("BertForMaskedLM", "tf2"): {"no array": 1, "a counter of the training": 1},
    ("BertForPreTraining", "tf2"): {
        "an optimizer's slot": 96,
        "a counter of the training": 6,
        "the head has trained a pooler of its own": 2,
        "no array": 1,
    },
    ("BertForSequenceClassification", "tf2"): {"no array": 1},
    ("BertForTokenClassification", "tf2"): {"no array": 1},
    ("BertForQuestionAnswering", "tf2"): {"no array": 1},
    ("BertForSequenceClassification", "keras_hub"): {"state of the training": 2},
    ("BertModel", "orbax_nnx"): {"state of a random generator": 2},
    ("BertModel", "orbax_pure"): {"state of a random generator": 2},
    ("BertModel", "orbax_train_state"): {"state of the training": 41},
}


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    """(head, whether with KerasHub's GELU) → what the original says on NumPy."""

    @functools.cache
    def get(head, tanh=False):
        folder = FIXTURES / head / "safetensors"
        if tanh:
            folder = copy_with_config(folder, tmp_path_factory.mktemp("tanh") / "copy", hidden_act="gelu_new")
        return outputs(bertx.load(folder, backend="numpy"), head)

    return get


def test_every_checkpoint_there_is_is_read():
    there = {(head, path.name) for head in HEADS for path in (FIXTURES / head).iterdir()}
    of_their_own = {("BertForMaskedLM", "keras_hub"), ("BertModel", "keras_hub_float16")}  # tested below
    assert there - of_their_own == {(head, name) for head, name, _ in WRITTEN}
    assert {form for _, _, form in WRITTEN} == set(FORMATS) - {"npz"}  # written by bertx alone


# --- the heads ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("head", "name", "form"), WRITTEN, ids=IDS)
def test_the_tensors_are_bit_equal(head, name, form):
    model = bertx.load(FIXTURES / head / name, task=HEADS[head], backend="numpy")
    assert model.architecture == head
    found = {key if key.startswith(("bert.", "cls.", "class", "qa_")) else f"bert.{key}": value
             for key, value in model.tensors()}  # fmt: skip
    tied = {"cls.predictions.decoder.weight", "cls.predictions.decoder.bias"}
    assert_bit_equal({key: value for key, value in found.items() if key not in tied}, original(head))
    checkpoint = open_checkpoint(FIXTURES / head / name)
    by_name = {tensor.schema_name: tensor for tensor in checkpoint.tensors.values()}
    used = {by_name[key].name for key in original(head)}
    assert used <= set(checkpoint.tensors)
    for tensor in checkpoint.tensors.values():  # what is known without reading is what is read
        array = tensor.read()
        assert (array.shape, array.dtype) == (tuple(tensor.shape), tensor.dtype), tensor.name


@pytest.mark.parametrize(("head", "name", "form"), WRITTEN, ids=IDS)
def test_the_outputs_are_equal(expected, head, name, form):
    # The original release's config does not say that a model is a decoder; a user does.
    changes = {"is_decoder": True} if (head, form) == ("BertLMHeadModel", "tf1") else {}
    model = load_model(FIXTURES / head / name, HEADS[head], "numpy", changes=changes)
    assert_same_outputs(outputs(model, head), expected(head, tanh=form == "keras-hub"))


def test_the_two_gelus_are_told_apart(expected):
    """Else the comparison above would say nothing of hidden_act."""
    exact, tanh = expected("BertModel")["last_hidden_state"], expected("BertModel", tanh=True)["last_hidden_state"]
    assert 1e-6 < np.abs(exact - tanh).max() < 1e-2


@pytest.mark.parametrize(("head", "name", "form"), WRITTEN, ids=IDS)
def test_the_report_says_what_is_no_weight(head, name, form):
    report = bertx.load(FIXTURES / head / name, task=HEADS[head], backend="numpy").load_report
    assert report.problems == report.initialised == report.notes == []
    assert Counter(line.rpartition(": ")[2] for line in report.skipped) == SKIPPED.get((head, name), {})
    # TensorFlow writes the embeddings once more, beside the masked-LM head that shares them.
    repeats = form == "tensorflow" and any(key.startswith("cls.predictions.") for key in original(head))
    assert len(report.ignored) == (5 if repeats else 0)
    # The original release and Model Garden always make a pooler.
    pools = {"tf1": 2, "tf2": 2}.get(form, 0) if head not in POOLED else 0
    assert len(report.unused) == pools
    assert {stored.rpartition("/")[2] for stored in report.unused} <= {"kernel", "bias", "VARIABLE_VALUE"}


@pytest.mark.parametrize(("head", "name", "form"), WRITTEN, ids=IDS)
def test_inspect_reads_it(head, name, form):
    found = bertx.inspect(FIXTURES / head / name, task=HEADS[head])
    assert (found.format, found.architecture, found.loads) == (form, head, True)
    assert set(found.dtypes) <= {"float32"}
    assert found.files and all(
        (FIXTURES / head / name / path).stat().st_size == size for path, size in found.files.items()
    )
    assert f"format     {form}: " in str(found)
    expected_parameters = sum(array.size for array in original(head).values())
    stored = {tensor.schema_name: tensor.size for tensor in open_checkpoint(FIXTURES / head / name).tensors.values()}
    assert found.parameters >= expected_parameters
    assert sum(stored.values()) >= expected_parameters


@pytest.mark.parametrize(("head", "name", "form"), WRITTEN, ids=IDS)
def test_the_head_is_found_out_where_the_checkpoint_tells(head, name, form):
    folder = FIXTURES / head / name
    if form in ("tf1", "tf2") and head in NEEDS_TASK:
        with pytest.raises(ValueError, match="say which with task="):
            bertx.load(folder, backend="numpy")
        return
    # Nothing in the original release's files tells a masked-word model from a decoder.
    found = "BertForMaskedLM" if (head, form) == ("BertLMHeadModel", "tf1") else head
    assert bertx.load(folder, backend="numpy").architecture == found


@pytest.mark.parametrize("form", ["tf1", "tf2", "keras-hub"])
def test_labels_are_counted_where_no_config_says_them(form):
    folder = FIXTURES / "BertForSequenceClassification" / form.replace("-", "_")
    assert bertx.load(folder, task="text-classification", backend="numpy").config.num_labels == 5


def test_kerashubs_masked_lm_head_is_left_out_with_its_reason(tmp_path):
    folder = FIXTURES / "BertForMaskedLM" / "keras_hub"
    model = bertx.load(folder, backend="numpy")
    assert model.architecture == "BertModel"
    reasons = Counter(line.rpartition(": ")[2] for line in model.load_report.skipped)
    assert reasons == {MASKED_LM_REASON: 5, "state of the training": 2}
    found = read_tensors(folder)
    del found["bert.pooler.dense.weight"], found["bert.pooler.dense.bias"]
    encoder = {name: array for name, array in original("BertForMaskedLM").items() if name.startswith("bert.")}
    assert_bit_equal(found, encoder)
    copy = copy_with_config(FIXTURES / "BertForMaskedLM" / "safetensors", tmp_path / "copy", hidden_act="gelu_new")
    encoder_alone = bertx.load(copy, task="feature-extraction", backend="numpy")
    hidden = "last_hidden_state"
    assert_same_outputs(
        {hidden: outputs(model, "BertModel")[hidden]}, {hidden: outputs(encoder_alone, "BertModel")[hidden]}
    )
    with pytest.warns(UserWarning, match=r"has no cls\.predictions\..*initialised"):
        bertx.load(folder, task="fill-mask", backend="numpy")


@pytest.mark.parametrize("name", ["keras_hub", "keras_hub_float16"])
def test_the_config_of_a_preset_is_kerashubs(name):
    config = bertx.load(FIXTURES / "BertModel" / name, backend="numpy").config
    assert (config.hidden_act, config.layer_norm_eps) == ("gelu_new", 1e-12)
    ours = bertx.BertConfig.from_pretrained(FIXTURES / "BertModel" / "safetensors")
    for field in (
        "vocab_size", "num_hidden_layers", "num_attention_heads", "hidden_size", "intermediate_size",
        "max_position_embeddings", "type_vocab_size", "hidden_dropout_prob",
    ):  # fmt: skip
        assert getattr(config, field) == getattr(ours, field), field


def test_the_pooler_that_the_head_of_model_garden_has_trained_is_the_one(tmp_path):
    """In the fixture both are alike; here its own is another."""
    source = FIXTURES / "BertForPreTraining" / "tf2"
    reader = tf.train.load_checkpoint(str(source / "ckpt-7"))
    values = {name: reader.get_tensor(name) for name in sorted(reader.get_variable_to_shape_map())}
    kernel = "next_sentence..pooler_dense/kernel/.ATTRIBUTES/VARIABLE_VALUE"
    values[kernel] = values[kernel] + 1
    tensors = [tf.constant(value) for value in values.values()]
    tf.raw_ops.SaveV2(prefix=str(tmp_path / "ckpt-7"), tensor_names=list(values), shape_and_slices=[""] * len(values),
                      tensors=tensors)  # fmt: skip
    shutil.copy(source / "bert_config.json", tmp_path)
    model = bertx.load(tmp_path, backend="numpy")
    assert model.architecture == "BertForPreTraining"
    found = dict(model.tensors())["bert.pooler.dense.weight"]
    np.testing.assert_array_equal(found, original("BertForPreTraining")["bert.pooler.dense.weight"] + 1)


# --- native classes, other backends ---------------------------------------------------------------

NATIVE = {
    "torch": ("bertx_torch", ""),
    "jax": ("bertx_jax", "Flax"),
    "tensorflow": ("bertx_tensorflow", "TF"),
}
CLASSIFIER = "BertForSequenceClassification"


@pytest.mark.parametrize("name", ["pytorch", "tensorflow", "flax", "keras_hub", "tf1", "tf1_estimator", "tf2", "orbax"])
@pytest.mark.parametrize("backend", NATIVE)
def test_from_pretrained_takes_every_format(backend, name):
    package, prefix = NATIVE[backend]
    cls = getattr(importlib.import_module(package), prefix + CLASSIFIER)
    module = cls.from_pretrained(FIXTURES / CLASSIFIER / name)
    assert type(module) is cls
    assert_bit_equal(dict(get_backend(backend).tensors(module)), original(CLASSIFIER))


@pytest.mark.parametrize("name", ["pytorch", "tensorflow", "flax", "keras_hub", "tf1", "tf2", "orbax"])
def test_the_parameters_of_torch_are_as_any_others(name, tmp_path):
    """In rows, as safetensors wants them to be saved, and free to be trained."""
    module = bertx.load(FIXTURES / CLASSIFIER / name, task="text-classification", backend="torch").module
    parameters = module.state_dict()
    assert [key for key, value in parameters.items() if not value.is_contiguous()] == []
    safetensors.torch.save_file(parameters, tmp_path / "model.safetensors")
    optimizer = torch.optim.SGD(module.parameters(), lr=1.0)
    module(torch.tensor([[2, 7, 3]])).logits.sum().backward()
    optimizer.step()
    assert (module.classifier.bias.detach().numpy() == original(CLASSIFIER)["classifier.bias"] - 1).all()
    again = read_tensors(FIXTURES / CLASSIFIER / name)  # nothing that was trained lies under what is read
    assert_bit_equal({key: again[key] for key in original(CLASSIFIER)}, original(CLASSIFIER))


@pytest.mark.parametrize(
    ("backend", "head", "name"),
    [
        ("torch", "BertForPreTraining", "tensorflow"),
        ("torch", "BertForQuestionAnswering", "flax"),
        ("jax", "BertForTokenClassification", "tf1"),
        ("jax", "BertForMaskedLM", "pytorch"),
        ("tensorflow", "BertModel", "tf2_released"),
        ("tensorflow", "BertForMultipleChoice", "orbax"),
    ],
)
def test_outputs_on_a_framework(backend, head, name):
    found, wanted = (
        bertx.load(FIXTURES / head / folder, task=HEADS[head], backend=backend) for folder in (name, "safetensors")
    )
    assert (found.backend, found.architecture) == (backend, head)
    assert_same_outputs(outputs(found, head), outputs(wanted, head))


# --- the same, as it can also lie there -----------------------------------------------------------

# folder → format, stored dtype
AS_THEY_LIE = {
    "pytorch_legacy": ("pytorch", "float32"),
    "pytorch_sharded": ("pytorch", "float32"),
    "pytorch_bfloat16": ("pytorch", "bfloat16"),
    "pytorch_float16": ("pytorch", "float16"),
    "safetensors_sharded": ("safetensors", "float32"),
    "safetensors_bfloat16": ("safetensors", "bfloat16"),
    "safetensors_float16": ("safetensors", "float16"),
    "safetensors_flax": ("safetensors", "float32"),  # written by FlaxBert and TFBert, under their names
    "safetensors_tensorflow": ("safetensors", "float32"),
    "flax_sharded": ("flax", "float32"),
    "flax_chunked": ("flax", "float32"),
    "flax_bfloat16": ("flax", "bfloat16"),
    "tensorflow_sharded": ("tensorflow", "float32"),
    "tensorflow_second": ("tensorflow", "float32"),
    "tensorflow_float16": ("tensorflow", "float16"),
}


def test_every_variant_there_is_is_read():
    assert {path.name for path in VARIANTS.iterdir()} == {*AS_THEY_LIE, "untied"}


@pytest.mark.parametrize("name", AS_THEY_LIE)
def test_a_variant_is_read_in_its_own_dtype(name):
    form, dtype = AS_THEY_LIE[name]
    checkpoint = open_checkpoint(VARIANTS / name)
    assert checkpoint.format == form == format_of(VARIANTS / name)
    assert {dtype_name(tensor.dtype) for tensor in checkpoint.tensors.values()} == {dtype}
    found = read_tensors(VARIANTS / name)
    for key in ("cls.predictions.decoder.weight", "cls.predictions.decoder.bias"):
        found.pop(key, None)
    wanted = original("BertForMaskedLM")
    if dtype == "float32":
        assert_bit_equal(found, wanted)
        return
    assert set(found) == set(wanted)
    # TensorFlow's layers of float16 were cast, then written; all of them round to the nearest.
    rounded = np.float16 if dtype == "float16" else ml_dtypes.bfloat16
    for key, array in wanted.items():
        np.testing.assert_array_equal(bits(found[key]), bits(array.astype(rounded)), err_msg=key)


@pytest.mark.parametrize("name", AS_THEY_LIE)
def test_a_variant_gives_the_outputs_of_its_values(name, tmp_path):
    _, dtype = AS_THEY_LIE[name]
    source = FIXTURES / "BertForMaskedLM" / "safetensors" if dtype == "float32" else VARIANTS / f"safetensors_{dtype}"
    found, wanted = (bertx.load(folder, backend="numpy") for folder in (VARIANTS / name, source))
    assert found.load_report.problems == []
    assert_same_outputs(outputs(found, "BertForMaskedLM"), outputs(wanted, "BertForMaskedLM"))


def test_a_preset_of_halves_keeps_them():
    tensors = open_checkpoint(FIXTURES / "BertModel" / "keras_hub_float16").tensors.values()
    assert {dtype_name(tensor.dtype) for tensor in tensors} == {"float16"}
    wanted = original("BertModel")
    assert {tensor.schema_name for tensor in tensors} == set(wanted)
    for tensor in tensors:
        np.testing.assert_array_equal(tensor.read(), wanted[tensor.schema_name].astype(np.float16), tensor.name)


@pytest.mark.parametrize("name", ["safetensors", "pytorch", "flax"])
def test_an_untied_decoder_is_read(name):
    folder = VARIANTS / "untied" / name
    model = bertx.load(folder, backend="numpy")
    assert not model.config.tie_word_embeddings and model.load_report.notes == []
    wanted = original("BertForMaskedLM", VARIANTS / "untied" / "safetensors")
    assert "cls.predictions.decoder.weight" in wanted
    found = read_tensors(folder)
    found.pop("cls.predictions.decoder.bias", None)
    assert_bit_equal(found, wanted)
    reference = bertx.load(VARIANTS / "untied" / "safetensors", backend="numpy")
    assert_same_outputs(outputs(model, "BertForMaskedLM"), outputs(reference, "BertForMaskedLM"))


def test_tensorflow_ties_what_was_untied_and_says_so(tmp_path):
    folder = VARIANTS / "untied" / "tensorflow"
    model = bertx.load(folder, backend="numpy")
    note = "TFBert always shares the word embeddings with the decoder, whatever tie_word_embeddings says"
    assert model.load_report.notes == [note]
    assert model.config.tie_word_embeddings
    wanted = original("BertForMaskedLM", VARIANTS / "untied" / "safetensors")
    del wanted["cls.predictions.decoder.weight"]
    assert_bit_equal(read_tensors(folder), wanted)
    tied = copy_with_config(VARIANTS / "untied" / "safetensors", tmp_path / "copy", tie_word_embeddings=True)
    wanted["cls.predictions.decoder.weight"] = wanted["bert.embeddings.word_embeddings.weight"]
    bertx_weights = importlib.import_module("bertx_weights")
    bertx_weights.write_safetensors(tied, wanted)
    assert_same_outputs(
        outputs(model, "BertForMaskedLM"), outputs(bertx.load(tied, backend="numpy"), "BertForMaskedLM")
    )


# --- which format a folder has --------------------------------------------------------------------


def test_a_folder_of_several_formats_is_read_in_one_order(tmp_path):
    head = "BertModel"
    for name in ("tf1", "flax", "tensorflow", "pytorch", "safetensors"):  # each comes before those there already
        shutil.copytree(FIXTURES / head / name, tmp_path, dirs_exist_ok=True)
        assert format_of(tmp_path) == name
        assert_bit_equal(read_tensors(tmp_path), original(head) | {
            key: value for key, value in read_tensors(tmp_path).items() if key.startswith("cls.predictions.decoder")
        })  # fmt: skip


def test_of_several_steps_the_last_is_read(tmp_path):
    """As tf.estimator and a CheckpointManager leave them, 10 after 9."""
    steps = FIXTURES / "BertForSequenceClassification" / "tf1_estimator"
    for number, folder in (("9", FIXTURES / "BertModel" / "tf1"), ("10", steps)):
        prefix = "bert_model.ckpt" if number == "9" else "model.ckpt-7"
        for part in ("index", "data-00000-of-00001"):
            shutil.copy(folder / f"{prefix}.{part}", tmp_path / f"model.ckpt-{number}.{part}")
    shutil.copy(steps / "bert_config.json", tmp_path)
    checkpoint = open_checkpoint(tmp_path)
    assert {path.name for path in checkpoint.files} == {"model.ckpt-10.index", "model.ckpt-10.data-00000-of-00001"}
    assert "classifier.weight" in {tensor.schema_name for tensor in checkpoint.tensors.values()}

    manager = tmp_path / "manager"
    shutil.copytree(FIXTURES / "BertModel" / "orbax_manager", manager)
    shutil.copytree(manager / "steps" / "7", manager / "steps" / "10")
    shutil.copytree(FIXTURES / "BertForMaskedLM" / "orbax" / "params", manager / "steps" / "9" / "default")
    assert {path.relative_to(manager).parts[1] for path in open_checkpoint(manager).files} == {"10"}


@pytest.mark.parametrize("ocdbt", [True, False])
@pytest.mark.parametrize("zarr3", [True, False])
def test_every_layout_of_orbax_is_read(tmp_path, ocdbt, zarr3):
    ocp = pytest.importorskip("orbax.checkpoint")
    rng = np.random.default_rng(3)
    dtypes = [np.float32, np.float16, ml_dtypes.bfloat16]
    tree = {f"{dtype.__name__}.x": {"kernel": rng.standard_normal((5, 3)).astype(dtype)} for dtype in dtypes}
    with ocp.Checkpointer(ocp.PyTreeCheckpointHandler(use_ocdbt=ocdbt, use_zarr3=zarr3)) as checkpointer:
        checkpointer.save(tmp_path / "a folder" / "params", tree)
    (tmp_path / "a folder" / "config.json").write_text('{"num_hidden_layers": 1}')
    tensors = open_checkpoint(tmp_path / "a folder").tensors
    assert set(tensors) == {f"{name}/kernel" for name in tree}
    for name, expected in tree.items():
        assert bits(tensors[f"{name}/kernel"].read()).tobytes() == bits(expected["kernel"]).tobytes()


def test_two_orbax_checkpoints_are_not_guessed_between(tmp_path):
    folder = tmp_path / "two"
    shutil.copytree(FIXTURES / "BertModel" / "orbax", folder)
    shutil.copytree(folder / "params", folder / "others")
    with pytest.raises(CheckpointError, match="several Orbax checkpoints"):
        open_checkpoint(folder)


def test_a_folder_of_none_says_which_there_are(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(CheckpointError) as error:
        bertx.load(tmp_path, backend="numpy")
    assert all(f"({name})" in str(error.value) for name in FORMATS)
    assert "found config.json" in str(error.value)


# --- files that are broken ------------------------------------------------------------------------

WEIGHTS = {
    "safetensors": "model.safetensors",
    "pytorch": "pytorch_model.bin",
    "tensorflow": "tf_model.h5",
    "flax": "flax_model.msgpack",
    "keras_hub": "model.weights.h5",
    "tf1": "bert_model.ckpt.data-00000-of-00001",
    "tf2": "bert_model.ckpt-1.data-00000-of-00001",
}


@pytest.mark.parametrize("name", WEIGHTS)
def test_a_truncated_file_is_named(name, tmp_path):
    folder = tmp_path / "copy"
    shutil.copytree(FIXTURES / "BertModel" / name, folder)
    path = folder / WEIGHTS[name]
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(CheckpointError, match=str(folder)):
        bertx.load(folder, backend="numpy")


def test_a_truncated_npz_is_named(tmp_path):
    folder = tmp_path / "npz"
    bertx.convert(FIXTURES / "BertModel" / "safetensors", folder, "npz")
    path = folder / "model.npz"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(CheckpointError, match=str(path)):
        bertx.load(folder, backend="numpy")


@pytest.mark.parametrize("name", ["tensorflow", "flax", "tf1", "tf2", "orbax"])
@pytest.mark.parametrize("layers", [None, "2", -1])
def test_a_config_that_cannot_be_is_refused(name, layers, tmp_path):
    file = "bert_config.json" if name in ("tf1", "tf2") else "config.json"
    folder = copy_with_config(FIXTURES / "BertModel" / name, tmp_path / "copy", file, num_hidden_layers=layers)
    with pytest.raises(CheckpointError, match=r"num_hidden_layers|missing"):
        bertx.load(folder, backend="numpy")


@pytest.mark.parametrize("name", ["tensorflow", "flax"])
def test_a_config_of_a_thousand_million_layers_is_refused_at_once(name, tmp_path):
    """The table is made for so many layers: the number must be looked at before."""
    folder = copy_with_config(FIXTURES / "BertModel" / name, tmp_path / "copy", num_hidden_layers=10**9)
    script = (
        "import resource, sys, bertx\n"
        "resource.setrlimit(resource.RLIMIT_AS, (3 * 2**30,) * 2)\n"
        "try:\n    bertx.load(sys.argv[1], backend='numpy')\n"
        "except bertx.CheckpointError as error:\n    print(error)"
    )
    result = subprocess.run([sys.executable, "-c", script, str(folder)], capture_output=True, text=True, timeout=60)
    assert "num_hidden_layers is 1000000000" in result.stdout, result.stderr[-500:]


def test_the_batch_is_of_the_fixtures_sizes():
    config = bertx.BertConfig.from_pretrained(FIXTURES / "BertModel" / "safetensors")
    inputs = batch("BertModel")
    assert inputs["input_ids"].max() < config.vocab_size and inputs["token_type_ids"].max() < config.type_vocab_size


@pytest.mark.parametrize("name", ["orbax", "orbax_zarr", "orbax_manager"])
def test_orbax_is_read_by_a_relative_path(name, monkeypatch):
    monkeypatch.chdir(FIXTURES / "BertModel")
    assert_bit_equal(read_tensors(Path(name)), original("BertModel"))
    monkeypatch.chdir(FIXTURES / "BertModel" / name)
    assert bertx.load(".", backend="numpy").load_report.problems == []
    assert bertx.inspect("../" + name).loads
