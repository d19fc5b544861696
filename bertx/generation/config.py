"""GenerationConfig: how tokens are chosen and where a text ends; the hub's `generation_config.json`."""

from __future__ import annotations

import dataclasses
import difflib
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from bertx_weights import CheckpointError
from bertx_weights.files import exists, inside, read_json, write_atomically

FILE = "generation_config.json"

# How many tokens are added where nothing says it, as in transformers.
DEFAULT_NEW_TOKENS = 20

_START = "decoder_start_token_id"

# What transformers 4 has by default where bertx has another value.
_DEFAULTS_OF_4 = {"max_length": DEFAULT_NEW_TOKENS, "top_k": 50}

# What results do not depend on, or what only other kinds of models have: kept, and written back.
_WITHOUT_EFFECT = {
    *("transformers_version", "_from_model_config", "_commit_hash", "pad_token_id", "bos_token_id"),
    *(_START, "use_cache", "cache_implementation", "cache_config", "max_cache_len", "low_memory"),
    *("return_legacy_cache", "compile_config", "disable_compile", "prefill_chunk_size", "continuous_batching_config"),
    *("output_attentions", "output_hidden_states", "output_scores", "output_logits", "return_dict_in_generate"),
    *("is_assistant", "num_assistant_tokens", "num_assistant_tokens_schedule", "assistant_confidence_threshold"),
    *("assistant_lookbehind", "target_lookbehind", "max_matching_ngram_size", "assistant_ensemble_weight"),
}
_HUB = "transformers 5 runs it from a repository of the hub only"
# What changes results and is not run: the values that mean nothing, and what to do instead.
_REFUSED: dict[str, tuple[tuple[Any, ...], str]] = {
    "penalty_alpha": ((0.0,), f"contrastive search is not run, {_HUB}; use repetition_penalty or no_repeat_ngram_size"),
    "dola_layers": ((), f"{_HUB}; leave it out"),
    "constraints": ((), f"{_HUB}; use bad_words_ids or suppress_tokens"),
    "force_words_ids": ((), f"{_HUB}; use bad_words_ids or suppress_tokens"),
    "guidance_scale": ((1, 1.0), "leave it out"),
    "sequence_bias": ((), "use bad_words_ids or suppress_tokens"),
    "top_h": ((), "use top_p or min_p"),
    "epsilon_cutoff": ((0.0,), "use min_p"),
    "eta_cutoff": ((0.0,), "use min_p or typical_p"),
    "encoder_repetition_penalty": ((1.0,), "use repetition_penalty"),
    "exponential_decay_length_penalty": ((), "use length_penalty with num_beams"),
    "remove_invalid_values": ((False,), "leave it out; scores that are not finite come from a damaged checkpoint"),
    "token_healing": ((False,), "leave it out"),
    "watermarking_config": ((), "leave it out"),
    "max_time": ((), "use max_new_tokens"),
    "use_mtp": ((False,), "leave it out"),
    "prompt_lookup_num_tokens": ((), "leave it out"),
    "assistant_early_exit": ((), "leave it out"),
    "speculation_type": ((), "leave it out"),
}
# For a call: why an option of transformers' `generate` is not taken.
INSTEAD = {name: instead for name, (_, instead) in _REFUSED.items()} | {
    "pad_token_id": "leave it out; results are not padded",
    "bos_token_id": "leave it out; a prompt begins as the tokenizer begins a text",
    "use_cache": "leave it out; keys and values are always kept",
    "return_dict_in_generate": "leave it out; a result of beam search has a score",
    "output_scores": "leave it out; a result of beam search has a score",
    "streamer": "stream=True gives an iterator of text",
    "generation_config": "give its fields as arguments",
    "logits_processor": "use bad_words_ids, suppress_tokens or repetition_penalty",
    "stopping_criteria": "use stop_strings or eos_token_id",
}


@dataclass(frozen=True)
class GenerationConfig:
    """How tokens are chosen and where a text ends. Names and defaults are the hub's, save that `top_k` is None.

    Attributes:
        max_new_tokens: the most tokens that are added, 20 where neither this nor `max_length` is given; fewer where
            the model's positions end.
        max_length: the most tokens of a prompt and its continuation; `max_new_tokens` counts where both are given.
        min_new_tokens: no text ends before so many tokens are added; counts before `min_length`.
        min_length: no text ends before prompt and continuation have so many tokens.
        do_sample: draws tokens; False takes the likeliest, the same on every backend.
        temperature: divides the logits before a token is drawn; 1e-6 to 1e6.
        top_k: only so many of the likeliest tokens are drawn from; None draws from all, where transformers has 50.
        top_p: only the likeliest tokens whose probabilities first reach this sum are drawn from.
        min_p: only tokens of at least this part of the likeliest one's probability are drawn from.
        typical_p: only the tokens whose information is closest to the entropy, up to this sum of probabilities.
        seed: of what is drawn; a prompt's continuation depends on it and on the prompt alone.
        num_beams: beam search with so many beams; 1 is greedy search, or sampling.
        num_beam_groups: so many groups of beams, each of which searches for itself and is kept from the others' tokens
            (diverse beam search); 1 is one search.
        diversity_penalty: with groups: what a token's log-probability loses for each beam of an earlier group that has
            just chosen it.
        early_stopping: when beam search ends: True, as soon as there are `num_beams` finished texts; False, when a
            better one is unlikely; "never", when there can be no better one.
        length_penalty: beam search divides the sum of log-probabilities by the number of new tokens to this power:
            above 0 favours longer texts.
        num_return_sequences: how many continuations of each prompt; of beam search the best, of sampling independent.
        repetition_penalty: divides the positive scores of tokens that have occurred by this, and multiplies the others.
        no_repeat_ngram_size: no sequence of so many tokens comes twice; 0: any may.
        encoder_no_repeat_ngram_size: no sequence of so many tokens of the encoder's text is written, of a model without
            an encoder none of the prompt's; 0: any may.
        bad_words_ids: sequences of ids that are not generated.
        suppress_tokens: ids that are not generated.
        begin_suppress_tokens: ids that are not generated first.
        forced_bos_token_id: the token after a prompt of one token, as an encoder-decoder has it.
        forced_eos_token_id: the token, or one of several, that is the last where the length is reached.
        eos_token_id: the token, or each of several, that ends a text.
        stop_strings: text that ends a continuation, which keeps it.
        renormalize_logits: scores are log-probabilities again after all that changed them.
        extra: keys of a generation_config.json that results do not depend on.

    Raises:
        ValueError: values outside their range, all named at once.
    """

    max_new_tokens: int | None = None
    max_length: int | None = None
    min_new_tokens: int | None = None
    min_length: int = 0
    do_sample: bool = False
    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None
    min_p: float | None = None
    typical_p: float | None = None
    seed: int = 0
    num_beams: int = 1
    num_beam_groups: int = 1
    diversity_penalty: float = 0.0
    early_stopping: bool | str = False
    length_penalty: float = 1.0
    num_return_sequences: int = 1
    repetition_penalty: float = 1.0
    no_repeat_ngram_size: int = 0
    encoder_no_repeat_ngram_size: int = 0
    bad_words_ids: Any = None
    suppress_tokens: Any = None
    begin_suppress_tokens: Any = None
    forced_bos_token_id: int | None = None
    forced_eos_token_id: Any = None
    eos_token_id: Any = None
    stop_strings: Any = None
    renormalize_logits: bool = False
    extra: Mapping[str, Any] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        for one in dataclasses.fields(self):  # None is what the field has by default, as in transformers
            if getattr(self, one.name) is None and one.default is not dataclasses.MISSING:
                object.__setattr__(self, one.name, one.default)
        problems = [
            f"{name} is {getattr(self, name)!r:.60}, expected {expected}"
            for name, (fine, expected) in _RANGES.items()
            if getattr(self, name) is not None and not fine(getattr(self, name))
        ]
        if not problems:
            for name in _SEQUENCES:
                object.__setattr__(self, name, _tuple(getattr(self, name)))
            problems = self._contradictions()
        if problems:
            raise ValueError("; ".join(problems))

    def _contradictions(self) -> list[str]:
        found = []
        if self.num_return_sequences > 1 and self.num_beams == 1 and not self.do_sample:
            found.append(
                f"num_return_sequences is {self.num_return_sequences}, and greedy search has one result: give "
                "do_sample=True, or as many num_beams"
            )
        if self.num_beams > 1 and self.num_return_sequences > self.num_beams:
            found.append(
                f"num_return_sequences is {self.num_return_sequences}, expected at most num_beams, {self.num_beams}"
            )
        if self.num_beams % self.num_beam_groups:
            found.append(
                f"num_beam_groups is {self.num_beam_groups}, expected a divisor of num_beams, {self.num_beams}"
            )
        if self.num_beam_groups > 1 and self.do_sample:
            found.append(
                "num_beam_groups is given with do_sample: groups of beams are searched, not drawn; leave one out"
            )
        if (self.num_beam_groups > 1) != (self.diversity_penalty > 0):
            found.append(
                f"num_beam_groups is {self.num_beam_groups} and diversity_penalty {self.diversity_penalty}: diverse "
                "beam search needs several groups and a penalty above 0, another search neither"
            )
        for name in ("forced_bos_token_id", "forced_eos_token_id"):
            forced = set(_ids(getattr(self, name)))
            if forced and forced <= {*(self.suppress_tokens or ())}:
                found.append(f"{name} is {sorted(forced)}, which suppress_tokens forbids: leave one of them out")
        return found

    @property
    def ends(self) -> tuple[int, ...]:
        """The tokens that end a text."""
        return _ids(self.eos_token_id)

    @property
    def copies(self) -> int:
        """How many rows a prompt has."""
        return max(self.num_beams, self.num_return_sequences)

    def limit(self, prompt: int, positions: int | None = None) -> int:
        """How many tokens a prompt of that length has at most with its continuation."""
        if self.max_new_tokens is None and self.max_length is not None:
            limit = self.max_length
        else:
            limit = prompt + (DEFAULT_NEW_TOKENS if self.max_new_tokens is None else self.max_new_tokens)
        return limit if positions is None else min(limit, positions)

    def least(self, prompt: int) -> int:
        """How many tokens a prompt of that length has at least with its continuation."""
        return self.min_length if self.min_new_tokens is None else prompt + self.min_new_tokens

    def replace(self, **changes: Any) -> Self:
        """A copy with some fields changed; None is a field's default.

        A `max_length` takes the place of a `max_new_tokens` that is not changed too, and so does a `min_length`.

        Raises:
            TypeError: an unknown field.
            ValueError: see the class.
        """
        for new, total in (("max_new_tokens", "max_length"), ("min_new_tokens", "min_length")):
            if changes.get(total) is not None:
                changes = {new: None} | changes
        return dataclasses.replace(self, **changes)

    # --- files ------------------------------------------------------------------------------------

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Reads the keys of a `generation_config.json`.

        Raises:
            ValueError: an unknown key, one that is not run, or a value outside its range.
        """
        problems, own, extra = [], {}, {}
        for name, value in values.items():
            if name in _DEFAULTS:
                own[name] = None if name == "top_k" and value == 0 else value
            elif name in _WITHOUT_EFFECT or name in _REFUSED:
                extra[name] = value
                if name in _REFUSED and value is not None and value not in _REFUSED[name][0]:
                    problems.append(f"{name} is {value!r:.60}, which is not run: {_REFUSED[name][1]}")
            else:
                close = difflib.get_close_matches(name, [*_DEFAULTS, *_WITHOUT_EFFECT, *_REFUSED], n=1)
                meant = f", did you mean {close[0]}?" if close else ""
                problems.append(f"{name} is unknown{meant}: rename it, or leave it out")
        if problems:
            raise ValueError("; ".join(problems))
        return cls(**own, extra=extra)

    def to_dict(self) -> dict[str, Any]:
        """The fields that are not as by default, and the keys that were kept."""
        own = {name: getattr(self, name) for name, default in _DEFAULTS.items() if getattr(self, name) != default}
        return {**self.extra, **own}

    @classmethod
    def from_pretrained(cls, folder: str | os.PathLike[str]) -> GenerationConfig:
        """That of a folder's `generation_config.json`; the default where it has none.

        Raises:
            CheckpointError: the file is broken, or says what is not run.
        """
        path = Path(folder) / FILE
        return _checked(path, read_json(inside(path.parent, FILE))) if exists(path.parent, FILE) else cls()

    def save_pretrained(self, folder: str | os.PathLike[str]) -> None:
        """Writes `generation_config.json`, whole or not at all."""
        text = json.dumps(self.to_dict(), indent=2, sort_keys=True, ensure_ascii=False) + "\n"
        Path(folder).mkdir(parents=True, exist_ok=True)
        write_atomically(Path(folder) / FILE, text.encode())


def generation_config_of(folder: Path | None, model_config: Any) -> GenerationConfig:
    """What a checkpoint says of generation: its generation_config.json, else the keys of its config.json.

    transformers 4 wrote the latter; `eos_token_id` of the config counts wherever the file says none.

    Raises:
        CheckpointError: one of them says what is not run.
    """
    if folder is not None and exists(folder, FILE):
        config = GenerationConfig.from_pretrained(folder)
    else:
        hub = (_DEFAULTS.keys() | _REFUSED) - {"seed"}
        given = {**_of_decoder(model_config), **model_config.extra}
        values = {name: value for name, value in given.items() if name in hub or name == _START}
        config = _checked(Path(folder or "") / "config.json", values)
    if config.eos_token_id is not None:
        return config
    of_decoder = getattr(getattr(model_config, "decoder", None), "eos_token_id", None)
    return config.replace(eos_token_id=of_decoder if model_config.eos_token_id is None else model_config.eos_token_id)


def _of_decoder(model_config: Any) -> dict[str, Any]:
    """The keys of the decoder of an encoder-decoder, which count too; transformers 4 wrote all its defaults there."""
    extra = getattr(getattr(model_config, "decoder", None), "extra", {})
    return {name: value for name, value in extra.items() if _DEFAULTS_OF_4.get(name) != value}


def _checked(path: Path, values: Mapping[str, Any]) -> GenerationConfig:
    try:
        return GenerationConfig.from_dict(values)
    except ValueError as error:
        raise CheckpointError(f"{path}: {error}") from error


# --- ranges ---------------------------------------------------------------------------------------


def _is_int(value: Any, least: int | None = None) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and (least is None or value >= least)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_list(value: Any, of: Callable[[Any], bool]) -> bool:
    return isinstance(value, (list, tuple)) and all(map(of, value))


def _at_least(least: int) -> tuple[Callable[[Any], bool], str]:
    return lambda value: _is_int(value, least), f"an integer of at least {least}"


def _from(least: float, most: float) -> tuple[Callable[[Any], bool], str]:
    return lambda value: _is_number(value) and least <= value <= most, f"a number from {least:g} to {most:g}"


def _tuple(value: Any) -> Any:
    return tuple(map(_tuple, value)) if isinstance(value, (list, tuple)) else value


def _ids(value: Any) -> tuple[int, ...]:
    return () if value is None else value if isinstance(value, tuple) else (value,)


def _is_id(value: Any) -> bool:
    return _is_int(value, 0)


_FLAG = (lambda value: isinstance(value, bool), "True or False")
_TOKENS = (lambda value: bool(value) and _is_list(value, _is_id), "a list of ids")
_PART = (lambda value: _is_number(value) and 0 < value <= 1, "a number above 0 and at most 1")
_SEQUENCES = ("bad_words_ids", "suppress_tokens", "begin_suppress_tokens", "forced_eos_token_id", "eos_token_id")
_SEQUENCES += ("stop_strings",)
# Field → whether a value that is not None is one of those expected, and which are.
_RANGES: dict[str, tuple[Callable[[Any], bool], str]] = {
    "max_new_tokens": _at_least(1),
    "max_length": _at_least(1),
    "min_new_tokens": _at_least(0),
    "min_length": _at_least(0),
    "do_sample": _FLAG,
    # Beyond these bounds, and those of the penalties below, scores overflow.
    "temperature": _from(1e-6, 1e6),
    "top_k": _at_least(1),
    "top_p": _PART,
    "min_p": _from(0, 1),
    "typical_p": _PART,
    "seed": _at_least(0),
    "num_beams": _at_least(1),
    "num_beam_groups": _at_least(1),
    "diversity_penalty": _from(0, 1000),
    "early_stopping": (lambda value: isinstance(value, bool) or value == "never", 'True, False or "never"'),
    "length_penalty": _from(-100, 100),
    "num_return_sequences": _at_least(1),
    "repetition_penalty": _from(0.001, 1000),
    "no_repeat_ngram_size": _at_least(0),
    "encoder_no_repeat_ngram_size": _at_least(0),
    "bad_words_ids": (
        lambda value: bool(value) and _is_list(value, lambda word: bool(word) and _is_list(word, _is_id)),
        "a list of lists of ids",
    ),
    "suppress_tokens": _TOKENS,
    "begin_suppress_tokens": _TOKENS,
    "forced_bos_token_id": _at_least(0),
    "forced_eos_token_id": (lambda value: _is_id(value) or _TOKENS[0](value), "an id or a list of ids"),
    # transformers takes an id that no token has for "never".
    "eos_token_id": (lambda value: _is_int(value) or _is_list(value, _is_int), "an id or a list of ids"),
    "stop_strings": (
        lambda value: (
            bool(value) and (isinstance(value, str) or _is_list(value, lambda one: one and isinstance(one, str)))
        ),
        "a string or a list of strings",
    ),
    "renormalize_logits": _FLAG,
}
_DEFAULTS: dict[str, Any] = {
    one.name: one.default for one in dataclasses.fields(GenerationConfig) if one.name != "extra"
}
OPTIONS = tuple(_DEFAULTS)
"""The names that a task's call takes."""
