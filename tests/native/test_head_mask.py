"""`head_mask` scales what each head gives; tests/native/test_transformers4.py compares it with transformers 4.57."""

from __future__ import annotations

import numpy as np
import pytest
import safetensors.numpy
import torch

import bertx
from bertx.backend import get_backend
from bertx.testing import SIZES
from support import BACKENDS, batch, peer, save_peer

HEADS, LAYERS = SIZES["num_attention_heads"], SIZES["num_hidden_layers"]
SIZE = SIZES["hidden_size"] // HEADS
IDS = np.array([[2, 5, 7, 9]])


@pytest.fixture(scope="module")
def folder_of(tmp_path_factory):
    """architecture → a checkpoint of it."""
    known = {}

    def get(head):
        if head not in known:
            known[head] = save_peer(peer(head), tmp_path_factory.mktemp(head))
        return known[head]

    return get


def tensors(backend, arrays):
    """Arrays as the backend's framework has them."""
    return {name: get_backend(backend).tensor(value) for name, value in arrays.items()}


def values(tensor):
    return tensor.detach().numpy() if isinstance(tensor, torch.Tensor) else np.asarray(tensor)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("of_each_layer", [False, True])
def test_a_factor_of_a_head_is_one_of_the_columns_that_read_it(folder_of, tmp_path, backend, of_each_layer):
    mask = np.linspace(-0.5, 1.5, LAYERS * HEADS, dtype=np.float32).reshape(LAYERS, HEADS)
    mask[-1, 0] = 0
    mask = mask if of_each_layer else mask[-1]
    folder, inputs = folder_of("BertModel"), batch("BertModel", "right")
    weights = safetensors.numpy.load_file(folder / "model.safetensors")
    for layer, factors in enumerate(np.broadcast_to(mask, (LAYERS, HEADS))):
        weights[f"encoder.layer.{layer}.attention.output.dense.weight"] *= np.repeat(factors, SIZE)
    safetensors.numpy.save_file(weights, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_bytes((folder / "config.json").read_bytes())
    expected = bertx.load(tmp_path, backend="numpy", dtype="float64").forward(**inputs)["last_hidden_state"]
    module = bertx.load(folder, backend=backend).module
    whole = values(module(**tensors(backend, inputs)).last_hidden_state)
    found = values(module(**tensors(backend, inputs | {"head_mask": mask})).last_hidden_state)
    assert np.abs(whole - expected).max() > 1e-3
    assert np.abs(found - expected).max() <= 5e-6


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_encoder_and_the_decoder_have_their_own(folder_of, backend):
    module = bertx.load(folder_of("EncoderDecoderModel"), backend=backend).module
    ids = tensors(backend, {"input_ids": IDS, "decoder_input_ids": IDS})
    silent, whole = (values for values in (np.zeros(HEADS, np.float32), np.ones(HEADS, np.float32)))
    plain = module(**ids)
    same = module(**ids, **tensors(backend, {"head_mask": whole, "decoder_head_mask": whole}))
    assert np.array_equal(values(same.logits), values(plain.logits))
    read = module(**ids, **tensors(backend, {"head_mask": silent}))
    written = module(**ids, **tensors(backend, {"decoder_head_mask": silent}), output_attentions=True)
    assert np.abs(values(read.encoder_last_hidden_state) - values(plain.encoder_last_hidden_state)).max() > 1e-3
    assert np.abs(values(written.encoder_last_hidden_state) - values(plain.encoder_last_hidden_state)).max() < 5e-6
    for probabilities in (*written.decoder_attentions, *written.cross_attentions):
        assert not values(probabilities).any()
    assert np.abs(values(written.logits) - values(plain.logits)).max() > 1e-3


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("shape", [(HEADS + 1,), (LAYERS + 1, HEADS), (1, 1, HEADS)])
def test_another_shape_is_refused(folder_of, backend, shape):
    module = bertx.load(folder_of("BertModel"), backend=backend).module
    with pytest.raises(ValueError, match=r"head_mask has the shape \[.*\], expected \["):
        module(**tensors(backend, {"input_ids": IDS, "head_mask": np.ones(shape, np.float32)}))


def test_another_argument_is_refused(folder_of):
    module = bertx.load(folder_of("BertForQuestionAnswering"), backend="numpy").module
    with pytest.raises(TypeError, match=r"has no encoder_hidden_states: bertx takes what only 4\.57 had as None$"):
        module(input_ids=IDS, encoder_hidden_states=np.zeros((1, 4, SIZES["hidden_size"])))
