"""Tasks: text in, Python objects out. A model is a function from arrays to arrays; no framework is known here."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from bertx_weights.files import atomic_path

from . import keras_embedders, sentence_transformers
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
    """Copies what a task reads beside the config, so that a saved model does what it did.

    Raises:
        CheckpointError: one of these files is missing, or leads out of the folder.
    """
    for name in sentence_transformers.side_files(source):
        copy = target / name
        if (source / name).resolve() != copy.resolve():
            copy.parent.mkdir(parents=True, exist_ok=True)
            with atomic_path(copy) as temporary:
                shutil.copyfile(source / name, temporary)
    keras_embedders.write_modules(source, target)
