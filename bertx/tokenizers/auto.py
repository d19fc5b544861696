"""Which class runs the tokenizer of a checkpoint."""

from __future__ import annotations

import os
from typing import Any

from ..hub.sources import resolve
from ..registry import MODELS
from .base import PreTrainedTokenizer
from .bert import BertTokenizer
from .names import GENERIC, plain
from .roberta import RobertaTokenizer
from .settings import class_and_model_type
from .xlm_roberta import XLMRobertaTokenizer

# The first also runs what only a tokenizer.json says, and refuses by name what it does not know.
_CLASSES: tuple[type[PreTrainedTokenizer], ...] = (BertTokenizer, RobertaTokenizer, XLMRobertaTokenizer)


def read_tokenizer(source: str | os.PathLike[str], revision: str | None = None, **changes: Any) -> PreTrainedTokenizer:
    """The tokenizer of a checkpoint, of the class that its files name; `source` as in `bertx.load`.

    The class is that of tokenizer_config.json or config.json; where neither names one, that of the model_type.
    `changes` and errors are those of the class's `from_pretrained`.
    """
    folder = resolve(source, revision=revision, weights=False)
    named, model_type = class_and_model_type(folder)
    if named is None or plain(named) in GENERIC:
        named = MODELS[model_type].tokenizers[0] if model_type in MODELS else None
    cls = next((cls for cls in _CLASSES if named and plain(named) in cls.family.classes), _CLASSES[0])
    tokenizer = cls.from_pretrained(folder, **changes)
    tokenizer.name_or_path = os.fspath(source)
    return tokenizer
