"""A model of JAX is taken apart once; `forward` runs what it is now, and no weight, block or setting of before."""

from __future__ import annotations

import gc
import weakref

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from bertx.backend import get_backend
from bertx.testing import build, config_of, inputs_of
from bertx_jax import structure

optax = pytest.importorskip("optax")

HEAD = "BertForMaskedLM"
IDS = [[5, 6, 7, 8]]


@pytest.fixture
def model():
    model = build(get_backend("jax"), HEAD, "float32")
    model.forward(input_ids=IDS)
    return model


@pytest.fixture
def flattened(monkeypatch):
    """How often a module was taken apart."""
    found, flatten = [], jax.tree.flatten

    def counted(tree, *others, **options):
        if isinstance(tree, nnx.Module):
            found.append(tree)
        return flatten(tree, *others, **options)

    monkeypatch.setattr(structure.jax.tree, "flatten", counted)
    return found


def anew(model):
    """What the native model gives, called as it is now."""
    return np.asarray(model.module(jnp.asarray(IDS)).logits)


def test_it_is_taken_apart_once(model, flattened):
    for ids in (IDS, [[5, 6]], IDS):
        model.forward(input_ids=ids)
    assert not flattened


def test_models_of_one_structure_share_compiled_code():
    first, second = (build(get_backend("jax"), HEAD, "float32") for _ in range(2))
    assert structure.take_apart(first.module)[0] is structure.take_apart(second.module)[0]
    other = build(get_backend("jax"), HEAD, "float32", config_of(HEAD, hidden_act="relu"))
    assert structure.take_apart(first.module)[0] is not structure.take_apart(other.module)[0]


def set_value(module):
    bias = module.cls.predictions.bias
    bias.set_value(bias.get_value() + 1)


def set_in_place(module):
    module.cls.predictions.bias[...] += 1


def update_state(module):
    nnx.update(module, jax.tree.map(lambda value: value * 0.9, nnx.state(module, nnx.Param)))


def set_params(module):
    module.set_params(jax.tree.map(lambda value: value * 0.9, module.params))


def train_a_step(module):
    optimizer = nnx.Optimizer(module, optax.sgd(0.5), wrt=nnx.Param)
    inputs = {name: jnp.asarray(value) for name, value in inputs_of(HEAD, None).items()}

    @nnx.jit
    def step(module, optimizer):
        optimizer.update(module, nnx.grad(lambda module: module(**inputs).loss)(module))

    step(module, optimizer)


def replace_a_parameter(module):
    module.bert.embeddings.LayerNorm.bias = nnx.Param(jnp.ones(48))


def replace_a_block(module):
    module.bert.encoder.layer[1] = module.bert.encoder.layer[0]


def remove_a_block(module):
    del module.bert.encoder.layer[1]


def add_lora(module):
    attention = module.bert.encoder.layer[0].attention.self
    attention.query = nnx.LoRA(
        48, 4, 48, base_module=attention.query, rngs=nnx.Rngs(0), b_initializer=nnx.initializers.normal(0.5)
    )


def change_an_attribute(module):
    module.bert.encoder.layer[0].intermediate.activation = jnp.tanh


def change_an_epsilon(module):
    module.bert.embeddings.LayerNorm.epsilon = 0.5


def compute_in_bfloat16(module):
    for _, block in nnx.iter_modules(module):
        if hasattr(block, "dtype") and isinstance(block, (nnx.Linear, nnx.Embed, nnx.LayerNorm)):
            block.dtype = jnp.bfloat16


CHANGES = (
    *(set_value, set_in_place, update_state, set_params, train_a_step, replace_a_parameter, replace_a_block),
    *(remove_a_block, add_lora, change_an_attribute, change_an_epsilon, compute_in_bfloat16),
)


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_what_has_changed_runs(model, change):
    before = model.forward(input_ids=IDS)["logits"]
    for _ in range(2 if change is not add_lora else 1):  # the second time, what was taken apart anew
        change(model.module)
        found = model.forward(input_ids=IDS)["logits"]
        tolerance = 0.02 if change is compute_in_bfloat16 else 4e-6
        np.testing.assert_allclose(found, anew(model), atol=tolerance * np.abs(found).max())
    assert np.abs(found - before).max() > 1e-3


def test_a_table_of_another_size_runs(model):
    model.module.resize_token_embeddings(140)
    found = model.forward(input_ids=[[5, 139]])["logits"]
    assert found.shape == (1, 2, 140)
    np.testing.assert_allclose(found, np.asarray(model.module(jnp.asarray([[5, 139]])).logits), atol=4e-6)


def test_dropout_that_is_on_runs(model):
    """`train()` changes attributes alone; what is drawn is not judged."""
    before = model.forward(input_ids=IDS)["logits"]
    model.module.train()
    assert np.abs(model.forward(input_ids=IDS)["logits"] - before).max() > 1e-3
    model.module.eval()
    assert (model.forward(input_ids=IDS)["logits"] == before).all()


def test_a_config_that_has_changed_runs(model):
    assert "hidden_states" not in model.module(jnp.asarray(IDS))
    flags = {"output_hidden_states": None}
    backend = get_backend("jax")
    inputs = {"input_ids": np.array(IDS)}
    assert "hidden_states" not in backend.forward(model.module, inputs, flags)
    model.config.output_hidden_states = True
    assert "hidden_states" in backend.forward(model.module, inputs, flags)


def test_generation_runs_what_has_changed():
    model = build(get_backend("jax"), "BertLMHeadModel", "float32")
    decoder = model.decoder
    for _ in range(2):
        logits, cache = decoder.prefill(np.array(IDS), np.array([4]), False)
        expected = anew(model)[:, -1]
        np.testing.assert_allclose(logits, expected, atol=4e-6)
        set_value(model.module)
        found = decoder.step(np.array([9]), cache, False)
        expected = np.asarray(model.module(jnp.asarray([[*IDS[0], 9]])).logits)[:, -1]
        np.testing.assert_allclose(found, expected, atol=4e-6)


def test_an_array_that_no_variable_holds_is_read_in_each_call(model):
    """As a block of someone else may have one."""

    class Shift(nnx.Module):
        def __init__(self, block, by):
            self.block, self.by = block, nnx.data({"by": jnp.full(48, by)})

        def __call__(self, x):
            return self.block(x) + self.by["by"]

    embeddings = model.module.bert.embeddings
    embeddings.LayerNorm = Shift(embeddings.LayerNorm, 0.5)
    for by in (0.5, 1.5):
        embeddings.LayerNorm.by["by"] = jnp.full(48, by)
        np.testing.assert_allclose(model.forward(input_ids=IDS)["logits"], anew(model), atol=4e-6)


def test_a_model_that_is_gone_is_not_kept():
    model = build(get_backend("jax"), HEAD, "float32")
    model.forward(input_ids=IDS)
    gone = weakref.ref(model.module), weakref.ref(model.module.bert.encoder.layer[0])
    del model
    gc.collect()
    assert [reference() for reference in gone] == [None, None]
