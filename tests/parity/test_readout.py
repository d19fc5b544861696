"""Heads that read some positions: the last layer computes these alone, and the outputs stay those of transformers."""

from __future__ import annotations

import numpy as np
import pytest

import bertx
import bertx_torch
from bertx_numpy.layers.feed_forward import Intermediate
from support import BACKENDS, BATCH, batch, differences, labels, peer_forward

READING_FIRST = ("BertForSequenceClassification", "BertForNextSentencePrediction", "BertForMultipleChoice")
SCORING_ALL = ("BertForMaskedLM", "BertForTokenClassification", "BertLMHeadModel")
TOLERANCE = 5e-6
POSITIONS = np.array([[0, 3], [5, 5], [12, 1], [2, 7]])


@pytest.fixture
def computed(monkeypatch):
    """How many positions of each row a feed-forward block of the NumPy backend computed."""
    lengths = []
    forward = Intermediate.forward

    def spy(self, hidden_states):
        lengths.append(hidden_states[..., 0].size // BATCH)
        return forward(self, hidden_states)

    monkeypatch.setattr(Intermediate, "forward", spy)
    return lengths


@pytest.mark.parametrize("padding", [None, "right", "left"])
@pytest.mark.parametrize("head", READING_FIRST)
@pytest.mark.parametrize("backend", BACKENDS)
def test_the_first_position_alone(peers, loaded, backend, head, padding):
    model, folder = peers(head)
    inputs = batch(head, padding) | labels(head)
    found = loaded(folder, backend=backend).forward(**inputs)
    assert max(differences(found, peer_forward(model, inputs)).values()) <= TOLERANCE


@pytest.mark.parametrize(("padding", "changes"), [(None, {}), ("right", {}), ("left", {"tie_word_embeddings": False})])
@pytest.mark.parametrize("head", SCORING_ALL)
@pytest.mark.parametrize("backend", BACKENDS)
def test_the_positions_that_are_asked_for(peers, loaded, backend, head, padding, changes):
    model, folder = peers(head, **changes)
    inputs = batch(head, padding)
    found = loaded(folder, backend=backend).forward(**inputs, mask_positions=POSITIONS)["logits"]
    expected = np.take_along_axis(peer_forward(model, inputs)["logits"], POSITIONS[..., None], 1)
    assert np.abs(found - expected).max() <= TOLERANCE


@pytest.mark.parametrize("head", SCORING_ALL)
@pytest.mark.parametrize("backend", BACKENDS)
def test_no_positions_at_all(peers, loaded, backend, head):
    """As a batch without a mask has them."""
    inputs = batch(head, "right") | {"mask_positions": np.zeros((BATCH, 0), np.int64)}
    model = loaded(peers(head)[1], backend=backend)
    classes = model.config.num_labels if head == "BertForTokenClassification" else model.config.vocab_size
    found = model.forward(**inputs)
    assert found["logits"].shape == (BATCH, 0, classes) and list(found) == ["logits"]


def test_the_last_layer_computes_no_other(peers, computed):
    for head, kept in (("BertForSequenceClassification", 1), ("BertForTokenClassification", 2)):
        model = bertx.load(peers(head)[1], backend="numpy")
        inputs = batch(head, "right") | ({"mask_positions": POSITIONS} if kept == 2 else {})
        del computed[:]
        model.forward(**inputs)
        assert computed == [13, 13, kept]


def test_all_are_computed_where_more_is_asked_for_or_queries_differ(peers, computed):
    model = bertx.load(peers("BertForSequenceClassification")[1], backend="numpy")
    inputs = batch("BertForSequenceClassification", "right")
    plain = model.forward(**inputs)["logits"]
    for options in ({"output_hidden_states": True}, {"output_attentions": True}):
        del computed[:]
        found = model.forward(**inputs, **options)
        assert computed == [13] * 3
        assert all(states.shape[1] == 13 for states in found.get("hidden_states", ()))
        assert np.abs(found["logits"] - plain).max() <= 1e-6
    each = np.broadcast_to(inputs["attention_mask"][:, None], (4, 13, 13))
    del computed[:]
    found = model.forward(**inputs | {"attention_mask": each})["logits"]
    assert computed == [13] * 3
    assert np.abs(found - plain).max() <= 1e-6
    causal = bertx.load(peers("BertLMHeadModel")[1], backend="numpy")
    del computed[:]
    causal.forward(**batch("BertLMHeadModel", None), mask_positions=POSITIONS)
    assert computed == [13] * 3


def test_a_head_of_the_first_position_takes_no_others(peers):
    model = bertx_torch.BertForSequenceClassification.from_pretrained(peers("BertForSequenceClassification")[1])
    with pytest.raises(ValueError, match="reads the first position alone: it takes no mask_positions"):
        model(mask_positions=POSITIONS)
