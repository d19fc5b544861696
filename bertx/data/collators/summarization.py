"""Summarization: a document, and the summary that a decoder learns to write of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..columns import Field
from ..rows import Row
from .base import IGNORED, Collator, not_text

_LONGEST_TARGET = 128  # as in transformers' run_summarization.py


class SummarizationCollator(Collator):
    """Rows of {"text", "summary"} → inputs [B, S] of the encoder and labels [B, T], int64.

    Labels are the tokens of a summary with its special ones, −100 after them; the model shifts them to the right for
    the inputs of its decoder.
    """

    fields = (
        Field("text", ("text", "document", "article", "dialogue")),
        Field("summary", ("summary", "highlights", "headline")),
    )

    def __init__(self, tokenizer: Any, config: Any, *, max_target_length: int | None = None, **options: Any):
        """See Collator; `max_length` is of a text.

        Args:
            tokenizer, config, options: see Collator.
            max_target_length: of a summary, in tokens; a longer one is truncated. None is 128, or what the decoder
                takes where that is less.

        Raises:
            ValueError: as Collator; a max_target_length that the decoder does not take, or a config without the tokens
                that its inputs are made of.
        """
        super().__init__(tokenizer, config, **options)
        missing = [name for name in ("decoder_start_token_id", "pad_token_id") if getattr(config, name) is None]
        if missing:
            raise ValueError(
                f"{' and '.join(missing)} is null in the config, and the decoder's inputs follow from the labels by "
                "it: set it in config.json"
            )
        longest = config.decoder.max_sequence_length
        if max_target_length is not None and not 1 <= max_target_length <= longest:
            raise ValueError(
                f"max_target_length is {max_target_length}, expected 1 to {longest}, which the decoder takes"
            )
        self.max_target_length = min(_LONGEST_TARGET, longest) if max_target_length is None else max_target_length

    def problem_of_values(self, row: Row) -> str | None:
        """See Collator."""
        return next(filter(None, (not_text(name, self.value(name, row)) for name in ("text", "summary"))), None)

    def collate(self, rows: Sequence[Row], seed: int, step: int) -> dict[str, np.ndarray]:
        """See Collator."""
        texts, summaries = self.values("text", rows), self.values("summary", rows)
        inputs = self.pad(self.encode(texts, [None] * len(rows)))
        inputs.pop("token_type_ids", None)  # as in transformers' pipeline, and 0 in any case
        written = self.tokenizer(summaries, truncation=True, max_length=self.max_target_length)
        targets = self.pad({"input_ids": written["input_ids"]}, self.max_target_length)
        labels = np.where(targets["attention_mask"] == 0, IGNORED, targets["input_ids"])
        return {**inputs, "labels": labels.astype(np.int64)}
