"""A text gives the same alone as in a batch, whatever the side that the checkpoint's tokenizer pads."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from tiny import write_checkpoint

from support import BACKENDS, HEADS

TEXTS = ["the happy dog", "a cat sat on the mat in the city .", "it is", "who walks in the house ? " * 3]
INPUTS = {
    "feature-extraction": TEXTS,
    "fill-mask": [f"{text} [MASK]" for text in TEXTS],
    "text-classification": TEXTS,
    "token-classification": TEXTS,
    "text-generation": TEXTS[:3],
    "next-sentence-prediction": [(text, "it is a river") for text in TEXTS],
    "question-answering": [{"question": "who sat ?", "context": text} for text in TEXTS],
    "multiple-choice": [{"question": "who ?", "choices": TEXTS[: 2 + i]} for i in range(3)],
}
OPTIONS = {
    "fill-mask": {"top_k": 3},
    "text-classification": {"top_k": None},
    "text-generation": {"max_new_tokens": 4},
    "question-answering": {"top_k": 3},
}
POOLINGS = ("none", "cls", "mean", "max")


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """task → (side → the folder of a checkpoint that pads there)."""
    made = {}
    for head, task in HEADS.items():
        if task in INPUTS:
            right = write_checkpoint(tmp_path_factory.mktemp(task) / "right", head, {"padding_side": "right"})
            left = right.with_name("left")
            shutil.copytree(right, left)
            settings = json.loads((left / "tokenizer_config.json").read_text())
            (left / "tokenizer_config.json").write_text(json.dumps(settings | {"padding_side": "left"}))
            made[task] = {"left": left, "right": right}
    return made


def _same(found, expected):
    if isinstance(expected, (dict, list)):
        assert len(found) == len(expected)
        for key in expected if isinstance(expected, dict) else range(len(expected)):
            _same(found[key], expected[key])
    elif isinstance(expected, (float, np.ndarray)):
        np.testing.assert_allclose(found, expected, atol=2e-5)
    else:
        assert found == expected


@pytest.mark.parametrize("task", INPUTS)
def test_a_text_alone_and_in_a_batch(loaded, folders, task):
    """The reference is each text alone on NumPy, with the tokenizer padding on the right: there is nothing to pad."""
    assert loaded(folders[task]["left"], backend="numpy").tokenizer.padding_side == "left"
    inputs = INPUTS[task]
    options = (
        [{"pooling": pooling} for pooling in POOLINGS] if task == "feature-extraction" else [OPTIONS.get(task, {})]
    )
    for option in options:
        expected = [loaded(folders[task]["right"], backend="numpy")(one, **option) for one in inputs]
        for backend in BACKENDS if option is options[0] else ["numpy"]:
            left = loaded(folders[task]["left"], backend=backend)
            _same(left(inputs[0], **option), expected[0])
            _same(list(left(inputs, **option, batch_tokens=10_000)), expected)
