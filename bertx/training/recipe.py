"""How a model is trained: AdamW, its schedule, and what they mean for each parameter and each update. No framework."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from bertx_weights import Row

SCHEDULES: Mapping[str, Callable[[float], float]] = {
    "linear": lambda done: 1 - done,
    "cosine": lambda done: 0.5 * (1 + math.cos(math.pi * done)),
    "constant": lambda done: 1.0,
}
"""Name → the share of the learning rate after the warm-up, of the share of the updates after it that are done."""

DTYPES = ("float32", "mixed_bfloat16", "float64")


@dataclass(frozen=True)
class Recipe:
    """How a model is trained; the same numbers mean the same updates on every backend.

    AdamW (Loshchilov and Hutter 2019) as torch.optim has it: moments are corrected for their bias, epsilon is added
    after that, and the decay is apart from the moments and scaled by the learning rate.

    Attributes:
        learning_rate: the highest.
        betas: the decay of both moments.
        epsilon: added to the root of the second moment.
        weight_decay: of matrices, those of Linear layers and of embeddings; biases and LayerNorms have none.
        warmup_ratio: the share of the updates over which the learning rate rises from 0.
        warmup_steps: the same as a number of updates; give one of both.
        schedule: "linear" and "cosine" fall to 0 after the warm-up, "constant" does not.
        max_grad_norm: gradients are scaled to this global norm where theirs is larger; None leaves them.
        gradient_accumulation_steps: how many batches make an update.
        label_smoothing: the share of a label's weight that all classes have alike; of class numbers only.
        layer_decay: what the learning rate of each layer is of that of the layer above; the head has the whole.
        epochs: how often each row is used; 3 where neither this nor `steps` is given.
        steps: the number of updates; give one of both.
        batch_size: rows of a batch.
        packing: whether several texts share a row, each attending to itself alone; of fill-mask.
        seed: of the order of the rows, of dropout, and of a new head's values.
        dtype: "float32"; "mixed_bfloat16": parameters are float32 and most products bfloat16; "float64" on torch.

    Raises:
        ValueError: values that cannot be; all are listed.
    """

    learning_rate: float = 5e-5
    betas: tuple[float, float] = (0.9, 0.999)
    epsilon: float = 1e-8
    weight_decay: float = 0.01
    warmup_ratio: float = 0.0
    warmup_steps: int = 0
    schedule: str = "linear"
    max_grad_norm: float | None = 1.0
    gradient_accumulation_steps: int = 1
    label_smoothing: float = 0.0
    layer_decay: float = 1.0
    epochs: float | None = None
    steps: int | None = None
    batch_size: int = 16
    packing: bool = False
    seed: int = 0
    dtype: str = "float32"

    def __post_init__(self) -> None:
        if isinstance(self.betas, list):  # of a JSON file
            object.__setattr__(self, "betas", tuple(self.betas))
        if problems := list(self._problems()):
            raise ValueError("\n  ".join(["this recipe cannot be:", *problems]))

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Recipe:
        """A recipe of a mapping, as that of a JSON file.

        Raises:
            ValueError: there are no such fields, or their values cannot be.
        """
        known = [field.name for field in dataclasses.fields(cls)]
        if unknown := sorted(values.keys() - set(known)):
            raise ValueError(f"a recipe has no {', '.join(map(repr, unknown))}; it has {', '.join(known)}")
        return cls(**values)

    def to_dict(self) -> dict[str, Any]:
        """All fields, as JSON has them."""
        return dataclasses.asdict(self) | {"betas": list(self.betas)}

    def updates(self, batches: int) -> int:
        """How many updates there are where an epoch has so many batches; the last may have fewer batches."""
        if self.steps is not None:
            return self.steps
        return -(-self.batches(batches) // self.gradient_accumulation_steps)

    def batches(self, batches: int) -> int:
        """How many batches the updates take together, where an epoch has so many."""
        if self.steps is not None:
            return self.steps * self.gradient_accumulation_steps
        return max(1, math.ceil((_EPOCHS if self.epochs is None else self.epochs) * batches))

    def learning_rate_of(self, update: int, updates: int) -> float:
        """The learning rate of an update, counted from 0, of so many."""
        warmup = self.warmup_steps or math.ceil(updates * self.warmup_ratio)
        if update < warmup:
            return self.learning_rate * update / warmup
        done = (update - warmup) / max(1, updates - warmup)
        return self.learning_rate * SCHEDULES[self.schedule](min(1.0, done))

    def bias_corrections(self, update: int) -> tuple[float, float]:
        """What the moments are divided by after an update, counted from 0.

        In Python's float64 for every backend: in float32, 1 − 0.999 has an error of 1.3e-5, which losses show.
        """
        return 1 - self.betas[0] ** (update + 1), 1 - self.betas[1] ** (update + 1)

    def groups(self, rows: Iterable[Row], bases: Mapping[str, int]) -> dict[str, Group]:
        """Schema name → how AdamW treats the parameter.

        bases: what the names of a base model begin with, such as "bert." → how many layers it has; an encoder and a
            decoder are two, each of which counts its own layers.
        """
        return {
            row.name: Group(
                self.weight_decay if row.kind in _DECAYED else 0.0,
                self.layer_decay ** _layers_above(row.name, bases),
            )
            for row in rows
        }

    def _problems(self) -> Iterable[str]:
        for name, (kind, fits, expected) in _FIELDS.items():
            value = getattr(self, name)
            allowed = (int, float) if kind is float else (kind,)
            if value is None and name in _OPTIONAL:
                continue
            if not isinstance(value, allowed) or isinstance(value, bool) != (kind is bool) or not fits(value):
                yield f"{name} is {value!r:.40}, expected {expected}"
        for one, other, unset in (("warmup_ratio", "warmup_steps", 0), ("epochs", "steps", None)):
            if getattr(self, one) != unset and getattr(self, other) != unset:
                yield f"{one} and {other} are both given, and say the same in two ways: give one"


@dataclass(frozen=True)
class Group:
    """How AdamW treats a parameter: its weight decay, and what the learning rate is multiplied by."""

    weight_decay: float
    scale: float


_EPOCHS = 3
_DECAYED = ("linear", "embedding")
_OPTIONAL = ("max_grad_norm", "epochs", "steps")


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _are_betas(value: tuple[Any, ...]) -> bool:
    return len(value) == 2 and all(_is_number(beta) and 0 <= beta < 1 for beta in value)


# Field → (its type, what holds of its value, the same in words).
_FIELDS: Mapping[str, tuple[type, Callable[[Any], bool], str]] = {
    "learning_rate": (float, lambda x: 0 < x < math.inf, "a number above 0"),
    "betas": (tuple, _are_betas, "two numbers from 0 to below 1"),
    "epsilon": (float, lambda x: 0 < x < math.inf, "a number above 0"),
    "weight_decay": (float, lambda x: 0 <= x < math.inf, "a number of at least 0"),
    "warmup_ratio": (float, lambda x: 0 <= x <= 1, "a number from 0 to 1; a number of updates is warmup_steps"),
    "warmup_steps": (int, lambda x: x >= 0, "an integer of at least 0; a share of the updates is warmup_ratio"),
    "schedule": (str, lambda x: x in SCHEDULES, f"one of {', '.join(SCHEDULES)}"),
    "max_grad_norm": (float, lambda x: 0 < x < math.inf, "a number above 0, or None"),
    "gradient_accumulation_steps": (int, lambda x: x >= 1, "an integer of at least 1"),
    "label_smoothing": (float, lambda x: 0 <= x < 1, "a number from 0 to below 1"),
    "layer_decay": (float, lambda x: 0 < x <= 1, "a number above 0, at most 1"),
    "epochs": (float, lambda x: 0 < x < math.inf, "a number above 0"),
    "steps": (int, lambda x: x >= 1, "an integer of at least 1"),
    "batch_size": (int, lambda x: x >= 1, "an integer of at least 1"),
    "packing": (bool, lambda x: True, "True or False"),
    "seed": (int, lambda x: 0 <= x < 2**32, "an integer from 0 to 2³² − 1"),
    "dtype": (str, lambda x: x in DTYPES, f"one of {', '.join(DTYPES)}"),
}


def _layers_above(name: str, bases: Mapping[str, int]) -> int:
    """How many layers lie between a parameter and the head: of the head and the pooler 0, of the embeddings all + 1."""
    prefix = next((prefix for prefix in bases if name.startswith(prefix)), None)
    if prefix is None:
        return 0
    num_layers, name = bases[prefix], name.removeprefix(prefix)
    if name.startswith("embeddings."):
        return num_layers + 1
    found = re.match(r"encoder\.layer\.(\d+)\.", name)
    return num_layers - int(found[1]) if found else 0
