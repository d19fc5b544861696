"""The native classes: made from a config, read from a checkpoint, written as one, and of their framework."""

from __future__ import annotations

import copy
import importlib
import inspect
import io
import pickle
from pathlib import Path

import keras
import numpy as np
import pytest
import torch
import transformers
from flax import nnx

import bertx
import bertx.spec
import bertx_jax
import bertx_numpy
import bertx_tensorflow
import bertx_torch
from bertx.backend import get_backend
from support import BACKENDS, HEADS, SIZES, batch, differences, peer, peer_forward, save_peer

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
    with pytest.raises(TypeError, match="context_fn"):
        module.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"context_fn": print})


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
    folder = Path(bertx.spec.__file__).parent
    for module, name in (("encoder", "BertModel"), ("heads", "BertForMaskedLM"), ("embeddings", "BertEmbeddings")):
        cls = getattr(importlib.import_module(f"{package}.{module}"), name)
        assert Path(inspect.getsourcefile(cls)) == folder / f"{module}.py"
        assert inspect.getsource(cls).startswith(f"class {name}(")
