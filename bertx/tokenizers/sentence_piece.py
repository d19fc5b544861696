"""A Unigram model of SentencePiece: its pieces, and how it normalises characters."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bertx_weights import CheckpointError
from bertx_weights.files import read_bytes

# The numbers of fields in sentencepiece_model.proto.
_PIECES, _TRAINER, _NORMALIZER = 1, 2, 3
_PIECE, _SCORE, _KIND = 1, 2, 3
_CONTROL, _USER_DEFINED = 3, 4  # kinds of pieces
_CHARACTERS = 2
# What changes the ids: (message, number) → name, the value where the file has none, and the one that bertx runs.
_EXPECTED = {
    (_TRAINER, 3): ("model_type", 1, 1),
    (_TRAINER, 24): ("treat_whitespace_as_suffix", 0, 0),
    (_TRAINER, 35): ("byte_fallback", 0, 0),
    (_NORMALIZER, 3): ("add_dummy_prefix", 1, 1),
    (_NORMALIZER, 4): ("remove_extra_whitespaces", 1, 1),
    (_NORMALIZER, 5): ("escape_whitespaces", 1, 1),
}


@dataclass(frozen=True)
class Model:
    """What a file holds.

    Attributes:
        pieces: each with its score, in the order of their ids.
        characters: the compiled rules that normalise characters; empty for none.
        whole: pieces that stay whole in a text, and whether each is special.
    """

    pieces: Sequence[tuple[str, float]]
    characters: bytes = b""
    whole: Sequence[tuple[str, bool]] = ()


def read(path: Path) -> Model:
    """The model of a file such as sentencepiece.bpe.model.

    Raises:
        CheckpointError: the file cannot be read, or is no such model.
    """
    content = read_bytes(path)
    pieces, whole = [], []
    messages: dict[int, dict[int, Any]] = {_TRAINER: {}, _NORMALIZER: {}}
    try:
        for number, value in _fields(content):
            if number == _PIECES:
                piece = dict(_fields(value))
                text = piece[_PIECE].decode()
                (score,) = struct.unpack("<f", piece.get(_SCORE, bytes(4)))
                if not math.isfinite(score):
                    raise ValueError(f"the piece {text!r:.80} has the score {score}")
                pieces.append((text, score))
                if piece.get(_KIND) in (_CONTROL, _USER_DEFINED):
                    whole.append((text, piece[_KIND] == _CONTROL))
            elif number in messages:
                messages[number] |= dict(_fields(value))
        characters = bytes(messages[_NORMALIZER].get(_CHARACTERS, b""))
    except (ValueError, IndexError, KeyError, TypeError, AttributeError, struct.error) as error:
        raise CheckpointError(f"{path}: not a model of SentencePiece: {error}") from error
    if not pieces:
        raise CheckpointError(f"{path}: not a model of SentencePiece: it has no pieces")
    problems = [
        f"{name} is {found}, expected {expected}"
        for (message, number), (name, default, expected) in _EXPECTED.items()
        if (found := messages[message].get(number, default)) != expected
    ]
    if problems:
        raise CheckpointError(
            f"{path}: a model of SentencePiece that bertx does not run: {'; '.join(problems)}; "
            "tokenise with transformers, and give the ids to model.forward"
        )
    return Model(pieces, characters, whole)


def _fields(message: bytes) -> Iterator[tuple[int, Any]]:
    """The fields of a protobuf message: number → an int, or bytes."""
    i = 0
    while i < len(message):
        tag, i = _varint(message, i)
        kind = tag & 7
        if kind == 0:
            value, i = _varint(message, i)
        elif kind in (1, 2, 5):
            length, i = _varint(message, i) if kind == 2 else (8 if kind == 1 else 4, i)
            value, i = message[i : i + length], i + length
        else:
            raise ValueError(f"a field of the wire type {kind}")
        if i > len(message):
            raise ValueError("a field that is longer than its message")
        yield tag >> 3, value


def _varint(message: bytes, i: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if i >= len(message):
            raise ValueError("a number that is cut off")
        byte = message[i]
        value |= (byte & 0x7F) << shift
        i += 1
        if byte < 0x80:
            return value, i
    raise ValueError("a number of more than ten bytes")
