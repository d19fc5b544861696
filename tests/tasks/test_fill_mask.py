from __future__ import annotations

import numpy as np
import pytest
import transformers

from bertx.hub.sources import resolve
from conftest import MASKED_LM
from support import BACKENDS

TEXTS = [
    "the capital of france is [MASK] .",
    "she [MASK] the door and [MASK] home .",
    "[MASK]",
    "a [MASK] man , whom everybody likes , walks slowly along the river with a dog and two small children .",
]


@pytest.fixture(scope="module")
def pipeline():
    folder = resolve(MASKED_LM)
    model = transformers.BertForMaskedLM.from_pretrained(folder).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    return transformers.pipeline("fill-mask", model=model, tokenizer=tokenizer)


def assert_same(found, expected):
    if isinstance(expected, list):
        assert len(found) == len(expected)
        for a, b in zip(found, expected, strict=True):
            assert_same(a, b)
        return
    assert found.keys() == expected.keys()
    assert found["score"] == pytest.approx(expected["score"], abs=1e-5)
    assert {k: v for k, v in found.items() if k != "score"} == {k: v for k, v in expected.items() if k != "score"}


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("options", [{}, {"top_k": 1}, {"top_k": 3, "targets": ["home", "paris", "opened"]}])
def test_equals_the_pipeline_of_transformers(loaded, pipeline, backend, options):
    model = loaded(MASKED_LM, backend=backend)
    assert_same(model(TEXTS, **options), pipeline(TEXTS, **options))
    assert_same(model(TEXTS[1], **options), pipeline(TEXTS[1], **options))


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_logits_at_masks_are_those_of_the_whole_sequence(loaded, backend):
    model = loaded(MASKED_LM, backend=backend)
    batch = model.tokenizer(TEXTS, padding=True, return_tensors="np")
    positions = np.array([[6, 6], [2, 6], [1, 1], [2, 0]])
    whole = model.forward(**batch)["logits"]
    found = model.forward(**batch, mask_positions=positions)["logits"]
    assert found.shape == (4, 2, 30522)
    np.testing.assert_allclose(found, np.take_along_axis(whole, positions[..., None], 1), atol=3e-5)


def test_no_array_of_every_position_and_the_vocabulary_is_made(loaded, monkeypatch):
    model = loaded(MASKED_LM, backend="numpy")
    shapes = []
    decoder = model.module.cls.predictions.decoder
    forward = type(decoder).forward

    def spy(self, x):
        logits = forward(self, x)
        shapes.extend([(x.shape, logits.shape)] if self is decoder else [])
        return logits

    monkeypatch.setattr(type(decoder), "forward", spy)
    model(TEXTS)
    assert shapes == [((1, 1, 128), (1, 1, 30522)), ((3, 2, 128), (3, 2, 30522))]


def test_what_cannot_be_filled_is_an_error(loaded):
    model = loaded(MASKED_LM, backend="numpy")
    with pytest.raises(ValueError, match=r"input 1 has no \[MASK\] in its first 512 tokens: 'nothing to fill'"):
        model(["a [MASK]", "nothing to fill"])
    with pytest.raises(ValueError, match="input 0 has no"):
        model("word " * 600 + "[MASK]")
    with pytest.raises(ValueError, match="top_k is 0"):
        model("[MASK]", top_k=0)
    with pytest.raises(ValueError, match="targets is empty"):
        model("[MASK]", targets=[])
    with pytest.warns(UserWarning, match="'qwertzuiop' is not in the vocabulary: 'q' is ranked instead"):
        assert model("[MASK]", targets="qwertzuiop")[0]["token_str"] == "q"


@pytest.mark.parametrize("backend", BACKENDS)
def test_bad_positions_are_refused_alike(loaded, backend):
    model = loaded(MASKED_LM, backend=backend)
    batch = model.tokenizer(TEXTS, padding=True, return_tensors="np")
    with pytest.raises(ValueError, match=r"mask_positions\[0, 0\] is 99, expected 0 to 22"):
        model.forward(**batch, mask_positions=np.full((4, 1), 99))
    with pytest.raises(ValueError, match=r"mask_positions is int64 \[3, 1\], expected \[4, K\]"):
        model.forward(**batch, mask_positions=np.zeros((3, 1), int))
