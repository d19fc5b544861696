"""Ids and tokens back to text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .arguments import as_list, checked_ids
from .truncation import library_errors

# What clean_up_tokenization_spaces takes out, in this order, beyond what the decoder joined.
_CLEANED = {f" {mark}": mark for mark in (".", "?", "!", ",")} | {" ' ": "'"}
_CLEANED |= {f" {ending}": ending for ending in ("n't", "'m", "'s", "'ve", "'re")}


class Decoding:
    """What a tokenizer makes of ids."""

    backend_tokenizer: Any
    clean_up_tokenization_spaces: bool

    def decode(
        self, ids: Any, skip_special_tokens: bool = False, clean_up_tokenization_spaces: bool | None = None
    ) -> Any:
        """The text of a sequence of ids, or of each sequence of a batch.

        `clean_up_tokenization_spaces` takes out spaces before punctuation; None is the checkpoint's own choice.

        Raises:
            ValueError: an id below 0, such as the -100 of labels, or beyond 32 bits.
            TypeError: an id that is no integer.
        """
        ids = as_list(ids)
        ids = ids if isinstance(ids, (list, tuple)) else [ids]
        if len(ids) and np.ndim(ids[0]):
            return [self.decode(row, skip_special_tokens, clean_up_tokenization_spaces) for row in ids]
        checked = checked_ids(ids)
        with library_errors("ids that cannot be decoded"):
            text = self.backend_tokenizer.decode(checked, skip_special_tokens=skip_special_tokens)
        clean = (
            self.clean_up_tokenization_spaces
            if clean_up_tokenization_spaces is None
            else (clean_up_tokenization_spaces)
        )
        return self.clean_up_tokenization(text) if clean else text

    @staticmethod
    def clean_up_tokenization(out_string: str) -> str:
        """A text without the spaces before punctuation and English endings that tokens leave."""
        for spaced, joined in _CLEANED.items():
            out_string = out_string.replace(spaced, joined)
        return out_string

    def batch_decode(
        self, batch: Any, skip_special_tokens: bool = False, clean_up_tokenization_spaces: bool | None = None
    ) -> list[str]:
        """The text of each sequence of ids."""
        if not len(batch):
            return []
        texts = self.decode(batch, skip_special_tokens, clean_up_tokenization_spaces)
        return [texts] if isinstance(texts, str) else texts

    def convert_tokens_to_string(self, tokens: Sequence[str]) -> str:
        """The text of tokens, pieces joined to words."""
        with library_errors("tokens that cannot be decoded"):
            return self.backend_tokenizer.decoder.decode(list(tokens))
