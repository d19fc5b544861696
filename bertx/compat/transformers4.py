"""What calls of transformers 4.57 took and gave where its frameworks differ, and what of it bertx does not have."""

from __future__ import annotations

import inspect
import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ..inputs import DECODERS, LABELS, labels_of

Order = tuple[tuple[tuple[str, ...], tuple[str, ...]], ...]
"""What follows position_ids in a call: (names, the heads that had them, () for all), in turn."""

_FIRST = ("input_ids", "attention_mask", "token_type_ids", "position_ids")
_OUTPUTS = ("output_attentions", "output_hidden_states", "return_dict")
_CROSS = ("encoder_hidden_states", "encoder_attention_mask")
_CACHE = ("past_key_values", "use_cache")


@dataclass(frozen=True)
class Customs:
    """What was one framework's own in the calls of 4.57.

    Attributes:
        order: the arguments by their places.
        empty_places: outputs that have a place in a tuple even where there is none of them.
        caches: whether a decoder gives past_key_values because its config says so, not only where it is asked to.
        past_first: whether past_key_values come before hidden_states in the output of a BertModel.
        ignored_pairs_count: whether a pair of label −100 is a loss of 0 in the mean of next-sentence prediction.
    """

    order: Order
    empty_places: tuple[str, ...] = ("pooler_output",)
    caches: bool = True
    past_first: bool = False
    ignored_pairs_count: bool = False


BERT = Customs(
    (
        (("head_mask", "inputs_embeds"), ()),
        (_CROSS, (*DECODERS, "BertForMaskedLM")),
        ((LABELS,), ()),
        (_CACHE, DECODERS),
        (_OUTPUTS, ()),
        (("cache_position",), DECODERS),
    )
)
TF_BERT = Customs(
    (
        (("head_mask", "inputs_embeds"), ()),
        ((*_CROSS, *_CACHE), DECODERS),
        (_OUTPUTS, ()),
        ((LABELS,), ()),
        (("training",), ()),
    ),
    past_first=True,
    ignored_pairs_count=True,
)
FLAX_BERT = Customs(
    ((("head_mask", *_CROSS, "params", "dropout_rng", "train", *_OUTPUTS, "past_key_values"), ()),),
    empty_places=(),
    caches=False,
)

_ABSENT = ("head_mask", *_CROSS, "cache_position")


def absent(architecture: str) -> tuple[str, ...]:
    """The arguments of 4.57 that a head does not take."""
    return _ABSENT if architecture in DECODERS else (*_ABSENT, *_CACHE)


def by_name(model: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments of a call, all beyond the first four by their name, without a None for what bertx does not have.

    `model`: a PreTrainedModel, which knows the order.

    Raises:
        TypeError: too many arguments, one given twice, or a value for what bertx does not have.
    """
    first, later = args[: len(_FIRST)], args[len(_FIRST) :]
    given = dict(kwargs)
    if later:
        places = list(_places(model))
        if len(later) > len(places):
            most = len(_FIRST) + len(places)
            raise TypeError(f"{_name(model)} takes at most {most} arguments by place, and was given {len(args)}")
        by_place = dict(zip(places, later, strict=False))
        if twice := sorted(by_place.keys() & given.keys()):
            raise TypeError(f"{_name(model)} was given {', '.join(twice)} both by place and by name")
        # A None by place says nothing, and some heads do not take what others do.
        given |= {name: value for name, value in by_place.items() if value is not None}
    left = {name: given.pop(name) for name in absent(model.architecture()) if name in given}
    if wanted := [name for name, value in left.items() if value is not None and value is not False]:
        raise TypeError(f"{_name(model)} has no {', '.join(wanted)}: bertx takes what only 4.57 had as None")
    return first, given


def show_arguments(cls: type, *more: str) -> None:
    """Gives a class its own `__call__`, with the arguments of `forward`, and `more`, for `inspect.signature`."""
    call = cls.__call__
    own = types.FunctionType(call.__code__, call.__globals__, call.__name__, call.__defaults__, call.__closure__)
    own.__kwdefaults__, own.__doc__, own.__module__ = call.__kwdefaults__, call.__doc__, call.__module__
    own.__qualname__ = f"{cls.__qualname__}.__call__"
    shown = inspect.signature(cls.forward)
    own.__signature__ = shown.replace(
        parameters=[
            *shown.parameters.values(),
            *(inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None) for name in more),
        ]
    )
    cls.__call__ = own


def _name(model: Any) -> str:
    return type(model).__name__


def _places(model: Any) -> Iterator[str]:
    architecture = model.architecture()
    for names, heads in model.customs.order:
        if not heads or architecture in heads:
            yield from labels_of(architecture) if names == (LABELS,) else names
