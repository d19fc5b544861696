"""A row of the weight schema, and the one name that the published variants of a name mean."""

from __future__ import annotations

from dataclasses import dataclass

_BASE = ("embeddings.", "encoder.", "pooler.")


@dataclass(frozen=True)
class Row:
    """One tensor: its hub name, its shape as PyTorch has it, its dtype, and the row whose memory it shares."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    tied_to: str | None = None


def schema_name(stored: str) -> str:
    """The schema's name of a stored tensor: LayerNorm's legacy gamma and beta, and a base model without `bert.`."""
    stem, _, last = stored.rpartition(".")
    if stem.endswith("LayerNorm"):
        last = {"gamma": "weight", "beta": "bias"}.get(last, last)
    name = f"{stem}.{last}" if stem else last
    return f"bert.{name}" if name.startswith(_BASE) else name
