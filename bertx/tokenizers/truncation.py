"""Texts to flat arrays or `tokenizers.Encoding`s, truncated without writing the state of the shared tokenizer.

`Tokenizer.enable_truncation` would set it for every thread. So texts are encoded whole and cut here by the library's
own rules. Threads may encode at the same time with different settings.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from .ragged import RaggedBatch

# Texts of so many characters are encoded whole at a time: an Encoding takes some 100 bytes a token.
_CHARACTERS = 2**21


class Truncation(NamedTuple):
    """How rows that are too long are cut.

    Attributes:
        max_length: in tokens, special ones included.
        strategy: "longest_first", "only_first" or "only_second".
        stride: how many tokens a window shares with the one before.
        side: "right" or "left", where tokens are taken away.
    """

    max_length: int
    strategy: str
    stride: int
    side: str


# What `encode_batch_fast` leaves out, beside the tokens themselves.
_NOT_FAST = {"offset_mapping", "word_ids"}


def encode_ragged(
    tokenizer: Any,
    texts: Sequence[Any],
    pairs: Sequence[Any] | None,
    words: bool,
    special: bool,
    truncation: Truncation | None,
    windows: bool,
    names: Sequence[str],
) -> RaggedBatch:
    """Texts, or pairs, as flat arrays: the ids, and those of RaggedBatch that are named.

    Args:
        tokenizer: the `tokenizers.Tokenizer`.
        texts, pairs: strings, or with `words` lists of words.
        words: whether they are lists of words.
        special: whether special tokens are added.
        truncation: None leaves the rows as long as they are.
        windows: whether what is cut off gives further rows, after the first of its text.
        names: the arrays beside the ids.

    Raises:
        ValueError: a row cannot be cut so, or a text is no Unicode.
    """
    parts, samples = [], []
    for part in _portions(texts, pairs):
        own, seconds = texts[part], None if pairs is None else pairs[part]
        if windows:
            encodings = encode(tokenizer, own, seconds, words, special, truncation, True, part.start)
            encodings, of_part = with_windows(encodings)
            samples.append(part.start + of_part)
            parts.append(RaggedBatch.of_encodings(encodings, names))
        else:
            fast = _is_fast(tokenizer, pairs, names)
            encodings = _encode_batch(tokenizer, _joined(own, seconds), part.start, words, special, fast)
            rows = RaggedBatch.of_encodings(encodings, names)
            if truncation is not None:
                rows = _cut_rows(rows, encodings, 1 if pairs is None else 2, truncation, part.start)
            parts.append(rows)
    rows = RaggedBatch.joined(parts)
    return replace(rows, samples=np.concatenate(samples)) if windows else rows


def _is_fast(tokenizer: Any, pairs: Any, names: Sequence[str]) -> bool:
    """Whether `encode_batch_fast` gives these arrays: it knows no characters and words.

    The tokens of a second text have type 0 there, unless a template says which they have.
    """
    if _NOT_FAST & set(names):
        return False
    templated = type(tokenizer.post_processor).__name__ == "TemplateProcessing"
    return pairs is None or "token_type_ids" not in names or templated


def _cut_rows(
    rows: RaggedBatch, encodings: Sequence[Any], texts: int, truncation: Truncation, start: int
) -> RaggedBatch:
    """Rows of one text or of two, none longer than `max_length`; special tokens stay. `start` as of `_encode_batch`."""
    if rows.longest <= truncation.max_length:
        return rows
    kept = np.ones(len(rows.input_ids), bool)
    for i in np.flatnonzero(rows.lengths > truncation.max_length).tolist():
        sequences = np.array([-1 if number is None else number for number in encodings[i].sequence_ids])
        places = [np.flatnonzero(sequences == number) for number in range(texts)]
        own = np.ones(len(sequences), bool)
        room = truncation.max_length - int((sequences < 0).sum())
        lengths = _lengths_kept([len(of_text) for of_text in places], room, truncation, f"text[{start + i}]")
        for of_text, length in zip(places, lengths, strict=True):
            surplus = len(of_text) - length
            own[of_text[:surplus] if truncation.side == "left" else of_text[length:]] = False
        kept[rows.row_offsets[i] : rows.row_offsets[i + 1]] = own
    return rows.keep(kept)


def encode(
    tokenizer: Any,
    texts: Sequence[Any],
    pairs: Sequence[Any] | None,
    words: bool,
    special: bool,
    truncation: Truncation | None,
    windows: bool,
    start: int = 0,
) -> list[Any]:
    """The `tokenizers.Encoding` of each text, or of each pair.

    Args:
        tokenizer: the `tokenizers.Tokenizer`.
        texts, pairs: strings, or with `words` lists of words.
        special: whether special tokens are added.
        truncation: None leaves the rows as long as they are.
        windows: whether what is cut off is kept, in each row's `overflowing`.
        start: the number of the first text, for errors.

    Raises:
        ValueError: a row cannot be cut so, or a text is no Unicode.
    """
    if truncation is None:
        return _encode_batch(tokenizer, _joined(texts, pairs), start, words, special)
    room = truncation.max_length - (tokenizer.num_special_tokens_to_add(pairs is not None) if special else 0)
    bare = _without_processor(tokenizer)
    rows = []
    for part in _portions(texts, pairs):
        firsts = _encode_batch(bare, texts[part], start + part.start, words)
        seconds = None if pairs is None else _encode_batch(bare, pairs[part], start + part.start, words)
        for i, first in enumerate(firsts):
            second = None if seconds is None else seconds[i]
            firsts[i] = None  # freed once it is cut
            if len(first) + (0 if second is None else len(second)) > room:
                pair = None if pairs is None else pairs[part.start + i]
                name = f"text[{start + part.start + i}]"
                first, second = _cut(bare, first, second, pair, room, truncation, windows, name)
            rows.append(tokenizer.post_process(first, second, special))
    return rows


def with_windows(encodings: Sequence[Any]) -> tuple[list[Any], np.ndarray]:
    """Each row and the windows that it kept of what was cut off, and the number of the text that each is of."""
    windows = [encoding.overflowing for encoding in encodings]
    samples = np.repeat(np.arange(len(windows)), [1 + len(of_text) for of_text in windows])
    return [row for of_text in zip(encodings, windows, strict=True) for row in (of_text[0], *of_text[1])], samples


def _portions(texts: Sequence[Any], pairs: Sequence[Any] | None) -> Iterator[slice]:
    """Which texts are encoded at once."""
    start = held = 0
    for i, text in enumerate(texts):
        size = _characters(text) + (0 if pairs is None else _characters(pairs[i]))
        if held and held + size > _CHARACTERS:
            yield slice(start, i)
            start, held = i, 0
        held += size
    yield slice(start, len(texts))


def _characters(text: Any) -> int:
    return len(text) if isinstance(text, str) else sum(map(len, text))


def lengths_kept(n1: int, n2: int | None, room: int, truncation: Truncation, name: str) -> tuple[int, int | None]:
    """How many tokens of a text, and of its pair, stay in `room` tokens, as the library has it.

    Raises:
        ValueError: the part that is to be cut is too short, or there is none.
    """
    surplus = n1 + (n2 or 0) - room
    how = f"max_length {truncation.max_length} with truncation {truncation.strategy!r}, stride {truncation.stride}"
    if surplus <= 0:
        return n1, n2
    if room == 0:
        return 0, None if n2 is None else 0
    if truncation.strategy == "longest_first":
        if n2 is None:
            return room, None
        # The shorter one keeps its tokens where it has at most half.
        short, long = sorted((n1, n2))
        long = max(short, room - short) if short <= room else short
        if short + long > room:
            short, long = room // 2, room // 2 + room % 2
        return (long, short) if n1 > n2 else (short, long)
    target = n1 if truncation.strategy == "only_first" else n2
    if target is None:
        raise ValueError(f"{how}: {name} has {n1} tokens and no second sequence to cut")
    if target <= surplus:
        raise ValueError(
            f"{how}: {name} has a sequence too short to be cut: {target} tokens, and {surplus} are too many"
        )
    return (n1 - surplus, n2) if truncation.strategy == "only_first" else (n1, target - surplus)


def _cut(
    bare: Any, first: Any, second: Any, pair: Any, room: int, truncation: Truncation, windows: bool, name: str
) -> tuple[Any, Any]:
    """Both to `room` tokens together; `pair` is the text of the second."""
    lengths = [len(encoding) for encoding in (first, second) if encoding is not None]
    keep = _lengths_kept(lengths, room, truncation, name)
    if keep[0] < len(first):
        first = _shortened(first, keep[0], truncation, windows)
    if second is not None and keep[1] < len(second):
        if windows:
            # Its windows keep the token type that they begin with: 1 only of the second text of a pair.
            empty, words = ("", False) if isinstance(pair, str) else ([], True)
            second = bare.encode(empty, pair, is_pretokenized=words)
        second = _shortened(second, keep[1], truncation, windows)
    return first, second


def _lengths_kept(lengths: Sequence[int], room: int, truncation: Truncation, name: str) -> list[int]:
    """`lengths_kept` of one text or of two, that are also more than the stride.

    Raises:
        ValueError: they cannot be cut so.
    """
    second = lengths[1] if len(lengths) > 1 else None
    keep = [length for length in lengths_kept(lengths[0], second, room, truncation, name) if length is not None]
    for length, whole in zip(keep, lengths, strict=True):
        if 0 < length < whole and length <= truncation.stride:
            raise ValueError(
                f"max_length {truncation.max_length} with truncation {truncation.strategy!r}, stride "
                f"{truncation.stride}: a window of {name} has room for {length} tokens, no more than the stride"
            )
    return keep


def _shortened(encoding: Any, length: int, truncation: Truncation, windows: bool) -> Any:
    if windows or 2 * length > len(encoding):
        encoding.truncate(length, stride=truncation.stride if windows else 0, direction=truncation.side)
        return encoding
    if length == 0:
        return type(encoding)()
    # `truncate` keeps what it cuts off as windows, which may be long: here the part that stays is the only window.
    encoding.truncate(len(encoding) - length, direction="left" if truncation.side == "right" else "right")
    return encoding.overflowing[0]


def _without_processor(tokenizer: Any) -> Any:
    """A tokenizer that shares the vocabulary and the rules of another, and adds no special tokens."""
    bare = type(tokenizer)(tokenizer.model)
    bare.normalizer, bare.pre_tokenizer = tokenizer.normalizer, tokenizer.pre_tokenizer
    bare.encode_special_tokens = tokenizer.encode_special_tokens
    bare.add_tokens([token for _, token in sorted(tokenizer.get_added_tokens_decoder().items())])
    return bare


def _encode_batch(
    tokenizer: Any, inputs: Sequence[Any], start: int, words: bool, special: bool = True, fast: bool = False
) -> list[Any]:
    """The library's, on inputs of which the first is number `start` of the texts."""
    encode_batch = tokenizer.encode_batch_fast if fast else tokenizer.encode_batch
    try:
        with library_errors("the texts cannot be tokenised"):
            return encode_batch(inputs, is_pretokenized=words, add_special_tokens=special)
    except ValueError as error:
        for i, row in enumerate(inputs):
            if any("\ud800" <= letter <= "\udfff" for text in _strings(row) for letter in text):
                raise ValueError(f"text[{start + i}] holds a lone surrogate, expected Unicode") from error
        raise


def _strings(row: Any) -> Iterator[str]:
    if isinstance(row, str):
        yield row
    else:
        for part in row:
            yield from _strings(part)


def _joined(texts: Sequence[Any], pairs: Sequence[Any] | None) -> Sequence[Any]:
    return texts if pairs is None else list(zip(texts, pairs, strict=True))


@contextmanager
def library_errors(message: str, kind: type[ValueError] = ValueError) -> Iterator[None]:
    """Turns what the library raises, the bare Exception and a PanicException that is none, into a ValueError."""
    try:
        yield
    except BaseException as error:
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        raise kind(f"{message}: {error}") from error
