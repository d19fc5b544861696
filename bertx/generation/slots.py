"""Decoders whose caches are buffers with room for more positions than are taken."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..backend import Cache, Decoder

# Buffers have room for at least so many positions, and for twice as many each time that they are full: few copies, and
# few shapes where each is compiled.
LEAST_CAPACITY = 64

Layers = Sequence[Any]
"""For each layer the keys and the values, two arrays of the framework [B, N, S, D]."""


class SlotCache(Cache):
    """Keys and values in buffers [B, N, S, D].

    Rows end at the same position. Left of a shorter one are positions that nothing attends to; those that no row needs
    any more go when rows do.

    Attributes:
        layers: the buffers.
        capacity: how many positions they have, S.
        lengths: how many tokens each row has.
    """

    def __init__(self, decoder: SlotDecoder, layers: Layers, lengths: np.ndarray):
        self._decoder = decoder
        self.layers = layers
        self.lengths = lengths
        self.capacity = 0

    @property
    def length(self) -> int:
        """How many positions are taken."""
        return int(self.lengths.max())

    @property
    def starts(self) -> np.ndarray:
        """The position of each row's first token."""
        return self.length - self.lengths

    def select(self, rows: Sequence[int]) -> SlotCache:
        """These rows."""
        indices, before = np.asarray(rows), self.length
        self.lengths = self.lengths[indices]
        self.move(indices, before - self.length)
        return self

    def move(self, rows: np.ndarray | None, start: int) -> None:
        """These rows, or all, from the position `start` on, in new buffers with room for one position more at least."""
        needed = max(LEAST_CAPACITY, 1 << self.length.bit_length())
        self.capacity = min(needed, self._decoder.module.config.max_sequence_length)
        self.layers = self._decoder.move(self.layers, rows, start, self.length, self.capacity)


class SlotDecoder(Decoder):
    """The steps that are the same in each framework; `read` and `move` are its own."""

    def __init__(self, module: Any):
        self.module = module

    def prefill(self, input_ids: np.ndarray, lengths: np.ndarray, greedy: bool) -> tuple[np.ndarray, SlotCache]:
        """Reads whole rows."""
        length = int(lengths.max())
        found, layers = self.read(input_ids, length - lengths, (), 0, greedy)
        cache = SlotCache(self, layers, lengths)
        cache.move(None, layers[0][0].shape[2] - length)
        return found, cache

    def step(self, tokens: np.ndarray, cache: SlotCache, greedy: bool) -> np.ndarray:
        """Reads one token more of each row."""
        length = cache.length
        if length == cache.capacity:
            cache.move(None, 0)
        found, cache.layers = self.read(tokens[:, None], cache.starts, cache.layers, length, greedy)
        cache.lengths = cache.lengths + 1
        return found

    @abstractmethod
    def read(
        self, input_ids: np.ndarray, starts: np.ndarray, layers: Layers, before: int, greedy: bool
    ) -> tuple[np.ndarray, Layers]:
        """Runs the model on tokens [B, T] that follow those in `layers`, which are () where there are none.

        Args:
            input_ids: the tokens.
            starts: [B], the position of each row's first token, past ones counted.
            layers: the buffers, which may be written into.
            before: how many of their positions are taken.
            greedy: whether the likeliest ids [B] are wanted, or the logits [B, V].

        Returns:
            That of the last position, on the host, the logits as float32 or float64; and the layers with these
            positions, for T > 1 of any capacity.
        """

    @abstractmethod
    def move(self, layers: Layers, rows: np.ndarray | None, start: int, length: int, capacity: int) -> Layers:
        """New buffers of that capacity with `length` positions from `start` on of these rows, None for all of them."""
