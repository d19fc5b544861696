"""A new model of a config, with the tokenizer of a folder: what pre-training begins with."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bertx_weights import CheckpointError
from bertx_weights.files import read_json

from ..backend import Backend
from ..configs.base import ModelConfig
from ..hub.sources import resolve
from ..model import Model
from ..registry import architecture_of_task, config_from, schema
from ..tokenizers.auto import read_tokenizer
from ..tokenizers.base import PreTrainedTokenizer
from .init import initial_values


def new_model(
    tokenizer: str | os.PathLike[str],
    config: ModelConfig | Mapping[str, Any] | str | os.PathLike[str],
    task: str,
    backend: Backend,
    *,
    dtype: str = "float32",
    device: Any = None,
    revision: str | None = None,
    seed: int = 0,
) -> Model:
    """A model whose parameters are drawn from a seed, the same on every backend.

    Args:
        tokenizer: the folder, or another source as in `bertx.load`, of a tokenizer; weights there are not read.
        config: a config, its keys, or a config.json; keys without `vocab_size` and `pad_token_id` take the tokenizer's.
        task: a pipeline tag.
        backend: that makes it.
        dtype, device, revision: as in `bertx.load`.
        seed: of the initial values.

    Raises:
        CheckpointError: no config, or one that cannot be.
        ValueError: the vocabulary is larger than the config's, or there is no such head.
    """
    folder = resolve(tokenizer, revision=revision, weights=False)
    found = config_of(config, read_tokenizer(folder))
    architecture = architecture_of_task(task, found.model_type)
    value_of = initial_values(schema(architecture, found), found, seed)
    module = backend.build(backend.model_class(architecture), found, value_of, dtype, device, {})
    return Model(module, found, backend, architecture, folder=folder)


def config_of(config: Any, tokenizer: PreTrainedTokenizer) -> ModelConfig:
    """The config of `new_model`."""
    path = None
    if isinstance(config, (str, os.PathLike)):
        path = Path(config)
        config = read_json(path / "config.json" if path.is_dir() else path)
    if not isinstance(config, ModelConfig):
        config = {"vocab_size": len(tokenizer), "pad_token_id": tokenizer.pad_token_id, **config}
        config.pop("architectures", None)  # the head is that of the task
        try:
            config = config_from(config)
        except (ValueError, TypeError) as error:
            if path is None:
                raise
            raise CheckpointError(f"{path}: {error}") from error
    if len(tokenizer) > config.vocab_size:
        raise ValueError(
            f"vocab_size is {config.vocab_size} and the tokenizer has {len(tokenizer)} tokens: leave vocab_size out of "
            "the config, or give one that is at least as large"
        )
    return config.replace(architectures=None)
