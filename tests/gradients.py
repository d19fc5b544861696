"""The gradient of every parameter of a model's mean loss, on each backend that computes gradients."""

from __future__ import annotations


def _in_torch(model, inputs):
    import torch

    module = model.module
    module.zero_grad()
    module(**{name: torch.from_numpy(value) for name, value in inputs.items()}).loss.backward()
    return {name: p.grad.double().numpy() for name, p in module.named_parameters() if p.grad is not None}


def _in_jax(model, inputs):
    import jax.numpy as jnp
    from flax import nnx

    arrays = {name: jnp.asarray(value) for name, value in inputs.items()}
    gradients = nnx.grad(lambda module: module(**arrays).loss)(model.module)
    holder = nnx.clone(model.module)
    nnx.update(holder, gradients)
    return dict(model._backend.tensors(holder))


def _in_tensorflow(model, inputs):
    import tensorflow as tf

    tensors = {name: tf.constant(value, tf.int32) for name, value in inputs.items()}
    variables = model.module.trainable_variables
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(model.module(**tensors).loss)
    gradients = tape.gradient(loss, variables)
    values = [variable.value.numpy() for variable in variables]
    for variable, gradient in zip(variables, gradients, strict=True):
        # A pooler whose output nothing reads has none.
        variable.assign(tf.zeros_like(variable.value) if gradient is None else gradient)
    found = {name: value.copy() for name, value in model.tensors()}
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
    return found


_KINDS = {"torch": _in_torch, "jax": _in_jax, "tensorflow": _in_tensorflow}


def gradients_of(model, inputs):
    """Schema name → gradient, in schema layout."""
    return _KINDS[model.backend](model, inputs)
