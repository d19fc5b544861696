"""`head_mask` of transformers 4.57: refused by name, and what its message says to do instead silences the same head."""

from __future__ import annotations

import numpy as np
import pytest
import safetensors.numpy
import torch

import bertx
from bertx.backend import get_backend
from bertx.testing import SIZES
from support import BACKENDS, batch, peer, save_peer

IDS = np.array([[2, 5, 7, 9]])
LAYER, HEAD, SIZE = 1, 2, SIZES["hidden_size"] // SIZES["num_attention_heads"]
SILENT = slice(HEAD * SIZE, (HEAD + 1) * SIZE)


@pytest.fixture(scope="module")
def folder_of(tmp_path_factory):
    """architecture → a checkpoint of it."""
    known = {}

    def get(head):
        if head not in known:
            known[head] = save_peer(peer(head), tmp_path_factory.mktemp(head))
        return known[head]

    return get


def module_of(folder, backend):
    """The native model, and ids as its framework has them."""
    return bertx.load(folder, backend=backend).module, get_backend(backend).tensor(IDS)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    ("head", "name"),
    [
        ("BertModel", "head_mask"),
        ("BertLMHeadModel", "head_mask"),
        ("BertForQuestionAnswering", "head_mask"),
        ("EncoderDecoderModel", "head_mask"),
        ("EncoderDecoderModel", "decoder_head_mask"),
    ],
)
def test_it_is_refused_with_what_to_do(folder_of, backend, head, name):
    model, ids = module_of(folder_of(head), backend)
    given = {"input_ids": ids} | ({"decoder_input_ids": ids} if head == "EncoderDecoderModel" else {})
    with pytest.raises(TypeError, match=rf"has no {name}: .*silence a head .* attention\.output\.dense\.weight"):
        model(**given, **{name: np.ones(SIZES["num_attention_heads"], np.float32)})
    model(**given, **{name: None})


def test_another_argument_is_not_told_of_heads(folder_of):
    model, ids = module_of(folder_of("BertForQuestionAnswering"), "numpy")
    with pytest.raises(TypeError, match=r"has no encoder_hidden_states: bertx takes what only 4\.57 had as None$"):
        model(input_ids=ids, encoder_hidden_states=np.zeros((1, 4, SIZES["hidden_size"])))


@pytest.mark.parametrize("backend", BACKENDS)
def test_columns_of_zero_silence_a_head(folder_of, tmp_path, backend):
    """In 4.57 head_mask multiplied the head's probabilities, and so what the output block reads of it."""
    model = peer("BertModel")
    dense = model.encoder.layer[LAYER].attention.output.dense

    def silenced(_, inputs):
        context = inputs[0].clone()
        context[..., SILENT] = 0
        return (context,)

    inputs = batch("BertModel", "right")
    tensors = {name: torch.from_numpy(value) for name, value in inputs.items()}
    with torch.no_grad():
        whole = model(**tensors).last_hidden_state.numpy()
        dense.register_forward_pre_hook(silenced)
        expected = model(**tensors).last_hidden_state.numpy()
    assert np.abs(whole - expected).max() > 1e-3

    folder = folder_of("BertModel")
    weights = safetensors.numpy.load_file(folder / "model.safetensors")
    weights[f"encoder.layer.{LAYER}.attention.output.dense.weight"][:, SILENT] = 0
    safetensors.numpy.save_file(weights, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_bytes((folder / "config.json").read_bytes())
    found = bertx.load(tmp_path, backend=backend).forward(**inputs)["last_hidden_state"]
    assert np.abs(found - expected).max() <= 5e-6
