"""What every other part of bertx asks about architectures, heads and tasks, and the weight schema of each head.

A head is declared once, in the class attributes of `bertx.models`; an architecture once, in the `ModelSpec` of its
config's file. All that is here is read from these.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib
import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from bertx_weights import ModelNames, Row, head_of_decoder
from bertx_weights.naming import Naming

from .configs.base import MODELS, ModelConfig, ModelSpec
from .models import nn
from .models.base_model import BaseModel
from .models.sentence_embedding import SentenceSimilarity
from .parameters import skip_init
from .printable import printable

_OTHERS = "a model of another architecture computes something else from such tensors: run it with its own library"
# Heads over the base model of any architecture, with no class of their own in each.
_OVER_ANY: Mapping[str, type[nn.Model]] = {SentenceSimilarity.__name__: SentenceSimilarity}
# Other names of pipeline tags that transformers takes too.
_TASK_ALIASES = {
    "ner": "token-classification",
    "sentiment-analysis": "text-classification",
    "text2text-generation": "summarization",
}


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
def _model_of(architecture: str) -> ModelSpec | None:
    found = (model for model in MODELS.values() if model.owns(architecture))  # the others are not imported
    return next((model for model in found if architecture in _classes(model.model_type)), None)


def is_architecture(name: str) -> bool:
    """Whether a class of `bertx.models` is called so."""
    return _model_of(name) is not None


def model_of(architecture: str) -> ModelSpec:
    """The architecture that a class belongs to, by the hub's PyTorch name (`"BertForMaskedLM"`)."""
    if (model := _model_of(architecture)) is None:
        raise KeyError(architecture)
    return model


def head_of(architecture: str) -> type[nn.Model]:
    """The class of `bertx.models` whose attributes say what the head is: see `bertx.models.heads`."""
    if architecture in _OVER_ANY:
        return _OVER_ANY[architecture]
    return _classes(model_of(architecture).model_type)[architecture]


def prefix_of(architecture: str) -> str:
    """What the names of the base model's tensors begin with in a model with a head: "bert."."""
    prefix = head_of(architecture).base_model_prefix
    return f"{prefix}." if prefix else ""


def names_of(values: Mapping[str, Any]) -> ModelNames:
    """What the formats have to know of the architecture that the keys of a config.json, or of a KerasHub preset, name.

    Of an unknown architecture, which is refused elsewhere, BERT's.
    """
    preset = values.get("class_name")
    if isinstance(preset, str) and not values.get("model_type"):
        known = (model for model in MODELS.values() if preset == f"{model.class_prefixes[0]}Backbone")
        return _names(next(known, MODELS[next(iter(MODELS))]).model_type)
    try:
        model_type = model_type_of(values)
        parts = [(part, model_type_of(values[part])) for part in MODELS[model_type].parts]
    except (ValueError, TypeError, KeyError, AttributeError):
        return _names(next(iter(MODELS)))
    return _names_of_parts(model_type, tuple(parts)) if parts else _names(model_type)


@functools.cache
def _names(model_type: str) -> ModelNames:
    model = MODELS[model_type]
    return ModelNames(
        model_type,
        model.name,
        model.class_prefixes[0],
        model.module,
        prefix_of(architectures(model_type)[0]),
        functools.partial(_name_rows, model_type),
        functools.partial(architectures, model_type),
        model.naming,
    )


@functools.cache
def _names_of_parts(model_type: str, parts: tuple[tuple[str, str], ...]) -> ModelNames:
    """The names of a model that is made of others, of these types."""
    model, inner = MODELS[model_type], {part: _names(of) for part, of in parts}
    naming: dict[str, Naming | str] = {}
    for form, own in model.naming.items():
        of_parts = {part: names.naming[form] for part, names in inner.items()}
        reason = next((of for of in (own, *of_parts.values()) if isinstance(of, str)), None)
        naming[form] = reason or dataclasses.replace(own, parts=of_parts)  # pyright: ignore[reportArgumentType]  # none is a reason
    return ModelNames(
        model_type,
        model.name,
        model.class_prefixes[0],
        model.module,
        "",
        functools.partial(_rows_of_parts, model_type, parts),
        functools.partial(architectures, model_type),
        naming,
        inner,
    )


@functools.cache
def _rows_of_parts(model_type: str, parts: tuple[tuple[str, str], ...]) -> tuple[Row, ...]:
    """The rows of a model of parts of other sizes, the number of a layer as {i}."""
    configs: dict[str, Any] = {
        part: MODELS[of].config_class(
            num_hidden_layers=1, hidden_size=12 * (i + 1), tie_word_embeddings=False, **_FLAGS_OF_TASKS[task]
        )
        for i, ((part, of), task) in enumerate(zip(parts, MODELS[model_type].parts.values(), strict=True))
    }
    rows = schema(architectures(model_type)[0], MODELS[model_type].config_class(**configs))
    return tuple(dataclasses.replace(row, name=row.name.replace(".0.", ".{i}.")) for row in rows)


def shared_names(architecture: str, config: ModelConfig) -> dict[str, str]:
    """Of a model whose parts share parameters: the name of each → its other one, as in the hub's files."""
    rows = schema(architecture, config)
    return {row.tied_to: row.name for row in rows if row.tied_to is not None and head_of_decoder(row.name) is None}


def bases_of(architecture: str, config: Any) -> dict[str, int]:
    """What the names of a base model's tensors begin with in a model, such as "bert." → how many layers that has.

    Of a model that is made of others there is one in each.
    """
    model = _model_of(architecture)
    if model is None or not model.parts:
        prefix = "" if is_base(architecture) else f"{head_of(architecture).base_model_prefix}."
        return {prefix: config.num_hidden_layers}
    return {
        f"{part}.{prefix}": layers
        for part in model.parts
        for prefix, layers in bases_of(class_in(architecture, config, part), getattr(config, part)).items()
    }


def made_of_parts(task: str) -> str | None:
    """The model_type of what runs a task where that is made of other models; else None."""
    return next((name for name, model in MODELS.items() if model.parts and task in _tasks_of(name)), None)


def _tasks_of(model_type: str) -> set[str]:
    return {head_of(name).task for name in architectures(model_type)}


def class_in(architecture: str, config: Any, part: str) -> str:
    """The class of a model inside another one: "BertModel" of the encoder of an EncoderDecoderModel."""
    return architecture_of_task(model_of(architecture).parts[part], getattr(config, part).model_type)


def made_config(model_type: str, parts: Mapping[str, str] | None = None, **fields: Any) -> ModelConfig:
    """A config of these fields; of a model that is made of others, of parts that have them.

    parts: key of the config → the model_type of that part; None takes BERT for each.
    """
    model = MODELS[model_type]
    if not model.parts:
        return model.config_class(**fields)
    of = dict.fromkeys(model.parts, next(iter(MODELS))) if parts is None else parts
    made: dict[str, Any] = {
        part: made_config(of[part], **fields, **_FLAGS_OF_TASKS[task]) for part, task in model.parts.items()
    }
    return model.config_class(**made)


# What the config of a model inside another one says.
_FLAGS_OF_TASKS: dict[str, dict[str, Any]] = {
    "feature-extraction": {"is_decoder": False},
    "text-generation": {"is_decoder": True, "add_cross_attention": True},
}


@functools.cache
def _name_rows(model_type: str) -> tuple[Row, ...]:
    """The rows of every head, the number of a layer as {i}."""
    config = MODELS[model_type].config_class(
        num_hidden_layers=1, tie_word_embeddings=False, is_decoder=True, add_cross_attention=True
    )
    rows: dict[str, Row] = {}
    for architecture in architectures(model_type):
        base = prefix_of(architecture) if is_base(architecture) else ""
        for row in schema(architecture, config):
            name = f"{base}{row.name}".replace(".0.", ".{i}.")
            rows.setdefault(name, dataclasses.replace(row, name=name))
    return tuple(rows.values())


@functools.cache
def architectures(model_type: str | None = None) -> tuple[str, ...]:
    """The classes of one architecture, or of all."""
    model_types = MODELS if model_type is None else (model_type,)
    return tuple(name for each in model_types for name in _classes(each))


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
    """The pipeline tag, also of its other names, such as "ner" or "text2text-generation".

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
    classes = {limit for _, limit in head_of(architecture).labels.values()}
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
    stated = values.get("model_type")
    if stated in (None, ""):
        oldest = next(iter(MODELS.values()))
        if strange := [name for name in names if not oldest.owns(name)]:
            meant = {owner.model_type for owner in map(_owner, names) if owner}
            way_out = (
                f'add "model_type": "{min(meant)}" to config.json'
                if meant
                else f"where the class is your own and its encoder is a plain {oldest.name}, add "
                f'"model_type": "{oldest.model_type}" to config.json and name the head with task=; {_OTHERS}'
            )
            raise ValueError(
                f"architectures names {_shown(strange)}, which is no class of {oldest.name}, and there is no "
                f"model_type: {way_out}"
            )
        return oldest.model_type
    if not isinstance(stated, str) or stated not in MODELS:
        raise ValueError(f"model_type is {stated!r:.40}, bertx runs {', '.join(map(repr, MODELS))}; {_OTHERS}")
    if names and not any(map(MODELS[stated].owns, names)):
        owners = {name: owner.name for name in names if (owner := _owner(name)) is not None}
        if owners:
            families = ", ".join(sorted(set(owners.values())))
            raise ValueError(
                f"model_type is {stated!r}, and architectures names {_shown(owners)}, of {families}: make them agree"
            )
    return stated


def check_tensors_of(model_type: str, names: Iterable[str]) -> None:
    """Raises ValueError where tensors are named as those of another architecture, such as "roberta.…", and none as its.

    For a config that does not say its model_type.
    """
    names = list(names)
    if MODELS[model_type].parts:
        return
    own = _names(model_type).prefix
    if any(name.startswith(own) for name in names):
        return
    meant = [
        other
        for other in MODELS
        if not MODELS[other].parts and any(name.startswith(_names(other).prefix) for name in names)
    ]
    if meant:
        raise ValueError(
            f"there is no model_type, and the tensors are named {_names(meant[0]).prefix}…, which is no name of "
            f'{MODELS[model_type].name}: add "model_type": {" or ".join(map(repr, meant)).replace(chr(39), chr(34))} '
            "to config.json"
        )


def _owner(class_name: str) -> ModelSpec | None:
    return next((model for model in MODELS.values() if model.owns(class_name)), None)


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
