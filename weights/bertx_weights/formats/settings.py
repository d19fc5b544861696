"""What the readers of a format compute whatever the config says: another setting is refused, since it would be lost."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from ..errors import CheckpointError
from ..naming.rules import ModelNames, Naming

# key → the one value that a reader computes, as the hub's config says it where the key is absent.
ENCODER = {"position_embedding_type": "absolute", "is_decoder": False, "add_cross_attention": False}
GOOGLES = {**ENCODER, "layer_norm_eps": 1e-12}

_CAUSAL = "LMHeadModel", "ForCausalLM"  # how classes of decoders are called


def problems(
    config: Mapping[str, Any], reader: str, fixed: Mapping[str, Any], activations: Collection[str]
) -> list[str]:
    """A line for each setting that changes the outputs and that this reader does not know."""
    found = [
        f"{key} is {config.get(key, value)!r}, {reader} has {value!r}"
        for key, value in fixed.items()
        if config.get(key, value) != value
    ]
    act = config.get("hidden_act", "gelu")
    if act not in activations:
        found.append(f"hidden_act is {act!r}, {reader} has {', '.join(map(repr, activations))}")
    written = config.get("architectures") or [""]
    if "is_decoder" in fixed and written[0].endswith(_CAUSAL) and not config.get("is_decoder"):
        found.append(f"{written[0]} is a decoder, {reader} has encoders only")
    return found


def problems_of_all(
    config: Mapping[str, Any],
    framework: str,
    names: ModelNames,
    naming: Naming,
    fixed: Mapping[str, Any],
    activations: Collection[str],
) -> list[str]:
    """`problems` of a model, or of each that it is made of; `framework`: what the names of its classes begin with."""
    if not names.parts:
        return problems(config, f"{framework}{names.class_prefix}", {**fixed, **naming.fixed}, activations)
    return [
        f"the {part}'s {line}"
        for part, inner in names.parts.items()
        for line in problems_of_all(config[part], framework, inner, naming.parts[part], fixed, activations)
    ]


def refuse(form: str, found: list[str]) -> None:
    """Raises CheckpointError if there are problems."""
    if found:
        lines = [f"the format {form} cannot say what this model computes:", *found]
        lines.append("write a format that keeps the whole config: safetensors, pytorch, tensorflow, flax, npz or orbax")
        raise CheckpointError("\n  ".join(lines))
