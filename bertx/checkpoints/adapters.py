"""A checkpoint with the adapter beside it, or an adapter alone with the checkpoint that it names."""

from __future__ import annotations

from pathlib import Path

from bertx_weights import FORMATS, Checkpoint, CheckpointError, open_checkpoint
from bertx_weights.files import exists
from bertx_weights.lora import has_adapter, merge_adapter, read_adapter

from ..hub.sources import resolve

_TOKENIZER = ("tokenizer.json", "vocab.txt")


def open_merged(folder: Path) -> Checkpoint:
    """The checkpoint of a folder, an adapter merged into its weights.

    Raises:
        CheckpointError: there is none, its files are broken, or the adapter is none that bertx merges.
        MissingExtraError: the library of its format is not installed.
    """
    if not has_adapter(folder):
        return open_checkpoint(folder)
    adapter = read_adapter(folder)
    return merge_adapter(open_checkpoint(base_folder(folder)), adapter)


def base_folder(folder: Path) -> Path:
    """The folder of the weights that an adapter belongs to: its own where it has weights, else what it names.

    Raises:
        CheckpointError: it names nothing, or nothing that is there.
    """
    if not has_adapter(folder) or any(form.files(folder) for form in FORMATS.values()):
        return folder
    adapter = read_adapter(folder)
    if adapter.base is None:
        raise CheckpointError(f"{adapter.config_file}: base_model_name_or_path names no checkpoint to merge it into")
    try:
        base = resolve(adapter.base, revision=adapter.revision)
    except CheckpointError as error:
        raise CheckpointError(
            f"{adapter.config_file}: base_model_name_or_path is {adapter.base}: {error}; set it to where the base is"
        ) from error
    if has_adapter(base):
        raise CheckpointError(f"{adapter.config_file}: its base {base} has an adapter too: merge one of them with PEFT")
    return base


def files_folder(folder: Path) -> Path:
    """The folder of the tokenizer and of the task's files: the adapter's own where it has a tokenizer."""
    if not has_adapter(folder) or any(exists(folder, name) for name in _TOKENIZER):
        return folder
    return base_folder(folder)
