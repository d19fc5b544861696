"""Arguments and options that several verbs have, and how wrong ones are refused."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Annotated

import typer

from .formats import FORMATS
from .source import FORMS, SUFFIXES, form_of

SOURCE_HELP = 'A folder, a hub id, a short name such as bert-base, or "python:PACKAGE/FOLDER".'


def completed(names: Callable[[], Iterable[str]]) -> Callable[[str], list[str]]:
    """What a shell offers for an option: those names that begin as the user has."""

    def offer(incomplete: str) -> list[str]:
        return [name for name in names() if name.startswith(incomplete)]

    return offer


def _backends() -> Sequence[str]:
    from ..backend import known_backends, known_runtimes

    return [*known_backends(), *known_runtimes()]


def task_names() -> Iterable[str]:
    """The pipeline tags."""
    from ..registry import tasks

    return tasks()


def known_backend(name: str | None) -> str | None:
    """The name; refuses one that no backend has."""
    from ..backend import meant_backend

    if name is not None and name not in _backends():
        raise typer.BadParameter(f"{name!r} is none of {', '.join(_backends())}{meant_backend(name)}")
    return name


def _known_backends(names: list[str] | None) -> list[str] | None:
    for name in names or []:
        known_backend(name)
    return names


def known_task(task: str | None) -> str | None:
    """The pipeline tag; refuses one that no head has."""
    from ..registry import check_task

    if task is not None:
        try:
            check_task(task)
        except ValueError as error:
            raise typer.BadParameter(f"{task!r} is none of {', '.join(task_names())}") from error
    return task


def _known_out(path: Path | None) -> Path | None:
    from bertx_weights.files import is_special

    if path is not None and path.suffix.lower() not in FORMATS and not is_special(path):
        raise typer.BadParameter(f"{path} ends in none of {', '.join(FORMATS)}")
    return path


def _known_form(form: str | None) -> str | None:
    if form is not None and form not in FORMS:
        raise typer.BadParameter(f"{form!r} is none of {', '.join(FORMS)}")
    return form


def _known_encoding(name: str) -> str:
    try:
        b"a".decode(name, "replace")
    except LookupError:
        raise typer.BadParameter(f"{name!r} is no text encoding that Python knows") from None
    return name


def _one_character(text: str | None) -> str | None:
    text = "\t" if text == "\\t" else text
    if text is not None and (len(text) != 1 or text in '"\r\n'):
        raise typer.BadParameter(f"{text!r} is not one character")
    return text


def _shard(text: str | None) -> str | None:
    if text is not None:
        found = re.fullmatch(r"(\d+)/(\d+)", text)
        if found is None or not 1 <= int(found[1]) <= int(found[2]):
            raise typer.BadParameter(f"{text!r} is not I/N with I from 1 to N")
    return text


def input_form(path: Path, form: str | None) -> str:
    """What an input file is read as; refuses a name that does not say it."""
    found = form or form_of(path)
    if found is None:
        known = ", ".join(SUFFIXES)
        raise typer.BadParameter(f"{path} ends in none of {known} (or these with .gz): give --input-format")
    return found


SourceArgument = Annotated[str, typer.Argument(help=SOURCE_HELP, show_default=False)]
BackendOption = Annotated[
    str | None,
    typer.Option(
        "--backend",
        "-b",
        callback=known_backend,
        autocompletion=completed(_backends),
        help="torch, jax, tensorflow or numpy, else the first; onnxruntime or openvino for its exported file.",
    ),
]
BackendsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--backend",
        "-b",
        callback=_known_backends,
        autocompletion=completed(_backends),
        help="Only this backend; may be given several times.",
    ),
]
TaskOption = Annotated[
    str | None,
    typer.Option(
        callback=known_task,
        autocompletion=completed(task_names),
        help="A pipeline tag such as fill-mask; else the checkpoint's.",
    ),
]
TextsOption = Annotated[
    Path | None, typer.Option(exists=True, dir_okay=False, help="A file with the texts to run, one a line.")
]
RevisionOption = Annotated[str | None, typer.Option(help="The branch, tag or commit on the hub.")]
DtypeOption = Annotated[
    str, typer.Option(help="float32, bfloat16, float16; float64 on torch and numpy; int8 on torch.")
]
DeviceOption = Annotated[str | None, typer.Option(help="cpu, cuda, … as the backend names it.")]
JsonOption = Annotated[Path | None, typer.Option(dir_okay=False, help="Write the report there, as JSON.")]
BatchTokensOption = Annotated[
    int | None, typer.Option(min=1, help="The most tokens of a batch, padding included: 1,024, on a GPU 8,192.")
]
MaxLengthOption = Annotated[
    int | None,
    typer.Option(min=1, help="The most tokens of a text or window, special tokens included; else as many as it takes."),
]
UntrainedOption = Annotated[
    bool, typer.Option("--untrained", help="Run a head that the checkpoint lacks, with random weights.")
]
ColumnOption = Annotated[
    list[str] | None,
    typer.Option("--column", "-c", help="NAME of the column to read, or FIELD=NAME; stdin is then JSON lines."),
]
InputFormatOption = Annotated[
    str | None,
    typer.Option(
        callback=_known_form,
        autocompletion=completed(lambda: FORMS),
        help=f"{', '.join(FORMS)}: what the input is, where its name does not say so.",
    ),
]
DelimiterOption = Annotated[
    str | None, typer.Option(callback=_one_character, help="Of a .csv file; else a comma, in .tsv a tab (\\t).")
]
EncodingOption = Annotated[str, typer.Option(callback=_known_encoding, help="Of a file of text, such as latin-1.")]
KeepOption = Annotated[
    str | None,
    typer.Option(help="Other columns of the input that go to the output: id,title; all takes each."),
]
ShardOption = Annotated[
    str | None,
    typer.Option(callback=_shard, metavar="I/N", help="Only each N-th record, from the I-th: one of N jobs."),
]
OutOption = Annotated[
    Path | None,
    typer.Option(
        "--out",
        "-o",
        dir_okay=False,
        callback=_known_out,
        help="Write to a .jsonl, .csv, .npy or .parquet file, which appears when it is whole; or to a pipe.",
    ),
]
OverwriteOption = Annotated[bool, typer.Option("--overwrite", help="Replace an --out that is there.")]
ResumeOption = Annotated[bool, typer.Option("--resume", help="Go on with the unfinished --out of a job cut off.")]

RayOption = Annotated[
    str | None,
    typer.Option(
        metavar="ADDRESS", help="Run on the machines of a Ray cluster: HOST:PORT, auto, or local to start one."
    ),
]
WorkersOption = Annotated[
    int | None, typer.Option(min=1, help="How many processes --ray has with a model each; else one a machine.")
]

_EXIT_CODES = "Exit codes: 0; 1 for a job that failed, of which some lines are enough; 2 for wrong usage."


def epilog(*examples: str, codes: str = _EXIT_CODES) -> str:
    """What stands below the options of a verb: examples and the exit codes, a line each."""
    return "\n".join(["Examples:", *(f"  {example}" for example in examples), "", codes])
