"""The oracle's heads against transformers in float64, and on every backend what `BackendSuite` does not vary."""

from __future__ import annotations

import pytest

from support import BACKENDS, HEADS, batch, differences, labels, peer_forward

# Measured on these weights (N(0, 0.1)): at most 1.6e-6 over all heads, layers, paddings and backends in float32,
# 2.9e-15 in float64. The issue's own limits are kept.
TOLERANCE = {"float32": 5e-6, "float64": 1e-9}

VARIANTS = [
    ("BertForMaskedLM", {"tie_word_embeddings": False}),
    ("BertForPreTraining", {"tie_word_embeddings": False}),
    ("BertLMHeadModel", {"is_decoder": False}),
    ("BertForMaskedLM", {"is_decoder": True}),
    ("BertForSequenceClassification", {"classifier_dropout": 0.3, "hidden_act": "gelu_new"}),
]


@pytest.mark.parametrize("padding", [None, "right", "left"])
@pytest.mark.parametrize(
    ("head", "changes", "backend", "dtype"),
    [
        *((head, {}, "numpy", "float64") for head in HEADS),
        *((*variant, name, "float32") for variant in VARIANTS for name in BACKENDS),
        *((*variant, "numpy", "float64") for variant in VARIANTS),
    ],
    ids=str,
)
def test_outputs_layers_attentions_and_loss_equal_transformers(peers, loaded, backend, dtype, head, changes, padding):
    model, folder = peers(head, **changes)
    inputs = batch(head, padding) | labels(head)
    expected = peer_forward(model, inputs, output_hidden_states=True, output_attentions=True)
    found = loaded(folder, backend=backend, dtype=dtype).forward(
        **inputs, output_hidden_states=True, output_attentions=True
    )
    for name, difference in differences(found, expected).items():
        assert difference <= TOLERANCE[dtype], (name, difference)


@pytest.mark.parametrize("padding", [None, "right", "left"])
@pytest.mark.parametrize("backend", BACKENDS)
def test_the_path_without_attentions_gives_the_same(peers, loaded, backend, padding):
    model, folder = peers("BertForPreTraining")
    inputs = batch("BertForPreTraining", padding)
    found = loaded(folder, backend=backend).forward(**inputs)
    for name, difference in differences(found, peer_forward(model, inputs)).items():
        assert difference <= TOLERANCE["float32"], (name, difference)


@pytest.mark.parametrize("hidden_act", ["gelu", "gelu_new"])
@pytest.mark.parametrize(("products_from", "by_onednn", "of_head"), [(0, 6, 2), (float("inf"), 1, 1)])
def test_products_by_onednn(peers, loaded, monkeypatch, hidden_act, products_from, by_onednn, of_head):
    """All six of a layer and both of the head, or those whose activation is computed with them."""
    torch, cpu_kernels = pytest.importorskip("torch"), pytest.importorskip("bertx_torch.cpu_kernels")
    model, folder = peers("BertForMaskedLM", hidden_act=hidden_act)
    inputs, ours = batch("BertForMaskedLM", "right"), loaded(folder, backend="torch")
    for limit, value in {"LINEAR_FROM": products_from, "GELU_FROM": 0, "PARTS_TO": 0}.items():
        monkeypatch.setattr(cpu_kernels, limit, value)
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        found = ours.forward(**inputs, output_hidden_states=True)
    layers = len(found["hidden_states"]) - 1
    products = sum(event.name == "mkldnn::_linear_pointwise" for event in profile.events())
    assert products == by_onednn * layers + of_head
    for name, difference in differences(found, peer_forward(model, inputs, output_hidden_states=True)).items():
        assert difference <= TOLERANCE["float32"], (name, difference)
    hooked = []
    handle = ours.module.bert.encoder.layer[0].intermediate.dense.register_forward_hook(lambda *_: hooked.append(1))
    ours.forward(**inputs)
    handle.remove()
    assert hooked


@pytest.mark.parametrize("backend", BACKENDS)
def test_outputs_come_in_the_order_of_the_hub(peers, loaded, backend):
    head = "BertForSequenceClassification"
    inputs = batch(head, None) | labels(head)
    found = loaded(peers(head)[1], backend=backend).forward(**inputs, output_hidden_states=True, output_attentions=True)
    assert list(found) == ["loss", "logits", "hidden_states", "attentions"]
