"""Model: a native model with its config, its tokenizer and its task, the same on every backend."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bertx_weights import LoadReport

from .backend import Backend, Decoder, check_device, check_dtype, get_backend
from .configs.base import ModelConfig, keep_config
from .dtypes import name_of_dtype
from .inputs import check_inputs
from .parameters import ValueOf
from .registry import options_of, task_of_architecture
from .threads import map_batches
from .tokenizers.auto import read_tokenizer
from .tokenizers.base import PreTrainedTokenizer


class Model:
    """What `bertx.load` returns.

    Attributes:
        module: the native model: a `torch.nn.Module`, a `keras.Model`, an `nnx.Module`, or NumPy's.
        config: its config, such as a BertConfig.
        backend: the name of its backend.
        architecture: the hub's name of its class, such as `"BertForMaskedLM"`.
        task: its pipeline tag, such as `"fill-mask"`.
        folder: of the checkpoint; None for a model that was not loaded from one.
        load_report: what was loaded from where.
    """

    def __init__(
        self,
        module: Any,
        config: ModelConfig,
        backend: Backend,
        architecture: str,
        folder: Path | None = None,
        load_report: LoadReport | None = None,
    ):
        self.module = module
        self.config = config
        self.architecture = architecture
        self.load_report = load_report
        self._backend = backend
        self.folder = folder
        self._embedding: tuple[Any, Any, Any] = (None, None, None)
        self._predictions: dict[str, tuple[Any, Any]] = {}

    @property
    def backend(self) -> str:
        """The name of the backend."""
        return self._backend.name

    @property
    def device(self) -> str:
        """The device that holds the parameters, as the backend names it: "cpu", "cuda:0", …"""
        return self._backend.device(self.module)

    @property
    def compiles_each_shape(self) -> bool:
        """Whether the backend compiles the model anew for each shape of its inputs."""
        return self._backend.compiles_each_shape

    @property
    def outputs(self) -> tuple[str, ...] | None:
        """What an exported file gives, whatever is asked for; None of a model with all outputs of its class."""
        return self._backend.outputs(self.module)

    @property
    def packs(self) -> bool:
        """Whether rows run packed in one, without padding: where the backend has a kernel for them."""
        return self._backend.packs(self.module)

    def replays(self, rows: int, length: int) -> bool:
        """Whether a small batch of such a shape is faster where that came before, and is padded to one of a few."""
        return self._backend.replays(self.module, rows, length)

    @property
    def task(self) -> str:
        """The pipeline tag."""
        return task_of_architecture(self.architecture)

    @functools.cached_property
    def tokenizer(self) -> PreTrainedTokenizer:
        """The checkpoint's tokenizer, read when it is first asked for.

        Raises:
            FileNotFoundError: the checkpoint has none.
        """
        if self.folder is None:
            raise FileNotFoundError("this model was not loaded from a folder: it has no tokenizer")
        return read_tokenizer(self.folder)

    @functools.cached_property
    def _task(self) -> Any:
        from .tasks import make_task

        return make_task(self, self.folder)

    def __call__(self, texts: Any, *args: Any, **options: Any) -> Any:
        """The task on text; arguments and results are described in `bertx.tasks`."""
        return self._task(texts, *args, **options)

    def forward(
        self,
        input_ids: Any = None,
        attention_mask: Any = None,
        token_type_ids: Any = None,
        position_ids: Any = None,
        inputs_embeds: Any = None,
        encoder_hidden_states: Any = None,
        encoder_attention_mask: Any = None,
        past_key_values: Any = None,
        use_cache: bool = False,
        output_hidden_states: bool = False,
        output_attentions: bool = False,
        segments: Any = None,
        **labels: Any,
    ) -> dict[str, Any]:
        """One pass without gradients, NumPy in and NumPy out.

        Args:
            input_ids, token_type_ids, position_ids: integers [B, T] ([B, C, T] for multiple choice).
            attention_mask: [B, T], 0 hides a position; [B, T, T] or [B, 1, T, T] for each query its own.
            inputs_embeds: [B, T, H], in the place of input_ids.
            encoder_hidden_states: [B, S, H], which a causal model with `add_cross_attention` attends to.
            encoder_attention_mask: [B, S], 0 hides one of them.
            past_key_values: what a causal model gave under this name for the P positions before these; attention_mask
                is then [B, P + T].
            use_cache: whether a causal model gives past_key_values: for each layer a pair of [B, N, P + T, D], and
                where it attends to an encoder two more, [B, N, S, D].
            segments: [B, T], of rows that are packed in one: input_ids and the like are [1, S], all their tokens, and
                this has for each row the indices of its tokens there, −1 after its end. Then there is no
                attention_mask. `RaggedBatch.packed` makes such a batch; what a row gives it gives in a padded batch
                too.
            labels: the head's own (`labels`; `next_sentence_label`; `start_positions`, `end_positions`), and for a
                head that scores every position `mask_positions` [B, K]: it then scores these only.

        Returns:
            The outputs by the hub's names, float32 for a bfloat16 model; hidden_states and attentions are tuples.

        Raises:
            ValueError: ids out of range, a sequence too long, shapes that do not match, an empty batch.
        """
        inputs = {
            "input_ids": input_ids,
            "attention_mask": attention_mask,
            "token_type_ids": token_type_ids,
            "position_ids": position_ids,
            "inputs_embeds": inputs_embeds,
            "encoder_hidden_states": encoder_hidden_states,
            "encoder_attention_mask": encoder_attention_mask,
            "past_key_values": past_key_values,
            "segments": segments,
            **labels,
        }
        checked = check_inputs(self.architecture, self.config, inputs)
        flags = {"output_hidden_states": output_hidden_states, "output_attentions": output_attentions}
        with keep_config():
            return self._backend.forward(self.module, checked, flags | {"use_cache": use_cache})

    def embedder(self, modules: Sequence[Any], truncate_dim: int | None = None) -> Callable[..., np.ndarray]:
        """A function of a batch that gives its sentence embeddings [B, D], computed where the model runs.

        Args:
            modules: what is computed of the token vectors, of `bertx.tasks.pooling`, in order.
            truncate_dim: how many values of an embedding are kept, None for all.

        Returns:
            A function of `input_ids`, `attention_mask` [B, T] and so on, as `forward` takes them. It also takes
            `prompt_lengths` [B], how many of a row's first tokens are a prompt's; `pooling`, a mode in place of the
            modules' own; and `normalize`: True scales embeddings to length 1 in the end, False leaves out what does.
        """
        head = self.embedding_head(modules, truncate_dim)

        def embed(
            prompt_lengths: Any = None, pooling: str | None = None, normalize: bool | None = None, **inputs: Any
        ) -> np.ndarray:
            checked = check_inputs(self.architecture, self.config, inputs)
            if prompt_lengths is not None:
                checked["prompt_lengths"] = np.asarray(prompt_lengths, np.int64)
            flags: Any = {"pooling": pooling, "normalize": normalize}
            return self._backend.forward(head, checked, flags)["sentence_embedding"]

        return embed

    def predictor(self, name: str, **options: Any) -> Callable[..., dict[str, np.ndarray]]:
        """A function of a batch that gives what a task reads of the head's outputs, computed where the model runs.

        Args:
            name: a class of `bertx.models.predictions`.
            options: the arguments of its `forward` that are no arrays.

        Returns:
            A function of `input_ids`, `attention_mask` and so on, as `forward` takes them, and of the `arrays` of the
            class; it gives the class's outputs.
        """
        head = self._predictions_of(name)

        def predict(**inputs: Any) -> dict[str, np.ndarray]:
            given = {array: inputs.pop(array) for array in head.arrays if array in inputs}
            arrays = {array: np.asarray(value, np.int64) for array, value in given.items() if value is not None}
            checked = check_inputs(self.architecture, self.config, inputs)
            return self._backend.forward(head, checked | arrays, options)

        return predict

    def _predictions_of(self, name: str) -> Any:
        """The native Predictions of that class over this model, which is kept as long as nothing changes."""
        key = (self._backend.head_device(self.module), hash(self.config))
        kept, head = self._predictions.get(name, (None, None))
        if kept != key or head.base is not self.module:
            head = self._over("predictions", name, _no_value, {})
            self._predictions[name] = (key, head)
        return head

    def _over(self, module: str, name: str, value_of: ValueOf, options: dict[str, Any]) -> Any:
        """The native `models.over_model.OverModel` of that name, over this model."""
        head = self._backend.build(
            self._backend.spec_class(module, name),
            self.config,
            value_of,
            "float64" if self._backend.dtype(self.module) == "float64" else "float32",
            self._backend.head_device(self.module),
            options,
        )
        head.base = self.module
        return head

    def embedding_head(self, modules: Sequence[Any], truncate_dim: int | None = None) -> Any:
        """The native SentenceEmbedding of these modules over this model, which is kept as long as nothing changes."""
        from .tasks.pooling import blocks, values

        # What is compiled of a model, its config is a part of; a user may move it to another device, or replace it.
        key = (self._backend.head_device(self.module), hash(self.config), truncate_dim)
        kept, of_modules, head = self._embedding
        if kept != key or of_modules is not modules or head.base is not self.module:
            options = {"modules": blocks(modules), "truncate_dim": truncate_dim}
            head = self._over("sentence_embedding", "SentenceEmbedding", values(modules), options)
            self._embedding = (key, modules, head)
        return head

    @property
    def decoder(self) -> Decoder:
        """What generates with a causal model, token by token: `bertx.generation` has the loop.

        Raises:
            ValueError: the backend has none.
        """
        return self._backend.decoder(self.module)

    def compile(self) -> None:
        """Compiles the model, in place, for batches of any length; on JAX models always run compiled.

        It gains where many batches follow: the first call takes some seconds.

        Raises:
            ValueError: the backend does not.
        """
        self._backend.compile(self.module)

    def map(self, compute: Callable[[Any], Any], batches: Sequence[Any]) -> Iterator[Any]:
        """Yields `compute` of each batch, in order; several run at once where that is faster on the backend."""
        return map_batches(compute, batches, *self._backend.workers(self.module))

    def tensors(self) -> Iterator[tuple[str, np.ndarray]]:
        """Yields (schema name, tensor in the schema's layout); a tied one may come again under its other names."""
        return self._backend.tensors(self.module)

    def to(self, backend: str, dtype: Any = None, device: Any = None) -> Model:
        """A copy of the model on another backend, in memory; the dtype stays unless another is asked for.

        Raises:
            MissingExtraError: the backend's framework is not installed.
            ValueError: it does not run the dtype or see the device.
        """
        target = get_backend(backend)
        tensors = dict(self.tensors())
        dtype = name_of_dtype(dtype) or self._backend.dtype(self.module)
        check_dtype(target, dtype)
        device = check_device(target, device)
        options = options_of(self.architecture, tensors)

        def copy_of(name: str, shape: tuple[int, ...]) -> np.ndarray:
            return tensors[name].copy()  # else training one model would change the other

        module = target.build(target.model_class(self.architecture), self.config, copy_of, dtype, device, options)
        return Model(module, self.config, target, self.architecture, self.folder, self.load_report)

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Writes config.json, model.safetensors and the tokenizer's files, each whole or not at all.

        Raises:
            FileExistsError: another job writes this folder.
        """
        from .checkpoints.save import save_model
        from .tasks.files import copy_task_files, remove_stale_files

        folder = Path(folder)
        replaces = (folder / "config.json").exists()

        def beside() -> None:
            if replaces:
                remove_stale_files(self.folder, folder)
            if self.folder is None:
                return
            copy_task_files(self.folder, folder)
            try:
                tokenizer = self.tokenizer
            except FileNotFoundError:
                return
            tokenizer.save_pretrained(folder)

        save_model(folder, self.architecture, self.config, self.tensors(), beside=beside)

    def __repr__(self) -> str:
        return f"bertx.Model({self.architecture}, task={self.task!r}, backend={self.backend!r})"


def _no_value(name: str, shape: tuple[int, ...]) -> np.ndarray:
    raise KeyError(f"{name} is a parameter, and nothing has its value")
