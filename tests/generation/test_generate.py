"""Greedy and beam search: token for token what transformers' `generate` gives, in float64, of the same weights."""

from __future__ import annotations

import functools

import numpy as np
import pytest
import reference
from reference import SETTINGS, Watched, differing, expected, found, prompts_of

import bertx
from bertx.generation import GenerationConfig, beams, generate, loop, processors
from support import BACKENDS, save_peer

QUICK, FEW = 50, 14
# What float32 and float64 differ by in logits of these weights, with a margin.
NOISE = 3e-5
# What follows for the scores of the setting "short"; measured: 1.5e-5.
SHORT_SCORES = 2e-5


@pytest.fixture(scope="module")
def peer():
    return reference.peer()


@pytest.fixture(scope="module")
def folder(peer, tmp_path_factory):
    return save_peer(peer, tmp_path_factory.mktemp("generate"))


@pytest.fixture(scope="module")
def of(folder):
    """(backend, dtype) → the model."""
    return functools.cache(lambda backend, dtype="float64": bertx.load(folder, backend=backend, dtype=dtype))


@pytest.fixture(scope="module")
def exact(peer):
    """(number of prompts, name of a setting) → what transformers gives."""
    return functools.cache(lambda count, name: expected(peer, prompts_of(count), SETTINGS[name]))


def check_float64(of, exact, count, name):
    for backend in ("numpy", "torch"):
        assert differing(found(of(backend).decoder, prompts_of(count), SETTINGS[name]), exact(count, name)) == []


def check_float32(of, exact, backend, count, name, scores=True):
    """How many prompts have other tokens than in float64, none of them for another reason than the noise of logits."""
    prompts, decoder = prompts_of(count), of(backend, "float32").decoder
    mine = found(decoder, prompts, SETTINGS[name])
    wrong = differing(mine, exact(count, name), scores)
    for start in sorted({index // 64 * 64 for index in wrong}):
        # The loop is the same, so that what its decisions differ by is in the logits: in none by more than the noise.
        watched = Watched(decoder, of("numpy"))
        part = slice(start, start + 64)
        assert found(watched, prompts[part], SETTINGS[name]) == mine[part]
        assert 0 < watched.worst <= NOISE
    return len(wrong)


@pytest.mark.parametrize("name", SETTINGS)
def test_the_tokens_and_scores_of_transformers(of, exact, name):
    check_float64(of, exact, QUICK, name)


@pytest.mark.parametrize("backend", BACKENDS)
def test_float32(of, exact, backend):
    ties = {name: check_float32(of, exact, backend, FEW, name) for name in SETTINGS}
    assert sum(ties.values()) <= 2


@pytest.mark.slow
@pytest.mark.parametrize("name", SETTINGS)
def test_the_tokens_and_scores_of_transformers_of_1000_prompts(of, exact, name):
    check_float64(of, exact, 1000, name)


@pytest.mark.slow
@pytest.mark.parametrize("backend", BACKENDS)
def test_float32_of_1000_prompts(of, exact, backend):
    ties = {name: check_float32(of, exact, backend, 1000, name, scores=name != "short") for name in SETTINGS}
    print(backend, "ties that float32 cannot tell:", ties)
    assert sum(ties.values()) <= 0.001 * 1000 * len(SETTINGS)


@pytest.mark.slow
@pytest.mark.parametrize("backend", BACKENDS)
def test_float32_scores_of_short_ones_of_1000_prompts(of, exact, backend):
    """Sums that a negative length_penalty makes larger: a few are over 1e-5 off, and by what their logits are.

    Ten float32 logits of up to 9, each up to 1.6e-5 off, are what a score near -15 is made of; all else is float64.
    """
    prompts, decoder = prompts_of(1000), of(backend, "float32").decoder
    mine, theirs = found(decoder, prompts, SETTINGS["short"]), exact(1000, "short")
    others = set(differing(mine, theirs, scores=False))
    assert len(others) <= 1
    off = {i: mine[i][0][1] - theirs[i][0][1] for i in range(1000) if i not in others}
    assert max(map(abs, off.values())) <= SHORT_SCORES
    far = [i for i, difference in off.items() if abs(difference) > 1e-5]
    assert len(far) <= 10  # measured: 4 or 5
    for start in sorted({index // 64 * 64 for index in far}):
        watched, part = Watched(decoder, of("numpy")), prompts[start : start + 64]
        assert found(watched, part, SETTINGS["short"]) == mine[start : start + 64]
        for index in far:
            if start <= index < start + 64:
                tokens = mine[index][0][0]
                noise = [watched.noise(prompts[index] + tokens[:i], token) for i, token in enumerate(tokens)]
                least, most = np.sum(noise, 0) / len(tokens) ** SETTINGS["short"]["length_penalty"]
                assert least - 1e-9 <= off[index] <= most + 1e-9


def test_the_settings_say_something(exact):
    """Texts vary, end early and late, and each option changes them."""
    greedy, beams_of_4 = exact(QUICK, "greedy"), exact(QUICK, "beams")
    for of_setting in (greedy, beams_of_4):
        assert len({tuple(one[0][0]) for one in of_setting}) > QUICK // 2
        assert len({len(one[0][0]) for one in of_setting}) > 4
    for name in SETTINGS:
        others = [[one[0]] for one in exact(QUICK, name)]
        if name != "beams":
            assert [[t for t, _ in one] for one in others] != [[t for t, _ in one] for one in beams_of_4], name


@pytest.mark.parametrize("name", ["greedy", "penalty", "beams", "long", "never", "forced"])
def test_a_padded_batch_of_transformers(peer, of, name):
    """Where its options do not count padding."""
    prompts = prompts_of(20)
    assert (
        differing(found(of("numpy").decoder, prompts, SETTINGS[name]), expected(peer, prompts, SETTINGS[name], True))
        == []
    )


def test_a_prompt_is_given_the_same_alone(of):
    prompts = prompts_of(20)
    for options in (SETTINGS["all"], SETTINGS["two ends"], {"num_beams": 3, "do_sample": True}, {"do_sample": True}):
        together = found(of("numpy").decoder, prompts, options)
        alone = [found(of("numpy").decoder, [prompt], options)[0] for prompt in prompts]
        assert [[tokens for tokens, _ in one] for one in together] == [[tokens for tokens, _ in one] for one in alone]


def _changed(module, name, change):
    return lambda monkeypatch: monkeypatch.setattr(module, name, change(getattr(module, name)))


MUTANTS = {
    "length penalty": (
        "long",
        _changed(beams.Finished, "update", lambda update: lambda *given: update(*given[:-1], given[-1] + 0.3)),
    ),
    "length of the penalty": (
        "long",
        _changed(beams.Finished, "update", lambda update: _with_length_of_one_more(update)),
    ),
    "early stopping takes what is not full": (
        "long",
        _changed(beams.Beams, "_may_improve", lambda _: lambda self, running, finished, *_: ~finished.there.any(1)),
    ),
    "never is False": (
        "never",
        _changed(
            beams.Beams,
            "_may_improve",
            lambda improve: (
                lambda self, running, finished, length, rooms: improve(
                    self, running, finished, length, np.full_like(rooms, length)
                )
            ),
        ),
    ),
    "n-gram": (
        "ngrams",
        _changed(
            processors,
            "forbid_repeated_ngrams",
            lambda forbid: lambda rows, scores, size: forbid(rows, scores, size + 1),
        ),
    ),
    "n-gram of beams": (
        "beams of ngrams",
        _changed(
            processors,
            "forbid_repeated_ngrams",
            lambda forbid: lambda rows, scores, size: forbid(rows, scores, size - 1),
        ),
    ),
    "min_length": ("beams of ngrams", _changed(GenerationConfig, "least", lambda least: lambda *a: least(*a) - 1)),
    "min_new_tokens": ("penalty", _changed(GenerationConfig, "least", lambda least: lambda *a: least(*a) + 1)),
    "max_length": ("beams", _changed(GenerationConfig, "limit", lambda limit: lambda *a: limit(*a) - 1)),
    "repetition": (
        "penalty",
        _changed(
            processors,
            "penalize_repetition",
            lambda _: lambda rows, scores, penalty: np.where(scores < 0, scores * penalty, scores / penalty),
        ),
    ),
    "forced end": ("forced", _changed(processors, "force_last", lambda _: lambda rows, scores, tokens: scores)),
    "words": ("forbidden", _changed(processors, "forbid_words", lambda _: lambda rows, scores, words: scores)),
    "beams not reordered": (
        "beams",
        _changed(beams.Rows, "select", lambda select: lambda self, rows: select(self, np.sort(np.asarray(rows)))),
    ),
}


def _with_length_of_one_more(update):
    def changed(self, scores, parents, tokens, ended, rows, length, penalty):
        return update(self, scores * (length / (length + 1)) ** penalty, parents, tokens, ended, rows, length, penalty)

    return changed


@pytest.mark.parametrize("mutant", MUTANTS)
def test_a_mutant_fails(of, exact, monkeypatch, mutant):
    name, mutate = MUTANTS[mutant]
    mutate(monkeypatch)
    try:
        wrong = differing(found(of("numpy").decoder, prompts_of(QUICK), SETTINGS[name]), exact(QUICK, name))
    except AssertionError:
        return  # the scores differ
    assert wrong


# --- what is read, and what comes back ------------------------------------------------------------


class Spy(Watched):
    """Notes what is asked of a decoder."""

    def __init__(self, decoder, oracle):
        super().__init__(decoder, oracle)
        self.prompts, self.greedy = [], []

    def prefill(self, input_ids, lengths, greedy):
        self.prompts.append(input_ids.shape)
        self.greedy.append(greedy)
        return super().prefill(input_ids, lengths, greedy)

    def step(self, tokens, cache, greedy):
        self.greedy.append(greedy)
        return super().step(tokens, cache, greedy)


@pytest.mark.parametrize("name", ["beams", "two ends"])
def test_a_prompt_is_read_once_whatever_the_beams(of, name):
    """And a decoder may be any: its cache is only selected from."""
    spy = Spy(of("numpy").decoder, of("numpy"))
    prompts = prompts_of(9)
    found(spy, prompts, SETTINGS[name])
    assert spy.prompts == [(9, max(map(len, prompts)))]
    assert spy.worst <= 1e-10


def test_logits_stay_on_the_device_where_nothing_changes_them(of):
    spy = Spy(of("numpy").decoder, of("numpy"))
    found(spy, prompts_of(9), SETTINGS["greedy"])
    assert set(spy.greedy) == {True}
    found(spy, prompts_of(9), SETTINGS["greedy"] | {"renormalize_logits": True, "temperature": 0.5, "top_k": 3})
    assert set(spy.greedy) == {True}
    found(spy, prompts_of(9), SETTINGS["penalty"])
    assert set(spy.greedy) == {True, False}


def test_the_positions_of_the_model_end_a_row(of):
    prompts = [[5] * 38, [6] * 35, [7]]
    for options in ({"max_new_tokens": 30}, {"max_new_tokens": 30, "num_beams": 3}):
        rows = found(of("numpy").decoder, prompts, options | {"eos_token_id": []})
        assert [len(row[0][0]) for row in rows] == [2, 5, 30]


def test_what_cannot_be_continued_is_refused(of):
    decoder = of("numpy").decoder
    with pytest.raises(ValueError, match="prompt 1 has 6 tokens and at most 5 with its continuation"):
        generate(decoder, [[5], [5] * 6], GenerationConfig(max_length=5))
    with pytest.raises(ValueError, match="a prompt is empty"):
        generate(decoder, [[5], []], GenerationConfig())
    for options in ({}, {"num_beams": 2}):
        with pytest.raises(
            ValueError, match=r"bad_words_ids has \[61, 99\]; suppress_tokens has \[70\]: expected ids below"
        ):
            generate(decoder, [[5]], GenerationConfig(bad_words_ids=[[3, 99], [61]], suppress_tokens=[70], **options))
    with pytest.raises(ValueError, match="stop_strings needs a tokenizer"):
        generate(decoder, [[5]], GenerationConfig(stop_strings="a"))
    assert generate(decoder, [], GenerationConfig()) == []


def test_tokens_are_streamed_as_they_are_made(of):
    spy = Spy(of("numpy").decoder, of("numpy"))
    config = GenerationConfig(max_new_tokens=6, eos_token_id=[])
    tokens = loop.stream(spy, [5, 6], config)
    assert spy.greedy == []
    first = next(tokens)
    assert len(spy.greedy) == 1
    assert [first, *tokens] == generate(spy.decoder, [[5, 6]], config)[0][0].tokens
    with pytest.raises(ValueError, match="num_beams is 2 and num_return_sequences 1: only one continuation can be"):
        loop.stream(spy, [5], GenerationConfig(num_beams=2))
