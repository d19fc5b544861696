"""Writing a checkpoint folder in the hub's layout."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from bertx_weights import dtype_name, write_atomically, write_safetensors

from .architectures import schema
from .config import BertConfig


def save_model(
    folder: str | os.PathLike[str], architecture: str, config: BertConfig, tensors: Iterable[tuple[str, np.ndarray]]
) -> None:
    """Writes model.safetensors, then config.json, each whole or not at all.

    As on the hub a decoder that shares the word embeddings is left out; an untied one is written with
    its bias, where transformers looks for it. Of tensors of several dtypes the config names the first one's,
    as transformers does.

    Raises:
        ValueError: parameters are missing, since blocks of the model were replaced by others.
    """
    tensors = dict(tensors)
    has_pooler = any(name.removeprefix("bert.").startswith("pooler.") for name in tensors)
    rows = schema(architecture, config, has_pooler)
    if missing := [row.name for row in rows if row.tied_to is None and row.name not in tensors]:
        strange = sorted(tensors.keys() - {row.name for row in rows})
        found = f"and has {_some(strange)} in their place" if strange else "since quantization replaced their blocks"
        raise ValueError(
            f"this {architecture} cannot be saved: it has no {_some(missing)}, {found}; save it before it is quantized "
            "or parametrized, and merge adapters first (merge_and_unload of PEFT)"
        )
    for row in rows:
        if row.tied_to is not None and config.tie_word_embeddings:
            tensors.pop(row.name, None)
    dtype = dtype_name(next(iter(tensors.values())).dtype)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    write_safetensors(folder, tensors)
    config = config.replace(architectures=(architecture,), dtype=dtype)
    write_atomically(folder / "config.json", config.to_json_string().encode())


def _some(names: list[str]) -> str:
    """The first few of many names, and how many there are."""
    return ", ".join(names[:3]) + (f", … ({len(names)} in all)" if len(names) > 3 else "")
