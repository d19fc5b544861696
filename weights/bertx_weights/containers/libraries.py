"""The libraries of the formats, imported when a file of theirs is met."""

from __future__ import annotations

import importlib
import os
from typing import Any

from ..errors import MissingExtraError


def needs(library: str, extra: str, use: str = "this format is read and written with") -> Any:
    """The library; `use` is what the error says that it is for.

    Raises:
        MissingExtraError: it is not installed; the message names the extra.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        return importlib.import_module(library)
    except ImportError as error:
        raise MissingExtraError(f"{use} {library}, not installed here: pip install 'bertx[{extra}]'") from error
