"""RoBERTa and XLM-RoBERTa: every head of the oracle against transformers in float64, and what is their own."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
import transformers

import bertx
from bertx.registry import architectures, head_of
from bertx_numpy.layers.embeddings import Embeddings
from bertx_numpy.roberta import RobertaEmbeddings
from support import BACKENDS, batch, differences, labels, peer, peer_forward, save_peer

TOLERANCE = 5e-6
ROBERTA, XLM_ROBERTA = architectures("roberta"), architectures("xlm-roberta")
PAD = 1


def padded(head, padding):
    """A batch whose padding has the padding token's id, from which positions are counted."""
    inputs = batch(head, padding)
    inputs["input_ids"] = np.where(inputs["attention_mask"] == 0, PAD, inputs["input_ids"])
    return inputs


@pytest.mark.parametrize("padding", [None, "right", "left"])
@pytest.mark.parametrize("head", [*ROBERTA, *XLM_ROBERTA])
def test_every_head_of_the_oracle_is_that_of_transformers(peers, loaded, head, padding):
    """`BackendSuite` compares the backends with the oracle."""
    model, folder = peers(head)
    inputs = padded(head, padding) | labels(head)
    flags = {"output_hidden_states": True, "output_attentions": True}
    ours = loaded(folder, backend="numpy", dtype="float64")
    assert ours.architecture == head
    assert max(differences(ours.forward(**inputs, **flags), peer_forward(model, inputs, **flags)).values()) <= 1e-9


def test_the_positions_of_bert_are_found_out(peers, loaded, monkeypatch):
    """The mutant that makes RoBERTa a BERT."""
    model, folder = peers("RobertaModel")
    inputs = padded("RobertaModel", "left")
    expected = peer_forward(model, inputs)
    assert max(differences(loaded(folder, backend="numpy").forward(**inputs), expected).values()) <= TOLERANCE
    monkeypatch.setattr(RobertaEmbeddings, "positions", Embeddings.positions)
    assert max(differences(loaded(folder, backend="numpy").forward(**inputs), expected).values()) > 1e-2


@pytest.mark.parametrize("backend", BACKENDS)
def test_embeddings_for_ids(peers, loaded, backend):
    model, folder = peers("RobertaForMaskedLM")
    embeds = np.random.default_rng(3).normal(size=(2, 7, 48))
    found = loaded(folder, backend=backend).forward(inputs_embeds=embeds)
    expected = peer_forward(model, {"inputs_embeds": embeds})
    assert max(differences(found, expected).values()) <= TOLERANCE


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_past_is_continued(peers, loaded, backend):
    model, folder = peers("RobertaForCausalLM")
    ids = padded("RobertaForCausalLM", None)["input_ids"]
    ids[ids == PAD] = 5
    ours = loaded(folder, backend=backend)
    first = ours.forward(input_ids=ids[:, :8], use_cache=True)
    second = ours.forward(input_ids=ids[:, 8:], past_key_values=first["past_key_values"])
    with torch.no_grad():
        expected = model(torch.from_numpy(ids), use_cache=False).logits.numpy()
    assert np.abs(np.concatenate([first["logits"], second["logits"]], 1) - expected).max() <= TOLERANCE


def test_as_many_tokens_as_there_are_positions(peers, loaded):
    folder = peers("RobertaModel")[1]
    model = loaded(folder, backend="numpy")
    longest = model.config.max_sequence_length
    assert longest == 37 - PAD - 1
    ids = np.full((1, longest), 7)
    model.forward(input_ids=ids)
    with pytest.raises(ValueError, match=r"is longer than"):
        model.forward(input_ids=np.full((1, longest + 1), 7))


@pytest.mark.parametrize("name", ["safetensors", "pytorch", "npz"])
@pytest.mark.parametrize("head", ["RobertaModel", "RobertaForMaskedLM", "XLMRobertaForSequenceClassification"])
def test_converted_it_loads_in_transformers(peers, tmp_path, head, name):
    model, folder = peers(head)
    report = bertx.convert(folder, tmp_path / "target", name)
    assert report.verified and report.architecture == head
    ours = bertx.load(tmp_path / "target", backend="numpy")
    inputs = padded(head, "right")
    assert max(differences(ours.forward(**inputs), peer_forward(model, inputs)).values()) <= TOLERANCE
    if name == "npz":
        return
    again, info = getattr(transformers, head).from_pretrained(tmp_path / "target", output_loading_info=True)
    assert not info["missing_keys"] and not info["unexpected_keys"]
    assert all(torch.equal(tensor.float(), again.state_dict()[key]) for key, tensor in model.state_dict().items())


def test_a_decoder_of_its_own_with_a_bias_of_its_own(tmp_path):
    """As in transformers 5 the decoder's bias is the one that counts, and it is written where that looks for it."""
    model = peer("RobertaForMaskedLM", tie_word_embeddings=False)
    with torch.no_grad():
        model.lm_head.bias = torch.nn.Parameter(model.lm_head.bias + 1)
    folder = save_peer(model, tmp_path / "source")
    inputs = padded("RobertaForMaskedLM", "right")
    expected = peer_forward(model, inputs)
    assert bertx.convert(folder, tmp_path / "target").verified
    for saved in (folder, tmp_path / "target"):
        found = bertx.load(saved, backend="numpy").forward(**inputs)
        assert max(differences(found, expected).values()) <= TOLERANCE
    again, info = transformers.RobertaForMaskedLM.from_pretrained(tmp_path / "target", output_loading_info=True)
    assert not info["missing_keys"] and not info["unexpected_keys"]
    assert max(differences(peer_forward(again.double(), inputs), expected).values()) <= TOLERANCE


@pytest.mark.parametrize("name", ["tf1", "tf2"])
def test_a_format_that_cannot_hold_it_says_why(peers, tmp_path, name):
    with pytest.raises(bertx.CheckpointError, match=rf"{name} cannot hold .* 'roberta': .*; use one of safe"):
        bertx.convert(peers("RobertaForMaskedLM")[1], tmp_path / "target", name)
    assert not (tmp_path / "target").exists()


def test_a_task_that_roberta_has_no_head_for(peers):
    with pytest.raises(ValueError, match="roberta has no head for 'next-sentence-prediction'"):
        bertx.load(peers("RobertaModel")[1], task="next-sentence-prediction", backend="numpy")


def test_a_class_of_another_architecture_refuses_the_checkpoint(peers):
    import bertx_numpy

    with pytest.raises(bertx.CheckpointError, match="model_type is 'roberta', BertModel is for 'bert'"):
        bertx_numpy.BertModel.from_pretrained(peers("RobertaModel")[1])


@pytest.mark.parametrize("named", [True, False])
def test_the_head_is_read_from_the_tensors(peers, tmp_path, named):
    for head in (
        "RobertaModel",
        "RobertaForMaskedLM",
        "RobertaForSequenceClassification",
        "RobertaForQuestionAnswering",
    ):
        folder = save_peer(peers(head)[0], tmp_path / head)
        values = json.loads((folder / "config.json").read_text())
        if not named:
            del values["architectures"]
        (folder / "config.json").write_text(json.dumps(values))
        model = bertx.load(folder, backend="numpy")
        assert (model.architecture, model.task) == (head, head_of(head).task)


@pytest.mark.parametrize(
    ("package", "prefix"), [("bertx_torch", ""), ("bertx_tensorflow", "TF"), ("bertx_jax", "Flax")]
)
def test_the_native_classes_have_their_names(peers, package, prefix):
    package = pytest.importorskip(package)
    for head in ("RobertaForTokenClassification", "XLMRobertaModel", "RobertaForCausalLM"):
        model = getattr(package, f"{prefix}{head}").from_pretrained(peers(head)[1])
        assert model.architecture() == head and model.config.model_type == head_of(head).model_type


@pytest.mark.parametrize("backend", BACKENDS)
def test_its_gradients_and_its_initial_values(backend):
    config = bertx.RobertaConfig(
        vocab_size=60, hidden_size=24, num_hidden_layers=1, num_attention_heads=3, intermediate_size=32
    )
    package = pytest.importorskip(f"bertx_{backend}")
    prefix = {"tensorflow": "TF", "jax": "Flax"}.get(backend, "")
    model = getattr(package, f"{prefix}RobertaForMaskedLM")(config)
    from bertx.backend import get_backend

    values = dict(get_backend(backend).tensors(model))
    assert (values["lm_head.layer_norm.weight"] == 1).all()  # a norm by another name than LayerNorm
    assert (values["lm_head.layer_norm.bias"] == 0).all() and (values["lm_head.bias"] == 0).all()
    assert 0.01 < values["lm_head.dense.weight"].std() < 0.03
