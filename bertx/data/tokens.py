"""The tokens of a whole corpus: tokenised once for its texts and a tokenizer, then mapped from the disk."""

from __future__ import annotations

import hashlib
import json
from array import array
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from safetensors.numpy import save_file

from bertx_weights import CheckpointError
from bertx_weights.containers.safetensors import map_file
from bertx_weights.files import atomic_path

from ..caches import cache_folder
from .rows import Row

_CODES = {"ids": "i", "begins": "b", "texts": "q", "documents": "q"}


class Tokens(NamedTuple):
    """The tokens of documents, each of several texts.

    Attributes:
        ids: of all, one after the other, without special tokens.
        begins: 1 where a token begins a word, else 0.
        texts: where each text begins in `ids`, and the end of the last.
        documents: where each document begins in `texts`, and the end of the last.
    """

    ids: np.ndarray
    begins: np.ndarray
    texts: np.ndarray
    documents: np.ndarray


def tokens_of(rows: Sequence[Row], tokenizer: Any, texts_of: Callable[[Row], Sequence[str]]) -> Tokens:
    """The tokens of the texts of rows, each a document; texts and documents without a token are left out.

    Those of a file's rows are kept in $XDG_CACHE_HOME/bertx/tokens, by the hash of the texts and of the tokenizer: a
    run that is begun again, or goes on, does not tokenise again.
    """
    folder = cache_folder("tokens") if hasattr(rows, "path") else None
    if folder is None:
        return _tokenised(rows, tokenizer, texts_of)
    path = folder / f"{_key(rows, tokenizer, texts_of)}.safetensors"
    try:
        return Tokens(**map_file(path))
    except (CheckpointError, TypeError, FileNotFoundError):  # not there, damaged, or of another version
        pass
    tokens = _tokenised(rows, tokenizer, texts_of)
    try:
        with atomic_path(path) as temporary:
            save_file(tokens._asdict(), temporary)
    except OSError:  # a full disk: these are in memory
        return tokens
    return Tokens(**map_file(path))


def _key(rows: Sequence[Row], tokenizer: Any, texts_of: Callable[[Row], Sequence[str]]) -> str:
    digest = hashlib.sha256(tokenizer.backend_tokenizer.to_str().encode())
    for index in range(len(rows)):
        digest.update(json.dumps(texts_of(rows[index])).encode() + b"\n")
    return digest.hexdigest()


def _tokenised(rows: Sequence[Row], tokenizer: Any, texts_of: Callable[[Row], Sequence[str]]) -> Tokens:
    found = {name: array(code) for name, code in _CODES.items()}
    found["texts"].append(0)
    found["documents"].append(0)
    for index in range(len(rows)):
        encoded = tokenizer(list(texts_of(rows[index])), add_special_tokens=False, verbose=False)
        for encoding in encoded.encodings:
            if len(encoding):
                words = np.array([-1 if word is None else word for word in encoding.word_ids])
                found["ids"].extend(encoding.ids)
                found["begins"].extend((np.diff(words, prepend=-2) != 0).tolist())
                found["texts"].append(len(found["ids"]))
        if len(found["texts"]) - 1 > found["documents"][-1]:
            found["documents"].append(len(found["texts"]) - 1)
    return Tokens(**{name: np.frombuffer(values, values.typecode) for name, values in found.items()})
