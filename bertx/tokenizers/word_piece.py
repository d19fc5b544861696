"""The WordPiece pipeline of BERT over the `tokenizers` library: built from a vocabulary, or trained."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from bertx_weights.files import read_text

from .settings import as_added_token, further_tokens, model_of, named_tokens
from .truncation import library_errors

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


def special_tokens(settings: Mapping[str, Any]) -> dict[str, str | None]:
    """The special tokens of BERT by their names: those of the settings, which may write one as an object, or BERT's."""
    named = {name: settings.get(name, default) for name, default in SPECIAL_TOKENS.items()}
    return {name: as_added_token(token).content if token is not None else None for name, token in named.items()}


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

    special = special_tokens(settings)
    unknown = special["unk_token"]
    if unknown is None or unknown not in vocabulary:
        lost = [token or name for name, token in special.items() if name in _NEEDED and token not in vocabulary]
        raise ValueError(f"the vocabulary lacks the special tokens {', '.join(sorted(lost))}")
    tokenizer = Tokenizer(models.WordPiece(dict(vocabulary), unk_token=unknown))
    tokenizer.normalizer = normalizers.BertNormalizer()
    apply_normalization(tokenizer, settings)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    add_tokens(tokenizer, settings)
    around = [special["cls_token"], special["sep_token"]]
    if lost := sorted({token or "null" for token in around if token is None or tokenizer.token_to_id(token) is None}):
        raise ValueError(f"the vocabulary lacks the special tokens {', '.join(lost)}")
    tokenizer.post_processor = template(*((token, tokenizer.token_to_id(token)) for token in around))
    return tokenizer


def add_tokens(tokenizer: Any, settings: Mapping[str, Any]) -> None:
    """Adds the tokens of added_tokens_decoder with their ids, and the special tokens that the settings name.

    Raises:
        ValueError: the ids are not those that the vocabulary has or would give.
    """
    decoder = {int(i): token for i, token in (settings.get("added_tokens_decoder") or {}).items()}
    tokens = [as_added_token(decoder[i]) for i in sorted(decoder)]
    named = [token for token in named_tokens(settings).values() if token is not None]
    further = further_tokens(settings)
    defaults = [token for name, token in SPECIAL_TOKENS.items() if name not in settings]
    tokens += [as_added_token(token, normalized=False, special=True) for token in (*named, *further)]
    tokens += [
        as_added_token(token, normalized=False, special=True)
        for token in defaults
        if tokenizer.token_to_id(token) is not None
    ]
    # A token that the tokenizer has keeps its flags, but one that is special now becomes so.
    have = {token.content: token.special for token in tokenizer.get_added_tokens_decoder().values()}
    with library_errors("the added tokens cannot be added"):
        for token in tokens:
            if token.content not in have or (token.special and not have[token.content]):
                (tokenizer.add_special_tokens if token.special else tokenizer.add_tokens)([token])
                have[token.content] = token.special
    wrong = {i: as_added_token(token).content for i, token in decoder.items()}
    wrong = {i: token for i, token in wrong.items() if tokenizer.token_to_id(token) != i}
    if wrong:
        shown = ", ".join(
            f"{token!r} {i} (it is {tokenizer.token_to_id(token)})" for i, token in sorted(wrong.items())[:9]
        )
        raise ValueError(
            f"added tokens have other ids than the vocabulary gives them: {shown}; ids must follow the vocabulary's "
            "without a gap: list a placeholder, such as '[unused 1]', for each id that is missing"
        )


def check_added(tokenizer: Any, new: Iterable[Any] = ()) -> None:
    """Raises ValueError where two added tokens, `new` ones among them, match the same normalised text.

    The library takes one of the two, not always the same.
    """
    normalizer = tokenizer.normalizer
    if normalizer is None:
        return
    tokens = {token.content: token for token in tokenizer.get_added_tokens_decoder().values()}
    for token in new:  # a token that the tokenizer has keeps its flags
        tokens.setdefault(token.content, token)
    matched: dict[str, list[str]] = {}
    for token in tokens.values():
        if token.normalized:
            matched.setdefault(normalizer.normalize_str(token.content), []).append(token.content)
    if same := {text: names for text, names in matched.items() if len(names) > 1}:
        shown = "; ".join(f"{', '.join(map(repr, names))} are all {text!r}" for text, names in same.items())
        raise ValueError(
            f"added tokens are the same once they are normalised, so that a text does not tell which is meant: {shown}"
            '; keep one of them, or give them "normalized": false (AddedToken(…, normalized=False)), so that each '
            "matches the text as it is written"
        )


def template(cls: tuple[str, int], sep: tuple[str, int]) -> Any:
    """The post-processor of BERT: [CLS] A [SEP], or [CLS] A [SEP] B [SEP], each special token given with its id."""
    from tokenizers import processors

    return processors.TemplateProcessing(
        single=f"{cls[0]}:0 $A:0 {sep[0]}:0",
        pair=f"{cls[0]}:0 $A:0 {sep[0]}:0 $B:1 {sep[0]}:1",
        special_tokens=[cls, sep],
    )


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


def check_rules(tokenizer: Any, settings: Mapping[str, Any]) -> None:
    """Raises ValueError where the rules of a tokenizer.json are not those of the class that the settings name."""
    found, expected = type(tokenizer.model).__name__, model_of(settings)
    if expected is not None and found != expected:
        raise ValueError(
            f"its model is {found}, and that of tokenizer_class {settings['tokenizer_class']} is {expected}"
        )
    unknown = getattr(tokenizer.model, "unk_token", None)
    if found == "WordPiece" and tokenizer.model.token_to_id(unknown) is None:
        raise ValueError(f"the vocabulary lacks the token {unknown} that stands for unknown words")


def check_ids(tokenizer: Any, vocabulary: Mapping[str, int]) -> None:
    """Raises ValueError where two tokens have one id, as where lines of a vocab.txt repeat and tokens were added.

    `vocabulary` is the tokenizer's own, without added tokens: to ask the library for it would take as long as a load.
    """
    if len(set(vocabulary.values())) < len(vocabulary):
        tokens = {i: token for token, i in vocabulary.items()}
        twice = [token for token, i in vocabulary.items() if tokens[i] != token]
        raise ValueError(
            f"two tokens of the vocabulary have one id, such as {twice[0]!r} and {tokens[vocabulary[twice[0]]]!r}"
        )
    for i, token in sorted(tokenizer.get_added_tokens_decoder().items()):
        own = tokenizer.model.id_to_token(i)
        if own not in (None, token.content):
            raise ValueError(f"the added token {token.content!r} has the id {i}, which the vocabulary gives {own!r}")


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


def normalization(tokenizer: Any, key: str) -> bool | None:
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

    files = [str(path) for path in files]
    settings = {key: value for key, value in settings.items() if key != "added_tokens_decoder"}
    first = [token for token in special_tokens(settings).values() if token is not None]
    first += [token.content for token in map(as_added_token, further_tokens(settings)) if token.content not in first]
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
