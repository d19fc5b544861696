"""Summaries of documents: those of transformers' `generate` for each document alone, on every backend."""

from __future__ import annotations

import json
import logging

import numpy as np
import pytest
import torch
import transformers
from tiny import CLS, PAD, WORDS, write_pair

import bertx
from bertx.generation import GenerationConfig
from bertx.generation.processors import forbid_ngrams_of_text
from bertx.generation.rows import Rows
from bertx.tasks import summarization
from bertx.testing import SIZES
from support import BACKENDS

RANDOM = np.random.default_rng(0)
# Of one word, of as many as the encoder takes, and between.
DOCUMENTS = ["", *(" ".join(RANDOM.choice(WORDS, length)) for length in (1, 5, 34, 3, 20))]
SETTINGS = {
    "as it is": {},
    "greedy": {"num_beams": 1, "max_new_tokens": 9},
    "ngrams": {"no_repeat_ngram_size": 2, "max_length": 12, "min_length": 6, "length_penalty": 2.0},
    "not of the document": {"encoder_no_repeat_ngram_size": 1, "num_beams": 2, "max_new_tokens": 8},
    "no two words of it": {"encoder_no_repeat_ngram_size": 2, "num_beams": 1, "max_new_tokens": 12},
    "several": {"num_beams": 3, "num_return_sequences": 2, "max_new_tokens": 6, "early_stopping": True},
}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return write_pair(tmp_path_factory.mktemp("bert2bert"))


@pytest.fixture(scope="module")
def expected(checkpoint):
    """setting → of each document [(tokens, score)] by transformers, each alone, in float32."""
    model, folder = checkpoint
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    known = {}

    def of(name):
        if name not in known:
            options = {"num_beams": 4, "max_length": SIZES["max_position_embeddings"]} | SETTINGS[name]
            if "max_new_tokens" in options:
                del options["max_length"]
            known[name] = []
            for document in DOCUMENTS:
                ids = torch.tensor([tokenizer(document)["input_ids"]])
                found = model.generate(
                    ids,
                    attention_mask=torch.ones_like(ids),
                    **options,
                    return_dict_in_generate=True,
                    output_scores=True,
                )
                rows = [[token for token in row[1:] if token != PAD] for row in found.sequences.tolist()]
                scores = [None] * len(rows) if options["num_beams"] == 1 else found.sequences_scores.tolist()
                known[name].append(list(zip(rows, scores, strict=True)))
        return known[name]

    return of


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", SETTINGS)
def test_summaries_are_those_of_transformers(checkpoint, expected, loaded, backend, name):
    """All documents in one batch, padded: what is padded is masked."""
    folder = checkpoint[1]
    model = loaded(folder, backend=backend)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    found = model(DOCUMENTS, batch_tokens=10_000, **SETTINGS[name])
    for mine, theirs in zip(found, expected(name), strict=True):
        for one, (tokens, score) in zip(mine if isinstance(mine, list) else [mine], theirs, strict=True):
            assert one["tokens"] == tokens
            assert one["summary_text"] == tokenizer.decode(tokens, skip_special_tokens=True)
            assert one.get("score") == pytest.approx(score, abs=2e-5)
    texts = [str(one) for one in found]
    assert len(set(texts)) >= 4  # they depend on the documents


def test_a_document_gives_the_same_alone_as_among_others(checkpoint, loaded):
    model = loaded(checkpoint[1], backend="numpy")
    drawn = {"do_sample": True, "num_beams": 1, "max_new_tokens": 8, "seed": 3}
    beams = {"do_sample": True, "num_beams": 3, "max_new_tokens": 6, "num_return_sequences": 2}
    for options in ({}, drawn, beams):
        found = model(DOCUMENTS, **options)
        for document, of_document in zip(DOCUMENTS, found, strict=True):
            alone = model(document, **options)
            for one, other in zip(
                alone if isinstance(alone, list) else [alone],
                of_document if isinstance(of_document, list) else [of_document],
                strict=True,
            ):
                assert one["tokens"] == other["tokens"]
    assert model(DOCUMENTS, **drawn) != model(DOCUMENTS, **drawn | {"seed": 4})
    assert (
        model(DOCUMENTS[3], top_k=1, **drawn)["tokens"] == model(DOCUMENTS[3], num_beams=1, max_new_tokens=8)["tokens"]
    )


def test_the_task_of_a_checkpoint_is_recognised(checkpoint, loaded):
    model = loaded(checkpoint[1], backend="numpy")
    assert (model.task, model.architecture) == ("summarization", "EncoderDecoderModel")
    for task in ("summarization", "text2text-generation"):
        assert bertx.load(checkpoint[1], task=task, backend="numpy").task == "summarization"
    assert set(model("the happy dog", num_beams=1)) == {"summary_text", "tokens"}


def test_longer_documents_are_cut_and_told(checkpoint, loaded, caplog):
    model = loaded(checkpoint[1], backend="numpy")
    longest = SIZES["max_position_embeddings"]
    whole, long = " ".join(["dog"] * (longest - 2)), " ".join(["dog"] * (longest - 1))
    caplog.set_level(logging.WARNING, "bertx")
    assert model(long, num_beams=1) == model(whole, num_beams=1)
    message = "1 of 1 documents are longer than 37 tokens: their summaries are of what comes before that"
    assert [record.getMessage() for record in caplog.records] == [message]
    caplog.clear()
    model([whole, "the dog"], num_beams=1)
    assert not caplog.records
    short = model(["the cat sat on the mat", "the dog"], max_source_length=5, num_beams=1)
    assert short == model(["the cat sat", "the dog"], num_beams=1)
    assert [record.getMessage() for record in caplog.records] == [message.replace("of 1", "of 2").replace("37", "5")]
    with pytest.raises(ValueError, match="input 1 has 38 tokens, the model 37 positions: shorten it"):
        model(["dog", long], truncation=False)
    with pytest.raises(ValueError, match="max_source_length is 38, expected a number from 1 to 37"):
        model("dog", max_source_length=38)
    # The length of a document is no option of what is written.
    assert len(model(whole, max_length=4, num_beams=1)["tokens"]) <= 3


def test_a_stream_gives_the_text_of_greedy_search(checkpoint, loaded):
    model = loaded(checkpoint[1], backend="numpy")
    options = {"num_beams": 1, "max_new_tokens": 20, "eos_token_id": []}
    counts = []
    for document in DOCUMENTS:
        parts = list(model(document, stream=True, **options))
        assert "".join(parts) == model(document, **options)["summary_text"]
        counts.append(len(parts))
    assert max(counts) > 3
    with pytest.raises(ValueError, match=r"num_beams is 4 .* only one .* can be streamed, .*: give num_beams=1"):
        model("the dog", stream=True)
    with pytest.raises(TypeError, match="expected one text"):
        model(DOCUMENTS, stream=True, num_beams=1)


def test_words_that_are_not_written(checkpoint, loaded):
    model = loaded(checkpoint[1], backend="numpy")
    options = {"num_beams": 1, "max_new_tokens": 8}
    before = model(DOCUMENTS[3], **options)
    words = list(dict.fromkeys(before["summary_text"].split()))[:2]
    after = model(DOCUMENTS[3], bad_words=words, **options)
    assert not set(words) & set(after["summary_text"].split()) and after != before
    assert model(DOCUMENTS[3], bad_words=[], **options) == before
    with pytest.raises(ValueError, match="bad_words has '漢字', which the vocabulary has no tokens for"):
        model("the dog", bad_words=["漢字"])
    with pytest.raises(TypeError, match="bad_words is 'dog', expected a list of texts"):
        model("the dog", bad_words="dog")


def _changed(folder, target, change):
    model = bertx.load(folder, backend="numpy")
    model.save(target)
    config = json.loads((target / "config.json").read_text())
    change(config)
    (target / "config.json").write_text(json.dumps(config))
    return bertx.load(target, backend="numpy")


def test_what_the_files_of_a_checkpoint_say(checkpoint, loaded, tmp_path):
    """The config.json of transformers 4 has options, in the decoder's too; generation_config.json comes first."""
    folder, model = checkpoint[1], loaded(checkpoint[1], backend="numpy")
    document = DOCUMENTS[5]

    def old(config):
        config["num_beams"] = 2
        config["decoder"] |= {"no_repeat_ngram_size": 2, "max_length": 20, "top_k": 50, "num_beams": 1}
        del config["eos_token_id"]

    found = _changed(folder, tmp_path / "old", old)
    assert found(document) == model(document, num_beams=2, no_repeat_ngram_size=2)

    GenerationConfig(max_new_tokens=3, num_beams=2).save_pretrained(tmp_path / "old")
    again = bertx.load(tmp_path / "old", backend="numpy")
    assert again(document) == model(document, num_beams=2, max_new_tokens=3)

    def without(config):
        del config["decoder_start_token_id"]

    with pytest.raises(ValueError, match="decoder_start_token_id, the token that a summary begins with, is null"):
        _changed(folder, tmp_path / "none", without)(document)
    for wrong in (-1, SIZES["vocab_size"], "x", [CLS], True):
        (tmp_path / "none" / "generation_config.json").write_text(json.dumps({"decoder_start_token_id": wrong}))
        with pytest.raises(ValueError, match=r"the token that a summary begins with is .*, expected an id from 0 to"):
            bertx.load(tmp_path / "none", backend="numpy")(document)
    (tmp_path / "none" / "generation_config.json").write_text(json.dumps({"decoder_start_token_id": CLS}))
    assert bertx.load(tmp_path / "none", backend="numpy")(document) == model(document)


def test_a_model_that_is_saved_in_the_place_of_another_has_its_own_options(checkpoint, loaded, tmp_path):
    model = loaded(checkpoint[1], backend="numpy")
    model.save(tmp_path)
    GenerationConfig(num_beams=2, max_new_tokens=3).save_pretrained(tmp_path)
    other = bertx.load(tmp_path, backend="numpy")
    other.save(tmp_path)  # in its own place it keeps them
    assert GenerationConfig.from_pretrained(tmp_path) == GenerationConfig(num_beams=2, max_new_tokens=3)
    model.save(tmp_path)
    assert not (tmp_path / "generation_config.json").exists()
    assert bertx.load(tmp_path, backend="numpy")(DOCUMENTS[2]) == model(DOCUMENTS[2])


@pytest.mark.parametrize("size", [1, 2, 3])
def test_what_a_document_has_is_forbidden_as_in_transformers(checkpoint, loaded, monkeypatch, size):
    texts = RANDOM.integers(0, 5, (4, 12)).tolist()
    written = RANDOM.integers(0, 5, (4, 6)).tolist()
    rows = Rows(written, GenerationConfig(encoder_no_repeat_ngram_size=size), None, texts)
    scores = RANDOM.normal(size=(4, 5))
    peer = transformers.EncoderNoRepeatNGramLogitsProcessor(size, torch.tensor(texts))
    expected = peer(torch.tensor(written), torch.tensor(scores)).numpy()
    np.testing.assert_array_equal(forbid_ngrams_of_text(rows, scores, size), expected)
    assert np.isinf(expected).any()

    given = []
    monkeypatch.setattr(summarization, "generate", lambda *args, **options: given.append(options["texts"]) or [])
    model = loaded(checkpoint[1], backend="numpy")
    with pytest.raises(ValueError, match="expected 1, got 0"):
        model(["the dog"], num_beams=1)
    assert given == [[model.tokenizer("the dog")["input_ids"]]]
