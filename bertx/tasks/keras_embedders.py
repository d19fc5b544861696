"""KerasHub's BertTextEmbedder: the same pooling and normalisation as the files of sentence-transformers say it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from bertx_weights import CheckpointError, write_atomically
from bertx_weights.files import exists
from bertx_weights.formats import keras_hub

from .pooling import Normalize, Pooling
from .sentence_transformers import MODULES, TRANSFORMER_CONFIGS, read_settings

_TYPES = "sentence_transformers.models."


def write_modules(source: Path, target: Path) -> None:
    """Says in the files of sentence-transformers what the embedder of a preset does; nothing of another checkpoint.

    Raises:
        CheckpointError: the preset has another pooling than KerasHub has.
    """
    embedder = None if exists(source, MODULES) else keras_hub.read_embedder(source)
    if embedder is None or exists(target, MODULES):
        return
    write_pooling(
        target,
        embedder["pooling_mode"],
        embedder["hidden_dim"],
        normalize=embedder["normalize"],
        max_length=embedder["sequence_length"],
    )


def write_pooling(
    target: Path, mode: str, hidden_size: int, *, normalize: bool = False, max_length: int | None = None
) -> None:
    """The files of sentence-transformers for an encoder in `target`: "cls", "mean" or "max" of its token vectors."""
    pooling = {
        f"pooling_mode_{name}_{'token' if name == 'cls' else 'tokens'}": name == mode for name in ("cls", "mean", "max")
    }
    modules = [("Transformer", ""), ("Pooling", "1_Pooling")]
    modules += [("Normalize", "2_Normalize")] if normalize else []
    entries = [
        {"idx": i, "name": str(i), "path": path, "type": f"{_TYPES}{kind}"} for i, (kind, path) in enumerate(modules)
    ]
    _write(target / "1_Pooling" / "config.json", {"word_embedding_dimension": hidden_size, **pooling})
    if max_length is not None:
        _write(target / TRANSFORMER_CONFIGS[0], {"max_seq_length": max_length, "do_lower_case": False})
    _write(target / MODULES, entries)


def write_embedder(source: Path, preset: Path) -> None:
    """Makes a BertTextEmbedder of a new preset, where the source pools; else it stays an encoder.

    Raises:
        CheckpointError: the source pools in a way that KerasHub does not.
    """
    settings = read_settings(source, None)
    if settings.model_type is None and not settings.modules:
        return
    poolings: list[Any] = [module for module in settings.modules if isinstance(module, Pooling)]
    normalize = settings.modules[1:] == (Normalize(),)
    if (
        len(poolings) != 1
        or settings.modules[1:] not in ((), (Normalize(),))
        or len(poolings[0].modes) > 1
        or poolings[0].modes[0] not in keras_hub.POOLINGS
    ):
        found = [
            " and ".join(module.modes) if isinstance(module, Pooling) else type(module).__name__
            for module in settings.modules
        ]
        raise CheckpointError(
            f"{source} pools by {', '.join(found) or 'nothing'}, and KerasHub's embedder by one of "
            f"{', '.join(keras_hub.POOLINGS)}, and Normalize: convert to another format"
        )
    others = {
        "a default prompt": bool(settings.default_prompt),
        "do_lower_case": settings.lower_case,
        "truncate_dim": settings.truncate_dim is not None,
    }
    if any(others.values()):
        names = ", ".join(name for name, is_set in others.items() if is_set)
        raise CheckpointError(f"{source} sets {names}, which KerasHub's embedder has not: convert to another format")
    keras_hub.write_embedder(preset, poolings[0].modes[0], normalize, settings.max_length)


def _write(path: Path, values: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, (json.dumps(values, indent=2) + "\n").encode())
