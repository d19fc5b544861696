"""BertTokenizer: WordPiece over the `tokenizers` library, text in, NumPy ids out."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bertx_weights import write_atomically

TOKENIZER_JSON = "tokenizer.json"
TOKENIZER_CONFIG = "tokenizer_config.json"
VOCAB = "vocab.txt"
_SPECIAL_TOKENS = {
    "unk_token": "[UNK]",
    "sep_token": "[SEP]",
    "pad_token": "[PAD]",
    "cls_token": "[CLS]",
    "mask_token": "[MASK]",
}


class BertTokenizer:
    """The WordPiece tokenizer of a checkpoint (Devlin et al. 2019, section 3), with the hub's defaults.

    Padding and truncation are what a call asks for; what a `tokenizer.json` bakes in is not applied.
    """

    def __init__(self, tokenizer: Any, settings: dict[str, Any] | None = None):
        """`tokenizer`: a `tokenizers.Tokenizer`; `settings`: the keys of a `tokenizer_config.json`."""
        self.settings = dict(settings or {})
        tokenizer.no_padding()
        tokenizer.no_truncation()
        _apply_normalization(tokenizer, self.settings)
        self.backend_tokenizer = tokenizer
        self.padding_side = self.settings.get("padding_side", "right")
        self.truncation_side = self.settings.get("truncation_side", "right")
        length = self.settings.get("model_max_length")
        # transformers writes 1e30 for "not known".
        self.model_max_length = int(length) if length and length < 1e9 else None
        for name, default in _SPECIAL_TOKENS.items():
            token = self.settings.get(name) or default
            token = token["content"] if isinstance(token, dict) else token
            setattr(self, name, token)
            setattr(self, f"{name}_id", tokenizer.token_to_id(token))

    @classmethod
    def from_pretrained(cls, source: str | os.PathLike[str], revision: str | None = None) -> BertTokenizer:
        """Reads `tokenizer.json`, or `vocab.txt`, and `tokenizer_config.json`; `source` as in `bertx.load`.

        Raises:
            FileNotFoundError: the folder has neither tokenizer.json nor vocab.txt.
            ValueError: a file is not what its name says.
        """
        from .sources import resolve

        folder = resolve(source, revision=revision)
        settings = _read_json(folder / TOKENIZER_CONFIG) if (folder / TOKENIZER_CONFIG).is_file() else {}
        if (folder / TOKENIZER_JSON).is_file():
            from tokenizers import Tokenizer

            try:
                return cls(Tokenizer.from_file(str(folder / TOKENIZER_JSON)), settings)
            except Exception as error:  # the library raises the bare class
                raise ValueError(f"{folder / TOKENIZER_JSON}: not a tokenizer: {error}") from error
        if (folder / VOCAB).is_file():
            return cls(_word_piece(folder / VOCAB, settings), settings)
        raise FileNotFoundError(f"{folder} has no tokenizer: expected {TOKENIZER_JSON} or {VOCAB}")

    @property
    def vocab_size(self) -> int:
        """The number of tokens, added ones included."""
        return self.backend_tokenizer.get_vocab_size()

    def __call__(
        self,
        text: str | Sequence[str],
        text_pair: str | Sequence[str] | None = None,
        *,
        padding: bool | str = True,
        truncation: bool | str = True,
        max_length: int | None = None,
        padding_side: str | None = None,
    ) -> dict[str, np.ndarray]:
        """Tokenises one text or a batch, alone or as pairs.

        Args:
            padding: True or "longest", to the longest text of the batch; "max_length".
            truncation: True or "longest_first", "only_first", "only_second", or False.
            max_length: the length including special tokens; the model's own where not given.
            padding_side: "right" or "left"; the checkpoint's own where not given.

        Returns:
            input_ids, token_type_ids, attention_mask, each [B, T] int64; one text is a batch of one.

        Raises:
            ValueError: no text at all, texts and pairs of different number, an unknown padding or truncation, a
                max_length that leaves no room, or texts that stay of different length without padding.
            TypeError: something that is not a string.
        """
        texts, pairs = _as_batch(text, "text"), None if text_pair is None else _as_batch(text_pair, "text_pair")
        if not texts:
            raise ValueError("an empty batch: give at least one text")
        if pairs is not None and len(pairs) != len(texts):
            raise ValueError(f"{len(texts)} texts but {len(pairs)} second texts: give one for each")
        if padding not in (True, False, "longest", "max_length", "do_not_pad"):
            raise ValueError(f"padding is {padding!r}, expected True, False, 'longest', 'max_length' or 'do_not_pad'")
        max_length = self.model_max_length if max_length is None else max_length
        if padding == "max_length" and max_length is None:
            raise ValueError("padding='max_length' needs a max_length: this checkpoint does not name one")
        self._set_truncation(truncation, max_length, is_pair=pairs is not None)
        try:
            encodings = self.backend_tokenizer.encode_batch(
                texts if pairs is None else list(zip(texts, pairs, strict=True))
            )
        except Exception as error:  # the library raises the bare class
            raise ValueError(f"max_length {max_length} with truncation {truncation!r}: {error}") from error
        lengths = {len(encoding.ids) for encoding in encodings}
        length = max_length if padding == "max_length" else max(lengths)
        if padding in (False, "do_not_pad") and len(lengths) > 1:
            raise ValueError("without padding the texts of a batch must have the same number of tokens")
        if max(lengths) > length:
            raise ValueError(
                f"a text has {max(lengths)} tokens, more than max_length {length}: truncate it or leave max_length out"
            )
        for encoding in encodings:
            encoding.pad(
                length,
                direction=padding_side or self.padding_side,
                pad_id=self.pad_token_id or 0,
                pad_token=self.pad_token,
            )
        return {
            "input_ids": np.array([encoding.ids for encoding in encodings], np.int64),
            "token_type_ids": np.array([encoding.type_ids for encoding in encodings], np.int64),
            "attention_mask": np.array([encoding.attention_mask for encoding in encodings], np.int64),
        }

    def decode(self, ids: Sequence[int], skip_special_tokens: bool = False) -> str:
        """The text of a sequence of ids."""
        return self.backend_tokenizer.decode([int(i) for i in ids], skip_special_tokens=skip_special_tokens)

    def convert_ids_to_tokens(self, ids: Sequence[int]) -> list[str]:
        """The token of each id."""
        return [self.backend_tokenizer.id_to_token(int(i)) for i in ids]

    def save_pretrained(self, folder: str | os.PathLike[str]) -> None:
        """Writes tokenizer.json, tokenizer_config.json and vocab.txt."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        special = {name: getattr(self, name) for name in _SPECIAL_TOKENS}
        settings = {"tokenizer_class": "BertTokenizer"} | special | self.settings
        self.backend_tokenizer.no_truncation()
        vocabulary = self.backend_tokenizer.get_vocab(with_added_tokens=False)
        write_atomically(folder / TOKENIZER_JSON, self.backend_tokenizer.to_str().encode())
        write_atomically(folder / TOKENIZER_CONFIG, json.dumps(settings, indent=2, ensure_ascii=False).encode())
        write_atomically(folder / VOCAB, "".join(f"{t}\n" for t in sorted(vocabulary, key=vocabulary.get)).encode())

    def _set_truncation(self, truncation: bool | str, max_length: int | None, is_pair: bool) -> None:
        strategy = {True: "longest_first", False: "do_not_truncate"}.get(truncation, truncation)
        if strategy not in ("longest_first", "only_first", "only_second", "do_not_truncate"):
            raise ValueError(
                f"truncation is {truncation!r}, expected True, False, 'longest_first', 'only_first', 'only_second' "
                "or 'do_not_truncate'"
            )
        if strategy == "do_not_truncate" or max_length is None:
            self.backend_tokenizer.no_truncation()
            return
        special = self.backend_tokenizer.num_special_tokens_to_add(is_pair)
        if max_length < special:
            raise ValueError(f"max_length is {max_length}, but the special tokens alone are {special}")
        self.backend_tokenizer.enable_truncation(max_length, strategy=strategy, direction=self.truncation_side)


def _as_batch(text: str | Sequence[str], argument: str) -> list[str]:
    texts = [text] if isinstance(text, str) else list(text)
    for i, one in enumerate(texts):
        if not isinstance(one, str):
            raise TypeError(f"{argument}[{i}] is a {type(one).__name__}, expected a string")
    return texts


def _read_json(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path}: not JSON: {error}") from error
    if not isinstance(values, dict):
        raise ValueError(f"{path}: expected a JSON object, found {type(values).__name__}")
    return values


def _apply_normalization(tokenizer: Any, settings: dict[str, Any]) -> None:
    """Lets tokenizer_config.json have the last word on normalisation, as transformers does."""
    names = {"lowercase": "do_lower_case", "strip_accents": "strip_accents"}
    names["handle_chinese_chars"] = "tokenize_chinese_chars"
    for attribute, key in names.items():
        if key in settings and hasattr(tokenizer.normalizer, attribute):
            setattr(tokenizer.normalizer, attribute, settings[key])


def _word_piece(path: Path, settings: dict[str, Any]) -> Any:
    """The BERT pipeline around a vocab.txt, as the original release defines it."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

    special = {name: settings.get(name) or default for name, default in _SPECIAL_TOKENS.items()}
    special = {name: token["content"] if isinstance(token, dict) else token for name, token in special.items()}
    try:
        vocabulary = models.WordPiece.read_file(str(path))
    except Exception as error:  # the library raises the bare class
        raise ValueError(f"{path}: not a vocabulary: {error}") from error
    lost = sorted({special[name] for name in ("unk_token", "cls_token", "sep_token")} - vocabulary.keys())
    if lost:
        raise ValueError(f"{path} lacks the special tokens {', '.join(lost)}")
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token=special["unk_token"]))
    tokenizer.add_special_tokens([token for token in special.values() if token in vocabulary])
    tokenizer.normalizer = normalizers.BertNormalizer(
        lowercase=settings.get("do_lower_case", True),
        strip_accents=settings.get("strip_accents"),
        handle_chinese_chars=settings.get("tokenize_chinese_chars", True),
    )
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(
        (special["sep_token"], vocabulary[special["sep_token"]]),
        (special["cls_token"], vocabulary[special["cls_token"]]),
    )
    tokenizer.decoder = decoders.WordPiece()
    return tokenizer
