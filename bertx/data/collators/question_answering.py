"""Question answering: windows of a context, and where the answer is in each."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..columns import Field
from ..rows import Row, place_of
from .base import Collator, not_text

_LONGEST, _LARGEST_STRIDE = 384, 128  # of transformers' run_qa.py
_WINDOW = "window"
_log = logging.getLogger(__name__)


class QuestionAnsweringCollator(Collator):
    """Rows of {"question", "context", "answers": {"text": [...], "answer_start": [...]}}, as SQuAD's.

    A context that is longer than a window becomes several, which share `stride` tokens → start_positions and
    end_positions [B], int64: the tokens of the first answer, or of [CLS], 0, where the window does not have all of it
    or the question has none. The windows are those of transformers' run_qa.py.
    """

    fields = (Field("question", ("question",)), Field("context", ("context",)), Field("answers", ("answers",)))

    def __init__(
        self, tokenizer: Any, config: Any, *, max_length: int | None = None, stride: int | None = None, **options: Any
    ):
        """See Collator.

        Args:
            tokenizer, config, options: see Collator.
            max_length: of question and window, in tokens; None is 384, or what the model takes.
            stride: how many tokens two windows share; None is 128, or half of a shorter max_length.
        """
        super().__init__(tokenizer, config, max_length=max_length, **options)
        if max_length is None:
            self.max_length = min(self.max_length, _LONGEST)
        self.stride = min(self.max_length // 2, _LARGEST_STRIDE) if stride is None else stride
        if not 0 <= self.stride < self.max_length:
            raise ValueError(f"stride is {stride}, expected 0 to {self.max_length - 1}: less than max_length")

    def prepare(self, rows: Sequence[Row], seed: int = 0) -> Sequence[Row]:
        """See Collator; gives the windows, each the row with its number."""
        rows = super().prepare(rows, seed)
        self._warn_of_misplaced(rows)
        return Windows(rows, [len(self._windows(rows[i])) for i in range(len(rows))])

    def _warn_of_misplaced(self, rows: Sequence[Row]) -> None:
        """SQuAD has a few such answers: they are trained on as they are."""
        misplaced = [i for i in range(len(rows)) if not self._is_in_place(rows[i])]
        if misplaced:
            _log.warning(
                "%d of %d answers do not read the same in the context at their answer_start, the first in %s",
                len(misplaced),
                len(rows),
                place_of(rows, misplaced[0]),
            )

    def _is_in_place(self, row: Row) -> bool:
        if (answer := self._answer(row)) is None:
            return True
        text, start = answer
        return self.value("context", row)[start : start + len(text)] == text

    def problem_of_values(self, row: Row) -> str | None:
        """See Collator."""
        question, context, answers = (self.value(name, row) for name in ("question", "context", "answers"))
        if problem := not_text("question", question) or not_text("context", context):
            return problem
        texts, starts = (answers.get(name) if isinstance(answers, Mapping) else None for name in _ANSWER)
        if texts is None or starts is None or len(texts) != len(starts):
            return f'has {answers!r:.60} for its answers, expected {{"text": […], "answer_start": […]}} of one length'
        for text, start in zip(texts, starts, strict=True):
            if not isinstance(text, str) or not isinstance(start, (int, np.integer)):
                return f"has the answer {text!r:.40} at {start!r:.20}, expected a text at a number of characters"
            if not text or not 0 <= start <= len(context) - len(text):
                return f"has the answer {text!r:.40} at {start}, and its context has {len(context)} characters"
        length = len(self.tokenizer(question.lstrip(), add_special_tokens=False, verbose=False)["input_ids"])
        room = self.max_length - length - self.tokenizer.num_special_tokens_to_add(pair=True)
        if room <= self.stride:
            return (
                f"has a question that leaves {room} tokens for its context, and windows share {self.stride}: shorten "
                "it, or change max_length or stride"
            )
        return None

    def _answer(self, row: Row) -> tuple[str, int] | None:
        answers = self.value("answers", row)
        return (answers["text"][0], int(answers["answer_start"][0])) if len(answers["text"]) else None

    def _windows(self, row: Row) -> Any:
        """The `tokenizers.Encoding` of each window of a row."""
        return self.tokenizer(
            [self.value("question", row).lstrip()],  # spaces before a question would take the room of the context
            [self.value("context", row)],
            truncation="only_second",
            max_length=self.max_length,
            stride=self.stride,
            return_overflowing_tokens=True,
        ).encodings

    def window(self, row: Row) -> tuple[Any, str, Sequence[str], bool]:
        """Of a window: its `tokenizers.Encoding`, the context, the answers, and whether it is the row's first."""
        number = row[_WINDOW]
        return self._windows(row)[number], self.value("context", row), self.value("answers", row)["text"], number == 0

    def collate(self, rows: Sequence[Row], seed: int, step: int) -> dict[str, np.ndarray]:
        """See Collator; a row without the number of a window has all of its windows in the batch."""
        encodings, spans = [], []
        for row in rows:
            windows = self._windows(row)
            for encoding in windows if _WINDOW not in row else [windows[row[_WINDOW]]]:
                encodings.append(encoding)
                spans.append(self._span(encoding, self._answer(row)))
        encoded = {"input_ids": [encoding.ids for encoding in encodings]}
        if "token_type_ids" in self.tokenizer.model_input_names:
            encoded["token_type_ids"] = [encoding.type_ids for encoding in encodings]
        starts, ends = np.array(spans, np.int64).reshape(-1, 2).T.copy()
        return {**self.pad(encoded), "start_positions": starts, "end_positions": ends}

    @staticmethod
    def _span(encoding: Any, answer: tuple[str, int] | None) -> tuple[int, int]:
        """The first and the last token of an answer; both [CLS], 0, where it is not in the window."""
        tokens = [i for i, sequence in enumerate(encoding.sequence_ids) if sequence == 1]
        if answer is None or not tokens:
            return 0, 0
        text, start = answer
        end, offsets = start + len(text), encoding.offsets
        first, last = tokens[0], tokens[-1]
        if offsets[first][0] > start or offsets[last][1] < end:
            return 0, 0
        # The last token that begins no later than the answer, and the first that ends no earlier.
        return (
            max(i for i in tokens if offsets[i][0] <= start),
            min(i for i in tokens if offsets[i][1] >= end),
        )


class Windows(Sequence[Row]):
    """The windows of some rows: each is its row, and the number of the window."""

    def __init__(self, rows: Sequence[Row], counts: Sequence[int]):
        self._rows = rows
        self._of_row = np.repeat(np.arange(len(counts)), counts)
        self._numbers = np.arange(len(self._of_row)) - np.repeat(np.cumsum(counts) - counts, counts)
        if hasattr(rows, "path"):
            self.path = rows.path  # type: ignore[attr-defined]

    def __len__(self) -> int:
        """How many windows there are."""
        return len(self._of_row)

    def __getitem__(self, index: Any) -> Any:
        """A window."""
        return {**self._rows[int(self._of_row[index])], _WINDOW: int(self._numbers[index])}

    def place(self, index: int) -> str:
        """What an error calls a window."""
        return place_of(self._rows, int(self._of_row[index]))


_ANSWER = ("text", "answer_start")
