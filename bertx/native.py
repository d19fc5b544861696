"""The public names of a backend's package: the classes that are made from `bertx.models` over its `nn`."""

from __future__ import annotations

import difflib
import functools
import importlib
from collections.abc import Callable
from typing import Any

from . import models
from .models.layers import outputs
from .registry import MODELS, architectures, is_base, model_of

BASE = "PreTrainedModel"  # what the classes of an architecture have in common: not in `__all__`


def public_names(
    package: str, prefix: str = "", aliases: bool = False, more: tuple[str, ...] = ()
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """`__getattr__`, which knows `__all__` too, and `__dir__` of a package; a class is made when it is first asked for.

    Args:
        package: its name.
        prefix: what its names begin with: "TF", "Flax".
        aliases: whether a class has the name that `ModelSpec.class_aliases` says, as in Flax.
        more: what else the package has.
    """

    @functools.cache  # and not at once: a load needs no table of all architectures
    def modules() -> dict[str, tuple[str, str]]:
        return modules_of(prefix, aliases)

    def public() -> list[str]:
        return sorted([*(name for name in modules() if not name.endswith(BASE)), *more])

    def get(name: str) -> Any:
        if name == "__all__":
            return public()
        if not name[:1].isupper() or name not in modules():  # an import asks for a package's modules here first
            close = difflib.get_close_matches(name, modules(), n=1) if name[:1].isupper() else []
            meant = f"; did you mean {close[0]}?" if close else ""
            raise AttributeError(f"module {package!r} has no attribute {name!r}{meant}")
        module, attribute = modules()[name]
        return getattr(importlib.import_module(f"{package}.{module}"), attribute)

    return get, lambda: sorted([*modules(), *more])


def modules_of(prefix: str, aliases: bool) -> dict[str, tuple[str, str]]:
    """Public name → the file of `bertx.models` that has the class, and its name there."""
    modules = {}
    for name in architectures():
        renamed = {known: alias for alias, known in model_of(name).class_aliases.items()} if aliases else {}
        modules[f"{prefix}{renamed.get(name, name)}"] = model_of(name).module, name
    for model_type, model in MODELS.items():
        base = next((name for name in architectures(model_type) if is_base(name)), None)
        if base is None:
            continue
        name = base.removesuffix("Model") + BASE
        modules[f"{prefix}{name}"] = model.module, name
    for name in outputs.PUBLIC:
        modules[f"{prefix}{name}"] = outputs.__name__.removeprefix(f"{models.__name__}."), name
    return modules
