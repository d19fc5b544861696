"""Packed rows on PyTorch: what the kernel for rows of any length is given, with one of our own in its place."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from bertx.backend import get_backend
from bertx.testing import build, config_of, oracle, packed_of
from bertx_torch import varlen

TOLERANCE = 4e-6


@pytest.fixture
def calls(monkeypatch):
    """The arguments of each call of a kernel in plain PyTorch, which runs on the processor in float32."""
    made = []

    def kernel(query, key, value, cu_seq_q, cu_seq_k, max_q, max_k):
        made.append((query, cu_seq_q, max_q))
        assert cu_seq_q.dtype == cu_seq_k.dtype == torch.int32
        assert query.shape == key.shape == value.shape and query.ndim == 3
        rows = []
        for start, end in zip(cu_seq_q.tolist()[:-1], cu_seq_q.tolist()[1:], strict=True):
            assert 0 < end - start <= max_q == max_k
            q, k, v = (states[start:end].transpose(0, 1) for states in (query, key, value))
            rows.append((torch.softmax(q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5, -1) @ v).transpose(0, 1))
        return torch.cat(rows)

    monkeypatch.setattr(varlen, "DEVICES", ("cpu",))
    monkeypatch.setattr(varlen, "DTYPES", (torch.float32,))
    monkeypatch.setattr(varlen, "kernel", lambda: kernel)
    return made


@pytest.mark.parametrize(
    "architecture", ["BertModel", "BertForPreTraining", "RobertaForSequenceClassification", "BertForMultipleChoice"]
)
def test_its_outputs_are_those_of_padded_rows(calls, architecture):
    padded, packed = packed_of(architecture)
    model = build(get_backend("torch"), architecture, "float32")
    assert model.packs
    expected, found = oracle(architecture).forward(**padded), model.forward(**packed)
    shown = packed["segments"].reshape(-1, padded["input_ids"].shape[-1]) >= 0
    for name, value in expected.items():
        value = value[shown][None] if np.shape(value)[:2] == shown.shape else value
        assert np.abs(found[name] - value).max() <= TOLERANCE, name
    assert len(calls) == model.config.num_hidden_layers
    query, offsets, longest = calls[0]
    assert query.is_contiguous()
    assert offsets.tolist() == np.cumsum([0, *shown.sum(1)]).tolist() and longest == shown.shape[1]


def test_gradients_go_through_it(calls):
    padded, packed = packed_of("BertForMaskedLM")
    found = []
    for inputs in (padded, packed):
        module = build(get_backend("torch"), "BertForMaskedLM", "float32").module
        module(**{name: torch.from_numpy(value) for name, value in inputs.items()}).loss.backward()
        found.append({name: parameter.grad for name, parameter in module.named_parameters()})
    assert calls
    largest = max(gradient.abs().max() for gradient in found[0].values())
    assert max((found[1][name] - value).abs().max() / largest for name, value in found[0].items()) <= 2e-6


def test_where_it_is_not_for_the_model_rows_are_padded(calls, monkeypatch):
    _, packed = packed_of("BertForMaskedLM")
    module = build(get_backend("torch"), "BertForMaskedLM", "float32", config_of("BertForMaskedLM")).module
    tensors = {name: torch.from_numpy(value) for name, value in packed.items()}
    module.train()  # attention_probs_dropout_prob is 0.1, and the kernel drops nothing out
    module(**tensors)
    assert not calls
    module.eval()
    monkeypatch.setattr(varlen, "kernel", lambda: None)  # PyTorch before 2.10
    module(**tensors)
    assert not calls and not get_backend("torch").packs(module)


def test_which_models_pack(calls):
    backend = get_backend("torch")
    packs = {
        name: backend.packs(build(backend, architecture, "float32", config).module)
        for name, architecture, config in [
            ("plain", "BertModel", None),
            ("relative", "BertModel", config_of("BertModel")),
            ("causal", "BertLMHeadModel", None),
        ]
        if name != "relative"
    }
    assert packs == {"plain": True, "causal": False}
    assert not varlen.is_for("cpu", torch.float32, 12) and not varlen.is_for("cpu", torch.float32, 264)


def test_on_the_processor_no_model_packs():
    assert not build(get_backend("torch"), "BertModel", "float32").packs
    assert not build(get_backend("torch"), "BertModel", "bfloat16").packs
