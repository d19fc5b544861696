"""The files that a verb writes: checked before the work, kept for one job at a time, devices written through."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from bertx_weights import CheckpointError, read_json
from bertx_weights.files import is_special, locked

from .records import WrongUsage

_REPORT_KEYS = {"source"}  # what every report has, and no other file of a checkpoint


@contextmanager
def report_target(path: Path | None) -> Iterator[Path | None]:
    """Where `--json` is written: the file behind a link; its folder is made, as that of `--out` is.

    Only an earlier report is replaced: a mistyped name could be a file of a checkpoint.

    Raises:
        WrongUsage: nothing can be written there, or there is another file.
    """
    if path is None or is_special(path):
        yield path
        return
    path = behind_links(path)
    if path.exists() and not _is_report(path):
        raise WrongUsage(f"{path} is there already and is no report of bertx: give --json another file")
    made = _missing(path.parent)
    _make(path.parent, path)
    try:
        if not os.access(path.parent, os.W_OK):
            raise WrongUsage(f"{path} cannot be written: its folder is read-only")
        yield path
    finally:
        _remove(made)


def _is_report(path: Path) -> bool:
    try:
        return read_json(path).keys() >= _REPORT_KEYS
    except CheckpointError:
        return path.is_file() and path.stat().st_size == 0  # as mktemp makes it


def refuse_same(out: Path, read: Path | None) -> None:
    """Raises WrongUsage where a job would write the file that it reads."""
    if read is not None and out.exists() and read.exists() and out.samefile(read):
        raise WrongUsage(f"{out} is what the job reads: give another --out")


def behind_links(path: Path) -> Path:
    """The path that a link leads to: the link itself is not replaced."""
    try:
        return Path(os.path.realpath(path, strict=False)) if path.is_symlink() else path
    except OSError as error:
        raise WrongUsage(f"{path} cannot be written: {error.strerror or error}") from error


@contextmanager
def reserved(path: Path) -> Iterator[None]:
    """Keeps a file to write for this job; the folders that are made for it go again where nothing came into them.

    Raises:
        WrongUsage: another job writes it, or nothing can be written there.
    """
    made = _missing(path.parent)
    _make(path.parent, path)
    try:
        with ExitStack() as stack:
            try:
                stack.enter_context(locked(path))
            except FileExistsError as error:
                raise WrongUsage(str(error)) from error
            except OSError as error:
                raise WrongUsage(f"{path} cannot be written: {error.strerror or error}") from error
            yield
    finally:
        _remove(made)


def _missing(folder: Path) -> list[Path]:
    """The folders that are made with a folder, the innermost first."""
    return [one for one in (folder, *folder.parents) if not one.exists()]


def _make(folder: Path, target: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WrongUsage(f"{target} cannot be written: {error.filename}: {error.strerror}") from error


def _remove(made: list[Path]) -> None:
    for folder in made:
        with suppress(OSError):  # it holds the target, or what another has put there
            folder.rmdir()
