"""Text generation from a decoder: which token follows, where a text ends, and the keys and values that are kept."""

from __future__ import annotations

from .config import GenerationConfig
from .loop import Continuation, generate, stream

__all__ = ["Continuation", "GenerationConfig", "generate", "stream"]
