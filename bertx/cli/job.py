"""A job: records through a task, a chunk at a time, into an output."""

from __future__ import annotations

import contextlib
import hashlib
import math
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from ..tasks.streaming import InputError, count_characters, next_window
from .formats import Columns, Row
from .outputs import Output, TableOutput
from .records import Record, Source, WrongUsage

_TOLD = 20  # failed lines that are told one by one


def run(
    name: str,
    records: Iterable[Record],
    task: Callable[[list[Any]], Iterable[Any]],
    results: Columns,
    output: Output,
) -> int:
    """Runs records through a task; a record that it cannot take becomes a row with "error".

    A chunk is a window of the task's own, so that a resumed job makes the same batches as an uninterrupted one.

    Args:
        name: what the progress bar says.
        records: a Source, or a few from arguments.
        task: a list of inputs → a result of each; may raise InputError.
        results: the columns of a result; one that is no mapping is the value of the only column.

    Returns:
        How many records could not be used.

    Raises:
        WrongUsage: the output was begun on another input.
    """
    fixed = "" if isinstance(records, Source) else hashlib.sha256(ascii(list(records)).encode()).hexdigest()
    digest = records.digest if isinstance(records, Source) else lambda: fixed
    stream = iter(records)
    with _Progress(name, records) as progress:
        skipped = 0
        while skipped < output.records and (chunk := _chunk(stream)):
            skipped += len(chunk)
        if skipped != output.records or (skipped and digest() != output.digest):
            raise WrongUsage(
                f"the first {output.records} records are not those that this job began with: "
                "give the same input, or begin with --overwrite"
            )
        progress.advance(output.records, counts=False)
        while chunk := _chunk(stream):
            rows = _rows(chunk, task, results)
            failed = [row for row in rows if "error" in row]
            for place, row in enumerate(failed, output.failed):
                if place < _TOLD:
                    progress.tell(f"line {row['line']} {row['error']}")
                elif place == _TOLD:
                    progress.tell("more lines failed: they are counted at the end")
            with progress.aside() if isinstance(output, TableOutput) else contextlib.nullcontext():
                output.write(rows, len(failed), digest())
            progress.advance(len(chunk))
        output.finish()
    if output.failed:
        progress.tell(f"{output.failed} of {progress.records} lines failed; the others are done")
    return output.failed


def _chunk(stream: Iterator[Record]) -> list[Record]:
    return next_window(stream, lambda record: count_characters(record.values))


def _rows(records: Sequence[Record], task: Callable[[list[Any]], Iterable[Any]], columns: Columns) -> list[Row]:
    # What a problem quotes may be what cannot be written.
    problems = {i: ascii_only(record.problem) for i, record in enumerate(records) if record.problem}
    answers: dict[int, Any] = {}
    while len(answers) + len(problems) < len(records):
        places = [i for i in range(len(records)) if i not in problems]
        try:
            answers = dict(zip(places, task([_input(records[i]) for i in places]), strict=True))
        except InputError as error:
            problems |= {places[place]: problem for place, problem in error.problems.items()}
    rows = []
    for i, record in enumerate(records):
        row = {"line": record.line, **record.values}
        result = {} if i in problems else _as_row(answers[i], columns)
        if not _is_finite(result):
            problems[i] = "gives a number that is not finite: is the checkpoint whole?"
        rows.append(row | ({"error": problems[i]} if i in problems else result))
    return rows


def ascii_only(problem: str) -> str:
    """The problem without surrogates, which no file or terminal takes."""
    return problem.encode("utf-8", "backslashreplace").decode()


def _is_finite(value: Any) -> bool:
    if isinstance(value, Mapping):
        return all(map(_is_finite, value.values()))
    if isinstance(value, (list, tuple)):
        return all(map(_is_finite, value))
    if isinstance(value, np.ndarray):
        return bool(np.isfinite(value).all())
    return not isinstance(value, float) or math.isfinite(value)


def _input(record: Record) -> Any:
    values = list(record.values.values())
    return values[0] if len(values) == 1 else record.values


def _as_row(result: Any, columns: Columns) -> Row:
    if isinstance(result, Mapping):
        return result
    (column,) = columns
    return {column: result}


class _Progress:
    """A bar on stderr with the rate and the time left, where that is a terminal; and what has to be told."""

    def __init__(self, name: str, records: Iterable[Record]):
        self._source = records if isinstance(records, Source) else None
        self._console = Console(stderr=True, highlight=False, soft_wrap=True)
        self._bar = Progress(
            TextColumn(name),
            BarColumn(),
            TaskProgressColumn(),
            TextColumn("{task.fields[done]:,} done, {task.fields[rate]}"),
            TimeRemainingColumn(elapsed_when_finished=True),
            console=self._console,
            disable=self._source is None or not sys.stderr.isatty(),
            speed_estimate_period=300,
        )
        size = self._source.size if self._source else None
        self._task = self._bar.add_task(name, total=size, done=0, rate="")
        self.records = 0
        self._before = 0

    def __enter__(self) -> _Progress:
        self._bar.start()
        return self

    def __exit__(self, *error: Any) -> None:
        self._bar.stop()

    def advance(self, records: int, counts: bool = True) -> None:
        """So many more are done; `counts` is False for those that an earlier run did."""
        self.records += records
        if not counts:
            self._before = self.records
        elapsed = self._bar.tasks[0].elapsed or 0
        rate = f"{(self.records - self._before) / elapsed:,.0f} a second" if elapsed and counts else ""
        position = self._source.position if self._source else 0
        self._bar.update(self._task, completed=position, done=self.records, rate=rate)

    @contextlib.contextmanager
    def aside(self) -> Iterator[None]:
        """Inside, the bar is off the terminal: something else writes there."""
        self._bar.live.transient = True
        self._bar.stop()
        yield
        self._bar.start()

    def tell(self, message: str) -> None:
        """A line on stderr that leaves the bar whole."""
        self._console.print(f"bertx: {message}", style="red", markup=False, emoji=False)
