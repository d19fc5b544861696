"""Keras trains a TFBert: where labels may be, the model's own loss, weights, metrics, several replicas."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

import bertx
import bertx_tensorflow
from support import HEADS, batch, labels

TRAINED = [head for head in HEADS if head != "BertModel"]
OF_TOKENS = ("BertForPreTraining", "BertLMHeadModel", "BertForMaskedLM", "BertForTokenClassification")
QUIET = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
WEIGHTS = np.array([2.0, 0.5, 0.0, 1.0], np.float32)
TOLERANCE = 2e-6

pytestmark = [
    pytest.mark.filterwarnings("ignore::UserWarning:keras"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]


@pytest.fixture(scope="module")
def make(peers):
    """(head, **changes) → a fresh TFBert, the same weights each time, dropout off."""

    def made(head, **changes):
        folder = peers(head, num_hidden_layers=1)[1]
        return getattr(bertx_tensorflow, f"TF{head}").from_pretrained(folder, **QUIET | changes)

    return made


def data_of(head):
    inputs = batch(head, "right")
    return inputs, labels(head)


def sgd(model, run_eagerly=True, **options):
    """Compiled; without a graph, whose tracing takes most of a test's time."""
    model.compile(keras.optimizers.SGD(0.1), run_eagerly=run_eagerly, **options)
    return model


def fit(model, *args, **options):
    return {name: values[0] for name, values in model.fit(*args, batch_size=4, verbose=0, **options).history.items()}


def own_loss(model, head, weights=None):
    """The model's own loss of all rows; with weights the sum of the weighted losses by how many are counted."""
    x, y = data_of(head)
    if weights is None:
        return float(tf.reduce_mean(model(x, **y).loss))
    total = 0.0
    for name, part in y.items():  # the loss is a sum over its labels, of QA their mean
        logits = model(x)[model._outputs_of_labels()[name]].numpy().astype(np.float64)
        if head == "BertLMHeadModel":
            logits, part = logits[:, :-1], part[:, 1:]
        ignored = (part < 0) | (part >= logits.shape[-1])
        log_probability = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
        losses = -np.take_along_axis(log_probability, np.where(ignored, 0, part)[..., None], -1)[..., 0]
        weighted = losses * ~ignored * weights.reshape(-1, *[1] * (losses.ndim - 1))
        total += weighted.sum() / (~ignored).sum() / (2 if head == "BertForQuestionAnswering" else 1)
    return total


def as_sequence(x, y):
    class Batches(keras.utils.PyDataset):
        def __len__(self):
            return 1

        def __getitem__(self, index):
            return ({**x, **y},) if y is not None else (x,)

    return Batches()


PLACES = {
    "among the inputs": lambda x, y: ({**x, **y},),
    "a dict": lambda x, y: (x, y),
    "in order": lambda x, y: (x, tuple(y.values()) if len(y) > 1 else next(iter(y.values()))),
    "tf.data, a dict": lambda x, y: (tf.data.Dataset.from_tensor_slices((x, y)).batch(4),),
    "tf.data, among the inputs": lambda x, y: (tf.data.Dataset.from_tensor_slices({**x, **y}).batch(4),),
    "a PyDataset": lambda x, y: (as_sequence(x, y),),
}


@pytest.mark.parametrize("head", TRAINED)
def test_labels_wherever_they_are(make, head):
    """With the model's own loss: the same loss and the same update."""
    x, y = data_of(head)
    expected = own_loss(make(head), head)
    after = None
    for name, arrange in PLACES.items():
        model = sgd(make(head), run_eagerly=head not in ("BertForSequenceClassification", "BertForQuestionAnswering"))
        args = arrange(x, y)
        options = {} if hasattr(args[0], "keys") else {"batch_size": None}
        history = model.fit(*args, **{"batch_size": 4, "verbose": 0} | options).history
        assert history["loss"][0] == pytest.approx(expected, abs=TOLERANCE), name
        trained = [variable.numpy() for variable in model.trainable_variables]
        after = after or trained
        assert max(np.abs(a - b).max() for a, b in zip(trained, after, strict=True)) <= 1e-6, name
    found = model.evaluate({**x, **y}, batch_size=4, verbose=0)
    assert found == pytest.approx(own_loss(model, head), abs=TOLERANCE)
    assert model.test_on_batch(x, y) == pytest.approx(own_loss(model, head), abs=TOLERANCE)


@pytest.mark.parametrize("head", TRAINED)
def test_sample_weights_with_the_own_loss(make, head):
    x, y = data_of(head)
    expected = own_loss(make(head), head, WEIGHTS)
    assert expected != pytest.approx(own_loss(make(head), head), abs=1e-2)
    for given in ((x, y), ({**x, **y},)):
        found = fit(sgd(make(head)), *given, sample_weight=WEIGHTS)["loss"]
        assert found == pytest.approx(expected, abs=2 * TOLERANCE)
    assert sgd(make(head)).train_on_batch(x, y, sample_weight=WEIGHTS) == pytest.approx(expected, abs=2 * TOLERANCE)


def test_weights_of_each_label(make):
    """Of tokens one for each; of a question answered weights for each end."""
    head = "BertForTokenClassification"
    x, y = data_of(head)
    every = np.repeat(WEIGHTS[:, None], 13, 1)
    found = fit(sgd(make(head)), x, y, sample_weight=every)["loss"]
    assert found == pytest.approx(own_loss(make(head), head, WEIGHTS), abs=2 * TOLERANCE)
    with pytest.raises(ValueError, match=r"the sample weights of labels have the shape \[.*7\], expected \[B\]"):
        fit(sgd(make(head)), x, y, sample_weight=every[:, :7])

    head = "BertForQuestionAnswering"
    x, y = data_of(head)
    weights = {"start_positions": WEIGHTS, "end_positions": np.zeros(4, np.float32)}
    found = fit(sgd(make(head)), x, y, sample_weight=weights)["loss"]
    both = {name: own_loss(make(head), head, weights[name]) for name in weights}
    assert 0 < found < both["start_positions"] and both["end_positions"] == 0


@pytest.mark.parametrize(
    "head", ["BertForSequenceClassification", "BertForNextSentencePrediction", "BertForMultipleChoice"]
)
def test_class_weights_with_the_own_loss(make, head):
    x, y = data_of(head)
    classes = {0: 3.0, 1: 0.5, 2: 0.25, 3: 2.0, 4: 0.0}
    weights = np.array([classes[int(label)] for label in y["labels"]], np.float32)
    expected = own_loss(make(head), head, weights)
    assert expected != pytest.approx(own_loss(make(head), head), abs=1e-2)
    for name in ("among the inputs", "a dict", "in order", "tf.data, among the inputs"):
        model = sgd(make(head))
        history = model.fit(*PLACES[name](x, y), class_weight=classes, verbose=0).history
        assert history["loss"][0] == pytest.approx(expected, abs=2 * TOLERANCE), name
    with pytest.raises(ValueError, match="class_weight needs the labels as targets"):
        sgd(make(head)).fit(as_sequence(x, y), class_weight=classes, verbose=0)


@pytest.mark.parametrize("head", ["BertForTokenClassification", "BertForQuestionAnswering"])
def test_class_weights_of_what_is_no_class_of_a_row(make, head):
    x, y = data_of(head)
    with pytest.raises(ValueError, match="class_weight"):
        fit(sgd(make(head)), x, y, class_weight={0: 2.0})


@pytest.mark.parametrize("head", TRAINED)
def test_metrics_of_every_output(make, head):
    """Of a list of metrics each output has its own, whose names are as TFBert's; labels may be among the inputs."""
    x, y = data_of(head)
    model = make(head)
    names = model._outputs_of_labels()
    outputs = model(x)
    expected = {
        f"{output}_accuracy" if len(names) > 1 else "accuracy": np.mean(np.argmax(outputs[output], -1) == y[label])
        for label, output in names.items()
    }
    cross_entropy = keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=-100)
    for given in ((x, y), ({**x, **y},)):
        for options in ({}, {"loss": cross_entropy}):
            if options and head == "BertForQuestionAnswering":
                given = (given[0], {name: value % 13 for name, value in y.items()}) if len(given) > 1 else given
                given = ({**given[0], **{name: value % 13 for name, value in y.items()}},) if len(given) == 1 else given
                expected["end_logits_accuracy"] = np.mean(
                    np.argmax(outputs["end_logits"], -1) == y["end_positions"] % 13
                )
            found = sgd(make(head), metrics=["accuracy"], **options).evaluate(*given, verbose=0, return_dict=True)
            assert {name: found[name] for name in expected} == pytest.approx(expected, abs=1e-6)


def test_losses_metrics_and_weights_by_the_names_of_labels(make):
    head = "BertForQuestionAnswering"
    x, y = data_of(head)
    y = {name: value % 13 for name, value in y.items()}
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    metric = keras.metrics.SparseCategoricalCrossentropy(from_logits=True, name="nats")
    model = sgd(
        make(head),
        loss=dict.fromkeys(y, loss),
        loss_weights={"start_positions": 0.5, "end_positions": 0.5},
        metrics=[metric],
    )
    found = model.evaluate(x, y, verbose=0, return_dict=True)
    assert found["loss"] == pytest.approx(float(tf.reduce_mean(model(x, **y).loss)), abs=TOLERANCE)
    both = found["start_logits_nats"] + found["end_logits_nats"]
    assert both / 2 == pytest.approx(found["loss"], abs=TOLERANCE)


def test_targets_without_an_output(make):
    x, y = data_of("BertForMaskedLM")
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    with pytest.raises(ValueError, match=r"no output for the targets tags: its outputs are logits"):
        fit(sgd(make("BertForMaskedLM"), loss=loss), x, {"tags": y["labels"]})


@pytest.mark.parametrize(
    ("head", "y"), [("BertForSequenceClassification", None), ("BertForQuestionAnswering", np.array([1, 2, 3, 4]))]
)
def test_without_the_labels_there_is_no_loss(make, head, y):
    with pytest.raises(ValueError, match=r"No loss to compute: BertFor.* computes its own of (labels|start_positions)"):
        fit(sgd(make(head)), data_of(head)[0], y)


@pytest.mark.parametrize("column", [False, True])
@pytest.mark.parametrize("problem", [None, "single_label_classification"])
def test_float_class_numbers_are_counted(make, column, problem):
    """As Keras gives them, and TFBert counted them."""
    head = "BertForSequenceClassification"
    x, y = data_of(head)
    numbers = y["labels"].astype(np.float32)
    numbers = numbers[:, None] if column else numbers
    expected = own_loss(make(head), head)
    for target in (numbers, numbers.astype(np.float64)):
        found = fit(sgd(make(head, problem_type=problem)), x, target)["loss"]
        assert found == pytest.approx(expected, abs=TOLERANCE)


@pytest.mark.parametrize(
    ("head", "changes", "given", "shapes"),
    [
        ("BertForSequenceClassification", {"num_labels": 3}, (4, 3), "[None, 3], expected [None]"),
        ("BertForSequenceClassification", {"num_labels": 1}, (4, 2), "[None, 2], expected [None, 1]"),
        ("BertForNextSentencePrediction", {}, (4, 2), "[None, 2], expected [None]"),
    ],
)
def test_fit_refuses_labels_of_another_shape_before_the_graph_runs(head, changes, given, shapes):
    sizes = {"vocab_size": 20, "hidden_size": 8, "num_hidden_layers": 0, "num_attention_heads": 2}
    model = getattr(bertx_tensorflow, f"TF{head}")(bertx.BertConfig(**sizes, **changes))
    with pytest.raises(ValueError, match=re.escape(f"labels has the shape {shapes}")):
        sgd(model, run_eagerly=False).fit(np.ones((4, 6), np.int32), np.ones(given, np.int32), verbose=0)


def test_regularisation_is_a_part_of_the_loss(make):
    head = "BertForSequenceClassification"
    x, y = data_of(head)
    model = make(head)
    kernel = model.classifier.kernel
    model.classifier.add_loss = None
    kernel.regularizer = keras.regularizers.L2(0.5)
    expected = own_loss(model, head) + 0.5 * float(np.square(kernel.numpy()).sum())
    assert fit(sgd(model), x, y)["loss"] == pytest.approx(expected, abs=1e-5)


def test_a_compiled_model_is_saved_and_read(make, tmp_path):
    head = "BertForQuestionAnswering"
    x, y = data_of(head)
    model = sgd(make(head), metrics=["accuracy"])
    fit(model, x, y)
    model.save(tmp_path / "x.keras")
    again = keras.saving.load_model(tmp_path / "x.keras")
    expected, found = (m.evaluate(x, y, verbose=0, return_dict=True) for m in (model, again))
    assert found == pytest.approx(expected, abs=TOLERANCE) and "start_logits_accuracy" in found


@pytest.mark.parametrize("policy", ["mixed_float16", "float16"])
def test_the_own_loss_in_half_precision(make, policy):
    """In float16 the sum of the losses of many tokens is infinite."""
    head = "BertForMaskedLM"
    x, y = data_of(head)
    many = {name: np.repeat(value, 64, 0) for name, value in {**x, **y}.items()}
    expected = own_loss(make(head), head)
    model = sgd(make(head, dtype=policy))
    assert model.evaluate(many, batch_size=256, verbose=0) == pytest.approx(expected, rel=5e-3)
    assert model(x, **y).loss.dtype == tf.float32
    if policy == "mixed_float16":
        assert np.isfinite(model.fit(many, batch_size=256, verbose=0).history["loss"][0])


@pytest.mark.slow
@pytest.mark.parametrize("head", ["BertForSequenceClassification", "BertForMaskedLM", "BertForQuestionAnswering"])
def test_two_replicas_train_as_one_device(peers, tmp_path, head):
    """The own loss and the update, where replicas count other numbers of labels and one has no row in the end."""
    folder = peers(head, num_hidden_layers=1)[1]
    np.savez(tmp_path / "data.npz", **batch(head, "right", batch_size=9), **labels(head, batch_size=9))
    script = Path(__file__).with_name("mirrored_strategy.py")
    run = subprocess.run(
        [sys.executable, script, folder, head, tmp_path / "data.npz"], capture_output=True, text=True, timeout=500
    )
    assert run.returncode == 0, run.stderr[-3000:]
    for way, found in json.loads(run.stdout.splitlines()[-1]).items():
        if way != "loss of Keras":  # which is the mean of the replicas' means
            assert found["two"] == pytest.approx(found["one"], abs=TOLERANCE), way
            assert found["weights"] <= 2e-6, way
