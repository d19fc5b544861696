"""bertx.train: a checkpoint and rows become a trained checkpoint, by a run that can be cut off and resumed."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import logging
import math
import os
import signal
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bertx_weights import CheckpointError, write_atomically
from bertx_weights.files import locked

from ..backend import Backend, check_device, get_backend
from ..checkpoints.adapters import open_merged
from ..checkpoints.fresh import new_model
from ..checkpoints.load import config_of, load_model
from ..checkpoints.train_state import Best, TrainState, keep_last, read_state, save_state, steps_of
from ..checkpoints.warm_start import warm_start
from ..configs.base import ModelConfig
from ..data import Batches, collator_of, labels_of, problem_type_of, read
from ..data.collators import text_format_of
from ..data.columns import LABEL, Field, as_list
from ..data.labels import Classes
from ..hub.bases import files_folder
from ..hub.sources import resolve
from ..model import Model
from ..parity_report import parity_of_one_batch
from ..registry import (
    architecture_of_task,
    check_task,
    head_of,
    made_of_parts,
    own_architecture,
    prefix_of,
    task_of_architecture,
)
from ..tasks.sentence_transformers import read_embedding_settings
from ..tokenizers.auto import read_tokenizer
from .distillation import Distillation, TaughtBatches, Teacher
from .embeddings import Embedder
from .metrics import metrics_of
from .recipe import Recipe
from .report import METRICS, Lines, draw_curves, read_lines, write_card
from .trainer import NotFiniteError, Trainer, count_labels
from .world import World

_log = logging.getLogger("bertx")
_SAMPLED = 1000  # rows of the data that their digest is of
_LOWER_IS_BETTER = ("loss", "perplexity", "mse")
_EMBEDDINGS = "feature-extraction"


class TrainingStopped(KeyboardInterrupt):
    """A run was stopped by Ctrl-C or SIGTERM, after it saved its state; the message says how to go on."""


class TrainingError(ValueError):
    """A run cannot go on; the message names the update, and the last checkpoint, which is whole."""


@dataclass(frozen=True)
class Progress:
    """A run after an update.

    Attributes:
        step: updates so far.
        updates: how many there are.
        epoch: how often the data were gone through, with the fraction.
        loss: of the update's rows, before it.
        learning_rate: of the update.
        grad_norm: of the gradients, before they were clipped.
    """

    step: int
    updates: int
    epoch: float
    loss: float
    learning_rate: float
    grad_norm: float


def train(
    source: str | os.PathLike[str],
    data: Sequence[Mapping[str, Any]] | str | os.PathLike[str],
    *,
    out: str | os.PathLike[str],
    task: str | None = None,
    backend: str | Backend | None = None,
    device: Any = None,
    revision: str | None = None,
    recipe: Recipe | None = None,
    evaluation: Sequence[Mapping[str, Any]] | str | os.PathLike[str] | None = None,
    metric: str | None = None,
    patience: int | None = None,
    labels: Sequence[str] | None = None,
    problem_type: str | None = None,
    config: ModelConfig | Mapping[str, Any] | str | os.PathLike[str] | None = None,
    collator: Mapping[str, Any] | None = None,
    teacher: str | os.PathLike[str] | None = None,
    teacher_backend: str | Backend | None = None,
    distillation: Distillation | Mapping[str, Any] | None = None,
    layers: Sequence[int] | None = None,
    save_steps: int | None = None,
    keep: int = 2,
    resume: bool = False,
    shard: bool = False,
    on_step: Callable[[Progress], None] | None = None,
    **fields: Any,
) -> Model:
    """Fine-tunes a checkpoint on rows, and writes the trained one to a folder that `bertx.load` takes.

    OUT has beside it README.md, a model card; curves.png, with matplotlib; metrics.jsonl, a line for each update and
    each evaluation; the same for TensorBoard in tensorboard/, with tensorboardX; and checkpoints/STEP, from which a run
    that was cut off goes on: on a CPU to the same weights, bit by bit, or on another backend. There
    its numbers are the same within rounding, but for dropout, which every framework draws in its own way.

    Where the framework's own launcher started several processes, as torchrun does, and on several devices, each of
    them computes a part of every batch: the updates are those of one device, and process 0 writes the files.

    ```python
    bertx.train("bert-base", rows, task="text-classification", out="classifier", epochs=3, learning_rate=2e-5)
    ```

    Args:
        source: as in `bertx.load`.
        data: rows, {"text": …, "label": …} or as the task's collator in `bertx.data` has them; or a file of such.
        out: the folder to write; it must not be there, or with `resume` be that of this run.
        task: a pipeline tag; None is the checkpoint's own. A head that the checkpoint lacks begins anew.
            "feature-extraction" trains sentence embeddings: of pairs or triplets by the negatives of their batch, of
            scored pairs by their cosine.
            "summarization" trains an encoder-decoder; of a checkpoint that is none it makes one, whose encoder and
            decoder both begin with it.
        backend, device, revision: as in `bertx.load`.
        recipe: how it is trained; or give the fields of a `Recipe` as arguments: `learning_rate=2e-5`.
        evaluation: rows to evaluate on whenever the state is saved.
        metric: "loss", or one that `bertx.training.metrics.metrics_of` has for the task, such as "accuracy": what is
            written in the end is then the checkpoint where it was best.
        patience: the run ends after so many evaluations in a row where `metric` was not better than before.
        labels: the classes; None takes the checkpoint's where its head has those of the data, else those of the data.
        problem_type: of a text classifier; None follows from the first row's label: a list means several labels, a
            number with a fraction regression, else it is one label.
        config: of a new model, which begins with values drawn from the recipe's seed: a config, its keys, or a
            config.json; `source` then is that of a tokenizer, as `bertx.train_tokenizer` writes it, and needs no
            weights. Keys without vocab_size and pad_token_id take the tokenizer's.
        collator: further arguments of `bertx.data.collator_of`, such as `{"max_length": 128}`.
        teacher: a checkpoint to learn from beside the labels, as in `bertx.load`; its predictions for all rows are kept
            in $XDG_CACHE_HOME/bertx/teachers, unless there are too many.
        teacher_backend: what runs it; None is `backend`.
        distillation: what is learnt of it: a `bertx.Distillation`, or its fields as a dict.
        layers: the layers of the source, counted from 0, that the model begins with: a student of three layers of its
            teacher is `layers=[1, 3, 5]`. None is all.
        save_steps: the state is saved after so many updates; None is once an epoch. It is saved after the last, too.
        keep: how many checkpoints of the run are kept, the last ones, beside the best.
        resume: goes on from the last checkpoint in `out`; with none there it begins.
        shard: parameters and moments are spread over the devices (torch: FSDP2; JAX: along the axis "embed"), rather
            than copied to each.
        on_step: is called after each update, in process 0.
        fields: of the recipe.

    Returns:
        The trained model, in inference mode.

    Raises:
        ValueError: arguments, a recipe or rows that cannot be; a backend without a trainer.
        TrainingError: the loss or the gradients are not finite.
        TrainingStopped: Ctrl-C or SIGTERM.
        FileExistsError: `out` is there, or another job writes it.
        CheckpointError: as in `bertx.load`, or a checkpoint of the run is broken.
    """
    if recipe is not None and fields:
        raise ValueError(f"give recipe= or its fields, not both: {', '.join(fields)}")
    recipe = Recipe.of(fields) if recipe is None else recipe
    _check(metric, evaluation, patience, save_steps, keep)
    learnt = _distillation(teacher, teacher_backend, distillation)
    chosen = get_backend(backend)
    trainer_class = chosen.trainer()
    if recipe.dtype not in trainer_class.dtypes:
        raise ValueError(
            f"the {chosen.name} backend trains in {', '.join(trainer_class.dtypes)}; asked for {recipe.dtype!r}"
        )
    if config is not None and layers is not None:
        raise ValueError("layers are of a checkpoint, and the model of config= is new: leave one of both out")
    if config is not None and (task is None or labels is not None or problem_type is not None):
        raise ValueError(
            "a new model has no task of its own: give task="
            if task is None
            else "labels and problem_type are of a checkpoint's new head: a new model has those of its config"
        )
    out = Path(out)
    with contextlib.ExitStack() as stack:
        world = stack.enter_context(trainer_class.join(device, shard))
        device = check_device(chosen, world.device)
        if world.rank:
            stack.enter_context(_silent())
        checkpoints, last = stack.enter_context(_begun(out, resume, world))
        state = read_state(checkpoints / str(last)) if last else None
        dtype = trainer_class.dtypes[recipe.dtype]
        if state is None:
            columns = (collator or {}).get("columns") or {}
            column = columns.get("label", columns.get("tags"))
            if config is None:
                task, rows, changes, resize = _head(source, revision, task, data, column, labels, problem_type)
                model = _loaded(source, task, chosen, dtype, device, revision, changes, resize, recipe.seed, layers)
            else:
                task = check_task(task or "")
                rows = read_rows(task, data)
                options = {"dtype": dtype, "device": device, "revision": revision, "seed": recipe.seed}
                model = new_model(source, config, task, chosen, **options)
        else:
            model = load_model(checkpoints / str(state.step), None, chosen, dtype=dtype, device=device)
            if task is not None and check_task(task) != model.task:
                raise ValueError(f"{checkpoints / str(state.step)} is of a run of {model.task}; the task is now {task}")
            task = model.task
            rows = read_rows(task, data)
        module, tokenizer, options = model.module, model.tokenizer, _collator(task, recipe, collator)
        if task == _EMBEDDINGS:
            model = embedder = Embedder(model, chosen)
            module, tokenizer, options = embedder.similarity(), embedder.reader, embedder.collator | options
        collate = collator_of(task, tokenizer, model.config, **options)
        batches = Batches(rows, collate, recipe.batch_size, recipe.seed)
        held_out = None if evaluation is None else read_rows(task, evaluation)
        evaluated = None
        if held_out is not None:
            evaluated = Batches(held_out, collate, recipe.batch_size, recipe.seed, shuffle=False)
        run = {"architecture": model.architecture, "rows": len(rows), "digest": _digest(rows), "metric": metric}
        run["collator"] = dict(collator) if collator else None
        trainer = trainer_class(module, recipe, recipe.updates(len(batches)), world)
        stack.callback(trainer.close)
        run |= {"teacher": None, "distillation": None, "layers": None if layers is None else list(layers)}
        if learnt is not None:
            if task == _EMBEDDINGS or recipe.packing or made_of_parts(task):
                what = "packing" if recipe.packing else f"the task {task}"
                raise ValueError(f"{what} has no distillation: train without a teacher")
            if world.devices > 1 or world.is_sharded:
                raise ValueError(
                    f"a teacher's outputs are of all rows of a batch, which {world.devices} devices share here: train "
                    "with a teacher on one device"
                )
            runs = chosen if teacher_backend is None else get_backend(teacher_backend)
            taught_by = Teacher(teacher, task, runs, device if runs is chosen else None, learnt)
            taught_by.check(model)
            batches = taught_by.taught(batches)
            trainer.distillation = learnt
            run |= {"teacher": taught_by.digest, "distillation": learnt.to_dict()}
        if state is not None:
            _check_same(state, recipe, run, trainer.updates, checkpoints)
            _tell_of_dropout(state, chosen, model.config)
            trainer.restore(state.step, state.moments)
        if evaluated is not None:  # before the first update: what is missing for it is told now
            found = evaluate(trainer, evaluated, collate, 1)
            if metric is not None and metric not in found:
                raise ValueError(f"metric is {metric!r}; those of this {model.architecture} are {', '.join(found)}")
        watch = Watch(metric, patience)
        watch.best = state.best if state else None
        loop = _Run(out, checkpoints, model, trainer, batches, evaluated, collate, watch, run, keep, on_step)
        loop.go(save_steps or max(1, len(batches) // recipe.gradient_accumulation_steps))
        step = trainer.step_count if watch.best is None else watch.best.step
        # With its parameters spread over devices that are given back, the model itself is of no use.
        if world.is_sharded or step != trainer.step_count:
            model = load_model(checkpoints / str(step), None, chosen, dtype=dtype, device=device)
        with trainer.gathered():
            if world.rank == 0:
                model.save(out)
        world.total(0)  # the others go on when it is written
        model.folder = out
        if world.rank:
            return model
    # Outside of the world: the other processes have nothing more to do.
    of_data = {"training": (data, rows)} | ({} if held_out is None else {"evaluation": (evaluation, held_out)})
    draw_curves(out)
    found = parity_of_one_batch(out, chosen.name, device)
    if not found.passed:
        _log.warning("%s differs more from the float64 oracle than rounding explains:\n%s", out, found)
    write_card(out, model, source, of_data, recipe, trainer.step_count, watch, found)
    return model


class Watch:
    """The best evaluation so far, and whether to stop early, as transformers' EarlyStoppingCallback decides it.

    Attributes:
        metric: what is watched; None watches nothing.
        best: the best evaluation.
        waited: how many evaluations in a row were not better than the best before them.
    """

    def __init__(self, metric: str | None, patience: int | None):
        self.metric = metric
        self.best: Best | None = None
        self.waited = 0
        self._patience, self._count = patience, 0

    def add(self, step: int, value: float) -> None:
        """Adds an evaluation; NaN and infinity are never the best."""
        sign = -1 if self.metric in _LOWER_IS_BETTER else 1
        is_better = math.isfinite(value) and (self.best is None or sign * value > sign * self.best.value)
        self.waited = 0 if is_better or not self._count else self.waited + 1
        self._count += 1
        if is_better:
            self.best = Best(step, value)

    @property
    def is_over(self) -> bool:
        """Whether the run ends now."""
        return self._patience is not None and self.waited >= self._patience


class _Run:
    """The loop of a run."""

    def __init__(
        self,
        out: Path,
        checkpoints: Path,
        model: Model,
        trainer: Trainer,
        batches: Batches | TaughtBatches,
        evaluated: Batches | None,
        collate: Any,
        watch: Watch,
        run: Mapping[str, Any],
        keep: int,
        on_step: Callable[[Progress], None] | None,
    ):
        self._out, self._checkpoints = out, checkpoints
        self._model, self._trainer, self._batches = model, trainer, batches
        self._evaluated, self._collate, self._watch = evaluated, collate, watch
        self._run, self._keep = run, keep
        self._on_step = None if trainer.world.rank else on_step

    def go(self, save_steps: int) -> None:
        """All updates from the trainer's step on."""
        trainer, recipe = self._trainer, self._trainer.recipe
        in_all = recipe.batches(len(self._batches))
        path = self._out / METRICS
        if trainer.world.rank == 0:
            keep_last(self._checkpoints, self._keep, self._watch.best)
            _cut(path, trainer.step_count)
        trainer.world.total(0)  # the others read what is left of it
        self._watch_before(path)
        events = self._out / "tensorboard"
        if trainer.world.rank:
            path = events = None
        with _stop_asked_for() as stop, Lines(path, events, trainer.step_count) as lines:
            for update in range(trainer.step_count, trainer.updates):
                if self._watch.is_over:
                    break
                first = update * recipe.gradient_accumulation_steps
                last = min(first + recipe.gradient_accumulation_steps, in_all)
                try:
                    with self._together(update):
                        loss, norm = trainer.step([self._batches.at(i) for i in range(first, last)], update)
                except NotFiniteError as error:
                    raise TrainingError(f"{error}; {self._way_out()}") from error
                step, rate = update + 1, recipe.learning_rate_of(update, trainer.updates)
                done = Progress(step, trainer.updates, last / len(self._batches), loss, rate, norm)
                lines.write({name: value for name, value in vars(done).items() if name != "updates"})
                if self._on_step is not None:
                    self._on_step(done)
                if step % save_steps == 0 or step == trainer.updates:
                    with self._together(update):
                        if self._evaluated is not None:
                            lines.write(self._evaluation(step))
                        self._save(step, last)
                with self._together(update):
                    stops = trainer.world.total(len(stop))
                if stops:
                    with self._together(update):
                        self._save(step, last)
                    raise TrainingStopped(
                        f"stopped after update {step} of {trainer.updates}, saved in {self._checkpoints / str(step)}: "
                        "go on with the same arguments and resume=True"
                    )
        if self._watch.is_over:
            _log.info(
                "ended after update %d of %d: in %d evaluations %s was not better than after update %d",
                trainer.step_count,
                trainer.updates,
                self._watch.waited,
                self._watch.metric,
                self._watch.best.step if self._watch.best else 0,
            )

    def _watch_before(self, path: Path) -> None:
        """The evaluations of before the run was cut off."""
        best, name = self._watch.best, f"eval_{self._watch.metric}"
        self._watch.best = None
        for line in read_lines(path):
            if name in line:
                value = line[name]
                self._watch.add(line["step"], math.nan if value is None else value)
        self._watch.best = best

    def _save(self, step: int, batches: int) -> None:
        trainer = self._trainer
        _, moments = trainer.dump()
        state = TrainState(
            step, batches, trainer.updates, trainer.recipe, self._run, self._model.backend, self._watch.best, moments
        )
        with trainer.gathered():
            if trainer.world.rank == 0:
                save_state(self._checkpoints, self._model, state)
                keep_last(self._checkpoints, self._keep, self._watch.best)
        trainer.world.total(0)  # the others go on when it is written

    def _evaluation(self, step: int) -> dict[str, Any]:
        """The line of metrics.jsonl; notes the best."""
        assert self._evaluated is not None
        world = self._trainer.world
        # Each process evaluates all rows, so that none waits for long; where one rounds in another way, 0 decides.
        found = evaluate(self._trainer, self._evaluated, self._collate)
        found = {name: world.total(0 if world.rank else value) for name, value in found.items()}
        if self._watch.metric is not None:
            self._watch.add(step, found[self._watch.metric])
        finite = {name: value if math.isfinite(value) else None for name, value in found.items()}
        return {"step": step, **{f"eval_{name}": value for name, value in finite.items()}}

    @contextlib.contextmanager
    def _together(self, update: int) -> Iterator[None]:
        """Inside, errors of a framework, as where another process has ended, say how to go on."""
        world = self._trainer.world
        try:
            yield
        except (ValueError, TypeError, OSError):  # those of this process alone
            raise
        except Exception as error:
            if world.processes == 1:
                raise
            steps = steps_of(self._checkpoints)
            saved = f"the last checkpoint, {self._checkpoints / str(steps[-1])}, is whole" if steps else "none is saved"
            raise TrainingError(
                f"update {update} failed on process {world.rank} of {world.processes}: {error}\nWhere another process "
                f"has ended, its output says why; {saved}: start all of them again, with resume=True"
            ) from error

    def _way_out(self) -> str:
        steps = steps_of(self._checkpoints)
        advice = "train with a lower learning_rate, or look for what is wrong with the rows of that update"
        if not steps:
            return f"nothing was saved yet: {advice}"
        return f"the last checkpoint, {self._checkpoints / str(steps[-1])}, is whole: {advice}"


def evaluate(trainer: Trainer, batches: Batches, collate: Any = None, count: int | None = None) -> dict[str, float]:
    """The mean loss over labels, with the recipe's label smoothing, and the metrics of the task.

    `collate`: the task's collator, for metrics of texts. `count`: of the first so many batches alone.

    Raises:
        ValueError: no label counts.
        MissingExtraError: a library of the metrics is not installed.
    """
    architecture, config = trainer.module.architecture(), trainer.module.config
    metrics = metrics_of(head_of(architecture).task, config, collate)
    loss = counted = 0.0
    for i in range(len(batches) if count is None else count):
        batch = batches.at(i)
        if labels := count_labels(architecture, config, batch):
            outputs = trainer.evaluate(batch)
            outputs |= metrics.written(trainer.generate, batch)
            loss += float(np.mean(outputs["loss"])) * labels
            counted += labels
            metrics.add(outputs, batch)
            if metrics.needs_rows:
                metrics.add_rows(outputs, [batches.rows[int(index)] for index in batches.indices(i)])
    if not counted:
        raise ValueError("none of the labels of the evaluation counts")
    return {"loss": loss / counted, **metrics.compute()}


# --- before the first update ------------------------------------------------------------------------


def _check(metric: Any, evaluation: Any, patience: Any, save_steps: Any, keep: Any) -> None:
    problems = []
    if patience is not None and metric is None:
        problems.append(f"patience is {patience!r}, and no metric is watched: give metric=")
    if metric is not None and evaluation is None:
        problems.append(f"metric is {metric!r}, and there are no rows for it: give evaluation=")
    for name, value in (("patience", patience), ("save_steps", save_steps), ("keep", keep)):
        if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
            problems.append(f"{name} is {value!r}, expected an integer of at least 1")
    if problems:
        raise ValueError("\n  ".join(["this run cannot be:", *problems]))


def _distillation(teacher: Any, backend: Any, settings: Any) -> Distillation | None:
    if teacher is None:
        if settings is not None or backend is not None:
            raise ValueError("distillation and teacher_backend are of a teacher, and there is none: give teacher=")
        return None
    return settings if isinstance(settings, Distillation) else Distillation.of(settings or {})


def _collator(task: str, recipe: Recipe, options: Mapping[str, Any] | None) -> dict[str, Any]:
    """The options of a task's collator, with what the recipe says."""
    if recipe.packing and task != "fill-mask":
        raise ValueError(f"packing is of fill-mask, and the task is {task}: leave it out")
    return {**(options or {}), **({"packing": True} if recipe.packing else {})}


def read_rows(task: str, data: Any) -> Sequence[Mapping[str, Any]]:
    """The rows of a file, read as the task needs them, or those that are given."""
    rows = read(data, text_format_of(task, data)) if isinstance(data, (str, os.PathLike)) else data
    if not hasattr(rows, "__getitem__") or not hasattr(rows, "__len__"):
        raise TypeError(f"the data are a {type(rows).__name__}, expected a list of dicts, or a file")
    if not len(rows):
        raise ValueError("there are no rows to train on")
    return rows


@contextlib.contextmanager
def _begun(out: Path, resume: bool, world: World) -> Iterator[tuple[Path, int]]:
    """The folder of a run's checkpoints and the last step there, or 0; process 0 keeps other jobs from it meanwhile."""
    checkpoints = out / "checkpoints"
    with contextlib.ExitStack() as stack:
        last = 0
        try:
            if world.rank == 0:
                stack.enter_context(_reserved(out, checkpoints, resume))
                last = max(steps_of(checkpoints), default=0)
        except BaseException:
            world.total(_FAILED)
            raise
        if (last := int(world.total(last))) == _FAILED:
            raise TrainingError(f"the run has not begun on process {world.rank}: process 0 failed, its output says why")
        if last and last not in steps_of(checkpoints):
            raise TrainingError(
                f"process 0 goes on from {checkpoints / str(last)}, which process {world.rank} does not see: put out "
                "on a file system that all processes share"
            )
        yield checkpoints, last


_FAILED = -1


@contextlib.contextmanager
def _reserved(out: Path, checkpoints: Path, resume: bool) -> Iterator[None]:
    """Keeps other jobs from the folder of a run's checkpoints; what is made goes again if left empty."""
    if checkpoints.is_dir():
        if not resume:
            raise FileExistsError(f"{out} has a run already: give resume=True to go on with it, or another out")
    elif out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise FileExistsError(f"{out} is there already, and has no run that could be resumed: give another out")
    made = [folder for folder in (checkpoints, *checkpoints.parents) if not folder.exists()]
    checkpoints.mkdir(parents=True, exist_ok=True)
    try:
        with locked(checkpoints):
            yield
    finally:
        for folder in made:
            with contextlib.suppress(OSError):
                folder.rmdir()


def _head(
    source: Any,
    revision: str | None,
    task: str | None,
    data: Any,
    column: str | None,
    labels: Any,
    problem_type: str | None,
) -> tuple[str, Sequence[Mapping[str, Any]], dict[str, Any], bool]:
    """The task, its rows, the fields of the config that the data change, and whether its head begins anew."""
    checkpoint = open_merged(resolve(source, revision=revision))
    config = config_of(checkpoint)
    own = own_architecture(config, {tensor.schema_name for tensor in checkpoint.tensors.values()}) if not task else None
    task = task_of_architecture(own) if own else check_task(task or "")
    if made_of_parts(task) not in (None, config.model_type):
        if labels is not None or problem_type is not None:
            raise ValueError(f"labels and problem_type are of classifiers, and the task is {task}")
        return task, read_rows(task, data), {}, False
    architecture = architecture_of_task(task, config.model_type)
    pools = own is None or bool(read_embedding_settings(checkpoint.folder, config.hidden_size).modules)
    if task == _EMBEDDINGS and pools and labels is None and problem_type is None:
        return task, read_rows(task, data), {}, False
    if not head_of(architecture).labels:
        raise ValueError(f"{architecture} has no loss to train it with: name a head with task=")
    of_labels = head_of(architecture).labels.get("labels", ("", ""))
    has_labels = of_labels[1] == "num_labels"
    if not has_labels and (labels is not None or problem_type is not None):
        raise ValueError(f"labels and problem_type are of classifiers, and the task is {task}")
    if of_labels != ("texts", "num_labels") and problem_type is not None:
        raise ValueError(f"problem_type is of text-classification, and the task is {task}")
    rows = read_rows(task, data)
    if not has_labels:
        return task, rows, {}, False
    has_head = architecture in (config.architectures or ()) or own is not None
    changes: dict[str, Any] = {}
    if of_labels[0] == "texts":
        known = config.problem_type if has_head else None
        problem_type = problem_type or known or problem_type_of(rows, column)
        changes["problem_type"] = problem_type
        if problem_type == "regression":
            return task, rows, changes | _numbers(config, rows, column, labels), True
    names = labels_of(rows, column) if labels is None else tuple(labels)
    if has_head and labels is None and _knows(config, names):
        return task, rows, changes, False
    changes |= {"id2label": dict(enumerate(names)), "label2id": {name: i for i, name in enumerate(names)}}
    return task, rows, changes, True


def _knows(config: ModelConfig, names: Sequence[str]) -> bool:
    classes = Classes(config)
    return all(classes.problem(name) is None for name in names)


def _numbers(config: ModelConfig, rows: Any, column: str | None, labels: Any) -> dict[str, Any]:
    """The fields of a config for regression: as many outputs as a row has numbers."""
    if labels is not None:
        return {"id2label": dict(enumerate(labels)), "label2id": {name: i for i, name in enumerate(labels)}}
    first = as_list((LABEL if column is None else Field("label", (column,))).value(rows[0]))
    count = len(first) if isinstance(first, list) else 1
    return {} if count == config.num_labels else {"num_labels": count}


def _loaded(
    source: Any,
    task: str,
    backend: Backend,
    dtype: str,
    device: Any,
    revision: str | None,
    changes: Any,
    resize: bool,
    seed: int,
    layers: Sequence[int] | None,
) -> Model:
    """The model; a new head is what was asked for, so that it is logged, and no warning."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*: initialised for ")
        if made_of_parts(task) not in (None, config_of(open_merged(resolve(source, revision=revision))).model_type):
            if layers is not None:
                raise ValueError(f"layers are of one model, and {task} begins with two of {source}: leave them out")
            return _of_two(source, backend, dtype, device, revision, seed)
        model = load_model(
            source,
            task,
            backend,
            dtype=dtype,
            device=device,
            revision=revision,
            changes=changes,
            resize=resize,
            seed=seed,
            layers=layers,
        )
    report = model.load_report
    prefix = prefix_of(model.architecture)
    if report is not None and (wrong := [line for line in report.resized if line.startswith(prefix)]):
        raise CheckpointError("\n  ".join([f"{source} does not fit its config:", *wrong]))
    if report is not None and report.initialised:
        _log.info("begin anew: %s", ", ".join(report.initialised))
    return model


def _of_two(source: Any, backend: Backend, dtype: str, device: Any, revision: str | None, seed: int) -> Model:
    """An encoder-decoder whose two parts are one checkpoint (Rothe et al. 2020); what is new is logged."""
    tokenizer = read_tokenizer(files_folder(resolve(source, revision=revision)))
    ids = {
        "decoder_start_token_id": tokenizer.cls_token_id,
        "eos_token_id": tokenizer.sep_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="a model of .* has new ")
        model = warm_start(
            source, source, backend, dtype=dtype, device=device, changes=ids, revision=revision, seed=seed
        )
    assert model.load_report is not None
    _log.info("begin anew: %s", ", ".join(model.load_report.initialised))
    return model


def _digest(rows: Any) -> str:
    """Of rows that lie evenly in the data: that a run is resumed on the same ones."""
    digest = hashlib.sha256()
    for i in sorted({round(j * (len(rows) - 1) / _SAMPLED) for j in range(_SAMPLED + 1)}):
        digest.update(repr(sorted(dict(rows[i]).items(), key=str)).encode("utf-8", "backslashreplace"))
    return digest.hexdigest()


# --- going on ---------------------------------------------------------------------------------------


def _check_same(state: TrainState, recipe: Recipe, run: Mapping[str, Any], updates: int, checkpoints: Path) -> None:
    """Raises ValueError where a run would go on as another one."""
    before = {**dataclasses.asdict(state.recipe), **state.run, "updates": state.updates}
    now = {**dataclasses.asdict(recipe), **run, "updates": updates}
    shown = {"digest": "the rows", "teacher": "the teacher's parameters"}
    problems = [
        f"{shown.get(name, name)}: {before.get(name)!r:.40} before, {now[name]!r:.40} now"
        for name in now
        if before.get(name) != now[name]
    ]
    if problems:
        folder = checkpoints / str(state.step)
        raise ValueError(
            "\n  ".join(
                [
                    f"{folder} is of another run, and would not go on as it began:",
                    *problems,
                    f"resume it with what it began with, or begin a new run from the model there: source {folder}",
                ]
            )
        )


def _tell_of_dropout(state: TrainState, backend: Backend, config: ModelConfig) -> None:
    rates = {name: getattr(config, name) for name in ("hidden_dropout_prob", "attention_probs_dropout_prob")}
    if state.backend != backend.name and any(rates.values()):
        _log.warning(
            "update %d and those after it are on %s, the ones before were on %s: what dropout draws is of each "
            "framework's own, so that the losses are not those that %s would have had",
            state.step,
            backend.name,
            state.backend,
            state.backend,
        )


@contextlib.contextmanager
def _stop_asked_for() -> Iterator[list[int]]:
    """Inside, Ctrl-C and SIGTERM put their number into the list, so that an update ends; a second one interrupts it."""
    asked: list[int] = []

    def stop(number: int, _: Any) -> None:
        if asked:
            raise KeyboardInterrupt
        asked.append(number)

    if threading.current_thread() is not threading.main_thread():
        yield asked
        return
    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """Inside, nothing below an error is logged: process 0 logs the same."""
    level = _log.level
    _log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        _log.setLevel(level)


def _cut(path: Path, step: int) -> None:
    """Leaves the lines of metrics.jsonl up to a step: a process that was killed may have written more."""
    lines = []
    for line in path.read_bytes().splitlines(keepends=True) if path.exists() else ():
        with contextlib.suppress(ValueError, KeyError, TypeError):
            if json.loads(line)["step"] <= step:
                lines.append(line)
    write_atomically(path, b"".join(lines))
