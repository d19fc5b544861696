"""Text classification: a label of each text, and how sure the model is of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..models.layers.activations import TORCH_ACTIVATIONS
from ..tokenizers.ragged import RaggedBatch
from .options import TokenizerOptions, takes_options
from .pairs import encode_pairs
from .scores import FUNCTIONS, labels_of
from .sentence_transformers import SentenceSettings, lowercased, read_cross_encoder
from .streaming import batch_of, run_whole

if TYPE_CHECKING:
    from .protocol import TaskModel


class TextClassification:
    """The task of a BertForSequenceClassification."""

    def __init__(self, model: TaskModel, folder: Path | None = None):
        """Activation, prompts and length as a CrossEncoder of sentence-transformers has them, where it is one."""
        self._model = model
        self._settings = read_cross_encoder(folder, model.config)
        lower = self._settings is not None and self._settings.lower_case
        self._tokenizer = lowercased(model.tokenizer, folder) if lower else model.tokenizer
        self._labels = labels_of(model, folder)
        self.max_length = self._settings.max_length if self._settings is not None else None

    @takes_options("text-classification")
    def __call__(
        self,
        texts: Any,
        *,
        top_k: int | None = 1,
        function_to_apply: str | None = None,
        prompt: str | None = None,
        prompt_name: str | None = None,
        max_length: int | None = None,
        truncation: bool | str | None = None,
        padding: bool | str | None = None,
        batch_tokens: int | None = None,
    ) -> Any:
        """Classifies texts; longer ones than the model takes are truncated.

        Args:
            texts: a string, a pair (a tuple, or {"text": …, "text_pair": …}), a list of them or a stream.
            top_k: how many labels of each text, the best first; None gives all.
            function_to_apply: "softmax", "sigmoid" or "none"; None is the activation of a CrossEncoder of
                sentence-transformers, and for other checkpoints goes by the config as the hub's pipeline does:
                regression none, several labels or a single class sigmoid, else softmax.
            prompt, prompt_name: what is put before each text, the first of a pair, or which prompt of a CrossEncoder
                is; where neither is given its default prompt, if it has one.
            max_length: in tokens, special ones included; None is what the checkpoint takes.
            truncation: None and True cut longer texts, of a pair the longer one; "only_first" and "only_second" cut
                that text; with False one that is longer than the model takes is an error.
            padding: as the hub's pipeline takes it; it changes no score.
            batch_tokens: the most tokens of a batch.

        Returns:
            {"label": …, "score": …} of each text for top_k 1, else a list of them.

        Raises:
            ValueError: an unknown function or prompt_name, a top_k below 1, or a max_length that the model does not
                take.
        """
        if top_k is not None and top_k < 1:
            raise ValueError(f"top_k is {top_k}, expected at least 1, or None for all")
        if isinstance(function_to_apply, str):
            function_to_apply = function_to_apply.lower()
        if function_to_apply not in (None, *FUNCTIONS):
            raise ValueError(f"function_to_apply is {function_to_apply!r}, expected one of {', '.join(FUNCTIONS)}")
        settings = self._settings or SentenceSettings()
        if function_to_apply is None and settings.activation is not None:
            function = TORCH_ACTIVATIONS[settings.activation]
        else:
            function = FUNCTIONS[function_to_apply or _function_of(self._model.config)]
        before = settings.prompt(prompt, prompt_name)
        options = TokenizerOptions.checked(self._model, max_length, truncation, padding, self.max_length)
        options = options._replace(padding=None)

        def encode(window: list[Any]) -> RaggedBatch:
            return encode_pairs(self._model, window, tokenizer=self._tokenizer, options=options, prompt=before)

        def compute(rows: RaggedBatch) -> list[Any]:
            batch = batch_of(self._model, rows)
            scores = function(self._model.forward(**batch)["logits"])
            return [self._ranked(row, top_k) for row in scores]

        return run_whole(self._model, texts, encode, compute, batch_tokens)

    def _ranked(self, scores: np.ndarray, top_k: int | None) -> Any:
        order = np.argsort(-scores, kind="stable")[:top_k]
        ranked = [{"label": self._labels[i], "score": float(scores[i])} for i in order]
        return ranked[0] if top_k == 1 else ranked


def _function_of(config: Any) -> str:
    if config.problem_type == "regression":
        return "none"
    return "sigmoid" if config.problem_type == "multi_label_classification" or config.num_labels == 1 else "softmax"
