"""How a verb runs: its arguments are checked, its files are reserved, and a job goes through its task."""

from __future__ import annotations

import contextlib
import functools
import os
import socket
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from bertx_weights.files import is_special

from .fingerprint import model_files
from .formats import SCALE, Columns, Row
from .inputs import Input
from .options import input_form
from .records import Field, Record, WrongUsage, from_arguments, with_columns
from .source import SUFFIXES, Reading, description
from .targets import behind_links, refuse_same, reserved
from .terminal import is_terminal, named_stdout, tell, working

if TYPE_CHECKING:
    from ..checkpoints.inspect import Inspection
    from ..exporting.artefacts import Artefact
    from ..generation.config import GenerationConfig
    from .job import Answer, Answers, Chunk


@dataclass(frozen=True)
class TaskCall:
    """A verb's call of its task: options, the columns of a result, and the dtype of its vectors.

    `stream`: text is printed while it is made, in place of results. `length`: what the task calls the length that texts
    are cut at, None where it cuts none. `results_of`: the columns of text that is generated, since the checkpoint's own
    options too say how many texts there are and whether they have scores; `results` are those that it may have.
    """

    options: Mapping[str, Any]
    results: Columns
    vectors: str = "float32"
    stream: bool = False
    length: str | None = "max_length"
    results_of: Callable[[GenerationConfig], Columns] | None = None

    @property
    def columns(self) -> Columns:
        """What a verb writes of a result."""
        return {**self.results, **({SCALE: "number"} if self.vectors == "int8" else {})}


@dataclass(frozen=True)
class Call:
    """The arguments and options that every verb of a task has; tasks.py and options.py describe them."""

    source: str
    texts: Sequence[str] | None = None
    inputs: Sequence[Path] = ()
    column: Sequence[str] | None = None
    input_format: str | None = None
    delimiter: str | None = None
    encoding: str = "utf-8"
    keep: str | None = None
    shard: str | None = None
    out: Path | None = None
    resume: bool = False
    overwrite: bool = False
    backend: str | None = None
    dtype: str = "float32"
    device: str | None = None
    revision: str | None = None
    batch_tokens: int | None = None
    max_length: int | None = None
    untrained: bool = False
    ray: str | None = None
    workers: int | None = None


def run_verb(name: str, task: str, fields: Sequence[Field], task_call: TaskCall, call: Call) -> None:
    """Runs a verb; exits with 1 where records could not be used.

    Raises:
        WrongUsage: what was asked for cannot be done; nothing is written then.
    """
    if call.resume and call.out is None:
        raise WrongUsage("--resume goes on with an --out: say which")
    if call.resume and call.overwrite:
        raise WrongUsage("--resume goes on and --overwrite begins anew: give one of them")
    if call.max_length is not None and task_call.length is None:
        raise WrongUsage(f"--max-length cuts texts, and {name} takes them whole: see --max-new-tokens")
    if call.workers is not None and call.ray is None:
        raise WrongUsage("--workers is of --ray: --ray local starts them on this machine")
    if task_call.stream and call.ray is not None:
        raise WrongUsage("--stream prints text as it is made here, and --ray runs elsewhere: give one of them")
    if task_call.stream and call.out is not None:
        raise WrongUsage("--stream prints text as it is made, and --out keeps results: give one of them")
    with contextlib.ExitStack() as stack:
        call, done = with_reserved_out(call, stack)
        fields = with_columns(fields, call.column or [])
        records = open_records(fields, call, task_call.columns)
        if isinstance(records, Input):
            stack.callback(records.close)
        run = _stream if task_call.stream else _run
        failed = run(name, task, fields, task_call, call, records, done)
    if failed:
        raise typer.Exit(1)


def with_reserved_out(call: Call, stack: contextlib.ExitStack) -> tuple[Call, bool]:
    """The call with the --out behind a link, kept for this job until the stack ends; and whether it is finished.

    Raises:
        WrongUsage: it is what the job reads, is there already, or another job writes it.
    """
    from .outputs import check_target

    out = call.out
    if out is None:
        return call, False
    if is_special(out):
        if call.resume:
            raise WrongUsage(f"--resume goes on with a file, and {out} is none")
        return call, False
    for path in call.inputs:
        refuse_same(out, path)
    out = behind_links(out)
    stack.enter_context(reserved(out))
    return replace(call, out=out), check_target(out, call.resume, call.overwrite)


def chosen_backend(call: Call) -> str:
    """The name of the backend that a call runs on.

    Raises:
        WrongUsage: it does not run the dtype, or see the device.
    """
    from ..backend import check_device, check_dtype, get_backend

    chosen = get_backend(call.backend)
    try:
        check_dtype(chosen, call.dtype)
        check_device(chosen, call.device)
    except ValueError as error:
        raise WrongUsage(str(error)) from error
    return chosen.name


def open_records(fields: Sequence[Field], call: Call, results: Columns) -> Sequence[Record] | Input:
    """What a verb works on: its arguments, a file or stdin."""
    first, every = map(int, (call.shard or "1/1").split("/"))
    keep = tuple(name.strip() for name in call.keep.split(",")) if call.keep else ()
    if call.texts:
        for text in call.texts:
            if Path(text).suffix.lower() in (*SUFFIXES, ".gz") and os.path.isfile(text):
                raise WrongUsage(f"{text} is a file: give it with --input {text} (a text of this name: through stdin)")
        given = {"--column": call.column, "--keep": keep, "--shard": call.shard, "--input-format": call.input_format}
        for option, value in given.items():
            if value:
                raise WrongUsage(f"{option} is of a file with columns: texts from arguments have none")
        return list(from_arguments(call.texts, fields))
    if not call.inputs and is_terminal(sys.stdin):
        raise WrongUsage("nothing to work on: give texts, --input FILE, or a pipe to stdin")
    forms = {path: input_form(path, call.input_format) for path in call.inputs} or {"stdin as txt": call.input_format}
    reading = Reading(call.input_format, call.encoding, call.delimiter, keep, (first, every))
    if call.column and (texts := next((path for path, form in forms.items() if form == "txt"), None)):
        raise WrongUsage(f"--column is of a file with columns: {texts} has none")
    taken = {"line", "row", "error", *(one.name for one in fields), *results}
    taken |= {"file"} if len(call.inputs) > 1 else set()
    return Input(call.inputs, fields, reading, taken, columns_given=bool(call.column) and not call.inputs)


def _run(
    name: str,
    task: str,
    fields: Sequence[Field],
    task_call: TaskCall,
    call: Call,
    records: Sequence[Record] | Input,
    done: bool,
) -> int:
    from .job import digest_of, inputs_of, rows_of, run
    from .outputs import check_finished, check_form, open_output

    backend = chosen_backend(call)
    columns = {**columns_of(records, fields), **task_call.columns, "error": "text"}
    check_form(call.out, columns, task_call.vectors)
    found = checked_head(name, task, call)
    options = {**task_call.options, "batch_tokens": call.batch_tokens}
    if call.max_length is not None and task_call.length is not None:
        options[task_call.length] = call.max_length
    job: dict[str, Any] = {}
    if call.out is not None:
        job = _job(backend, name, fields, options, task_call, call, records, found)
    if done:
        failed = check_finished(call.out, job, records, digest_of(records))  # pyright: ignore[reportArgumentType]  # done: there is one
        lost = f"; {failed} of its lines failed" if failed else ""
        tell(f"{call.out} is whole: nothing to do{lost}", "green")
        return failed
    with working(f"loading {call.source}"):
        model = loaded(found.source, task, call)
    try:
        none = model([], **options)  # the task looks at its options
    except ValueError as error:
        raise WrongUsage(str(error)) from error
    results, width = task_call.results, None
    if task_call.results_of is not None:
        from ..generation.config import OPTIONS

        given = {option: value for option, value in options.items() if option in OPTIONS}
        results = task_call.results_of(model._task.generation_config.replace(**given))
        columns = {**columns_of(records, fields), **results, "error": "text"}
    if "vector" in results.values():
        # Of no text the vectors still have their length; without pooling there is one of each token instead.
        width = none.shape[1] if hasattr(none, "shape") else None
        if width is None:
            results = dict.fromkeys(results, "vectors")
            if task_call.vectors != "float32":
                raise WrongUsage(f"--vectors {task_call.vectors} is of one vector of each text: give --pooling")
    columns |= results
    output = None
    try:
        output = open_output(call.out, columns, width, task_call.vectors, job, call.resume)
        if call.ray is not None:
            from .ray_workers import on_workers

            expected = computed_by(backend, call, found)
            begin = functools.partial(_begun, task, call, options, expected)
            gpu = call.device not in (None, "cpu")
            answered = functools.partial(on_workers, call.ray, call.workers, gpu, begin)
        else:
            answer = _answer_by(model, options)

            def answered(chunks: Iterator[Chunk]) -> Iterator[tuple[Chunk, Answers]]:
                return ((chunk, answer(inputs_of(chunk[0]))) for chunk in chunks)

        def compute(chunks: Iterator[Chunk]) -> Iterator[tuple[Chunk, list[Row]]]:
            for chunk, answers in answered(chunks):
                yield chunk, rows_of(chunk[0], answers, results, task_call.vectors)

        return run(name, records, compute, output)
    except KeyboardInterrupt:
        kept = ""
        if output is not None:
            output.discard()
            if call.out and output.records and not is_special(call.out):
                kept = f"; {output.records} records are in {call.out}.part: go on with --resume"
        raise ValueError(f"stopped{kept}") from None
    except Exception:
        if output is not None:
            output.discard()
        raise


def _begun(task: str, call: Call, options: Mapping[str, Any], expected: Mapping[str, Any]) -> Answer:
    """A function from inputs to answers, in a process on any machine.

    Raises:
        ValueError: this machine has other versions or files of the model, and would give other answers.
    """
    found = found_source(call, task)
    here = computed_by(chosen_backend(call), call, found)
    if different := [name for name, value in expected.items() if here[name] != value]:
        raise ValueError(
            f"{socket.gethostname()} has another {' and another '.join(different)} than the machine that began: "
            "every machine needs the same versions, and the same files of the model"
        )
    return _answer_by(loaded(found.source, task, call), options)


def _answer_by(model: Any, options: Mapping[str, Any]) -> Answer:
    """A function from inputs to answers, by a model in this process."""
    from .job import answers_of

    return lambda inputs: answers_of(inputs, lambda some: model(some, **options))


def _stream(
    name: str,
    task: str,
    fields: Sequence[Field],
    task_call: TaskCall,
    call: Call,
    records: Sequence[Record] | Input,
    done: bool,
) -> int:
    """Prints each text and what is added to it; how many records could not be used."""
    from .job import ascii_only

    chosen_backend(call)
    found = checked_head(name, task, call)
    with working(f"loading {call.source}"):
        model = loaded(found.source, task, call)
    try:
        model("", stream=True, **task_call.options)  # the task looks at its options
    except ValueError as error:
        raise WrongUsage(str(error)) from error
    failed = 0
    for record in records:
        text = next(iter(record.values.values()), "")
        try:
            if record.problem:
                raise ValueError(record.problem)
            pieces = model(text, stream=True, **task_call.options)
        except ValueError as error:
            failed += 1
            tell(f"{record.place}: {ascii_only(str(error))}", "red")
            continue
        with named_stdout():
            print(text, end="", flush=True)
            for piece in pieces:
                print(piece, end="", flush=True)
            print(flush=True)
    return failed


def columns_of(records: Sequence[Record] | Input, fields: Sequence[Field]) -> dict[str, Any]:
    """The columns of an output that come from the input."""
    has_lines = not isinstance(records, Input) or records.has_lines
    kept = records.kept if isinstance(records, Input) else {}
    return {
        **({"file": "text"} if isinstance(records, Input) and records.several else {}),
        **({"line": "integer"} if has_lines else {}),
        "row": "integer",
        **kept,
        **{one.name: "json" if one.many else "text" for one in fields},
    }


def found_source(call: Call, task: str | None = None) -> Inspection | Artefact:
    """What the source of a call is: a checkpoint, or the exported file that its backend runs."""
    from ..backend import get_backend
    from ..checkpoints.inspect import inspect

    chosen = get_backend(call.backend)
    if chosen.files:
        from ..exporting.artefacts import find_artefact

        return find_artefact(call.source, task, chosen, call.revision)
    return inspect(call.source, task=task, revision=call.revision)


def checked_head(name: str, task: str, call: Call) -> Inspection | Artefact:
    """What is known of a checkpoint that has the head of a task, or `--untrained` was given.

    Raises:
        WrongUsage: it has not, and what it says would be random.
    """
    from ..checkpoints.inspect import Inspection, inspect
    from ..registry import trained_as

    found = found_source(call, task)
    if not isinstance(found, Inspection):  # opened, a file that has not this head is refused
        return found
    if found.report.initialised and not call.untrained:
        own = inspect(found.source).task
        raise WrongUsage(
            f"{call.source} has no head for {task} ({', '.join(found.report.initialised)}), so that {name} would give "
            f"random results; its own head is of {own}. Give a checkpoint that was trained for it, or --untrained to "
            "run it with random weights"
        )
    if (trained := trained_as(found.config, found.architecture)) and not call.untrained:
        raise WrongUsage(
            f"{call.source} has no head for {task}: its classifier was trained in a {trained}. Give a checkpoint "
            "that was trained for it, or --untrained to run it all the same"
        )
    return found


def pooled(model: Any, call: Call, texts: Sequence[str], **options: Any) -> Any:
    """The embeddings of texts [B, H].

    Raises:
        WrongUsage: the checkpoint does not say how it pools, or takes an option not.
    """
    try:
        found = model(list(texts), **options)
    except ValueError as error:
        raise WrongUsage(str(error)) from error
    if isinstance(found, list):
        raise WrongUsage(f"{call.source} does not say how it pools: give --pooling, such as mean or cls")
    return found


def loaded(folder: str, task: str | None, call: Call) -> Any:
    """The model of a verb, which takes texts of `--max-length`."""
    from ..checkpoints.load import load
    from ..tasks.options import max_tokens

    model = load(folder, task=task, backend=call.backend, dtype=call.dtype, device=call.device)
    if call.max_length is not None:
        own = getattr(model._task, "max_length", None)  # of a sentence-transformers folder
        limits = [own or max_tokens(model), model.config.max_sequence_length]
        if call.max_length > min(limits):
            raise WrongUsage(f"--max-length is {call.max_length}, and {call.source} takes {min(limits)} tokens")
        if call.max_length < 3:
            raise WrongUsage("--max-length must leave room for a token beside [CLS] and [SEP]: at least 3")
    return model


def _job(
    backend: str,
    name: str,
    fields: Sequence[Field],
    options: Mapping[str, Any],
    task_call: TaskCall,
    call: Call,
    records: Sequence[Record] | Input,
    found: Inspection | Artefact,
) -> dict[str, Any]:
    """What the rows of a job depend on, its input aside."""
    return {
        "verb": name,
        **computed_by(backend, call, found),
        "columns": {one.name: list(one.sources) for one in fields},
        "options": {
            **options,
            "max_length": call.max_length,
            "untrained": call.untrained,
            "vectors": task_call.vectors,
        },
        "input": records.description if isinstance(records, Input) else description(Reading(), "arguments"),
        "dtype": call.dtype,
        "device": call.device,
    }


def computed_by(backend: str, call: Call, found: Inspection | Artefact) -> dict[str, Any]:
    """The versions and the files of a model that rows depend on: every machine must have the same."""
    from .. import __version__
    from ..backend import backend_versions

    folder = Path(found.source)
    files = model_files(folder, [folder / name for name in found.files], call.out)
    return {"bertx": __version__, "backend": {backend: backend_versions(backend)}, "model": files}
