"""Text generation: one token after another from a causal BERT."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..tokenizers.ragged import RaggedBatch
from ..tokenizers.subwords import extended
from .options import takes_options
from .scores import softmax
from .streaming import InputError, run

if TYPE_CHECKING:
    from .protocol import TaskModel

# The positions of keys and values grow in steps where each shape is compiled.
_STEP = 32


class TextGeneration:
    """The task of a BertLMHeadModel."""

    def __init__(self, model: TaskModel, folder: Path | None = None):
        if not model.config.is_decoder:
            raise ValueError("text-generation needs a causal model: set is_decoder to true in config.json")
        self._model = model
        self._tokenizer = model.tokenizer
        end = model.config.eos_token_id
        self._ends = set(end if isinstance(end, list) else [self._tokenizer.sep_token_id if end is None else end])

    @takes_options("text-generation")
    def __call__(
        self,
        prompts: Any,
        *,
        max_new_tokens: int = 20,
        do_sample: bool = False,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float | None = None,
        seed: int = 0,
        batch_tokens: int | None = None,
    ) -> Any:
        """Continues prompts, which begin with [CLS]; stops at [SEP], or the config's eos_token_id.

        Args:
            prompts: a string, a list of them or a stream.
            max_new_tokens: the most tokens that are added; fewer where the model's positions end.
            do_sample: draws tokens; False takes the likeliest, the same on every backend.
            temperature: divides the logits before a token is drawn.
            top_k: only so many of the likeliest tokens are drawn from.
            top_p: only the likeliest tokens whose probabilities first reach this sum.
            seed: of what is drawn; a prompt's continuation depends on it and on the prompt alone.
            batch_tokens: the most tokens of a batch of prompts.

        Returns:
            {"generated_text": prompt and continuation, "tokens": the ids that were added} of each prompt.

        Raises:
            InputError: prompts that leave no position free.
            ValueError: an option outside its range.
        """
        _check("max_new_tokens", max_new_tokens, max_new_tokens >= 1, "at least 1")
        _check("temperature", temperature, temperature > 0, "a number above 0")
        _check("top_k", top_k, top_k is None or top_k >= 1, "at least 1")
        _check("top_p", top_p, top_p is None or 0 < top_p <= 1, "above 0 and at most 1")

        def choose(logits: np.ndarray, generator: np.random.Generator) -> int:
            if not do_sample:
                return int(np.argmax(logits))
            probabilities = _truncated(softmax(logits.astype(np.float64) / temperature), top_k, top_p)
            return int(generator.choice(len(probabilities), p=probabilities))

        def compute(rows: RaggedBatch) -> list[list[int]]:
            return self._continue(rows, max_new_tokens, choose, seed)

        def combine(prompt: str, rows: RaggedBatch, answers: list[list[int]]) -> dict[str, Any]:
            text = extended(self._tokenizer, prompt, rows.input_ids.tolist(), answers[0])
            return {"generated_text": text, "tokens": answers[0]}

        return run(self._model, prompts, self._encode, compute, combine, batch_tokens)

    def _encode(self, prompts: list[str]) -> RaggedBatch:
        rows = self._tokenizer.ragged(prompts, add_special_tokens=False, verbose=False)
        limit = self._model.config.max_sequence_length
        rows = RaggedBatch(
            np.insert(rows.input_ids, rows.row_offsets[:-1], self._tokenizer.cls_token_id),
            rows.row_offsets + np.arange(len(rows) + 1),
        )
        InputError.raise_for(
            {
                i: f"has {length} tokens, the model {limit} positions: shorten it"
                for i, length in enumerate(rows.lengths.tolist())
                if length >= limit
            }
        )
        return rows

    def _continue(self, rows: RaggedBatch, max_new_tokens: int, choose: Any, seed: int) -> list[list[int]]:
        """The ids that are added to each row."""
        limit = self._model.config.max_sequence_length
        ids = rows.lists("input_ids")
        starts = [len(row) for row in ids]
        generators = [np.random.default_rng([seed, *row]) for row in ids]
        going = list(range(len(rows)))
        past: Any = ()
        while going:
            logits, past = self._score([ids[i] for i in going], past)
            still = []
            for index, (i, scores) in enumerate(zip(going, logits, strict=True)):
                token = choose(scores, generators[i])
                ids[i].append(token)
                if token not in self._ends and len(ids[i]) - starts[i] < max_new_tokens and len(ids[i]) < limit:
                    still.append(index)
            if len(still) < len(going):
                past = _each(past, lambda part, still=still: part[still])
            going = [going[index] for index in still]
        return [all_ids[start:] for all_ids, start in zip(ids, starts, strict=True)]

    def _score(self, ids: list[list[int]], past: Any) -> tuple[np.ndarray, Any]:
        """The logits of what follows each row, [B, V], and the keys and values of all its positions.

        Without a past whole rows are computed, with it their last tokens. Rows end at the same position: what comes
        before a shorter one is hidden.
        """
        lengths = np.array([len(row) for row in ids])
        new = 1 if past else self._positions(lengths.max())
        before = self._positions(lengths.max() - 1) if past else 0
        batch = np.full((len(ids), new), self._tokenizer.pad_token_id or 0)
        for index, row in enumerate(ids):
            batch[index, -min(len(row), new) :] = row[-new:]
        positions = np.arange(-before - new, 0) + lengths[:, None]
        outputs = self._model.forward(
            input_ids=batch,
            attention_mask=positions >= 0,
            position_ids=np.maximum(positions, 0)[:, before:] + self._model.config.first_position,
            mask_positions=np.full((len(ids), 1), new - 1),
            past_key_values=_each(past, lambda part: _last_positions(part, before)),
            use_cache=True,
        )
        return outputs["logits"][:, 0], outputs["past_key_values"]

    def _positions(self, length: int) -> int:
        """How many positions so many tokens are padded to."""
        step = _STEP if self._model.compiles_each_shape else 1
        return int(min(-(-length // step) * step, self._model.config.max_sequence_length - 1))


def _each(past: Any, function: Any) -> Any:
    return tuple(tuple(function(part) for part in pair) for pair in past)


def _last_positions(part: np.ndarray, count: int) -> np.ndarray:
    """[B, N, P, D] → [B, N, count, D]: the last of them, after zeros where there are fewer."""
    missing = max(count - part.shape[2], 0)
    return np.pad(part, ((0, 0), (0, 0), (missing, 0), (0, 0))) if missing else part[:, :, part.shape[2] - count :]


def _truncated(probabilities: np.ndarray, top_k: int | None, top_p: float | None) -> np.ndarray:
    order = np.argsort(-probabilities, kind="stable")
    kept = np.zeros_like(probabilities)
    ranked = probabilities[order]
    count = len(order) if top_k is None else min(top_k, len(order))
    if top_p is not None:
        # The token that reaches the sum is the last that counts.
        reached = np.cumsum(ranked[:count] / ranked[:count].sum())
        count = min(count, int(np.searchsorted(reached, top_p)) + 1)
    kept[order[:count]] = ranked[:count]
    return kept / kept.sum()


def _check(name: str, value: Any, fine: bool, expected: str) -> None:
    if not fine:
        raise ValueError(f"{name} is {value}, expected {expected}")
