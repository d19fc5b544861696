"""Every task through bertx.train: the same curves on each framework, as transformers' Trainer has them."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
import transformers
from task_data import CASES, LENGTH, rows_of, write_checkpoint

import bertx
import bertx.data
from bertx.data import Batches
from bertx.training.run import train

FRAMEWORKS = ("torch", "jax", "tensorflow")
RECIPE = {"learning_rate": 1e-3, "epsilon": 1e-6, "warmup_ratio": 0.1, "weight_decay": 0.1, "batch_size": 8, "seed": 3}
PADDED = {"max_length": LENGTH, "padding": "max_length"}  # one shape, which is compiled once
# A softmax is the same whatever is added to all that it compares: keys, positions, choices. Such a bias has a gradient
# of rounding alone, which AdamW makes large.
WITHOUT_GRADIENT = ("key.bias", "qa_outputs.bias", "choices.classifier.bias")
QUICK = ("several", "tags", "squad2", "choices", "pretraining", "summaries", "triplets", "scores")


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    """case → (a checkpoint, rows or a file of them)."""
    made = {}

    def make(name):
        if name == "summaries":
            pytest.importorskip("rouge_score")
        if name not in made:
            folder = tmp_path_factory.mktemp(name)
            made[name] = write_checkpoint(folder, CASES[name]), rows_of(CASES[name], folder)
        return made[name]

    return make


def curve(sources, name, framework, steps, out, **options):
    """(The losses, the last evaluation, the weights) of a run."""
    folder, rows = sources(name)
    model = train(
        folder,
        rows,
        task=CASES[name].task,
        out=out,
        backend=framework,
        evaluation=rows,
        collator=PADDED,
        save_steps=steps,
        **RECIPE | {"steps": steps} | options,
    )
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    losses = np.array([line["loss"] for line in lines if "loss" in line])
    return losses, lines[-1], _named(name, bertx.load(out, backend="numpy").tensors()), model


def _named(name, tensors):
    """Weights, those of the head with the case before them."""
    return {(key if key.startswith("bert.") else f"{name}.{key}"): value for key, value in tensors}


def apart(one, other):
    """How far two runs are apart: losses, and weights, each as a part of what it may be."""
    weights = max(
        (np.abs(one[2][name] - value) / np.maximum(1, np.abs(value))).max()
        for name, value in other[2].items()
        if not name.endswith(WITHOUT_GRADIENT)
    )
    return np.array([np.abs(one[0] - other[0]).max(), weights])


@pytest.mark.parametrize("name", QUICK)
def test_twenty_updates_of_a_task_are_the_same_on_every_framework(sources, name, tmp_path):
    runs = {framework: curve(sources, name, framework, 20, tmp_path / framework) for framework in FRAMEWORKS}
    losses, evaluation, *_ = runs["torch"]
    assert len(losses) == 20 and np.isfinite(losses).all()
    for framework in FRAMEWORKS[1:]:
        found = apart(runs[framework], runs["torch"])
        print(f"{name} {framework}: losses {found[0]:.1e}, weights {found[1]:.1e}")
        assert (found < [1e-5, 1e-4]).all()
        assert runs[framework][1] == pytest.approx(evaluation, abs=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_two_hundred_updates_of_a_task_differ_by_the_noise_of_threads(sources, name, tmp_path, monkeypatch):
    runs = {framework: curve(sources, name, framework, 200, tmp_path / framework) for framework in FRAMEWORKS}
    # 200 updates of a number near 1, each rounded by up to half a last digit, are √200 of these apart; and what other
    # threads, or the same sums in another order, make of a run.
    noise = np.full(2, np.finfo(np.float32).eps / 2 * np.sqrt(200))
    threads = torch.get_num_threads()
    torch.set_num_threads(1 if threads > 1 else 2)
    try:
        noise = np.maximum(noise, apart(curve(sources, name, "torch", 200, tmp_path / "threads"), runs["torch"]))
    finally:
        torch.set_num_threads(threads)
    at = Batches.at
    monkeypatch.setattr(Batches, "at", lambda self, i: {key: x[::-1].copy() for key, x in at(self, i).items()})
    noise = np.maximum(noise, apart(curve(sources, name, "torch", 200, tmp_path / "reversed"), runs["torch"]))
    losses = runs["torch"][0]
    assert losses[-20:].mean() < 0.9 * losses[:20].mean()  # something was learnt
    for framework in FRAMEWORKS[1:]:
        found = apart(runs[framework], runs["torch"])
        print(
            f"{name} {framework}: losses {found[0]:.1e}, weights {found[1]:.1e}; noise {noise[0]:.1e}, {noise[1]:.1e}"
        )
        assert (found <= 3 * noise).all(), framework


# --- transformers' Trainer --------------------------------------------------------------------------


class _InOrder(transformers.Trainer):
    """transformers' Trainer, the rows in their order, and the loss of each batch kept."""

    def _get_train_sampler(self, *args, **options):
        return torch.utils.data.SequentialSampler(self.train_dataset)

    def compute_loss(self, *args, **options):
        loss = super().compute_loss(*args, **options)
        self.__dict__.setdefault("kept", []).append(loss.item())
        return loss


def _at_every_position(batch):
    """A batch without mask_positions, which transformers does not know: with the labels at these positions."""
    if "mask_positions" not in batch:
        return batch
    labels = np.full(batch["input_ids"].shape, -100)
    rows, columns = np.nonzero(batch["labels"] != -100)
    labels[rows, batch["mask_positions"][rows, columns]] = batch["labels"][rows, columns]
    return {key: value for key, value in batch.items() if key != "mask_positions"} | {"labels": labels}


def peer_run(sources, name, steps, out):
    """The run of transformers' Trainer on the batches of bertx.train."""
    folder, given = sources(name)
    model = bertx.load(folder, CASES[name].task, backend="numpy")
    rows = bertx.data.read(given) if not isinstance(given, list) else given
    collate = bertx.data.collator_of(CASES[name].task, model.tokenizer, model.config, **PADDED)
    batches = Batches(rows, collate, RECIPE["batch_size"], RECIPE["seed"])
    assert len(batches.rows) % RECIPE["batch_size"] == 0  # else the Trainer's batches are not these
    found = [
        {key: torch.as_tensor(value[i]) for key, value in batch.items()}
        for batch in map(_at_every_position, map(batches.at, range(steps)))
        for i in range(RECIPE["batch_size"])
    ]
    arguments = transformers.TrainingArguments(
        str(out),
        max_steps=steps,
        per_device_train_batch_size=RECIPE["batch_size"],
        learning_rate=RECIPE["learning_rate"],
        warmup_steps=RECIPE["warmup_ratio"],
        weight_decay=RECIPE["weight_decay"],
        adam_epsilon=RECIPE["epsilon"],
        use_cpu=True,
        report_to=[],
        save_strategy="no",
        disable_tqdm=True,
        logging_strategy="no",
        dataloader_pin_memory=False,
    )
    peer = getattr(transformers, CASES[name].head).from_pretrained(folder, attn_implementation="sdpa")
    # transformers gives the padding token's embedding no gradient; the softmax over the positions of an answer has one.
    peer.get_input_embeddings().padding_idx = None
    trainer = _InOrder(peer, arguments, train_dataset=found)
    trainer.train()
    return np.array(trainer.kept), None, _named(name, ((key, p.detach().numpy()) for key, p in peer.named_parameters()))


@pytest.mark.parametrize("steps", [20, pytest.param(200, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    "name", ["single", "several", "numbers", "tags", "squad1", "choices", "next", "masked", "summaries"]
)
@pytest.mark.filterwarnings("ignore:Version v4.12.0 introduces:FutureWarning")  # the hub's own
def test_the_updates_of_a_task_are_those_of_transformers_trainer(sources, name, steps, tmp_path, monkeypatch):
    run = curve(sources, name, "torch", steps, tmp_path / "torch")
    expected = peer_run(sources, name, steps, tmp_path / "peer")
    noise = np.full(2, np.finfo(np.float32).eps / 2 * np.sqrt(steps))
    at = Batches.at
    monkeypatch.setattr(Batches, "at", lambda self, i: {key: x[::-1].copy() for key, x in at(self, i).items()})
    noise = np.maximum(noise, apart(curve(sources, name, "torch", steps, tmp_path / "reversed"), run))
    found = apart(run, expected)
    print(f"{name}: losses {found[0]:.1e}, weights {found[1]:.1e}; noise {noise[0]:.1e}, {noise[1]:.1e}")
    assert (found <= 3 * noise).all()
