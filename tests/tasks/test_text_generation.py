from __future__ import annotations

import re

import numpy as np
import pytest
import torch
import transformers

import bertx
from bertx.generation import GenerationConfig
from bertx.generation.processors import warpers_of
from bertx.generation.text import pieces
from bertx.hub.sources import resolve
from bertx.tokenizers.auto import read_tokenizer
from bertx.tokenizers.subwords import extended
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
    found = logits.numpy()
    for warper in warpers_of(GenerationConfig(do_sample=True, top_k=top_k, top_p=top_p)):
        found = warper(None, found)
    np.testing.assert_allclose(torch.tensor(found).softmax(-1)[0].numpy(), warped.softmax(-1)[0].numpy(), atol=1e-12)


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
        ({"max_new_tokens": 0}, "max_new_tokens is 0, expected an integer of at least 1"),
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


# --- beams, options of the checkpoint, text that ends it, streams ---------------------------------


@pytest.mark.parametrize("backend", BACKENDS)
def test_beam_search_gives_the_tokens_of_transformers(checkpoint, loaded, backend):
    model, tokenizer, folder = checkpoint
    options = {"num_beams": 3, "max_new_tokens": 8, "no_repeat_ngram_size": 2, "length_penalty": 0.5}
    mine = loaded(folder, backend=backend)(PROMPTS, num_return_sequences=2, **options)
    best = loaded(folder, backend=backend)(PROMPTS, **options)
    for prompt, found, first in zip(PROMPTS, mine, best, strict=True):
        ids = torch.tensor([[tokenizer.cls_token_id, *tokenizer(prompt, add_special_tokens=False)["input_ids"]]])
        expected = model.generate(
            ids,
            **options,
            num_return_sequences=2,
            eos_token_id=tokenizer.sep_token_id,
            return_dict_in_generate=True,
            output_scores=True,
        )
        lengths = (expected.beam_indices >= 0).sum(1).tolist()
        for one, row, length, score in zip(
            found, expected.sequences[:, ids.shape[1] :].tolist(), lengths, expected.sequences_scores, strict=True
        ):
            assert one["tokens"] == row[:length]
            assert one["score"] == pytest.approx(score.item(), abs=1e-5)
            assert one["generated_text"].startswith(prompt)
        assert first["tokens"] == found[0]["tokens"]


def test_a_checkpoints_own_options_count_unless_the_call_says_otherwise(checkpoint, loaded, tmp_path):
    source = loaded(checkpoint[2], backend="numpy")
    source.save(tmp_path / "saved")
    own = {"num_beams": 3, "max_new_tokens": 5, "no_repeat_ngram_size": 2, "eos_token_id": [102, 1012]}
    GenerationConfig(**own).save_pretrained(tmp_path / "saved")
    model = bertx.load(tmp_path / "saved", backend="numpy")
    assert model(PROMPTS) == source(PROMPTS, **own) != source(PROMPTS)
    assert model(PROMPTS, num_beams=1) == source(PROMPTS, **own | {"num_beams": 1})
    short, long = (model(PROMPTS[0], num_beams=1, eos_token_id=[], **option) for option in ({"max_length": 5}, {}))
    assert short["tokens"] == long["tokens"][:1]

    # They go where the model goes.
    model.save(tmp_path / "again")
    bertx.convert(tmp_path / "saved", tmp_path / "converted", "flax")
    for name in ("again", "converted"):
        assert GenerationConfig.from_pretrained(tmp_path / name) == GenerationConfig(**own)
    (tmp_path / "again" / "generation_config.json").write_text('{"num_beam": 3}')
    with pytest.raises(bertx.CheckpointError, match="num_beam is unknown, did you mean num_beams"):
        bertx.load(tmp_path / "again", backend="numpy")("text")


def test_prompts_as_long_as_max_length_are_refused_by_number(checkpoint, loaded):
    with pytest.raises(ValueError, match="input 1 has 5 tokens, and max_length is 5: shorten it, or raise max_length"):
        loaded(checkpoint[2], backend="numpy")(["dog", "dog " * 4], max_length=5)


@pytest.mark.parametrize("options", [{}, {"num_beams": 3}])
def test_text_that_ends_a_continuation(checkpoint, loaded, options):
    """Where transformers ends it: with the token that completes one of the strings, at its start or inside."""
    model, tokenizer, folder = checkpoint
    mine = loaded(folder, backend="numpy")
    whole = mine(PROMPTS, max_new_tokens=12, **options)
    words = [tokenizer.decode(one["tokens"][3:5]) for one in whole]
    stops = [words[0][1:-1], words[2][-3:], words[1][:2]]
    for prompt, before in zip(PROMPTS, whole, strict=True):
        found = mine(prompt, max_new_tokens=12, stop_strings=stops, **options)
        ids = torch.tensor([[tokenizer.cls_token_id, *tokenizer(prompt, add_special_tokens=False)["input_ids"]]])
        expected = model.generate(
            ids,
            max_new_tokens=12,
            stop_strings=stops,
            tokenizer=tokenizer,
            eos_token_id=tokenizer.sep_token_id,
            pad_token_id=0,
            **options,
        )[0, ids.shape[1] :].tolist()
        assert found["tokens"] == expected[: len(found["tokens"])]
        assert {*expected[len(found["tokens"]) :]} <= {0}
        if prompt == PROMPTS[0] and not options:
            assert len(found["tokens"]) < len(before["tokens"])


@pytest.mark.parametrize("options", [{}, {"do_sample": True, "seed": 4, "temperature": 2.0}])
def test_a_stream_gives_whole_words_and_in_all_the_text(checkpoint, loaded, options):
    model = loaded(checkpoint[2], backend="numpy")
    for prompt in PROMPTS:
        expected = model(prompt, max_new_tokens=20, **options)["generated_text"]
        pieces = list(model(prompt, stream=True, max_new_tokens=20, **options))
        assert prompt + "".join(pieces) == expected
        assert len(pieces) > 3
        text = prompt
        for piece in pieces[:-1]:
            text += piece
            # What follows begins another word; a Chinese character is one.
            assert expected[len(text)] == " " or ord(text[-1]) >= 0x3400


def test_what_cannot_be_streamed_is_refused(checkpoint, loaded):
    model = loaded(checkpoint[2], backend="numpy")
    with pytest.raises(TypeError, match="expected one text: stream=True gives that of one prompt"):
        model(PROMPTS, stream=True)
    with pytest.raises(ValueError, match="only one continuation can be streamed"):
        model("text", stream=True, num_beams=2)
    with pytest.raises(ValueError, match="input 0 has 601 tokens"):
        model("dog " * 600, stream=True)


def test_random_tokens_are_streamed_to_the_same_text():
    """Pieces of words, punctuation, English endings, Chinese characters."""
    tokenizer = read_tokenizer(resolve(MINILM))
    likely = tokenizer.convert_tokens_to_ids(re.split(" ", "don n ' t it ' s ' ve . , ! ? 中 国 ##ing"))
    generator = np.random.default_rng(0)
    ids = tokenizer("the dog", add_special_tokens=False)["input_ids"]
    for _ in range(200):
        tokens = generator.integers(0, len(tokenizer.get_vocab()), 25)
        tokens = np.where(generator.random(25) < 0.7, generator.choice(likely, 25), tokens).tolist()
        found = list(pieces(tokenizer, "the dog", ids, tokens))
        assert "the dog" + "".join(found) == extended(tokenizer, "the dog", ids, tokens)
        assert len(found) > 3
