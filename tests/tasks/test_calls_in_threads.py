"""Eight threads on one model, and on one tokenizer, with different settings and lengths, give what one thread gives."""

from __future__ import annotations

import functools
import random
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from tiny import SENTENCE, write_checkpoint

import bertx
from bertx.tasks import zero_shot_classification
from bertx.tokenizers.bert import BertTokenizer
from support import BACKENDS

THREADS = 8
ROUNDS = 3
WORDS = SENTENCE.split()
RANDOM = random.Random(5)
# From one word to more than any model here takes.
TEXTS = [" ".join(RANDOM.choices(WORDS, k=length)) for length in (1, 90, 4, 30, 2, 200, 8, 60, 3, 14)]


def fill_mask(model, part):
    return model([f"the [MASK] {text}" for text in part], top_k=2)


def answers(model, part):
    return model([(" ".join(text.split()[:3]), f"{text} house") for text in part])


def generated(model, part):
    return model([" ".join(text.split()[:4]) for text in part], max_new_tokens=3)


NLI = {"num_labels": 2, "id2label": {0: "entailment", 1: "not"}, "label2id": {"entailment": 0, "not": 1}}


def ranked(model, part):
    return zero_shot_classification(model, part, ["dog", "cat"])


# Head, changes of its config, and a call of its task on a part of the texts.
TASKS = {
    "fill-mask": ("BertForMaskedLM", {}, fill_mask),
    "text-classification": ("BertForSequenceClassification", {}, lambda model, part: model(part)),
    "token-classification": ("BertForTokenClassification", {}, lambda model, part: model(part)),
    "feature-extraction": ("BertModel", {}, lambda model, part: model(part)),
    "question-answering": ("BertForQuestionAnswering", {}, answers),
    "text-generation": ("BertLMHeadModel", {"is_decoder": True}, generated),
    "zero-shot-classification": ("BertForSequenceClassification", NLI, ranked),
}


def parts():
    """What each call gets: one text, short ones, long ones, all."""
    return [TEXTS[:1], TEXTS[1:2], TEXTS[2:7:2], TEXTS[1:8:2], TEXTS, TEXTS[::-1], TEXTS[5:6], TEXTS[4:5]]


def same(found, expected):
    """Equal, with the noise of a batch's shape in the numbers."""
    if isinstance(expected, dict):
        return found.keys() == expected.keys() and all(same(found[key], expected[key]) for key in expected)
    if isinstance(expected, (list, tuple)):
        return len(found) == len(expected) and all(map(same, found, expected))
    if isinstance(expected, (float, np.ndarray, np.floating)):
        return np.allclose(found, expected, atol=1e-5)
    return found == expected


def in_threads(call, jobs):
    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(call, jobs))


def check(folder, backend, task):
    model = bertx.load(folder, backend=backend)
    # Beside the task's calls, others cut and pad with the same tokenizer to lengths of their own.
    calls = [functools.partial(TASKS[task][2], model, part) for part in parts()]
    calls += [
        functools.partial(model.tokenizer, TEXTS, padding=True, truncation=True, max_length=length)
        for length in (3, 7, 5)
    ]
    expected = [call() for call in calls]
    jobs = [*range(len(calls))] * ROUNDS
    RANDOM.shuffle(jobs)
    found = in_threads(lambda i: calls[i](), jobs)
    wrong = [i for i, values in zip(jobs, found, strict=True) if not same(values, expected[i])]
    assert not wrong


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    @functools.cache
    def written(task):
        head, changes, _ = TASKS[task]
        return write_checkpoint(tmp_path_factory.mktemp(task), head, **changes)

    return written


@pytest.mark.parametrize("task", TASKS)
def test_eight_threads_give_what_one_gives_on_numpy(folder, task):
    check(folder(task), "numpy", task)


@pytest.mark.slow
@pytest.mark.parametrize("backend", [name for name in BACKENDS if name != "numpy"])
@pytest.mark.parametrize("task", TASKS)
def test_eight_threads_give_what_one_gives(folder, backend, task):
    check(folder(task), backend, task)


def test_calls_with_different_settings_in_eight_threads(folder):
    tokenizer = BertTokenizer.from_pretrained(folder("fill-mask"))
    settings = [
        {},
        {"padding": True},
        {"truncation": True, "max_length": 6, "padding": "max_length"},
        {"truncation": True, "max_length": 12, "stride": 3, "return_overflowing_tokens": True},
        {"truncation": "only_second", "max_length": 230, "add_special_tokens": False},
        {"truncation": True, "max_length": 9, "padding": True, "padding_side": "left"},
    ]
    pairs = [None, TEXTS[::-1]]
    jobs = [
        (options, pair) for options in settings for pair in pairs if pair or options.get("truncation") != "only_second"
    ]

    def call(job):
        return dict(tokenizer(TEXTS, job[1], **job[0], verbose=False))

    expected = [call(job) for job in jobs]
    assert in_threads(call, jobs * 20) == expected * 20
    assert tokenizer.backend_tokenizer.truncation is None and tokenizer.backend_tokenizer.padding is None
