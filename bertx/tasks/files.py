"""The files of a checkpoint that a task reads beside the config."""

from __future__ import annotations

import shutil
from pathlib import Path

from bertx_weights.files import atomic_path, exists, inside, read_bytes, write_atomically

from ..generation.config import FILE as GENERATION
from . import keras_embedders, sentence_transformers


def remove_stale_files(source: Path | None, target: Path) -> None:
    """Removes what another checkpoint, in whose place a model is saved, said of generation and this one does not."""
    if source is None or not exists(source, GENERATION):
        (target / GENERATION).unlink(missing_ok=True)


def copy_task_files(source: Path, target: Path) -> None:
    """Copies what a task reads beside the config, so that a saved model does what it did.

    A Transformer in a folder of its own, such as 0_BERT, is in the target's folder itself: its settings too.

    Raises:
        CheckpointError: one of these files leads out of the folder.
    """
    if exists(source, GENERATION):
        write_atomically(target / GENERATION, read_bytes(inside(source, GENERATION)))
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
