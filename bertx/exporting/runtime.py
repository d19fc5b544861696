"""Backends that run what was exported: a thin layer over a runtime, forward only."""

from __future__ import annotations

import functools
from abc import abstractmethod
from pathlib import Path
from typing import Any

import numpy as np

from bertx_weights import as_float

from ..backend import Backend
from ..models import nn
from ..models.over_model import OverModel
from ..models.predictions import Predictions
from ..models.sentence_embedding import SentenceEmbedding, unit
from ..parameters import skip_init

EMBEDDING = "sentence_embedding"
STATES = "last_hidden_state"
# What other exporters call an output.
_OUTPUT_ALIASES = {"token_embeddings": STATES}
# The input, which the file may not take, and what it then must be everywhere.
_DEFAULTS = {"attention_mask": 1, "token_type_ids": 0}


class Runtime(Backend):
    """A backend whose models are files that were exported, by bertx or by others; their inputs are integers.

    It has no parameters to hand out, and computes no more than what a file gives. What a sentence-transformers folder
    computes of token vectors runs on NumPy where the file gives these, and so does what a task reads of logits.
    """

    package = nn.__package__
    dtypes = ("float32",)

    @abstractmethod
    def open(self, path: Path, device: str | None) -> Any:
        """The runtime's own object for a file."""

    @abstractmethod
    def inputs(self, module: Any) -> list[str]:
        """The names of the inputs of a file."""

    @abstractmethod
    def results(self, module: Any) -> list[str]:
        """The names of the outputs of a file, as it has them."""

    @abstractmethod
    def run(self, module: Any, inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
        """The outputs in the order of `results`, of int64 inputs."""

    def parts(self, path: Path) -> list[Path]:
        """A file, and what it keeps beside it, such as model.onnx.data."""
        return [found for found in path.parent.glob(f"{path.name}*") if found.is_file()]

    def outputs(self, module: Any) -> tuple[str, ...]:
        """The outputs of a file by the hub's names."""
        return tuple(_OUTPUT_ALIASES.get(name, name) for name in self.results(module))

    def build(self, model_class, config, value_of, dtype, device, options):
        """What is computed of token vectors or logits; no model, since that is a file."""
        if not issubclass(model_class, OverModel):
            raise ValueError(
                f"the {self.name} backend runs files that were exported, and builds no {model_class.__name__} of "
                f"tensors: bertx.export(source, folder) writes one, and bertx.load(folder, backend={self.name!r}) "
                "runs it"
            )
        with skip_init():
            head = model_class(config, **options)
        for name, parameter in nn.parameters(head):
            parameter.value = as_float(value_of(name, parameter.shape), dtype)
        return head

    def forward(self, module, inputs, flags):
        """What the file gives; of a model that pools, its embeddings; or what a task reads of the logits."""
        if isinstance(module, Predictions):
            module.outputs = functools.partial(self._given, getattr(module, module.base_model_prefix))
            return dict(module(**inputs, **flags))
        if isinstance(module, SentenceEmbedding):
            return {EMBEDDING: self._embedded(module, dict(inputs), **flags)}
        outputs = self.outputs(module)
        if asked := sorted(name.removeprefix("output_") for name, wanted in flags.items() if wanted):
            raise ValueError(
                f"the file gives {', '.join(outputs)}, no {' and no '.join(asked)}: run the checkpoint itself on "
                "torch, jax, tensorflow or numpy"
            )
        if outputs == (EMBEDDING,):
            raise ValueError(
                f"the file gives {EMBEDDING} alone, and no {STATES}: call the model on texts, without another pooling, "
                "or export the checkpoint without its modules.json"
            )
        return self._run(module, inputs)

    def _given(self, module, **inputs):
        return self._run(module, {name: value for name, value in inputs.items() if value is not None})

    def _embedded(self, head, inputs, pooling, normalize):
        """[B, D]: the file's own embedding, or where that is not asked for what the modules make of token vectors."""
        prompts = inputs.pop("prompt_lengths", None)
        if all(getattr(step, "include_prompt", True) for step in head.steps):
            prompts = None
        outputs = self.outputs(head.base)
        changed = {"pooling": pooling, "normalize": None if normalize else normalize, "prompt_lengths": prompts}
        asked = [name for name, value in changed.items() if value is not None]
        if EMBEDDING in outputs and not asked:
            found = self._run(head.base, inputs)[EMBEDDING]
            found = found if head.truncate_dim is None else found[:, : head.truncate_dim]
            return unit(found) if normalize else found
        if STATES not in outputs:
            raise ValueError(
                f"the file gives {', '.join(outputs)}, pooled already, and no {STATES}: it takes no other "
                f"{' or '.join(asked) or 'modules'}; leave that out, or run the checkpoint itself"
            )
        states = self._run(head.base, inputs)[STATES]
        return head.embed(states, inputs.get("attention_mask"), prompts, pooling, normalize)

    def _run(self, module, inputs):
        """The outputs by the hub's names, float32; of `mask_positions` the logits at these positions."""
        given = {name: np.asarray(value) for name, value in inputs.items()}
        positions = given.pop("mask_positions", None)
        takes = self.inputs(module)
        for name, value in _DEFAULTS.items():
            if name not in takes and name in given and (given[name] == value).all():
                del given[name]
            elif name in takes and name not in given and "input_ids" in given:
                given[name] = np.full_like(given["input_ids"], value)
        lacking, strange = sorted(set(takes) - set(given)), sorted(set(given) - set(takes))
        if lacking or strange:
            problems = [f"it has no input {name}" for name in strange] + [f"it needs {name}" for name in lacking]
            raise ValueError(f"the file takes {', '.join(takes)}: {'; '.join(problems)}")
        results = self.run(module, {name: value.astype(np.int64) for name, value in given.items()})
        found = {name: _float32(value) for name, value in zip(self.outputs(module), results, strict=True)}
        if positions is None:
            return found
        return {
            name: np.take_along_axis(value, positions[..., None], 1) if value.ndim == 3 else value
            for name, value in found.items()
        }

    def tensors(self, module):
        """None: a file has no parameters to hand out."""
        raise ValueError(
            f"a file on the {self.name} backend has no parameters to hand out: load the checkpoint that it was "
            "exported from on torch, jax, tensorflow or numpy"
        )

    def dtype(self, module):
        """That of what it gives."""
        return "float32"

    def tensor(self, array):
        """The array itself."""
        return array


def _float32(value: Any) -> np.ndarray:
    value = np.asarray(value)
    return value.astype(np.float32, copy=False) if value.dtype.kind == "f" else value
