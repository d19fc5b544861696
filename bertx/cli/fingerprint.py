"""What a job's rows depend on: hashes of the model's files; and what is noted of a file that a job has finished."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

_NOTE = "user.bertx.job"
# Larger files that are no weights of the model, such as the state of an optimizer, are not read by a load.
_LARGEST_SIDE_FILE = 64 * 2**20


def model_files(folder: Path, weights: Iterable[Path], out: Path | None) -> dict[str, str]:
    """The files of a checkpoint that a load may read, relative to its folder → a hash of all their content.

    `weights` may lie elsewhere: an adapter names the folder of its base.
    """
    weights = set(weights)
    found = {}
    for path in sorted({*folder.rglob("*"), *weights}):
        of_job = out is not None and path.name.startswith(out.name)  # it may lie among them
        if not path.is_file() or path.name.startswith(".") or of_job:
            continue
        if path in weights or path.stat().st_size <= _LARGEST_SIDE_FILE:
            with open(path, "rb") as file:
                name = path.relative_to(folder) if path.is_relative_to(folder) else path
                found[str(name)] = hashlib.file_digest(file, "sha256").hexdigest()[:16]
    return found


def note_finished(part: Path, job: Mapping[str, Any], records: int, failed: int, digest: str) -> None:
    """Notes on a whole file, as an extended attribute, of which job and input it is; nothing where there are none."""
    note = {"job": job_digest(job), "records": records, "failed": failed, "input": digest}
    try:
        os.setxattr(part, _NOTE, json.dumps(note).encode())
    except (OSError, AttributeError):  # a file system or an operating system without them
        return


def finished(path: Path) -> dict[str, Any] | None:
    """What `note_finished` noted: job, records, failed and input; None where nothing is known of the file."""
    try:
        return json.loads(os.getxattr(path, _NOTE))
    except (OSError, AttributeError, ValueError):
        return None


def job_digest(job: Mapping[str, Any]) -> str:
    """A hash of a job."""
    return hashlib.sha256(json.dumps(job, sort_keys=True).encode()).hexdigest()
