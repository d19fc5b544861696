"""Tasks: text in, Python objects out. A model is a function from arrays to arrays; no framework is known here."""

from __future__ import annotations

import importlib
import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..registry import tasks

if TYPE_CHECKING:
    from ..model import Model
    from .zero_shot import zero_shot_classification

__all__ = ["make_task", "zero_shot_classification"]


def __getattr__(name: str) -> Any:
    if name != "zero_shot_classification":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return importlib.import_module(".zero_shot", __name__).zero_shot_classification


def task_class(task: str) -> type | None:
    """The class of a pipeline tag: of "fill-mask" `FillMask` in `fill_mask.py`; None where there is no such file."""
    file = f"{__name__}.{task.replace('-', '_')}"
    if importlib.util.find_spec(file) is None:
        return None
    return getattr(importlib.import_module(file), task.title().replace("-", ""))


def make_task(model: Model, folder: Path | None) -> Any:
    """The task of a model, set up as its checkpoint folder says.

    Raises:
        ValueError: this head's texts are not handled yet; `forward` takes its arrays.
    """
    cls = task_class(model.task)
    if cls is None:
        known = ", ".join(task for task in tasks() if task_class(task))
        raise ValueError(
            f"bertx does not run {model.task} on text, only {known}: use model.tokenizer and model.forward"
        )
    return cls(model, folder)
