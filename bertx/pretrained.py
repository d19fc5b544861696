"""What every native model class can do: be read from a checkpoint and written as one."""

from __future__ import annotations

import os
from typing import Any, Self

from .backend import ValueOf, parameters_come_later
from .config import BertConfig


class PreTrainedModel:
    """Mixed into each backend's `nn.Model`."""

    backend_name: str
    config: BertConfig

    @classmethod
    def from_pretrained(
        cls,
        source: str | os.PathLike[str],
        *,
        dtype: str = "float32",
        device: str | None = None,
        revision: str | None = None,
        **changes: Any,
    ) -> Self:
        """A native model of this class from a checkpoint, in inference mode; `source` as in `bertx.load`.

        `changes` are fields of the config to override, such as `num_labels=3`. A head that the
        checkpoint lacks is initialised, with a warning.

        Raises:
            CheckpointError: the checkpoint does not fit; all its problems are listed.
        """
        from .loading import load_model

        return load_model(
            source, cls.__name__, cls.backend_name, dtype=dtype, device=device, revision=revision, changes=changes
        ).module

    def save_pretrained(self, folder: str | os.PathLike[str]) -> None:
        """Writes config.json and model.safetensors, the hub's layout, each whole or not at all."""
        from .backend import get_backend
        from .saving import save_model

        save_model(folder, type(self).__name__, self.config, get_backend(self.backend_name).tensors(self))

    def post_init(self) -> None:
        """Draws the parameters of a model that a user makes from a config, rather than loads."""
        from .initialization import initial_values

        if not parameters_come_later():
            self.fill_parameters(initial_values(self.config))

    def fill_parameters(self, value_of: ValueOf) -> None:
        """Gives each parameter without a value `value_of(schema name, shape)`; the backend's to do."""
        raise TypeError(f"{type(self).__name__} does not say how its parameters are filled")
