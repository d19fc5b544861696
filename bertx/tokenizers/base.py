"""PreTrainedTokenizer: what tokenizers over the `tokenizers` library have in common, with the hub's names."""

from __future__ import annotations

import json
import logging
import os
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

from bertx_weights import CheckpointError
from bertx_weights.files import exists, inside, read_text, write_atomically

from ..hub.arguments import without_hub_arguments
from . import added_tokens
from .arguments import (
    PADDINGS,
    SIDES,
    TRUNCATIONS,
    are_pairs,
    as_batch,
    as_list,
    check_kind,
    checked_ids,
    option,
    split,
)
from .decoding import Decoding
from .encoding import BatchEncoding
from .names import ADDED_TOKENS, SPECIAL_TOKENS_MAP, TOKENIZER_CONFIG, TOKENIZER_JSON, VOCABULARIES
from .padding import UNLIMITED, Padding
from .ragged import RaggedBatch
from .settings import (
    FLAGS,
    NAMES,
    Family,
    as_added_token,
    check_settings,
    further_tokens,
    model_inputs,
    model_of,
    named_tokens,
    read_settings,
    without_unknown,
)
from .special_tokens import SpecialTokens
from .truncation import Truncation, encode, encode_ragged, lengths_kept, library_errors, with_windows

_log = logging.getLogger(__name__)


class PreTrainedTokenizer(SpecialTokens, Decoding, Padding, ABC):
    """A checkpoint's tokenizer; `BertTokenizer`, `RobertaTokenizer` and `XLMRobertaTokenizer` are its families.

    Padding and truncation are what a call asks for, and none by default; of what a `tokenizer.json` bakes
    in only the sides count. Ids are those of transformers' class of the same name, option for option.

    Attributes:
        unk_token, sep_token, pad_token, cls_token, mask_token, and each with `_id`: the special tokens.
        model_max_length: the length that truncation and padding to "max_length" take; 10**30 where not known.
        padding_side, truncation_side: "right" or "left".
        model_input_names: what a call gives unless it says otherwise.
        backend_tokenizer: the `tokenizers.Tokenizer`.
        name_or_path: where `from_pretrained` read it; "" where it was made otherwise.
        family: what its family's tokenizers have in common.
    """

    family: ClassVar[Family]
    name_or_path: str = ""

    # --- what a family defines --------------------------------------------------------------------

    @classmethod
    @abstractmethod
    def _read_vocabulary(cls, folder: Path) -> tuple[Path, Any] | None:
        """The file that a folder's vocabulary is in, and what it holds; None without one."""

    @abstractmethod
    def _build(self, vocabulary: Any) -> Any:
        """A `tokenizers.Tokenizer` of a vocabulary, with the rules of the family and `self.settings`."""

    def _apply_settings(self, tokenizer: Any) -> None:
        """Lets `self.settings` have the last word on the rules of a tokenizer.json, where transformers does so."""

    def _finish(self, tokenizer: Any) -> None:
        """What is done to a tokenizer when its added tokens are in."""

    def _check_words(self) -> None:
        """Raises ValueError where texts that are split into words would get other ids than they have whole."""

    @abstractmethod
    def save_vocabulary(self, folder: str | os.PathLike[str], filename_prefix: str | None = None) -> tuple[str, ...]:
        """Writes the vocabulary, without tokens added later; gives the paths, or none where it is in no such file."""

    # --- reading and writing ----------------------------------------------------------------------

    def _set_up(
        self, source: Any, settings: Mapping[str, Any], vocabulary: Any = None, rules: str | None = None
    ) -> None:
        """From a vocabulary, or from the text of a tokenizer.json; `source` is named in errors."""
        from tokenizers import Tokenizer

        kind = CheckpointError if isinstance(source, Path) else ValueError
        self.settings = dict(settings)
        # The errors of the library name no file.
        with library_errors(f"{source}: not a tokenizer", kind):
            tokenizer = None if rules is None else Tokenizer.from_str(rules)
        with library_errors(str(source), kind):
            if tokenizer is None:
                tokenizer = self._build(vocabulary)
            else:
                self._check_rules(tokenizer)
                self._apply_settings(tokenizer)
            sides = [(baked or {}).get("direction", "right") for baked in (tokenizer.padding, tokenizer.truncation)]
            tokenizer.no_padding()
            tokenizer.no_truncation()
            added_tokens.add(tokenizer, self.settings, self.family.tokens)
            self._finish(tokenizer)
            added_tokens.check(tokenizer)
            added_tokens.check_ids(tokenizer)
            tokenizer.encode("a", "a")
        self.backend_tokenizer = tokenizer
        self.padding_side = self.settings.get("padding_side", sides[0])
        self.truncation_side = self.settings.get("truncation_side", sides[1])
        self.model_input_names = model_inputs(self.settings, self.family)
        self.clean_up_tokenization_spaces = bool(self.settings.get("clean_up_tokenization_spaces", False))
        length = self.settings.get("model_max_length", self.settings.get("max_len"))
        self.model_max_length = int(length) if length and length < 1e9 else UNLIMITED
        self.deprecation_warnings: dict[str, bool] = {}
        own = added_tokens.contents(self.family.tokens, self.settings)
        named = dict.fromkeys(NAMES) | own | named_tokens(self.settings)
        self._named_tokens = {
            name: None if token is None else as_added_token(token).content for name, token in named.items()
        }
        self._additional_tokens = [as_added_token(token).content for token in further_tokens(self.settings)]

    def _check_rules(self, tokenizer: Any) -> None:
        """Raises ValueError where the rules of a tokenizer.json are not those of the class that the settings name."""
        found, name = type(tokenizer.model).__name__, self.settings.get("tokenizer_class")
        expected = self.family.model if name is None else model_of(self.settings)
        if expected is not None and found != expected:
            of = self.family.classes[0] if name is None else f"tokenizer_class {name}"
            raise ValueError(f"its model is {found}, and that of {of} is {expected}")

    @classmethod
    def from_pretrained(cls, source: str | os.PathLike[str], revision: str | None = None, **changes: Any) -> Self:
        """Reads `tokenizer.json`, or the vocabulary, and the files beside it; `source` as in `bertx.load`.

        These are `tokenizer_config.json`, and where that has no added_tokens_decoder, `special_tokens_map.json` and
        `added_tokens.json`. A tokenizer.json is run as it stands.

        `changes` override the keys of `tokenizer_config.json`; special tokens among them take effect as when they are
        assigned. Arguments that transformers passes, such as `use_fast`, `cache_dir=None`, are taken where they change
        nothing.

        Raises:
            FileNotFoundError: the folder has neither tokenizer.json nor a vocabulary.
            CheckpointError: a file is not what its name says, two contradict each other, or the tokenizer is of another
                family.
            ValueError: `changes` whose values no tokenizer has.
            TypeError: `changes` that are no settings.
        """
        from ..hub.sources import resolve

        caller = f"{cls.__name__}.from_pretrained"
        changes = without_unknown(caller, without_hub_arguments(caller, changes), cls.family)
        folder = resolve(source, revision=revision, weights=False)
        check_settings(changes, cls.family)
        if "max_len" in changes:  # the older name; a file's model_max_length must not override it
            changes = {"model_max_length": changes["max_len"]} | changes
        self = cls._from_folder(folder, changes)
        for name in NAMES:
            if name in changes:
                setattr(self, name, changes[name])  # what puts tokens around texts is the tokenizer.json's until then
        self.name_or_path = os.fspath(source)
        return self

    @classmethod
    def _from_folder(cls, folder: Path, changes: Mapping[str, Any]) -> Self:
        has_rules = exists(folder, TOKENIZER_JSON)
        settings = read_settings(folder, has_rules, cls.family)
        if has_rules:
            path = inside(folder, TOKENIZER_JSON)
            return cls._read(path, {**settings, **changes}, rules=read_text(path))
        found = cls._read_vocabulary(folder)
        if found is None:
            own = " with ".join(cls.family.files)
            if others := [name for name in VOCABULARIES if exists(folder, name)]:
                named = f"tokenizer_class is {name}" if (name := settings.get("tokenizer_class")) else cls.__name__
                raise CheckpointError(
                    f"{folder}: {named}, whose rules are in a tokenizer.json or in {own}, and the folder has "
                    f"{', '.join(others)}: make them agree"
                )
            raise FileNotFoundError(f"{folder} has no tokenizer: expected {TOKENIZER_JSON} or {own}")
        path, vocabulary = found
        return cls._read(path, {**settings, **changes}, vocabulary)

    @classmethod
    def _read(cls, source: Any, settings: Mapping[str, Any], vocabulary: Any = None, rules: str | None = None) -> Self:
        """As `_set_up`, with settings that may have keys of a file which are none of bertx."""
        self = cls.__new__(cls)
        self._set_up(source, settings, vocabulary, rules)
        return self

    def _class_name(self) -> str:
        """What a file calls a tokenizer of these rules."""
        return self.family.classes[0]

    @property
    def init_kwargs(self) -> dict[str, Any]:
        """The settings of this tokenizer as it is now: what `save_pretrained` writes into tokenizer_config.json."""
        settings = self.settings | self.special_tokens_map
        settings["tokenizer_class"] = self.settings.get("tokenizer_class") or self._class_name()
        if not isinstance(settings.get("extra_special_tokens"), Mapping):
            settings.pop("extra_special_tokens", None)  # transformers 4 reads names only; 5 reads the other key too
        settings.pop("additional_special_tokens", None)
        if self._additional_tokens:
            settings["additional_special_tokens"] = self.additional_special_tokens
        settings["added_tokens_decoder"] = {
            str(i): _plain(token) for i, token in sorted(self.added_tokens_decoder.items())
        }
        return settings

    def save_pretrained(self, folder: str | os.PathLike[str]) -> tuple[str, ...]:
        """Writes tokenizer.json, tokenizer_config.json and the vocabulary; gives the paths of what is there then.

        A tokenizer that has tokens beyond its vocabulary, or special tokens without a name, also gets added_tokens.json
        and special_tokens_map.json, which transformers before 4.34 reads.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(folder / TOKENIZER_JSON, self.backend_tokenizer.to_str().encode())
        self.save_vocabulary(folder)
        self.save_settings(folder)
        names = (TOKENIZER_CONFIG, SPECIAL_TOKENS_MAP, ADDED_TOKENS, *self.family.files, TOKENIZER_JSON)
        return tuple(str(folder / name) for name in names if (folder / name).exists())

    def save_settings(self, folder: Path) -> None:
        """Writes tokenizer_config.json, and the files in which older versions of transformers look for its tokens."""
        beyond = {token: i for token, i in self.added_tokens_encoder.items() if i >= self.vocab_size}
        special: dict[str, Any] = dict(self.special_tokens_map)
        if self._additional_tokens:
            special["additional_special_tokens"] = self.additional_special_tokens
        older = {ADDED_TOKENS: beyond, SPECIAL_TOKENS_MAP: special if beyond or self._additional_tokens else {}}
        for name, values in ({TOKENIZER_CONFIG: self.init_kwargs} | older).items():
            if values:
                text = json.dumps(values, indent=2, ensure_ascii=False, default=_plain)
                write_atomically(folder / name, text.encode())
            else:
                (folder / name).unlink(missing_ok=True)  # of an earlier save

    # --- settings ---------------------------------------------------------------------------------

    @property
    def max_len_single_sentence(self) -> int:
        """The most tokens of a text, beside the special ones, within `model_max_length`."""
        return self.model_max_length - self.num_special_tokens_to_add(False)

    @property
    def max_len_sentences_pair(self) -> int:
        """The most tokens of a text and its pair, beside the special ones, within `model_max_length`."""
        return self.model_max_length - self.num_special_tokens_to_add(True)

    # --- the vocabulary ---------------------------------------------------------------------------

    @property
    def vocab_size(self) -> int:
        """The number of tokens, added ones left out; `len(tokenizer)` counts those too."""
        return self.backend_tokenizer.get_vocab_size(with_added_tokens=False)

    def __len__(self) -> int:
        return self.backend_tokenizer.get_vocab_size()

    def get_vocab(self) -> dict[str, int]:
        """Every token and its id."""
        return self.backend_tokenizer.get_vocab()

    @property
    def vocab(self) -> dict[str, int]:
        """Every token and its id."""
        return self.get_vocab()

    @property
    def is_fast(self) -> bool:
        """True: its rows know the words and characters behind their tokens."""
        return True

    @property
    def pad_token_type_id(self) -> int:
        """The token type of padding."""
        return 0

    @property
    def added_tokens_decoder(self) -> dict[int, Any]:
        """The added tokens, as `tokenizers.AddedToken`, by their ids; the special tokens are among them."""
        return self.backend_tokenizer.get_added_tokens_decoder()

    @property
    def added_tokens_encoder(self) -> dict[str, int]:
        """The ids of the added tokens; the special tokens are among them."""
        return {token.content: i for i, token in sorted(self.added_tokens_decoder.items())}

    def get_added_vocab(self) -> dict[str, int]:
        """The ids of the added tokens; the special tokens are among them."""
        return self.added_tokens_encoder

    def add_tokens(self, new_tokens: Any, special_tokens: bool = False) -> int:
        """Adds tokens that stay whole, one or a list: strings or `tokenizers.AddedToken`.

        Gives how many became added tokens, those of the vocabulary included; `len(tokenizer)` is what the
        model's embeddings are to be resized to.

        Raises:
            ValueError: two added tokens are the same once they are normalised.
        """
        tokens = list(new_tokens) if isinstance(new_tokens, (list, tuple)) else [new_tokens]
        added_tokens.check(
            self.backend_tokenizer, [as_added_token(token, normalized=not special_tokens) for token in tokens]
        )
        add = self.backend_tokenizer.add_special_tokens if special_tokens else self.backend_tokenizer.add_tokens
        return add(tokens)

    def convert_tokens_to_ids(self, tokens: str | Sequence[str]) -> Any:
        """The id of a token, or of each; unk_token's for one that the vocabulary lacks."""
        if isinstance(tokens, str):
            found = self.backend_tokenizer.token_to_id(tokens)
            return self.unk_token_id if found is None else found
        return [self.convert_tokens_to_ids(token) for token in tokens]

    def convert_ids_to_tokens(self, ids: int | Sequence[int], skip_special_tokens: bool = False) -> str | list[str]:
        """The token of an id, or of each; None for one that the vocabulary lacks.

        Raises:
            ValueError: an id below 0, or beyond 32 bits.
            TypeError: an id that is no integer.
        """
        if np.ndim(ids) == 0 and not isinstance(ids, (set, frozenset, Mapping)):
            return self.backend_tokenizer.id_to_token(checked_ids([as_list(ids)])[0])
        skipped = set(self.all_special_ids) if skip_special_tokens else ()
        return [self.backend_tokenizer.id_to_token(i) for i in checked_ids(as_list(ids)) if i not in skipped]

    # --- text to ids ------------------------------------------------------------------------------

    def tokenize(self, text: str, pair: str | None = None, add_special_tokens: bool = False) -> list[str]:
        """The tokens of a text, or of a text and its pair one after the other."""
        return self.backend_tokenizer.encode(text, pair or None, add_special_tokens=add_special_tokens).tokens

    def encode(self, text: str, text_pair: str | None = None, **options: Any) -> list[int]:
        """The ids of one text; options as for a call."""
        return self(text, text_pair, **options)["input_ids"]

    def __call__(
        self,
        text: str | Sequence[str] | Sequence[Sequence[str]] | None = None,
        text_pair: str | Sequence[str] | Sequence[Sequence[str]] | None = None,
        text_target: str | Sequence[str] | Sequence[Sequence[str]] | None = None,
        text_pair_target: str | Sequence[str] | Sequence[Sequence[str]] | None = None,
        *,
        add_special_tokens: bool = True,
        padding: bool | str = False,
        truncation: bool | str | None = None,
        max_length: int | None = None,
        stride: int = 0,
        is_split_into_words: bool = False,
        pad_to_multiple_of: int | None = None,
        padding_side: str | None = None,
        return_tensors: str | None = None,
        return_token_type_ids: bool | None = None,
        return_attention_mask: bool | None = None,
        return_overflowing_tokens: bool = False,
        return_special_tokens_mask: bool = False,
        return_offsets_mapping: bool = False,
        return_length: bool = False,
        verbose: bool = True,
    ) -> BatchEncoding:
        """Tokenises one text or a batch, alone or as pairs.

        Args:
            text, text_pair: a string or several; with `is_split_into_words` a list of words or several. An empty
                second text is none, unless it is one of several. Pairs may also come as a list of (text, text_pair).
            text_target, text_pair_target: texts whose ids are the `labels`; without `text`, a call as with them alone.
            padding: True or "longest", to the longest row; "max_length"; False.
            truncation: True or "longest_first", "only_first", "only_second"; False; None is True where `max_length`
                is given without padding.
            max_length: in tokens, special ones included; the checkpoint's own where not given.
            stride: how many tokens a window of `return_overflowing_tokens` shares with the one before.
            pad_to_multiple_of: pads on to a multiple of this.
            padding_side: "right" or "left"; the checkpoint's own where not given.
            return_tensors: "np", "pt", "tf" or "jax"; None gives lists.
            return_token_type_ids, return_attention_mask: None asks `model_input_names`.
            return_overflowing_tokens: also gives what was truncated, as further rows; `overflow_to_sample_mapping`
                says of which text each row is.
            return_special_tokens_mask: 1 for a token that was added.
            return_offsets_mapping: the characters of each token in the text, first and one past the last.
            return_length: the number of tokens of each row.
            verbose: whether a row beyond model_max_length is logged, once, where no max_length is given.

        Returns:
            input_ids, token_type_ids, attention_mask and what was requested: of a batch a row each, of
            one text the row itself unless tensors or windows were asked for.

        Raises:
            ValueError: an empty batch, texts and pairs of different number, a text with a lone surrogate, an unknown
                option, a max_length that leaves no room or that no text may be padded to, or is not a multiple of
                pad_to_multiple_of, or rows that make no tensor.
            TypeError: something that is not a string, or not a list of words.
        """
        if text_target is not None or text_pair_target is not None:
            options = {name: value for name, value in locals().items() if name != "self" and "text" not in name}
            targets = self(text_target, text_pair_target, **options)
            if text is None:
                return targets
            encoded = self(text, text_pair, **options)
            encoded["labels"] = targets["input_ids"]
            return encoded
        texts, pairs, one = self._texts(text, text_pair, is_split_into_words)
        cut = self._truncation(truncation, padding, max_length, stride, self._added(pairs, add_special_tokens))
        padding = option("padding", padding, PADDINGS, ("longest", "max_length", "do_not_pad"))
        if cut and padding != "do_not_pad" and pad_to_multiple_of and cut.max_length % pad_to_multiple_of:
            raise ValueError(
                f"max_length is {cut.max_length}, expected a multiple of pad_to_multiple_of {pad_to_multiple_of}"
            )
        flags = {
            "token_type_ids": return_token_type_ids,
            "attention_mask": return_attention_mask,
            "special_tokens_mask": return_special_tokens_mask,
            "offset_mapping": return_offsets_mapping,
        }
        names = [key for key, flag in flags.items() if (key in self.model_input_names if flag is None else flag)]
        arrays = [name for name in names if name != "attention_mask"]
        inputs = (self.backend_tokenizer, texts, pairs, is_split_into_words, add_special_tokens, cut)
        encodings: Any = None
        if return_overflowing_tokens or return_offsets_mapping or is_split_into_words:
            # Who asks for these goes on to ask for the words of each row.
            encodings, samples = encode(*inputs, return_overflowing_tokens), None
            if return_overflowing_tokens:
                encodings, samples = with_windows(encodings)
            rows = replace(RaggedBatch.of_encodings(encodings, arrays), samples=samples)
        else:
            rows = encode_ragged(*inputs, False, arrays)
        self._check_lengths(rows, cut, verbose and max_length is None)
        side = option("padding_side", self.padding_side if padding_side is None else padding_side, {}, SIDES)
        width = self._padded_length(rows.lengths.tolist(), padding, max_length, pad_to_multiple_of)
        pad = {"direction": side, "pad_id": self.pad_token_id or 0, "pad_token": self.pad_token}

        def padded_encodings() -> list[Any]:
            """The `tokenizers.Encoding` of each row."""
            made = encodings
            if made is None:
                made = encode(*inputs, False)
                if not np.array_equal(RaggedBatch.of_encodings(made).input_ids, rows.input_ids):
                    raise ValueError(
                        "the tokenizer has changed since it made this batch, so that the words and characters of its "
                        "tokens are not known: tokenise the texts again"
                    )
            for encoding in made if width is not None else ():
                encoding.pad(width, **pad)
            return made

        values = _values(rows, names, width, side, pad["pad_id"], return_tensors is not None)
        if return_length:
            values["length"] = [width or length for length in rows.lengths.tolist()]
        if return_overflowing_tokens:
            values["overflow_to_sample_mapping"] = rows.samples.tolist()
        if return_tensors is None and one and not return_overflowing_tokens:
            values = {key: of_rows[0] if isinstance(of_rows[0], list) else of_rows for key, of_rows in values.items()}
        return BatchEncoding(values, padded_encodings() if encodings else padded_encodings, return_tensors)

    encode_plus = batch_encode_plus = __call__

    def ragged(
        self,
        text: str | Sequence[str] | Sequence[Sequence[str]],
        text_pair: str | Sequence[str] | Sequence[Sequence[str]] | None = None,
        *,
        add_special_tokens: bool = True,
        truncation: bool | str | None = None,
        max_length: int | None = None,
        stride: int = 0,
        is_split_into_words: bool = False,
        return_token_type_ids: bool | None = None,
        return_overflowing_tokens: bool = False,
        return_special_tokens_mask: bool = False,
        return_offsets_mapping: bool = False,
        return_word_ids: bool = False,
        return_sequence_ids: bool = False,
        verbose: bool = True,
    ) -> RaggedBatch:
        """Tokenises one text or a batch to flat arrays, which have no padding; the options are those of a call.

        This takes less time and memory than a call where neither characters nor words are asked for. With
        `return_overflowing_tokens` the batch has `samples`.

        Raises:
            ValueError, TypeError: as of a call.
        """
        texts, pairs, _ = self._texts(text, text_pair, is_split_into_words)
        cut = self._truncation(truncation, False, max_length, stride, self._added(pairs, add_special_tokens))
        if return_token_type_ids is None:
            return_token_type_ids = "token_type_ids" in self.model_input_names
        flags = {
            "token_type_ids": return_token_type_ids,
            "special_tokens_mask": return_special_tokens_mask,
            "offset_mapping": return_offsets_mapping,
            "word_ids": return_word_ids,
            "sequence_ids": return_sequence_ids,
        }
        rows = encode_ragged(
            self.backend_tokenizer,
            texts,
            pairs,
            is_split_into_words,
            add_special_tokens,
            cut,
            return_overflowing_tokens,
            [name for name, flag in flags.items() if flag],
        )
        self._check_lengths(rows, cut, verbose and max_length is None)
        return rows

    def _texts(self, text: Any, text_pair: Any, words: bool) -> tuple[list[Any], list[Any] | None, bool]:
        """The texts of a call, their pairs, and whether it is one text alone."""
        check_kind("text", text)
        if text_pair is None and not words and are_pairs(text):
            text, text_pair = (list(texts) for texts in zip(*text, strict=True))
        if not isinstance(text, (str, Sequence)):
            text = list(text)
        # What the first is says what all are to be: a word, or a text of words.
        one = isinstance(text, str) or (words and (not len(text) or isinstance(text[0], str)))
        text_pair = None if one and not text_pair else text_pair
        texts = as_batch(text, one, words, "text")
        pairs = None if text_pair is None else as_batch(text_pair, one, words, "text_pair")
        if not texts:
            raise ValueError("an empty batch: give at least one text")
        if words:
            self._check_words()
        if pairs is not None and len(pairs) != len(texts):
            raise ValueError(f"{len(texts)} texts but {len(pairs)} second texts: give one for each")
        return texts, pairs, one

    def _added(self, pairs: Any, add_special_tokens: bool) -> int:
        return self.num_special_tokens_to_add(pairs is not None) if add_special_tokens else 0

    def _check_lengths(self, rows: RaggedBatch, cut: Truncation | None, warn: bool) -> None:
        if warn:
            self._warn_of_length(rows.longest)
        if rows.samples is not None and cut is not None and rows.longest > cut.max_length:
            raise ValueError(
                f"max_length is {cut.max_length}, expected more: a window has no room for a token of each text"
            )

    def prepare_for_model(
        self,
        ids: Sequence[int],
        pair_ids: Sequence[int] | None = None,
        add_special_tokens: bool = True,
        padding: bool | str = False,
        truncation: bool | str | None = None,
        max_length: int | None = None,
        stride: int = 0,
        pad_to_multiple_of: int | None = None,
        padding_side: str | None = None,
        return_tensors: str | None = None,
        return_token_type_ids: bool | None = None,
        return_attention_mask: bool | None = None,
        return_overflowing_tokens: bool = False,
        return_special_tokens_mask: bool = False,
        return_length: bool = False,
        verbose: bool = True,
        prepend_batch_axis: bool = False,
    ) -> BatchEncoding:
        """Truncates one row of ids, adds special tokens and pads; options as for a call.

        `return_overflowing_tokens` also gives `overflowing_tokens`, what was cut off with `stride` tokens before it,
        and `num_truncated_tokens`; not of a pair that is cut by "longest_first".

        Raises:
            ValueError: an unknown option, or ids that cannot be cut so.
        """
        first, second = list(ids), None if pair_ids is None else list(pair_ids)
        special = (2 if second is None else 2 + self.family.separators) if add_special_tokens else 0
        cut = self._truncation(truncation, padding, max_length, stride, special)
        total = len(first) + len(second or ()) + special
        values: dict[str, Any] = {}
        if cut and total > cut.max_length:
            if return_overflowing_tokens and second is not None and cut.strategy == "longest_first":
                raise ValueError("longest_first gives no overflowing tokens of a pair: take only_first or only_second")
            keep: Any = lengths_kept(
                len(first), None if second is None else len(second), cut.max_length - special, cut, "ids"
            )
            first, lost = split(first, keep[0], cut)
            second, lost_second = (None, []) if second is None else split(second, keep[1], cut)
            values["overflowing_tokens"] = lost or lost_second
        else:
            values["overflowing_tokens"] = []
        values["num_truncated_tokens"] = total - (cut.max_length if cut else total)
        if not return_overflowing_tokens:
            values = {}
        if add_special_tokens:
            values["input_ids"] = self.build_inputs_with_special_tokens(first, second)
            types = self.create_token_type_ids_from_sequences(first, second)
        else:
            values["input_ids"] = [*first, *(second or ())]
            types = [0] * len(values["input_ids"])
        if "token_type_ids" in self.model_input_names if return_token_type_ids is None else return_token_type_ids:
            values["token_type_ids"] = types
        if return_special_tokens_mask:
            values["special_tokens_mask"] = (
                self.get_special_tokens_mask(first, second) if add_special_tokens else [0] * len(types)
            )
        if max_length is None and verbose:
            self._warn_of_length(len(types))
        values = self.pad(values, padding, max_length, pad_to_multiple_of, padding_side, return_attention_mask)
        if return_length:
            values["length"] = len(values["input_ids"])
        return BatchEncoding(values, tensor_type=return_tensors, prepend_batch_axis=prepend_batch_axis)

    def num_special_tokens_to_add(self, pair: bool = False) -> int:
        """How many special tokens a text, or a pair, gets."""
        return self.backend_tokenizer.num_special_tokens_to_add(pair)

    def build_inputs_with_special_tokens(
        self, token_ids_0: list[int], token_ids_1: list[int] | None = None
    ) -> list[int]:
        """cls_token, token_ids_0, sep_token; and of a pair further token_ids_1 and sep_token.

        A family whose tokenizers have two separators between the texts of a pair has two here.
        """
        first = [self.cls_token_id, *token_ids_0, self.sep_token_id]
        between = [self.sep_token_id] * (self.family.separators - 1)
        return first if token_ids_1 is None else [*first, *between, *token_ids_1, self.sep_token_id]

    def create_token_type_ids_from_sequences(
        self, token_ids_0: list[int], token_ids_1: list[int] | None = None
    ) -> list[int]:
        """0 for each token of the first text and the special ones around it, and the family's type for the second."""
        first = [0] * (len(token_ids_0) + 2)
        second = len(token_ids_1 or ()) + self.family.separators
        return first if token_ids_1 is None else first + [self.family.second_type] * second

    def get_special_tokens_mask(
        self, token_ids_0: Any, token_ids_1: Any = None, already_has_special_tokens: bool = False
    ) -> list[int]:
        """1 for each special token of the built sequence; of `token_ids_0` as they are if they have theirs already.

        Raises:
            ValueError: `token_ids_1` next to `token_ids_0` that have their special tokens already.
        """
        if already_has_special_tokens:
            if token_ids_1 is not None:
                raise ValueError(
                    "token_ids_1 is given, expected None: ids with their special tokens are the whole sequence"
                )
            special = set(self.all_special_ids)
            return [int(i in special) for i in as_list(token_ids_0)]
        first = [1, *([0] * len(token_ids_0)), 1]
        between = [1] * (self.family.separators - 1)
        return first if token_ids_1 is None else [*first, *between, *([0] * len(token_ids_1)), 1]

    def _truncation(
        self, truncation: bool | str | None, padding: bool | str, max_length: int | None, stride: int, special: int
    ) -> Truncation | None:
        if truncation is None:
            truncation = max_length is not None and padding is False
        known = ("longest_first", "only_first", "only_second", "do_not_truncate")
        strategy = option("truncation", truncation, TRUNCATIONS, known)
        max_length = self.model_max_length if max_length is None else max_length
        if strategy == "do_not_truncate" or max_length >= UNLIMITED:
            return None
        if max_length < special:
            raise ValueError(
                f"max_length is {max_length}, expected {special} or more: the special tokens alone are that many"
            )
        room = max_length - special
        if stride < 0 or (stride and stride >= room):
            raise ValueError(
                f"stride is {stride}, expected 0 or more and less than {room}: "
                f"max_length {max_length} has room for that many tokens"
            )
        side = option("truncation_side", self.truncation_side, {}, SIDES)
        return Truncation(max_length, strategy, stride, side)

    def _warn_of_length(self, longest: int) -> None:
        """Once for each tokenizer, as transformers."""
        key = "sequence-length-is-longer-than-the-specified-maximum"
        if longest > self.model_max_length and not self.deprecation_warnings.get(key):
            self.deprecation_warnings[key] = True
            _log.warning(
                "Token indices sequence length is longer than the specified maximum sequence length for this model "
                "(%d > %d). Running this sequence through the model will result in indexing errors",
                longest,
                self.model_max_length,
            )


def _values(
    rows: RaggedBatch, names: Sequence[str], width: int | None, side: str, pad_id: int, tensors: bool
) -> dict[str, Any]:
    """The ids and what is named, as lists, or where they are to be tensors as arrays if rows have one length."""
    lengths, names = rows.lengths, ["input_ids", *names]
    if tensors and width is None and lengths.min() == lengths.max():
        width = int(lengths[0])
    if width is None:
        ones = [[1] * length for length in lengths.tolist()] if "attention_mask" in names else []
        return {name: ones if name == "attention_mask" else rows.lists(name) for name in names}
    arrays = rows.padded(width, pad_id, side)
    values = {name: arrays[name] if tensors else arrays[name].tolist() for name in names}
    if "offset_mapping" in names:
        values["offset_mapping"] = [list(map(tuple, row)) for row in arrays["offset_mapping"].tolist()]
    return values


def _plain(token: Any) -> dict[str, Any]:
    """A `tokenizers.AddedToken` as files write it."""
    return {"content": token.content, **{flag: getattr(token, flag) for flag in FLAGS}}
