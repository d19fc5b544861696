"""Sentence embeddings that bertx.train trains, beside sentence-transformers."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer import losses
from task_data import CASES, PAIRS, SCORED, TRIPLETS, write_checkpoint

import bertx
from bertx.data import Batches, collator_of

FRAMEWORKS = ("torch", "jax", "tensorflow")
CASE = CASES["pairs"]
OPTIONS = {"task": "feature-extraction", "batch_size": 8, "learning_rate": 1e-3, "epsilon": 1e-6}


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return write_checkpoint(tmp_path_factory.mktemp("encoder"), CASE)


@pytest.fixture(scope="module")
def untrained(encoder, tmp_path_factory):
    """The encoder with the files of sentence-transformers."""
    out = tmp_path_factory.mktemp("untrained") / "out"
    bertx.train(encoder, PAIRS, out=out, backend="torch", **OPTIONS | {"learning_rate": 1e-30, "steps": 1})
    return out


def losses_of(out):
    lines = map(json.loads, (out / "metrics.jsonl").read_text().splitlines())
    return np.array([line["loss"] for line in lines if "loss" in line])


@pytest.mark.parametrize(
    ("rows", "loss_class"),
    [
        (PAIRS, losses.MultipleNegativesRankingLoss),
        (TRIPLETS, losses.MultipleNegativesRankingLoss),
        (SCORED, losses.CosineSimilarityLoss),
    ],
)
def test_the_updates_are_those_of_the_losses_of_sentence_transformers(untrained, rows, loss_class, tmp_path):
    bertx.train(untrained, rows, out=tmp_path / "out", backend="torch", steps=10, schedule="constant", **OPTIONS)
    model = SentenceTransformer(str(untrained), device="cpu").eval()  # without dropout
    loss_of = loss_class(model)
    folder = bertx.load(untrained, backend="numpy")
    batches = Batches(rows, collator_of("feature-extraction", folder.tokenizer, folder.config), 8, 0)
    decays = {True: [], False: []}
    for name, parameter in model.named_parameters():
        decays["bias" not in name and "LayerNorm" not in name].append(parameter)
    groups = [{"params": decays[True], "weight_decay": 0.01}, {"params": decays[False], "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=1e-3, eps=1e-6)
    expected = []
    for step in range(10):
        batch = {name: torch.as_tensor(value) for name, value in batches.at(step).items()}
        labels = batch.pop("labels", None)
        features = [{name: value[:, i] for name, value in batch.items()} for i in range(batch["input_ids"].shape[1])]
        loss = loss_of(features, labels)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        expected.append(loss.item())
    assert expected[0] > 0.01 and abs(expected[0] - expected[-1]) > 0.01
    np.testing.assert_allclose(losses_of(tmp_path / "out"), expected, rtol=2e-5)
    trained = dict(bertx.load(tmp_path / "out", backend="numpy").tensors())
    for name, parameter in model[0].auto_model.named_parameters():
        if not name.endswith("key.bias"):  # no gradient but rounding
            assert np.abs(trained[name] - parameter.detach().numpy()).max() < 2e-4, name


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_a_trained_embedder_embeds_here_and_in_sentence_transformers(encoder, framework, tmp_path):
    model = bertx.train(
        encoder,
        PAIRS,
        out=tmp_path / "out",
        backend=framework,
        evaluation=PAIRS,
        metric="accuracy",
        steps=60,
        **OPTIONS,
    )
    found = losses_of(tmp_path / "out")
    assert found[-10:].mean() < 0.8 * found[:10].mean()
    texts = ["the soup was a delight", "the room broke at once"]
    embeddings = model(texts)
    assert embeddings.shape == (2, 32)
    peers = SentenceTransformer(str(tmp_path / "out"), device="cpu").encode(texts)
    np.testing.assert_allclose(embeddings, peers, atol=2e-5)
    np.testing.assert_allclose(bertx.load(tmp_path / "out", backend="numpy")(texts), peers, atol=2e-5)
    before, after = (dict(bertx.load(folder, backend="numpy").tensors()) for folder in (encoder, tmp_path / "out"))
    assert all((before[name] == after[name]).all() == name.startswith("pooler.") for name in before)
    assert "lookup" not in (tmp_path / "out" / "README.md").read_text()


def test_a_run_of_embeddings_goes_on_on_another_framework(encoder, tmp_path):
    """What is stored of the optimizer has the same names on each."""

    class Crash(Exception):  # noqa: N818
        pass

    def crash(done):
        if done.step == 5:
            raise Crash

    options = OPTIONS | {"steps": 8, "save_steps": 4}
    bertx.train(encoder, TRIPLETS, out=tmp_path / "whole", backend="torch", **options)
    with pytest.raises(Crash):
        bertx.train(encoder, TRIPLETS, out=tmp_path / "cut", backend="jax", on_step=crash, **options)
    bertx.train(encoder, TRIPLETS, out=tmp_path / "cut", backend="tensorflow", resume=True, **options)
    np.testing.assert_allclose(losses_of(tmp_path / "cut"), losses_of(tmp_path / "whole"), rtol=1e-4)


def test_a_folder_of_sentence_transformers_keeps_its_pooling_and_length(untrained, tmp_path):
    folder = tmp_path / "cls"
    bertx.load(untrained, backend="numpy").save(folder)
    path = folder / "1_Pooling" / "config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps({**config, "pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}))
    (folder / "sentence_bert_config.json").write_text('{"max_seq_length": 4, "do_lower_case": false}')
    long = [{"anchor": f"{row['anchor']} {row['anchor']}", "positive": row["positive"]} for row in PAIRS]
    cut = [{name: " ".join(text.split()[:2]) for name, text in row.items()} for row in long]
    options = OPTIONS | {"backend": "torch", "steps": 3}
    model = bertx.train(folder, long, out=tmp_path / "out", **options)  # its own task: it pools
    bertx.train(folder, cut, out=tmp_path / "short", **options)
    assert (losses_of(tmp_path / "out") == losses_of(tmp_path / "short")).all()
    assert json.loads((tmp_path / "out" / "1_Pooling" / "config.json").read_text())["pooling_mode_cls_token"]
    states = model("the soup", pooling="none")
    np.testing.assert_allclose(model("the soup"), states[0], atol=1e-6)


def test_a_task_that_is_not_named_is_that_of_a_folder_that_pools(encoder, untrained, tmp_path):
    options = {name: value for name, value in OPTIONS.items() if name != "task"} | {"backend": "torch", "steps": 1}
    assert bertx.train(untrained, PAIRS, out=tmp_path / "out", **options).task == "feature-extraction"
    with pytest.raises(ValueError, match="has no loss to train it with: name a head with task="):
        bertx.train(encoder, PAIRS, out=tmp_path / "no", **options)
    with pytest.raises(ValueError, match="label_smoothing"):
        bertx.train(untrained, PAIRS, out=tmp_path / "no", label_smoothing=0.1, **options)
