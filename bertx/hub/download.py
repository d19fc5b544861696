"""A checkpoint of the hub: the files that are needed, at one revision, of the size and hash that the hub declares."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bertx_weights import CheckpointError, MissingExtraError, format_of, write_atomically
from bertx_weights.files import LARGEST, locked, read_json
from bertx_weights.formats import has_adapter

from ..checkpoints.files import small_files, weight_files
from ..tasks.sentence_transformers import MODULES, side_files, transformer_folder

_Declared = tuple[int | None, str | None]  # size, and SHA-256 of a file in LFS, else git's hash
_COMMIT = "[0-9a-f]{40}"
# Models of before the hub had organisations, which a cache may have under their older names.
_OLDER = "google-bert/"
_NOT_WRITABLE = (errno.EACCES, errno.EPERM, errno.EROFS)


class NotFoundError(CheckpointError):
    """There is no such model on the hub, or nothing of it in the cache of a machine that does not reach the hub."""


def fetch(hub_id: str, revision: str | None, weights: bool) -> Path:
    """The folder of a model in the hub's cache, fetched where it is not there yet.

    `weights` False leaves those out: a tokenizer or a config needs none.

    Raises:
        CheckpointError: there is no such model or revision, it has no weights that bertx reads, or a file arrived
            otherwise than the hub declares it; such a file is removed.
        MissingExtraError: huggingface-hub is not installed.
        ValueError: no branch, tag or commit can have that name.
    """
    try:
        from huggingface_hub import HfApi, constants
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
    _check_revision(revision)
    at = f" at revision {revision}" if revision else ""
    try:
        timeout = constants.HF_HUB_ETAG_TIMEOUT  # the library itself would wait for ever
        model = HfApi().model_info(hub_id, revision=revision, files_metadata=True, timeout=timeout)
        declared = {str(file.rfilename): _declared(file) for file in model.siblings or ()}
        if not re.fullmatch(_COMMIT, model.sha or ""):
            raise ValueError(f"the hub says that its commit is {model.sha!r}")
    except GatedRepoError as error:
        raise CheckpointError(f"{hub_id}{at} is gated: accept its terms on the hub and log in: {error}") from error
    except (HFValidationError, RepositoryNotFoundError, RevisionNotFoundError) as error:
        raise NotFoundError(f"there is no folder {hub_id}, and no such model on the hub{at}: {error}") from error
    except Exception as unreachable:  # the library lets through what its HTTP client raises
        found, reasons = _cached(hub_id, revision, weights)
        if found:
            return found
        raise NotFoundError(
            "\n  ".join([f"there is no folder {hub_id}, and the hub could not be reached: {unreachable}", *reasons])
        ) from unreachable
    storage = _storage(hub_id)
    commit: Any = model.sha
    folder = storage / "snapshots" / commit
    try:
        _fetch_snapshot(hub_id, declared, storage, folder, weights)
        # What was asked for by name is then found by it where the hub cannot be reached.
        if revision != commit:
            _write_ref(storage / "refs" / (revision or "main"), commit)
    except CheckpointError:
        raise
    except GatedRepoError as error:
        raise CheckpointError(f"{hub_id}{at} is gated: accept its terms on the hub and log in: {error}") from error
    except Exception as error:
        if getattr(error, "errno", None) == errno.ENOSPC:
            raise CheckpointError(
                f"{hub_id} could not be fetched from the hub: {error.strerror} for its cache {storage}"  # pyright: ignore[reportAttributeAccessIssue]
            ) from error
        if getattr(error, "errno", None) not in _NOT_WRITABLE:
            raise CheckpointError(f"{hub_id} could not be fetched from the hub, try again: {error}") from error
        found, _ = _cached(hub_id, revision, weights)
        if not found:
            raise CheckpointError(
                f"{hub_id} could not be fetched from the hub, since its cache cannot be written: {error}; "
                "set HF_HUB_CACHE to a folder of yours"
            ) from error
        warnings.warn(
            f"{hub_id} is {model.sha} on the hub now, and the cache cannot be written ({error}): {found.name} is used, "
            "which is there",
            stacklevel=4,
        )
        return found
    return folder


def _check_revision(revision: str | None) -> None:
    """Raises ValueError for what git takes as no name: it would become a path, here and in what the hub is asked."""
    if revision is None:
        return
    parts = revision.split("/")
    if (
        not revision.isprintable()
        or re.search(r"[ ~^:?*\[\\]|\.\.|@\{", revision)
        or any(not part or part[0] in ".-" or len(part.encode()) > 255 for part in parts)
    ):
        raise ValueError(f"revision is {revision!r:.80}, expected the name of a branch or tag, or a commit")


def _fetch_snapshot(hub_id: str, declared: Mapping[str, _Declared], storage: Path, folder: Path, weights: bool) -> None:
    names = [name for name in declared if _stays_inside(name)]
    sides, encoder = [], ""
    if MODULES in names:  # it names further files
        _fetch_files(hub_id, {MODULES: declared[MODULES]}, storage, folder)
        sides, encoder = side_files(folder, names), transformer_folder(folder)
    start = f"{encoder}/" if encoder else ""
    own = [name.removeprefix(start) for name in names if name.startswith(start)]
    held = weight_files(own) if weights else []
    if weights and not held:
        raise CheckpointError(
            f"{hub_id} on the hub has no weights that bertx reads; it has {', '.join(sorted(declared)) or 'no files'}"
        )
    sides = [name for name in sides if weights or _is_text(name)]  # a module may have weights of its own
    needed = sorted({*sides, *(start + name for name in (*small_files(own), *held))})
    _fetch_files(hub_id, {name: declared[name] for name in needed}, storage, folder)
    _update_state(folder, small=True, weights=weights)


def _fetch_files(hub_id: str, declared: Mapping[str, _Declared], storage: Path, folder: Path) -> None:
    """Fetches files and checks each once, whoever has put it into the cache; all that are wrong are removed."""
    from huggingface_hub import hf_hub_download

    large = [
        f"{name} of {declaration[0]} bytes"
        for name, declaration in declared.items()
        if _is_text(name) and _is_large(declaration[0])
    ]
    if large:
        raise CheckpointError(
            f"{hub_id} on the hub has {', '.join(large)}; a config or vocabulary has at most {LARGEST}"
        )
    if not folder.exists():  # else a job that is killed here would leave what looks like another library's download
        _update_state(folder)
    wrong = []
    for name, declaration in declared.items():
        hf_hub_download(hub_id, name, revision=folder.name)
        if _state(folder)["checked"].get(name) == declaration:
            continue
        problem = _problem(folder / name, *declaration)
        if problem is None and _is_text(name) and _is_large((folder / name).stat().st_size):
            problem = f"more than {LARGEST} bytes"
        if problem:
            # A hub could name a blob anywhere: nothing outside its own folder is removed.
            if (blob := (folder / name).resolve()).is_relative_to(storage.resolve()):
                blob.unlink(missing_ok=True)
            (folder / name).unlink(missing_ok=True)
            wrong.append(f"{name} of {hub_id} has {problem}: it was removed, fetch it again")
        else:
            _update_state(folder, checked={name: declaration})
    if wrong:
        raise CheckpointError("\n  ".join(wrong))


def _stays_inside(name: str) -> bool:
    return "\\" not in name and all(part not in ("", ".", "..") for part in name.split("/"))


def _is_text(name: str) -> bool:
    """Whether a file is read whole, as a config or vocabulary is."""
    return name.endswith((".json", ".txt")) and not name.endswith(".index.json")


def _is_large(size: Any) -> bool:
    return isinstance(size, int) and size > LARGEST


# Beside the files of a snapshot: which were checked, and whether all came that a tokenizer, or a model, needs.
STATE = ".bertx.json"


def _state(folder: Path) -> dict[str, Any]:
    with contextlib.suppress(OSError, ValueError, AttributeError, KeyError, TypeError):
        state = read_json(folder / STATE)
        checked = {name: tuple(declaration) for name, declaration in state["checked"].items()}
        return {"checked": checked, "small": bool(state["small"]), "weights": bool(state["weights"])}
    return {"checked": {}, "small": False, "weights": False}


def checked_files(folder: Path) -> dict[str, _Declared]:
    """The files of a snapshot that were checked when they came, with the size and hash that the hub declared."""
    return _state(folder)["checked"]


def _update_state(
    folder: Path, checked: Mapping[str, _Declared] | None = None, small: bool = False, weights: bool = False
) -> None:
    """Adds to the state what is known now; what another job has added stays. A cache that is read-only has none."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if (folder / STATE).is_file() and _added(_state(folder), checked, small, weights) == _state(folder):
            return
        with locked(folder / STATE, wait=True):
            state = _added(_state(folder), checked, small, weights)
            write_atomically(folder / STATE, json.dumps(state).encode())
    except OSError as error:
        if error.errno not in _NOT_WRITABLE:
            raise


def _added(
    state: dict[str, Any], checked: Mapping[str, _Declared] | None, small: bool, weights: bool
) -> dict[str, Any]:
    return {
        "checked": state["checked"] | dict(checked or {}),
        "small": state["small"] or small,
        "weights": state["weights"] or weights,
    }


def _write_ref(ref: Path, commit: str) -> None:
    if ref.is_file() and ref.read_text().strip() == commit:
        return
    try:
        ref.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(ref, commit.encode())
    except OSError as error:
        if error.errno not in _NOT_WRITABLE:
            raise


def _storage(hub_id: str) -> Path:
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE) / f"models--{hub_id.replace('/', '--')}"


def _cached(hub_id: str, revision: str | None, weights: bool) -> tuple[Path | None, list[str]]:
    """The folder of an earlier download that has all its files, or None and why the ones that are there have not."""
    reasons = []
    other = hub_id.removeprefix(_OLDER) if hub_id.startswith(_OLDER) else f"{_OLDER}{hub_id}"
    for name in (hub_id, *([other] if hub_id.count("/") + other.count("/") == 1 else [])):
        folder = _snapshot(_storage(name), revision)
        if folder is None:
            continue
        problem = _missing(folder, weights)
        if problem is None:
            return folder, []
        reasons.append(f"{folder} in its cache is not whole: {problem}")
    return None, reasons


def _snapshot(storage: Path, revision: str | None) -> Path | None:
    """The folder that the cache has for a revision, whole or not."""
    with contextlib.suppress(OSError, ValueError):
        commit = revision or "main"
        if not re.fullmatch(_COMMIT, commit):
            commit = (storage / "refs" / commit).read_text().strip()
        folder = storage / "snapshots" / commit
        if re.fullmatch(r"[\w.-]*\w[\w.-]*", commit) and folder.is_dir():
            return folder
    return None


def _missing(folder: Path, weights: bool) -> str | None:
    """Why a snapshot has not all files; one without a state was filled by another library, and has what that needs."""
    if (folder / STATE).is_file():
        state = _state(folder)
        lost = sorted(name for name in state["checked"] if not (folder / name).is_file())
        if not state["weights" if weights else "small"] or lost:
            return f"its download did not end{''.join(f', {name} is not there' for name in lost)}"
    try:
        own = folder / transformer_folder(folder)
        if not small_files(path.name for path in own.iterdir()):
            return "it has neither config nor tokenizer"
        if weights and not has_adapter(own):
            format_of(own)
    except (CheckpointError, OSError) as error:
        return str(error)
    return None


def _declared(file: Any) -> _Declared:
    return file.size, file.lfs.sha256 if file.lfs else file.blob_id


def _problem(path: Path, declared_size: int | None, declared_hash: str | None) -> str | None:
    """Compares a file that has just come with what the hub says of it."""
    size = path.stat().st_size if path.is_file() else -1
    if declared_size is not None and size != declared_size:
        return f"{size} bytes, the hub declares {declared_size}"
    if declared_hash is not None:
        found = file_hash(path, str(declared_hash))
        if found != declared_hash:
            kind = "git hash" if len(str(declared_hash)) == 40 else "SHA-256"
            return f"{kind} {found}, the hub declares {declared_hash}"
    return None


def file_hash(path: Path, like: str) -> str:
    """The hash of a file, of the kind of another: git's of a blob, of 40 digits, or SHA-256."""
    if len(like) == 40:
        return _hash(path, hashlib.sha1(b"blob %d\0" % path.stat().st_size, usedforsecurity=False))
    return _hash(path, hashlib.sha256())


def _hash(path: Path, digest: Any) -> str:
    with open(path, "rb") as file:
        while block := file.read(2**20):
            digest.update(block)
    return digest.hexdigest()
