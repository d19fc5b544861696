"""What every native model class can do: be read from a checkpoint and written as one."""

from __future__ import annotations

import functools
import inspect
import os
import re
from collections.abc import Iterator, Mapping
from typing import Any, Literal, Self, overload

import numpy as np

from bertx_weights import Row, as_dtype, as_float

from .backend import get_backend
from .checkpoints.init import added_rows, initial_values
from .checkpoints.load import load_model
from .compat.transformers4 import TORCH, Conventions, by_name
from .configs.base import ModelConfig, is_config_kept, own_fields
from .dtypes import name_of_dtype
from .hub.arguments import refuse_upload, without_hub_arguments
from .parameters import ValueOf, is_skipping_init
from .registry import config_from, is_architecture, is_base, model_of, options_of, schema


class PreTrainedModel:
    """The methods of every model class, whatever its framework."""

    backend_name: str
    config: ModelConfig
    conventions: Conventions = TORCH
    # What the classes of bertx.models say.
    task: str
    scores: str
    causal: bool
    base_model_prefix: str
    output_class: Any
    # As transformers' Trainer and accelerate read them.
    main_input_name = "input_ids"
    supports_gradient_checkpointing = True

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """The outputs; the inputs are those of `forward`, by name or in the order that transformers 4.57 had."""
        args, kwargs = by_name(self, args, kwargs)
        if self.causal and not self.conventions.caches:
            kwargs["use_cache"] = bool(kwargs.get("use_cache"))
        return super().__call__(*args, **kwargs)  # pyright: ignore[reportAttributeAccessIssue]  # the framework's

    def returned(self, output: Any, return_dict: bool | None) -> Any:
        """A ModelOutput, or where `return_dict`, or for None the config's, is False the tuple of its fields.

        A config with `torchscript`, which transformers 4 had for torch.jit.trace, counts as one whose is False.
        """
        if return_dict is None:
            return_dict = self.config.return_dict and not self.config.extra.get("torchscript")
        return self.conventions.arranged(output) if return_dict else self.conventions.as_tuple(output)

    @classmethod
    def architecture(cls) -> str:
        """The hub's name of the class, or of the one that a user's own is made of."""
        return next(base.__name__ for base in cls.__mro__ if is_architecture(base.__name__))

    @classmethod
    def from_config(cls, config: ModelConfig | Mapping[str, Any]) -> Self:
        """A model with initial values, N(0, initializer_range), from a config or the keys of a config.json."""
        of_config: Any = cls  # its constructor is that of bertx.models
        return of_config(config if isinstance(config, ModelConfig) else config_from(config))

    @overload
    @classmethod
    def from_pretrained(
        cls,
        source: str | os.PathLike[str] | None,
        *,
        config: Any = None,
        state_dict: Mapping[str, Any] | None = None,
        dtype: Any = "float32",
        device: Any = None,
        revision: str | None = None,
        ignore_mismatched_sizes: bool = False,
        output_loading_info: Literal[False] = False,
        **changes: Any,
    ) -> Self: ...

    @overload
    @classmethod
    def from_pretrained(
        cls, source: str | os.PathLike[str] | None, *, output_loading_info: Literal[True], **options: Any
    ) -> tuple[Self, dict[str, Any]]: ...

    @classmethod
    def from_pretrained(
        cls,
        source: str | os.PathLike[str] | None,
        *,
        config: Any = None,
        state_dict: Mapping[str, Any] | None = None,
        dtype: Any = "float32",
        device: Any = None,
        revision: str | None = None,
        ignore_mismatched_sizes: bool = False,
        output_loading_info: bool = False,
        **changes: Any,
    ) -> Any:
        """A native model of this class from a checkpoint, in inference mode; `source` as in `bertx.load`.

        A head that the checkpoint lacks is initialised, with a warning.

        Args:
            source: as in `bertx.load`; None with `config` and `state_dict`.
            config: a config in place of the checkpoint's, a path of one, or any object with its `to_dict`.
            state_dict: schema name → tensor of the framework, in place of the checkpoint's.
            dtype: a name, the framework's own object, or "auto": what the checkpoint has.
            device, revision: as in `bertx.load`.
            ignore_mismatched_sizes: a tensor of another shape than the config says is initialised, rather than refused.
            output_loading_info: gives (model, {"missing_keys", "unexpected_keys", "mismatched_keys", "error_msgs"}).
            changes: fields of the config in place of those read, such as `num_labels=3`, and arguments of the class,
                such as `add_pooling_layer=False`. Fewer `num_hidden_layers` than there are take the first.

        Raises:
            CheckpointError: the checkpoint does not fit; all its problems are listed.
            TypeError: `changes` that are neither.
        """
        caller = f"{cls.__name__}.from_pretrained"
        changes = without_hub_arguments(caller, changes)
        if "torch_dtype" in changes:
            dtype = changes.pop("torch_dtype")
        if (placed := changes.pop("device_map", None)) is not None:
            if not isinstance(placed, str) or placed == "auto":
                raise TypeError(f"{caller} takes no device_map but the name of one device, and was given {placed!r}")
            device = placed
        changes = {name: value for name, value in changes.items() if value not in _WITHOUT_EFFECT.get(name, ())}
        arguments = inspect.signature(cls.__init__).parameters.keys() - {"self", "config", "dtype", "shared"}
        config_class = model_of(cls.architecture()).config_class
        fields = own_fields(config_class)
        if unknown := sorted(changes.keys() - arguments - fields):
            raise TypeError(
                f"{caller} takes no {', '.join(f'{name}={changes[name]!r:.40}' for name in unknown)}: it takes config, "
                "state_dict, dtype, device, revision, ignore_mismatched_sizes, output_loading_info, "
                f"{''.join(f'{name}, ' for name in sorted(arguments))}and the fields of {config_class.__name__}"
            )
        options = {name: changes.pop(name) for name in arguments & changes.keys()}
        model = load_model(
            source,
            cls.task,
            cls.backend_name,
            dtype="float32" if dtype is None else name_of_dtype(dtype),
            device=device,
            revision=revision,
            changes=changes,
            options=options,
            model_class=cls,
            config=None if config is None else _config_from(config, config_class),
            tensors=None if state_dict is None else {name: cls.to_array(t) for name, t in state_dict.items()},
            resize=ignore_mismatched_sizes,
        )
        if not output_loading_info:
            return model.module
        report = model.load_report
        assert report is not None  # load_model makes one
        resized = {line.partition(",")[0] for line in report.resized}
        info = {
            "missing_keys": {name for name in report.initialised if name not in resized},
            "unexpected_keys": set(report.unused),
            "mismatched_keys": resized,
            "error_msgs": [],
        }
        return model.module, info

    @classmethod
    def from_encoder_decoder_pretrained(
        cls,
        encoder: str | os.PathLike[str],
        decoder: str | os.PathLike[str],
        *,
        dtype: Any = "float32",
        device: Any = None,
        **changes: Any,
    ) -> Self:
        """An EncoderDecoderModel of two checkpoints, in inference mode; what is new is drawn, with a warning.

        Args:
            encoder: what reads; a source as in `bertx.load`, of any head.
            decoder: what writes; it may be the same.
            dtype, device: as in `bertx.load`.
            changes: fields of the EncoderDecoderConfig, such as decoder_start_token_id; those that begin with
                `encoder_` or `decoder_` are of that part.

        Raises:
            CheckpointError: a checkpoint does not fit; all its problems are listed.
            TypeError: the class is no EncoderDecoderModel.
        """
        if not model_of(cls.architecture()).parts:
            raise TypeError(f"{cls.__name__} is not made of an encoder and a decoder: call it on EncoderDecoderModel")
        from .checkpoints.warm_start import warm_start

        made = warm_start(
            encoder, decoder, cls.backend_name, model_class=cls, dtype=dtype, device=device, changes=changes
        )
        return made.module

    def save_pretrained(
        self,
        folder: str | os.PathLike[str],
        is_main_process: bool = True,
        state_dict: Mapping[str, Any] | None = None,
        *,
        params: Any = None,
        safe_serialization: bool = True,
        max_shard_size: int | str | None = None,
        push_to_hub: bool = False,
        **others: Any,
    ) -> None:
        """Writes config.json and model.safetensors, the hub's layout, each whole or not at all.

        Args:
            folder: is made if it is not there.
            is_main_process: False writes nothing: of several processes one saves.
            state_dict: schema name → tensor of the framework, to write in place of the model's own.
            params: for a model of JAX, parameters as its `params` has them, to write in place of its own.
            safe_serialization: False writes pytorch_model.bin, for which PyTorch is needed.
            max_shard_size: in bytes or as "5GB": larger checkpoints are written in several files with an index.
            push_to_hub: True is refused: huggingface_hub uploads folders.

        Raises:
            FileExistsError: another job writes this folder.
            ValueError: `push_to_hub`, or `state_dict` or `params` that are not this model's.
            TypeError: `others` of transformers' arguments that bertx does not have.
        """
        refuse_upload(push_to_hub)
        others = {name: value for name, value in others.items() if value not in _WITHOUT_EFFECT_ON_SAVE.get(name, ())}
        if others:
            raise TypeError(f"{type(self).__name__}.save_pretrained takes no {', '.join(sorted(others))}")
        if not is_main_process:
            return
        if params is not None and state_dict is not None:
            raise TypeError("give state_dict or params, not both")
        from .checkpoints.save import save_model

        model = self if params is None else self.with_params(params)
        tensors = dict(get_backend(self.backend_name).tensors(model))
        if state_dict is not None:
            tensors = self._checked({name: self.to_array(tensor) for name, tensor in state_dict.items()}, tensors)
        save_model(
            folder,
            self.architecture(),
            self.config,
            tensors.items(),
            max_bytes=_bytes_of(max_shard_size),
            format_name="safetensors" if safe_serialization else "pytorch",
        )

    def _checked(self, given: dict[str, np.ndarray], own: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The arrays of a state dict, which must be the model's, but for a tied one that is left out."""
        tied = {row.name for row in self.schema_rows() if row.tied_to is not None}
        problems = [f"{name} is not the model's" for name in given.keys() - own.keys()]
        problems += [f"{name} is missing" for name in own.keys() - given.keys() if name not in tied]
        problems += [
            f"{name} is {list(array.shape)}, expected {list(own[name].shape)}"
            for name, array in given.items()
            if name in own and array.shape != own[name].shape
        ]
        if problems:
            raise ValueError("\n  ".join([f"state_dict is not that of this {type(self).__name__}:", *sorted(problems)]))
        return given

    def get_input_embeddings(self) -> Any:
        """The block of the word embeddings."""
        return base_of(self).embeddings.word_embeddings

    def resize_token_embeddings(
        self, new_num_tokens: int | None = None, pad_to_multiple_of: int | None = None, mean_resizing: bool = True
    ) -> Any:
        """Gives the word embeddings, and what scores words, another number of rows; gives their block.

        The first rows stay. New ones are drawn about the mean of the old, so that tokens that are not trained yet take
        no probability; with `mean_resizing=False` they are N(0, initializer_range) and their bias 0. The optimizer is
        to be made anew afterwards.

        Args:
            new_num_tokens: None is the number there is.
            pad_to_multiple_of: rounds it up to a multiple.
            mean_resizing: see above.

        Raises:
            ValueError: a number that the padding token's id is not below, or no number.
        """

        rows = self.config.vocab_size if new_num_tokens is None else new_num_tokens
        if pad_to_multiple_of is not None:
            if not isinstance(pad_to_multiple_of, int) or pad_to_multiple_of < 1:
                raise ValueError(f"pad_to_multiple_of is {pad_to_multiple_of!r}, expected an integer of at least 1")
            rows = -(-rows // pad_to_multiple_of) * pad_to_multiple_of
        if rows == self.config.vocab_size:
            return self.get_input_embeddings()
        config = self.config.replace(vocab_size=rows)
        tensors = dict(get_backend(self.backend_name).tensors(self))
        new_rows = schema(self.architecture(), config, **options_of(self.architecture(), tensors))
        fresh = initial_values(new_rows, config)
        for row in new_rows:
            if row.tied_to is None and row.axes[0] == "vocab":
                old = tensors[row.name]
                if rows <= len(old):
                    new = old[:rows]
                elif mean_resizing:
                    added = added_rows(as_float(old, "float32"), rows - len(old), row.name)
                    new = np.concatenate([old, as_dtype(added, old.dtype)])
                else:
                    new = np.concatenate([old, as_dtype(fresh(row.name, row.shape)[len(old) :], old.dtype)])
                self.replace_parameter(row.name, np.ascontiguousarray(new))
        self.config.vocab_size = rows
        return self.get_input_embeddings()

    def get_output_embeddings(self) -> Any:
        """The block that scores words, or None for a head that scores none."""
        base = f"{self.base_model_prefix}."
        tables = [row.name for row in self.schema_rows() if row.axes == ("vocab", "embed")]
        name = next((name for name in tables if base_of(self) is not self and not name.startswith(base)), None)
        return None if name is None else functools.reduce(getattr, name.split(".")[:-1], self)

    def schema_rows(self) -> tuple[Row, ...]:
        """The rows of the weight schema of this model."""
        options = {"add_pooling_layer": self.pooler is not None} if is_base(self.architecture()) else {}  # pyright: ignore[reportAttributeAccessIssue]  # of a BaseModel
        return schema(self.architecture(), self.config, **options)

    def set_input_embeddings(self, value: Any) -> None:
        """Takes another block of word embeddings of the same shape; what scores words shares it where it is tied.

        Raises:
            ValueError: its table has another shape.
        """
        embeddings = base_of(self).embeddings
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

        return get_backend(self.backend_name).device(self)

    @property
    def is_gradient_checkpointing(self) -> bool:
        """Whether the activations are computed again in the backward pass."""
        return bool(base_of(self).encoder.gradient_checkpointing)

    @property
    def is_activation_checkpointing(self) -> bool:
        """The name that transformers 5 has for `is_gradient_checkpointing`."""
        return self.is_gradient_checkpointing

    def gradient_checkpointing_enable(self, gradient_checkpointing_kwargs: Mapping[str, Any] | None = None) -> None:
        """Computes each layer's activations again in the backward pass rather than keeping them.

        Of transformers' `gradient_checkpointing_kwargs` this takes `use_reentrant`, which changes no result.

        Raises:
            TypeError: others of them.
        """
        if unknown := sorted((gradient_checkpointing_kwargs or {}).keys() - {"use_reentrant"}):
            raise TypeError(f"gradient_checkpointing_kwargs: bertx takes use_reentrant, and was given {unknown}")
        base_of(self).encoder.gradient_checkpointing = True

    def gradient_checkpointing_disable(self) -> None:
        """Keeps activations for the backward pass again."""
        base_of(self).encoder.gradient_checkpointing = False

    def post_init(self, seed: int = 0) -> None:
        """Draws the parameters of a model that a user makes from a config, rather than loads."""

        if not is_skipping_init():
            self.fill_parameters(initial_values(self.schema_rows(), self.config, seed))

    def keep_problem_type(self, problem: str) -> None:
        """Sets the config's `problem_type` to what the labels of the first loss mean."""
        if not is_config_kept():
            object.__setattr__(self.config, "problem_type", problem)

    def fill_parameters(self, value_of: ValueOf) -> None:
        """Gives each parameter without a value `value_of(schema name, shape)`; the backend's to do."""
        raise TypeError(f"{type(self).__name__} does not say how its parameters are filled")

    def replace_parameter(self, name: str, value: np.ndarray) -> None:
        """Gives the parameter of a schema name a value of another length; the backend's to do."""
        raise TypeError(f"{type(self).__name__} does not say how a parameter is replaced")

    def parameter_sizes(self) -> Iterator[tuple[str, int, bool]]:
        """Yields (schema name, number of values, whether it is trained), a shared one once; the backend's to do."""
        raise TypeError(f"{type(self).__name__} does not say which parameters it has")

    def with_params(self, params: Any) -> Any:
        """A copy of the model with other parameters; a backend's to do where models are functions of parameters."""
        raise TypeError(f"{type(self).__name__} has no params apart from the model: give state_dict=")

    @staticmethod
    def to_array(tensor: Any) -> np.ndarray:
        """A tensor of the framework as an array; the backend's to do where NumPy cannot."""
        return np.asarray(tensor)

    def table_shape(self, embedding: Any) -> tuple[int, ...]:
        """The shape of an embedding's table; the backend's to do."""
        raise TypeError(f"{type(self).__name__} does not say where the table of an embedding is")

    def tie_decoder(self, decoder: Any, embedding: Any) -> None:
        """Gives a decoder the table of an embedding; the backend's to do."""
        raise TypeError(f"{type(self).__name__} does not say how a decoder is tied")


_TABLES = ("embeddings.weight", "distance_embedding.weight")


def base_of(model: Any) -> Any:
    """The model without a head inside, or the model itself. No property: Keras would save it as one more layer."""
    return getattr(model, model.base_model_prefix, model)


def bases_in(model: Any) -> list[Any]:
    """The models without a head inside: of an encoder and a decoder that of each."""
    return [base_of(part) for part in (model.parts() if hasattr(model, "parts") else [model])]


# transformers' arguments that change no result here: what of them is taken.
_WITHOUT_EFFECT: dict[str, tuple[Any, ...]] = {
    "attn_implementation": (None, "eager", "sdpa"),
    "low_cpu_mem_usage": (None, False, True),
    "use_safetensors": (None,),
    "weights_only": (None, True),
    "variant": (None,),
    "from_pt": (None, False, True),
    "from_tf": (None, False, True),
    "from_flax": (None, False, True),
    "quantization_config": (None,),
    "max_memory": (None,),
    "offload_folder": (None,),
    "key_mapping": (None,),
}
_WITHOUT_EFFECT_ON_SAVE: dict[str, tuple[Any, ...]] = {
    "variant": (None,),
    "token": (None, False),
    "save_peft_format": (False, True),
    "saved_model": (None, False),
    "save_original_format": (False, True),
}
_UNITS = {"KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30, "TIB": 2**40}


def _config_from(config: Any, config_class: type[ModelConfig]) -> ModelConfig:
    if isinstance(config, (str, os.PathLike)):
        return config_class.from_pretrained(config)
    if isinstance(config, ModelConfig):
        return config.replace()
    return config_class.from_dict(config if isinstance(config, Mapping) else config.to_dict())


def _bytes_of(size: int | str | None) -> int | None:
    """5_000_000_000 of "5GB"."""
    if size is None or (isinstance(size, int) and not isinstance(size, bool) and size > 0):
        return size
    found = re.fullmatch(r"(\d+)\s*([KMGT]I?B)", str(size).strip().upper())
    if found is None or not int(found[1]):
        raise ValueError(f'max_shard_size is {size!r}, expected a number of bytes or a size such as "5GB"')
    return int(found[1]) * _UNITS[found[2]]
