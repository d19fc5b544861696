from __future__ import annotations

import pytest
import torch
import transformers

from bertx.hub.sources import resolve
from conftest import MINILM
from support import BACKENDS

LABELS = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC", "MISC"]
TEXTS = [
    "Angela Merkel met Emmanuel Macron in Reykjavík, and nobody from Microsoft was there.",
    "",
    "Unaffableness!",
    "京都 and Zürich 😀😀 are far apart; internationalisation isn't.",
]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    folder = tmp_path_factory.mktemp("token_classification")
    torch.manual_seed(1)
    names = dict(enumerate(LABELS))
    model = transformers.BertForTokenClassification.from_pretrained(
        resolve(MINILM), id2label=names, label2id={label: i for i, label in names.items()}
    ).eval()
    torch.nn.init.normal_(model.classifier.weight, 0, 0.3)
    model.save_pretrained(folder)
    tokenizer = transformers.AutoTokenizer.from_pretrained(resolve(MINILM))
    tokenizer.save_pretrained(folder)
    return model, tokenizer, folder


def assert_same(found, expected):
    assert len(found) == len(expected)
    for a, b in zip(found, expected, strict=True):
        assert a["score"] == pytest.approx(b["score"], abs=1e-5)
        assert {k: v for k, v in a.items() if k != "score"} == {k: v for k, v in b.items() if k != "score"}


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("aggregation", ["none", "simple", "first", "average", "max"])
def test_equals_the_pipeline_of_transformers(checkpoint, loaded, backend, aggregation):
    model, tokenizer, folder = checkpoint
    pipeline = transformers.pipeline(
        "token-classification", model=model, tokenizer=tokenizer, aggregation_strategy=aggregation
    )
    mine = loaded(folder, backend=backend)
    seen = 0
    for text, found in zip(TEXTS, mine(TEXTS, aggregation=aggregation), strict=True):
        expected = pipeline(text)
        assert_same(found, expected)
        assert_same(mine(text, aggregation=aggregation, ignore_labels=[]), pipeline(text, ignore_labels=[]))
        for entity in found:
            assert 0 <= entity["start"] < entity["end"] <= len(text)
        seen += len(found)
    assert seen > 10


@pytest.mark.parametrize("aggregation", ["simple", "first", "average", "max"])
def test_a_long_text_in_windows_equals_the_pipeline(checkpoint, loaded, aggregation):
    model, tokenizer, folder = checkpoint
    text = " ".join(f"{TEXTS[0]} It was the {i}th time." for i in range(40))
    assert len(tokenizer(text)["input_ids"]) > 900
    pipeline = transformers.pipeline(
        "token-classification", model=model, tokenizer=tokenizer, aggregation_strategy=aggregation, stride=100
    )
    assert_same(loaded(folder, backend="numpy")(text, aggregation=aggregation, stride=100), pipeline(text))


def test_the_tokens_of_a_long_text_are_each_labelled_once(checkpoint, loaded):
    _, tokenizer, folder = checkpoint
    text = " ".join(TEXTS[0] for _ in range(60))
    found = loaded(folder, backend="numpy")(text, ignore_labels=[])
    offsets = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
    assert [(token["start"], token["end"]) for token in found] == offsets


def test_an_unknown_aggregation_is_an_error(checkpoint, loaded):
    with pytest.raises(ValueError, match="aggregation is 'sum', expected one of none, simple, first, average, max"):
        loaded(checkpoint[2], backend="numpy")("text", aggregation="sum")


WORDS = [
    ["Angela", "Merkel", "met", "Emmanuel Macron", "in", "Reykjavík", ",", "", "unaffableness", "京都", "😀😀"],
    ["internationalisation"],
]


@pytest.mark.parametrize("delimiter", [None, "", "--"])
@pytest.mark.parametrize("aggregation", ["none", "simple", "first", "average", "max"])
def test_lists_of_words_equal_the_pipeline(checkpoint, loaded, aggregation, delimiter):
    model, tokenizer, folder = checkpoint
    pipeline = transformers.pipeline("token-classification", model=model, tokenizer=tokenizer)
    mine, options = loaded(folder, backend="numpy"), {"is_split_into_words": True, "aggregation_strategy": aggregation}
    if delimiter is not None:
        options["delimiter"] = delimiter
    for labels in (["O"], []):
        expected = pipeline(WORDS, ignore_labels=labels, **options)
        found = mine(WORDS, ignore_labels=labels, **options)
        assert len(found) == len(expected) == 2
        for a, b in zip(found, expected, strict=True):
            assert_same(a, b)
    # One list of words is a batch of one.
    (found,), (expected,) = mine(WORDS[0], **options), pipeline(WORDS[0], **options)
    assert_same(found, expected)
    (found, _) = mine(iter(WORDS), **options)
    assert_same(found, expected)


@pytest.mark.parametrize("aggregation", ["simple", "first", "average", "max"])
def test_many_words_in_windows_equal_the_pipeline(checkpoint, loaded, aggregation):
    model, tokenizer, folder = checkpoint
    words = [word for i in range(50) for word in (*WORDS[0], f"the {i}th")]
    options = {"is_split_into_words": True, "aggregation_strategy": aggregation, "stride": 100}
    pipeline = transformers.pipeline("token-classification", model=model, tokenizer=tokenizer)
    assert len(tokenizer(words, is_split_into_words=True)["input_ids"]) > 900
    (found,), (expected,) = loaded(folder, backend="numpy")(words, **options), pipeline(words, **options)
    assert_same(found, expected)


def test_max_length_is_that_of_a_window(checkpoint, loaded):
    model = loaded(checkpoint[2], backend="numpy")
    found = model(TEXTS[0], max_length=8, ignore_labels=[])
    assert max(token["index"] for token in found) <= 6  # of 0 to 7, [SEP] being the last
    assert [token["start"] for token in found] == [token["start"] for token in model(TEXTS[0], ignore_labels=[])]


def test_texts_and_words_are_not_mixed_up(checkpoint, loaded):
    model = loaded(checkpoint[2], backend="numpy")
    with pytest.raises(ValueError, match=r"input 0 is \['a', 'b'\]: expected a string, .* is_split_into_words=True"):
        model([["a", "b"]])
    with pytest.raises(ValueError, match="input 0 is 'a b': expected a list of words"):
        model("a b", is_split_into_words=True)
    with pytest.raises(ValueError, match=r"input 1 is \['a', 1\]: expected a list of words"):
        model([["a"], ["a", 1]], is_split_into_words=True)
    assert model([], is_split_into_words=True) == [] and model([[]], is_split_into_words=True) == [[]]
