"""The verbs that run a task on text."""

from __future__ import annotations

import functools
import inspect
import typing
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .inputs import files_of
from .options import (
    BackendOption,
    BatchTokensOption,
    ColumnOption,
    DelimiterOption,
    DeviceOption,
    DtypeOption,
    EncodingOption,
    InputFormatOption,
    KeepOption,
    MaxLengthOption,
    OutOption,
    OverwriteOption,
    RayOption,
    ResumeOption,
    RevisionOption,
    ShardOption,
    SourceArgument,
    UntrainedOption,
    WorkersOption,
    epilog,
)
from .records import Field
from .verbs import Call, TaskCall, run_verb

if TYPE_CHECKING:
    from ..generation.config import GenerationConfig


def _common(
    source: SourceArgument,
    texts: list[str] | None = None,
    input: Annotated[  # noqa: A002
        list[str] | None,
        typer.Option(
            "--input",
            "-i",
            metavar="FILE...",
            help="A .txt (a text a line), .jsonl, .json, .csv or .tsv file, or these with .gz, or .parquet, .arrow or "
            ".feather; or several, or a pattern in quotes; without it and texts, stdin.",
        ),
    ] = None,
    column: ColumnOption = None,
    input_format: InputFormatOption = None,
    delimiter: DelimiterOption = None,
    encoding: EncodingOption = "utf-8",
    keep: KeepOption = None,
    shard: ShardOption = None,
    out: OutOption = None,
    resume: ResumeOption = False,
    overwrite: OverwriteOption = False,
    backend: BackendOption = None,
    dtype: DtypeOption = "float32",
    device: DeviceOption = None,
    revision: RevisionOption = None,
    batch_tokens: BatchTokensOption = None,
    max_length: MaxLengthOption = None,
    untrained: UntrainedOption = False,
    ray: RayOption = None,
    workers: WorkersOption = None,
) -> None:
    """The parameters of every verb."""


def _verb(
    task: str,
    *fields: Field,
    examples: tuple[str, ...],
    shared: Callable[..., dict[str, Any]] | None = None,
    cuts: bool = True,
) -> Callable[[Callable[..., TaskCall]], Callable[..., None]]:
    """Makes a command of a function from its own options to what it asks of the task.

    shared: whose options the command has too; what it makes of them is the first argument of the function.
    cuts: whether the task cuts texts at --max-length; else this is refused, and not listed.
    """
    needed = [f"{one.name.upper()}{'…' if one.many else ''}" for one in fields if one.required]
    metavar = "TEXT" if len(needed) == 1 else " ".join(needed)

    def register(ask: Callable[..., TaskCall]) -> Callable[..., None]:
        @functools.wraps(ask)
        def command(**given: Any) -> None:
            first = [] if shared is None else [shared(**{name: given.pop(name) for name in of_shared})]
            task_call = ask(*first, **{name: given.pop(name) for name in own})
            if files := given.pop("input"):
                given |= {"inputs": files_of(files, given.pop("texts") or ())}
            run_verb(ask.__name__.replace("_", "-"), task, fields, task_call, Call(**given))

        common = inspect.signature(_common).parameters
        own = dict(inspect.signature(ask).parameters)
        of_shared = {} if shared is None else inspect.signature(shared).parameters
        if shared is not None:
            del own[next(iter(own))]
        functions = [_common, ask] if shared is None else [_common, ask, shared]
        hints = {}
        for function in functions:
            hints |= typing.get_type_hints(function, include_extras=True)
        if not cuts:
            hints["max_length"] = Annotated[int | None, typer.Option(min=1, hidden=True)]
        hints["texts"] = Annotated[
            list[str] | None, typer.Argument(metavar=metavar, help="What to work on.", show_default=False)
        ]
        first = [common["source"], common["texts"]]
        rest = [*of_shared.values(), *own.values()]
        rest += [one for name, one in common.items() if name not in ("source", "texts")]
        command.__signature__ = inspect.Signature([one.replace(annotation=hints[one.name]) for one in [*first, *rest]])  # pyright: ignore[reportAttributeAccessIssue]  # for typer
        command.__annotations__ = {name: hints[name] for name in command.__signature__.parameters}  # pyright: ignore[reportAttributeAccessIssue]  # for typer
        command.epilog = epilog(*examples)  # pyright: ignore[reportAttributeAccessIssue]  # for typer
        return command

    return register


TEXT = Field("text")
Prompt = Annotated[str | None, typer.Option(help="Put before each text; else the checkpoint's default prompt.")]
PromptName = Annotated[str | None, typer.Option(help="One of the checkpoint's prompts, such as query.")]
Top = Annotated[int, typer.Option("--top-k", "-k", min=1, help="How many, the best first.")]


def _vector_dtype(dtype: str) -> str:
    if dtype not in ("float32", "float16", "int8"):
        raise typer.BadParameter(f"{dtype!r} is none of float32, float16, int8")
    return dtype


@_verb(
    "feature-extraction",
    TEXT,
    examples=(
        'bertx embed all-MiniLM-L6-v2 "A happy person." "A happy dog."',
        "bertx embed all-MiniLM-L6-v2 -i texts.txt.gz -o vectors.npy --vectors float16",
        "bertx embed all-MiniLM-L6-v2 -i articles.parquet -c body --keep id,title -o vectors.parquet --resume",
        "bertx embed all-MiniLM-L6-v2 -i 'shards/*.jsonl' -o vectors.parquet",
        "bertx embed all-MiniLM-L6-v2 -i texts.jsonl -o part1.parquet --shard 1/4",
        "bertx embed all-MiniLM-L6-v2 -i 'shards/*.parquet' -o vectors.parquet --resume --ray 10.0.0.1:6379",
        "bertx embed my-checkpoint -i questions.txt -o vectors.npy --prompt-name query",
    ),
)
def embed(
    pooling: Annotated[
        str | None,
        typer.Option(
            help="mean, cls, max, mean_sqrt_len_tokens, weightedmean or lasttoken; none gives each token's vector; "
            "else the checkpoint's own."
        ),
    ] = None,
    normalize: Annotated[
        bool | None, typer.Option("--normalize/--no-normalize", help="Scale to length 1; else the checkpoint's own.")
    ] = None,
    prompt: Prompt = None,
    prompt_name: PromptName = None,
    vectors: Annotated[
        str,
        typer.Option(
            callback=_vector_dtype,
            help="float32; float16: half as large, about 3 digits; int8: a quarter, 2 digits, with a scale for each.",
        ),
    ] = "float32",
) -> TaskCall:
    """Embed texts, pooled as the checkpoint says."""
    options = {"pooling": pooling, "normalize": normalize, "prompt": prompt, "prompt_name": prompt_name}
    return TaskCall(options, {"embedding": "vector"}, vectors)


@_verb(
    "fill-mask",
    TEXT,
    examples=(
        'bertx fill-mask bert-base "Paris is the [MASK] of France." --top-k 3',
        'bertx fill-mask bert-base "A [MASK] dog." --target happy --target sad',
    ),
)
def fill_mask(
    top_k: Top = 5,
    target: Annotated[list[str] | None, typer.Option(help="Rank only this word; may be given several times.")] = None,
) -> TaskCall:
    """Fill the [MASK]s of texts."""
    return TaskCall({"top_k": top_k, "targets": target or None}, {"words": "json"})


@_verb(
    "text-classification",
    TEXT,
    Field("text_pair", required=False),
    examples=(
        'bertx classify my-checkpoint "A happy person."',
        "bertx classify my-checkpoint -i reviews.csv --column body --keep id -o labels.csv",
        "bertx classify my-checkpoint -i pairs.jsonl --column text=premise --column text_pair=hypothesis",
    ),
)
def classify(
    top_k: Top = 1,
    function: Annotated[str | None, typer.Option(help="softmax, sigmoid or none; else as the checkpoint says.")] = None,
    prompt: Prompt = None,
    prompt_name: PromptName = None,
) -> TaskCall:
    """Classify texts, or pairs of them (columns text and text_pair)."""
    results = {"label": "text", "score": "number"} if top_k == 1 else {"labels": "json"}
    options = {"top_k": top_k, "function_to_apply": function, "prompt": prompt, "prompt_name": prompt_name}
    return TaskCall(options, results)


@_verb(
    "token-classification",
    TEXT,
    examples=(
        'bertx tag my-checkpoint "Ada Lovelace lived in London."',
        "bertx tag my-checkpoint -i texts.txt -o entities.jsonl --stride 16",
    ),
)
def tag(
    aggregation: Annotated[str, typer.Option(help="none, simple, first, average or max.")] = "simple",
    stride: Annotated[int | None, typer.Option(min=0, help="Tokens that two windows of a long text share.")] = None,
) -> TaskCall:
    """Find the names and phrases of texts."""
    return TaskCall({"aggregation": aggregation, "stride": stride}, {"entities": "json"})


@_verb(
    "question-answering",
    Field("question"),
    Field("context"),
    examples=(
        'bertx answer my-checkpoint "Who lived in London?" "Ada Lovelace lived in London."',
        "bertx answer my-checkpoint -i questions.jsonl -o answers.jsonl --impossible",
    ),
)
def answer(
    top_k: Top = 1,
    impossible: Annotated[bool, typer.Option("--impossible", help='"" is an answer too, as in SQuAD 2.')] = False,
    max_answer_length: Annotated[int, typer.Option(min=1, help="In tokens.")] = 15,
) -> TaskCall:
    """Answer questions from their contexts (columns question and context)."""
    options = {"top_k": top_k, "handle_impossible_answer": impossible, "max_answer_length": max_answer_length}
    results = {"answer": "text", "score": "number", "start": "integer", "end": "integer"}
    return TaskCall(options, results if top_k == 1 else {"answers": "json"})


@_verb(
    "multiple-choice",
    Field("question"),
    Field("choices", many=True),
    examples=(
        'bertx choose my-checkpoint "Who barks?" "the dog" "the cat"',
        "bertx choose my-checkpoint -i questions.csv --column choices=a,b,c,d",
    ),
)
def choose() -> TaskCall:
    """Choose among answers (columns question and choices: a list, or choices=A,B,… for a column each)."""
    return TaskCall({}, {"choice": "integer", "answer": "text", "scores": "json"})


@_verb(
    "next-sentence-prediction",
    TEXT,
    Field("text_pair"),
    examples=(
        'bertx next-sentence bert-base "It rained." "Nobody minded."',
        "bertx next-sentence bert-base -i pairs.tsv --column text=first --column text_pair=second",
    ),
)
def next_sentence() -> TaskCall:
    """Say whether one text follows another (columns text and text_pair)."""
    return TaskCall({}, {"is_next": "flag", "score": "number"})


_EARLY_STOPPING: dict[str, bool | str] = {"true": True, "false": False, "never": "never"}


def _early_stopping(value: str | None) -> str | None:
    if value is not None and value not in _EARLY_STOPPING:
        raise typer.BadParameter(f"{value!r} is none of {', '.join(_EARLY_STOPPING)}")
    return value


def _generation(
    max_new_tokens: Annotated[int | None, typer.Option(min=1, help="The most tokens that are added.")] = None,
    min_new_tokens: Annotated[int | None, typer.Option(min=0, help="The fewest tokens that are added.")] = None,
    num_beams: Annotated[int | None, typer.Option(min=1, help="Beam search with so many beams.")] = None,
    num_beam_groups: Annotated[
        int | None, typer.Option(min=1, help="So many groups of beams, each kept from the others' tokens.")
    ] = None,
    diversity_penalty: Annotated[
        float | None, typer.Option(help="With groups: what a token loses for each beam of another that has it.")
    ] = None,
    early_stopping: Annotated[
        str | None, typer.Option(help="When beam search ends: true, false or never.", callback=_early_stopping)
    ] = None,
    length_penalty: Annotated[
        float | None, typer.Option(help="Of beam search: above 0 favours longer texts, below 0 shorter ones.")
    ] = None,
    num_return_sequences: Annotated[int | None, typer.Option(min=1, help="How many results for each text.")] = None,
    repetition_penalty: Annotated[float | None, typer.Option(help="Above 1 tokens come twice less often.")] = None,
    no_repeat_ngram_size: Annotated[
        int | None, typer.Option(min=1, help="No sequence of so many tokens comes twice.")
    ] = None,
    bad_words: Annotated[list[str] | None, typer.Option(help="A text that is not written; repeatable.")] = None,
    stop: Annotated[list[str] | None, typer.Option(help="Text that ends a result; repeatable.")] = None,
    sample: Annotated[bool, typer.Option("--sample", help="Draw tokens; else the likeliest is taken.")] = False,
    temperature: Annotated[float | None, typer.Option(help="Divides the logits of what is drawn.")] = None,
    top_k: Annotated[int | None, typer.Option(min=1, help="Draw from so many of the likeliest tokens.")] = None,
    top_p: Annotated[float | None, typer.Option(help="Draw from the likeliest that first reach this sum.")] = None,
    min_p: Annotated[float | None, typer.Option(help="Draw from those of this part of the likeliest.")] = None,
    typical_p: Annotated[float | None, typer.Option(help="Draw from the most typical that reach this sum.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Of what is drawn.")] = None,
) -> dict[str, Any]:
    """The options of verbs that generate text."""
    given = {
        "max_new_tokens": max_new_tokens,
        "min_new_tokens": min_new_tokens,
        "num_beams": num_beams,
        "num_beam_groups": num_beam_groups,
        "diversity_penalty": diversity_penalty,
        "early_stopping": _EARLY_STOPPING[early_stopping] if early_stopping else None,
        "length_penalty": length_penalty,
        "num_return_sequences": num_return_sequences,
        "repetition_penalty": repetition_penalty,
        "no_repeat_ngram_size": no_repeat_ngram_size,
        "bad_words": bad_words or None,
        "stop_strings": stop or None,
        "do_sample": sample or None,
        "temperature": temperature,
        "top_k": top_k,
        "top_p": top_p,
        "min_p": min_p,
        "typical_p": typical_p,
        "seed": seed,
    }
    return {name: value for name, value in given.items() if value is not None}


def _generated(name: str, options: dict[str, Any], **others: Any) -> TaskCall:
    """The call of a task that generates text, which is in the column `name`."""

    def results(several: bool, has_score: bool) -> dict[str, Any]:
        score = {"score": "json" if several else "number"} if has_score else {}
        return {name: "json" if several else "text", "tokens": "json", **score}

    def results_of(config: GenerationConfig) -> dict[str, Any]:
        return results(config.num_return_sequences > 1, config.num_beams > 1)

    return TaskCall(options, results(several=False, has_score=True), results_of=results_of, **others)


@_verb(
    "text-generation",
    TEXT,
    examples=(
        'bertx generate my-checkpoint "The dog" --max-new-tokens 10',
        'bertx generate my-checkpoint "The dog" --stream',
        "bertx generate my-checkpoint -i prompts.txt --num-beams 4 --no-repeat-ngram-size 3",
        "bertx generate my-checkpoint -i prompts.txt --sample --temperature 0.8 --seed 1",
    ),
    shared=_generation,
    cuts=False,
)
def generate(
    options: dict[str, Any],
    stream: Annotated[bool, typer.Option("--stream", help="Print text as it is made, as text.")] = False,
) -> TaskCall:
    """Continue texts with a causal model; its generation_config.json says what no option does."""
    return _generated("generated_text", options, stream=stream, length=None)


@_verb(
    "summarization",
    TEXT,
    examples=(
        "bertx summarize my-checkpoint -i articles.txt",
        "bertx summarize my-checkpoint -i articles.jsonl -c body --keep id -o summaries.jsonl --resume",
        "bertx summarize my-checkpoint -i articles.txt --num-beams 4 --no-repeat-ngram-size 3 --max-new-tokens 60",
    ),
    shared=_generation,
)
def summarize(options: dict[str, Any]) -> TaskCall:
    """Summarise documents with an encoder-decoder; 4 beams and 256 tokens unless it or an option says otherwise."""
    return _generated("summary_text", options, length="max_source_length")


VERBS = (embed, fill_mask, classify, tag, answer, choose, next_sentence, generate, summarize)
