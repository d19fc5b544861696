"""Files that were exported, found in a folder and opened as models."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bertx_weights import CheckpointError
from bertx_weights.files import exists, inside, read_json

from ..backend import Backend, check_device, check_dtype
from ..configs.base import ModelConfig
from ..hub.sources import resolve
from ..model import Model
from ..registry import (
    architecture_of_task,
    config_from,
    head_of,
    is_base,
    own_architecture,
    task_of_architecture,
)
from .runtime import EMBEDDING, STATES, Runtime

CONFIG = "config.json"


@dataclass(frozen=True)
class Artefact:
    """An exported file in a folder with its config.

    Attributes:
        folder: that of config.json and the tokenizer.
        path: the file.
        parts: it, and what it keeps beside it, such as model.onnx.data.
        architecture: the class that it computes, by the hub's name.
        config: its config.
    """

    folder: Path
    path: Path
    parts: tuple[Path, ...]
    architecture: str
    config: ModelConfig

    @property
    def source(self) -> str:
        """The folder, as a source of `bertx.load`."""
        return str(self.folder)

    @property
    def task(self) -> str:
        """The pipeline tag."""
        return task_of_architecture(self.architecture)

    @property
    def files(self) -> dict[str, int]:
        """The parts → bytes; names relative to the folder."""
        return {path.relative_to(self.folder).as_posix(): path.stat().st_size for path in sorted(self.parts)}


def find_artefact(
    source: str | os.PathLike[str], task: str | None, runtime: Backend, revision: str | None = None
) -> Artefact:
    """The file that a runtime opens in a folder; `source` and `task` as in `bertx.load`.

    Raises:
        CheckpointError: there is none, or no config.json that says what it computes.
    """
    assert isinstance(runtime, Runtime)  # of which alone `files` are
    folder = resolve(source, revision=revision, weights=False)
    name = next((name for name in runtime.files if exists(folder, name)), None)
    if name is None:
        suffix = Path(runtime.files[0]).suffix
        found = sorted(path.relative_to(folder).as_posix() for path in folder.glob(f"**/*{suffix}"))
        way_out = "bertx.export writes one"
        if found:
            way_out = f"it has {', '.join(found)[:400]}: copy the one that you mean to {runtime.files[0]}"
        raise CheckpointError(
            f"{folder} has no {' or '.join(runtime.files)}, which the {runtime.name} backend runs: {way_out}"
        )
    if not exists(folder, CONFIG):
        raise CheckpointError(f"{folder} has no {CONFIG}, which says what {name} computes: copy the checkpoint's there")
    path = inside(folder, CONFIG)
    try:
        config = config_from(read_json(path))
        architecture = architecture_of_task(task, config.model_type) if task else own_architecture(config, ())
    except CheckpointError:
        raise
    except (ValueError, TypeError) as error:
        raise CheckpointError(f"{path}: {error}") from error
    path = inside(folder, name)
    return Artefact(folder, path, tuple(runtime.parts(path)), architecture, config)


def open_artefact(
    source: str | os.PathLike[str],
    task: str | None,
    runtime: Backend,
    dtype: str = "float32",
    device: Any = None,
    revision: str | None = None,
) -> Model:
    """`bertx.load` on a runtime: the file of a folder as a model.

    Raises:
        CheckpointError: as `find_artefact`; the runtime does not open the file, or it does not give what the head does.
        ValueError: a dtype or device that the runtime has not.
    """
    assert isinstance(runtime, Runtime)
    if dtype != "auto":
        check_dtype(runtime, dtype)
    device = check_device(runtime, device)
    found = find_artefact(source, task, runtime, revision)
    try:
        module = runtime.open(found.path, device)
    except Exception as error:  # each runtime has errors of its own
        raise CheckpointError(f"{found.path} is no file that the {runtime.name} backend opens: {error}") from error
    _check_outputs(found, runtime.outputs(module))
    return Model(module, found.config, runtime, found.architecture, folder=found.folder)


def _check_outputs(found: Artefact, outputs: tuple[str, ...]) -> None:
    """Raises CheckpointError for a file that does not give what its head does."""
    if is_base(found.architecture):
        fits, expected = bool({STATES, EMBEDDING} & {*outputs}), f"{STATES} or {EMBEDDING}"
    else:
        names = head_of(found.architecture).logit_names
        fits, expected = {*names} <= {*outputs}, ", ".join(names)
    if not fits:
        raise CheckpointError(
            f"{found.path} gives {', '.join(outputs)}, and a {found.architecture} gives {expected}: name the head that "
            "it is of with task="
        )
