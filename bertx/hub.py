"""A checkpoint of the hub: the files that are needed, at one revision, of the size and hash that the hub declares."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterable
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from bertx_weights import CheckpointError

from .backend import MissingExtraError

_SMALL = (
    "config.json",
    "bert_config.json",
    "generation_config.json",
    "vocab.txt",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "modules.json",
    "sentence_bert_config.json",
    "config_sentence_transformers.json",
    "1_Pooling/config.json",
    "task.json",
    "assets/tokenizer/vocabulary.txt",
)
# The weights in each format, the first that is there being fetched.
_WEIGHTS = (
    ("model.safetensors",),
    ("model.safetensors.index.json", "model-*.safetensors"),
    ("pytorch_model.bin",),
    ("pytorch_model.bin.index.json", "pytorch_model-*.bin"),
    ("tf_model.h5",),
    ("tf_model.h5.index.json", "tf_model-*.h5"),
    ("flax_model.msgpack",),
    ("flax_model.msgpack.index.json", "flax_model-*.msgpack"),
    ("model.npz",),
    ("model.weights.h5", "task.weights.h5"),
    ("*ckpt*.index", "*ckpt*.data-*"),
)


def fetch(hub_id: str, revision: str | None, weights: bool) -> Path:
    """The folder of a model in the hub's cache, fetched where it is not there yet.

    `weights` False leaves those out: a tokenizer or a config needs none.

    Raises:
        CheckpointError: there is no such model or revision, it has no weights that bertx reads, or a file arrived
            otherwise than the hub declares it; such a file is removed.
        MissingExtraError: huggingface-hub is not installed.
    """
    try:
        from huggingface_hub import HfApi, snapshot_download, try_to_load_from_cache
        from huggingface_hub.errors import HFValidationError, RepositoryNotFoundError, RevisionNotFoundError
    except ImportError as error:
        raise MissingExtraError(
            f"there is no folder {hub_id}; to fetch it from the hub, install huggingface-hub: pip install 'bertx[hub]'"
        ) from error
    try:
        model = HfApi().model_info(hub_id, revision=revision, files_metadata=True)
    except (HFValidationError, RepositoryNotFoundError, RevisionNotFoundError) as error:
        at = f" at revision {revision}" if revision else ""
        raise CheckpointError(f"there is no folder {hub_id}, and no such model on the hub{at}: {error}") from error
    except Exception as unreachable:  # the library lets through what its HTTP client raises
        if cached := _cached(hub_id, revision, weights):
            return cached
        raise CheckpointError(
            f"there is no folder {hub_id}, and the hub could not be reached: {unreachable}"
        ) from unreachable
    declared = {file.rfilename: file for file in model.siblings or ()}
    names = _needed(declared, weights)
    if weights and not any(fnmatch(name, pattern) for name in names for form in _WEIGHTS for pattern in form):
        raise CheckpointError(
            f"{hub_id} on the hub has no weights that bertx reads; it has {', '.join(sorted(declared)) or 'no files'}"
        )
    fresh = [name for name in names if not isinstance(try_to_load_from_cache(hub_id, name, revision=model.sha), str)]
    try:
        # By the name that was asked for, which the cache then knows when the hub cannot be reached.
        folder = Path(snapshot_download(hub_id, revision=revision, allow_patterns=names))
    except Exception as error:
        raise CheckpointError(f"{hub_id} could not be fetched from the hub, try again: {error}") from error
    if folder.name != model.sha:
        raise CheckpointError(f"{hub_id} changed on the hub while it was fetched: try again")
    for name in fresh:
        _check(folder / name, declared[name], hub_id)
    return folder


def _cached(hub_id: str, revision: str | None, weights: bool) -> Path | None:
    """The folder of an earlier download that has all its files; None where there is none."""
    from huggingface_hub import snapshot_download

    for form in _WEIGHTS if weights else ((),):
        with contextlib.suppress(Exception):  # the library's own and those of its HTTP client
            needed = [*_SMALL, *form]
            folder = Path(snapshot_download(hub_id, revision=revision, allow_patterns=needed, local_files_only=True))
            if not form or any(folder.glob(form[0])):
                return folder
    return None


def _needed(names: Iterable[str], weights: bool) -> list[str]:
    names = list(names)
    needed = [name for name in names if name in _SMALL]
    for form in _WEIGHTS if weights else ():
        if any(fnmatch(name, form[0]) for name in names):
            return sorted({*needed, *(name for name in names for pattern in form if fnmatch(name, pattern))})
    return sorted(needed)


def _check(path: Path, declared: Any, hub_id: str) -> None:
    """Compares a file that has just come with what the hub says of it; removes it where it is another."""
    lfs = getattr(declared, "lfs", None)
    size = path.stat().st_size if path.is_file() else -1
    if declared.size is not None and size != declared.size:
        wrong = f"{size} bytes, the hub declares {declared.size}"
    elif lfs is not None and (found := _hash(path, hashlib.sha256())) != lfs.sha256:
        wrong = f"SHA-256 {found}, the hub declares {lfs.sha256}"
    elif lfs is None and declared.blob_id and (found := _git_hash(path, size)) != declared.blob_id:
        wrong = f"git hash {found}, the hub declares {declared.blob_id}"
    else:
        return
    path.resolve().unlink(missing_ok=True)
    path.unlink(missing_ok=True)
    raise CheckpointError(f"{path.name} of {hub_id} has {wrong}: it was removed, fetch it again")


def _git_hash(path: Path, size: int) -> str:
    return _hash(path, hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False))


def _hash(path: Path, digest: Any) -> str:
    with open(path, "rb") as file:
        while block := file.read(2**20):
            digest.update(block)
    return digest.hexdigest()
