"""A Unigram model of SentencePiece: its pieces, and how it normalises characters."""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bertx_weights import CheckpointError
from bertx_weights.containers.protobuf import fields_of
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
        for number, value in fields_of(content):
            if number == _PIECES:
                piece = dict(fields_of(value))
                text = piece[_PIECE].decode()
                (score,) = struct.unpack("<f", piece.get(_SCORE, bytes(4)))
                if not math.isfinite(score):
                    raise ValueError(f"the piece {text!r:.80} has the score {score}")
                pieces.append((text, score))
                if piece.get(_KIND) in (_CONTROL, _USER_DEFINED):
                    whole.append((text, piece[_KIND] == _CONTROL))
            elif number in messages:
                messages[number] |= dict(fields_of(value))
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
