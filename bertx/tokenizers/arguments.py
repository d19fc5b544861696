"""The arguments of a tokenizer's call: what they may be, and as what the call takes them."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from .truncation import Truncation

PADDINGS = {True: "longest", False: "do_not_pad"}
TRUNCATIONS = {True: "longest_first", False: "do_not_truncate"}
SIDES = ("right", "left")


def option(name: str, value: Any, aliases: Mapping[Any, str], known: tuple[str, ...]) -> str:
    """The value of an option by its full name.

    Raises:
        ValueError: neither one of those known nor a bool that stands for one.
    """
    if value in known:
        return value
    if isinstance(value, bool) and value in aliases:
        return aliases[value]
    shown = ", ".join(map(repr, (*aliases, *known)))
    raise ValueError(f"{name} is {value!r}, expected one of {shown}")


def as_batch(text: Any, one: bool, words: bool, argument: str) -> list[Any]:
    """The texts of a call: strings, or with `words` lists of words; `one` of them, or several.

    Raises:
        TypeError: what is neither.
    """
    if isinstance(text, str) and not one and not words:
        raise TypeError(f"{argument} is a str, expected a list of strings, as many as texts")
    check_kind(argument, text)
    texts = [text] if one or isinstance(text, str) else list(text)
    if one and words and not isinstance(text, str):
        odd = [(i, word) for i, word in enumerate(text) if not isinstance(word, str)]
        if odd:
            raise TypeError(f"{argument}[{odd[0][0]}] is a {type(odd[0][1]).__name__}, expected a word, as the others")
    for i, entry in enumerate(texts):
        if words and (
            isinstance(entry, str)
            or not isinstance(entry, Iterable)
            or not all(isinstance(word, str) for word in entry)
        ):
            raise TypeError(f"{argument}[{i}] is {type(entry).__name__} {entry!r:.40}, expected a list of words")
        if not words and not isinstance(entry, str):
            raise TypeError(f"{argument}[{i}] is a {type(entry).__name__}, expected a string")
    return [list(entry) for entry in texts] if words else texts


def are_pairs(text: Any) -> bool:
    """Whether a batch is a list of (text, text_pair)."""
    return (
        isinstance(text, (list, tuple))
        and bool(text)
        and all(
            isinstance(entry, (list, tuple)) and len(entry) == 2 and all(isinstance(part, str) for part in entry)
            for entry in text
        )
    )


def split(ids: list[int], length: int, cut: Truncation) -> tuple[list[int], list[int]]:
    """The ids that stay, and those that are cut off with `stride` of the others."""
    if length == len(ids):
        return ids, []
    window = min(len(ids), len(ids) - length + cut.stride)
    if cut.side == "left":
        return ids[len(ids) - length :], ids[:window]
    return ids[:length], ids[len(ids) - window :]


def check_kind(argument: str, text: Any) -> None:
    """Raises TypeError for what is no string and no list."""
    if isinstance(text, bytes) or not isinstance(text, Iterable):
        raise TypeError(f"{argument} is a {type(text).__name__}, expected a string or a list of strings")


def as_list(values: Any) -> Any:
    """Ids of a framework, or of NumPy, as Python's own."""
    if isinstance(values, (int, list, tuple)):
        return values
    return values.tolist() if hasattr(values, "tolist") else np.asarray(values).tolist()


def checked_ids(ids: Any) -> list[int]:
    """Ids as the library takes them.

    Raises:
        ValueError: one below 0, or beyond 32 bits.
        TypeError: one that is no integer.
    """
    checked = []
    for i, value in enumerate(ids):
        try:
            checked.append(operator.index(value))
        except TypeError:
            raise TypeError(f"ids[{i}] is {value!r:.60}, a {type(value).__name__}, expected an integer") from None
        if not 0 <= checked[-1] < 2**32:
            raise ValueError(
                f"ids[{i}] is {value!r:.60}, expected the id of a token (labels have -100 where there is none)"
            )
    return checked
