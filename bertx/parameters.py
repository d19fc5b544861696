"""The parameters of a tree of blocks, and models that are made without values for them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any

import numpy as np

ValueOf = Callable[[str, tuple[int, ...]], np.ndarray]
"""(schema name, schema shape) → the tensor, in the dtype it is stored in."""


def named_parameters(
    module: Any, modules: type, leaves: type | tuple[()], prefix: str = ""
) -> Iterator[tuple[str, Any, str, str]]:
    """Walks a tree of blocks in the order in which the spec made them.

    A block whose parameters differ from the schema's declares `layout`: schema name → (attribute,
    kind), kind being `"kernel"` for a matrix stored as [in, out] and `""` for the schema's own layout.

    Yields:
        (schema name, the block, the attribute that holds the parameter, kind)
    """
    if hasattr(module, "layout"):
        for name, (attribute, kind) in module.layout.items():
            yield f"{prefix}{name}".rstrip("."), module, attribute, kind
        return
    for attribute, value in vars(module).items():
        if attribute.startswith("_"):
            continue
        if isinstance(value, modules):
            yield from named_parameters(value, modules, leaves, f"{prefix}{attribute}.")
        elif isinstance(value, leaves):
            yield f"{prefix}{attribute}", module, attribute, ""
        elif isinstance(value, (list, tuple)):
            for i, child in enumerate(value):
                if isinstance(child, modules):
                    yield from named_parameters(child, modules, leaves, f"{prefix}{attribute}.{i}.")


_skips_init: ContextVar[bool] = ContextVar("skips_init", default=False)


@contextlib.contextmanager
def skip_init() -> Iterator[None]:
    """Models made within have parameters without values, which the caller then fills (torch.nn.utils.skip_init)."""
    token = _skips_init.set(True)
    try:
        yield
    finally:
        _skips_init.reset(token)


def is_skipping_init() -> bool:
    """Whether models are being made whose parameters someone else fills."""
    return _skips_init.get()
