"""The arguments of the hub's pipelines: each is run, with equal results, or refused by name with the way out."""

from __future__ import annotations

import inspect
import re

import numpy as np
import pytest
import transformers
from tiny import SENTENCE, write_checkpoint
from transformers import pipelines

import bertx
from bertx.generation.config import OPTIONS
from bertx.tasks import zero_shot_classification

LONG = " ".join((SENTENCE.split()[:20] * 2)[:30])
TEXTS = ["the happy dog", LONG, "where is the cat ? it sat on the mat"]
PAIR = {"text": "where is the cat ?", "text_pair": "it sat on the mat in the city"}
SHORT = {"max_length": 7, "truncation": True}
LENGTHS = [SHORT, SHORT | {"padding": True}, SHORT | {"padding": "max_length"}, {"max_length": 36, "truncation": False}]

# Of a task: its head, changes of the config, the hub's class and inputs, then what it is called with where that runs,
# and the names that are refused, with a part of what the error says to do.
TASKS = {
    "feature-extraction": (
        "BertModel",
        {},
        pipelines.FeatureExtractionPipeline,
        TEXTS,
        [{}, {"truncation": True}, *({"tokenize_kwargs": options} for options in LENGTHS)],
        {"return_tensors": "NumPy arrays"},
    ),
    "text-classification": (
        "BertForSequenceClassification",
        {},
        pipelines.TextClassificationPipeline,
        [*TEXTS, PAIR],
        [{"top_k": None, "function_to_apply": "SIGMOID"}, *(options | {"top_k": 2} for options in LENGTHS)],
        {
            "add_special_tokens": "max_length, truncation, padding",
            "stride": "max_length, truncation, padding",
            "return_all_scores": "top_k=None",
        },
    ),
    "fill-mask": (
        "BertForMaskedLM",
        {},
        pipelines.FillMaskPipeline,
        [f"the [MASK] {text}" for text in TEXTS],
        [{}, {"top_k": 3, "targets": ["dog", "cat"]}, *({"tokenizer_kwargs": options} for options in LENGTHS)],
        {},
    ),
    "token-classification": (
        "BertForTokenClassification",
        {},
        pipelines.TokenClassificationPipeline,
        TEXTS,
        [
            {"ignore_labels": []},
            {"ignore_labels": None, "aggregation_strategy": None},
            {"aggregation_strategy": "SIMPLE", "stride": 3},
            {"is_split_into_words": True, "delimiter": "-", "ignore_labels": []},
        ],
        {"offset_mapping": "the model's tokenizer", "grouped_entities": "aggregation='simple'"},
    ),
    "zero-shot-classification": (
        "BertForSequenceClassification",
        {"num_labels": 2, "id2label": {0: "entailment", 1: "not"}, "label2id": {"entailment": 0, "not": 1}},
        pipelines.ZeroShotClassificationPipeline,
        TEXTS,
        [{"candidate_labels": ["dog", "cat"], "hypothesis_template": "it is {} .", "multi_label": True}],
        {},
    ),
    "text-generation": (
        "BertLMHeadModel",
        {"is_decoder": True},
        pipelines.TextGenerationPipeline,
        [],
        [],
        {
            "return_full_text": "model.tokenizer.decode",
            "return_tensors": "model.tokenizer.decode",
            "return_text": "model.tokenizer.decode",
            "return_type": "model.tokenizer.decode",
            "clean_up_tokenization_spaces": "model.tokenizer.decode",
            "skip_special_tokens": "model.tokenizer.decode",
            "prefix": "before each prompt",
            "handle_long_generation": "shorten the prompts",
            "stop_sequence": "eos_token_id",
            "truncation": "shorten the prompts",
            "continue_final_message": "no chat template",
            "tools": "no chat template",
            "documents": "no chat template",
            "tokenizer_encode_kwargs": "shorten the prompts",
            "num_beam": "the arguments are prompts, max_new_tokens",
            "constraints": "bad_words_ids or suppress_tokens",
            "penalty_alpha": "repetition_penalty",
            "streamer": "stream=True",
        },
    ),
    "summarization": (  # transformers 5 has no such pipeline: the names are those of 4.57.6
        "EncoderDecoderModel",
        {},
        None,
        [],
        [],
        {
            "return_tensors": "model.tokenizer.decode",
            "return_text": "model.tokenizer.decode",
            "return_type": "model.tokenizer.decode",
            "clean_up_tokenization_spaces": "model.tokenizer.decode",
            "stop_sequence": "eos_token_id",
            "padding": "batches are padded",
            "tokenizer_kwargs": "the arguments are documents, max_new_tokens",
            "constraints": "bad_words_ids or suppress_tokens",
        },
    ),
    "question-answering": (  # transformers 5 has no such pipeline: the names are those of 4.57.6
        "BertForQuestionAnswering",
        {},
        None,
        [],
        [],
        {
            "padding": "batches are padded",
            "topk": "top_k",
            "doc_stride": "stride",
            "max_answer_len": "max_answer_length",
            "max_seq_len": "max_length",
            "max_question_len": "shorten the questions",
            "align_to_words": "borders of words",
        },
    ),
}
EVERY_TASK = {"batch_size": "batch_tokens", "num_workers": "in this process", "no_such": "the arguments are"}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Of a task: a function that calls it, and its folder."""
    known = {}

    def of(task):
        if task not in known:
            head, changes, *_ = TASKS[task]
            folder = write_checkpoint(tmp_path_factory.mktemp("task") / "model", head, **changes)
            model = bertx.load(folder, backend="numpy")
            if task == "zero-shot-classification":
                known[task] = (lambda texts, **options: zero_shot_classification(model, texts, **options)), folder
            else:
                known[task] = model, folder
        return known[task]

    return of


def assert_same(found, expected):
    if isinstance(expected, dict):
        assert found.keys() == expected.keys()
        for key in expected:
            assert_same(found[key], expected[key])
    elif isinstance(expected, list):
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            assert_same(one, other)
    elif isinstance(expected, (float, np.floating)):
        assert found == pytest.approx(expected, abs=1e-5)
    else:
        assert found == expected


@pytest.mark.filterwarnings("ignore")  # the hub's own
@pytest.mark.parametrize("task", [task for task, (*_, runs, _) in TASKS.items() if runs])
def test_an_option_that_runs_gives_what_the_hub_gives(made, task):
    _, _, _, inputs, runs, _ = TASKS[task]
    call, folder = made(task)
    peer = transformers.pipeline(task, model=str(folder), device="cpu")
    for options in runs:
        if options.get("is_split_into_words"):
            inputs = [text.split() for text in inputs]
        expected = peer(list(inputs), **{k: dict(v) if isinstance(v, dict) else v for k, v in options.items()})
        found = call(list(inputs), **options)
        if task == "feature-extraction":
            for vectors, (of_peer,) in zip(found, expected, strict=True):
                np.testing.assert_allclose(vectors, of_peer, atol=1e-5)
        else:
            assert_same(found, expected)


@pytest.mark.parametrize("task", TASKS)
def test_an_option_that_does_not_run_is_refused_by_name(made, task):
    call, _ = made(task)
    refused = TASKS[task][-1] | EVERY_TASK
    for name, instead in refused.items():
        with pytest.raises(TypeError, match=f"{task} does not take {name}:.*\n  {name}: .*{re.escape(instead)}"):
            call("the dog", **{name: 1})
    with pytest.raises(TypeError, match="does not take batch_size, num_workers:"):  # all in one error
        call("the dog", batch_size=8, num_workers=2)


@pytest.mark.parametrize("task", [task for task, (_, _, peer, *_) in TASKS.items() if peer is not None])
def test_the_table_has_every_option_of_the_hub(task):
    _, _, peer, _, runs, refused = TASKS[task]
    parameters = inspect.signature(peer._sanitize_parameters).parameters.values()
    names = {one.name for one in parameters if one.kind is not one.VAR_KEYWORD} - {"self"}
    taken = {name for options in runs for name in options} | ({*OPTIONS} if task == "text-generation" else set())
    assert names - taken <= set(refused)


def test_arguments_of_the_tokenizer(made):
    extract, classify, fill = (made(task)[0] for task in ("feature-extraction", "text-classification", "fill-mask"))
    for call, name in ((extract, "tokenize_kwargs"), (fill, "tokenizer_kwargs")):
        with pytest.raises(TypeError, match=rf"{name}\['stride'\]: of the tokenizer's arguments .* max_length"):
            call("the [MASK]", **{name: {"stride": 3, "max_length": 7}})
        with pytest.raises(TypeError, match="is given max_length twice"):
            call("the [MASK]", max_length=7, **{name: {"max_length": 7}})
        with pytest.raises(TypeError, match=f"{name} is 7, expected a dict"):
            call("the [MASK]", **{name: 7})
    for call in (extract, classify, fill):
        for length in (0, 38, 7.0, True):
            with pytest.raises(ValueError, match=f"max_length is {length}, expected a number from 1 to 37"):
                call("the [MASK]", max_length=length)
        with pytest.raises(ValueError, match="truncation is 'left', expected one of None, True"):
            call("the [MASK]", truncation="left")
        with pytest.raises(ValueError, match="padding is 2, expected one of None, True"):
            call("the [MASK]", padding=2)
        with pytest.raises(ValueError, match="input 1 has 82 tokens, the model 37 positions: shorten it"):
            call(["the [MASK]", "[MASK] " + "dog " * 79], truncation=False)
    np.testing.assert_array_equal(extract(LONG, max_length=7), extract(LONG, tokenize_kwargs={"max_length": 7}))
    only_second = classify((LONG, LONG), max_length=36, truncation="only_second")
    assert only_second != classify((LONG, LONG), max_length=36)
