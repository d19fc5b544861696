"""Prompts, continued token by token until each has ended: greedy search, sampling and beam search."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..backend import Decoder
from ..tasks.scores import softmax
from .beams import Beams
from .config import GenerationConfig
from .processors import check_ids, processors_of, warpers_of
from .rows import Ends, Rows


@dataclass(frozen=True)
class Continuation:
    """What follows a prompt.

    Attributes:
        tokens: the ids that were added.
        score: of beam search: the sum of their log-probabilities, divided by their number to the `length_penalty`.
    """

    tokens: list[int]
    score: float | None = None


def generate(
    decoder: Decoder,
    prompts: Sequence[Sequence[int]],
    config: GenerationConfig,
    *,
    positions: int | None = None,
    tokenizer: Any = None,
    pad: int = 0,
    texts: Sequence[Sequence[int]] | None = None,
) -> list[list[Continuation]]:
    """The continuations of each prompt, `num_return_sequences` of them, the best first.

    A prompt is given what transformers' `generate` gives it alone, whatever the others are: none is padded for the
    options, which count its own tokens.

    Args:
        decoder: of the model, or one that reads prompts with something else, such as an encoder's states.
        prompts: rows of ids, each of at least one.
        config: how tokens are chosen; its `eos_token_id` ends a row.
        positions: how many tokens the model takes.
        tokenizer: for `stop_strings`.
        pad: fills shorter prompts on their left, where nothing reads it.
        texts: the ids that the decoder has encoded for each prompt; None: it has no encoder.

    Raises:
        ValueError: an empty prompt, one that leaves no room for a token, ids that the vocabulary does not have, or
            `stop_strings` without a tokenizer.
    """
    if not prompts:
        return []
    rows, ends = _begin(prompts, config, positions, tokenizer, texts)
    given = _given(prompts, texts)
    if config.num_beams > 1:
        generators = _generators(config, given, 1)
        found = Beams(decoder, rows, ends, config, generators).search(pad)
        return [[Continuation(tokens, score) for tokens, score in best] for best in found]
    added: list[list[int]] = [[] for _ in range(len(prompts) * config.num_return_sequences)]
    for row, token in _tokens(decoder, rows, ends, config, _generators(config, given, config.copies), pad):
        added[row].append(token)
    count = config.num_return_sequences
    return [[Continuation(tokens) for tokens in added[i : i + count]] for i in range(0, len(added), count)]


def stream(
    decoder: Decoder,
    prompt: Sequence[int],
    config: GenerationConfig,
    *,
    positions: int | None = None,
    tokenizer: Any = None,
    text: Sequence[int] | None = None,
) -> Iterator[int]:
    """The tokens that follow a prompt, each as soon as it is known; arguments as of `generate`, `text` one of `texts`.

    Raises:
        ValueError: as `generate`; or beams or several continuations are wanted, which are known at the end only.
    """
    if config.copies > 1:
        raise ValueError(
            f"num_beams is {config.num_beams} and num_return_sequences {config.num_return_sequences}: only one "
            "continuation can be streamed, without beams: give num_beams=1 and num_return_sequences=1"
        )
    texts = None if text is None else [text]
    rows, ends = _begin([prompt], config, positions, tokenizer, texts)
    generators = _generators(config, _given([prompt], texts), 1)
    return (token for _, token in _tokens(decoder, rows, ends, config, generators, 0))


def _given(prompts: Sequence[Sequence[int]], texts: Sequence[Sequence[int]] | None) -> list[list[int]]:
    """All the ids that a continuation depends on, of each prompt."""
    return [[*prompt, *text] for prompt, text in zip(prompts, texts or [()] * len(prompts), strict=True)]


def _begin(
    prompts: Any, config: GenerationConfig, positions: int | None, tokenizer: Any, texts: Any
) -> tuple[Rows, Ends]:
    if not all(len(prompt) for prompt in prompts):
        raise ValueError("a prompt is empty: give each one token at least")
    rows = Rows(prompts, config, positions, texts)
    if full := [i for i, (length, limit) in enumerate(zip(rows.lengths, rows.limits, strict=True)) if length >= limit]:
        i = full[0]
        raise ValueError(
            f"prompt {i} has {rows.lengths[i]} tokens and at most {rows.limits[i]} with its continuation: shorten it, "
            "or give max_new_tokens or a larger max_length"
        )
    return rows, Ends(config, tokenizer)


def _generators(config: GenerationConfig, given: Sequence[Sequence[int]], count: int) -> list[np.random.Generator]:
    """For each row of each prompt one that depends on the seed, what is `given` and the number of the row alone."""
    if not config.do_sample:
        return []
    entropies = [[config.seed, *ids] for ids in given]
    return [
        np.random.default_rng(np.random.SeedSequence(entropy, spawn_key=(i,) if i else ()))
        for entropy in entropies
        for i in range(count)
    ]


def _tokens(
    decoder: Decoder,
    rows: Rows,
    ends: Ends,
    config: GenerationConfig,
    generators: Sequence[np.random.Generator],
    pad: int,
) -> Iterator[tuple[int, int]]:
    """Yields (row, token) as they are chosen, one token of each row that has not ended after the other."""
    choose = _chooser(config, generators)
    found, cache = decoder.prefill(rows.padded(pad), rows.lengths, choose is None)
    if choose is not None:
        check_ids(config, found.shape[1])
    going = np.arange(len(found))
    if config.copies > 1:
        expanded = going.repeat(config.copies)
        rows, found, cache = rows.select(expanded), found[expanded], cache.select(expanded.tolist())
        going = np.arange(len(expanded))
    while True:
        tokens = found if choose is None else choose(rows, found, going)
        yield from zip(going.tolist(), tokens.tolist(), strict=True)
        still = np.flatnonzero(~ends(rows, tokens))
        if not len(still):
            return
        if len(still) < len(going):
            cache, rows, tokens, going = cache.select(still.tolist()), rows.select(still), tokens[still], going[still]
        rows.append(tokens)
        found = decoder.step(tokens, cache, choose is None)


def _chooser(
    config: GenerationConfig, generators: Sequence[np.random.Generator]
) -> Callable[[Rows, np.ndarray, np.ndarray], np.ndarray] | None:
    """What chooses tokens [R] by logits [R, V], of rows of these numbers; None where the likeliest are wanted as is."""
    processors = [*processors_of(config), *warpers_of(config)]
    if not config.do_sample:
        if not processors_of(config):
            return None  # log-probabilities have the order of logits
        return lambda rows, logits, going: _processed(processors, rows, logits).argmax(1)

    def draw(rows: Rows, logits: np.ndarray, going: np.ndarray) -> np.ndarray:
        probabilities = softmax(_processed(processors, rows, logits.astype(np.float64)))
        drawn = [generators[i].choice(len(p), p=p) for i, p in zip(going, probabilities, strict=True)]
        return np.array(drawn)

    return draw


def _processed(processors: Sequence[Any], rows: Rows, scores: np.ndarray) -> np.ndarray:
    for process in processors:
        scores = process(rows, scores)
    return scores
