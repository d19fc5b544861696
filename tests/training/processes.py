"""What each of several processes runs for test_devices.py, which starts them as a launcher does.

    python processes.py BACKEND ENCODER OUT [RUN …]

Trains ENCODER by each of these `RUNS` into OUT/RUN, and writes OUT/report-RANK.json.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from reviews import ROWS, TAGS

import bertx
from bertx.backend import get_backend

# Of 1 to 9 words, of which the first few have a label that counts: parts of a batch differ in what they count.
UNEVEN = [
    {"tokens": words[: 1 + i % len(words)] * (1 + i % 2), "tags": ["B-THING", *["O"] * (i % len(words))] * (1 + i % 2)}
    for i, words in enumerate(row["text"].split() for row in ROWS)
]
FAST = {"learning_rate": 2e-3, "warmup_ratio": 0.1, "weight_decay": 0.1, "batch_size": 8}
FAST["collator"] = {"max_length": 16, "padding": "max_length"}  # JAX compiles for each shape
CLASSIFIER = {"task": "text-classification"}
# Name → (rows, arguments). 13 rows: the second batch of an epoch has 5, and of 41 the last has 1, so that one of two
# processes has no row of it.
RUNS = {
    "classifier": (ROWS[::2] + ROWS[:1], CLASSIFIER | {"steps": 12, "evaluation": ROWS[::9], "metric": "loss"}),
    "several": (TAGS[::3], CLASSIFIER | {"steps": 4, "gradient_accumulation_steps": 3}),
    "tagger": (UNEVEN[:41], {"task": "token-classification", "steps": 12, "evaluation": UNEVEN[:9]}),
    "masked": ([{"text": row["text"]} for row in ROWS[:13]], {"task": "fill-mask", "steps": 8}),
    "clipped": (ROWS[::6][:13], CLASSIFIER | {"steps": 6, "max_grad_norm": 0.05}),
}


def run(name, backend, encoder, out, **options):
    """The run of a name into OUT/NAME."""
    rows, arguments = RUNS[name]
    return bertx.train(encoder, rows, out=Path(out) / name, backend=backend, **FAST | arguments | options)


def main(backend, encoder, out, names, options):
    """All runs in this process, and its report."""
    trainer, steps = get_backend(backend).trainer(), []
    for name in names:
        run(name, backend, encoder, out, on_step=lambda done: steps.append(done.step), **options)
    report = {"steps": len(steps), "pid": os.getpid()}
    (Path(out) / f"report-{trainer.rank()}.json").write_text(json.dumps(report))


if __name__ == "__main__":
    main(*sys.argv[1:4], names=sys.argv[5:], options=json.loads(sys.argv[4]))
