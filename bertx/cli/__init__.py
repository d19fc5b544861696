"""The command line: `bertx VERB …`. Exit codes: 0, 1 for a job that failed, 2 for wrong usage."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import sys
import threading
import warnings
from collections.abc import Iterator
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from ..printable import printable
from . import checkpoints, rank, search, tasks, train
from . import serve as serving
from .options import epilog
from .records import WrongUsage
from .terminal import open_standard_streams, tell


class _Group(TyperGroup):
    """The group of the verbs: messages about wrong usage are printed without control characters."""

    def make_context(self, *args: Any, **options: Any) -> Any:
        """As typer's, which parses the arguments."""
        with _said():
            return super().make_context(*args, **options)

    def invoke(self, ctx: Any) -> Any:
        """As typer's, which runs the verb."""
        with _said():
            return super().invoke(ctx)


app = typer.Typer(
    cls=_Group,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in (*tasks.VERBS, rank.rank, search.search):
    app.command(rich_help_panel="Tasks", epilog=command.epilog)(command)
for command in checkpoints.VERBS:
    app.command(rich_help_panel="Checkpoints and backends", epilog=command.epilog)(command)
for command in train.VERBS:
    app.command(rich_help_panel="Training", epilog=command.epilog)(command)
for command in serving.VERBS:
    app.command(rich_help_panel="Serving", epilog=command.epilog)(command)


def main() -> None:
    """Runs the command line; a job that fails says why on stderr, without a traceback."""
    # TensorFlow's start-up messages would stand between the rows of a table.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    open_standard_streams()
    warnings.showwarning = lambda message, *_, **__: tell(str(message), "yellow")
    try:
        with _stopped_by_signals():
            app()
    except (ValueError, OSError, ImportError) as error:
        tell(_as_options(_message(error)), "red")
        sys.exit(2 if isinstance(error, WrongUsage) else 1)


@contextlib.contextmanager
def _said() -> Iterator[None]:
    try:
        yield
    except typer.BadParameter.__base__ as error:  # the usage error of the click that typer has  # pyright: ignore[reportGeneralTypeIssues]
        error.message = printable(error.message)
        raise
    except KeyboardInterrupt:
        raise ValueError("stopped") from None


@contextlib.contextmanager
def _stopped_by_signals() -> Iterator[None]:
    """Inside, SIGTERM and SIGHUP stop a job as Ctrl-C does; a second one ends the process at once."""
    names = [name for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    ours = [getattr(signal, name) for name in names if signal.getsignal(getattr(signal, name)) == signal.SIG_DFL]

    def stop(number: int, _: Any) -> None:
        signal.signal(number, signal.SIG_DFL)
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        ours = []
    for number in ours:
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number in ours:
            signal.signal(number, signal.SIG_DFL)


def _message(error: Exception) -> str:
    """What an error says; that of the operating system without its number, and with the file that it is about."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename is not None else error.strerror
    return str(error)


def _as_options(message: str) -> str:
    """A message of the library in the words of the command line."""
    message = re.sub(r"\b(overwrite|resume)=True\b", r"--\1", message)
    message = re.sub(r'\bcolumns=\{"(\w+)": …\}', r"--column \1=NAME", message)
    return re.sub(r"\bgive (evaluation|metric|teacher)=(?!\w)", r"give --\1", message)


def _version(wanted: bool) -> None:
    if wanted:
        from .. import __version__

        typer.echo(f"bertx {__version__}")
        raise typer.Exit


@app.callback(
    epilog=epilog(
        "bertx demo",
        'bertx embed all-MiniLM-L6-v2 "The cat sat." "A dog barked."',
        "bertx classify my-checkpoint -i reviews.csv --column text --out labels.jsonl",
        "bertx train text-classification bert-base --data reviews.csv --out my-checkpoint",
        "bertx convert tf_model_folder out --to safetensors",
        "bertx parity my-checkpoint",
        "bertx serve my-checkpoint --port 8080",
    )
)
def options(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print it.")] = False,
) -> None:
    """BERT, RoBERTa and XLM-R for PyTorch, TensorFlow and JAX from one layer spec, one config and one weight schema."""
