"""A text, or a text and its pair: how tasks take them, and the tokenizer's row of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..tokenizers.ragged import RaggedBatch
from .options import TokenizerOptions, check_lengths
from .streaming import InputError

if TYPE_CHECKING:
    from .protocol import TaskModel


def encode_pairs(
    model: TaskModel,
    texts: Sequence[Any],
    second: bool = False,
    tokenizer: Any = None,
    options: TokenizerOptions | None = None,
    prompt: str = "",
) -> RaggedBatch:
    """The row of each text or pair, truncated to what the model takes; with `second` each must be a pair.

    Args:
        model: the Model.
        texts: as `as_pair` takes them.
        second: whether each must be a pair.
        tokenizer: None takes the model's.
        options: how they are cut and padded; None cuts at what the model takes.
        prompt: what is put before each text, the first of a pair.

    Raises:
        InputError: texts without a second one, or texts that are not truncated and longer than the model takes.
    """
    options = options or TokenizerOptions()
    tokenizer = model.tokenizer if tokenizer is None else tokenizer  # whose truth would be that of its length
    split: list[Any] = [as_pair(text, index) for index, text in enumerate(texts)]
    if second:
        alone = [index for index, (_, pair) in enumerate(split) if pair is None]
        InputError.raise_for(dict.fromkeys(alone, "is one text: give a pair, (first, second)"))
    parts, order = [], []
    for has_pair in (False, True):
        indices = [i for i, (_, pair) in enumerate(split) if (pair is not None) == has_pair]
        if indices:
            first, second_texts = [prompt + split[i][0] for i in indices], [split[i][1] for i in indices]
            parts.append(options.rows(model, tokenizer, first, second_texts if has_pair else None))
            order += indices
    rows = parts[0] if len(parts) == 1 else RaggedBatch.joined(parts).select(np.argsort(order))
    check_lengths(model, rows)
    return rows


def as_pair(text: Any, index: int = 0) -> tuple[str, str | None]:
    """A text and its pair, None where it has none; `index` is its position among others, for the error.

    Raises:
        TypeError: neither a string, a pair of them nor a mapping of "text" and "text_pair".
    """
    pair = text
    if isinstance(text, str):
        pair = (text, None)
    elif isinstance(text, Mapping) and "text" in text and set(text) <= {"text", "text_pair"}:
        pair = (text["text"], text.get("text_pair"))
    if not isinstance(pair, tuple) or len(pair) != 2 or not isinstance(pair[0], str):
        pair = None
    if pair is None or not isinstance(pair[1], (str, type(None))):
        raise TypeError(
            f"input {index} is {text!r:.60}: expected a string, a tuple of two, or {{'text': …, 'text_pair': …}}"
        )
    return pair
