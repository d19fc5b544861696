"""A folder that is written beside its place and put there as one, whatever happens to the process."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from bertx_weights import CheckpointError, format_of
from bertx_weights.files import hidden_beside, locked

from ..tasks.sentence_transformers import transformer_folder
from .files import REPORT, foreign_entries

_SHOWN = 20


@contextlib.contextmanager
def new_folder(target: Path, overwrite: bool) -> Iterator[Path]:
    """A folder to write a checkpoint to, which becomes `target` when the block ends well; else it goes.

    Whenever the process is killed, `target` is what it was before, or the new folder; what is left beside it is removed
    by the next job. While one job has the block, another is refused.

    Raises:
        FileExistsError: another job writes the target; or it is there, and `overwrite` is False or it holds something
            else than a checkpoint.
        OSError: it cannot be written; the error names the target.
    """
    place = _place(target)
    made = [folder for folder in (place.parent, *place.parent.parents) if not folder.exists()]
    temporary = hidden_beside(place, "bertx-new")
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with locked(place):
            _recover(place)
            _remove(temporary)
            _check(target, place, overwrite)
            temporary.mkdir()
            try:
                yield temporary
                _put(temporary, target, place, overwrite)
            finally:
                _remove(temporary)
    except Exception as error:
        if _is_full(error):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(target)) from error
        if isinstance(error, OSError) and _is_beside(error.filename, place):
            raise OSError(error.errno, error.strerror, str(target)) from error
        raise
    finally:
        for folder in made:
            with contextlib.suppress(OSError):  # it holds the target, or what another has put there
                folder.rmdir()


@contextlib.contextmanager
def one_writer(folder: Path) -> Iterator[None]:
    """Makes a folder, if need be, whose files the block writes one by one; another job that writes it is refused.

    Raises:
        FileExistsError: there is one.
    """
    place = folder.resolve()
    place.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(locked(place))
        except OSError as error:
            # Only this folder may be written, and so `new_folder` cannot replace it.
            if error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS) or not place.is_dir():
                raise
            stack.enter_context(locked(place / "config.json"))
        place.mkdir(exist_ok=True)
        (place / REPORT).unlink(missing_ok=True)  # what it says is of the files before
        yield


def _place(target: Path) -> Path:
    """The target's absolute path; a link is itself a target, not what it leads to."""
    return target.resolve() if target.name in ("", "..") else target.parent.resolve() / target.name


def _check(target: Path, place: Path, overwrite: bool) -> None:
    """Raises FileExistsError where there is what must not be replaced."""
    if not os.path.lexists(place) or _is_empty(place):
        return
    if not overwrite:
        raise FileExistsError(f"{target} is there already: give overwrite=True to replace it, or another target")
    try:
        format_of(place / transformer_folder(place))
    except (CheckpointError, OSError) as error:
        raise FileExistsError(
            f"{target} is no checkpoint folder: it is not overwritten; give another target"
        ) from error
    if foreign := foreign_entries(place):
        shown = ", ".join(foreign[:_SHOWN]) + (f", and {len(foreign) - _SHOWN} more" if len(foreign) > _SHOWN else "")
        raise FileExistsError(
            f"{target} holds more than a checkpoint, and is not overwritten: {shown}; move that away, or give another "
            "target"
        )


def _put(temporary: Path, target: Path, place: Path, overwrite: bool) -> None:
    _check(target, place, overwrite)  # something may have appeared meanwhile
    if not os.path.lexists(place) or _is_empty(place):
        temporary.rename(place)  # replaces an empty folder
    elif not _exchange(temporary, place):
        old = hidden_beside(place, "bertx-old")
        try:
            place.rename(old)
            temporary.rename(place)
        finally:
            _recover(place)


def _recover(place: Path) -> None:
    """Puts back, or removes, what an overwrite without `_exchange` has moved away."""
    old = hidden_beside(place, "bertx-old")
    if os.path.lexists(old) and not os.path.lexists(place):
        old.rename(place)
    _remove(old)


def _exchange(one: Path, other: Path) -> bool:
    """Exchanges two entries of one file system as one step; False where the system cannot."""
    at_cwd, exchange = -100, 2
    try:
        renameat2 = ctypes.CDLL(None, use_errno=True).renameat2
    except (AttributeError, OSError, TypeError):
        return False
    if renameat2(at_cwd, os.fsencode(one), at_cwd, os.fsencode(other), exchange) == 0:
        return True
    if ctypes.get_errno() in (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP):
        return False
    raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), str(other))


def _remove(path: Path) -> None:
    if path.is_symlink() or path.is_file():
        path.unlink()
    else:
        shutil.rmtree(path, ignore_errors=True)


def _is_empty(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink() and not any(path.iterdir())


def _is_beside(name: object, place: Path) -> bool:
    """Whether an error names one of the hidden files, which say nothing to a user."""
    hidden = str(hidden_beside(place, ""))
    return isinstance(name, (str, os.PathLike)) and os.fspath(name).startswith(hidden)


def _is_full(error: BaseException | None) -> bool:
    """Whether a disk was full; HDF5, TensorFlow and Orbax say so in errors of their own."""
    while error is not None:
        if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT) or os.strerror(errno.ENOSPC) in str(error):
            return True
        error = error.__cause__ or error.__context__
    return False
