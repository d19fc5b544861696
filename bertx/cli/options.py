"""Arguments and options that several verbs have, and how wrong ones are refused."""

from __future__ import annotations

import sys
from typing import Annotated

import typer
from rich.console import Console
from rich.status import Status
from rich.text import Text

SOURCE_HELP = 'A folder, a hub id, a short name such as bert-base, or "python:PACKAGE/FOLDER".'


def known_backend(name: str | None) -> str | None:
    """The name; refuses one that no backend has."""
    from ..backend import known_backends

    if name is not None and name not in known_backends():
        raise typer.BadParameter(f"{name!r} is none of {', '.join(known_backends())}")
    return name


def _known_backends(names: list[str] | None) -> list[str] | None:
    for name in names or []:
        known_backend(name)
    return names


def known_task(task: str | None) -> str | None:
    """The pipeline tag; refuses one that no head has."""
    from ..architectures import TASKS

    if task is not None and task not in TASKS:
        raise typer.BadParameter(f"{task!r} is none of {', '.join(TASKS)}")
    return task


SourceArgument = Annotated[str, typer.Argument(help=SOURCE_HELP, show_default=False)]
BackendOption = Annotated[
    str | None,
    typer.Option("--backend", "-b", callback=known_backend, help="torch, jax, tensorflow or numpy; else the first."),
]
BackendsOption = Annotated[
    list[str] | None,
    typer.Option("--backend", "-b", callback=_known_backends, help="Only this backend; may be given several times."),
]
TaskOption = Annotated[
    str | None, typer.Option(callback=known_task, help="A pipeline tag such as fill-mask; else the checkpoint's.")
]
RevisionOption = Annotated[str | None, typer.Option(help="The branch, tag or commit on the hub.")]


def console() -> Console:
    """Stdout for people; a pipe has no width, so that a table is not cut for it."""
    return Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else 200)


def working(what: str) -> Status:
    """A sign of life on stderr, where that is a terminal."""
    return Console(stderr=True).status(Text(what))
