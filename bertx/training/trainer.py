"""What a backend that trains offers: AdamW's updates of a native model, and its state under schema names."""

from __future__ import annotations

import contextlib
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ..backend import get_backend
from ..configs.base import ModelConfig, keep_config
from ..generation.config import GenerationConfig
from ..generation.loop import generate
from ..inputs import check_inputs
from ..models.layers.losses import IGNORE_INDEX
from ..registry import bases_of, head_of
from .recipe import Group, Recipe
from .world import World

if TYPE_CHECKING:
    from .distillation import Distillation

Batch = Mapping[str, np.ndarray]
MOMENTS = ("exp_avg", "exp_avg_sq")
"""The moments of AdamW by torch.optim's names: the first part of a moment's name, "exp_avg.bert.pooler.dense.bias"."""


TEACHER = "teacher."
"""What the names of a teacher's outputs begin with in a batch."""


class NotFiniteError(ValueError):
    """A loss or the norm of the gradients is NaN or infinite."""


@dataclass(frozen=True)
class Update:
    """The numbers of one update.

    Attributes:
        number: counted from 0.
        learning_rate: see `Recipe.learning_rate_of`.
        bias_corrections: see `Recipe.bias_corrections`.
    """

    number: int
    learning_rate: float
    bias_corrections: tuple[float, float]


class Trainer(ABC):
    """Updates a native model in place, by a recipe; `Backend.trainer` makes it.

    What is drawn in an update, for dropout, follows from the recipe's seed and the update's number alone: a state of
    random generators need not be kept. A tied parameter is one, under the name of the row that others are tied to.

    Attributes:
        dtypes: a recipe's dtype → the dtype that `bertx.load` gives the model for it.
        module: the native model, whose parameters are those of the last update.
        recipe: how it is trained.
        updates: how many updates there are, for the schedule.
        step_count: how many there have been.
        groups: schema name → how AdamW treats the parameter.
        world: the processes and devices that train the model.
        distillation: what is learnt of the teacher's outputs, which batches then have; None: there is no teacher.
    """

    dtypes: ClassVar[Mapping[str, str]]
    distillation: Distillation | None = None

    def __init__(self, module: Any, recipe: Recipe, updates: int, world: World | None = None):
        world = World() if world is None else world
        if recipe.dtype not in self.dtypes:
            raise ValueError(
                f"the {module.backend_name} backend trains in {', '.join(self.dtypes)}; the recipe's dtype is "
                f"{recipe.dtype!r}"
            )
        head, rows = head_of(module.architecture()), module.schema_rows()
        if recipe.label_smoothing and not _has_classes(module):
            raise ValueError(
                f"label_smoothing is {recipe.label_smoothing}, and the labels of this {module.architecture()} are no "
                "class numbers: give 0"
            )
        if recipe.batch_size % world.devices:
            fits = recipe.batch_size // world.devices * world.devices
            raise ValueError(
                f"batch_size is {recipe.batch_size}, the rows of a batch on all devices together, and {world.devices} "
                f"devices cannot have equal parts of it: give a multiple of {world.devices}, such as "
                f"{fits or world.devices} or {fits + world.devices}, or train on another number of devices"
            )
        self.module = module
        self.recipe = recipe
        self.world = world
        self.updates = updates
        self.step_count = 0
        bases = bases_of(module.architecture(), module.config)
        self.groups = recipe.groups([row for row in rows if row.tied_to is None], bases)
        if not head.reads_pooler:  # a pooler that is there all the same has no gradient: it stays as it is
            poolers = tuple(f"{prefix}pooler." for prefix in bases)
            self.groups |= {
                name: Group(0.0, group.scale) for name, group in self.groups.items() if name.startswith(poolers)
            }

    @classmethod
    def rank(cls) -> int:
        """The number of this process among those that the framework's launcher started; 0 where there is one."""
        return 0

    @classmethod
    @contextlib.contextmanager
    def join(cls, device: str | None = None, is_sharded: bool = False) -> Iterator[World]:
        """Within, this process trains with those that the framework's own launcher started; before a model is made.

        Args:
            device: the user's, None where none was named.
            is_sharded: whether parameters and moments are spread over the devices.

        Raises:
            ValueError: the launcher's settings do not fit, or there is nothing to spread them over.
        """
        if is_sharded:
            raise ValueError(
                "shard spreads the parameters over several devices, and this process trains on one: start it with the "
                "framework's launcher, or leave shard out"
            )
        yield World(device)

    @contextlib.contextmanager
    def gathered(self) -> Iterator[None]:
        """Within, this process has the whole value of each parameter in `module`; every process has to enter it."""
        yield

    def close(self) -> None:
        """Lets go of what belongs to `world`, which is about to end: the trainer makes no further update."""
        self.world = World()

    def step(self, batches: Sequence[Batch], update: int) -> tuple[float, float]:
        """One update, counted from 0, of the mean gradient of batches; gives their mean loss and the gradients' norm.

        Each batch weighs as much as it has labels that count: the update is that of all of their rows as one batch.
        The batches are whole: every process is given all of their rows, and computes its part.
        Of a head with several kinds of labels (question answering, pre-training) it weighs as much as it has rows.

        Raises:
            ValueError: inputs that the model does not take, or no label counts.
            NotFiniteError: the loss, or the norm of the gradients, is NaN or infinite.
        """
        architecture, config = self.module.architecture(), self.module.config
        given = [self._checked(batch) for batch in batches]
        counts = [count_labels(architecture, config, batch) for batch in given]
        if not sum(counts):
            raise ValueError(f"update {update}: none of the labels counts, all are {IGNORE_INDEX}")
        weighted = [(batch, count / sum(counts)) for batch, count in zip(given, counts, strict=True) if count]
        rate = self.recipe.learning_rate_of(update, self.updates)
        with self._label_smoothing():
            loss, norm = self._step(weighted, Update(update, rate, self.recipe.bias_corrections(update)))
        if not (math.isfinite(loss) and math.isfinite(norm)):
            raise NotFiniteError(f"update {update}: the loss is {loss} and the norm of the gradients {norm}")
        self.step_count = update + 1
        return loss, norm

    def part_of(self, batch: Batch, share: float, index: int, count: int) -> tuple[Batch, float]:
        """The rows of a batch that one of `count` devices computes, and their share of the update's loss.

        A part weighs as much as it has labels that count. One without any, or without rows, is a row of the batch that
        has labels, with a share of 0: the other devices wait for each to take part.
        """
        architecture, config = self.module.architecture(), self.module.config
        if any(name not in batch for name in head_of(architecture).labels):
            raise ValueError(
                "these rows are the negatives of one another, and have to be on one device: train on one, or on jax, "
                "whose devices compute a batch together"
            )

        def rows(first: int, last: int) -> Batch:
            return {name: value[first:last] for name, value in batch.items()}

        size = len(next(iter(batch.values())))
        part = rows(index * size // count, (index + 1) * size // count)
        if counted := count_labels(architecture, config, part):
            return part, share * counted / count_labels(architecture, config, batch)
        singles = (rows(i, i + 1) for i in range(size))
        return next(row for row in singles if count_labels(architecture, config, row)), 0.0

    def evaluate(self, batch: Batch) -> dict[str, Any]:
        """The outputs of a batch as NumPy arrays, without dropout; the loss has the recipe's label smoothing.

        Every process has to call it, each with the same batch.
        """
        checked = check_inputs(self.module.architecture(), self.module.config, batch)
        with keep_config(), self._label_smoothing():
            return self._evaluate(checked)

    def _evaluate(self, batch: Batch) -> dict[str, Any]:
        """`evaluate` of a batch that was checked."""
        return get_backend(self.module.backend_name).forward(self.module, batch, {})

    def generate(self, batch: Batch, config: GenerationConfig, **options: Any) -> list[list[int]]:
        """What an encoder-decoder writes of the texts of a batch: the tokens of each; `options` are of `generate`.

        Every process has to call it, each with the same batch.
        """
        with self.gathered():
            decoder = get_backend(self.module.backend_name).decoder(self.module)
            encoded = decoder.encode(batch["input_ids"], batch["attention_mask"])
            prompts = [[self.module.config.decoder_start_token_id]] * len(batch["input_ids"])
            return [found[0].tokens for found in generate(encoded, prompts, config, **options)]

    def dump(self) -> tuple[int, dict[str, np.ndarray]]:
        """(Updates so far, "MOMENT.NAME" → the moment in schema layout), of each parameter that is trained.

        The arrays may be those of the next update: write or copy them before it. Every process has to call it.
        """
        return self.step_count, self._dump()

    def restore(self, step: int, moments: Mapping[str, np.ndarray]) -> None:
        """Goes on from what `dump` gave, on this or another backend.

        Raises:
            ValueError: the moments are not those of this model; all that is wrong with them is listed.
        """
        shapes = {row.name: row.shape for row in self.module.schema_rows()}
        expected = {f"{moment}.{name}": shapes[name] for moment in MOMENTS for name in self.trained()}
        problems = [f"{name} is missing" for name in expected.keys() - moments.keys()]
        problems += [f"{name} is not of this model" for name in moments.keys() - expected.keys()]
        problems += [
            f"{name} is {value.dtype} {list(value.shape)}, expected a floating dtype {list(expected[name])}"
            for name, value in moments.items()
            if name in expected and (value.shape != expected[name] or value.dtype.kind != "f")
        ]
        if problems:
            raise ValueError("\n  ".join(["the optimizer's moments do not fit this model:", *sorted(problems)]))
        self._restore(step, moments)
        self.step_count = step

    def _checked(self, batch: Batch) -> Batch:
        """The batch, whose inputs are checked; those of a teacher came from its own forward."""
        of_teacher = {name: value for name, value in batch.items() if name.startswith(TEACHER) and self.distillation}
        inputs = {name: value for name, value in batch.items() if name not in of_teacher}
        return check_inputs(self.module.architecture(), self.module.config, inputs) | of_teacher

    def _loss_of(self, module: Any, forward: Callable[..., Any], batch: Mapping[str, Any]) -> Any:
        """The loss of a batch of tensors: that of its labels, or with a teacher's outputs what is learnt of both."""
        if self.distillation is None:
            return self._mean_loss(forward(**batch, return_dict=True)["loss"], batch)
        teacher = {name.removeprefix(TEACHER): value for name, value in batch.items() if name.startswith(TEACHER)}
        inputs = {name: value for name, value in batch.items() if not name.startswith(TEACHER)}
        flags = {"output_hidden_states": True} if self.distillation.needs_states else {}
        output = forward(**inputs, **flags, return_dict=True)
        loss = self._mean_loss(output["loss"], inputs)
        combined = get_backend(module.backend_name).spec_class("distillation", "distillation_loss")
        return combined(module, inputs, output, loss, teacher, self.distillation)

    def _mean_loss(self, loss: Any, batch: Mapping[str, Any]) -> Any:
        """The loss that a model gave, as one number."""
        return loss

    @contextlib.contextmanager
    def _label_smoothing(self) -> Iterator[None]:
        """Within, the model's loss has that of the recipe."""
        if not self.recipe.label_smoothing:
            yield
            return
        self.module.label_smoothing = self.recipe.label_smoothing
        try:
            yield
        finally:
            self.module.label_smoothing = 0.0

    @abstractmethod
    def trained(self) -> Sequence[str]:
        """The schema names of the parameters that are trained."""

    @abstractmethod
    def _step(self, batches: Sequence[tuple[Batch, float]], update: Update) -> tuple[float, float]:
        """`step` of batches with the share of the loss that each has."""

    @abstractmethod
    def _dump(self) -> dict[str, np.ndarray]:
        """The moments of `dump`."""

    @abstractmethod
    def _restore(self, step: int, moments: Mapping[str, np.ndarray]) -> None:
        """`restore` of moments that fit."""


CLIP_EPSILON = 1e-6
"""Added to the norm that gradients are divided by, as torch.nn.utils.clip_grad_norm_ does."""


def count_labels(architecture: str, config: ModelConfig, batch: Batch) -> int:
    """How many labels of a batch the mean of its loss is over.

    Raises:
        ValueError: labels of the head are missing.
    """
    head = head_of(architecture)
    if not head.labels:
        raise ValueError(f"{architecture} has no loss: it is trained with a head; name one with task=")
    if missing := [name for name in head.labels if name not in batch]:
        if head.needs_labels:
            raise ValueError(f"a batch for {architecture} has no {', '.join(missing)}; it has {', '.join(batch)}")
        return len(batch["input_ids"])
    labels, *others = (batch[name] for name in head.labels)
    ((of, limit), *_) = head.labels.values()
    if others or limit == "numbers" or (limit == "num_labels" and of == "texts" and not _are_classes(config, labels)):
        return len(labels)
    return int(np.count_nonzero((labels[:, 1:] if head.causal and of == "tokens" else labels) != IGNORE_INDEX))


def _are_classes(config: ModelConfig, labels: np.ndarray) -> bool:
    if config.problem_type is None:
        return config.num_labels != 1 and labels.dtype.kind != "f"
    return config.problem_type == "single_label_classification"


def _has_classes(module: Any) -> bool:
    """Whether the labels of a head are class numbers, which can be smoothed."""
    labels = head_of(module.architecture()).labels
    if any(limit in ("positions", "numbers") for _, limit in labels.values()):
        return False
    if ("texts", "num_labels") not in labels.values():
        return True
    return module.config.problem_type in (None, "single_label_classification") and module.config.num_labels > 1


def draw_of(seed: int, update: int, batch: int, stream: int = 0) -> int:
    """The seed of what is drawn for a batch of an update: 32 bits."""
    return int(np.random.SeedSequence([seed, update, batch, stream]).generate_state(1)[0])
