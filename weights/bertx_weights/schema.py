"""A row of the weight schema, and the one name that the published variants of a name mean."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass

BERT = "bert."
_BASE = ("embeddings.", "encoder.", "pooler.")


@dataclass(frozen=True)
class Row:
    """One tensor of a model.

    Attributes:
        name: the hub's.
        shape: as PyTorch has it, a matrix [out, in].
        kind: "linear", "embedding", "norm" or "bias". Initial values, weight decay, layouts and the names of formats
            follow from it.
        axes: what each axis is: "vocab", "embed", "heads", …
        tied_to: the row whose memory it shares.
    """

    name: str
    shape: tuple[int, ...]
    kind: str = "linear"
    axes: tuple[str, ...] = ()
    tied_to: str | None = None


def plain_name(stored: str) -> str:
    """A stored name with the usual one in place of LayerNorm's legacy gamma and beta."""
    stem, _, last = stored.rpartition(".")
    if stem.endswith("LayerNorm"):
        last = {"gamma": "weight", "beta": "bias"}.get(last, last)
    return f"{stem}.{last}" if stem else last


def schema_name(stored: str, prefix: str = BERT) -> str:
    """The schema's name of a stored tensor: its `plain_name`, and that of a base model with the model's prefix."""
    name = plain_name(stored)
    return f"{prefix}{name}" if name.startswith(_BASE) else name


def head_of_decoder(name: str) -> str | None:
    """The head whose Linear to the vocabulary a tensor is of: "lm_head" of "lm_head.decoder.weight"; else None.

    That Linear shares the bias of its head, and where the config ties them the table of the word embeddings.
    """
    found = re.fullmatch(r"(.+)\.decoder\.(weight|bias)", name)
    return found and found[1]


def base_prefix(names: Collection[str]) -> str:
    """What all of these schema names begin with where they are a model without a head, such as "bert."; else ""."""
    prefixes = {name.partition(".")[0] for name in names}
    rest = [name.partition(".")[2] for name in names]
    return f"{prefixes.pop()}." if len(prefixes) == 1 and all(name.startswith(_BASE) for name in rest) else ""
