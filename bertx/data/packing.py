"""Sequence packing: several texts share a row, so that little of a batch is padding (Krell et al. 2021)."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Sequence
from typing import Any

import numpy as np

from .rows import Row
from .tokens import Tokens


def best_fit(lengths: np.ndarray, room: int, order: np.ndarray) -> list[list[int]]:
    """Which texts share a row of `room` tokens: the longest first, each where it leaves the least room.

    Args:
        lengths: of each text, at most `room`.
        room: of a row.
        order: of texts of one length.
    """
    rows: list[list[int]] = []
    with_room: dict[int, list[int]] = {}  # tokens that are left in a row → such rows
    rooms: list[int] = []  # the keys, in order
    for text in order[np.argsort(-lengths[order], kind="stable")].tolist():
        length = int(lengths[text])
        place = bisect_left(rooms, length)
        if place == len(rooms):
            row, left = len(rows), room
            rows.append([])
        else:
            left = rooms[place]
            row = with_room[left].pop()
            if not with_room[left]:
                del with_room[left], rooms[place]
        rows[row].append(text)
        left -= length
        if left not in with_room:
            with_room[left] = []
            insort(rooms, left)
        with_room[left].append(row)
    return rows


class Packs(Sequence[Row]):
    """Rows of texts that share a row: {"texts": of each (ids, begins), without special tokens}; see `Tokens`."""

    def __init__(self, tokens: Tokens, spans: np.ndarray, packs: Sequence[Sequence[int]]):
        """`spans` [texts, 2]: the first token of each text and one past its last."""
        self._tokens, self._spans = tokens, spans
        self._texts = np.array([text for pack in packs for text in pack], np.int64)
        self._begins = np.cumsum([0, *map(len, packs)])

    def __len__(self) -> int:
        """How many rows there are."""
        return len(self._begins) - 1

    def __getitem__(self, index: Any) -> Any:
        """A row."""
        texts = self._texts[self._begins[index] : self._begins[index + 1]]
        spans = self._spans[texts].tolist()
        return {"texts": [(self._tokens.ids[a:b], self._tokens.begins[a:b]) for a, b in spans]}
