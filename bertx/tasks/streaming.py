"""One input, a list or a stream of any length through a model, in batches of like length, results in input order."""

from __future__ import annotations

import contextlib
import functools
import itertools
import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np

from ..tokenizers.ragged import RaggedBatch

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
# More still where rows are packed in one, and no token is padding.
PACKED_BATCH_TOKENS = 16384
# What a batch costs beside its tokens, in tokens.
_BATCH_COST = 16

# The lengths of batches where each is compiled anew, which takes about a second, or recorded.
_LADDER = [*range(4, 33, 4), *range(40, 65, 8), *range(80, 257, 16), *range(320, 513, 64)]

T = TypeVar("T")

_MODEL_INPUTS = ("input_ids", "token_type_ids", "attention_mask")


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


class TooLongError(InputError):
    """Inputs with more tokens than the model has positions."""


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


STEPS: Any = object()
"""In the place of a task's inputs: the call gives its `Steps`, `model(STEPS, top_k=3)`."""


class Steps(NamedTuple):
    """What a call of a task does with inputs, for who runs each step on a thread of its own, as a server does.

    The rows of several calls may be joined for `answers`: each call gives the results of its own rows.
    """

    model: TaskModel
    encode: Callable[[list[Any]], RaggedBatch]
    compute: Callable[[RaggedBatch], Sequence[Any]]
    combined: Callable[[list[Any], RaggedBatch, list[Any]], Iterable[Any]]
    batch_tokens: int

    def rows(self, inputs: list[Any]) -> RaggedBatch:
        """The rows of inputs.

        Raises:
            InputError: inputs that the task or the model cannot take.
        """
        return _rows(self.model, inputs, self.encode, 0)

    def answers(self, rows: RaggedBatch) -> list[Any]:
        """What the model says of each row."""
        return _answers(self.model, rows, self.compute, self.batch_tokens)

    def results(self, inputs: list[Any], rows: RaggedBatch, answers: list[Any]) -> list[Any]:
        """The result of each input, of its rows and what the model says of them."""
        return list(self.combined(inputs, rows, answers))


def run(
    model: TaskModel,
    inputs: Any,
    encode: Callable[[list[Any]], RaggedBatch],
    compute: Callable[[RaggedBatch], Sequence[Any]],
    combine: Callable[[Any, RaggedBatch, list[Any]], Any],
    batch_tokens: int | None = None,
) -> Any:
    """Encodes inputs, computes their rows in batches and gives the results as the inputs came.

    Args:
        model: the Model, whose vocabulary a tokenizer may exceed, and which may compile each shape.
        inputs: one input (a string, a mapping or a tuple), a list of them, or any other iterable; or `STEPS`.
        encode: several inputs → their rows: one of each, or those that `samples` says, such as the windows of a long
            text; raises InputError.
        compute: the rows of a batch → what the model says of each.
        combine: an input, its rows and what the model says of them → its result.
        batch_tokens: the most tokens of a batch, padding included; a longer row is a batch of its own. None is
            `BATCH_TOKENS`, or `ACCELERATOR_BATCH_TOKENS` where the model is not on the processor, or
            `PACKED_BATCH_TOKENS` where rows are packed.

    Returns:
        The result, a list of results, or for another iterable an iterator that reads it as it is read.

    Raises:
        InputError: inputs that the task or the model cannot take: all those of one window.
    """

    def combined(window: list[Any], rows: RaggedBatch, answers: list[Any]) -> Iterator[Any]:
        bounds = range(len(window) + 1)
        if rows.samples is not None:
            bounds = np.searchsorted(rows.samples, bounds).tolist()
        for one, start, end in zip(window, bounds[:-1], bounds[1:], strict=True):
            yield combine(one, rows.select(range(start, end)), answers[start:end])

    return _run(model, inputs, encode, compute, combined, batch_tokens)


def run_whole(
    model: TaskModel,
    inputs: Any,
    encode: Callable[[list[Any]], RaggedBatch],
    compute: Callable[[RaggedBatch], Sequence[Any]],
    batch_tokens: int | None = None,
) -> Any:
    """`run` for a task that has one row for each input, whose result is what `compute` gives."""
    return _run(model, inputs, encode, compute, lambda window, rows, answers: answers, batch_tokens)


def _run(model: TaskModel, inputs: Any, encode: Any, compute: Any, combined: Any, batch_tokens: int | None) -> Any:
    """`run`; `combined` gives the results of a window, of its inputs, their rows and what the model says of these."""
    steps = Steps(model, encode, compute, combined, batch_tokens_of(model, batch_tokens))
    if inputs is STEPS:
        return steps
    if isinstance(inputs, bytes) or not isinstance(inputs, Iterable):
        raise TypeError(f"the input is {inputs!r:.60}, expected one text, a list of them or another iterable")
    if isinstance(inputs, (str, Mapping, tuple)):
        rows = steps.rows([inputs])
        return steps.results([inputs], rows, steps.answers(rows))[0]

    def stream() -> Iterator[Any]:
        with contextlib.closing(_encoded(model, inputs, encode)) as windows:
            for window, rows in windows:
                yield from combined(window, rows, steps.answers(rows))

    return list(stream()) if isinstance(inputs, list) else stream()


def batch_tokens_of(model: TaskModel, batch_tokens: int | None) -> int:
    """How many tokens a batch has: those that were asked for, or as many as are fast on the model's device."""
    if batch_tokens is not None:
        return batch_tokens
    if model.packs:
        return PACKED_BATCH_TOKENS
    return BATCH_TOKENS if model.device == "cpu" else ACCELERATOR_BATCH_TOKENS


def tokenizes_ahead(model: TaskModel) -> bool:
    """Whether a window is tokenised while the model runs the one before: the processor is free then."""
    return model.device != "cpu"


def _encoded(
    model: TaskModel, inputs: Iterable[Any], encode: Callable[[list[Any]], RaggedBatch]
) -> Generator[tuple[list[Any], RaggedBatch]]:
    """Yields the inputs of each window, and their rows.

    Raises:
        InputError: inputs that cannot be taken, by their number in the stream.
    """
    source = iter(inputs)
    windows = _ahead if tokenizes_ahead(model) else _one_by_one
    first = 0

    def rows(window: list[Any]) -> RaggedBatch:
        nonlocal first
        start, first = first, first + len(window)
        return _rows(model, window, encode, start)

    yield from windows(source, rows)


def _one_by_one(
    source: Iterator[Any], rows: Callable[[list[Any]], RaggedBatch]
) -> Generator[tuple[list[Any], RaggedBatch]]:
    while window := next_window(source):
        yield window, rows(window)


def _ahead(source: Iterator[Any], rows: Callable[[list[Any]], RaggedBatch]) -> Generator[tuple[list[Any], RaggedBatch]]:
    """The same, with the next window read before one is yielded, and tokenised on a thread while its reader computes.

    The inputs are read on the thread of the caller, whose generator or file they may come from.
    """
    from concurrent.futures import ThreadPoolExecutor

    window = next_window(source)
    of_window = rows(window) if window else None
    with ThreadPoolExecutor(1, "bertx-tokenizer") as pool:
        while of_window is not None:
            problem, following = None, []
            try:
                following = next_window(source)
            except Exception as error:  # its turn is after the results of this window
                problem = error
            made = pool.submit(rows, following) if following else None
            yield window, of_window
            if problem is not None:
                raise problem
            window, of_window = following, None if made is None else made.result()


def _rows(model: TaskModel, window: list[Any], encode: Callable[[list[Any]], RaggedBatch], first: int) -> RaggedBatch:
    """The rows of a window, whose first input has this number in the stream."""
    try:
        rows = encode(window)
        InputError.raise_for(_unknown_tokens(rows, model.config.vocab_size))
    except InputError as error:
        raise type(error)({first + index: problem for index, problem in error.problems.items()}) from None
    return rows


def _answers(
    model: TaskModel, rows: RaggedBatch, compute: Callable[[RaggedBatch], Sequence[Any]], batch_tokens: int
) -> list[Any]:
    """What the model says of each row."""
    if len(rows) == 1:
        (answer,) = compute(rows)
        return [answer]
    answers: list[Any] = [None] * len(rows)
    widths = _widths(model, rows.lengths)
    # Large batches are few shapes to compile, and what an accelerator is fast with.
    full = model.compiles_each_shape or model.device != "cpu"
    made = batches(widths, batch_tokens, full=full, packed=model.packs)
    filled = made
    if model.compiles_each_shape:
        filled = [[*batch, *batch[:1] * _missing(len(batch), int(widths[batch[0]]), batch_tokens)] for batch in made]
    for batch, of_batch in zip(made, model.map(compute, [rows.select(batch) for batch in filled]), strict=True):
        for index, answer in zip(batch, of_batch, strict=not model.compiles_each_shape):
            answers[index] = answer
    return answers


def _unknown_tokens(rows: RaggedBatch, vocab_size: int) -> dict[int, str]:
    if rows.input_ids.max(initial=0) < vocab_size:
        return {}
    unknown = np.flatnonzero(rows.input_ids >= vocab_size)
    of_tokens = rows.rows[unknown]
    inputs = of_tokens if rows.samples is None else rows.samples[of_tokens]
    largest: dict[int, int] = {}
    for index, token in zip(inputs.tolist(), rows.input_ids[unknown].tolist(), strict=True):
        largest[index] = max(token, largest.get(index, 0))
    return {
        index: f"has a token of id {token}, and the model has embeddings of {vocab_size}: give it its own tokenizer"
        for index, token in largest.items()
    }


def batches(
    lengths: Sequence[int] | np.ndarray, batch_tokens: int, full: bool = False, packed: bool = False
) -> list[list[int]]:
    """Places of rows, the longest first, in the batches whose tokens, padding included, and number cost least.

    Args:
        lengths: of the rows, in tokens.
        batch_tokens: the most that the longest row of a batch times their number may be; a longer row is alone.
        full: as many rows in each batch as that has room for, whatever the padding.
        packed: as many, where there is none: `batch_tokens` are those of the rows themselves.
    """
    lengths = np.asarray(lengths, np.int64)
    order = np.argsort(-lengths, kind="stable")
    ordered = lengths[order]
    count = len(order)
    # Where a batch that begins at each row ends at the latest.
    if packed:
        ends = np.cumsum(ordered)
        last = np.maximum(np.searchsorted(ends, ends - ordered + batch_tokens, "right"), np.arange(count) + 1).tolist()
    else:
        last = np.minimum(np.arange(count) + np.maximum(batch_tokens // np.maximum(ordered, 1), 1), count).tolist()
    bounds = _full_bounds(last) if full or packed else _cheapest_bounds(ordered.tolist(), last)
    places = order.tolist()
    return [places[start:end] for start, end in itertools.pairwise(bounds)]


def _full_bounds(last: list[int]) -> list[int]:
    """Where batches begin, and where the last ends, if each has all the rows that it has room for."""
    bounds = [0]
    while bounds[-1] < len(last):
        bounds.append(last[bounds[-1]])
    return bounds


def _cheapest_bounds(lengths: list[int], last: list[int]) -> list[int]:
    """The same, of the batches that cost least: they end where the length changes, or have no more room."""
    changes = [index for index in range(1, len(lengths)) if lengths[index] < lengths[index - 1]]
    # For the first n rows: the least that their batches cost, and where the last of these begins.
    best = [(0.0, 0)] + [(math.inf, 0)] * len(lengths)
    for start, longest in enumerate(lengths):
        if best[start][0] < math.inf:
            shorter = changes[bisect_right(changes, start) : bisect_right(changes, last[start])]
            for end in (*shorter, last[start]):
                cost = best[start][0] + max(longest, 1) * (end - start) + _BATCH_COST
                best[end] = min(best[end], (cost, start))
    bounds = [len(lengths)]
    while bounds[-1]:
        bounds.append(best[bounds[-1]][1])
    return bounds[::-1]


def batch_of(model: TaskModel, rows: RaggedBatch) -> dict[str, np.ndarray]:
    """What a model takes of rows: packed in one row [1, S] where the model is faster so, else padded to [B, T]."""
    width = _LADDER[min(bisect_left(_LADDER, rows.longest), len(_LADDER) - 1)]
    if model.replays(len(rows), width) and rows.longest <= width <= model.config.max_sequence_length:
        return padded(model, rows, width)
    if not model.packs or rows.attention_mask is not None or not rows.lengths.all():
        return padded(model, rows)
    arrays = rows.packed()
    return {name: arrays[name] for name in (*_MODEL_INPUTS, "segments") if name in arrays}


def split_rows(rows: RaggedBatch, batch: Mapping[str, np.ndarray], of_tokens: np.ndarray) -> list[np.ndarray]:
    """What a model gives of the tokens of a batch of `batch_of`, [B, T, ...] or [1, S, ...] → of each row [T, ...]."""
    if "segments" in batch:
        return np.split(of_tokens[0], rows.row_offsets[1:-1])
    return [of_row[:length] for of_row, length in zip(of_tokens, rows.lengths, strict=True)]


def join_rows(rows: RaggedBatch, batch: Mapping[str, np.ndarray], of_tokens: np.ndarray) -> np.ndarray:
    """An array of the tokens of rows, [N], as `batch_of` has these: [B, T], 0 for padding, or [1, S]."""
    if "segments" in batch:
        return of_tokens[None]
    width = batch["input_ids"].shape[1]
    found = np.zeros((len(rows), width), of_tokens.dtype)
    found[np.arange(width) < rows.lengths[:, None]] = of_tokens
    return found


def padded(model: TaskModel, rows: RaggedBatch, width: int = 0) -> dict[str, np.ndarray]:
    """What a model takes of rows, as arrays [B, T]; a checkpoint's tokenizer may give no token types.

    T is `width` where that is more than the rows need.

    Rows are padded on the right, whatever the tokenizer's side: positions then count from a row's first token, so that
    it gives the same alone as in a batch. BERT has no other use for the side: nothing is generated from a row's end.
    """
    width = max(width, int(_widths(model, np.array([rows.longest]))[0]))
    arrays = rows.padded(width, model.tokenizer.padding_id())
    return {name: arrays[name] for name in _MODEL_INPUTS if name in arrays}


def _missing(count: int, width: int, batch_tokens: int) -> int:
    """How many rows a batch lacks to the next power of two, or to what a batch of its length has."""
    return max(0, min(1 << (count - 1).bit_length(), batch_tokens // width) - count)


def _widths(model: TaskModel, lengths: np.ndarray) -> np.ndarray:
    """How long rows become: where each shape is compiled, one of a few lengths."""
    if not model.compiles_each_shape:
        return lengths
    widths = _widths_up_to(model.config.max_sequence_length)
    return np.maximum(lengths, widths[np.minimum(widths.searchsorted(lengths), len(widths) - 1)])


@functools.cache
def _widths_up_to(longest: int) -> np.ndarray:
    return np.array([*_LADDER[: bisect_right(_LADDER, longest)], longest])
