"""Text generation: one token after another from a causal BERT."""

from __future__ import annotations

from typing import Any

import numpy as np

from .classification import softmax
from .streaming import InputError, Row, rows_of, run_whole

# Rows grow in steps, so that a compiled backend meets few shapes; a causal mask hides what is not written yet.
_STEP = 32


class TextGeneration:
    """The task of a BertLMHeadModel."""

    def __init__(self, model: Any, folder: Any = None):
        if not model.config.is_decoder:
            raise ValueError("text-generation needs a causal model: set is_decoder to true in config.json")
        self._model = model
        self._tokenizer = model.tokenizer
        end = model.config.eos_token_id
        self._ends = set(end if isinstance(end, list) else [self._tokenizer.sep_token_id if end is None else end])

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

        def compute(rows: list[Row]) -> list[dict[str, Any]]:
            return self._continue(rows, max_new_tokens, choose, seed)

        return run_whole(self._model, prompts, self._encode, compute, batch_tokens)

    def _encode(self, prompts: list[str]) -> list[Row]:
        rows = rows_of(self._tokenizer(prompts, add_special_tokens=False))
        limit = self._model.config.max_position_embeddings
        for row, prompt in zip(rows, prompts, strict=True):
            row["input_ids"] = [self._tokenizer.cls_token_id, *row["input_ids"]]
            row["prompt"] = prompt
        lengths = [len(row["input_ids"]) for row in rows]
        InputError.raise_for(
            {
                i: f"has {length} tokens, the model {limit} positions: shorten it"
                for i, length in enumerate(lengths)
                if length >= limit
            }
        )
        return rows

    def _continue(self, rows: list[Row], max_new_tokens: int, choose: Any, seed: int) -> list[dict[str, Any]]:
        limit = self._model.config.max_position_embeddings
        ids = [list(row["input_ids"]) for row in rows]
        starts = [len(row) for row in ids]
        generators = [np.random.default_rng([seed, *row]) for row in ids]
        going = list(range(len(rows)))
        while going:
            length = min(-(-max(len(ids[i]) for i in going) // _STEP) * _STEP, limit)
            batch = np.full((len(going), length), self._tokenizer.pad_token_id or 0)
            mask = np.zeros_like(batch)
            for place, i in enumerate(going):
                batch[place, : len(ids[i])] = ids[i]
                mask[place, : len(ids[i])] = 1
            last = np.array([[len(ids[i]) - 1] for i in going])
            logits = self._model.forward(input_ids=batch, attention_mask=mask, mask_positions=last)["logits"][:, 0]
            still = []
            for i, scores in zip(going, logits, strict=True):
                token = choose(scores, generators[i])
                ids[i].append(token)
                if token not in self._ends and len(ids[i]) - starts[i] < max_new_tokens and len(ids[i]) < limit:
                    still.append(i)
            going = still
        return [
            {"generated_text": self._text(row["prompt"], new), "tokens": new}
            for row, new in ((row, all_ids[start:]) for row, all_ids, start in zip(rows, ids, starts, strict=True))
        ]

    def _text(self, prompt: str, new: list[int]) -> str:
        words = self._tokenizer.decode(new, skip_special_tokens=True)
        first = self._tokenizer.convert_ids_to_tokens(new[0]) or ""
        return prompt + ("" if first.startswith("##") or not words or not prompt else " ") + words.removeprefix("##")


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
