"""A decoder that attends to texts which an encoder read once: each row as alone, on every backend."""

from __future__ import annotations

import numpy as np
import pytest

from bertx.backend import get_backend
from bertx.testing import build, inputs_of, oracle
from support import BACKENDS

HEAD = "EncoderDecoderModel"


@pytest.mark.parametrize("backend", BACKENDS)
def test_rows_attend_to_their_own_texts(backend):
    """Also where rows come again and leave on the way, and their texts with them."""
    chosen = get_backend(backend)
    model, inputs = build(chosen, HEAD, "float32"), inputs_of(HEAD, "right")
    ids, mask = inputs["input_ids"], inputs["attention_mask"]
    generator = np.random.default_rng(0)
    decoder = chosen.decoder(model.module).encode(ids, mask)
    rows, texts = [[2] for _ in ids], [0, 1, 2, 3]
    found, cache = decoder.prefill(np.array(rows), np.ones(len(rows), np.int64), False)
    for step in range(12):
        positions = 2 + np.arange(len(rows[0]))[None].repeat(len(rows), 0)
        expected = oracle(HEAD).forward(
            input_ids=ids[texts],
            attention_mask=mask[texts],
            decoder_input_ids=np.array(rows),
            decoder_position_ids=positions,
        )["logits"]
        assert np.abs(found - expected[:, -1]).max() <= 4e-6, step
        if step in (2, 5):
            kept = [2, 0, 0, 1, 1] if step == 2 else [1, 4]
            cache, rows, texts = cache.select(kept), [list(rows[i]) for i in kept], [texts[i] for i in kept]
        tokens = generator.integers(2, model.config.decoder_vocab_size, len(rows))
        rows = [[*row, int(token)] for row, token in zip(rows, tokens, strict=True)]
        found = decoder.step(tokens, cache, False)


def test_what_has_no_text_is_an_error():
    chosen = get_backend("numpy")
    inputs = inputs_of(HEAD, "right")
    with pytest.raises(ValueError, match="the model has no encoder"):
        chosen.decoder(build(chosen, "BertLMHeadModel", "float32").module).encode(
            inputs["input_ids"], inputs["input_ids"]
        )
    with pytest.raises(ValueError, match="encode them first"):
        chosen.decoder(build(chosen, HEAD, "float32").module).prefill(np.array([[2]]), np.array([1]), False)
