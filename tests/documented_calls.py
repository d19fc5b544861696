"""Runs calls that the documentation shows, and says what they give: in the tests, and in the peer environment.

    python documented_calls.py < jobs.json      # {framework: [folder, [call, …]]}

Run so, by the environment of peers/transformers4.txt, the calls are transformers' own. The last line of standard output
is {framework: [[what it gives, error], …]} as JSON.
"""

from __future__ import annotations

import ast
import contextlib
import json
import os
import sys
import traceback
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

TEXTS = ["the cat sat.", "a dog runs, the cat sat?"]
LABELS = np.array([1, 3])
CLASSES = {
    "tensorflow": "TFBertForSequenceClassification",
    "flax": "FlaxBertForSequenceClassification",
    "pytorch": "BertForSequenceClassification",
}
LETTERS = {"tensorflow": "tf", "flax": "np", "pytorch": "pt"}


def run(call: str, names: dict[str, Any]) -> Any:
    """Executes statements; gives the value of the last one, None where that is no expression."""
    *first, last = ast.parse(call).body
    exec(compile(ast.Module(first, []), "<call>", "exec"), names)
    if isinstance(last, ast.Expr):
        return eval(compile(ast.Expression(last.value), "<call>", "eval"), names)
    return exec(compile(ast.Module([last], []), "<call>", "exec"), names)


@contextlib.contextmanager
def working_in(folder: str | os.PathLike[str]) -> Iterator[None]:
    """The calls name checkpoints by folders."""
    before = os.getcwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def prepared(names: dict[str, Any], framework: str, tokenizer_class: type) -> dict[str, Any]:
    """The names that every row of a table has."""
    tokenizer = tokenizer_class.from_pretrained("classifier")
    batch = tokenizer(TEXTS, padding=True, return_tensors=LETTERS[framework])
    labels = LABELS
    if framework == "pytorch":
        labels = names["torch"].from_numpy(LABELS)
    model = names[CLASSES[framework]].from_pretrained("classifier")
    names |= {"tokenizer": tokenizer, "texts": TEXTS, "batch": batch, "labels": labels, "model": model}
    if framework == "flax":
        names |= {"batch": dict(batch), "params": model.params, "key": names["jax"].random.PRNGKey(0)}
    return names


def told(value: Any, names: Mapping[str, Any]) -> Any:
    """A value as JSON: numbers and their shape; of a model and a tokenizer what it makes of the batch; else None."""
    if value is None or isinstance(value, (str, int, float)):
        return value
    if isinstance(value, Mapping):
        dropped = ("past_key_values",)
        return {key: told(one, names) for key, one in value.items() if one is not None and key not in dropped}
    if hasattr(value, "convert_tokens_to_ids"):
        return told(value(TEXTS)["input_ids"], names)
    if hasattr(value, "save_pretrained"):
        if hasattr(value, "to"):
            return told(value.to("cpu")(names["batch"]["input_ids"])[0].float(), names)
        return told(value(names["batch"]["input_ids"])[0], names)
    if isinstance(value, (list, tuple)) and not hasattr(value, "_fields"):
        return [told(one, names) for one in value]
    if hasattr(value, "detach"):
        value = value.detach().float()
    if hasattr(value, "value") and hasattr(value, "trainable"):  # a variable of Keras 3
        value = value.value
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        array = np.asarray(value)
        return {"shape": list(array.shape), "values": array.astype(np.float64).ravel().tolist()}
    return None


def peer_names(framework: str) -> dict[str, Any]:
    """What a user of transformers 4.57 has imported."""
    import transformers

    transformers.logging.set_verbosity_error()
    names = {"np": np} | {name: getattr(transformers, name) for name in CALLED[framework]}
    if framework == "tensorflow":
        import tensorflow as tf
        import tf_keras as keras

        names |= {"tf": tf, "keras": keras}
    elif framework == "flax":
        import flax
        import flax.training.common_utils
        import jax
        import jax.numpy as jnp
        import optax
        from flax.training.train_state import TrainState

        names |= {"jax": jax, "jnp": jnp, "optax": optax, "flax": flax, "TrainState": TrainState}
        names |= {"replicate": flax.jax_utils.replicate, "shard": flax.training.common_utils.shard}
    else:
        import torch

        names |= {"torch": torch}
    return names


_COMMON = ("AutoTokenizer", "BertConfig", "BertTokenizer", "pipeline")
CALLED = {
    "tensorflow": (
        *_COMMON,
        "TFAutoModelForSequenceClassification",
        "TFBertForSequenceClassification",
        "TFBertModel",
    ),
    "flax": (
        *_COMMON,
        "FlaxAutoModelForSequenceClassification",
        "FlaxBertForMaskedLM",
        "FlaxBertForSequenceClassification",
        "FlaxBertModel",
    ),
    "pytorch": (*_COMMON, "BertForSequenceClassification", "BertModel"),
}


def main() -> None:
    """See the module."""
    os.environ["TF_USE_LEGACY_KERAS"] = "1"
    for name, value in (("TF_CPP_MIN_LOG_LEVEL", "3"), ("JAX_PLATFORMS", "cpu"), ("CUDA_VISIBLE_DEVICES", "")):
        os.environ.setdefault(name, value)
    from transformers import BertTokenizer

    results: dict[str, list[Any]] = {}
    for framework, (folder, calls) in json.load(sys.stdin).items():
        results[framework] = []
        with working_in(folder):
            shared = peer_names(framework)
            for call in calls:
                try:
                    names = prepared(dict(shared), framework, BertTokenizer)
                    results[framework].append([told(run(call, names), names), None])
                except Exception:
                    results[framework].append([None, traceback.format_exc(limit=-3)])
                if framework == "tensorflow":
                    shared["keras"].mixed_precision.set_global_policy("float32")
    print("\n" + json.dumps(results))


if __name__ == "__main__":
    main()
