"""Trains a TFBert from a folder on one device and on two, with its own loss; prints losses and differences as JSON.

Run by test_keras_training.py in a process of its own: logical devices are made before TensorFlow is used.

    python mirrored_strategy.py FOLDER HEAD DATA.npz
"""

from __future__ import annotations

import json
import os
import sys

os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf

import bertx_tensorflow

QUIET = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
WAYS = ("labels among the inputs", "labels as y", "weights", "loss of Keras")


def train(folder, head, data, scope, way):
    """(the loss of one epoch of three batches, that of `evaluate` after it, the weights)."""
    x = {name: data[name] for name in ("input_ids", "attention_mask", "token_type_ids")}
    y = {name: data[name] for name in data if name not in x}
    with scope:
        model = getattr(bertx_tensorflow, f"TF{head}").from_pretrained(folder, **QUIET)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True) if way == "loss of Keras" else None
        model.compile(keras.optimizers.SGD(0.5), loss=loss)
    given = ({**x, **y},) if way == "labels among the inputs" else (x, y)
    rows = len(x["input_ids"])
    weights = np.linspace(0, 2, rows, dtype=np.float32) if way == "weights" else None
    batch_size = 4  # of 9 rows, so that the last batch leaves one device without any; Keras refuses it as the first
    history = model.fit(*given, batch_size=batch_size, shuffle=False, sample_weight=weights, verbose=0).history
    found = model.evaluate(*given, batch_size=batch_size, verbose=0)
    return history["loss"][0], found, [variable.numpy() for variable in model.trainable_variables]


def main(folder, head, file):
    """Compares a MirroredStrategy of two logical CPUs with no strategy."""
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    data = dict(np.load(file))
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])  # one for all: a second would have the first's keys
    report = {}
    for way in WAYS:
        if way == "loss of Keras" and ("labels" not in data or data["labels"].ndim > 1):
            continue
        one = train(folder, head, data, tf.init_scope(), way)
        two = train(folder, head, data, strategy.scope(), way)
        differ = max(float(np.abs(a - b).max()) for a, b in zip(one[2], two[2], strict=True))
        report[way] = {"one": one[:2], "two": two[:2], "weights": differ}
    print(json.dumps(report))


if __name__ == "__main__":
    main(*sys.argv[1:])
