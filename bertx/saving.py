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
    its bias, where transformers looks for it.
    """
    tensors = dict(tensors)
    has_pooler = any(name.removeprefix("bert.").startswith("pooler.") for name in tensors)
    for row in schema(architecture, config, has_pooler):
        if row.tied_to is not None and config.tie_word_embeddings:
            tensors.pop(row.name, None)
    (dtype,) = {dtype_name(tensor.dtype) for tensor in tensors.values()}
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    write_safetensors(folder, tensors)
    config = config.replace(architectures=(architecture,), dtype=dtype)
    write_atomically(folder / "config.json", config.to_json_string().encode())
