"""The gradient of every parameter, for every head: PyTorch in float64, itself equal to transformers, is the oracle."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import transformers

import bertx
from gradients import gradients_of
from support import HEADS, batch, labels

TRAINED = [head for head in HEADS if head != "BertModel"]
# Measured over all heads, as a part of the model's largest gradient: torch 5.7e-7, jax 5.8e-7, tensorflow 6.1e-7.
TOLERANCE = 2e-6


def _inputs(head):
    return batch(head, "right") | labels(head)


def _torch_gradients(module):
    dtype = next(module.parameters()).dtype
    tensors = {name: torch.from_numpy(value) for name, value in _inputs(module.__class__.__name__).items()}
    module.zero_grad()
    outputs = module(**{name: t.to(dtype) if t.is_floating_point() else t for name, t in tensors.items()})
    loss = outputs["loss"]
    if isinstance(module, transformers.BertLMHeadModel):
        # transformers computes this one loss in float32 even for a float64 model.
        loss = torch.nn.functional.cross_entropy(
            outputs["logits"][:, :-1].flatten(0, 1), tensors["labels"][:, 1:].flatten()
        )
    loss.backward()
    return {name: p.grad.double().numpy() for name, p in module.named_parameters() if p.grad is not None}


def _gradients(model):
    return gradients_of(model, _inputs(model.architecture))


@pytest.mark.parametrize("head", TRAINED)
def test_the_oracle_equals_transformers(peers, loaded, head):
    peer, folder = peers(head)
    found = _torch_gradients(loaded(folder, backend="torch", dtype="float64").module)
    expected = _torch_gradients(peer)
    unused = {"cls.predictions.decoder.bias"}  # transformers' second name of a bias
    assert set(found) - unused == set(expected) - unused
    for name, gradient in expected.items():
        mine = found[name]
        if name.endswith("word_embeddings.weight"):
            # transformers gives the padding token no gradient as an input; TF and Flax BERT never did, nor does bertx.
            mine, gradient = mine[1:], gradient[1:]
        np.testing.assert_allclose(mine, gradient, rtol=0, atol=1e-12, err_msg=name)


@pytest.mark.parametrize("head", TRAINED)
@pytest.mark.parametrize("backend", ["torch", "jax", "tensorflow"])
def test_every_gradient_in_float32(peers, loaded, backend, head):
    folder = peers(head)[1]
    expected = _torch_gradients(loaded(folder, backend="torch", dtype="float64").module)
    largest = max(np.abs(gradient).max() for gradient in expected.values())
    found = _gradients(loaded(folder, backend=backend))
    for name, gradient in expected.items():
        assert np.abs(found[name] - gradient).max() <= TOLERANCE * largest, name


@pytest.mark.parametrize("backend", ["torch", "jax", "tensorflow"])
def test_untied_embeddings_get_their_own_gradients(peers, loaded, backend):
    folder = peers("BertForMaskedLM", tie_word_embeddings=False)[1]
    expected = _torch_gradients(loaded(folder, backend="torch", dtype="float64").module)
    assert "cls.predictions.decoder.weight" in expected
    found = _gradients(loaded(folder, backend=backend))
    largest = max(np.abs(gradient).max() for gradient in expected.values())
    for name, gradient in expected.items():
        assert np.abs(found[name] - gradient).max() <= TOLERANCE * largest, name


# --- gradient checkpointing -------------------------------------------------------------------------

# One step with dropout on, of which a seed decides: framework → (model, seed) → gradients by name.


def _trained_in_torch(model):
    torch.manual_seed(5)
    module = model.module.train()
    gradients = _torch_gradients(module)
    module.eval()
    return gradients


def _trained_in_jax(model):
    model.module.seed(5)
    model.module.train()
    gradients = _gradients(model)
    model.module.eval()
    return gradients


def _trained_in_tensorflow(model, graph=False):
    import tensorflow as tf

    inputs = {name: tf.constant(value, tf.int32) for name, value in _inputs(model.architecture).items()}
    module, variables = model.module, model.module.trainable_variables
    for i, variable in enumerate(module.non_trainable_variables):  # the state of each dropout
        variable.assign([5 + i, 0])

    def gradients():
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(module(**inputs, training=True).loss)
        return tape.gradient(loss, variables, unconnected_gradients="zero")

    found = (tf.function(gradients) if graph else gradients)()
    return {v.path: tf.convert_to_tensor(g).numpy() for v, g in zip(variables, found, strict=True)}


TRAINERS = {
    "torch": _trained_in_torch,
    "jax": _trained_in_jax,
    "tensorflow": _trained_in_tensorflow,
    "tensorflow, in a graph": lambda model: _trained_in_tensorflow(model, graph=True),
}


@pytest.mark.parametrize("head", ["BertForMaskedLM", "BertForSequenceClassification"])
@pytest.mark.parametrize("way", TRAINERS)
def test_gradient_checkpointing_with_dropout_on(peers, way, head):
    """The recomputation has the masks of the first pass."""
    folder = peers(head, num_hidden_layers=2)[1]
    model = bertx.load(folder, backend=way.partition(",")[0])
    first, expected, quiet = TRAINERS[way](model), TRAINERS[way](model), _gradients(model)
    model.module.gradient_checkpointing_enable()
    found = TRAINERS[way](model)
    largest = max(np.abs(gradient).max() for gradient in expected.values())
    drawn = next(np.abs(a - b).max() for a, b in zip(expected.values(), quiet.values(), strict=False))
    assert drawn > 0.01 * largest  # dropout is on
    for name, gradient in expected.items():
        assert np.abs(first[name] - gradient).max() <= TOLERANCE * largest, name  # the seed decides
        assert np.abs(found[name] - gradient).max() <= TOLERANCE * largest, name


def test_gradient_checkpointing_of_what_else_a_layer_is_given(peers):
    """In TensorFlow a past of keys and values gets its gradient, as without checkpointing."""
    import tensorflow as tf

    module = bertx.load(peers("BertLMHeadModel")[1], backend="tensorflow").module
    ids = tf.constant(_inputs("BertLMHeadModel")["input_ids"], tf.int32)
    past = module(ids[:, :6], use_cache=True).past_key_values
    found = []
    for _ in range(2):
        with tf.GradientTape() as tape:
            tape.watch(past)
            loss = tf.reduce_sum(module(ids[:, 6:], past_key_values=past, output_attentions=True).logits ** 2)
        found.append(tf.nest.flatten(tape.gradient(loss, past)))
        module.gradient_checkpointing_enable()
    largest = max(float(tf.reduce_max(tf.abs(gradient))) for gradient in found[0])
    assert largest > 0
    for gradient, expected in zip(*found[::-1], strict=True):
        assert float(tf.reduce_max(tf.abs(gradient - expected))) <= TOLERANCE * largest
