"""Token classification: labels of tokens, or of the names and phrases that they form."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..tokenizers.ragged import RaggedBatch
from ..tokenizers.subwords import continuation_mark, continues_word
from .options import check_max_length, max_tokens, takes_options
from .scores import labels_of
from .streaming import InputError, batch_of, run, split_rows

if TYPE_CHECKING:
    from .protocol import TaskModel

AGGREGATIONS = ("none", "simple", "first", "average", "max")
_SPECIAL_TOKENS = 2  # [CLS] and [SEP] of a window


class TokenClassification:
    """The task of a BertForTokenClassification."""

    def __init__(self, model: TaskModel, folder: Path | None = None):
        self._model = model
        self._tokenizer = model.tokenizer
        self._labels = labels_of(model, folder)
        self._mark = continuation_mark(self._tokenizer)

    @takes_options("token-classification")
    def __call__(
        self,
        texts: Any,
        *,
        aggregation: str | None = "none",
        ignore_labels: Sequence[str] | None = ("O",),
        is_split_into_words: bool = False,
        delimiter: str | None = None,
        max_length: int | None = None,
        stride: int | None = None,
        batch_tokens: int | None = None,
    ) -> Any:
        """Labels the tokens of texts; a text longer than the model takes runs in overlapping windows.

        Args:
            texts: a string, a list of them or a stream; with is_split_into_words lists of words instead. One list of
                words has a list of one result, as in the hub's pipeline.
            aggregation: "none" gives tokens; "simple" joins neighbours of one label (B- begins anew);
                "first", "average" and "max" give each word one label before: that of its first piece, of the
                mean of its pieces' scores, or of the piece that is surest. As the hub's pipeline defines them.
                aggregation_strategy, the hub's name of the argument, is taken too.
            ignore_labels: labels that are left out; None is "O".
            is_split_into_words: whether a text is a list of words.
            delimiter: what is between words in the text that start and end are characters of; None is a space.
            max_length: of a window, in tokens; None is what the model takes.
            stride: how many tokens two windows share; None takes a quarter of max_length.
            batch_tokens: the most tokens of a batch.

        Returns:
            Of each text a list of {"entity", "score", "index", "word", "start", "end"} for "none", else of
            {"entity_group", "score", "word", "start", "end"}; start and end are characters of the text. Where
            windows overlap the longer of two entities that meet is kept, or the surer of two as long.

        Raises:
            ValueError: an unknown aggregation, a stride that leaves no token of a window, or a max_length that the
                model does not take.
            InputError: what is neither a text nor, with is_split_into_words, a list of words.
        """
        aggregation = aggregation.lower() if isinstance(aggregation, str) else aggregation or "none"
        ignore_labels = ("O",) if ignore_labels is None else ignore_labels
        if aggregation not in AGGREGATIONS:
            raise ValueError(f"aggregation is {aggregation!r}, expected one of {', '.join(AGGREGATIONS)}")
        check_max_length(self._model, max_length)
        longest = max_tokens(self._model) if max_length is None else max_length
        shared = longest // 4 if stride is None else stride
        if not 0 <= shared < longest - _SPECIAL_TOKENS:
            raise ValueError(f"stride is {stride}, expected 0 to {longest - _SPECIAL_TOKENS - 1}: less than a window")

        between = (" " if delimiter is None else delimiter) if is_split_into_words else None
        if is_split_into_words and isinstance(texts, list) and any(isinstance(text, str) for text in texts):
            texts = [texts]

        def encode(window: list[Any]) -> RaggedBatch:
            InputError.raise_for(_not_texts(window, is_split_into_words))
            return self._windows(window, longest, shared, between)

        every_label = aggregation == "average"
        predict = self._model.predictor("LabelPredictions", every_label=every_label)

        def compute(rows: RaggedBatch) -> list[Any]:
            batch = batch_of(self._model, rows)
            found = predict(**batch)
            if every_label:
                return split_rows(rows, batch, found["scores"])
            labels, scores = (split_rows(rows, batch, found[name]) for name in ("indices", "scores"))
            return list(zip(labels, scores, strict=True))

        def combine(text: Any, rows: RaggedBatch, answered: list[Any]) -> list[dict[str, Any]]:
            text = text if between is None else between.join(text)
            found = []
            for i, of_window in enumerate(answered):
                scored = _all_scores(of_window) if every_label else _best_scores(*of_window)
                tokens = self._tokens(text, rows.select([i]), scored)
                entities = tokens if aggregation in ("none", "simple") else self._words(tokens, aggregation)
                entities = [self._labelled(entity) for entity in entities]
                if aggregation != "none":
                    entities = self._joined(entities)
                key = "entity" if aggregation == "none" else "entity_group"
                found += [entity for entity in entities if entity[key] not in ignore_labels]
            return found if len(rows) == 1 else _without_overlaps(found)

        return run(self._model, texts, encode, compute, combine, batch_tokens)

    def _windows(self, texts: Sequence[Any], longest: int, stride: int, delimiter: str | None) -> RaggedBatch:
        """The windows of texts, or of lists of words with a delimiter between them."""
        rows = self._tokenizer.ragged(
            texts,
            truncation=True,
            max_length=longest,
            stride=stride,
            return_overflowing_tokens=True,
            return_special_tokens_mask=True,
            return_offsets_mapping=True,
            return_word_ids=delimiter is not None,
            is_split_into_words=delimiter is not None,
        )
        if delimiter is None:
            return rows
        # A token's characters are those of its word: here they become those of the text.
        lengths = [[len(word) + len(delimiter) for word in words] for words in texts]
        starts = np.array([start for of_text in lengths for start in itertools.accumulate(of_text, initial=0)])
        firsts = np.cumsum([0, *(1 + len(words) for words in texts)])
        word = firsts[rows.samples[rows.rows]] + rows.word_ids
        moved = np.where(rows.word_ids < 0, 0, starts[np.maximum(word, 0)])
        return replace(rows, offset_mapping=rows.offset_mapping + moved[:, None])

    def _tokens(self, text: str, window: RaggedBatch, scored: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """The tokens of a window that are of the text, with what is `scored` of each."""
        tokens = []
        special, characters = window.special_tokens_mask.tolist(), window.offset_mapping.tolist()
        for i, token in enumerate(window.input_ids.tolist()):
            if special[i]:
                continue
            start, end = characters[i]
            word = self._tokenizer.convert_ids_to_tokens(token)
            unknown = token == self._tokenizer.unk_token_id
            tokens.append(
                {
                    **scored[i],
                    "index": i,
                    "word": text[start:end] if unknown else word,
                    "start": start,
                    "end": end,
                    "continues": not unknown and continues_word(self._mark, word, text, start),
                }
            )
        return tokens

    def _words(self, tokens: list[dict[str, Any]], aggregation: str) -> list[dict[str, Any]]:
        """Pieces joined to words, with the label of the piece, or the mean of scores, that decides."""
        groups: list[list[dict[str, Any]]] = []
        for token in tokens:
            if token["continues"] and groups:
                groups[-1].append(token)
            else:
                groups.append([token])
        return [
            {
                **_DECIDES[aggregation](group),
                "word": self._tokenizer.convert_tokens_to_string([piece["word"] for piece in group]),
                "start": group[0]["start"],
                "end": group[-1]["end"],
            }
            for group in groups
        ]

    def _labelled(self, entity: dict[str, Any]) -> dict[str, Any]:
        found = {"entity": self._labels[entity["label"]], "score": entity["score"]}
        return found | {name: entity[name] for name in ("index", "word", "start", "end") if name in entity}

    def _joined(self, entities: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Neighbours of one label in one; a label with B- begins a new one."""
        groups: list[list[dict[str, Any]]] = []
        for entity in entities:
            begins, label = _split(entity["entity"])
            if groups and not begins and _split(groups[-1][-1]["entity"])[1] == label:
                groups[-1].append(entity)
            else:
                groups.append([entity])
        return [
            {
                "entity_group": _split(group[0]["entity"])[1],
                "score": float(np.mean([entity["score"] for entity in group])),
                "word": self._tokenizer.convert_tokens_to_string([entity["word"] for entity in group]),
                "start": group[0]["start"],
                "end": group[-1]["end"],
            }
            for group in groups
        ]


def _best_scores(labels: np.ndarray, scores: np.ndarray) -> list[dict[str, Any]]:
    """The label and the score of each token."""
    return [{"label": label, "score": score} for label, score in zip(labels.tolist(), scores.tolist(), strict=True)]


def _all_scores(scores: np.ndarray) -> list[dict[str, Any]]:
    """The scores of each token [T, L], to be averaged."""
    return [{"scores": of_token} for of_token in scores]


def _averaged(group: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    scores = np.mean([piece["scores"] for piece in group], axis=0)
    best = int(np.argmax(scores))
    return {"label": best, "score": float(scores[best])}


def _label_of(piece: Mapping[str, Any]) -> dict[str, Any]:
    return {"label": piece["label"], "score": piece["score"]}


_DECIDES: dict[str, Callable[[list[dict[str, Any]]], dict[str, Any]]] = {
    "first": lambda group: _label_of(group[0]),
    "average": _averaged,
    "max": lambda group: _label_of(max(group, key=lambda piece: piece["score"])),
}


def _not_texts(window: Sequence[Any], split: bool) -> dict[int, str]:
    """What is wrong with each input that is no text, or no list of words."""
    if not split:
        return {
            i: f"is {text!r:.60}: expected a string, or lists of words and is_split_into_words=True"
            for i, text in enumerate(window)
            if not isinstance(text, str)
        }
    return {
        i: f"is {text!r:.60}: expected a list of words, or strings without is_split_into_words"
        for i, text in enumerate(window)
        if not isinstance(text, list) or not all(isinstance(word, str) for word in text)
    }


def _split(label: str) -> tuple[bool, str]:
    """Whether a label begins an entity, and the label without B- or I-."""
    return label.startswith("B-"), label[2:] if label.startswith(("B-", "I-")) else label


def _without_overlaps(entities: list[dict[str, Any]]) -> list[dict[str, Any]]:
    kept: list[dict[str, Any]] = []
    for entity in sorted(entities, key=lambda entity: entity["start"]):
        if not kept or entity["start"] >= kept[-1]["end"]:
            kept.append(entity)
        elif (_length(entity), entity["score"]) > (_length(kept[-1]), kept[-1]["score"]):
            kept[-1] = entity
    return kept


def _length(entity: Mapping[str, Any]) -> int:
    return entity["end"] - entity["start"]
