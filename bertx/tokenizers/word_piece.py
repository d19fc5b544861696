"""The WordPiece pipeline of BERT over the `tokenizers` library: built from a vocabulary, or trained."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from bertx_weights.files import read_text

from . import added_tokens
from .settings import as_added_token, further_tokens

SPECIAL_TOKENS = {
    "pad_token": "[PAD]",
    "unk_token": "[UNK]",
    "cls_token": "[CLS]",
    "sep_token": "[SEP]",
    "mask_token": "[MASK]",
}
# BertNormalizer's names → the hub's.
_NORMALIZATION = {
    "lowercase": "do_lower_case",
    "strip_accents": "strip_accents",
    "handle_chinese_chars": "tokenize_chinese_chars",
    "clean_text": "clean_text",
}
_NEEDED = ("unk_token", "cls_token", "sep_token")


def read_vocabulary(path: Path) -> dict[str, int]:
    """A vocab.txt: one token a line without the spaces that end it, its id the number of the line.

    Raises:
        CheckpointError: the file cannot be read, or is no text.
    """
    return vocabulary_of(read_text(path))


def vocabulary_of(text: str) -> dict[str, int]:
    """The tokens of a vocab.txt and their ids."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    if lines and not lines[-1]:
        lines.pop()
    return {token.rstrip(): i for i, token in enumerate(lines)}


def build(vocabulary: Mapping[str, int], settings: Mapping[str, Any]) -> Any:
    """A `tokenizers.Tokenizer` as the original release defines it, with the added and special tokens of the settings.

    Raises:
        ValueError: the vocabulary lacks a special token that every text needs, or the settings contradict it.
    """
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers

    special = added_tokens.contents(SPECIAL_TOKENS, settings)
    unknown = special["unk_token"]
    if unknown is None or unknown not in vocabulary:
        lost = [token or name for name, token in special.items() if name in _NEEDED and token not in vocabulary]
        raise ValueError(f"the vocabulary lacks the special tokens {', '.join(sorted(lost))}")
    tokenizer = Tokenizer(models.WordPiece(dict(vocabulary), unk_token=unknown))
    tokenizer.normalizer = normalizers.BertNormalizer()
    apply_normalization(tokenizer, settings)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    added_tokens.add(tokenizer, settings, SPECIAL_TOKENS)
    cls, sep = added_tokens.around(SPECIAL_TOKENS, settings, tokenizer)
    tokenizer.post_processor = added_tokens.template(cls, sep, separators=1, second_type=1)
    return tokenizer


def keep_whole(tokenizer: Any, settings: Mapping[str, Any]) -> None:
    """Keeps the tokens of never_split from normalisation and from being split.

    Raises:
        ValueError: the vocabulary lacks some. Only the slow tokenizer of transformers 4 runs these: each is unknown.
    """
    from tokenizers import AddedToken

    whole = list(settings.get("never_split") or ())
    if lost := [token for token in whole if tokenizer.token_to_id(token) is None]:
        raise ValueError(
            f"never_split has {', '.join(map(repr, lost))}, which the vocabulary lacks: leave them out of never_split, "
            "or give them ids of their own with add_tokens"
        )
    tokenizer.add_tokens([AddedToken(token, single_word=True, normalized=False) for token in whole])


def apply_normalization(tokenizer: Any, settings: Mapping[str, Any]) -> None:
    """Lets tokenizer_config.json have the last word on normalisation, as transformers does.

    Except on clean_text, which no class of transformers reads there: a vocabulary's text is cleaned, and a
    tokenizer.json does what it says itself.

    Raises:
        ValueError: a tokenizer.json with another normalizer than BERT's does not do what the settings say.
    """
    normalizer = tokenizer.normalizer
    if hasattr(normalizer, "lowercase") and hasattr(normalizer, "clean_text"):
        for attribute, key in _NORMALIZATION.items():
            if key in settings and key != "clean_text":
                setattr(normalizer, attribute, settings[key])
        return
    for key in ("do_lower_case", "strip_accents"):
        does = normalization(tokenizer, key)
        if settings.get(key) not in (None, does):
            raise ValueError(
                f"{key} is {settings[key]}, and the normalizer of tokenizer.json, {type(normalizer).__name__}, does "
                f"{'' if does else 'not '}do so: make them agree"
            )


def normalization(tokenizer: Any, key: str) -> Any:
    """Whether a normalizer does what a key such as do_lower_case says; of BERT's normalizer its setting."""
    normalizer = tokenizer.normalizer
    if hasattr(normalizer, "lowercase") and hasattr(normalizer, "clean_text"):
        return getattr(normalizer, {hub: own for own, hub in _NORMALIZATION.items()}[key])
    sample, done = {
        "do_lower_case": ("A", "a"),
        "strip_accents": ("\u00e9", "e"),
        "tokenize_chinese_chars": ("\u6771", " \u6771 "),
        "clean_text": ("\u0007", ""),
    }[key]
    return normalizer is not None and normalizer.normalize_str(sample) == done


def train(
    files: Iterable[Path], settings: Mapping[str, Any], vocab_size: int, min_frequency: int, limit_alphabet: int
) -> dict[str, int]:
    """A new vocabulary from text files: the special tokens first, then the characters, then the pieces joined.

    The library numbers the characters in an order that differs from run to run, and ties with it: it is given them
    sorted.
    """
    from tokenizers import trainers

    names = [str(path) for path in files]
    settings = {key: value for key, value in settings.items() if key != "added_tokens_decoder"}
    first = [token for token in added_tokens.contents(SPECIAL_TOKENS, settings).values() if token is not None]
    first += [token.content for token in map(as_added_token, further_tokens(settings)) if token.content not in first]
    tokenizer = build({token: i for i, token in enumerate(first)}, settings)
    characters = sorted(_characters(names, tokenizer.normalizer, limit_alphabet) - set(first))
    pieces: list[str] = []
    for size in (0, vocab_size):  # the first round finds which of the characters go on a word
        trainer = trainers.WordPieceTrainer(
            vocab_size=size,
            min_frequency=min_frequency,
            limit_alphabet=0,
            special_tokens=[*first, *characters, *pieces],
            show_progress=False,
        )
        tokenizer.train(names, trainer)
        found = tokenizer.get_vocab(with_added_tokens=False)
        pieces = sorted(found.keys() - set(first) - set(characters))
        tokenizer = build({token: i for i, token in enumerate(first)}, settings)
    return found


def _characters(files: Iterable[str], normalizer: Any, limit: int) -> set[str]:
    """The characters that occur most often, at most `limit`."""
    counts: Counter[str] = Counter()
    for file in files:
        with open(file, encoding="utf-8") as lines:
            for line in lines:
                counts.update(normalizer.normalize_str(line))
    often = sorted((char for char in counts if not char.isspace()), key=lambda char: (-counts[char], char))
    return set(often[:limit])
