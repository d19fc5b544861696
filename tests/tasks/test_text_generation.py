from __future__ import annotations

import numpy as np
import pytest
import torch
import transformers

import bertx
from bertx.generation.sampling import truncated
from bertx.hub.sources import resolve
from bertx_numpy.layers.attention import SelfOutput
from conftest import MINILM
from support import BACKENDS

PROMPTS = ["The happy dog", "", "Once upon a time there was a king who", "a"]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """all-MiniLM made causal, with a seeded head; each token likely to be followed by another."""
    folder = tmp_path_factory.mktemp("text_generation")
    torch.manual_seed(0)
    model = transformers.BertLMHeadModel.from_pretrained(resolve(MINILM), is_decoder=True).eval()
    torch.nn.init.normal_(model.cls.predictions.transform.dense.weight, 0, 0.2)
    torch.nn.init.normal_(model.cls.predictions.bias, 0, 0.5)
    model.save_pretrained(folder)
    tokenizer = transformers.AutoTokenizer.from_pretrained(resolve(MINILM))
    tokenizer.save_pretrained(folder)
    return model, tokenizer, folder


@pytest.mark.parametrize("backend", BACKENDS)
def test_greedy_gives_the_tokens_of_transformers(checkpoint, loaded, backend):
    model, tokenizer, folder = checkpoint
    mine = loaded(folder, backend=backend)(PROMPTS, max_new_tokens=12)
    for prompt, found in zip(PROMPTS, mine, strict=True):
        ids = [tokenizer.cls_token_id, *tokenizer(prompt, add_special_tokens=False)["input_ids"]]
        expected = model.generate(
            torch.tensor([ids]), max_new_tokens=12, do_sample=False, eos_token_id=tokenizer.sep_token_id, pad_token_id=0
        )
        assert found["tokens"] == expected[0, len(ids) :].tolist()
        assert found["generated_text"].startswith(prompt)
    assert len({tuple(found["tokens"]) for found in mine}) == len(PROMPTS)


def test_a_seed_reproduces_and_another_does_not(checkpoint, loaded):
    model = loaded(checkpoint[2], backend="numpy")
    options = {"do_sample": True, "max_new_tokens": 8}
    first = model(PROMPTS, seed=1, **options)
    assert model(PROMPTS, seed=1, **options) == first
    assert model(PROMPTS, seed=2, **options) != first
    # What a prompt gives does not depend on the others in its batch.
    assert [model(prompt, seed=1, **options) for prompt in PROMPTS] == first
    assert model(PROMPTS, top_k=1, **options) == model(PROMPTS, max_new_tokens=8)
    assert model(PROMPTS, top_p=1e-9, **options) == model(PROMPTS, max_new_tokens=8)
    assert model(PROMPTS, temperature=1e-6, **options) == model(PROMPTS, max_new_tokens=8)


def test_each_place_is_computed_once(checkpoint, loaded, monkeypatch):
    """The prompts, and then the token that each row was given last."""
    rows, forward = [], SelfOutput.forward

    def spy(self, hidden_states, residual):
        rows.append(hidden_states[..., 0].size)
        return forward(self, hidden_states, residual)

    model = loaded(checkpoint[2], backend="numpy")
    monkeypatch.setattr(SelfOutput, "forward", spy)
    prompts = ["The happy dog", "Once upon a time there was a king who"]
    found = model(prompts, max_new_tokens=6)
    longest = max(len(model.tokenizer(prompt)["input_ids"]) for prompt in prompts) - 1  # without [SEP]
    steps = [sum(len(row["tokens"]) > i for row in found) for i in range(1, 6)]
    assert rows[:: model.config.num_hidden_layers] == [2 * longest, *[step for step in steps if step]]


def test_a_row_that_ends_leaves_the_others_as_they_are(checkpoint, loaded, tmp_path):
    """Its keys and values go, and none of another's."""
    folder = checkpoint[2]
    mine = loaded(folder, backend="numpy")
    second = mine(PROMPTS[0], max_new_tokens=2)["tokens"][1]
    mine.save(tmp_path)
    config = bertx.BertConfig.from_pretrained(folder).replace(eos_token_id=second)
    (tmp_path / "config.json").write_text(config.to_json_string())
    model = bertx.load(tmp_path, backend="numpy")
    found = model(PROMPTS, max_new_tokens=12)
    assert found == [model(prompt, max_new_tokens=12) for prompt in PROMPTS]
    lengths = {prompt: len(one["tokens"]) for prompt, one in zip(PROMPTS, found, strict=True)}
    # One in the middle of the batch, which begins with the longest, and more than one go on.
    assert lengths[PROMPTS[0]] == 2 and sorted(lengths.values())[1] > 4


@pytest.mark.parametrize("backend", BACKENDS)
def test_one_prompt_through_all_positions(checkpoint, loaded, tmp_path, backend):
    """Past every step in which the places for keys and values grow, to the last position."""
    _, tokenizer, folder = checkpoint
    config = bertx.BertConfig.from_pretrained(folder)
    loaded(folder, backend="numpy").save(tmp_path)
    (tmp_path / "config.json").write_text(config.replace(eos_token_id=tokenizer.pad_token_id).to_json_string())
    model = transformers.BertLMHeadModel.from_pretrained(tmp_path).eval()
    ids = torch.tensor([[tokenizer.cls_token_id, *tokenizer("A dog", add_special_tokens=False)["input_ids"]]])
    expected = model.generate(ids, max_new_tokens=120, do_sample=False, eos_token_id=-1, pad_token_id=0)
    found = bertx.load(tmp_path, backend=backend)("A dog", max_new_tokens=120)["tokens"]
    assert found == expected[0, ids.shape[1] :].tolist()


@pytest.mark.parametrize(("top_k", "top_p"), [(3, None), (None, 0.6), (4, 0.7), (50, 1.0)])
def test_what_is_drawn_from_is_that_of_transformers(top_k, top_p):
    logits = torch.tensor(np.random.default_rng(0).normal(0, 2, (1, 40)))
    warpers = []
    if top_k is not None:
        warpers.append(transformers.TopKLogitsWarper(top_k))
    if top_p is not None:
        warpers.append(transformers.TopPLogitsWarper(top_p))
    warped = logits
    for warper in warpers:
        warped = warper(None, warped)
    found = truncated(logits.softmax(-1)[0].numpy(), top_k, top_p)
    np.testing.assert_allclose(found, warped.softmax(-1)[0].numpy(), atol=1e-12)


def test_it_stops_at_the_end_token_and_where_the_positions_end(checkpoint, loaded, tmp_path):
    folder = checkpoint[2]
    mine = loaded(folder, backend="numpy")
    long = "dog " * 508
    assert len(mine(long, max_new_tokens=50)["tokens"]) == 3
    with pytest.raises(ValueError, match="input 1 has 601 tokens, the model 512 positions"):
        mine(["dog", "dog " * 600])
    second = mine("The happy dog", max_new_tokens=5)["tokens"][1]
    config = bertx.BertConfig.from_pretrained(folder).replace(eos_token_id=second)
    bertx.load(folder, backend="numpy").save(tmp_path)
    (tmp_path / "config.json").write_text(config.to_json_string())
    assert bertx.load(tmp_path, backend="numpy")("The happy dog", max_new_tokens=5)["tokens"][-1] == second


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_new_tokens": 0}, "max_new_tokens is 0, expected at least 1"),
        ({"temperature": 0}, "temperature is 0"),
        ({"top_k": 0}, "top_k is 0"),
        ({"top_p": 1.5}, "top_p is 1.5"),
    ],
)
def test_options_outside_their_range(checkpoint, loaded, options, message):
    with pytest.raises(ValueError, match=message):
        loaded(checkpoint[2], backend="numpy")("text", **options)


def test_a_model_that_is_not_causal_is_refused(loaded):
    with pytest.warns(UserWarning, match="initialised"):
        model = bertx.load(MINILM, task="text-generation", backend="numpy")
    with pytest.raises(ValueError, match="needs a causal model"):
        model("text")
