"""BERT, RoBERTa and XLM-R for PyTorch, TensorFlow and JAX from one layer spec, one config and one weight schema."""

import importlib
from typing import TYPE_CHECKING

from .compat import old_paths

if TYPE_CHECKING:
    from bertx_weights import CheckpointError, LoadReport

    from .backend import MissingExtraError, installed_backends
    from .checkpoints.convert import ConversionReport, convert
    from .checkpoints.inspect import Inspection, inspect
    from .checkpoints.load import load
    from .checkpoints.verify import Verification, verify
    from .configs.bert import BertConfig
    from .configs.encoder_decoder import EncoderDecoderConfig
    from .configs.roberta import RobertaConfig
    from .configs.xlm_roberta import XLMRobertaConfig
    from .exporting.export import export
    from .model import Model
    from .parity_report import ParityReport, parity
    from .tasks.streaming import InputError
    from .tokenizers.bert import BertTokenizer, BertTokenizerFast
    from .tokenizers.encoding import BatchEncoding
    from .tokenizers.roberta import RobertaTokenizer, RobertaTokenizerFast
    from .tokenizers.xlm_roberta import XLMRobertaTokenizer, XLMRobertaTokenizerFast
    from .training.distillation import Distillation
    from .training.recipe import Recipe
    from .training.run import TrainingError, TrainingStopped, train
    from .training.vocabulary import train_tokenizer

old_paths.install()

__version__ = "0.1.0"

# Public name → the module that has it: imported when first used, so that `import bertx` costs nothing.
_PUBLIC = {
    "BertConfig": ".configs.bert",
    "EncoderDecoderConfig": ".configs.encoder_decoder",
    "RobertaConfig": ".configs.roberta",
    "XLMRobertaConfig": ".configs.xlm_roberta",
    "BatchEncoding": ".tokenizers.encoding",
    "BertTokenizer": ".tokenizers.bert",
    "BertTokenizerFast": ".tokenizers.bert",
    "RobertaTokenizer": ".tokenizers.roberta",
    "RobertaTokenizerFast": ".tokenizers.roberta",
    "XLMRobertaTokenizer": ".tokenizers.xlm_roberta",
    "XLMRobertaTokenizerFast": ".tokenizers.xlm_roberta",
    "CheckpointError": "bertx_weights",
    "ConversionReport": ".checkpoints.convert",
    "Distillation": ".training.distillation",
    "InputError": ".tasks.streaming",
    "Inspection": ".checkpoints.inspect",
    "LoadReport": "bertx_weights",
    "MissingExtraError": ".backend",
    "Model": ".model",
    "ParityReport": ".parity_report",
    "Recipe": ".training.recipe",
    "TrainingError": ".training.run",
    "TrainingStopped": ".training.run",
    "Verification": ".checkpoints.verify",
    "convert": ".checkpoints.convert",
    "export": ".exporting.export",
    "inspect": ".checkpoints.inspect",
    "installed_backends": ".backend",
    "load": ".checkpoints.load",
    "parity": ".parity_report",
    "train": ".training.run",
    "train_tokenizer": ".training.vocabulary",
    "verify": ".checkpoints.verify",
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
