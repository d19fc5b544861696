"""What every format is read to: tensors by name, their values read when they are asked for."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from .dtypes import BFLOAT16, as_float
from .errors import CheckpointError
from .schema import BERT, plain_name, schema_name


@dataclass(frozen=True)
class StoredTensor:
    """One tensor of a checkpoint, in the schema's layout.

    Attributes:
        name: as its file has it.
        schema_name: what it means; its own name where that is unknown.
        shape, dtype: known without reading.
        read: its values; each call reads them anew unless they are mapped.
    """

    name: str
    schema_name: str
    shape: tuple[int, ...]
    dtype: np.dtype
    read: Callable[[], np.ndarray] = field(repr=False)

    @property
    def size(self) -> int:
        """How many values it has."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """How many bytes its values have."""
        return self.size * self.dtype.itemsize

    def cast(self, dtype: np.dtype) -> StoredTensor:
        """The same in another floating dtype, rounded to the nearest when it is read."""
        return StoredTensor(self.name, self.schema_name, self.shape, dtype, lambda: as_dtype(self.read(), dtype))

    @classmethod
    def of_array(cls, name: str, array: np.ndarray) -> StoredTensor:
        """A caller's array under a hub name.

        `release` does nothing with it, even where it is mapped: its owner may have changed it in place.
        """
        kept = np.lib.stride_tricks.as_strided(array)  # a view whose bases do not lead to the mapping
        return cls(name, plain_name(name), array.shape, array.dtype, lambda: kept)


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint folder as its format has it.

    Attributes:
        folder: where it lies.
        format: the name of its format.
        files: those that hold the tensors.
        config: the keys of the hub's config.json.
        tensors: stored name → tensor.
        skipped: stored name → why it is no weight of the model, such as an optimizer's slot.
        notes: what a reader should know of how it was read.
        prefix: what the schema names of the base model begin with in a model with a head.
    """

    folder: Path
    format: str
    files: tuple[Path, ...]
    config: Mapping[str, Any]
    tensors: Mapping[str, StoredTensor]
    skipped: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    prefix: str = BERT

    def with_prefix(self, prefix: str) -> Checkpoint:
        """The checkpoint with schema names that have the model's prefix, which a base model is stored without."""
        return dataclasses.replace(self, tensors=with_prefix(self.tensors, prefix), prefix=prefix)

    @property
    def config_file(self) -> Path:
        """Where its config was read."""
        names = (self.folder / "config.json", self.folder / "bert_config.json")
        return next((path for path in names if path.is_file()), names[0])


def with_prefix(tensors: Mapping[str, StoredTensor], prefix: str) -> dict[str, StoredTensor]:
    """Tensors whose schema names have the model's prefix."""
    return {
        name: dataclasses.replace(tensor, schema_name=schema_name(tensor.schema_name, prefix))
        for name, tensor in tensors.items()
    }


def as_dtype(array: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """An array in another floating dtype, bfloat16 among them, rounded to the nearest, ties to even."""
    if array.dtype == dtype:
        return array
    if dtype != BFLOAT16:
        return as_float(array, dtype.name)
    bits = as_float(array, "float32").view(np.uint32)
    rounded = (bits + (0x7FFF + ((bits >> 16) & 1))) >> 16
    not_a_number = (bits & 0x7FFFFFFF) > 0x7F800000
    return np.where(not_a_number, (bits >> 16) | 0x40, rounded).astype("<u2").view(BFLOAT16)


def by_schema_name(tensors: Iterable[StoredTensor], where: Path) -> dict[str, StoredTensor]:
    """The tensors by what they mean.

    Raises:
        CheckpointError: two of them mean the same.
    """
    found: dict[str, StoredTensor] = {}
    doubles = []
    for tensor in tensors:
        if tensor.schema_name in found:
            doubles.append(f"{found[tensor.schema_name].name} and {tensor.name} both mean {tensor.schema_name}")
        found[tensor.schema_name] = tensor
    if doubles:
        raise CheckpointError("\n  ".join([f"{where}:", *doubles]))
    return found
