"""Where a checkpoint lies: a folder, an installed Python package, or the hub."""

from __future__ import annotations

import difflib
import importlib.util
import os
from pathlib import Path

from bertx_weights import CheckpointError
from bertx_weights.files import exists, hidden_beside
from bertx_weights.formats import checkpoints_below

from ..tasks.sentence_transformers import MODULES, read_modules, transformer_folder

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
    "bertx-tiny": "python:bertx/bertx-tiny",  # ships with bertx
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
        ValueError: a revision of what is not on the hub, or one that no branch, tag or commit can have as its name.
    """
    return _encoder(_find(source, revision, weights))


def _encoder(folder: Path) -> Path:
    """Where config, weights and tokenizer lie: for older sentence-transformers a subfolder, such as 0_BERT."""
    subfolder = transformer_folder(folder)
    modules = read_modules(folder)
    if modules and not subfolder and not any(exists(folder, name) for name in ("config.json", "bert_config.json")):
        parts = [str(path) for path in checkpoints_below(folder)]
        alone = f", or load a part of it alone: {', '.join(parts)}" if parts else ""
        raise CheckpointError(
            f"{folder / MODULES} has the modules {', '.join(module.type for module in modules)[:400]}, and bertx runs "
            f"those that begin with a Transformer: run it with sentence-transformers{alone}"
        )
    if subfolder and not os.path.isdir(folder / subfolder):
        raise CheckpointError(f"{folder / MODULES} names the Transformer's folder {subfolder}, which is not there")
    if subfolder and not (folder / subfolder).resolve().is_relative_to(folder.resolve()):
        raise CheckpointError(f"{folder / MODULES} names {subfolder}, a link out of the folder")
    return folder / subfolder


def _find(source: str | os.PathLike[str], revision: str | None, weights: bool) -> Path:
    name = os.fspath(source)
    if not name:
        raise CheckpointError("the source is empty: give a folder, a hub id, a short name or python:PACKAGE/FOLDER")
    if name.startswith(_PACKAGE):
        _refuse_revision(name, "a folder of a Python package", revision)
        return _in_package(name)
    if Path(name).is_dir():
        _refuse_revision(name, "a folder here", revision)
        return Path(name)
    if Path(name).exists():
        raise CheckpointError(f"{name} is a file: give the folder that holds config.json and the weights")
    hub_id = SHORT_NAMES.get(name, name)
    if hub_id.startswith(_PACKAGE):
        _refuse_revision(name, "a model that ships with bertx", revision)
        return _in_package(hub_id)
    if Path(name).is_absolute() or name.startswith(".") or hub_id.count("/") > 1:
        raise CheckpointError(f"there is no folder {name}{_similar(name)}")
    from . import download as hub

    try:
        return hub.fetch(hub_id, revision, weights)
    except hub.NotFoundError as error:
        raise CheckpointError(f"{error}{_similar(name)}") from error


def _refuse_revision(name: str, what: str, revision: str | None) -> None:
    if revision is not None:
        raise ValueError(
            f"{name} is {what}, which has no revision {revision!r}: only a model on the hub has revisions; "
            "leave the revision out, or give a hub id that is no folder here"
        )


def _similar(name: str) -> str:
    """What a name that is not there may have been meant to be, for an error; with the short names if it may be one."""
    if name in SHORT_NAMES:
        return ""
    if hidden_beside(Path(name), "bertx-old").is_dir():
        return f"; a conversion to it was interrupted, and what was there is {hidden_beside(Path(name), 'bertx-old')}"
    path, may_be_short = Path(name), "/" not in name and not name.startswith(".")
    try:
        beside = [entry.name for entry in path.parent.iterdir() if entry.is_dir()]
    except OSError:
        beside = []
    close = difflib.get_close_matches(name, SHORT_NAMES) if may_be_short else []
    close += [str(path.parent / folder) for folder in difflib.get_close_matches(path.name, beside)]
    meant = f"; did you mean {' or '.join(dict.fromkeys(close))}?" if close else ""
    return meant + (f"\n  short names: {', '.join(SHORT_NAMES)}" if may_be_short else "")


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
