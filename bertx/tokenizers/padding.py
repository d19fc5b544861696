"""Rows of ids to rows of one length."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .arguments import PADDINGS, SIDES, as_list, option
from .encoding import BatchEncoding

UNLIMITED = int(1e30)  # transformers' model_max_length of a checkpoint that names none


class Padding:
    """How a tokenizer pads what was tokenised."""

    pad_token: str | None
    pad_token_id: int | None
    padding_side: str
    model_max_length: int
    model_input_names: list[str]

    def pad(
        self,
        encoded_inputs: Mapping[str, Any] | Sequence[Mapping[str, Any]],
        padding: bool | str = True,
        max_length: int | None = None,
        pad_to_multiple_of: int | None = None,
        padding_side: str | None = None,
        return_attention_mask: bool | None = None,
        return_tensors: str | None = None,
        verbose: bool = True,
    ) -> BatchEncoding:
        """Pads what was tokenised before: one row, several, or a batch as a call gives it; options as there.

        input_ids, token_type_ids, attention_mask and special_tokens_mask are padded, other keys taken along.

        Raises:
            ValueError: no rows, no input_ids, an unknown option, or rows longer than the max_length to pad to.
        """
        columns = encoded_inputs
        if not isinstance(columns, Mapping):
            rows = list(columns)
            columns = {key: [row[key] for row in rows] for key in (rows[0] if rows else ())}
        if "input_ids" not in columns:
            raise ValueError(f"encoded_inputs has {', '.join(columns) or 'no rows'}, expected input_ids")
        columns = {key: as_list(values) for key, values in columns.items()}
        one = not columns["input_ids"] or not np.ndim(columns["input_ids"][0])
        if one:
            columns = {key: [values] for key, values in columns.items()}
        if return_attention_mask is None:
            return_attention_mask = "attention_mask" in self.model_input_names
        lengths = [len(ids) for ids in columns["input_ids"]]
        if return_attention_mask and "attention_mask" not in columns:
            columns["attention_mask"] = [[1] * length for length in lengths]
        padding = option("padding", padding, PADDINGS, ("longest", "max_length", "do_not_pad"))
        side = option("padding_side", self.padding_side if padding_side is None else padding_side, {}, SIDES)
        length = self._padded_length(lengths, padding, max_length, pad_to_multiple_of)
        fills = {
            "input_ids": self.pad_token_id or 0,
            "token_type_ids": 0,
            "attention_mask": 0,
            "special_tokens_mask": 1,
        }
        for key in fills.keys() & columns.keys() if length is not None else ():
            blanks = [[fills[key]] * ((length or 0) - own) for own in lengths]
            rows = zip(map(as_list, columns[key]), blanks, strict=True)
            columns[key] = [[*row, *blank] if side == "right" else [*blank, *row] for row, blank in rows]
        if one:
            columns = {key: values[0] for key, values in columns.items()}
        return BatchEncoding(columns, tensor_type=return_tensors)

    def padding_id(self) -> int:
        """The id that rows are padded with.

        Raises:
            ValueError: the tokenizer has none.
        """
        if self.pad_token is None:
            raise ValueError("padding needs a pad_token, and this tokenizer's is null: assign one of the vocabulary")
        return self.pad_token_id or 0

    def _padded_length(
        self, lengths: list[int], padding: str, max_length: int | None, multiple: int | None
    ) -> int | None:
        if multiple is not None and multiple < 1:
            raise ValueError(f"pad_to_multiple_of is {multiple}, expected 1 or more")
        if padding == "do_not_pad":
            return None
        self.padding_id()

        def rounded(length: int) -> int:
            return length if multiple is None else -(-length // multiple) * multiple

        longest = max(lengths)
        if padding == "max_length":
            wanted = self.model_max_length if max_length is None else max_length
            if wanted >= UNLIMITED:
                raise ValueError("padding='max_length' needs a max_length: this checkpoint does not name one")
            if longest > rounded(wanted):
                raise ValueError(
                    f"a text has {longest} tokens, more than max_length {wanted}: truncate it or leave max_length out"
                )
            return rounded(wanted)
        return rounded(longest)
