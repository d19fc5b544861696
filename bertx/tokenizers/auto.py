"""Which class runs the tokenizer of a checkpoint."""

from __future__ import annotations

import importlib
import os
from typing import Any

from ..hub.sources import resolve
from ..registry import MODELS
from . import names
from .base import PreTrainedTokenizer
from .settings import class_and_model_type

# The classes of a family → its file here, imported when it is used. BERT's also runs what only a tokenizer.json says,
# and refuses by name what it does not know.
_FILES = {names.BERT: "bert", names.ROBERTA: "roberta", names.XLM_ROBERTA: "xlm_roberta"}


def read_tokenizer(source: str | os.PathLike[str], revision: str | None = None, **changes: Any) -> PreTrainedTokenizer:
    """The tokenizer of a checkpoint, of the class that its files name; `source` as in `bertx.load`.

    The class is that of tokenizer_config.json or config.json; where neither names one, that of the model_type.
    `changes` and errors are those of the class's `from_pretrained`.
    """
    folder = resolve(source, revision=revision, weights=False)
    named, model_type = class_and_model_type(folder)
    if named is None or names.plain(named) in names.GENERIC:
        named = MODELS[model_type].tokenizers[0] if model_type is not None and model_type in MODELS else None
    family = next((family for family in _FILES if named and names.plain(named) in family), names.BERT)
    file = importlib.import_module(f"{__package__}.{_FILES[family]}")
    tokenizer = getattr(file, family[0]).from_pretrained(folder, **changes)
    tokenizer.name_or_path = os.fspath(source)
    return tokenizer
