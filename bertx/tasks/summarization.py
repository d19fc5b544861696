"""Summarization: an encoder reads a document, and a decoder writes a short text about it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..generation.config import INSTEAD, OPTIONS, GenerationConfig, generation_config_of
from ..generation.loop import Continuation, generate, stream
from ..generation.text import pieces_of, without_words
from ..tokenizers.ragged import RaggedBatch
from .options import TokenizerOptions, check_lengths, takes_options
from .streaming import batch_tokens_of, padded, run_whole

if TYPE_CHECKING:
    from .protocol import TaskModel

_log = logging.getLogger("bertx")

# What the hub's pipeline sets where a checkpoint does not.
_BEAMS, _NEW_TOKENS = 4, 256


class Summarization:
    """The task of an EncoderDecoderModel.

    Attributes:
        generation_config: the options of a call that gives none.
    """

    def __init__(self, model: TaskModel, folder: Path | None = None):
        self._model = model
        self._tokenizer = model.tokenizer
        of_model: Any = model.config
        config = generation_config_of(folder, of_model)
        self._start, self._positions = start_token_of(config, of_model), of_model.decoder.max_sequence_length
        if config.eos_token_id is None:
            config = config.replace(eos_token_id=self._tokenizer.sep_token_id)
        if config.num_beams == 1:
            config = config.replace(num_beams=_BEAMS)
        if config.max_length is None and config.max_new_tokens is None:
            config = config.replace(max_new_tokens=_NEW_TOKENS)
        self.generation_config = config

    @takes_options("summarization", OPTIONS, INSTEAD)
    def __call__(
        self,
        documents: Any,
        *,
        stream: bool = False,
        bad_words: Sequence[str] | None = None,
        max_source_length: int | None = None,
        truncation: bool | str | None = None,
        batch_tokens: int | None = None,
        **options: Any,
    ) -> Any:
        """Writes a summary of each document; longer documents than the encoder takes are cut, which is logged.

        Args:
            documents: a string, a list of them or a stream.
            stream: gives an iterator of the text of one summary, as its words are complete; with num_beams=1.
            bad_words: texts that are not written: their tokens are added to `bad_words_ids`.
            max_source_length: the most tokens of a document, special ones included; None is what the encoder takes.
            truncation: None and True cut longer documents; with False they are an error.
            batch_tokens: the most tokens of a batch of documents.
            options: fields of `bertx.generation.GenerationConfig`, in place of those that the checkpoint has;
                `max_length`, `min_length` and the like are of the summary. Where neither says it, there are 4 beams and
                at most 256 new tokens, as in the hub's pipeline.

        Returns:
            {"summary_text": …, "tokens": its ids} of each document, of beam search with its "score"; a list of them
            where `num_return_sequences` is above 1.

        Raises:
            InputError: documents that are not cut, and longer than the encoder takes.
            ValueError: an option outside its range.
        """
        config = without_words(self.generation_config.replace(**options), self._tokenizer, bad_words)
        cut = TokenizerOptions.checked(self._model, max_source_length, truncation, name="max_source_length")
        encode = self._encoder(cut)
        if stream:
            return self._stream(documents, config, encode)

        def compute(rows: RaggedBatch) -> list[Any]:
            found = generate(
                self._read(rows),
                [[self._start]] * len(rows),
                config,
                positions=self._positions,
                tokenizer=self._tokenizer,
                texts=rows.lists("input_ids"),
            )
            results = [[self._result(one) for one in of_document] for of_document in found]
            return results if config.num_return_sequences > 1 else [one for (one,) in results]

        return run_whole(self._model, documents, encode, compute, batch_tokens_of(self._model, batch_tokens))

    def _read(self, rows: RaggedBatch) -> Any:
        """The decoder that attends to these documents."""
        batch = padded(self._model, rows)
        return self._model.decoder.encode(batch["input_ids"], batch["attention_mask"])

    def _stream(self, document: Any, config: GenerationConfig, encode: Callable[..., RaggedBatch]) -> Iterator[str]:
        if not isinstance(document, str):
            raise TypeError(f"the input is {document!r:.60}, expected one text: stream=True gives the summary of one")
        rows = encode([document])
        tokens = stream(
            self._read(rows),
            [self._start],
            config,
            positions=self._positions,
            tokenizer=self._tokenizer,
            text=rows.lists("input_ids")[0],
        )
        return pieces_of(self._text, tokens)

    def _result(self, found: Continuation) -> dict[str, Any]:
        result = {"summary_text": self._text(found.tokens), "tokens": found.tokens}
        return result if found.score is None else {**result, "score": found.score}

    def _text(self, tokens: list[int]) -> str:
        """As the hub's pipeline, which leaves spaces as the tokenizer's decoder has them."""
        return self._tokenizer.decode(tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False)

    def _encoder(self, options: TokenizerOptions) -> Callable[[list[str]], RaggedBatch]:
        longest = options.longest(self._model)

        def encode(documents: list[str]) -> RaggedBatch:
            rows = options.rows(self._model, self._tokenizer, documents)
            check_lengths(self._model, rows)
            self._tell_of_cut(documents, rows, longest)
            return rows

        return encode

    def _tell_of_cut(self, documents: list[str], rows: RaggedBatch, longest: int) -> None:
        """Logs how many documents were cut: what comes after that is not in their summaries."""
        full = np.flatnonzero(rows.lengths == longest)
        if not len(full):
            return
        options = {"truncation": True, "max_length": longest + 1, "verbose": False}
        longer = self._tokenizer.ragged([documents[i] for i in full], None, **options).lengths > longest
        if count := int(np.count_nonzero(longer)):
            _log.warning(
                "%d of %d documents are longer than %d tokens: their summaries are of what comes before that",
                count,
                len(documents),
                longest,
            )


def start_token_of(config: GenerationConfig, model_config: Any) -> int:
    """The token that a decoder's text begins with: of the generation_config.json, else of the config.

    Raises:
        ValueError: neither says it, or it is no id of the decoder's vocabulary.
    """
    names = ("decoder_start_token_id", "bos_token_id")
    found = (of.get(name) for name in names for of in (config.extra, vars(model_config), vars(model_config.decoder)))
    start = next((token for token in found if token is not None), None)
    if start is None:
        raise ValueError(
            "decoder_start_token_id, the token that a summary begins with, is null in config.json, and so is "
            "bos_token_id: set it there, as to the id of [CLS]"
        )
    size = model_config.decoder.vocab_size
    if not isinstance(start, int) or isinstance(start, bool) or not 0 <= start < size:
        raise ValueError(
            f"the token that a summary begins with is {start!r:.60}, expected an id from 0 to {size - 1}: set "
            "decoder_start_token_id in generation_config.json or config.json, as to the id of [CLS]"
        )
    return start
