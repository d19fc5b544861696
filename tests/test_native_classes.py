"""The native classes: made from a config, read from a checkpoint, written as one, and of their framework."""

from __future__ import annotations

import copy
import importlib
import inspect
import io
import json
import pickle
import shutil
from pathlib import Path

import jax
import jax.numpy as jnp
import keras
import numpy as np
import pytest
import safetensors.numpy
import tensorflow as tf
import torch
import transformers
from flax import nnx

import bertx
import bertx.models
import bertx_jax
import bertx_numpy
import bertx_tensorflow
import bertx_torch
from bertx.backend import check_device, get_backend
from bertx.checkpoints.load import load_model
from bertx_weights import as_float, dtype_name
from fixture_files import CASES
from support import BACKENDS, HEADS, SIZES, batch, differences, peer, peer_forward, save_peer

open_safetensors_file = safetensors.numpy.load_file
PACKAGES = {"numpy": bertx_numpy, "torch": bertx_torch, "jax": bertx_jax, "tensorflow": bertx_tensorflow}
PREFIXES = {"numpy": "", "torch": "", "jax": "Flax", "tensorflow": "TF"}
KINDS = {"torch": torch.nn.Module, "jax": nnx.Module, "tensorflow": keras.Model}
CLASSIFIER = "BertForSequenceClassification"


def native(backend, head):
    name = "BertForCausalLM" if (backend, head) == ("jax", "BertLMHeadModel") else head
    return getattr(PACKAGES[backend], PREFIXES[backend] + name)


def config(**changes):
    return bertx.BertConfig(**(SIZES | {"num_hidden_layers": 2} | changes))


def tensors(module):
    return dict(get_backend(module.backend_name).tensors(module))


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """A masked-word model of transformers and its folder."""
    model = peer("BertForMaskedLM", num_hidden_layers=2)
    return model, save_peer(model, tmp_path_factory.mktemp("native"))


# --- from_pretrained, save_pretrained -------------------------------------------------------------


@pytest.mark.parametrize("backend", BACKENDS)
def test_from_pretrained_and_save_pretrained(checkpoint, tmp_path, backend):
    original, folder = checkpoint
    cls = native(backend, "BertForMaskedLM")
    module = cls.from_pretrained(folder)
    assert type(module) is cls
    assert module.config == bertx.BertConfig.from_pretrained(folder)
    inputs = batch("BertForMaskedLM", "right")
    outputs = get_backend(backend).forward(module, inputs, {"use_cache": False})
    assert max(differences(outputs, peer_forward(original, inputs)).values()) <= 5e-6
    module.save_pretrained(tmp_path)
    again, info = transformers.BertForMaskedLM.from_pretrained(tmp_path, output_loading_info=True)
    assert not any(info.values()), info
    for name, tensor in again.state_dict().items():
        np.testing.assert_array_equal(tensor.numpy(), original.state_dict()[name].float().numpy(), err_msg=name)


@pytest.mark.parametrize("backend", BACKENDS)
def test_from_pretrained_changes_the_config(checkpoint, tmp_path, backend):
    cls = native(backend, CLASSIFIER)
    with pytest.warns(UserWarning, match=r"has no .*classifier\.weight, classifier\.bias: initialised"):
        module = cls.from_pretrained(checkpoint[1], num_labels=7, hidden_dropout_prob=0.25)
    assert (module.config.num_labels, module.config.hidden_dropout_prob) == (7, 0.25)
    found = tensors(module)
    assert found["classifier.weight"].shape == (7, SIZES["hidden_size"])
    assert found["classifier.weight"].std() == pytest.approx(0.02, rel=0.2) and not found["classifier.bias"].any()
    module.save_pretrained(tmp_path)
    assert transformers.AutoConfig.from_pretrained(tmp_path).num_labels == 7
    again = cls.from_pretrained(tmp_path)
    assert again.config.num_labels == 7
    np.testing.assert_array_equal(tensors(again)["classifier.weight"], found["classifier.weight"])


@pytest.mark.parametrize("backend", BACKENDS)
def test_from_pretrained_refuses_a_head_of_another_size(tmp_path, backend):
    save_peer(peer(CLASSIFIER, num_hidden_layers=1), tmp_path)
    with pytest.raises(bertx.CheckpointError, match=r"classifier\.weight, expected \[2, 48\], found \[5, 48\]"):
        native(backend, CLASSIFIER).from_pretrained(tmp_path, num_labels=2)


@pytest.mark.parametrize("backend", ["torch", "jax", "tensorflow"])
def test_from_pretrained_takes_a_dtype(checkpoint, backend):
    module = native(backend, "BertForMaskedLM").from_pretrained(checkpoint[1], dtype="float16")
    assert {tensor.dtype for tensor in tensors(module).values()} == {np.dtype("float16")}


@pytest.mark.parametrize("backend", BACKENDS)
def test_fewer_layers_are_the_first(backend):
    """Case 16: transformers takes the first layers."""
    folder = CASES / "16_fewer_layers" / "folder"
    module, info = native(backend, "BertModel").from_pretrained(folder, num_hidden_layers=1, output_loading_info=True)
    ids = np.array([[1, 2, 3]])
    theirs = transformers.BertModel.from_pretrained(folder, num_hidden_layers=1).eval()
    with torch.no_grad():
        expected = theirs(torch.from_numpy(ids)).last_hidden_state.numpy()
    found = get_backend(backend).forward(module, {"input_ids": ids}, {"use_cache": False})["last_hidden_state"]
    assert np.abs(found - expected).max() < 5e-6
    assert info["unexpected_keys"] and all(".layer.1." in name for name in info["unexpected_keys"])
    assert module.config.num_hidden_layers == 1 and not info["missing_keys"]


def test_layers_left_out_are_told_and_other_mismatches_are_not_left_out(tmp_path):
    report = load_model(
        CASES / "16_fewer_layers" / "folder", None, "numpy", changes={"num_hidden_layers": 1}
    ).load_report
    assert report.notes == ["num_hidden_layers=1: the first of the 2 layers are loaded"]
    with pytest.raises(bertx.CheckpointError, match=r"missing: encoder\.layer\.2"):
        bertx_numpy.BertModel.from_pretrained(CASES / "16_fewer_layers" / "folder", num_hidden_layers=3)
    shutil.copytree(CASES / "16_fewer_layers" / "folder", tmp_path / "folder")
    values = json.loads((tmp_path / "folder" / "config.json").read_text()) | {"num_hidden_layers": 1}
    (tmp_path / "folder" / "config.json").write_text(json.dumps(values))  # says another number than the file has
    with pytest.raises(bertx.CheckpointError, match=r"unexpected: encoder\.layer\.1"):
        bertx.load(tmp_path / "folder", backend="numpy")


@pytest.mark.parametrize("backend", BACKENDS)
def test_from_pretrained_takes_a_config_and_a_state_dict(checkpoint, tmp_path, backend):
    cls = native(backend, "BertForMaskedLM")
    module = cls.from_pretrained(checkpoint[1])
    config = bertx.BertConfig.from_pretrained(checkpoint[1], output_hidden_states=True)
    for given in (config, transformers.BertConfig.from_pretrained(checkpoint[1], output_hidden_states=True)):
        assert cls.from_pretrained(checkpoint[1], config=given).config.output_hidden_states is True
    named = {name: array.copy() for name, array in tensors(module).items()}
    named["bert.pooler.dense.bias"] = np.zeros(SIZES["hidden_size"], np.float32)
    name = "cls.predictions.transform.dense.bias"
    named[name] = named[name] + 1
    state = {key: get_backend(backend).tensor(array) for key, array in named.items()}
    for source in (checkpoint[1], None):
        made, info = cls.from_pretrained(source, config=config, state_dict=state, output_loading_info=True)
        np.testing.assert_array_equal(tensors(made)[name], named[name])
        assert info["unexpected_keys"] == {"bert.pooler.dense.bias"} and not info["missing_keys"]
    with pytest.raises(ValueError, match="give both config= and state_dict="):
        cls.from_pretrained(None, config=config)
    assert config == bertx.BertConfig.from_pretrained(checkpoint[1], output_hidden_states=True)
    changed = cls.from_pretrained(checkpoint[1], config=config, hidden_dropout_prob=0.5)
    assert changed.config.hidden_dropout_prob == 0.5 and config.hidden_dropout_prob != 0.5


@pytest.mark.parametrize("backend", BACKENDS)
def test_from_pretrained_draws_what_has_another_size_if_it_may(tmp_path, backend):
    original = peer(CLASSIFIER, num_hidden_layers=1)
    save_peer(original, tmp_path)
    cls = native(backend, CLASSIFIER)
    with pytest.warns(UserWarning, match=r"of the shapes that the config says no classifier\.weight, classifier\.bias"):
        module, info = cls.from_pretrained(
            tmp_path, num_labels=2, ignore_mismatched_sizes=True, output_loading_info=True
        )
    assert info["mismatched_keys"] == {"classifier.weight", "classifier.bias"} and not info["missing_keys"]
    found = tensors(module)
    assert found["classifier.weight"].shape == (2, SIZES["hidden_size"]) and 0 < found["classifier.weight"].std() < 0.05
    name = "bert.pooler.dense.weight"
    np.testing.assert_array_equal(found[name], original.state_dict()[name].float().numpy())
    assert cls.from_pretrained(tmp_path, ignore_mismatched_sizes=True).config.num_labels == 5


@pytest.mark.parametrize("backend", ["torch", "jax", "tensorflow"])
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_the_dtype_auto_is_the_checkpoints(checkpoint, tmp_path, backend, dtype):
    cls = native(backend, "BertForMaskedLM")
    framework = {"torch": torch, "jax": jnp, "tensorflow": tf}[backend]
    module = cls.from_pretrained(checkpoint[1], dtype=getattr(framework, dtype))
    module.save_pretrained(tmp_path)
    before = {name: array.tobytes() for name, array in tensors(module).items()}
    for argument in ({"dtype": "auto"}, {"torch_dtype": "auto"}, {"torch_dtype": getattr(framework, dtype)}):
        again = tensors(cls.from_pretrained(tmp_path, **argument))
        assert {name: array.tobytes() for name, array in again.items()} == before
    assert {array.dtype for array in tensors(cls.from_pretrained(tmp_path)).values()} == {np.dtype("float32")}
    model = bertx.load(tmp_path, backend=backend, dtype=getattr(framework, dtype))
    assert {name: array.tobytes() for name, array in model.tensors()} == before


@pytest.mark.parametrize("backend", BACKENDS)
def test_arguments_that_change_no_result_are_taken_and_others_refused_by_name(checkpoint, backend):
    cls = native(backend, "BertForMaskedLM")
    cls.from_pretrained(
        checkpoint[1],
        attn_implementation="sdpa",
        low_cpu_mem_usage=True,
        from_pt=True,
        cache_dir=None,
        device_map="cpu",
    )
    for argument in ({"attn_implementation": "flash_attention_2"}, {"load_in_8bit": True}, {"device_map": "auto"}):
        with pytest.raises(TypeError, match=next(iter(argument))):
            cls.from_pretrained(checkpoint[1], **argument)
    with pytest.raises(TypeError, match="takes no cache_dir"):
        cls.from_pretrained(checkpoint[1], cache_dir="x")


def test_a_device_is_a_name_a_number_or_the_frameworks_object(checkpoint):
    for backend, devices in {
        "torch": ["cpu", torch.device("cpu"), -1],
        "jax": ["cpu", jax.devices("cpu")[0], -1],
        "tensorflow": ["cpu", "/CPU:0", "/device:CPU:0", -1],
        "numpy": ["cpu", -1],
    }.items():
        for device in devices:
            assert bertx.load(checkpoint[1], backend=backend, device=device).device == "cpu", (backend, device)
        for device in (7, "nowhere", True, torch.device("meta")):
            with pytest.raises(ValueError, match=f"the {backend} backend sees cpu.* here; asked for device"):
                bertx.load(checkpoint[1], backend=backend, device=device)


class _Sees:
    name, devices = "torch", staticmethod(lambda: ["cpu", "cuda", "cuda:0", "cuda:1"])


@pytest.mark.parametrize(
    ("device", "expected"),
    [(0, "cuda:0"), (1, "cuda:1"), ("cuda", "cuda"), ("cuda:1", "cuda:1"), (torch.device("cuda", 1), "cuda:1")],
)
def test_the_number_of_a_device_is_that_of_an_accelerator(device, expected):
    assert check_device(_Sees, device) == expected


# --- save_pretrained ------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", BACKENDS)
def test_save_pretrained_takes_the_arguments_of_transformers(checkpoint, tmp_path, backend):
    module = native(backend, "BertForMaskedLM").from_pretrained(checkpoint[1])
    module.save_pretrained(tmp_path / "none", is_main_process=False)
    assert not (tmp_path / "none").exists()
    with pytest.raises(ValueError, match="push_to_hub: bertx uploads nothing"):
        module.save_pretrained(tmp_path / "none", push_to_hub=True)
    with pytest.raises(TypeError, match="takes no saved_model"):
        module.save_pretrained(tmp_path / "none", saved_model=True)
    assert not (tmp_path / "none").exists()
    module.save_pretrained(tmp_path / "bin", safe_serialization=False)
    assert not list((tmp_path / "bin").glob("*.safetensors")) and (tmp_path / "bin" / "pytorch_model.bin").is_file()
    assert not any(transformers.BertForMaskedLM.from_pretrained(tmp_path / "bin", output_loading_info=True)[1].values())
    module.save_pretrained(tmp_path / "whole")
    with pytest.raises(ValueError, match=r"has a model\.safetensors, which is read before others"):
        module.save_pretrained(tmp_path / "whole", safe_serialization=False)
    state = {name: array + 1 for name, array in tensors(module).items()}
    state = {name: get_backend(backend).tensor(array) for name, array in state.items()}
    module.save_pretrained(tmp_path / "state", state_dict=state)
    found = tensors(native(backend, "BertForMaskedLM").from_pretrained(tmp_path / "state"))
    assert all(np.array_equal(array, np.asarray(state[name])) for name, array in found.items())
    wrong = {name: tensor for name, tensor in state.items() if not name.endswith("query.bias")}
    wrong["mine"] = state["cls.predictions.bias"]
    with pytest.raises(ValueError, match=r"(?s)layer\.0.*query\.bias is missing.*layer\.1.*mine is not the model's"):
        module.save_pretrained(tmp_path / "state", state_dict=wrong)
    if backend == "jax":
        params = jax.tree.map(lambda array: array + 2, module.params)
        module.save_pretrained(tmp_path / "params", params=params)
        again = native(backend, "BertForMaskedLM").from_pretrained(tmp_path / "params")
        assert all(jax.tree.leaves(jax.tree.map(lambda a, b: bool((a == b).all()), again.params, params)))
    else:
        with pytest.raises(TypeError, match="give state_dict="):
            module.save_pretrained(tmp_path / "params", params={})


@pytest.mark.parametrize("size", [60_000, "60KB", "1KB", "10 GB"])
def test_large_checkpoints_are_written_in_shards(checkpoint, tmp_path, size):
    module = bertx_torch.BertForMaskedLM.from_pretrained(checkpoint[1])
    module.save_pretrained(tmp_path)
    module.save_pretrained(tmp_path, max_shard_size=size)
    module.save_pretrained(tmp_path, max_shard_size=size)  # over its own shards
    files = sorted(path.name for path in tmp_path.glob("*.safetensors*"))
    if size == "10 GB":
        assert files == ["model.safetensors"]
    else:
        index = json.loads((tmp_path / "model.safetensors.index.json").read_text())
        assert files == sorted({*index["weight_map"].values(), "model.safetensors.index.json"}) and len(files) > 3
        limit = 60_000 if size != "1KB" else 1000
        with_one = set(index["weight_map"].values()) - {
            file for file in index["weight_map"].values() if list(index["weight_map"].values()).count(file) > 1
        }
        sizes = {file: sum(t.nbytes for t in open_safetensors_file(tmp_path / file).values()) for file in files[:-1]}
        assert all(held <= limit or file in with_one for file, held in sizes.items())
        assert index["metadata"]["total_size"] == sum(sizes.values())
    _, info = transformers.BertForMaskedLM.from_pretrained(tmp_path, output_loading_info=True)
    assert not any(info.values()), info
    found = tensors(bertx_torch.BertForMaskedLM.from_pretrained(tmp_path))
    assert all(np.array_equal(array, found[name]) for name, array in tensors(module).items())
    module.save_pretrained(tmp_path)
    assert [path.name for path in tmp_path.glob("*.safetensors*")] == ["model.safetensors"]


@pytest.mark.parametrize("size", [0, -1, "5 apples", True, "0KB"])
def test_a_shard_size_that_is_none_is_refused(size, tmp_path):
    with pytest.raises(ValueError, match="max_shard_size is"):
        bertx_numpy.BertModel(config(num_hidden_layers=0)).save_pretrained(tmp_path, max_shard_size=size)
    assert not list(tmp_path.iterdir())


# --- from a config --------------------------------------------------------------------------------


@pytest.mark.parametrize("head", HEADS)
def test_the_class_is_of_its_framework(head):
    for backend, kind in KINDS.items():
        module = native(backend, head)(config())
        assert isinstance(module, kind), backend
        assert type(module).__name__ == head
        assert type(module).__module__.startswith(f"bertx_{backend}.")


@pytest.mark.parametrize("head", ["BertModel", "BertForPreTraining"])
@pytest.mark.parametrize("tied", [True, False])
def test_initial_values_are_equal_on_every_backend(head, tied):
    made = {backend: tensors(native(backend, head)(config(tie_word_embeddings=tied))) for backend in BACKENDS}
    for backend, found in made.items():
        assert set(made["numpy"]) - set(found) <= {"cls.predictions.decoder.weight", "cls.predictions.decoder.bias"}
        for name, tensor in found.items():
            np.testing.assert_array_equal(tensor, made["numpy"][name], err_msg=f"{backend} {name}")


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("spread", [0.02, 0.3])
def test_initial_values(backend, spread):
    found = tensors(native(backend, "BertForPreTraining")(config(initializer_range=spread, tie_word_embeddings=False)))
    matrices = {}
    for name, tensor in found.items():
        assert tensor.dtype == np.float32
        if tensor.ndim == 2:
            matrices[name] = tensor / spread
        else:
            assert (tensor == (1 if name.endswith("LayerNorm.weight") else 0)).all(), name
    for name, tensor in matrices.items():
        # Five standard errors of a mean and of a standard deviation.
        assert abs(tensor.mean()) < 5 / tensor.size**0.5, name
        assert abs(tensor.std() - 1) < 5 / (2 * tensor.size) ** 0.5, name
    values = [tensor.ravel()[:90] for tensor in matrices.values()]
    assert np.abs(np.corrcoef(values) - np.eye(len(values))).max() < 0.6  # no two matrices are one draw


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_model_from_a_config_runs(backend):
    module = native(backend, "BertModel")(config())
    if backend == "torch":
        module.eval()
    inputs = batch("BertModel", "right")
    found = get_backend(backend).forward(module, inputs, {"use_cache": False})
    expected = get_backend("numpy").forward(bertx_numpy.BertModel(config()), inputs, {"use_cache": False})
    assert max(differences(found, expected).values()) <= 5e-6


# --- what transformers' own libraries call ---------------------------------------------------------


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("head", ["BertModel", "BertForMaskedLM", CLASSIFIER])
def test_parameters_are_counted_as_transformers_counts_them(backend, head):
    module = native(backend, head)(config())
    theirs = peer(head, num_hidden_layers=2)
    for only in (False, True):
        assert module.num_parameters(exclude_embeddings=only) == theirs.num_parameters(exclude_embeddings=only)
    if backend == "torch":
        module.bert.requires_grad_(False) if head != "BertModel" else module.encoder.requires_grad_(False)
        theirs.base_model.requires_grad_(False) if head != "BertModel" else theirs.encoder.requires_grad_(False)
        assert module.num_parameters(only_trainable=True) == theirs.num_parameters(only_trainable=True)
    assert (module.base_model_prefix, module.main_input_name) == ("bert", "input_ids")


@pytest.mark.parametrize("backend", BACKENDS)
def test_device_and_dtype(backend):
    module = native(backend, "BertForMaskedLM")(config())
    assert str(module.device) == "cpu"
    kinds = {"torch": torch.float32, "tensorflow": "float32"}
    assert module.dtype == kinds.get(backend, np.float32)
    if backend == "torch":
        assert module.device == torch.device("cpu") and module.half().dtype == torch.float16
    if backend != "tensorflow":
        assert module.base_model is module.bert and module.bert.base_model is module.bert


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("tied", [True, False])
def test_input_and_output_embeddings(backend, tied):
    module = native(backend, "BertForMaskedLM")(config(tie_word_embeddings=tied))
    other = native(backend, "BertModel")(config(initializer_range=0.5))
    assert module.get_output_embeddings() is module.cls.predictions.decoder and other.get_output_embeddings() is None
    table = dict(tensors(other))["embeddings.word_embeddings.weight"].copy()
    scores = dict(tensors(module)).get("cls.predictions.decoder.weight")
    scores = table if tied else scores.copy()
    module.set_input_embeddings(other.get_input_embeddings())
    found = tensors(module)
    np.testing.assert_array_equal(found["bert.embeddings.word_embeddings.weight"], table)
    inputs = batch("BertForMaskedLM", "right")
    expected = native("numpy", "BertForMaskedLM")(config(tie_word_embeddings=tied))
    expected.set_input_embeddings(native("numpy", "BertModel")(config(initializer_range=0.5)).get_input_embeddings())
    np.testing.assert_array_equal(dict(tensors(expected))["cls.predictions.decoder.weight"], scores)
    found = get_backend(backend).forward(module.eval() if backend == "torch" else module, inputs, {"use_cache": False})
    expected = get_backend("numpy").forward(expected, inputs, {"use_cache": False})
    assert max(differences(found, expected).values()) <= 5e-6


@pytest.mark.parametrize("backend", ["torch", "jax", "numpy"])
def test_embeddings_of_another_shape_are_refused(backend):
    module = native(backend, "BertForMaskedLM")(config())
    before = module.get_input_embeddings()
    with pytest.raises(ValueError, match=r"shape \[40, 48\], expected \[131, 48\]: .* call resize_token_embeddings"):
        module.set_input_embeddings(native(backend, "BertModel")(config(vocab_size=40)).get_input_embeddings())
    assert module.get_input_embeddings() is before


@pytest.mark.parametrize("backend", ["torch", "jax", "tensorflow"])
def test_gradient_checkpointing_takes_the_arguments_of_the_trainer(backend):
    module = native(backend, CLASSIFIER)(config())
    assert module.supports_gradient_checkpointing and not module.is_gradient_checkpointing
    for kwargs in (None, {}, {"use_reentrant": False}):
        module.gradient_checkpointing_enable(gradient_checkpointing_kwargs=kwargs)
        assert module.is_gradient_checkpointing
        module.gradient_checkpointing_disable()
        assert not module.is_gradient_checkpointing
    if backend != "torch":  # whose torch.utils.checkpoint takes it
        with pytest.raises(TypeError, match="context_fn"):
            module.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"context_fn": print})


# --- another number of tokens ----------------------------------------------------------------------


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("head", ["BertForMaskedLM", "BertForPreTraining", "BertModel"])
def test_added_tokens_are_those_of_transformers(tmp_path, backend, tied, head):
    """New rows are drawn about the mean of the old, and differ from transformers' by 3e-5 of the spread.

    So is their bias here; transformers draws it so where the decoder is untied, and has 0 where it is tied.
    """
    original = peer(head, num_hidden_layers=1, tie_word_embeddings=tied)
    save_peer(original, tmp_path)
    module = native(backend, head).from_pretrained(tmp_path)
    before = {name: array.copy() for name, array in tensors(module).items()}
    block = module.resize_token_embeddings(SIZES["vocab_size"] + 70)
    assert block is module.get_input_embeddings() and module.config.vocab_size == SIZES["vocab_size"] + 70
    theirs = getattr(transformers, head).from_pretrained(tmp_path)
    theirs.resize_token_embeddings(SIZES["vocab_size"] + 70)
    inputs = batch(head, "right")
    inputs["input_ids"][:, ::3] += 70  # some of the new ones
    found = get_backend(backend).forward(module, inputs, {"use_cache": False})
    expected = peer_forward(theirs.double().eval(), inputs)
    if tied and head != "BertModel":
        expected[next(iter(expected))][..., SIZES["vocab_size"] :] += before["cls.predictions.bias"].mean()
    assert max(differences(found, expected).values()) < 1e-3
    for name, array in tensors(module).items():
        if array.shape != before[name].shape:
            np.testing.assert_array_equal(array[: SIZES["vocab_size"]], before[name])
            added = array[SIZES["vocab_size"] :].astype(np.float64) - before[name].mean(0, dtype=np.float64)
            spread = before[name].std(0) * (1e-9**0.5 if added.ndim == 2 else 1e-9)
            if added.ndim == 2:
                np.testing.assert_allclose(added.std(0).mean() / spread.mean(), 1, atol=0.15)
                covariance, old = np.cov(added.T), np.cov(before[name].T)
                assert np.corrcoef(np.diag(covariance), np.diag(old))[0, 1] > 0.3
            else:
                assert np.abs(added).max() < 1e-7


@pytest.mark.parametrize("backend", BACKENDS)
def test_untrained_tokens_take_no_probability(tmp_path, backend):
    save_peer(peer("BertForMaskedLM", num_hidden_layers=1), tmp_path)
    model = bertx.load(tmp_path, backend=backend)
    bias = dict(model.tensors())["cls.predictions.bias"]
    model.module.replace_parameter("cls.predictions.bias", np.ascontiguousarray(bias - 12))  # as trained models have it
    shares = {}
    for mean in (True, False):
        model.module.resize_token_embeddings(SIZES["vocab_size"])
        model.module.resize_token_embeddings(SIZES["vocab_size"] + 20, mean_resizing=mean)
        logits = model.forward(**batch("BertForMaskedLM", "right"))["logits"].astype(np.float64)
        shares[mean] = (np.exp(logits) / np.exp(logits).sum(-1, keepdims=True))[..., -20:].sum(-1).mean()
    assert shares[True] < 20 / (SIZES["vocab_size"] + 20) < 0.9 < shares[False]


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_number_of_tokens_is_rounded_up_to_a_multiple(backend):
    module = native(backend, "BertForMaskedLM")(config(vocab_size=131))
    for arguments, expected in (
        ({"pad_to_multiple_of": 8}, 136),
        ({"pad_to_multiple_of": 8}, 136),
        ({"new_num_tokens": 137, "pad_to_multiple_of": 64}, 192),
        ({"new_num_tokens": None}, 192),
        ({"new_num_tokens": 100}, 100),
    ):
        module.resize_token_embeddings(**arguments)
        found = tensors(module)
        assert module.config.vocab_size == module.bert.config.vocab_size == expected
        assert len(found["bert.embeddings.word_embeddings.weight"]) == len(found["cls.predictions.bias"]) == expected
    for arguments in (
        {"new_num_tokens": 0},
        {"new_num_tokens": "5"},
        {"pad_to_multiple_of": 0},
        {"new_num_tokens": 2.5},
    ):
        with pytest.raises((ValueError, TypeError)):
            module.resize_token_embeddings(**arguments)
        assert module.config.vocab_size == len(tensors(module)["cls.predictions.bias"]) == 100


@pytest.mark.parametrize("backend", ["torch", "jax", "tensorflow"])
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_tokens_are_added_in_half_precision(checkpoint, backend, dtype):
    module = native(backend, "BertForMaskedLM").from_pretrained(checkpoint[1], dtype=dtype)
    module.resize_token_embeddings(SIZES["vocab_size"] + 3)
    found = {dtype_name(array.dtype) for array in tensors(module).values()}
    assert found == {dtype}
    table = as_float(tensors(module)["bert.embeddings.word_embeddings.weight"], "float32")
    np.testing.assert_allclose(table[-3:], np.tile(table[:-3].mean(0), (3, 1)), atol=2e-3)


# --- torch ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("head", HEADS)
def test_state_dict_is_transformers_own(head, tied):
    theirs = peer(head, num_hidden_layers=2, tie_word_embeddings=tied).float()
    ours = native("torch", head)(config(tie_word_embeddings=tied, is_decoder=theirs.config.is_decoder)).eval()
    if "QuestionAnswering" in head:
        assert theirs.config.num_labels == 2
    assert set(ours.state_dict()) == set(theirs.state_dict())
    if not tied and hasattr(theirs, "cls") and hasattr(theirs.cls, "predictions"):
        with torch.no_grad():  # one bias under two names here, two there
            theirs.cls.predictions.bias.copy_(theirs.cls.predictions.decoder.bias)
    inputs = batch(head, "right")
    ours.load_state_dict(theirs.state_dict())
    expected = peer_forward(theirs, inputs)
    found = get_backend("torch").forward(ours, inputs, {"use_cache": False})
    assert max(differences(found, expected).values()) <= 5e-6
    blank = type(theirs)(theirs.config).eval()
    blank.load_state_dict(ours.state_dict())
    assert max(differences(peer_forward(blank, inputs), expected).values()) == 0


@pytest.mark.parametrize("hidden_act", ["gelu", "gelu_new", "quick_gelu", "silu"])
@pytest.mark.parametrize("made", ["pickle", "deepcopy", "torch.save"])
def test_a_torch_module_is_copied_whole(tmp_path, made, hidden_act):
    folder = save_peer(peer("BertForMaskedLM", num_hidden_layers=1, hidden_act=hidden_act), tmp_path)
    module = bertx.load(folder, backend="torch").module
    if made == "pickle":
        copied = pickle.loads(pickle.dumps(module))
    elif made == "deepcopy":
        copied = copy.deepcopy(module)
    else:
        file = io.BytesIO()
        torch.save(module, file)
        file.seek(0)
        copied = torch.load(file, weights_only=False)
    assert type(copied) is bertx_torch.BertForMaskedLM
    assert copied.config == module.config and not copied.training
    assert copied.cls.predictions.decoder.weight is copied.bert.embeddings.word_embeddings.weight
    assert copied.cls.predictions.decoder.bias is copied.cls.predictions.bias
    inputs = {name: torch.from_numpy(value) for name, value in batch("BertForMaskedLM", "right").items()}
    before = module(**inputs).logits
    assert torch.equal(copied(**inputs).logits, before)
    copied.bert.embeddings.word_embeddings.weight.data.zero_()
    assert torch.equal(module(**inputs).logits, before)


def test_tied_parameters_are_one_parameter(checkpoint):
    for module in (bertx_torch.BertForMaskedLM(config()), bertx_torch.BertForMaskedLM.from_pretrained(checkpoint[1])):
        assert module.cls.predictions.decoder.weight is module.bert.embeddings.word_embeddings.weight
        assert module.cls.predictions.decoder.bias is module.cls.predictions.bias
        assert "cls.predictions.decoder.weight" not in dict(module.named_parameters())
        assert all(p.requires_grad and p.device.type == "cpu" for p in module.parameters())


def test_a_write_to_a_torch_parameter_stays_off_the_file(checkpoint):
    _, folder = checkpoint
    before = (folder / "model.safetensors").read_bytes()
    model = bertx.load(folder, backend="torch")
    untouched = bertx.load(folder, backend="torch")
    for parameter in model.module.parameters():
        parameter.data.fill_(7)
    assert all((tensor == 7).all() for _, tensor in model.tensors())
    assert (folder / "model.safetensors").read_bytes() == before
    assert not any((tensor == 7).all() for _, tensor in untouched.tensors())


@pytest.mark.parametrize("package", ["bertx_torch", "bertx_jax", "bertx_tensorflow"])
def test_the_source_of_a_class_is_the_spec(package):
    folder = Path(bertx.models.__file__).parent
    for module, name in (("bert", "BertModel"), ("heads", "MaskedLM"), ("layers.embeddings", "Embeddings")):
        cls = getattr(importlib.import_module(f"{package}.{module}"), name)
        assert Path(inspect.getsourcefile(cls)) == folder / f"{module.replace('.', '/')}.py"
        assert inspect.getsource(cls).startswith(f"class {name}(")


def test_a_class_of_ones_own_may_have_arguments_of_its_own(tmp_path):
    class Scaled(bertx_torch.BertForSequenceClassification):
        def __init__(self, config, scale=1.0):
            super().__init__(config)
            self.scale = scale

    folder = save_peer(peer("BertForSequenceClassification", num_hidden_layers=1), tmp_path)
    model = Scaled.from_pretrained(folder, scale=2.5)
    assert type(model) is Scaled and model.scale == 2.5
