"""What Keras people do with a model, done with a TFBert of bertx_tensorflow."""

from __future__ import annotations

import gc
import json
import weakref

import keras
import numpy as np
import pytest
import safetensors
import tensorflow as tf
from tensorflow.python.eager import context

import bertx
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


CAUSAL = ("BertLMHeadModel", {})
TALKATIVE = {"output_hidden_states": True, "output_attentions": True}


@pytest.mark.parametrize(
    ("head", "changes"),
    [CAUSAL, ("BertModel", {"is_decoder": True}), ("BertForMaskedLM", TALKATIVE), ("BertForMultipleChoice", TALKATIVE)],
)
def test_export_of_tuples_of_tensors_and_its_signatures(peers, head, changes, tmp_path):
    """past_key_values and hidden_states are stacked, as TFBert's; int32 and int64 ids are taken."""
    folder = peers(head, num_hidden_layers=2)[1]
    model = getattr(bertx_tensorflow, f"TF{head}").from_pretrained(folder, **changes)
    model.export(tmp_path / "saved")
    served = tf.saved_model.load(tmp_path / "saved")
    inputs = {name: tf.constant(value, tf.int64) for name, value in batch(head, "right").items()}
    as_int32 = {name: tf.cast(value, tf.int32) for name, value in inputs.items()}
    expected = {name: tf.convert_to_tensor(value) for name, value in model(inputs).items()}
    found = [
        served.serve(inputs),
        served.serve(as_int32),
        served.signatures["serving_default"](**as_int32),
        served.signatures["int64_serving"](**inputs),
    ]
    for outputs in found:
        assert {name: value.shape for name, value in outputs.items()} == {n: v.shape for n, v in expected.items()}
        assert max(differ(outputs[name], expected[name]) for name in expected) <= 2e-6
    tuples = {"past_key_values": (2, 2, 4, 6, 13, 8), "hidden_states": (3, 12 if "Choice" in head else 4, 13, 48)}
    assert any(expected[name].shape == shape for name, shape in tuples.items() if name in expected)


@pytest.mark.filterwarnings("ignore:.*tf.lite.Interpreter is deprecated")
@pytest.mark.parametrize("head", HEADS)
def test_conversion_to_tensorflow_lite_with_builtin_operations(peers, head, tmp_path):
    """Any batch and length, no operations of TensorFlow (Flex)."""
    folder = peers(head, num_hidden_layers=2)[1]
    model = getattr(bertx_tensorflow, f"TF{head}").from_pretrained(folder, use_cache=False)
    model.export(tmp_path / "saved")
    converter = tf.lite.TFLiteConverter.from_saved_model(str(tmp_path / "saved"), signature_keys=["serving_default"])
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    interpreter = tf.lite.Interpreter(model_content=converter.convert())
    run = interpreter.get_signature_runner("serving_default")
    for rows, padding in ((4, "right"), (2, "left")):
        inputs = {name: value[:rows].astype(np.int32) for name, value in batch(head, padding).items()}
        expected = model(inputs)
        found = run(**inputs)
        assert set(found) == set(expected)
        assert max(differ(found[name], expected[name]) for name in expected) <= 5e-6


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


def test_lora(model, tmp_path):
    before = model(INPUTS).logits
    query = model.bert.encoder.layer[0].attention.self.query
    words = model.bert.embeddings.word_embeddings
    for layer, factor in ((query, "kernel"), (words, "embeddings")):
        layer.enable_lora(2)
        assert differ(model(INPUTS).logits, before) <= 1e-6
        assert len(layer.trainable_variables) == (3 if factor == "kernel" else 2)  # both factors, and the bias
    for layer, factor in ((query, "kernel"), (words, "embeddings")):
        second = getattr(layer, f"lora_{factor}_b")
        second.assign(np.full(second.shape, 0.1))
    trained = model(INPUTS).logits
    assert differ(trained, before) > 1e-3
    model.save_pretrained(tmp_path)  # with the factors merged
    assert differ(type(model).from_pretrained(tmp_path)(INPUTS).logits, trained) <= 1e-6


@pytest.mark.parametrize("lora", [False, True])
@pytest.mark.parametrize(("head", "embeddings"), [("BertForSequenceClassification", False), ("BertForMaskedLM", True)])
def test_int8(peers, head, embeddings, lora, tmp_path):
    model = getattr(bertx_tensorflow, f"TF{head}").from_pretrained(peers(head)[1])
    before = model(INPUTS).logits
    model.quantize("int8", type_check=not embeddings)
    assert (model.bert.embeddings.word_embeddings.quantization_mode == "int8") == embeddings
    if lora:
        for layer, factor in ((model.bert.encoder.layer[0].output.dense, "kernel"),):
            layer.enable_lora(2)
            second = getattr(layer, f"lora_{factor}_b")
            second.assign(np.full(second.shape, 0.1))
    quantized = model(INPUTS).logits
    assert (0 if lora else 1e-9) < differ(quantized, before) < (9 if lora else 0.3)
    assert model.bert.encoder.layer[0].output.dense._kernel.dtype == "int8"
    model.save_pretrained(tmp_path)  # the floats that the integers stand for
    again = type(model).from_pretrained(tmp_path)
    # Keras rounds the inputs of a product too, which the weights do not show.
    assert differ(again(INPUTS).logits, quantized) < 0.3
    stored = again.bert.encoder.layer[0].attention.self.query.kernel.numpy()
    exact = getattr(bertx_tensorflow, f"TF{head}").from_pretrained(peers(head)[1])
    exact = exact.bert.encoder.layer[0].attention.self.query.kernel.numpy()
    assert 0 < np.abs(stored - exact).max() <= np.abs(exact).max() / 127


def test_what_is_quantized_otherwise_is_not_saved(model, tmp_path):
    model.quantize("int4")
    with pytest.raises(ValueError, match=r"query/kernel is quantized to int4, .* save the model before quantize"):
        model.save_pretrained(tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("most", ["float32", "float16"])
def test_a_model_of_several_dtypes(folder, most, tmp_path):
    """The config names the dtype that holds the values of all."""
    few = "float16" if most == "float32" else "float32"
    model = bertx_tensorflow.TFBertForSequenceClassification.from_pretrained(folder, dtype=most)
    model.classifier = keras.layers.Dense(5, dtype=few)
    model.classifier.build((None, 48))
    model.classifier.layout = {"weight": ("kernel", "kernel"), "bias": ("bias", "")}
    model.save_pretrained(tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["dtype"] == "float32"
    with safetensors.safe_open(tmp_path / "model.safetensors", framework="np") as file:
        found = {file.get_tensor(name).dtype.name for name in file.keys()}  # noqa: SIM118
    assert found == {most, few}
    assert type(model).from_pretrained(tmp_path)(INPUTS).logits.shape == (2, 5)


def test_dropout_with_training_alone(model):
    quiet = model(INPUTS).logits
    assert differ(model(INPUTS, training=True).logits, quiet) > 0
    assert differ(model(INPUTS).logits, quiet) == 0


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
@pytest.mark.parametrize("jit_compile", [False, True])
def test_gradient_checkpointing_in_fit(peers, jit_compile, policy):
    """The update with dropout on, in the graph that Keras traces."""
    folder = peers("BertForSequenceClassification", num_hidden_layers=2)[1]
    updated = []
    for checkpointing in (False, True):
        keras.utils.set_random_seed(3)
        model = bertx_tensorflow.TFBertForSequenceClassification.from_pretrained(folder, dtype=policy)
        if checkpointing:
            model.gradient_checkpointing_enable()
        model.compile(keras.optimizers.SGD(0.5), jit_compile=jit_compile)
        model.fit(INPUTS, LABELS, epochs=2, verbose=0)
        updated.append([variable.numpy() for variable in model.trainable_variables])
    before = bertx_tensorflow.TFBertForSequenceClassification.from_pretrained(folder).trainable_variables
    assert max(differ(*pair) for pair in zip(updated[0], before, strict=True)) > 1e-2
    tolerance = 1e-5 if policy == "float32" else 2e-2
    assert max(np.abs(a - b).max() for a, b in zip(*updated, strict=True)) <= tolerance


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
    mask = INPUTS["attention_mask"]
    expected = model(IDS, mask).logits
    assert differ(model([tf.constant(IDS), tf.constant(mask)]).logits, expected) == 0
    assert differ(model([IDS, mask]).logits, expected) == 0
    types = model(IDS, token_type_ids=mask).logits
    assert differ(types, expected) > 0 and differ(model([IDS, None, mask]).logits, types) == 0


@pytest.mark.parametrize("names", [(None, None), ("input_ids", "attention_mask"), ("token_type_ids", "input_ids")])
def test_a_functional_model_of_a_list_of_inputs(model, names, tmp_path):
    """As in TFBert, an Input that has the name of an argument is that argument."""
    mask = INPUTS["attention_mask"]
    inputs = [keras.Input((None,), dtype="int32", name=name) for name in names]
    outer = keras.Model(inputs, model(inputs).logits)
    given = [mask, IDS] if names[1] == "input_ids" else [IDS, mask]
    expected = model(IDS, **{"token_type_ids" if names[1] == "input_ids" else "attention_mask": mask}).logits
    assert differ(outer(given), expected) <= 1e-6
    outer.save(tmp_path / "outer.keras")
    assert differ(keras.saving.load_model(tmp_path / "outer.keras")(given), expected) <= 1e-6


def test_inputs_of_which_one_is_given_twice(model):
    inputs = [keras.Input((None,), dtype="int32", name=name) for name in ("attention_mask", None)]
    with pytest.raises(ValueError, match="the same input twice"):
        model(inputs)


@pytest.mark.parametrize("mask", [IDS != 0, tf.constant(IDS != 0), (IDS != 0).astype(np.float32) * 0.5])
def test_masks_of_booleans_and_floats(model, mask):
    expected = model(**INPUTS).logits
    assert differ(model(IDS, mask).logits, expected) == 0
    assert differ(tf.function(model)(tf.constant(IDS), tf.convert_to_tensor(mask)).logits, expected) <= 1e-6
    queries = np.repeat(np.asarray(mask)[:, None], 5, 1)
    assert differ(model(IDS, queries).logits, expected) <= 1e-6


@pytest.mark.parametrize("sees_gpu", [False, True])
@pytest.mark.parametrize("name", ["input_ids", "token_type_ids", "position_ids"])
@pytest.mark.parametrize("wrong", [-1, 1000])
def test_ids_outside_the_table_are_refused(model, monkeypatch, name, wrong, sees_gpu):
    """Keras counts a negative one from the end; a GPU reads zeros for others, so that there the ids are checked."""
    if sees_gpu:
        monkeypatch.setattr(bertx_tensorflow.nn, "_sees_gpu", lambda: True)
    inputs = {"input_ids": IDS, name: np.where(np.arange(5) == 2, wrong, 1) * np.ones_like(IDS)}
    table = "word_embeddings" if name == "input_ids" else name.replace("_ids", "_embeddings")
    message = rf"{table} has \d+ rows" if sees_gpu else r"indices\[.*\] = -?\d+ is not in \[0, \d+\)"
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        model(**inputs)
    with pytest.raises(tf.errors.InvalidArgumentError):
        tf.function(model)(**{name: tf.constant(value) for name, value in inputs.items()})


@pytest.mark.parametrize("head", ["BertModel", "BertForMaskedLM", "BertForSequenceClassification"])
@pytest.mark.parametrize("made", ["loaded", "from a config"])
def test_names_that_lists_of_weights_look_for(peers, head, made):
    """Weight decay leaves out LayerNorm and biases, as in TFBert, whose names these are but for the prefix."""
    cls = getattr(bertx_tensorflow, f"TF{head}")
    model = cls.from_pretrained(peers(head)[1])
    model = model if made == "loaded" else cls(model.config)
    names = {"/".join(variable.path.split("/")[1:]) for variable in model.trainable_variables}
    prefix = "" if head == "BertModel" else "bert/"
    assert {
        f"{prefix}embeddings/LayerNorm/gamma",
        f"{prefix}encoder/layer_._1/attention/self/query/kernel",
        f"{prefix}encoder/layer_._2/attention/output/LayerNorm/beta",
        f"{prefix}encoder/layer_._0/intermediate/dense/bias",
    } <= names
    assert len(names) == len(model.trainable_variables)
    optimizer = keras.optimizers.AdamW(1e-3, weight_decay=0.01)
    optimizer.exclude_from_weight_decay(var_names=["LayerNorm", "bias"])
    optimizer.build(model.trainable_variables)
    decayed = {
        variable.path.rpartition("/")[2]
        for variable in model.trainable_variables
        if optimizer._use_weight_decay(variable)
    }
    assert decayed == {"kernel", "embeddings"}
    if head != "BertModel":
        assert model.get_layer("bert") is model.bert
    lines = []
    model.summary(print_fn=lines.append)
    text = "".join(map(str, lines))
    assert f"Total params: {model.count_params():,}" in text and "unbuilt" not in text


def test_loaded_models_leave_no_memory_behind(folder, monkeypatch):
    """Neither themselves nor, once another is loaded, what TensorFlow compiled for them: 1.5 MB each."""
    cleared = []
    clear = type(context.context()).clear_kernel_cache
    monkeypatch.setattr(type(context.context()), "clear_kernel_cache", lambda self: cleared.append(1) or clear(self))
    gone = []
    for _ in range(3):
        loaded = bertx.load(folder, backend="tensorflow")
        loaded.forward(IDS)
        gone.append(weakref.ref(loaded.module))
        before = len(cleared)
        del loaded
        gc.collect()
        assert len(cleared) == before  # not while garbage is collected, which may be anywhere
    assert sum(reference() is None for reference in gone) >= 2
    assert cleared
