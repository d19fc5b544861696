"""RobertaTokenizer: byte-level BPE over the `tokenizers` library, with the hub's names and defaults."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from bertx_weights import CheckpointError
from bertx_weights.files import exists, inside, parse_json, read_bytes, read_text, write_atomically

from . import added_tokens, names
from .base import PreTrainedTokenizer
from .names import MERGES, VOCAB_JSON
from .settings import BOOL, Family, check_settings, without_unknown
from .truncation import library_errors

FAMILY = Family(
    name="RoBERTa",
    classes=names.ROBERTA,
    files=(VOCAB_JSON, MERGES),
    tokens={
        "bos_token": "<s>",
        "eos_token": "</s>",
        "unk_token": "<unk>",
        "sep_token": "</s>",
        "pad_token": "<pad>",
        "cls_token": "<s>",
        "mask_token": {"content": "<mask>", "lstrip": True},  # it takes the space before it, as a word does
    },
    model="BPE",
    separators=2,
    second_type=0,
    settings={"add_prefix_space": BOOL, "trim_offsets": BOOL},
    not_run={"errors": ("replace", None)},
)


class RobertaTokenizer(PreTrainedTokenizer):
    """The byte-level BPE tokenizer of a checkpoint (Radford et al. 2019): <s> A </s>, <s> A </s></s> B </s>.

    A word is other tokens at the start of a text than after a space, unless `add_prefix_space` puts one there. The rest
    is as for every `PreTrainedTokenizer`.
    """

    family = FAMILY

    def __init__(
        self,
        vocab: str | os.PathLike[str] | Mapping[str, int] | None = None,
        merges: str | os.PathLike[str] | Sequence[Sequence[str]] | None = None,
        *,
        vocab_file: str | os.PathLike[str] | None = None,
        merges_file: str | os.PathLike[str] | None = None,
        **settings: Any,
    ):
        """From a vocab.json and a merges.txt, or from a mapping of tokens to ids and a list of pairs.

        `settings` are the keys of a `tokenizer_config.json`: add_prefix_space (False), trim_offsets (True: offsets
        without the space before a word), unk_token and the other special tokens, model_max_length, padding_side,
        truncation_side. Transformers 4 calls the first two arguments `vocab_file` and `merges_file`.

        Raises:
            ValueError: the files are no vocabulary and merges of it, or lack <s> or </s>.
            TypeError: keyword arguments that are no settings, or not one vocabulary and its merges.
        """
        settings = without_unknown(type(self).__name__, settings, self.family)
        if (vocab is None) == (vocab_file is None) or (merges is None) == (merges_file is None):
            raise TypeError(
                f"{type(self).__name__} takes one vocabulary, as vocab or as vocab_file, and its merges, as merges or "
                "as merges_file; from_pretrained reads those of a folder"
            )
        vocab_given: Any = vocab_file if vocab is None else vocab
        merges_given: Any = merges_file if merges is None else merges
        check_settings(settings, self.family)
        tokens = vocab_given if isinstance(vocab_given, Mapping) else read_vocabulary(Path(vocab_given))
        pairs = (
            read_merges(Path(merges_given))
            if isinstance(merges_given, (str, os.PathLike))
            else [tuple(p) for p in merges_given]
        )
        self._set_up(VOCAB_JSON if isinstance(vocab_given, Mapping) else Path(vocab_given), settings, (tokens, pairs))

    @classmethod
    def _read_vocabulary(cls, folder: Path) -> tuple[Path, Any] | None:
        if not exists(folder, VOCAB_JSON) and not exists(folder, MERGES):
            return None
        if lost := [name for name in (VOCAB_JSON, MERGES) if not exists(folder, name)]:
            raise CheckpointError(
                f"{folder} has no {lost[0]}: a byte-level BPE tokenizer is {VOCAB_JSON} with {MERGES}"
            )
        path = inside(folder, VOCAB_JSON)
        return path, (read_vocabulary(path), read_merges(inside(folder, MERGES)))

    def _build(self, vocabulary: tuple[Mapping[str, int], Sequence[tuple[str, str]]]) -> Any:
        from tokenizers import Tokenizer, decoders, models, pre_tokenizers

        tokens, merges = vocabulary
        with library_errors(f"{MERGES} is not of this vocabulary"):
            model = models.BPE(
                dict(tokens), list(merges), continuing_subword_prefix="", end_of_word_suffix="", fuse_unk=False
            )
        tokenizer = Tokenizer(model)
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=self.add_prefix_space)
        tokenizer.decoder = decoders.ByteLevel()
        added_tokens.add(tokenizer, self.settings, self.family.tokens)
        tokenizer.post_processor = self._processor(*added_tokens.around(self.family.tokens, self.settings, tokenizer))
        return tokenizer

    def _apply_settings(self, tokenizer: Any) -> None:
        """add_prefix_space and trim_offsets are those of the settings, or else the class's, as in transformers.

        A file of no class of its own, such as PreTrainedTokenizerFast, is run as it stands.
        """
        name = self.settings.get("tokenizer_class")
        if name is not None and names.plain(name) in names.GENERIC:
            return
        if type(tokenizer.pre_tokenizer).__name__ == "ByteLevel":
            tokenizer.pre_tokenizer.add_prefix_space = self.add_prefix_space
        elif self.settings.get("add_prefix_space") is not None:
            raise ValueError(
                f"add_prefix_space is {self.add_prefix_space}, and the pre-tokenizer of tokenizer.json, "
                f"{type(tokenizer.pre_tokenizer).__name__}, has no such choice: leave it out"
            )
        processor = tokenizer.post_processor
        if type(processor).__name__ == "RobertaProcessing":
            state = json.loads(processor.__getstate__())
            tokenizer.post_processor = self._processor(tuple(state["cls"]), tuple(state["sep"]))

    def _processor(self, cls: tuple[str, int], sep: tuple[str, int]) -> Any:
        from tokenizers import processors

        return processors.RobertaProcessing(
            sep, cls, trim_offsets=self.trim_offsets, add_prefix_space=self.add_prefix_space
        )

    def save_vocabulary(self, folder: str | os.PathLike[str], filename_prefix: str | None = None) -> tuple[str, ...]:
        """Writes vocab.json and merges.txt, without tokens added later; gives their paths, or none of another model."""
        if type(self.backend_tokenizer.model).__name__ != "BPE":
            return ()
        paths = []
        with TemporaryDirectory() as scratch:
            self.backend_tokenizer.model.save(scratch)
            for name in self.family.files:
                path = Path(folder) / (f"{filename_prefix}-{name}" if filename_prefix else name)
                write_atomically(path, read_bytes(Path(scratch) / name))
                paths.append(str(path))
        return tuple(paths)

    @property
    def add_prefix_space(self) -> bool:
        """Whether a space is put before a text that has none."""
        return self.settings.get("add_prefix_space", False)

    @property
    def trim_offsets(self) -> bool:
        """Whether the offsets of a word leave out the space before it."""
        return self.settings.get("trim_offsets", True)

    def _check_words(self) -> None:
        if type(self.backend_tokenizer.pre_tokenizer).__name__ == "ByteLevel" and not (
            self.backend_tokenizer.pre_tokenizer.add_prefix_space
        ):
            raise ValueError(
                "is_split_into_words needs the space before each word: read the tokenizer with add_prefix_space=True"
            )


def read_vocabulary(path: Path) -> dict[str, int]:
    """A vocab.json: each token and its id.

    Raises:
        CheckpointError: the file cannot be read, or is no such object.
    """
    tokens = parse_json(read_text(path), path)
    for token, i in tokens.items():
        if not isinstance(i, int) or isinstance(i, bool) or not 0 <= i < 2**32:
            raise CheckpointError(f"{path}: {token!r:.80} has {i!r:.40}, expected a token and its id")
    if not tokens:
        raise CheckpointError(f"{path} has no tokens, expected each with its id")
    return tokens


def read_merges(path: Path) -> list[tuple[str, str]]:
    """A merges.txt: the pairs of tokens that are joined, one a line with a space between, the first to be joined first.

    Raises:
        CheckpointError: the file cannot be read, or a line is no pair.
    """
    lines = read_text(path).replace("\r\n", "\n").split("\n")
    while lines and not lines[-1]:
        lines.pop()
    pairs = []
    for number, line in enumerate(lines, 1):
        if line.startswith("#version"):
            continue
        parts = line.split(" ")
        if len(parts) != 2 or not all(parts):
            raise CheckpointError(f"{path}, line {number}: {line!r:.80}, expected two tokens with a space between")
        pairs.append((parts[0], parts[1]))
    return pairs


RobertaTokenizerFast = RobertaTokenizer
