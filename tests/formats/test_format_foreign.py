"""Checkpoints under other names than those of the hub's PyTorch classes.

Other frameworks' safetensors, models of one's own, wrapped state dicts, bert_config.json, and the pointers of git-lfs.
"""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import h5py
import msgpack
import numpy as np
import pytest
import safetensors.numpy
import torch
from format_support import (
    FIXTURES,
    HEADS,
    VARIANTS,
    assert_bit_equal,
    assert_same_outputs,
    copy_with_config,
    open_checkpoint,
    original,
    outputs,
    read_tensors,
)

import bertx
from bertx import CheckpointError
from fixture_files import CASES

IDS = np.array([[2, 5, 6, 7, 9, 3]])  # those of the cases' expected outputs
HEAD = "BertForSequenceClassification"


def tensors_of(folder: Path) -> dict[str, np.ndarray]:
    """What is read of a folder, without a decoder that is the word embeddings once more."""
    return {k: v for k, v in read_tensors(folder).items() if not k.startswith("cls.predictions.decoder.")}


# --- safetensors of TFBert and FlaxBert -----------------------------------------------------------


def of_tensorflow(head: str) -> dict[str, np.ndarray]:
    """The variables of a TFBert under the names that its save_pretrained gives them in safetensors."""
    found = {}

    def visit(place, node):
        if isinstance(node, h5py.Dataset):
            found["/".join(place.split("/")[2:])] = node[()]

    with h5py.File(FIXTURES / head / "tensorflow" / "tf_model.h5") as file:
        file.visititems(visit)
    return found


def of_flax(head: str) -> dict[str, np.ndarray]:
    """The parameters of a FlaxBert under the names that its save_pretrained gives them in safetensors."""

    def array(code, data):
        shape, dtype, buffer = msgpack.unpackb(data)
        return np.frombuffer(buffer, dtype).reshape(shape)

    def flat(tree, prefix=""):
        for name, child in tree.items():
            yield from flat(child, f"{prefix}{name}.") if isinstance(child, dict) else ((prefix + name, child),)

    content = (FIXTURES / head / "flax" / "flax_model.msgpack").read_bytes()
    return dict(flat(msgpack.unpackb(content, ext_hook=array)))


NAMES = {"tf": of_tensorflow, "flax": of_flax}


@pytest.mark.parametrize(("form", "name"), [("tf", "safetensors_tensorflow"), ("flax", "safetensors_flax")])
def test_the_names_above_are_the_real_writers(form, name):
    real = safetensors.numpy.load_file(VARIANTS / name / "model.safetensors")
    ours = NAMES[form]("BertForMaskedLM")
    assert_bit_equal({key: ours[key] for key in real}, real)
    assert set(ours) - set(real) <= {"cls.predictions.decoder.kernel"}


@pytest.mark.parametrize("form", NAMES)
@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("said", [True, False], ids=["metadata", "no metadata"])
def test_safetensors_of_another_framework(tmp_path, form, head, said):
    folder = copy_with_config(FIXTURES / head / "safetensors", tmp_path / "copy")
    metadata = {"format": form} if said else None
    safetensors.numpy.save_file(NAMES[form](head), folder / "model.safetensors", metadata)
    assert_bit_equal(tensors_of(folder), original(head))
    model, reference = (bertx.load(f, backend="numpy") for f in (folder, FIXTURES / head / "safetensors"))
    assert model.architecture == head
    assert_same_outputs(outputs(model, head), outputs(reference, head))
    assert bertx.convert(folder, tmp_path / "target").verified
    assert_bit_equal(tensors_of(tmp_path / "target"), original(head))


@pytest.mark.parametrize("form", NAMES)
def test_shards_of_another_framework(tmp_path, form):
    folder = copy_with_config(FIXTURES / HEAD / "safetensors", tmp_path / "copy")
    (folder / "model.safetensors").unlink()
    arrays, weight_map = NAMES[form](HEAD), {}
    for i in range(3):
        file = f"model-{i + 1:05}-of-00003.safetensors"
        part = dict(list(arrays.items())[i::3])
        safetensors.numpy.save_file(part, folder / file, {"format": form})
        weight_map |= dict.fromkeys(part, file)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    assert_bit_equal(tensors_of(folder), original(HEAD))


def test_an_untied_decoder_of_tensorflow_is_tied_with_a_note(tmp_path):
    folder = copy_with_config(FIXTURES / "BertForMaskedLM" / "safetensors", tmp_path / "c", tie_word_embeddings=False)
    safetensors.numpy.save_file(of_tensorflow("BertForMaskedLM"), folder / "model.safetensors", {"format": "tf"})
    model = bertx.load(folder, backend="numpy")
    assert model.config.tie_word_embeddings and "always shares" in model.load_report.notes[0]


@pytest.mark.parametrize(
    ("folder", "expected", "task"),
    [
        ("15_tf_flax_safetensors/tf", "15_tf_flax_safetensors/expected_tf.json", None),
        ("11_tf_h5/subclass", "11_tf_h5/expected_subclass.json", "text-classification"),
        ("23_tf_h5_of_4_2/TFBertModel", "23_tf_h5_of_4_2/expected_TFBertModel.json", None),
    ],
)
@pytest.mark.parametrize("backend", ["numpy", "torch", "jax", "tensorflow"])
def test_a_case(folder, expected, task, backend):
    found = bertx.load(CASES / folder, task=task, backend=backend).forward(input_ids=IDS)
    first = found["logits"] if "logits" in found else found["last_hidden_state"]
    np.testing.assert_allclose(first, json.loads((CASES / expected).read_text()), rtol=0, atol=1e-6)


@pytest.mark.parametrize("kind", ["sharded", "slash", "slash_sharded", "slash_h5"])
def test_the_names_of_tensorflow_in_shards_and_of_a_model_with_a_slash(kind):
    folder = CASES / "25_tf_names" / kind
    logits = bertx.load(folder, backend="numpy").forward(input_ids=IDS)["logits"]
    expected = json.loads((CASES / "25_tf_names" / f"expected_{kind}.json").read_text())
    np.testing.assert_allclose(logits, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("suffix", ["", ":0"])
def test_an_index_may_leave_out_the_zero(tmp_path, suffix):
    folder = tmp_path / "copy"
    shutil.copytree(CASES / "25_tf_names" / "sharded", folder)
    path = folder / "model.safetensors.index.json"
    index = json.loads(path.read_text())
    index["weight_map"] = {name.removesuffix(":0") + suffix: file for name, file in index["weight_map"].items()}
    path.write_text(json.dumps(index))
    assert_bit_equal(read_tensors(folder), read_tensors(CASES / "25_tf_names" / "sharded"))


def test_a_tensor_that_no_shard_holds_is_named(tmp_path):
    folder = tmp_path / "copy"
    shutil.copytree(CASES / "25_tf_names" / "sharded", folder)
    path = folder / "model.safetensors.index.json"
    path.write_text(path.read_text().replace("LayerNorm/beta:0", "LayerNorm/alpha:0"))
    with pytest.raises(CheckpointError, match=r"shards do not hold: tf_bert_for_masked_lm/.*LayerNorm/alpha:0"):
        bertx.load(folder, backend="numpy")


# --- tf_model.h5 ----------------------------------------------------------------------------------


def rewritten(folder: Path, model: str | None = None, heads: int = 0) -> Path:
    """The folder, its tf_model.h5 as a model of another name, or with an axis of `heads` as transformers 4.2 has it."""
    path = folder / "tf_model.h5"
    with h5py.File(path) as file:
        attributes = {"/": dict(file.attrs)} | {layer: dict(file[layer].attrs) for layer in file}
        arrays = {}
        file.visititems(lambda p, node: arrays.update({p: node[()]}) if isinstance(node, h5py.Dataset) else None)
    with h5py.File(path, "w") as file:
        for place, array in arrays.items():
            layer, named, *own = place.split("/")
            if heads and re.search(r"attention/self/\w+/kernel", place):
                array = array.reshape(len(array), heads, -1)
            elif heads and re.search(r"attention/self/\w+/bias", place):
                array = array.reshape(heads, -1)
            elif heads and "attention/output/dense/kernel" in place:
                array = array.reshape(heads, -1, array.shape[-1])
            file["/".join([layer, model or named, *own])] = array
        for layer, values in attributes.items():
            file.require_group(layer).attrs.update(values)
    return folder


@pytest.mark.parametrize("head", HEADS)
def test_a_model_of_another_name(tmp_path, head):
    folder = copy_with_config(FIXTURES / head / "tensorflow", tmp_path / "copy")
    assert_bit_equal(tensors_of(rewritten(folder, model="my_model_3")), original(head))
    assert bertx.load(folder, backend="numpy").architecture == head


@pytest.mark.parametrize("head", HEADS)
def test_kernels_with_an_axis_of_heads(tmp_path, head):
    folder = copy_with_config(FIXTURES / head / "tensorflow", tmp_path / "copy")
    assert_bit_equal(tensors_of(rewritten(folder, heads=3)), original(head))
    model, reference = (bertx.load(f, backend="numpy") for f in (folder, FIXTURES / head / "safetensors"))
    assert_same_outputs(outputs(model, head), outputs(reference, head))


def test_kernels_with_other_axes_are_refused(tmp_path):
    folder = copy_with_config(FIXTURES / "BertModel" / "tensorflow", tmp_path / "copy")
    with h5py.File(folder / "tf_model.h5", "a") as file:
        kernel = "bert/tf_bert_model/bert/encoder/layer_._0/intermediate/dense/kernel:0"
        array = file[kernel][()]
        del file[kernel]
        file[kernel] = array.reshape(3, 4, -1)
    with pytest.raises(CheckpointError, match=r"intermediate/dense/kernel.*expected \[20, 12\], found \[3, 4, 20\]"):
        bertx.load(folder, backend="numpy")


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("suffix", ["", "_1"])
def test_the_models_name_tells_the_head_where_the_config_does_not(tmp_path, head, suffix):
    folder = copy_with_config(FIXTURES / head / "tensorflow", tmp_path / "copy", architectures=None)
    with h5py.File(folder / "tf_model.h5") as file:
        (name,) = {model for layer in file.values() for model in layer if len(layer)}
    rewritten(folder, model=f"{name}{suffix}")
    assert bertx.load(folder, backend="numpy").architecture == head
    if head in ("BertForTokenClassification", "BertForMultipleChoice"):
        rewritten(folder, model="another")
        with pytest.raises(CheckpointError, match="say which with task="):
            bertx.load(folder, backend="numpy")


def test_what_the_config_names_comes_before_the_models_name(tmp_path):
    folder = copy_with_config(FIXTURES / HEAD / "tensorflow", tmp_path / "c", architectures=["BertForMultipleChoice"])
    assert open_checkpoint(folder).config["architectures"] == ["BertForMultipleChoice"]


# --- wrapped state dicts --------------------------------------------------------------------------

PREFIXES = (
    "model.",  # of a LightningModule
    "module.",  # DataParallel
    "_orig_mod.",  # torch.compile
    "module._orig_mod.",
    "_orig_mod.module.model.",
    "model._orig_mod.",
    "model.model.",
)


def save(form: str, folder: Path, arrays: dict[str, np.ndarray], wrap=lambda state: state) -> Path:
    if form == "pytorch":
        torch.save(wrap({name: torch.tensor(array) for name, array in arrays.items()}), folder / "pytorch_model.bin")
    else:
        safetensors.numpy.save_file(arrays, folder / "model.safetensors", {"format": "pt"})
    return folder


@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize("form", ["pytorch", "safetensors"])
@pytest.mark.parametrize("head", [HEAD, "BertModel", "BertForPreTraining"])
def test_a_wrappers_prefix_is_left_out(tmp_path, prefix, form, head):
    folder = copy_with_config(FIXTURES / head / form, tmp_path / "copy")
    own = safetensors.numpy.load_file(FIXTURES / head / "safetensors" / "model.safetensors")
    save(form, folder, {prefix + name: array for name, array in own.items()})
    assert_bit_equal(tensors_of(folder), original(head))
    (note,) = bertx.load(folder, backend="numpy").load_report.notes
    assert f"{len(own)} names" in note and prefix in note
    report = bertx.convert(folder, tmp_path / "target")
    assert report.verified and report.notes == [note]
    assert {tensor.stored_name for tensor in report.tensors} == {prefix + name for name in own}


def test_wrapped_parts_are_unwrapped(tmp_path):
    """DataParallel around the encoder, torch.compile around each layer, and an FSDP unit."""
    folder = copy_with_config(FIXTURES / HEAD / "pytorch", tmp_path / "copy")
    arrays = {}
    for name, array in original(HEAD).items():
        name = name.replace("bert.", "bert.module.").replace("layer.0.", "layer.0._orig_mod.")
        arrays[name.replace("layer.1.", "layer.1._fsdp_wrapped_module.")] = array
    assert_bit_equal(tensors_of(save("pytorch", folder, arrays)), original(HEAD))


@pytest.mark.parametrize("stray", ["ema_decay", "loss.weight"])
def test_a_prefix_that_not_every_tensor_has_stays(tmp_path, stray):
    folder = copy_with_config(FIXTURES / HEAD / "pytorch", tmp_path / "copy")
    arrays = {f"model.{name}": array for name, array in original(HEAD).items()} | {stray: np.zeros(3, np.float32)}
    with pytest.raises(CheckpointError, match=r"unexpected: model\.bert"):
        bertx.load(save("pytorch", folder, arrays), backend="numpy")


def test_a_prefix_that_is_not_read_is_named_with_those_that_are(tmp_path):
    folder = copy_with_config(FIXTURES / HEAD / "safetensors", tmp_path / "copy")
    arrays = {f"student.net.{name}": array for name, array in original(HEAD).items()}
    with pytest.raises(CheckpointError, match=r"with student\.net\. before them: .*module\., _orig_mod\.") as error:
        bertx.load(save("safetensors", folder, arrays), backend="numpy")
    assert "task= names the head" not in str(error.value)


def test_two_models_in_one_file_conflict(tmp_path):
    folder = copy_with_config(FIXTURES / HEAD / "pytorch", tmp_path / "copy")
    arrays = original(HEAD) | {f"module.{name}": array + 1 for name, array in original(HEAD).items()}
    with pytest.raises(CheckpointError, match="both mean"):
        bertx.load(save("pytorch", folder, arrays), backend="numpy")


@pytest.mark.parametrize("key", ["model", "model_state_dict", "state_dict", "module"])
@pytest.mark.parametrize("prefix", ["", "model.", "module."])
def test_a_state_dict_beside_the_optimizers(tmp_path, key, prefix):
    folder = copy_with_config(FIXTURES / HEAD / "pytorch", tmp_path / "copy")
    optimizer = {"state": {0: {"step": torch.tensor(5.0)}}, "param_groups": [{"lr": 1e-3, "betas": (0.9, 0.999)}]}
    arrays = {prefix + name: array for name, array in original(HEAD).items()}
    save("pytorch", folder, arrays, lambda state: {key: state, "optimizer": optimizer, "epoch": 3, "loss": 0.5})
    assert_bit_equal(tensors_of(folder), original(HEAD))
    save("pytorch", folder, arrays, lambda state: {"state_dict": {key: state}})
    assert_bit_equal(tensors_of(folder), original(HEAD))


def test_of_several_state_dicts_none_is_guessed(tmp_path):
    folder = copy_with_config(FIXTURES / HEAD / "pytorch", tmp_path / "copy")
    save("pytorch", folder, original(HEAD), lambda state: {"model": state, "state_dict": state})
    with pytest.raises(CheckpointError, match="several state dicts: state_dict, model"):
        bertx.load(folder, backend="numpy")


# --- train states of Flax -------------------------------------------------------------------------


def train_state(path: Path, wrap) -> None:
    packed = path.read_bytes()
    state = wrap(msgpack.unpackb(packed, ext_hook=msgpack.ExtType, strict_map_key=False))
    path.write_bytes(msgpack.packb(state))


@pytest.mark.parametrize("head", [HEAD, "BertModel"])
def test_a_flax_train_state_is_read_as_its_parameters(tmp_path, head):
    folder = copy_with_config(FIXTURES / head / "flax", tmp_path / "copy")
    adam = lambda params: {"0": {"count": 3, "mu": params, "nu": params}, "1": {}, "2": None}  # noqa: E731
    train_state(
        folder / "flax_model.msgpack",
        lambda params: {"step": 3, "params": {"params": params}, "opt_state": adam(params)},
    )
    assert_bit_equal(tensors_of(folder), original(head))


def test_of_two_sets_of_parameters_in_a_train_state_none_is_guessed(tmp_path):
    folder = copy_with_config(FIXTURES / HEAD / "flax", tmp_path / "copy")
    train_state(folder / "flax_model.msgpack", lambda params: {"step": 3, "params": params, "ema_params": params})
    with pytest.raises(CheckpointError, match="params beside ema_params, which may be weights too: save the param"):
        bertx.load(folder, backend="numpy")


# --- a checkpoint below the folder ----------------------------------------------------------------


@pytest.mark.parametrize("place", ["adapter", "runs/final"])
@pytest.mark.parametrize("kind", ["adapter", "weights"])
def test_a_folder_that_is_no_checkpoint_names_the_one_below(tmp_path, place, kind):
    source = CASES / "12_peft" / "both" if kind == "adapter" else FIXTURES / HEAD / "flax"
    shutil.copytree(
        source, tmp_path / place, ignore=shutil.ignore_patterns(*(["model.*"] if kind == "adapter" else []))
    )
    with pytest.raises(CheckpointError, match=f"did you mean {re.escape(str(tmp_path / place))}\\?"):
        bertx.load(tmp_path, backend="numpy")


def test_the_root_of_a_package_names_the_checkpoint_in_it():
    with pytest.raises(CheckpointError, match=r"did you mean .*trained_models/AntiBERTy_md_smooth"):
        bertx.load("python:antiberty", backend="numpy")


# --- bert_config.json -----------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["safetensors", "pytorch", "tensorflow", "flax", "orbax"])
def test_bert_config_json_beside_any_weights(tmp_path, form):
    folder = copy_with_config(FIXTURES / "BertForMaskedLM" / form, tmp_path / "copy")
    (folder / "config.json").rename(folder / "bert_config.json")
    assert_bit_equal(tensors_of(folder), original("BertForMaskedLM"))
    assert bertx.load(folder, backend="numpy").architecture == "BertForMaskedLM"
    assert bertx.inspect(folder).loads
    (folder / "config.json").write_text("{}")  # which comes first
    with pytest.raises(CheckpointError):
        bertx.load(folder, backend="numpy")


def test_the_first_pytorch_checkpoints_load():
    """As pytorch_pretrained_bert's converter wrote them."""
    folder = CASES / "22_bert_config_json" / "folder"
    model = bertx.load(folder, backend="numpy")
    assert (model.architecture, model.config.hidden_size) == ("BertForPreTraining", 24)
    state = torch.load(folder / "pytorch_model.bin", weights_only=True)
    found = dict(model.tensors())
    np.testing.assert_array_equal(found["bert.pooler.dense.bias"], state["bert.pooler.dense.bias"])


# --- git-lfs --------------------------------------------------------------------------------------

POINTER = (CASES / "17_lfs_pointer" / "model.safetensors" / "model.safetensors").read_bytes()
WEIGHTS = {
    "safetensors": ("model.safetensors",),
    "pytorch": ("pytorch_model.bin",),
    "tensorflow": ("tf_model.h5",),
    "flax": ("flax_model.msgpack",),
    "keras_hub": ("model.weights.h5",),
    "tf1": ("bert_model.ckpt.index", "bert_model.ckpt.data-00000-of-00001"),
    "tf2": ("bert_model.ckpt-1.index", "bert_model.ckpt-1.data-00000-of-00001"),
    "orbax": ("params/_METADATA", "params/manifest.ocdbt"),
}


def assert_a_pointer_is_named(folder: Path, path: Path) -> None:
    for call in (
        bertx.inspect,
        lambda f: bertx.load(f, backend="numpy"),
        lambda f: bertx.convert(f, f.with_name("new")),
    ):
        with pytest.raises(CheckpointError) as error:
            call(folder)
        assert f"{path}: a git-lfs pointer" in str(error.value) and "git lfs pull" in str(error.value)
        assert "weights_only" not in str(error.value)
    assert not folder.with_name("new").exists()


@pytest.mark.parametrize(("form", "name"), [(form, name) for form, names in WEIGHTS.items() for name in names])
def test_a_pointer_is_named(tmp_path, form, name):
    folder = copy_with_config(FIXTURES / "BertModel" / form, tmp_path / "copy", file=(
        "bert_config.json" if form in ("tf1", "tf2") else "config.json"))  # fmt: skip
    (folder / name).write_bytes(POINTER)
    assert_a_pointer_is_named(folder, folder / name)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors.index.json", "model-00002-of-00003.safetensors"])
def test_a_pointer_among_shards_and_json_is_named(tmp_path, name):
    shutil.copytree(VARIANTS / "safetensors_sharded", tmp_path / "copy")
    assert (tmp_path / "copy" / name).is_file()
    (tmp_path / "copy" / name).write_bytes(POINTER)
    assert_a_pointer_is_named(tmp_path / "copy", tmp_path / "copy" / name)


def test_a_pointer_of_npz_is_named(tmp_path):
    bertx.convert(FIXTURES / "BertModel" / "safetensors", tmp_path / "npz", "npz")
    (tmp_path / "npz" / "model.npz").write_bytes(POINTER)
    assert_a_pointer_is_named(tmp_path / "npz", tmp_path / "npz" / "model.npz")


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin"])
def test_the_pointers_of_the_cases_are_named(tmp_path, name):
    shutil.copytree(CASES / "17_lfs_pointer" / name, tmp_path / "copy")
    assert_a_pointer_is_named(tmp_path / "copy", tmp_path / "copy" / name)


def test_pointers_of_formats_that_are_not_read_do_no_harm(tmp_path):
    """`git lfs pull --include model.safetensors` leaves the others."""
    folder = copy_with_config(FIXTURES / "BertModel" / "safetensors", tmp_path / "copy")
    (folder / "tf_model.h5").write_bytes(POINTER)
    assert bertx.inspect(folder).loads
