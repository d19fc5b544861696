"""How the tokens of a text make its words, by what the model of a tokenizer marks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def continuation_mark(tokenizer: Any) -> str | None:
    """What begins a token that goes on a word, "##" of WordPiece; None where it is the other tokens that are marked."""
    return getattr(tokenizer.backend_tokenizer.model, "continuing_subword_prefix", None) or None


def continues_word(mark: str | None, token: str, text: str, start: int) -> bool:
    """Whether a token goes on the word before it.

    Where tokens have no mark for that, it does if there is no space before it, as in transformers' pipelines.

    Args:
        mark: the `continuation_mark` of the tokenizer.
        token: the token, which is not the unknown one.
        text: the text that it is of.
        start: the character of `text` that it begins with.
    """
    if mark:
        return token.startswith(mark)
    return start > 0 and " " not in text[start - 1 : start + 1]


def extended(tokenizer: Any, text: str, before: Sequence[int], new: Sequence[int]) -> str:
    """A text and the tokens that go on after it, special ones left out; `before`: the ids of the text."""
    if mark := continuation_mark(tokenizer):
        words = tokenizer.decode(new, skip_special_tokens=True)
        first = tokenizer.convert_ids_to_tokens(new[0]) or ""
        return text + ("" if first.startswith(mark) or not words or not text else " ") + words.removeprefix(mark)
    # What a token adds to a text depends on the one before it: a leading space may be left out.
    whole, known = (tokenizer.decode(ids, skip_special_tokens=True) for ids in ([*before, *new], before))
    return text + whole[len(known) :]
