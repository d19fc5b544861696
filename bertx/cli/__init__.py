"""The command line: `bertx VERB …`. Exit codes: 0, 1 for a job that failed, 2 for wrong usage."""

from __future__ import annotations

import os
import sys
import warnings
from typing import Annotated

import typer
from rich.console import Console

from . import checkpoints, tasks
from .records import WrongUsage

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in tasks.VERBS:
    app.command(rich_help_panel="Tasks")(command)
for command in (checkpoints.convert, checkpoints.parity, checkpoints.inspect, checkpoints.backends, checkpoints.demo):
    app.command(rich_help_panel="Checkpoints and backends")(command)


def main() -> None:
    """Runs the command line; a job that fails says why on stderr, without a traceback."""
    # TensorFlow's start-up messages would stand between the rows of a table.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    warnings.showwarning = lambda message, *_, **__: _tell(str(message), "yellow")
    try:
        app()
    except (ValueError, OSError, ImportError) as error:
        _tell(str(error), "red")
        sys.exit(2 if isinstance(error, WrongUsage) else 1)


def _tell(message: str, style: str) -> None:
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    console.print(f"bertx: {message}", style=style, markup=False, emoji=False)


def _version(asked: bool) -> None:
    if asked:
        from .. import __version__

        typer.echo(f"bertx {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print it.")] = False,
) -> None:
    """BERT for PyTorch, TensorFlow and JAX from one layer spec, one config and one weight schema."""
