"""Tasks: text in, Python objects out. A model is a function from arrays to arrays; no framework is known here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bertx_weights import write_atomically

from . import sentence_transformers
from .classification import NextSentencePrediction, TextClassification
from .feature_extraction import FeatureExtraction
from .fill_mask import FillMask
from .multiple_choice import MultipleChoice
from .question_answering import QuestionAnswering
from .text_generation import TextGeneration
from .token_classification import TokenClassification

_TASKS = {
    "feature-extraction": FeatureExtraction,
    "fill-mask": FillMask,
    "text-classification": TextClassification,
    "token-classification": TokenClassification,
    "text-generation": TextGeneration,
    "next-sentence-prediction": NextSentencePrediction,
    "multiple-choice": MultipleChoice,
    "question-answering": QuestionAnswering,
}


def make_task(model: Any, folder: Path | None) -> Any:
    """The task of a model, set up as its checkpoint folder says.

    Raises:
        ValueError: this head's texts are not handled yet; `forward` takes its arrays.
    """
    if model.task not in _TASKS:
        raise ValueError(
            f"bertx does not run {model.task} on text, only {', '.join(_TASKS)}: use model.tokenizer and model.forward"
        )
    return _TASKS[model.task](model, folder)


def copy_task_files(source: Path, target: Path) -> None:
    """Copies what a task reads beside the config, so that a saved model does what it did."""
    for name in sentence_transformers.FILES:
        path, copy = source / name, target / name
        if path.is_file() and path.resolve() != copy.resolve():
            copy.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(copy, path.read_bytes())
