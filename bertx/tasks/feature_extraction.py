"""Token vectors, or sentence embeddings where a checkpoint was trained for them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..models.sentence_embedding import MODES, unit
from ..tokenizers.ragged import RaggedBatch
from .options import TokenizerOptions, takes_options
from .pairs import encode_pairs
from .pooling import Dense, Pooling
from .sentence_transformers import lowercased, read_embedding_settings
from .streaming import batch_of, run_whole, split_rows

if TYPE_CHECKING:
    from .protocol import TaskModel


class FeatureExtraction:
    """The task of a BertModel."""

    def __init__(self, model: TaskModel, folder: Path | None):
        """Modules, prompts and length as a sentence-transformers folder has them, else none."""
        self._model = model
        self._settings = read_embedding_settings(folder, model.config.hidden_size)
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
        self._check_pooling(pooling)
        modules = self._settings.modules
        pools = pooling != "none" and bool(pooling or modules)
        embed = self._model.embedder(modules, self._settings.truncate_dim) if pools else None
        before = self._settings.prompt(prompt, prompt_name)
        options = TokenizerOptions.checked(self._model, max_length, truncation, padding, self.max_length)
        left_out = any(isinstance(module, Pooling) and not module.include_prompt for module in modules)
        prompt_tokens = self._prompt_tokens(before, options.max_length) if before and left_out else 0

        def compute(rows: RaggedBatch) -> Any:
            batch = batch_of(self._model, rows)
            if embed is None:
                return split_rows(rows, batch, self._model.forward(**batch)["last_hidden_state"])
            prompts = np.full(len(rows), prompt_tokens) if prompt_tokens else None
            return embed(**batch, prompt_lengths=prompts, pooling=pooling, normalize=normalize)

        def encode(window: list[Any]) -> RaggedBatch:
            return encode_pairs(self._model, window, tokenizer=self._tokenizer, options=options, prompt=before)

        results = run_whole(self._model, texts, encode, compute, batch_tokens)
        if not isinstance(texts, list) or embed is None:
            return results
        return np.stack(results) if results else np.empty((0, self._width(pooling)), np.float32)

    def _check_pooling(self, pooling: str | None) -> None:
        if pooling not in (None, "none", *MODES):
            raise ValueError(f"pooling is {pooling!r}, expected one of none, {', '.join(MODES)}")
        modules = self._settings.modules
        joined = any(isinstance(module, Pooling) and len(module.modes) > 1 for module in modules)
        if pooling not in (None, "none") and joined and any(isinstance(module, Dense) for module in modules):
            raise ValueError(f"pooling is {pooling!r}, and the checkpoint's Dense takes several joined: leave it None")

    def _width(self, pooling: str | None) -> int:
        """How many values an embedding has."""
        hidden_size = width = self._model.config.hidden_size
        for module in self._settings.modules:
            if isinstance(module, Pooling):
                width = hidden_size * (1 if pooling else len(module.modes))
            elif isinstance(module, Dense):
                width = module.out_features
        return min(width, self._settings.truncate_dim or width)

    def _prompt_tokens(self, prompt: str, max_length: int | None) -> int:
        """How many tokens a prompt has at the beginning of a row, [CLS] included, as sentence-transformers counts."""
        options = TokenizerOptions(max_length)
        ids = encode_pairs(self._model, [prompt], tokenizer=self._tokenizer, options=options).input_ids.tolist()
        return len(ids) - (ids[-1] in self._tokenizer.all_special_ids)


def cosine_similarity(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The cosine of every pair; a [A, H], b [B, H] → [A, B]."""
    return unit(np.atleast_2d(a)) @ unit(np.atleast_2d(b)).T
