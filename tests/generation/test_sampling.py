"""What is drawn from is what transformers draws from; what is drawn follows its probabilities."""

from __future__ import annotations

import numpy as np
import pytest
import reference
import torch
import transformers
from reference import SEP, prompts_of
from scipy.stats import chisquare

import bertx
from bertx.generation import GenerationConfig, generate, processors
from bertx.generation.beams import _drawn
from bertx.generation.rows import Rows
from support import save_peer

OPTIONS = [
    {"temperature": 0.4},
    {"top_k": 1},
    {"top_k": 7},
    {"top_k": 500},
    {"top_p": 0.6},
    {"top_p": 1e-6},
    {"top_p": 1.0},
    {"min_p": 0.2},
    {"min_p": 1.0},
    {"typical_p": 0.3},
    {"typical_p": 0.95},
    {"temperature": 2.5, "top_k": 30, "top_p": 0.8, "min_p": 0.02, "typical_p": 0.9, "renormalize_logits": True},
]


@pytest.fixture(scope="module")
def peer():
    return reference.peer()


@pytest.fixture(scope="module")
def decoder(peer, tmp_path_factory):
    folder = save_peer(peer, tmp_path_factory.mktemp("sampling"))
    return bertx.load(folder, backend="numpy", dtype="float64").decoder


def theirs(model, options, ids, ends=(SEP,)):
    """transformers' own processors for these options, in its order."""
    config = transformers.GenerationConfig(**{"top_k": None, "num_beams": 1} | options, do_sample=True)
    config._eos_token_tensor = torch.tensor(ends)
    return model._get_logits_processor(config, ids.shape[1], ids, device="cpu")


@pytest.mark.parametrize("beams", [1, 3])
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_what_is_drawn_from(peer, options, beams):
    """Ties and scores that are out already among it."""
    generator = np.random.default_rng(3)
    scores = generator.normal(0, 3, (6, 61))
    scores[1, 5:20] = scores[1, 4]
    scores[2, 10:] = -np.inf
    ids = torch.from_numpy(generator.integers(4, 61, (6, 5)))
    options = options | {"num_beams": beams}
    expected = theirs(peer, options, ids)(ids, torch.from_numpy(scores)).numpy()
    config = GenerationConfig(**options, do_sample=True, eos_token_id=SEP)
    rows = Rows(ids.tolist(), config, None)
    found = scores
    for process in [*processors.processors_of(config), *processors.warpers_of(config)]:
        before = found.copy()
        result = process(rows, found)
        assert np.array_equal(found, before)  # what it is given it leaves as it is
        found = result
    assert np.array_equal(found == -np.inf, expected == -np.inf)
    np.testing.assert_allclose(found[found > -np.inf], expected[expected > -np.inf], atol=1e-12)


@pytest.mark.parametrize("width", [1, 2, 3, 12])
def test_processors_on_rows_of_any_kind(peer, width):
    """Few different tokens, so that n-grams and words come again."""
    generator = np.random.default_rng(width)
    ids = torch.from_numpy(generator.integers(4, 8, (50, width)))
    scores = torch.from_numpy(generator.normal(0, 3, (50, 61)))
    for options in (
        *({"no_repeat_ngram_size": size} for size in (1, 2, 3, 4)),
        {"repetition_penalty": 0.5},
        {"bad_words_ids": [[4, 5], [5], [6, 7, 4], [7, 7, 7, 7], [SEP]]},
        {"min_length": 3},
        {"forced_bos_token_id": 9, "begin_suppress_tokens": [9, 10]},
        {"suppress_tokens": [4, 60]},
    ):
        expected = theirs(peer, options | {"temperature": 1.0}, ids)(ids, scores.clone()).numpy()
        config = GenerationConfig(**options, eos_token_id=SEP)
        rows, mine = Rows(ids.tolist(), config, None), scores.numpy()
        for process in processors.processors_of(config):
            mine = process(rows, mine)
        assert np.array_equal(mine, expected), options


def test_rows_of_different_lengths_are_as_alone():
    generator = np.random.default_rng(0)
    prompts = [generator.integers(4, 8, length).tolist() for length in (1, 2, 3, 9, 14)]
    scores = generator.normal(size=(5, 61))
    config = GenerationConfig(
        no_repeat_ngram_size=2, repetition_penalty=1.3, bad_words_ids=[[4, 5], [4, 5, 6]], min_length=4, eos_token_id=3
    )
    for process in processors.processors_of(config):
        together = process(Rows(prompts, config, None), scores)
        for i, prompt in enumerate(prompts):
            assert np.array_equal(together[i], process(Rows([prompt], config, None), scores[i : i + 1])[0])


def test_draws_follow_the_probabilities(decoder):
    """And those of the rows of one prompt are independent."""
    logits = decoder.prefill(np.array([[2, 5]]), np.array([2]), False)[0][0]
    kept = np.argsort(-logits)[:6]
    probabilities = np.exp(logits[kept] / 3) / np.exp(logits[kept] / 3).sum()
    config = GenerationConfig(
        do_sample=True, temperature=3.0, top_k=6, max_new_tokens=1, num_return_sequences=4000, eos_token_id=[]
    )
    (found,) = generate(decoder, [[2, 5]], config)
    counts = [sum(one.tokens == [token] for one in found) for token in kept]
    assert sum(counts) == 4000
    assert chisquare(counts, probabilities * 4000).pvalue > 1e-3


def test_what_is_drawn_depends_on_the_seed_the_prompt_and_the_number_of_the_row(decoder):
    options = {"do_sample": True, "max_new_tokens": 8, "eos_token_id": []}
    first = generate(decoder, prompts_of(4), GenerationConfig(**options, num_return_sequences=3))
    assert [[one[0]] for one in first] == generate(decoder, prompts_of(4), GenerationConfig(**options))
    assert first != generate(decoder, prompts_of(4), GenerationConfig(**options, num_return_sequences=3, seed=1))
    assert all(len({tuple(one.tokens) for one in of_prompt}) == 3 for of_prompt in first)


def test_beams_are_drawn_without_replacement():
    """As torch.multinomial draws them: the first by the probabilities, the second by those of what is left."""
    scores = np.log(np.array([0.5, 0.3, 0.15, 0.05, 0.0]) + 1e-300)
    scores[4] = -np.inf
    pairs = [tuple(_drawn(scores, 2, np.random.default_rng(seed)).tolist()) for seed in range(8000)]
    p = np.exp(scores)
    for i in range(4):
        for j in range(4):
            expected = 0 if i == j else p[i] * p[j] / (1 - p[i])
            assert abs(pairs.count((i, j)) / 8000 - expected) < 4 * np.sqrt(expected / 8000) + 1e-9


@pytest.mark.parametrize("temperature", [1e-6, 1e6])
@pytest.mark.parametrize("repetition_penalty", [0.001, 1000])
@pytest.mark.parametrize("length_penalty", [-100, 100])
@pytest.mark.filterwarnings("error")
def test_the_ends_of_what_numbers_may_be(peer, decoder, temperature, repetition_penalty, length_penalty):
    """Scores stay finite: outside, a request with a temperature of 1e-233 was an error of the server."""
    options = {"temperature": temperature, "repetition_penalty": repetition_penalty, "length_penalty": length_penalty}
    for beams in (1, 4):
        options |= {"do_sample": True, "num_beams": beams, "max_new_tokens": 12, "eos_token_id": [3]}
        for one in reference.found(decoder, prompts_of(10), options):
            assert all(tokens for tokens, _ in one)


def test_beam_sampling_without_freedom_is_beam_search(peer, decoder):
    """A temperature near 0 multiplies the scores, and their order is that of beam search at each step."""
    options = {"num_beams": 3, "max_new_tokens": 1, "eos_token_id": [], "num_return_sequences": 3}
    likeliest = reference.found(decoder, prompts_of(10), options)
    drawn = reference.found(decoder, prompts_of(10), options | {"do_sample": True, "temperature": 1e-4})
    assert [[t for t, _ in one] for one in drawn] == [[t for t, _ in one] for one in likeliest]
    several = reference.found(decoder, prompts_of(10), options | {"do_sample": True, "max_new_tokens": 6, "seed": 3})
    again = reference.found(decoder, prompts_of(10), options | {"do_sample": True, "max_new_tokens": 6, "seed": 3})
    assert several == again
    for one in several:
        assert [score for _, score in one] == sorted((score for _, score in one), reverse=True)
        assert len({tuple(tokens) for tokens, _ in one}) == 3
