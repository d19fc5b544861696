"""The WordPiece pipeline of BERT over the `tokenizers` library: built from a vocabulary, or trained."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

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
}


def special_tokens(settings: Mapping[str, Any]) -> dict[str, str]:
    """The special tokens, by the hub's names of them; a `tokenizer_config.json` may write one as an object."""
    named = {name: settings.get(name) or default for name, default in SPECIAL_TOKENS.items()}
    return {name: token["content"] if isinstance(token, Mapping) else token for name, token in named.items()}


def read_vocabulary(path: Path) -> dict[str, int]:
    """A vocab.txt: one token a line without the spaces that end it, its id the number of the line.

    Raises:
        ValueError: the file is no text.
    """
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not a vocabulary: {error}") from error
    if lines and not lines[-1]:
        lines.pop()
    return {token.rstrip(): i for i, token in enumerate(lines)}


def build(vocabulary: Mapping[str, int], settings: Mapping[str, Any]) -> Any:
    """A `tokenizers.Tokenizer` as the original release defines it.

    Raises:
        ValueError: the vocabulary lacks a special token that every text needs.
    """
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers

    special = special_tokens(settings)
    lost = sorted({special[name] for name in ("unk_token", "cls_token", "sep_token")} - vocabulary.keys())
    if lost:
        raise ValueError(f"the vocabulary lacks the special tokens {', '.join(lost)}")
    tokenizer = Tokenizer(models.WordPiece(dict(vocabulary), unk_token=special["unk_token"]))
    tokenizer.normalizer = normalizers.BertNormalizer()
    apply_normalization(tokenizer, {"do_lower_case": True, "tokenize_chinese_chars": True} | dict(settings))
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.post_processor = template(
        *((special[name], vocabulary[special[name]]) for name in ("cls_token", "sep_token"))
    )
    tokenizer.add_special_tokens([token for token in special.values() if token in vocabulary])
    return tokenizer


def template(cls: tuple[str, int], sep: tuple[str, int]) -> Any:
    """The post-processor of BERT: [CLS] A [SEP], or [CLS] A [SEP] B [SEP], each special token given with its id."""
    from tokenizers import processors

    return processors.TemplateProcessing(
        single=f"{cls[0]}:0 $A:0 {sep[0]}:0",
        pair=f"{cls[0]}:0 $A:0 {sep[0]}:0 $B:1 {sep[0]}:1",
        special_tokens=[cls, sep],
    )


def keep_whole(tokenizer: Any, settings: Mapping[str, Any]) -> None:
    """Keeps the tokens of never_split from normalisation and from being split, where the vocabulary has them."""
    from tokenizers import AddedToken

    whole = [token for token in settings.get("never_split") or () if tokenizer.token_to_id(token) is not None]
    tokenizer.add_tokens([AddedToken(token, single_word=True, normalized=False) for token in whole])


def apply_normalization(tokenizer: Any, settings: Mapping[str, Any]) -> None:
    """Lets tokenizer_config.json have the last word on normalisation, as transformers does."""
    for attribute, key in _NORMALIZATION.items():
        if key in settings and hasattr(tokenizer.normalizer, attribute):
            setattr(tokenizer.normalizer, attribute, settings[key])


def train(
    files: Iterable[Path], settings: Mapping[str, Any], vocab_size: int, min_frequency: int, limit_alphabet: int
) -> dict[str, int]:
    """A new vocabulary from text files: the special tokens first, then the characters, then the pieces joined.

    The library numbers the characters in an order that differs from run to run, and ties with it: it is given them
    sorted.
    """
    from tokenizers import trainers

    files = [str(path) for path in files]
    first = list(special_tokens(settings).values())
    tokenizer = build({token: i for i, token in enumerate(first)}, settings)
    characters = sorted(_characters(files, tokenizer.normalizer, limit_alphabet) - set(first))
    pieces: list[str] = []
    for size in (0, vocab_size):  # the first round finds which of the characters go on a word
        trainer = trainers.WordPieceTrainer(
            vocab_size=size,
            min_frequency=min_frequency,
            limit_alphabet=0,
            special_tokens=[*first, *characters, *pieces],
            show_progress=False,
        )
        tokenizer.train(files, trainer)
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
