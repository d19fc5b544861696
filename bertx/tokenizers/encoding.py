"""BatchEncoding: what a tokenizer gives, by key and by attribute, with the words behind the tokens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..backend import get_backend

# The hub's letters for a framework → its backend.
TENSORS = {"np": None, "pt": "torch", "tf": "tensorflow", "jax": "jax"}


class CharSpan(NamedTuple):
    """Characters of a text: the first, and one past the last."""

    start: int
    end: int


class TokenSpan(NamedTuple):
    """Tokens of a row: the first, and one past the last."""

    start: int
    end: int


class BatchEncoding(dict):
    """input_ids, token_type_ids, attention_mask and what else was requested; lists, or tensors [B, T].

    A string gets the values of a key, an integer the `tokenizers.Encoding` of a row.
    """

    def __init__(
        self,
        data: Mapping[str, Any] | None = None,
        encoding: Any = None,
        tensor_type: str | None = None,
        prepend_batch_axis: bool = False,
        n_sequences: int | None = None,
    ):
        """A batch, as transformers builds one.

        Args:
            data: the values by their keys.
            encoding: the `tokenizers.Encoding` of each row, or of the only one; or a function that gives them when
                they are first asked for. None where rows were made otherwise.
            tensor_type: "np", "pt", "tf" or "jax" makes tensors of the values.
            prepend_batch_axis: whether the values are those of one row, and the tensors get a batch axis.
            n_sequences: 1 for texts, 2 for pairs; that of the encodings where not given.
        """
        super().__init__(data or {})
        self._make: Any = encoding if callable(encoding) else None
        made: Any = () if encoding is None or self._make else encoding
        self._made = list(made) if isinstance(made, Sequence) else [made]
        self._n_sequences = n_sequences
        self.convert_to_tensors(tensor_type, prepend_batch_axis)

    def __getitem__(self, item: Any) -> Any:
        if isinstance(item, str):
            return super().__getitem__(item)
        if self.is_fast and isinstance(item, (int, slice)):
            return self.encodings[item]
        if isinstance(item, slice):
            return {name: value[item] for name, value in self.items()}
        raise KeyError(f"{item!r}: expected a key ({', '.join(self)}), or the number of a row that a tokenizer made")

    def __getattr__(self, name: str) -> Any:
        if name in self:
            return self[name]
        raise AttributeError(f"this BatchEncoding has no {name!r}; it has {', '.join(self)}")

    @property
    def data(self) -> BatchEncoding:
        """The values by their keys: this batch itself, which is a dict, where transformers' wraps one."""
        return self

    def copy(self) -> BatchEncoding:
        """A batch of the same values."""
        return BatchEncoding(self, self._make or self._made, n_sequences=self._n_sequences)

    def __getstate__(self) -> dict[str, Any]:
        """For pickle and copy: with the rows made."""
        return self.__dict__ | {"_made": self.encodings, "_make": None}

    def to(self, device: Any, *, non_blocking: bool = False) -> BatchEncoding:
        """Moves its PyTorch tensors to a device, and gives itself; what has no device stays as it is."""
        for name, value in self.items():
            if hasattr(value, "to"):
                self[name] = value.to(device, non_blocking=non_blocking)
        return self

    def convert_to_tensors(self, tensor_type: str | None = None, prepend_batch_axis: bool = False) -> BatchEncoding:
        """Makes tensors of the values, and gives itself; None leaves them as they are.

        Raises:
            ValueError: an unknown kind, or rows of different length.
            MissingExtraError: the framework is not installed.
        """
        if tensor_type is not None:
            rows = {name: [value] if prepend_batch_axis else value for name, value in self.items()}
            self.update(as_tensors(rows, tensor_type))
        return self

    # --- rows, words and characters ---------------------------------------------------------------

    @property
    def is_fast(self) -> bool:
        """Whether the rows know their words and characters."""
        return bool(self._make or self._made)

    @property
    def encodings(self) -> list[Any]:
        """The `tokenizers.Encoding` of each row."""
        if self._make is not None:
            self._made, self._make = self._make(), None
        return self._made

    @property
    def n_sequences(self) -> int | None:
        """1 for texts, 2 for pairs; None where it is not known."""
        if self._n_sequences is None and self.is_fast:
            return self.encodings[0].n_sequences
        return self._n_sequences

    def tokens(self, batch_index: int = 0) -> list[str]:
        """The tokens of one row."""
        return self._row(batch_index).tokens

    def word_ids(self, batch_index: int = 0) -> list[int | None]:
        """The word that each token of a row is part of; None for a special token."""
        return self._row(batch_index).word_ids

    words = word_ids

    def sequence_ids(self, batch_index: int = 0) -> list[int | None]:
        """0 or 1 for each token of a row: the text or its pair; None for a special token."""
        return self._row(batch_index).sequence_ids

    def token_to_sequence(self, batch_or_token_index: int, token_index: int | None = None) -> int | None:
        """0 or 1 for a token of the first row, or of (row, token): the text or its pair; None for a special token."""
        row, token = self._place(batch_or_token_index, token_index)
        return row.token_to_sequence(token % max(len(row), 1) if token < 0 else token)

    def token_to_word(self, batch_or_token_index: int, token_index: int | None = None) -> int | None:
        """The word of a token, of the first row or of (row, token); None for a special token."""
        row, token = self._place(batch_or_token_index, token_index)
        return row.token_to_word(token % max(len(row), 1) if token < 0 else token)

    def word_to_tokens(
        self, batch_or_word_index: int, word_index: int | None = None, sequence_index: int = 0
    ) -> TokenSpan | None:
        """The tokens of a word, of the first row or of (row, word); None where it became no token."""
        row, word = self._place(batch_or_word_index, word_index)
        span = row.word_to_tokens(word, sequence_index)
        return None if span is None else TokenSpan(*span)

    def word_to_chars(
        self, batch_or_word_index: int, word_index: int | None = None, sequence_index: int = 0
    ) -> CharSpan | None:
        """The characters of a word, of the first row or of (row, word); None where there is no such word."""
        row, word = self._place(batch_or_word_index, word_index)
        span = row.word_to_chars(word, sequence_index)
        return None if span is None else CharSpan(*span)

    def char_to_token(
        self, batch_or_char_index: int, char_index: int | None = None, sequence_index: int = 0
    ) -> int | None:
        """The token of a character, of the first row or of (row, character); None where it became no token."""
        row, char = self._place(batch_or_char_index, char_index)
        return row.char_to_token(char, sequence_index)

    def char_to_word(
        self, batch_or_char_index: int, char_index: int | None = None, sequence_index: int = 0
    ) -> int | None:
        """The word of a character, of the first row or of (row, character); None where it is in none."""
        row, char = self._place(batch_or_char_index, char_index)
        return row.char_to_word(char, sequence_index)

    def token_to_chars(self, batch_or_token_index: int, token_index: int | None = None) -> CharSpan | None:
        """The characters of a token, of the first row or of (row, token); None for a special token."""
        row, token = self._place(batch_or_token_index, token_index)
        span = row.token_to_chars(token)
        return None if span is None else CharSpan(*span)

    def _row(self, index: int) -> Any:
        if not self.is_fast:
            raise ValueError("these rows were not made by a call of a tokenizer: their words are not known")
        return self.encodings[index]

    def _place(self, first: int, second: int | None) -> tuple[Any, int]:
        """The row, and what is meant in it: (row, index), or (index) of the first row."""
        return (self._row(0), first) if second is None else (self._row(first), second)


def as_tensors(values: Mapping[str, Any], kind: str) -> dict[str, Any]:
    """Rows of equal length as tensors: "np" NumPy, "pt" PyTorch, "tf" TensorFlow, "jax" JAX.

    Raises:
        ValueError: an unknown kind, or rows of different length.
        MissingExtraError: the framework is not installed.
    """
    kind = getattr(kind, "value", kind)  # transformers' TensorType
    if kind not in TENSORS:
        raise ValueError(f"return_tensors is {kind!r}, expected one of {', '.join(TENSORS)}")
    arrays = {}
    for name, rows in values.items():
        try:
            array = np.asarray(rows)
        except ValueError as error:
            lengths = [len(row) for row in rows]
            raise ValueError(
                f"{name}: rows of {min(lengths)} to {max(lengths)} tokens make no tensor: without padding the texts of "
                "a batch must have the same number of tokens; pass padding=True"
            ) from error
        arrays[name] = array.astype(np.int64, copy=False) if array.dtype.kind in "iu" or not array.size else array
    backend = TENSORS[kind]
    return arrays if backend is None else {name: get_backend(backend).tensor(array) for name, array in arrays.items()}
