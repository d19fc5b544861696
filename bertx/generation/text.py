"""Text that is given while it is made, and text that is not written."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from ..tokenizers.subwords import extended
from .config import GenerationConfig

# Blocks of Chinese characters, each of which is a word, as transformers' TextStreamer has them.
_CHINESE = ((0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFAFF), (0x20000, 0x2CEAF), (0x2F800, 0x2FA1F))


def pieces(tokenizer: Any, prompt: str, ids: Sequence[int], tokens: Iterable[int]) -> Iterator[str]:
    """What tokens add to a prompt, whose ids these are, as soon as its words are complete.

    Joined it is what the task gives for all tokens.
    """
    return pieces_of(lambda known: extended(tokenizer, prompt, ids, known)[len(prompt) :], tokens)


def pieces_of(text_of: Callable[[list[int]], str], tokens: Iterable[int]) -> Iterator[str]:
    """As `pieces`, of any function from the tokens so far to their text."""
    known: list[int] = []
    given = text = ""
    for token in tokens:
        known.append(token)
        text = text_of(known)
        whole = text[: _complete(text)]
        if len(whole) > len(given) and whole.startswith(given):
            yield whole[len(given) :]
            given = whole
    if len(text) > len(given):
        yield text[len(given) :]


def _complete(text: str) -> int:
    """How many of its characters stay as they are, whatever follows."""
    if text.endswith("\n") or (text and any(first <= ord(text[-1]) <= last for first, last in _CHINESE)):
        return len(text)
    start = text.rfind(" ")
    # "n ' t" becomes "n't", which is joined to the word before.
    if text[start + 1 :] == "'":
        start = text.rfind(" ", 0, max(start, 0))
    return max(start, 0)


def ids_of_words(tokenizer: Any, words: Sequence[str]) -> tuple[tuple[int, ...], ...]:
    """The tokens of each word, alone and after a space, for `bad_words_ids`.

    Raises:
        TypeError: one text, in place of a list of them.
        ValueError: words that the vocabulary has no tokens for.
    """
    if isinstance(words, str) or not all(isinstance(word, str) for word in words):
        raise TypeError(f"bad_words is {words!r:.60}, expected a list of texts")
    found: dict[tuple[int, ...], None] = {}
    unknown = []
    for word in words:
        of_word = [tuple(tokenizer(form, add_special_tokens=False)["input_ids"]) for form in (word, f" {word}")]
        if not all(of_word) or any(tokenizer.unk_token_id in ids for ids in of_word):
            unknown.append(word)
        found |= dict.fromkeys(of_word)
    if unknown:
        raise ValueError(f"bad_words has {', '.join(map(repr, unknown))}, which the vocabulary has no tokens for")
    return tuple(found)


def without_words(config: GenerationConfig, tokenizer: Any, words: Sequence[str] | None) -> GenerationConfig:
    """The config with `bad_words_ids` of these words too."""
    if not words:
        return config
    return config.replace(bad_words_ids=[*(config.bad_words_ids or ()), *ids_of_words(tokenizer, words)])
