"""Batches of rows: each is a function of its step, so that a position in the data is a number."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence

import numpy as np

from .rows import DataError, Row

# Of a group of rows that is sorted by length: this many batches, or a quarter of all, as in transformers.
_GROUP = 50

Collate = Callable[[Sequence[Row], int, int], dict[str, np.ndarray]]
"""(rows, seed, step) → the arrays of a batch, by the names that the model's forward has for them."""


class Batches:
    """The batches of some rows; of one seed they are the same, in the same order, for every backend.

    ```python
    rows = bertx.data.read("reviews.jsonl")
    collate = bertx.data.collator_of("text-classification", tokenizer, config)
    batches = bertx.data.Batches(rows, collate, batch_size=32, seed=0)
    batches.at(1000)  # of the epoch 1000 // len(batches): nothing before it is read
    ```

    Attributes:
        rows: what batches are taken from. A collator may make several of one row, such as the windows of a context.
        batch_size: the rows of a batch; the last of an epoch may have fewer.
        seed, shuffle: as they were given.
    """

    def __init__(
        self,
        rows: Sequence[Row],
        collate: Collate,
        batch_size: int,
        seed: int,
        shuffle: bool = True,
        lengths: Sequence[int] | None = None,
    ):
        """Checks every row, where the collator knows how.

        Args:
            rows: anything with a length and `rows[index]`, such as what `bertx.data.read` gives, a list of dicts or
                a `datasets.Dataset`.
            collate: a collator (`collator_of`), or any function of (rows, seed, step).
            batch_size: the rows of a batch.
            seed: of the order, and of what a collator draws.
            shuffle: whether each epoch has an order of its own; False is the order of the rows in each.
            lengths: of each of `self.rows`, in whatever unit: rows of like length then share a batch, as with
                `group_by_length` of transformers. `collate.lengths(rows)` counts characters.

        Raises:
            DataError: rows that the collator cannot use, all of them.
            ValueError: no rows, a batch_size below 1, a negative seed, or another number of lengths than rows.
            TypeError: rows that have no length, or cannot be had by their index, as those of a stream.
        """
        if not hasattr(rows, "__len__") or not hasattr(rows, "__getitem__"):
            raise TypeError(
                f"rows is {type(rows).__name__}, expected a sequence: a batch is a function of its step, so that each "
                "row must be there by its index. Write a stream to a .jsonl file, and read that"
            )
        if batch_size < 1:
            raise ValueError(f"batch_size is {batch_size}, expected 1 or more")
        if seed < 0:
            raise ValueError(f"seed is {seed}, expected 0 or more")
        prepare = getattr(collate, "prepare", None)
        self.rows = rows if prepare is None else prepare(rows, seed)
        if not len(self.rows):
            raise ValueError("there are no rows to make batches of")
        if lengths is not None and len(lengths) != len(self.rows):
            raise ValueError(f"lengths has {len(lengths)} values, expected one for each of {len(self.rows)} rows")
        self.batch_size, self.seed, self.shuffle = batch_size, seed, shuffle
        self._collate = collate
        self._lengths = None if lengths is None else np.asarray(lengths)
        self._last: tuple[int, np.ndarray] | None = None

    def __len__(self) -> int:
        """The batches of an epoch."""
        return -(-len(self.rows) // self.batch_size)

    def in_order(self) -> Batches:
        """The same rows, each epoch in their order."""
        others = copy.copy(self)
        others.shuffle, others._last = False, None
        return others

    def at(self, step: int) -> dict[str, np.ndarray]:
        """The batch of a step, from 0; epochs follow one another without end.

        Raises:
            DataError: rows that cannot be used.
        """
        indices = self.indices(step)
        rows = [self.rows[int(index)] for index in indices]
        try:
            return self._collate(rows, self.seed, step)
        except DataError as error:
            raise DataError({int(indices[i]): problem for i, problem in error.problems.items()}, self.rows) from None

    def indices(self, step: int) -> np.ndarray:
        """Which of `rows` the batch of a step has."""
        if step < 0:
            raise ValueError(f"step is {step}, expected 0 or more")
        epoch, batch = divmod(step, len(self))
        return self.order(epoch)[batch * self.batch_size : (batch + 1) * self.batch_size]

    def order(self, epoch: int) -> np.ndarray:
        """The indices of all rows in the order of an epoch, from the seed and the epoch alone."""
        if not self.shuffle:
            epoch = 0
        if self._last is None or self._last[0] != epoch:
            order = np.arange(len(self.rows))
            if self.shuffle:
                order = generator_of(self.seed, epoch, "order").permutation(order)
            if self._lengths is not None:
                order = grouped(order, self._lengths, self.batch_size)
            self._last = epoch, order
        return self._last[1]


def generator_of(seed: int, number: int, purpose: str) -> np.random.Generator:
    """Random numbers for one purpose of one step or epoch, which share nothing with those of another."""
    return np.random.default_rng([seed, number, *purpose.encode()])


def grouped(order: np.ndarray, lengths: np.ndarray, batch_size: int) -> np.ndarray:
    """Indices such that those of a batch are of like length, the longest first of all.

    As transformers' `get_length_grouped_indices`: groups of batches are sorted, and keep their order.
    """
    size = batch_size * max(1, min(len(order) // (batch_size * 4), _GROUP))
    groups = [order[start : start + size] for start in range(0, len(order), size)]
    order = np.concatenate([group[np.argsort(-lengths[group], kind="stable")] for group in groups])
    starts = np.arange(0, len(order), size)
    longest = starts[np.argmax(lengths[order[starts]])]  # so that a lack of memory shows at once
    order[[0, longest]] = order[[longest, 0]]
    return order
