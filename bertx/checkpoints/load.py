"""bertx.load: a checkpoint becomes a model on a backend."""

from __future__ import annotations

import dataclasses
import functools
import os
import warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bertx_weights import (
    Checkpoint,
    CheckpointError,
    LoadReport,
    Row,
    StoredTensor,
    dtype_name,
    match,
    release,
    schema_name,
)

from ..backend import Backend, check_device, check_dtype, get_backend
from ..collector import held_off
from ..configs.base import MODELS, ModelConfig
from ..dtypes import name_of_dtype
from ..hub.bases import files_folder
from ..hub.sources import resolve
from ..model import Model
from ..models.layers.activations import activation
from ..parameters import ValueOf
from ..registry import (
    architecture_of_task,
    check_task,
    check_tensors_of,
    config_from,
    known_names,
    model_type_of,
    names_of,
    options_of,
    own_architecture,
    prefix_of,
    schema,
    trained_as,
)
from .adapters import open_merged
from .init import initial_values


def load(
    source: str | os.PathLike[str],
    task: str | None = None,
    backend: str | Backend | None = None,
    dtype: Any = "float32",
    device: str | int | None = None,
    revision: str | None = None,
) -> Model:
    """Loads a checkpoint as a native model.

    Args:
        source: a folder; a hub id; a short name such as `"bert-base"`; or `"python:PACKAGE/FOLDER"`.
        task: a pipeline tag such as `"fill-mask"`; None reads the checkpoint's own head. Asked for by
            name, a head that the checkpoint lacks is initialised, N(0, initializer_range), with a warning.
        backend: "torch", "jax", "tensorflow" or "numpy"; None takes the first that is installed, in this order.
            Another library's by the name that it is registered by, or as a `bertx.backend.Backend`.
            "onnxruntime" runs the model.onnx of a folder that `bertx.export`, Optimum or sentence-transformers wrote,
            "openvino" its openvino_model.xml.
        dtype: "float32", "bfloat16" or "float16"; "float64" on torch and numpy; "int8" on torch, for inference: the
            weights of the encoder's Linear layers as whole numbers. What it costs says `bertx.parity(dtype="int8")`.
            A framework's own object, such as torch.float16, is its name; "auto" is what the checkpoint has.
        device: "cpu", "cuda", … as the backend names them, a framework's own object of such a name, or the number of
            an accelerator; None leaves it to the framework.
        revision: the branch, tag or commit on the hub.

    Returns:
        The model in inference mode, with `load_report` telling what was loaded from where.

    Raises:
        CheckpointError: there is no such checkpoint, or it does not fit its config; all problems at once.
        MissingExtraError: the backend's framework is not installed.
        ValueError: an unknown task, backend, dtype or device, or a config that cannot be.
    """
    if task is not None:
        check_task(task)
    with held_off():
        chosen = get_backend(backend)
        if chosen.files:
            from ..exporting.artefacts import open_artefact

            return open_artefact(source, task, chosen, name_of_dtype(dtype), device, revision)
        return load_model(source, task, chosen, dtype=name_of_dtype(dtype), device=device, revision=revision)


def load_model(
    source: str | os.PathLike[str] | None,
    task: str | None,
    backend: str | Backend | None,
    *,
    dtype: str = "float32",
    device: Any = None,
    revision: str | None = None,
    changes: dict[str, Any] | None = None,
    options: dict[str, Any] | None = None,
    model_class: type | None = None,
    config: ModelConfig | None = None,
    tensors: Mapping[str, np.ndarray] | None = None,
    resize: bool = False,
    seed: int = 0,
    layers: Sequence[int] | None = None,
) -> Model:
    """`load` with fields of the config changed, or into a class of one's own.

    Args:
        source, task, backend, dtype, device, revision: as in `load`; the dtype "auto" is the checkpoint's own.
        changes: fields of the config in place of those read.
        options: further arguments of the class.
        model_class: the class that is loaded into; `task` is then its own.
        config: in place of the checkpoint's.
        tensors: stored name → values, in place of the checkpoint's; `source` may then be None.
        resize: a tensor of another shape than the config says is initialised, rather than refused.
        seed: of the values of what is initialised.
        layers: the layers of the checkpoint's encoder that are loaded, counted from 0, in this order; None is all.
    """
    chosen = get_backend(backend)
    if dtype != "auto":
        check_dtype(chosen, dtype)
    device = check_device(chosen, device)
    if source is None:
        if config is None or tensors is None:
            raise ValueError("without a checkpoint, give both config= and state_dict=")
        folder, checkpoint = None, Checkpoint(Path("state_dict"), "memory", (), config.to_dict(), {})
    else:
        folder = resolve(source, revision=revision)
        checkpoint = open_merged(folder)
        folder = files_folder(folder)
    if tensors is not None:
        stored = {name: StoredTensor.of_array(name, array) for name, array in tensors.items()}
        checkpoint = dataclasses.replace(checkpoint, tensors=stored, skipped={}, notes=("tensors: state_dict",))
        checkpoint = checkpoint.with_prefix(names_of(checkpoint.config).prefix)
    if layers is not None:
        checkpoint = _with_layers(checkpoint, layers)
    if config is None:
        config = config_of(checkpoint, changes)
    else:
        _check_family(checkpoint)
        config = config.replace(**(changes or {}))
    if model_class is not None and config.model_type != model_class.model_type:
        raise CheckpointError(
            f"{checkpoint.config_file}: model_type is {config.model_type!r}, {model_class.__name__} is for "
            f"{model_class.model_type!r}"
        )
    report, options = plan(checkpoint, task, config, options, resize)
    report.raise_for_problems()
    if dtype == "auto":
        dtype = config.dtype or dtype_name(next(iter(checkpoint.tensors.values())).dtype)
        check_dtype(chosen, dtype)
    if report.initialised:
        lacks = (
            f"of the shapes that the config says no {', '.join(report.initialised)}"
            if report.resized
            else (f"no {', '.join(report.initialised)}")
        )
        warnings.warn(
            f"{checkpoint.folder} has {lacks}: initialised for {report.target}; train the model before you rely on it",
            stacklevel=3,
        )
    if task is not None and (trained := trained_as(config, report.target)):
        warnings.warn(
            f"the classifier of {checkpoint.folder} was trained in a {trained}: in a {report.target} its labels mean "
            "nothing; train the model before you rely on it",
            stacklevel=3,
        )
    model_class = model_class or chosen.model_class(report.target)
    value_of = reader(_rows(report.target, config, options), config, checkpoint, report, seed)
    module = chosen.build(model_class, config, value_of, dtype, device, options)
    return Model(module, config, chosen, report.target, folder=folder, load_report=report)


def config_of(checkpoint: Checkpoint, changes: Mapping[str, Any] | None = None) -> ModelConfig:
    """The config of a checkpoint, with `changes` in place of what is read.

    Raises:
        CheckpointError: it cannot be, it is another family's, or it has more layers than the checkpoint has tensors.
    """
    _check_family(checkpoint)
    try:
        config = config_from(checkpoint.config, **(changes or {}))
    except (ValueError, TypeError) as error:
        raise CheckpointError(f"{checkpoint.config_file}: {error}") from error
    if config.num_hidden_layers > len(checkpoint.tensors):
        raise CheckpointError(
            f"{checkpoint.config_file}: num_hidden_layers is {config.num_hidden_layers}, "
            f"but the checkpoint has {len(checkpoint.tensors)} tensors"
        )
    return config


def _with_layers(checkpoint: Checkpoint, layers: Sequence[int]) -> Checkpoint:
    """The checkpoint with some layers of its encoder alone, in the order given.

    Raises:
        ValueError: there are no such layers, or the checkpoint is made of two models.
    """
    config = config_of(checkpoint)
    if MODELS[config.model_type].parts:
        raise ValueError(f"layers are of one model, and {checkpoint.folder} is made of two: leave them out")
    count = config.num_hidden_layers
    wrong = [layer for layer in layers if type(layer) is not int or not 0 <= layer < count]
    if wrong or not layers or len(set(layers)) < len(layers):
        raise ValueError(
            f"layers is {list(layers)!r:.60}, expected some of the {count} layers of {checkpoint.folder}, each once, "
            f"counted from 0 to {count - 1}"
        )
    prefix = f"{checkpoint.prefix}encoder.layer."
    numbers = {str(layer): str(i) for i, layer in enumerate(layers)}
    tensors = {}
    for name, tensor in checkpoint.tensors.items():
        layer, _, rest = tensor.schema_name.removeprefix(prefix).partition(".")
        if not tensor.schema_name.startswith(prefix):
            tensors[name] = tensor
        elif layer in numbers:
            tensors[name] = dataclasses.replace(tensor, schema_name=f"{prefix}{numbers[layer]}.{rest}")
    return dataclasses.replace(
        checkpoint,
        tensors=tensors,
        config={**checkpoint.config, "num_hidden_layers": len(layers)},
        notes=(*checkpoint.notes, f"layers {', '.join(map(str, layers))} of the {count} layers are loaded"),
    )


def _check_family(checkpoint: Checkpoint) -> None:
    try:
        model_type = model_type_of(checkpoint.config)
        if not checkpoint.config.get("model_type"):
            check_tensors_of(model_type, checkpoint.tensors)
    except (ValueError, TypeError) as error:
        raise CheckpointError(f"{checkpoint.config_file}: {error}") from error


def plan(
    checkpoint: Checkpoint,
    task: str | None,
    config: ModelConfig,
    options: dict[str, Any] | None = None,
    resize: bool = False,
) -> tuple[LoadReport, dict[str, Any]]:
    """Decides the head and finds its tensors: the report, and the further arguments of the class.

    Where `config` has fewer layers than the checkpoint's own, the layers above are left out; where it adds
    cross-attention to the checkpoint's, that is initialised. `resize`: a tensor of another shape is initialised.
    """
    asked_for = task is not None
    stored = checkpoint.tensors
    names = {tensor.schema_name for tensor in stored.values()}
    try:
        architecture = architecture_of_task(task, config.model_type) if task else own_architecture(config, names)
        activation(config.hidden_act)
    except ValueError as error:
        raise CheckpointError(f"{checkpoint.config_file}: {error}") from error
    options = options_of(architecture, names) | (options or {})
    prefix = prefix_of(architecture)
    encoder = (f"{prefix}embeddings.", f"{prefix}encoder.") if prefix else ("",)
    layers = checkpoint.config.get("num_hidden_layers", type(config).num_hidden_layers)
    fewer = isinstance(layers, int) and config.num_hidden_layers < layers
    new_cross_attention = config.add_cross_attention and not checkpoint.config.get("add_cross_attention")

    def is_left_out(name: str) -> bool:
        layer, _, rest = name.removeprefix(f"{prefix}encoder.layer.").partition(".")
        return fewer and rest != "" and layer.isdecimal() and config.num_hidden_layers <= int(layer) < layers

    def is_dropped(name: str) -> bool:
        # As an encoder that is made of a decoder.
        was_there = checkpoint.config.get("add_cross_attention") and not config.add_cross_attention
        return bool(was_there) and ".crossattention." in name

    def may_initialise(name: str) -> bool:
        if new_cross_attention and ".crossattention." in name:
            return True  # as a decoder that is made of an encoder
        return asked_for and not schema_name(name, prefix).startswith(encoder)

    report = match(
        _rows(architecture, config, options),
        stored,
        source=str(checkpoint.folder),
        target=architecture,
        known_names=functools.partial(known_names, config),
        may_initialise=may_initialise,
        may_leave=lambda name: (asked_for and not name.startswith(prefix)) or is_left_out(name) or is_dropped(name),
        may_resize=lambda name: resize,
        prefix=prefix,
    )
    if fewer:
        report.notes.append(
            f"num_hidden_layers={config.num_hidden_layers}: the first of the {layers} layers are loaded"
        )
    report.skipped += [f"{name}: {reason}" for name, reason in checkpoint.skipped.items()]
    report.notes += checkpoint.notes
    if trained := trained_as(config, architecture):
        report.notes.append(f"the classifier was trained in a {trained}: as a {architecture} its labels mean nothing")
    return report, options


def _rows(architecture: str, config: ModelConfig, options: Mapping[str, Any]) -> tuple[Row, ...]:
    """The rows of the schema; of `options` only the pooler is the schema's, a user's own class may have others."""
    return schema(architecture, config, options.get("add_pooling_layer", True))


def reader(rows: Iterable[Row], config: ModelConfig, checkpoint: Checkpoint, report: LoadReport, seed: int) -> ValueOf:
    """The values of the rows: what the report says of the checkpoint's, and new ones."""
    fresh = initial_values(rows, config, seed)
    read: list[np.ndarray] = []

    def value_of(name: str, shape: tuple[int, ...]) -> np.ndarray:
        # Without this the file would fill memory beside the copy that a backend makes. A backend that copies has
        # done so with all but the last two, since it may take a block's weight and bias before it makes the block.
        while len(read) > 1:
            release(read.pop(0))
        if name not in report.used:
            return fresh(name, shape)
        read.append(checkpoint.tensors[report.used[name]].read())
        return read[-1]

    return value_of
