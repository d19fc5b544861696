"""What changes the scores of the next token: functions of the rows so far and their scores, in the hub's order."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .config import GenerationConfig
from .rows import Rows

Processor = Callable[[Rows, np.ndarray], np.ndarray]
"""(rows, scores [R, V]) → the new scores; what it is given it leaves as it is."""

_OUT = -np.inf


def processors_of(config: GenerationConfig) -> list[Processor]:
    """Those that a config asks for, in the order in which transformers has them; without those of sampling."""
    found: list[Processor] = []
    if config.repetition_penalty != 1:
        found.append(functools.partial(penalize_repetition, penalty=config.repetition_penalty))
    if config.no_repeat_ngram_size:
        found.append(functools.partial(forbid_repeated_ngrams, size=config.no_repeat_ngram_size))
    if config.encoder_no_repeat_ngram_size:
        found.append(functools.partial(forbid_ngrams_of_text, size=config.encoder_no_repeat_ngram_size))
    if config.bad_words_ids:
        words = [word for word in config.bad_words_ids if word[1:] or word[0] not in config.ends]
        found.append(functools.partial(forbid_words, words=words))
    if config.ends and (config.min_length or config.min_new_tokens):
        found.append(functools.partial(forbid_ends, config=config))
    if config.forced_bos_token_id is not None:
        found.append(functools.partial(force_first, token=config.forced_bos_token_id))
    if config.forced_eos_token_id is not None:
        ids = config.forced_eos_token_id
        found.append(functools.partial(force_last, tokens=list(ids) if isinstance(ids, tuple) else [ids]))
    if config.suppress_tokens:
        found.append(functools.partial(suppress, tokens=config.suppress_tokens))
    if config.begin_suppress_tokens:
        forced = config.forced_bos_token_id is not None
        found.append(functools.partial(suppress_first, tokens=config.begin_suppress_tokens, forced=forced))
    return found


def warpers_of(config: GenerationConfig) -> list[Processor]:
    """What sampling adds to them, and in any case what comes last."""
    found: list[Processor] = []
    if config.do_sample:
        # Beam search needs a token beside those that end a text.
        keep = 1 if config.num_beams == 1 else max(2, len(config.ends) + 1)
        if config.temperature != 1:
            found.append(lambda rows, scores: scores / config.temperature)
        if config.top_k is not None:
            found.append(functools.partial(keep_top_k, count=max(config.top_k, keep)))
        if config.top_p is not None and config.top_p < 1:
            found.append(functools.partial(keep_top_p, mass=config.top_p, keep=keep))
        if config.min_p is not None:
            found.append(functools.partial(keep_min_p, part=config.min_p, keep=keep))
        if config.typical_p is not None and config.typical_p < 1:
            found.append(functools.partial(keep_typical, mass=config.typical_p, keep=keep))
    if config.renormalize_logits:
        found.append(lambda rows, scores: log_softmax(scores))
    return found


def check_ids(config: GenerationConfig, size: int) -> None:
    """Raises ValueError for ids of a config that are not among the `size` of a vocabulary."""
    given = {
        "bad_words_ids": [token for word in config.bad_words_ids or () for token in word],
        "suppress_tokens": config.suppress_tokens or (),
        "begin_suppress_tokens": config.begin_suppress_tokens or (),
        "forced_bos_token_id": () if config.forced_bos_token_id is None else (config.forced_bos_token_id,),
        "forced_eos_token_id": np.atleast_1d(
            config.forced_eos_token_id if config.forced_eos_token_id is not None else []
        ),
    }
    wrong = {name: sorted({int(i) for i in ids if i >= size}) for name, ids in given.items()}
    if problems := [f"{name} has {ids}" for name, ids in wrong.items() if ids]:
        raise ValueError(f"{'; '.join(problems)}: expected ids below {size}, the size of the vocabulary")


# --- processors -----------------------------------------------------------------------------------


def penalize_repetition(rows: Rows, scores: np.ndarray, penalty: float) -> np.ndarray:
    """The scores of tokens that a row has, divided by the penalty above 0 and multiplied below."""
    which, columns = np.nonzero(rows.ids >= 0)
    tokens = rows.ids[which, columns]
    old = scores[which, tokens]
    scores = scores.copy()
    scores[which, tokens] = np.where(old < 0, old * penalty, old / penalty)
    return scores


def forbid_repeated_ngrams(rows: Rows, scores: np.ndarray, size: int) -> np.ndarray:
    """No token that would complete a sequence of `size` tokens which the row has already."""
    return _without_ngrams(scores, rows.ids, rows.ids, size)


def forbid_ngrams_of_text(rows: Rows, scores: np.ndarray, size: int) -> np.ndarray:
    """No token that would complete a sequence of `size` tokens which is in the text that the encoder has read."""
    assert rows.texts is not None
    return _without_ngrams(scores, rows.ids, rows.texts, size)


def _without_ngrams(scores: np.ndarray, ids: np.ndarray, texts: np.ndarray, size: int) -> np.ndarray:
    """No token that, after the last of `ids`, would complete a sequence of `size` tokens of the row of `texts`."""
    if texts.shape[1] < size or ids.shape[1] < size - 1:
        return scores
    windows = np.lib.stride_tricks.sliding_window_view(texts, size, axis=1)
    last = windows[:, :, -1]
    same = last >= 0
    for offset in range(size - 1):
        same = same & (windows[:, :, offset] == ids[:, ids.shape[1] - size + 1 + offset, None])
    which, columns = np.nonzero(same)
    return _without(scores, which, last[which, columns])


def forbid_words(rows: Rows, scores: np.ndarray, words: Sequence[Sequence[int]]) -> np.ndarray:
    """No token that would complete one of these sequences."""
    ids = rows.ids
    scores = _without(scores, slice(None), [word[0] for word in words if len(word) == 1])
    for length in sorted({len(word) - 1 for word in words} - {0}):
        if length > ids.shape[1]:
            continue
        of_length = np.array([word for word in words if len(word) == length + 1])
        which, of = np.nonzero((ids[:, None, -length:] == of_length[:, :-1]).all(-1))
        scores = _without(scores, which, of_length[of, -1])
    return scores


def forbid_ends(rows: Rows, scores: np.ndarray, config: GenerationConfig) -> np.ndarray:
    """No token that ends a row which is too short."""
    least = [config.least(length) for length in rows.prompts.tolist()]
    short = np.flatnonzero(rows.lengths < least)
    ends = [token for token in config.ends if 0 <= token < scores.shape[1]]
    return _without(scores, short[:, None], ends) if len(short) else scores


def force_first(rows: Rows, scores: np.ndarray, token: int) -> np.ndarray:
    """This token after a row of one."""
    return _only(scores, rows.lengths == 1, [token])


def force_last(rows: Rows, scores: np.ndarray, tokens: Sequence[int]) -> np.ndarray:
    """One of these tokens where only one more is possible."""
    return _only(scores, rows.lengths == rows.limits - 1, tokens)


def suppress(rows: Rows, scores: np.ndarray, tokens: Sequence[int]) -> np.ndarray:
    """None of these tokens."""
    return _without(scores, slice(None), list(tokens))


def suppress_first(rows: Rows, scores: np.ndarray, tokens: Sequence[int], forced: bool) -> np.ndarray:
    """None of these as the first token, or after the forced one."""
    first = np.flatnonzero(rows.lengths == rows.prompts + (forced & (rows.prompts <= 1)))
    return _without(scores, first[:, None], list(tokens)) if len(first) else scores


def _without(scores: np.ndarray, rows: Any, tokens: Any) -> np.ndarray:
    scores = scores.copy()
    scores[rows, tokens] = _OUT
    return scores


def _only(scores: np.ndarray, rows: np.ndarray, tokens: Sequence[int]) -> np.ndarray:
    if not rows.any():
        return scores
    scores = np.where(rows[:, None], _OUT, scores).astype(scores.dtype)
    scores[np.flatnonzero(rows)[:, None], list(tokens)] = 0
    return scores


# --- what is drawn from ---------------------------------------------------------------------------


def log_softmax(scores: np.ndarray) -> np.ndarray:
    """Over the last axis, in float64: a beam's sum of float32 values would be off by more than its logits are."""
    shifted = scores.astype(np.float64) - scores.max(-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))


def keep_top_k(rows: Rows, scores: np.ndarray, count: int) -> np.ndarray:
    """The `count` largest, and what equals the smallest of them."""
    count = min(count, scores.shape[1])
    smallest = np.partition(scores, -count)[:, -count, None]
    return np.where(scores < smallest, _OUT, scores)


def keep_top_p(rows: Rows, scores: np.ndarray, mass: float, keep: int) -> np.ndarray:
    """The largest, until their probabilities reach `mass`; `keep` in any case."""
    order = np.argsort(scores, kind="stable")
    reached = _probabilities(np.take_along_axis(scores, order, 1)).cumsum(1)
    out = reached <= 1 - mass
    out[:, -keep:] = False
    return _masked(scores, order, out)


def keep_min_p(rows: Rows, scores: np.ndarray, part: float, keep: int) -> np.ndarray:
    """Those of at least `part` of the largest probability; `keep` in any case."""
    probabilities = _probabilities(scores)
    out = probabilities < part * probabilities.max(1, keepdims=True)
    np.put_along_axis(out, np.argsort(-probabilities, kind="stable")[:, :keep], False, 1)
    return np.where(out, _OUT, scores)


def keep_typical(rows: Rows, scores: np.ndarray, mass: float, keep: int) -> np.ndarray:
    """Those whose information is closest to the entropy, until their probabilities reach `mass`."""
    logs = log_softmax(scores)
    probabilities = np.exp(logs)
    with np.errstate(invalid="ignore"):
        entropy = -np.nansum(logs * probabilities, 1, keepdims=True)
    distances = np.abs(-logs - entropy)
    order = np.argsort(distances, kind="stable")
    distances = np.take_along_axis(distances, order, 1)
    reached = np.take_along_axis(probabilities, order, 1).cumsum(1)
    last = np.minimum((reached < mass).sum(1, keepdims=True), scores.shape[1] - 1)
    out = distances > np.take_along_axis(distances, last, 1)
    out[:, :keep] = False
    return _masked(scores, order, out)


def _masked(scores: np.ndarray, order: np.ndarray, out: np.ndarray) -> np.ndarray:
    """Scores without those that are `out`, of which the i-th is at `order[:, i]`."""
    mask = np.empty_like(out)
    np.put_along_axis(mask, order, out, 1)
    return np.where(mask, _OUT, scores)


def _probabilities(scores: np.ndarray) -> np.ndarray:
    return np.exp(log_softmax(scores))
