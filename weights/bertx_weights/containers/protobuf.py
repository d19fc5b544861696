"""Protobuf messages by the numbers of their fields, without their schema."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


def varint(data: bytes, offset: int) -> tuple[int, int]:
    """The integer at an offset, and the offset after it.

    Raises:
        ValueError: it is cut off, or longer than any.
    """
    value = 0
    for shift in range(0, 70, 7):
        if offset >= len(data):
            raise ValueError("a number that is cut off")
        byte = data[offset]
        value |= (byte & 0x7F) << shift
        offset += 1
        if byte < 0x80:
            return value, offset
    raise ValueError("a number of more than ten bytes")


def fields_of(message: bytes) -> Iterator[tuple[int, Any]]:
    """The fields of a message: number → an int, or bytes.

    Raises:
        ValueError: the message is broken.
    """
    offset = 0
    while offset < len(message):
        tag, offset = varint(message, offset)
        kind = tag & 7
        if kind == 0:
            value, offset = varint(message, offset)
        elif kind in (1, 2, 5):
            length, offset = varint(message, offset) if kind == 2 else (8 if kind == 1 else 4, offset)
            value, offset = message[offset : offset + length], offset + length
        else:
            raise ValueError(f"a protobuf field of kind {kind}")
        if offset > len(message):
            raise ValueError("a protobuf field that is longer than its message")
        yield tag >> 3, value
