"""The arguments of a task's call: the hub's names for them, those that are refused, and those of the tokenizer."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from ..tokenizers.ragged import RaggedBatch
from .streaming import TooLongError

if TYPE_CHECKING:
    from .protocol import TaskModel

_TRUNCATIONS = (None, True, False, "longest_first", "only_first", "only_second", "do_not_truncate")
_PADDINGS = (None, True, False, "longest", "max_length", "do_not_pad")
_OF_TOKENIZER = ("max_length", "truncation", "padding")
# How pipelines of transformers name a dict of these; their text-classification takes them one by one.
_MAPPINGS = ("tokenize_kwargs", "tokenizer_kwargs")
_SAME = {"aggregation_strategy": "aggregation"}

_RESULTS = 'leave it out; a result\'s "tokens" are the ids that were added, which model.tokenizer.decode turns to text'
_CHAT = "BERT has no chat template: write it into the prompt"
_INSTEAD = {
    "batch_size": "batch_tokens is the number of tokens in a batch",
    "num_workers": "leave it out; texts are tokenised in this process",
    "return_tensors": "leave it out; vectors are NumPy arrays, which torch.from_numpy takes",
    "return_all_scores": "top_k=None gives the scores of all labels",
    "offset_mapping": "leave it out; the offsets are those of the model's tokenizer",
    "grouped_entities": "aggregation='simple' joins tokens to entities",
    "ignore_subwords": "aggregation='first' gives each word one label",
    "topk": "it is named top_k",
    "doc_stride": "it is named stride",
    "max_seq_len": "it is named max_length",
    "max_answer_len": "it is named max_answer_length",
    "max_question_len": "shorten the questions before the call",
    "align_to_words": "leave it out; answers begin and end at the borders of words",
    "return_full_text": _RESULTS,
    "return_text": _RESULTS,
    "return_type": _RESULTS,
    "skip_special_tokens": _RESULTS,
    "clean_up_tokenization_spaces": _RESULTS,
    "prefix": "put it before each prompt",
    "handle_long_generation": "shorten the prompts before the call",
    "stop_sequence": "it is named stop_strings; eos_token_id is the token that ends a text",
    "continue_final_message": _CHAT,
    "tools": _CHAT,
    "documents": _CHAT,
    "tokenizer_encode_kwargs": "tokenise and shorten the prompts before the call",
}
_INSTEAD_OF_TASK = {
    "question-answering": {"padding": "leave it out; batches are padded as they need it"},
    "summarization": {
        "padding": "leave it out; batches are padded as they need it",
        "return_tensors": _RESULTS,
    },
    "text-generation": {
        "truncation": "shorten the prompts before the call",
        "padding": "leave it out; batches are padded as they need it",
        "return_tensors": _RESULTS,
    },
}


def takes_options(
    task: str, further: Iterable[str] = (), instead: Mapping[str, str] | None = None
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """A decorator of a task's call: it also takes the hub's names of arguments, and refuses unknown ones by name.

    Args:
        task: the pipeline tag.
        further: the names that the call takes as **options.
        instead: names that are refused → what to do.

    Raises of the call:
        TypeError: arguments that the task does not take, or one that is given twice.
    """

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        parameters = inspect.signature(function).parameters.values()
        names = [one.name for one in parameters if one.kind is not one.VAR_KEYWORD]
        names[2:2] = further  # after the inputs

        @functools.wraps(function)
        def call(*args: Any, **options: Any) -> Any:
            return function(*args, **_named(task, names, options, instead or {}))

        return call

    return decorate


def _named(task: str, names: Sequence[str], options: Mapping[str, Any], instead: Mapping[str, str]) -> dict[str, Any]:
    """Options by the names that a task has for them."""
    pairs: list[tuple[str, Any]] = []
    unknown: dict[str, str] = {}
    for name, value in options.items():
        if name in _MAPPINGS and {*_OF_TOKENIZER} <= {*names}:
            if not isinstance(value, (Mapping, type(None))):
                raise TypeError(f"{name} is {value!r:.60}, expected a dict of {', '.join(_OF_TOKENIZER)}")
            pairs += [(key, of_key) for key, of_key in (value or {}).items() if key in _OF_TOKENIZER]
            unknown |= {f"{name}[{key!r}]": _only_lengths() for key in value or {} if key not in _OF_TOKENIZER}
            continue
        own = _SAME.get(name, name)
        if own in names:
            pairs.append((own, value))
        else:
            unknown[name] = instead.get(name) or _instead(task, name, names)
    if unknown:
        lines = "".join(f"\n  {name}: {reason}" for name, reason in unknown.items())
        raise TypeError(f"{task} does not take {', '.join(unknown)}:{lines}")
    twice = _repeated(name for name, _ in pairs)
    if twice:
        raise TypeError(f"{task} is given {', '.join(twice)} twice, by two names: give each once")
    return dict(pairs)


def _instead(task: str, name: str, names: Sequence[str]) -> str:
    known = _INSTEAD_OF_TASK.get(task, {}).get(name) or _INSTEAD.get(name)
    own = ", ".join(one for one in names if one != "self")
    if task == "text-classification" and known is None:
        return f"{_only_lengths()}; the arguments are {own}"
    return known or f"the arguments are {own}"


def _only_lengths() -> str:
    return f"of the tokenizer's arguments a task takes {', '.join(_OF_TOKENIZER)}; model.tokenizer takes the others"


def _repeated(names: Iterable[str]) -> list[str]:
    seen = list(names)
    return sorted({name for name in seen if seen.count(name) > 1})


class TokenizerOptions(NamedTuple):
    """How texts are cut and padded.

    Attributes:
        max_length: in tokens, special ones included; None is what the tokenizer and the model take.
        truncation: None and True cut at max_length, of a pair the longer text; "only_first" and "only_second" cut that
            one. With False texts are whole.
        padding: with "max_length" each row is padded to that; a batch is padded in any case.
    """

    max_length: int | None = None
    truncation: bool | str | None = None
    padding: bool | str | None = None

    @classmethod
    def checked(
        cls,
        model: TaskModel,
        max_length: Any,
        truncation: Any = None,
        padding: Any = None,
        default: int | None = None,
        name: str = "max_length",
    ) -> TokenizerOptions:
        """Those of a call; `default` is the length of its checkpoint, `name` that of the argument that has it.

        Raises:
            ValueError: a length that the model does not take, or an unknown truncation or padding.
        """
        check_max_length(model, max_length, name)
        for option, value, known in (("truncation", truncation, _TRUNCATIONS), ("padding", padding, _PADDINGS)):
            if not isinstance(value, (str, bool, type(None))) or value not in known:
                raise ValueError(f"{option} is {value!r}, expected one of {', '.join(map(repr, known))}")
        return cls(default if max_length is None else max_length, truncation, padding)

    def rows(
        self, model: TaskModel, tokenizer: Any, texts: Sequence[str], pairs: Sequence[str] | None = None
    ) -> RaggedBatch:
        """Texts, or pairs of them, as a tokenizer gives them with these options."""
        longest = self.longest(model)
        cut = True if self.truncation is None else self.truncation
        rows = tokenizer.ragged(list(texts), pairs, truncation=cut, max_length=longest, verbose=False)
        return rows.at_least(longest, tokenizer.padding_id()) if self.padding == "max_length" else rows

    def longest(self, model: TaskModel) -> int:
        """The most tokens of a row that is truncated."""
        return max_tokens(model) if self.max_length is None else min(self.max_length, positions(model))


def check_max_length(model: TaskModel, max_length: Any, name: str = "max_length") -> None:
    """That a length is one which the model takes; `name` is that of the argument.

    Raises:
        ValueError: it is not.
    """
    if max_length is None:
        return
    limit = positions(model)
    if not isinstance(max_length, int) or isinstance(max_length, bool) or not 1 <= max_length <= limit:
        raise ValueError(f"{name} is {max_length!r}, expected a number from 1 to {limit}, the model's positions")


def check_lengths(model: TaskModel, rows: RaggedBatch) -> None:
    """That no row is longer than the model has positions, as one is that was not truncated.

    Raises:
        InputError: the rows that are.
    """
    limit = positions(model)
    if rows.longest <= limit:
        return
    TooLongError.raise_for(
        {
            i: f"has {length} tokens, the model {limit} positions: shorten it, or leave out truncation=False"
            for i, length in enumerate(rows.lengths.tolist())
            if length > limit
        }
    )


def max_tokens(model: TaskModel) -> int:
    """The longest row that a model takes, special tokens included."""
    return min(model.tokenizer.model_max_length or 10**9, positions(model))


def positions(model: TaskModel) -> int:
    """How many positions a model has."""
    return model.config.max_sequence_length
