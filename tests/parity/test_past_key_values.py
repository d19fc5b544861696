"""A decoder that goes on where it stopped: in pieces it gives what it gives at once, on every backend."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

import bertx
import bertx_jax
import bertx_tensorflow
import bertx_torch
from bertx.backend import get_backend
from support import BACKENDS, BATCH, LENGTH, SIZES, batch, differences, labels, peer_forward

HEAD = "BertLMHeadModel"
RELATIVE = ("relative_key", "relative_key_query")
# Measured: 1.8e-6 at most in float32, 2.9e-15 in float64, of logits up to 3.2.
RUNS = [*((backend, "float32", 5e-6) for backend in BACKENDS), ("numpy", "float64", 1e-12)]
PIECES = {"two": (0, 5, LENGTH), "one by one": (0, 1, *range(6, LENGTH + 1))}


def in_pieces(module, tensor, inputs, ends, **options):
    """The outputs of a native model that is given the inputs piece by piece."""
    past, found = None, []
    for start, end in itertools.pairwise(ends):
        piece = {
            name: value[:, :end] if name == "attention_mask" else value[:, start:end] for name, value in inputs.items()
        }
        outputs = module(
            **{name: tensor(value) for name, value in piece.items()}, past_key_values=past, use_cache=True, **options
        )
        past = outputs.past_key_values
        found.append({name: as_numpy(value) for name, value in outputs.items() if name != "past_key_values"})
    joined = {}
    for name, value in found[0].items():
        if isinstance(value, tuple):
            joined[name] = tuple(np.concatenate([part[name][i] for part in found], 1) for i in range(len(value)))
        else:
            joined[name] = np.concatenate([part[name] for part in found], 1)
    return joined, as_numpy(past)


def as_numpy(value):
    if isinstance(value, tuple):
        return tuple(map(as_numpy, value))
    return value.detach().numpy() if isinstance(value, torch.Tensor) else np.asarray(value)


def seen(outputs, inputs):
    """The outputs, 0 where a place sees nothing: what such a place gives depends on how many keys there are."""
    sees = (np.cumsum(inputs["attention_mask"], 1) > 0)[..., None]
    return {
        name: tuple(part * sees for part in value) if isinstance(value, tuple) else value * sees
        for name, value in outputs.items()
    }


@pytest.mark.parametrize("ends", PIECES.values(), ids=PIECES)
@pytest.mark.parametrize("padding", [None, "right", "left"])
@pytest.mark.parametrize(("backend", "dtype", "tolerance"), RUNS)
def test_in_pieces_as_at_once(peers, loaded, backend, dtype, tolerance, padding, ends):
    model, folder = peers(HEAD)
    inputs = batch(HEAD, padding)
    native = loaded(folder, backend=backend, dtype=dtype).module
    found, past = in_pieces(native, get_backend(backend).tensor, inputs, ends, output_hidden_states=True)
    expected = peer_forward(model, inputs, output_hidden_states=True)
    worst = differences(seen(found, inputs), seen(expected, inputs))
    assert max(worst.values()) <= tolerance, worst
    with torch.no_grad():
        cache = model(**{name: torch.from_numpy(value) for name, value in inputs.items()}, use_cache=True)
    sees = (np.cumsum(inputs["attention_mask"], 1) > 0)[:, None, :, None]
    for ours, layer in zip(past, cache.past_key_values.layers, strict=True):
        for one, other in zip(ours, (layer.keys, layer.values), strict=True):
            assert np.abs((one - other.numpy()) * sees).max() <= tolerance


@pytest.mark.parametrize("kind", RELATIVE)
@pytest.mark.parametrize(("backend", "dtype", "tolerance"), RUNS)
def test_relative_positions_go_on(tmp_path, kind, backend, dtype, tolerance):
    """Against the oracle at once, which test_relative_positions.py holds to transformers 4.57."""
    config = bertx.BertConfig(**SIZES, position_embedding_type=kind, is_decoder=True, initializer_range=0.1)
    bertx_torch.BertLMHeadModel(config).save_pretrained(tmp_path)
    inputs = batch(HEAD, "left")
    expected = bertx.load(tmp_path, backend="numpy", dtype="float64").forward(**inputs)
    module = bertx.load(tmp_path, backend=backend, dtype=dtype).module
    found, _ = in_pieces(module, get_backend(backend).tensor, inputs, (0, 5, 6, LENGTH))
    assert max(differences(seen(found, inputs), seen(expected, inputs)).values()) <= tolerance


@pytest.mark.parametrize("backend", BACKENDS)
def test_each_query_its_own_keys_and_positions_that_are_given(peers, loaded, backend):
    _, folder = peers(HEAD)
    native, tensor = loaded(folder, backend=backend).module, get_backend(backend).tensor
    generator = np.random.default_rng(0)
    ids = generator.integers(0, SIZES["vocab_size"], (BATCH, LENGTH))
    positions = generator.integers(0, SIZES["max_position_embeddings"], (BATCH, LENGTH))
    masks = np.maximum(generator.integers(0, 2, (BATCH, LENGTH, LENGTH)), np.eye(LENGTH, dtype=np.int64))
    expected = as_numpy(
        native(input_ids=tensor(ids), attention_mask=tensor(masks), position_ids=tensor(positions)).logits
    )
    first = native(
        input_ids=tensor(ids[:, :5]),
        attention_mask=tensor(np.ascontiguousarray(masks[:, :5, :5])),
        position_ids=tensor(positions[:, :5]),
        use_cache=True,
    )
    second = native(
        input_ids=tensor(ids[:, 5:]),
        attention_mask=tensor(np.ascontiguousarray(masks[:, 5:])),
        position_ids=tensor(positions[:, 5:]),
        past_key_values=first.past_key_values,
        use_cache=False,
    )
    assert second.past_key_values is None
    found = np.concatenate([as_numpy(first.logits), as_numpy(second.logits)], 1)
    assert np.abs(found - expected).max() <= 5e-6


# --- what is kept, and when -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def natives(peers):
    """Package → its causal model."""
    folder = peers(HEAD)[1]
    return {
        "torch": bertx_torch.BertLMHeadModel.from_pretrained(folder),
        "tensorflow": bertx_tensorflow.TFBertLMHeadModel.from_pretrained(folder),
        "jax": bertx_jax.FlaxBertForCausalLM.from_pretrained(folder),
    }


@pytest.mark.parametrize("framework", ["torch", "tensorflow", "jax"])
def test_a_cache_is_kept_where_4_57_kept_one(natives, framework):
    model, tensor = natives[framework], get_backend(framework).tensor
    inputs = {name: tensor(value) for name, value in batch(HEAD, None).items()}
    kept = framework != "jax"  # FlaxBert asks for one, and its config does not
    assert ("past_key_values" in model(**inputs)) == kept
    assert "past_key_values" not in model(**inputs, use_cache=False)
    assert "past_key_values" in model(**inputs, use_cache=True)
    assert len(model(**inputs, return_dict=False)) == 1 + kept
    outputs = model(**inputs, labels=tensor(labels(HEAD)["labels"]), use_cache=True)
    assert list(outputs) == ["loss", "logits"]
    assert "past_key_values" in model.bert(**inputs, use_cache=True)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_loaded_model_gives_none(peers, loaded, backend):
    found = loaded(peers(HEAD)[1], backend=backend).forward(**batch(HEAD, None))
    assert list(found) == ["logits"]


@pytest.mark.parametrize("framework", ["torch", "tensorflow", "jax"])
def test_what_does_not_fit_is_an_error(peers, natives, framework):
    model, tensor = natives[framework], get_backend(framework).tensor
    ids = tensor(batch(HEAD, None)["input_ids"])
    past = model(ids, use_cache=True).past_key_values
    with pytest.raises(ValueError, match="attention_mask has 13 positions, expected 26, 13 of them past"):
        model(ids, attention_mask=tensor(np.ones((BATCH, LENGTH), np.int64)), past_key_values=past)
    past = model(ids, past_key_values=past, use_cache=True).past_key_values
    with pytest.raises(ValueError, match="the sequence has 39 positions, max_position_embeddings is 37"):
        model(ids, past_key_values=past)
    encoder = type(model.bert).from_pretrained(peers("BertModel")[1])
    with pytest.raises(ValueError, match="past_key_values need a decoder, and is_decoder is false"):
        encoder(ids, past_key_values=past)
    assert encoder(ids, use_cache=True).past_key_values is None


# --- compiled -------------------------------------------------------------------------------------


def test_in_a_jitted_step(natives):
    import jax

    model, inputs = natives["jax"], batch(HEAD, None)
    step = jax.jit(lambda params, batch: model.apply(params, batch | {"use_cache": True}))
    first = step(model.params, {"input_ids": inputs["input_ids"][:, :5]})
    second = step(model.params, {"input_ids": inputs["input_ids"][:, 5:], "past_key_values": first.past_key_values})
    expected = model(inputs["input_ids"]).logits
    assert np.abs(np.concatenate([first.logits, second.logits], 1) - expected).max() <= 5e-6


def test_in_one_graph_for_all_lengths(natives):
    import tensorflow as tf

    model, ids = natives["tensorflow"], batch(HEAD, None)["input_ids"].astype(np.int32)
    heads, size = SIZES["num_attention_heads"], SIZES["hidden_size"] // SIZES["num_attention_heads"]
    part = tf.TensorSpec([None, heads, None, size])
    past = tuple((part, part) for _ in range(SIZES["num_hidden_layers"]))

    @tf.function(input_signature=[tf.TensorSpec([None, None], tf.int32), past])
    def step(ids, past):
        outputs = model(ids, past_key_values=past, use_cache=True)
        return outputs.logits, outputs.past_key_values

    none = tuple((tf.zeros([BATCH, heads, 0, size]),) * 2 for _ in range(SIZES["num_hidden_layers"]))
    found, past = [], none
    for start, end in ((0, 5), (5, 6), (6, LENGTH)):
        logits, past = step(ids[:, start:end], past)
        found.append(logits)
    assert np.abs(np.concatenate(found, 1) - model(ids).logits).max() <= 5e-6
    assert step.experimental_get_tracing_count() == 1


def test_in_one_graph_of_torch(natives):
    model, ids = natives["torch"], torch.from_numpy(batch(HEAD, None)["input_ids"])
    step = torch.compile(model, fullgraph=True, dynamic=True, backend="eager")
    with torch.no_grad():
        past, found = None, []
        for start, end in ((0, 5), (5, 6), (6, LENGTH)):
            outputs = step(ids[:, start:end], past_key_values=past)
            past = outputs.past_key_values
            found.append(outputs.logits)
        assert (torch.cat(found, 1) - model(ids).logits).abs().max() <= 5e-6


# --- the Trainer's loss ---------------------------------------------------------------------------


@pytest.mark.parametrize("framework", ["torch", "tensorflow", "jax"])
def test_a_batch_in_parts_has_the_loss_of_the_whole(natives, framework):
    """As the Trainer has it: each part's sum over what is counted in all of them."""
    model, tensor = natives[framework], get_backend(framework).tensor
    inputs = batch(HEAD, None) | labels(HEAD)
    inputs["labels"][:2, 5:] = -100  # the parts do not count alike
    count = int((inputs["labels"][:, 1:] != -100).sum())
    whole = model(**{name: tensor(value) for name, value in inputs.items()}).loss
    parts = [
        model(**{name: tensor(value[rows]) for name, value in inputs.items()}, num_items_in_batch=count).loss
        for rows in (slice(0, 2), slice(2, None))
    ]
    assert as_numpy(parts[0]).shape == as_numpy(whole).shape
    assert np.abs(sum(as_numpy(part) for part in parts) - as_numpy(whole)).max() <= 1e-6
