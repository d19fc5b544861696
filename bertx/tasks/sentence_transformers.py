"""What a sentence-transformers folder says of pooling, normalisation and length."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from bertx_weights import CheckpointError

FILES = (
    "modules.json",
    "1_Pooling/config.json",
    "sentence_bert_config.json",
    "config_sentence_transformers.json",
)
POOLINGS = ("cls", "max", "mean")  # in the order in which sentence-transformers joins several


@dataclass(frozen=True)
class SentenceSettings:
    """pooling: none, one or several of `POOLINGS`, joined; max_length in tokens, None where not said."""

    pooling: tuple[str, ...] = ()
    normalize: bool = False
    max_length: int | None = None


def read_settings(folder: Path) -> SentenceSettings:
    """Reads modules.json, the pooling's config and sentence_bert_config.json; a plain checkpoint has no pooling.

    Raises:
        CheckpointError: a module or a pooling that bertx does not run, or a file that is not JSON.
    """
    if not (folder / "modules.json").is_file():
        return SentenceSettings()
    pooling, normalize = (), False
    for module in _read(folder / "modules.json"):
        kind = module["type"].rpartition(".")[2]
        if kind == "Pooling":
            pooling = _pooling(folder / module["path"] / "config.json")
        elif kind == "Normalize":
            normalize = True
        elif kind != "Transformer":
            raise CheckpointError(f"{folder / 'modules.json'}: bertx does not run the module {module['type']}")
    length_file = folder / "sentence_bert_config.json"
    max_length = _read(length_file).get("max_seq_length") if length_file.is_file() else None
    return SentenceSettings(pooling, normalize, max_length)


def _pooling(path: Path) -> tuple[str, ...]:
    config = _read(path)
    asked = {
        key.removeprefix("pooling_mode_").removesuffix("_tokens").removesuffix("_token")
        for key, value in config.items()
        if key.startswith("pooling_mode_") and value is True
    }
    newer = config.get("pooling_mode")  # one key, as sentence-transformers 5 writes it
    asked |= {newer} if isinstance(newer, str) else set(newer or ())
    if not asked or asked - set(POOLINGS):
        raise CheckpointError(
            f"{path}: bertx pools by {', '.join(POOLINGS)}; this asks for {sorted(asked) or 'nothing'}"
        )
    return tuple(name for name in POOLINGS if name in asked)


def _read(path: Path):
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path}: cannot be read: {error}") from error
