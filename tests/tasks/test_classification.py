from __future__ import annotations

import numpy as np
import pytest
import torch
import transformers

import bertx
from bertx.hub.sources import resolve
from conftest import MINILM
from support import BACKENDS

TEXTS = ["A happy person.", "", "What a terrible, terrible film: " + "bad " * 40, "fine"]
PAIRS = [("It rained.", "The street is wet."), ("It rained.", "Seven plus five is twelve."), ("a", "b " * 30)]
KINDS = {
    "single": {"num_labels": 4},
    "multi": {"num_labels": 3, "problem_type": "multi_label_classification"},
    "regression": {"num_labels": 2, "problem_type": "regression"},
    "one": {"num_labels": 1},
}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """(head, **changes) → a real encoder with a seeded head, and its folder."""
    made = {}

    def get(head, **changes):
        key = (head, *sorted(changes.items()))
        if key not in made:
            torch.manual_seed(0)
            folder = tmp_path_factory.mktemp(head)
            model = getattr(transformers, head).from_pretrained(resolve(MINILM), **changes).eval()
            for name, parameter in model.named_parameters():
                if not name.startswith("bert."):
                    torch.nn.init.normal_(parameter, 0, 0.5)
            model.save_pretrained(folder)
            tokenizer = transformers.AutoTokenizer.from_pretrained(resolve(MINILM))
            tokenizer.save_pretrained(folder)
            made[key] = model, tokenizer, folder
        return made[key]

    return get


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("kind", KINDS)
def test_equals_the_pipeline_of_transformers(checkpoint, loaded, backend, kind):
    model, tokenizer, folder = checkpoint("BertForSequenceClassification", **KINDS[kind])
    pipeline = transformers.pipeline("text-classification", model=model, tokenizer=tokenizer)
    mine = loaded(folder, backend=backend)
    pairs = [{"text": a, "text_pair": b} for a, b in PAIRS]
    for inputs in (TEXTS, pairs):
        for top_k in (None, 2):
            found, expected = mine(inputs, top_k=top_k), pipeline(inputs, top_k=top_k)
            if top_k is not None and KINDS[kind]["num_labels"] == 1:
                assert [len(row) for row in found] == [1] * len(inputs)
            for a, b in zip(found, expected, strict=True):
                assert [row["label"] for row in a] == [row["label"] for row in b]
                scores = [row["score"] for row in b]
                assert [row["score"] for row in a] == pytest.approx(scores, abs=1e-5)
    assert mine(TEXTS[0])["label"] == pipeline(TEXTS[0])[0]["label"]
    assert mine(PAIRS[0]) == mine({"text": PAIRS[0][0], "text_pair": PAIRS[0][1]})


def test_options_and_errors(checkpoint, loaded):
    mine = loaded(checkpoint("BertForSequenceClassification", num_labels=4)[2], backend="numpy")
    everything = mine("A text.", top_k=None)
    assert sum(row["score"] for row in everything) == pytest.approx(1, abs=1e-6)
    assert all(0 < row["score"] < 1 for row in mine("A text.", top_k=None, function_to_apply="sigmoid"))
    with pytest.raises(ValueError, match="function_to_apply is 'tanh', expected one of softmax, sigmoid, none"):
        mine("A text.", function_to_apply="tanh")
    with pytest.raises(ValueError, match="top_k is 0"):
        mine("A text.", top_k=0)
    with pytest.raises(TypeError, match="input 0 is 7: expected a string"):
        mine([7])


@pytest.mark.parametrize("backend", BACKENDS)
def test_next_sentence_equals_transformers(checkpoint, loaded, backend):
    model, tokenizer, folder = checkpoint("BertForNextSentencePrediction")
    with torch.no_grad():
        expected = [model(**tokenizer(*pair, return_tensors="pt")).logits.softmax(-1)[0, 0].item() for pair in PAIRS]
    found = loaded(folder, backend=backend)(PAIRS)
    assert [row["score"] for row in found] == pytest.approx(expected, abs=1e-5)
    assert [row["is_next"] for row in found] == [score >= 0.5 for score in expected]
    with pytest.raises(ValueError, match="input 1 is one text: give a pair"):
        loaded(folder, backend=backend)([PAIRS[0], "alone"])


@pytest.mark.parametrize("backend", BACKENDS)
def test_multiple_choice_equals_transformers(checkpoint, loaded, backend):
    model, tokenizer, folder = checkpoint("BertForMultipleChoice")
    questions = [
        {"question": "What is wet?", "choices": ["The street.", "A stone in the desert, far from any water."]},
        {"question": "Two and two?", "choices": ["four", "five", "a hundred"]},
    ]
    found = loaded(folder, backend=backend)(questions)
    for question, row in zip(questions, found, strict=True):
        choices = question["choices"]
        inputs = tokenizer([question["question"]] * len(choices), choices, padding=True, return_tensors="pt")
        with torch.no_grad():
            scores = model(**{k: v[None] for k, v in inputs.items()}).logits.softmax(-1)[0].numpy()
        np.testing.assert_allclose(row["scores"], scores, atol=1e-5)
        assert row["answer"] == choices[row["choice"]] == choices[int(scores.argmax())]
    with pytest.raises(ValueError, match="input 0 has 1 choices"):
        loaded(folder, backend=backend)({"question": "?", "choices": ["one"]})
    with pytest.raises(ValueError, match="input 0 is 'text'"):
        loaded(folder, backend=backend)("text")


def test_a_task_without_texts_yet_says_so():
    with pytest.warns(UserWarning, match="initialised"):
        model = bertx.load(MINILM, task="pretraining", backend="numpy")
    with pytest.raises(ValueError, match="does not run pretraining on text"):
        model("text")
