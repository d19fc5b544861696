"""What a native call takes for labels, masks and ids, what it refuses, and what the first loss says of the problem."""

from __future__ import annotations

import re

import jax
import jax.numpy as jnp
import keras
import numpy as np
import pytest
import tensorflow as tf
import torch
import transformers
from flax import nnx

import bertx
import bertx_jax
import bertx_tensorflow
import bertx_torch
from bertx.inputs import check_inputs

NATIVE = {
    "torch": (bertx_torch, "", torch.tensor),
    "jax": (bertx_jax, "Flax", jnp.asarray),
    "tensorflow": (bertx_tensorflow, "TF", tf.constant),
}
HEAD = "BertForSequenceClassification"
IDS = np.arange(2, 14).reshape(4, 3)
CLASSES = np.array([0, 1, 2, 0])
SEVERAL = np.eye(3, dtype=np.float32)[CLASSES]
SIZES = {
    "vocab_size": 50,
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 20,
    "max_position_embeddings": 20,
    "type_vocab_size": 3,
}


def make(framework, head=HEAD, **changes):
    """(a native model without dropout, what makes a tensor of an array)."""
    package, prefix, tensor = NATIVE[framework]
    off = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    config = bertx.BertConfig(**(SIZES | off | {"num_labels": 3} | changes))
    return getattr(package, prefix + head)(config), tensor


def peer_forward(labels, **changes):
    model = transformers.BertForSequenceClassification(transformers.BertConfig(**(SIZES | {"num_labels": 3} | changes)))
    model(torch.tensor(IDS), labels=torch.tensor(labels))
    return model


# --- the problem type of the first loss -------------------------------------------------------------

PROBLEMS = {
    "several": (SEVERAL, {}),
    "one": (CLASSES, {}),
    "numbers": (CLASSES.astype(np.float32), {"num_labels": 1}),
    "given": (SEVERAL, {"problem_type": "regression"}),
}


@pytest.mark.parametrize("framework", NATIVE)
@pytest.mark.parametrize("case", PROBLEMS)
def test_the_first_loss_sets_the_problem_type_that_is_saved(framework, case, tmp_path):
    labels, changes = PROBLEMS[case]
    expected = peer_forward(labels, **changes).config.problem_type
    model, tensor = make(framework, **changes)
    model(tensor(IDS))
    assert model.config.problem_type == changes.get("problem_type")
    model(tensor(IDS), labels=tensor(labels))
    assert model.config.problem_type == model.problem_type == expected is not None
    model.save_pretrained(tmp_path)
    assert bertx.BertConfig.from_pretrained(tmp_path).problem_type == expected


def test_keras_fit_sets_the_problem_type():
    model, _ = make("tensorflow")
    model.compile(keras.optimizers.SGD(0.1))
    model.fit({"input_ids": IDS}, SEVERAL, verbose=0)
    assert model.config.problem_type == "multi_label_classification"


def test_a_compiled_loss_of_torch_sets_the_problem_type():
    model, _ = make("torch")
    compiled = torch.compile(model, backend="eager", fullgraph=True)
    compiled(torch.tensor(IDS), labels=torch.tensor(SEVERAL)).loss.backward()
    assert model.config.problem_type == "multi_label_classification"


def test_jax_traces_a_step_once_though_it_sets_the_problem_type():
    model, _ = make("jax")
    traced = []

    @nnx.jit
    def step(model, ids, labels):
        traced.append(model.problem_type)
        return nnx.value_and_grad(lambda model: model(ids, labels=labels).loss)(model)[0]

    first, second = step(model, IDS, SEVERAL), step(model, IDS, SEVERAL)
    assert traced == [None] and first == second
    assert model.config.problem_type == "multi_label_classification"
    model.config.problem_type = "regression"  # an assignment is seen
    assert step(model, IDS, SEVERAL) != first and len(traced) == 2


def test_jax_carries_a_model_whose_problem_type_is_not_set():
    model, _ = make("jax")
    body = jax.jit(lambda model, labels: (model, model(IDS, labels=labels).loss))
    losses = jax.lax.scan(body, model, jnp.stack([SEVERAL, SEVERAL]))[1]
    assert losses.shape == (2,) and model.config.problem_type == "multi_label_classification"


# --- masks of four axes -----------------------------------------------------------------------------

CAUSAL = np.tril(np.ones((3, 3), np.int64))
OWN_KEYS = np.stack([CAUSAL, CAUSAL.T, np.eye(3, dtype=np.int64), np.ones((3, 3), np.int64)])


@pytest.mark.parametrize("framework", NATIVE)
@pytest.mark.parametrize("dtype", [bool, np.int64])
def test_a_mask_of_four_axes_is_that_of_three(framework, dtype):
    model, tensor = make(framework, "BertModel")
    if framework == "torch":
        model.eval()

    def states(mask):
        found = model(tensor(IDS), tensor(mask))[0]
        return found.detach().numpy() if framework == "torch" else np.asarray(found)

    expected = states(OWN_KEYS.astype(dtype))
    assert np.abs(expected - states(np.ones((4, 3), dtype))).max() > 1e-3
    assert np.abs(states(OWN_KEYS[:, None].astype(dtype)) - expected).max() <= 1e-6
    one = np.broadcast_to(CAUSAL, (4, 3, 3)).astype(dtype)
    assert np.abs(states(one[:1, None]) - states(one)).max() <= 1e-6


def test_transformers_takes_a_mask_of_four_axes_too():
    peer = transformers.BertModel(transformers.BertConfig(**SIZES)).eval()
    model = bertx_torch.BertModel(bertx.BertConfig(**SIZES)).eval()
    model.load_state_dict(peer.state_dict(), strict=False)
    mask = torch.tensor(OWN_KEYS[:, None] != 0)
    expected = peer(torch.tensor(IDS), attention_mask=mask).last_hidden_state
    assert (model(torch.tensor(IDS), attention_mask=mask).last_hidden_state - expected).abs().max() <= 1e-5


REFUSED_MASKS = {
    "heads": (
        np.ones((4, 2, 3, 3), np.int64),
        r"attention_mask has the shape \[4, 2, 3, 3\], expected .*\[4, 1, 3, 3\]",
    ),
    "keys": (
        np.ones((4, 1, 1, 3), np.int64),
        r"attention_mask has the shape \[4, 1, 1, 3\], expected .*\[4, 1, 3, 3\]",
    ),
    "rows": (
        np.ones((2, 1, 3, 3), np.int64),
        r"attention_mask has the shape \[2, 1, 3, 3\], expected .*\[4, 1, 3, 3\]",
    ),
    "added": (np.zeros((4, 1, 3, 3), np.float32), r"attention_mask \[B, 1, T, T\] is floating"),
}


@pytest.mark.parametrize("framework", NATIVE)
@pytest.mark.parametrize("case", REFUSED_MASKS)
def test_other_masks_of_four_axes_are_refused(framework, case):
    mask, message = REFUSED_MASKS[case]
    model, tensor = make(framework, "BertModel")
    with pytest.raises(ValueError, match=message):
        model(tensor(IDS), tensor(mask))
    message = (
        "attention_mask of four axes is floating"
        if case == "added"
        else rf"is int64 {re.escape(str(list(mask.shape)))}"
    )
    with pytest.raises(ValueError, match=message):
        check_inputs("BertModel", bertx.BertConfig(**SIZES), {"input_ids": IDS, "attention_mask": mask})


def test_the_checked_mask_of_four_axes_has_three():
    config = bertx.BertConfig(**SIZES)
    for mask, expected in ((OWN_KEYS[:, None], OWN_KEYS), (CAUSAL[None, None], np.stack([CAUSAL] * 4))):
        found = check_inputs("BertModel", config, {"input_ids": IDS, "attention_mask": mask})["attention_mask"]
        assert found.shape == (4, 3, 3) and (found == expected).all()


# --- labels and ids ---------------------------------------------------------------------------------


@pytest.mark.parametrize("framework", NATIVE)
def test_boolean_labels_are_classes(framework):
    model, tensor = make(framework)
    if framework == "torch":
        model.eval()
    losses = [model(tensor(IDS), labels=tensor(y)).loss for y in (CLASSES != 0, (CLASSES != 0).astype(np.int64))]
    assert tf.reduce_all(losses[0] == losses[1]) if framework == "tensorflow" else (losses[0] == losses[1]).all()


def test_boolean_labels_in_fit_and_under_jit():
    model, _ = make("tensorflow")
    model.compile(keras.optimizers.SGD(0.0))
    found = [model.evaluate({"input_ids": IDS}, y, verbose=0) for y in (CLASSES != 0, (CLASSES != 0).astype(int))]
    assert found[0] == found[1]
    model, _ = make("jax")
    loss = jax.jit(lambda labels: model(IDS, labels=labels).loss)
    assert loss(CLASSES != 0) == loss((CLASSES != 0).astype(int))


def test_lists_are_converted_on_jax_and_keras_and_refused_on_torch():
    for framework in ("jax", "tensorflow"):
        model, tensor = make(framework)
        expected = model(tensor(IDS), labels=tensor(CLASSES))
        found = model(IDS.tolist(), labels=CLASSES.tolist())
        assert np.abs(np.asarray(found.logits) - np.asarray(expected.logits)).max() <= 1e-6
        assert np.abs(np.asarray(found.loss) - np.asarray(expected.loss)).max() <= 1e-6
    model, tensor = make("torch")
    with pytest.raises(ValueError, match=r"labels is a list of Python, expected a tensor"):
        model(tensor(IDS), labels=CLASSES.tolist())
    for name in ("input_ids", "attention_mask", "token_type_ids", "position_ids"):
        with pytest.raises(ValueError, match=rf"{name} is a list of Python, expected a tensor"):
            model(**{"input_ids": tensor(IDS), name: IDS.tolist()})


@pytest.mark.parametrize("framework", NATIVE)
@pytest.mark.parametrize("ids", [np.array([1, 2]), np.zeros(0, np.int64), np.zeros((2, 0), np.int64), IDS[None]])
def test_ids_of_another_rank_or_without_tokens(framework, ids):
    model, tensor = make(framework)
    with pytest.raises(
        ValueError, match=rf"input_ids has the shape {re.escape(str(list(ids.shape)))}, expected \[B, T\]"
    ):
        model(tensor(ids))
    embeds = np.zeros((2, 16), np.float32)
    with pytest.raises(ValueError, match=r"inputs_embeds has the shape \[2, 16\], expected \[B, T, H\]"):
        model(inputs_embeds=tensor(embeds))


@pytest.mark.parametrize("framework", NATIVE)
def test_ids_of_choices_need_three_axes(framework):
    model, tensor = make(framework, "BertForMultipleChoice")
    with pytest.raises(ValueError, match=r"input_ids has the shape \[4, 3\], expected \[B, C, T\]"):
        model(tensor(IDS))


GIVEN = {
    "classes": (HEAD, {}, {"labels": np.ones((4, 3), np.int64)}, r"labels has the shape \[4, 3\], expected \[4\]"),
    "one number": (
        HEAD,
        {"num_labels": 1},
        {"labels": np.ones((4, 3), np.float32)},
        r"labels has the shape \[4, 3\], expected \[4, 1\]",
    ),
    "next sentence": (
        "BertForNextSentencePrediction",
        {},
        {"labels": np.ones((4, 2), np.int64)},
        r"labels has the shape \[4, 2\], expected \[4\]",
    ),
    "answers": (
        "BertForQuestionAnswering",
        {"num_labels": 2},
        {"start_positions": np.ones((4, 2), np.int64), "end_positions": np.ones(4, np.int64)},
        r"start_positions has the shape \[4, 2\], expected \[4\]",
    ),
    "pre-training": (
        "BertForPreTraining",
        {},
        {"labels": IDS, "next_sentence_label": np.ones((4, 2), np.int64)},
        r"next_sentence_label has the shape \[4, 2\], expected \[4\]",
    ),
}  # fmt: skip


@pytest.mark.parametrize("framework", NATIVE)
@pytest.mark.parametrize("case", GIVEN)
def test_an_error_reports_the_shape_that_was_given(framework, case):
    head, changes, labels, message = GIVEN[case]
    model, tensor = make(framework, head, **changes)
    with pytest.raises(ValueError, match=message):
        model(tensor(IDS), **{name: tensor(value) for name, value in labels.items()})


# --- values and parameters of JAX -------------------------------------------------------------------


def with_value(value):
    array = np.ones((4, 3), np.int64)
    array[1, 2] = value
    return array


OUT_OF_RANGE = {
    "id": (HEAD, {"input_ids": with_value(50)}, "input_ids[1, 2] is 50, expected 0 to 49 (vocab_size is 50)"),
    "negative id": (HEAD, {"input_ids": with_value(-1)}, "input_ids[1, 2] is -1, expected 0 to 49 (vocab_size is 50)"),
    "type": (HEAD, {"token_type_ids": with_value(3)}, "token_type_ids[1, 2] is 3, expected 0 to 2"),
    "position": (HEAD, {"position_ids": with_value(20)}, "position_ids[1, 2] is 20, expected 0 to 19"),
    "class": (HEAD, {"labels": np.array([0, 1, 2, 3])}, "labels[3] is 3, expected 0 to 2 (num_labels is 3)"),
    "last class": (HEAD, {"labels": np.array([0, -1, 2, 0])}, "labels[1] is -1, expected 0 to 2 (num_labels is 3)"),
    "column": (HEAD, {"labels": np.array([[0], [1], [2], [3]])}, "labels[3, 0] is 3, expected 0 to 2"),
    "word": ("BertForMaskedLM", {"labels": with_value(-1)}, "labels[1, 2] is -1, expected 0 to 49 (vocab_size is 50)"),
    "scored": ("BertForMaskedLM", {"mask_positions": with_value(3)}, "mask_positions[1, 2] is 3, expected 0 to 2"),
    "next sentence": (
        "BertForNextSentencePrediction",
        {"next_sentence_label": np.array([0, 1, 2, 0])},
        "next_sentence_label[2] is 2, expected 0 to 1 (the number of classes is 2)",
    ),
}


@pytest.mark.parametrize("case", OUT_OF_RANGE)
def test_values_out_of_range_are_refused_in_an_eager_call_of_jax(case):
    head, inputs, message = OUT_OF_RANGE[case]
    model, _ = make("jax", head)
    for tensor in (np.asarray, jnp.asarray):
        given = {"input_ids": IDS} | inputs
        with pytest.raises(ValueError, match=re.escape(message)):
            model(**{name: tensor(value) for name, value in given.items()})


def test_values_of_jax_that_are_in_range_or_traced():
    model, _ = make("jax")
    model(IDS, labels=np.array([0, -100, 2, 1]))
    with pytest.raises(ValueError, match=r"token_type_ids\[0, 0\] is 3, expected 0 to 2"):
        model(IDS, None, np.full((4, 3), 3))  # in its order
    with pytest.raises(ValueError, match=r"labels\[0\] is 7"):  # known though the parameters are traced
        nnx.grad(lambda model: model(IDS, labels=np.full(4, 7)).loss)(model)
    assert jax.jit(lambda ids: model(ids).logits)(np.full((4, 3), 50)).shape == (4, 3)
    model, _ = make("jax", problem_type="regression")
    model(IDS, labels=np.full((4, 3), 7))  # numbers, no classes
    with_several, _ = make("jax", "BertForQuestionAnswering", num_labels=2)
    assert np.isfinite(with_several(IDS, start_positions=np.array([0, 1, -1, 9]), end_positions=np.full(4, 1)).loss)


def test_parameters_of_another_shape_are_refused_by_name():
    model, _ = make("jax")
    params = model.params
    params["classifier"]["bias"] = jnp.ones(1)
    params["bert"]["pooler"]["dense"]["bias"] = np.ones((1, 16), np.float32)
    message = r"bert/pooler/dense/bias is \[1, 16\], expected \[16\]; classifier/bias is \[1\], expected \[3\]"
    with pytest.raises(ValueError, match=message):
        model(IDS, params=params)
    with pytest.raises(ValueError, match=message):
        jax.jit(lambda params: model(IDS, params=params).logits)(params)
    with pytest.raises(ValueError, match=message):
        model.set_params(params)
    assert model.params["classifier"]["bias"].shape == (3,)
