"""The files beside a vocabulary: which tokenizer they are of, its settings, its special and added tokens.

tokenizer_config.json holds all of it since transformers 4.34. Before, and in folders that were edited since, special
tokens are named in special_tokens_map.json, and tokens beyond the vocabulary in added_tokens.json. They are merged here
as transformers 5 merges them, into the keys of tokenizer_config.json.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from bertx_weights import CheckpointError
from bertx_weights.files import exists, inside, read_json

from .names import ADDED_TOKENS, MODELS, SPECIAL_TOKENS_MAP, TOKENIZER_CONFIG, WITHOUT_TYPES, plain

_CONFIG = "config.json"
# The names of special tokens, in the order of all_special_tokens. BERT has no first two.
NAMES = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")

_RUN = "BERT's WordPiece, RoBERTa's byte-level BPE and XLM-R's Unigram"
_WAY_OUT = "tokenise with transformers, and give the ids to model.forward"
FLAGS = ("single_word", "lstrip", "rstrip", "normalized", "special")
Check = tuple[Callable[[Any], bool], str]  # what a value must be, in code and in words


class Family(NamedTuple):
    """What the tokenizers of one family have in common.

    Attributes:
        name: what it is called, such as "BERT".
        classes: their names in transformers; the first is that of bertx's class.
        files: the names of the files that hold a vocabulary.
        tokens: the special tokens by their names, as a file writes them.
        model: the model of a tokenizer.json; None where bertx's class runs any.
        separators: how many sep_tokens are between the texts of a pair.
        second_type: the token type of the second text of a pair.
        settings: keys of tokenizer_config.json that only this family has.
        not_run: keys → the values with which a tokenizer is as bertx computes it; others are refused.
    """

    name: str
    classes: tuple[str, ...]
    files: tuple[str, ...]
    tokens: Mapping[str, Any]
    model: str | None
    separators: int
    second_type: int
    settings: Mapping[str, Check] = MappingProxyType({})
    not_run: Mapping[str, tuple[Any, ...]] = MappingProxyType({})


def _is_token(value: Any) -> bool:
    if isinstance(value, Mapping):
        flags = {name: flag for name, flag in value.items() if name not in ("content", "__type")}
        return (
            isinstance(value.get("content"), str)
            and flags.keys() <= {*FLAGS, "id"}
            and all(isinstance(flag, bool) for name, flag in flags.items() if name != "id")
            and value["content"] != ""
        )
    return (isinstance(value, str) and value != "") or type(value).__name__ == "AddedToken"


def _is_length(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and value > 0  # NaN is not


def is_list_of(check: Callable[[Any], bool]) -> Callable[[Any], bool]:
    """A check of lists whose entries all pass `check`."""
    return lambda value: isinstance(value, (list, tuple)) and all(map(check, value))


def _is_decoder(value: Any) -> bool:
    return isinstance(value, Mapping) and all(
        str(i).isascii() and str(i).isdecimal() and len(str(i)) < 10 and _is_token(token) and not isinstance(token, str)
        for i, token in value.items()
    )


def _is_extra(value: Any) -> bool:
    if isinstance(value, Mapping):
        return all(isinstance(name, str) and _is_token(token) for name, token in value.items())
    return is_list_of(_is_token)(value)


def _one_of(*values: Any) -> Callable[[Any], bool]:
    return lambda value: any(value is known or (isinstance(known, (str, dict)) and value == known) for known in values)


BOOL = (_one_of(True, False), "true or false")
BOOL_OR_NONE = (_one_of(True, False, None), "true, false or null")
_SIDE = (_one_of("right", "left"), "one of 'right', 'left'")
_LENGTH = (lambda value: value is None or _is_length(value), "a number above 0")
_KNOWN: dict[str, Check] = {
    "clean_up_tokenization_spaces": BOOL_OR_NONE,
    "model_max_length": _LENGTH,
    "max_len": _LENGTH,
    "padding_side": _SIDE,
    "truncation_side": _SIDE,
    "model_input_names": (
        lambda value: is_list_of(lambda name: isinstance(name, str))(value) and "input_ids" in value,
        "a list of strings, input_ids among them",
    ),
    "tokenizer_class": (lambda value: value is None or isinstance(value, str), "a string"),
    "added_tokens_decoder": (_is_decoder, "ids with a token each, an object with content and flags"),
    "additional_special_tokens": (lambda value: value is None or is_list_of(_is_token)(value), "a list of tokens"),
    "extra_special_tokens": (
        lambda value: value is None or _is_extra(value),
        "a list of tokens, or names with a token each",
    ),
}
_KNOWN |= {
    name: (lambda value: value is None or _is_token(value), "a token: a string, or an object with content")
    for name in NAMES
}
# Key → the values with which a tokenizer is as bertx computes it. Others change the ids.
_NOT_RUN: dict[str, tuple[Any, ...]] = {
    "split_special_tokens": (False, None),
    "add_bos_token": (False, None),
    "add_eos_token": (False, None),
}
# Keyword arguments that transformers' classes also pass, and the values of them that change nothing.
_WITHOUT_EFFECT: dict[str, tuple[Any, ...]] = {
    "use_fast": (True, False, None),  # both of transformers' implementations give these ids
    "from_slow": (True, False, None),
    "vocab_file": (None,),
    "tokenizer_file": (None,),
    "_from_auto": (True, False, None),
    "_commit_hash": (None,),
}
_WAYS_OUT = {
    "vocab_file": "{name}(vocab_file=…) reads a vocabulary",
    "tokenizer_file": "{name}.from_pretrained(folder) reads the tokenizer.json of a folder",
}
_WAYS_OUT |= dict.fromkeys(
    ("add_special_tokens", "padding", "truncation", "max_length", "stride", "return_tensors", "is_split_into_words"),
    "an argument of the call, tokenizer(texts, …)",
)


def read_settings(folder: Path, has_rules: bool, family: Family) -> dict[str, Any]:
    """The settings of a folder's tokenizer, by the keys of tokenizer_config.json.

    Args:
        folder: the checkpoint.
        has_rules: whether it has a tokenizer.json, which holds the rules; else they follow from the class.
        family: the family that reads it.

    Raises:
        CheckpointError: a file cannot be read, says what no tokenizer is, or is of another family's tokenizer.
    """
    settings = _read(folder, TOKENIZER_CONFIG)
    named_by = TOKENIZER_CONFIG
    config = _read(folder, _CONFIG)
    if settings.get("tokenizer_class") is None and isinstance(config.get("tokenizer_class"), str):
        settings["tokenizer_class"], named_by = config["tokenizer_class"], _CONFIG
    problems = [f"{folder / TOKENIZER_CONFIG}: {problem}" for problem in problems_of(settings, family)]
    problems += [
        f"{folder / name}: auto_map names a tokenizer of its own code, {code}: {_WAY_OUT}"
        for name, values in ((TOKENIZER_CONFIG, settings), (_CONFIG, config))
        if (code := _custom_code(values.get("auto_map")))
    ]
    if problem := _problem_of_class(settings.get("tokenizer_class"), has_rules, family):
        problems.append(f"{folder / named_by}: {problem}")
    special = _read(folder, SPECIAL_TOKENS_MAP)
    problems += [
        f"{folder / SPECIAL_TOKENS_MAP}: {problem}" for problem in problems_of(special, family, tokens_only=True)
    ]
    added = _read(folder, ADDED_TOKENS)
    if odd := [
        t for t, i in added.items() if not isinstance(i, int) or isinstance(i, bool) or not 0 <= i < 10**9 or not t
    ]:
        problems.append(
            f"{folder / ADDED_TOKENS}: {odd[0]!r:.80} has {added[odd[0]]!r:.40}, expected a token and its id"
        )
    if not problems and "added_tokens_decoder" in settings:
        problems = [f"{folder / problem}" for problem in _contradictions(settings, special, added)]
    if problems:
        raise CheckpointError("\n  ".join(problems))
    return _merged(settings, special, added)


def class_and_model_type(folder: Path) -> tuple[str | None, str | None]:
    """The tokenizer class that a folder's files name, and its config's model_type; None for what is not named.

    Raises:
        CheckpointError: a file cannot be read.
    """
    config = _read(folder, _CONFIG)
    named = (_read(folder, TOKENIZER_CONFIG).get("tokenizer_class"), config.get("tokenizer_class"))
    found = next((name for name in named if name is not None), None)
    kind = config.get("model_type")
    return (found if isinstance(found, str) else None), (kind if isinstance(kind, str) else None)


def problems_of(settings: Mapping[str, Any], family: Family, tokens_only: bool = False) -> list[str]:
    """What is wrong with settings, key by key; `tokens_only` of those that special_tokens_map.json may have."""
    known, not_run = {**_KNOWN, **family.settings}, {**_NOT_RUN, **family.not_run}
    problems = []
    for key, value in settings.items():
        if key in known and (not tokens_only or "token" in key):
            check, expected = known[key]
            if not check(value):
                problems.append(f"{key} is {value!r:.80}, expected {expected}")
        elif key in not_run and not tokens_only and not _one_of(*not_run[key])(value):
            problems.append(f"{key} is {value!r:.80}, which bertx does not run: {_WAY_OUT}")
    return problems


def check_settings(settings: Mapping[str, Any], family: Family) -> None:
    """Raises ValueError for settings whose values no tokenizer of the family has."""
    if problems := problems_of(settings, family):
        raise ValueError("\n  ".join(problems))


def without_unknown(caller: str, arguments: Mapping[str, Any], family: Family) -> dict[str, Any]:
    """The keyword arguments that are settings, without those of transformers that change nothing.

    Raises:
        TypeError: keyword arguments that are no settings, each with a close match.
    """
    known = [*family.settings, *_KNOWN, *family.not_run, *_NOT_RUN]
    passed = {
        name for name, values in _WITHOUT_EFFECT.items() if name in arguments and _one_of(*values)(arguments[name])
    }
    unknown = []
    for name, value in arguments.items():
        if name in known or name in passed:
            continue
        close = difflib.get_close_matches(name, [*known, "use_fast"], n=1)
        way_out = _WAYS_OUT.get(name, "").format(name=family.classes[0])
        hint = way_out or (f"did you mean {close[0]}?" if close else None)
        unknown.append(f"{name}={value!r:.60}" + (f" ({hint})" if hint else ""))
    if unknown:
        raise TypeError(
            f"{caller} takes no {', '.join(unknown)}: it takes the keys of {TOKENIZER_CONFIG} that bertx runs, "
            f"{', '.join(known)}; a special token of another name is given in extra_special_tokens, by its name"
        )
    return {name: value for name, value in arguments.items() if name not in passed}


def as_arguments(settings: Mapping[str, Any], family: Family) -> dict[str, Any]:
    """The settings that a tokenizer has, as keyword arguments for another: without the notes that a file had.

    BERT's clean_text is such a note: the rules have their own, and transformers does not read this one.
    """
    known = {*family.settings, *_KNOWN, *family.not_run, *_NOT_RUN} - {"clean_text"}
    arguments = {name: value for name, value in settings.items() if name in known}
    own = {name: token for name, token in named_tokens(settings).items() if name not in NAMES and token is not None}
    return arguments | ({"extra_special_tokens": own} if own else {})


def model_of(settings: Mapping[str, Any]) -> str | None:
    """The model that the tokenizer.json of a class has: "WordPiece", "BPE", "Unigram"; None where it may be any."""
    name = settings.get("tokenizer_class")
    return None if name is None else MODELS.get(plain(name))


def model_inputs(settings: Mapping[str, Any], family: Family) -> list[str]:
    """The keys that a call gives unless it says otherwise."""
    without = plain(settings.get("tokenizer_class") or family.classes[0]) in WITHOUT_TYPES or (
        family.classes[0] in WITHOUT_TYPES
    )
    default = ["input_ids", *([] if without else ["token_type_ids"]), "attention_mask"]
    return list(settings.get("model_input_names", default))


def named_tokens(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The special tokens that settings name, BERT's and those of the checkpoint's own, as they are written there.

    BERT's come in the order in which transformers adds them, whatever that of the settings.
    """
    extra = settings.get("extra_special_tokens")
    named = {name: settings[name] for name in NAMES if name in settings} | {
        name: value
        for name, value in settings.items()
        if name in NAMES or (name.endswith("_token") and name != "use_auth_token" and _is_token(value))
    }
    return named | (dict(extra) if isinstance(extra, Mapping) else {})


def further_tokens(settings: Mapping[str, Any]) -> list[Any]:
    """The special tokens without a name."""
    further = list(settings.get("additional_special_tokens") or [])
    extra = settings.get("extra_special_tokens")
    return further if not extra or isinstance(extra, Mapping) else further + [t for t in extra if t not in further]


def as_added_token(token: Any, **defaults: bool) -> Any:
    """A `tokenizers.AddedToken` of a string, of an object as files write one, or of itself."""
    from tokenizers import AddedToken

    if isinstance(token, Mapping):
        defaults |= {name: token[name] for name in FLAGS if name in token}
        token = token["content"]
    return AddedToken(token, **defaults) if isinstance(token, str) else token


def _merged(settings: dict[str, Any], special: Mapping[str, Any], added: Mapping[str, int]) -> dict[str, Any]:
    lists = ("additional_special_tokens", "extra_special_tokens")
    if "added_tokens_decoder" in settings:  # the other files repeat it
        return {name: value for name, value in special.items() if _is_named(name, value)} | settings
    settings |= {name: value for name, value in special.items() if _is_named(name, value)}
    further = further_tokens(settings)
    for name in lists:
        if isinstance(special.get(name), list):
            further += [token for token in special[name] if token not in further]
    if further:
        settings["additional_special_tokens"] = further
    if added:
        tokens = [*named_tokens(settings).values(), *further]
        known = {token["content"] if isinstance(token, Mapping) else token for token in tokens}
        settings["added_tokens_decoder"] = {
            str(i): {"content": token, "normalized": token not in known, "special": token in known}
            for token, i in added.items()
        }
    return settings


def _contradictions(settings: Mapping[str, Any], special: Mapping[str, Any], added: Mapping[str, int]) -> list[str]:
    """Where the older files say something else than a tokenizer_config.json that has all they have."""
    held = {as_added_token(token).content: int(i) for i, token in settings["added_tokens_decoder"].items()}
    problems = [
        f"{ADDED_TOKENS}: {token!r:.80} is {i}, in added_tokens_decoder of {TOKENIZER_CONFIG} "
        f"{held.get(token, 'missing')}"
        for token, i in added.items()
        if held.get(token) != i
    ]
    for name in NAMES:
        found, expected = special.get(name), settings.get(name)
        if found and expected and as_added_token(found).content != as_added_token(expected).content:
            said, other = as_added_token(found).content, as_added_token(expected).content
            problems.append(f"{SPECIAL_TOKENS_MAP}: {name} is {said!r:.80}, in {TOKENIZER_CONFIG} {other!r:.80}")
    return problems


def _is_named(name: str, value: Any) -> bool:
    return name in NAMES or (name.endswith("_token") and _is_token(value))


def _read(folder: Path, name: str) -> dict[str, Any]:
    return read_json(inside(folder, name)) if exists(folder, name) else {}


def _custom_code(auto_map: Any) -> str | None:
    if isinstance(auto_map, Mapping):
        auto_map = auto_map.get("AutoTokenizer")
    names = [auto_map] if isinstance(auto_map, str) else list(auto_map) if isinstance(auto_map, (list, tuple)) else []
    return next((str(name) for name in names if name), None)


def _problem_of_class(name: str | None, has_rules: bool, family: Family) -> str | None:
    if not isinstance(name, str):
        return None
    known = plain(name)
    runs_any = family.model is None or MODELS.get(known) is None
    if known in family.classes or (has_rules and known in MODELS and runs_any and name != "PreTrainedTokenizer"):
        return None
    if not runs_any and known in MODELS:
        return f"tokenizer_class is {name}, and {family.classes[0]} does not run it: load(folder).tokenizer does"
    if known in MODELS and name != "PreTrainedTokenizer":
        return (
            f"tokenizer_class is {name}, whose rules are in a tokenizer.json, and the folder has none: "
            "transformers.AutoTokenizer.from_pretrained(folder).save_pretrained(folder) writes it"
        )
    return f"tokenizer_class is {name!r:.80}, and bertx runs {_RUN} only: {_WAY_OUT}"
