"""Where the weights lie that an adapter belongs to."""

from __future__ import annotations

from pathlib import Path

from bertx_weights import FORMATS, CheckpointError
from bertx_weights.files import exists
from bertx_weights.formats import has_adapter

from ..tokenizers.names import VOCABULARIES
from .sources import resolve


def base_folder(folder: Path) -> Path:
    """The folder of the weights that an adapter belongs to: its own where it has weights, else what it names.

    Raises:
        CheckpointError: it names nothing, or nothing that is there.
    """
    if not has_adapter(folder) or any(form.files(folder) for form in FORMATS.values()):
        return folder
    from bertx_weights.lora import read_adapter

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
    if not has_adapter(folder) or any(exists(folder, name) for name in VOCABULARIES):
        return folder
    return base_folder(folder)
