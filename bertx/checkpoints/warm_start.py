"""An encoder-decoder model of two checkpoints (Rothe et al. 2020): their tensors, and new ones that neither has."""

from __future__ import annotations

import dataclasses
import os
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np

from bertx_weights import Checkpoint, CheckpointError, LoadReport

from ..backend import check_device, check_dtype, get_backend
from ..configs.base import ModelConfig, own_fields
from ..configs.encoder_decoder import SPEC, EncoderDecoderConfig
from ..dtypes import name_of_dtype
from ..hub.bases import files_folder
from ..hub.sources import resolve
from ..model import Model
from ..registry import architectures, schema, shared_names
from .adapters import open_merged
from .init import initial_values
from .load import config_of, plan, reader

_FLAGS = {
    "encoder": {"is_decoder": False, "add_cross_attention": False},
    "decoder": {"is_decoder": True, "add_cross_attention": True},
}
_TASKS = {"encoder": "feature-extraction", "decoder": "text-generation"}


@dataclasses.dataclass(frozen=True)
class _Part:
    checkpoint: Checkpoint
    config: Any
    report: LoadReport


def warm_start(
    encoder: str | os.PathLike[str],
    decoder: str | os.PathLike[str],
    backend: Any = None,
    *,
    model_class: type | None = None,
    dtype: Any = "float32",
    device: Any = None,
    changes: Mapping[str, Any] | None = None,
    revision: str | None = None,
    seed: int = 0,
) -> Model:
    """A model that reads as one checkpoint does and writes as another; each source as in `bertx.load`.

    Cross-attention is new, as are the head that scores words and the encoder's pooler where a checkpoint has none, and
    `enc_to_dec_proj` where the sizes differ: all are N(0, initializer_range), told in a warning and in the load report.

    Args:
        encoder: of the part that reads; any checkpoint with the tensors of a model without a head.
        decoder: of the part that writes; it may be the same.
        backend, dtype, device: as in `bertx.load`.
        model_class: the class that is made; None is the backend's own.
        changes: fields of the EncoderDecoderConfig; those that begin with encoder_ or decoder_ are of that part, but
            for `decoder_start_token_id`. What is not given of `decoder_start_token_id`, `pad_token_id` and
            `eos_token_id` stays null, as in transformers.
        revision: as in `bertx.load`, of both.
        seed: of what is new.

    Raises:
        CheckpointError: a checkpoint does not fit; all its problems are listed.
        ValueError: the two do not go together.
        TypeError: changes of what is no field.
    """
    chosen = get_backend(backend)
    dtype = name_of_dtype(dtype)
    check_dtype(chosen, dtype)
    device = check_device(chosen, device)
    own, of_parts = _split(changes or {})
    parts = {
        name: _part(name, source, of_parts[name], revision)
        for name, source in (("encoder", encoder), ("decoder", decoder))
    }
    configs: dict[str, Any] = {name: part.config for name, part in parts.items()}
    _check_fields(EncoderDecoderConfig, own)
    config = EncoderDecoderConfig(**configs, **own)
    architecture = architectures(SPEC.model_type)[0]
    rows = schema(architecture, config)
    # A parameter that both have is the decoder's, as in transformers.
    tied = shared_names(architecture, config)
    report = LoadReport(f"{parts['encoder'].report.source} and {parts['decoder'].report.source}", architecture)
    readers = {
        name: reader(schema(part.report.target, part.config), part.config, part.checkpoint, part.report, seed)
        for name, part in parts.items()
    }
    fresh = initial_values(rows, parts["decoder"].config, seed)
    for row in rows:
        if row.tied_to is not None:
            continue
        name, _, of_part = _source(row.name, tied).partition(".")
        if name not in parts:
            report.initialised.append(row.name)
        elif of_part in parts[name].report.used:
            report.used[row.name] = parts[name].report.used[of_part]
        else:
            report.initialised.append(row.name)
    for name, part in parts.items():
        report.unused += [f"{stored} of the {name}" for stored in part.report.unused]
        report.ignored += [f"{stored} of the {name}" for stored in part.report.ignored]
        report.skipped += part.report.skipped
        report.notes += part.report.notes

    def value_of(name: str, shape: tuple[int, ...]) -> np.ndarray:
        part, _, of_part = _source(name, tied).partition(".")
        return readers[part](of_part, shape) if part in readers else fresh(name, shape)

    warnings.warn(
        f"a model of {report.source} has new {', '.join(_kinds(report.initialised))}, which are drawn: train it before "
        "you rely on it",
        stacklevel=3,
    )
    module = chosen.build(model_class or chosen.model_class(architecture), config, value_of, dtype, device, {})
    folder = files_folder(resolve(decoder, revision=revision))
    return Model(module, config, chosen, architecture, folder=folder, load_report=report)


def _split(changes: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """(Fields of the whole, part → its fields)."""
    own: dict[str, Any] = {}
    parts: dict[str, dict[str, Any]] = {"encoder": {}, "decoder": {}}
    for name, value in changes.items():
        part, _, field = name.partition("_")
        if part in parts and field and name != "decoder_start_token_id":
            parts[part][field] = value
        else:
            own[name] = value
    return own, parts


def _part(name: str, source: Any, changes: Mapping[str, Any], revision: str | None) -> _Part:
    checkpoint = open_merged(resolve(source, revision=revision))
    config = config_of(checkpoint, {**changes, **_FLAGS[name]})
    _check_fields(type(config), changes, f"{name}_")
    for flag in changes.keys() & _FLAGS[name].keys():
        if changes[flag] != _FLAGS[name][flag]:
            raise ValueError(f"{name}_{flag} is {changes[flag]!r}, expected {_FLAGS[name][flag]}: leave it out")
    if config.model_type == SPEC.model_type:
        raise CheckpointError(f"{checkpoint.config_file}: it is an {SPEC.name} already, and no {name}: bertx.load it")
    options = {"add_pooling_layer": True} if name == "encoder" else {}
    report, _ = plan(checkpoint, _TASKS[name], config, options)
    report.raise_for_problems()
    return _Part(checkpoint, config, report)


def _check_fields(config_class: type[ModelConfig], changes: Mapping[str, Any], prefix: str = "") -> None:
    """Raises TypeError for what a config has no field for, and would keep without effect."""
    fields = own_fields(config_class)
    if unknown := sorted(changes.keys() - fields):
        raise TypeError(
            f"{', '.join(prefix + name for name in unknown)}: expected fields of {config_class.__name__}, "
            f"{', '.join(prefix + name for name in sorted(fields))}"
        )


def _source(name: str, tied: Mapping[str, str]) -> str:
    return tied.get(name, name)


def _kinds(names: list[str]) -> list[str]:
    """Names of new parameters, those of all layers as one."""
    found = {}
    for name in names:
        parts = name.split(".")
        if "crossattention" in parts:
            parts = [*parts[: parts.index("layer")], "layer.*", "crossattention"]
        found[".".join(parts)] = None
    return list(found)
