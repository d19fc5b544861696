"""Reads checkpoint folders with transformers 4.57, in PyTorch, TensorFlow or Flax, and says what it found.

Run by the peer environment of transformers4.txt (see there), which the tests' own cannot be:

    python read_transformers4.py FOLDER HEAD FRAMEWORK OUT.npz
    python read_transformers4.py < jobs.json        # [[FOLDER, HEAD, FRAMEWORK, OUT.npz], …]: the imports cost seconds

HEAD is PyTorch's name of the class ("BertForMaskedLM"), FRAMEWORK "pytorch", "tensorflow" or "flax". OUT.npz holds
`inputs/…`, a fixed batch, `outputs/…`, what the model makes of it (hidden states as `outputs/hidden_states/0`…), and
`weights/…` by the framework's own names. Standard output has one JSON object a job: what it was asked, and
the sorted `missing`, `unexpected` and `mismatched` keys, and `error`, null if it could be read. The exit code is 1 if
any of these is not empty.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import traceback
from pathlib import Path

os.environ["TF_USE_LEGACY_KERAS"] = "1"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")

import numpy as np
import transformers

BATCH, CHOICES, LENGTH = 2, 3, 7
FLAX_NAMES = {"BertLMHeadModel": "FlaxBertForCausalLM"}


def batch(head: str, config: transformers.BertConfig) -> dict[str, np.ndarray]:
    """Ids and token types that any config of the tests has, the second row padded on the right."""
    generator = np.random.default_rng(0)
    shape = (BATCH, CHOICES, LENGTH) if head.endswith("ForMultipleChoice") else (BATCH, LENGTH)
    mask = np.ones(shape, np.int32)
    mask[1, ..., -3:] = 0
    return {
        "input_ids": generator.integers(0, config.vocab_size, shape, np.int32),
        "attention_mask": mask,
        "token_type_ids": generator.integers(0, config.type_vocab_size, shape, np.int32),
    }


def read_pytorch(folder: Path, head: str):
    """The loading info, the weights, and a function of inputs."""
    import torch

    model, info = getattr(transformers, head).from_pretrained(
        folder, output_loading_info=True, use_safetensors=any(folder.glob("*.safetensors"))
    )
    weights = {name: tensor.float().numpy() for name, tensor in model.state_dict().items()}

    def forward(inputs):
        with torch.no_grad():
            return model.eval().float()(
                **{name: torch.from_numpy(value).long() for name, value in inputs.items()}, output_hidden_states=True
            )

    return info, weights, model.config, forward


def read_tensorflow(folder: Path, head: str):
    """The same; model.safetensors is not looked at, TensorFlow cannot read it with this safetensors."""
    import tf_keras

    tf_keras.backend.clear_session()
    model, info = getattr(transformers, f"TF{head}").from_pretrained(
        folder, output_loading_info=True, use_safetensors=False
    )
    weights = {variable.name: variable.numpy() for variable in model.weights}
    return info, weights, model.config, lambda inputs: model(inputs, output_hidden_states=True, training=False)


class Warnings(logging.Handler):
    """Keeps what is logged: Flax's classes have no loading info."""

    def __init__(self):
        super().__init__()
        self.messages = []

    def emit(self, record):
        self.messages.append(record.getMessage())


def read_flax(folder: Path, head: str):
    """The same, the keys as the whole messages that name them."""
    from flax.traverse_util import flatten_dict

    logger = logging.getLogger("transformers.modeling_flax_utils")
    warnings = Warnings()
    logger.addHandler(warnings)
    try:
        model = getattr(transformers, FLAX_NAMES.get(head, f"Flax{head}")).from_pretrained(folder)
    finally:
        logger.removeHandler(warnings)
    info = {
        "missing_keys": [m for m in warnings.messages if "newly initialized" in m and "shapes did not match" not in m],
        "unexpected_keys": [m for m in warnings.messages if "were not used" in m],
        "mismatched_keys": [m for m in warnings.messages if "shapes did not match" in m],
    }
    weights = {"/".join(path): np.asarray(value, np.float32) for path, value in flatten_dict(model.params).items()}
    return info, weights, model.config, lambda inputs: model(**inputs, output_hidden_states=True)


READERS = {"pytorch": read_pytorch, "tensorflow": read_tensorflow, "flax": read_flax}


def flat(prefix: str, value) -> dict[str, np.ndarray]:
    """The arrays of an output, those of a tuple numbered."""
    if isinstance(value, tuple | list):
        return {name: array for i, part in enumerate(value) for name, array in flat(f"{prefix}/{i}", part).items()}
    return {prefix: np.asarray(value)}


def run(folder: str, head: str, framework: str, out: str) -> dict:
    """One job's report; the arrays go to `out`."""
    report = {"folder": folder, "head": head, "framework": framework, "out": out}
    found = {"missing": [], "unexpected": [], "mismatched": [], "error": None}
    try:
        info, weights, config, forward = READERS[framework](Path(folder), head)
        for name in ("missing", "unexpected", "mismatched"):
            found[name] = sorted(map(str, info[f"{name}_keys"]))
        inputs = batch(head, config)
        arrays = {f"inputs/{name}": value for name, value in inputs.items()}
        arrays |= {f"weights/{name}": value for name, value in weights.items()}
        for name, value in forward(inputs).items():
            if name != "past_key_values":
                arrays |= flat(f"outputs/{name}", value)
        np.savez(out, **arrays)
    except Exception:
        found["error"] = traceback.format_exc()
    return report | found


def main() -> int:
    """Runs the job of the command line or those of standard input."""
    jobs = [sys.argv[1:]] if len(sys.argv) > 1 else json.load(sys.stdin)
    failed = False
    for job in jobs:
        report = run(*job)
        failed |= any(report[name] for name in ("missing", "unexpected", "mismatched", "error"))
        print(json.dumps(report), flush=True)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
