"""Question answering: the words of a context that answer a question (Devlin et al. 2019, sections 4.2 and 4.3)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from ..tokenizers.ragged import RaggedBatch
from .options import check_max_length, max_tokens, takes_options
from .scores import softmax
from .streaming import InputError, batch_of, run, split_rows

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

        def encode(window: list[Any]) -> RaggedBatch:
            parts: list[Any] = [_parts(question) for question in window]
            InputError.raise_for(self._problems(window, parts, longest, shared))
            return self._tokenizer.ragged(
                [question for question, _ in parts],
                [context for _, context in parts],
                truncation="only_second",
                max_length=longest,
                stride=shared,
                return_overflowing_tokens=True,
                return_offsets_mapping=True,
                return_word_ids=True,
                return_sequence_ids=True,
            )

        def combine(question: Any, rows: RaggedBatch, logits: list[np.ndarray]) -> Any:
            _, context = cast(tuple[str, str], _parts(question))
            answers: dict[str, dict[str, Any]] = {}
            nothing = 1.0
            for i, of_window in enumerate(logits):
                found, null = self._spans(context, rows.select([i]), of_window, candidates, max_answer_length)
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

    def _problems(self, window: list[Any], parts: list[Any], longest: int, stride: int) -> dict[int, str]:
        """What is wrong with each question that cannot be asked."""
        problems = {
            i: f"is {question!r:.60}: expected {{'question': …, 'context': …}} or a tuple"
            if of_question is None
            else f"has an empty {'context' if of_question[0].strip() else 'question'}"
            for i, (question, of_question) in enumerate(zip(window, parts, strict=True))
            if of_question is None or not all(text.strip() for text in of_question)
        }
        asked = [i for i in range(len(window)) if i not in problems]
        if asked:
            questions = self._tokenizer.ragged([parts[i][0] for i in asked], verbose=False, add_special_tokens=False)
            rooms = longest - questions.lengths - self._tokenizer.num_special_tokens_to_add(pair=True)
            problems |= {
                i: f"has a question that leaves {room} tokens for its context, and windows share {stride}; "
                "shorten it, or change max_length or stride"
                for i, room in zip(asked, rooms.tolist(), strict=True)
                if room <= stride
            }
        return dict(sorted(problems.items()))

    def _compute(self, rows: RaggedBatch) -> list[np.ndarray]:
        batch = batch_of(self._model, rows)
        outputs = self._model.forward(**batch)
        logits = np.stack([outputs["start_logits"], outputs["end_logits"]], axis=-1)
        return [of_row.T for of_row in split_rows(rows, batch, logits)]

    def _spans(
        self, context: str, window: RaggedBatch, logits: np.ndarray, candidates: int, longest: int
    ) -> tuple[list[dict[str, Any]], float]:
        """The likeliest spans of a window, and how likely it is that it has no answer ([CLS] to [CLS])."""
        in_context = window.sequence_ids == 1
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
            begin, stop = _characters(window, first, last)
            answer = context[begin:stop]
            spans.append({"score": float(scores[first, last]), "start": begin, "end": stop, "answer": answer})
        return spans, nothing


def _characters(window: RaggedBatch, first: int, last: int) -> tuple[int, int]:
    """From the first character of the first token's word to the last of the last one's."""
    same_word = (window.sequence_ids == 1) & np.isin(window.word_ids, window.word_ids[[first, last]])
    characters = window.offset_mapping[same_word]
    return int(characters[0, 0]), int(characters[-1, 1])


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
