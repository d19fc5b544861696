"""The verbs that train: a checkpoint on rows, a new model, the vocabulary of one."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .options import (
    BackendOption,
    DeviceOption,
    RevisionOption,
    SourceArgument,
    completed,
    epilog,
    known_backend,
    task_names,
)
from .progress import EVERY, bar
from .records import WrongUsage
from .terminal import messages, tell

if TYPE_CHECKING:
    from ..training.run import Progress

_FILE: dict[str, Any] = {"exists": True, "dir_okay": False}


def _columns(given: list[str] | None) -> dict[str, str]:
    columns = {}
    for text in given or []:
        name, found, column = text.partition("=")
        if not found or not name or not column:
            raise typer.BadParameter(f"--column is {text!r}, expected FIELD=NAME")
        columns[name] = column
    return columns


def train(
    task: Annotated[
        str,
        typer.Argument(
            autocompletion=completed(task_names),
            help="A pipeline tag such as text-classification, token-classification or fill-mask.",
            show_default=False,
        ),
    ],
    source: SourceArgument,
    data: Annotated[
        Path,
        typer.Option(
            **_FILE,
            help="The rows: .jsonl, .csv, .tsv, .parquet, .txt, CoNLL or SQuAD; text and label for a classifier.",
        ),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="The folder to write: the model, and checkpoints/STEP.")],
    evaluation: Annotated[
        Path | None, typer.Option("--evaluation", **_FILE, help="Rows to evaluate on whenever the state is saved.")
    ] = None,
    metric: Annotated[
        str | None,
        typer.Option(
            help="Of --evaluation, such as loss, accuracy or f1: the checkpoint where it was best is written."
        ),
    ] = None,
    patience: Annotated[
        int | None, typer.Option(help="End the run after so many evaluations in a row without a better --metric.")
    ] = None,
    epochs: Annotated[
        float | None, typer.Option(help="How often each row is used: 3, unless --steps is given.")
    ] = None,
    steps: Annotated[int | None, typer.Option(help="The number of updates.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Rows of a batch: 16.")] = None,
    accumulation: Annotated[int | None, typer.Option(help="Batches of an update: 1.")] = None,
    packing: Annotated[
        bool, typer.Option("--packing", help="Several texts in a row, each attending to itself alone; of fill-mask.")
    ] = False,
    learning_rate: Annotated[float | None, typer.Option("--learning-rate", "-l", help="The highest: 5e-5.")] = None,
    schedule: Annotated[str | None, typer.Option(help="linear, cosine or constant, after the warm-up.")] = None,
    warmup: Annotated[
        float | None, typer.Option(help="Updates over which the rate rises from 0; below 1 their share of all.")
    ] = None,
    weight_decay: Annotated[float | None, typer.Option(help="Of matrices, not of biases and LayerNorms: 0.01.")] = None,
    max_grad_norm: Annotated[
        float | None, typer.Option(help="Larger gradients are scaled to this global norm: 1.")
    ] = None,
    label_smoothing: Annotated[float | None, typer.Option(help="The share that all classes have alike: 0.")] = None,
    layer_decay: Annotated[
        float | None, typer.Option(help="What a layer's rate is of that of the layer above: 1.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Of the order of the rows, and of dropout: 0.")] = None,
    dtype: Annotated[str | None, typer.Option(help="float32, mixed_bfloat16; float64 on torch.")] = None,
    recipe: Annotated[
        Path | None, typer.Option(**_FILE, help="A JSON file of a Recipe's fields; options count before it.")
    ] = None,
    max_length: Annotated[
        int | None, typer.Option(min=1, help="The most tokens of a row; longer ones are cut.")
    ] = None,
    max_target_length: Annotated[
        int | None, typer.Option(min=1, help="Of summarization: the most tokens of a summary: 128.")
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(**_FILE, help="A config.json of a new model; SOURCE is then a tokenizer of train-tokenizer."),
    ] = None,
    column: Annotated[
        list[str] | None, typer.Option("--column", "-c", help="FIELD=NAME: what your data call it, as text=review.")
    ] = None,
    label: Annotated[
        list[str] | None, typer.Option(help="A class, in order; several times. Else those of the data.")
    ] = None,
    problem_type: Annotated[
        str | None,
        typer.Option(help="single_label_classification, multi_label_classification or regression; else by the labels."),
    ] = None,
    teacher: Annotated[
        str | None, typer.Option(help="A trained checkpoint to learn from beside the labels (distillation).")
    ] = None,
    teacher_backend: Annotated[
        str | None, typer.Option(callback=known_backend, help="What runs the teacher: --backend.")
    ] = None,
    distil: Annotated[
        list[str] | None,
        typer.Option(
            "--distil",
            help="FIELD=VALUE of a bertx.Distillation, as temperature=4; hidden_layers=1:2,2:4 pairs layers.",
        ),
    ] = None,
    layers: Annotated[
        str | None, typer.Option(help="Layers of the source to begin with, counted from 0: 1,3,5 for a student.")
    ] = None,
    save_steps: Annotated[
        int | None, typer.Option(help="Save the state after so many updates; else once an epoch.")
    ] = None,
    keep: Annotated[int, typer.Option(help="How many of the run's last checkpoints are kept.")] = 2,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the last checkpoint in --out, if there is one.")
    ] = False,
    shard: Annotated[
        bool, typer.Option("--shard", help="Spread the parameters over the devices: FSDP2 on torch, a mesh on jax.")
    ] = False,
    backend: BackendOption = None,
    device: DeviceOption = None,
    revision: RevisionOption = None,
) -> None:
    """Train a checkpoint, or a new model of --config, on rows of a file; --resume goes on after Ctrl-C, anywhere."""
    from ..backend import get_backend
    from ..registry import check_task
    from ..training.distillation import Distillation
    from ..training.recipe import Recipe
    from ..training.run import TrainingStopped
    from ..training.run import train as run

    try:
        task = check_task(task)
        fields = _recipe_file(recipe) | {
            name: value
            for name, value in {
                "epochs": epochs,
                "steps": steps,
                "batch_size": batch_size,
                "packing": packing or None,
                "gradient_accumulation_steps": accumulation,
                "learning_rate": learning_rate,
                "schedule": schedule,
                **_warmup(warmup),
                "weight_decay": weight_decay,
                "max_grad_norm": max_grad_norm,
                "label_smoothing": label_smoothing,
                "layer_decay": layer_decay,
                "seed": seed,
                "dtype": dtype,
            }.items()
            if value is not None
        }
        wanted = Recipe.of(fields)
        learnt = Distillation.of(_distillation(distil)) if distil else None
        begun_with = None if layers is None else _numbers(layers, "--layers", "numbers of layers, such as 1,3,5")
    except ValueError as error:
        raise WrongUsage(str(error)) from error
    collator: dict[str, Any] = {"columns": _columns(column)} if column else {}
    collator |= {} if max_length is None else {"max_length": max_length}
    collator |= {} if max_target_length is None else {"max_target_length": max_target_length}
    with _Line(f"train {task}") as line:
        try:
            run(
                source,
                data,
                out=out,
                task=task,
                backend=backend,
                device=device,
                revision=revision,
                recipe=wanted,
                evaluation=evaluation,
                metric=metric,
                patience=patience,
                labels=label or None,
                problem_type=problem_type,
                config=config,
                collator=collator,
                teacher=teacher,
                teacher_backend=teacher_backend,
                distillation=learnt,
                layers=begun_with,
                save_steps=save_steps,
                keep=keep,
                resume=resume,
                shard=shard,
                on_step=line.update,
            )
        except TrainingStopped as error:
            if get_backend(backend).trainer().rank():
                raise typer.Exit(1) from None
            raise ValueError(str(error)) from None
        except FileExistsError as error:
            raise WrongUsage(str(error)) from error
    if get_backend(backend).trainer().rank() == 0:
        tell(f"the trained model is in {out}", "green")


def _distillation(given: list[str]) -> dict[str, Any]:
    """FIELD=VALUE as the fields of a Distillation, which checks them."""
    fields: dict[str, Any] = {}
    for text in given:
        name, found, value = text.partition("=")
        if not found or not name or not value:
            raise ValueError(f"--distil is {text!r}, expected FIELD=VALUE")
        if name == "hidden_layers":
            pairs = (pair.replace(":", ",") for pair in value.split(","))
            fields[name] = [_numbers(pair, "--distil hidden_layers", "pairs such as 1:2,2:4") for pair in pairs]
        else:
            try:
                fields[name] = float(value)
            except ValueError:
                raise ValueError(f"--distil {name} is {value!r}, expected a number") from None
    return fields


def _numbers(text: str, name: str, expected: str) -> list[int]:
    parts = text.split(",")
    if not all(part.isdecimal() for part in parts):
        raise ValueError(f"{name} is {text!r}, expected {expected}")
    return [int(part) for part in parts]


def _warmup(value: float | None) -> dict[str, Any]:
    if value is None or value < 1:
        return {"warmup_ratio": value}
    if not value.is_integer():
        raise ValueError(f"--warmup is {value}, expected a share of the updates below 1, or a whole number of them")
    return {"warmup_steps": int(value)}


def _recipe_file(path: Path | None) -> dict[str, Any]:
    if path is None:
        return {}
    from bertx_weights import read_json

    return read_json(path)


class _Line:
    """How far a run is, on stderr: a bar where that is a terminal, else a line every 30 seconds."""

    def __init__(self, name: str):
        self._name = name
        self._console = messages()
        self._bar = bar(name, "{task.fields[shown]}", self._console)
        self._task = self._bar.add_task(name, total=None, shown="")
        self._first: tuple[float, int] | None = None
        self._last = time.monotonic()

    def __enter__(self) -> _Line:
        return self

    def __exit__(self, *error: Any) -> None:
        self._bar.stop()

    def update(self, done: Progress) -> None:
        """After an update; of several processes in the first alone, so that the others draw no bar."""
        self._bar.start()
        now = time.monotonic()
        shown = f"epoch {done.epoch:.2f}, loss {done.loss:.4f}, learning rate {done.learning_rate:.2e}"
        self._bar.update(self._task, completed=done.step, total=done.updates, shown=shown)
        self._first = self._first or (now, done.step)
        if self._bar.disable and (now - self._last >= EVERY or done.step == done.updates):
            self._last = now
            begun, before = self._first
            rate = (done.step - before) / (now - begun) if done.step > before else 0.0
            left = f", {(done.updates - done.step) / rate:,.0f} s left" if rate else ""
            tell(f"{self._name}: {done.step:,} of {done.updates:,} updates, {shown}{left}", "dim", self._console)


train.epilog = epilog(
    "bertx train text-classification bert-base --data reviews.jsonl -o classifier --epochs 3 -l 2e-5",
    "bertx train text-classification bert-base --data topics.jsonl -o topics --problem-type multi_label_classification",
    "bertx train text-classification bert-base --data stars.csv -o stars --problem-type regression",
    "bertx train token-classification bert-base --data train.conll --evaluation dev.conll --metric f1 -o tagger",
    "bertx train question-answering bert-base --data train-v2.0.json --evaluation dev-v2.0.json --metric f1 -o reader",
    "bertx train multiple-choice bert-base --data swag.jsonl -o chooser",
    "bertx train next-sentence-prediction bert-base --data pairs.csv -o nsp",
    "bertx train fill-mask bert-base --data texts.txt -o adapted --steps 10000 --warmup 500 --packing",
    "bertx train pretraining bert-base --data documents.jsonl -o pretrained --steps 10000 --warmup 1000",
    "bertx train pretraining tokenizer --config config.json --data texts.txt -o model --steps 100000",
    "bertx train feature-extraction bert-base --data pairs.csv -o embedder --batch-size 64",
    "bertx train summarization bert-base --data articles.jsonl -o summarizer --max-target-length 60",
    "bertx train text-classification bert-base --data reviews.jsonl -o classifier --resume --backend jax",
    "bertx train text-classification classifier --teacher classifier --layers 1,3,5 --data reviews.jsonl -o student",
    codes="Exit codes: 0; 1 for a run that failed or was stopped, which --resume goes on with; 2 for wrong usage.",
)


def train_tokenizer(
    files: Annotated[list[Path], typer.Argument(**_FILE, help="Files of UTF-8 text.", show_default=False)],
    out: Annotated[Path, typer.Option("--out", "-o", help="The folder to write.")],
    vocab_size: Annotated[int, typer.Option(min=1, help="The most tokens it may have, special ones included.")] = 30522,
    cased: Annotated[bool, typer.Option("--cased", help="Keep upper case and accents.")] = False,
    min_frequency: Annotated[int, typer.Option(min=1, help="How often a pair of pieces must occur to be joined.")] = 2,
    limit_alphabet: Annotated[int, typer.Option(min=1, help="The most single characters it may have.")] = 1000,
) -> None:
    """Learn a WordPiece vocabulary from text files, for a new model: bertx train … --config takes the folder."""
    from ..training.vocabulary import train_tokenizer as learn

    try:
        tokenizer = learn(
            files,
            out=out,
            vocab_size=vocab_size,
            lower_case=not cased,
            min_frequency=min_frequency,
            limit_alphabet=limit_alphabet,
        )
    except FileExistsError as error:
        raise WrongUsage(str(error)) from error
    tell(f"a vocabulary of {len(tokenizer):,} tokens is in {out}", "green")


train_tokenizer.epilog = epilog(
    "bertx train-tokenizer texts.txt --out tokenizer --vocab-size 8000",
    codes="Exit codes: 0; 1 for files that cannot be learnt from; 2 for wrong usage.",
)
VERBS = (train, train_tokenizer)
