"""Keys and values stay on the device, in memory that is written in place; BackendSuite tests what is computed."""

from __future__ import annotations

import numpy as np
import pytest

import bertx
from bertx.backend import get_backend
from bertx.generation import GenerationConfig, generate, slots
from bertx.testing import build, config_of, oracle
from support import BACKENDS, SIZES

HEAD = "BertLMHeadModel"
ROBERTA = "RobertaForCausalLM"
PROMPTS = [[5, 6, 7, 8], [9], [10, 11]]
IDS, LENGTHS = np.array([[5, 6, 7, 8], [0, 0, 0, 9], [0, 0, 10, 11]]), np.array([4, 1, 2])


@pytest.fixture(scope="module", params=BACKENDS)
def model(request):
    return build(get_backend(request.param), HEAD, "float32")


def alone(prompt, count, architecture=HEAD, **changes):
    """The tokens that the oracle gives a prompt, all positions computed for each."""
    model = oracle(architecture) if not changes else build(get_backend("numpy"), architecture, "float64", **changes)
    ids = list(prompt)
    while len(ids) < len(prompt) + count:
        positions = np.arange(len(ids))[None] + model.config.first_position
        ids.append(int(model.forward(input_ids=[ids], position_ids=positions)["logits"][0, -1].argmax()))
    return ids[len(prompt) :]


def continued(decoder, prompts, count, positions, ends=(), **options):
    config = GenerationConfig(max_new_tokens=count, eos_token_id=[*ends], **options)
    return [found[0].tokens for found in generate(decoder, prompts, config, positions=positions)]


def buffers(cache):
    return [part for pair in cache.layers for part in pair]


def test_nothing_goes_through_forward(model, monkeypatch):
    """Which gives NumPy arrays of all keys and values."""
    monkeypatch.setattr(type(model._backend), "forward", lambda *_: pytest.fail("through the host"))
    found = continued(model.decoder, PROMPTS, 6, 37)
    monkeypatch.undo()
    assert found == [alone(prompt, 6) for prompt in PROMPTS]


@pytest.mark.parametrize("backend", BACKENDS)
def test_positions_of_roberta(backend):
    found = continued(build(get_backend(backend), ROBERTA, "float32").decoder, PROMPTS, 6, 35)
    assert found == [alone(prompt, 6, ROBERTA) for prompt in PROMPTS]


@pytest.mark.parametrize("kind", ["relative_key", "relative_key_query"])
@pytest.mark.parametrize("backend", BACKENDS)
def test_relative_positions(backend, kind):
    config = config_of(HEAD, position_embedding_type=kind)
    size = SIZES["hidden_size"] // SIZES["num_attention_heads"]
    shape = (2 * SIZES["max_position_embeddings"] - 1, size)
    name = "bert.encoder.layer.{}.attention.self.distance_embedding.weight"
    values = {
        name.format(i): np.random.default_rng(i).normal(0, 0.5, shape).astype(np.float32)
        for i in range(SIZES["num_hidden_layers"])
    }
    mine = build(get_backend(backend), HEAD, "float32", config, **values)
    reference = build(get_backend("numpy"), HEAD, "float64", config, **values)
    # The longest row leaves first, and with it positions to the left of the others.
    expected = [continued(reference.decoder, [prompt], 40, 37)[0] for prompt in PROMPTS]
    assert continued(mine.decoder, PROMPTS, 40, 37) == expected
    assert expected[0][:3] == alone(PROMPTS[0], 3, config=config, **values)
    assert [len(tokens) for tokens in expected] == [33, 36, 35]


def test_what_is_drawn_depends_on_the_seed_and_the_prompt():
    decoder = oracle(HEAD).decoder
    logits, _ = decoder.prefill(IDS, LENGTHS, False)
    for seed in range(5):
        found = continued(decoder, PROMPTS, 1, 37, do_sample=True, temperature=2.0, top_k=50, seed=seed)
        drawn = []
        for row, prompt in zip(logits, PROMPTS, strict=True):
            kept = np.where(row < np.sort(row)[-50], 0, np.exp(row / 2))
            drawn.append(np.random.default_rng([seed, *prompt]).choice(len(row), p=kept / kept.sum()))
        assert found == [[token] for token in drawn]


def test_only_what_follows_comes_back(model):
    greedy, _ = model.decoder.prefill(IDS, LENGTHS, True)
    logits, _ = model.decoder.prefill(IDS, LENGTHS, False)
    assert (type(greedy), greedy.shape, greedy.dtype.kind) == (np.ndarray, (3,), "i")
    assert (type(logits), logits.shape, logits.dtype) == (np.ndarray, (3, SIZES["vocab_size"]), np.float32)


def test_a_step_writes_in_place(model):
    decoder = model.decoder
    tokens, cache = decoder.prefill(IDS, LENGTHS, True)
    before = buffers(cache)
    addresses = [_address(buffer) for buffer in before]
    for _ in range(3):
        tokens = decoder.step(tokens, cache, True)
    assert [_address(buffer) for buffer in buffers(cache)] == addresses
    assert {np.asarray(buffer).shape[2] for buffer in buffers(cache)} == {cache.capacity} == {37}


def _address(buffer):
    """Of the memory; a variable of TensorFlow's keeps its own unless someone else reads it too."""
    if hasattr(buffer, "unsafe_buffer_pointer"):
        return buffer.unsafe_buffer_pointer()
    if hasattr(buffer, "data_ptr"):
        return buffer.data_ptr()
    return id(buffer) if hasattr(buffer, "assign") else buffer.ctypes.data


def test_rows_that_come_twice_have_memory_of_their_own(model):
    decoder = model.decoder
    _, cache = decoder.prefill(IDS, LENGTHS, False)
    cache = cache.select([1, 1, 0])
    decoder.step(np.array([20, 30, 40]), cache, False)
    found = decoder.step(np.array([21, 31, 41]), cache, False)
    for row, logits in zip(([9, 20, 21], [9, 30, 31], [5, 6, 7, 8, 40, 41]), found, strict=True):
        assert np.abs(logits - oracle(HEAD).forward(input_ids=[row])["logits"][0, -1]).max() <= 4e-6


def test_buffers_grow(model, monkeypatch):
    monkeypatch.setattr(slots, "LEAST_CAPACITY", 2)
    sizes, move = [], type(model.decoder).move
    monkeypatch.setattr(type(model.decoder), "move", lambda *args: sizes.append(args[-1]) or move(*args))
    assert continued(model.decoder, PROMPTS, 30, 37) == [alone(prompt, 30) for prompt in PROMPTS]
    assert sizes == [8, 16, 32, 37]


def test_positions_that_no_row_needs_go(model):
    _, cache = model.decoder.prefill(IDS, LENGTHS, True)
    assert (cache.length, cache.starts.tolist()) == (4, [0, 3, 2])
    cache = cache.select([2, 1])
    assert (cache.length, cache.starts.tolist()) == (2, [0, 1])


def test_what_is_compiled_or_traced():
    """JAX: a step for each power of two of rows and each capacity. TensorFlow: one graph for all."""
    from bertx_jax import decode

    jax = build(get_backend("jax"), HEAD, "float32")
    prompts = [[i + 5] for i in range(7)]
    greedy = continued(jax.decoder, prompts, 9, 37)
    ends = {greedy[0][2], greedy[3][5]}  # rows leave on the way
    before = decode._compiled.cache_info().misses
    found = continued(jax.decoder, prompts, 9, 37, ends)
    assert len({len(row) for row in found}) > 1
    assert decode._compiled.cache_info().misses - before <= 3  # of 4, 2 and 1 rows

    tensorflow = build(get_backend("tensorflow"), HEAD, "float32")
    assert continued(tensorflow.decoder, prompts, 9, 37, ends) == found
    assert continued(tensorflow.decoder, PROMPTS, 3, 37) == [alone(prompt, 3) for prompt in PROMPTS]
    graphs = [graph for key, graph in tensorflow.module._bertx_graphs.items() if key[0] == "decode"]
    assert [graph.experimental_get_tracing_count() for graph in graphs] == [1, 1]


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("backend", ["torch", "jax", "tensorflow"])
def test_half_precision(backend, dtype):
    model = build(get_backend(backend), HEAD, dtype)
    found, cache = model.decoder.prefill(IDS, LENGTHS, False)
    assert found.dtype == np.float32
    assert {str(buffer.dtype).rpartition(".")[2].strip("'>") for buffer in buffers(cache)} <= {
        dtype,
        f"<dtype: '{dtype}",
    }
    found = model.decoder.step(np.array([20, 30, 40]), cache, False)
    rows = [[5, 6, 7, 8, 20], [9, 30], [10, 11, 40]]
    expected = [oracle(HEAD).forward(input_ids=[row])["logits"][0, -1] for row in rows]
    assert np.abs(found - expected).max() < 0.1


def test_a_backend_that_has_none_says_so(tmp_path):
    numpy = get_backend("numpy")

    class Plain(type(numpy)):
        name = "plain"
        decoder = bertx.backend.Backend.decoder

    with pytest.raises(ValueError, match="the plain backend generates no text"):
        build(Plain(), HEAD, "float32").decoder  # noqa: B018
