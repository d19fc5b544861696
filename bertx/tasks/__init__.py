"""Tasks: text in, Python objects out. A model is a function from arrays to arrays; no framework is known here."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from bertx_weights.files import atomic_path, write_atomically

from . import keras_embedders, sentence_transformers
from .classification import NextSentencePrediction, TextClassification
from .feature_extraction import FeatureExtraction
from .fill_mask import FillMask
from .multiple_choice import MultipleChoice
from .question_answering import QuestionAnswering
from .text_generation import TextGeneration
from .token_classification import TokenClassification
from .zero_shot_classification import zero_shot_classification

__all__ = ["copy_task_files", "make_task", "zero_shot_classification"]

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

    A Transformer in a folder of its own, such as 0_BERT, is in the target's folder itself: its settings too.

    Raises:
        CheckpointError: one of these files leads out of the folder.
    """
    root = sentence_transformers.settings_folder(source)
    if root is None:
        keras_embedders.write_modules(source, target)
        return
    encoder = sentence_transformers.transformer_folder(root)
    for name in sentence_transformers.side_files(root):
        copy = target / name.removeprefix(f"{encoder}/" if encoder else "")
        if (root / name).resolve() == copy.resolve():
            continue
        copy.parent.mkdir(parents=True, exist_ok=True)
        if encoder and name == sentence_transformers.MODULES:
            write_atomically(copy, sentence_transformers.flattened(root))
            continue
        with atomic_path(copy) as temporary:
            shutil.copyfile(root / name, temporary)
