"""Small causal models, what transformers' `generate` gives of them in float64, and what bertx gives."""

from __future__ import annotations

import contextlib

import numpy as np
import torch
import transformers
from transformers.generation import utils

from bertx.backend import Cache, Decoder
from bertx.generation import GenerationConfig, generate
from bertx.generation.processors import log_softmax

SIZES = {
    "vocab_size": 61,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 37,
    "max_position_embeddings": 40,
}
PAD, CLS, SEP = 0, 2, 3
# Of transformers: each a search of its own, and together all options that change its tokens.
SETTINGS = {
    "greedy": {"max_new_tokens": 14},
    "penalty": {"max_new_tokens": 14, "repetition_penalty": 1.6, "min_new_tokens": 5},
    "ngrams": {
        "max_length": 16,
        "no_repeat_ngram_size": 2,
        "bad_words_ids": [[7], [SEP], [11, 12], [9, 13, 14]],
        "forced_eos_token_id": SEP,
    },
    "beams": {"num_beams": 4, "max_new_tokens": 12},
    "long": {"num_beams": 4, "max_new_tokens": 12, "length_penalty": 2.0, "early_stopping": True},
    "never": {"num_beams": 3, "max_new_tokens": 12, "length_penalty": 1.6, "early_stopping": "never"},
    "short": {"num_beams": 3, "max_new_tokens": 10, "length_penalty": -0.1, "early_stopping": "never"},
    "beams of ngrams": {"num_beams": 4, "max_length": 15, "no_repeat_ngram_size": 3, "min_length": 9},
    "two ends": {
        "num_beams": 3,
        "max_new_tokens": 12,
        "repetition_penalty": 1.4,
        "eos_token_id": [SEP, 17],
        "num_return_sequences": 3,
        "length_penalty": 0.3,
    },
    "forced": {"num_beams": 5, "max_new_tokens": 6, "length_penalty": 0.0, "forced_eos_token_id": 19},
    "forbidden": {
        "num_beams": 4,
        "max_new_tokens": 10,
        "bad_words_ids": [[21], [22, 23], [31, 32, 33]],
        "suppress_tokens": [40, 41, PAD],
        "begin_suppress_tokens": [SEP, 50],
        "num_return_sequences": 4,
        "early_stopping": True,
    },
    "all": {
        "num_beams": 4,
        "max_length": 14,
        "min_new_tokens": 3,
        "no_repeat_ngram_size": 2,
        "repetition_penalty": 1.2,
        "forced_bos_token_id": 23,
        "renormalize_logits": True,
        "num_return_sequences": 2,
        "length_penalty": 1.5,
    },
}


def peer(seed=0, **changes):
    """A BertLMHeadModel in float64 whose weights of 0.3 give varied texts, in which [SEP] is likely now and then."""
    config = transformers.BertConfig(
        **SIZES | changes, is_decoder=True, pad_token_id=PAD, bos_token_id=CLS, attn_implementation="eager"
    )
    model = transformers.BertLMHeadModel(config).eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.normal_(0, 0.3, generator=generator)
            if name.endswith("LayerNorm.weight"):
                parameter.add_(1)
        model.cls.predictions.bias[SEP] += 5
        model.cls.predictions.bias[17] += 4
    return model.double()


def prompts_of(count, seed=1, longest=5):
    """Rows of ids, the shortest only [CLS]."""
    generator = np.random.default_rng(seed)
    lengths = generator.integers(0, longest, count)
    return [[CLS, *generator.integers(4, SIZES["vocab_size"], length).tolist()] for length in lengths]


class _Double:
    """torch, whose float32 is float64: transformers casts logits to float32 whatever the model is."""

    float32 = float = torch.float64

    def __getattr__(self, name):
        return getattr(torch, name)


@contextlib.contextmanager
def in_float64():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # the models are small
    before, utils.torch = utils.torch, _Double()
    try:
        yield
    finally:
        utils.torch = before
        torch.set_num_threads(threads)


def expected(model, prompts, options, padded=False):
    """What transformers gives: of each prompt [(tokens, score)]; unless `padded`, prompts of one length at a time."""
    options = {"eos_token_id": SEP, "pad_token_id": PAD, "do_sample": False} | options
    groups = {}
    for index, prompt in enumerate(prompts):
        groups.setdefault(0 if padded else len(prompt), []).append(index)
    results = [None] * len(prompts)
    count = options.get("num_return_sequences", 1)
    for indices in groups.values():
        width = max(len(prompts[i]) for i in indices)
        ids = torch.tensor([[PAD] * (width - len(prompts[i])) + prompts[i] for i in indices])
        mask = torch.tensor([[0] * (width - len(prompts[i])) + [1] * len(prompts[i]) for i in indices])
        with in_float64(), torch.no_grad():
            found = model.generate(
                ids, attention_mask=mask, return_dict_in_generate=True, output_scores=True, **options
            )
        added = found.sequences[:, width:].tolist()
        if options.get("num_beams", 1) > 1:
            lengths = (found.beam_indices >= 0).sum(1).tolist()
            rows = [(row[:n], s) for row, n, s in zip(added, lengths, found.sequences_scores.tolist(), strict=True)]
        else:
            ends = set(np.atleast_1d(options["eos_token_id"]).tolist())
            rows = [(row[: next((i + 1 for i, t in enumerate(row) if t in ends), len(row))], None) for row in added]
        for place, index in enumerate(indices):
            results[index] = rows[place * count : (place + 1) * count]
    return results


def found(decoder, prompts, options, positions=SIZES["max_position_embeddings"], at_once=64, **more):
    """What bertx gives, prompts of all lengths in one batch."""
    config = GenerationConfig(**{"eos_token_id": SEP} | options)
    results = []
    for start in range(0, len(prompts), at_once):
        part = prompts[start : start + at_once]
        for one in generate(decoder, part, config, positions=positions, **more):
            results.append([(each.tokens, each.score) for each in one])
    return results


def differing(found, expected, scores=True):
    """The indices of prompts that have other tokens; where they are the same, the scores are within 1e-5."""
    wrong = []
    for index, (mine, theirs) in enumerate(zip(found, expected, strict=True)):
        if [tokens for tokens, _ in mine] != [tokens for tokens, _ in theirs]:
            wrong.append(index)
            continue
        for (_, one), (_, other) in zip(mine, theirs, strict=True):
            assert (one is None) == (other is None)
            assert one is None or not scores or abs(one - other) <= 1e-5
    return wrong


class Watched(Decoder):
    """A decoder whose logits are compared with those that the oracle has for the tokens of each row."""

    def __init__(self, decoder, oracle):
        self.decoder, self.oracle, self.worst = decoder, oracle, 0.0
        self._differences = {}

    def prefill(self, input_ids, lengths, greedy):
        rows = [row[-length:].tolist() for row, length in zip(input_ids, lengths, strict=True)]
        logits, cache = self.decoder.prefill(input_ids, lengths, False)
        return self._seen(rows, logits, greedy), _WatchedCache(cache, rows)

    def step(self, tokens, cache, greedy):
        cache.rows = [[*row, token] for row, token in zip(cache.rows, tokens.tolist(), strict=True)]
        return self._seen(cache.rows, self.decoder.step(tokens, cache.cache, False), greedy)

    def noise(self, row, token):
        """How far off a token's log-probability after a row was: at least and at most, where the row came twice."""
        found = [difference[token] for difference in self._differences[tuple(row)]]
        return min(found), max(found)

    def _seen(self, rows, logits, greedy):
        for length in {len(row) for row in rows}:
            of_length = [i for i, row in enumerate(rows) if len(row) == length]
            exact = self.oracle.forward(input_ids=[rows[i] for i in of_length])["logits"][:, -1]
            self.worst = max(self.worst, float(np.abs(logits[of_length] - exact).max()))
            for i, difference in zip(of_length, log_softmax(logits[of_length]) - log_softmax(exact), strict=True):
                self._differences.setdefault(tuple(rows[i]), []).append(difference)
        return logits.argmax(-1) if greedy else logits


class _WatchedCache(Cache):
    def __init__(self, cache, rows):
        self.cache, self.rows = cache, rows

    def select(self, rows):
        return _WatchedCache(self.cache.select(rows), [self.rows[i] for i in rows])
