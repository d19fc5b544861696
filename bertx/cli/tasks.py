"""The verbs that run a task on text."""

from __future__ import annotations

import functools
import inspect
import sys
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from .formats import FORMATS, Columns
from .options import BackendOption, RevisionOption, SourceArgument, working
from .records import SUFFIXES, Field, Record, Source, WrongUsage, from_arguments, with_columns

FILES = "Tasks read TEXT arguments, --input, or stdin."


@dataclass(frozen=True)
class Asked:
    """What one call of a verb asks of its task: options, and the columns of a result."""

    options: Mapping[str, Any]
    results: Columns


def _known_suffix(path: Path | None, known: Sequence[str]) -> Path | None:
    if path is not None and path.suffix.lower() not in known:
        raise typer.BadParameter(f"{path} ends in none of {', '.join(known)}")
    return path


def _common(
    source: SourceArgument,
    texts: list[str] | None = None,
    input: Annotated[  # noqa: A002
        Path | None,
        typer.Option(
            "--input",
            "-i",
            exists=True,
            dir_okay=False,
            callback=lambda path: _known_suffix(path, SUFFIXES),
            help="A .txt (a text a line), .jsonl or .csv file; without it and texts, stdin.",
        ),
    ] = None,
    column: Annotated[
        list[str] | None,
        typer.Option("--column", "-c", help="NAME of the column to read, or FIELD=NAME; stdin is then JSON lines."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            dir_okay=False,
            callback=lambda path: _known_suffix(path, tuple(FORMATS)),
            help="Write to a .jsonl, .csv, .npy or .parquet file, which appears when it is whole.",
        ),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the unfinished --out of a job cut off.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an --out that is there.")] = False,
    backend: BackendOption = None,
    dtype: Annotated[
        str, typer.Option(help="float32, bfloat16, float16; float64 on torch and numpy; int8 on torch.")
    ] = "float32",
    device: Annotated[str | None, typer.Option(help="cpu, cuda, … as the backend names it.")] = None,
    revision: RevisionOption = None,
    batch_tokens: Annotated[
        int | None, typer.Option(min=1, help="The most tokens of a batch, padding included: 1,024, on a GPU 8,192.")
    ] = None,
) -> None:
    """The parameters of every verb."""


def _verb(task: str, *fields: Field) -> Callable[[Callable[..., Asked]], Callable[..., None]]:
    """Makes a command of a function from its own options to what it asks of the task."""
    needed = [f"{one.name.upper()}{'…' if one.many else ''}" for one in fields if one.required]
    metavar = "TEXT" if len(needed) == 1 else " ".join(needed)

    def register(ask: Callable[..., Asked]) -> Callable[..., None]:
        @functools.wraps(ask)
        def command(**given: Any) -> None:
            asked = ask(**{name: given.pop(name) for name in own})
            _run(ask.__name__.replace("_", "-"), task, fields, asked, **given)

        common = inspect.signature(_common).parameters
        own = inspect.signature(ask).parameters
        hints = typing.get_type_hints(_common, include_extras=True) | typing.get_type_hints(ask, include_extras=True)
        hints["texts"] = Annotated[
            list[str] | None, typer.Argument(metavar=metavar, help="What to work on.", show_default=False)
        ]
        first = [common["source"], common["texts"]]
        rest = [*own.values(), *(one for name, one in common.items() if name not in ("source", "texts"))]
        command.__signature__ = inspect.Signature([one.replace(annotation=hints[one.name]) for one in [*first, *rest]])
        command.__annotations__ = {name: hints[name] for name in command.__signature__.parameters}
        return command

    return register


def _run(
    name: str,
    task: str,
    fields: Sequence[Field],
    asked: Asked,
    source: str,
    texts: list[str] | None,
    input: Path | None,  # noqa: A002
    column: list[str] | None,
    out: Path | None,
    resume: bool,
    overwrite: bool,
    backend: str | None,
    dtype: str,
    device: str | None,
    revision: str | None,
    batch_tokens: int | None,
) -> None:
    from ..backend import check_device, check_dtype, get_backend
    from ..loading import load
    from ..sources import resolve
    from .job import run
    from .outputs import check_target, open_output

    if resume and out is None:
        raise WrongUsage("--resume goes on with an --out: say which")
    if resume and overwrite:
        raise WrongUsage("--resume goes on and --overwrite begins anew: give one of them")
    if out is not None:
        check_target(out, resume, overwrite)
    if texts and input is not None:
        raise WrongUsage(f"both texts and --input {input}: give one of them")
    fields = with_columns(fields, column or [])
    if texts:
        if column:
            raise WrongUsage("--column is of a file with columns: texts from arguments have none")
        records: list[Record] | Source = list(from_arguments(texts, fields))
    else:
        if input is None and sys.stdin.isatty():
            raise WrongUsage("nothing to work on: give texts, --input FILE, or a pipe to stdin")
        if column and input is not None and input.suffix.lower() == ".txt":
            raise WrongUsage(f"--column is of a file with columns: {input} has none")
        several = sum(one.required for one in fields) > 1
        records = Source(input, fields, as_jsonl=bool(column) or several)
    chosen = get_backend(backend)
    try:
        check_dtype(chosen, dtype)
        check_device(chosen, device)
    except ValueError as error:
        raise WrongUsage(str(error)) from error
    folder = resolve(source, revision=revision)
    with working(f"loading {source}"):
        model = load(folder, task=task, backend=backend, dtype=dtype, device=device)
    options = {**asked.options, "batch_tokens": batch_tokens}
    columns = {
        "line": "integer",
        **{one.name: "json" if one.many else "text" for one in fields},
        **asked.results,
        "error": "text",
    }
    try:
        none = model([], **options)  # the task looks at its options
    except ValueError as error:
        raise WrongUsage(str(error)) from error
    width = None
    if "vector" in asked.results.values():
        # Of no text the vectors still have their length; without pooling there is one of each token instead.
        width = none.shape[1] if hasattr(none, "shape") else None
        if width is None:
            asked = Asked(asked.options, dict.fromkeys(asked.results, "vectors"))
            columns |= asked.results
    job = _job(model, folder, name, fields, options, out)
    output = open_output(out, columns, width, job | {"dtype": dtype, "device": device}, resume)
    try:
        failed = run(name, records, lambda inputs: model(inputs, **options), asked.results, output)
    except KeyboardInterrupt:
        output.discard()
        kept = f"; {output.records} records are in {out}.part: go on with --resume" if out and output.records else ""
        raise ValueError(f"stopped{kept}") from None
    except Exception:
        output.discard()
        raise
    if failed:
        raise typer.Exit(1)


def _job(
    model: Any, folder: Path, name: str, fields: Sequence[Field], options: Mapping[str, Any], out: Path | None
) -> dict[str, Any]:
    """What the rows of a job depend on, its input aside."""
    from .. import __version__
    from ..backend import backend_versions

    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and not path.name.startswith(".")]
    if out is not None:  # which may lie among them
        files = [path for path in files if not path.name.startswith(out.name)]
    return {
        "verb": name,
        "bertx": __version__,
        "backend": {model.backend: backend_versions(model.backend)},
        "model": {str(path.relative_to(folder)): [path.stat().st_size, path.stat().st_mtime_ns] for path in files},
        "columns": {one.name: list(one.sources) for one in fields},
        "options": options,
    }


TEXT = Field("text")
Top = Annotated[int, typer.Option("--top-k", "-k", min=1, help="How many, the best first.")]


@_verb("feature-extraction", TEXT)
def embed(
    pooling: Annotated[
        str | None, typer.Option(help="mean, cls or max; none gives each token's vector; else the checkpoint's own.")
    ] = None,
    normalize: Annotated[
        bool | None, typer.Option("--normalize/--no-normalize", help="Scale to length 1; else the checkpoint's own.")
    ] = None,
) -> Asked:
    """Embed texts, pooled as the checkpoint says."""
    return Asked({"pooling": pooling, "normalize": normalize}, {"embedding": "vector"})


@_verb("fill-mask", TEXT)
def fill_mask(
    top_k: Top = 5,
    target: Annotated[list[str] | None, typer.Option(help="Rank only this word; may be given several times.")] = None,
) -> Asked:
    """Fill the [MASK]s of texts."""
    return Asked({"top_k": top_k, "targets": target or None}, {"words": "json"})


@_verb("text-classification", TEXT, Field("text_pair", required=False))
def classify(
    top_k: Top = 1,
    function: Annotated[str | None, typer.Option(help="softmax, sigmoid or none; else as the config says.")] = None,
) -> Asked:
    """Classify texts, or pairs of them (columns text and text_pair)."""
    results = {"label": "text", "score": "number"} if top_k == 1 else {"labels": "json"}
    return Asked({"top_k": top_k, "function_to_apply": function}, results)


@_verb("token-classification", TEXT)
def tag(
    aggregation: Annotated[str, typer.Option(help="none, simple, first, average or max.")] = "simple",
    stride: Annotated[int | None, typer.Option(min=0, help="Tokens that two windows of a long text share.")] = None,
) -> Asked:
    """Find the names and phrases of texts."""
    return Asked({"aggregation": aggregation, "stride": stride}, {"entities": "json"})


@_verb("question-answering", Field("question"), Field("context"))
def answer(
    top_k: Top = 1,
    impossible: Annotated[bool, typer.Option("--impossible", help='"" is an answer too, as in SQuAD 2.')] = False,
    max_answer_length: Annotated[int, typer.Option(min=1, help="In tokens.")] = 15,
) -> Asked:
    """Answer questions from their contexts (columns question and context)."""
    options = {"top_k": top_k, "handle_impossible_answer": impossible, "max_answer_length": max_answer_length}
    results = {"answer": "text", "score": "number", "start": "integer", "end": "integer"}
    return Asked(options, results if top_k == 1 else {"answers": "json"})


@_verb("multiple-choice", Field("question"), Field("choices", many=True))
def choose() -> Asked:
    """Choose among answers (columns question and choices: a list, or choices=A,B,… for a column each)."""
    return Asked({}, {"choice": "integer", "answer": "text", "scores": "json"})


@_verb("next-sentence-prediction", TEXT, Field("text_pair"))
def next_sentence() -> Asked:
    """Say whether one text follows another (columns text and text_pair)."""
    return Asked({}, {"is_next": "flag", "score": "number"})


@_verb("text-generation", TEXT)
def generate(
    max_new_tokens: Annotated[int, typer.Option(min=1, help="The most tokens that are added.")] = 20,
    sample: Annotated[bool, typer.Option("--sample", help="Draw tokens; else the likeliest is taken.")] = False,
    temperature: Annotated[float, typer.Option(help="Divides the logits of what is drawn.")] = 1.0,
    top_k: Annotated[int | None, typer.Option(min=1, help="Draw from so many of the likeliest tokens.")] = None,
    top_p: Annotated[float | None, typer.Option(help="Draw from the likeliest that first reach this sum.")] = None,
    seed: Annotated[int, typer.Option(help="Of what is drawn.")] = 0,
) -> Asked:
    """Continue texts with a causal model."""
    options = {"max_new_tokens": max_new_tokens, "do_sample": sample, "temperature": temperature}
    options |= {"top_k": top_k, "top_p": top_p, "seed": seed}
    return Asked(options, {"generated_text": "text", "tokens": "json"})


VERBS = (embed, fill_mask, classify, tag, answer, choose, next_sentence, generate)
