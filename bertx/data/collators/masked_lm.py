"""Masked-word prediction: which tokens are hidden, and as what (Devlin et al. 2019, section 3.1, task 1)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..batches import generator_of
from ..columns import TEXT, refuse
from ..rows import Row
from .base import IGNORED, Collator, not_text

_AS_MASK, _AS_RANDOM = 0.8, 0.1  # the others stay as they are


class Masking:
    """Hides tokens of rows: 80 % of those that are drawn as [MASK], 10 % as a random token, 10 % as they are."""

    def __init__(self, tokenizer: Any, config: Any, probability: float, whole_words: bool):
        """Raises ValueError for a tokenizer without a mask_token, or a probability out of range."""
        if tokenizer.mask_token is None:
            raise ValueError("masked-word prediction needs a mask_token, and this tokenizer's is null")
        if not 0 < probability <= 1:
            raise ValueError(f"mlm_probability is {probability!r}, expected more than 0 and at most 1")
        self.probability, self.whole_words = probability, whole_words
        self._mask = tokenizer.mask_token_id
        special = np.array(sorted(tokenizer.all_special_ids), np.int64)
        self._tokens = np.setdiff1d(np.arange(min(len(tokenizer), config.vocab_size)), special)

    def __call__(
        self, ids: np.ndarray, words: np.ndarray, generator: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """ids [B, T] → ids with tokens hidden, and labels: the tokens that were, -100 elsewhere.

        Args:
            ids: as the tokenizer gives them.
            words: [B, T], the number of the word that a token is of in its row; -1 is never hidden, as a special
                token or padding.
            generator: what is drawn from.
        """
        possible = words >= 0
        drawn = generator.random(ids.shape)
        if self.whole_words:  # a word is drawn by one number: that of its own index
            drawn = np.take_along_axis(drawn, np.where(possible, words, 0), axis=1)
        drawn = np.where(possible, drawn, 1.0)
        hidden = drawn < self.probability
        if not hidden.any():  # a loss over no tokens is NaN: the likeliest is taken
            hidden = possible & (drawn == drawn.min())
        how = generator.random(ids.shape)
        replaced = np.where(hidden & (how < _AS_MASK), self._mask, ids)
        at_random = hidden & (how >= _AS_MASK) & (how < _AS_MASK + _AS_RANDOM)
        replaced[at_random] = generator.choice(self._tokens, int(at_random.sum()))
        return replaced, np.where(hidden, ids, IGNORED)


class MaskedLMCollator(Collator):
    """Rows of {"text"} → labels [B, T], int64: the tokens that were hidden, -100 elsewhere.

    15 % of the tokens are drawn anew at each step: 80 % of them become [MASK], 10 % a random token, 10 % stay.
    Special tokens are neither drawn nor a random token. A batch has one hidden token at least.
    """

    fields = (TEXT,)

    def __init__(
        self,
        tokenizer: Any,
        config: Any,
        *,
        mlm_probability: float = 0.15,
        whole_word_mask: bool = False,
        **options: Any,
    ):
        """See Collator.

        Args:
            tokenizer, config, options: see Collator.
            mlm_probability: how probable it is that a token, or a word, is hidden.
            whole_word_mask: whether the tokens of a word are hidden together; each is then [MASK], random or as it is
                by itself, as in BERT's own script.
        """
        super().__init__(tokenizer, config, **options)
        self._masking = Masking(tokenizer, config, mlm_probability, whole_word_mask)

    def problem_of_values(self, row: Row) -> str | None:
        """See Collator."""
        text = self.value("text", row)
        return not_text("text", text) or (None if text.strip() else "has an empty text")

    def collate(self, rows: Sequence[Row], seed: int, step: int) -> dict[str, np.ndarray]:
        """See Collator."""
        encoded = self.tokenizer(self.values("text", rows), truncation=True, max_length=self.max_length)
        inputs = self.pad(encoded)
        words = np.full(inputs["input_ids"].shape, -1, np.int64)
        for row, encoding in zip(words, encoded.encodings, strict=True):
            row[: len(encoding)] = numbered(encoding.word_ids)
        ids = inputs["input_ids"]
        words[np.isin(ids, self.tokenizer.all_special_ids)] = -1  # also of a text that has "[SEP]" in it
        if not (words >= 0).any():
            refuse(dict.fromkeys(range(len(rows)), "has no token that could be hidden"))
        ids, labels = self._masking(ids, words, generator_of(seed, step, "masks"))
        return {**inputs, "input_ids": ids, "labels": labels}


def numbered(words: Sequence[int | None]) -> np.ndarray:
    """The words of a row's tokens, numbered from 0 in the row; -1 for special tokens."""
    numbers = np.array([-1 if word is None else word for word in words], np.int64)
    begins = (np.diff(numbers, prepend=-1) != 0) & (numbers >= 0)
    return np.where(numbers < 0, -1, np.cumsum(begins) - 1)
