"""Multiple choice: which of several answers fits a question."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..tokenizers.ragged import RaggedBatch, Requested
from .options import TokenizerOptions, takes_options
from .pairs import as_pair, encode_pairs
from .scores import softmax
from .streaming import InputError, padded, run

if TYPE_CHECKING:
    from .protocol import TaskModel


@dataclass(frozen=True)
class _Questions(RaggedBatch):
    """Questions whose rows have their choices one after the other; choices: [N], the choice that each token is of."""

    choices: Requested = None

    def tokens(self) -> dict[str, np.ndarray]:
        """See RaggedBatch."""
        return super().tokens() | {"choices": self.choices}


class MultipleChoice:
    """The task of a BertForMultipleChoice."""

    def __init__(self, model: TaskModel, folder: Path | None = None):
        self._model = model

    @takes_options("multiple-choice")
    def __call__(self, questions: Any, *, max_length: int | None = None, batch_tokens: int | None = None) -> Any:
        """Chooses an answer for each question.

        Args:
            questions: {"question": …, "choices": [two or more]}, a list of them or a stream.
            max_length: of the question and a choice, in tokens; None is what the model takes.
            batch_tokens: the most tokens of a batch, those of all choices together.

        Returns:
            {"choice": its index, "answer": its text, "scores": the probability of each} of each question.

        Raises:
            InputError: fewer than two choices, or mappings without these keys.
            ValueError: a max_length that the model does not take.
        """
        options = TokenizerOptions.checked(self._model, max_length)

        def encode(window: Sequence[Mapping[str, Any]]) -> _Questions:
            return self._encode(window, options)

        def compute(rows: Any) -> list[np.ndarray]:
            return [self._scores(rows.select([i])) for i in range(len(rows))]

        def combine(question: Mapping[str, Any], rows: Any, scores: list[np.ndarray]) -> dict[str, Any]:
            best = int(np.argmax(scores[0]))
            answer = question["choices"][best]
            return {"choice": best, "answer": answer, "scores": [float(score) for score in scores[0]]}

        return run(self._model, questions, encode, compute, combine, batch_tokens)

    def _encode(self, questions: Sequence[Mapping[str, Any]], options: TokenizerOptions) -> _Questions:
        problems = {}
        for i, question in enumerate(questions):
            if not isinstance(question, Mapping) or not {"question", "choices"} <= set(question):
                problems[i] = f"is {question!r:.60}: expected {{'question': …, 'choices': […]}}"
            elif len(question["choices"]) < 2:
                problems[i] = f"has {len(question['choices'])} choices: give at least two"
        InputError.raise_for(problems)
        pairs = [
            as_pair((question["question"], choice), i)
            for i, question in enumerate(questions)
            for choice in question["choices"]
        ]
        rows = encode_pairs(self._model, pairs, options=options)
        firsts = np.cumsum([0, *(len(question["choices"]) for question in questions)])
        return _Questions(**rows.tokens(), row_offsets=rows.row_offsets[firsts], choices=rows.rows)

    def _scores(self, question: _Questions) -> np.ndarray:
        """The probability of each choice of one question, [C]."""
        _, lengths = np.unique(question.choices, return_counts=True)
        choices = RaggedBatch(**RaggedBatch.tokens(question), row_offsets=np.cumsum([0, *lengths]))
        inputs = {name: value[None] for name, value in padded(self._model, choices).items()}
        return softmax(self._model.forward(**inputs)["logits"])[0]
