"""The files that a verb writes: checked before the work, kept for one job at a time, devices written through."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from bertx_weights.files import is_special, locked

from .records import WrongUsage


@contextmanager
def report_target(path: Path | None) -> Iterator[Path | None]:
    """Where `--json` is written: the file behind a link; its folder is made, as that of `--out` is.

    Raises:
        WrongUsage: nothing can be written there.
    """
    if path is None or is_special(path):
        yield path
        return
    path = behind_links(path)
    made = _missing(path.parent)
    _make(path.parent, path)
    try:
        if not os.access(path.parent, os.W_OK):
            raise WrongUsage(f"{path} cannot be written: its folder is read-only")
        yield path
    finally:
        _remove(made)


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
