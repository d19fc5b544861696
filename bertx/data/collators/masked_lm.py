"""Masked-word prediction: which tokens are hidden, and as what (Devlin et al. 2019, section 3.1, task 1)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..batches import generator_of
from ..columns import TEXT, refuse
from ..packing import Packs, best_fit
from ..rows import Row, source_of
from ..tokens import tokens_of
from .base import IGNORED, Collator, not_text

_AS_MASK, _AS_RANDOM = 0.8, 0.1  # the others stay as they are
_MULTIPLE = 8  # of hidden tokens in a row


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


def at_hidden(labels: np.ndarray) -> dict[str, np.ndarray]:
    """labels [B, T] → mask_positions and labels [B, K]: of the hidden tokens alone, so that no other is scored.

    K is that of the row with the most of them, rounded up to a multiple of 8: few shapes are compiled. A row with fewer
    is filled up with positions whose label is -100.
    """
    hidden = labels != IGNORED
    most = -(-int(hidden.sum(1).max()) // _MULTIPLE) * _MULTIPLE
    positions = np.argsort(~hidden, axis=1, kind="stable")[:, :most]
    return {"mask_positions": positions, "labels": np.take_along_axis(labels, positions, axis=1)}


class MaskedLMCollator(Collator):
    """Rows of {"text"} → mask_positions [B, K] of the hidden tokens, and labels [B, K]: what they were; int64.

    15 % of the tokens are drawn anew at each step: 80 % of them become [MASK], 10 % a random token, 10 % stay.
    Special tokens are neither drawn nor a random token. A batch has one hidden token at least; a row with fewer than
    another is filled up with labels of -100.

    With `packing` a row has several texts: attention_mask is [B, T, T], so that each attends to itself alone, and
    position_ids begin anew in each.
    """

    fields = (TEXT,)

    def __init__(
        self,
        tokenizer: Any,
        config: Any,
        *,
        mlm_probability: float = 0.15,
        whole_word_mask: bool = False,
        packing: bool = False,
        **options: Any,
    ):
        """See Collator.

        Args:
            tokenizer, config, options: see Collator.
            mlm_probability: how probable it is that a token, or a word, is hidden.
            whole_word_mask: whether the tokens of a word are hidden together; each is then [MASK], random or as it is
                by itself, as in BERT's own script.
            packing: whether texts share a row of max_length: which of them, is found once, from the seed. All texts
                are then tokenised before the first batch; see `tokens_of` of `bertx.data.tokens`.

        Raises:
            ValueError: as Collator; or `packing` for a model whose attention depends on the distance in the row.
        """
        super().__init__(tokenizer, config, **options)
        self._masking = Masking(tokenizer, config, mlm_probability, whole_word_mask)
        self._packing = packing
        if not packing:
            return
        if config.position_embedding_type != "absolute":
            raise ValueError(
                f"packing needs absolute positions, and position_embedding_type is {config.position_embedding_type!r}"
            )
        around = tokenizer.build_inputs_with_special_tokens([tokenizer.mask_token_id])
        place = around.index(tokenizer.mask_token_id)
        self._around = around[:place], around[place + 1 :]
        self._room = self.max_length - len(around) + 1
        if self._room < 1:
            raise ValueError(f"max_length is {self.max_length}, expected room for a text beside the special tokens")

    def problem_of_values(self, row: Row) -> str | None:
        """See Collator."""
        text = self.value("text", row)
        return not_text("text", text) or (None if text.strip() else "has an empty text")

    def prepare(self, rows: Sequence[Row], seed: int = 0) -> Sequence[Row]:
        """See Collator; with `packing` gives rows of several texts.

        Raises:
            ValueError: with `packing`, no text has a token.
        """
        rows = super().prepare(rows, seed)
        if not self._packing:
            return rows
        tokens = tokens_of(rows, self.tokenizer, lambda row: [self.value("text", row)])
        starts, ends = tokens.texts[:-1], tokens.texts[1:]
        if not len(starts):
            raise ValueError(f"{source_of(rows)}no text has a token")
        if self.tokenizer.truncation_side == "left":
            starts = np.maximum(starts, ends - self._room)
        else:
            ends = np.minimum(ends, starts + self._room)
        order = generator_of(seed, 0, "packs").permutation(len(starts))
        special = sum(map(len, self._around))
        packs = best_fit(ends - starts + special, self.max_length, order)
        return Packs(tokens, np.stack([starts, ends], axis=1), packs)

    def __call__(self, rows: Sequence[Row], seed: int, step: int) -> dict[str, np.ndarray]:
        """See Collator; with `packing`, of rows that `prepare` makes."""
        return self.collate(rows, seed, step) if self._packing else super().__call__(rows, seed, step)

    def collate(self, rows: Sequence[Row], seed: int, step: int) -> dict[str, np.ndarray]:
        """See Collator."""
        inputs, words = self._packed(rows) if self._packing else self._padded(rows)
        ids = inputs["input_ids"]
        words[np.isin(ids, self.tokenizer.all_special_ids)] = -1  # also of a text that has "[SEP]" in it
        if not (words >= 0).any():
            refuse(dict.fromkeys(range(len(rows)), "has no token that could be hidden"))
        ids, labels = self._masking(ids, words, generator_of(seed, step, "masks"))
        return {**inputs, "input_ids": ids, **at_hidden(labels)}

    def _padded(self, rows: Sequence[Row]) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """The inputs of texts, a row each, and the numbers of their words."""
        encoded = self.tokenizer(self.values("text", rows), truncation=True, max_length=self.max_length)
        inputs = self.pad(encoded)
        words = np.full(inputs["input_ids"].shape, -1, np.int64)
        for row, encoding in zip(words, encoded.encodings, strict=True):
            row[: len(encoding)] = numbered(encoding.word_ids)
        return inputs, words

    def _packed(self, rows: Sequence[Row]) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """The inputs of rows of several texts, and the numbers of their words."""
        before, after = self._around
        special = len(before) + len(after)
        used = [sum(len(ids) + special for ids, _ in row["texts"]) for row in rows]
        length = self.max_length if self.padding == "max_length" else max(used)
        length += -length % (self.pad_to_multiple_of or 1)
        shape = len(rows), length
        ids = np.full(shape, self.tokenizer.pad_token_id, np.int64)
        words, texts = np.full(shape, -1, np.int64), np.full(shape, -1, np.int64)
        positions = np.full(shape, self.config.first_position, np.int64)
        for i, row in enumerate(rows):
            start = word = 0
            for number, (text, begins) in enumerate(row["texts"]):
                end = start + special + len(text)
                ids[i, start:end] = [*before, *text, *after]
                texts[i, start:end] = number
                positions[i, start:end] += np.arange(end - start)
                own = word + np.cumsum(begins) - (begins[0] != 0)
                words[i, start + len(before) : end - len(after)] = own
                start, word = end, int(own[-1]) + 1
        # Padding attends to itself, so that each query has a key.
        mask = (texts[:, :, None] == texts[:, None, :]).astype(np.int64)
        return {"input_ids": ids, "attention_mask": mask, "position_ids": positions}, words


def numbered(words: Sequence[int | None]) -> np.ndarray:
    """The words of a row's tokens, numbered from 0 in the row; -1 for special tokens."""
    numbers = np.array([-1 if word is None else word for word in words], np.int64)
    begins = (np.diff(numbers, prepend=-1) != 0) & (numbers >= 0)
    return np.where(numbers < 0, -1, np.cumsum(begins) - 1)
