"""Pre-training: hidden words and next sentences, from documents (Devlin et al. 2019, section 3.1 and appendix A.2)."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from ..batches import generator_of
from ..columns import Field, as_list
from ..rows import Row, source_of
from ..tokens import Tokens, tokens_of
from .base import Collator, not_text
from .masked_lm import Masking, at_hidden


class PretrainingCollator(Collator):
    """Documents, rows of {"sentences"} → mask_positions and labels [B, K] and next_sentence_label [B], int64.

    The pairs are those of BERT's create_pretraining_data.py: sentences of a document fill a row, cut in two at random;
    half of the second parts are replaced by sentences of another document (1). They are made once, from the seed; which
    tokens are hidden is drawn anew at each step.
    """

    fields = (Field("sentences", ("sentences",)),)

    def __init__(
        self,
        tokenizer: Any,
        config: Any,
        *,
        mlm_probability: float = 0.15,
        whole_word_mask: bool = False,
        short_seq_prob: float = 0.1,
        **options: Any,
    ):
        """See Collator.

        Args:
            tokenizer, config, options: see Collator.
            mlm_probability, whole_word_mask: see MaskedLMCollator.
            short_seq_prob: how probable it is that a pair is made shorter than max_length, so that the model sees
                short texts too.
        """
        super().__init__(tokenizer, config, **options)
        self._masking = Masking(tokenizer, config, mlm_probability, whole_word_mask)
        if not 0 <= short_seq_prob <= 1:
            raise ValueError(f"short_seq_prob is {short_seq_prob!r}, expected 0 to 1")
        self._short = short_seq_prob
        self._room = self.max_length - tokenizer.num_special_tokens_to_add(pair=True)
        if self._room < 2:
            raise ValueError(f"max_length is {self.max_length}, expected room for two texts beside the special tokens")

    def _sentences(self, row: Row) -> list[str]:
        return as_list(self.value("sentences", row))

    def problem_of_values(self, row: Row) -> str | None:
        """See Collator."""
        sentences: Any = self._sentences(row)
        if not isinstance(sentences, list) or not sentences:
            return f"has {sentences!r:.40} for its sentences, expected a list of texts"
        return next(filter(None, (not_text("sentences", sentence) for sentence in sentences)), None)

    def prepare(self, rows: Sequence[Row], seed: int = 0) -> Sequence[Row]:
        """See Collator; gives the pairs. All documents are tokenised here; see `tokens_of` of `bertx.data.tokens`.

        Raises:
            ValueError: fewer than two documents that have a token.
        """
        tokens = tokens_of(super().prepare(rows, seed), self.tokenizer, self._sentences)
        if len(tokens.documents) < 3:
            raise ValueError(
                f"{source_of(rows)}{len(tokens.documents) - 1} documents, expected two or more: a second sentence that "
                "does not follow is of another one. Blank lines part documents"
            )
        return Pairs(tokens, self._pairs(tokens, generator_of(seed, 0, "pairs")))

    def _pairs(self, tokens: Tokens, generator: np.random.Generator) -> np.ndarray:
        found = array("q")
        for document in range(len(tokens.documents) - 1):
            for pair in self._pairs_of(tokens, document, generator):
                found.extend(pair)
        return np.frombuffer(found, np.int64).reshape(-1, 5)

    def _pairs_of(self, tokens: Tokens, document: int, generator: np.random.Generator) -> Iterator[tuple[int, ...]]:
        """(Begin and end of the first text, of the second, 1 where that is random) of each pair, in tokens."""
        begins = tokens.texts
        first, last = (int(sentence) for sentence in tokens.documents[document : document + 2])
        start = first
        while start < last:
            target = self._room
            if generator.random() < self._short:
                target = int(generator.integers(2, self._room + 1))
            end = start + 1
            while end < last and begins[end] - begins[start] < target:
                end += 1
            middle = start + 1 if end - start == 1 else int(generator.integers(start + 1, end))
            first_text = int(begins[start]), int(begins[middle])
            if is_random := end - start == 1 or generator.random() < 0.5:
                second = self._other(tokens, document, target - (first_text[1] - first_text[0]), generator)
                start = middle  # the sentences that were replaced begin the next pair
            else:
                second = int(begins[middle]), int(begins[end])
                start = end
            yield *self._cut(first_text, second, generator), int(is_random)

    def _other(self, tokens: Tokens, document: int, target: int, generator: np.random.Generator) -> tuple[int, int]:
        """Sentences of another document, from a random one on, that have `target` tokens or reach its end."""
        other, count = document, len(tokens.documents) - 1
        while other == document:
            other = int(generator.integers(0, count))
        first, last = (int(sentence) for sentence in tokens.documents[other : other + 2])
        start = int(generator.integers(first, last))
        end = start + 1
        while end < last and tokens.texts[end] - tokens.texts[start] < target:
            end += 1
        return int(tokens.texts[start]), int(tokens.texts[end])

    def _cut(
        self, first: tuple[int, int], second: tuple[int, int], generator: np.random.Generator
    ) -> tuple[int, int, int, int]:
        """Both within the room: a token of the longer is dropped, from its front or its back, until they are."""
        texts = [list(first), list(second)]
        for _ in range(first[1] - first[0] + second[1] - second[0] - self._room):
            longer = texts[0] if texts[0][1] - texts[0][0] > texts[1][1] - texts[1][0] else texts[1]
            if generator.random() < 0.5:
                longer[0] += 1
            else:
                longer[1] -= 1
        return (*texts[0], *texts[1])  # type: ignore[return-value]

    def __call__(self, rows: Sequence[Row], seed: int, step: int) -> dict[str, np.ndarray]:
        """The arrays of pairs, which `prepare` makes of documents."""
        return self.collate(rows, seed, step)

    def collate(self, rows: Sequence[Row], seed: int, step: int) -> dict[str, np.ndarray]:
        """See Collator."""
        build, special = self.tokenizer.build_inputs_with_special_tokens, self.tokenizer.all_special_ids
        built = [build(row["first"].tolist(), row["second"].tolist()) for row in rows]
        types = self.tokenizer.create_token_type_ids_from_sequences
        encoded: dict[str, Any] = {"input_ids": built}
        if "token_type_ids" in self.tokenizer.model_input_names:
            encoded["token_type_ids"] = [types(row["first"].tolist(), row["second"].tolist()) for row in rows]
        inputs = self.pad(encoded)
        words = np.full(inputs["input_ids"].shape, -1, np.int64)
        for i, row in enumerate(rows):
            start, second = 1, len(built[i]) - 1 - len(row["second"])
            words[i, start : start + len(row["first"])] = np.cumsum(row["first_begins"])
            words[i, second : second + len(row["second"])] = len(row["first"]) + 1 + np.cumsum(row["second_begins"])
        words[np.isin(inputs["input_ids"], special)] = -1
        ids, labels = self._masking(inputs["input_ids"], words, generator_of(seed, step, "masks"))
        following = np.array([row["next_sentence_label"] for row in rows], np.int64)
        return {**inputs, "input_ids": ids, **at_hidden(labels), "next_sentence_label": following}


class Pairs(Sequence[Row]):
    """The pairs of `PretrainingCollator.prepare`: {"first", "second": ids, "next_sentence_label", …}."""

    def __init__(self, tokens: Tokens, pairs: np.ndarray):
        self._tokens, self._pairs = tokens, pairs

    def __len__(self) -> int:
        """How many pairs there are."""
        return len(self._pairs)

    def __getitem__(self, index: Any) -> Any:
        """A pair."""
        a, b, c, d, is_random = (int(number) for number in self._pairs[index])
        return {
            "first": self._tokens.ids[a:b],
            "second": self._tokens.ids[c:d],
            "first_begins": self._tokens.begins[a:b],
            "second_begins": self._tokens.begins[c:d],
            "next_sentence_label": is_random,
        }
