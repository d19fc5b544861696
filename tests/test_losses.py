"""The losses: of each problem_type transformers' own, of labels in their shape alone, in float32 or more."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest
import tensorflow as tf
import torch

import bertx
import bertx.models.layers.losses as numpy_losses
import bertx_jax
import bertx_jax.layers.losses as jax_losses
import bertx_tensorflow
import bertx_tensorflow.layers.losses as tf_losses
import bertx_torch
import bertx_torch.layers.losses as torch_losses
from support import BACKENDS, BATCH, LENGTH, batch, peer, peer_forward, save_peer

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


# --- labels of another shape ------------------------------------------------------------------------

PACKAGES = {"torch": bertx_torch, "jax": bertx_jax, "tensorflow": bertx_tensorflow}
TENSORS = {
    "torch": torch.from_numpy,
    "jax": jnp.asarray,
    "tensorflow": lambda array: tf.constant(array, tf.int32 if array.dtype.kind == "i" else tf.float32),
}
ROW = np.array([1])
# (head, changes of the config, labels): a loss by broadcasting, or of other pairs than meant.
WRONG = {
    "one class for 4 rows": (HEAD, {}, {"labels": ROW}),
    "5 classes for 4 rows": (HEAD, {}, {"labels": np.zeros(BATCH + 1, np.int64)}),
    "float class numbers in a column": (HEAD, {}, {"labels": CLASSES[:, None].astype(np.float32)}),
    "float class numbers": (HEAD, {}, {"labels": CLASSES.astype(np.float32)}),
    "one row of several labels": (
        HEAD,
        {"problem_type": "multi_label_classification"},
        {"labels": SEVERAL[:1]},
    ),
    "one of several labels": (HEAD, {"problem_type": "multi_label_classification"}, {"labels": SEVERAL[:, :1]}),
    "several labels of another number": (HEAD, {}, {"labels": SEVERAL[:, :4]}),
    "class numbers for several labels": (HEAD, {"problem_type": "multi_label_classification"}, {"labels": CLASSES}),
    "one number for 4 rows": (HEAD, {"num_labels": 1}, {"labels": NUMBERS[:1, 0]}),
    "one column of three numbers": (
        HEAD,
        {"num_labels": 3, "problem_type": "regression"},
        {"labels": NUMBERS[:, :1]},
    ),
    "numbers for rows": (HEAD, {"num_labels": 3, "problem_type": "regression"}, {"labels": NUMBERS.T.copy()}),
    "tags of one row": ("BertForTokenClassification", {}, {"labels": np.ones((1, LENGTH), np.int64)}),
    "tags of one token": ("BertForTokenClassification", {}, {"labels": np.ones((BATCH, 1), np.int64)}),
    "tags without the last token": ("BertForTokenClassification", {}, {"labels": np.ones((BATCH, LENGTH - 1), int)}),
    "words of one row": ("BertForMaskedLM", {}, {"labels": np.ones((1, LENGTH), np.int64)}),
    "words without the last": ("BertForMaskedLM", {}, {"labels": np.ones((BATCH, LENGTH - 1), np.int64)}),
    "next words of one row": ("BertLMHeadModel", {"is_decoder": True}, {"labels": np.ones((1, LENGTH), np.int64)}),
    "one pair for 4": ("BertForNextSentencePrediction", {}, {"labels": ROW}),
    "one choice for 4 rows": ("BertForMultipleChoice", {}, {"labels": ROW}),
    "one position for 4 rows": (
        "BertForQuestionAnswering",
        {"num_labels": 2},
        {"start_positions": ROW, "end_positions": ROW},
    ),
    "one pair for 4 rows": (
        "BertForPreTraining",
        {},
        {"labels": np.ones((BATCH, LENGTH), np.int64), "next_sentence_label": ROW},
    ),
}
# TFBert and Keras take class numbers as floats: TensorFlow counts them.
COUNTED = ("float class numbers in a column", "float class numbers")


@pytest.fixture(scope="module")
def native(peers):
    """(framework, head, changes) → (a native model, its class's prefix)."""
    made = {}

    def model(framework, head, changes):
        key = (framework, head, *changes.items())
        if key not in made:
            prefix = {"torch": "", "jax": "Flax", "tensorflow": "TF"}[framework]
            name = {"FlaxBertLMHeadModel": "FlaxBertForCausalLM"}.get(prefix + head, prefix + head)
            folder = peers(head, num_hidden_layers=1, **changes)[1]
            made[key] = getattr(PACKAGES[framework], name).from_pretrained(folder)
        return made[key]

    return model


def tensors(framework, arrays):
    return {name: TENSORS[framework](np.ascontiguousarray(value)) for name, value in arrays.items()}


@pytest.mark.filterwarnings("ignore:Using a target size")
@pytest.mark.parametrize("case", WRONG)
def test_transformers_refuses_the_labels_too(peers, case):
    head, changes, labels = WRONG[case]
    model = peers(head, num_hidden_layers=1, **changes)[0]
    inputs = batch(head, None) | {
        name: value.astype(np.float64) if value.dtype.kind == "f" else value for name, value in labels.items()
    }
    if case in ("one number for 4 rows", "one column of three numbers"):
        peer_forward(model, inputs)  # PyTorch's squared error broadcasts, with a warning
        return
    with pytest.raises((ValueError, RuntimeError)):
        peer_forward(model, inputs)


@pytest.mark.parametrize("framework", PACKAGES)
@pytest.mark.parametrize("case", WRONG)
def test_labels_of_another_shape_are_refused(native, framework, case):
    head, changes, labels = WRONG[case]
    model = native(framework, head, changes)
    inputs = tensors(framework, batch(head, None))
    if framework == "tensorflow" and case in COUNTED:
        expected = model(**inputs, labels=tf.constant(CLASSES)).loss
        found = model(**inputs, **tensors(framework, labels)).loss
        assert float(tf.reduce_max(tf.abs(found - expected))) == 0
        return
    name = list(labels)[-1] if "start_positions" not in labels else "start_positions"
    with pytest.raises(ValueError, match=rf"{name} (has the shape \[.*\], expected \[|are .*float)"):
        model(**inputs, **tensors(framework, labels))


@pytest.mark.parametrize("case", [case for case in WRONG if case not in COUNTED])
def test_labels_of_another_shape_in_a_graph_of_any_shape(native, case):
    """A shape that is known only when a graph of TensorFlow runs."""
    head, changes, labels = WRONG[case]
    model = native("tensorflow", head, changes)
    arrays = tensors("tensorflow", batch(head, None) | labels)
    anything = {name: tf.TensorSpec([None] * value.shape.rank, value.dtype) for name, value in arrays.items()}
    run = tf.function(lambda inputs: model(**inputs).loss, input_signature=[anything])
    with pytest.raises((ValueError, tf.errors.InvalidArgumentError), match=r"shape"):
        run(arrays)


@pytest.mark.parametrize("dims", [None, [None], [None, None]])
def test_labels_in_a_graph_of_any_shape(native, dims):
    """The right ones give the loss that they give outside; of classes even where the rank is not known."""
    model = native("tensorflow", HEAD, {})
    arrays = tensors("tensorflow", batch(HEAD, None))
    labels = CLASSES[:, None] if dims == [None, None] else CLASSES
    anything = {name: tf.TensorSpec([None, None], value.dtype) for name, value in arrays.items()}
    run = tf.function(
        lambda inputs, labels: model(**inputs, labels=labels).loss,
        input_signature=[anything, tf.TensorSpec(dims, tf.int64)],
    )
    expected = model(**arrays, labels=tf.constant(CLASSES)).loss
    assert np.abs(run(arrays, tf.constant(labels)) - expected).max() <= 1e-6


# --- half precision ---------------------------------------------------------------------------------

LOSSES = {"numpy": numpy_losses, "torch": torch_losses, "jax": jax_losses, "tensorflow": tf_losses}


@pytest.mark.parametrize("framework", PACKAGES)
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("name", ["cross_entropy", "binary_cross_entropy", "mean_squared_error"])
def test_losses_of_half_precision_are_computed_in_float32(framework, dtype, name):
    """Sums, and squares, that float16 does not hold; and digits that bfloat16 does not."""
    rows = 4096
    logits = generator.normal(0, 40, (rows, 7)).astype(np.float32)
    labels = generator.integers(0, 7, rows)
    if name != "cross_entropy":
        labels = generator.integers(0, 2, (rows, 7)).astype(np.float32)
    if name == "mean_squared_error":
        logits *= 20
    half = {
        "torch": lambda x: torch.from_numpy(x).to(getattr(torch, dtype)),
        "jax": lambda x: jnp.asarray(x, dtype),
        "tensorflow": lambda x: tf.cast(x, dtype),
    }[framework](logits)
    exact = {
        "torch": lambda x: x.double().numpy(),
        "jax": lambda x: np.asarray(x.astype("float32"), np.float64),
        "tensorflow": lambda x: tf.cast(x, "float64").numpy(),
    }[framework](half)
    expected = float(getattr(LOSSES["numpy"], name)(exact, labels))
    found = getattr(LOSSES[framework], name)(half, TENSORS[framework](labels))
    assert "float32" in str(found.dtype)
    found = np.mean(np.asarray(found, np.float64))
    assert abs(found - expected) <= 2e-6 * expected
