"""int8 on PyTorch: what its layers compute, what it costs on real checkpoints, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import bertx
import bertx_torch
from bertx.parity_report import LEAST_COSINE
from bertx_torch import int8
from bertx_torch.int8 import Int8Linear
from conftest import MASKED_LM, MINILM
from support import HEADS, batch


@pytest.fixture
def linear():
    torch.manual_seed(0)
    return torch.nn.Linear(37, 11)


@pytest.mark.parametrize("in_pairs", [False, True])
def test_a_layer_is_the_product_of_the_rounded_numbers(linear, monkeypatch, in_pairs):
    """Bit by bit what integers give: rounded to steps of each row's largest, of the input and of the weight."""
    if in_pairs and not torch.cpu._is_avx2_supported():
        pytest.skip("for processors with AVX2")
    monkeypatch.setattr(int8, "IN_PAIRS", in_pairs)
    largest = 64 if in_pairs else 127
    x = torch.randn(3, 5, 37) * torch.logspace(-3, 3, 15).view(3, 5, 1)

    def rounded(rows, largest):
        step = np.abs(rows).max(-1, keepdims=True) / largest
        return np.rint(rows / step).astype(np.int64), step.astype(np.float64)

    weight, scale = rounded(linear.weight.detach().numpy(), largest)
    rows, step = rounded(x.numpy().reshape(15, 37), 127)
    assert np.abs(rows).max(-1).tolist() == [127] * 15  # every row has its own step
    expected = (rows @ weight.T * step * scale.T + linear.bias.detach().numpy()).reshape(3, 5, 11)
    found = Int8Linear(linear)(x).numpy()
    assert (np.abs(found - expected) <= 1e-6 * np.abs(expected).max(-1, keepdims=True)).all()
    exact = linear(x).detach().numpy()
    assert np.abs(found - exact).max() / np.abs(exact).max() < (0.02 if in_pairs else 0.01)
    assert Int8Linear(linear).weight.dtype == torch.int8


def test_rows_of_zeros_and_one_position(linear):
    with torch.no_grad():
        linear.weight[3] = 0
    found = Int8Linear(linear)(torch.zeros(1, 1, 37))
    assert torch.equal(found[0, 0], linear.bias)


@pytest.mark.parametrize("head", HEADS)
def test_every_head_comes_near(peers, head):
    folder = peers(head)[1]
    inputs = batch(head, "right")
    model = bertx.load(folder, backend="torch", dtype="int8")
    found, exact = model.forward(**inputs), bertx.load(folder, backend="torch").forward(**inputs)
    encoder = getattr(model.module, "bert", model.module).encoder
    assert not any(isinstance(block, torch.nn.Linear) for block in encoder.modules())
    assert {name: value.shape for name, value in found.items()} == {name: value.shape for name, value in exact.items()}
    for name, value in exact.items():
        distance = np.abs(found[name] - value).max() / np.abs(value).max()
        assert 1e-4 < distance < 0.12, (name, distance)


@pytest.mark.parametrize("source", [MINILM, MASKED_LM])
def test_what_it_costs_is_printed_by_parity_and_little_on_real_checkpoints(source):
    report = bertx.parity(source, dtype="int8")
    assert report.backends == ["torch"] and report.passed, str(report)
    rows = {row.output: row for row in report.rows}
    assert rows["layer 2"].difference > 1e-5  # it is int8 that ran
    last = "last_hidden_state" if source == MINILM else "logits"
    assert rows[last].difference <= 1 - LEAST_COSINE == rows[last].tolerance
    assert ("order of the texts" if source == MINILM else "first choice") in rows
    assert "int8, 1 − cosine to the oracle" in str(report)


def test_embeddings_keep_their_direction_and_their_order():
    """Over bertx's own passages: cosine to float32 at least 0.995 on average, and the nearest passage stays so."""
    from importlib.resources import files

    texts = files("bertx").joinpath("demo_passages.txt").read_text("utf-8").splitlines()
    exact = bertx.load(MINILM, backend="torch")(texts)
    found = bertx.load(MINILM, backend="torch", dtype="int8")(texts)
    cosines = (exact * found).sum(-1)  # both are of length 1
    print(f"int8 on {len(texts)} passages: cosine {cosines.mean():.5f} on average, {cosines.min():.5f} at least")
    assert cosines.mean() >= 0.995
    upper = np.triu_indices(len(texts), 1)
    ranks = [np.argsort(np.argsort((vectors @ vectors.T)[upper])) for vectors in (exact, found)]
    agreement = np.corrcoef(*ranks)[0, 1]
    print(f"rank correlation of the similarities of all pairs: {agreement:.4f}")
    assert agreement >= 0.98


def test_a_model_that_turns_vectors_or_changes_order_fails(monkeypatch):
    """The mutant: 7 steps for 127."""
    from bertx_torch import int8

    monkeypatch.setattr(int8, "_LARGEST", 7)
    report = bertx.parity(MINILM, dtype="int8")
    failed = {row.output for row in report.rows if not row.passed}
    assert "last_hidden_state" in failed and "embeddings" not in failed


def test_rounded_weights_are_not_saved_as_if_they_were_the_checkpoints(tmp_path):
    model = bertx.load(MINILM, backend="torch", dtype="int8")
    for save in (lambda: model.save(tmp_path / "a"), lambda: model.module.save_pretrained(tmp_path / "b")):
        with pytest.raises(ValueError, match="the weights of an int8 model are rounded"):
            save()
    with pytest.raises(ValueError, match="the weights of an int8 model are rounded"):
        model.to("numpy")
    assert not (tmp_path / "a" / "model.safetensors").exists()
    assert not (tmp_path / "b" / "model.safetensors").exists()


def test_other_backends_say_that_they_have_no_int8():
    with pytest.raises(ValueError, match="the numpy backend runs float32, float64, float16; asked for dtype 'int8'"):
        bertx.load(MINILM, backend="numpy", dtype="int8")


def test_from_pretrained_takes_int8(peers):
    folder = peers("BertForSequenceClassification")[1]
    for dtype in ("int8", torch.int8):
        model = bertx_torch.BertForSequenceClassification.from_pretrained(folder, dtype=dtype)
        assert isinstance(model.bert.encoder.layer[0].intermediate.dense, Int8Linear)
        assert isinstance(model.classifier, torch.nn.Linear)
