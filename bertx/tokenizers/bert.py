"""BertTokenizer: WordPiece over the `tokenizers` library, with the hub's names and defaults."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self

from bertx_weights.files import exists, inside, write_atomically
from bertx_weights.formats import keras_hub

from . import names, word_piece
from .base import PreTrainedTokenizer
from .names import TOKENIZER_JSON, VOCAB
from .settings import BOOL, BOOL_OR_NONE, Family, is_list_of, problems_of, read_settings, without_unknown

FAMILY = Family(
    name="BERT",
    classes=names.BERT,
    files=(VOCAB,),
    tokens=word_piece.SPECIAL_TOKENS,
    model=None,
    separators=1,
    second_type=1,
    settings={
        "do_lower_case": BOOL,
        "tokenize_chinese_chars": BOOL,
        "clean_text": BOOL,
        "strip_accents": BOOL_OR_NONE,
        "never_split": (
            lambda value: value is None or is_list_of(lambda word: isinstance(word, str) and word != "")(value),
            "a list of strings",
        ),
    },
    not_run={
        "do_basic_tokenize": (True, None),
        "wordpieces_prefix": ("##", None),
        "word_tokenizer_type": (None,),
        "subword_tokenizer_type": (None,),
        "do_word_tokenize": (True, None),
        "do_subword_tokenize": (True, None),
        "mecab_kwargs": (None, {}),
        "sudachi_kwargs": (None, {}),
        "jumanpp_kwargs": (None, {}),
    },
)


class BertTokenizer(PreTrainedTokenizer):
    """The WordPiece tokenizer of a checkpoint (Devlin et al. 2019, section 3): [CLS] A [SEP], [CLS] A [SEP] B [SEP].

    It also runs a tokenizer.json of another model, such as byte-level BPE, where the file says so. The rest is as for
    every `PreTrainedTokenizer`.
    """

    family = FAMILY

    def __init__(
        self,
        vocab: str | os.PathLike[str] | Mapping[str, int] | None = None,
        *,
        vocab_file: str | os.PathLike[str] | None = None,
        **settings: Any,
    ):
        """From a vocab.txt or a mapping of tokens to ids; transformers 4 calls it `vocab_file`.

        `settings` are the keys of a `tokenizer_config.json`: do_lower_case (True), strip_accents (None: as
        do_lower_case), tokenize_chinese_chars (True), never_split (tokens of the vocabulary that stay
        whole), unk_token and the other special tokens, model_max_length, padding_side, truncation_side.

        Raises:
            ValueError: the vocabulary is no text, or lacks [UNK], [CLS] or [SEP].
            TypeError: keyword arguments that are no settings, or not one vocabulary.
        """
        settings = without_unknown(type(self).__name__, settings, self.family)
        if (vocab is None) == (vocab_file is None):
            raise TypeError(
                f"{type(self).__name__} takes one vocabulary, as vocab or as vocab_file, and got "
                f"{'none' if vocab is None else 'two'}; from_pretrained reads that of a folder"
            )
        given: Any = vocab_file if vocab is None else vocab
        vocabulary = given if isinstance(given, Mapping) else word_piece.read_vocabulary(Path(given))
        _check_new(settings)
        self._set_up(VOCAB if isinstance(given, Mapping) else given, settings, vocabulary=vocabulary)

    # --- reading, writing, training ---------------------------------------------------------------

    @classmethod
    def _from_folder(cls, folder: Path, changes: Mapping[str, Any]) -> Self:
        if preset := keras_hub.read_tokenizer(folder):
            path, of_preset = preset
            settings = read_settings(folder, has_rules=False, family=FAMILY) | of_preset
            self = cls._read(path, {**settings, **changes}, word_piece.read_vocabulary(path))
        else:
            self = super()._from_folder(folder, changes)
        for key in ("tokenize_chinese_chars", "clean_text"):
            if changes.get(key) not in (None, word_piece.normalization(self.backend_tokenizer, key)):
                raise ValueError(
                    f"{key} is {changes[key]}, and the normalizer of {folder / TOKENIZER_JSON} does otherwise"
                )
        return self

    @classmethod
    def _read_vocabulary(cls, folder: Path) -> tuple[Path, Any] | None:
        if not exists(folder, VOCAB):
            return None
        path = inside(folder, VOCAB)
        return path, word_piece.read_vocabulary(path)

    def _build(self, vocabulary: Mapping[str, int]) -> Any:
        return word_piece.build(vocabulary, self.settings)

    def _check_rules(self, tokenizer: Any) -> None:
        super()._check_rules(tokenizer)
        unknown = getattr(tokenizer.model, "unk_token", None)
        if type(tokenizer.model).__name__ == "WordPiece" and tokenizer.model.token_to_id(unknown) is None:
            raise ValueError(f"the vocabulary lacks the token {unknown} that stands for unknown words")

    def _apply_settings(self, tokenizer: Any) -> None:
        word_piece.apply_normalization(tokenizer, self.settings)

    def _finish(self, tokenizer: Any) -> None:
        word_piece.keep_whole(tokenizer, self.settings)

    def _class_name(self) -> str:
        is_word_piece = type(self.backend_tokenizer.model).__name__ == "WordPiece"
        return "BertTokenizer" if is_word_piece else "PreTrainedTokenizerFast"

    @classmethod
    def train(
        cls,
        files: Sequence[str | os.PathLike[str]],
        vocab_size: int = 30522,
        min_frequency: int = 2,
        limit_alphabet: int = 1000,
        **settings: Any,
    ) -> Self:
        """Learns a new vocabulary from text files; `settings` as for the class.

        Args:
            files: UTF-8 text.
            vocab_size: the most tokens it may have, special ones included.
            min_frequency: how often a pair of pieces must occur to be joined.
            limit_alphabet: the most single characters it may have.

        Raises:
            FileNotFoundError: a file is not there.
        """
        paths = [Path(file) for file in files]
        if lost := [str(path) for path in paths if not path.is_file()]:
            raise FileNotFoundError(f"no such text files: {', '.join(lost)}")
        settings = without_unknown(f"{cls.__name__}.train", settings, cls.family)
        _check_new(settings)
        return cls._read(VOCAB, settings, word_piece.train(paths, settings, vocab_size, min_frequency, limit_alphabet))

    def train_new_from_iterator(
        self,
        text_iterator: Iterable[str | Sequence[str]],
        vocab_size: int,
        length: int | None = None,
        new_special_tokens: Sequence[Any] | None = None,
        special_tokens_map: Mapping[str, str] | None = None,
        min_frequency: int = 2,
        limit_alphabet: int = 1000,
    ) -> Self:
        """Learns a new vocabulary from texts, with the settings and special tokens of this tokenizer.

        Args:
            text_iterator: texts, or batches of texts.
            vocab_size: the most tokens it may have, special ones included.
            length: not needed; transformers shows progress by it.
            new_special_tokens: further special tokens.
            special_tokens_map: a new name for an old special token.
            min_frequency, limit_alphabet: as for `train`.
        """
        renamed = dict(special_tokens_map or {})
        named = {name: renamed.get(token, token) for name, token in self.special_tokens_map.items()}
        further = [renamed.get(token, token) for token in self._additional_tokens]
        further += [getattr(token, "content", token) for token in new_special_tokens or ()]
        settings = self.init_kwargs | named | {"additional_special_tokens": further}
        settings.pop("added_tokens_decoder", None)
        settings.pop("extra_special_tokens", None)
        with TemporaryDirectory() as folder:
            path = Path(folder) / "texts.txt"
            with open(path, "w", encoding="utf-8") as file:
                for texts in text_iterator:
                    for text in [texts] if isinstance(texts, str) else texts:
                        file.write(" ".join(text.splitlines()) + "\n")  # a line is a text; BERT reads both as space
            vocabulary = word_piece.train([path], settings, vocab_size, min_frequency, limit_alphabet)
        return self._read(VOCAB, settings, vocabulary)

    def save_vocabulary(self, folder: str | os.PathLike[str], filename_prefix: str | None = None) -> tuple[str, ...]:
        """Writes vocab.txt, without tokens added later; gives its path, or none where the model is not WordPiece."""
        if type(self.backend_tokenizer.model).__name__ != "WordPiece":
            return ()
        path = Path(folder) / (f"{filename_prefix}-{VOCAB}" if filename_prefix else VOCAB)
        vocabulary = self.backend_tokenizer.get_vocab(with_added_tokens=False)
        write_atomically(path, "".join(f"{token}\n" for token in sorted(vocabulary, key=vocabulary.get)).encode())
        return (str(path),)

    # --- settings ---------------------------------------------------------------------------------

    @property
    def do_lower_case(self) -> bool:
        """Whether texts are lower-cased."""
        return word_piece.normalization(self.backend_tokenizer, "do_lower_case")

    @property
    def strip_accents(self) -> bool | None:
        """Whether accents are stripped; None is as `do_lower_case`."""
        return word_piece.normalization(self.backend_tokenizer, "strip_accents")

    @property
    def tokenize_chinese_chars(self) -> bool:
        """Whether each Chinese character is a word."""
        return word_piece.normalization(self.backend_tokenizer, "tokenize_chinese_chars")


def _check_new(settings: Mapping[str, Any]) -> None:
    """Raises ValueError for settings that no tokenizer of a new vocabulary has."""
    problems = problems_of(settings, FAMILY)
    if settings.get("clean_text") is False:
        problems.append(
            "clean_text is False, expected True or none: no class of transformers leaves control characters in a text; "
            'a tokenizer.json whose normalizer has "clean_text": false does'
        )
    if problems:
        raise ValueError("\n  ".join(problems))


BertTokenizerFast = BertTokenizer
