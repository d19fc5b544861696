"""The formats: one file each, with the rule for its names."""

from __future__ import annotations

import contextlib
import importlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ..checkpoint import Checkpoint, StoredTensor
from ..errors import CheckpointError
from ..files import exists, inside
from ..naming.rules import HUBS_OWN, ModelNames, NamesOf, naming_of
from ..naming.tables import layers_of


class Format(NamedTuple):
    """What a format's file offers.

    Attributes:
        what: its files, for people.
        stored: patterns of the files that hold weights, a group for each way of storing them: the first that a folder
            has is what it is read from.
        written: patterns of all files that a checkpoint of this format consists of, as bertx writes it, without its
            tokenizer; "/" separates folders.
        files: a folder → the files of this format that hold its weights, none where there are none.
        read: (such a folder, config.json → the names of its architecture) → the checkpoint.
        write: (folder, the hub's config, tensors by schema name, the names of the architecture) → writes config and
            weights; gives notes for people.
    """

    what: str
    stored: tuple[tuple[str, ...], ...]
    written: tuple[str, ...]
    files: Callable[[Path], list[Path]]
    read: Callable[[Path, NamesOf], Checkpoint]
    write: Callable[[Path, Mapping[str, Any], Iterable[StoredTensor], ModelNames], list[str]]


# All tensors together may be so many times larger than the files: by compression, and where several share values.
_FOLDED = 64
_SMALL = 2**26
# How far an error looks for what was meant.
_DEEPEST_BELOW = 3
ADAPTER_CONFIG = "adapter_config.json"
_MOST_BELOW = 200
_MOST_NAMED = 3
_POINTER = b"version https://git-lfs.github.com/spec/"


class _Formats(Mapping[str, Format]):
    """Name → the format, from the file here that is called so, imported when it is first asked for.

    what: name → its files, for people.
    """

    def __init__(self, what: Mapping[str, str]) -> None:
        self._what = what
        self._found: dict[str, Format] = {}

    def __getitem__(self, name: str) -> Format:
        if name not in self._found:
            what = self._what[name]
            module = importlib.import_module(f"{__name__}.{name.replace('-', '_')}")
            self._found[name] = Format(
                what,
                module.STORED,
                module.WRITTEN,
                module.files,
                module.read,
                module.write,
            )
        return self._found[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._what)

    def __len__(self) -> int:
        return len(self._what)


# In the order in which a folder that has several is read.
FORMATS: Mapping[str, Format] = _Formats(
    {
        "safetensors": "model.safetensors",
        "pytorch": "pytorch_model.bin",
        "tensorflow": "tf_model.h5",
        "flax": "flax_model.msgpack",
        "npz": "model.npz",
        "keras-hub": "a KerasHub preset",
        "tf1": "bert_model.ckpt of TensorFlow 1",
        "tf2": "a Model Garden encoder",
        "orbax": "an Orbax checkpoint",
    }
)


def format_of(folder: Path) -> str:
    """The format of a checkpoint folder.

    Raises:
        CheckpointError: it has none of the known ones; names the subfolders that have.
    """
    for name, form in FORMATS.items():
        if form.files(folder):
            return name
    below = checkpoints_below(folder)
    if below:
        raise CheckpointError(f"{folder} is no checkpoint itself; did you mean {' or '.join(map(str, below))}?")
    present = ", ".join(sorted(path.name for path in folder.iterdir())) or "nothing"
    known = ", ".join(f"{form.what} ({name})" for name, form in FORMATS.items())
    raise CheckpointError(f"{folder} is no checkpoint: expected config.json and the weights, {known}; found {present}")


def has_adapter(folder: Path) -> bool:
    """Whether a folder has an adapter of PEFT, beside the weights it belongs to or alone."""
    return exists(folder, ADAPTER_CONFIG)


def checkpoints_below(folder: Path) -> list[Path]:
    """Subfolders that hold weights, or an adapter's, a few of them; links are not followed."""
    found: list[Path] = []
    for looked, (at, folders, _) in enumerate(os.walk(folder), 1):
        path = Path(at)
        depth = len(path.relative_to(folder).parts)
        is_one = depth and (has_adapter(path) or any(form.files(path) for form in FORMATS.values()))
        if is_one:
            found.append(path)
        if is_one or depth == _DEEPEST_BELOW:
            folders.clear()
        folders.sort()
        if looked == _MOST_BELOW or len(found) == _MOST_NAMED:
            break
    return found


def check_family(form: str, names: ModelNames, where: Path) -> None:
    """Raises CheckpointError, with the reason, where a format cannot hold an architecture."""
    if form not in HUBS_OWN:
        naming_of(form, names, where)


def open_checkpoint(folder: Path, names_of: NamesOf) -> Checkpoint:
    """The checkpoint of a folder, whatever its format.

    names_of: the keys of a config.json → the names of its architecture: `bertx.registry.names_of`.

    Raises:
        CheckpointError: there is none, or its files are broken or may not be read, or git has not fetched them.
        MissingExtraError: the library of its format is not installed.
    """
    try:
        _refuse_pointers(_json_files(folder))
        form = FORMATS[format_of(folder)]
        _refuse_pointers(form.files(folder))
        checkpoint = form.read(folder, names_of)
        checkpoint = checkpoint.with_prefix(names_of(checkpoint.config).prefix)
        layers_of(checkpoint.config, folder)  # before anything is made for so many
        stored = sum(path.stat().st_size for path in checkpoint.files)
        unfolded = sum(tensor.nbytes for tensor in checkpoint.tensors.values())
        if unfolded > max(_FOLDED * stored, _SMALL):
            raise CheckpointError(
                f"{folder}: its tensors have {unfolded} bytes, {unfolded // (stored or 1)} times its files'"
            )
        return checkpoint
    except PermissionError as error:
        raise CheckpointError(f"{error.filename or folder} cannot be read: {error.strerror}") from error


def _json_files(folder: Path) -> Iterator[Path]:
    """The JSON files of a folder that may be opened; of others, such as links out of it, their reader says why not."""
    for path in folder.iterdir():
        if path.suffix == ".json":
            with contextlib.suppress(CheckpointError):
                yield inside(folder, path.name)


def _refuse_pointers(paths: Iterable[Path]) -> None:
    """Raises CheckpointError for what git-lfs has put in the place of files that it has not fetched."""
    found = sorted(path for path in paths if path.is_file() and _begins(path, _POINTER))
    if found:
        raise CheckpointError(
            f"{', '.join(map(str, found))}: a git-lfs pointer, the file itself was not fetched: "
            f"run `git lfs pull` in {found[0].parent}"
        )


def _begins(path: Path, start: bytes) -> bool:
    with open(path, "rb") as file:
        return file.read(len(start)) == start
