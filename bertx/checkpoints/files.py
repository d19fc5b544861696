"""Which files a checkpoint folder consists of: those that a download needs, and those that may be overwritten."""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

from bertx_weights import FORMATS, CheckpointError, lora

from ..generation.config import FILE as GENERATION
from ..tasks.sentence_transformers import read_modules, side_files, transformer_folder
from ..tokenizers.names import FILES as TOKENIZER_FILES

REPORT = "conversion_report.json"

# The files of a module of sentence-transformers, such as 2_Dense, in its folder.
_MODULE = ("*config.json", "model.safetensors", "pytorch_model.bin")
# What a killed write leaves beside a file: see bertx_weights.files.
_LEFTOVER = re.compile(r"(^|/)\.([^/]+?)(?:\.tmp|\.lock|\.tmp\.lock)$")


@functools.cache  # not at import, since it imports the reader of every format
def _stored() -> list[tuple[str, ...]]:
    """The patterns of the files that hold weights, a group for each way of storing them."""
    return [group for form in FORMATS.values() for group in form.stored]


@functools.cache
def _written() -> frozenset[str]:
    """The patterns of all files that bertx writes."""
    return frozenset(name for form in FORMATS.values() for name in form.written) | {*TOKENIZER_FILES, GENERATION}


def small_files(names: Iterable[str]) -> list[str]:
    """Of the names of a checkpoint's files those of its config and tokenizer."""
    return sorted(_small() & {*names})


@functools.cache
def _small() -> frozenset[str]:
    """Config, tokenizer and the like; of the weights nothing."""
    stored = [of for group in _stored() for of in group]
    return frozenset([lora.CONFIG, *(name for name in _written() if not any(fnmatchcase(name, of) for of in stored))])


def weight_files(names: Iterable[str]) -> list[str]:
    """Of the names of a checkpoint's files those that hold its weights, in the format that would be read.

    An adapter is one of them, with the weights beside it or alone.
    """
    top = [name for name in names if "/" not in name and "\\" not in name]
    adapter = [name for name in lora.WEIGHTS if lora.CONFIG in top and name in top][:1]
    for group in _stored():
        if any(fnmatchcase(name, group[0]) for name in top):
            return sorted([*adapter, *(name for name in top if any(fnmatchcase(name, of) for of in group))])
    return adapter


def foreign_entries(folder: Path) -> list[str]:
    """What a folder holds, at any depth, that is of no checkpoint which bertx could have written there.

    A folder that is foreign as a whole ends in "/". A link is foreign, wherever it leads.
    """
    try:
        modules = {module.path for module in read_modules(folder)} - {""}
        encoder, beside = transformer_folder(folder), side_files(folder)
    except CheckpointError:
        modules, encoder, beside = set(), "", []
    files = {name for name in beside if "/" not in name or _is_of_module(name.rpartition("/")[2])}
    files |= {f"{encoder}/{pattern}".lstrip("/") for pattern in _written()} | {REPORT}
    folders = {
        parent.as_posix() for name in (*files, *(f"{module}/x" for module in modules)) for parent in _parents(name)
    }

    def foreign(at: str) -> Iterator[str]:
        for entry in sorted(os.scandir(folder / at), key=lambda entry: entry.name):
            name = f"{at}{entry.name}"
            if entry.is_dir(follow_symlinks=False):
                yield from foreign(f"{name}/") if _matches(name, folders) else [f"{name}/"]
            elif not entry.is_file(follow_symlinks=False) or not (
                _matches(name, files) or _matches(_LEFTOVER.sub(r"\1\2", name), files)
            ):
                yield name

    return list(foreign(""))


def _parents(name: str) -> list[PurePosixPath]:
    return list(PurePosixPath(name).parents)[:-1]


def _matches(name: str, patterns: Iterable[str]) -> bool:
    """Whether a path matches one of the patterns, whose "*" match no "/"."""
    return any(name.count("/") == pattern.count("/") and fnmatchcase(name, pattern) for pattern in patterns)


def _is_of_module(name: str) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in _MODULE)
