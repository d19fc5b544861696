"""Token vectors, or sentence embeddings where a checkpoint was trained for them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .options import TokenizerOptions, takes_options
from .pairs import encode_pairs
from .pooling import MODES, Dense, Normalize, Pooling, embed, unit
from .sentence_transformers import SentenceSettings, lowercased, read_settings
from .streaming import Row, padded, run_whole

if TYPE_CHECKING:
    from .protocol import TaskModel


class FeatureExtraction:
    """The task of a BertModel."""

    def __init__(self, model: TaskModel, folder: Path | None):
        """Modules, prompts and length as a sentence-transformers folder has them, else none."""
        self._model = model
        settings = SentenceSettings() if folder is None else read_settings(folder, model.config.hidden_size)
        # What a CrossEncoder sets is no embedding's.
        self._settings = SentenceSettings() if settings.model_type == "CrossEncoder" else settings
        self._tokenizer = lowercased(model.tokenizer, folder) if self._settings.lower_case else model.tokenizer
        self.max_length = self._settings.max_length

    @takes_options("feature-extraction")
    def __call__(
        self,
        texts: Any,
        *,
        pooling: str | None = None,
        normalize: bool | None = None,
        prompt: str | None = None,
        prompt_name: str | None = None,
        max_length: int | None = None,
        truncation: bool | str | None = None,
        padding: bool | str | None = None,
        batch_tokens: int | None = None,
    ) -> Any:
        """Runs texts through the model; longer ones than it takes are truncated.

        `tokenize_kwargs`, as the hub's pipeline takes it, is a dict of max_length, truncation and padding.

        Args:
            texts: one text, a list or a stream. A tuple of two texts, or {"text": …, "text_pair": …}, is a pair that
                is read together, [CLS] a [SEP] b [SEP], and has one embedding: for two embeddings give a list.
            pooling: "mean", "cls", "max", "mean_sqrt_len_tokens", "weightedmean" or "lasttoken" of the tokens, padding
                left out; "none" gives each token's vector; None does as the checkpoint says, "none" where it says
                nothing. What a checkpoint has after its pooling follows.
            normalize: whether embeddings are scaled to length 1 in the end; None does as the checkpoint says.
            prompt: what is put before each text, the first of a pair; "" is none.
            prompt_name: that of one of the checkpoint's prompts, such as "query" or "document"; where neither is given
                its default prompt is put, if it has one.
            max_length: in tokens, special ones included; None is what the checkpoint takes.
            truncation: None and True cut longer texts, of a pair the longer one; "only_first" and "only_second" cut
                that text; with False one that is longer than the model takes is an error.
            padding: "max_length" pads each text to that, so that its token vectors are as many; else no vector is of
                padding.
            batch_tokens: the most tokens of a batch.

        Returns:
            Of one text its embedding [H] float32, or with pooling "none" its [T, H], [CLS] and [SEP] included;
            of a list the embeddings [B, H], or a list of [T, H]; of a stream an iterator of the former.

        Raises:
            ValueError: an unknown pooling or prompt_name; or a pooling that does not fit the checkpoint's Dense;
                or a max_length that the model does not take.
            TypeError: what is neither a text nor a pair of them.
        """
        modules = self._modules(pooling, normalize)
        before = self._settings.prompt(prompt, prompt_name)
        options = TokenizerOptions.checked(self._model, max_length, truncation, padding, self.max_length)
        prompt_tokens = self._prompt_tokens(before, options.max_length) if before else 0

        def compute(rows: list[Row]) -> Any:
            batch = padded(self._model, rows)
            vectors, mask = self._model.forward(**batch)["last_hidden_state"], batch["attention_mask"]
            if not modules:
                return [of_row[: len(row["input_ids"])] for of_row, row in zip(vectors, rows, strict=True)]
            found = embed(modules, vectors, mask, prompt_tokens)[:, : self._settings.truncate_dim]
            return unit(found) if normalize else found

        def encode(window: list[Any]) -> list[Row]:
            return encode_pairs(self._model, window, tokenizer=self._tokenizer, options=options, prompt=before)

        results = run_whole(self._model, texts, encode, compute, batch_tokens)
        if not isinstance(texts, list) or not modules:
            return results
        return np.stack(results) if results else np.empty((0, self._width(modules)), np.float32)

    def _modules(self, pooling: str | None, normalize: bool | None) -> tuple[Any, ...]:
        if pooling not in (None, "none", *MODES):
            raise ValueError(f"pooling is {pooling!r}, expected one of none, {', '.join(MODES)}")
        modules = () if pooling == "none" else self._settings.modules
        if normalize is False:
            modules = tuple(module for module in modules if not isinstance(module, Normalize))
        if pooling in (None, "none"):
            return modules
        poolings = [module for module in modules if isinstance(module, Pooling)]
        if any(isinstance(module, Dense) for module in modules) and any(len(of.modes) > 1 for of in poolings):
            raise ValueError(f"pooling is {pooling!r}, and the checkpoint's Dense takes several joined: leave it None")
        own = Pooling((pooling,), all(module.include_prompt for module in poolings))
        if not poolings:
            return (own, *modules)
        return tuple(own if isinstance(module, Pooling) else module for module in modules)

    def _width(self, modules: tuple[Any, ...]) -> int:
        """How many values an embedding has."""
        width = self._model.config.hidden_size
        for module in modules:
            if isinstance(module, Pooling):
                width = self._model.config.hidden_size * len(module.modes)
            elif isinstance(module, Dense):
                width = len(module.weight)
        return min(width, self._settings.truncate_dim or width)

    def _prompt_tokens(self, prompt: str, max_length: int | None) -> int:
        """How many tokens a prompt has at the beginning of a row, [CLS] included, as sentence-transformers counts."""
        options = TokenizerOptions(max_length)
        (row,) = encode_pairs(self._model, [prompt], tokenizer=self._tokenizer, options=options)
        ids = row["input_ids"]
        return len(ids) - (ids[-1] in self._tokenizer.all_special_ids)


def cosine_similarity(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The cosine of every pair; a [A, H], b [B, H] → [A, B]."""
    return unit(np.atleast_2d(a)) @ unit(np.atleast_2d(b)).T
