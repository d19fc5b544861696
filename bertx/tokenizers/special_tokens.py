"""The special tokens of a tokenizer: what they are called, their ids, and how they are set."""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from typing import Any

from . import added_tokens
from .settings import Family, as_added_token

_NEEDED = ("unk_token", "sep_token", "cls_token")
_LISTS = ("additional_special_tokens", "extra_special_tokens")


class SpecialTokens:
    """Named special tokens (`mask_token`, `mask_token_id`, …) and further ones (`additional_special_tokens`).

    Assigning a name, or its id, takes effect: `tokenizer.pad_token = "[unused0]"` pads with that from then on.
    """

    family: Family
    backend_tokenizer: Any
    bos_token: str | None
    eos_token: str | None
    unk_token: str
    sep_token: str
    pad_token: str | None
    cls_token: str
    mask_token: str | None
    bos_token_id: int | None
    eos_token_id: int | None
    unk_token_id: int
    sep_token_id: int
    pad_token_id: int | None
    cls_token_id: int
    mask_token_id: int | None

    def __getattr__(self, name: str) -> Any:
        named = self.__dict__.get("_named_tokens", {})
        if name in named:
            return named[name]
        if name.endswith("_id") and name.removesuffix("_id") in named:
            token = named[name.removesuffix("_id")]
            return None if token is None else self.backend_tokenizer.token_to_id(token)
        raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")

    def __setattr__(self, name: str, value: Any) -> None:
        named = self.__dict__.get("_named_tokens", {})
        if name in named:
            self._set_named(name, value)
        elif name.endswith("_id") and name.removesuffix("_id") in named:
            possible = value is not None and 0 <= value < 2**32
            token = self.backend_tokenizer.id_to_token(operator.index(value)) if possible else None  # pyright: ignore[reportArgumentType]
            if value is not None and token is None:
                raise ValueError(f"{name} is {value}, and the vocabulary has no such id")
            self._set_named(name.removesuffix("_id"), token)
        else:
            super().__setattr__(name, value)

    def _set_named(self, name: str, value: Any) -> None:
        token = _content(name, value)
        if token is None and name in _NEEDED:
            raise ValueError(f"{name} is None, and every text needs one")
        if token is not None and self.backend_tokenizer.token_to_id(token) is None:
            raise ValueError(
                f"{name} is {token!r}, which the vocabulary lacks: add_special_tokens({{{name!r}: {token!r}}}) adds it"
            )
        model = self.backend_tokenizer.model
        # Byte-level BPE has no unknown words, and its model no such token.
        if name == "unk_token" and getattr(model, "unk_token", None) not in (None, token):
            if token not in self.backend_tokenizer.get_vocab(with_added_tokens=False):
                raise ValueError(
                    f"unk_token is {token!r}, an added token, and words that are not known need one of the vocabulary"
                )
            model.unk_token = token
        before = dict(self._named_tokens)
        self._named_tokens[name] = token
        if name in ("cls_token", "sep_token"):
            self._use_in_template(name, before)

    def _use_in_template(self, name: str, before: Mapping[str, Any]) -> None:
        """Puts cls_token and sep_token around the texts, where others are."""
        found = self.backend_tokenizer.encode("", "")
        separators, second = self.family.separators, self.family.second_type
        if found.ids == [self.cls_token_id, *[self.sep_token_id] * (separators + 1)]:
            return
        types = [0, 0, *[second] * separators]
        if len(found.ids) != separators + 2 or len(set(found.ids[1:])) != 1 or found.type_ids != types:
            own = found.ids[:1] if name == "cls_token" else found.ids[-1:]
            if own == [self.backend_tokenizer.token_to_id(self._named_tokens[name])]:
                return
            self._named_tokens.update(before)
            raise ValueError(
                f"{name}: this tokenizer puts {found.tokens} around a pair of texts, not as {self.family.name} does: "
                "change its tokenizer.json"
            )
        self.backend_tokenizer.post_processor = self._processor(
            (self.cls_token, self.cls_token_id), (self.sep_token, self.sep_token_id)
        )

    def _processor(self, cls: tuple[str, int], sep: tuple[str, int]) -> Any:
        """What puts the special tokens around texts, each given with its id."""
        return added_tokens.template(cls, sep, self.family.separators, self.family.second_type)

    @property
    def additional_special_tokens(self) -> list[str]:
        """The special tokens without a name; transformers 5 calls them extra_special_tokens."""
        tokens: list[Any] = list(self._additional_tokens)
        return tokens

    @additional_special_tokens.setter
    def additional_special_tokens(self, tokens: Sequence[Any] | None) -> None:
        """Sets them; each must be in the vocabulary."""
        contents: list[Any] = [_content("additional_special_tokens", token) for token in _as_sequence(tokens)]
        if lost := [token for token in contents if self.backend_tokenizer.token_to_id(token) is None]:
            raise ValueError(
                f"additional_special_tokens has {', '.join(lost)}, which the vocabulary lacks: "
                "add_special_tokens({'additional_special_tokens': […]}) adds them"
            )
        self._additional_tokens = contents

    @property
    def additional_special_tokens_ids(self) -> list[int]:
        """The ids of `additional_special_tokens`."""
        return [self.backend_tokenizer.token_to_id(token) for token in self._additional_tokens]

    extra_special_tokens = additional_special_tokens
    extra_special_tokens_ids = additional_special_tokens_ids

    @property
    def special_tokens_map(self) -> dict[str, str]:
        """The special tokens by their names, such as `"mask_token"`; those without a name are left out."""
        return {name: token for name, token in self._named_tokens.items() if token is not None}

    @property
    def all_special_tokens(self) -> list[str]:
        """The special tokens that the vocabulary has, in the order of `all_special_ids`."""
        tokens: dict[Any, None] = dict.fromkeys([*self.special_tokens_map.values(), *self._additional_tokens])
        return [token for token in tokens if self.backend_tokenizer.token_to_id(token) is not None]

    @property
    def all_special_ids(self) -> list[int]:
        """The ids of the special tokens that the vocabulary has."""
        return [self.backend_tokenizer.token_to_id(token) for token in self.all_special_tokens]

    def add_special_tokens(
        self, special_tokens_dict: Mapping[str, Any], replace_extra_special_tokens: bool = True, **older: bool
    ) -> int:
        """Adds special tokens by their names, and makes each the tokenizer's own.

        `len(tokenizer)` is what the model's embeddings are to be resized to.

        Args:
            special_tokens_dict: a string or `tokenizers.AddedToken` for a name such as "pad_token"; a list for
                "additional_special_tokens" or "extra_special_tokens".
            replace_extra_special_tokens: whether such a list replaces the one there was, whose tokens stay in the
                vocabulary; transformers 4 calls it replace_additional_special_tokens.

        Returns:
            How many became added tokens, those of the vocabulary included.

        Raises:
            ValueError: a name that no special token has, or a value that is no token.
        """
        replace = older.pop("replace_additional_special_tokens", replace_extra_special_tokens)
        if older:
            raise TypeError(f"add_special_tokens has no argument {', '.join(older)}")
        known = (*self._named_tokens, *_LISTS)
        if unknown := [name for name in special_tokens_dict if name not in known]:
            raise ValueError(f"no special tokens are called {', '.join(unknown)}, expected among {', '.join(known)}")
        named = {name: value for name, value in special_tokens_dict.items() if name not in _LISTS}
        lists = {name: _as_sequence(value) for name, value in special_tokens_dict.items() if name in _LISTS}
        tokens = {id(token): (name, token) for name, token in named.items()}
        tokens |= {id(token): (name, token) for name, several in lists.items() for token in several}
        for name, token in tokens.values():
            if _content(name, token) is None:
                raise ValueError(f"{name} is None, expected a string or an AddedToken")
        added = self.add_tokens(
            [as_added_token(token, normalized=False, special=True) for _, token in tokens.values()], special_tokens=True
        )
        for name, token in named.items():
            setattr(self, name, token)
        for name, several in lists.items():
            contents = [_content(name, token) for token in several]
            kept = [] if replace and contents else self._additional_tokens
            self._additional_tokens = list(dict.fromkeys([*kept, *contents]))
        return added


def _as_sequence(tokens: Any) -> Sequence[Any]:
    if tokens is None:
        return []
    if isinstance(tokens, str) or not isinstance(tokens, Sequence):
        raise ValueError(f"additional_special_tokens is {tokens!r:.80}, expected a list of tokens")
    return tokens


def _content(name: str, token: Any) -> str | None:
    """The text of a token: of a string, of a `tokenizers.AddedToken`, or as a file writes one."""
    if isinstance(token, Mapping):
        token = token.get("content")
    token = getattr(token, "content", token)
    if token is not None and not isinstance(token, str):
        raise ValueError(f"{name} is {token!r:.80}, expected a string or an AddedToken")
    return token
