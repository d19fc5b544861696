"""The checkpoints of a training run: OUT/checkpoints/STEP, each of the model, with the run's state beside it.

    model.safetensors, config.json, …    as `Model.save` writes them: `bertx.load` takes the folder
    optimizer.safetensors                "MOMENT.NAME" → the moment of AdamW, of the schema's names and layout
    train_state.json                     the step, the position in the data, the recipe, and what the run is of

Nothing in them is of one framework.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bertx_weights import CheckpointError, write_atomically
from bertx_weights.containers.safetensors import map_file, write_file
from bertx_weights.files import hidden_beside, inside, read_json

from ..model import Model
from ..training.recipe import Recipe
from .replacing import new_folder

MOMENTS, STATE = "optimizer.safetensors", "train_state.json"
_REMOVED = "removed"


@dataclass(frozen=True)
class Best:
    """The evaluation that was the best so far."""

    step: int
    value: float


@dataclass(frozen=True)
class TrainState:
    """A run after so many updates.

    Attributes:
        step: the number of updates.
        batches: how many batches they took: the position in the data.
        updates: how many there are in all.
        recipe: how the model is trained.
        run: what else has to be the same where the run goes on: the task, the number of rows, a digest of them, …
        backend: the backend that made the last update.
        best: the best evaluation, where a metric is given.
        moments: "MOMENT.NAME" → array; read from the file where they are used.
    """

    step: int
    batches: int
    updates: int
    recipe: Recipe
    run: Mapping[str, Any]
    backend: str
    best: Best | None
    moments: Mapping[str, np.ndarray]


def save_state(checkpoints: Path, model: Model, state: TrainState) -> Path:
    """Writes the checkpoint of a step, which appears whole or not at all; one that is there already stays."""
    folder = checkpoints / str(state.step)
    if folder.is_dir():
        return folder
    values = {field.name: getattr(state, field.name) for field in dataclasses.fields(state)}
    del values["moments"]
    values |= {"recipe": state.recipe.to_dict(), "best": state.best and dataclasses.asdict(state.best)}
    with new_folder(folder, overwrite=False) as temporary:
        model.save(temporary)
        write_file(temporary / MOMENTS, state.moments)
        write_atomically(temporary / STATE, (json.dumps(values, indent=2) + "\n").encode())
    return folder


def read_state(folder: Path) -> TrainState:
    """The state of a run at one of its checkpoints.

    Raises:
        CheckpointError: a file is missing, broken, or not as `save_state` writes it.
    """
    path = inside(folder, STATE)
    values = read_json(path)
    names = {field.name for field in dataclasses.fields(TrainState)} - {"moments"}
    if values.keys() != names:
        raise CheckpointError(f"{path} has the keys {', '.join(values)}, expected {', '.join(sorted(names))}")
    try:
        for name in ("step", "batches", "updates"):
            if type(values[name]) is not int or values[name] < 0:
                raise ValueError(f"{name} is {values[name]!r:.40}, expected an integer of at least 0")
        if not isinstance(values["run"], dict) or not isinstance(values["backend"], str):
            raise ValueError("run or backend is of another kind")
        values["recipe"] = Recipe.of(values["recipe"])
        values["best"] = Best(**values["best"]) if values["best"] else None
    except (ValueError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{path}: {error}") from error
    return TrainState(**values, moments=map_file(inside(folder, MOMENTS)))


def steps_of(checkpoints: Path) -> list[int]:
    """The steps that a run has checkpoints of, in order."""
    if not checkpoints.is_dir():
        return []
    return sorted(int(path.name) for path in checkpoints.iterdir() if path.name.isdecimal() and path.is_dir())


def keep_last(checkpoints: Path, count: int, best: Best | None) -> None:
    """Removes all checkpoints but the last so many and the best, and what a killed process left half-made."""
    kept = {*steps_of(checkpoints)[-count:], *([best.step] if best else [])}
    for step in steps_of(checkpoints):
        if step not in kept:
            path = checkpoints / str(step)
            path.rename(hidden_beside(path, _REMOVED))  # a checkpoint that is killed half-removed is none
    for leftover in (*checkpoints.glob(f".*.{_REMOVED}"), *checkpoints.glob(".*.bertx-new")):
        shutil.rmtree(leftover, ignore_errors=True)
