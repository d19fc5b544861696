"""Attention by cuDNN on JAX: what it is given, with XLA's attention in place of its kernel on the processor."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bertx.backend import get_backend
from bertx.testing import build, config_of, differences, inputs_of, oracle, packed_of
from bertx_jax import cudnn
from gradients import gradients_of

# A config of its own for each test: what is compiled for one is not run for another.
NUMBERS = iter(range(100))


@pytest.fixture
def calls(monkeypatch):
    """The arguments of each call of the kernel while a model is compiled."""
    made = []
    attention = jax.nn.dot_product_attention

    def spy(query, key, value, bias, *, scale, implementation):
        made.append((query.shape, None if bias is None else bias.shape, implementation))
        return attention(query, key, value, bias, scale=scale, implementation=implementation)

    monkeypatch.setattr(jax.nn, "dot_product_attention", spy)
    for name, value in {"PLATFORM": "cpu", "KERNEL": "xla", "DTYPES": (jnp.float32,), "is_there": lambda: True}.items():
        monkeypatch.setattr(cudnn, name, value)
    return made


def model_of(architecture, **changes):
    return build(
        get_backend("jax"),
        architecture,
        "float32",
        config_of(architecture, initializer_range=3 + next(NUMBERS), **changes),
    )


def even(inputs):
    """The first 12 of 13 positions."""
    return {name: value[:, :12] if value.ndim == 2 else value for name, value in inputs.items()}


@pytest.mark.parametrize("padding", [None, "right", "left"])
def test_its_outputs_are_the_oracles(calls, padding):
    inputs = even(inputs_of("BertForMaskedLM", padding))
    model = model_of("BertForMaskedLM")
    worst = differences(model.forward(**inputs), oracle("BertForMaskedLM").forward(**inputs))
    assert max(worst.values()) <= 4e-6
    assert calls == [((4, 12, 6, 8), (4, 1, 12, 12), "xla")] * model.config.num_hidden_layers
    ids = {"input_ids": inputs["input_ids"]}
    worst = differences(model.forward(**ids), oracle("BertForMaskedLM").forward(**ids))
    assert max(worst.values()) <= 4e-6 and calls[-1] == ((4, 12, 6, 8), None, "xla")


def test_a_causal_model_and_packed_rows_take_it_too(calls):
    inputs = even(inputs_of("BertLMHeadModel", "right"))
    worst = differences(model_of("BertLMHeadModel").forward(**inputs), oracle("BertLMHeadModel").forward(**inputs))
    assert max(worst.values()) <= 4e-6 and len(calls) == 3
    padded, packed = packed_of("BertForSequenceClassification")
    packed["segments"] = np.pad(packed["segments"], ((0, 0), (0, 1)), constant_values=-1)
    found = model_of("BertForSequenceClassification").forward(**packed)
    expected = oracle("BertForSequenceClassification").forward(**padded)
    assert max(differences(found, expected).values()) <= 4e-6 and len(calls) == 6


def test_gradients_go_through_it(calls):
    inputs = even(inputs_of("BertForMaskedLM", "right"))
    found = gradients_of(model_of("BertForMaskedLM"), inputs)
    assert calls
    expected = gradients_of(build(get_backend("torch"), "BertForMaskedLM", "float32"), inputs)
    largest = max(np.abs(gradient).max() for gradient in expected.values())
    assert max(np.abs(found[name] - value).max() / largest for name, value in expected.items()) <= 2e-6


def test_what_it_is_not_for(calls, monkeypatch):
    odd = inputs_of("BertForMaskedLM", "right")
    model_of("BertForMaskedLM").forward(**odd)
    model_of("BertForMaskedLM").forward(**even(odd), output_attentions=True)
    query = jnp.zeros((1, 2, 4, 8))

    class Dropout:
        deterministic, rate = True, 0.1

    assert cudnn.takes(query, query, None, Dropout)
    Dropout.deterministic = False
    assert not cudnn.takes(query, query, None, Dropout)
    Dropout.deterministic = True
    assert not cudnn.takes(query, query, jnp.zeros((1, 2, 4, 4)), Dropout)  # relative positions
    assert not cudnn.takes(jnp.zeros((1, 2, 4, 12)), jnp.zeros((1, 2, 4, 12)), None, Dropout)
    assert not cudnn.takes(jnp.zeros((1, 2, 4, 136)), jnp.zeros((1, 2, 4, 136)), None, Dropout)
    monkeypatch.setattr(cudnn, "is_there", lambda: False)
    assert not cudnn.takes(query, query, None, Dropout)
    assert not calls


def test_beside_a_gpu_the_processor_has_its_own(calls, monkeypatch):
    """A model on the processor of a machine with a GPU: the kernel is traced, and not run."""
    monkeypatch.setattr(cudnn, "PLATFORM", "cuda")
    inputs = even(inputs_of("BertForMaskedLM", "right"))
    worst = differences(model_of("BertForMaskedLM").forward(**inputs), oracle("BertForMaskedLM").forward(**inputs))
    assert max(worst.values()) <= 4e-6
