"""Whether a checkpoint is still what was written or fetched: `bertx.verify`."""

from __future__ import annotations

import dataclasses
import json
import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bertx_weights import CheckpointError, open_checkpoint, write_atomically
from bertx_weights.files import exists, inside, read_json

from ..hub import download as hub
from ..hub.sources import resolve
from ..registry import names_of
from ..tasks.sentence_transformers import settings_folder, transformer_folder
from .convert import ConvertedTensor, differing_tensors, hash_of_file
from .files import REPORT


@dataclass
class Verification:
    """What `verify` found.

    Attributes:
        source: the folder.
        against: what it was compared with: its conversion report, or a commit of the hub.
        checked: how many files and tensors were compared.
        problems: what differs or is missing, each with its file or tensor.
    """

    source: str
    against: str
    checked: int = 0
    problems: list[str] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        """Whether nothing differs."""
        return not self.problems

    def to_json(self, path: str | os.PathLike[str] | None = None) -> str:
        """All of it as JSON; also written to `path` if one is given."""
        text = json.dumps(dataclasses.asdict(self) | {"passed": self.passed}, indent=2, ensure_ascii=False)
        if path is not None:
            write_atomically(Path(path), text.encode())
        return text

    def __str__(self) -> str:
        result = f"{len(self.problems)} differ" if self.problems else "all as they were"
        return "\n  ".join([f"{self.source}: {self.checked} compared with {self.against}: {result}", *self.problems])


def verify(source: str | os.PathLike[str], revision: str | None = None) -> Verification:
    """Compares a checkpoint with the hashes that are known of it; `source` as in `bertx.load`.

    A folder that `bertx.convert` wrote has them in its conversion_report.json: of every tensor, and of every file
    beside the weights. A snapshot of the hub's cache has those that the hub declares of each file.

    Raises:
        CheckpointError: there is no such checkpoint, or nothing to compare it with.
        ValueError: a revision of a local source.
    """
    folder = resolve(source, revision=revision)
    folder = settings_folder(folder) or folder  # of a Transformer in a folder of its own the whole checkpoint
    place = folder.resolve()
    if place.parent.name == "snapshots" and place.parent.parent.name.startswith("models--"):
        return _with_hub(folder, place)
    if exists(folder, REPORT):
        return _with_report(folder)
    raise CheckpointError(
        f"{folder} has no {REPORT}, and is no snapshot of the hub's cache: there are no hashes to compare it with; "
        "bertx.convert writes them"
    )


def _with_report(folder: Path) -> Verification:
    path = inside(folder, REPORT)
    report = read_json(path)
    try:
        tensors = [ConvertedTensor(**{**entry, "shape": tuple(entry["shape"])}) for entry in report["tensors"]]
        files: dict[str, Any] = dict(report["files"])
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"{path} is no conversion report: expected the tensors and files that bertx.convert writes"
        ) from error
    result = Verification(str(folder), f"its conversion report of {report.get('source', 'an unknown source')}")
    for name, expected in files.items():
        try:
            if hash_of_file(inside(folder, name)) != expected:
                result.problems.append(f"{name} has another content")
        except CheckpointError as error:
            result.problems.append(str(error))
    try:
        result.problems += differing_tensors(open_checkpoint(folder / transformer_folder(folder), names_of), tensors)
    except CheckpointError as error:
        result.problems.append(str(error))
    result.checked = len(files) + len(tensors)
    return result


def _with_hub(folder: Path, snapshot: Path) -> Verification:
    """By the hashes that were declared when a file was fetched, else by the names of the blobs, which are hashes."""
    expected = {name: digest for name, (_, digest) in hub.checked_files(snapshot).items() if digest}
    for path in snapshot.rglob("*"):
        name = path.relative_to(snapshot).as_posix()
        if (
            path.is_symlink()
            and name not in expected
            and re.fullmatch("([0-9a-f]{24})?[0-9a-f]{40}", path.readlink().name)
        ):
            expected[name] = path.readlink().name
    if not expected:
        raise CheckpointError(f"{folder} is a snapshot of the hub without a single hash: fetch it again")
    result = Verification(str(folder), f"commit {snapshot.name} of {snapshot.parent.parent.name}", len(expected))
    for name, digest in sorted(expected.items()):
        try:
            if hub.file_hash(inside(snapshot, name), digest) != digest:
                result.problems.append(f"{name} has another content than the hub declares")
        except CheckpointError as error:
            result.problems.append(str(error))
    return result
