"""What every native model class can do: be read from a checkpoint and written as one."""

from __future__ import annotations

import dataclasses
import inspect
import os
from collections.abc import Iterator, Mapping
from typing import Any, Self

import numpy as np

from bertx_weights import as_dtype

from .backend import ValueOf, parameters_come_later
from .config import BertConfig, name_of_dtype
from .places import BERT, Customs, by_name


class PreTrainedModel:
    """The methods of every model class, whatever its framework."""

    backend_name: str
    config: BertConfig
    customs: Customs = BERT
    # As transformers' Trainer and accelerate read them.
    base_model_prefix = "bert"
    main_input_name = "input_ids"
    supports_gradient_checkpointing = True

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
            dtype=name_of_dtype(dtype),
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

    def get_output_embeddings(self) -> Any:
        """The block that scores words, or None for a head that scores none."""
        predictions = getattr(getattr(self, "cls", None), "predictions", None)
        return getattr(predictions, "decoder", None)

    def set_input_embeddings(self, value: Any) -> None:
        """Takes another block of word embeddings of the same shape; what scores words shares it where it is tied.

        Raises:
            ValueError: its table has another shape.
        """
        embeddings = _base(self).embeddings
        before, embeddings.word_embeddings = embeddings.word_embeddings, value
        found, expected = self.table_shape(value), (self.config.vocab_size, self.config.hidden_size)
        if found != expected:
            embeddings.word_embeddings = before
            raise ValueError(
                f"the embeddings have the shape {list(found)}, expected {list(expected)}: for another number of tokens "
                "call resize_token_embeddings first"
            )
        self.tie_weights()

    def tie_weights(self, **kwargs: Any) -> None:
        """Lets what scores words share the table of the word embeddings again, where the config ties them."""
        decoder = self.get_output_embeddings()
        if decoder is not None and self.config.tie_word_embeddings:
            self.tie_decoder(decoder, self.get_input_embeddings())

    def num_parameters(self, only_trainable: bool = False, exclude_embeddings: bool = False) -> int:
        """How many numbers the parameters have, each shared one counted once."""
        return sum(
            size
            for name, size, trainable in self.parameter_sizes()
            if (trainable or not only_trainable) and not (exclude_embeddings and name.endswith(_TABLES))
        )

    @property
    def device(self) -> Any:
        """The device that holds the parameters."""
        from .backend import get_backend

        return get_backend(self.backend_name).device(self)

    @property
    def is_gradient_checkpointing(self) -> bool:
        """Whether the activations are computed again in the backward pass."""
        return bool(_base(self).encoder.gradient_checkpointing)

    def gradient_checkpointing_enable(self, gradient_checkpointing_kwargs: Mapping[str, Any] | None = None) -> None:
        """Computes each layer's activations again in the backward pass rather than keeping them.

        Of transformers' `gradient_checkpointing_kwargs` this takes `use_reentrant`, which changes no result.

        Raises:
            TypeError: others of them.
        """
        if unknown := sorted((gradient_checkpointing_kwargs or {}).keys() - {"use_reentrant"}):
            raise TypeError(f"gradient_checkpointing_kwargs: bertx takes use_reentrant, and was given {unknown}")
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

    def parameter_sizes(self) -> Iterator[tuple[str, int, bool]]:
        """Yields (schema name, number of values, whether it is trained), a shared one once; the backend's to do."""
        raise TypeError(f"{type(self).__name__} does not say which parameters it has")

    def table_shape(self, embedding: Any) -> tuple[int, ...]:
        """The shape of an embedding's table; the backend's to do."""
        raise TypeError(f"{type(self).__name__} does not say where the table of an embedding is")

    def tie_decoder(self, decoder: Any, embedding: Any) -> None:
        """Gives a decoder the table of an embedding; the backend's to do."""
        raise TypeError(f"{type(self).__name__} does not say how a decoder is tied")


_TABLES = ("embeddings.weight", "distance_embedding.weight")
# Parameters whose first axis is the vocabulary.
_PER_TOKEN = ("word_embeddings.weight", "cls.predictions.bias", "cls.predictions.decoder.weight")


def _base(model: Any) -> Any:
    """The BertModel inside, or the model itself. No property: Keras would save it as one more layer."""
    return getattr(model, "bert", model)
