"""Collators: rows become the arrays of a batch, by a pure function of (rows, seed, step)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...configs.base import ModelConfig
from ...registry import check_task
from ...tokenizers.base import PreTrainedTokenizer
from .base import Collator
from .embeddings import EmbeddingsCollator
from .masked_lm import MaskedLMCollator
from .multiple_choice import MultipleChoiceCollator
from .next_sentence_prediction import NextSentencePredictionCollator
from .pretraining import PretrainingCollator
from .question_answering import QuestionAnsweringCollator
from .summarization import SummarizationCollator
from .text_classification import TextClassificationCollator
from .token_classification import TokenClassificationCollator

__all__ = ["Collator", "collator_of"]

_COLLATORS: Mapping[str, type[Collator]] = {
    "text-classification": TextClassificationCollator,
    "token-classification": TokenClassificationCollator,
    "question-answering": QuestionAnsweringCollator,
    "multiple-choice": MultipleChoiceCollator,
    "next-sentence-prediction": NextSentencePredictionCollator,
    "fill-mask": MaskedLMCollator,
    "pretraining": PretrainingCollator,
    "feature-extraction": EmbeddingsCollator,
    "summarization": SummarizationCollator,
}


def text_format_of(task: str, path: Any) -> str | None:
    """What `read` is told of a .txt file for a task: pre-training takes documents of it; None is what its name says."""
    is_text = str(path).lower().endswith(".txt")
    return "documents" if is_text and _COLLATORS.get(task) is PretrainingCollator else None


def collator_of(task: str, tokenizer: PreTrainedTokenizer, config: ModelConfig, **options: Any) -> Collator:
    """The collator that makes batches for the head of a task.

    Args:
        task: a pipeline tag; "feature-extraction" takes pairs or triplets of sentences, for embeddings.
        tokenizer: the model's.
        config: the model's; its labels are the classes.
        options: of the task's collator: see there. All take `columns`, `max_length`, `padding` and
            `pad_to_multiple_of`.

    Raises:
        ValueError: a task that has no collator, or options with values that cannot be.
        TypeError: options that the task's collator does not take.
    """
    task = check_task(task)
    if task not in _COLLATORS:
        raise ValueError(f"{task} has no collator; the tasks that have one are {', '.join(_COLLATORS)}")
    return _COLLATORS[task](tokenizer, config, **options)
