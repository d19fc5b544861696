"""Text that is given while it is made."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from ..tokenizers.subwords import extended

# Blocks of Chinese characters, each of which is a word, as transformers' TextStreamer has them.
_CHINESE = ((0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFAFF), (0x20000, 0x2CEAF), (0x2F800, 0x2FA1F))


def pieces(tokenizer: Any, prompt: str, ids: Sequence[int], tokens: Iterable[int]) -> Iterator[str]:
    """Yields what tokens add to a prompt, whose ids these are, as soon as its words are complete.

    Joined it is what the task gives for all tokens.
    """
    known: list[int] = []
    given = text = ""
    for token in tokens:
        known.append(token)
        text = extended(tokenizer, prompt, ids, known)[len(prompt) :]
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
