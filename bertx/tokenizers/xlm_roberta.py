"""XLMRobertaTokenizer: SentencePiece's Unigram over the `tokenizers` library, with the hub's names and defaults."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from bertx_weights.files import exists, inside, read_bytes, write_atomically

from . import added_tokens, names, sentence_piece
from .base import PreTrainedTokenizer
from .names import SENTENCE_PIECE
from .roberta import FAMILY as ROBERTA
from .settings import Family, check_settings, without_unknown

# fairseq numbers these before the pieces of the file, of which it leaves out the first three, and the mask after them.
_FIRST = ("<s>", "<pad>", "</s>", "<unk>")
_LAST = "<mask>"
FAMILY = Family(
    name="XLM-RoBERTa",
    classes=names.XLM_ROBERTA,
    files=(SENTENCE_PIECE,),
    tokens=ROBERTA.tokens,
    model="Unigram",
    separators=2,
    second_type=0,
    not_run={"add_prefix_space": (True, None), "sp_model_kwargs": ({}, None)},
)


class XLMRobertaTokenizer(PreTrainedTokenizer):
    """The SentencePiece tokenizer of a checkpoint (Conneau et al. 2020): <s> A </s>, <s> A </s></s> B </s>.

    The rest is as for every `PreTrainedTokenizer`.
    """

    family = FAMILY
    _file: Path | None = None  # where the vocabulary was read

    def __init__(
        self,
        vocab: str | os.PathLike[str] | Sequence[tuple[str, float]] | None = None,
        *,
        vocab_file: str | os.PathLike[str] | None = None,
        **settings: Any,
    ):
        """From a sentencepiece.bpe.model, or from all pieces in the order of their ids, each with its score.

        `settings` are the keys of a `tokenizer_config.json`: unk_token and the other special tokens, model_max_length,
        padding_side, truncation_side. Transformers 4 calls the file `vocab_file`.

        Raises:
            ValueError: the file is no Unigram model of SentencePiece, or the vocabulary lacks <s>, </s> or <unk>.
            TypeError: keyword arguments that are no settings, or not one vocabulary.
        """
        settings = without_unknown(type(self).__name__, settings, self.family)
        if (vocab is None) == (vocab_file is None):
            raise TypeError(
                f"{type(self).__name__} takes one vocabulary, as vocab or as vocab_file, and got "
                f"{'none' if vocab is None else 'two'}; from_pretrained reads that of a folder"
            )
        given: Any = vocab_file if vocab is None else vocab
        check_settings(settings, self.family)
        if isinstance(given, (str, os.PathLike)):
            self._file = Path(given)
            self._set_up(self._file, settings, sentence_piece.read(self._file))
        else:
            pieces = [(piece, float(score)) for piece, score in given]
            self._set_up("vocab", settings, pieces)

    @classmethod
    def _from_folder(cls, folder: Path, changes: Mapping[str, Any]) -> Self:
        self = super()._from_folder(folder, changes)
        if exists(folder, SENTENCE_PIECE):
            self._file = inside(folder, SENTENCE_PIECE)
        return self

    @classmethod
    def _read_vocabulary(cls, folder: Path) -> tuple[Path, Any] | None:
        if not exists(folder, SENTENCE_PIECE):
            return None
        path = inside(folder, SENTENCE_PIECE)
        return path, sentence_piece.read(path)

    def _build(self, vocabulary: sentence_piece.Model | Sequence[tuple[str, float]]) -> Any:
        from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers

        model = vocabulary if isinstance(vocabulary, sentence_piece.Model) else sentence_piece.Model(vocabulary)
        pieces = _as_in_fairseq(model.pieces) if model is vocabulary else model.pieces
        ids: dict[str, int] = {}
        for i, (piece, _) in enumerate(pieces):
            if ids.setdefault(piece, i) != i:
                raise ValueError(f"the vocabulary has {piece!r:.80} twice")
        unknown = added_tokens.contents(self.family.tokens, self.settings)["unk_token"]
        if unknown not in ids:
            raise ValueError(f"the vocabulary lacks the special tokens {unknown or 'null'}")
        tokenizer = Tokenizer(models.Unigram(list(pieces), ids[unknown], byte_fallback=False))
        tokenizer.add_tokens([AddedToken(piece, normalized=False, special=special) for piece, special in model.whole])
        if model.characters:
            tokenizer.normalizer = normalizers.Precompiled(model.characters)
        spaces: dict[str, Any] = {"replacement": "▁", "prepend_scheme": "always"}
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace(**spaces)]
        )
        tokenizer.decoder = decoders.Metaspace(**spaces)
        added_tokens.add(tokenizer, self.settings, self.family.tokens)
        tokenizer.post_processor = self._processor(*added_tokens.around(self.family.tokens, self.settings, tokenizer))
        return tokenizer

    def save_vocabulary(self, folder: str | os.PathLike[str], filename_prefix: str | None = None) -> tuple[str, ...]:
        """Writes the sentencepiece.bpe.model that the tokenizer came with; gives its path, or none without one."""
        if self._file is None:
            return ()
        path = Path(folder) / (f"{filename_prefix}-{SENTENCE_PIECE}" if filename_prefix else SENTENCE_PIECE)
        if path.resolve() != self._file.resolve():
            write_atomically(path, read_bytes(self._file))
        return (str(path),)


def _as_in_fairseq(pieces: Sequence[tuple[str, float]]) -> list[tuple[str, float]]:
    """The pieces of a file in the order of fairseq's ids.

    Raises:
        ValueError: the first three, which fairseq leaves out, are not SentencePiece's own.
    """
    first = [piece for piece, _ in pieces[:3]]
    if first != ["<unk>", "<s>", "</s>"]:
        raise ValueError(
            f"its first pieces are {', '.join(map(repr, first)):.200}, expected '<unk>', '<s>', '</s>', as "
            "SentencePiece numbers them unless it is told otherwise"
        )
    return [*((piece, 0.0) for piece in _FIRST), *pieces[3:], (_LAST, 0.0)]


XLMRobertaTokenizerFast = XLMRobertaTokenizer
