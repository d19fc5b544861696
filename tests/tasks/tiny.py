"""Tiny checkpoints with a tokenizer, one for each task."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from support import SIZES, peer, save_peer

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
SENTENCE = "the a happy dog cat walks sat on mat in city who where it is house river query passage : . , ? ' -"
WORDS = SENTENCE.split()
LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"


def vocabulary() -> list[str]:
    """As many tokens as `SIZES` says."""
    tokens = list(dict.fromkeys([*SPECIAL, *WORDS, *LETTERS, *(f"##{letter}" for letter in LETTERS)]))
    return tokens + [f"[unused{i}]" for i in range(SIZES["vocab_size"] - len(tokens))]


def write_tokenizer(folder: Path, **settings: Any) -> Path:
    """vocab.txt and tokenizer_config.json."""
    (folder / "vocab.txt").write_text("".join(f"{token}\n" for token in vocabulary()))
    settings = {"tokenizer_class": "BertTokenizer", "model_max_length": SIZES["max_position_embeddings"]} | settings
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return folder


def write_checkpoint(folder: Path, head: str, tokenizer: dict[str, Any] | None = None, **changes: Any) -> Path:
    """A checkpoint of a head, `changes` being of its config."""
    return write_tokenizer(save_peer(peer(head, **changes), folder), **(tokenizer or {}))
