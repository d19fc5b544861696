"""What every other part of bertx asks about architectures, heads and tasks, and the weight schema of each head.

A head is said once, in the class attributes of `bertx.models`; an architecture once, in the `ModelSpec` of its config's
file. All that is here is read from these.
"""

from __future__ import annotations

import functools
import importlib
import pkgutil
import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from bertx_weights import Row

from . import configs
from .configs.base import ModelConfig, ModelSpec
from .models import nn
from .models.base_model import BaseModel
from .parameters import skip_init
from .printable import printable

# Older names of pipeline tags that transformers takes too.
_TASK_ALIASES = {"ner": "token-classification", "sentiment-analysis": "text-classification"}


def _models() -> dict[str, ModelSpec]:
    """model_type → the spec, found in the files of `bertx.configs`."""
    found = {}
    for file in pkgutil.iter_modules(configs.__path__):
        spec = getattr(importlib.import_module(f"{configs.__name__}.{file.name}"), "SPEC", None)
        if spec is not None:
            found[spec.model_type] = spec
    return found


MODELS: Mapping[str, ModelSpec] = _models()


@functools.cache
def _classes(model_type: str) -> dict[str, type[nn.Model]]:
    """Name → class of `bertx.models`, the model without a head first."""
    module = importlib.import_module(f"{nn.__package__}.{MODELS[model_type].module}")
    found = {
        name: value
        for name, value in vars(module).items()
        if isinstance(value, type) and hasattr(value, "task") and value.__module__ == module.__name__
    }
    return dict(sorted(found.items(), key=lambda item: not issubclass(item[1], BaseModel)))


@functools.cache
def _model_types() -> dict[str, str]:
    return {name: model_type for model_type in MODELS for name in _classes(model_type)}


def model_of(architecture: str) -> ModelSpec:
    """The architecture that a class belongs to, by the hub's PyTorch name (`"BertForMaskedLM"`)."""
    return MODELS[_model_types()[architecture]]


def head_of(architecture: str) -> type[nn.Model]:
    """The class of `bertx.models` whose attributes say what the head is: see `bertx.models.heads`."""
    return _classes(_model_types()[architecture])[architecture]


def prefix_of(architecture: str) -> str:
    """What the names of the base model's tensors begin with in a model with a head: "bert."."""
    return f"{head_of(architecture).base_model_prefix}."


def prefix_of_config(values: Mapping[str, Any]) -> str:
    """The same by the keys of a config.json; of an unknown architecture, which is refused elsewhere, BERT's."""
    try:
        model_type = model_type_of(values)
    except ValueError:
        model_type = next(iter(MODELS))
    return prefix_of(architectures(model_type)[0])


@functools.cache
def architectures(model_type: str | None = None) -> tuple[str, ...]:
    """The classes of one architecture, or of all."""
    return tuple(name for name, found in _model_types().items() if model_type in (None, found))


def tasks() -> tuple[str, ...]:
    """All pipeline tags."""
    return tuple(dict.fromkeys(head_of(name).task for name in architectures()))


def is_base(architecture: str) -> bool:
    """Whether a class is a model without a head."""
    return issubclass(head_of(architecture), BaseModel)


def task_of_architecture(architecture: str) -> str:
    """The pipeline tag of a class."""
    return head_of(architecture).task


def check_task(task: str) -> str:
    """The pipeline tag, also of its older names "ner" and "sentiment-analysis".

    Raises:
        ValueError: no such task; the message lists those there are.
    """
    task = _TASK_ALIASES.get(task, task)
    if task not in tasks():
        raise ValueError(f"there is no task {task!r}; those known are {', '.join(tasks())}")
    return task


def architecture_of_task(task: str, model_type: str) -> str:
    """The class of an architecture that a pipeline tag runs.

    Raises:
        ValueError: no such task, or none of that architecture; the message lists those there are.
    """
    task = check_task(task)
    found = {head_of(name).task: name for name in architectures(model_type)}
    if task not in found:
        raise ValueError(f"{model_type} has no head for {task!r}; it has those for {', '.join(found)}")
    return found[task]


# --- the weight schema ------------------------------------------------------------------------------


@functools.lru_cache(maxsize=64)
def schema(architecture: str, config: ModelConfig, add_pooling_layer: bool = True) -> tuple[Row, ...]:
    """The rows of one head: made by running its constructor in the spec, without any tensor."""
    options = {"add_pooling_layer": add_pooling_layer} if is_base(architecture) else {}
    with skip_init():
        model = head_of(architecture)(config, **options)
    rows, owners = [], {}
    for name, parameter in nn.parameters(model):
        tied_to = owners.setdefault(id(parameter), name)
        rows.append(
            Row(name, parameter.shape, parameter.kind, parameter.axes, tied_to=None if tied_to == name else tied_to)
        )
    return tuple(rows)


def options_of(architecture: str, names: Iterable[str]) -> dict[str, Any]:
    """The further arguments of a class for tensors of these names: a model without a head has a pooler or has none."""
    if not is_base(architecture):
        return {}
    prefix = prefix_of(architecture)
    return {"add_pooling_layer": any(name.removeprefix(prefix).startswith("pooler.") for name in names)}


@functools.lru_cache(maxsize=8)
def known_names(config: ModelConfig) -> frozenset[str]:
    """The names of every head's tensors, so that a tensor of another head is told from a stray one."""
    return frozenset(
        row.name
        for architecture in architectures(config.model_type)
        if not is_base(architecture)
        for row in schema(architecture, config)
    )


def _head_rows(architecture: str, config: ModelConfig) -> frozenset[str]:
    """The names of the tensors that the head itself has."""
    if is_base(architecture):
        return frozenset()
    prefix = prefix_of(architecture)
    return frozenset(
        row.name for row in schema(architecture, config) if row.tied_to is None and not row.name.startswith(prefix)
    )


# --- which head a checkpoint is ---------------------------------------------------------------------


def _plain(written: str) -> str:
    """A class by its PyTorch name, from that name or TensorFlow's or Flax's."""
    return written.removeprefix("TF").removeprefix("Flax")


def _known_architecture(written: str, model: ModelSpec) -> str | None:
    plain = _plain(written)
    plain = model.class_aliases.get(plain, plain)
    return plain if plain in architectures(model.model_type) else None


def _shown(names: Iterable[str]) -> str:
    return printable(", ".join(name or "''" for name in names))


def trained_as(config: ModelConfig, architecture: str) -> str | None:
    """The class that a checkpoint says its classifier was trained in, where that is not the one it is loaded into."""
    classes = set(head_of(architecture).labels.values())
    stated = {_plain(name) for name in config.architectures or ()}
    if not classes or not classes <= {"num_labels", "choices"} or architecture in stated:
        return None  # masked and causal language models share their head's tensors, too, and are meant to
    own = _head_rows(architecture, config)
    others = [name for name in architectures(config.model_type) if name in stated]
    return next((name for name in others if own and _head_rows(name, config) == own), None)


def model_type_of(values: Mapping[str, Any]) -> str:
    """The architecture that the keys of a config.json are of; of one that says none, as older ones do, BERT.

    Encoders of other families have tensors of the same names and shapes, and compute something else.

    Raises:
        ValueError: an architecture that bertx does not have, or classes of another one.
    """
    names = values.get("architectures")
    names = [names] if isinstance(names, str) else names
    names = [name for name in names if isinstance(name, str)] if isinstance(names, (list, tuple)) else []
    owners = {name: next((model for model in MODELS.values() if model.owns(name)), None) for name in names}
    stated = values.get("model_type")
    if stated in (None, ""):
        oldest = next(iter(MODELS.values()))
        if strange := [name for name, owner in owners.items() if owner is not oldest]:
            meant = {owner.model_type for owner in owners.values() if owner} or {oldest.model_type}
            raise ValueError(
                f"architectures names {_shown(strange)}, which is no class of {oldest.name}, and there is no "
                f"model_type: bertx takes what states none for a {oldest.name}; say what it is, such as by "
                f'"model_type": "{min(meant)}", and where the class is your own, name the head with task='
            )
        return oldest.model_type
    if not isinstance(stated, str) or stated not in MODELS:
        raise ValueError(f"model_type is {stated!r:.40}, bertx runs {', '.join(map(repr, MODELS))}")
    others = {name: owner.name for name, owner in owners.items() if owner is not None}
    if others and MODELS[stated].name not in others.values():
        families = ", ".join(sorted(set(others.values())))
        raise ValueError(
            f"model_type is {stated!r}, and architectures names {_shown(others)}, of {families}: make them agree"
        )
    return stated


def config_from(values: Mapping[str, Any], **changes: Any) -> ModelConfig:
    """The config of the class that the keys of a config.json are for, `changes` in place of what they say.

    Raises:
        ValueError: an architecture that bertx does not have, or fields that cannot be.
    """
    return MODELS[model_type_of(values)].config_class.from_dict(values, **changes)


def _own_code(config: ModelConfig) -> list[str]:
    """The model classes that a checkpoint brings its own code for."""
    entries = config.extra.get("auto_map")
    entries = entries if isinstance(entries, Mapping) else {}
    return [str(value) for key, value in entries.items() if re.match("(TF|Flax)?AutoModel", str(key))]


def own_architecture(config: ModelConfig, names: Collection[str]) -> str:
    """The head that a checkpoint was saved with: what its config says, else what its tensors (schema names) show.

    Raises:
        ValueError: neither tells, or the config names a class that bertx does not have.
    """
    model = MODELS[config.model_type]
    if classes := _own_code(config):
        raise ValueError(
            f"auto_map names classes of the checkpoint's own code, {', '.join(classes)}, which bertx does not run: if "
            f"its weights are a plain {model.name}'s, name the head with task="
        )
    stated = config.architectures or ()
    for written in stated:
        if known := _known_architecture(written, model):
            return known
    known = architectures(model.model_type)
    if stated:
        raise ValueError(
            f"architectures names {_shown(stated)}, which bertx does not have: if its encoder is a plain "
            f"{model.name}, name the head with task=; bertx has {', '.join(known)}"
        )
    rows = {name: _head_rows(name, config) for name in known}
    shared = {name: len(rows[name].intersection(names)) for name in known}
    most = max(shared.values())
    # Of those that hold as much of what is stored, the ones that lack least.
    best = [name for name in known if shared[name] == most]
    least = min(len(rows[name]) for name in best)
    best = [name for name in best if len(rows[name]) == least]
    if len(best) > 1:  # the masked and the causal language model
        best = [name for name in best if head_of(name).causal == config.is_decoder] or best
    if len(best) > 1:
        tasks = [head_of(name).task for name in best]
        raise ValueError(
            f"config.json names no architecture, and a classifier can be {', '.join(tasks[:-1])} or {tasks[-1]}: say "
            "which with task="
        )
    return best[0]
