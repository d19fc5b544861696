"""A job: records through a task, a chunk at a time, into an output."""

from __future__ import annotations

import contextlib
import hashlib
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from ..tasks.streaming import InputError, count_characters, next_window
from .formats import SCALE, Columns, Row
from .inputs import Input
from .outputs import Output, TableOutput
from .progress import Progress
from .records import Record, WrongUsage

Chunk = tuple[list[Record], str]
"""Records, and the digest of the input up to their end."""

Answers = tuple[dict[int, str], Sequence[Any]]
"""What a task says of inputs: what is wrong with some, by their index; and the results of the others, in order."""

Answer = Callable[[list[Any]], Answers]

Compute = Callable[[Iterator[Chunk]], Iterator[tuple[Chunk, list[Row]]]]
"""From chunks to these with their rows, in the same order; it may read ahead."""


def run(name: str, records: Iterable[Record], compute: Compute, output: Output) -> int:
    """Writes the rows of records; a record that cannot be used becomes a row with "error".

    A chunk is a window of the task's own, so that a resumed job makes the same batches as an uninterrupted one.

    Args:
        name: what the progress bar says.
        records: an Input, or a few from arguments.
        compute: gives the rows of chunks, in this process or others.

    Returns:
        How many records could not be used.

    Raises:
        WrongUsage: the output was begun on another input.
    """
    digest = digest_of(records)
    stream = iter(records)
    with Progress(name, records) as progress:
        skipped = 0
        while skipped < output.records and (chunk := chunk_of(stream)):
            skipped += len(chunk)
        if skipped != output.records or (skipped and digest() != output.digest):
            raise WrongUsage(
                f"the first {output.records} records are not those that this job began with: "
                "give the same input, or begin with --overwrite"
            )
        progress.advance(output.records, counts=False)
        chunks = ((chunk, digest()) for chunk in iter(lambda: chunk_of(stream), []))
        for (chunk, read), rows in compute(chunks):
            failed = progress.tell_failures(chunk, rows, output.failed)
            with progress.aside() if isinstance(output, TableOutput) else contextlib.nullcontext():
                output.write(rows, failed, read)
            progress.advance(len(chunk))
        output.finish(digest())
    progress.tell_end(output.failed)
    return output.failed


def digest_of(records: Iterable[Record]) -> Callable[[], str]:
    """A function that gives the digest of what was read of records; of a list that of all."""
    if isinstance(records, Input):
        return records.digest
    fixed = hashlib.sha256(ascii(list(records)).encode()).hexdigest()
    return lambda: fixed


def chunk_of(stream: Iterator[Record]) -> list[Record]:
    """The next records, as many as a task sorts at once, or fewer that are long."""
    return next_window(stream, lambda record: count_characters(record.values) + count_characters(record.kept))


def inputs_of(records: Iterable[Record]) -> list[Any]:
    """What a task takes of the records that can be used."""
    return [_input(record) for record in records if not record.problem]


def answers_of(inputs: Sequence[Any], task: Callable[[list[Any]], Sequence[Any]]) -> Answers:
    """The answers of a task that raises InputError for inputs that it cannot take."""
    problems: dict[int, str] = {}
    while good := [i for i in range(len(inputs)) if i not in problems]:
        try:
            return problems, task([inputs[i] for i in good])
        except InputError as error:
            problems |= {good[i]: problem for i, problem in error.problems.items()}
    return problems, []


def rows_of(records: Sequence[Record], answers: Answers, columns: Columns, dtype: str = "float32") -> list[Row]:
    """The rows of an output: each record with its result, or with "error".

    Args:
        records: those of a chunk.
        answers: to their `inputs_of`.
        columns: of a result; one that is no mapping is the value of the only column.
        dtype: of vectors.
    """
    usable = [i for i, record in enumerate(records) if not record.problem]
    problems = {usable[i]: problem for i, problem in answers[0].items()}
    results = dict(zip((i for i in usable if i not in problems), answers[1], strict=True))
    # What a problem quotes may be what cannot be written.
    problems |= {i: ascii_only(record.problem) for i, record in enumerate(records) if record.problem}
    rows = []
    for i, record in enumerate(records):
        row = {} if record.file is None else {"file": record.file}
        row |= {} if record.line is None else {"line": record.line}
        row |= {"row": record.row, **record.kept, **record.values}
        result = {} if i in problems else _as_row(results[i], columns)
        if not _is_finite(result):
            problems[i] = "gives a number that is not finite: is the checkpoint whole?"
        elif result and dtype != "float32" and not _is_finite(result := _stored(result, dtype)):
            problems[i] = f"gives a vector that {dtype} cannot hold"
        rows.append({**row, **({"error": problems[i]} if i in problems else result)})
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


def _stored(result: Row, dtype: str) -> Row:
    """A result with its vectors in another dtype; int8 ones are whole numbers of a scale that is each vector's own."""
    if dtype == "int8":
        (name,) = result
        scale = np.abs(result[name]).max() / np.float32(127)
        steps = np.rint(result[name] / (scale or 1)).astype(np.int8)
        return {name: steps, SCALE: float(scale)}
    with np.errstate(over="ignore"):
        return {name: v.astype(dtype) if isinstance(v, np.ndarray) else v for name, v in result.items()}


def _input(record: Record) -> Any:
    values = list(record.values.values())
    return values[0] if len(values) == 1 else record.values


def _as_row(result: Any, columns: Columns) -> Row:
    if isinstance(result, list) and len(columns) > 1:  # several for one input
        return {name: [one[name] for one in result] for name in columns}
    if isinstance(result, Mapping):
        return result
    (column,) = columns
    return {column: result}
