"""Rows of tokens, continued until each has ended."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from ..backend import Decoder
from .sampling import Sampling


@dataclass(frozen=True)
class Limits:
    """Where a row ends.

    Attributes:
        ends: the tokens that end a row.
        max_new_tokens: how many are added at most.
        max_length: how many tokens a row may have in all.
    """

    ends: Collection[int]
    max_new_tokens: int
    max_length: int


def generate(
    decoder: Decoder,
    prompts: Sequence[Sequence[int]],
    limits: Limits,
    sampling: Sampling | None = None,
    seed: int = 0,
    pad: int = 0,
) -> list[list[int]]:
    """The tokens that follow each prompt, the likeliest or as `sampling` draws them.

    What a prompt is given depends on the seed and on the prompt alone. A row that has ended takes no part in what
    follows. `pad` fills shorter prompts on their left, where nothing reads it.
    """
    lengths = np.array([len(prompt) for prompt in prompts])
    input_ids = np.full((len(prompts), lengths.max()), pad)
    for row, prompt in zip(input_ids, prompts, strict=True):
        row[-len(prompt) :] = prompt
    generators = [np.random.default_rng([seed, *prompt]) for prompt in prompts]
    added: list[list[int]] = [[] for _ in prompts]
    going = list(range(len(prompts)))
    greedy = sampling is None
    found, cache = decoder.prefill(input_ids, lengths, greedy)
    while True:
        if sampling is not None:
            found = [sampling.draw(logits, generators[i]) for i, logits in zip(going, found, strict=True)]
        tokens, still = np.asarray(found), []
        for index, (i, token) in enumerate(zip(going, tokens.tolist(), strict=True)):
            added[i].append(token)
            length = len(added[i])
            if token not in limits.ends and length < limits.max_new_tokens and lengths[i] + length < limits.max_length:
                still.append(index)
        if not still:
            return added
        if len(still) < len(going):
            cache, tokens, going = cache.select(still), tokens[still], [going[index] for index in still]
        found = decoder.step(tokens, cache, greedy)
