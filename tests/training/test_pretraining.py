"""Masked words scored where they are hidden, packed rows, new models: the same losses and updates on each backend."""

from __future__ import annotations

import json

import numpy as np
import pytest
from reviews import ROWS, write_encoder

import bertx
from bertx.backend import get_backend
from bertx.data import Batches, collator_of
from bertx.training.recipe import Recipe
from gradients import gradients_of
from support import peer, save_peer

FRAMEWORKS = ("torch", "jax", "tensorflow")
STILL = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
TEXTS = [{"text": row["text"]} for row in ROWS]


@pytest.fixture(scope="module")
def still(tmp_path_factory):
    """A BertForPreTraining with the words of the reviews, without dropout."""
    folder = write_encoder(tmp_path_factory.mktemp("still"), **STILL)
    return folder


def documents(folder, count=24):
    """A file of documents of 3 to 5 sentences."""
    blocks = ["\n".join(row["text"] for row in ROWS[i % 70 : i % 70 + 3 + i % 3]) for i in range(0, 3 * count, 3)]
    path = folder / "documents.txt"
    path.write_text("\n\n".join(blocks) + "\n")
    return path


def whole(batch):
    """A batch of labels at the hidden positions as one of labels at all."""
    labels = np.full(batch["input_ids"].shape, -100)
    for row, positions, of_row in zip(labels, batch["mask_positions"], batch["labels"], strict=True):
        row[positions[of_row != -100]] = of_row[of_row != -100]
    return {name: value for name, value in batch.items() if name != "mask_positions"} | {"labels": labels}


def batch_of(task, folder, size=8, tmp_path=None, **options):
    config, tokenizer = bertx.BertConfig.from_pretrained(folder), bertx.BertTokenizer.from_pretrained(folder)
    collate = collator_of(task, tokenizer, config, **options)
    rows = bertx.data.read(documents(tmp_path), "documents") if task == "pretraining" else TEXTS
    return Batches(rows, collate, size, 3).at(1)


def trained(folder, task, framework, batch):
    """Loss, norm and weights of an update."""
    with pytest.warns(UserWarning, match="initialised for"):
        model = bertx.load(folder, task=task, backend=framework)
    trainer = get_backend(framework).trainer()(model.module, Recipe(learning_rate=1e-3, epsilon=1e-3), 10)
    found = trainer.step([batch], 1)
    return np.array(found), {name: value.copy() for name, value in model.tensors()}


@pytest.mark.parametrize("framework", FRAMEWORKS)
@pytest.mark.parametrize("task", ["fill-mask", "pretraining"])
def test_an_update_of_the_hidden_positions_is_that_of_all(still, task, framework, tmp_path):
    batch = batch_of(task, still, tmp_path=tmp_path)
    assert batch["mask_positions"].shape == batch["labels"].shape
    counts = (batch["labels"] != -100).sum(1)
    assert counts.min() < counts.max()  # some rows are filled up
    found, expected = (trained(still, task, framework, one) for one in (batch, whole(batch)))
    np.testing.assert_allclose(found[0], expected[0], rtol=2e-6)
    for name, value in expected[1].items():
        assert np.abs(found[1][name] - value).max() < 1e-6, name


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_next_sentences_and_words_at_positions_are_those_of_all(still, framework, tmp_path):
    batch = batch_of("pretraining", still, tmp_path=tmp_path)
    with pytest.warns(UserWarning, match="initialised for"):
        model = bertx.load(still, task="pretraining", backend=framework)
    found, expected = model.forward(**batch), model.forward(**whole(batch))
    np.testing.assert_allclose(found["seq_relationship_logits"], expected["seq_relationship_logits"], atol=5e-6)
    at = np.take_along_axis(expected["prediction_logits"], batch["mask_positions"][..., None], 1)
    np.testing.assert_allclose(found["prediction_logits"], at, atol=5e-6)


# --- packing ----------------------------------------------------------------------------------------


def unpacked(batch, pad=0):
    """The same texts, a row each, padded."""
    labels, rows = whole(batch)["labels"], []
    for ids, mask, of_row in zip(batch["input_ids"], batch["attention_mask"], labels, strict=True):
        start = 0
        while start < len(ids) and ids[start] != pad:
            end = start + int(mask[start].sum())
            rows.append((ids[start:end], of_row[start:end]))
            start = end
    length = max(len(ids) for ids, _ in rows)
    arrays = {"input_ids": pad, "attention_mask": 0, "labels": -100}
    found = {name: np.full((len(rows), length), value) for name, value in arrays.items()}
    for i, (ids, of_row) in enumerate(rows):
        for name, value in zip(arrays, (ids, 1, of_row), strict=True):
            found[name][i, : len(ids)] = value
    return found


@pytest.fixture(scope="module")
def packed(still):
    batch = batch_of("fill-mask", still, size=4, packing=True, max_length=31)
    alone = unpacked(batch)
    assert len(alone["input_ids"]) > 2 * len(batch["input_ids"]) and (batch["input_ids"] == 0).any()
    return batch, alone


@pytest.mark.parametrize("head", ["BertForMaskedLM", "RobertaForMaskedLM"])
def test_packed_texts_have_the_gradients_that_they_have_alone(head, still, packed, tmp_path):
    """In float64 on torch, and on JAX and TensorFlow within the rounding of float32."""
    folder = save_peer(peer(head, **STILL), tmp_path) if head != "BertForMaskedLM" else still
    batch, alone = packed
    if head != "BertForMaskedLM":  # RoBERTa's positions begin after that of padding, and its padding is 1
        batch = {name: value.copy() for name, value in batch.items()}
        batch["position_ids"] += bertx.RobertaConfig.from_pretrained(folder).first_position
        for each in (batch, alone := dict(alone)):
            each["input_ids"] = np.where(each["input_ids"] == 0, 1, each["input_ids"] % 80 + 2)
            each["labels"] = np.where(each["labels"] == -100, -100, each["labels"] % 80 + 2)

    def gradients(framework, dtype, inputs):
        with warnings_of(head):
            model = bertx.load(folder, task="fill-mask", backend=framework, dtype=dtype)
        return float(np.mean(model.forward(**inputs)["loss"])), gradients_of(model, inputs)

    loss, expected = gradients("torch", "float64", alone)
    for framework, dtype, noise in (
        ("torch", "float64", 1e-13),
        ("jax", "float32", 2e-6),
        ("tensorflow", "float32", 2e-6),
    ):
        found_loss, found = gradients(framework, dtype, batch)
        if framework != "tensorflow":  # whose losses are of labels each
            assert found_loss == pytest.approx(loss, rel=max(noise, 1e-12) * 10), framework
        scale = max(np.abs(value).max() for value in expected.values())
        for name, value in expected.items():
            assert np.abs(found[name] - value).max() < noise * max(1.0, scale), (framework, name)


def warnings_of(head):
    import contextlib

    return pytest.warns(UserWarning, match="initialised for") if head == "BertForMaskedLM" else contextlib.nullcontext()


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_an_update_of_packed_rows_is_that_of_the_texts(still, packed, framework):
    found, expected = (trained(still, "fill-mask", framework, batch) for batch in packed)
    np.testing.assert_allclose(found[0], expected[0], rtol=5e-6)
    for name, value in expected[1].items():
        assert np.abs(found[1][name] - value).max() < 2e-6, name


def test_a_run_of_packed_rows_learns_and_is_of_fill_mask_alone(still, tmp_path):
    options = {"backend": "torch", "steps": 60, "batch_size": 4, "learning_rate": 3e-3, "packing": True}
    bertx.train(still, TEXTS, task="fill-mask", out=tmp_path / "out", evaluation=TEXTS[:30], **options)
    lines = [json.loads(line) for line in (tmp_path / "out" / "metrics.jsonl").read_text().splitlines()]
    losses = [line["loss"] for line in lines if "loss" in line]
    assert np.mean(losses[-10:]) < 0.6 * np.mean(losses[:5])
    assert lines[-1].keys() == {"step", "eval_loss", "eval_perplexity", "eval_accuracy"}
    assert lines[0]["epoch"] ** -1 < 10  # texts share rows: an epoch has fewer batches than texts / 4
    with pytest.raises(ValueError, match="packing is of fill-mask, and the task is text-classification"):
        bertx.train(still, ROWS, task="text-classification", out=tmp_path / "other", **options)
    assert not (tmp_path / "other").exists()
    with pytest.raises(ValueError, match="packing is 1, expected True or False"):
        Recipe(packing=1)


# --- new models -------------------------------------------------------------------------------------

SIZES = {"hidden_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 96}
SIZES |= {"max_position_embeddings": 32, "initializer_range": 0.1} | STILL


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    folder = tmp_path_factory.mktemp("texts")
    out = folder / "tokenizer"
    bertx.train_tokenizer(documents(folder), out=out, vocab_size=150)
    return out


def test_a_new_model_is_pretrained_from_documents_the_same_on_each_backend(tokenizer, tmp_path):
    curves = {}
    for framework in FRAMEWORKS:
        out = tmp_path / framework
        options = {"task": "pretraining", "config": SIZES, "backend": framework, "learning_rate": 2e-3, "steps": 30}
        shape = {"padding": "max_length"}  # which is compiled once
        bertx.train(tokenizer, documents(tmp_path), out=out, batch_size=8, seed=5, collator=shape, **options)
        lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
        curves[framework] = np.array([line["loss"] for line in lines])
        config = json.loads((out / "config.json").read_text())
        assert config["architectures"] == ["BertForPreTraining"] and config["vocab_size"] <= 150
        assert {path.name for path in out.iterdir()} >= {"vocab.txt", "tokenizer.json", "tokenizer_config.json"}
    losses = curves["torch"]
    assert losses[-5:].mean() < 0.85 * losses[:5].mean()
    for framework in FRAMEWORKS[1:]:
        difference = np.abs(curves[framework] - losses)
        print(f"{framework}: {difference.max():.1e}")
        assert difference[0] < 5e-6 and difference.max() < 2e-4, framework
    model = bertx.load(tmp_path / "jax", task="fill-mask", backend="numpy")
    assert len(model("the [MASK] was a delight")) == 5


def test_a_new_model_takes_sizes_of_a_file_and_its_vocabulary_of_the_tokenizer(tokenizer, tmp_path):
    path = tmp_path / "config.json"
    path.write_text(json.dumps(SIZES | {"architectures": ["BertForMaskedLM"], "model_type": "bert"}))
    options = {"backend": "torch", "steps": 1, "batch_size": 4, "learning_rate": 1e-30, "weight_decay": 0.0}
    one, same, other = (
        bertx.train(tokenizer, TEXTS, task="fill-mask", out=tmp_path / f"{i}", config=path, seed=seed, **options)
        for i, seed in enumerate((0, 0, 1))
    )
    size = len(bertx.BertTokenizer.from_pretrained(tokenizer))
    assert one.config.vocab_size == size and one.config.hidden_size == 48
    first, second, third = (
        dict(model.tensors())["cls.predictions.transform.dense.weight"] for model in (one, same, other)
    )
    assert (first == second).all() and np.abs(first - third).max() > 1e-3
    again = bertx.train(
        tokenizer, TEXTS, task="fill-mask", out=tmp_path / "0", config=path, resume=True, **options
    )  # it is at its end
    assert (dict(again.tensors())["cls.predictions.transform.dense.weight"] == first).all()


def test_a_new_model_that_cannot_be_is_refused(tokenizer, tmp_path):
    def refused(match, kind=ValueError, **changes):
        options = {"task": "fill-mask", "config": SIZES, "backend": "torch", "steps": 1} | changes
        with pytest.raises(kind, match=match):
            bertx.train(tokenizer, TEXTS, out=tmp_path / "folder" / "out", **options)
        assert not (tmp_path / "folder").exists()

    refused("give task=", task=None)
    refused("those of its config", labels=["a", "b"])
    refused("vocab_size is 20 and the tokenizer has", config=SIZES | {"vocab_size": 20})
    refused("not divisible", config=SIZES | {"num_attention_heads": 5})
    refused("num_layers is no field", config=SIZES | {"num_layers": 3})
    path = tmp_path / "config.json"
    path.write_text(json.dumps(SIZES | {"num_attention_heads": 5}))
    refused("config.json: .*not divisible", config=path, kind=bertx.CheckpointError)
    refused("sentences", task="pretraining")
