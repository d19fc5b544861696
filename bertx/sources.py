"""Where a checkpoint lies: a folder, an installed Python package, or the hub."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

from bertx_weights import CheckpointError

from . import hub

SHORT_NAMES = {
    "bert-base": "google-bert/bert-base-uncased",
    "bert-base-uncased": "google-bert/bert-base-uncased",
    "bert-base-cased": "google-bert/bert-base-cased",
    "bert-base-multilingual-cased": "google-bert/bert-base-multilingual-cased",
    "bert-base-multilingual-uncased": "google-bert/bert-base-multilingual-uncased",
    "bert-base-chinese": "google-bert/bert-base-chinese",
    "bert-base-german-cased": "google-bert/bert-base-german-cased",
    "bert-large": "google-bert/bert-large-uncased",
    "bert-large-uncased": "google-bert/bert-large-uncased",
    "bert-large-cased": "google-bert/bert-large-cased",
    "bert-large-uncased-whole-word-masking": "google-bert/bert-large-uncased-whole-word-masking",
    "bert-large-cased-whole-word-masking": "google-bert/bert-large-cased-whole-word-masking",
    "all-MiniLM-L6-v2": "sentence-transformers/all-MiniLM-L6-v2",
}
_PACKAGE = "python:"


def resolve(source: str | os.PathLike[str], revision: str | None = None, weights: bool = True) -> Path:
    """The folder of a checkpoint.

    `source` is a folder; `"python:PACKAGE/FOLDER"`, a checkpoint inside an installed Python package;
    a short name such as `"bert-base"`; or a hub id, downloaded at `revision` into the hub's cache, its weights only
    where they are needed.

    Raises:
        CheckpointError: there is nothing of that name.
        MissingExtraError: it would have to come from the hub, and huggingface-hub is not installed.
    """
    name = os.fspath(source)
    if name.startswith(_PACKAGE):
        return _in_package(name)
    if Path(name).is_dir():
        return Path(name)
    if Path(name).exists():
        raise CheckpointError(f"{name} is a file: give the folder that holds config.json and the weights")
    hub_id = SHORT_NAMES.get(name, name)
    if Path(name).is_absolute() or name.startswith(".") or hub_id.count("/") > 1:
        raise CheckpointError(f"there is no folder {name}")
    return hub.fetch(hub_id, revision, weights)


def _in_package(name: str) -> Path:
    package, _, folder = name.removeprefix(_PACKAGE).partition("/")
    spec = importlib.util.find_spec(package) if package.isidentifier() else None
    if spec is None or not spec.submodule_search_locations:
        raise CheckpointError(f"{name}: there is no Python package {package!r} here: is it installed?")
    for location in spec.submodule_search_locations:
        path = (Path(location) / folder).resolve()
        if path.is_dir() and path.is_relative_to(Path(location).resolve()):
            return path
    raise CheckpointError(f"{name}: the package {package} holds no folder {folder!r}")
