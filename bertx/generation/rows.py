"""The tokens of rows that are continued together, and where each of them ends."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np

from .config import GenerationConfig

NOTHING = -1
"""Left of a shorter row's first token: equal to no id."""


class Rows:
    """Rows of tokens that end at the same column.

    Attributes:
        lengths: how many tokens each row has, [R].
        prompts: how many of them are its prompt's, [R].
        limits: how many it has at most, [R].
        texts: the tokens that an encoder read for each row, [R, S], `NOTHING` after them; those of the prompt where
            there is no encoder; None where no option needs them.
    """

    def __init__(
        self,
        prompts: Sequence[Sequence[int]],
        config: GenerationConfig,
        positions: int | None,
        texts: Sequence[Sequence[int]] | None = None,
    ):
        self.lengths = np.array([len(prompt) for prompt in prompts])
        self.prompts = self.lengths
        self.limits = np.array([config.limit(length, positions) for length in self.lengths.tolist()])
        self._end = int(self.lengths.max())
        room = int((self.limits - self.lengths).max())
        self._ids = np.full((len(prompts), self._end + room), NOTHING)
        for row, prompt in zip(self._ids, prompts, strict=True):
            row[self._end - len(prompt) : self._end] = prompt
        self.texts: np.ndarray | None = None
        if config.encoder_no_repeat_ngram_size:
            texts = prompts if texts is None else texts
            self.texts = np.full((len(texts), max(map(len, texts))), NOTHING)
            for row, text in zip(self.texts, texts, strict=True):
                row[: len(text)] = text

    @property
    def ids(self) -> np.ndarray:
        """[R, L], `NOTHING` left of a shorter row."""
        return self._ids[:, : self._end]

    def padded(self, pad: int) -> np.ndarray:
        """`ids` with another value on the left."""
        return np.where(self.ids == NOTHING, pad, self.ids)

    def added(self, width: int) -> np.ndarray:
        """The tokens beyond the prompts, [R, width], `NOTHING` right of them."""
        found = np.full((len(self._ids), width), NOTHING)
        count = int((self.lengths - self.prompts).max())
        found[:, :count] = self.ids[:, self._end - count :]
        return found

    def select(self, rows: Any) -> Self:
        """These rows, in this order."""
        new = object.__new__(type(self))
        new._end, new._ids = self._end, self._ids[rows]
        new.lengths, new.prompts, new.limits = self.lengths[rows], self.prompts[rows], self.limits[rows]
        new.texts = None if self.texts is None else self.texts[rows]
        return new

    def append(self, tokens: np.ndarray) -> None:
        """One token more of each row, [R]."""
        self._ids[:, self._end] = tokens
        self._end += 1
        self.lengths = self.lengths + 1


class Ends:
    """Whether a token ends its row."""

    def __init__(self, config: GenerationConfig, tokenizer: Any = None):
        strings = (config.stop_strings,) if isinstance(config.stop_strings, str) else config.stop_strings
        if strings and tokenizer is None:
            raise ValueError("stop_strings needs a tokenizer: give tokenizer=…, or end at tokens, with eos_token_id")
        self._tokens = np.array(config.ends, np.int64)
        self._strings = StopStrings(strings, tokenizer) if strings else None

    def __call__(self, rows: Rows, tokens: np.ndarray, parents: np.ndarray | None = None) -> np.ndarray:
        """Whether tokens [N], each one more of a row, end it; `parents` [N] are the rows, None: each in its turn."""
        lengths, limits = (
            (rows.lengths, rows.limits) if parents is None else (rows.lengths[parents], rows.limits[parents])
        )
        ended = (lengths + 1 >= limits) | np.isin(tokens, self._tokens)
        if self._strings is not None:
            parents = np.arange(len(tokens)) if parents is None else parents
            before = rows.ids[:, -self._strings.reach :]
            pairs = zip(before[parents].tolist(), tokens.tolist(), strict=True)
            ended |= np.array([self._strings.complete([*row, token]) for row, token in pairs])
        return ended


class StopStrings:
    """Texts that end a row with the token that completes one of them.

    A token counts with the text that it adds to a word before it, so that the end of a string may be inside a token.

    Attributes:
        reach: how many tokens a string has at most: each has a character.
    """

    _BASE = "abcdef"

    def __init__(self, strings: Sequence[str], tokenizer: Any):
        self._strings, self._tokenizer = strings, tokenizer
        self.reach = max(map(len, strings))
        self._base = tokenizer.tokenize(self._BASE)
        self._texts: dict[int, str] = {NOTHING: ""}

    def complete(self, ids: Sequence[int]) -> bool:
        """Whether the last of these tokens completes a string."""
        texts = [self._text(token) for token in ids]
        whole, last = "".join(texts), len(texts[-1])
        if not last:
            return False
        # An occurrence that ends where the last token begins was there before it.
        return any(whole.find(string, max(0, len(whole) - last - len(string) + 1)) >= 0 for string in self._strings)

    def _text(self, token: int) -> str:
        if token not in self._texts:
            tokens = [*self._base, self._tokenizer.convert_ids_to_tokens(token)]
            text = self._tokenizer.convert_tokens_to_string(tokens)
            self._texts[token] = text[text.index(self._BASE) + len(self._BASE) :]
        return self._texts[token]
