"""Text generation: one token after another from a causal BERT."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..generation.loop import Limits, generate
from ..generation.sampling import Sampling
from ..tokenizers.ragged import RaggedBatch
from ..tokenizers.subwords import extended
from .options import takes_options
from .streaming import InputError, run

if TYPE_CHECKING:
    from .protocol import TaskModel


class TextGeneration:
    """The task of a BertLMHeadModel."""

    def __init__(self, model: TaskModel, folder: Path | None = None):
        if not model.config.is_decoder:
            raise ValueError(
                "text-generation needs a causal model, one that was trained to continue texts, and is_decoder is "
                "false in this checkpoint's config.json: load another; if it was trained so, say true there"
            )
        self._model = model
        self._tokenizer = model.tokenizer
        end = model.config.eos_token_id
        self._ends = set(end if isinstance(end, list) else [self._tokenizer.sep_token_id if end is None else end])

    @takes_options("text-generation")
    def __call__(
        self,
        prompts: Any,
        *,
        max_new_tokens: int = 20,
        do_sample: bool = False,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float | None = None,
        seed: int = 0,
        batch_tokens: int | None = None,
    ) -> Any:
        """Continues prompts, which begin with [CLS]; stops at [SEP], or the config's eos_token_id.

        Args:
            prompts: a string, a list of them or a stream.
            max_new_tokens: the most tokens that are added; fewer where the model's positions end.
            do_sample: draws tokens; False takes the likeliest, the same on every backend.
            temperature: divides the logits before a token is drawn.
            top_k: only so many of the likeliest tokens are drawn from.
            top_p: only the likeliest tokens whose probabilities first reach this sum.
            seed: of what is drawn; a prompt's continuation depends on it and on the prompt alone.
            batch_tokens: the most tokens of a batch of prompts.

        Returns:
            {"generated_text": prompt and continuation, "tokens": the ids that were added} of each prompt.

        Raises:
            InputError: prompts that leave no position free.
            ValueError: an option outside its range.
        """
        _check("max_new_tokens", max_new_tokens, max_new_tokens >= 1, "at least 1")
        _check("temperature", temperature, temperature > 0, "a number above 0")
        _check("top_k", top_k, top_k is None or top_k >= 1, "at least 1")
        _check("top_p", top_p, top_p is None or 0 < top_p <= 1, "above 0 and at most 1")

        sampling = Sampling(temperature, top_k, top_p) if do_sample else None

        def compute(rows: RaggedBatch) -> list[list[int]]:
            limits = Limits(self._ends, max_new_tokens, self._model.config.max_sequence_length)
            pad = self._tokenizer.pad_token_id or 0
            return generate(self._model.decoder, rows.lists("input_ids"), limits, sampling, seed, pad)

        def combine(prompt: str, rows: RaggedBatch, answers: list[list[int]]) -> dict[str, Any]:
            text = extended(self._tokenizer, prompt, rows.input_ids.tolist(), answers[0])
            return {"generated_text": text, "tokens": answers[0]}

        return run(self._model, prompts, self._encode, compute, combine, batch_tokens)

    def _encode(self, prompts: list[str]) -> RaggedBatch:
        rows = self._tokenizer.ragged(prompts, add_special_tokens=False, verbose=False)
        limit = self._model.config.max_sequence_length
        rows = RaggedBatch(
            np.insert(rows.input_ids, rows.row_offsets[:-1], self._tokenizer.cls_token_id),
            rows.row_offsets + np.arange(len(rows) + 1),
        )
        InputError.raise_for(
            {
                i: f"has {length} tokens, the model {limit} positions: shorten it"
                for i, length in enumerate(rows.lengths.tolist())
                if length >= limit
            }
        )
        return rows


def _check(name: str, value: Any, fine: bool, expected: str) -> None:
    if not fine:
        raise ValueError(f"{name} is {value}, expected {expected}")
