"""What JAX and Flax people do with a module, done with a FlaxBert of bertx_jax."""

from __future__ import annotations

import functools
import gc
import importlib
import inspect
import json
import os
import subprocess
import sys
import weakref

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

import bertx
import bertx_jax
from bertx_jax import backend

IDS = jnp.array([[2, 5, 6, 7, 3], [2, 5, 6, 3, 0]])
BATCH = {"input_ids": IDS, "attention_mask": (IDS != 0).astype(jnp.int32)}
LABELS = jnp.array([1, 3])


@pytest.fixture(scope="module")
def folder(peers):
    return peers("BertForSequenceClassification")[1]


@pytest.fixture
def model(folder):
    return bertx_jax.FlaxBertForSequenceClassification.from_pretrained(folder)


def differ(a, b) -> float:
    return float(jnp.abs(a - b).max())


def test_nnx_jit_grad_split_and_merge(model):
    expected = model(**BATCH).logits
    assert differ(nnx.jit(lambda model, batch: model(**batch).logits)(model, BATCH), expected) <= 1e-6
    gradients = nnx.grad(lambda model: model(**BATCH, labels=LABELS).loss)(model)
    assert len(jax.tree.leaves(gradients)) == len(jax.tree.leaves(model.params))
    graph, state = nnx.split(model)
    assert differ(nnx.merge(graph, state)(**BATCH).logits, expected) == 0


def test_params_are_a_nested_dict_by_schema_name(model, folder):
    params = model.params
    query = params["bert"]["encoder"]["layer"]["0"]["attention"]["self"]["query"]
    assert set(query) == {"kernel", "bias"} and query["kernel"].shape == (48, 48)
    assert params["bert"]["embeddings"]["word_embeddings"]["embedding"].shape == (131, 48)
    assert set(params["bert"]["embeddings"]["LayerNorm"]) == {"scale", "bias"}


def test_a_pure_function_of_the_parameters(model):
    step = jax.jit(lambda params, batch: model.apply(params, batch).logits)
    expected = model(**BATCH).logits
    assert differ(step(model.params, BATCH), expected) <= 1e-6
    halved = jax.tree.map(lambda value: value / 2, model.params)
    assert differ(step(halved, BATCH), expected) > 1e-3
    assert differ(model(**BATCH).logits, expected) == 0  # the model is left as it was
    model.set_params(halved)
    assert differ(model(**BATCH).logits, step(halved, BATCH)) <= 1e-6


def test_calls_as_flax_bert_had_them(model):
    key = jax.random.key(0)
    quiet = model(**BATCH, params=model.params, train=False).logits
    loud = model(**BATCH, params=model.params, train=True, dropout_rng=key).logits
    assert differ(loud, model(**BATCH, train=True, dropout_rng=key).logits) == 0
    assert differ(loud, quiet) > 0
    assert differ(loud, model(**BATCH, train=True, dropout_rng=jax.random.key(1)).logits) > 0
    with pytest.raises(ValueError, match="train=True needs dropout_rng"):
        model(**BATCH, params=model.params, train=True)
    assert isinstance(model(**BATCH, params=model.params, return_dict=False), tuple)


def test_params_of_another_model_are_refused(model):
    params = model.params
    del params["classifier"]["bias"]
    with pytest.raises(ValueError, match="do not have the same parameters: classifier/bias"):
        model(**BATCH, params=params)


def test_an_optax_step_in_one_jitted_function(model):
    optimizer = optax.adam(1e-2)

    @jax.jit
    def step(params, state):
        def loss_of(params):
            return model.apply(params, {**BATCH, "labels": LABELS}).loss

        loss, gradients = jax.value_and_grad(loss_of)(params)
        updates, state = optimizer.update(gradients, state)
        return optax.apply_updates(params, updates), state, loss

    params, state = model.params, optimizer.init(model.params)
    losses = []
    for _ in range(5):
        params, state, loss = step(params, state)
        losses.append(float(loss))
    assert losses[0] == pytest.approx(float(model(**BATCH, labels=LABELS).loss), abs=1e-6)
    assert losses[-1] < losses[0]


def test_vmap_checkpoint_and_export(model):
    expected = model(IDS).logits
    one_by_one = jax.vmap(lambda row: model.apply(model.params, {"input_ids": row[None]}).logits[0])(IDS)
    assert differ(one_by_one, expected) <= 1e-6

    def loss(params):
        return model.apply(params, {**BATCH, "labels": LABELS}).loss

    plain, checkpointed = (jax.grad(f)(model.params) for f in (loss, jax.checkpoint(loss)))
    assert max(jax.tree.leaves(jax.tree.map(differ, plain, checkpointed))) <= 1e-6
    batch_size, length = jax.export.symbolic_shape("b, t")
    exported = jax.export.export(jax.jit(lambda ids: model(ids).logits))(
        jax.ShapeDtypeStruct((batch_size, length), jnp.int32)
    )
    again = jax.export.deserialize(exported.serialize())
    assert differ(again.call(IDS.astype(jnp.int32)), expected) <= 1e-6


def test_gradient_checkpointing_changes_no_gradient(model):
    def gradients():
        return nnx.grad(lambda model: model(**BATCH, labels=LABELS).loss)(model)

    expected = gradients()
    model.gradient_checkpointing_enable()
    assert max(jax.tree.leaves(jax.tree.map(differ, gradients(), expected))) <= 1e-6


def test_gradient_checkpointing_draws_the_same_masks(peers):
    folder = peers("BertForSequenceClassification", hidden_dropout_prob=0.3, attention_probs_dropout_prob=0.3)[1]
    model = bertx_jax.FlaxBertForSequenceClassification.from_pretrained(folder)

    def gradients(seed=0):
        batch = {**BATCH, "labels": LABELS}
        key = jax.random.key(seed)
        return jax.grad(lambda params: model.apply(params, batch, train=True, dropout_rng=key).loss)(model.params)

    expected, other = gradients(), gradients(1)
    model.gradient_checkpointing_enable()
    found = gradients()
    assert max(jax.tree.leaves(jax.tree.map(differ, found, expected))) <= 1e-6
    assert max(jax.tree.leaves(jax.tree.map(differ, found, other))) > 1e-3


def test_train_and_eval(model):
    quiet = model(**BATCH).logits
    model.train()
    assert differ(model(**BATCH).logits, quiet) > 0
    model.eval()
    assert differ(model(**BATCH).logits, quiet) == 0


@pytest.mark.parametrize("head", ["BertModel", "BertForMaskedLM"])
@pytest.mark.parametrize("size", [150, 120])
def test_resized_token_embeddings(peers, head, size):
    model = getattr(bertx_jax, f"Flax{head}").from_pretrained(peers(head)[1])
    before = np.asarray(model.get_input_embeddings().embedding.get_value())
    model.resize_token_embeddings(size)
    kept = min(size, len(before))
    after = np.asarray(model.get_input_embeddings().embedding.get_value())
    assert after.shape == (size, 48) and np.array_equal(after[:kept], before[:kept])
    assert model(jnp.array([[2, size - 1]])).to_tuple()[0].shape[-1] == (48 if head == "BertModel" else size)


SHARDED = """
import json, sys, jax, numpy as np, bertx_jax
from flax import nnx
from jax.sharding import Mesh, NamedSharding, PartitionSpec
model = bertx_jax.FlaxBertForMaskedLM.from_pretrained(sys.argv[1])
ids = np.arange(4 * 6).reshape(4, 6)
expected = model(ids).logits
mesh = Mesh(np.array(jax.devices()).reshape(2, 4), ("data", "model"))
model.shard(mesh)
spread = jax.device_put(ids, NamedSharding(mesh, PartitionSpec("data")))
found = nnx.jit(lambda model, ids: model(ids).logits)(model, spread)
layer = model.bert.encoder.layer[0]
parameters = (layer.intermediate.dense.kernel, layer.output.dense.kernel, layer.output.LayerNorm.scale)
arrays = [parameter.get_value() for parameter in parameters]
print(json.dumps([
    float(abs(found - expected).max()),
    [array.addressable_shards[0].data.shape for array in arrays],
    len(arrays[0].sharding.device_set),
]))
"""


def test_data_and_tensor_parallel_on_eight_devices(peers):
    done = subprocess.run(
        [sys.executable, "-c", SHARDED, str(peers("BertForMaskedLM")[1])],
        env={**os.environ, "XLA_FLAGS": "--xla_force_host_platform_device_count=8"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    difference, on_each, devices = json.loads(done.stdout.splitlines()[-1])
    assert difference <= 5e-6 and devices == 8
    assert on_each == [[48, 25], [25, 48], [48]]  # a quarter of the feed-forward, the LayerNorm whole


def test_every_parameter_has_axes_of_its_shape():
    from bertx.configs.bert import BertConfig
    from bertx.registry import architectures, schema

    config = BertConfig(num_hidden_layers=2, position_embedding_type="relative_key", tie_word_embeddings=False)
    for head in architectures("bert"):
        for row in schema(head, config):
            assert len(row.axes) == len(row.shape), row.name


def test_params_are_set_by_assignment(model):
    expected = model(**BATCH).logits
    model.params = jax.tree.map(lambda value: value / 2, model.params)
    assert differ(model(**BATCH).logits, expected) > 1e-3
    model.params = jax.tree.map(lambda value: value * 2, model.params)
    assert differ(model(**BATCH).logits, expected) <= 1e-6


def test_a_mesh_of_explicit_axes_is_refused(model):
    with pytest.raises(ValueError, match=r"expected Auto: jax.make_mesh\(…, axis_types="):
        model.shard(jax.make_mesh((1, 1), ("data", "model")))


def test_an_argument_that_from_pretrained_does_not_take(folder):
    takes = (
        "takes no load_in_8bit=True: it takes config, state_dict, .*output_loading_info, and the fields of BertConfig"
    )
    with pytest.raises(TypeError, match=f"BertForSequenceClassification.from_pretrained {takes}"):
        bertx_jax.FlaxBertForSequenceClassification.from_pretrained(folder, load_in_8bit=True)
    with pytest.raises(TypeError, match="output_loading_info, add_pooling_layer, and the fields of BertConfig"):
        bertx_jax.FlaxBertModel.from_pretrained(folder, load_in_8bit=True)


def test_a_model_without_its_pooler(peers):
    folder = peers("BertModel")[1]
    model = bertx_jax.FlaxBertModel.from_pretrained(folder, add_pooling_layer=False)
    assert "pooler" not in model.params
    assert model(**BATCH).pooler_output is None


@pytest.mark.parametrize("head", ["BertModel", "BertForQuestionAnswering", "BertLMHeadModel"])
@pytest.mark.parametrize("prefix", ["bertx_jax.Flax", "bertx_torch."])
def test_a_call_shows_its_arguments(prefix, head):
    package, _, prefix = prefix.partition(".")
    cls = getattr(
        importlib.import_module(package),
        prefix + {"BertLMHeadModel": "BertForCausalLM"}.get(head, head) if prefix else head,
    )
    shown = inspect.signature(cls.__call__).parameters
    own = inspect.signature(cls.forward).parameters
    more = ["params", "dropout_rng", "train"] if prefix else []
    assert list(shown) == [*own, *more]
    assert list(shown)[:5] == ["self", "input_ids", "attention_mask", "token_type_ids", "position_ids"]
    assert "labels" in shown or "start_positions" in shown or head == "BertModel"


@pytest.mark.parametrize("dtype", [jnp.bfloat16, "float16"])
@pytest.mark.parametrize("head", ["BertModel", "BertForMaskedLM", "BertForSequenceClassification"])
def test_a_model_that_computes_in_half_precision(peers, head, dtype):
    """As FlaxBert's constructor has it: the parameters, and their gradients, are float32."""
    cls = getattr(bertx_jax, f"Flax{head}")
    whole = cls.from_pretrained(peers(head)[1])
    options = {"add_pooling_layer": True} if head == "BertModel" else {}
    half = cls(whole.config, dtype=dtype, **options)
    half.set_params(whole.params)
    assert {str(leaf.dtype) for leaf in jax.tree.leaves(half.params)} == {"float32"}
    found, expected = half(**BATCH, output_hidden_states=True), whole(**BATCH, output_hidden_states=True)
    pairs = zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True)
    for value, exact in pairs:
        assert value.dtype == jnp.dtype(dtype) and exact.dtype == jnp.float32
        assert 0 < differ(value.astype(jnp.float32), exact) <= 0.03 * float(jnp.abs(exact).max())
    gradients = jax.grad(lambda params: half.apply(params, BATCH).to_tuple()[0].sum().astype(jnp.float32))(half.params)
    assert {str(leaf.dtype) for leaf in jax.tree.leaves(gradients)} == {"float32"}
    assert "dtype" in inspect.signature(cls.__init__).parameters
    assert {leaf.dtype for leaf in jax.tree.leaves(cls(whole.config)(**BATCH))} == {jnp.dtype("float32")}


def test_positions_beyond_int32_are_outside_the_sequence(peers):
    """2³² + 1 was 1, and −2³² + 1 too: a position past the end is not counted, one before 0 counts as 0."""
    folder = peers("BertForQuestionAnswering")[1]
    native = bertx_jax.FlaxBertForQuestionAnswering.from_pretrained(folder)
    loaded = bertx.load(folder, backend="jax")
    expected = bertx.load(folder, backend="numpy")
    ids = np.asarray(IDS, np.int64)
    for start, end in ((2**32 + 1, 2), (1, 2**40 + 3), (-(2**32) + 1, 2), (2**31, -(2**31) - 1)):
        labels = {"start_positions": np.array([start, 1]), "end_positions": np.array([end, 2])}
        loss = expected.forward(ids, **labels)["loss"]
        assert float(loaded.forward(ids, **labels)["loss"]) == pytest.approx(float(loss), abs=1e-5)
        assert float(native(ids, **labels).loss) == pytest.approx(float(loss), abs=1e-5)


def test_a_bounded_number_of_shapes_stays_compiled(peers, monkeypatch):
    """The oldest is forgotten, with the function that holds its code."""
    model = bertx.load(peers("BertModel")[1], backend="jax")
    compiled = functools.lru_cache(maxsize=4)(backend._compiled.__wrapped__)
    functions = []

    def watched(*key):
        run = compiled(*key)
        if all(run is not known() for known in functions):
            functions.append(weakref.ref(run))
        return run

    monkeypatch.setattr(backend, "_compiled", watched)
    for length in range(2, 10):
        model.forward(np.ones((1, length), np.int64))
    for length in (9, 8, 7, 6):  # these are there
        model.forward(np.ones((1, length), np.int64))
    gc.collect()
    assert len(functions) == 8 and sum(function() is not None for function in functions) == 4
    assert compiled.cache_info().misses == 8 and backend.MOST_SHAPES == 256
    assert {function()._cache_size() for function in functions if function() is not None} == {1}


@pytest.mark.parametrize("head", ["FlaxBertModel", "FlaxBertForSequenceClassification"])
def test_the_constructors_arguments_of_flaxbert(head):
    cls = getattr(bertx_jax, head)
    sizes = {"vocab_size": 20, "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = bertx.BertConfig(**sizes, intermediate_size=12, max_position_embeddings=8)

    def drawn(**arguments):
        return jax.tree.leaves(cls(config, **arguments).params)

    plain, first = drawn(), drawn(seed=1, input_shape=(1, 8), dtype=jnp.bfloat16, _do_init=True)
    matrices = [(a, b) for a, b in zip(plain, first, strict=True) if a.ndim == 2]
    assert matrices and all(differ(a, b) > 0.01 for a, b in matrices)  # of the base and of the head
    assert all(differ(a, b) == 0 for a, b in zip(first, drawn(seed=1), strict=True))
    assert all(differ(a, b) == 0 for a, b in zip(plain, drawn(seed=0), strict=True))
    assert all(differ(a, b) == 0 for a, b in zip(plain, drawn(), strict=True))
    with pytest.raises(TypeError, match=r"no _do_init=False: a model here holds its parameters; flax\.nnx\.split"):
        cls(config, _do_init=False)
    with pytest.raises(TypeError, match="shape"):
        cls(config, shape=(1, 8))


def test_a_subclass_keeps_an_argument_of_its_own_called_seed():
    class Own(bertx_jax.FlaxBertModel):
        def __init__(self, config, seed):
            super().__init__(config)
            self.given = seed

    config = bertx.BertConfig(vocab_size=20, hidden_size=8, num_hidden_layers=1, num_attention_heads=2)
    assert Own(config, seed=7).given == 7
