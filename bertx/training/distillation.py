"""Distillation: what a student is to learn of a teacher, and the teacher's outputs for each batch, as NumPy arrays."""

from __future__ import annotations

import dataclasses
import hashlib
import logging
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from bertx_weights import CheckpointError
from bertx_weights.containers.safetensors import map_file
from bertx_weights.files import atomic_path

from ..backend import Backend
from ..caches import cache_folder
from ..checkpoints.load import load_model
from ..data import Batches
from ..inputs import takes_mask_positions
from ..model import Model
from ..registry import head_of
from .trainer import TEACHER

_CACHED = 2**26  # logits are kept on disk up to so many numbers: 256 MiB
_HIDDEN = np.float32(-1e30)  # its softmax is 0, and it is finite: 0 times it is 0
_log = logging.getLogger("bertx")


@dataclass(frozen=True)
class Distillation:
    """What a student learns of a teacher: the loss is the sum of these losses, each times its weight.

    The defaults are Hinton's; DistilBERT's are a label_weight of 2, a soft_weight of 5 and a cosine_weight of 1;
    MiniLM's a relation_weight of 1 and no other.

    Attributes:
        temperature: the logits of both are divided by it for the soft targets.
        label_weight: of the loss of the labels.
        soft_weight: of the KL divergence from the teacher's softened predictions, times the square of the temperature,
            where labels count (Hinton et al. 2015); of numbers the squared difference.
        cosine_weight: of 1 − cos between the last hidden states (Sanh et al. 2019).
        hidden_weight: of the mean squared difference of the hidden states that `hidden_layers` pairs.
        hidden_layers: pairs of a student's layer and a teacher's, counted from 1, 0 being the embeddings; or a dict.
        relation_weight: of the KL divergences between the attention of both last layers, and between the relations of
            their values (Wang et al. 2020); the hidden sizes may differ.

    Raises:
        ValueError: values that cannot be; all are listed.
    """

    temperature: float = 2.0
    label_weight: float = 0.5
    soft_weight: float = 0.5
    cosine_weight: float = 0.0
    hidden_weight: float = 0.0
    hidden_layers: tuple[tuple[int, int], ...] = ()
    relation_weight: float = 0.0

    def __post_init__(self) -> None:
        pairs = self.hidden_layers.items() if isinstance(self.hidden_layers, Mapping) else self.hidden_layers
        if isinstance(pairs, Iterable) and not isinstance(pairs, str):
            object.__setattr__(self, "hidden_layers", tuple(tuple(p) if isinstance(p, list) else p for p in pairs))
        if problems := list(self._problems()):
            raise ValueError("\n  ".join(["this distillation cannot be:", *problems]))

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Distillation:
        """Of a mapping, as that of a JSON file.

        Raises:
            ValueError: there are no such fields, or their values cannot be.
        """
        known = [field.name for field in dataclasses.fields(cls)]
        if unknown := sorted(values.keys() - set(known)):
            raise ValueError(f"a distillation has no {', '.join(map(repr, unknown))}; it has {', '.join(known)}")
        return cls(**values)

    def to_dict(self) -> dict[str, Any]:
        """All fields, as JSON has them."""
        return dataclasses.asdict(self) | {"hidden_layers": list(map(list, self.hidden_layers))}

    @property
    def needs_states(self) -> bool:
        """Whether it is of more than what the head scores."""
        return bool(self.cosine_weight or self.hidden_weight or self.relation_weight)

    def _problems(self) -> Iterable[str]:
        weights = [field.name for field in dataclasses.fields(self) if field.name.endswith("_weight")]
        for name in ("temperature", *weights):
            value, lowest = getattr(self, name), 0 if name.endswith("_weight") else 1e-3
            if not isinstance(value, (int, float)) or isinstance(value, bool) or not lowest <= value < math.inf:
                yield f"{name} is {value!r:.40}, expected a number of at least {lowest}"
        if not any(getattr(self, name) for name in weights if name != "label_weight"):
            yield f"nothing is learnt of the teacher: of {', '.join(weights[1:])} one is above 0"
        pairs = self.hidden_layers
        if not isinstance(pairs, tuple) or not all(map(_is_pair, pairs)):
            yield f"hidden_layers is {pairs!r:.60}, expected pairs of layers, such as [[1, 2]]"
        elif len({pair[0] for pair in pairs}) < len(pairs):
            yield "hidden_layers has a layer of the student twice"
        if bool(self.hidden_weight) != bool(pairs):
            yield "hidden_weight and hidden_layers need each other: give both"


def _is_pair(value: Any) -> bool:
    return isinstance(value, tuple) and len(value) == 2 and all(type(layer) is int and layer >= 0 for layer in value)


class Teacher:
    """A model whose outputs a student learns; any backend runs it.

    Attributes:
        digest: of its parameters and its architecture.
        settings: what of its outputs is learnt.
    """

    def __init__(self, source: Any, task: str, backend: Backend, device: Any, settings: Distillation):
        """Loads it, with the head of the task where its predictions are learnt.

        Raises:
            CheckpointError: as `bertx.load`, or it has no such head.
        """
        self.settings, self._source = settings, source
        self._model = load_model(source, task if settings.soft_weight else "feature-extraction", backend, device=device)
        report = self._model.load_report
        if settings.soft_weight and report is not None and report.initialised:
            raise CheckpointError(
                f"{source} cannot teach {task}: it has no {', '.join(report.initialised)}; train it on the task, or "
                "give a soft_weight of 0"
            )
        digest = hashlib.sha256(self._model.architecture.encode())
        for name, values in self._model.tensors():
            digest.update(name.encode() + np.ascontiguousarray(values).tobytes())
        self.digest = digest.hexdigest()
        self._value = self._value_projection() if settings.relation_weight else None

    def check(self, student: Model) -> None:
        """Raises ValueError where a student cannot learn from it; all reasons are listed."""
        settings, config, own = self.settings, student.config, self._model.config
        head = head_of(student.architecture)
        problems = []

        def same(name: str, why: str) -> None:
            if getattr(own, name) != getattr(config, name):
                problems.append(
                    f"{name} is {getattr(own, name)!r:.60}, the student's {getattr(config, name)!r:.60}: {why}"
                )

        if student.tokenizer.get_vocab() != self._model.tokenizer.get_vocab():
            problems.append("its tokenizer has other tokens than the student's: both read the same ids")
        if settings.soft_weight:
            why = "the predictions that are learnt are of the same classes"
            limits = [limit for _, limit in head.labels.values()]
            if "num_labels" in limits:
                same("labels", f"{why}; give labels= in the teacher's order")
                if head.scores == "first":
                    same("problem_type", why)
            if "vocab_size" in limits:
                same("vocab_size", why)
        if settings.cosine_weight or settings.hidden_weight:
            same("hidden_size", "hidden states of another size are not compared; relation_weight compares attention")
        for pair in settings.hidden_layers:
            for whose, layer, of in (("the student", pair[0], config), ("the teacher", pair[1], own)):
                if layer > of.num_hidden_layers:
                    problems.append(f"hidden_layers has layer {layer} of {whose}, which has {of.num_hidden_layers}")
        if settings.relation_weight:
            same("num_attention_heads", "each head learns from one of the teacher")
        if problems:
            raise ValueError("\n  ".join([f"{self._source} cannot teach this {student.architecture}:", *problems]))

    def taught(self, batches: Batches) -> TaughtBatches:
        """The batches with the teacher's outputs; logits alone, if there are not too many, are kept on the disk."""
        return TaughtBatches(self, batches, None if self.settings.needs_states else self._cached(batches))

    def outputs(self, batch: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """What `bertx.models.distillation` takes, of one batch."""
        settings, model = self.settings, self._model
        inputs = self._inputs(batch)
        found = model.forward(
            **inputs, output_hidden_states=settings.needs_states, output_attentions=bool(settings.relation_weight)
        )
        mask = inputs["attention_mask"].reshape(-1, inputs["attention_mask"].shape[-1]) != 0
        outputs = {}
        if settings.soft_weight:
            outputs = {name: self._shown(found[name], mask) for name in head_of(model.architecture).logit_names}
        if settings.cosine_weight:
            outputs["last_hidden_state"] = found["hidden_states"][-1]
        for layer, own in settings.hidden_layers:
            outputs[f"hidden_states.{layer}"] = found["hidden_states"][own]
        if self._value is not None:
            probabilities, keys = found["attentions"][-1], mask[:, None, None, :]
            with np.errstate(divide="ignore"):
                scores = np.maximum(np.log(probabilities), _HIDDEN)
            outputs["attention_scores"] = scores
            outputs["value_scores"] = np.where(keys, self._value_scores(found["hidden_states"][-2]), _HIDDEN)
        return outputs

    # --- of one batch -----------------------------------------------------------------------------

    def _inputs(self, batch: Mapping[str, np.ndarray]) -> dict[str, Any]:
        names = ("input_ids", "attention_mask", "token_type_ids", "position_ids")
        names = (*names, "mask_positions") if takes_mask_positions(self._model.architecture) else names
        return {name: batch[name] for name in names if name in batch}

    def _is_of_positions(self) -> bool:
        return any(limit == "positions" for _, limit in head_of(self._model.architecture).labels.values())

    def _shown(self, logits: np.ndarray, mask: np.ndarray) -> np.ndarray:
        """Logits over positions, with none of padding."""
        return np.where(mask, logits, _HIDDEN) if self._is_of_positions() else logits

    def _value_projection(self) -> tuple[np.ndarray, np.ndarray]:
        layer = self._model.config.num_hidden_layers - 1
        ends = tuple(f"encoder.layer.{layer}.attention.self.value.{kind}" for kind in ("weight", "bias"))
        found = {end: value for name, value in self._model.tensors() for end in ends if name.endswith(end)}
        return np.array(found[ends[0]]), np.array(found[ends[1]])

    def _value_scores(self, states: np.ndarray) -> np.ndarray:
        assert self._value is not None
        weight, bias = self._value
        heads = self._model.config.num_attention_heads
        values = (states @ weight.T + bias).reshape(*states.shape[:2], heads, -1).transpose(0, 2, 1, 3)
        return values @ values.swapaxes(-1, -2) / np.float32(math.sqrt(values.shape[-1]))

    # --- logits on the disk -----------------------------------------------------------------------

    def _cached(self, batches: Batches) -> KeptLogits | None:
        """The logits of all rows, computed once for a teacher and what it reads."""
        head = head_of(self._model.architecture)
        folder = cache_folder("teachers")
        if folder is None or any(limit == "vocab_size" for _, limit in head.labels.values()):  # masks are drawn anew
            return None
        digest = hashlib.sha256(f"{self.digest} {self._model.backend} {batches.batch_size}".encode())
        in_order, tokens = batches.in_order(), 0
        for step in range(len(in_order)):
            for name, value in self._inputs(in_order.at(step)).items():
                digest.update(f"{name} {value.shape}".encode() + np.ascontiguousarray(value).tobytes())
                tokens += value.size if name == "input_ids" else 0
        of_tokens = head.scores == "tokens"
        if of_tokens and tokens * max(1, self._model.config.num_labels or 1) > _CACHED:
            return None
        path = folder / f"{digest.hexdigest()}.safetensors"
        try:
            return KeptLogits(map_file(path), of_tokens)
        except (CheckpointError, FileNotFoundError):  # not there, or damaged
            pass
        _log.info("the teacher's logits of %d rows are kept in %s", len(batches.rows), path)
        return KeptLogits(self._computed(in_order, head.logit_names, of_tokens, path), of_tokens)

    def _computed(
        self, batches: Batches, names: Sequence[str], of_tokens: bool, path: Path
    ) -> Mapping[str, np.ndarray]:
        parts: dict[str, list[np.ndarray]] = {name: [] for name in names}
        counts = []
        for step in range(len(batches)):
            batch = batches.at(step)
            found, mask = self.outputs(batch), batch["attention_mask"] != 0
            for name in names:
                parts[name].append(found[name][mask] if of_tokens else found[name])
            counts.append(mask.sum(-1) if of_tokens else np.ones(len(found[names[0]]), np.int64))
        arrays = {name: np.ascontiguousarray(np.concatenate(values)) for name, values in parts.items()}
        arrays["begins"] = np.concatenate([[0], np.cumsum(np.concatenate(counts))]).astype(np.int64)
        try:
            with atomic_path(path) as temporary:
                save_file(arrays, temporary)
        except OSError:  # a full disk: these are in memory
            return arrays
        return map_file(path)


class KeptLogits:
    """The logits of all rows, by their index."""

    def __init__(self, arrays: Mapping[str, np.ndarray], of_tokens: bool):
        self._arrays = {name: value for name, value in arrays.items() if name != "begins"}
        self._begins, self._of_tokens = arrays["begins"], of_tokens

    def of(self, indices: np.ndarray, mask: np.ndarray) -> dict[str, np.ndarray]:
        """Those of some rows; `mask` [B, T]: where each has tokens."""
        rows = [slice(self._begins[i], self._begins[i + 1]) for i in indices]
        found = {}
        for name, values in self._arrays.items():
            found[name] = np.concatenate([values[row] for row in rows])
            if self._of_tokens:
                flat, found[name] = found[name], np.full((*mask.shape, *values.shape[1:]), _HIDDEN)
                found[name][mask] = flat
        return found


class TaughtBatches:
    """Batches with the teacher's outputs, each name with `TEACHER` before it."""

    def __init__(self, teacher: Teacher, batches: Batches, kept: KeptLogits | None):
        self._teacher, self._batches, self._kept = teacher, batches, kept

    def __len__(self) -> int:
        return len(self._batches)

    def at(self, step: int) -> dict[str, np.ndarray]:
        """See `Batches.at`."""
        batch = self._batches.at(step)
        if self._kept is None:
            found = self._teacher.outputs(batch)
        else:
            found = self._kept.of(self._batches.indices(step), batch["attention_mask"] != 0)
        return batch | {f"{TEACHER}{name}": value for name, value in found.items()}
