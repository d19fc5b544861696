"""Question answering: the words of a context that answer a question (Devlin et al. 2019, sections 4.2 and 4.3)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from ..tokenizers.ragged import RaggedBatch
from .options import check_max_length, max_tokens, takes_options
from .scores import at_least
from .streaming import InputError, batch_of, join_rows, run

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
        longest_answer = min(max_answer_length, longest)
        width = at_least(longest_answer)
        predict = self._model.predictor("SpanPredictions", count=at_least(candidates), width=width)

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

        def compute(rows: RaggedBatch) -> list[Any]:
            batch = batch_of(self._model, rows)
            context = join_rows(rows, batch, rows.sequence_ids == 1)
            found = predict(**batch, context_mask=context, max_lengths=np.full(len(rows), longest_answer))
            best = zip(found["scores"], found["indices"], found["null_scores"], strict=True)
            return [(scores[:candidates], indices[:candidates], null) for scores, indices, null in best]

        def combine(question: Any, rows: RaggedBatch, answered: list[Any]) -> Any:
            _, context = cast(tuple[str, str], _parts(question))
            answers: dict[str, dict[str, Any]] = {}
            nothing = 1.0
            for i, (scores, indices, null) in enumerate(answered):
                nothing = min(nothing, float(null))
                starts, further = np.divmod(indices, width)
                for answer in _spans(context, rows.select([i]), scores, starts, starts + further):
                    known = answers.setdefault(answer["answer"].lower(), answer)
                    if known is not answer:
                        known["score"] += answer["score"]
            ranked = list(answers.values())
            if handle_impossible_answer or not ranked:  # a context of what the tokenizer drops has no span
                ranked.append({"score": nothing, "start": 0, "end": 0, "answer": ""})
            ranked.sort(key=lambda answer: -answer["score"])
            kept = ranked if overlapping else _apart(ranked)
            return kept[0] if top_k == 1 else kept[:top_k]

        return run(self._model, questions, encode, compute, combine, batch_tokens)

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


def _spans(
    context: str, window: RaggedBatch, scores: np.ndarray, starts: np.ndarray, ends: np.ndarray
) -> Iterator[dict[str, Any]]:
    """Yields those spans of a window that lie in its context."""
    in_context = np.flatnonzero(window.sequence_ids == 1)
    kept = np.isin(starts, in_context) & np.isin(ends, in_context)
    for score, first, last in zip(scores[kept].tolist(), starts[kept], ends[kept], strict=True):
        begin, stop = _characters(window, first, last)
        yield {"score": score, "start": begin, "end": stop, "answer": context[begin:stop]}


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
