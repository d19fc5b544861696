"""problem_type of a sequence classifier: the loss is transformers' own on every backend."""

from __future__ import annotations

import numpy as np
import pytest

import bertx
from support import BACKENDS, BATCH, batch, peer, peer_forward, save_peer

HEAD = "BertForSequenceClassification"
generator = np.random.default_rng(9)
CLASSES = generator.integers(0, 5, BATCH)
SOME_CLASSES = np.array([4, -100, 0, -100])
SEVERAL = generator.integers(0, 2, (BATCH, 5)).astype(np.float32)
NUMBERS = generator.standard_normal((BATCH, 3)).astype(np.float32)
# name → num_labels, problem_type, labels
CASES = {
    "single": (5, "single_label_classification", CLASSES),
    "single, some not counted": (5, "single_label_classification", SOME_CLASSES),
    "single, inferred": (5, None, CLASSES),
    "multi": (5, "multi_label_classification", SEVERAL),
    "multi, inferred": (5, None, SEVERAL),
    "regression of one": (1, "regression", NUMBERS[:, 0]),
    "regression of one, as a column": (1, "regression", NUMBERS[:, :1]),
    "regression of one, inferred": (1, None, NUMBERS[:, 0]),
    "regression of three": (3, "regression", NUMBERS),
}


@pytest.fixture(scope="module")
def expected():
    """Case → what transformers says; a fresh peer for each, for it keeps what it infers."""
    found = {}
    for name, (num_labels, problem_type, labels) in CASES.items():
        model = peer(HEAD, num_labels=num_labels, problem_type=problem_type, num_hidden_layers=1)
        found[name] = peer_forward(model, batch(HEAD, "right") | {"labels": labels})
    return found


@pytest.fixture(scope="module")
def load(tmp_path_factory):
    loaded = {}

    def model(num_labels, problem_type, backend):
        key = num_labels, problem_type
        if key not in loaded:
            made = peer(HEAD, num_labels=num_labels, problem_type=problem_type, num_hidden_layers=1)
            loaded[key] = save_peer(made, tmp_path_factory.mktemp("losses"))
        if (*key, backend) not in loaded:
            loaded[*key, backend] = bertx.load(loaded[key], backend=backend)
        return loaded[*key, backend]

    return model


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("case", CASES)
def test_equals_transformers(expected, load, case, backend):
    num_labels, problem_type, labels = CASES[case]
    model = load(num_labels, problem_type, backend)
    found = model.forward(**batch(HEAD, "right"), labels=labels)
    assert found["loss"].shape == ()
    assert abs(float(found["loss"]) - float(expected[case]["loss"])) <= 5e-6
    assert np.abs(found["logits"] - expected[case]["logits"]).max() <= 5e-6


@pytest.mark.parametrize("backend", BACKENDS)
def test_pairs_that_are_not_counted(peers, loaded, backend):
    """The mean of the others on every backend, though the native class of TensorFlow counts them, as TFBert did."""
    head = "BertForNextSentencePrediction"
    model, folder = peers(head)
    inputs = batch(head, "right") | {"labels": np.array([1, -100, 0, -100])}
    found = loaded(folder, backend=backend).forward(**inputs)["loss"]
    assert found.shape == () and abs(float(found) - float(peer_forward(model, inputs)["loss"])) <= 5e-6


def test_the_problems_differ(expected):
    losses = [float(outputs["loss"]) for outputs in expected.values()]
    assert len({round(loss, 3) for loss in losses}) == 5  # six kinds of case, "inferred" and "column" repeat one


@pytest.mark.parametrize("backend", BACKENDS)
def test_labels_that_a_problem_does_not_take(load, backend):
    inputs = batch(HEAD, None)
    with pytest.raises(ValueError, match=r"labels is float32 \[4, 5\], expected \[4\]"):
        load(5, "single_label_classification", backend).forward(**inputs, labels=SEVERAL)
    with pytest.raises(ValueError, match=r"labels is int64 \[4\], expected \[4, 5\]"):
        load(5, "multi_label_classification", backend).forward(**inputs, labels=CLASSES)
    with pytest.raises(ValueError, match=r"labels is float32 \[4, 1\], expected \[4, 3\]"):
        load(3, "regression", backend).forward(**inputs, labels=NUMBERS[:, :1])
    with pytest.raises(ValueError, match=r"labels\[1\] is 5, expected 0 to 4 \(num_labels is 5\)"):
        load(5, None, backend).forward(**inputs, labels=np.array([0, 5, 1, 2]))
