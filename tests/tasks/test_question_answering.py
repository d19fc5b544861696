from __future__ import annotations

import itertools
import json

import numpy as np
import pytest

import bertx
from conftest import MINILM
from fixture_files import FIXTURES
from support import BACKENDS

SAID = json.loads((FIXTURES / "question_answering.json").read_text())
QUESTIONS = SAID["questions"]
# The pipeline's names of options → ours.
NAMES = {"max_answer_len": "max_answer_length", "max_seq_len": "max_length", "doc_stride": "stride"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """all-MiniLM with the head of tests/fixtures/make_question_answering.py."""
    with pytest.warns(UserWarning, match="initialised"):
        model = bertx.load(MINILM, task="question-answering", backend="numpy")
    head = model.module.qa_outputs
    head.weight.value = np.random.default_rng(0).normal(0, 0.6, (2, 384)).astype(np.float32)
    head.bias.value = np.zeros(2, np.float32)
    folder = tmp_path_factory.mktemp("question_answering")
    model.save(folder)
    return folder


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("case", SAID["said"], ids=lambda case: str(case["options"]))
def test_equals_the_pipeline_of_transformers(loaded, folder, backend, case):
    options = {NAMES.get(name, name): value for name, value in case["options"].items()}
    found = loaded(folder, backend=backend)(QUESTIONS, overlapping=True, **options)
    for question, mine, expected in zip(QUESTIONS, found, case["answers"], strict=True):
        mine, expected = ([one] if isinstance(one, dict) else one for one in (mine, expected))
        assert len(mine) == len(expected)
        for a, b in zip(mine, expected, strict=True):
            assert a["score"] == pytest.approx(b["score"], abs=1e-5)
            assert (a["start"], a["end"], a["answer"]) == (b["start"], b["end"], b["answer"])
            assert question["context"][a["start"] : a["end"]] == a["answer"]


def test_the_best_answer_is_the_pipelines_without_asking_for_overlaps(loaded, folder):
    model = loaded(folder, backend="numpy")
    for question, expected in zip(QUESTIONS, SAID["said"][0]["answers"], strict=True):
        assert model((question["question"], question["context"]))["answer"] == expected["answer"]


def test_several_answers_do_not_overlap(loaded, folder):
    for answers in loaded(folder, backend="numpy")(QUESTIONS[:3], top_k=4):
        assert len(answers) == 4
        spans = sorted((answer["start"], answer["end"]) for answer in answers)
        assert all(end <= start for (_, end), (start, _) in itertools.pairwise(spans))
        assert [a["score"] for a in answers] == sorted((a["score"] for a in answers), reverse=True)


def test_answers_are_at_most_so_long(loaded, folder):
    model = loaded(folder, backend="numpy")
    for answers in model(QUESTIONS[:3], top_k=5, max_answer_length=1, overlapping=True):
        assert all(" " not in answer["answer"] for answer in answers)


@pytest.mark.parametrize(
    ("question", "options", "message"),
    [
        ({"question": "Who?", "context": "  "}, {}, "input 0 has an empty context"),
        ({"question": "", "context": "Nobody."}, {}, "input 0 has an empty question"),
        ({"question": "Who?"}, {}, "input 0 is"),
        (("Who?", "Nobody."), {"top_k": 0}, "top_k is 0"),
        (("Who?", "Nobody."), {"max_answer_length": 0}, "max_answer_length is 0"),
        (("Who " * 100, "Nobody."), {"max_length": 60}, "input 0 has a question that leaves -"),
    ],
)
def test_what_cannot_be_answered_is_an_error(loaded, folder, question, options, message):
    with pytest.raises(ValueError, match=message):
        loaded(folder, backend="numpy")(question, **options)
