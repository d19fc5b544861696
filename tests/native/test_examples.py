"""The fine-tuning examples: run as a user runs them, and the same losses and weights in every framework."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

import bertx
import bertx_numpy
from bertx import BertConfig

EXAMPLES = Path(__file__).parents[2] / "examples"
FRAMEWORKS = ("torch", "jax", "tensorflow")
sys.path.insert(0, str(EXAMPLES))
import recipe  # noqa: E402

# torch corrects the bias in float64, the others in float32, where 1 − 0.999 has an error of 1.3e-5, which moves losses
# by 3.6e-6. Of these betas float32 has every digit. The batches are large, so that threads share the sums over them.
EXACT = """
import os, sys
os.sched_setaffinity(0, {cores})
import recipe, runpy
recipe.BATCH, recipe.LENGTH, recipe.BETAS = 64, 32, (0.875, 0.9990234375)
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """A small BertModel, with the words of the reviews."""
    folder = tmp_path_factory.mktemp("encoder")
    letters = (".", *sorted({word.strip(".").lower() for text, _ in recipe.reviews() for word in text.split()}))
    (folder / "vocab.txt").write_text("\n".join(("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters)) + "\n")
    shape = {"hidden_size": 128, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 512}
    config = BertConfig(vocab_size=5 + len(letters), max_position_embeddings=64, **shape)
    bertx_numpy.BertModel(config).save_pretrained(folder)
    return folder


def train(framework, source, out, *options, code=None):
    """The losses and the tensors of one run of an example; `code` runs it, with its path as sys.argv[0]."""
    script = str(EXAMPLES / f"finetune_{framework}.py")
    command = [script] if code is None else ["-c", f"import sys; sys.argv.pop(0); {code}", script]
    done = subprocess.run(
        [sys.executable, "-W", "ignore", *command, str(source), str(out), *options],
        env={**os.environ, "PYTHONPATH": str(EXAMPLES), "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return np.array(json.loads((out / "losses.json").read_text())), load_file(out / "model.safetensors")


def difference(a, b):
    """Of the losses, and of the weights: a weight of 8 has eight times the rounding of one of 1."""
    (losses, weights), (others, other_weights) = a, b
    assert weights.keys() == other_weights.keys()
    scaled = [
        (np.abs(weights[name] - value) / np.maximum(1, np.abs(value))).max() for name, value in other_weights.items()
    ]
    return np.array([np.abs(losses - others).max(), max(scaled)])


@pytest.mark.slow
def test_fifty_updates_are_the_same_within_the_noise_of_thread_counts(checkpoint, tmp_path):
    cores = os.sched_getaffinity(0)
    if len(cores) < 2:
        pytest.skip("one core: there are no two thread counts")
    runs = {
        (framework, count): train(
            framework,
            checkpoint,
            tmp_path / f"{framework}-{count}",
            *("--updates", "50", "--dropout", "0"),
            code=EXACT.format(cores=set(sorted(cores)[:count])),
        )
        for framework in FRAMEWORKS
        for count in (1, 2)
    }
    # Runs of one framework share most of their roundings. Without any in common, 50 updates of a number near 1, each
    # rounded by up to half a last digit, are √50 of these apart: on no processor is the noise taken to be less.
    noise = np.full(2, np.finfo(np.float32).eps / 2 * np.sqrt(50))
    for framework in FRAMEWORKS:
        found = difference(runs[framework, 1], runs[framework, 2])
        print("{}, two thread counts: losses {:.1e}, weights {:.1e}".format(framework, *found))
        noise = np.maximum(noise, found)
    for i, one in enumerate(FRAMEWORKS):
        for other in FRAMEWORKS[:i]:
            found = difference(runs[one, 2], runs[other, 2])
            print("{} and {}: losses {:.1e}, weights {:.1e}".format(one, other, *found))
            assert (found <= 3 * noise).all(), (one, other)
    losses, _ = runs["torch", 2]
    assert losses[-5:].mean() < 0.7 * losses[:5].mean()


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_an_example_trains_a_classifier_that_bertx_loads(checkpoint, tmp_path, framework):
    losses, weights = train(framework, checkpoint, tmp_path / "out", "--updates", "3")
    assert len(losses) == 3 * recipe.ACCUMULATED and np.isfinite(losses).all()
    before = load_file(checkpoint / "model.safetensors")
    moved = {name.removeprefix("bert.") for name in weights if "bert." in name} - {"embeddings.token_type_embeddings"}
    assert all(np.any(weights[f"bert.{name}"] != before[name]) for name in moved)
    classify = bertx.load(tmp_path / "out", backend="numpy")
    assert {label["label"] for label in classify("The soup was a delight.", top_k=None)} == set(recipe.LABELS)


def test_the_learning_rate_rises_over_a_tenth_and_falls_to_zero():
    rates = [recipe.learning_rate(update, 50) for update in range(51)]
    assert rates[0] == rates[50] == 0 and rates[5] == recipe.PEAK == max(rates)
    assert np.allclose(np.diff(rates[:6]), recipe.PEAK / 5) and np.allclose(np.diff(rates[5:]), -recipe.PEAK / 45)


def test_the_batches_are_each_review_in_turn_in_one_order(checkpoint):
    tokenizer = bertx.BertTokenizer.from_pretrained(checkpoint)
    count = len(recipe.reviews()) // recipe.BATCH
    batches = list(recipe.batches(tokenizer, count))
    texts = {tuple(row) for batch in batches for row in batch["input_ids"]}
    assert len(texts) == len(recipe.reviews()) == count * recipe.BATCH
    again = recipe.batches(tokenizer, count)
    assert all(np.array_equal(a["input_ids"], b["input_ids"]) for a, b in zip(batches, again, strict=True))
