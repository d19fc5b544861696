"""Text classification and next-sentence prediction: a label, and how sure the model is of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from bertx_weights import CheckpointError

from .options import TokenizerOptions, check_lengths, takes_options
from .pooling import ACTIVATIONS
from .sentence_transformers import SentenceSettings, lowercased, read_cross_encoder
from .streaming import InputError, Row, padded, run_whole


def labels_of(model: Any, folder: Any) -> list[str]:
    """The names of a classifier's outputs, in their order.

    Raises:
        CheckpointError: the config does not say which name is which output's.
    """
    try:
        return list(model.config.labels)
    except ValueError as error:
        raise CheckpointError(f"{folder}: {error}") from error


def softmax(logits: np.ndarray) -> np.ndarray:
    """Over the last axis."""
    exponentials = np.exp(logits - logits.max(-1, keepdims=True))
    return exponentials / exponentials.sum(-1, keepdims=True)


def largest(scores: np.ndarray, count: int) -> np.ndarray:
    """The places of the largest of scores [N], in falling order; without sorting the others."""
    places = np.arange(len(scores))
    if count < len(scores):
        places = np.sort(np.argpartition(-scores, count - 1)[:count])
    return places[np.argsort(-scores[places], kind="stable")]


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """1 / (1 + e⁻ˣ) of each."""
    return 0.5 * (1 + np.tanh(0.5 * logits))


FUNCTIONS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "softmax": softmax,
    "sigmoid": sigmoid,
    "none": lambda logits: logits,
}
"""Logits [B, L] → scores [B, L], by the hub's names."""


class TextClassification:
    """The task of a BertForSequenceClassification."""

    def __init__(self, model: Any, folder: Path | None = None):
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
            function = ACTIVATIONS[settings.activation]
        else:
            function = FUNCTIONS[function_to_apply or _function_of(self._model.config)]
        before = settings.prompt(prompt, prompt_name)
        options = TokenizerOptions.checked(self._model, max_length, truncation, padding, self.max_length)
        options = replace(options, padding=None)

        def encode(window: list[Any]) -> list[Row]:
            return encode_pairs(self._model, window, tokenizer=self._tokenizer, options=options, prompt=before)

        def compute(rows: list[Row]) -> list[Any]:
            batch = padded(self._model, rows)
            scores = function(self._model.forward(**batch)["logits"])
            return [self._ranked(row, top_k) for row in scores]

        return run_whole(self._model, texts, encode, compute, batch_tokens)

    def _ranked(self, scores: np.ndarray, top_k: int | None) -> Any:
        order = np.argsort(-scores, kind="stable")[:top_k]
        ranked = [{"label": self._labels[i], "score": float(scores[i])} for i in order]
        return ranked[0] if top_k == 1 else ranked


class NextSentencePrediction:
    """The task of a BertForNextSentencePrediction."""

    def __init__(self, model: Any, folder: Any = None):
        self._model = model

    @takes_options("next-sentence-prediction")
    def __call__(self, pairs: Any, *, max_length: int | None = None, batch_tokens: int | None = None) -> Any:
        """How likely each second sentence follows its first.

        Args:
            pairs: a pair (a tuple, or {"text": …, "text_pair": …}), a list of them or a stream.
            max_length: of both, in tokens; None is what the model takes.
            batch_tokens: the most tokens of a batch.

        Returns:
            {"is_next": true or false, "score": the probability that it follows} of each pair.

        Raises:
            InputError: texts without a second one.
            ValueError: a max_length that the model does not take.
        """
        options = TokenizerOptions.checked(self._model, max_length)

        def compute(rows: list[Row]) -> list[dict[str, Any]]:
            batch = padded(self._model, rows)
            follows = softmax(self._model.forward(**batch)["logits"])[:, 0]
            return [{"is_next": bool(score >= 0.5), "score": float(score)} for score in follows]

        def encode(window: list[Any]) -> list[Row]:
            return encode_pairs(self._model, window, second=True, options=options)

        return run_whole(self._model, pairs, encode, compute, batch_tokens)


def encode_pairs(
    model: Any,
    texts: Sequence[Any],
    second: bool = False,
    tokenizer: Any = None,
    options: TokenizerOptions | None = None,
    prompt: str = "",
) -> list[Row]:
    """The row of each text or pair, truncated to what the model takes; with `second` each must be a pair.

    Args:
        model: the Model.
        texts: as `as_pair` takes them.
        second: whether each must be a pair.
        tokenizer: None takes the model's.
        options: how they are cut and padded; None cuts at what the model takes.
        prompt: what is put before each text, the first of a pair.

    Raises:
        InputError: texts without a second one, or texts that are not truncated and longer than the model takes.
    """
    options = options or TokenizerOptions()
    split = [as_pair(text, place) for place, text in enumerate(texts)]
    if second:
        alone = [place for place, (_, pair) in enumerate(split) if pair is None]
        InputError.raise_for(dict.fromkeys(alone, "is one text: give a pair, (first, second)"))
    rows: list[Row | None] = [None] * len(split)
    for has_pair in (False, True):
        places = [i for i, (_, pair) in enumerate(split) if (pair is not None) == has_pair]
        if places:
            encoded = options.rows(
                model,
                tokenizer or model.tokenizer,
                [prompt + split[i][0] for i in places],
                [split[i][1] for i in places] if has_pair else None,
            )
            for place, row in zip(places, encoded, strict=True):
                rows[place] = row
    check_lengths(model, rows)
    return rows


def as_pair(text: Any, place: int = 0) -> tuple[str, str | None]:
    """A text and its pair, None where it has none; `place` is its position among others, for the error.

    Raises:
        TypeError: neither a string, a pair of them nor a mapping of "text" and "text_pair".
    """
    pair = text
    if isinstance(text, str):
        pair = (text, None)
    elif isinstance(text, Mapping) and "text" in text and set(text) <= {"text", "text_pair"}:
        pair = (text["text"], text.get("text_pair"))
    if not isinstance(pair, tuple) or len(pair) != 2 or not isinstance(pair[0], str):
        pair = None
    if pair is None or not isinstance(pair[1], (str, type(None))):
        raise TypeError(
            f"input {place} is {text!r:.60}: expected a string, a tuple of two, or {{'text': …, 'text_pair': …}}"
        )
    return pair


def _function_of(config: Any) -> str:
    if config.problem_type == "regression":
        return "none"
    return "sigmoid" if config.problem_type == "multi_label_classification" or config.num_labels == 1 else "softmax"
