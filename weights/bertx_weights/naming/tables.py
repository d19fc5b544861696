"""A table of names, read both ways, and the tensors that it names."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..checkpoint import StoredTensor
from ..containers.safetensors import release
from ..errors import CheckpointError
from .layouts import LAYOUTS, Layout, Shape
from .rules import Names

_MOST_LAYERS = 1000


def both_ways(names: Names, layers: int) -> tuple[dict[str, tuple[str, str]], dict[str, tuple[str, str]]]:
    """A table for so many layers: stored name → (schema name, layout), and schema name → (stored name, layout).

    Beside {i} a stored name may have {i4}, the layer after four others, {end4}, the number after the last of
    these, and {_i}, the layer as Keras numbers what is alike: nothing, _1, _2, …
    """
    rows = []
    for stored, name, layout in names:
        for i in range(layers) if "{i}" in name else (0,):
            own = stored.format(i=i, i4=i + 4, end4=layers + 4, _i=f"_{i}" if i else "")
            rows.append((own, name.format(i=i), layout))
    reading = {stored: (name, layout) for stored, name, layout in rows}
    writing = {name: (stored, layout) for stored, name, layout in rows}
    assert len(reading) == len(writing) == len(rows), "two rows of a table have the same name"
    return reading, writing


def layers_of(config: Mapping[str, Any], where: Path) -> int:
    """How many layers a config says, before a table is made for them; the hub's default where it says nothing.

    Of a model that is made of others, the most that one of them has.

    Raises:
        CheckpointError: a number that no model has, or none.
    """
    if "num_hidden_layers" not in config and (parts := [part for part in config.values() if _is_config(part)]):
        return max(layers_of(part, where) for part in parts)
    layers = config.get("num_hidden_layers", 12)
    if not isinstance(layers, int) or isinstance(layers, bool) or not 0 <= layers <= _MOST_LAYERS:
        raise CheckpointError(
            f"the config of {where}: num_hidden_layers is {layers!r:.40}, expected 0 to {_MOST_LAYERS}"
        )
    return layers


def _is_config(value: Any) -> bool:
    """Whether a value in a config is the config of a model inside."""
    return isinstance(value, Mapping) and "model_type" in value


def stored_tensor(
    name: str, meaning: tuple[str, str] | None, shape: Shape, dtype: np.dtype, read: Callable[[], np.ndarray]
) -> StoredTensor:
    """A tensor under what the table says it means; one that the table does not know, or of other axes, as it is."""
    if meaning is None:
        return StoredTensor(name, name, shape, dtype, read)
    layout = LAYOUTS[meaning[1]]
    if layout.axes not in (None, len(shape)):
        return StoredTensor(name, meaning[0], shape, dtype, read)
    return StoredTensor(name, meaning[0], layout.shape(shape), dtype, lambda: layout.load(read()))


def to_stored(
    tensors: Iterable[StoredTensor], writing: Mapping[str, tuple[str, str]], config: Mapping[str, Any], form: str
) -> dict[str, Callable[[], np.ndarray]]:
    """Stored name → the values as the format keeps them, in C order, read when called.

    Raises:
        CheckpointError: the format has no place for a tensor.
    """
    tensors = list(tensors)
    without = sorted(tensor.schema_name for tensor in tensors if tensor.schema_name not in writing)
    if without:
        raise CheckpointError(
            f"the format {form} has no place for {', '.join(without)}: "
            "write another format, or with task= only what it has a place for"
        )
    heads = config.get("num_attention_heads", 0)  # for layouts that a model made of others has in no format

    def value_of(tensor: StoredTensor, layout: Layout) -> Callable[[], np.ndarray]:
        def read() -> np.ndarray:
            array = tensor.read()
            stored = layout.save(array, heads)
            if not np.may_share_memory(stored, array):
                release(array)
            return stored

        return read

    return {
        writing[tensor.schema_name][0]: value_of(tensor, LAYOUTS[writing[tensor.schema_name][1]]) for tensor in tensors
    }
