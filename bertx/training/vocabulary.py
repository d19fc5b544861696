"""bertx.train_tokenizer: text files become the tokenizer of a new model."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..checkpoints.replacing import new_folder
from ..tokenizers.bert import BertTokenizer


def train_tokenizer(
    files: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    *,
    out: str | os.PathLike[str],
    vocab_size: int = 30522,
    lower_case: bool = True,
    min_frequency: int = 2,
    limit_alphabet: int = 1000,
    **settings: Any,
) -> BertTokenizer:
    """Learns a WordPiece vocabulary from text files, and writes the tokenizer to a folder.

    The folder has vocab.txt, tokenizer.json and tokenizer_config.json, as transformers reads them, and is a `source`
    for `bertx.train` with `config`. The same files give the same vocabulary. They are read line by line; only their
    different words are in memory.

    ```python
    bertx.train_tokenizer("texts.txt", out="tokenizer", vocab_size=8000)
    ```

    Args:
        files: one or several, UTF-8.
        out: the folder to write; it must not be there, or be empty.
        vocab_size: the most tokens it may have, special ones included.
        lower_case: whether texts are lower-cased and accents are stripped.
        min_frequency: how often a pair of pieces must occur to be joined.
        limit_alphabet: the most single characters it may have.
        settings: further ones of `BertTokenizer`, such as `model_max_length`.

    Returns:
        The tokenizer.

    Raises:
        FileNotFoundError: a file is not there.
        FileExistsError: `out` is there and is not an empty folder.
        ValueError: a number below 1, files without text or not of UTF-8, or a setting that cannot be.
        TypeError: `settings` that are none.
    """
    paths = [Path(files)] if isinstance(files, (str, os.PathLike)) else [Path(file) for file in files]
    problems = [
        f"{name} is {value!r}, expected an integer of at least 1"
        for name, value in (
            ("vocab_size", vocab_size),
            ("min_frequency", min_frequency),
            ("limit_alphabet", limit_alphabet),
        )
        if not isinstance(value, int) or isinstance(value, bool) or value < 1
    ]
    if not paths:
        problems.append("there are no files to learn from")
    if problems:
        raise ValueError("\n  ".join(["this vocabulary cannot be:", *problems]))
    out = Path(out)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise FileExistsError(f"{out} is there already: give another out")
    _check_text(paths)
    tokenizer = BertTokenizer.train(
        paths,
        vocab_size=vocab_size,
        min_frequency=min_frequency,
        limit_alphabet=limit_alphabet,
        do_lower_case=lower_case,
        **settings,
    )
    with new_folder(out, overwrite=False) as folder:
        tokenizer.save_pretrained(folder)
    return tokenizer


def _check_text(paths: Sequence[Path]) -> None:
    """Raises ValueError where a file is not UTF-8, all such files and their lines, or where none has text."""
    problems, has_text = [], False
    for path in paths:
        if not path.is_file():
            continue  # an error of its own, with all that are missing
        with open(path, "rb") as file:
            for number, line in enumerate(file, 1):
                try:
                    has_text = bool(line.decode().strip()) or has_text
                except UnicodeDecodeError as error:
                    problems.append(f"{path}: line {number} is not UTF-8: byte 0x{line[error.start]:02x}")
                    break
    if problems:
        raise ValueError("\n  ".join([*problems, "convert these files to UTF-8"]))
    if not has_text and all(path.is_file() for path in paths):
        raise ValueError(f"there is no text in {', '.join(map(str, paths))}")
