"""TensorFlow's checkpoint files, a prefix with .index and .data-…: what the formats of TF1 and TF2 have in common."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..dtypes import BFLOAT16
from ..errors import CheckpointError
from ..files import inside
from . import hub
from .libraries import needs

CONFIG = "bert_config.json"
_OBJECT_GRAPH = "_CHECKPOINTABLE_OBJECT_GRAPH"


def prefixes(folder: Path) -> list[Path]:
    """The checkpoints of a folder that has a config beside them, the last step at the end."""
    if not any((folder / name).is_file() for name in (CONFIG, hub.CONFIG)):
        return []
    found = [path.with_suffix("") for path in folder.glob("*.index") if list(folder.glob(f"{path.stem}.data-*"))]
    return sorted(found, key=lambda path: (_step(path), path.name))


def _step(prefix: Path) -> int:
    return int(prefix.name.rpartition("-")[2]) if prefix.name.rpartition("-")[2].isdigit() else -1


def is_object_based(prefix: Path) -> bool:
    """Whether it is of tf.train.Checkpoint (TF2) rather than of a Saver (TF1); read off the index without TensorFlow."""
    return _OBJECT_GRAPH.encode() in prefix.with_name(f"{prefix.name}.index").read_bytes()


def files(prefix: Path) -> list[Path]:
    """The files of a checkpoint.

    Raises:
        CheckpointError: one is a link out of the folder.
    """
    names = [f"{prefix.name}.index", *sorted(path.name for path in prefix.parent.glob(f"{prefix.name}.data-*"))]
    return [inside(prefix.parent, name) for name in names]


def read_config(folder: Path) -> dict[str, Any]:
    """The keys of bert_config.json, which ours writes with all that the hub's has; of config.json where that is there."""
    if (folder / hub.CONFIG).is_file():
        return hub.read_config(folder)
    return hub.read_json(inside(folder, CONFIG))


class Reader:
    """The variables of a checkpoint: shapes and dtypes by name, values when asked for."""

    def __init__(self, prefix: Path):
        """Raises CheckpointError for a broken file, MissingExtraError without TensorFlow."""
        self._prefix = prefix
        held = files(prefix)
        tf = needs("tensorflow", "tensorflow")
        try:
            self._reader = tf.train.load_checkpoint(str(prefix))
            dtypes = self._reader.get_variable_to_dtype_map()
            self.variables = {
                name: (tuple(shape), _numpy_dtype(dtypes[name]))
                for name, shape in sorted(self._reader.get_variable_to_shape_map().items())
            }
        except Exception as error:  # TensorFlow's errors are of several kinds
            raise CheckpointError(f"{prefix}: not a whole TensorFlow checkpoint: {str(error)[:300]}") from error
        size = sum(path.stat().st_size for path in held)
        largest = [
            name
            for name, (shape, dtype) in self.variables.items()
            if dtype is not None and (min(shape, default=0) < 0 or math.prod(shape) * dtype.itemsize > size)
        ]
        if largest:
            raise CheckpointError(f"{prefix}: {', '.join(largest)} would be larger than the files")

    def read(self, name: str) -> np.ndarray:
        """The values of a variable."""
        try:
            array = self._reader.get_tensor(name)
        except Exception as error:
            raise CheckpointError(f"{self._prefix}: {name} cannot be read: {str(error)[:300]}") from error
        return array.view(BFLOAT16) if array.dtype.name == "bfloat16" else array


def _numpy_dtype(dtype: Any) -> np.dtype | None:
    """None for what is no array of numbers, such as the object graph."""
    if dtype.name == "bfloat16":
        return BFLOAT16
    found = np.dtype(dtype.as_numpy_dtype)
    return None if found.hasobject else found


def save(prefix: Path, values: Mapping[str, Callable[[], np.ndarray]]) -> None:
    """Writes variables under their names, as a Saver does; TensorFlow needs all of them at once."""
    tf = needs("tensorflow", "tensorflow")
    with tf.device("cpu"):
        names = sorted(values)
        tf.raw_ops.SaveV2(
            prefix=str(prefix),
            tensor_names=names,
            shape_and_slices=[""] * len(names),
            tensors=[to_tensorflow(values[name]()) for name in names],
        )


def to_tensorflow(array: np.ndarray) -> Any:
    """The array as a tensor on the CPU."""
    tf = needs("tensorflow", "tensorflow")
    array = np.ascontiguousarray(array)
    return tf.constant(array.view(tf.bfloat16.as_numpy_dtype) if array.dtype == BFLOAT16 else array)


def skip_training(names: Iterable[str], is_slot: Callable[[str], bool], counters: Iterable[str]) -> dict[str, str]:
    """Those names that only training needs → what they are."""
    counters = set(counters)
    return {
        name: "an optimizer's slot" if is_slot(name) else "a counter of the training"
        for name in names
        if is_slot(name) or name in counters
    }
