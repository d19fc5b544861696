"""The files of a tokenizer, taken from one checkpoint folder to another."""

from __future__ import annotations

from pathlib import Path

from bertx_weights import write_atomically
from bertx_weights.formats import keras_hub

from .tokenizer import TOKENIZER_CONFIG, TOKENIZER_JSON, VOCAB, BertTokenizer

# What lies beside a tokenizer and is taken along.
_FILES = (TOKENIZER_CONFIG, "special_tokens_map.json", "added_tokens.json", "generation_config.json")
FILES = (TOKENIZER_JSON, VOCAB, *_FILES)


def copy_tokenizer(source: Path, target: Path, keras: bool) -> list[str]:
    """Writes the tokenizer of one checkpoint folder into another, its files as they are, with a vocab.txt always.

    `keras` writes that of a KerasHub preset. Gives what a reader should know of it.
    """
    try:
        tokenizer = BertTokenizer.from_pretrained(source)
    except FileNotFoundError:
        return [f"{source} has no tokenizer: none was written"]
    settings = tokenizer.settings
    if keras:
        normalizer = tokenizer.backend_tokenizer.normalizer
        if not hasattr(normalizer, "lowercase"):
            found = type(normalizer).__name__
            raise ValueError(
                f"{source} has the normalizer {found}, KerasHub's tokenizer only BERT's: take another format"
            )
        lower, strip = normalizer.lowercase, normalizer.strip_accents
        tokenizer.save_vocabulary(target)
        keras_hub.write_tokenizer(target, (target / VOCAB).read_bytes(), lower, lower if strip is None else strip)
        (target / VOCAB).unlink()
    elif keras_hub.read_tokenizer(source):
        tokenizer.save_pretrained(target)
        return []
    notes = []
    if keras and (added := sorted(tokenizer.get_vocab().keys() - tokenizer.backend_tokenizer.get_vocab(False).keys())):
        notes.append(f"a KerasHub preset has no added tokens, these were lost: {', '.join(added)}")
    for name in (*_FILES, *(() if keras else (TOKENIZER_JSON, VOCAB))):
        if (source / name).is_file():
            write_atomically(target / name, (source / name).read_bytes())
    if not keras and not (target / VOCAB).is_file():
        tokenizer.save_vocabulary(target)
    if not (source / TOKENIZER_CONFIG).is_file() and "do_lower_case" not in settings and _has_capitals(tokenizer):
        notes.append(
            "the vocabulary has capital letters and nothing says do_lower_case: if the model is cased, say false"
        )
    return notes


def _has_capitals(tokenizer: BertTokenizer) -> bool:
    special = {tokenizer.backend_tokenizer.id_to_token(i) for i in tokenizer.all_special_ids}
    return any(token != token.lower() for token in tokenizer.get_vocab().keys() - special)
