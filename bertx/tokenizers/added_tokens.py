"""The added and special tokens of a `tokenizers.Tokenizer`, and what puts them around texts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from .settings import as_added_token, further_tokens, named_tokens
from .truncation import library_errors

_MOST = 10**8  # of the tokens of a vocabulary


def contents(defaults: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, str | None]:
    """The special tokens of a family by their names: those of the settings, or its own; None for one that is null."""
    named = {name: settings.get(name, default) for name, default in defaults.items()}
    return {name: as_added_token(token).content if token is not None else None for name, token in named.items()}


def around(defaults: Mapping[str, Any], settings: Mapping[str, Any], tokenizer: Any) -> list[tuple[str, int]]:
    """cls_token and sep_token, each with its id.

    Raises:
        ValueError: the vocabulary lacks one, and every text needs both.
    """
    named = contents(defaults, settings)
    tokens: list[Any] = [named["cls_token"], named["sep_token"]]
    if lost := sorted({token or "null" for token in tokens if token is None or tokenizer.token_to_id(token) is None}):
        raise ValueError(f"the vocabulary lacks the special tokens {', '.join(lost)}")
    return [(token, tokenizer.token_to_id(token)) for token in tokens]


def add(tokenizer: Any, settings: Mapping[str, Any], defaults: Mapping[str, Any]) -> None:
    """Adds the tokens of added_tokens_decoder with their ids, and the special tokens that the settings name.

    `defaults` are a family's special tokens by their names. A token of these that the settings write as a string has
    the family's flags; where the settings do not name it, it is added if the vocabulary has it.

    Raises:
        ValueError: the ids are not those that the vocabulary has or would give.
    """
    decoder = {int(i): token for i, token in (settings.get("added_tokens_decoder") or {}).items()}
    tokens = [as_added_token(decoder[i]) for i in sorted(decoder)]
    named = [
        _with_flags(token, defaults.get(name)) for name, token in named_tokens(settings).items() if token is not None
    ]
    further = further_tokens(settings)
    tokens += [as_added_token(token, normalized=False, special=True) for token in (*named, *further)]
    tokens += [
        as_added_token(token, normalized=False, special=True)
        for name, token in defaults.items()
        if name not in settings and tokenizer.token_to_id(as_added_token(token).content) is not None
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


def check(tokenizer: Any, new: Iterable[Any] = ()) -> None:
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


def check_ids(tokenizer: Any) -> None:
    """Raises ValueError where two tokens have one id, as where lines of a vocab.txt repeat and tokens were added.

    Or where an id is larger than that of any model: the library counts up to it when it writes a vocabulary.
    """
    from tokenizers.models import Unigram

    # n tokens have n ids where each of 0 … n - 1 is one's. The whole vocabulary would take as long as a load; that of a
    # Unigram is a list.
    model = tokenizer.model
    if not isinstance(model, Unigram) and None in map(model.id_to_token, range(tokenizer.get_vocab_size(False))):
        _check_distinct(tokenizer.get_vocab(with_added_tokens=False))
    for i, token in sorted(tokenizer.get_added_tokens_decoder().items()):
        own = tokenizer.model.id_to_token(i)
        if own not in (None, token.content):
            raise ValueError(f"the added token {token.content!r} has the id {i}, which the vocabulary gives {own!r}")


def _check_distinct(vocabulary: Mapping[str, int]) -> None:
    token, largest = max(vocabulary.items(), key=lambda item: item[1])
    if largest >= _MOST:
        raise ValueError(f"the token {token!r:.80} has the id {largest}, expected less than {_MOST}")
    first: dict[int, str] = {}
    for token, i in sorted(vocabulary.items()):
        if i in first:
            raise ValueError(f"two tokens of the vocabulary have one id, such as {first[i]!r} and {token!r}")
        first[i] = token


def template(cls: tuple[str, int], sep: tuple[str, int], separators: int, second_type: int) -> Any:
    """A post-processor that makes cls A sep, or cls A sep B sep, each special token given with its id.

    Args:
        cls, sep: the special tokens.
        separators: how many there are between the texts of a pair.
        second_type: the token type of the second text.
    """
    from tokenizers import processors

    more = f"{sep[0]}:{second_type} " * (separators - 1)
    return processors.TemplateProcessing(
        single=f"{cls[0]}:0 $A:0 {sep[0]}:0",
        pair=f"{cls[0]}:0 $A:0 {sep[0]}:0 {more}$B:{second_type} {sep[0]}:{second_type}",
        special_tokens=[cls, sep],
    )


def _with_flags(token: Any, default: Any) -> Any:
    """A token that settings write as a string, with the flags that its family gives it."""
    flags = {name: flag for name, flag in default.items() if name != "content"} if isinstance(default, Mapping) else {}
    return {"content": token, **flags} if isinstance(token, str) and flags else token
