"""The recipe and the data that the three scripts share: what is trained on what, in which order. No framework.

The recipe is the paper's (Devlin et al. 2018, A.3) as it is run today: AdamW with bias correction, epsilon added after
it; weight decay on matrices, not on biases and LayerNorms; a learning rate that rises over the first tenth of the
updates from 0 and falls linearly to 0; gradients of two batches averaged to one update, then scaled to a global norm of
at most 1.
"""

from __future__ import annotations

import argparse
import itertools
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np

PEAK = 2e-4  # for all-MiniLM; 2e-5 to 5e-5 for a bert-base
BETAS = (0.9, 0.999)
EPSILON = 1e-6
WEIGHT_DECAY = 0.01
CLIP_NORM = 1.0
ACCUMULATED = 2  # batches to an update
BATCH = 16
LENGTH = 16  # tokens of a text, padded: one shape, compiled once
LABELS = ("bad", "good")


def learning_rate(update: int, updates: int) -> float:
    """Of the update of this number, from 0."""
    rise = max(1, updates // 10)
    return PEAK * min(update / rise, (updates - update) / max(1, updates - rise))


def reviews() -> list[tuple[str, int]]:
    """Short reviews, each with the place of its label: every subject with every opinion."""
    subjects = ("The soup", "The room", "This book", "The film", "My phone", "The service", "The hotel", "The music")
    opinions = {
        0: ("was a disappointment", "is not worth the money", "made me angry", "was cold and late", "broke at once"),
        1: ("was a delight", "is worth every cent", "made me smile", "was warm and quick", "never let me down"),
    }
    return [(f"{a} {b}.", label) for label in opinions for a, b in itertools.product(subjects, opinions[label])]


def batches(tokenizer, count: int, seed: int = 0) -> Iterator[dict[str, np.ndarray]]:
    """`count` batches: input_ids, attention_mask, token_type_ids [B, T] and labels [B], int64; each review in turn."""
    data = reviews()
    generator = np.random.default_rng(seed)
    order = itertools.chain.from_iterable(generator.permutation(len(data)) for _ in itertools.count())
    for _ in range(count):
        texts, labels = zip(*(data[i] for i in itertools.islice(order, BATCH)), strict=True)
        options = {"padding": "max_length", "truncation": True, "max_length": LENGTH}
        yield {**tokenizer(list(texts), **options, return_tensors="np"), "labels": np.array(labels)}


def arguments(description: str) -> argparse.Namespace:
    """The arguments of each script."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("source", help="a checkpoint: a folder, a hub id, python:PACKAGE/FOLDER")
    parser.add_argument("out", type=Path, help="the folder for the trained checkpoint, and losses.json")
    parser.add_argument("--updates", type=int, default=50)
    parser.add_argument("--dropout", type=float, default=0.1, help="0 for the same losses in every framework")
    return parser.parse_args()


def settings(dropout: float) -> dict:
    """The fields of the config that a classifier of reviews changes."""
    return {
        "num_labels": len(LABELS),
        "id2label": dict(enumerate(LABELS)),
        "label2id": {label: i for i, label in enumerate(LABELS)},
        "hidden_dropout_prob": dropout,
        "attention_probs_dropout_prob": dropout,
    }


def save(model, tokenizer, out: Path, losses: list[float]) -> None:
    """Writes the checkpoint, which `bertx classify OUT TEXT` then takes, and the loss of each batch."""
    model.save_pretrained(out)
    tokenizer.save_pretrained(out)
    (out / "losses.json").write_text(json.dumps([float(loss) for loss in losses]))
    print(f"loss {np.mean(losses[:5]):.3f} -> {np.mean(losses[-5:]):.3f}; saved to {out}")
