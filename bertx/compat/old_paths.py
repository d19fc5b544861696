"""Modules under the names that they had before they moved: `from bertx.config import BertConfig` goes on working."""

from __future__ import annotations

import importlib
import sys
from importlib.machinery import ModuleSpec
from types import ModuleType

# Old name → new name, of modules that have public names.
MOVED = {
    "bertx.config": "bertx.configs.bert",
    "bertx.conversion": "bertx.checkpoints.convert",
    "bertx.encoding": "bertx.tokenizers.encoding",
    "bertx.inspection": "bertx.checkpoints.inspect",
    "bertx.loading": "bertx.checkpoints.load",
    "bertx.spec": "bertx.models",
    "bertx.spec.encoder": "bertx.models.bert",
    "bertx.spec.heads": "bertx.models.bert",
    "bertx.spec.nn": "bertx.models.nn",
    "bertx.tokenizer": "bertx.tokenizers.bert",
    "bertx.verification": "bertx.checkpoints.verify",
    "bertx_weights.formats.names": "bertx_weights.naming.tables",
    "bertx_weights.safetensors_store": "bertx_weights.containers.safetensors",
}


class _OldPaths:
    """Finds a module by its old name; its attributes are those of the module by its new one."""

    def find_spec(self, fullname, path=None, target=None):
        """A spec for the old names alone."""
        return ModuleSpec(fullname, self, is_package=fullname == "bertx.spec") if fullname in MOVED else None  # pyright: ignore[reportArgumentType]  # a loader by its methods

    def create_module(self, spec):
        """An ordinary module."""

    def exec_module(self, module: ModuleType) -> None:
        """Lets the module look up everything in the one that has moved."""
        moved = importlib.import_module(MOVED[module.__name__])
        module.__doc__ = moved.__doc__
        module.__getattr__ = lambda name: getattr(moved, name)


def install() -> None:
    """Makes the old names importable."""
    if not any(isinstance(finder, _OldPaths) for finder in sys.meta_path):
        sys.meta_path.append(_OldPaths())
