"""RaggedBatch: a tokenised batch as flat arrays. B rows of any length, N tokens in all of them."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import chain, pairwise
from operator import attrgetter
from typing import Any, Self

import numpy as np

# The arrays with an entry a token: what a row is padded with.
_FILLS = {
    "input_ids": None,
    "token_type_ids": 0,
    "attention_mask": 0,
    "special_tokens_mask": 1,
    "offset_mapping": 0,
    "word_ids": -1,
    "sequence_ids": -1,
}
# Where the library has them in an `Encoding`; the attention mask of a row that is not padded is 1.
_ATTRIBUTES = {name: name for name in _FILLS if name != "attention_mask"} | {
    "input_ids": "ids",
    "token_type_ids": "type_ids",
    "offset_mapping": "offsets",
}


Requested = Any
"""An array, or None where nobody asked for it. Who reads it has asked for it, so that it need not be checked."""


@dataclass(frozen=True)
class RaggedBatch:
    """Rows of tokens, one after the other: row i is `row_offsets[i]:row_offsets[i + 1]` of each array of tokens.

    All arrays are int64. Those that nobody asked for are None.

    Attributes:
        input_ids: [N].
        row_offsets: [B + 1].
        token_type_ids: [N].
        attention_mask: [N], 0 for padding that is part of a row; None where no row has any.
        special_tokens_mask: [N], 1 for a token that was added.
        offset_mapping: [N, 2], the characters of each token in its text: the first, and one past the last.
        word_ids: [N], the word that each token is part of; -1 for a special token.
        sequence_ids: [N], 0 for a token of the first text and 1 for one of its pair; -1 for a special token.
        samples: [B], the text that each row is a window of; None where each row is a text.
    """

    input_ids: np.ndarray
    row_offsets: np.ndarray
    token_type_ids: Requested = None
    attention_mask: Requested = None
    special_tokens_mask: Requested = None
    offset_mapping: Requested = None
    word_ids: Requested = None
    sequence_ids: Requested = None
    samples: Requested = None

    @classmethod
    def of_encodings(cls, encodings: Sequence[Any], names: Iterable[str] = ()) -> Self:
        """The ids of each `tokenizers.Encoding`, and the arrays that are named."""
        offsets = np.zeros(len(encodings) + 1, np.int64)
        np.fromiter(map(len, encodings), np.int64, len(encodings)).cumsum(out=offsets[1:])
        arrays = {}
        for name in ("input_ids", *names):
            values = chain.from_iterable(map(attrgetter(_ATTRIBUTES[name]), encodings))
            if name == "offset_mapping":
                flat = np.fromiter(chain.from_iterable(values), np.int64, 2 * offsets[-1])
                arrays[name] = flat.reshape(-1, 2)
            elif name in ("word_ids", "sequence_ids"):
                arrays[name] = np.fromiter((-1 if i is None else i for i in values), np.int64, offsets[-1])
            else:
                arrays[name] = np.fromiter(values, np.int64, offsets[-1])
        return cls(row_offsets=offsets, **arrays)

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """The rows of several batches that have the same arrays, without `samples`."""
        if len(parts) == 1:
            return parts[0]
        offsets = np.zeros(1 + sum(map(len, parts)), np.int64)
        np.cumsum(np.concatenate([part.lengths for part in parts]), out=offsets[1:])
        arrays = {name: np.concatenate([part.tokens()[name] for part in parts]) for name in parts[0].tokens()}
        return cls(row_offsets=offsets, **arrays)

    def __len__(self) -> int:
        """How many rows it has."""
        return len(self.row_offsets) - 1

    @functools.cached_property
    def lengths(self) -> np.ndarray:
        """How many tokens each row has, [B]."""
        return self.row_offsets[1:] - self.row_offsets[:-1]

    @functools.cached_property
    def longest(self) -> int:
        """How many tokens the longest row has; 0 where there is none."""
        return int(self.lengths.max(initial=0))

    @property
    def rows(self) -> np.ndarray:
        """The row that each token is in, [N]."""
        return np.repeat(np.arange(len(self)), self.lengths)

    def tokens(self) -> dict[str, np.ndarray]:
        """The arrays with an entry a token, by name."""
        return {name: array for name in _FILLS if (array := getattr(self, name)) is not None}

    def select(self, rows: Any) -> Self:
        """The rows of these numbers, in their order; a number may come twice."""
        rows = np.asarray(rows, np.int64)
        lengths = self.lengths[rows]
        offsets = np.zeros(len(rows) + 1, np.int64)
        np.cumsum(lengths, out=offsets[1:])
        taken = np.repeat(self.row_offsets[rows] - offsets[:-1], lengths) + np.arange(offsets[-1])
        arrays: dict[str, Any] = {name: array[taken] for name, array in self.tokens().items()}
        samples = None if self.samples is None else self.samples[rows]
        return replace(self, row_offsets=offsets, samples=samples, **arrays)

    def keep(self, kept: np.ndarray) -> Self:
        """The tokens that are True in [N]."""
        offsets = np.concatenate([[0], np.cumsum(kept)])[self.row_offsets]
        arrays: dict[str, Any] = {name: array[kept] for name, array in self.tokens().items()}
        return replace(self, row_offsets=offsets, **arrays)

    def lists(self, name: str) -> list[list[Any]]:
        """An array of tokens as a list for each row; characters are pairs."""
        flat = getattr(self, name).tolist()
        if name == "offset_mapping":
            flat = list(map(tuple, flat))
        return [flat[start:end] for start, end in pairwise(self.row_offsets.tolist())]

    def padded(self, width: int, pad_token_id: int, side: str = "right") -> dict[str, np.ndarray]:
        """The arrays of tokens as [B, width], `attention_mask` always among them.

        Args:
            width: how long each row becomes, at least as long as it is.
            pad_token_id: the id that rows are filled with.
            side: where that is, "right" or "left".
        """
        lengths = self.lengths[:, None]
        at = np.arange(width)
        own = at < lengths if side == "right" else at >= width - lengths
        arrays = {"attention_mask": own.astype(np.int64)}
        if own.all():
            return arrays | {
                name: flat.reshape(len(self), width, *flat.shape[1:]) for name, flat in self.tokens().items()
            }
        for name, flat in self.tokens().items():
            fill = pad_token_id if name == "input_ids" else _FILLS[name]
            arrays[name] = np.full((len(self), width, *flat.shape[1:]), fill, np.int64)
            arrays[name][own] = flat
        return arrays

    def packed(self) -> dict[str, np.ndarray]:
        """The arrays of tokens as one row [1, N], and `segments` [B, T]: where those of each row are, −1 after its end.

        Raises:
            ValueError: rows with padding, or without a token.
        """
        lengths = self.lengths[:, None]
        if self.attention_mask is not None or not lengths.all():
            raise ValueError("rows with padding, or without a token, cannot be packed: pad them")
        at = np.arange(self.longest)
        segments = np.where(at < lengths, self.row_offsets[:-1, None] + at, -1)
        return {**{name: flat[None] for name, flat in self.tokens().items()}, "segments": segments}

    def at_least(self, width: int, pad_token_id: int) -> Self:
        """Rows padded on the right to so many tokens; longer ones stay as they are."""
        lengths = self.lengths
        widths = np.maximum(lengths, width)
        offsets = np.zeros(len(self) + 1, np.int64)
        np.cumsum(widths, out=offsets[1:])
        at = np.arange(len(self.input_ids)) + np.repeat(offsets[:-1] - self.row_offsets[:-1], lengths)
        arrays: dict[str, Any] = {}
        for name, flat in ({"attention_mask": np.ones_like(self.input_ids)} | self.tokens()).items():
            fill = pad_token_id if name == "input_ids" else _FILLS[name]
            arrays[name] = np.full((offsets[-1], *flat.shape[1:]), fill, np.int64)
            arrays[name][at] = flat
        return replace(self, row_offsets=offsets, **arrays)
