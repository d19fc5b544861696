"""Question answering: the words of a context that answer a question (Devlin et al. 2019, sections 4.2 and 4.3)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .options import check_max_length, max_tokens, takes_options
from .scores import softmax
from .streaming import InputError, Row, padded, rows_of, run

if TYPE_CHECKING:
    from .protocol import TaskModel

_LONGEST, _LARGEST_STRIDE = 384, 128  # the hub's pipeline's own


class QuestionAnswering:
    """The task of a BertForQuestionAnswering."""

    def __init__(self, model: TaskModel, folder: Path | None = None):
        self._model = model
        self._tokenizer = model.tokenizer

    @takes_options("question-answering")
    def __call__(
        self,
        questions: Any,
        *,
        top_k: int = 1,
        handle_impossible_answer: bool = False,
        max_answer_length: int = 15,
        overlapping: bool = False,
        max_length: int | None = None,
        stride: int | None = None,
        batch_tokens: int | None = None,
    ) -> Any:
        """Finds answers; a context longer than the model takes runs in overlapping windows.

        Args:
            questions: {"question": …, "context": …} or a tuple of both, a list of them or a stream.
            top_k: how many answers, the likeliest first.
            handle_impossible_answer: whether "" is an answer too, as in SQuAD 2.
            max_answer_length: in tokens.
            overlapping: whether several answers may share characters, as in the hub's pipeline.
            max_length: of question and window, in tokens; None takes 384 or what the model takes.
            stride: how many tokens two windows share; None takes 128 or half of max_length.
            batch_tokens: the most tokens of a batch.

        Returns:
            {"score", "start", "end", "answer"} for top_k 1, else a list of them; start and end are characters
            of the context, at the borders of words. The score is the product of the probabilities of both
            ends in their window, summed over candidates that read the same.

        Raises:
            InputError: empty questions or contexts, or questions that leave no room for their context.
            ValueError: a top_k or max_answer_length below 1, or a max_length that the model does not take.
        """
        for name, value in (("top_k", top_k), ("max_answer_length", max_answer_length)):
            if value < 1:
                raise ValueError(f"{name} is {value}, expected at least 1")
        check_max_length(self._model, max_length)
        longest = min(max_tokens(self._model), _LONGEST) if max_length is None else max_length
        shared = min(longest // 2, _LARGEST_STRIDE) if stride is None else stride
        # Several candidates may be one answer once they reach to the borders of words, or overlap.
        candidates = 2 * top_k + 10 if overlapping or top_k == 1 else 20 * top_k + 10

        def encode(window: list[Any]) -> list[list[Row]]:
            problems = {i: self._problem(question, longest, shared) for i, question in enumerate(window)}
            InputError.raise_for({i: problem for i, problem in problems.items() if problem})
            parts: list[Any] = [_parts(question) for question in window]
            return [self._windows(asked, context, longest, shared) for asked, context in parts]

        def combine(rows: list[Row], logits: list[np.ndarray]) -> Any:
            answers: dict[str, dict[str, Any]] = {}
            nothing = 1.0
            for row, of_window in zip(rows, logits, strict=True):
                found, null = self._spans(row, of_window, candidates, max_answer_length)
                nothing = min(nothing, null)
                for answer in found:
                    known = answers.setdefault(answer["answer"].lower(), answer)
                    if known is not answer:
                        known["score"] += answer["score"]
            ranked = list(answers.values())
            if handle_impossible_answer or not ranked:  # a context of what the tokenizer drops has no span
                ranked.append({"score": nothing, "start": 0, "end": 0, "answer": ""})
            ranked.sort(key=lambda answer: -answer["score"])
            kept = ranked if overlapping else _apart(ranked)
            return kept[0] if top_k == 1 else kept[:top_k]

        return run(self._model, questions, encode, self._compute, combine, batch_tokens)

    def _problem(self, question: Any, longest: int, stride: int) -> str | None:
        parts = _parts(question)
        if parts is None:
            return f"is {question!r:.60}: expected {{'question': …, 'context': …}} or a tuple"
        for name, text in zip(("question", "context"), parts, strict=True):
            if not text.strip():
                return f"has an empty {name}"
        question_length = len(self._tokenizer(parts[0], verbose=False, add_special_tokens=False)["input_ids"])
        room = longest - question_length - self._tokenizer.num_special_tokens_to_add(pair=True)
        if room <= stride:
            return (
                f"has a question that leaves {room} tokens for its context, and windows share {stride}; "
                "shorten it, or change max_length or stride"
            )
        return None

    def _windows(self, question: str, context: str, longest: int, stride: int) -> list[Row]:
        encoded = self._tokenizer(
            [question],
            [context],
            truncation="only_second",
            max_length=longest,
            stride=stride,
            return_overflowing_tokens=True,
        )
        return [
            {**row, "encoding": encoding, "context": context}
            for row, encoding in zip(rows_of(encoded), encoded.encodings, strict=True)
        ]

    def _compute(self, rows: list[Row]) -> list[np.ndarray]:
        batch = padded(self._model, rows)
        outputs = self._model.forward(**batch)
        logits = np.stack([outputs["start_logits"], outputs["end_logits"]], axis=1)
        return [of_row[:, mask == 1] for of_row, mask in zip(logits, batch["attention_mask"], strict=True)]

    def _spans(
        self, row: Mapping[str, Any], logits: np.ndarray, candidates: int, longest: int
    ) -> tuple[list[dict[str, Any]], float]:
        """The likeliest spans of a window, and how likely it is that it has no answer ([CLS] to [CLS])."""
        encoding = row["encoding"]
        in_context = np.array([sequence == 1 for sequence in encoding.sequence_ids])
        readable = in_context.copy()
        readable[0] = True
        start, end = softmax(np.where(readable, logits, -10000.0))
        nothing = float(start[0] * end[0])
        scores = np.tril(np.triu(np.outer(start * in_context, end * in_context)), longest - 1)
        best = np.argsort(-scores, axis=None, kind="stable")[:candidates]
        spans = []
        for first, last in zip(*np.unravel_index(best, scores.shape), strict=True):
            if not (in_context[first] and in_context[last]) or last < first:
                continue
            begin, stop = self._characters(encoding, int(first), int(last))
            answer = row["context"][begin:stop]
            spans.append({"score": float(scores[first, last]), "start": begin, "end": stop, "answer": answer})
        return spans, nothing

    @staticmethod
    def _characters(encoding: Any, first: int, last: int) -> tuple[int, int]:
        """From the first character of the first token's word to the last of the last one's."""
        words = encoding.word_ids
        begin, stop = encoding.word_to_chars(words[first], 1), encoding.word_to_chars(words[last], 1)
        return begin[0], stop[1]


def _parts(question: Any) -> tuple[str, str] | None:
    """Question and context, None where it has not both."""
    if isinstance(question, Mapping) and {"question", "context"} <= set(question):
        return question["question"], question["context"]
    return question if isinstance(question, tuple) and len(question) == 2 else None


def _apart(ranked: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Those that share no character with a likelier one."""
    kept: list[dict[str, Any]] = []
    for answer in ranked:
        if all(answer["end"] <= other["start"] or answer["start"] >= other["end"] for other in kept):
            kept.append(answer)
    return kept
