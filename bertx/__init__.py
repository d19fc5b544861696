"""BERT for PyTorch, TensorFlow and JAX from one layer spec, one config and one weight schema."""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bertx_weights import CheckpointError, LoadReport

    from .backend import MissingExtraError, installed_backends
    from .config import BertConfig
    from .conversion import ConversionReport, convert
    from .encoding import BatchEncoding
    from .inspection import Inspection, inspect
    from .loading import load
    from .model import Model
    from .parity_report import ParityReport, parity
    from .tasks.streaming import InputError
    from .tokenizer import BertTokenizer, BertTokenizerFast
    from .verification import Verification, verify

__version__ = "0.1.0"

# Public name → the module that has it: imported when first used, so that `import bertx` costs nothing.
_PUBLIC = {
    "BertConfig": ".config",
    "BatchEncoding": ".encoding",
    "BertTokenizer": ".tokenizer",
    "BertTokenizerFast": ".tokenizer",
    "CheckpointError": "bertx_weights",
    "ConversionReport": ".conversion",
    "InputError": ".tasks.streaming",
    "Inspection": ".inspection",
    "LoadReport": "bertx_weights",
    "MissingExtraError": ".backend",
    "Model": ".model",
    "ParityReport": ".parity_report",
    "Verification": ".verification",
    "convert": ".conversion",
    "inspect": ".inspection",
    "installed_backends": ".backend",
    "load": ".loading",
    "parity": ".parity_report",
    "verify": ".verification",
}
__all__ = sorted(_PUBLIC)


def __getattr__(name: str) -> object:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'bertx' has no attribute {name!r}")
    value = getattr(importlib.import_module(_PUBLIC[name], __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_PUBLIC})
