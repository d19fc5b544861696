"""What each of several processes runs for test_devices.py, which starts them as a launcher does.

    python processes.py BACKEND ENCODER OUT OPTIONS [RUN …]

Trains ENCODER by each of these `RUNS` into OUT/RUN, and writes OUT/report-RANK.json; "masks" writes what each device
drops. LOGICAL_DEVICES is how many TensorFlow makes of its CPU.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import numpy as np
from reviews import ROWS, TAGS, write_encoder

import bertx
from bertx.backend import get_backend
from bertx.training.world import World

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


def masks_of_torch(out):
    """OUT/masks-RANK.npy: what this process drops of the embeddings of four rows that are alike."""
    import torch

    def note(block, _, output):
        if type(block).__name__ == "Embeddings" and block.training:
            np.save(out / f"masks-{rank}.npy", (output == 0).numpy())

    rank = get_backend("torch").trainer().rank()
    (out / f"encoder-{rank}").mkdir()
    encoder = write_encoder(out / f"encoder-{rank}")
    options = CLASSIFIER | FAST | {"steps": 1, "labels": ["bad", "good"], "backend": "torch"}
    with torch.nn.modules.module.register_module_forward_hook(note):
        bertx.train(encoder, ROWS[:1] * 8, out=out / "masks", **options)


def masks_of_jax(out):
    """OUT/masks-DEVICES.npy: what two devices, and one, drop of the embeddings of eight rows that are alike."""
    import jax

    from bertx_jax.functional import input_array

    def embeddings(_, forward, batch):
        return forward(**batch, output_hidden_states=True, return_dict=True)["hidden_states"][0]

    trainer_class = get_backend("jax").trainer()
    model = bertx.load(write_encoder(out), "fill-mask", backend="jax")
    given = {name: np.tile(value, (8, 1)) for name, value in model.tokenizer("the soup", return_tensors="np").items()}
    with trainer_class.join() as several:
        for world in (several, World()):
            trainer = trainer_class(model.module, bertx.Recipe(batch_size=8), 1, world)
            trainer._loss_of = embeddings
            batch = trainer._batch({name: input_array(value, np.float32) for name, value in given.items()})
            states = jax.jit(trainer._loss)(trainer._values, batch, np.float32(1), np.uint32(3))
            np.save(out / f"masks-{world.devices}.npy", np.asarray(states) == 0)


def main(backend, encoder, out, names, options):
    """All runs in this process, and its report."""
    trainer, steps = get_backend(backend).trainer(), []
    if count := int(os.environ.get("LOGICAL_DEVICES", 0)):
        import tensorflow as tf

        devices = [tf.config.LogicalDeviceConfiguration()] * count
        tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0], devices)
    for name in names:
        if name == "masks":
            {"torch": masks_of_torch, "jax": masks_of_jax}[backend](Path(out))
            continue
        run(name, backend, encoder, out, on_step=lambda done: steps.append(done.step), **options)
    report = {"steps": len(steps), "pid": os.getpid()}
    if count:
        from bertx_tensorflow.train import _strategy

        report["replicas"] = _strategy.cache_info().currsize and _strategy(False).num_replicas_in_sync
    (Path(out) / f"report-{trainer.rank()}.json").write_text(json.dumps(report))


if __name__ == "__main__":
    main(*sys.argv[1:4], names=sys.argv[5:], options=json.loads(sys.argv[4]))
