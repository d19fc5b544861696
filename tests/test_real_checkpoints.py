"""Published checkpoints, installed from their packages: their published behaviour, on every backend."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import transformers

import bertx
from bertx.hub.sources import resolve
from bertx.tasks.feature_extraction import cosine_similarity
from conftest import MASKED_LM, MINILM
from support import BACKENDS

# The example of the model card: a query and its candidates, of which the person is nearest.
QUERY = "That is a happy person"
CANDIDATES = ["That is a happy dog", "That is a very happy person", "Today is a sunny day"]
# The cosines that the card's example shows.
CARD = [0.695, 0.943, 0.257]


def _transformers_embeddings(texts):
    folder = resolve(MINILM)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModel.from_pretrained(folder).double().eval()
    inputs = tokenizer(texts, padding=True, return_tensors="pt")
    with torch.no_grad():
        hidden = model(**inputs).last_hidden_state
    mask = inputs["attention_mask"][..., None]
    return torch.nn.functional.normalize((hidden * mask).sum(1) / mask.sum(1)).numpy()


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_cosines_of_all_minilm_are_those_of_its_card(loaded, backend):
    model = loaded(MINILM, backend=backend)
    similarity = cosine_similarity(model(QUERY), model(CANDIDATES))[0]
    assert similarity == pytest.approx(CARD, abs=5e-4)
    expected = _transformers_embeddings([QUERY, *CANDIDATES])
    np.testing.assert_allclose(model([QUERY, *CANDIDATES]), expected, atol=2e-6)


def test_all_minilm_is_read_as_it_was_published(loaded):
    model = loaded(MINILM, backend="numpy")
    assert (model.architecture, model.task) == ("BertModel", "feature-extraction")
    assert model.load_report.ignored == ["embeddings.position_ids"]
    assert model.load_report.used["encoder.layer.0.attention.self.query.weight"].startswith("encoder.")
    assert dict(model.tensors())["pooler.dense.weight"].shape == (384, 384)


MASKED = [
    "the capital of france is [MASK] .",
    "she [MASK] the door and went home .",
    "he is a very [MASK] man , and everybody likes him .",
]


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_top_tokens_of_fill_mask_equal_transformers(loaded, backend):
    model = loaded(MASKED_LM, backend=backend)
    assert model.task == "fill-mask"
    peer = transformers.BertForMaskedLM.from_pretrained(resolve(MASKED_LM)).double().eval()
    inputs = model.tokenizer(MASKED, padding=True, return_tensors="np")
    with torch.no_grad():
        expected = peer(**{name: torch.from_numpy(value) for name, value in inputs.items()}).logits.numpy()
    found = model.forward(**inputs)["logits"]
    # The logits reach 30 here: 2e-5 is the noise of float32 that bertx.parity reports.
    np.testing.assert_allclose(found, expected, atol=6e-5)
    masked = inputs["input_ids"] == model.tokenizer.mask_token_id
    assert masked.sum() == 3
    top = np.argsort(-found[masked], axis=-1)[:, :5]
    assert top.tolist() == np.argsort(-expected[masked], axis=-1)[:, :5].tolist()


def test_the_masked_lm_is_read_as_it_was_published(loaded):
    model = loaded(MASKED_LM, backend="numpy")
    assert model.load_report.used["bert.embeddings.LayerNorm.weight"] == "bert.embeddings.LayerNorm.gamma"
    assert "cls.predictions.decoder.weight" not in model.load_report.used
    assert not model.load_report.problems


def test_a_head_that_it_lacks_is_an_error_unless_asked_for():
    with pytest.warns(UserWarning, match=r"has no bert\.pooler\.dense\.weight.*initialised"):
        model = bertx.load(MASKED_LM, task="text-classification", backend="numpy")
    assert "classifier.weight" in model.load_report.initialised
    assert model.load_report.unused  # the head of the masked LM
