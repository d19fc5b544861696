"""A checkpoint with the adapter beside it, or an adapter alone with the checkpoint that it names, as one."""

from __future__ import annotations

from pathlib import Path

from bertx_weights import Checkpoint, open_checkpoint
from bertx_weights.formats import has_adapter

from ..hub.bases import base_folder
from ..registry import names_of


def open_merged(folder: Path) -> Checkpoint:
    """The checkpoint of a folder, an adapter merged into its weights.

    Raises:
        CheckpointError: there is none, its files are broken, or the adapter is none that bertx merges.
        MissingExtraError: the library of its format is not installed.
    """
    if not has_adapter(folder):
        return open_checkpoint(folder, names_of)
    from bertx_weights.lora import merge_adapter, read_adapter

    adapter = read_adapter(folder)
    base = open_checkpoint(base_folder(folder), names_of)
    return merge_adapter(base, adapter, names_of(base.config))
