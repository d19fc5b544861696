"""A checkpoint of the hub: the files that are needed, at one revision, of the size and hash that the hub declares."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
from collections.abc import Iterable
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from bertx_weights import CheckpointError, write_atomically

from .backend import MissingExtraError

_SMALL = (
    "config.json",
    "adapter_config.json",
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

# Those of an adapter of PEFT, with the weights beside it or alone.
_ADAPTER = ("adapter_model.safetensors", "adapter_model.bin")

_Declared = tuple[int | None, str | None]  # size, and SHA-256 of a file in LFS, else git's hash


def fetch(hub_id: str, revision: str | None, weights: bool) -> Path:
    """The folder of a model in the hub's cache, fetched where it is not there yet.

    `weights` False leaves those out: a tokenizer or a config needs none.

    Raises:
        CheckpointError: there is no such model or revision, it has no weights that bertx reads, or a file arrived
            otherwise than the hub declares it; such a file is removed.
        MissingExtraError: huggingface-hub is not installed.
    """
    try:
        from huggingface_hub import HfApi, constants, hf_hub_download
        from huggingface_hub.errors import (
            GatedRepoError,
            HFValidationError,
            RepositoryNotFoundError,
            RevisionNotFoundError,
        )
    except ImportError as error:
        raise MissingExtraError(
            f"there is no folder {hub_id}; to fetch it from the hub, install huggingface-hub: pip install 'bertx[hub]'"
        ) from error
    at = f" at revision {revision}" if revision else ""
    try:
        timeout = constants.HF_HUB_ETAG_TIMEOUT  # the library itself would wait for ever
        model = HfApi().model_info(hub_id, revision=revision, files_metadata=True, timeout=timeout)
        declared = {str(file.rfilename): _declared(file) for file in model.siblings or ()}
        if not re.fullmatch("[0-9a-f]{40}", model.sha or ""):
            raise ValueError(f"the hub says that its commit is {model.sha!r}")
    except GatedRepoError as error:
        raise CheckpointError(f"{hub_id}{at} is gated: accept its terms on the hub and log in: {error}") from error
    except (HFValidationError, RepositoryNotFoundError, RevisionNotFoundError) as error:
        raise CheckpointError(f"there is no folder {hub_id}, and no such model on the hub{at}: {error}") from error
    except Exception as unreachable:  # the library lets through what its HTTP client raises
        if cached := _cached(hub_id, revision, weights):
            return cached
        raise CheckpointError(
            f"there is no folder {hub_id}, and the hub could not be reached: {unreachable}"
        ) from unreachable
    names = _needed(declared, weights)
    forms = (*_WEIGHTS, _ADAPTER)
    if weights and not any(fnmatch(name, pattern) for name in names for form in forms for pattern in form):
        raise CheckpointError(
            f"{hub_id} on the hub has no weights that bertx reads; it has {', '.join(sorted(declared)) or 'no files'}"
        )
    storage = Path(constants.HF_HUB_CACHE) / f"models--{hub_id.replace('/', '--')}"
    folder = storage / "snapshots" / model.sha
    try:
        _fetch_files(hf_hub_download, hub_id, {name: declared[name] for name in names}, storage, folder)
    except CheckpointError:
        raise
    except GatedRepoError as error:
        raise CheckpointError(f"{hub_id}{at} is gated: accept its terms on the hub and log in: {error}") from error
    except Exception as error:
        raise CheckpointError(f"{hub_id} could not be fetched from the hub, try again: {error}") from error
    state = _state(folder)
    _write_state(folder, **state | {"small": True, "weights": weights or state["weights"]})
    # What was asked for by name is then found by it where the hub cannot be reached.
    if revision != model.sha:
        ref = storage / "refs" / (revision or "main")
        ref.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(ref, model.sha.encode())
    return folder


def _fetch_files(download: Any, hub_id: str, declared: dict[str, _Declared], storage: Path, folder: Path) -> None:
    """Fetches files and checks each once, whoever has put it into the cache; all that are wrong are removed."""
    state = _state(folder)
    wrong = []
    for name, said in declared.items():
        download(hub_id, name, revision=folder.name)
        if state["checked"].get(name) == said:
            continue
        if problem := _problem(folder / name, *said):
            # A hub could name a blob anywhere: nothing outside its own folder is removed.
            if (blob := (folder / name).resolve()).is_relative_to(storage.resolve()):
                blob.unlink(missing_ok=True)
            (folder / name).unlink(missing_ok=True)
            wrong.append(f"{name} of {hub_id} has {problem}: it was removed, fetch it again")
        else:
            state["checked"][name] = said
        _write_state(folder, **state)
    if wrong:
        raise CheckpointError("\n  ".join(wrong))


# Beside the files of a snapshot: which were checked, and whether all came that a tokenizer, or a model, needs.
_STATE = ".bertx.json"


def _state(folder: Path) -> dict[str, Any]:
    with contextlib.suppress(OSError, ValueError, AttributeError, KeyError, TypeError):
        state = json.loads((folder / _STATE).read_bytes())
        checked = {name: tuple(said) for name, said in state["checked"].items()}
        return {"checked": checked, "small": bool(state["small"]), "weights": bool(state["weights"])}
    return {"checked": {}, "small": False, "weights": False}


def _write_state(folder: Path, **state: Any) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / _STATE, json.dumps(state).encode())


def _cached(hub_id: str, revision: str | None, weights: bool) -> Path | None:
    """The folder of an earlier download that has all its files; None where there is none.

    One without a state was filled by another library: it is as whole as that says.
    """
    from huggingface_hub import snapshot_download

    with contextlib.suppress(Exception):
        folder = Path(snapshot_download(hub_id, revision=revision, local_files_only=True, allow_patterns=list(_SMALL)))
        if not (folder / _STATE).is_file():
            return folder
        state = _state(folder)
        if state["weights" if weights else "small"] and all((folder / name).is_file() for name in state["checked"]):
            return folder
    return None


def _needed(names: Iterable[str], weights: bool) -> list[str]:
    names = list(names)
    needed = [name for name in names if name in _SMALL]
    top = [name for name in names if "/" not in name and "\\" not in name]
    if weights and "adapter_config.json" in names:
        needed += [name for name in _ADAPTER if name in top][:1]
    for form in _WEIGHTS if weights else ():
        if any(fnmatch(name, form[0]) for name in top):
            return sorted({*needed, *(name for name in top for pattern in form if fnmatch(name, pattern))})
    return sorted(needed)


def _declared(file: Any) -> _Declared:
    return file.size, file.lfs.sha256 if file.lfs else file.blob_id


def _problem(path: Path, declared_size: int | None, declared_hash: str | None) -> str | None:
    """Compares a file that has just come with what the hub says of it."""
    size = path.stat().st_size if path.is_file() else -1
    if declared_size is not None and size != declared_size:
        return f"{size} bytes, the hub declares {declared_size}"
    if declared_hash is not None:
        is_git = len(str(declared_hash)) == 40
        found = _git_hash(path, size) if is_git else _hash(path, hashlib.sha256())
        if found != declared_hash:
            return f"{'git hash' if is_git else 'SHA-256'} {found}, the hub declares {declared_hash}"
    return None


def _git_hash(path: Path, size: int) -> str:
    return _hash(path, hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False))


def _hash(path: Path, digest: Any) -> str:
    with open(path, "rb") as file:
        while block := file.read(2**20):
            digest.update(block)
    return digest.hexdigest()
