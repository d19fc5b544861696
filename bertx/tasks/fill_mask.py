"""Fill-mask: the words that fit in the place of [MASK]."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..tokenizers.ragged import RaggedBatch
from .options import TokenizerOptions, check_lengths, takes_options
from .scores import at_least
from .streaming import InputError, batch_of, run_whole

if TYPE_CHECKING:
    from .protocol import TaskModel


class FillMask:
    """The task of a BertForMaskedLM."""

    def __init__(self, model: TaskModel, folder: Path | None = None):
        self._model = model
        self._tokenizer = model.tokenizer

    @takes_options("fill-mask")
    def __call__(
        self,
        texts: Any,
        *,
        top_k: int | None = 5,
        targets: str | Sequence[str] | None = None,
        max_length: int | None = None,
        truncation: bool | str | None = None,
        padding: bool | str | None = None,
        batch_tokens: int | None = None,
    ) -> Any:
        """Fills the masks of texts; the vocabulary is scored at the masks alone, and ranked where the model runs.

        `tokenizer_kwargs`, as the hub's pipeline takes it, is a dict of max_length, truncation and padding.

        Args:
            texts: a string with at least one mask token, a list of them or a stream.
            top_k: how many words for each mask, the likeliest first; None is 5.
            targets: only these words are ranked, with their probability in the whole vocabulary; of one that
                is not in the vocabulary its first piece, with a warning.
            max_length: in tokens, special ones included; None is what the model takes.
            truncation: None and True cut longer texts, of a pair the longer one; "only_first" and "only_second" cut
                that text; with False one that is longer than the model takes is an error.
            padding: as the hub's pipeline takes it; it changes no result.
            batch_tokens: the most tokens of a batch.

        Returns:
            For one mask a list of {"score", "token", "token_str", "sequence"}, as the hub's pipeline gives
            them; for several masks such a list for each, the others left masked in "sequence".

        Raises:
            InputError: texts without a mask within the length that the model takes.
            ValueError: a top_k below 1, no target, or a max_length that the model does not take.
        """
        top_k = 5 if top_k is None else top_k
        if top_k < 1:
            raise ValueError(f"top_k is {top_k}, expected at least 1")
        targets = [targets] if isinstance(targets, str) else targets
        wanted = None if targets is None else self._wanted(targets)
        predict = self._model.predictor("WordPredictions", count=at_least(top_k))

        options = TokenizerOptions.checked(self._model, max_length, truncation, padding)
        options = options._replace(padding=None)

        def encode(window: list[str]) -> RaggedBatch:
            return self._encode(window, options)

        def compute(rows: RaggedBatch) -> list[Any]:
            batch: dict[str, Any] = batch_of(self._model, rows)
            # Those of each row where rows are padded, of all where they are packed.
            masks = [np.flatnonzero(row == self._tokenizer.mask_token_id).tolist() for row in batch["input_ids"]]
            most = max(map(len, masks))
            # A row with fewer masks than another is filled up with its first, which is then left out.
            positions = np.array([of_row + of_row[:1] * (most - len(of_row)) for of_row in masks])
            found = predict(**batch, mask_positions=positions, targets=wanted)
            scores, words = (
                np.concatenate([of_row[: len(own)] for of_row, own in zip(found[name], masks, strict=True)])[:, :top_k]
                for name in ("scores", "indices")
            )
            numbers = np.bincount(rows.rows[rows.input_ids == self._tokenizer.mask_token_id], minlength=len(rows))
            ends = np.cumsum(numbers)[:-1]
            of_rows = zip(rows.lists("input_ids"), np.split(scores, ends), np.split(words, ends), strict=True)
            return [self._filled(*of_row) for of_row in of_rows]

        return run_whole(self._model, texts, encode, compute, batch_tokens)

    def _encode(self, texts: Sequence[str], options: TokenizerOptions) -> RaggedBatch:
        longest = options.longest(self._model)
        rows = options.rows(self._model, self._tokenizer, texts)
        check_lengths(self._model, rows)
        masks = np.bincount(rows.rows[rows.input_ids == self._tokenizer.mask_token_id], minlength=len(rows))
        InputError.raise_for(
            {
                i: f"has no {self._tokenizer.mask_token} in its first {longest} tokens: {texts[i]!r:.60}"
                for i in np.flatnonzero(masks == 0).tolist()
            }
        )
        return rows

    def _filled(self, ids: Sequence[int], scores: np.ndarray, words: np.ndarray) -> list[Any]:
        """The answer for a row: its masks with `words` and their scores [masks, k]."""
        masked = [i for i, token in enumerate(ids) if token == self._tokenizer.mask_token_id]
        filled = []
        for position, *ranked in zip(masked, scores.tolist(), words.tolist(), strict=True):
            found = []
            for score, token in zip(*ranked, strict=True):
                if score < 0:  # no target
                    break
                sequence = [*ids[:position], token, *ids[position + 1 :]]
                text = self._tokenizer.decode(sequence, skip_special_tokens=len(masked) == 1)
                found.append(
                    {
                        "score": score,
                        "token": token,
                        "token_str": self._tokenizer.decode([token]),
                        "sequence": text,
                    }
                )
            filled.append(found)
        return filled[0] if len(masked) == 1 else filled

    def _wanted(self, targets: Sequence[str]) -> np.ndarray:
        """[V], True for the tokens of targets."""
        vocabulary = self._tokenizer.get_vocab()
        found = []
        for target in targets:
            if target in vocabulary:
                found.append(vocabulary[target])
                continue
            pieces = self._tokenizer(target, add_special_tokens=False)["input_ids"]
            if not pieces:
                raise ValueError(f"the target {target!r} has no token")
            piece = self._tokenizer.convert_ids_to_tokens(pieces[0])
            warnings.warn(f"the target {target!r} is not in the vocabulary: {piece!r} is ranked instead", stacklevel=5)
            found.append(pieces[0])
        if not found:
            raise ValueError("targets is empty: give at least one word, or None for the whole vocabulary")
        wanted = np.zeros(self._model.config.vocab_size, bool)
        wanted[found] = True
        return wanted
