"""The files of a tokenizer, taken from one checkpoint folder to another."""

from __future__ import annotations

from pathlib import Path

from bertx_weights import CheckpointError
from bertx_weights.files import exists, inside, read_bytes, write_atomically
from bertx_weights.formats import keras_hub

from .auto import read_tokenizer
from .base import PreTrainedTokenizer
from .names import FILES, TOKENIZER_CONFIG, VOCAB
from .word_piece import SPECIAL_TOKENS


def copy_tokenizer(source: Path, target: Path, keras: bool) -> list[str]:
    """Writes the tokenizer of one checkpoint folder into another, its files as they are, with a vocabulary always.

    `keras` writes that of a KerasHub preset. Gives what a reader should know of it.

    Raises:
        CheckpointError: a file is broken, or the tokenizer is none that bertx or KerasHub runs.
    """
    try:
        tokenizer = read_tokenizer(source)
    except FileNotFoundError:
        return [f"{source} has no tokenizer: none was written"]
    notes = []
    if keras:
        notes += _write_preset(tokenizer, source, target)
    elif keras_hub.read_tokenizer(source):
        tokenizer.save_pretrained(target)
        return []
    else:
        _copy(source, target, FILES)
        if not all(exists(target, name) for name in tokenizer.family.files):
            tokenizer.save_vocabulary(target)
    says_nothing = not exists(source, TOKENIZER_CONFIG) and "do_lower_case" not in tokenizer.settings
    if "do_lower_case" in tokenizer.family.settings and says_nothing and _has_capitals(tokenizer):
        notes.append(
            "the vocabulary has capital letters and nothing says do_lower_case: if the model is cased, say false"
        )
    return notes


def _copy(source: Path, target: Path, names: tuple[str, ...]) -> None:
    for name in names:
        if exists(source, name):
            write_atomically(target / name, read_bytes(inside(source, name)))


def _write_preset(tokenizer: PreTrainedTokenizer, source: Path, target: Path) -> list[str]:
    if VOCAB not in tokenizer.family.files:
        raise CheckpointError(
            f"{source} has a tokenizer of {tokenizer.family.name}, and bertx writes that of a KerasHub preset for BERT "
            "only: take another format, or convert a folder without the tokenizer's files and add KerasHub's tokenizer"
        )
    rules = tokenizer.backend_tokenizer
    steps = [type(step).__name__ for step in (rules.model, rules.normalizer, rules.pre_tokenizer)]
    problems = []
    if steps != ["WordPiece", "BertNormalizer", "BertPreTokenizer"]:
        problems.append(f"its model, normalizer and pre-tokenizer are {', '.join(steps)}, KerasHub only has BERT's")
    else:
        normalizer, model = rules.normalizer, rules.model
        found = {
            "tokenize_chinese_chars": (normalizer.handle_chinese_chars, True),
            "clean_text": (normalizer.clean_text, True),
            "the prefix of pieces": (model.continuing_subword_prefix, "##"),
        }
        problems += [f"{name} is {has}, KerasHub has {wants}" for name, (has, wants) in found.items() if has != wants]
    names = {name: token for name, token in tokenizer.special_tokens_map.items() if name in SPECIAL_TOKENS}
    problems += [
        f"{name} is {token}, KerasHub has {SPECIAL_TOKENS[name]}"
        for name, token in names.items()
        if token != SPECIAL_TOKENS[name]
    ]
    if problems:
        raise CheckpointError(
            "\n  ".join([f"{source} has a tokenizer that no KerasHub preset can hold: take another format", *problems])
        )
    lower, strip = normalizer.lowercase, normalizer.strip_accents
    tokenizer.save_vocabulary(target)
    keras_hub.write_tokenizer(target, read_bytes(target / VOCAB), lower, lower if strip is None else strip)
    (target / VOCAB).unlink()
    tokenizer.save_settings(target)
    if added := sorted(tokenizer.get_added_vocab().keys() - {*SPECIAL_TOKENS.values()}):
        return [
            "a KerasHub preset has no added tokens, KerasHub splits these into pieces: "
            f"{', '.join(added)}; bertx reads them from {TOKENIZER_CONFIG}"
        ]
    return []


def _has_capitals(tokenizer: PreTrainedTokenizer) -> bool:
    special = {tokenizer.backend_tokenizer.id_to_token(i) for i in tokenizer.all_special_ids}
    return any(token != token.lower() for token in tokenizer.get_vocab().keys() - special)
