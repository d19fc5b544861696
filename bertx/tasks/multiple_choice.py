"""Multiple choice: which of several answers fits a question."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .options import TokenizerOptions, takes_options
from .pairs import encode_pairs
from .scores import softmax
from .streaming import InputError, Row, padded, run_whole

if TYPE_CHECKING:
    from .protocol import TaskModel


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

        def encode(window: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
            return self._encode(window, options)

        def compute(rows: list[Mapping[str, Any]]) -> list[dict[str, Any]]:
            return [self._choose(row) for row in rows]

        return run_whole(self._model, questions, encode, compute, batch_tokens)

    def _encode(self, questions: Sequence[Mapping[str, Any]], options: TokenizerOptions) -> list[Mapping[str, Any]]:
        problems = {}
        for i, question in enumerate(questions):
            if not isinstance(question, Mapping) or not {"question", "choices"} <= set(question):
                problems[i] = f"is {question!r:.60}: expected {{'question': …, 'choices': […]}}"
            elif len(question["choices"]) < 2:
                problems[i] = f"has {len(question['choices'])} choices: give at least two"
        InputError.raise_for(problems)
        encoded = []
        for question in questions:
            pairs = [(question["question"], choice) for choice in question["choices"]]
            rows = encode_pairs(self._model, pairs, options=options)
            every_id = [i for row in rows for i in row["input_ids"]]
            encoded.append({"input_ids": every_id, "rows": rows, "choices": question["choices"]})
        return encoded

    def _choose(self, question: Mapping[str, Any]) -> dict[str, Any]:
        rows: list[Row] = question["rows"]
        batch = padded(self._model, rows)
        inputs = {name: value[None] for name, value in batch.items()}
        scores = softmax(self._model.forward(**inputs)["logits"])[0]
        best = int(np.argmax(scores))
        return {"choice": best, "answer": question["choices"][best], "scores": [float(score) for score in scores]}
