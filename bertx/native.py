"""The public names of a backend's package: the classes that are made from `bertx.models` over its `nn`."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

from . import models
from .models.layers import outputs
from .registry import MODELS, architectures, is_base, model_of


def public_names(
    package: str, prefix: str = "", aliases: bool = False
) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """`__getattr__`, `__dir__` and `__all__` of a package; a class is made when it is first asked for.

    Args:
        package: its name.
        prefix: what its names begin with: "TF", "Flax".
        aliases: whether a class has the name that `ModelSpec.class_aliases` says, as in Flax.
    """
    modules = {}
    for name in architectures():
        renamed = {known: alias for alias, known in model_of(name).class_aliases.items()} if aliases else {}
        modules[f"{prefix}{renamed.get(name, name)}"] = model_of(name).module, name
    public = [*modules, *(f"{prefix}{name}" for name in outputs.PUBLIC)]
    for model_type, model in MODELS.items():
        base = next(name for name in architectures(model_type) if is_base(name))
        name = base.removesuffix("Model") + "PreTrainedModel"
        modules[f"{prefix}{name}"] = model.module, name
    for name in outputs.PUBLIC:
        modules[f"{prefix}{name}"] = outputs.__name__.removeprefix(f"{models.__name__}."), name

    def get(name: str) -> Any:
        if name not in modules:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        module, attribute = modules[name]
        return getattr(importlib.import_module(f"{package}.{module}"), attribute)

    return get, lambda: sorted(modules), sorted(public)
