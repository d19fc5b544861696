"""What every native model class can do: be read from a checkpoint and written as one."""

from __future__ import annotations

import dataclasses
import inspect
import os
from collections.abc import Mapping
from typing import Any, Self

import numpy as np

from bertx_weights import as_dtype

from .backend import ValueOf, parameters_come_later
from .config import BertConfig
from .places import BERT, Customs, by_name


class PreTrainedModel:
    """The methods of every model class, whatever its framework."""

    backend_name: str
    config: BertConfig
    customs: Customs = BERT

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """The outputs; the inputs are those of `forward`, by name or in the places that transformers 4.57 gave them."""
        args, kwargs = by_name(self, args, kwargs)
        return super().__call__(*args, **kwargs)

    @classmethod
    def architecture(cls) -> str:
        """The hub's name of the class, or of the one that a user's own is made of."""
        from .architectures import ARCHITECTURES

        return next(base.__name__ for base in cls.__mro__ if base.__name__ in ARCHITECTURES)

    @classmethod
    def from_config(cls, config: BertConfig | Mapping[str, Any]) -> Self:
        """A model with initial values, N(0, initializer_range), from a config or the keys of a config.json."""
        return cls(config if isinstance(config, BertConfig) else BertConfig.from_dict(config))

    @classmethod
    def from_pretrained(
        cls,
        source: str | os.PathLike[str],
        *,
        dtype: Any = "float32",
        device: str | None = None,
        revision: str | None = None,
        **changes: Any,
    ) -> Self:
        """A native model of this class from a checkpoint, in inference mode; `source` as in `bertx.load`.

        `dtype` is a name or the framework's own object; `changes` are fields of the config to override, such as
        `num_labels=3`, and arguments of the class, such as `add_pooling_layer=False`. A head that the checkpoint lacks
        is initialised, with a warning.

        Raises:
            CheckpointError: the checkpoint does not fit; all its problems are listed.
            TypeError: `changes` that are neither.
        """
        from .loading import load_model

        arguments = inspect.signature(cls.__init__).parameters.keys() - {"self", "config"}
        fields = {field.name for field in dataclasses.fields(BertConfig)} - {"extra"}
        if unknown := sorted(changes.keys() - arguments - fields):
            raise TypeError(
                f"{cls.__name__}.from_pretrained takes no {', '.join(unknown)}: it takes dtype, device, revision, "
                f"{''.join(f'{name}, ' for name in sorted(arguments))}and the fields of BertConfig"
            )
        options = {name: changes.pop(name) for name in arguments & changes.keys()}
        return load_model(
            source,
            cls.architecture(),
            cls.backend_name,
            dtype=_dtype_name(dtype),
            device=device,
            revision=revision,
            changes=changes,
            options=options,
            model_class=cls,
        ).module

    def save_pretrained(self, folder: str | os.PathLike[str]) -> None:
        """Writes config.json and model.safetensors, the hub's layout, each whole or not at all."""
        from .backend import get_backend
        from .saving import save_model

        save_model(folder, self.architecture(), self.config, get_backend(self.backend_name).tensors(self))

    def get_input_embeddings(self) -> Any:
        """The block of the word embeddings."""
        return _base(self).embeddings.word_embeddings

    def resize_token_embeddings(self, new_num_tokens: int | None = None) -> Any:
        """Gives the word embeddings, and what scores words, another number of rows; gives their block.

        The first rows stay, new ones are N(0, initializer_range). The optimizer is to be made anew afterwards.

        Raises:
            ValueError: a number that the padding token's id is not below.
        """
        from .architectures import schema
        from .backend import get_backend
        from .initialization import initial_values

        if new_num_tokens is None or new_num_tokens == self.config.vocab_size:
            return self.get_input_embeddings()
        config = self.config.replace(vocab_size=new_num_tokens)
        tensors = dict(get_backend(self.backend_name).tensors(self))
        options = {} if _base(self) is not self else {"add_pooling_layer": self.pooler is not None}
        fresh = initial_values(config)
        for row in schema(self.architecture(), config, **options):
            if row.tied_to is None and row.name.endswith(_PER_TOKEN):
                old = tensors[row.name]
                new = as_dtype(fresh(row.name, row.shape), old.dtype)
                kept = min(len(old), len(new))
                new[:kept] = old[:kept]
                self.replace_parameter(row.name, np.ascontiguousarray(new))
        self.config = _base(self).config = config
        return self.get_input_embeddings()

    def gradient_checkpointing_enable(self) -> None:
        """Computes each layer's activations again in the backward pass rather than keeping them."""
        _base(self).encoder.gradient_checkpointing = True

    def gradient_checkpointing_disable(self) -> None:
        """Keeps activations for the backward pass again."""
        _base(self).encoder.gradient_checkpointing = False

    def post_init(self) -> None:
        """Draws the parameters of a model that a user makes from a config, rather than loads."""
        from .initialization import initial_values

        if not parameters_come_later():
            self.fill_parameters(initial_values(self.config))

    def fill_parameters(self, value_of: ValueOf) -> None:
        """Gives each parameter without a value `value_of(schema name, shape)`; the backend's to do."""
        raise TypeError(f"{type(self).__name__} does not say how its parameters are filled")

    def replace_parameter(self, name: str, value: np.ndarray) -> None:
        """Gives the parameter of a schema name a value of another length; the backend's to do."""
        raise TypeError(f"{type(self).__name__} does not say how a parameter is replaced")


# Parameters whose first axis is the vocabulary.
_PER_TOKEN = ("word_embeddings.weight", "cls.predictions.bias", "cls.predictions.decoder.weight")


def _base(model: Any) -> Any:
    """The BertModel inside, or the model itself. No property: Keras would save it as one more layer."""
    return getattr(model, "bert", model)


def _dtype_name(dtype: Any) -> str:
    """The name of a dtype: "bfloat16" for torch.bfloat16, tf.bfloat16, jnp.bfloat16 and "bfloat16"."""
    if isinstance(dtype, str):
        return dtype
    return getattr(dtype, "name", None) or getattr(dtype, "__name__", None) or str(dtype).rpartition(".")[2]
