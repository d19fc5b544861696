"""Writing a checkpoint folder in the hub's layout."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from bertx_weights import FORMATS, StoredTensor, dtype_name, write_atomically, write_safetensors
from bertx_weights.containers.safetensors import FILE, write_shards
from bertx_weights.formats import has_adapter

from ..configs.base import ModelConfig
from ..registry import names_of, options_of, schema, shared_names
from .replacing import one_writer


def save_model(
    folder: str | os.PathLike[str],
    architecture: str,
    config: ModelConfig,
    tensors: Iterable[tuple[str, np.ndarray]],
    *,
    max_bytes: int | None = None,
    format_name: str = "safetensors",
    beside: Callable[[], None] | None = None,
) -> None:
    """Writes model.safetensors, then config.json, each whole or not at all.

    As on the hub a decoder that shares the word embeddings is left out; an untied one is written with its bias,
    where transformers looks for it. Of tensors of several dtypes the config names the one that holds all their
    values: loaded with `dtype="auto"` nothing is rounded. `max_bytes`: a larger model is written in several files.
    `format_name`: "pytorch" writes pytorch_model.bin. `beside` writes what else belongs into the folder. While one
    job writes there, another is refused.

    Raises:
        FileExistsError: another job writes this folder.
        ValueError: parameters are missing, since blocks of the model were replaced by others; or a pytorch_model.bin
            beside a model.safetensors, which would be read instead.
    """
    values = dict(tensors)
    rows = schema(architecture, config, **options_of(architecture, values))
    if missing := [row.name for row in rows if row.tied_to is None and row.name not in values]:
        strange = sorted(values.keys() - {row.name for row in rows})
        found = f"and has {_some(strange)} in their place" if strange else "since quantization replaced their blocks"
        raise ValueError(
            f"this {architecture} cannot be saved: it has no {_some(missing)}, {found}; save it before it is quantized "
            "or parametrized, and merge adapters first (merge_and_unload of PEFT)"
        )
    shared = shared_names(architecture, config)
    for row in rows:
        if row.tied_to is not None and config.tie_word_embeddings and row.name not in shared.values():
            values.pop(row.name, None)
    for name, other in shared.items():
        values[other] = values.pop(name)
    config = config.replace(
        architectures=(architecture,), dtype=_widest({dtype_name(t.dtype) for t in values.values()})
    )
    folder = Path(folder)
    if has_adapter(folder):
        raise ValueError(
            f"{folder} has an adapter, which would be merged into what is saved there: save to another folder"
        )
    with one_writer(folder):
        _write(folder, config, values, max_bytes, format_name)
        if beside is not None:
            beside()


def _write(
    folder: Path, config: ModelConfig, tensors: dict[str, np.ndarray], max_bytes: int | None, format_name: str
) -> None:
    if format_name != "safetensors":
        if (folder / FILE).exists() or (folder / f"{FILE}.index.json").exists():
            raise ValueError(
                f"{folder} has a {FILE}, which is read before others: remove it, or save to another folder"
            )
        stored = [StoredTensor.of_array(name, tensor) for name, tensor in tensors.items()]
        values = config.to_dict()
        FORMATS[format_name].write(folder, values, stored, names_of(values))
        return
    if max_bytes is not None and sum(tensor.nbytes for tensor in tensors.values()) > max_bytes:
        write_shards(folder, tensors, max_bytes)
    else:
        write_safetensors(folder, tensors)
    write_atomically(folder / "config.json", config.to_json_string().encode())


def _some(names: list[str]) -> str:
    """The first few of many names, and how many there are."""
    return ", ".join(names[:3]) + (f", … ({len(names)} in all)" if len(names) > 3 else "")


def _widest(dtypes: set[str]) -> str:
    """The dtype that holds the values of all exactly: what `dtype="auto"` then loads."""
    if len(dtypes) == 1:
        return dtypes.pop()
    return "float64" if "float64" in dtypes else "float32"
