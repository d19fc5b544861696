"""A new head is a class in its architecture's file, and its task a file of `bertx.tasks`: nothing else knows heads."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import transformers

from support import SIZES

ROOT = Path(__file__).parents[1]
VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "cat", "dog"]
HEAD = '''

class BertForTokenRegression(heads.Head, BertHead):
    """A number for every position."""

    task = "token-regression"
    labels = {"labels": ("tokens", "numbers")}
    output_class = TokenClassifierOutput

    def add_layers(self, config, base):
        self.dropout, self.classifier = heads.classifier_layers(config, 1)

    def logits(self, hidden_states, pooled):
        return self.classifier(self.dropout(hidden_states))[..., 0]

    def loss_function(self, logits, labels):
        return mean_squared_error(logits, labels)
'''
IMPORTS = """from .layers.losses import mean_squared_error
from .layers.outputs import TokenClassifierOutput
"""
TASK = """
from .pairs import encode_pairs
from .streaming import padded, run_whole


class TokenRegression:
    def __init__(self, model, folder=None):
        self._model = model

    def __call__(self, texts):
        def compute(rows):
            values = self._model.forward(**padded(self._model, rows))["logits"]
            return [
                [float(value) for value in numbers[:length]]
                for length, numbers in zip(rows.lengths, values, strict=True)
            ]

        return run_whole(self._model, texts, lambda window: encode_pairs(self._model, window), compute)
"""
CALLS = """
import sys
import warnings
import numpy as np
import bertx
import bertx_jax, bertx_tensorflow, bertx_torch

source, folder = sys.argv[1:]
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # its head is not in the checkpoint
    bertx.load(source, task="token-regression", backend="numpy").save(folder)
ids, labels = np.array([[5, 6, 7]]), np.array([[0.1, 0.2, 0.3]], np.float32)
expected = None
for backend in ("numpy", "torch", "jax", "tensorflow"):
    model = bertx.load(folder, backend=backend)
    assert model.task == "token-regression"
    found = model.forward(input_ids=ids, labels=labels)
    assert found["logits"].shape == (1, 3)
    assert abs(found["loss"] - ((found["logits"] - labels) ** 2).mean()) < 1e-6
    expected = found["logits"] if expected is None else expected
    assert np.abs(found["logits"] - expected).max() < 5e-6, backend
    one, two = model(["the", "the dog"])
    assert (len(one), len(two)) == (3, 4)
    try:
        model.forward(input_ids=ids, labels=labels[0])
    except ValueError as error:
        assert "labels is float32 [3], expected [1, 3]" in str(error)
    else:
        raise AssertionError(backend)
assert bertx.parity(folder, backends=["numpy", "torch"]).passed
assert bertx_torch.BertForTokenRegression.from_pretrained(folder).task == "token-regression"
assert bertx_jax.FlaxBertForTokenRegression and "TFBertForTokenRegression" in bertx_tensorflow.__all__
model = bertx_tensorflow.TFBertForTokenRegression.from_pretrained(folder)
model.compile("sgd")
model.fit({"input_ids": np.repeat(ids, 4, 0)}, np.repeat(labels, 4, 0), verbose=0)
for form in ("flax", "tensorflow"):
    bertx.convert(folder, f"{folder}-{form}", format=form)
"""


def test_a_head_is_two_files(tmp_path):
    tree = tmp_path / "tree"
    shutil.copytree(ROOT / "bertx", tree / "bertx", ignore=shutil.ignore_patterns("__pycache__"))
    file = tree / "bertx" / "models" / "bert.py"
    first, second = "from .layers.activations import activation\n", "class BertForMultipleChoice"
    source = file.read_text()
    assert source.count(first) == source.count(second) == 1
    file.write_text(source.replace(first, first + IMPORTS).replace(second, f"{HEAD.lstrip()}\n\n{second}"))
    (tree / "bertx" / "tasks" / "token_regression.py").write_text(TASK.lstrip())
    checkpoint = tmp_path / "checkpoint"
    config = transformers.BertConfig(**{**SIZES, "vocab_size": len(VOCABULARY)})
    transformers.BertModel(config).save_pretrained(checkpoint)
    (checkpoint / "vocab.txt").write_text("\n".join(VOCABULARY))
    paths = os.pathsep.join(map(str, (tree, ROOT / "backends", ROOT / "weights")))
    subprocess.run(
        [sys.executable, "-W", "ignore", "-c", CALLS, str(checkpoint), str(tmp_path / "head")],
        check=True,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": paths},
    )
