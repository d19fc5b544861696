"""bertx.train of summaries: what a batch has, ROUGE of what is written, and the encoder-decoder that a BERT becomes."""

from __future__ import annotations

import json
import logging

import numpy as np
import pytest
import transformers
from reviews import write_encoder
from task_data import CASES, SUMMARIES, write_checkpoint

import bertx
from bertx.data import Batches, collator_of
from bertx.registry import bases_of
from bertx.training.metrics import metrics_of
from bertx.training.recipe import Recipe
from bertx.training.run import train
from bertx.training.trainer import count_labels
from support import BACKENDS

FRAMEWORKS = [name for name in BACKENDS if name != "numpy"]
CASE = CASES["summaries"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_checkpoint(tmp_path_factory.mktemp("summaries"), CASE)


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    still = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    return write_encoder(tmp_path_factory.mktemp("encoder"), **still)


def collator(folder, **options):
    model = bertx.load(folder, backend="numpy")
    return collator_of("summarization", model.tokenizer, model.config, **options)


def test_a_batch_has_the_text_and_the_tokens_of_its_summary(folder):
    rows = [
        {"document": "the soup was a delight", "highlights": "the soup"},
        {"document": "it", "highlights": "my phone broke at"},
    ]
    collate = collator(folder, max_target_length=5)
    peer = transformers.AutoTokenizer.from_pretrained(folder)
    batch = Batches(rows, collate, 2, 0, shuffle=False).at(0)
    assert set(batch) == {"input_ids", "attention_mask", "labels"}
    texts = peer([row["document"] for row in rows], padding=True, return_tensors="np")
    np.testing.assert_array_equal(batch["input_ids"], texts["input_ids"])
    np.testing.assert_array_equal(batch["attention_mask"], texts["attention_mask"])
    short, long = (peer(row["highlights"], truncation=True, max_length=5)["input_ids"] for row in rows)
    assert batch["labels"].tolist() == [[*short, *[-100] * (5 - len(short))], long]
    assert len(long) == 5 and batch["labels"].dtype == np.int64
    # Each of them is counted: the decoder's inputs are shifted, the labels are not.
    config = bertx.load(folder, backend="numpy").config
    assert count_labels("EncoderDecoderModel", config, batch) == len(short) + len(long)
    fixed = collator(folder, padding="max_length", max_length=12, max_target_length=7)(rows, 0, 0)
    assert (fixed["input_ids"].shape, fixed["labels"].shape) == ((2, 12), (2, 7))
    assert collator(folder).max_target_length == 32  # of 128 what the decoder takes


def test_what_cannot_be_is_refused(folder, encoder, tmp_path):
    with pytest.raises(ValueError, match="max_target_length is 33, expected 1 to 32, which the decoder takes"):
        collator(folder, max_target_length=33)
    with pytest.raises(ValueError, match=r"no column for text: .*; summary: "):
        Batches([{"body": "a"}], collator(folder), 1, 0)
    with pytest.raises(ValueError, match="row 1 has 5 for its summary, expected text"):
        Batches([SUMMARIES[0], {"text": "a", "summary": 5}], collator(folder), 1, 0)
    config = bertx.load(folder, backend="numpy").config.replace(decoder_start_token_id=None)
    tokenizer = bertx.load(folder, backend="numpy").tokenizer
    with pytest.raises(ValueError, match="decoder_start_token_id is null in the config"):
        collator_of("summarization", tokenizer, config)
    options = {"task": "summarization", "out": tmp_path / "out", "steps": 1, "backend": "torch"}
    with pytest.raises(ValueError, match="labels and problem_type are of classifiers"):
        train(encoder, SUMMARIES, labels=["a"], **options)
    for source in (encoder, folder):
        with pytest.raises(ValueError, match="layers are of one model"):
            train(source, SUMMARIES, layers=[0], **options)
    with pytest.raises(ValueError, match="the task summarization has no distillation"):
        train(folder, SUMMARIES, teacher=folder, **options)


def test_rouge_is_that_of_the_library_and_in_percent(folder):
    scoring = pytest.importorskip("rouge_score.rouge_scorer")
    model = bertx.load(folder, backend="numpy")
    collate = collator(folder)
    metrics = metrics_of("text2text-generation", model.config, collate)
    rows = [
        {"text": "a", "summary": "the soup was cold and late"},
        {"text": "b", "summary": "my phone broke"},
        {"text": "c", "summary": "the hotel"},
    ]
    written = ["the soup was a delight", "my phone broke", "the music"]
    tokens = [model.tokenizer(text)["input_ids"] for text in written]
    for part in (slice(0, 2), slice(2, 3)):
        metrics.add_rows({"sequences": tokens[part]}, rows[part])
    scorer = scoring.RougeScorer(["rouge1", "rouge2", "rougeL"], use_stemmer=True)
    scores = [scorer.score(row["summary"], text) for row, text in zip(rows, written, strict=True)]
    expected = {name: 100 * np.mean([one[name].fmeasure for one in scores]) for name in scores[0]}
    assert metrics.compute() == pytest.approx(expected)
    assert list(metrics.compute()) == ["rouge1", "rouge2", "rougeL"]
    with pytest.raises(ValueError, match="no batch was added"):
        metrics_of("summarization", model.config, collate).compute()


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_a_bert_becomes_an_encoder_decoder_that_learns_to_write(encoder, framework, tmp_path, caplog):
    """It begins with the parameters of the encoder, learns to copy, and runs as it is saved."""
    pytest.importorskip("rouge_score")
    caplog.set_level(logging.INFO, "bertx")
    model = train(
        encoder,
        SUMMARIES,
        task="summarization",
        out=tmp_path / "out",
        backend=framework,
        evaluation=SUMMARIES[::10],
        metric="rouge1",
        save_steps=60,
        steps=120,
        batch_size=16,
        learning_rate=3e-3,
        warmup_ratio=0.1,
        seed=1,
        collator={"max_length": 24, "max_target_length": 12, "padding": "max_length"},
    )
    told = next(one.getMessage() for one in caplog.records if one.getMessage().startswith("begin anew: "))
    assert "crossattention" in told and "decoder.bert.embeddings" not in told
    lines = [json.loads(line) for line in (tmp_path / "out" / "metrics.jsonl").read_text().splitlines()]
    _, last = (line for line in lines if "eval_rouge1" in line)
    assert last["eval_loss"] < 0.8 * lines[0]["loss"]
    assert last["eval_rouge1"] > 30 and set(last) == {"step", "eval_loss", "eval_rouge1", "eval_rouge2", "eval_rougeL"}
    assert model.task == "summarization"
    text = SUMMARIES[0]["text"]
    found = bertx.load(tmp_path / "out", backend="numpy")(text, num_beams=1, max_new_tokens=12)
    assert found == model(text, num_beams=1, max_new_tokens=12)
    assert found["tokens"][-1] == 3 and found["summary_text"]


def test_each_part_counts_its_own_layers(folder):
    from bertx.registry import schema

    config = bertx.load(folder, backend="numpy").config
    bases = bases_of("EncoderDecoderModel", config)
    assert bases == {"encoder.": 2, "decoder.bert.": 2}
    rows = [row for row in schema("EncoderDecoderModel", config) if row.tied_to is None]
    groups = Recipe(layer_decay=0.5).groups(rows, bases)
    scales = {
        "encoder.embeddings.LayerNorm.weight": 0.125,
        "encoder.encoder.layer.0.output.dense.weight": 0.25,
        "encoder.encoder.layer.1.output.dense.weight": 0.5,
        "decoder.bert.embeddings.word_embeddings.weight": 0.125,
        "decoder.bert.encoder.layer.0.crossattention.self.key.weight": 0.25,
        "decoder.bert.encoder.layer.1.crossattention.self.key.weight": 0.5,
        "decoder.cls.predictions.transform.dense.weight": 1,
    }
    assert {name: groups[name].scale for name in scales} == scales
    trainer = bertx.backend.get_backend("torch").trainer()
    model = bertx.load(folder, backend="torch")
    groups = trainer(model.module, Recipe(), 1).groups
    assert groups["encoder.pooler.dense.weight"].weight_decay == 0  # it has no gradient, and stays as it is
    assert groups["encoder.encoder.layer.0.output.dense.weight"].weight_decay == 0.01
