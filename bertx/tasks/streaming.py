"""One input, a list or a stream of any length through a model, in batches of like length, results in input order."""

from __future__ import annotations

import itertools
import math
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

if TYPE_CHECKING:
    from .protocol import TaskModel

# How many inputs are tokenised and sorted by length at once: a stream needs the memory of so many.
WINDOW = 1024
# And how many characters they may have, with which a window ends, since a tokenised character takes memory. 1,024 texts
# of 2,000 characters are more than 400 words each, so that only texts which the model truncates or splits have more.
WINDOW_CHARACTERS = 2_097_152
# How many tokens a batch has, padding included; this and the constants below were measured: benchmarks/decisions.md.
BATCH_TOKENS = 1024
# A GPU is fastest with more of them at once.
ACCELERATOR_BATCH_TOKENS = 8192
# What a batch costs beside its tokens, in tokens.
_BATCH_COST = 16

# The lengths of batches where each is compiled anew, which takes about a second.
_WIDTHS = (*range(8, 65, 8), *range(80, 257, 16), *range(320, 513, 64))

T = TypeVar("T")

_MODEL_INPUTS = ("input_ids", "token_type_ids", "attention_mask")

Row = Mapping[str, Any]
"""The keys that a tokenizer gives for one text, unpadded."""


class InputError(ValueError):
    """Inputs that a task cannot take.

    Attributes:
        problems: the index of each such input → what is wrong with it.
    """

    def __init__(self, problems: Mapping[int, str]):
        self.problems = dict(problems)
        super().__init__("\n".join(f"input {index} {problem}" for index, problem in self.problems.items()))

    @classmethod
    def raise_for(cls, problems: Mapping[int, str]) -> None:
        """Raises one error for all of them, if there are any."""
        if problems:
            raise cls(problems)


def next_window(source: Iterator[T], characters: Callable[[T], int] | None = None) -> list[T]:
    """The inputs of a stream that are tokenised together: `WINDOW`, or fewer that have `WINDOW_CHARACTERS`.

    A part of a window's inputs is one window too.

    Args:
        source: the inputs; what is returned has been read from it, an empty list at its end.
        characters: how many an input has; None counts those of strings, tuples, lists and mappings.
    """
    window, left = [], WINDOW_CHARACTERS
    for one in itertools.islice(source, WINDOW):
        window.append(one)
        left -= (characters or count_characters)(one)
        if left <= 0:
            break
    return window


def count_characters(value: Any) -> int:
    """The characters of a text, or of all texts in a tuple, list or mapping of them."""
    if isinstance(value, str):
        return len(value)
    if isinstance(value, Mapping):
        value = list(value.values())
    return sum(map(count_characters, value)) if isinstance(value, (tuple, list)) else 0


def run(
    model: TaskModel,
    inputs: Any,
    encode: Callable[[list[Any]], list[list[Row]]],
    compute: Callable[[list[Row]], Sequence[Any]],
    combine: Callable[[list[Row], list[Any]], Any],
    batch_tokens: int | None = None,
) -> Any:
    """Encodes inputs, computes their rows in batches and gives the results as the inputs came.

    Args:
        model: the Model, whose vocabulary a tokenizer may exceed, and which may compile each shape.
        inputs: one input (a string, a mapping or a tuple), a list of them, or any other iterable.
        encode: several inputs → the rows of each: one, or the windows of a long text; raises InputError.
        compute: the rows of a batch → what the model says of each.
        combine: the rows of an input and what the model says of them → its result.
        batch_tokens: the most tokens of a batch, padding included; a longer row is a batch of its own. None is
            `BATCH_TOKENS`, or `ACCELERATOR_BATCH_TOKENS` where the model is not on the processor.

    Returns:
        The result, a list of results, or for another iterable an iterator that reads it as it is read.

    Raises:
        InputError: inputs that the task or the model cannot take: all those of one window.
    """
    if isinstance(inputs, bytes) or not isinstance(inputs, Iterable):
        raise TypeError(f"the input is {inputs!r:.60}, expected one text, a list of them or another iterable")
    alone = isinstance(inputs, (str, Mapping, tuple))
    if batch_tokens is None:
        batch_tokens = BATCH_TOKENS if model.device == "cpu" else ACCELERATOR_BATCH_TOKENS
    stream = _stream(model, [inputs] if alone else inputs, encode, compute, combine, batch_tokens)
    if alone:
        return next(stream)
    return list(stream) if isinstance(inputs, list) else stream


def _stream(
    model: TaskModel,
    inputs: Iterable[Any],
    encode: Callable[[list[Any]], list[list[Row]]],
    compute: Callable[[list[Row]], Sequence[Any]],
    combine: Callable[[list[Row], list[Any]], Any],
    batch_tokens: int,
) -> Iterator[Any]:
    source = iter(inputs)
    first = 0
    while window := next_window(source):
        try:
            encoded = encode(window)
            InputError.raise_for(_unknown_tokens(encoded, model.config.vocab_size))
        except InputError as error:
            raise InputError({first + index: problem for index, problem in error.problems.items()}) from None
        first += len(window)
        rows = [row for of_input in encoded for row in of_input]
        results: list[Any] = [None] * len(rows)
        # Large batches are few shapes to compile, and what an accelerator is fast with.
        full = model.compiles_each_shape or model.device != "cpu"
        indices = batches([_width(model, len(row["input_ids"])) for row in rows], batch_tokens, full)
        made = [[rows[index] for index in of_batch] for of_batch in indices]
        if model.compiles_each_shape:
            made = [batch + batch[:1] * _missing(model, batch, batch_tokens) for batch in made]
        for of_batch, answers in zip(indices, model.map(compute, made), strict=True):
            for index, answer in zip(of_batch, answers, strict=not model.compiles_each_shape):
                results[index] = answer
        start = 0
        for of_input in encoded:
            yield combine(of_input, results[start : start + len(of_input)])
            start += len(of_input)


def run_whole(
    model: TaskModel,
    inputs: Any,
    encode: Callable[[list[Any]], list[Row]],
    compute: Callable[[list[Row]], Sequence[Any]],
    batch_tokens: int | None = None,
) -> Any:
    """`run` for a task that has one row for each input, whose result is what `compute` gives."""
    return run(
        model,
        inputs,
        lambda window: [[row] for row in encode(window)],
        compute,
        lambda rows, results: results[0],
        batch_tokens,
    )


def _unknown_tokens(encoded: Sequence[Sequence[Row]], vocab_size: int) -> dict[int, str]:
    largest = [max((max(row["input_ids"], default=0) for row in rows), default=0) for rows in encoded]
    return {
        index: f"has a token of id {token}, and the model has embeddings of {vocab_size}: give it its own tokenizer"
        for index, token in enumerate(largest)
        if token >= vocab_size
    }


def rows_of(encoded: Mapping[str, Sequence[Any]]) -> list[Row]:
    """A tokenizer's batch as rows."""
    return [dict(zip(encoded, values, strict=True)) for values in zip(*encoded.values(), strict=True)]


def batches(lengths: Sequence[int], batch_tokens: int, full: bool = False) -> list[list[int]]:
    """Places of rows, the longest first, in the batches whose tokens, padding included, and number cost least.

    Args:
        lengths: of the rows, in tokens.
        batch_tokens: the most that the longest row of a batch times their number may be; a longer row is alone.
        full: as many rows in each batch as that has room for, whatever the padding.
    """
    order = sorted(range(len(lengths)), key=lambda index: -lengths[index])
    changes = [index for index in range(1, len(order)) if lengths[order[index]] < lengths[order[index - 1]]]
    # For the first n rows in order: the least that their batches cost, and where the last of these begins.
    best = [(0.0, 0)] + [(math.inf, 0)] * len(order)
    for start, index in enumerate(order):
        if best[start][0] < math.inf:
            longest = max(lengths[index], 1)
            last = min(start + max(batch_tokens // longest, 1), len(order))
            shorter = [] if full else changes[bisect_right(changes, start) : bisect_right(changes, last)]
            for end in (*shorter, last):
                cost = best[start][0] + longest * (end - start) + _BATCH_COST
                best[end] = min(best[end], (cost, start))
    made, end = [], len(order)
    while end:
        start = best[end][1]
        made.append(order[start:end])
        end = start
    return made[::-1]


def padded(model: TaskModel, rows: Sequence[Row]) -> dict[str, np.ndarray]:
    """What a model takes of rows, as arrays [B, T]; a checkpoint's tokenizer may give no token types.

    Rows are padded on the right, whatever the tokenizer's side: positions then count from a row's first token, so that
    it gives the same alone as in a batch. BERT has no other use for the side: nothing is generated from a row's end.
    """
    kept = [{name: row[name] for name in _MODEL_INPUTS if name in row} for row in rows]
    width = max(_width(model, len(row["input_ids"])) for row in rows)
    return dict(
        model.tokenizer.pad(
            kept,
            padding="max_length",
            max_length=width,
            padding_side="right",
            return_attention_mask=True,
            return_tensors="np",
        )
    )


def _missing(model: TaskModel, batch: Sequence[Row], batch_tokens: int) -> int:
    """How many rows the last batch lacks to the next power of two, or to what a batch of its length has."""
    full = batch_tokens // _width(model, len(batch[0]["input_ids"]))
    return max(0, min(1 << (len(batch) - 1).bit_length(), full) - len(batch))


def _width(model: TaskModel, length: int) -> int:
    """How long a row becomes: where each shape is compiled, one of a few lengths."""
    if not model.compiles_each_shape:
        return length
    longest = model.config.max_sequence_length
    return next((width for width in _WIDTHS if length <= width <= longest), max(length, longest))
