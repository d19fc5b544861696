"""The verb that orders documents by how well they answer a query."""

from __future__ import annotations

import contextlib
import heapq
import os
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import typer

from .inputs import Input, files_of
from .options import (
    BackendOption,
    BatchTokensOption,
    DelimiterOption,
    DeviceOption,
    DtypeOption,
    EncodingOption,
    InputFormatOption,
    KeepOption,
    MaxLengthOption,
    OutOption,
    OverwriteOption,
    RevisionOption,
    SourceArgument,
    epilog,
)
from .records import Field, WrongUsage, is_text
from .terminal import working
from .verbs import Call, chosen_backend, columns_of, found_source, loaded, open_records, pooled, with_reserved_out

_TEXT = Field("text")


def rank(
    source: SourceArgument,
    query: Annotated[str, typer.Argument(help="What is looked for.", show_default=False)],
    files: Annotated[list[str] | None, typer.Argument(hidden=True)] = None,
    docs: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FILE...",
            help="The documents: a file as --input of the other verbs takes, several, or a pattern in quotes; without "
            "it stdin.",
        ),
    ] = None,
    top_k: Annotated[int, typer.Option("--top-k", "-k", min=1, help="How many documents, the best first.")] = 10,
    pooling: Annotated[
        str | None, typer.Option(help="Of embeddings: mean, cls or max; else the checkpoint's own.")
    ] = None,
    column: Annotated[
        str | None, typer.Option("--column", "-c", help="The column of the documents; else text.")
    ] = None,
    input_format: InputFormatOption = None,
    delimiter: DelimiterOption = None,
    encoding: EncodingOption = "utf-8",
    keep: KeepOption = None,
    out: OutOption = None,
    overwrite: OverwriteOption = False,
    backend: BackendOption = None,
    dtype: DtypeOption = "float32",
    device: DeviceOption = None,
    revision: RevisionOption = None,
    batch_tokens: BatchTokensOption = None,
    max_length: MaxLengthOption = None,
) -> None:
    """Rank documents for a query: by a cross-encoder's score of each pair, else by the cosine of their embeddings."""
    from .job import answers_of, chunk_of, inputs_of, rows_of
    from .outputs import check_form, open_output
    from .progress import Progress

    if not is_text(query):
        raise WrongUsage("the query has bytes that are not UTF-8")
    if files and (not docs or os.path.isfile(query)):
        raise WrongUsage(f"expected one query, found {query!r:.60} and {files[0]!r:.60}: files come last, after --docs")
    call = Call(
        source,
        inputs=files_of(docs, files or (), "--docs") if docs else [],
        column=[f"text={column}"] if column else None,
        input_format=input_format,
        delimiter=delimiter,
        encoding=encoding,
        keep=keep,
        out=out,
        overwrite=overwrite,
        backend=backend,
        dtype=dtype,
        device=device,
        revision=revision,
        batch_tokens=batch_tokens,
        max_length=max_length,
    )
    fields = [Field("text", columns=(column,)) if column else _TEXT]
    with contextlib.ExitStack() as stack:
        call, _ = with_reserved_out(call, stack)
        records = open_records(fields, call, {"rank": "integer", "score": "number"})
        if isinstance(records, Input):
            stack.callback(records.close)
        chosen_backend(call)
        columns = {"rank": "integer", "score": "number"} | columns_of(records, fields)
        check_form(call.out, columns)
        score = _scores(query, pooling, call)
        output = open_output(call.out, columns, None, "float32", {}, resume=False)
        best: list[tuple[float, int, Any]] = []
        stream, failed = iter(records), 0
        try:
            with Progress("rank", records) as progress:
                while chunk := chunk_of(stream):
                    rows = rows_of(chunk, answers_of(inputs_of(chunk), score), {"score": "number"})
                    failed += progress.tell_failures(chunk, rows, failed)
                    found = [(row["score"], -row["row"], row) for row in rows if "error" not in row]
                    best = heapq.nlargest(top_k, [*best, *found], key=lambda one: one[:2])
                    progress.advance(len(chunk))
                made = [{"rank": place, **row} for place, (*_, row) in enumerate(best, 1)]
            output.write(made, 0, "")
            output.finish("")
            progress.tell_end(failed)
        except (Exception, KeyboardInterrupt):
            output.discard()
            raise
    if failed:
        raise typer.Exit(1)


def _scores(query: str, pooling: str | None, call: Call) -> Callable[[list[str]], Sequence[float]]:
    """A function from texts to how well each answers the query."""
    from ..tasks.feature_extraction import cosine_similarity

    found = found_source(call)
    if found.task == "text-classification":
        if found.config.num_labels != 1:
            raise WrongUsage(
                f"{call.source} has {found.config.num_labels} labels: a cross-encoder that ranks has one, its score"
            )
        if pooling is not None:
            raise WrongUsage(f"--pooling is of embeddings, and {call.source} is a cross-encoder")
        with working(f"loading {call.source}"):
            model = loaded(found.source, None, call)
        options = {"batch_tokens": call.batch_tokens, "max_length": call.max_length}
        return lambda texts: [one["score"] for one in model([(query, text) for text in texts], **options)]
    with working(f"loading {call.source}"):
        model = loaded(found.source, "feature-extraction", call)
    options = {"batch_tokens": call.batch_tokens, "max_length": call.max_length, "pooling": pooling}
    vector = pooled(model, call, [query], **options)
    return lambda texts: cosine_similarity(vector, model(texts, **options))[0].tolist() if texts else []


rank.epilog = epilog(
    'bertx rank all-MiniLM-L6-v2 "How do I get my money back?" --docs help.txt --top-k 3',
    "bertx rank all-MiniLM-L6-v2 'lost parcel' --docs 'help/*.jsonl' -c body",
    'bertx rank cross-encoder/ms-marco-MiniLM-L6-v2 "when was it built" --docs pages.jsonl -c body --keep id',
)
