"""A task as one object that engines for many machines take: Ray Data, Dask and Spark."""

from __future__ import annotations

import functools
import threading
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

_loading = threading.Lock()


class MapTask:
    """A task as a function of batches, which can be pickled: it holds the name of a model and no model.

    Each process loads the model once, at its first batch. A batch is what the engine has: a dict of NumPy arrays (Ray
    Data), a pandas DataFrame (Ray Data, Dask's `map_partitions`), or an iterator of DataFrames (Spark's `mapInPandas`).
    What comes back is the same with one more column, of the results.

    Example:
        embed = MapTask("all-MiniLM-L6-v2", "feature-extraction", output="embedding")
        ray_dataset.map_batches(embed)
        dask_frame.map_partitions(embed, meta={"text": str, "embedding": object})
        spark_frame.mapInPandas(embed, "text string, embedding array<float>")
    """

    def __init__(
        self,
        source: str,
        task: str | None = None,
        *,
        columns: str | Mapping[str, str] = "text",
        output: str = "result",
        backend: str | None = None,
        dtype: str = "float32",
        device: str | None = None,
        revision: str | None = None,
        **options: Any,
    ):
        """The model is not looked for yet: it need not be on the machine that makes this.

        Args:
            source: as `bertx.load` has it; a folder must be on every machine.
            task: a pipeline tag; None is the checkpoint's own.
            columns: the column of texts, or those of a task of several: {"question": "q", "context": "body"}.
            output: the column that results go to.
            backend, dtype, device, revision: as `bertx.load` has them.
            options: of each call of the task, such as top_k.
        """
        self.columns, self.output, self.options = columns, output, options
        self._load = {
            "source": source,
            "task": task,
            "backend": backend,
            "dtype": dtype,
            "device": device,
            "revision": revision,
        }

    def __call__(self, batch: Any) -> Any:
        """The batch with its results.

        Raises:
            KeyError: the batch lacks a column.
            TypeError: the batch is of another kind.
            InputError: texts that the task cannot take, by their index in the batch.
        """
        if isinstance(batch, Iterator):
            return map(self, batch)
        names = [self.columns] if isinstance(self.columns, str) else list(self.columns.values())
        if not isinstance(batch, Mapping) and not hasattr(batch, "assign"):
            raise TypeError(
                f"the batch is a {type(batch).__name__}, expected a dict of NumPy arrays or a pandas DataFrame: "
                'give Ray batch_format="numpy" or "pandas"'
            )
        there = list(batch)
        if lost := [name for name in names if name not in there]:
            raise KeyError(f"the batch has no column {', '.join(map(repr, lost))}; it has {', '.join(map(str, there))}")
        if self.output in there:
            raise ValueError(f"the batch has a column {self.output!r} already: give another output=")
        texts = [batch[name].tolist() for name in names]
        inputs = texts[0]
        if not isinstance(self.columns, str):
            inputs = [dict(zip(self.columns, row, strict=True)) for row in zip(*texts, strict=True)]
        with _loading:
            model = _loaded(**self._load)
        results = model(inputs, **self.options) if inputs else []
        if not isinstance(batch, Mapping):
            return batch.assign(**{self.output: _objects(results)})
        same = isinstance(results, np.ndarray)
        return {**batch, self.output: results if same else _objects(results)}


@functools.cache
def _loaded(source: str, **how: Any) -> Any:
    """The model of this process."""
    from .checkpoints.load import load

    return load(source, **how)


def _objects(results: Any) -> np.ndarray:
    """An array with an object for each row, whatever these are made of."""
    found = np.empty(len(results), object)
    for i, result in enumerate(results):
        found[i] = result
    return found
