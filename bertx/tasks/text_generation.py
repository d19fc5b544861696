"""Text generation: one token after another from a causal BERT."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..generation.config import INSTEAD, OPTIONS, GenerationConfig, generation_config_of
from ..generation.loop import Continuation, generate, stream
from ..generation.text import pieces, without_words
from ..tokenizers.ragged import RaggedBatch
from ..tokenizers.subwords import extended
from .options import takes_options
from .streaming import InputError, batch_tokens_of, run

if TYPE_CHECKING:
    from .protocol import TaskModel


class TextGeneration:
    """The task of a BertLMHeadModel.

    Attributes:
        generation_config: the options of a call that gives none.
    """

    def __init__(self, model: TaskModel, folder: Path | None = None):
        if not model.config.is_decoder:
            raise ValueError(
                "text-generation needs a causal model, one that was trained to continue texts, and is_decoder is "
                "false in this checkpoint's config.json: load another; if it was trained so, say true there"
            )
        self._model = model
        self._tokenizer = model.tokenizer
        config = generation_config_of(folder, model.config)
        if config.eos_token_id is None:
            config = config.replace(eos_token_id=self._tokenizer.sep_token_id)
        self.generation_config = config

    @takes_options("text-generation", OPTIONS, INSTEAD)
    def __call__(
        self,
        prompts: Any,
        *,
        stream: bool = False,
        bad_words: Sequence[str] | None = None,
        batch_tokens: int | None = None,
        **options: Any,
    ) -> Any:
        """Continues prompts, which begin with [CLS]; stops at [SEP], or the config's eos_token_id.

        Args:
            prompts: a string, a list of them or a stream.
            stream: gives an iterator of the text that is added to one prompt, as its words are complete.
            bad_words: texts that are not written: their tokens are added to `bad_words_ids`.
            batch_tokens: the most tokens of a batch of prompts, each counted once for each of its beams.
            options: fields of `bertx.generation.GenerationConfig`, in place of those that the checkpoint's
                generation_config.json has: `max_new_tokens`, `num_beams`, `do_sample`, …

        Returns:
            {"generated_text": prompt and continuation, "tokens": the ids that were added} of each prompt, of beam
            search with the "score" of the continuation; a list of them where `num_return_sequences` is above 1.

        Raises:
            InputError: prompts that leave no position free, or are as long as `max_length`.
            ValueError: an option outside its range.
        """
        config = without_words(self.generation_config.replace(**options), self._tokenizer, bad_words)
        if stream:
            return self._stream(prompts, config)

        def compute(rows: RaggedBatch) -> list[list[Continuation]]:
            return generate(
                self._model.decoder,
                rows.lists("input_ids"),
                config,
                positions=self._model.config.max_sequence_length,
                tokenizer=self._tokenizer,
                pad=self._tokenizer.pad_token_id or 0,
            )

        def combine(prompt: str, rows: RaggedBatch, answers: list[list[Continuation]]) -> Any:
            ids = rows.input_ids.tolist()
            found = [self._result(prompt, ids, one) for one in answers[0]]
            return found if config.num_return_sequences > 1 else found[0]

        batch_tokens = max(1, batch_tokens_of(self._model, batch_tokens) // config.copies)
        return run(self._model, prompts, self._encoder(config), compute, combine, batch_tokens)

    def _stream(self, prompt: Any, config: GenerationConfig) -> Iterator[str]:
        if not isinstance(prompt, str):
            raise TypeError(f"the input is {prompt!r:.60}, expected one text: stream=True gives that of one prompt")
        ids = self._encoder(config)([prompt]).lists("input_ids")[0]
        positions = self._model.config.max_sequence_length
        tokens = stream(self._model.decoder, ids, config, positions=positions, tokenizer=self._tokenizer)
        return pieces(self._tokenizer, prompt, ids, tokens)

    def _result(self, prompt: str, ids: list[int], found: Continuation) -> dict[str, Any]:
        text = extended(self._tokenizer, prompt, ids, found.tokens)
        result = {"generated_text": text, "tokens": found.tokens}
        return result if found.score is None else {**result, "score": found.score}

    def _encoder(self, config: GenerationConfig) -> Callable[[list[str]], RaggedBatch]:
        def encode(prompts: list[str]) -> RaggedBatch:
            rows = self._tokenizer.ragged(prompts, add_special_tokens=False, verbose=False)
            rows = RaggedBatch(
                np.insert(rows.input_ids, rows.row_offsets[:-1], self._tokenizer.cls_token_id),
                rows.row_offsets + np.arange(len(rows) + 1),
            )
            InputError.raise_for(self._too_long(rows, config))
            return rows

        return encode

    def _too_long(self, rows: RaggedBatch, config: GenerationConfig) -> dict[int, str]:
        positions = self._model.config.max_sequence_length
        found = {}
        for i, length in enumerate(rows.lengths.tolist()):
            if length >= positions:
                found[i] = f"has {length} tokens, the model {positions} positions: shorten it"
            elif length >= config.limit(length):
                found[i] = (
                    f"has {length} tokens, and max_length is {config.max_length}: shorten it, or raise max_length"
                )
        return found
