"""A decoder that attends to an encoder's states: transformers in float64 is the reference, on every backend."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch

import bertx
from bertx.backend import get_backend
from bertx.parameters import skip_init
from bertx.testing import SIZES, encoder_of
from bertx_weights import CheckpointError
from fixture_files import STORED
from support import BACKENDS, LENGTH, batch, differences

sys.path.insert(0, str(STORED))
import make_cross_attention as fixture

HEADS = ("BertLMHeadModel", "RobertaForCausalLM", "XLMRobertaForCausalLM")
ADDED = {"is_decoder": True, "add_cross_attention": True}
# Measured: see the suite; 1e-12 in float64.
RUNS = [*((backend, "float32", 5e-6) for backend in BACKENDS), ("numpy", "float64", 1e-12)]


def inputs_of(head, padding):
    inputs = batch(head, padding) | encoder_of(padding)
    return inputs if head.startswith("Bert") else inputs | {"token_type_ids": inputs["token_type_ids"] * 0}


def as_numpy(value):
    if isinstance(value, (tuple, list)):
        return tuple(map(as_numpy, value))
    return value.detach().numpy() if isinstance(value, torch.Tensor) else np.asarray(value)


def asked(peer, inputs, **flags):
    """What transformers says: logits, layers, attentions, and of each layer the four tensors of its past."""
    tensors = {name: torch.from_numpy(value) for name, value in inputs.items()}
    tensors["encoder_hidden_states"] = tensors["encoder_hidden_states"].double()
    with torch.no_grad():
        outputs = dict(peer(**tensors, **flags))
    past = outputs.pop("past_key_values", None)
    found = {name: as_numpy(value) for name, value in outputs.items()}
    if past is not None:
        own, cross = past.self_attention_cache.layers, past.cross_attention_cache.layers
        layers = zip(own, cross, strict=True)
        found["past"] = tuple(as_numpy((a.keys, a.values, b.keys, b.values)) for a, b in layers)
    return found


def seen(outputs, inputs):
    """The outputs, 0 where a position sees nothing: what such a one gives depends on how many keys there are."""
    sees = (np.cumsum(inputs["attention_mask"], 1) > 0)[..., None]
    return {
        name: tuple(part * sees for part in value) if isinstance(value, tuple) else value * sees
        for name, value in outputs.items()
        if "attentions" not in name
    }


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("padding", [None, "right", "left"])
@pytest.mark.parametrize(("backend", "dtype", "tolerance"), RUNS)
def test_equals_transformers(peers, loaded, backend, dtype, tolerance, padding, head):
    peer, folder = peers(head, **ADDED)
    inputs = inputs_of(head, padding)
    model = loaded(folder, backend=backend, dtype=dtype)
    flags = {"output_hidden_states": True, "output_attentions": True}
    expected = asked(peer, inputs, **flags, use_cache=False)
    worst = differences(model.forward(**inputs, **flags), expected)
    assert {name.partition(".")[0] for name in worst} == {"logits", "hidden_states", "attentions", "cross_attentions"}
    assert max(worst.values()) <= tolerance, worst
    plain = model.forward(**inputs)  # torch takes its fused attention
    assert max(differences(plain, {"logits": expected["logits"]}).values()) <= tolerance


@pytest.mark.parametrize(("backend", "dtype", "tolerance"), RUNS)
def test_relative_positions_are_of_the_decoders_own_keys(backend, dtype, tolerance):
    """As transformers 4.57 has it: tests/fixtures/make_cross_attention.py."""
    for kind in fixture.TYPES:
        config = bertx.BertConfig(**fixture.SIZES, position_embedding_type=kind)
        chosen = get_backend(backend)
        module = chosen.build(chosen.model_class(HEADS[0]), config, fixture.value_of, dtype, None, {})
        model = bertx.Model(module, config, chosen, HEADS[0])
        with np.load(STORED / "cross_attention.npz") as stored:
            expected = {name.split("/")[1]: stored[name] for name in stored if name.split("/")[0] == kind}
        found = model.forward(**fixture.inputs(), output_attentions=True)
        expected = {name: tuple(value) if "attentions" in name else value for name, value in expected.items()}
        worst = differences(found, expected)
        assert max(worst.values()) <= max(tolerance, 1e-9), (kind, worst)  # the fixture is rounded to 1.2e-10


@pytest.mark.parametrize("given", ["once", "each time"])
@pytest.mark.parametrize(("backend", "dtype", "tolerance"), RUNS)
def test_a_past_holds_the_encoders_keys_and_values(peers, loaded, backend, dtype, tolerance, given):
    head = HEADS[0]
    peer, folder = peers(head, **ADDED)
    inputs = inputs_of(head, "left")
    expected = asked(peer, inputs, output_hidden_states=True, use_cache=True)
    module, tensor = loaded(folder, backend=backend, dtype=dtype).module, get_backend(backend).tensor
    tensors = dict(inputs)
    if dtype == "float64":
        tensors["encoder_hidden_states"] = tensors["encoder_hidden_states"].astype(dtype)
    encoder = {name: tensor(value) for name, value in tensors.items() if name.startswith("encoder_")}
    found, past = [], None
    for start, end in ((0, 4), (4, 5), (5, LENGTH)):
        own = {name: tensors[name][:, start:end] for name in ("input_ids", "token_type_ids")}
        own["attention_mask"] = tensors["attention_mask"][:, :end]
        own = {name: tensor(np.ascontiguousarray(value)) for name, value in own.items()}
        outputs = module(**own, **encoder, past_key_values=past, use_cache=True, output_hidden_states=True)
        past = outputs.past_key_values
        found.append({name: as_numpy(outputs[name]) for name in ("logits", "hidden_states")})
        if given == "once":
            encoder.pop("encoder_hidden_states", None)
    joined = {"logits": np.concatenate([part["logits"] for part in found], 1)}
    layers = range(len(found[0]["hidden_states"]))
    joined["hidden_states"] = tuple(np.concatenate([part["hidden_states"][i] for part in found], 1) for i in layers)
    expected_past = expected.pop("past")
    assert max(differences(seen(joined, inputs), seen(expected, inputs)).values()) <= tolerance
    sees = (np.cumsum(inputs["attention_mask"], 1) > 0)[:, None, :, None]
    for ours, theirs in zip(as_numpy(past), expected_past, strict=True):
        assert len(ours) == 4
        for i, (one, other) in enumerate(zip(ours, theirs, strict=True)):
            assert np.abs((one - other) * (sees if i < 2 else 1)).max() <= tolerance


@pytest.mark.parametrize("backend", BACKENDS)
def test_each_query_its_own_states(peers, loaded, backend):
    """A mask [B, T, S] gives what rows of one query each give."""
    model = loaded(peers(HEADS[0], **ADDED)[1], backend=backend)
    inputs = inputs_of(HEADS[0], None)
    count = inputs["encoder_hidden_states"].shape[1]
    masks = np.random.default_rng(0).integers(0, 2, (len(inputs["input_ids"]), LENGTH, count))
    masks[:, :, 0] = 1
    found = model.forward(**inputs, encoder_attention_mask=masks, output_attentions=True)
    for attention in found["cross_attentions"]:
        assert ((attention > 0) == (masks[:, None] > 0)).all()
    picked = np.zeros((len(masks), 1), np.int64) + LENGTH - 1
    read = model.forward(**inputs, encoder_attention_mask=masks, mask_positions=picked)["logits"]
    assert np.abs(read - found["logits"][:, -1:]).max() <= 5e-6


# --- gradients --------------------------------------------------------------------------------------


def _inputs_with_labels(head):
    inputs = inputs_of(head, "right")
    generator = np.random.default_rng(3)
    return inputs | {"labels": generator.integers(0, SIZES["vocab_size"], inputs["input_ids"].shape)}


def _in_torch(model, inputs):
    tensors = {name: torch.from_numpy(value) for name, value in inputs.items()}
    dtype = next(model.parameters()).dtype
    states = tensors["encoder_hidden_states"] = tensors["encoder_hidden_states"].to(dtype).requires_grad_()
    labels = tensors.pop("labels")
    model.zero_grad()
    logits = model(**tensors).logits  # transformers computes its own loss in float32
    torch.nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten()).backward()
    found = {name: p.grad.double().numpy() for name, p in model.named_parameters() if p.grad is not None}
    return found | {"encoder_hidden_states": states.grad.double().numpy()}


def _in_jax(model, inputs):
    import jax.numpy as jnp
    from flax import nnx

    arrays = {name: jnp.asarray(value) for name, value in inputs.items()}
    states = arrays.pop("encoder_hidden_states")

    def loss(module, states):
        return module(**arrays, encoder_hidden_states=states).loss

    gradients, of_states = nnx.grad(loss, argnums=(0, 1))(model.module, states)
    holder = nnx.clone(model.module)
    nnx.update(holder, gradients)
    return dict(model._backend.tensors(holder)) | {"encoder_hidden_states": np.asarray(of_states)}


def _in_tensorflow(model, inputs):
    import tensorflow as tf

    tensors = {name: tf.constant(value) for name, value in inputs.items()}
    states = tensors["encoder_hidden_states"]
    with tf.GradientTape() as tape:
        tape.watch(states)
        loss = tf.reduce_mean(model.module(**tensors).loss)
    variables = model.module.trainable_variables
    gradients = tape.gradient(loss, [*variables, states], unconnected_gradients="zero")
    values = [variable.value.numpy() for variable in variables]
    for variable, gradient in zip(variables, gradients[:-1], strict=True):
        variable.assign(gradient)
    found = {name: value.copy() for name, value in model.tensors()}
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
    return found | {"encoder_hidden_states": gradients[-1].numpy()}


GRADIENTS = {
    "torch": lambda model, inputs: _in_torch(model.module, inputs),
    "jax": _in_jax,
    "tensorflow": _in_tensorflow,
}


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("backend", GRADIENTS)
def test_gradients_of_parameters_and_of_the_encoders_states(peers, backend, checkpointing):
    peer, folder = peers(HEADS[0], **ADDED)
    inputs = _inputs_with_labels(HEADS[0])
    expected = _in_torch(peer, inputs)
    model = bertx.load(folder, backend=backend)
    if checkpointing:
        model.module.gradient_checkpointing_enable()
    found = GRADIENTS[backend](model, inputs)
    largest = max(np.abs(gradient).max() for gradient in expected.values())
    assert np.abs(expected["encoder_hidden_states"]).max() > 0
    assert any(".crossattention." in name for name in expected)
    for name, gradient in expected.items():
        if name == "cls.predictions.decoder.bias":  # transformers' second name of a bias
            continue
        mine = found[name]
        if name.endswith("word_embeddings.weight"):
            mine, gradient = mine[1:], gradient[1:]  # transformers gives the padding token none as an input
        assert np.abs(mine - gradient).max() <= 2e-6 * largest, name


# --- mistakes must be found -------------------------------------------------------------------------


def keys_of_the_decoder(layer):
    layer.crossattention.self.key = layer.attention.self.key


def residual_forgotten(layer):
    block = layer.crossattention.output
    block.forward = lambda states, residual: block.LayerNorm(block.dense(states))


def value_and_key_swapped(layer):
    attention = layer.crossattention.self
    attention.key, attention.value = attention.value, attention.key


def output_block_of_self_attention(layer):
    layer.crossattention.output = layer.attention.output


@pytest.mark.parametrize(
    "mutate", [keys_of_the_decoder, residual_forgotten, value_and_key_swapped, output_block_of_self_attention]
)
def test_a_mutant_is_found(peers, mutate):
    peer, folder = peers(HEADS[0], **ADDED)
    inputs = inputs_of(HEADS[0], "right")
    expected = {"logits": asked(peer, inputs)["logits"]}
    model = bertx.load(folder, backend="numpy")
    assert max(differences(model.forward(**inputs), expected).values()) <= 5e-6
    mutate(model.module.bert.encoder.layer[1])
    assert max(differences(model.forward(**inputs), expected).values()) > 5e-6


def test_the_parity_report_runs_it(peers):
    report = bertx.parity(peers(HEADS[0], **ADDED)[1], backends=["numpy"])
    assert report.passed
    assert [name for name in report.outputs() if name.startswith("cross")] == [
        f"cross-attention {i}" for i in (1, 2, 3)
    ]


# --- what does not fit ------------------------------------------------------------------------------


@pytest.mark.parametrize("framework", ["torch", "tensorflow", "jax", "numpy"])
def test_what_does_not_fit_is_an_error(peers, loaded, framework):
    tensor = get_backend(framework).tensor
    module = loaded(peers(HEADS[0], **ADDED)[1], backend=framework).module
    inputs = inputs_of(HEADS[0], "right")
    ids, states = tensor(inputs["input_ids"]), inputs["encoder_hidden_states"]
    without = loaded(peers(HEADS[0])[1], backend=framework).module
    with pytest.raises(ValueError, match="need a decoder that attends to an encoder: is_decoder and add_cross"):
        without(ids, encoder_hidden_states=tensor(states))
    with pytest.raises(ValueError, match="encoder_attention_mask needs encoder_hidden_states"):
        module(ids, encoder_attention_mask=tensor(inputs["encoder_attention_mask"]))
    with pytest.raises(ValueError, match=r"encoder_hidden_states has the shape \[4, 9, 47\], expected"):
        module(ids, encoder_hidden_states=tensor(states[..., 1:].copy()))
    with pytest.raises(ValueError, match="encoder_attention_mask has 13 positions, expected 9"):
        module(ids, encoder_hidden_states=tensor(states), encoder_attention_mask=tensor(inputs["attention_mask"]))
    past = module(ids, encoder_hidden_states=tensor(states), use_cache=True).past_key_values
    with pytest.raises(
        ValueError, match="encoder_hidden_states has 8 positions, and past_key_values were computed of 9"
    ):
        module(ids, encoder_hidden_states=tensor(states[:, 1:].copy()), past_key_values=past)
    # As in transformers a decoder without states attends to its own keys alone.
    assert "cross_attentions" not in module(ids, output_attentions=True)


def test_inputs_of_arrays_are_checked(peers, loaded):
    model = loaded(peers(HEADS[0], **ADDED)[1], backend="numpy")
    inputs = inputs_of(HEADS[0], "right")
    with pytest.raises(ValueError, match=r"encoder_hidden_states is float32 \[3, 9, 48\], expected \[4, S, 48\]"):
        model.forward(**inputs | {"encoder_hidden_states": inputs["encoder_hidden_states"][1:]})
    with pytest.raises(ValueError, match=r"encoder_attention_mask is int64 \[4, 13\], expected \[4, 9\]"):
        model.forward(**inputs | {"encoder_attention_mask": inputs["attention_mask"]})
    past = model.forward(**inputs, use_cache=True)["past_key_values"]
    strange = tuple((*layer[:2], *(part[:, 1:] for part in layer[2:])) for layer in past)
    with pytest.raises(ValueError, match=r"past_key_values is 3 of .*or with two more of \[4, 6, S, 8\]"):
        model.forward(input_ids=inputs["input_ids"], past_key_values=strange)
    plain = loaded(peers(HEADS[0])[1], backend="numpy")
    with pytest.raises(TypeError, match="it was given encoder_attention_mask, encoder_hidden_states"):
        plain.forward(**inputs)


def test_a_decoder_is_made_of_an_encoder(peers):
    """Cross-attention that a checkpoint lacks is drawn, and told; that which it says it has must be there."""
    import bertx_torch

    folder = peers("BertForMaskedLM")[1]
    with pytest.warns(UserWarning, match=r"crossattention.*initialised for BertLMHeadModel"):
        module, info = bertx_torch.BertLMHeadModel.from_pretrained(folder, **ADDED, output_loading_info=True)
    assert {name.split(".")[4] for name in info["missing_keys"]} == {"crossattention"}
    assert len(info["missing_keys"]) == 10 * SIZES["num_hidden_layers"]
    assert module.bert.encoder.layer[0].crossattention.self.query.weight.abs().max() > 0
    config = bertx.BertConfig.from_pretrained(folder, **ADDED)
    config.save_pretrained(folder_of := folder.parent / "says_cross_attention")
    (folder_of / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes())
    with pytest.raises(CheckpointError, match="crossattention"):
        bertx_torch.BertLMHeadModel.from_pretrained(folder_of)


def test_a_model_that_is_no_decoder_has_none():
    with pytest.raises(ValueError, match="add_cross_attention is true but is_decoder is false"):
        bertx.BertConfig(add_cross_attention=True)


def test_rows_of_the_schema_are_transformers_own(peers):
    """The names, and their order in a layer."""
    from bertx.registry import schema

    peer, _ = peers(HEADS[0], **ADDED)
    config = bertx.BertConfig(**SIZES, **ADDED)
    with skip_init():
        ours = [row.name for row in schema(HEADS[0], config) if ".layer.0." in row.name]
    assert ours == [name for name in peer.state_dict() if ".layer.0." in name]
