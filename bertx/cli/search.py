"""The verb that finds the vectors of `bertx embed` that are nearest to a query."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from bertx_weights.containers.libraries import needs

from .formats import SCALE
from .inputs import files_of
from .options import (
    BackendOption,
    DeviceOption,
    DtypeOption,
    MaxLengthOption,
    OutOption,
    OverwriteOption,
    RevisionOption,
    SourceArgument,
    epilog,
)
from .records import WrongUsage, is_text
from .terminal import working
from .verbs import Call, chosen_backend, found_source, loaded, pooled, with_reserved_out

_EMBEDDING = "embedding"
_ROWS = 8192  # compared at once
_RESULTS = {"query": "text", "rank": "integer", "score": "number", "row": "integer"}

Block = tuple[np.ndarray, Sequence[Mapping[str, Any]] | None]
"""Vectors [R, H], and what else their rows have; None where a file has vectors alone."""


def search(
    source: SourceArgument,
    vectors: Annotated[
        str,
        typer.Argument(
            help="A .npy, .parquet or .jsonl file that embed wrote with the same model, or a pattern of several.",
            show_default=False,
        ),
    ],
    queries: Annotated[list[str], typer.Argument(metavar="QUERY...", help="What is looked for.", show_default=False)],
    top_k: Annotated[int, typer.Option("--top-k", "-k", min=1, help="How many for each query, the best first.")] = 10,
    pooling: Annotated[
        str | None, typer.Option(help="As it was for embed: mean, cls or max; else the checkpoint's own.")
    ] = None,
    prompt: Annotated[str | None, typer.Option(help="Put before each query.")] = None,
    prompt_name: Annotated[str | None, typer.Option(help="One of the checkpoint's prompts, such as query.")] = None,
    out: OutOption = None,
    overwrite: OverwriteOption = False,
    backend: BackendOption = None,
    dtype: DtypeOption = "float32",
    device: DeviceOption = None,
    revision: RevisionOption = None,
    max_length: MaxLengthOption = None,
) -> None:
    """Find the texts nearest to a query among the vectors that embed wrote: by cosine, each one compared."""
    from .outputs import check_form, open_output

    if not all(map(is_text, queries)):
        raise WrongUsage("a query has bytes that are not UTF-8")
    if file := next((one for one in queries if Path(one).suffix.lower() in _READERS and os.path.isfile(one)), None):
        raise WrongUsage(f"the query {file} is a file: give several files of vectors as a pattern, such as 'part*.npy'")
    files = files_of([vectors], option="VECTORS")
    call = Call(
        source,
        inputs=files,
        out=out,
        overwrite=overwrite,
        backend=backend,
        dtype=dtype,
        device=device,
        revision=revision,
    )
    with contextlib.ExitStack() as stack:
        call, _ = with_reserved_out(call, stack)
        chosen_backend(call)
        columns, blocks = _opened(files)
        check_form(call.out, columns)
        with working(f"loading {source}"):
            model = loaded(found_source(call).source, "feature-extraction", call)
        options = {"pooling": pooling, "prompt": prompt, "prompt_name": prompt_name, "max_length": max_length}
        found = pooled(model, call, queries, **options)
        rows = nearest(found, blocks, top_k, vectors)
        output = open_output(call.out, columns, None, "float32", {}, resume=False)
        try:
            made = [
                {"query": query, "rank": place, **row}
                for query, best in zip(queries, rows, strict=True)
                for place, row in enumerate(best, 1)
            ]
            output.write(made, 0, "")
            output.finish("")
        except (Exception, KeyboardInterrupt):
            output.discard()
            raise


def nearest(queries: np.ndarray, blocks: Iterator[Block], top_k: int, name: str) -> list[list[dict[str, Any]]]:
    """For each query [Q, H] the rows of greatest cosine, the first of equal ones before.

    A row has its "score", what the file says of it, and its number among the vectors where that is not said.

    Raises:
        WrongUsage: the vectors are of another length than the queries.
    """
    from ..tasks.feature_extraction import cosine_similarity

    best: list[list[tuple[float, int, dict[str, Any]]]] = [[] for _ in queries]
    first = 0
    for vectors, others in blocks:
        if vectors.shape[1] != queries.shape[1]:
            raise WrongUsage(
                f"{name} has vectors of {vectors.shape[1]} numbers, and this model makes {queries.shape[1]}: "
                "search with the model that embedded them"
            )
        scores = cosine_similarity(queries, vectors.astype(np.float32))
        # A line that failed is a row of NaN, of int8 vectors one of 0, which is near to nothing.
        there = np.isfinite(scores) & ((vectors.dtype != np.int8) | vectors.any(1))
        scores = np.where(there, scores, -np.inf)
        for found, of_block in zip(best, scores, strict=True):
            for i in np.argsort(-of_block, kind="stable")[:top_k]:
                if of_block[i] > -np.inf:
                    row = {"row": first + int(i), **(others[i] if others is not None else {})}
                    found.append((-float(of_block[i]), first + int(i), row | {"score": float(of_block[i])}))
            found.sort(key=lambda one: one[:2])
            del found[top_k:]
        first += len(vectors)
    return [[row for *_, row in found] for found in best]


def _opened(paths: Sequence[Path]) -> tuple[dict[str, Any], Iterator[Block]]:
    """The columns of the results, and the vectors in blocks, those of one file after another."""
    if other := next((path for path in paths if path.suffix.lower() not in _READERS), None):
        raise WrongUsage(f"{other} ends in none of {', '.join(_READERS)}, the forms in which embed writes vectors")
    opened = [_READERS[path.suffix.lower()](path) for path in paths]
    columns = [{name: kind for name, kind in of_file.items() if name not in _HIDDEN} for of_file, _ in opened]
    for path, found in zip(paths, columns, strict=True):
        if found.keys() != columns[0].keys():
            lost = ", ".join(map(repr, sorted(found.keys() ^ columns[0].keys())))
            raise WrongUsage(f"{paths[0]} and {path} have not the same columns: only one of them has {lost}")
    if len(paths) == 1:
        return _RESULTS | columns[0], opened[0][1]
    # Results of files of other types can only be written as values of JSON.
    shared = {name: kind if all(one[name] == kind for one in columns) else "any" for name, kind in columns[0].items()}
    named = (_naming(path, blocks) for path, (_, blocks) in zip(paths, opened, strict=True))
    return _RESULTS | {"file": "text"} | shared, itertools.chain.from_iterable(named)


def _naming(path: Path, blocks: Iterator[Block]) -> Iterator[Block]:
    """The blocks of one of several files: their rows say of which, and their number in it, where they do not yet."""
    first = 0
    for vectors, others in blocks:
        of_rows = others if others is not None else [{}] * len(vectors)
        yield vectors, [{"file": str(path), "row": first + i, **row} for i, row in enumerate(of_rows)]
        first += len(vectors)


def _npy(path: Path) -> tuple[dict[str, Any], Iterator[Block]]:
    try:
        vectors = np.load(path, mmap_mode="r", allow_pickle=False)
    except ValueError as error:
        raise WrongUsage(f"{path} is not a .npy file of numbers: {error}") from error
    if vectors.ndim != 2 or (vectors.dtype.kind != "f" and vectors.dtype != np.int8):
        raise WrongUsage(
            f"{path} has {vectors.dtype} {list(vectors.shape)}, expected vectors [rows, numbers] of floats or int8"
        )
    return {}, ((vectors[i : i + _ROWS], None) for i in range(0, len(vectors), _ROWS))


def _parquet(path: Path) -> tuple[dict[str, Any], Iterator[Block]]:
    needs("pyarrow", "parquet", f"{path} needs")
    import pyarrow.parquet as pq

    file = pq.ParquetFile(path)
    names = file.schema_arrow.names
    _check_columns(path, names)
    others = [name for name in names if name != _EMBEDDING]

    def blocks() -> Iterator[Block]:
        for batch in file.iter_batches(_ROWS):
            vectors = batch.column(_EMBEDDING).to_pylist()
            yield _stacked(vectors, path), batch.select(others).to_pylist()

    return {name: file.schema_arrow.field(name).type for name in others}, blocks()


def _json_lines(path: Path) -> tuple[dict[str, Any], Iterator[Block]]:
    def rows() -> Iterator[dict[str, Any]]:
        with open(path, encoding="utf-8") as lines:
            for number, line in enumerate(lines, 1):
                try:
                    row = json.loads(line)
                except ValueError as error:
                    raise WrongUsage(f"{path}: line {number} is not JSON: {error}") from error
                if not isinstance(row, dict):
                    raise WrongUsage(f"{path}: line {number} is no JSON object")
                yield row

    first = next(rows(), {_EMBEDDING: []})
    if "error" not in first:
        _check_columns(path, list(first))

    def blocks() -> Iterator[Block]:
        held: list[dict[str, Any]] = []
        for row in rows():
            held.append(row)
            if len(held) == _ROWS:
                yield _parted(held, path)
                held = []
        if held:
            yield _parted(held, path)

    return dict.fromkeys((name for name in first if name != _EMBEDDING), "any"), blocks()


def _parted(rows: list[dict[str, Any]], path: Path) -> Block:
    others = [{name: value for name, value in row.items() if name != _EMBEDDING} for row in rows]
    return _stacked([row.get(_EMBEDDING) for row in rows], path), others


def _stacked(vectors: list[Any], path: Path) -> np.ndarray:
    """Vectors as one array; NaN for None, the vector of a line that failed."""
    lengths = {len(vector) for vector in vectors if vector is not None}
    if len(lengths) > 1:
        raise WrongUsage(f"{path} has vectors of different lengths: {sorted(lengths)}; embed with a --pooling")
    empty = [np.nan] * next(iter(lengths), 1)
    return np.array([empty if vector is None else vector for vector in vectors], np.float32)


def _check_columns(path: Path, names: Sequence[str]) -> None:
    if _EMBEDDING not in names:
        raise WrongUsage(f"{path} has no column {_EMBEDDING!r}, only {', '.join(names)}: give a file that embed wrote")


_READERS = {".npy": _npy, ".parquet": _parquet, ".jsonl": _json_lines}
_HIDDEN = (*_RESULTS, _EMBEDDING, SCALE, "error")

search.epilog = epilog(
    'bertx search all-MiniLM-L6-v2 vectors.parquet "How do I get my money back?" --top-k 3',
    "bertx search all-MiniLM-L6-v2 'part*.parquet' \"How do I get my money back?\" -o hits.jsonl",
    'bertx search my-checkpoint vectors.npy "refunds" "opening hours" --prompt-name query -o hits.csv',
)
