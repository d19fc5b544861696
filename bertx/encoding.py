"""BatchEncoding: what a tokenizer gives, by key and by attribute, with the words behind the tokens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .backend import get_backend

# The hub's letters for a framework → its backend.
TENSORS = {"np": None, "pt": "torch", "tf": "tensorflow", "jax": "jax"}


class BatchEncoding(dict):
    """input_ids, token_type_ids, attention_mask and what else was asked for; lists, or tensors [B, T]."""

    def __init__(self, values: dict[str, Any], encodings: Sequence[Any] = ()):
        """`encodings`: the `tokenizers.Encoding` of each row, empty where the rows were made otherwise."""
        super().__init__(values)
        self._encodings = list(encodings)

    def __getattr__(self, name: str) -> Any:
        if name in self:
            return self[name]
        raise AttributeError(f"this BatchEncoding has no {name!r}; it has {', '.join(self)}")

    def to(self, device: Any) -> BatchEncoding:
        """The same with its PyTorch tensors on a device; what has no device stays as it is."""
        moved = {name: value.to(device) if hasattr(value, "to") else value for name, value in self.items()}
        return BatchEncoding(moved, self._encodings)

    @property
    def encodings(self) -> list[Any]:
        """The `tokenizers.Encoding` of each row."""
        return self._encodings

    def tokens(self, row: int = 0) -> list[str]:
        """The tokens of one row."""
        return self._encodings[row].tokens

    def word_ids(self, row: int = 0) -> list[int | None]:
        """The word that each token of a row is part of; None for a special token."""
        return self._encodings[row].word_ids

    def sequence_ids(self, row: int = 0) -> list[int | None]:
        """0 or 1 for each token of a row: the text or its pair; None for a special token."""
        return self._encodings[row].sequence_ids

    def char_to_token(
        self, batch_or_char_index: int, char_index: int | None = None, sequence_index: int = 0
    ) -> int | None:
        """The token of a character, of the first row or of (row, character); None where it became no token."""
        row, char = (0, batch_or_char_index) if char_index is None else (batch_or_char_index, char_index)
        return self._encodings[row].char_to_token(char, sequence_index)

    def token_to_chars(self, batch_or_token_index: int, token_index: int | None = None) -> tuple[int, int] | None:
        """The characters of a token, first and one past the last; None for a special token."""
        row, token = (0, batch_or_token_index) if token_index is None else (batch_or_token_index, token_index)
        return self._encodings[row].token_to_chars(token)


def as_tensors(values: dict[str, list], kind: str) -> dict[str, Any]:
    """Rows of equal length as tensors: "np" NumPy, "pt" PyTorch, "tf" TensorFlow, "jax" JAX.

    Raises:
        ValueError: an unknown kind, or rows of different length.
        MissingExtraError: the framework is not installed.
    """
    if kind not in TENSORS:
        raise ValueError(f"return_tensors is {kind!r}, expected one of {', '.join(TENSORS)}")
    arrays = {}
    for name, rows in values.items():
        try:
            array = np.array(rows)
        except ValueError as error:
            lengths = [len(row) for row in rows]
            raise ValueError(
                f"{name}: rows of {min(lengths)} to {max(lengths)} tokens make no tensor: without padding the texts of "
                "a batch must have the same number of tokens; pass padding=True"
            ) from error
        arrays[name] = array.astype(np.int64) if array.dtype.kind in "iu" or not array.size else array
    backend = TENSORS[kind]
    return arrays if backend is None else {name: get_backend(backend).tensor(array) for name, array in arrays.items()}
