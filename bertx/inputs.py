"""The inputs of a forward pass, checked before any framework sees them.

JAX clamps an index that is out of range, TensorFlow on a GPU reads zeros for it and NumPy counts
negative ones from the end: so it is found here, with the same words for every backend.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Mapping
from typing import Any

import numpy as np

from .configs.base import ModelConfig
from .models.layers.losses import IGNORE_INDEX
from .registry import class_in, head_of

_TOKEN_INPUTS = ("input_ids", "attention_mask", "token_type_ids", "position_ids")
_POSITIONS = "mask_positions"
_SEGMENTS = "segments"
_PAST = "past_key_values"
_ENCODER, _ENCODER_MASK = "encoder_hidden_states", "encoder_attention_mask"
# Labels that are no class numbers.
_NO_CLASSES = ("positions", "numbers")
# The inputs whose values are indices → the field of the config that limits them, where one does.
_INDICES = {
    "input_ids": "vocab_size",
    "token_type_ids": "type_vocab_size",
    "position_ids": "max_position_embeddings",
    _POSITIONS: None,
    "decoder_input_ids": "decoder_vocab_size",
}


def labels_of(architecture: str) -> tuple[str, ...]:
    """What the labels of a head are called."""
    return tuple(head_of(architecture).labels)


def indices_of(architecture: str) -> tuple[str, ...]:
    """The inputs whose values are indices or class numbers."""
    return (*_INDICES, *(name for name, limit in _limits(architecture).items() if limit not in _NO_CLASSES))


def _limits(architecture: str) -> dict[str, Any]:
    """What the class numbers of labels are below, by all names that labels have."""
    head = head_of(architecture)
    limits = {name: limit for name, (_, limit) in head.labels.items()}
    return {**limits, **{alias: limits[name] for alias, name in head.label_aliases.items()}}


def takes_mask_positions(architecture: str) -> bool:
    """Whether a head can score some positions only: it scores each by itself, and has labels of them."""
    head = head_of(architecture)
    return head.scores == "tokens" and any(of == "tokens" for of, _ in head.labels.values())


def check_inputs(architecture: str, config: ModelConfig, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """The inputs that were given, as arrays, integers as int64; past_key_values as a tuple of tuples of arrays.

    Raises:
        ValueError: everything that is wrong with them, each with its name, what was expected and what was found.
        TypeError: an input that this head does not take.
    """
    if head_of(architecture).scores == "targets":
        return _check_parts(architecture, config, inputs)
    takes, labels = _inputs_of(architecture, config.add_cross_attention)
    given, problems = _as_arrays(inputs)
    strange = sorted(set(given) - set(takes))
    if strange:
        raise TypeError(f"{architecture} takes {', '.join(takes)}; it was given {', '.join(strange)}")
    if not problems:
        problems = _token_problems(architecture, config, given)
    if not problems:
        problems = _label_problems(architecture, config, given, labels) + _encoder_problems(config, given)
    if problems:
        raise ValueError(f"{architecture} cannot run on these inputs: " + "; ".join(problems))
    if "attention_mask" in given:
        given["attention_mask"] = given["attention_mask"] != 0
    elif "input_ids" in given and _shows_padding(config, given["input_ids"]):
        _log_missing_mask()
    if _ENCODER_MASK in given:
        given[_ENCODER_MASK] = given[_ENCODER_MASK] != 0
    return {
        name: value.astype(np.int64) if name != _PAST and value.dtype.kind in "iub" else value
        for name, value in given.items()
    }


@functools.cache
def _inputs_of(architecture: str, add_cross_attention: bool) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """All inputs that a head takes, and those of them that are labels."""
    labels = labels_of(architecture)
    takes = (*_TOKEN_INPUTS, _SEGMENTS, "inputs_embeds", *labels)
    if takes_mask_positions(architecture):
        takes = (*takes, _POSITIONS)
    if head_of(architecture).causal:
        takes = (*takes, _PAST, *((_ENCODER, _ENCODER_MASK) if add_cross_attention else ()))
    return takes, labels


_OF_DECODER = {
    "decoder_input_ids": "input_ids",
    "decoder_attention_mask": "attention_mask",
    "decoder_token_type_ids": "token_type_ids",
    "decoder_position_ids": "position_ids",
    "decoder_inputs_embeds": "inputs_embeds",
    _PAST: _PAST,
}
_OF_ENCODER = ("input_ids", "attention_mask", "token_type_ids", "position_ids", "inputs_embeds")


def _check_parts(architecture: str, config: Any, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """`check_inputs` of a model that is made of an encoder and a decoder: each part's inputs by its own config."""
    takes = (*_OF_ENCODER, *_OF_DECODER, "labels")
    given = {name: value for name, value in inputs.items() if value is not None}
    if strange := sorted(set(given) - set(takes)):
        raise TypeError(f"{architecture} takes {', '.join(takes)}; it was given {', '.join(strange)}")
    encoder = {name: given[name] for name in _OF_ENCODER if name in given}
    decoder = {own: given[name] for name, own in _OF_DECODER.items() if name in given}
    labels, derived = None, []
    if "labels" in given:
        labels = np.asarray(given["labels"])
        if "inputs_embeds" not in decoder and "input_ids" not in decoder:  # the model has them of the labels
            counted = labels != IGNORE_INDEX
            of_labels = {"input_ids": np.where(counted, labels, config.pad_token_id or 0), "attention_mask": counted}
            derived = [name for name in of_labels if name not in decoder]
            decoder = of_labels | decoder
    found, problems = {}, []
    for part, of_part in (("encoder", encoder), ("decoder", decoder)):
        name = class_in(architecture, config, part)
        try:
            checked = check_inputs(name, getattr(config, part), of_part)
        except (ValueError, TypeError) as error:
            problems.append(f"the {part}: {error}")
            continue
        names = {own: given_name for given_name, own in _OF_DECODER.items()} if part == "decoder" else {}
        found |= {names.get(own, own): value for own, value in checked.items()}
    rows = {len(found[name]) for name in ("input_ids", "inputs_embeds", "decoder_input_ids") if name in found}
    if not problems and len(rows) > 1:
        problems.append(f"the encoder's and the decoder's inputs are of {' and '.join(map(str, sorted(rows)))} rows")
    if labels is not None:
        written = found.get("decoder_input_ids", found.get("decoder_inputs_embeds"))
        if written is not None and labels.shape != written.shape[:2]:
            problems.append(f"labels is {_of(labels)}, expected {list(written.shape[:2])}")
        size = config.decoder_vocab_size
        problems += _range_problems("labels", labels, 0, size, "the decoder's vocab_size", ignored=IGNORE_INDEX)
        found["labels"] = labels.astype(np.int64) if labels.dtype.kind in "iub" else labels
        for name in derived:
            found.pop(f"decoder_{name}", None)
    if problems:
        raise ValueError(f"{architecture} cannot run on these inputs: " + "; ".join(problems))
    return found


def check_values(
    architecture: str, config: ModelConfig, inputs: Mapping[str, np.ndarray], length: int | None = None
) -> None:
    """Checks the integers of those inputs that are indices or class numbers, whatever the shapes.

    length: of the sequence, which mask_positions lie in; None where it is not known.

    Raises:
        ValueError: some are out of range.
    """
    problems = []
    for name in indices_of(architecture):
        if name not in inputs or inputs[name].dtype.kind not in "iub":
            continue
        if (limit := _INDICES.get(name)) is not None:
            problems += _range_problems(name, inputs[name], 0, getattr(config, limit), limit)
        elif name == _POSITIONS:
            if length is not None:
                problems += _range_problems(name, inputs[name], 0, length, "the length of the sequence")
        elif limits := _classes(architecture, config, name, inputs):
            problems += _range_problems(name, inputs[name], 0, limits[1], limits[0], ignored=IGNORE_INDEX)
    if problems:
        raise ValueError(f"{architecture} cannot run on these inputs: " + "; ".join(problems))


def _classes(
    architecture: str, config: ModelConfig, name: str, inputs: Mapping[str, np.ndarray]
) -> tuple[str, int] | None:
    """(What limits the class numbers of these labels, their number); None where they are no class numbers."""
    head, limit = head_of(architecture), _limits(architecture)[name]
    num_labels: Any = config.num_labels
    if limit == "choices":
        tokens = next((inputs[name] for name in (_SEGMENTS, "input_ids", "inputs_embeds") if name in inputs), None)
        return None if tokens is None or tokens.ndim < 3 else ("the number of choices", tokens.shape[1])
    if head.labels.get(name, ("", None)) == ("texts", "num_labels"):
        problem = config.problem_type
        single = num_labels > 1 if problem is None else problem == "single_label_classification"
        return ("num_labels", num_labels) if single else None
    return ("the number of classes", limit) if isinstance(limit, int) else (limit, getattr(config, limit))


def _shows_padding(config: ModelConfig, ids: np.ndarray) -> bool:
    """Whether a row of ids begins or ends with the padding token, as transformers looks for it."""
    pad = config.pad_token_id
    return pad is not None and pad >= 0 and bool((ids[..., [0, -1]] == pad).any())


@functools.cache  # once for a process
def _log_missing_mask() -> None:
    logging.getLogger("bertx").warning(
        "input_ids begin or end with the padding token, and there is no attention_mask: padding is read as text; give "
        "the tokenizer's attention_mask"
    )


def _as_arrays(inputs: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    given, problems = {}, []
    for name, value in inputs.items():
        if value is None or (name == _PAST and not len(value)):
            continue
        try:
            given[name] = tuple(tuple(map(np.asarray, pair)) for pair in value) if name == _PAST else np.asarray(value)
        except ValueError as error:  # rows of different length
            problems.append(f"{name} is no array: {error}")
    return given, problems


def _past_problems(config: ModelConfig, past: tuple[tuple[np.ndarray, ...], ...], batch: int) -> list[str]:
    if not config.is_decoder:
        return [f"{_PAST} need a causal model, and is_decoder is false in the config"]
    heads, size = config.num_attention_heads, config.hidden_size // config.num_attention_heads
    length = past[0][0].shape[2] if past[0] and past[0][0].ndim == 4 else "P"
    own = [(batch, heads, length, size)] * 2
    kinds = {len(layer): own for layer in past if len(layer) == 2}
    if config.add_cross_attention and len(past[0]) == 4 and past[0][2].ndim == 4:
        kinds = {4: [*own, *[(batch, heads, past[0][2].shape[2], size)] * 2]}
    shapes = [[part.shape for part in layer] for layer in past]
    if len(past) == config.num_hidden_layers and len(kinds) == 1 and shapes == list(kinds.values()) * len(past):
        return []
    found = ", ".join(sorted({str([list(shape) for shape in layer]) for layer in shapes}))
    layers = config.num_hidden_layers
    more = f", or with two more of [{batch}, {heads}, S, {size}]" if config.add_cross_attention else ""
    return [f"{_PAST} is {len(past)} of {found}, expected {layers} pairs of [{', '.join(map(str, own[0]))}]{more}"]


def _encoder_problems(config: ModelConfig, given: Mapping[str, Any]) -> list[str]:
    """What is wrong with the states of an encoder and their mask."""
    tokens = next(given[name] for name in ("input_ids", "inputs_embeds") if name in given)
    held = given[_PAST][0][2].shape[2] if _PAST in given and len(given[_PAST][0]) == 4 else None
    problems = []
    if _ENCODER in given:
        states = given[_ENCODER]
        length = states.shape[1] if states.ndim == 3 else "S"
        expected = [tokens.shape[0], "S" if held is None else held, config.hidden_size]
        if list(states.shape) != [tokens.shape[0], length if held is None else held, config.hidden_size]:
            return [f"{_ENCODER} is {_of(states)}, expected [{', '.join(map(str, expected))}]"]
        if states.dtype.kind != "f":
            problems.append(f"{_ENCODER} is {states.dtype}, expected a floating dtype")
        held = length
    if _ENCODER_MASK in given:
        mask = given[_ENCODER_MASK]
        if held is None:
            return [f"{_ENCODER_MASK} needs {_ENCODER}, or {_PAST} that hold their keys and values"]
        allowed = [(tokens.shape[0], held), (*tokens.shape[:2], held)]
        if mask.shape not in allowed:
            problems.append(f"{_ENCODER_MASK} is {_of(mask)}, expected {list(allowed[0])}")
        elif mask.dtype.kind not in "iubf" or not np.isfinite(mask).all():
            problems.append(f"{_ENCODER_MASK} is {mask.dtype}, expected finite numbers, 0 where a state is hidden")
    return problems


def _token_problems(architecture: str, config: ModelConfig, given: dict[str, Any]) -> list[str]:
    if ("input_ids" in given) == ("inputs_embeds" in given):
        return ["give exactly one of input_ids and inputs_embeds"]
    choices = head_of(architecture).scores == "choices"
    letters = "B, C, T" if choices and _SEGMENTS not in given else "B, T"
    dimensions = letters.count(",") + 1
    if "inputs_embeds" in given:
        embeds = given["inputs_embeds"]
        if embeds.ndim != dimensions + 1 or embeds.shape[-1] != config.hidden_size:
            return [f"inputs_embeds is {_of(embeds)}, expected [{letters}, {config.hidden_size}]"]
        if embeds.dtype.kind != "f":
            return [f"inputs_embeds is {embeds.dtype}, expected a floating dtype"]
        shape = embeds.shape[:-1]
    else:
        shape = given["input_ids"].shape
        if len(shape) != dimensions:
            return [f"input_ids is {_of(given['input_ids'])}, expected [{letters}]"]
    past = 0
    if _PAST in given:
        if problems := _past_problems(config, given[_PAST], shape[0]):
            return problems
        past = given[_PAST][0][0].shape[2]
    problems = []
    if 0 in shape:
        problems.append(f"the batch is empty: {list(shape)} for [{letters}]")
    if _SEGMENTS in given and (problems := _segment_problems(architecture, config, given, shape)):
        return problems
    longest = past + (given[_SEGMENTS] if _SEGMENTS in given else np.empty(shape)).shape[-1]
    if longest > config.max_sequence_length:
        problems.append(
            f"a sequence of {longest} tokens is longer than max_position_embeddings "
            f"{config.max_position_embeddings}: truncate it or split it into windows"
        )
    for name in _TOKEN_INPUTS:
        if name not in given:
            continue
        value = given[name]
        expected = (*shape[:-1], past + shape[-1]) if name == "attention_mask" else shape
        if name == "attention_mask" and value.ndim == 4 and len(shape) == 2:
            per_query = shape[-1], expected[-1]
            if value.shape in {(rows, 1, *per_query) for rows in (1, shape[0])} and value.dtype.kind in "iub":
                value = given[name] = np.broadcast_to(value[:, 0], (shape[0], *per_query))
            elif value.dtype.kind == "f":
                problems.append(
                    "attention_mask of four axes is floating, as a mask that is added to the scores is, which bertx "
                    "does not take: give booleans or integers, 0 where a position is hidden"
                )
                continue
        if not _fits(name, value, shape, expected):
            problems.append(f"{name} is {_of(value)}, expected {list(expected)}")
        elif name == "attention_mask":
            if value.dtype.kind not in "iubf" or not np.isfinite(value).all():
                problems.append(
                    f"attention_mask is {value.dtype}, expected finite numbers, 0 where a position is hidden"
                )
        else:
            problems += _range_problems(name, value, 0, getattr(config, _INDICES[name]), _INDICES[name])
    if _POSITIONS in given:
        value = given[_POSITIONS]
        if value.ndim != 2 or value.shape[0] != shape[0]:
            problems.append(f"{_POSITIONS} is {_of(value)}, expected [{shape[0]}, K]")
        else:
            problems += _range_problems(_POSITIONS, value, 0, shape[-1], "the length of the sequence")
    return problems


def _segment_problems(
    architecture: str, config: ModelConfig, given: Mapping[str, Any], shape: tuple[int, ...]
) -> list[str]:
    """What is wrong with `segments`; `shape`: that of the tokens, [1, S]."""
    head, segments = head_of(architecture), given[_SEGMENTS]
    axes = "B, C, T" if head.scores == "choices" else "B, T"
    if segments.ndim != axes.count(",") + 1 or segments.dtype.kind not in "iu":
        return [f"{_SEGMENTS} is {_of(segments)}, expected integers [{axes}]"]
    if shape[0] != 1:
        return [f"{_SEGMENTS} are of rows packed in one, [1, S], and the tokens are {list(shape)}"]
    others = [name for name in ("attention_mask", _PAST, "start_positions", "end_positions") if name in given]
    others += ["a causal model"] if config.is_decoder or (head.causal and head.logit_names) else []
    others += ["relative positions"] if config.position_embedding_type != "absolute" else []
    if others:
        return [f"{_SEGMENTS} cannot be given with {', '.join(others)}: give padded rows and an attention_mask"]
    shown = segments >= 0
    in_order = np.array_equal(segments[shown], np.arange(shape[1]))
    if not (in_order and shown[..., :1].all() and (shown[..., 1:] <= shown[..., :-1]).all()):
        return [
            f"{_SEGMENTS} have in each row the indices of its tokens, at least one, and then -1: together 0 to "
            f"{shape[1] - 1}, in order"
        ]
    return []


def _fits(name: str, value: np.ndarray, shape: tuple[int, ...], expected: tuple[int, ...]) -> bool:
    if name == "position_ids" and value.shape == (1, shape[-1]):
        return True
    if name == "attention_mask" and value.shape == (*shape, expected[-1]):
        return len(shape) == 2
    return value.shape == expected


def _label_problems(
    architecture: str, config: ModelConfig, given: Mapping[str, np.ndarray], labels: tuple[str, ...]
) -> list[str]:
    shape = given["inputs_embeds"].shape[:-1] if "inputs_embeds" in given else given["input_ids"].shape
    if _POSITIONS in given:
        shape = given[_POSITIONS].shape
    batch = given[_SEGMENTS].shape[0] if _SEGMENTS in given else shape[0]
    problems = []
    for name in labels:
        if name not in given:
            continue
        value = given[name]
        head = head_of(architecture)
        per, limit = head.labels[name]
        if per == "texts" and limit == "num_labels":
            problems += _classification_problems(config, value, batch)
            continue
        expected = shape if per == "tokens" else (batch,)
        if value.shape != expected:
            problems.append(f"{name} is {_of(value)}, expected {list(expected)}")
        elif limit == "positions":  # one is not counted where it lies outside the sequence
            problems += _kind_problems(name, value)
        elif limit != "numbers":
            limits: Any = _classes(architecture, config, name, given)
            limit_name, most = limits
            problems += _range_problems(name, value, 0, most, limit_name, ignored=IGNORE_INDEX)
    return problems


def _classification_problems(config: ModelConfig, labels: np.ndarray, batch: int) -> list[str]:
    num_labels: Any = config.num_labels
    per_label = (batch, num_labels)
    if config.problem_type == "regression" or (config.problem_type is None and config.num_labels == 1):
        expected = [(batch,), per_label] if config.num_labels == 1 else [per_label]
    elif config.problem_type == "multi_label_classification" or (
        config.problem_type is None and labels.dtype.kind == "f"
    ):
        expected = [per_label]
    else:
        if labels.shape == (batch,):
            return _range_problems("labels", labels, 0, num_labels, "num_labels", ignored=IGNORE_INDEX)
        expected = [(batch,)]
    if labels.shape not in expected:
        return [f"labels is {_of(labels)}, expected {' or '.join(str(list(shape)) for shape in expected)}"]
    return []


def _range_problems(
    name: str, value: np.ndarray, low: int, limit: int, limit_name: str, ignored: int | None = None
) -> list[str]:
    if problems := _kind_problems(name, value):
        return problems
    outside = (value < low) | (value >= limit)
    if ignored is not None:
        outside &= value != ignored
    if not outside.any():
        return []
    index = tuple(int(i) for i in np.argwhere(outside)[0])
    return [
        f"{name}{list(index)} is {value[index]}, expected {low} to {limit - 1} ({limit_name} is {limit})"
        + (f"; {int(outside.sum())} such in all" if outside.sum() > 1 else "")
    ]


def _kind_problems(name: str, value: np.ndarray) -> list[str]:
    return [] if value.dtype.kind in "iub" else [f"{name} is {value.dtype}, expected integers"]


def _of(value: np.ndarray) -> str:
    return f"{value.dtype} {list(value.shape)}"
