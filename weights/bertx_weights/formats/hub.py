"""What the hub's layouts have in common: config.json beside the weights, and an index where these are in shards."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ..checkpoint import StoredTensor
from ..errors import CheckpointError
from ..files import exists, inside, read_json, shards, write_atomically
from ..schema import base_prefix, head_of_decoder

CONFIG = "config.json"
BERT_CONFIG = "bert_config.json"


def stored(whole: str, index: str) -> tuple[tuple[str, ...], ...]:
    """The patterns of weights in one file, and of those in shards, as transformers names them."""
    stem, _, suffix = whole.partition(".")
    number = "[0-9]" * 5
    return (whole,), (index, f"{stem}-{number}-of-{number}.{suffix}")


def written(whole: str, index: str) -> tuple[str, ...]:
    """The patterns of all files of such a checkpoint."""
    return (CONFIG, *(name for group in stored(whole, index) for name in group))


def files(folder: Path, whole: str, index: str) -> list[Path]:
    """The files of a checkpoint that is one file or has an index; none where there is neither."""
    if exists(folder, whole):
        return [inside(folder, whole)]
    if exists(folder, index):
        return sorted(set(shards(folder, index).values()))
    return []


def under_hub_names(tensors: Iterable[StoredTensor]) -> dict[str, StoredTensor]:
    """Tensors by the names that the hub stores them under.

    A model without a head has no prefix such as `bert.` before them; a decoder of its own has the bias that it shares
    beside it, where transformers looks for it.
    """
    named = {tensor.schema_name: tensor for tensor in tensors}
    for head in {head_of_decoder(name) for name in named} - {None}:
        if f"{head}.decoder.weight" in named and f"{head}.bias" in named:
            named.setdefault(f"{head}.decoder.bias", named[f"{head}.bias"])
    prefix = base_prefix(named)
    return {name.removeprefix(prefix): tensor for name, tensor in named.items()}


def read_config(folder: Path) -> dict[str, Any]:
    """The keys of config.json; of bert_config.json where that is all there is, as in the first PyTorch checkpoints.

    Raises:
        CheckpointError: there is neither, or it is no JSON object.
    """
    for name in (CONFIG, BERT_CONFIG):
        if exists(folder, name):
            return read_json(inside(folder, name))
    raise CheckpointError(f"{folder} has no {CONFIG}: a checkpoint folder holds one beside its weights")


def write_config(folder: Path, config: Mapping[str, Any], name: str = CONFIG) -> None:
    """Writes the keys of a config."""
    write_atomically(folder / name, (json.dumps(dict(config), indent=2, ensure_ascii=False) + "\n").encode())
