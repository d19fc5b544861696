"""How calls of transformers 4.57 differ between its frameworks, and which of its arguments bertx does not take."""

from __future__ import annotations

import inspect
import types
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

_FIRST = ("input_ids", "attention_mask", "token_type_ids", "position_ids")
_FLAGS = ("output_attentions", "output_hidden_states", "return_dict")
_CROSS = ("encoder_hidden_states", "encoder_attention_mask")
_CACHE = ("past_key_values", "use_cache")
_OF_ENCODER_DECODER = (
    *("encoder_outputs", "past_key_values", "inputs_embeds", "decoder_inputs_embeds", "labels", "use_cache"),
)
_LABELS = "labels"  # stands for the head's own, whatever they are called


class Conventions(NamedTuple):
    """Call conventions that differ between transformers 4.57's PyTorch, TensorFlow and Flax classes.

    Attributes:
        arguments: what follows position_ids when arguments are given by position, in turn: (names, None where all heads
            take them; else the tasks of the heads that do beside those that may be causal).
        encoder_decoder: what follows decoder_attention_mask in a call of an EncoderDecoderModel.
        empty_fields: fields that a tuple of outputs has as None where they were not computed; others are left out.
        fields_in_order: whether an output iterates in the order of its class's fields; else past_key_values come after
            hidden_states.
        caches: whether a decoder gives past_key_values because its config says so, not only where `use_cache` does.
        counts_ignored_labels: tasks whose mean loss counts a label of −100, as a loss of 0; else it is not counted.
        mean_losses: tasks whose loss is one number where others give one for each row.
    """

    arguments: tuple[tuple[tuple[str, ...], tuple[str, ...] | None], ...]
    encoder_decoder: tuple[str, ...]
    empty_fields: tuple[str, ...] = ("pooler_output",)
    fields_in_order: bool = False
    caches: bool = True
    counts_ignored_labels: tuple[str, ...] = ()
    mean_losses: tuple[str, ...] = ()

    def arranged(self, output: Any) -> Any:
        """An output in the order in which its users iterate over it."""
        if not self.fields_in_order or "past_key_values" not in output:
            return output
        return type(output)({name: output[name] for name in output.fields if name in output})

    def as_tuple(self, output: Any) -> tuple[Any, ...]:
        """The tuple that a call with return_dict=False gives."""
        return tuple(output.get(name) for name in output.fields if name in output or name in self.empty_fields)


TORCH = Conventions(
    (
        (("head_mask", "inputs_embeds"), None),
        (_CROSS, ("fill-mask",)),
        ((_LABELS,), None),
        (_CACHE, ()),
        (_FLAGS, None),
        (("cache_position",), ()),
    ),
    (*_OF_ENCODER_DECODER, *_FLAGS),
)
TENSORFLOW = Conventions(
    (
        (("head_mask", "inputs_embeds"), None),
        ((*_CROSS, *_CACHE), ()),
        (_FLAGS, None),
        ((_LABELS,), None),
        (("training",), None),
    ),
    (*_OF_ENCODER_DECODER, *_FLAGS, "training"),
    fields_in_order=True,
    counts_ignored_labels=("next-sentence-prediction",),
    mean_losses=("pretraining",),
)
FLAX = Conventions(
    ((("head_mask", *_CROSS, "params", "dropout_rng", "train", *_FLAGS, "past_key_values"), None),),
    ("position_ids", "decoder_position_ids", *_FLAGS, "train", "params", "dropout_rng"),
    empty_fields=(),
    caches=False,
)

_ABSENT = ("cache_position",)


def absent(model: Any) -> tuple[str, ...]:
    """The arguments of 4.57 that a model, or its class, does not take."""
    return _ABSENT if model.causal else (*_ABSENT, *_CROSS, *_CACHE)


def first_arguments(model: Any) -> tuple[str, ...]:
    """The names of the arguments that a call may give without names in each framework."""
    return _FIRST if model.scores != "targets" else (*_FIRST[:2], "decoder_input_ids", "decoder_attention_mask")


def by_name(model: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments of a call, all beyond the first four by their name, without a None for what bertx does not have.

    `model`: a PreTrainedModel, which knows the order.

    Raises:
        TypeError: too many arguments, one given twice, or a value for what bertx does not have.
    """
    first, later = args[: len(_FIRST)], args[len(_FIRST) :]
    given = dict(kwargs)
    if later:
        names = list(_positional(model))
        if len(later) > len(names):
            most = len(_FIRST) + len(names)
            raise TypeError(f"{_name(model)} takes at most {most} arguments by position, and was given {len(args)}")
        positional = dict(zip(names, later, strict=False))
        if twice := sorted(positional.keys() & given.keys()):
            raise TypeError(f"{_name(model)} was given {', '.join(twice)} both by position and by name")
        # A None says nothing, and some heads do not take what others do.
        given |= {name: value for name, value in positional.items() if value is not None}
    left = {name: given.pop(name) for name in absent(model) if name in given}
    if wanted := [name for name, value in left.items() if value is not None and value is not False]:
        raise TypeError(f"{_name(model)} has no {', '.join(wanted)}: bertx takes what only 4.57 had as None")
    return first, given


def show_arguments(cls: type, *more: str) -> None:
    """Gives a class its own `__call__`, with the arguments of `forward`, and `more`, for `inspect.signature`."""
    call: Any = cls.__call__
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


def _positional(model: Any) -> Iterator[str]:
    """The names of the arguments after the first four."""
    if model.scores == "targets":
        yield from model.conventions.encoder_decoder
        return
    for names, tasks in model.conventions.arguments:
        if tasks is None or model.causal or model.task in tasks:
            yield from model.labels if names == (_LABELS,) else names
