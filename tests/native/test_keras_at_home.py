"""What Keras people do with a model, done with a TFBert of bertx_tensorflow."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

import bertx_tensorflow
from support import HEADS, batch, labels

IDS = np.array([[2, 5, 6, 7, 3], [2, 5, 6, 3, 0]], np.int32)
INPUTS = {"input_ids": IDS, "attention_mask": (IDS != 0).astype(np.int32)}
LABELS = np.array([1, 3])

pytestmark = [
    # Keras and TensorFlow warn of themselves while they save, export and quantize.
    pytest.mark.filterwarnings("ignore::UserWarning:keras"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]


@pytest.fixture(scope="module")
def folder(peers):
    return peers("BertForSequenceClassification")[1]


@pytest.fixture
def model(folder):
    return bertx_tensorflow.TFBertForSequenceClassification.from_pretrained(folder)


def cross_entropy():
    return keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def differ(a, b) -> float:
    return float(tf.reduce_max(tf.abs(tf.cast(a, tf.float32) - tf.cast(b, tf.float32))))


def test_inputs_one_by_one_or_in_a_dict(model):
    expected = model(IDS, attention_mask=INPUTS["attention_mask"])
    assert isinstance(expected, bertx_tensorflow.TFSequenceClassifierOutput)
    assert differ(model(INPUTS).logits, expected.logits) == 0
    assert differ(model(INPUTS, return_dict=False)[0], expected.logits) == 0
    assert differ(model(IDS).logits, expected.logits) > 0


@pytest.mark.parametrize("how", ["labels", "named labels", "labels among the inputs", "tf.data"])
def test_fit(model, how):
    own_loss = float(tf.reduce_mean(model(**INPUTS, labels=LABELS).loss))
    data, target = dict(INPUTS), LABELS
    if how == "labels among the inputs":
        data, target = {**INPUTS, "labels": LABELS}, None
    elif how == "named labels":
        target = {"logits": LABELS}
    elif how == "tf.data":
        data, target = tf.data.Dataset.from_tensor_slices((INPUTS, LABELS)).batch(2), None
    loss = None if how == "labels among the inputs" else cross_entropy()
    model.compile(optimizer=keras.optimizers.Adam(1e-3), loss={"logits": loss} if how == "named labels" else loss)
    # Without dropout the first loss is the model's own, and it falls.
    for layer in model._flatten_layers():
        if isinstance(layer, keras.layers.Dropout):
            layer.rate = 0.0
    history = model.fit(data, target, epochs=8, verbose=0).history["loss"]
    assert history[0] == pytest.approx(own_loss, abs=1e-5)
    assert history[-1] < history[0]


def test_evaluate_and_predict(model):
    model.compile(loss=cross_entropy(), metrics=["accuracy"])
    expected = model(INPUTS).logits
    loss, accuracy = model.evaluate(INPUTS, LABELS, verbose=0)
    assert loss == pytest.approx(float(cross_entropy()(LABELS, expected)), abs=1e-5)
    assert accuracy == np.mean(np.argmax(expected, -1) == LABELS)
    assert differ(model.predict(INPUTS, verbose=0)["logits"], expected) <= 1e-6


def test_inside_a_functional_model(model):
    ids = keras.Input((None,), dtype="int32", name="input_ids")
    mask = keras.Input((None,), dtype="int32", name="attention_mask")
    outer = keras.Model({"input_ids": ids, "attention_mask": mask}, model(ids, attention_mask=mask).logits)
    assert differ(outer(INPUTS), model(INPUTS).logits) <= 1e-6


@pytest.mark.parametrize("head", HEADS)
def test_save_and_load_as_keras(peers, head, tmp_path):
    model = getattr(bertx_tensorflow, f"TF{head}").from_pretrained(peers(head)[1])
    model.save(tmp_path / "x.keras")
    again = keras.saving.load_model(tmp_path / "x.keras")
    assert type(again) is type(model) and again.config == model.config
    inputs = {name: value.astype(np.int32) for name, value in batch(head, "right").items()}
    assert differ(again(inputs).to_tuple()[0], model(inputs).to_tuple()[0]) == 0


@pytest.mark.parametrize("head", ["BertModel", "BertForQuestionAnswering", "BertForMultipleChoice"])
def test_export_to_a_saved_model_of_any_batch_and_length(peers, head, tmp_path):
    model = getattr(bertx_tensorflow, f"TF{head}").from_pretrained(peers(head)[1])
    model.export(tmp_path / "saved", verbose=False)
    served = tf.saved_model.load(tmp_path / "saved").signatures["serving_default"]
    inputs = {name: tf.constant(value[:2], tf.int32) for name, value in batch(head, "right").items()}
    # A graph of any shape too: in eager calls TensorFlow fuses no products, which rounds otherwise (1.2e-6 seen).
    anything = {name: tf.TensorSpec([None] * value.shape.rank, value.dtype) for name, value in inputs.items()}
    found, expected = served(**inputs), tf.function(model, input_signature=[anything])(inputs)
    assert set(found) == set(expected)
    assert max(differ(found[name], expected[name]) for name in expected) <= 1e-6


def test_compiled_by_xla(model):
    compiled = tf.function(lambda inputs: model(inputs).logits, jit_compile=True)
    assert differ(compiled(INPUTS), model(INPUTS).logits) <= 1e-6


def test_mixed_precision(folder):
    model = bertx_tensorflow.TFBertForSequenceClassification.from_pretrained(folder, dtype="mixed_bfloat16")
    assert model.classifier.kernel.dtype == "float32" and model(INPUTS).logits.dtype == tf.bfloat16


def test_mirrored_strategy(folder):
    with tf.distribute.MirroredStrategy(["CPU:0"]).scope():
        model = bertx_tensorflow.TFBertForSequenceClassification.from_pretrained(folder)
        model.compile(optimizer="adam", loss=cross_entropy())
    assert np.isfinite(model.fit(INPUTS, LABELS, verbose=0).history["loss"][0])


def test_lora(model):
    before = model(INPUTS).logits
    query = model.bert.encoder.layer[0].attention.self.query
    query.enable_lora(2)
    assert differ(model(INPUTS).logits, before) <= 1e-6
    assert len(query.trainable_variables) == 3  # both factors, and the bias


def test_int8(model):
    before = model(INPUTS).logits
    model.quantize("int8")
    assert 0 < differ(model(INPUTS).logits, before) < 0.1
    assert model.classifier._kernel.dtype == "int8"


def test_dropout_with_training_alone(model):
    quiet = model(INPUTS).logits
    assert differ(model(INPUTS, training=True).logits, quiet) > 0
    assert differ(model(INPUTS).logits, quiet) == 0


def test_gradient_checkpointing_changes_no_gradient(model):
    def gradients():
        with tf.GradientTape() as tape:
            loss = model(**INPUTS, labels=LABELS).loss
        return tape.gradient(loss, model.trainable_variables)

    expected = gradients()
    model.gradient_checkpointing_enable()
    for found, gradient in zip(gradients(), expected, strict=True):
        assert differ(tf.convert_to_tensor(found), tf.convert_to_tensor(gradient)) <= 1e-7


@pytest.mark.parametrize("head", ["BertModel", "BertForMaskedLM", "BertForPreTraining"])
@pytest.mark.parametrize("size", [150, 120])
def test_resized_token_embeddings(peers, head, size):
    model = getattr(bertx_tensorflow, f"TF{head}").from_pretrained(peers(head)[1])
    before = model.get_input_embeddings().embeddings.numpy()
    count = len(model.trainable_variables)
    model.resize_token_embeddings(size)
    kept = min(size, len(before))
    assert np.array_equal(model.get_input_embeddings().embeddings.numpy()[:kept], before[:kept])
    assert model(np.array([[2, size - 1]])).to_tuple()[0].shape[-1] == (48 if head == "BertModel" else size)
    assert len(model.trainable_variables) == count and model.config.vocab_size == size
    extra = labels(head)
    inputs = batch(head, None)
    inputs["input_ids"] = inputs["input_ids"] % size
    with tf.GradientTape() as tape:
        loss = (
            tf.reduce_sum(model(**inputs).to_tuple()[0])
            if not extra
            else model(**inputs, **{name: np.where(value >= size, 0, value) for name, value in extra.items()}).loss
        )
    assert all(gradient is not None for gradient in tape.gradient(loss, model.trainable_variables)[:5])


def test_fit_without_a_loss_takes_the_models_own(folder):
    """As the hub documented it; and metrics of labels that are among the inputs."""
    quiet = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0, "classifier_dropout": 0.0}
    make = lambda: bertx_tensorflow.TFBertForSequenceClassification.from_pretrained(folder, **quiet)  # noqa: E731
    losses = []
    for given in ((INPUTS, LABELS), ({**INPUTS, "labels": LABELS},)):
        model = make()
        model.compile("sgd", metrics=["accuracy"])
        history = model.fit(*given, verbose=0).history
        losses.append(history["loss"][0])
        assert 0 <= history["accuracy"][0] <= 1
    assert losses == pytest.approx([float(tf.reduce_mean(make()(INPUTS, labels=LABELS).loss))] * 2, abs=1e-6)


def test_a_list_of_inputs_is_taken_in_their_order(model):
    expected = model(IDS, INPUTS["attention_mask"]).logits
    assert differ(model([tf.constant(IDS), tf.constant(INPUTS["attention_mask"])]).logits, expected) == 0


def test_weights_of_examples_need_a_loss_that_takes_them(model):
    model.compile("sgd")
    with pytest.raises(ValueError, match="No loss to compute"):
        model.fit(INPUTS, LABELS, sample_weight=np.array([1.0, 0.0]), verbose=0)
