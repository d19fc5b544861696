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
"""For each layer the keys and the values, two arrays of the framework [B, N, S, D]; of an encoder two more."""


class SlotCache(Cache):
    """Keys and values in buffers [B, N, S, D].

    Rows end at the same position. Left of a shorter one are positions that nothing attends to; those that no row needs
    any more go when rows do.

    Attributes:
        layers: the buffers.
        capacity: how many positions they have, S.
        lengths: how many tokens each row has.
        mask: [P, S], False where a state of the encoder is hidden, of each of P texts; None where there is no encoder.
            The same number of rows, one after the other, attends to each text, whose keys and values are there once.
    """

    def __init__(self, decoder: SlotDecoder, layers: Layers, lengths: np.ndarray, mask: np.ndarray | None = None):
        self._decoder = decoder
        self.layers = layers
        self.lengths = lengths
        self.mask = mask
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
        texts = None
        if self.mask is not None:
            texts = _texts_of(indices, len(self.lengths) // len(self.mask))
            self.mask = self.mask[texts]
        self.lengths = self.lengths[indices]
        self.move(indices, before - self.length, texts)
        return self

    def move(self, rows: np.ndarray | None, start: int, texts: np.ndarray | None = None) -> None:
        """These rows, or all, from the position `start` on, in new buffers with room for one position more at least.

        texts: those that the rows attend to, as `mask` has them; None: all that there are.
        """
        needed = max(LEAST_CAPACITY, 1 << self.length.bit_length())
        self.capacity = min(needed, self._decoder.module.config.max_sequence_length)
        self.layers = self._decoder.move(self.layers, rows, texts, start, self.length, self.capacity)


def _texts_of(rows: np.ndarray, each: int) -> np.ndarray:
    """The texts of rows, where `each` had so many rows: once for all of its rows where all still have as many."""
    texts = rows // each
    first = np.flatnonzero(np.diff(texts, prepend=-1))
    counts = np.diff(first, append=len(texts))
    return texts[first] if (counts == counts[0]).all() else texts


def is_all(texts: np.ndarray | None, count: int) -> bool:
    """Whether texts are all of `count`, in their order, so that what is kept of them stays as it is."""
    return texts is None or np.array_equal(texts, np.arange(count))


class Encoded:
    """What rows attend to beside their own positions.

    Attributes:
        states: an encoder's states [B, S, H] on the device, as the decoder attends to them; None where the cache holds
            their keys and values.
        mask: [P, S], False where a state is hidden; see `SlotCache`.
    """

    def __init__(self, states: Any, mask: np.ndarray):
        self.states, self.mask = states, mask


class SlotDecoder(Decoder):
    """The steps that are the same in each framework; `read`, `move` and `states` are its own."""

    def __init__(self, module: Any, encoded: Encoded | None = None):
        self._whole = module
        self.module = module.get_decoder() if hasattr(module, "get_decoder") else module
        self._encoded = encoded

    def encode(self, input_ids: np.ndarray, attention_mask: np.ndarray) -> SlotDecoder:
        """Runs the encoder once."""
        if self._whole is self.module:
            return super().encode(input_ids, attention_mask)  # pyright: ignore[reportReturnType]  # raises
        mask = np.asarray(attention_mask) != 0
        return type(self)(self._whole, Encoded(self.states(self._whole, np.asarray(input_ids), mask), mask))

    def prefill(self, input_ids: np.ndarray, lengths: np.ndarray, greedy: bool) -> tuple[np.ndarray, SlotCache]:
        """Reads whole rows."""
        if self._whole is not self.module and self._encoded is None:
            raise ValueError("an encoder-decoder writes about texts: encode them first, decoder.encode(ids, mask)")
        length = int(lengths.max())
        found, layers = self.read(input_ids, length - lengths, (), 0, greedy, self._encoded)
        cache = SlotCache(self, layers, lengths, None if self._encoded is None else self._encoded.mask)
        cache.move(None, layers[0][0].shape[2] - length)
        return found, cache

    def step(self, tokens: np.ndarray, cache: SlotCache, greedy: bool) -> np.ndarray:
        """Reads one token more of each row."""
        length = cache.length
        if length == cache.capacity:
            cache.move(None, 0)
        encoded = None if cache.mask is None else Encoded(None, cache.mask)
        found, cache.layers = self.read(tokens[:, None], cache.starts, cache.layers, length, greedy, encoded)
        cache.lengths = cache.lengths + 1
        return found

    @abstractmethod
    def states(self, module: Any, input_ids: np.ndarray, mask: np.ndarray) -> Any:
        """What the encoder of an EncoderDecoderModel gives of texts [B, S], as its decoder attends to it."""

    @abstractmethod
    def read(
        self,
        input_ids: np.ndarray,
        starts: np.ndarray,
        layers: Layers,
        before: int,
        greedy: bool,
        encoded: Encoded | None,
    ) -> tuple[np.ndarray, Layers]:
        """Runs the model on tokens [B, T] that follow those in `layers`, which are () where there are none.

        Args:
            input_ids: the tokens.
            starts: [B], the position of each row's first token, past ones counted.
            layers: the buffers, which may be written into.
            before: how many of their positions are taken.
            greedy: whether the likeliest ids [B] are wanted, or the logits [B, V].
            encoded: what the rows attend to beside; None where the model has no encoder.

        Returns:
            That of the last position, on the host, the logits as float32 or float64; and the layers with these
            positions, for T > 1 of any capacity.
        """

    @abstractmethod
    def move(
        self,
        layers: Layers,
        rows: np.ndarray | None,
        texts: np.ndarray | None,
        start: int,
        length: int,
        capacity: int,
    ) -> Layers:
        """New buffers of that capacity with `length` positions from `start` on of these rows, None for all of them.

        The keys and the values of an encoder's states, the third and the fourth of a layer, are those of `texts`, with
        all their positions; None: of all that there are.
        """
